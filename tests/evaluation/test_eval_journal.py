"""Evaluations over sets: whatever stops one, and wherever, the results and the transcripts are the same."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle import Rollout, Task
from rekindle.evaluation.question_sets import EvaluationError, QuestionSet, digests, request_for
from rekindle.evaluation.set_pass import evaluate_sets
from rekindle.evaluation.transcripts import write_transcripts
from rekindle.testing import SimulatedPolicy
from rekindle.types import Document, Retrieval

SETS = (
    QuestionSet(
        "nq", tuple(Task(f"{row}", f"nq {row}?", ("a", "b"), {"level": f"{row % 2 + 2}hop"}) for row in range(7))
    ),
    QuestionSet("hop", tuple(Task(f"{row}", f"hop {row}?", "ä") for row in range(4))),
)
POLICY = SimulatedPolicy([row / 10 for row in range(11)])


def told(request, index, win):
    """A rollout that looks like a search agent's."""
    found = Retrieval(1, f"q{index}", (Document(f"d{request.seed % 97}", "T", "long"),))
    return Rollout(
        token_ids=[0, 1],
        loss_mask=[False, True],
        logprobs=[0.0, -0.5],
        reward=win.reward,
        text=f"é{request.seed % 89}",
        turns=2,
        retrievals=(found,),
    )


def play(requests):
    """Backwards, because nobody may rely on the order."""
    for request in reversed(requests):
        yield request.id, [told(request, index, win) for index, win in enumerate(POLICY.play(request))]


def failing(*rows):
    return lambda requests: ((row, None if row in rows else group) for row, group in play(requests))


def run(place, playing=play, sets=SETS, **changes):
    defaults = {
        "samples": 4,
        "temperature": 0.7,
        "seed": 5,
        "success_at": 0.5,
        "settings": {"model": "m", "top_p": 1.0, "limits": [1, 2]},
        "transcripts": [place / "transcripts.jsonl"],
        "chunk": 3,
        "on_progress": lambda *_: None,
        "interrupted": lambda: False,
    }
    return evaluate_sets(playing, sets, journal=place / "journal.jsonl", **{**defaults, **changes})


def after(chunks):
    asked = iter([False] * chunks)
    return lambda: next(asked, True)


def state(place, results):
    return asdict(results), (place / "transcripts.jsonl").read_bytes()


@pytest.fixture
def whole(tmp_path):
    (tmp_path / "whole").mkdir()
    return state(tmp_path / "whole", run(tmp_path / "whole"))


def test_results_by_hand(tmp_path):
    right = {0: 4, 1: 1, 8: 2}

    def playing(requests):
        for request in requests:
            yield (
                request.id,
                [
                    Rollout(
                        token_ids=[0], loss_mask=[True], logprobs=[0.0], reward=float(index < right.get(request.row, 0))
                    )
                    for index in range(4)
                ],
            )

    results = run(tmp_path, playing)
    by_set = results.by_set((1, 4))
    assert {name: found.pass_at for name, found in by_set.items()} == {
        "nq": {1: pytest.approx(5 / 28), 4: pytest.approx(2 / 7)},
        "hop": {1: pytest.approx(2 / 16), 4: pytest.approx(1 / 4)},
    }
    assert results.over_sets((1,)).pass_at[1] == pytest.approx((5 / 28 + 2 / 16) / 2)
    assert results.over_questions((1,)).pass_at[1] == pytest.approx(7 / 44)
    levels = results.by_level((1,))
    assert list(levels) == ["nq"]
    assert {level: (one.questions, one.pass_at[1]) for level, one in levels["nq"].items()} == {
        "2hop": (4, pytest.approx(4 / 16)),
        "3hop": (3, pytest.approx(1 / 12)),
    }


def test_levels_are_in_natural_order_and_none_is_last(tmp_path):
    levels = ["10hop", "2hop", None, "hard"]
    tasks = tuple(Task(f"{row}", f"{row}?", "a", {"level": one} if one else {}) for row, one in enumerate(levels))
    results = run(tmp_path, sets=[QuestionSet("s", tasks)])
    assert list(results.by_level((1,))["s"]) == ["2hop", "10hop", "hard", "no level"]


