"""Columns of other trainers' files, and columns of one's own."""

import json

import pytest

from rekindle.config.tables.task import ColumnsTable, TaskTable
from rekindle.tasks.files import load_files, read_tasks
from rekindle.tasks.task_set import TaskError, prompt_id

USER = {"role": "user", "content": "2+2="}
SYSTEM = {"role": "system", "content": "Be brief."}


def read(tmp_path, row):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row))
    return read_tasks(path, "jsonl")[0]


@pytest.mark.parametrize(
    ("row", "answer", "system"),
    [
        ({"prompt": [USER], "answer": "4"}, "4", None),
        ({"prompt": [SYSTEM, USER], "answer": "4"}, "4", "Be brief."),
        ({"prompt": [USER], "ground_truth": 4}, "4", None),
        ({"prompt": [SYSTEM, USER], "solution": r"So $\boxed{4}$."}, "4", "Be brief."),
        # verl
        ({"data_source": "x", "prompt": [USER], "ability": "math",
          "reward_model": {"style": "rule", "ground_truth": "4"}, "extra_info": {"index": 0, "split": "train"}},
         "4", None),
        ({"prompt": [USER], "reward_model": {"style": "rule", "ground_truth": ["4", "four"]}}, ("4", "four"), None),
        # Open-R1, NuminaMath, MATH
        ({"problem": "2+2=", "solution": r"First \boxed{3}, no: \boxed{\frac{8}{2}}.", "source": "x"},
         r"\frac{8}{2}", None),
        ({"problem": "2+2=", "solution": "long", "answer": "4"}, "4", None),
        ({"Problem": "2+2=", "Answer": 4.0}, "4", None),
        # NeMo, OpenRLHF, OpenAI, ShareGPT
        ({"problem": "2+2=", "expected_answer": "4"}, "4", None),
        ({"messages": [SYSTEM, USER], "label": "4"}, "4", "Be brief."),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "2+2="}]}], "target": "4"}, "4", None),
        ({"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "2+2="}],
          "final_answer": "4"}, "4", "Be brief."),
        ({"question": "2+2=", "ground_truth": "4"}, "4", None),
    ],
)  # fmt: skip
def test_prompts_and_answers_of_other_trainers(tmp_path, row, answer, system):
    task = read(tmp_path, row)
    given = [{"role": "system", "content": system}] if system else []
    assert (task.prompt, task.answer) == ("2+2=", answer)
    as_chat = any(isinstance(value, list) and isinstance(value[0], dict) for value in row.values())
    assert list(task.messages) == ([*given, USER] if as_chat else [])
    assert {**row, **task.metadata} == row, "columns keep their names and values"
    assert len(task.metadata) == len(row) - 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"problem": "2+2=", "solution": "It is four."},
         r'the "solution" has no \\boxed{...} with the result; add the result as "answer", or, .*'
         'set task.columns.answer = "solution"'),
        ({"problem": "2+2=", "solution": r"\boxed{4"}, r'the "solution" has no \\boxed'),
        ({"prompt": "p", "reward_model": {"style": "model"}}, "this one has prompt, reward_model; add what is missing"),
        ({"prompt": "p", "text": "4"},
         r"this one has prompt, text; .* the column of the answer \(task.columns.answer\), or train with a reward that "
         r"needs none \(\[\[rewards\]\]\)"),
        ({"text": "2+2=", "answer": "4"}, r"this one has text, answer; add what is missing, or name your columns"),
        ({f"column_{number}": 1 for number in range(40)}, r"this one has column_0, .*, ... \(40 in all\); add"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_task_is_named(tmp_path, row, message):
    with pytest.raises(TaskError, match=f"t.jsonl:1: .*{message}"):
        read(tmp_path, row)


def own(tmp_path, rows, name="t.jsonl", *, needs_answers=True, **columns):
    """Tasks of rows with ``task.columns``, in the order of the file."""
    if name.endswith(".csv"):
        text = "\n".join(",".join(map(str, row)) for row in [list(rows[0]), *(row.values() for row in rows)])
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_text(text)
    table = TaskTable(
        source="csv" if name.endswith(".csv") else "jsonl", path=str(tmp_path / name), columns=ColumnsTable(**columns)
    )
    found = load_files(table, eval_prompts=1, seed=0, needs_answers=needs_answers)
    return sorted((*found.pool, *found.held_out), key=lambda task: task.prompt)


ROWS = [{"uid": 7, "Ask": f"{n}+1=", "gold": n + 1, "answer": "no", "extra": {"deep": {"x": f"<{n}>"}}} for n in (2, 3)]


@pytest.mark.parametrize(
    ("columns", "answers"),
    [
        ({"prompt": "Ask", "answer": "gold"}, ["3", "4"]),
        ({"prompt": "ask", "answer": "Gold"}, ["3", "4"]),
        ({"prompt": "Ask", "answer": "extra.deep.x"}, ["<2>", "<3>"]),
        ({"prompt": "Ask"}, ["no", "no"]),
    ],
)
def test_columns_of_ones_own_are_read(tmp_path, columns, answers):
    tasks = own(tmp_path, ROWS, **columns)
    assert [(task.id, task.prompt) for task in tasks] == [(prompt_id("2+1="), "2+1="), (prompt_id("3+1="), "3+1=")]
    assert [task.answer for task in tasks] == answers
    assert tasks[0].metadata == {name: value for name, value in ROWS[0].items() if name != "Ask"}


def test_an_answer_alone_may_be_named(tmp_path):
    rows = [{"question": f"{n}?", "answer": "long", "short": [n, f"{n}.0"]} for n in (1, 2)]
    assert [task.answer for task in own(tmp_path, rows, answer="short")] == [("1", "1.0"), ("2", "2.0")]
    rows = [{"problem": f"{n}?", "solution": f"${n}$"} for n in (1, 2)]
    assert [task.answer for task in own(tmp_path, rows, answer="solution")] == ["$1$", "$2$"]
    rows = [{"problem": f"{n}?", "solution": rf"So $\boxed{{{n}}}$."} for n in (1, 2)]
    assert [task.answer for task in own(tmp_path, rows, answer="solution")] == ["1", "2"]


@pytest.mark.parametrize("column", ["uid", "question"])
def test_an_id_of_ones_own(tmp_path, column):
    """For rows with a prompt, and for questions, whose ids are read elsewhere."""
    rows = [{column if column != "uid" else "prompt": f"{n}?", "answer": n, "uid": f"u{n}"} for n in (1, 2)]
    assert [task.id for task in own(tmp_path, rows, id="uid")] == ["u1", "u2"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": "Asks"},
         r't.jsonl:1: there is nothing in the column "Asks" \(task.columns.prompt\); the row has uid, Ask, '
         r'gold, answer, extra; did you mean "Ask"\?'),
        ({"prompt": "zzz"}, r'"zzz" \(task.columns.prompt\); .*; name one of them'),
        ({"prompt": "Ask", "answer": "gld"}, r'"gld" \(task.columns.answer\); .* did you mean "gold"\?'),
        ({"prompt": "Ask", "answer": "extra.deep.y"}, r'"extra.deep.y" \(task.columns.answer\)'),
        ({"prompt": "Ask", "answer": "extra"}, '"answer" must be text, a number or a list of these, not {'),
        ({"prompt": "gold"}, 't.jsonl:1: "gold" must be text, not int; put it in quotes'),
        ({"prompt": "Ask", "answer": "gold", "id": "key"},
         r'no row of .*t.jsonl has anything in the column "key" \(task.columns.id\); correct or remove it'),
        ({"prompt": "Ask", "answer": "gold", "id": "uid"},
         "t.jsonl:2: id '7' is that of another prompt at .*t.jsonl:1"),
    ],
)  # fmt: skip
def test_columns_that_are_not_there_are_named(tmp_path, columns, message):
    with pytest.raises(TaskError, match=message):
        own(tmp_path, ROWS, **columns)


