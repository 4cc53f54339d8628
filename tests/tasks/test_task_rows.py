"""Rows of every file format, and content that no reader expects."""

import datetime
import json
from decimal import Decimal
from uuid import UUID

import pytest

from rekindle.tasks.answer_lists import read_answers
from rekindle.tasks.fields import text_of
from rekindle.tasks.files import read_tasks
from rekindle.tasks.qa_sets import read_questions
from rekindle.tasks.rows import kind_of, read_rows
from rekindle.tasks.task_set import TaskError

TABLE = 'id,prompt,answer,note\n1,"2+2, please",4,\n2,"two\nlines",x,seen\n'


def file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", TABLE),
        ("t.csv", "\ufeff" + TABLE),
        ("t.csv", TABLE.replace("\n", "\r\n").replace("two\r\n", "two\n")),
        ("t.csv", 'id;prompt;answer;note\n1;"2+2, please";4;\n2;"two\nlines";x;seen\n'),
        ("t.tsv", 'id\tprompt\tanswer\tnote\n1\t2+2, please\t4\t\n2\t"two\nlines"\tx\tseen\n'),
    ],
)
def test_tables_with_a_header(tmp_path, name, text):
    tasks = read_tasks(file(tmp_path, name, text), "csv")
    assert [(task.id, task.prompt, task.answer) for task in tasks] == [
        ("1", "2+2, please", "4"),
        ("2", "two\nlines", "x"),
    ]
    assert [task.metadata.get("note") for task in tasks] == [None, "seen"], "an empty cell is no field"


@pytest.mark.parametrize(("name", "source"), [("t.json", "jsonl"), ("t.json", "json"), ("t.txt", "json")])
def test_a_json_file_may_be_a_list_an_object_with_one_or_lines(tmp_path, name, source):
    rows = [{"prompt": "p", "answer": "a"}, {"prompt": "q", "answer": "b"}]
    objects = [{"Data": rows, "other": rows}, {"version": 1, "questions": rows, "tags": ["x"]}]
    texts = [*map(json.dumps, [rows, *objects]), "\n".join(map(json.dumps, rows))]
    found = [read_tasks(file(tmp_path, name, text), source) for text in texts]
    assert all(one == found[0] for one in found)
    assert len(found[0]) == 2


def test_a_json_object_that_is_a_row_is_one(tmp_path):
    row = {"prompt": [{"role": "user", "content": "p"}], "answer": "a", "steps": [{"text": "x"}]}
    [task] = read_tasks(file(tmp_path, "t.json", json.dumps(row)), "json")
    assert (task.prompt, task.metadata["steps"]) == ("p", [{"text": "x"}])
    [task] = read_tasks(file(tmp_path, "t.json", json.dumps({"question": "q", "golden_answers": ["a"]})), "json")
    assert (task.prompt, task.answer) == ("q", "a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", b"PAR1\x15\x04", 'is a Parquet file; set task.source = "parquet"'),
        ("t.jsonl", b"\x1f\x8b\x08\x00", r"is compressed \(gzip\); unpack it"),
        ("t.jsonl", b"\x28\xb5\x2f\xfd\x00", r"is compressed \(zstd\); unpack it"),
        ("t.csv", b"PK\x03\x04", "is a zip archive or a spreadsheet; unpack it, or export it as CSV"),
        ("t.jsonl", '{"prompt": "p", "answer": "a"}'.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("t.csv", TABLE.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("t.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("t.csv", b"prompt,answer\np,a\nq,b,c\n", "t.csv:3: the line does not have 2 fields like the header"),
        ("t.csv", b"prompt,answer\np\n", "t.csv:2: the line does not have 2 fields like the header; write one ,"),
        ("t.csv", b'prompt,answer\np,"a\n', "t.csv, after line 1: not a row of CSV"),
        ("t.csv", b"prompt,answer\n\xe9,a\n", "t.csv is not UTF-8"),
        ("t.csv", b"prompt,answer\np,\n", 't.csv:2: a row needs "prompt" and "answer"'),
        ("t.json", b'{"prompt": "p", "answer": "a"}\n{"prompt": \n', "t.json:2: not valid JSON"),
        ("t.json", b"[1]", "t.json item 1: expected a JSON object, found int"),
        ("t.json", b"3", "t.json: expected a list"),
        ("t.json", b"", "t.json has no rows"),
        (
            "t.json",
            b'{"train": [{"prompt": "p"}], "test": [{"prompt": "q"}]}',
            r"t.json: the object has several lists of rows \(train, test\); write each to a file of its own",
        ),
        ("t.csv", b"prompt,answer,prompt\np,a,q\n", "t.csv: the header has 'prompt' more than once; give every column"),
        ("t.csv", b"prompt,answer,,\np,a,,\nq,,,\n", 't.csv:3: a row needs "prompt" and "answer"'),
    ],
)
def test_content_that_is_something_else_is_named(tmp_path, name, content, message):
    with pytest.raises(TaskError, match=message):
        read_tasks(file(tmp_path, name, content), "csv" if name.endswith("csv") else "jsonl")


def test_a_csv_file_read_as_json_lines_is_named(tmp_path):
    with pytest.raises(TaskError, match=r't.csv:1: not valid JSON .* for a CSV file set task.source = "csv"'):
        read_tasks(file(tmp_path, "t.csv", TABLE), "jsonl")


HUGE, DEEP = "7" * 5000, "[" * 100_000
READERS = {
    "tasks": lambda path: read_tasks(path, "jsonl"),
    "a list of tasks": lambda path: read_tasks(path, "jsonl"),
    "gsm8k": lambda path: read_tasks(path, "gsm8k"),
    "questions": read_questions,
    "answers": read_answers,
}
ROWS = {
    "tasks": '{{"prompt": "p", "answer": {}}}',
    "gsm8k": '{{"question": "p", "answer": {}}}',
    "questions": '{{"question": "p", "answer": {}}}',
    "answers": '{{"answer": {}}}',
}


@pytest.mark.parametrize("reader", ROWS)
@pytest.mark.parametrize(
    ("value", "message"),
    [(HUGE, "a number has thousands of digits; put it in quotes"), (DEEP, "the JSON is nested too deeply")],
    ids=["huge", "deep"],
)
def test_structures_without_end_are_named_with_their_line(tmp_path, reader, value, message):
    fine = ROWS[reader].format('"a\\n#### 1"').replace('"p"', '"first"')
    path = file(tmp_path, "t.jsonl", f"{fine}\n{ROWS[reader].format(value)}\n")
    with pytest.raises(TaskError, match=f"t.jsonl:2: {message}"):
        READERS[reader](path)


def test_a_list_of_answers_as_json_text_is_read_with_the_same_care(tmp_path):
    for value, message in ((HUGE, "thousands of digits"), (DEEP, "nested too deeply")):
        path = file(tmp_path, "q.jsonl", json.dumps({"question": "q", "possible_answers": f"[{value}]"}))
        with pytest.raises(TaskError, match=f'q.jsonl:1: "possible_answers": .*{message}'):
            read_questions(path)


HALF = "x\\ud800"


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ("jsonl", f'{{"id": "{HALF}", "prompt": "p", "answer": "a"}}'),
        ("jsonl", f'{{"id": "i", "prompt": "{HALF}", "answer": "a"}}'),
        ("jsonl", f'{{"id": "i", "prompt": "p", "answer": ["a", "{HALF}"]}}'),
        ("jsonl", f'{{"prompt": [{{"role": "system", "content": "{HALF}"}}, {{"role": "user", "content": "p"}}], '
                  '"answer": "a"}'),
        ("jsonl", f'{{"id": "{HALF}", "question": "p", "answer": "a"}}'),
        ("jsonl", f'{{"problem": "p", "solution": "\\\\boxed{{{HALF}}}"}}'),
        ("gsm8k", f'{{"question": "{HALF}", "answer": "#### 3"}}'),
        ("gsm8k", f'{{"question": "q", "answer": "#### {HALF}"}}'),
        ("answers", f'{{"id": "{HALF}", "answer": "a"}}'),
        ("answers", f'"{HALF}"'),
    ],
)  # fmt: skip
def test_half_of_a_surrogate_pair_is_named_wherever_it_stands(tmp_path, source, row):
    path = file(tmp_path, "t.jsonl", f"\n{row}\n")
    with pytest.raises(TaskError, match=r"t.jsonl:2: .*has half of a surrogate pair; fix or remove the row"):
        read_answers(path) if source == "answers" else read_tasks(path, source)


