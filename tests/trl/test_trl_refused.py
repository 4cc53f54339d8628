"""What contradicts a recipe, or TRL cannot honour, is refused when the trainer is made."""

import functools
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from transformers import Gemma2Config, Gemma2ForCausalLM

from rekindle.integrations.trl import RekindleTrainer
from rekindle.types import UserError


def odd(completions, **_):
    return [float(len(text) % 2) for text in completions]


def by_itself(prompts, trainer):
    raise AssertionError("is never called")


ROWS = [{"prompt": f"{number}+1="} for number in range(8)]


def rows(**more):
    return Dataset.from_list([row | more for row in ROWS])


def tables(recipe, **table):
    return {"recipe": {"recipe": recipe, **table}}


Given = dict[str, Any]
CASES: dict[str, tuple[Given, Given, str]] = {
    "a stream": (
        {"data": IterableDataset.from_generator(lambda: iter(ROWS))}, {},
        r"train_dataset is a IterableDataset, a stream .*load it whole",
    ),
    "no dataset": ({"data": None}, {}, r"train_dataset is None"),
    "images": ({"data": rows(image="a.png")}, {}, r"has images \(column \"image\"\).*remove the column"),
    "equal ids": ({"data": rows(id="same")}, {}, r'have the same id "same"; make the ids unique'),
    "a size beside a recipe that sizes groups": (
        {"recipe": "sgpo"}, {"num_generations": 4}, r"num_generations = 4 beside .*leave num_generations out",
    ),
    "a size beside single rollouts": (
        {"recipe": "c_rf_ntf"}, {"num_generations": 4}, r"num_generations = 4 .*leave num_generations out",
    ),
    "a batch that is not full groups": (
        tables("recycle", train={"group_size": 3}), {"num_generations": 8},
        r"a group has 3 rollouts, and the generation batch .* is 8; make it a multiple of 3",
    ),
    "continuous batching": (
        {}, {"use_transformers_continuous_batching": True}, r"use_transformers_continuous_batching = True .*leave it",
    ),
    "self-play": ({"recipe": "self_play"}, {}, r"makes its own prompts.*use rekindle train"),
    "an unknown recipe": ({"recipe": "recycel"}, {}, r"recycel.*recycle"),
    "a recipe that is no recipe": ({"recipe": 3}, {}, r"recipe is 3, and it takes a name"),
    "an unknown key": (tables("erpo", heating={"delt": 0.1}), {}, r"heating\.delt.*delta"),
    "an unknown table": (tables("erpo", heatings={"delta": 0.1}), {}, r"heatings.*heating"),
    "a key that TRL has": (
        tables("grpo", train={"learning_rate": 0.1}), {},
        r"train\.learning_rate belongs to TRL: GRPOConfig\(learning_rate=\.\.\.\)",
    ),
    "two rewards of one name": (
        {"reward": [odd, functools.partial(odd, key=1)]}, {}, r'two reward functions have the name "odd"; rename one',
    ),
    "rewards without weight": ({"reward": [odd]}, {"reward_weights": [0.0]}, r"has no weight above 0"),
    "a scale of the batch": ({}, {"scale_rewards": "batch"}, r'scale_rewards = "batch"'),
    "an advantage per reward": (
        {}, {"multi_objective_aggregation": "normalize_then_sum"}, r"set multi_objective_aggregation = ",
    ),
    "a temperature that contradicts": (
        tables("grpo", train={"temperature": 0.5}), {"temperature": 0.7}, r"temperature = 0\.7 contradicts",
    ),
    "several beams": ({}, {"generation_kwargs": {"num_beams": 2}}, r"generation_kwargs has 'num_beams'.*remove it"),
    "another sampling": ({}, {"generation_kwargs": {"typical_p": 0.9}}, r"generation_kwargs has typical_p = 0\.9"),
    "an optimizer step over generations": (
        {}, {"gradient_accumulation_steps": 4, "steps_per_generation": 2}, r"goes over several generations",
    ),
    "rollouts of a function": ({"rollout_func": by_itself}, {}, r"rollout_func samples by itself.*leave it out"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_one_sentence(name, tiny_model, tokenizer, args):
    given, changes, sentence = CASES[name]
    given = {"reward": odd, "data": Dataset.from_list(ROWS), "recipe": "grpo"} | given
    with pytest.raises(UserError, match=sentence) as found:
        RekindleTrainer(
            tiny_model,
            given.pop("reward"),
            args(**changes),
            given.pop("data"),
            processing_class=tokenizer,
            **given,
        )
    assert "\n" not in str(found.value)


def test_temperatures_that_a_head_cannot_have_are_refused(tokenizer, args):
    config = Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, intermediate_size=16, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        final_logit_softcapping=30.0,
    )  # fmt: skip

    def made(recipe):
        return RekindleTrainer(
            Gemma2ForCausalLM(config), odd, args(), Dataset.from_list(ROWS), processing_class=tokenizer, recipe=recipe
        )

    with pytest.raises(UserError, match=r"Gemma2ForCausalLM caps its logits .*turn raised temperatures off") as found:
        made("erpo")
    assert "\n" not in str(found.value)
    made("recycle")  # has one temperature
