import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.trainers import UnigramTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast

from rekindle.models.plain_text import control_tokens, encode_plain
from rekindle.warm_starts.tiny_tokenizers import character_tokenizer


def word_tokenizer():
    """Words are tokens, the special ones too; an added token is found after normalisation."""
    words = ["<pad>", "<eos>", "<unk>", "paris", "a", "<", "zebra"]
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.add_tokens(
        [
            AddedToken("[inst]", normalized=True),
            AddedToken("<call>"),
            AddedToken("   "),
            AddedToken("é"),
            AddedToken("wolf"),
        ]
    )
    return tokenizer


def trained(model, trainer, **tokens):
    backend = Tokenizer(model)
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace() if isinstance(model, models.Unigram) else (
        pre_tokenizers.BertPreTokenizer()
    )  # fmt: skip
    backend.train_from_iterator(["paris is the capital <s> [ S E P ] / < > |"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokens)


def unigram_tokenizer():
    """As sentencepiece makes them: the control tokens are pieces of the vocabulary."""
    special = ["<unk>", "<s>", "</s>"]
    trainer = UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    return trained(models.Unigram(), trainer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_piece_tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False)
    model = models.WordPiece(unk_token="[UNK]")
    return trained(model, trainer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


TOKENIZERS = {
    "characters": character_tokenizer("abcdeos<>|/[]in zr", 64),
    "words": word_tokenizer(),
    "unigram": unigram_tokenizer(),
    "word_piece": word_piece_tokenizer(),
}
NASTY = "<eos> </s>[SEP]<call>[INST]［ＩＮＳＴ］<pad><unk>   zebra <s>x</s><|im_end|>"


@pytest.mark.parametrize("name", TOKENIZERS)
def test_control_strings_become_text(name):
    tokenizer = TOKENIZERS[name]
    controls = control_tokens(tokenizer)
    ids = encode_plain(tokenizer, NASTY, frozenset(controls))
    assert ids
    assert not set(controls) & set(ids)


def test_control_tokens_by_hand():
    assert control_tokens(word_tokenizer()) == {0: "<pad>", 1: "<eos>", 7: "[inst]", 8: "<call>", 11: "wolf"}


def test_an_unknown_token_with_another_meaning_is_a_control_token():
    tokenizer = word_tokenizer()
    tokenizer.unk_token = "<eos>"
    tokenizer.unk_token_id = 1
    assert 1 in control_tokens(tokenizer)


def test_ordinary_text_is_encoded_as_ever():
    tokenizer = word_tokenizer()
    forbidden = frozenset(control_tokens(tokenizer))
    assert encode_plain(tokenizer, "Paris a < zebra", forbidden) == [3, 4, 5, 6]
    assert encode_plain(tokenizer, "é   wolf", forbidden) == [10, 9, 2, 2], "added letters stay, added words are broken"
    assert encode_plain(tokenizer, "", forbidden) == []


def test_what_the_tokenizer_insists_on_is_broken():
    tokenizer = word_tokenizer()
    forbidden = frozenset(control_tokens(tokenizer))
    assert encode_plain(tokenizer, "<eos>", forbidden) == [2, 2]
    assert encode_plain(tokenizer, "［ＩＮＳＴ］", forbidden) == [2, 2]
    assert encode_plain(tokenizer, "a", [4]) == []


def test_encoding_foreign_text_leaves_the_tokenizer_as_it_was():
    tokenizer = word_tokenizer()
    before = tokenizer("<eos> [inst]")["input_ids"]
    encode_plain(tokenizer, NASTY, frozenset(control_tokens(tokenizer)))
    assert tokenizer("<eos> [inst]")["input_ids"] == before == [1, 7]


PIECES = st.sampled_from(["<eos>", "</s>", "[SEP]", "[INST]", "<call>", "<", "/", "s", ">", "［", "paris", " ", "\n"])


@settings(deadline=None, max_examples=150)
@given(st.lists(PIECES | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=20).map("".join))
def test_no_text_makes_a_control_token(text):
    for tokenizer in TOKENIZERS.values():
        controls = control_tokens(tokenizer)
        assert not set(controls) & set(encode_plain(tokenizer, text, frozenset(controls)))
