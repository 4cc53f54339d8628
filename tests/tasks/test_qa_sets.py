"""Question files of the field, one row of each by hand, and the shared ones whole."""

import json
import warnings

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle import Task
from rekindle.tasks.qa_sets import read_questions
from rekindle.tasks.task_set import TaskError

ROWS = {
    "nq": (
        {"question": "who wrote it", "answer": ["Bobby Scott", "Bob Russell"]},
        (None, "who wrote it", ("Bobby Scott", "Bob Russell"), None),
    ),
    "triviaqa, the Hub's": (
        {
            "question": "Capital of France?",
            "question_id": "tc_1",
            "question_source": "http://x",
            "answer": {"value": "Paris", "aliases": ["Paris", "Lutetia"], "normalized_aliases": ["paris", "lutetia"]},
            "entity_pages": {"title": ["France"]},
        },
        ("tc_1", "Capital of France?", ("Paris", "Lutetia"), None),
    ),
    "triviaqa, FlashRAG's": (
        {"id": "test_0", "question": "Capital?", "golden_answers": ["Paris", "Paris", "Lutetia"], "metadata": {}},
        ("test_0", "Capital?", ("Paris", "Lutetia"), None),
    ),
    "popqa": (
        {
            "id": 4222362,
            "subj": "George Rankin",
            "prop": "occupation",
            "obj": "politician",
            "question": "What is George Rankin's occupation?",
            "possible_answers": '["politician", "political leader"]',
        },
        ("4222362", "What is George Rankin's occupation?", ("politician", "political leader"), "occupation"),
    ),
    "hotpotqa": (
        {
            "_id": "5a8b57f2",
            "question": "Same nationality?",
            "answer": "yes",
            "type": "comparison",
            "level": "hard",
            "context": [["Title", ["A sentence."]]],
        },
        ("5a8b57f2", "Same nationality?", ("yes",), "hard"),
    ),
    "hotpotqa, FlashRAG's": (
        {
            "id": "dev_0",
            "question": "Same?",
            "golden_answers": ["yes"],
            "metadata": {"type": "bridge", "level": "easy"},
        },
        ("dev_0", "Same?", ("yes",), "easy"),
    ),
    "2wiki": (
        {"_id": "8813f87c", "type": "bridge_comparison", "question": "Who is older?", "answer": "Ada", "evidences": []},
        ("8813f87c", "Who is older?", ("Ada",), "bridge_comparison"),
    ),
    "musique": (
        {
            "id": "3hop1__9285_5188_2345",
            "paragraphs": [{"idx": 0, "title": "T"}],
            "question": "Who founded it?",
            "question_decomposition": [{"id": 9285, "question": "Q >> R", "answer": "A"}],
            "answer": "Steve Hillage",
            "answer_aliases": ["Hillage"],
            "answerable": True,
        },
        ("3hop1__9285_5188_2345", "Who founded it?", ("Steve Hillage", "Hillage"), "3hop"),
    ),
    "bamboogle": (
        {"Question": "Who was president?", "Answer": "james madison"},
        (None, "Who was president?", ("james madison",), None),
    ),
    "R1-Searcher": (
        {"idx": 1, "question": "Who?", "answer": "Tetisheri", "gen_text_store": ""},
        ("1", "Who?", ("Tetisheri",), None),
    ),
    "prompt and numbers": (
        {"prompt": "2+2=", "answers": [4, 4.0, "four", 0.5], "hops": 2},
        (None, "2+2=", ("4", "four", "0.5"), "2"),
    ),
    "squad": (
        {"id": "s", "question": "When?", "answers": {"text": ["1066", " "], "answer_start": [3, 4]}},
        ("s", "When?", ("1066",), None),
    ),
    "a bracket that is no list": (
        {"query": "What opens a list?", "answer": "[ or ("},
        (None, "What opens a list?", ("[ or (",), None),
    ),
}


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_formats_by_hand(name, suffix, tmp_path):
    row, (identity, question, answers, level) = ROWS[name]
    [task] = read_questions(lines(tmp_path / f"set{suffix}", row))
    assert (task.prompt, task.answer, task.metadata.get("level")) == (question, answers, level)
    assert task.id == identity if identity else len(task.id) == 16


