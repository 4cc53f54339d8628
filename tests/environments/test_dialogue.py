"""Environments of one's own: the tokens of a conversation, its limits, and objects that fail."""

import pytest
import torch

from rekindle.engines.engine import SamplingLimits
from rekindle.engines.torch_engine import TorchEngine
from rekindle.environments.dialogue import Dialogue, DialogueLimits, Frame, frame_of
from rekindle.environments.search.codec import PolicyCodec
from rekindle.notices import RekindleWarning
from rekindle.testing import check_environment
from rekindle.types import GroupRequest, Task, TrainingSample, UserError
from rekindle.warm_starts.tiny_model import build_tiny
from search_cases import TEMPLATE, CharacterCodec, ScriptedEngine, bpe_policy

CODEC = CharacterCodec()
TASKS = [Task("a", "2+3", "5"), Task("b", "4*4", "16")]


class Calculator:
    """`=sum` is computed; anything else is the answer."""

    def begin(self, task):
        return {"task": task, "asked": 0}

    def respond(self, state, text):
        text = text.rstrip("$\n")
        if text.startswith("="):
            state["asked"] += 1
            left, right = text[1:].split("+")
            return str(int(left) + int(right))
        return float(text == state["task"].answer)


def dialogue(partner, script, *, context=200, new=50, turns=4, turn_tokens=None, reply=20, frame=None):
    """A conversation in single characters; replies stand between "U:" and "$A:"."""
    return Dialogue(
        TASKS,
        partner=partner,
        encode=lambda task: CODEC.own(f"U:{task.prompt}$A:"),
        codec=CODEC,
        frame=frame or Frame(CODEC.own("$U:"), CODEC.own("$A:")),
        engine=ScriptedEngine(CODEC, script),
        limits=DialogueLimits(SamplingLimits(new, context), turns, turn_tokens, reply),
    )


def played(world, n=2, row=0):
    request = GroupRequest(id=7, task_id="a", row=row, n=n, temperature=1.0, seed=3, version=2, step=1)
    ((request_id, rollouts),) = world.play([request])
    assert request_id == 7
    return rollouts


def asks_first(said, sample):
    return "5$" if said.count("A:") == 2 else "=2+3$"


def test_a_conversation_with_a_tool():
    world = dialogue(Calculator(), asks_first)
    first, second = played(world)
    assert first == second
    assert first.reward == 1.0
    assert first.failure is None
    assert not first.truncated
    assert first.turns == 2
    assert CODEC.decode(first.token_ids) == "U:2+3$A:=2+3$U:5$A:5$"
    sampled = "".join(chr(one) for one, kept in zip(first.token_ids, first.loss_mask, strict=True) if kept)
    assert sampled == "=2+3$5$", "the end token that the policy wrote is not written a second time, and is trained on"
    assert world.counts == {"dialogue/turns": 4, "dialogue/replies_cut": 0}
    check_environment(dialogue(Calculator(), asks_first), 2)


def test_every_conversation_has_a_state_of_its_own():
    class Counts:
        def begin(self, task):
            return []

        def respond(self, state, text):
            state.append(text)
            return float(len(state)) if len(state) == 3 else f"so far {len(state)}"

    assert [one.reward for one in played(dialogue(Counts(), lambda said, sample: "x$"), n=5)] == [3.0] * 5


def test_without_begin_the_state_is_the_task():
    class Judge:
        def respond(self, state, text):
            return -0.5 if state is TASKS[1] else 7

    assert [played(dialogue(Judge(), asks_first), row=row)[0].reward for row in (0, 1)] == [7.0, -0.5]


class Endless:
    def __init__(self, reply="go on"):
        self.reply = reply

    def respond(self, state, text):
        return self.reply


@pytest.mark.parametrize(
    ("limits", "turns"),
    [
        ({"turns": 3}, 3),
        ({"turns": 99, "new": 7}, 4),  # two characters a turn, and a seventh
        ({"turns": 99, "new": 500, "context": 60, "reply": 4}, None),
        ({"turns": 99, "new": 500, "context": 60, "reply": 1000}, None),
    ],
)
def test_an_environment_that_never_ends_is_ended_by_the_limits(limits, turns):
    (only,) = played(dialogue(Endless("x" * 1000), lambda said, sample: "hm$"[-2:], **limits), n=1)
    assert only.truncated
    assert only.reward == 0
    assert only.failure is None
    assert len(only.token_ids) <= limits.get("context", 200)
    assert sum(only.loss_mask) <= limits.get("new", 50)
    assert turns is None or only.turns == turns


