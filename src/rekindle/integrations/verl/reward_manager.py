"""verl's reward manager with the prompt of each response, judged by rekindle's verifiers.

reward.reward_manager.source=importlib
reward.reward_manager.module.path=pkg://rekindle.integrations.verl.reward_manager
reward.reward_manager.name=PromptRewardManager
"""

from typing import Any

import numpy as np
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

from rekindle.integrations.verl import reward
from rekindle.integrations.verl.reward import PROMPT, THOUGHT
from rekindle.verifiers.completions import opened_thought

__all__ = ["PromptRewardManager"]

LAST_TOKENS = 16
"""Tokens at the end of a prompt in which the mark of a thought is looked for."""


class PromptRewardManager(NaiveRewardManager):
    """Calls ``reward.custom_reward_function``, or else ``reward.compute_score``, with the prompt in ``extra_info``.

    ``prompt`` has the chat messages, ``opened_thought`` the mark with which the rendered prompt begins a thought.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **others: Any) -> None:
        own = config.reward.custom_reward_function.path is None
        super().__init__(config, tokenizer, reward.compute_score if own else compute_score, **others)

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The reward of the last response in ``data``, a ``DataProto`` of one trajectory; see verl's base class."""
        last = data[-1:]
        item = last[0]
        told = dict(item.non_tensor_batch.get("extra_info") or {})
        told[PROMPT] = list(item.non_tensor_batch["raw_prompt"])
        told[THOUGHT] = opened_thought(self._end_of_prompt(item))
        last.non_tensor_batch["extra_info"] = np.array([told], dtype=object)
        result: dict[str, Any] = await super().run_single(last)
        return result

    def _end_of_prompt(self, item: Any) -> str:
        """The last tokens of the rendered prompt; the batch has it padded on the right."""
        length = int(item.non_tensor_batch.get("prompt_len", item.batch["prompts"].shape[-1]))
        return str(self.tokenizer.decode(item.batch["prompts"][max(0, length - LAST_TOKENS) : length]))
