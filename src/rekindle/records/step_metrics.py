"""Step metrics: the numbers of a step and their running totals, one line of ``metrics.jsonl``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rekindle.records.flops import flops
from rekindle.records.supply import Supplied
from rekindle.records.update_stats import UpdateStats
from rekindle.scheduling.group_records import GroupRecord, step_counts
from rekindle.scheduling.pools import Pool
from rekindle.types import Fate, Outcome, TrainingSample

__all__ = ["SUMMED", "Totals", "pool_metrics", "step_metrics", "update_metrics"]

SUMMED = (
    "seconds",
    "cpu_seconds",
    "rollouts",
    "generated_tokens",
    "prompt_tokens",
    "tool_tokens",
    "trained_tokens",
    "flops",
    "flops_sgpo",
)
"""Keys that are also summed over the run, under ``total_`` + key."""


_OF_THE_UPDATE = (
    "loss",
    "entropy",
    "grad_norm",
    "lr",
    "kl",
    "clip_fraction",
    "padded_tokens",
    "computed_tokens",
    "recomputed_tokens",
    "moved",
)
_NAMED = {"policy_gap": "gap", "policy_gap/outside": "gap_outside", "optimizer/skipped": "skipped_steps"}
"""Metrics of the update whose key is not the attribute's name."""