def test_seeds_depend_on_set_and_question_alone():
    task = SETS[0].tasks[2]
    chosen: dict[str, Any] = {"samples": 4, "temperature": 1.0, "seed": 5}
    one, moved = request_for(2, "nq", task, **chosen), request_for(9, "nq", task, **chosen)
    assert one.seed == moved.seed
    assert 0 <= one.seed < 2**63
    assert one.seed != request_for(2, "hop", task, **chosen).seed
    assert one.seed != request_for(2, "nq", task, **{**chosen, "seed": 6}).seed
    seeds = [request_for(0, one.name, task, **chosen).seed for one in SETS for task in one.tasks]
    assert len(set(seeds)) == 11


@pytest.mark.parametrize("chunk", [1, 5, 11, 64])
def test_chunks_change_nothing(tmp_path, whole, chunk):
    assert state(tmp_path, run(tmp_path, chunk=chunk)) == whole


def test_interrupted_as_often_as_you_like(tmp_path, whole):
    seen = []

    def playing(requests):
        seen.extend(request.row for request in requests)
        return play(requests)

    for _ in range(3):
        assert run(tmp_path, playing, interrupted=after(1)) is None
    lines = (tmp_path / "transcripts.jsonl").read_text().splitlines()
    assert len(lines) == 9 * 4, "transcripts are there as they come"
    assert state(tmp_path, run(tmp_path, playing)) == whole
    assert seen == list(range(11)), "nothing is played twice"
    assert state(tmp_path, run(tmp_path, playing, interrupted=lambda: True)) == whole
    assert seen == list(range(11)), "what is complete is only read"


@settings(max_examples=40)
@given(st.data())
def test_a_journal_cut_anywhere_gives_the_same_results(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("journal")
    (place / "cut").mkdir()
    expected = state(place, run(place))
    content = (place / "journal.jsonl").read_bytes()
    (place / "cut" / "journal.jsonl").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert state(place / "cut", run(place / "cut")) == expected
    assert state(place / "cut", run(place / "cut")) == expected, "and what was repaired can be read again"


def test_a_chunk_that_is_done_in_part_is_played_again_whole(tmp_path, whole):
    assert run(tmp_path, interrupted=after(2)) is None
    lines = (tmp_path / "journal.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_text("".join(lines[:-1]) + lines[-1][:20])
    batches = []

    def playing(requests):
        batches.append([request.row for request in requests])
        return play(requests)

    assert state(tmp_path, run(tmp_path, playing)) == whole
    assert batches == [[3, 4, 5], [6, 7, 8], [9, 10]], "the neighbours of a question are always the same"


def test_void_questions_are_counted_and_tried_again_by_the_next_evaluation(tmp_path, whole):
    found = run(tmp_path, failing(1, 9))
    assert [record.void for record in found.records] == [row in (1, 9) for row in range(11)]
    assert found.over_questions((1,)).void == 2
    lines = [json.loads(line) for line in (tmp_path / "transcripts.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines if line["void"]] == ["1", "2"]
    batches = []

    def playing(requests):
        batches.append([request.row for request in requests])
        return play(requests)

    assert state(tmp_path, run(tmp_path, playing)) == whole
    assert batches == [[1, 9]]


def test_a_dead_retriever_ends_the_evaluation(tmp_path):
    many = [QuestionSet("many", tuple(Task(str(row), f"{row}?", "a") for row in range(200)))]
    with pytest.raises(EvaluationError, match="66 questions in a row could not be played; check the retriever"):
        run(tmp_path, lambda requests: ((request.id, None) for request in requests), many)


def test_transcripts_by_hand(tmp_path):
    run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["set"], line["id"], line["rollout"]) for line in lines] == [
        (one.name, task.id, index) for one in SETS for task in one.tasks for index in range(4)
    ]
    assert lines[0]["question"] == "nq 0?"
    assert lines[0]["answers"] == ["a", "b"]
    assert lines[-1]["answers"] == ["ä"]
    assert lines[1]["retrievals"][0]["query"] == "q1"
    assert lines[1]["retrievals"][0]["documents"][0].startswith("d")
    assert "é" in (tmp_path / "transcripts.jsonl").read_text(encoding="utf-8"), "people read it"


def test_half_a_surrogate_pair_in_a_text_is_no_end_of_an_evaluation(tmp_path):
    def playing(requests):
        return [
            (request.id, [Rollout(token_ids=[0], loss_mask=[True], logprobs=[0.0], reward=0.0, text="\ud800")] * 4)
            for request in requests
        ]

    assert run(tmp_path, playing).texts[0][0] == "\ud800"
    first = (tmp_path / "transcripts.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(first)["text"] == "\ud800"


# -- journals of something else ----------------------------------------------------------------------------------------


OTHER = (SETS[0], QuestionSet("hop", (*SETS[1].tasks[:3], Task("3", "hop 3?", "another"))))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 2}, "another samples;"),
        ({"temperature": 1.0, "seed": 6}, "another temperature, seed;"),
        ({"settings": {"model": "n", "top_p": 0.9, "limits": [1, 2]}}, "another model, top_p;"),
        ({"sets": OTHER}, "another set hop;"),
        ({"sets": SETS[:1]}, "another set hop;"),
        ({"sets": SETS[1:]}, "another set nq;"),
    ],
)
def test_a_journal_of_other_settings_is_refused_and_kept(tmp_path, changes, words):
    assert run(tmp_path, interrupted=after(2)) is None
    content = (tmp_path / "journal.jsonl").read_bytes()
    with pytest.raises(EvaluationError, match=f"holds an evaluation with {words}.*delete it, or choose another --out"):
        run(tmp_path, **changes)
    assert (tmp_path / "journal.jsonl").read_bytes() == content


