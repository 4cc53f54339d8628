"""The pass and its journal: whatever stops it, and wherever, the profile is the same."""

import fcntl
import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle import GroupRequest, Rollout, Task
from rekindle.engines.endpoint import Endpoint, EndpointCompletion
from rekindle.engines.engine import SamplingLimits
from rekindle.environments.single_turn import SingleTurn
from rekindle.evaluation.profiler import endpoint_play, profile_tasks
from rekindle.scheduling.profiling import ProfileError, ProfileKey
from rekindle.testing import FakeEngine, SimulatedPolicy
from rekindle.verifiers.exact import ExactMatchVerifier
from rekindle.verifiers.verifier import Verdict

KEY = ProfileKey("m", "exact_match", 0.7, 24)
TASKS = [Task(f"t{row}", f"prompt {row}", "yes") for row in range(20)]
POLICY = SimulatedPolicy([row / 19 for row in range(20)])


def simulated(requests):
    """Backwards, because nobody may rely on the order."""
    return ((request.id, POLICY.play(request)) for request in reversed(requests))


def run(partial, play=simulated, tasks=TASKS, **changes):
    defaults = {
        "samples": 8,
        "key": KEY,
        "parameters": 100,
        "seed": 5,
        "success_at": 1.0,
        "chunk": 3,
        "on_progress": lambda *_: None,
        "interrupted": lambda: False,
    }
    return profile_tasks(play, tasks, partial=partial, **{**defaults, **changes})


def values(profile):
    return {name: list(value) if hasattr(value, "__len__") else value for name, value in asdict(profile).items()}


def after(chunks):
    """Says "interrupted" once so many chunks were played."""
    asked = iter([False] * chunks)
    return lambda: next(asked, True)


@pytest.fixture
def whole(tmp_path):
    return values(run(tmp_path / "whole.partial"))


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_counts_of_a_real_environment_by_hand(tmp_path):
    tasks = [Task("a", "abc", "yes"), Task("b", "ab", "yes")]
    replies = {"abc": ["yes", "no", "maybe"], "ab": ["yes", "yes", ""]}
    engine = FakeEngine(lambda order, index: replies["".join(map(chr, order.prompt_ids))][index])
    world = SingleTurn(
        tasks,
        encode=lambda text: [ord(character) for character in text],
        engine=engine,
        verifier=ExactMatchVerifier(),
        reward=float,
        limits=SamplingLimits(max_new_tokens=24, context=100),
    )
    found = run(tmp_path / "p", world.play, tasks, samples=3)
    assert found.task_ids == ("a", "b")
    assert found.successes.tolist() == [1, 2]
    assert found.samples.tolist() == [3, 3]
    assert found.generated_tokens.tolist() == [3 + 2 + 5, 3 + 3 + 0]
    assert found.prompt_tokens.tolist() == [3, 2]  # once per group
    assert found.flops == 2 * 100 * (10 + 6 + 3 + 2)
    assert (found.key, found.failed) == (KEY, ())
    assert {order.temperature for order in engine.requests} == {0.7}
    assert len({order.seed for order in engine.requests}) == 2


def test_tool_output_between_turns_is_read_once_per_rollout(tmp_path):
    masks = [[0, 0, 1, 0, 1], [0, 0, 1, 1], [0, 0]]
    rollouts = [
        Rollout(token_ids=[7] * len(mask), loss_mask=list(map(bool, mask)), logprobs=[0.0] * len(mask), reward=0.0)
        for mask in masks
    ]
    found = run(tmp_path / "p", lambda requests: [(requests[0].id, rollouts)], TASKS[:1], samples=3)
    assert found.generated_tokens.tolist() == [2 + 2 + 0]
    assert found.prompt_tokens.tolist() == [2 + 1]


def test_success_rates_are_those_of_the_policy(tmp_path):
    found = run(tmp_path / "p", samples=400, success_at=0.5)
    error = np.sqrt(POLICY.success_rates * (1 - POLICY.success_rates) / 400)
    assert np.all(np.abs(found.success_rates - POLICY.success_rates) <= 5 * error)


def test_an_unknown_size_costs_nothing_and_no_samples_are_no_profile(tmp_path):
    assert run(tmp_path / "p", parameters=0).flops == 0.0
    with pytest.raises(ProfileError, match="0 samples"):
        run(tmp_path / "q", samples=0)


# -- stopping and going on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, 20, 64])
def test_chunks_change_nothing(tmp_path, whole, chunk):
    assert values(run(tmp_path / "p", chunk=chunk)) == whole


def test_interrupted_as_often_as_you_like(tmp_path, whole):
    seen = []

    def play(requests):
        seen.extend(request.row for request in requests)
        return simulated(requests)

    for _ in range(6):
        assert run(tmp_path / "p", play, interrupted=after(1)) is None
    assert values(run(tmp_path / "p", play)) == whole
    assert seen == list(range(20)), "nothing is played twice"
    assert values(run(tmp_path / "p", play, interrupted=lambda: True)) == whole
    assert seen == list(range(20)), "what is complete is only read"


