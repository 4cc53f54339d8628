"""verl's own reward path with the prompts of rows: batches as its agent loops make them."""

import asyncio

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto

from rekindle.integrations.verl.reward_manager import PromptRewardManager


class Characters:
    """A tokenizer with a token per character; 0 is padding."""

    def decode(self, ids, skip_special_tokens=False):
        return "".join(chr(int(one)) for one in ids if int(one))


def config(path=None):
    return OmegaConf.create({"reward": {"custom_reward_function": {"path": path, "name": "compute_score"}}})


def batch(prompt, response, rendered=None, **row):
    """One rollout, its prompt padded on the right as in a trajectory of several outputs."""
    rendered = prompt if rendered is None else rendered
    prompts = torch.tensor([[*map(ord, rendered), 0, 0, 0]])
    responses = torch.tensor([list(map(ord, response))])
    everything = torch.cat([prompts, responses], dim=1)
    tensors = TensorDict(
        {"prompts": prompts, "responses": responses, "attention_mask": torch.ones_like(everything)}, batch_size=1
    )
    messages = [{"role": "user", "content": prompt}]
    fields = {"raw_prompt": messages, "data_source": "nq", "extra_info": {"index": 3}, **row}
    names = {name: np.array([value]) for name, value in fields.items()}
    return DataProto(batch=tensors, non_tensor_batch={**names, "prompt_len": np.array([len(rendered)])})


def judged(data, judge=None, path=None):
    async def run():
        return await PromptRewardManager(config(path), Characters(), judge).run_single(data)

    return asyncio.run(run())


@pytest.mark.parametrize(("said", "right"), [("<answer>Paris</answer>", 1.0), ("<answer>Rome</answer>", 0.0)])
def test_a_row_of_search_r1_is_judged_as_verl_asks(said, right):
    data = batch("Capital of France?", said, reward_model={"ground_truth": {"target": ["Paris"]}})
    result = judged(data)
    assert result["reward_score"] == right
    assert result["reward_extra_info"] == {"score": right, "acc": right, "unjudged": 0.0}


@pytest.mark.parametrize(("rendered", "mark"), [("ends\n<think>\n", "<think>"), ("<think>ends</think>", ""), ("", "")])
def test_the_function_is_told_the_prompt_and_an_open_thought(rendered, mark):
    seen = {}

    def judge(data_source, solution_str, ground_truth, extra_info):
        seen.update(extra_info, source=data_source, said=solution_str, truth=ground_truth)
        return 0.5

    data = batch("Why?", "Because.", rendered, reward_model={"ground_truth": "So."})
    assert judged(data, judge, "pkg://some.module")["reward_score"] == 0.5
    assert (seen["source"], seen["said"], seen["truth"], seen["index"]) == ("nq", "Because.", "So.", 3)
    assert seen["prompt"] == [{"role": "user", "content": "Why?"}]
    assert seen["opened_thought"] == mark


def test_the_row_itself_stays_as_it_is():
    data = batch("Why?", "Because.", reward_model={"ground_truth": "So."})
    judged(data)
    assert data.non_tensor_batch["extra_info"][0] == {"index": 3}


def test_an_answer_in_an_open_thought_is_none():
    row = {"reward_model": {"ground_truth": "Paris"}}
    thinks = "Capital of France?<think>\n"
    assert judged(batch("", "Paris", thinks, **row))["reward_score"] == 0.0
    assert judged(batch("", "Hm.</think>Paris", thinks, **row))["reward_score"] == 1.0


def test_a_mistake_of_the_data_is_an_error_and_no_reward():
    from rekindle.types import UserError

    with pytest.raises(UserError, match="no reference answer"):
        judged(batch("Why?", "Because.", reward_model={"ground_truth": ""}))
