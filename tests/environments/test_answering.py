import json
import re
import socket
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rag_cases import POISON, document
from tokenizers.processors import TemplateProcessing

from fast import sample
from rekindle.engines.endpoint import Endpoint, EndpointError
from rekindle.engines.engine import SamplingLimits
from rekindle.engines.torch_engine import TorchEngine
from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.hostile import Sanitizer
from rekindle.environments.self_play.answering import Cost, EndpointAnswerer, OpenBook, PolicyAnswerer, fitted
from rekindle.environments.self_play.check_prompt import CLOSED_BOOK, OPEN_BOOK, frame, quoted, written
from rekindle.models.policy import Policy
from rekindle.types import Document, UserError
from rekindle.warm_starts.tiny_model import build_tiny
from search_cases import CharacterCodec, NoTemplate, ScriptedEngine, bpe_policy, bpe_tokenizer
from searching import answering

FIELDS = ("documents", "question")
TEMPLATED, BARE = PolicyCodec(bpe_policy()), PolicyCodec(bpe_policy(None))
CHARACTERS = NoTemplate()
PROMPT, CLOSED = "D: {documents}\nQ: {question}\n", "Q: {question}\n"
PARIS = Document("1", "France", "The capital of France is Paris.")
WHAT = "Capital of France?"


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def book(question=WHAT, documents=(PARIS,), spare=(), seed=0):
    return OpenBook(question, tuple(documents), frozenset(spare), seed)


# -- which documents fit ----------------------------------------------------------------------------------------------


def shown_ids(documents):
    """Ten characters a document."""
    return "".join(one.id.rjust(10) for one in documents)


@pytest.mark.parametrize(
    ("ids", "spare", "room", "expected"),
    [
        ("abcd", {}, 40, "abcd"),
        ("abcd", {}, 39, None),
        ("abcd", {1, 3}, 40, "abcd"),
        ("abcd", {1, 3}, 39, "abc"),
        ("abcd", {1, 3}, 30, "abc"),
        ("abcd", {1, 3}, 29, "ac"),
        ("abcd", {1, 3}, 20, "ac"),
        ("abcd", {1, 3}, 19, None),
        ("abcd", {0, 1, 2, 3}, 25, "ab"),
        ("abcd", {0, 1, 2, 3}, 0, ""),
        ("abab", {}, 20, "ab"),
        ("abab", {0, 1}, 20, "ab"),
        ("abca", {0, 1, 2}, 10, "a"),
        ("", {}, 0, ""),
    ],
)
def test_spare_documents_are_left_out_the_last_first(ids, spare, room, expected):
    found = fitted(book(documents=map(document, ids), spare=spare), room, shown_ids)
    assert found == (None if expected is None else shown_ids(map(document, expected)))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12), st.integers(0, 60), st.randoms())
def test_as_many_as_fit_and_always_the_needed_ones(drawn, room, rng):
    sizes = [rng.randrange(1, 9) for _ in range(10)]
    documents = [document(name) for name, _ in drawn]
    spare = {index for index, (_, is_spare) in enumerate(drawn) if is_spare}
    needed = {one.id for index, one in enumerate(documents) if index not in spare}
    found = fitted(
        book(documents=documents, spare=spare),
        room,
        lambda shown: [int(one.id) for one in shown for _ in range(sizes[int(one.id)])],
    )
    if found is None:
        assert sum(sizes[int(name)] for name in needed) > room
        return
    shown = list(dict.fromkeys(map(str, found)))
    every = list(dict.fromkeys(one.id for one in documents))
    assert len(found) <= room
    assert needed <= set(shown)
    assert shown == [name for name in every if name in set(shown)], "in the order given, each once"
    left_out = [name for name in every if name not in shown]
    assert not left_out or len(found) + sizes[int(left_out[0])] > room, "the next one would not have fitted"
    kept = [name for name in shown if name not in needed]
    assert not left_out or all(every.index(name) < every.index(left_out[0]) for name in kept), "the last first"


# -- prompts as tokens ------------------------------------------------------------------------------------------------


def spelled(codec, ids):
    """With control tokens."""
    return codec._tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("codec", [TEMPLATED, BARE, PolicyCodec(bpe_policy(), system_prompt="Be brief.")])
