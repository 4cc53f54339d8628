"""Targets: texts of a policy, of documents and of servers."""

import json
import socket
from pathlib import Path

from mutation import Inputs
from target import Attempt, target

from rekindle.engines.endpoint import Endpoint
from rekindle.environments.search.hostile import Sanitizer, letters_only, without_brackets
from rekindle.environments.search.tags import Tags
from rekindle.environments.search.tool_calls import ToolCalls
from rekindle.environments.search.turn_protocol import ANSWER, QUESTION
from rekindle.environments.self_play.check_prompt import quoted, quoted_documents
from rekindle.remote import TransientError, http_address, one_line, retry_after
from rekindle.retrieval.corpus import parse_document
from rekindle.retrieval.wire import Limits, NonsenseError, RefusedError, parse_hits, parse_search, render_hits
from rekindle.types import Document, Task
from rekindle.verifiers import framing
from rekindle.verifiers.completions import final_answer
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.judge_prompt import is_presentable, judge_prompt, parse_verdict
from rekindle.verifiers.qa import QaVerifier, cover_match, f1
from rekindle.verifiers.results import Claim, compare
from rekindle.verifiers.verifier import Verifier

SEARCH = b'{"queries": ["a", "b"], "topk": 3, "return_scores": true}'
HITS = (
    b'{"result": [[{"document": {"id": "0", "contents": "\\"J\\"\\nA"}, "score": 7.1}], '
    b'["x", {"id": 1, "text": "t", "title": "u"}]]}'
)
DOCUMENT = b'{"id": "0", "contents": "\\"Title\\"\\ntext", "title": "x", "text": "y"}'
COMPLETION = (
    b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], '
    b'"usage": {"completion_tokens": 1, "prompt_tokens": 3}}'
)
CONTROLS = ("<|im_end|>", "<|im_start|>", "[INST]", "</s>", "<end_of_turn>", "▁x")
BRACKETS = set('"<>[]{}|\\')


@target()
def qa_verifiers(_: Path) -> Attempt:
    verifiers: list[Verifier] = [
        QaVerifier("f1"),
        QaVerifier("cover_match"),
        QaVerifier("qa_exact_match"),
        ExactMatchVerifier(),
    ]

    def attempt(inputs: Inputs) -> None:
        said, answer = inputs.text(), inputs.choice((inputs.text(6), "42", "yes", "", "Paris"))
        for verifier in verifiers:
            assert 0 <= verifier.judge([(Task("1", "q", answer), said)])[0].score <= 1
        assert 0 <= f1(said, answer) <= 1
        assert cover_match(said, answer) in {0, 1}

    return attempt


@target()
def maths(_: Path) -> Attempt:
    """Comparison of answers, without the workers of symbolic ones."""

    def attempt(inputs: Inputs) -> None:
        said, answer = final_answer(inputs.text()), inputs.choice((inputs.text(4), "42", "1/2", "x^2", "3.5 km", "İ"))
        assert isinstance(compare(said, answer, inputs.text(4), powers=inputs.random() < 0.5), bool | Claim)

    return attempt


@target()
def judge_texts(_: Path) -> Attempt:
    def attempt(inputs: Inputs) -> None:
        text = inputs.text()
        is_presentable(text)
        prompt = judge_prompt(text, [inputs.text(4)], text)
        assert len(prompt.splitlines()) == 5
        parse_verdict(text)
        parse_verdict(
            inputs.choice(("", "<think>", "<think></think>")) + inputs.choice(("correct", "INCORRECT")) + inputs.text(2)
        )

    return attempt