def test_solutions_of_gsm8k_in_a_column_of_ones_own_are_not_taken_whole(tmp_path):
    rows = [{"question": f"{n}?", "answer": f"It is {n}.\n#### {n}"} for n in (1, 2)]
    with pytest.raises(TaskError, match=r't.jsonl:1: .*ends with "#### <number>"; use task.source = "gsm8k"'):
        own(tmp_path, rows, prompt="question", answer="answer")


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv"])
@pytest.mark.parametrize("asked", ["prompt", "question", "problem"])
def test_rows_without_an_answer_where_none_is_needed(tmp_path, name, asked):
    rows = [{asked: f"Write {n}.", "topic": "x", "answer": ""} for n in (1, 2)]
    tasks = own(tmp_path, rows, name, needs_answers=False)
    assert [(task.prompt, task.answer) for task in tasks] == [("Write 1.", ""), ("Write 2.", "")]
    assert tasks[0].metadata["topic"] == "x"
    with pytest.raises(TaskError, match=f"{name}:[12]: "):
        own(tmp_path, rows, name)


@pytest.mark.parametrize(
    "row", [{"prompt": "p"}, {"prompt": "p", "answer": None}, {"prompt": "p", "answer": []},
            {"problem": "p", "solution": "Long."}, {"prompt": [USER], "reward_model": {"style": "model"}}]
)  # fmt: skip
def test_an_answer_that_is_not_there_is_empty_where_none_is_needed(tmp_path, row):
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    assert read_tasks(tmp_path / "t.jsonl", "jsonl", needs_answers=False)[0].answer == ""


def test_an_answer_that_is_there_is_read_where_none_is_needed(tmp_path):
    rows = [{"prompt": "1", "answer": "a", "gold": "x"}, {"prompt": "2", "answer": "b"}]
    assert [task.answer for task in own(tmp_path, rows, needs_answers=False)] == ["a", "b"]
    assert [task.answer for task in own(tmp_path, rows, needs_answers=False, answer="gold")] == ["x", ""]
    with pytest.raises(TaskError, match=r'no row of .* the column "gild" \(task.columns.answer\)'):
        own(tmp_path, rows, needs_answers=False, answer="gild")