@pytest.mark.parametrize("prompt", [OPEN_BOOK, "{documents}{question}", "{question} by {documents}!"])
def test_a_filled_frame_is_what_the_template_writes(codec, prompt):
    values = {"documents": "France: Paris.", "question": "Where?"}
    filled = frame(codec, prompt, FIELDS).filled({name: codec.plain(text) for name, text in values.items()})
    assert spelled(codec, filled) == spelled(codec, codec.prompt(written(prompt, values), ()))


def test_what_a_tokenizer_puts_before_a_text_comes_first():
    tokenizer = bpe_tokenizer(None)
    beginning, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<s>", "</s>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", beginning), ("</s>", end)]
    )
    codec = PolicyCodec(Policy(bpe_policy().model, tokenizer))
    for prompt in (PROMPT, "{documents}{question}"):
        words = [token for piece in frame(codec, prompt, FIELDS).words for token in piece]
        assert (words[0], words.count(beginning), words.count(end)) == (beginning, 1, 0)


@pytest.mark.parametrize(
    ("prompt", "fields"),
    [
        ("{question}", FIELDS),
        ("{documents}", FIELDS),
        ("{documents}{question}{question}", FIELDS),
        ("{documents}{question}", ("question",)),
        ("", ("question",)),
    ],
)
def test_prompts_that_cannot_be_used(prompt, fields):
    with pytest.raises(UserError, match="must have"):
        frame(CHARACTERS, prompt, fields)


@pytest.mark.parametrize(
    "template", ["{{ 'hello' }}", "{% for m in messages %}{{ m.content + m.content }}{% endfor %}"]
)
def test_a_template_that_loses_or_repeats_the_message(template):
    with pytest.raises(UserError, match="chat template"):
        frame(PolicyCodec(bpe_policy(template)), PROMPT, FIELDS)


def test_a_tokenizer_without_brackets_cannot_answer():
    with pytest.raises(UserError, match="cannot write <answer>"):
        frame(PolicyCodec(build_tiny()), PROMPT, FIELDS)


def limits_of(options):
    """Takes the sampling limits out of ``options``."""
    given: dict[str, Any] = {"max_new_tokens": 60, "context": 1000, "stop": ("</answer>",)}
    for name in ("max_new_tokens", "context", "top_p", "min_p", "stop"):
        if name in options:
            given[name] = options.pop(name)
    return SamplingLimits(**given)


# -- the policy answers -----------------------------------------------------------------------------------------------


def by_policy(script, codec=CHARACTERS, **options):
    settings = {"prompt": PROMPT, "closed_prompt": CLOSED, "limits": limits_of(options)} | options
    document_format = settings.pop("document_format", "{text}|")
    writer = DocumentWriter(codec, document_format=document_format, document_tokens=settings.pop("document_tokens", 60))
    engine = settings.pop("engine", None) or ScriptedEngine(codec, lambda text, _: script(text))
    return PolicyAnswerer(codec, engine, writer=writer, **settings), engine


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ("<answer>Paris</answer>", "Paris"),
        ("It is <answer> Paris\n</answer> or <answer>Rome</answer>", "Paris"),
        ("<answer><answer>Paris</answer>", "Paris"),
        ("Paris", ""),
        ("<answer>Paris", ""),
        ("Paris</answer>", ""),
        ("<answer> </answer>", ""),
        ("<ANSWER>Paris</ANSWER>", ""),
        ("$<answer>Paris</answer>", ""),
        ("", ""),
        ("x" * 48 + "<answer>Paris</answer>", ""),
    ],
)
def test_replies_by_hand(generated, expected):
    answerer, _ = by_policy(lambda _: generated)
    assert answerer.answer([book()]) == [expected]


def test_without_a_stop_text_the_last_pair_counts():
    generated = "in <answer> and </answer>: <answer>Paris</answer>"
    assert by_policy(lambda _: generated)[0].answer([book()]) == ["and"]
    assert by_policy(lambda _: generated, stop=())[0].answer([book()]) == ["Paris"]


def test_what_is_asked_and_what_it_costs():
    answerer, engine = by_policy(lambda text: f"<answer>{len(text)}</answer>", temperature=0.5, top_p=0.9, min_p=0.1)
    books = [book(seed=7), book("Why\n\tnot ?", documents=(), seed=8), book(documents=[PARIS, document(2), PARIS])]
    prompts = [
        "D: The capital of France is Paris.|\nQ: Capital of France?\n",
        "Q: Why not ?\n",
        "D: The capital of France is Paris.|text|\nQ: Capital of France?\n",
    ]
    assert answerer.answer(books) == [str(len(prompt)) for prompt in prompts]
    assert [CHARACTERS.decode(one.prompt_ids) for one in engine.requests] == prompts
    assert [one.seed for one in engine.requests] == [7, 8, 0]
    first = engine.requests[0]
    assert (first.n, first.temperature, first.top_p, first.min_p, first.max_new_tokens) == (1, 0.5, 0.9, 0.1, 60)
    assert answerer.cost == Cost(3, sum(map(len, prompts)), len("<answer>12</answer>" * 3))
    assert answerer.answer([]) == []
    assert answerer.seconds > 0


