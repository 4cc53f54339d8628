"""Files as people write them: right, nearly right and wrong."""

import json
import warnings

import pytest

from rekindle.config import TaskTable
from rekindle.tasks.files import load_files, read_tasks
from rekindle.tasks.task_set import TaskError, prompt_id
from rekindle.types import Task


@pytest.fixture
def write(tmp_path):
    def write_lines(*rows, name="tasks.jsonl"):
        path = tmp_path / name
        path.write_text(
            "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8"
        )
        return path

    return write_lines


def numbered(count, start=0):
    return [{"prompt": f"{n}+1=", "answer": n + 1} for n in range(start, start + count)]


def test_rows_become_tasks(write):
    path = write(
        {"id": 7, "prompt": "2+2=", "answer": 4, "level": "easy", "tags": ["a"]},
        "\n  \n",
        {"prompt": "Where?", "answer": ["Rome", "roma"]},
    )
    assert read_tasks(path, "jsonl") == [
        Task("7", "2+2=", "4", {"level": "easy", "tags": ["a"]}),
        Task(prompt_id("Where?"), "Where?", ("Rome", "roma")),
    ]


@pytest.mark.parametrize(
    ("given", "answer"),
    [(72, "72"), (72.0, "72"), (0.5, "0.5"), ("72", "72"), (" x ", " x "), (["a", 1], ("a", "1")), (["only"], "only")],
)
def test_answers_are_text(write, given, answer):
    assert read_tasks(write({"prompt": "p", "answer": given}), "jsonl")[0].answer == answer


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "bom.jsonl"
    path.write_text('{"prompt": "p", "answer": "a"}', encoding="utf-8-sig")
    assert read_tasks(path, "jsonl")[0].prompt == "p"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            '{"prompt": "p", "answer": }\n',
            r"not valid JSON \(Expecting value, column 27\); every line must be one JSON object",
        ),
        ('["p", "a"]\n', "expected a JSON object, found list; write one object per line"),
        ({"question": "p", "answer": "a"}, r'there is no "prompt" \(fields: question, answer\); add it'),
        ({"prompt": 5, "answer": "a"}, '"prompt" must be text, not int; put it in quotes'),
        ({"prompt": " ", "answer": "a"}, '"prompt" is empty; remove the row'),
        ({"prompt": "p"}, '"answer" must be text, a number or a list of these, not None; without'),
        ({"prompt": "p", "answer": []}, '"answer" is an empty list; name at least one'),
        ({"prompt": "p", "answer": True}, "not True"),
        ({"prompt": "p", "answer": ""}, "not ''"),
        ({"prompt": "p", "answer": float("nan")}, "not nan"),
        ({"prompt": "p", "answer": [["a"]]}, r"not \['a'\]"),
        ({"prompt": "p", "answer": "a", "id": 1.5}, '"id" must be text or a whole number, not 1.5; mend or remove it'),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_the_remedy(write, line, complaint):
    path = write({"prompt": "fine", "answer": "a"}, "\n", line)
    with pytest.raises(TaskError, match=rf"tasks.jsonl:3: .*{complaint}"):
        read_tasks(path, "jsonl")


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"prompt": "p", "answer": "a"}\n{"prompt": "\xe9", "answer": "a"}\n')
    with pytest.raises(TaskError, match=r"latin.jsonl:2: byte 13 is not UTF-8; save"):
        read_tasks(path, "jsonl")


def test_an_id_of_two_prompts_is_named_with_both_places(write):
    path = write({"id": "x", "prompt": "p", "answer": "a"}, {"id": "x", "prompt": "q", "answer": "a"})
    with pytest.raises(TaskError, match=r"tasks.jsonl:2: id 'x' is that of another prompt at .*tasks.jsonl:1"):
        read_tasks(path, "jsonl")


def test_repeated_prompts_are_dropped_and_counted(write):
    first, same, other = ({"prompt": p, "answer": a} for p, a in [("p  q", "a"), ("p q", "a"), ("p q ", "b")])
    with pytest.warns(
        UserWarning, match=r"tasks.jsonl: 2 rows repeat an earlier prompt and were dropped, 1 with another"
    ):
        found = read_tasks(write(first, same, other), "jsonl")
    assert [(task.prompt, task.answer) for task in found] == [("p  q", "a")]