@dataclass(slots=True)
class Totals:
    """Running sums, saved in checkpoints."""

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))

    def add(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Add a step and return the sums under their ``total_`` keys."""
        for key in SUMMED:
            self.sums[key] += metrics[key]
        return {f"total_{key}": value for key, value in self.sums.items()}

    @property
    def spent(self) -> dict[str, float]:
        """What was spent of each budget, by its setting."""
        return {"train.rollouts": self.sums["rollouts"], "train.tokens": self.sums["generated_tokens"]}

    def with_step(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The sums with a further step that is not added yet; its missing keys count as 0."""
        return {key: value + metrics.get(key, 0) for key, value in self.sums.items()}


def step_metrics(
    records: Sequence[GroupRecord],
    samples: Sequence[TrainingSample],
    update: UpdateStats | None,
    *,
    version: int = 0,
    parameters: int = 0,
    base_temperature: float = 1.0,
    levels: Sequence[int] = (),
    supplied: Supplied | None = None,
) -> dict[str, Any]:
    """Metrics of a step from its groups and its update.

    Args:
        records: Records of the step's groups.
        samples: The batch.
        update: Numbers of the update; None without one.
        version: Policy version before the update.
        parameters: Number of parameters, P.
        base_temperature: Groups sampled above it count as hot, and as revived if they carried signal.
        levels: Difficulty of the prompt in each row of the pool, where tasks have one.
        supplied: Result of the supply, with the proposer's records in self-play. Rollouts, tokens and FLOPs are those
            of both roles; metrics of groups are those of the solver.
    """
    supplied = supplied or Supplied()
    judged = [one for one in records if one.outcome is not None]
    rollouts = sum(one.request.n for one in judged)
    peaks = [max(map(abs, sample.advantages)) for sample in samples]
    ages = [version - sample.version for sample in samples]
    return {
        **step_counts(records),
        **_proposer_fates(supplied.records),
        **update_metrics([*records, *supplied.records], update, parameters, supplied.further_tokens),
        "reward/mean": sum(one.reward_sum for one in judged) / rollouts if judged else None,
        "completion/length_mean": sum(one.generated_tokens for one in judged) / rollouts if judged else None,
        "completion/truncated": sum(one.truncated for one in judged) / rollouts if judged else None,
        "advantage/abs_mean": sum(peaks) / len(peaks) if peaks else 0.0,
        "staleness/mean": sum(ages) / len(ages) if ages else None,
        "staleness/max": max(ages, default=None),
        **_temperatures(records, base_temperature),
        "verify/failures": sum(one.verifier_failures for one in records),
        **_by_level(records, levels),
        **supplied.metrics,
    }


def update_metrics(
    records: Sequence[GroupRecord],
    update: UpdateStats | None,
    parameters: int = 0,
    further_tokens: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """Metrics of a step that depend on its update: numbers of the update, and rollouts, tokens and FLOPs.

    Args:
        records: Records of the step's groups, of all roles.
        update: Numbers of the update; None without one.
        parameters: Number of parameters, P.
        further_tokens: Prompt tokens and sampled tokens outside of rollouts.
    """
    return {
        **_costs(records, further_tokens, update, parameters),
        **{key: getattr(update, key) if update else None for key in _OF_THE_UPDATE},
        **{key: getattr(update, name) if update else None for key, name in _NAMED.items()},
    }


def pool_metrics(pool: Pool, *, starving: bool) -> dict[str, float]:
    """Metrics of the pool after a step."""
    return {
        "pool/live": pool.live,
        "pool/size": len(pool.history),
        "pool/resets": pool.resets,
        "pool/starving": int(starving),
        **pool.metrics(),
    }


def _costs(
    records: Sequence[GroupRecord], further_tokens: tuple[int, int], update: UpdateStats | None, parameters: int
) -> dict[str, Any]:
    """Rollouts, tokens and FLOPs.

    ``flops`` (see ``records.flops``) count prompts once per group, as the engine shares their prefill, sampled tokens,
    tool tokens and recomputed log-probabilities as read once, and tokens of forward and backward without padding: rows
    without an advantage cost no update.

    ``flops_sgpo`` is the account of the sGPO paper (arXiv 2606.08854): 12P per token of a training rollout, its prompt
    included, whether or not it was trained on, and 2P per token that was only read or sampled beside training.

    Args:
        records: Records of all roles.
        further_tokens: Prompt tokens and sampled tokens outside of rollouts.
        update: Numbers of the update; None without one.
        parameters: Number of parameters, P.
    """
    generated, prompts, tools = (
        sum(getattr(one, f"{kind}_tokens") for one in records) for kind in ("generated", "prompt", "tool")
    )
    of_rollouts, beside = generated + prompts + tools, sum(further_tokens)
    prefilled = sum(one.prompt_tokens / one.request.n for one in records) + further_tokens[0]
    prompts, generated = prompts + further_tokens[0], generated + further_tokens[1]
    forward = generated + tools + prefilled + (update.recomputed_tokens if update else 0)
    trained = update.computed_tokens - update.padded_tokens if update else 0
    return {
        "rollouts": sum(one.request.n for one in records),
        "generated_tokens": generated,
        "prompt_tokens": prompts,
        "tool_tokens": tools,
        "trained_tokens": update.trained_tokens if update else 0,
        "flops": flops(parameters, forward=forward, trained=trained),
        "flops_sgpo": parameters * (12 * of_rollouts + 2 * beside),
    }


def _temperatures(records: Sequence[GroupRecord], base: float) -> dict[str, float | None]:
    temperatures = [one.request.temperature for one in records]
    hot = [one for one in records if one.request.temperature > base]
    return {
        "temperature/mean": sum(temperatures) / len(temperatures) if temperatures else None,
        "temperature/max": max(temperatures, default=None),
        "groups/hot": len(hot),
        "groups/revived": sum(one.outcome is Outcome.MIXED for one in hot),
    }


def _proposer_fates(records: Sequence[GroupRecord]) -> dict[str, int]:
    """Counts of the proposer's groups by fate; empty without a proposer."""
    fates = Counter(one.fate for one in records)
    return {f"proposer/{fate}": fates[fate] for fate in Fate if records}


def _by_level(records: Sequence[GroupRecord], levels: Sequence[int]) -> dict[str, float]:
    """Per level: groups with a known outcome, their share without signal, and their mean reward."""
    found: dict[int, list[GroupRecord]] = {}
    for one in records:
        if levels and one.outcome is not None:
            found.setdefault(levels[one.request.row], []).append(one)
    metrics: dict[str, float] = {}
    for level, ones in sorted(found.items()):
        metrics[f"level_{level}/groups"] = len(ones)
        metrics[f"level_{level}/zero_variance"] = sum(one.outcome is not Outcome.MIXED for one in ones) / len(ones)
        metrics[f"level_{level}/reward"] = sum(one.reward_sum for one in ones) / sum(one.request.n for one in ones)
    return metrics