def test_rows_of_all_formats_in_one_json_list(tmp_path):
    path = tmp_path / "set.json"
    path.write_text(json.dumps([row for row, _ in ROWS.values()], indent=1), encoding="utf-8-sig")
    assert [task.prompt for task in read_questions(path)] == [expected[1] for _, expected in ROWS.values()]


def test_triviaqa_as_it_was_published(tmp_path):
    answer = {
        "Value": "Paris",
        "Aliases": ["Lutetia"],
        "NormalizedAliases": ["lutetia"],
        "HumanAnswers": ["city of Paris"],
    }
    path = tmp_path / "wikipedia-dev.json"
    path.write_text(
        json.dumps({"Data": [{"Question": "Capital?", "QuestionId": "tc_2", "Answer": answer}], "Split": "d"})
    )
    metadata = {"QuestionId": "tc_2", "Answer": answer}
    assert read_questions(path) == [Task("tc_2", "Capital?", ("Paris", "Lutetia", "city of Paris"), metadata)]


def test_popqa_as_it_was_published(tmp_path):
    path = tmp_path / "popQA.tsv"
    path.write_text('id\tprop\tquestion\tpossible_answers\n7\tgenre\t"What ""genre"" is it?"\t"[""rock"", ""pop""]"\n')
    metadata = {"id": "7", "prop": "genre", "possible_answers": '["rock", "pop"]', "level": "genre"}
    assert read_questions(path) == [Task("7", 'What "genre" is it?', ("rock", "pop"), metadata)]


