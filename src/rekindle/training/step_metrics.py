"""The numbers of a step and their running totals: one line of ``metrics.jsonl``."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rekindle.scheduling.group_records import GroupRecord, step_counts
from rekindle.training.update_stats import UpdateStats
from rekindle.types import Fate, Outcome, TrainingSample

__all__ = ["SUMMED", "StepClock", "Totals", "step_metrics"]

SUMMED = (
    "seconds",
    "cpu_seconds",
    "rollouts",
    "generated_tokens",
    "prompt_tokens",
    "tool_tokens",
    "trained_tokens",
    "flops",
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


class StepClock:
    """Wall and CPU seconds since it was made, and wall seconds by phase."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self, phases: Mapping[str, float]) -> dict[str, float]:
        """Seconds so far; ``phases`` are parts of it, the rest is ``time/other``."""
        wall, cpu = time.perf_counter(), time.process_time()
        seconds, cpu_seconds = wall - self._wall, cpu - self._cpu
        named = {f"time/{phase}": spent for phase, spent in phases.items()}
        rest = max(0.0, seconds - sum(phases.values()))
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, **named, "time/other": rest}


@dataclass(slots=True)
class Totals:
    """Running sums, saved in checkpoints."""

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))

    def add(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Add a step and return the sums under their ``total_`` keys."""
        for key in SUMMED:
            self.sums[key] += metrics[key]
        return {f"total_{key}": value for key, value in self.sums.items()}


def step_metrics(
    records: Sequence[GroupRecord],
    samples: Sequence[TrainingSample],
    update: UpdateStats | None,
    parameters: int,
    base_temperature: float = 1.0,
    levels: Sequence[int] = (),
    proposers: Sequence[GroupRecord] = (),
    further_tokens: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """Everything about a step that follows from its groups and its update.

    FLOPs are 2P per token that went through the model once (prompts once per group, as the engine shares their
    prefill; sampled tokens; what tools said; recomputed log-probabilities) and 6P per token of forward and backward,
    padding left out.

    Args:
        records: The step's groups.
        samples: The batch.
        update: None when nothing was trained.
        parameters: P.
        base_temperature: A prompt is hot when it was sampled above it; revived when it then carried signal.
        levels: Difficulty of the prompt in each row of the pool, where tasks have one.
        proposers: What became of the proposers' rollouts (self-play). Rollouts, tokens and FLOPs are those of both
            roles; what is said of groups is said of the solver's.
        further_tokens: Tokens that the policy read and sampled outside of rollouts.
    """
    counts = step_counts(records)
    judged = [one for one in records if one.outcome is not None]
    everybody = [*records, *proposers]
    generated, prompts, tools = (
        sum(getattr(one, f"{kind}_tokens") for one in everybody) for kind in ("generated", "prompt", "tool")
    )
    prefilled = sum(one.prompt_tokens / one.request.n for one in everybody) + further_tokens[0]
    prompts, generated = prompts + further_tokens[0], generated + further_tokens[1]
    temperatures = [one.request.temperature for one in records]
    hot = [one for one in records if one.request.temperature > base_temperature]
    peaks = [max(map(abs, sample.advantages)) for sample in samples]
    forward = generated + tools + prefilled + (update.recomputed_tokens if update else 0)
    trained = update.computed_tokens - update.padded_tokens if update else 0
    return {
        **counts,
        **_proposers(proposers),
        "rollouts": sum(one.request.n for one in everybody),
        "generated_tokens": generated,
        "prompt_tokens": prompts,
        "tool_tokens": tools,
        "trained_tokens": update.trained_tokens if update else 0,
        "flops": parameters * (2 * forward + 6 * trained),
        "reward/mean": sum(one.reward_sum for one in judged) / sum(one.request.n for one in judged) if judged else None,
        "advantage/abs_mean": sum(peaks) / len(peaks) if peaks else 0.0,
        "temperature/mean": sum(temperatures) / len(temperatures) if temperatures else None,
        "temperature/max": max(temperatures, default=None),
        "groups/hot": len(hot),
        "groups/revived": sum(one.outcome is Outcome.MIXED for one in hot),
        "verify/failures": sum(one.verifier_failures for one in records),
        **{key: getattr(update, key) if update else None for key in _OF_THE_UPDATE},
        **_by_level(records, levels),
    }


def _proposers(records: Sequence[GroupRecord]) -> dict[str, int]:
    """Fates of the proposers' groups, where there are proposers."""
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