@settings(max_examples=40)
@given(st.data())
def test_a_journal_cut_anywhere_gives_the_same_profile(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("journal")
    expected = values(run(place / "whole", chunk=20))
    content = (place / "whole").read_bytes()
    (place / "cut").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert values(run(place / "cut", chunk=20)) == expected
    assert values(run(place / "cut", chunk=20)) == expected, "and what was repaired can be read again"


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_profiler as tests

def play(requests):
    for one in tests.simulated(requests):
        if one[0] == 10:
            os.kill(os.getpid(), signal.SIGKILL)
        yield one

tests.run(Path(sys.argv[1]), play)
"""


def test_killed_in_the_middle_of_a_chunk(tmp_path, whole):
    journal, here = tmp_path / "p", Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", KILLED, str(journal), str(here)], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    rows = [json.loads(line)["row"] for line in journal.read_text().splitlines()[1:]]
    assert sorted(rows) == list(range(9)), "three chunks of three are on disk"
    assert values(run(journal)) == whole


def test_an_error_of_the_environment_keeps_what_was_finished(tmp_path, whole):
    def play(requests):
        for request_id, rollouts in simulated(requests):
            if request_id == 4:
                raise ProfileError("no more")
            yield request_id, rollouts

    with pytest.raises(ProfileError, match="no more"):
        run(tmp_path / "p", play)
    assert len((tmp_path / "p").read_text().splitlines()) == 1 + 3 + 1
    assert values(run(tmp_path / "p")) == whole


def test_progress(tmp_path):
    told = []
    assert run(tmp_path / "p", interrupted=after(3), on_progress=lambda *one: told.append(one)) is None
    assert [one[:2] for one in told] == [(3, 20), (6, 20), (9, 20)]
    assert all(seconds > 0 for _, _, seconds in told)
    run(tmp_path / "p", chunk=6, on_progress=lambda *one: told.append(one))
    assert [one[:2] for one in told[3:]] == [(15, 20), (20, 20)]
    assert told[-1][2] == 0


# -- prompts that cannot be played -------------------------------------------------------------------------------------


def failing(*rows):
    return lambda requests: ((id_, None if id_ in rows else rollouts) for id_, rollouts in simulated(requests))


def test_failed_prompts_have_no_row_and_are_named(tmp_path, whole):
    found = run(tmp_path / "p", failing(3, 11))
    assert found.failed == ("t3", "t11")
    assert list(found.successes) == [count for row, count in enumerate(whole["successes"]) if row not in (3, 11)]
    assert "t3" not in found.task_ids


def test_void_rollouts_are_no_evidence(tmp_path, whole):
    """One rollout of a prompt met a dead judge: the seven others are not its success rate."""

    def play(requests):
        for request, rollouts in simulated(requests):
            broken = [replace(rollouts[0], reward=0.0, failure="judge", void=True), *rollouts[1:]]
            yield request, broken if request == 7 else rollouts

    profile = run(tmp_path / "p", play)
    assert profile.failed == ("t7",)
    assert "t7" not in profile.task_ids
    assert len(profile.task_ids) == 19


def test_failed_prompts_are_tried_again_after_a_stop(tmp_path, whole):
    assert run(tmp_path / "p", failing(1, 5), interrupted=after(4)) is None
    rows = []

    def play(requests):
        rows.extend(request.row for request in requests)
        return failing(5)(requests)

    assert run(tmp_path / "p", play).failed == ("t5",)
    assert rows == [*range(12, 20), 1, 5]
    assert values(run(tmp_path / "p")) == whole


def test_none_that_can_be_played(tmp_path):
    with pytest.raises(ProfileError, match=r"none of the 20 prompts could be played; check the model"):
        run(tmp_path / "p", failing(*range(20)))
    assert run(tmp_path / "p").failed == ()


def test_a_policy_that_is_gone_ends_the_pass_and_going_on_passes_over_hopeless_prompts(tmp_path):
    tasks = [Task(str(row), "", "") for row in range(200)]
    policy, asked = SimulatedPolicy([0.5] * 200), []

    def play(requests):
        asked.extend(request.row for request in requests)
        return [(request.id, policy.play(request) if not 10 <= request.row < 140 else None) for request in requests]

    with pytest.raises(ProfileError, match=r"70 prompts in a row could not be played.*start again to continue"):
        run(tmp_path / "p", play, tasks, chunk=10)
    assert asked == list(range(80)), "given up as soon as the last 64 or more had failed"
    asked.clear()
    assert run(tmp_path / "p", play, tasks, chunk=10, interrupted=after(5)) is None
    assert run(tmp_path / "p", play, tasks, chunk=10).failed == tuple(str(row) for row in range(10, 140))


# -- journals of something else ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 4}, "another samples;"),
        ({"seed": 6, "success_at": 0.5}, "another seed, success_at;"),
        ({"key": replace(KEY, model="n", temperature=1.0)}, "another model, temperature;"),
        ({"tasks": TASKS[:19]}, "another prompts;"),
    ],
)
def test_a_journal_of_other_settings_is_refused_and_kept(tmp_path, changes, words):
    assert run(tmp_path / "p", interrupted=after(2)) is None
    content = (tmp_path / "p").read_bytes()
    with pytest.raises(ProfileError, match=f"unfinished profile with {words}.*delete it, or choose another --out"):
        run(tmp_path / "p", **changes)
    assert (tmp_path / "p").read_bytes() == content


@pytest.mark.parametrize("content", [b"dear diary", b"dear\ndiary\n", b'{"a": 1}\n', b"[1]\n", b"\n", b"\xff\n"])
def test_a_file_that_is_no_journal_is_not_changed(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(ProfileError, match="is not an unfinished profile"):
        run(tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == content


@pytest.mark.parametrize("line", ["nonsense", "[]", "3", '{"row": 20}', '{"row": -1}', '{"row": 1, "successes": 1}'])
def test_a_damaged_line_is_named(tmp_path, line):
    run(tmp_path / "p")
    lines = (tmp_path / "p").read_text().splitlines()
    lines[4] = line
    (tmp_path / "p").write_text("\n".join([*lines, ""]))
    with pytest.raises(ProfileError, match=r"p:5 is damaged; delete the file"):
        run(tmp_path / "p")


def test_two_processes_do_not_share_a_journal(tmp_path):
    with (tmp_path / "p").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ProfileError, match="another process is profiling into"):
            run(tmp_path / "p")


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError, match="choose another --out"):
        run(tmp_path / "file" / "p")


# -- endpoints ---------------------------------------------------------------------------------------------------------


class FakeEndpoint(Endpoint):
    """Answers without a network, the last request first."""

    def __init__(self, answers):
        super().__init__("http://127.0.0.1", "m")
        self.answers, self.requests = answers, []

    def complete(self, requests):
        self.requests += requests
        for index in reversed(range(len(requests))):
            asked = requests[index].prompt
            yield index, self.answers[asked if isinstance(asked, str) else asked[-1]["content"]]


class Judge:
    """Exact match worth 0.9; "crash" cannot be judged."""

    def judge(self, items):
        return [
            Verdict(0.0, "crash") if text == "crash" else Verdict(0.9 * (text == task.answer)) for task, text in items
        ]

    def close(self):
        pass


def test_an_endpoint_as_the_policy(tmp_path):
    tasks = [Task("a", "pa", "yes"), Task("b", "pb", "no"), Task("c", "pc", "")]
    answers = {
        "pa": [EndpointCompletion("yes", 3, False, 4), EndpointCompletion("no", 2, True, 4)],
        "pb": [EndpointCompletion("no", 5, False), EndpointCompletion("crash", 0, False)],
        "pc": None,
    }
    endpoint = FakeEndpoint(answers)
    limits = SamplingLimits(max_new_tokens=9, context=99, top_p=0.8, stop=(";",))
    play = endpoint_play(endpoint, tasks, Judge(), lambda score: float(score >= 0.9), limits=limits)
    found = run(tmp_path / "p", play, tasks, samples=2)
    assert found.task_ids == ("a", "b")
    assert found.failed == ("c",)
    assert found.successes.tolist() == [1, 1]
    assert found.generated_tokens.tolist() == [5, 5]
    assert found.prompt_tokens.tolist() == [4, 0]
    order = endpoint.requests[1]
    assert (order.prompt, order.n, order.temperature, order.max_tokens, order.top_p, order.stop) == (
        "pb", 2, 0.7, 9, 0.8, (";",),
    )  # fmt: skip
    assert len({order.seed for order in endpoint.requests}) == 3


def test_an_endpoint_gets_whole_conversations():
    messages = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "p"})
    endpoint = FakeEndpoint({"p": None})
    limits = SamplingLimits(max_new_tokens=9, context=99)
    play = endpoint_play(endpoint, [Task("a", "p", "yes", messages=messages)], Judge(), float, limits=limits)
    request = GroupRequest(id=1, task_id="a", row=0, n=1, temperature=1.0, seed=1, version=0, step=0)
    assert list(play([request])) == [(1, None)]
    assert endpoint.requests[0].prompt == messages


def test_rollouts_of_an_endpoint_column_by_column():
    tasks = [Task("a", "p", "yes")]
    answers = {"p": [EndpointCompletion("yes", 2, False, 1), EndpointCompletion("crash", 1, True, 1)]}
    play = endpoint_play(
        FakeEndpoint(answers), tasks, Judge(), float, limits=SamplingLimits(max_new_tokens=9, context=99)
    )
    request = GroupRequest(id=77, task_id="a", row=0, n=2, temperature=1.3, seed=1, version=4, step=2)
    ((request_id, rollouts),) = play([request])
    assert rollouts is not None
    first, second = rollouts
    assert request_id == 77
    assert (first.token_ids, first.loss_mask, first.logprobs) == ([0] * 3, [False, True, True], [0.0] * 3)
    assert (first.reward, first.text, first.temperature, first.version) == (0.9, "yes", 1.3, 4)
    assert (second.truncated, second.failure, second.reward) == (True, "crash", 0.0)