def test_room():
    long, short = document("long", "x" * 50), document("short", "y" * 20)
    answerer, engine = by_policy(lambda _: "<answer>a</answer>", context=60 + 8 + 18 + 71)
    full, left, none = (
        book(documents=[long, short], spare={1}),
        book(documents=[short, long, document(3, "z" * 20)], spare={0, 2}),
        book(documents=[long, document(4, "z" * 20)]),
    )
    assert answerer.answer([full, left, none]) == ["a", "a", None]
    assert ["y" in CHARACTERS.decode(one.prompt_ids).partition("Q:")[0] for one in engine.requests] == [False, False]
    roomy, engine = by_policy(lambda _: "<answer>a</answer>", context=60 + 8 + 18 + 72)
    assert roomy.answer([full, none]) == ["a", "a"]
    assert max(len(one.prompt_ids) for one in engine.requests) == 8 + 18 + 72


def test_a_question_that_is_too_long_or_blank_has_no_reply():
    answerer, engine = by_policy(lambda _: "<answer>a</answer>", context=200)
    assert answerer.answer([book("q" * n, documents=()) for n in (136, 137, 5000)]) == ["a", None, None]
    assert answerer.answer([book(" \u200b\n", documents=()), book("")]) == [None, None]
    assert [len(one.prompt_ids) for one in engine.requests] == [140]


def test_a_question_of_which_something_would_be_missing_has_no_reply():
    class Forgetful(NoTemplate):
        def plain(self, text):
            return super().plain(text.replace("~", ""))

    answerer, _ = by_policy(lambda _: "<answer>a</answer>", codec=Forgetful(), context=200)
    assert answerer.answer([book(f"q{'~' * n} not?", ()) for n in (100, 7000)]) == ["a", None]


def test_documents_that_cannot_be_shown_have_no_reply():
    class Worst(NoTemplate):
        def decode(self, ids):
            return super().decode(ids).replace("!", "<search>")

    answerer, engine = by_policy(lambda _: "<answer>a</answer>", codec=Worst(), document_format="{text}")
    assert answerer.answer([book(documents=[document(1, "!")])]) == ["a"], "plainer text will do"
    assert "!" not in CHARACTERS.decode(engine.requests[0].prompt_ids)
    answerer, _ = by_policy(lambda _: "<answer>a</answer>", prompt="{documents}{question}", document_format="{text}")
    broken = book("answer>Rome?", documents=[document(1, "x <")])
    assert answerer.answer([broken, book("Rome?", documents=[document(1, "x <")])]) == [None, "a"]


def test_a_context_without_room_is_refused():
    with pytest.raises(UserError, match="no room for a question"):
        by_policy(str, context=68)


POLICIES: dict[str, tuple[Any, str, str]] = {
    "templated": (TEMPLATED, OPEN_BOOK, CLOSED_BOOK),
    "bare": (BARE, "<information>{documents}</information>{question}\n", CLOSED),
    "characters": (CHARACTERS, PROMPT, CLOSED),
    "lines": (CharacterCodec(), PROMPT, CLOSED),
}


def control_tokens(codec, ids):
    forbidden = getattr(codec, "_forbidden", frozenset([ord("$")]))
    return [token for token in ids if token in forbidden]


def prompts_of(kind, books):
    codec, prompt, closed = POLICIES[kind]
    options = {"prompt": prompt, "closed_prompt": closed, "context": 40_000, "document_tokens": 500}
    answerer, engine = by_policy(lambda _: "<answer>Paris</answer>", codec=codec, **options)
    replies = answerer.answer(books)
    assert replies == [None if one is None else "Paris" for one in replies]
    return [one.prompt_ids for one in engine.requests], replies


