"""The tokenizer of whole words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from rekindle.models.policy import ModelError
from rekindle.tasks.search_world import Params, vocabulary
from rekindle.warm_starts.tiny_model import build_tiny
from rekindle.warm_starts.tiny_tokenizers import word_tokenizer

WORDS = ["<search>", "</search>", "boss", "ka", "lo", "?", "."]
WORLD = vocabulary(Params())


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_ids_are_places_in_the_list_and_specials_follow():
    tokenizer = word_tokenizer(WORDS, 32)
    assert ids(tokenizer, "<search> ka lo boss </search>") == [0, 3, 4, 2, 1]
    assert ids(tokenizer, "\n\n ka\tlo  ?\n") == [3, 4, 5]
    assert ids(tokenizer, "kalo <eos>") == [len(WORDS) + 2, len(WORDS) + 1]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (7, 8, 9)
    assert (len(tokenizer), tokenizer.model_max_length) == (10, 32)


@given(st.lists(st.sampled_from(WORLD), max_size=40))
def test_the_words_of_the_world_survive_the_round_trip(words):
    text = " ".join(words)
    encoded = ids(TOKENIZER, text)
    assert len(encoded) == len(words)
    assert TOKENIZER.decode(encoded, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text


TOKENIZER = word_tokenizer(WORLD, 256)


def test_a_saved_policy_reads_and_writes_as_before(tmp_path):
    policy = build_tiny(layers=1, words=WORDS)
    policy.save(tmp_path)
    loaded, text = AutoTokenizer.from_pretrained(tmp_path), "<search> ka lo boss </search>"
    assert policy.decode([*policy.encode_prompt(text), *policy.eos_ids]) == text
    assert ids(loaded, text) == policy.encode_prompt(text)
    assert loaded.decode(ids(loaded, text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ka", "lo", "ka"], r"contain \['ka'\] more than once"),
        (["ka lo"], "'ka lo' is empty, has white space"),
        ([""], "'' is empty, has white space"),
        (["<eos>"], "'<eos>' is empty, has white space"),
    ],
)
def test_what_is_no_word_is_refused(words, complaint):
    with pytest.raises(ModelError, match=complaint):
        word_tokenizer(words, 16)
