"""Files as people write them: right, nearly right and wrong."""

import json
import warnings

import pytest

from rekindle.config.tables.task import TaskTable
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
        Task("7", "2+2=", "4", {"id": 7, "answer": 4, "level": "easy", "tags": ["a"]}),
        Task(prompt_id("Where?"), "Where?", ("Rome", "roma"), {"answer": ["Rome", "roma"]}),
    ]


@pytest.mark.parametrize(
    ("given", "answer"),
    [(72, "72"), (72.0, "72"), (0.5, "0.5"), ("72", "72"), (" x ", " x "), (["a", 1], ("a", "1")), (["only"], "only")],
)
def test_answers_are_text(write, given, answer):
    assert read_tasks(write({"prompt": "p", "answer": given}), "jsonl")[0].answer == answer


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"idx": 3, "question": "Who?", "answer": "Ada", "gen_text_store": ""}, ("3", "Who?", "Ada")),
        ({"Question": "Who?", "Answer": "Ada", "id": "x"}, ("x", "Who?", "Ada")),
        ({"id": "train_0", "question": "Who?", "golden_answers": ["Ada", "Lovelace"]},
         ("train_0", "Who?", ("Ada", "Lovelace"))),
        ({"id": "a", "question": "Who?", "answer": {"value": "Ada", "aliases": ["Lovelace"]}},
         ("a", "Who?", ("Ada", "Lovelace"))),
        ({"id": 4, "question": "When?", "possible_answers": "[1843, 1843.0]"}, ("4", "When?", "1843")),
        ({"id": "2hop__1", "question": "Who?", "answer": "Ada", "answer_aliases": ["Lovelace"]},
         ("2hop__1", "Who?", ("Ada", "Lovelace"))),
        # Search-R1's training files have the whole prompt as a conversation beside the question.
        ({"id": "b", "question": "Who?", "golden_answers": ["Ada"], "prompt": [{"role": "user", "content": "..."}]},
         ("b", "Who?", "Ada")),
        ({"id": "c", "prompt": "Who?", "golden_answers": ["Ada"]}, ("c", "Who?", "Ada")),
        # With a prompt and an answer a row is no question, whatever else it has.
        ({"id": "d", "prompt": "Who is it?", "answer": "Ada", "question": "Who?"}, ("d", "Who is it?", "Ada")),
    ],
)  # fmt: skip
def test_questions_are_training_tasks(write, row, task):
    [found] = read_tasks(write(row), "jsonl")
    assert (found.id, found.prompt, found.answer) == task


def test_both_kinds_of_rows_in_one_file(write):
    rows = [{"prompt": "Who?", "answer": "Ada"}, {"question": "When?", "answer": 1843}]
    assert [(task.prompt, task.answer) for task in read_tasks(write(*rows), "jsonl")] == [
        ("Who?", "Ada"),
        ("When?", "1843"),
    ]


@pytest.mark.parametrize("name", ["prompt", "question"])
def test_the_corpus_of_a_row_stays(write, name):
    [task] = read_tasks(write({name: "Who?", "answer": "Ada", "corpus": "wiki", "level": "hard"}), "jsonl")
    assert task.metadata == {"answer": "Ada", "corpus": "wiki", "level": "hard"}


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
        (
            {"text": "p", "answer": "a"},
            'a row needs "prompt" and "answer", or "question" and "answer" or "golden_answers", and this one has text, '
            "answer; add what is missing",
        ),
        ({"question": "q"}, "and this one has question; add"),
        ({"prompt": "p"}, "and this one has prompt; add"),
        ({}, "and this one has nothing; add"),
        ({"question": " ", "answer": "a"}, '"question" must be text, not'),
        ({"question": "q", "golden_answers": []}, '"golden_answers" has no answer in it'),
        ({"question": "q", "answer": "1+1\n#### 2"}, r'ends with "#### <number>"; use task.source = "gsm8k"'),
        ({"prompt": 5, "answer": "a"}, '"prompt" must be text, not int; put it in quotes'),
        ({"prompt": " ", "answer": "a"}, '"prompt" is empty; remove the row'),
        ({"prompt": "p", "answer": None}, '"answer" must be text, a number or a list of these, not None; without'),
        ({"prompt": "p", "answer": []}, '"answer" is an empty list; name at least one'),
        ({"prompt": "p", "answer": True}, "not True"),
        ({"prompt": "p", "answer": ""}, "not ''"),
        ({"prompt": "p", "answer": float("nan")}, "not nan"),
        ({"prompt": "p", "answer": [["a"]]}, r"not \['a'\]"),
        ({"prompt": "p", "answer": "a", "id": 1.5}, '"id" must be text or a whole number, not 1.5; fix or remove it'),
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
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert len(load_files(table, eval_prompts=99, seed=0).held_out) == 10
    assert any("eval.prompts = 99, but only 10" in str(one.message) for one in warned)


def test_ids_that_number_the_rows_of_both_files(write):
    """Questions 0 to 2 against 2 to 4, numbered from 1: question 2 is held out, and so its row 1 takes nobody's id."""
    questions = [{"question": f"{n}?", "answer": n} for n in range(5)]
    paths = [
        str(write(*({"idx": row, **one} for row, one in enumerate(part, start=1)), name=name))
        for name, part in (("train.jsonl", questions[:3]), ("dev.jsonl", questions[2:]))
    ]
    with pytest.warns(UserWarning, match="1 prompts are also in"):
        found = load_files(TaskTable(source="jsonl", path=paths[0], eval_path=paths[1]), eval_prompts=3, seed=0)
    assert [(task.id, task.prompt) for task in found.pool] == [("1", "0?"), ("2", "1?")]
    assert [(task.id, task.prompt) for task in found.held_out] == [
        (prompt_id("2?"), "2?"),
        (prompt_id("3?"), "3?"),
        ("3", "4?"),
    ]


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
    assert all(isinstance(task.answer, str) and float(task.answer) is not None for task in found.pool)


@pytest.mark.slow
def test_the_questions_that_r1_searcher_trains_on(data):
    path = str(data / "qa/train_hotpotqa_2wiki_8148.jsonl")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_files(TaskTable(source="jsonl", path=path), eval_prompts=148, seed=0)
    assert (len(found.pool), len(found.held_out)) == (8000, 148)
    assert all(isinstance(task.answer, str) for task in (*found.pool, *found.held_out))
    table = TaskTable(source="jsonl", path=path, eval_path=str(data / "qa/hotpotqa_500.jsonl"), pool_size=2000)
    found = load_files(table, eval_prompts=256, seed=0)
    assert (len(found.pool), len(found.held_out)) == (2000, 256)
