"""The list of a run's tasks: what changed, and what goes on."""

import json

import pytest

from rekindle.notices import RekindleWarning
from rekindle.records.run_tasks import RunTasksError, keep_tasks, same_pool, same_tasks
from rekindle.types import Task


def chat(*turns):
    """Messages of ``"role: content"`` texts."""
    return tuple(dict(zip(("role", "content"), turn.split(": "), strict=True)) for turn in turns)


POOL = [
    Task("a", "1+1=", "2"),
    Task("b", "1+2=", ("3", "three")),
    Task("c", "1+3=", "4", messages=chat("system: Be brief.", "user: 1+3=")),
    Task("d", "And 4?", "8", messages=chat("user: 2+2=", "assistant: 4", "user: And 4?")),
]
HELD_OUT = [Task("h", "2+2=", "4"), Task("é😀", "2+3=", "5")]


@pytest.fixture
def run(tmp_path):
    keep_tasks(tmp_path, POOL, HELD_OUT)
    return tmp_path


def test_a_line_has_what_people_recognize_a_task_by(tmp_path):
    long = "word " * 100
    keep_tasks(tmp_path, [Task("a", long, "2", metadata={"level": "2hop"}), POOL[2], POOL[3]], HELD_OUT[1:])
    lines = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert lines[0]["text"] == long[:299] + "\N{HORIZONTAL ELLIPSIS}"
    assert [line["text"] for line in lines[1:]] == ["1+3=", "user: 2+2=\nassistant: 4\nuser: And 4?", "2+3="]
    assert [line.get("level") for line in lines] == ["2hop", None, None, None]


def test_a_run_of_a_version_without_texts_goes_on(run):
    path = run / "tasks.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{key: line[key] for key in ("set", "id", "prompt", "answer")} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    assert same_tasks(run, POOL, HELD_OUT) == (tuple(POOL), tuple(HELD_OUT))


def changed(task, **values):
    fields = {name: getattr(task, name) for name in ("id", "prompt", "answer", "metadata", "messages")}
    return Task(**(fields | values))


def test_the_same_tasks_go_on(run, recwarn):
    assert same_tasks(run, POOL, HELD_OUT) == (tuple(POOL), tuple(HELD_OUT))
    other_metadata = [changed(task, metadata={"level": 3}) for task in POOL]
    assert same_tasks(run, other_metadata, HELD_OUT)[0] == tuple(other_metadata)
    assert not list(recwarn)


def test_another_order_goes_on_in_that_of_the_run(run):
    with pytest.warns(RekindleWarning, match="tasks of the pool are in another order .* it keeps its own order"):
        assert same_tasks(run, POOL[::-1], HELD_OUT) == (tuple(POOL), tuple(HELD_OUT))
    with pytest.warns(RekindleWarning, match="tasks of the held-out prompts are in another order"):
        assert same_tasks(run, POOL, HELD_OUT[::-1])[1] == tuple(HELD_OUT)


def test_mended_answers_go_on_with_a_warning(run):
    mended = [POOL[0], changed(POOL[1], answer=("3", "Three")), *POOL[2:]]
    with pytest.warns(
        RekindleWarning, match=r"1 of the tasks of the pool have other answers .* \('b'\); it goes on with"
    ):
        assert same_tasks(run, mended, HELD_OUT)[0] == tuple(mended)


@pytest.mark.parametrize(
    ("pool", "held_out", "message"),
    [
        (
            [*POOL, Task("x", "9", "9")],
            HELD_OUT,
            r"the pool of this run had 4 tasks .* since then: 1 added \('x'\); a run",
        ),
        (POOL[1:], HELD_OUT, r"since then: 1 removed \('a'\)"),
        ([*POOL[1:], Task("x", "9", "9")], HELD_OUT, r"1 added \('x'\), 1 removed \('a'\)"),
        ([changed(POOL[0], prompt="1 + 1 ="), *POOL[1:]], HELD_OUT, r"1 with other prompts \('a'\)"),
        (
            [*POOL[:2], changed(POOL[2], messages=chat("system: Be long.", "user: 1+3=")), POOL[3]],
            HELD_OUT,
            r"1 with other prompts \('c'\)",
        ),
        (
            [*POOL[:3], changed(POOL[3], messages=chat("user: 2+2=", "assistant: Four", "user: And 4?"))],
            HELD_OUT,
            r"1 with other prompts \('d'\)",
        ),
        (POOL, HELD_OUT[:1], r"the held-out prompts of this run had 2 tasks .* 1 removed \('é😀'\)"),
        (POOL, [*HELD_OUT, POOL[0]], r"the held-out prompts .* 1 added \('a'\)"),
        (
            [*POOL, *(Task(f"x{n}", f"{n}", "9") for n in range(40))],
            HELD_OUT,
            r"40 added \('x0', 'x1', 'x2', ... \(40 in",
        ),
    ],
)
def test_other_tasks_are_refused_with_what_changed(run, pool, held_out, message):
    with pytest.raises(RunTasksError, match=message):
        same_tasks(run, pool, held_out)


@pytest.mark.parametrize("content", ["nonsense\n", "[1]\n", '{"set": "pool"}\n', b"\xff\xfe"])
def test_a_damaged_list_is_named(run, content):
    (run / "tasks.jsonl").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunTasksError, match=r"tasks.jsonl is damaged .* restore it, or delete it to go on without"):
        same_tasks(run, POOL, HELD_OUT)


def test_a_run_without_a_list_goes_on(tmp_path):
    assert same_tasks(tmp_path, POOL, HELD_OUT) == (tuple(POOL), tuple(HELD_OUT))


def test_another_trainer_may_evaluate_on_other_prompts(run):
    assert same_pool(run, POOL[::-1]) == tuple(POOL)
    with pytest.raises(RunTasksError, match="the pool of this run had 4 tasks"):
        same_pool(run, POOL[1:])
    with pytest.raises(RunTasksError, match="the held-out prompts"):
        same_tasks(run, POOL, HELD_OUT[1:])
