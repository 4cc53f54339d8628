"""Metrics of another trainer's evaluation on held-out prompts, under the names of a run's own."""

from collections.abc import Iterable

__all__ = ["evaluated"]


def evaluated(rewards: Iterable[float], threshold: float, *, greedy: bool = False) -> dict[str, float]:
    """``eval/accuracy``, the share of rewards that reach the threshold, and ``eval/reward``, their mean.

    ``eval/greedy`` and ``eval/greedy_reward`` of greedy completions. Empty without rewards.

    Args:
        rewards: Of every completion that was judged.
        threshold: ``task.success_threshold``.
        greedy: Whether the completions are the most probable ones.
    """
    known = list(rewards)
    if not known:
        return {}
    accuracy, reward = ("eval/greedy", "eval/greedy_reward") if greedy else ("eval/accuracy", "eval/reward")
    return {accuracy: sum(one >= threshold for one in known) / len(known), reward: sum(known) / len(known)}
