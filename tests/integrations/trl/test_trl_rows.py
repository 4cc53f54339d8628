"""Tasks of a dataset's rows."""

import json

import pytest

from rekindle.integrations.trl.rows import tasks_of
from rekindle.tasks.files import read_tasks
from rekindle.tasks.task_set import TaskError, prompt_id
from rekindle.types import Task

USER = {"role": "user", "content": "2+2="}


class Stream:
    """An iterable dataset."""

    def __iter__(self):
        yield {"prompt": "a"}


class Dataset(list):
    """Rows with names of columns, as of ``datasets``."""

    @property
    def column_names(self):
        return list(self[0])


def ids(rows):
    return [task.id for task in tasks_of(rows)]


def test_a_task_has_the_prompt_and_the_other_columns():
    rows = Dataset([{"prompt": "1+1=", "answer": "2", "id": 17}, {"prompt": "2+1=", "answer": "3", "id": "x"}])
    assert tasks_of(rows) == [
        Task("17", "1+1=", "2", {"answer": "2", "id": 17}),
        Task("x", "2+1=", "3", {"answer": "3", "id": "x"}),
    ]


@pytest.mark.parametrize(
    ("columns", "answer"),
    [
        ({}, ""),
        ({"solution": "so \\boxed{7}"}, "7"),
        ({"solution": "so 7"}, ""),
        ({"label": 4}, "4"),
        ({"answer": [1]}, ""),
    ],
)
def test_the_answer_is_for_the_record(columns, answer):
    (task,) = tasks_of([{"prompt": "p", **columns}])
    assert task.answer == answer
    assert task.metadata == columns


def test_messages_are_those_that_trl_renders():
    system = {"role": "system", "content": "Be brief."}
    parts = {"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2="}]}
    begun = {"role": "assistant", "content": "It is"}
    tool = {"role": "tool", "content": None}
    (chat, several, prefilled) = tasks_of([{"prompt": one} for one in ([system, USER], [parts], [USER, tool, begun])])
    assert (chat.prompt, chat.messages) == ("2+2=", (system, USER))
    assert (several.prompt, several.messages) == ("2+2=", (USER,))
    assert prefilled.prompt == "2+2="
    assert [one["role"] for one in prefilled.messages] == ["user", "tool", "assistant"]
    assert tasks_of([{"prompt": [system]}])[0].prompt == "Be brief."


def test_a_text_that_looks_like_messages_is_a_text():
    (task,) = tasks_of([{"prompt": '[{"role": "user", "content": "x"}]'}])
    assert task.messages == ()
    assert task.prompt.startswith("[{")


def test_derived_ids_are_the_same_in_every_run():
    assert ids([{"prompt": "2+2="}]) == [prompt_id("2+2=")] == ["8ef82285d4dc1c2d"]
    assert ids([{"prompt": [USER]}]) == ids([{"prompt": [dict(reversed(USER.items()))]}])


def test_derived_ids_are_those_of_a_file_with_the_same_rows(tmp_path):
    system = {"role": "system", "content": "Be brief."}
    rows = [{"prompt": prompt, "answer": "4"} for prompt in ("1+3=", [USER], [system, USER], [USER, system, USER])]
    rows[3]["prompt"] = [USER, {"role": "assistant", "content": "5"}, USER]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert ids(rows) == [task.id for task in read_tasks(path, "jsonl")]


def test_derived_ids_do_not_depend_on_other_prompts_nor_their_order():
    rows = [{"prompt": f"{number}+1=", "answer": number} for number in range(9)]
    assert sorted(ids(rows)) == sorted(ids(rows[::-1]))
    assert set(ids(rows[:4])) < set(ids(rows))
    assert len(set(ids(rows))) == 9


def test_rows_with_the_same_prompt_are_told_apart_by_their_other_columns_then_by_order():
    one, other, lone = {"prompt": "p", "answer": 1}, {"prompt": "p", "answer": 2}, {"prompt": "q", "answer": 1}
    (first, second, third) = ids([one, other, lone])
    assert first != second
    assert first[:16] == second[:16]
    assert "-" not in third
    assert ids([other, lone, one]) == [second, third, first]
    (plain,) = ids([one])
    assert ids([one, one, one]) == [plain, f"{plain}#2", f"{plain}#3"]
    assert ids([one, other, one]) == [first, second, f"{first}#2"]


REFUSED = [
    (
        None,
        "train_dataset is None, and an environment that owns the prompts gives rekindle none to choose from; give a",
    ),
    (Stream(), "train_dataset is a Stream, a stream without length, .* load it whole"),
    (Dataset(), "train_dataset has no rows, so there is nothing to train on; give one with prompts"),
    ([{"question": "a", "answer": "b"}], r'no column "prompt" \(columns: question, answer\); rename'),
    (Dataset([{"prompt": "a", "image": 1}]), 'has images .column "image".*TRL\'s own GRPOTrainer'),
    (Dataset([{"prompt": "a", "images": [1]}]), 'has images .column "images"'),
    ([{"prompt": "a"}, {"prompt": 3}], 'row 1 of train_dataset: "prompt" must be text or a list of messages .*, not 3'),
    ([{"prompt": " "}], "row 0 of train_dataset"),
    ([{"prompt": []}], "must be text or a list of messages"),
    ([{"prompt": ["a"]}], "must be text or a list of messages"),
    ([{"prompt": None}], "not None; fix or remove the row"),
    ([{"prompt": [{"content": "x"}]}], "has the message .* messages of text like"),
    ([{"prompt": [{"role": "user", "content": [{"type": "image"}]}]}], "messages of text like"),
    ([{"prompt": [{"role": "user", "content": 3}]}], "messages of text like"),
    (
        [{"prompt": "a", "id": 1}, {"prompt": "b", "id": "2"}, {"prompt": "c", "id": "1"}],
        'rows 0 and 2 of train_dataset have the same id "1"; make the ids unique, or remove the column',
    ),
    ([{"prompt": "a", "id": 1}, {"prompt": "b", "id": None}], 'row 1 of train_dataset: "id" must be text or a whole'),
    ([{"prompt": "a", "id": [1]}], 'row 0 of train_dataset: "id" must be text or a whole number, not'),
]


@pytest.mark.parametrize(("rows", "words"), REFUSED, ids=[words[:40] for _, words in REFUSED])
def test_rows_that_cannot_be_tasks_are_refused_in_one_sentence(rows, words):
    with pytest.raises(TaskError, match=words) as refused:
        tasks_of(rows)
    assert "\n" not in str(refused.value)