def test_parquet(tmp_path):
    rows = [{"question": "a?", "answer": ["x", "y"]}, {"question": "b?", "answer": ["z"]}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set.parquet")
    assert [task.answer for task in read_questions(tmp_path / "set.parquet")] == [("x", "y"), ("z",)]


def test_every_column_but_the_question_becomes_metadata_under_its_own_name(tmp_path):
    row = {
        "Question": "q",
        "golden_answers": ["a"],
        "corpus": "wiki",
        "Year": 1999,
        "context": ["long"],
        "metadata": {"split": "dev", "sentences": ["long"]},
    }
    [task] = read_questions(lines(tmp_path / "s.jsonl", row))
    columns = {name: value for name, value in row.items() if name != "Question"}
    assert task.metadata == {**columns, "split": "dev"}, "and small fields of an inner metadata"


def test_a_question_may_be_a_conversation(tmp_path):
    asked = {"role": "user", "content": "And of Spain?"}
    turns = [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris"}, asked]
    rows = [{"question": turns, "answer": "Madrid"}, {"question": [asked], "answer": "Madrid"}]
    tasks = read_questions(lines(tmp_path / "s.jsonl", *rows))
    assert [(task.prompt, len(task.messages)) for task in tasks] == [("And of Spain?", 3), ("And of Spain?", 1)]
    assert len({task.id for task in tasks}) == 2


def test_repeated_rows_are_dropped_with_a_warning_and_ambiguous_questions_stay(tmp_path):
    rows = [
        {"question": "Who is the father of David?", "answer": ["Jesse", "Isai"]},
        {"question": "Who is the father of David?", "answer": "Someone"},
        {"question": "Who is  the father of David? ", "answer": ["Isai", "Jesse"]},
        {"question": "Who?", "answer": "I", "id": "1"},
        {"question": "Who?", "answer": "I", "id": "2"},
    ]
    with pytest.warns(UserWarning, match="2 rows repeat an earlier question and its answers"):
        tasks = read_questions(lines(tmp_path / "s.jsonl", *rows))
    assert [task.answer for task in tasks] == [("Jesse", "Isai"), ("Someone",), ("I",)]
    assert len({task.id for task in tasks}) == 3


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"answer": "x"}, 'there is no "question" (fields: answer)'),
        ({}, "fields: none"),
        ({"question": " ", "answer": "x"}, "must be text, not ' '"),
        ({"question": 3, "answer": "x"}, "must be text, not 3"),
        ({"question": "q"}, 'there is no "answer" or "golden_answers" (fields: question)'),
        ({"question": "q", "answer": None}, "there is no"),
        ({"question": "q", "answer": []}, '"answer" has no answer in it'),
        ({"question": "q", "answer": ["", " "]}, "has no answer in it"),
        ({"question": "q", "answer": True}, "not True"),
        ({"question": "q", "answer": {"no": "value"}}, "must be text, a number or a list"),
        ({"question": "q", "possible_answers": "[oops"}, '"possible_answers": not valid JSON'),
        ({"question": "q", "answer": "x", "id": 1.5}, '"id" must be text or a whole number, not 1.5'),
        ({"question": "q \ud800", "answer": "x"}, "half of a surrogate pair"),
        ({"question": "q", "answer": "\udfff"}, "half of a surrogate pair"),
        ({"question": "other", "answer": "x", "id": "first"}, "id 'first' is that of another question at"),
    ],
)
def test_bad_rows_are_named(row, expected, tmp_path):
    path = lines(tmp_path / "s.jsonl", {"id": "first", "question": "?", "answer": "!"}, row)
    with pytest.raises(TaskError) as raised:
        read_questions(path)
    message = str(raised.value)
    assert expected in message
    assert message.startswith(f"{path}:2: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("s.jsonl", "", "has no rows"),
        ("s.json", "[]", "has no rows"),
        ("s.jsonl", "[1]\n", "s.jsonl:1: expected a JSON object"),
        ("s.json", "[1]", "s.json item 1: expected a JSON object, found int"),
        ("s.json", '{"data": 3}', "expected a list of questions"),
        ("s.json", "{\n", "s.json:1: not valid JSON"),
        ("s.tsv", "question\tanswer\nq\n", "s.tsv:2: the line does not have 2 fields"),
        ("s.tsv", "question\tanswer\nq\ta\tb\n", "s.tsv:2: the line does not have 2 fields"),
        ("s.tsv", "question\tanswer\nq\t\n", "s.tsv:2: "),
    ],
)
def test_bad_files_are_named(name, content, expected, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(TaskError) as raised:
        read_questions(tmp_path / name)
    assert expected in str(raised.value)


def test_ids_tell_answers_apart(tmp_path):
    rows = [{"question": "q", "answer": answer} for answer in ("a b", ["a", "b"], ["b"])]
    assert len({task.id for task in read_questions(lines(tmp_path / "s.jsonl", *rows))}) == 3


def test_no_file_and_no_utf8(tmp_path):
    with pytest.raises(TaskError, match="there is no file"):
        read_questions(tmp_path / "s.jsonl")
    (tmp_path / "s.tsv").write_bytes(b"question\tanswer\n\xff\ta\n")
    with pytest.raises(TaskError, match="is not UTF-8"):
        read_questions(tmp_path / "s.tsv")


TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1)), min_size=1, max_size=5))
def test_any_text_comes_back_and_ids_do_not_depend_on_the_order(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "s.jsonl"
    rows = [{"question": question, "answer": answers} for question, answers in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tasks = read_questions(lines(path, *rows))
        again = read_questions(lines(path, *reversed(rows)))
    assert {task.prompt: set(task.answer) for task in tasks[:1]} == {rows[0]["question"]: set(rows[0]["answer"])}
    assert {task.id for task in tasks} == {task.id for task in again}


@pytest.mark.parametrize(
    ("name", "questions"),
    [("hotpotqa_500", 500), ("2wiki_500", 500), ("musique_500", 500), ("bamboogle_125", 125), ("nq_open_dev", 3610)],
)
def test_the_shared_sets_load_whole_and_without_warnings(name, questions, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tasks = read_questions(data / "qa" / f"{name}.jsonl")
    assert len(tasks) == len({task.id for task in tasks}) == questions
    assert all(task.answer for task in tasks)
