from rekindle import Task
from rekindle.engines.engine import SamplingLimits
from rekindle.environments.single_turn import SingleTurn
from rekindle.testing import FakeEngine, check_environment
from rekindle.types import GroupRequest
from rekindle.verifiers.verifier import Verdict

TASKS = [Task(f"t{row}", "abc"[: 1 + row % 3], "yes") for row in range(7)]


class Judge:
    """Right answers score 0.8; an answer "crash" cannot be judged."""

    def judge(self, items):
        return [
            Verdict(0.0, "crash") if text == "crash" else Verdict(0.8 * (text == task.answer)) for task, text in items
        ]

    def close(self):
        pass


def environment(reply, context=10, thought=lambda prompt: "", **limits):
    return SingleTurn(
        TASKS,
        encode=lambda text: [ord(character) for character in text],
        engine=FakeEngine(reply),
        verifier=Judge(),
        reward=lambda score: float(score >= 0.8),
        limits=SamplingLimits(max_new_tokens=5, context=context, **limits),
        thought=thought,
    )


def request(row, n=2, temperature=1.0, seed=0):
    return GroupRequest(id=row, task_id=f"t{row}", row=row, n=n, temperature=temperature, seed=seed, version=3, step=1)


def test_conforms():
    check_environment(environment(lambda order, index: "yes"), tasks=7)


def test_columns_by_hand():
    replies = {0: ["yes", "no"], 1: ["crash", "toolong"]}
    world = environment(lambda order, index: replies[order.seed][index])
    played = dict(world.play([request(0, seed=0), request(1, seed=1)]))
    first, second = played[0]
    assert first.token_ids == [97, 121, 101, 115]
    assert first.loss_mask == [False, True, True, True]
    assert first.logprobs == [0.0, -1.0, -1.0, -1.0]
    assert (first.reward, second.reward, first.text, first.version) == (1.0, 0.0, "yes", 3)
    crashed, cut = played[1]
    assert (crashed.reward, crashed.failure) == (0.0, "crash")
    assert (cut.truncated, cut.text, cut.failure) == (True, "toolo", None)


def test_a_completion_is_judged_behind_the_thought_that_its_prompt_begins():
    world = environment(lambda order, index: "yes", thought=lambda prompt: "<t>" if prompt == [97] else "")
    played = dict(world.play([request(0), request(1)]))
    assert [(rollout.reward, rollout.text) for rollout in played[0]] == [(0.0, "yes")] * 2
    assert [rollout.reward for rollout in played[1]] == [1.0, 1.0]


def test_limits_temperature_and_seed_reach_the_engine():
    world = environment(lambda order, index: "no", top_p=0.9, min_p=0.1, stop=(";",))
    list(world.play([request(2, n=3, temperature=1.4, seed=99)]))
    (order,) = world._engine.requests
    assert (order.n, order.temperature, order.seed) == (3, 1.4, 99)
    assert (order.top_p, order.min_p, order.stop, order.max_new_tokens) == (0.9, 0.1, (";",), 5)


def test_a_prompt_that_leaves_no_room_fails_and_the_others_go_on():
    played = dict(environment(lambda order, index: "yes", context=3).play([request(row) for row in range(3)]))
    assert played[2] is None
    assert [(rollout.text, rollout.truncated) for rollout in played[0]] == [("ye", True)] * 2, "two tokens are left"


def test_a_response_has_a_limit_of_its_own_beside_the_context():
    world = environment(lambda order, index: "no", context=9, response=2)
    played = dict(world.play([request(row, n=1) for row in range(3)]))
    assert [order.max_new_tokens for order in world._engine.requests] == [2, 2, 2], "whatever the prompt's length"
    assert [len(rollouts[0].token_ids) for rollouts in played.values()] == [3, 4, 5]
    assert world.room(TASKS[2]) == 2


def test_seconds_grow():
    world = environment(lambda order, index: "yes")
    before = dict(world.seconds)
    list(world.play([request(0)]))
    assert world.seconds["generate"] > before["generate"]
    assert world.seconds["verify"] > before["verify"]
