"""Search self-play (SSP)."""

from rekindle.config import Config
from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.rollouts import EngineTable
from rekindle.config.tables.search import SearchTable
from rekindle.config.tables.self_play import SelfPlayTable
from rekindle.config.tables.task import TaskTable
from rekindle.config.tables.training import TrainTable

__all__ = ["self_play"]


def self_play() -> Config:
    """Search self-play (arXiv 2510.18821): the policy proposes search questions and solves them.

    The proposer is trained by REINFORCE with reward 1 - success of the solver, the solver by GRPO with groups of 5. A
    question is valid only if the policy can answer it from the documents found for it, with those of 4 other
    trajectories mixed in, and only if a rollout of the solver solves it. The second condition is ours: most questions
    that are accepted and never solved are wrong, and would earn their proposer the highest reward. Steps with too few
    valid questions are filled with earlier ones, which are discarded every 10 steps. The paper's settings: clip 0.2 /
    0.285, KL 0.01 to the start policy, temperature 1, 10 turns, 3 documents; its batch of 256 seeds and its learning
    rate of 1e-6 are for models of 3 to 14 billion parameters.
    """
    return Config(
        recipe="self_play",
        task=TaskTable(source="self_play"),
        search=SearchTable(max_turns=10, documents=3),
        self_play=SelfPlayTable(fill="replay_reset", proposer_estimator="reinforce", proposer_reward="difficulty"),
        train=TrainTable(group_size=5),
        loss=LossTable(clip_low=0.2, clip_high=0.285, kl_coefficient=0.01),
        engine=EngineTable(max_new_tokens=2048),
    )
