"""Top-ups: rules for further rollouts of a prompt after its first ones are judged."""

from collections.abc import Callable, Sequence

from rekindle.scheduling.arguments import check_bounds

__all__ = ["TopUp", "continue_mixed", "until_balanced"]

TopUp = Callable[[Sequence[float], int], int]
"""(rewards of the prompt's rollouts, rounds played, at least 1) -> number of further rollouts; 0 ends the group."""


def continue_mixed(more: int = 20) -> TopUp:
    """SPEED-RL (arXiv 2506.09016): the first round screens; a group with signal gets ``more`` rollouts, once.

    The paper screens with 4 rollouts, continues with 20 and trains on all 24. Groups without signal end after the
    screening, which saves their further rollouts.
    """
    check_bounds("give at least 1, or no top-up", ge=1, more=more)
    return lambda rewards, rounds: more if rounds == 1 and max(rewards) > min(rewards) else 0


def until_balanced(size: int, round_size: int = 8, max_rounds: int = 4, success_at: float = 0.5) -> TopUp:
    """Reinforce-Ada (arXiv 2510.04996): rounds of rollouts until there are enough successes and failures.

    A prompt is sampled in rounds of ``round_size`` until at least size / 2 rollouts are right and at least size / 2
    are wrong, or until ``max_rounds`` rounds were played, the first one included.

    Args:
        size: Rollouts that are trained on in the end, half of each kind.
        round_size: Rollouts of a further round.
        max_rounds: Largest number of rounds; very easy and very hard prompts reach it.
        success_at: A reward of at least this much is a success.
    """
    check_bounds("give at least 1", ge=1, size=size, round_size=round_size, max_rounds=max_rounds)

    def more(rewards: Sequence[float], rounds: int) -> int:
        right = sum(reward >= success_at for reward in rewards)
        balanced = 2 * min(right, len(rewards) - right) >= size
        return 0 if balanced or rounds >= max_rounds else round_size

    return more