def test_a_file_that_is_missing_or_empty(write, tmp_path):
    with pytest.raises(TaskError, match=r"there is no file .*nowhere.jsonl; give the path"):
        read_tasks(tmp_path / "nowhere.jsonl", "jsonl")
    with pytest.raises(TaskError, match=r"there is no file"):
        read_tasks(tmp_path, "jsonl")
    with pytest.raises(TaskError, match=r"has no rows"):
        read_tasks(write("\n"), "jsonl")


def test_parquet_holds_the_same_tasks(write, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = [
        {"id": "a", "prompt": "p", "answer": ["x", "y"], "level": 1},
        {"id": "b", "prompt": "q", "answer": ["z"], "level": 2},
    ]
    path = tmp_path / "tasks.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read_tasks(path, "parquet") == read_tasks(write(*rows), "jsonl")


def test_parquet_complaints_name_the_row(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "tasks.parquet"
    parquet.write_table(
        pyarrow.Table.from_pylist([{"prompt": "p", "answer": 1.0}, {"prompt": "q", "answer": None}]), path
    )
    with pytest.raises(TaskError, match=r'tasks.parquet row 2: "answer" must be'):
        read_tasks(path, "parquet")
    path.write_text("not parquet at all")
    with pytest.raises(TaskError, match="not a readable Parquet file"):
        read_tasks(path, "parquet")


def test_held_out_prompts_are_split_off(write):
    path = write(*numbered(30))
    table = TaskTable(source="jsonl", path=str(path))
    found = load_files(table, eval_prompts=10, seed=0)
    assert (len(found.pool), len(found.held_out)) == (20, 10)
    assert found == load_files(table, eval_prompts=10, seed=0)
    assert found.held_out != load_files(table, eval_prompts=10, seed=1).held_out


def test_pool_size_limits_the_pool(write):
    path = write(*numbered(30))
    found = load_files(TaskTable(source="jsonl", path=str(path), pool_size=5), eval_prompts=10, seed=0)
    assert (len(found.pool), len(found.held_out)) == (5, 10)
    with pytest.warns(UserWarning, match=r"task.pool_size = 25, but only 20 distinct prompts"):
        load_files(TaskTable(source="jsonl", path=str(path), pool_size=25), eval_prompts=10, seed=0)


def test_prompts_of_the_evaluation_file_leave_the_pool(write):
    table = TaskTable(
        source="jsonl",
        path=str(write(*numbered(20), name="train.jsonl")),
        eval_path=str(write(*numbered(10, start=15), name="test.jsonl")),
    )
    with pytest.warns(UserWarning, match=r"train.jsonl: 5 prompts are also in .*test.jsonl and left the pool"):
        found = load_files(table, eval_prompts=4, seed=0)
    assert (len(found.pool), len(found.held_out)) == (15, 4)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert len(load_files(table, eval_prompts=99, seed=0).held_out) == 10
    assert any("eval.prompts = 99, but only 10" in str(one.message) for one in said)


def test_an_evaluation_file_that_is_the_training_file_is_refused(write):
    path = str(write(*numbered(3)))
    with pytest.raises(TaskError, match=r"every prompt of .* is also in .*; give different files"):
        load_files(TaskTable(source="jsonl", path=path, eval_path=path), eval_prompts=1, seed=0)


def test_gsm8k_reference_answers_follow_the_mark(write):
    path = write({"question": "How many?", "answer": "It is <<1000+1=1001>>1,001.\n#### 1,001"})
    assert read_tasks(path, "gsm8k") == [
        Task(prompt_id("How many?"), "How many?", "1001", {"solution": "It is <<1000+1=1001>>1,001.\n#### 1,001"})
    ]


@pytest.mark.parametrize("answer", ["It is 5.", "It is 5.\n#### "])
def test_gsm8k_rows_without_a_reference_answer_are_refused(write, answer):
    path = write({"question": "q", "answer": "#### 1"}, {"question": "How many?", "answer": answer})
    with pytest.raises(TaskError, match=r'tasks.jsonl:2: the answer has no "#### <number>" at its end'):
        read_tasks(path, "gsm8k")


def test_the_real_gsm8k(data):
    table = TaskTable(
        source="gsm8k", path=str(data / "math/gsm8k_train.jsonl"), eval_path=str(data / "math/gsm8k_test.jsonl")
    )
    found = load_files(table, eval_prompts=256, seed=0)
    assert (len(found.pool), len(found.held_out)) == (7473, 256)
    assert found.pool[0].answer == "72"
    assert all(float(task.answer) is not None for task in found.pool)