@pytest.mark.parametrize("line", ["nonsense", '{"row": 11}', '{"row": 1, "void": false, "rollouts": []}', '{"row": 1}'])
def test_a_damaged_line_is_named(tmp_path, line):
    run(tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    lines[4] = line
    (tmp_path / "journal.jsonl").write_text("\n".join([*lines, ""]))
    with pytest.raises(
        EvaluationError, match=r"journal.jsonl:5 is damaged; delete the file to start the evaluation over"
    ):
        run(tmp_path)


def test_a_journal_of_a_profile_is_no_evaluation(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"rekindle_profile": 1}\n')
    with pytest.raises(EvaluationError, match="is not an evaluation"):
        run(tmp_path)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="choose another --out"):
        run(tmp_path / "file")
    with pytest.raises(EvaluationError, match="choose another file for the transcripts"):
        run(tmp_path, transcripts=[tmp_path / "file" / "t.jsonl"])


def test_digests_change_with_question_answer_and_order():
    base = SETS[1].tasks
    changed = [base[::-1], (Task("0", "hop 0?", ("ä",)), *base[1:]), (Task("0", "hop 0", "ä"), *base[1:]), base[:-1]]
    assert len({digests([QuestionSet("s", tasks)])["s"] for tasks in [base, *changed]}) == 5


def test_digests_change_with_what_was_said_before_the_question():
    user, said = {"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}
    prompts = [(), (user, said, user), (user, {**said, "content": "y"}, user), ({**user, "role": "system"}, user)]
    sets = [QuestionSet("s", (Task("0", "q", "a", messages=messages),)) for messages in prompts]
    assert len({digests([one])["s"] for one in sets}) == len(prompts)
    alone = QuestionSet("s", (Task("0", "q", "a", messages=(user,)),))
    assert digests([alone]) == digests(sets[:1]), "a lone message is the text"


def test_transcripts_have_the_whole_conversation(tmp_path):
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"})
    sets = [QuestionSet("s", (Task("0", "q", "a", messages=messages), Task("1", "p", "a")))]
    write_transcripts(
        tmp_path / "t.jsonl",
        sets,
        [
            {"set": "s", "id": "0", "row": 0, "void": False, "rollouts": []},
            {"set": "s", "id": "1", "row": 1, "void": False, "rollouts": []},
        ],
    )
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [line.get("messages") for line in lines] == [list(messages), None]
