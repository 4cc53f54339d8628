"""Search rollouts of a real engine with a real model and a real index, as the trainer sees them."""

from dataclasses import replace

import pytest
import torch

from fast import sample
from rekindle.engines.torch_engine import TorchEngine
from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.search.tool_calls import ToolCalls
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.types import Document, Task, TrainingSample
from rekindle.warm_starts.tiny_model import build_tiny
from search_cases import bpe_policy, environment, order, sampled_runs, shown_runs

TAGS = ["<search>", "</search>", "<answer>", "</answer>", "<information>", "</information>"]
NAMES = ["ka", "lo", "me"]
CORPUS = [Document(f"{a}{b}", f"{a} {b}", f"{a} {b} boss {b}") for a in NAMES for b in NAMES]
TASKS = [Task("0", "boss ka lo ?", ("lo", "me", "ka")), Task("1", "boss me ?", "me")]
POLICY = build_tiny(words=[*TAGS, *NAMES, "boss", "?"], layers=2, hidden_size=32, max_length=160)


@pytest.fixture(scope="module")
def index():
    found = LexicalIndex.in_memory(CORPUS)
    yield found
    found.close()


def tiny_world(index, **options):
    return environment(
        None,
        index,
        codec=PolicyCodec(POLICY),
        engine=TorchEngine(POLICY),
        tasks=TASKS,
        prompt="{question}",
        document_format="{text} ",
        **{"context": POLICY.max_length, "max_new_tokens": 60, "turn_tokens": 20, "answer_tokens": 6, "documents": 2}
        | options,
    )


def sample_of(rollout):
    count = len(rollout.token_ids)
    return TrainingSample(
        token_ids=rollout.token_ids,
        loss_mask=rollout.loss_mask,
        logprobs=rollout.logprobs,
        advantages=[0.0] * count,
        temperature=rollout.temperature,
        weight=1.0,
    )


def all_rollouts(world, temperature=1.0, n=24):
    played = dict(world.play([replace(order(row, n=n, seed=row + 5), temperature=temperature) for row in (0, 1)]))
    return [rollout for rollouts in played.values() for rollout in rollouts]


@pytest.mark.parametrize("temperature", sample([1.0, 1.3], 1.3))
def test_log_probabilities_are_those_the_trainer_computes(index, temperature):
    rollouts = all_rollouts(tiny_world(index), temperature)
    for rollout in rollouts:
        with torch.no_grad():
            scored = POLICY.token_logprobs([sample_of(rollout)]).logprobs
        behaviour = [value for value, sampled in zip(rollout.logprobs, rollout.loss_mask, strict=True) if sampled]
        assert (scored - torch.tensor(behaviour)).abs().max() < 1e-4
    assert len({rollout.turns for rollout in rollouts}) >= 3
    assert sum(len(rollout.retrievals) for rollout in rollouts) >= 5


def test_budgets_hold_and_replies_are_not_trained_on(index):
    world = tiny_world(index)
    rollouts = all_rollouts(world)
    opening = POLICY.tokenizer.convert_tokens_to_ids("<information>")
    for rollout in rollouts:
        assert len(rollout.token_ids) <= POLICY.max_length
        assert rollout.generated_tokens <= 60
        assert all(len(ids) <= 20 for ids in sampled_runs(rollout))
        for shown in shown_runs(rollout):
            assert shown[0] == opening or POLICY.decode(shown) == "<answer>"
    assert world.counts["search/forced_answers"] > 0
    assert world.counts["search/queries"] == sum(len(rollout.retrievals) for rollout in rollouts)
    assert world.counts["search/turns"] == sum(rollout.turns for rollout in rollouts)


def test_rollouts_depend_on_their_seed_alone(index):
    together = dict(tiny_world(index).play([order(0, n=3, seed=5), order(1, n=3, seed=6)]))
    alone = dict(tiny_world(index).play([order(1, n=3, seed=6)]))
    assert [one.token_ids for one in alone[1]] == [one.token_ids for one in together[1]]
    assert [one.reward for one in alone[1]] == [one.reward for one in together[1]]


def test_a_small_vocabulary_leaves_out_what_it_cannot_say(index):
    codec = PolicyCodec(POLICY)
    assert POLICY.decode(codec.own("\n\n<information> That was no search. </information>")) == " ".join(TAGS[4:])
    assert codec.own("boss of ka") == codec.own("boss ka")


def test_tool_calls_with_a_model_that_knows_nothing(index):
    policy = bpe_policy()
    codec = PolicyCodec(policy)
    world = environment(
        None,
        index,
        codec=codec,
        engine=TorchEngine(policy),
        protocol=ToolCalls(3, codec),
        tasks=TASKS,
        context=1500,
        max_new_tokens=300,
        turn_tokens=200,
        answer_tokens=10,
    )
    for rollout in all_rollouts(world, n=3):
        with torch.no_grad():
            scored = policy.token_logprobs([sample_of(rollout)]).logprobs
        behaviour = [value for value, sampled in zip(rollout.logprobs, rollout.loss_mask, strict=True) if sampled]
        assert (scored - torch.tensor(behaviour)).abs().max() < 1e-4
        assert rollout.reward == 0.0