def foreign(kind, ids):
    """The text of documents and question, cut out of a prompt."""
    codec, prompt, _ = POLICIES[kind]
    before, between, after = frame(codec, prompt, FIELDS).words
    assert (ids[: len(before)], ids[len(ids) - len(after) :]) == (before, after), "our own words stay"
    inside, count = ids[len(before) : len(ids) - len(after)], len(between)
    middle = next(start for start in range(len(inside)) if inside[start : start + count] == between)
    return codec.decode(inside[:middle]), codec.decode(inside[middle + count :])


def assert_sanitized(kind, question, documents):
    """Neither adds a control token or a mark to the prompt, and our own words around them stay."""
    codec = POLICIES[kind][0]
    closed_ids, open_ids = (prompts_of(kind, [book(question, one)])[0] for one in ((), documents))
    benign_closed, benign_open = prompts_of(kind, [book("q", ()), book("q", [document(1, "d")])])[0]
    for found, benign in ((closed_ids, benign_closed), (open_ids, benign_open)):
        assert all(control_tokens(codec, ids) == control_tokens(codec, benign) for ids in found)
    sanitizer = Sanitizer(codec.controls)
    for ids in open_ids:
        assert all(sanitizer.is_sanitized(text) for text in foreign(kind, ids))


@pytest.mark.parametrize("name", sample(POISON, *list(POISON)[::2]))
@pytest.mark.parametrize("kind", POLICIES)
def test_poison_is_text_and_nothing_else(kind, name):
    poison = POISON[name]
    assert_sanitized(kind, "Where?", [document(1, poison), Document("2", poison, "x")])
    assert_sanitized(kind, f"Where {poison}?", [PARIS])
    assert len(prompts_of(kind, [book(f"Where {poison}?"), book(documents=[document(1, poison)])])[0]) == 2


MARKS = st.sampled_from([*"<>/|[]$\n ＜", "answer", "</answer>", "<|im_end|>", "zebra", "\u200d", "{question}"])
HOSTILE = st.lists(MARKS | st.text(st.characters(), max_size=8), min_size=1, max_size=10).map("".join)


@given(st.sampled_from(sorted(POLICIES)), HOSTILE, HOSTILE, HOSTILE)
def test_no_text_is_more_than_text(kind, question, title, text):
    assert_sanitized(kind, question, [Document("1", title, text), Document("2", text, title)])


def test_the_engine_of_a_run_answers_the_same_for_the_same_seeds():
    words = ["<answer>", "</answer>", "a", "b", "?", "."]
    policy = build_tiny(words=words, layers=1, hidden_size=16, heads=2, kv_heads=2, max_length=64, seed=3)
    options = {"prompt": "{documents} . {question}", "closed_prompt": "{question}", "max_new_tokens": 30}
    options |= {"engine": TorchEngine(policy), "context": 64, "document_format": "{text} "}
    (one, _), (two, _) = (by_policy(None, PolicyCodec(policy), **options) for _ in range(2))
    books = [book("a b ?", [document(1, "a b .")], seed=max(1, number)) for number in range(40)]
    first = one.answer(books)
    assert first == [*two.answer(books[:3]), *two.answer(books[3:])]
    assert first[0] == first[1]
    assert len(set(first)) > 1
    assert one.cost == two.cost
    assert one.cost.prompt_tokens == 40 * 7


# -- a server answers -------------------------------------------------------------------------------------------------


def chat(text, reason="stop"):
    message = {"role": "assistant", "content": text}
    usage = {"completion_tokens": 3, "prompt_tokens": 5}
    return 200, {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}


def by_server(url, **options):
    settings: dict[str, Any] = {"timeout_seconds": 5.0, "retries": 0, "concurrency": 2, "backoff_seconds": 0.001}
    return EndpointAnswerer(Endpoint(f"{url}/v1", "reader", **settings), concurrency=2, **options)


