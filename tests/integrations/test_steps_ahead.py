"""Steps that are sampled ahead: what was played of them is part of a checkpoint, and of the files of their own step."""

import json
import sqlite3
from collections.abc import Iterator

import pytest

from rekindle.integrations.hosted_run import HostedRun
from rekindle.integrations.settings.rewards import reward_tables
from rekindle.integrations.state_folder import read_state, write_state
from rekindle.recipes import resolve
from rekindle.records.update_stats import UpdateStats
from rekindle.types import Rollout, Task

UPDATE = UpdateStats(
    loss=0.1, entropy=1.0, grad_norm=0.5, lr=1e-3, kl=None, clip_fraction=0.0, trained_tokens=10, computed_tokens=20,
    padded_tokens=0, recomputed_tokens=0, microbatches=1, optimizer_steps=1,
)  # fmt: skip
FACTS = {"trainer": "other", "names": {}, "held_out": 0, "model": "m", "processes": 1, "device": "cpu", "threads": 1}
STEPS = 4


class Played:
    """Environment that plays every request at once; half of a group is right."""

    def __init__(self):
        self.seconds, self.counts = {"generate": 0.0}, {}

    def play(self, requests) -> Iterator[tuple[int, list[Rollout]]]:
        for request in requests:
            self.seconds["generate"] += 1.0
            yield request.id, [rollout(request, place) for place in range(request.n)]


def rollout(request, place):
    return Rollout(
        token_ids=[65, 66 + request.row], loss_mask=[False, True], logprobs=[0.0, -0.25], reward=float(place % 2),
        rewards={"odd": request.id + place}, text=chr(66 + request.row), version=request.version,
    )  # fmt: skip


def new_run(directory):
    tables = {"recipe": "grpo", "train": {"max_off_policy_steps": 1}}
    given = {
        "model": {"path": "m"},
        "task": {"source": "given"},
        "train": {"steps": STEPS, "groups_per_step": 2, "group_size": 2},
        "loss": {"tis_cap": 2.0, "old_logprobs": "recompute"},
        "rewards": reward_tables([("odd", 1.0)]),
    }
    return HostedRun(
        resolve(tables, given=given),
        [Task(str(number), f"question {number}", "answer") for number in range(6)],
        Played(),
        directory=directory,
        parameters=1,
        decode=lambda ids: "".join(map(chr, ids)),
        said=str,
        say=lambda text: None,
    )


def made(directory, *, until=STEPS, state=None):
    """Make a run up to a step; return its state, as it is read."""
    run = new_run(directory)
    with run.opened(state, resumable=True, profile=lambda: None, parameters=1, **FACTS):
        while run.record.step < until:
            assert run.steps.next()
            run.finish(UPDATE)
        write_state(directory / "state", run.state_dict())
        return read_state(directory / "state")


def files(directory):
    """Samples, means of rewards and seconds of groups."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    samples = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    with sqlite3.connect(directory / "ledger.sqlite") as ledger:
        seconds = ledger.execute("SELECT request_id, step, seconds FROM groups ORDER BY request_id").fetchall()
    kept = ("step", "request_id", "completion", "rewards")
    return [line["reward/odd"] for line in lines], [[one[name] for name in kept] for one in samples], seconds


@pytest.mark.parametrize("until", [1, 2, 3])
def test_what_was_played_ahead_is_in_the_files_of_a_resumed_run(until, tmp_path):
    made(tmp_path / "whole")
    state = made(tmp_path / "cut", until=until)
    assert len(state["steps"]["played"]) == 2, "the groups of the next step"
    made(tmp_path / "cut", state=state)
    rewards, samples, seconds = files(tmp_path / "cut")
    assert (rewards, samples) == files(tmp_path / "whole")[:2]
    assert {one[0] for one in samples} == set(range(1, STEPS + 1))
    assert all(spent > 0 for _, _, spent in seconds)
