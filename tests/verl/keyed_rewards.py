"""Rewards by the request's seed and the session's number: what is written does not count, so any engine gets the same.

verl loads the manager by the path of this file.
"""

import hashlib

from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase


def level_of(index):
    """How often a prompt is solved, in quarters; 0: never, 3: always, until its temperature is raised."""
    return hashlib.sha256(str(index).encode()).digest()[0] % 4


def keyed_reward(index, seed, session):
    """0 or 1."""
    dice = hashlib.sha256(f"{seed}/{session}".encode()).digest()[0]
    return float(dice < (0, 90, 200, 256)[level_of(index)])


class KeyedRewards(RewardManagerBase):
    """Judges by what a row is asked for."""

    def __init__(self, config, tokenizer, compute_score, **_):
        super().__init__(config, tokenizer, compute_score)

    async def run_single(self, data):
        row = data[-1:].non_tensor_batch
        seed = int(row["rekindle_seed"][0]) if "rekindle_seed" in row else 0  # of held-out prompts
        session = int(row["session_id"][0])
        reward = keyed_reward(row["extra_info"][0]["index"], seed, session)
        return {"reward_score": reward, "reward_extra_info": {}}