@target()
def protocols(_: Path) -> Attempt:
    tool_calls = ToolCalls.__new__(ToolCalls)
    tool_calls._max_queries, tool_calls.final = 3, ANSWER
    tool_calls._frames = {count: ["F"] * (count + 1) for count in range(1, 9)}
    readers = (Tags(3), Tags(1, QUESTION), tool_calls)

    def attempt(inputs: Inputs) -> None:
        text = inputs.text(60)
        if inputs.random() < 0.4:
            call = {"name": inputs.choice(("search", inputs.value(0))), "arguments": inputs.value()}
            text += f"<tool_call>{json.dumps(call)}</tool_call>"
        for protocol in readers:
            turn = protocol.read(text)
            protocol.reply(turn)
            assert sum(len(call.queries) for call in turn.calls) <= 3

    return attempt


@target()
def documents(_: Path) -> Attempt:
    sanitizer = Sanitizer(CONTROLS)

    def attempt(inputs: Inputs) -> None:
        text = inputs.text(60)
        clean = sanitizer.sanitize(text, 500)
        assert sanitizer.is_sanitized(clean), clean
        without_brackets(clean)
        letters_only(clean)
        assert not set(quoted(text, 200)[1:-1]) & BRACKETS
        quoted_documents([Document("1", inputs.text(8), text)], 200)

    return attempt


@target()
def corpus_lines(_: Path) -> Attempt:
    def attempt(inputs: Inputs) -> None:
        line = inputs.mutated(DOCUMENT) if inputs.random() < 0.5 else inputs.json(inputs.value())
        document = parse_document(line, "corpus.jsonl:1")
        (document.id + document.title + document.text).encode()

    return attempt


@target(RefusedError)
def searches(_: Path) -> Attempt:
    """Requests to the retriever's server."""

    def attempt(inputs: Inputs) -> None:
        asked = {"queries": inputs.value(), "topk": inputs.value(1), "return_scores": inputs.value(0)}
        parse_search(inputs.mutated(SEARCH) if inputs.random() < 0.5 else inputs.json(asked), 3, Limits())

    return attempt


@target(NonsenseError)
def hits(_: Path) -> Attempt:
    """Answers of a retriever's server."""

    def attempt(inputs: Inputs) -> None:
        odd = [[inputs.value() for _ in range(2)], [{"document": inputs.value(), "score": inputs.value(0)}]]
        body = inputs.mutated(HITS) if inputs.random() < 0.5 else inputs.json({"result": odd})
        b"".join(render_hits(parse_hits(body, 2, 3), scores=True))

    return attempt


@target(TransientError)
def completions(_: Path) -> Attempt:
    """Answers of an OpenAI-compatible server: engine and judge."""
    endpoint = Endpoint("http://127.0.0.1:9", "m", counts_tokens=False)

    def attempt(inputs: Inputs) -> None:
        odd = inputs.json(inputs.changed(inputs.changed(json.loads(COMPLETION))))
        body = inputs.mutated(COMPLETION) if inputs.random() < 0.5 else odd
        for one in endpoint._completions(body, (inputs.text(2),)):
            one.text.encode()
            assert one.tokens >= 0

    return attempt


@target()
def headers(_: Path) -> Attempt:
    """Addresses and headers of servers."""

    def attempt(inputs: Inputs) -> None:
        http_address(f"http://{inputs.text(6)}" if inputs.random() < 0.5 else inputs.text(6))
        value = inputs.choice((inputs.text(4), f"Fri, {inputs.text(3)} Dec 9999 23:59:59 GMT", "9" * 400))
        assert 0.0 <= retry_after(value, 60.0) <= 60.0
        assert len(one_line(inputs.text(60))) <= 300

    return attempt


@target()
def worker_messages(_: Path) -> Attempt:
    """Messages between a verifier and its worker processes."""

    def attempt(inputs: Inputs) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            body = inputs.json(inputs.fields())
            whole = len(body).to_bytes(4, "big") + body
            theirs.sendall(inputs.mutated(whole) if inputs.random() < 0.8 else whole)
            theirs.shutdown(socket.SHUT_WR)
            found = framing.receive(ours)
            assert found is None or isinstance(found, dict)

    return attempt
