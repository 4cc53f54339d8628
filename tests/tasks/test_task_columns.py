"""Columns of other trainers' files."""

import json

import pytest

from rekindle.tasks.files import read_tasks
from rekindle.tasks.task_set import TaskError

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
    assert (task.prompt, task.answer, task.system) == ("2+2=", answer, system)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": [USER, {"role": "assistant", "content": "4"}], "answer": "4"},
         '"prompt" has the messages user, assistant; give one message of the user, perhaps after one of the system'),
        ({"prompt": [USER, {"role": "assistant", "content": "4"}] * 5, "answer": "4"}, r"assistant, ... \(10 in all\)"),
        ({"prompt": [SYSTEM], "answer": "4"}, '"prompt" has the messages system; give'),
        ({"prompt": [], "answer": "4"}, '"prompt" has the messages of nobody; give'),
        ({"prompt": ["2+2="], "answer": "4"}, "must be text, or chat messages like .* not '2"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}], "answer": "4"}, "with nothing but text, not"),
        ({"prompt": [{"role": "user", "content": None}], "answer": "4"}, "must be text, or chat messages"),
        ({"prompt": {"role": "user", "content": "x"}, "answer": "4"}, '"prompt" must be text, not dict; write it as'),
        ({"prompt": [{"role": "user", "content": " "}], "answer": "4"}, '"prompt" is empty'),
        ({"problem": "2+2=", "solution": "It is four."}, r'the "solution" has no \\boxed{...} with the result; add'),
        ({"problem": "2+2=", "solution": r"\boxed{4"}, r'the "solution" has no \\boxed'),
        ({"prompt": "p", "reward_model": {"style": "model"}}, "this one has prompt, reward_model; add what is missing"),
        ({f"column_{number}": 1 for number in range(40)}, r"this one has column_0, .*, ... \(40 in all\); add"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_task_is_named(tmp_path, row, message):
    with pytest.raises(TaskError, match=f"t.jsonl:1: .*{message}"):
        read(tmp_path, row)
