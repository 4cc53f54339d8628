"""Prints the data sets of reasoning-gym whose scorers execute a part of an answer, found by Python's audit events."""

import contextlib
import json
import sys

from reasoning_gym.factory import DATASETS

from rekindle.tasks.reasoning_gym_main import make_dataset, make_entry
from rekindle.tasks.task_set import TaskError

CANARY = "canary_in_answer"
ANSWERS = [
    CANARY,
    f"1 + {CANARY}",
    f"[{CANARY}]",
    f"[['{CANARY}']]",
    f'{{"a": "{CANARY}"}}',
    f"{CANARY}, {CANARY}",
    f"x={CANARY}",
]


def mentions(code):
    """Whether code has the canary among its names or constants, also in functions within."""
    return CANARY in repr((code.co_names, code.co_consts)) or any(
        mentions(one) for one in code.co_consts if hasattr(one, "co_names")
    )


def main():
    """Score answers with the canary in every data set."""
    executed, current = set(), ""

    def listen(event, arguments):
        if event == "exec" and mentions(arguments[0]):
            executed.add(current)

    sys.addaudithook(listen)
    for current in DATASETS:
        try:
            dataset = make_dataset(current, {"seed": 0, "size": 1})
        except TaskError:  # composite needs parts, and scores with theirs
            continue
        entry = make_entry(dataset, 0)
        for answer in ANSWERS:
            with contextlib.suppress(Exception):
                dataset.score_answer(answer, entry)
    print("\n" + json.dumps(sorted(executed)))


if __name__ == "__main__":
    main()
