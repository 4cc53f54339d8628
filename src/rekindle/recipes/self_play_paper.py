"""Search self-play as in its paper alone (arXiv 2510.18821), without the checks that are ours."""

from rekindle.config import Config
from rekindle.config.tables.credit import AdvantageTable, LossTable
from rekindle.config.tables.rollouts import EngineTable
from rekindle.config.tables.search import SearchTable
from rekindle.config.tables.self_play import CheckTable, FiltersTable, SelfPlayTable
from rekindle.config.tables.task import TaskTable
from rekindle.config.tables.training import TrainTable

__all__ = ["self_play_paper"]


def self_play_paper() -> Config:
    """The paper's self-play: rule filters and RAG check alone, every group trained on, one role after the other.

    Switched off are the refusals of questions that are known without documents, nearly equal to others (equal ones are
    refused, because the pool holds each question once), ambiguous, or solved by no rollout, and the reference policy
    that measures difficulty.
    The solver's advantage is the reward less the group's mean, without the division by the standard deviation.
    """
    return Config(
        recipe="self_play_paper",
        task=TaskTable(source="self_play"),
        search=SearchTable(max_turns=10, documents=3),
        self_play=SelfPlayTable(
            fill="replay_reset",
            reset_every=10,
            proposer_estimator="reinforce",
            proposer_reward="difficulty",
            updates="proposer_first",
            reference_samples=0,
        ),
        filters=FiltersTable(
            min_characters=10, max_characters=1000, min_searches=1, near_duplicate=1, ambiguous="allowed"
        ),
        check=CheckTable(noise=4, closed_book=0, unsolved="allowed"),
        train=TrainTable(groups_per_step=256, group_size=5, gate="everything", learning_rate=1e-6),
        advantage=AdvantageTable(estimator="dr_grpo"),
        loss=LossTable(clip_low=0.2, clip_high=0.285, kl_coefficient=0.01),
        engine=EngineTable(max_new_tokens=2048),
    )