def test_replies_are_cut_and_have_no_control_tokens():
    world = dialogue(Endless("$" + "y" * 30), lambda said, sample: "a$", turns=2, reply=5)
    (only,) = played(world, n=1)
    assert CODEC.decode(only.token_ids).endswith("a$U:yyyyy$A:a$")
    assert world.counts["dialogue/replies_cut"] == 1


def test_turns_have_a_limit_of_their_own():
    (only,) = played(dialogue(Endless(), lambda said, sample: "z" * 40, turn_tokens=3, turns=2), n=1)
    assert CODEC.decode(only.token_ids) == "U:2+3$A:zzz$U:go on$A:zzz"


class Broken:
    def __init__(self, result=None, error=None):
        self.result, self.error = result, error

    def respond(self, state, text):
        if self.error:
            raise self.error
        return self.result


@pytest.mark.parametrize(
    ("partner", "words"),
    [
        (Broken(error=KeyError("answer")), "the environment's respond raised KeyError: 'answer'"),
        (Broken(error=RuntimeError("a\nb")), "raised RuntimeError: a b"),
        (Broken(result=None), "returned a NoneType; return text, or a number as the reward"),
        (Broken(result=float("nan")), "returned nan; a reward is a finite number"),
        (Broken(result=["x"]), "returned a list"),
        (Broken(result=""), "returned an empty text"),
    ],
)
def test_an_object_that_fails_is_no_evidence_about_the_policy(partner, words):
    with pytest.warns(RekindleWarning, match="groups of such rollouts fail") as caught:
        rollouts = played(dialogue(partner, asks_first))
    assert words in str(caught[0].message)
    assert [(one.reward, one.void, one.failure) for one in rollouts] == [(0.0, True, "environment")] * 2


def test_an_object_that_cannot_begin():
    class NoStart(Calculator):
        def begin(self, task):
            raise ValueError("no game")

    with pytest.warns(RekindleWarning, match="the environment's begin raised ValueError: no game"):
        assert all(one.void for one in played(dialogue(NoStart(), asks_first)))


def test_a_prompt_without_room_fails():
    assert played(dialogue(Calculator(), asks_first, context=8)) is None


def test_the_frame_is_that_of_the_chat_template():
    policy = bpe_policy()
    codec = PolicyCodec(policy)
    frame = frame_of(codec, templated=True)
    decode = policy.tokenizer.decode
    assert decode(frame.before) == "<|im_end|>\n<|im_start|>user\n"
    assert decode(frame.after) == "<|im_end|>\n<|im_start|>assistant\n"
    assert frame_of(CODEC, templated=False) == Frame([10], [10], is_line=True)


def test_a_template_that_changes_earlier_turns_is_refused():
    forgets = TEMPLATE.replace(
        "m.content + '<|im_end|>", "(m.content if loop.index0 > loop.length - 3 else '') + '<|im_end|>"
    )
    policy = bpe_policy(forgets)
    with pytest.raises(UserError, match="renders earlier turns differently"):
        frame_of(PolicyCodec(policy), templated=True)


def test_log_probabilities_are_those_the_trainer_computes():
    policy = build_tiny(layers=2, hidden_size=32, max_length=64)
    codec = PolicyCodec(policy)
    world = Dialogue(
        [Task("a", "abc", "")],
        partner=Endless("hello"),
        encode=lambda task: policy.encode_prompt(task.prompt),
        codec=codec,
        frame=frame_of(codec, templated=False),
        engine=TorchEngine(policy),
        limits=DialogueLimits(SamplingLimits(30, policy.max_length), 3, 6, 4),
    )
    for rollout in played(world, n=8):
        assert 1 < rollout.turns <= 3
        sample = TrainingSample(
            token_ids=rollout.token_ids,
            loss_mask=rollout.loss_mask,
            logprobs=rollout.logprobs,
            advantages=[0.0] * len(rollout.token_ids),
            temperature=1.0,
            weight=1.0,
        )
        with torch.no_grad():
            scored = policy.token_logprobs([sample]).logprobs
        behaviour = [value for value, kept in zip(rollout.logprobs, rollout.loss_mask, strict=True) if kept]
        assert (scored - torch.tensor(behaviour)).abs().max() < 1e-4


@pytest.mark.parametrize("turn", ["=2+3", "=2+3\n"])
def test_without_a_chat_template_a_reply_is_a_line(turn):
    def script(said, sample):
        return turn if said.count("=") == 0 else "5\n"

    (only,) = played(dialogue(Calculator(), script, frame=frame_of(CODEC, templated=False)), n=1)
    assert CODEC.decode(only.token_ids) == "U:2+3$A:=2+3\n5\n5\n"
