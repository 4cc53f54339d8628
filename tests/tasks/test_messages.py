"""Prompts as text and as chat messages: what a policy can answer, and what is refused with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.config.tables.task import TaskTable
from rekindle.tasks.files import load_files, read_tasks
from rekindle.tasks.messages import prompt_of
from rekindle.tasks.task_set import TaskError, TaskSet, conversation_id, prompt_id, split
from rekindle.types import Task


def chat(*turns):
    """Messages of ``"role: content"`` texts."""
    return [dict(zip(("role", "content"), turn.split(": "), strict=True)) for turn in turns]


SEVERAL = chat("system: Be brief.", "user: 2+2=", "assistant: 4", "user: And 5?")


def read(tmp_path, *rows, name="t.jsonl", source="jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_tasks(path, source)


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        (chat("user: 2+2="), chat("user: 2+2=")),
        (SEVERAL, SEVERAL),
        (chat("user: a", "user: b"), chat("user: a", "user: b")),
        (chat("assistant: Hello!", "user: Hi."), chat("assistant: Hello!", "user: Hi.")),
        (chat("User: a"), chat("user: a")),
        (chat("developer: Be brief.", "user: a"), chat("system: Be brief.", "user: a")),
        ([{"role": "system", "content": ""}, *chat("user: a")], [{"role": "system", "content": ""}, *chat("user: a")]),
        ([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}],
         chat("user: a", "assistant: b", "user: c")),
        ([{"role": "user", "content": [{"type": "text", "text": "2+"}, {"type": "text", "text": "2="}]}],
         chat("user: 2+2=")),
        ([{"role": "user", "content": [{"type": "text", "text": "a", "index": None}], "tool_calls": None}],
         chat("user: a")),
        (json.dumps(SEVERAL), SEVERAL),
        (" " + json.dumps(SEVERAL, indent=1), SEVERAL),
    ],
)  # fmt: skip
def test_conversations_that_end_with_the_user(value, messages):
    found = prompt_of("t:1", "prompt", value)
    assert list(found.messages) == messages
    assert found.text == messages[-1]["content"]


@pytest.mark.parametrize("text", ["2+2=", "[1, 2] has what sum?", "[{x}]", b"2+2=", '{"role": "user"}'])
def test_texts_have_no_messages(text):
    assert prompt_of("t:1", "prompt", text) == (text if isinstance(text, str) else text.decode(), ())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], 'has the messages of nobody; end it with a turn of the user'),
        (chat("system: Be brief."), 'has the messages system; end it with a turn of the user'),
        (chat("user: 2+2=", "assistant: 4"),
         'has the messages user, assistant and ends with a turn of the assistant, which the policy is to write; end'),
        (chat("user: 2+2=", "assistant: 4") * 5, r"assistant, ... \(10 in all\) and ends with a turn of the assistant"),
        (chat("user: a", "system: b", "user: c"), "a system message comes first, and there is one at most"),
        (chat("system: a", "system: b", "user: c"), "a system message comes first, and there is one at most"),
        (chat("user: a", "tool: b", "user: c"), 'message 2 of "prompt" has the role "tool"; the roles are system'),
        (chat("usr: a"), '"prompt" has the role "usr"; the roles are system, user, assistant: rename it, or remove'),
        (["2+2="], "must be text, or chat messages like .* not '2"),
        ([{"content": "a"}], "must be text, or chat messages like"),
        ([{"role": 3, "content": "a"}], "must be text, or chat messages like"),
        ([{"role": "user", "content": " "}], r'"prompt" is empty \(user\); remove the row or fill it in'),
        (chat("user: a", "assistant:  ", "user: b"), r'message 2 of "prompt" is empty \(assistant\)'),
        ([{"role": "user", "content": None}], 'must be chat messages with text as "content", not None'),
        ([{"role": "user", "content": {"text": "a"}}], 'must be chat messages with text as "content"'),
        ([{"role": "user", "content": []}], r'"prompt" is empty \(user\)'),
        ([{"role": "user", "content": [{"type": "image", "image": "x.png"}]}],
         'has a part of type "image", and policies read text only; remove the row, or describe it in words'),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], 'part of type "image_url"'),
        ([{"role": "user", "content": ["a"]}], 'has a part that is not {"type": "text", "text": "..."}: '),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "has a part that is not"),
        ([*chat("user: a"), {"role": "assistant", "content": "b", "tool_calls": [{"id": 1}]}, *chat("user: c")],
         'message 2 of "prompt" calls tools, and a prompt has text only'),
        (str(chat("user: a")), "has chat messages as Python writes them; write them as JSON, with double quotes"),
        ('[{"role": "user", "content": "a"', "begins like a list of chat messages and is not valid JSON"),
        ({"role": "user", "content": "x"}, '"prompt" must be text, not dict; write it as text, or as chat messages'),
        (5, '"prompt" must be text, not int; put it in quotes'),
        (None, '"prompt" must be text, not NoneType'),
        (b"\xe9", '"prompt" must be text, not NoneType'),
        (" ", '"prompt" is empty; remove the row or fill it in'),
        ([{"role": "user", "content": "x\ud800"}], "half of a surrogate pair"),
    ],
)  # fmt: skip
def test_what_a_policy_cannot_answer_is_named(value, message):
    with pytest.raises(TaskError, match=f"^t:1: .*{message}") as caught:
        prompt_of("t:1", "prompt", value)
    assert "\n" not in str(caught.value)


TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
TURN = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT})


@given(st.lists(TURN, max_size=4), TEXT)
def test_any_conversation_comes_back_from_a_list_and_from_a_cell(turns, last):
    messages = [*turns, {"role": "user", "content": last}]
    found = prompt_of("t:1", "messages", messages)
    assert (list(found.messages), found.text) == (messages, last)
    assert prompt_of("t:1", "messages", json.dumps(messages)) == found
    assert prompt_of("t:1", "messages", json.dumps(messages, ensure_ascii=False)) == found


def test_messages_in_cells_of_a_table(tmp_path):
    cell = json.dumps(SEVERAL).replace('"', '""')
    (tmp_path / "t.csv").write_text(f'messages,answer\n"{cell}",9\n')
    [task] = read_tasks(tmp_path / "t.csv", "csv")
    assert (list(task.messages), task.prompt, task.answer) == (SEVERAL, "And 5?", "9")


def test_messages_of_a_parquet_file(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {"prompt": SEVERAL, "data_source": "x", "reward_model": {"ground_truth": "9", "style": "rule"},
         "extra_info": {"index": 3}},
    ]  # fmt: skip
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    [task] = read_tasks(tmp_path / "t.parquet", "parquet")
    assert (list(task.messages), task.answer) == (SEVERAL, "9")
    assert task.metadata == {name: value for name, value in rows[0].items() if name != "prompt"}


# -- ids and duplicates ------------------------------------------------------------------------------------------------


def test_ids_of_rows_of_one_turn_are_those_of_their_text(tmp_path):
    """They were so before conversations of several turns could be read, and runs are resumed by them."""
    for prompt in ("2+2=", chat("user: 2+2="), chat("system: Be brief.", "user: 2+2=")):
        assert read(tmp_path, {"prompt": prompt, "answer": "4"})[0].id == prompt_id("2+2=") == "8ef82285d4dc1c2d"
    question = {"question": "2+2=", "answer": "4"}
    assert read(tmp_path, question)[0].id == "f08887d0c5ff8e9b"


def test_an_id_of_a_conversation_never_changes(tmp_path):
    assert read(tmp_path, {"prompt": SEVERAL, "answer": "9"})[0].id == "47cfa52414535bc5"


def test_conversations_with_the_same_last_turn_are_different_prompts(tmp_path):
    prompts = [
        chat("user: 2+2=", "assistant: 4", "user: Sure?"),
        chat("user: 2+3=", "assistant: 5", "user: Sure?"),
        chat("user: 2+2=", "assistant: 4", "user: Sure?"),
        "Sure?",
    ]
    with pytest.warns(UserWarning, match="1 rows repeat an earlier prompt and were dropped, 0 with another answer"):
        tasks = read(tmp_path, *({"prompt": prompt, "answer": "yes"} for prompt in prompts))
    assert [len(task.messages) for task in tasks] == [3, 3, 0]
    assert len({task.id for task in tasks}) == 3
    found = split(tasks, 1, None, 0, "t")
    assert (len(found.pool), len(found.held_out)) == (2, 1)


def test_system_messages_tell_prompts_apart_in_any_order(tmp_path):
    rows = [{"prompt": chat(f"system: Be {how}.", "user: 2+2="), "answer": "4"} for how in ("brief", "kind", "brief")]
    rows.append({"prompt": "2+2=", "answer": "4"})
    with pytest.warns(UserWarning, match="1 rows repeat"):
        tasks = read(tmp_path, *rows)
    with pytest.warns(UserWarning, match="1 rows repeat"):
        again = read(tmp_path, *reversed(rows))
    assert len(tasks) == len({task.id for task in tasks}) == 3
    assert {task.id: task.messages for task in tasks} == {task.id: task.messages for task in again}
    assert TaskSet(tuple(tasks[:2]), tuple(tasks[2:]))


def test_a_conversation_of_both_files_leaves_the_pool(tmp_path):
    same, other = Task("a", "b?", "1", messages=tuple(SEVERAL)), Task("b", "b?", "1", messages=tuple(SEVERAL))
    with pytest.raises(TaskError, match="tasks 'a' and 'b' have the same prompt"):
        TaskSet((same,), (other,))
    ended = [[*SEVERAL[:-1], {"role": "user", "content": f"And {n}?"}] for n in range(4)]
    for name, prompts in {"train": [*ended[:3], "And 0?"], "dev": [ended[2], ended[3], "And 3?"]}.items():
        read(
            tmp_path, *({"prompt": one, "answer": "4", "id": n} for n, one in enumerate(prompts)), name=f"{name}.jsonl"
        )
    table = TaskTable(source="jsonl", path=f"{tmp_path}/train.jsonl", eval_path=f"{tmp_path}/dev.jsonl")
    with pytest.warns(UserWarning, match="1 prompts are also in"):
        found = load_files(table, eval_prompts=3, seed=0)
    assert [(task.prompt, len(task.messages)) for task in found.pool] == [("And 0?", 4), ("And 1?", 4), ("And 0?", 0)]
    assert [task.id for task in found.held_out] == [
        conversation_id(found.held_out[0]),
        conversation_id(found.held_out[1]),
        "2",
    ]


def test_what_was_said_before_the_answer():
    assert Task("t", "q", "a").conversation == "q"
    assert Task("t", "q", "a", messages=tuple(chat("system: s", "user: q"))).conversation == "q"
    several = Task("t", "And 5?", "a", messages=tuple(SEVERAL))
    assert several.conversation == "user: 2+2=\nassistant: 4\nuser: And 5?"