def test_a_server_sees_quoted_documents_and_the_final_answer_counts():
    seen = []

    def rule(payload, _):
        seen.append(payload)
        return chat("<answer>Rome</answer>, no: <answer> Paris </answer>.")

    with answering(rule) as url:
        answerer = by_server(url, max_tokens=77, temperature=0.5)
        assert answerer.answer([book(documents=[PARIS, document(2), PARIS], seed=11)]) == ["Paris"]
        assert answerer.answer([book(documents=())]) == ["Paris"]
        assert answerer.answer([]) == []
    shown = 'Document 1: "France" "The capital of France is Paris."\nDocument 2: "title 2" "text"'
    values = {"documents": shown, "question": f'"{WHAT}"'}
    prompts = [one["messages"] for one in seen]
    assert prompts[0] == [{"role": "user", "content": written(OPEN_BOOK, values)}]
    assert prompts[1] == [{"role": "user", "content": written(CLOSED_BOOK, values)}]
    assert (seen[0]["max_tokens"], seen[0]["temperature"], seen[0]["seed"], seen[0]["n"]) == (77, 0.5, 11, 1)
    assert "stop" not in seen[0]
    assert answerer.cost == Cost(2, 10, 6)
    assert answerer.seconds > 0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (chat("Paris"), ""),
        (chat(""), ""),
        (chat("<answer>Paris", "length"), ""),
        ((500, {"error": "out of memory"}), None),
        ((429, {"error": "slow down"}), None),
        ((200, {"choices": []}), None),
        ((200, ["<answer>Paris</answer>"]), None),
        ((200, "<answer>Paris</answer>"), None),
    ],
)
def test_a_server_that_fails_or_says_no_answer(reply, expected):
    with answering(lambda *_: reply) as url:
        assert by_server(url).answer([book()]) == [expected]


def test_one_failure_is_one_missing_reply_and_replies_are_in_order():
    def rule(payload, _):
        number = re.findall(r"number (\d+)", payload["messages"][0]["content"])[0]
        return (500, {}) if number == "2" else chat(f"<answer>{number}</answer>")

    with answering(rule) as url:
        answers = by_server(url).answer([book(f"number {n}?", ()) for n in range(6)])
    assert answers == ["0", "1", None, "3", "4", "5"]


def test_a_dead_server_is_not_asked_about_the_rest():
    seen = []
    with answering(lambda payload, _: (seen.append(payload), (503, {}))[1]) as url:
        assert by_server(url).answer([book()] * 100) == [None] * 100
    assert len(seen) < 20
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert by_server(f"http://127.0.0.1:{free.getsockname()[1]}").answer([book()] * 9) == [None] * 9


def test_a_wrong_key_is_an_error_of_the_configuration():
    with answering(lambda *_: (401, {"error": "no such key"})) as url, pytest.raises(EndpointError, match="API key"):
        by_server(url).answer([book()])


def test_room_in_characters():
    seen = []
    with answering(lambda payload, _: (seen.append(payload), chat("<answer>a</answer>"))[1]) as url:
        answerer = by_server(url, prompt_characters=len(OPEN_BOOK) + 130, document_characters=50)
        documents = [document(1, "x" * 999), document(2, "y" * 30), document(3, "z" * 30)]
        books = [
            book(documents=documents, spare={1, 2}),
            book(documents=documents, spare={0, 2}),
            book(documents=documents),
            book("q" * 9999, ()),
            book("\u200b", ()),
        ]
        assert answerer.answer(books) == ["a", "a", None, None, None]
    shown = sorted(one["messages"][0]["content"].count("Document ") for one in seen)
    assert shown == [1, 1]
    with pytest.raises(UserError, match="must have"):
        by_server("http://127.0.0.1:1", prompt="{question}")


QUOTED = re.compile(r'(?:Document \d+: "[^"\n]*" "[^"\n]*"\n?)+')


def assert_quoted(question, documents):
    """A server that believes every line, bracket and quotation mark finds the documents, the question and our words."""
    with_documents = book(question, documents)
    text = EndpointAnswerer(Endpoint("http://127.0.0.1:1", "m"), concurrency=1)._prompt(with_documents)
    if text is None:
        assert quoted(question, 99) == '""'
        return
    before, between, after = re.split(r"\{documents\}|\{question\}", OPEN_BOOK)
    assert text.startswith(before)
    shown, _, asked = text[len(before) :].rpartition(between)
    assert QUOTED.fullmatch(shown)
    assert len(shown.splitlines()) == len(documents)
    assert re.fullmatch(r'"[^"\n]+"' + re.escape(after), asked)
    assert not re.search(r"[<>\[\]{}|\\]", shown + asked)
    assert json.loads(json.dumps(text)) == text
    assert text.encode()


@pytest.mark.parametrize("name", POISON)
def test_poison_stays_in_its_quotation(name):
    poison = POISON[name]
    assert_quoted(f"Where {poison}?", [Document("2", poison, poison), PARIS])


@given(HOSTILE, HOSTILE, HOSTILE)
def test_every_text_stays_in_its_quotation(question, title, text):
    assert_quoted(question, [Document("1", title, text), Document("2", text, title)])
