"""Lists of answers as people write them: right, nearly right and wrong."""

import json
import warnings

import pytest

from rekindle.tasks.answer_lists import read_answers
from rekindle.tasks.task_set import TaskError, prompt_id
from rekindle.types import Task


@pytest.fixture
def write(tmp_path):
    def write_lines(*lines, name="answers.jsonl"):
        path = tmp_path / name
        path.write_text(
            "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines), encoding="utf-8"
        )
        return path

    return write_lines


def seed(prompt, answer=None, identity=None):
    return Task(f"seed/{identity or prompt_id(prompt)}", prompt, answer or prompt, {"corpus": ""})


def test_a_text_file_has_an_answer_a_line(write):
    path = write("Paris\n", "  New  York \r\n", "\n \t\n", "北京\n", '"quoted", 7', name="answers.txt")
    assert read_answers(path) == (seed("Paris"), seed("New York"), seed("北京"), seed('"quoted", 7'))


def test_json_lines_are_texts_or_objects(write):
    path = write(
        '"Paris"\n',
        "\n",
        {"answer": "Lyon"},
        {"answer": ["New York", "NYC", " New York "], "id": 7},
        {"answer": ["Rome"], "id": "roma", "question": "not read"},
        {"answer": 1843, "id": None},
        "3.0\n",
    )
    assert read_answers(path) == (
        seed("Paris"),
        seed("Lyon"),
        seed("New York", ("New York", "NYC"), "7"),
        seed("Rome", "Rome", "roma"),
        seed("1843"),
        seed("3"),
    )


def test_an_answer_keeps_its_id_in_every_file(write):
    ids = [
        read_answers(path)[-1].id
        for path in (
            write("Paris", name="a.txt"),
            write('"x"\n', '"Paris"\n'),
            write({"answer": ["Paris", "City of Light"]}, name="b.JSONL"),
        )
    ]
    assert len(set(ids)) == 1


@pytest.mark.parametrize("name", ["bom.txt", "bom.jsonl"])
def test_a_byte_order_mark_is_no_error(tmp_path, name):
    path = tmp_path / name
    path.write_text("1843\n1844", encoding="utf-8-sig")
    assert read_answers(path) == (seed("1843"), seed("1844"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("Paris\n", r'not valid JSON \(Expecting value, column 1\); write e.g. "Paris" or .*, or use a .txt file'),
        ('"Paris\n', r"not valid JSON \("),
        ('""\n', "the answer is blank; fill it in or remove it"),
        ({"answer": " "}, "the answer is blank"),
        ({"answer": ["Paris", ""]}, "the answer is blank"),
        ({"answer": []}, '"answer" is an empty list; name at least one'),
        ("null\n", "an answer must be text or a number, not None; write"),
        ("true\n", "not True"),
        ({"answer": None}, "not None"),
        ({"answer": {"value": "Paris"}}, r"not \{'value': 'Paris'\}"),
        ({"answer": [["Paris"]]}, r"not \['Paris'\]"),
        # Two answers, or two names of one?
        ('["Paris", "Lyon"]\n', r'not \[\'Paris\', \'Lyon\'\]; write e.g. "Paris" or \{"answer": \["Paris", "City of'),
        ({"target": "Paris", "id": 1}, r'there is no "answer" \(fields: target, id\); write e.g.'),
        ({}, r'there is no "answer" \(fields: none\)'),
        ({"answer": "Paris", "id": 1.5}, '"id" must be text or a whole number, not 1.5'),
        ('"\\ud800 Paris"\n', "has half of a surrogate pair; fix or remove the row"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_the_remedy(write, line, complaint):
    with pytest.raises(TaskError, match=rf"answers.jsonl:3: .*{complaint}"):
        read_answers(write('"fine"\n', "\n", line))


@pytest.mark.parametrize("name", ["latin.txt", "latin.jsonl"])
def test_a_line_that_is_not_utf8_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'"Paris"\n"Orl\xe9ans"\n')
    with pytest.raises(TaskError, match=rf"{name}:2: byte 5 is not UTF-8; save"):
        read_answers(path)


def test_a_file_that_is_missing_empty_or_of_another_kind(write, tmp_path):
    with pytest.raises(TaskError, match=r"there is no file .*nowhere.txt; give the path of a list of answers"):
        read_answers(tmp_path / "nowhere.txt")
    with pytest.raises(TaskError, match=r"answers.csv: answers come in a .txt file, .*convert or rename it"):
        read_answers(write("Paris", name="answers.csv"))
    for name in ("empty.txt", "empty.jsonl"):
        with pytest.raises(TaskError, match=rf"{name} has no answers; write at least one"):
            read_answers(write("\n \n", name=name))
    (tmp_path / "directory.txt").mkdir()
    with pytest.raises(TaskError, match="there is no file"):
        read_answers(tmp_path / "directory.txt")


def test_repeated_answers_are_dropped_and_counted(write):
    path = write('"New York"\n', {"answer": "New  York", "id": 4}, {"answer": ["New York", "NYC"]}, '"new york"\n')
    with pytest.warns(
        UserWarning, match=r"answers.jsonl: 2 answers repeat an earlier one and were dropped, 1 with other names"
    ):
        assert read_answers(path) == (seed("New York"), seed("new york"))


def test_different_answers_are_no_reason_to_warn(write):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_answers(write("a\nb\nc\n", name="answers.txt"))) == 3


def test_an_id_of_two_answers_is_named_with_both_places(write):
    path = write({"answer": "Paris", "id": "x"}, {"answer": "Lyon", "id": "x"})
    with pytest.raises(TaskError, match=r"answers.jsonl:2: id 'x' is that of another answer at .*jsonl:1; give"):
        read_answers(path)