def test_a_whole_surrogate_pair_is_a_character(tmp_path):
    path = file(tmp_path, "t.jsonl", '{"id": "\\ud83d\\ude00", "prompt": "p", "answer": "a"}')
    assert read_tasks(path, "jsonl")[0].id == "\U0001f600"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.50"), "1.5"),
        (Decimal("72.00"), "72"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.001"), "-0.001"),
        (Decimal("NaN"), None),
        (datetime.date(2024, 1, 31), "2024-01-31"),
        (datetime.datetime(2024, 1, 31, 12, 5), "2024-01-31T12:05:00"),
        (datetime.time(12, 5), "12:05:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"caf\xc3\xa9", "café"),
        (b"\xe9", None),
        pytest.param(10**5000, None, id="thousands of digits"),
        (float("inf"), None),
        (True, None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_values_of_typed_columns_as_text(value, text):
    assert text_of(value) == text


def test_types_of_parquet_columns(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {
        "id": pyarrow.array([Decimal(1), Decimal(2)], pyarrow.decimal128(5, 0)),
        "prompt": pyarrow.array([b"p", b"q"], pyarrow.binary()),
        "answer": pyarrow.array([Decimal("1.50"), Decimal("2.00")], pyarrow.decimal128(5, 2)),
        "seen": pyarrow.array([datetime.date(2024, 1, 1)] * 2, pyarrow.date32()),
        "kind": pyarrow.array(["a", "b"]).dictionary_encode(),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    tasks = read_tasks(tmp_path / "t.parquet", "parquet")
    assert [(task.id, task.prompt, task.answer) for task in tasks] == [("1", "p", "1.5"), ("2", "q", "2")]
    large = {"prompt": pyarrow.array(["p"], pyarrow.large_string()), "answer": pyarrow.array([7], pyarrow.uint8())}
    parquet.write_table(pyarrow.table(large), tmp_path / "l.parquet")
    assert [(task.prompt, task.answer) for task in read_tasks(tmp_path / "l.parquet", "parquet")] == [("p", "7")]


def test_a_parquet_file_cut_off_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(TaskError, match="is not a readable Parquet file"):
        read_tasks(file(tmp_path, "t.parquet", b"PAR1 and no more"), "parquet")


def test_the_suffix_names_the_kind(tmp_path):
    names = ["a.JSON", "a.csv", "a.tsv", "a.parquet", "a.jsonl", "a.txt", "a"]
    assert [kind_of(tmp_path / name) for name in names] == ["json", "csv", "tsv", "parquet", *["jsonl"] * 3]
    with pytest.raises(TaskError, match="there is no file"):
        list(read_rows(tmp_path / "none.csv", "csv"))
