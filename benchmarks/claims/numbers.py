"""Numbers of a finished run, as they are kept in the results: costs, accuracies, shares by quarter, samples."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.observability.flips import Flips
from rekindle.observability.runs import Run
from rekindle.observability.visits import OUTCOMES, read_visits
from rekindle.types import Outcome

__all__ = ["AXES", "measured"]

Line = Mapping[str, Any]
FORWARD_AND_BACKWARD = 8
"""FLOPs per parameter and token of a row that is generated (2) and trained on (6)."""
SHARES = ("mixed", "all_correct", "all_wrong", "trained")
MEANS = {
    "entropy": "entropy",
    "length": "completion/length_mean",
    "truncated": "completion/truncated",
    "kl": "kl",
    "grad_norm": "grad_norm",
}
PLAY = ("valid_rate", "solver_success", "reference_success", "right")
"""Self-play's metrics."""
SHOWN = 4
"""Completions kept of the first policy and of the last one."""


def _cpu_seconds(line: Line, run: Run) -> float:
    """CPU seconds of the steps so far, without evaluation."""
    return arms.cpu_seconds(one for one in run.metrics[1:] if one["step"] <= line["step"])


def _every_row(line: Line, run: Run, shared_by: int) -> float:
    """FLOPs where no row is left out; a prompt counts once for ``shared_by`` rows."""
    tokens = line["total_generated_tokens"] + line["total_tool_tokens"] + line["total_prompt_tokens"] / shared_by
    return float(FORWARD_AND_BACKWARD * run.info["parameters"] * tokens)


AXES: Mapping[str, Callable[[Line, Run], float]] = {
    "rollouts": lambda line, _: line["total_rollouts"],
    "tokens": lambda line, _: line["total_generated_tokens"],
    "flops": lambda line, _: line["total_flops"],
    "flops_paper": lambda line, _: line["total_flops_sgpo"],
    "cpu_seconds": _cpu_seconds,
    "flops_every_row": lambda line, run: _every_row(line, run, shared_by=1),
    "flops_every_row_shared": lambda line, run: _every_row(line, run, shared_by=run.config["train"]["group_size"]),
}
"""Costs of a curve. ``flops_paper`` is the account of arXiv 2606.08854; ``flops_every_row`` is that of a trainer whose
rows all go through generation, forward and backward pass with their prompt (``_shared``: one prompt a group)."""


def measured(directory: Path, *, samples: bool) -> dict[str, Any]:
    """The numbers of a run.

    Args:
        directory: The run directory.
        samples: Keep completions as well.
    """
    run = load_run(directory)
    lines, last = run.metrics[1:], run.metrics[-1]
    if not lines:
        raise SystemExit(f"{directory} made no step; raise the budget of its setting")
    evaluated = arms.evaluations(run)
    return {
        **arms.made(run),
        **arms.counted(run),
        **{f"{name}_quarters": _shares(lines, name) for name in SHARES},
        **{f"{name}_quarters": _means(lines, key) for name, key in MEANS.items()},
        **_flipped(run),
        "signal_after_solved": _signal_after_solved(run),
        **_null_control(run),
        "start": evaluated[0]["eval/accuracy"],
        "lowest_late": min(line["eval/accuracy"] for line in evaluated[len(evaluated) // 2 :]),
        "greedy": statistics.fmean(line["eval/greedy"] for line in evaluated[-3:]),
        "batch_quarters": [statistics.fmean(line["groups/trained"] for line in part) for part in arms.quarters(lines)],
        "hot": sum(line["groups/hot"] for line in lines),
        "revived": sum(line["groups/revived"] for line in lines),
        "ending": run.ending,
        **_of_the_start(run),
        "flops_paper": last["total_flops_sgpo"],
        "all_cpu_seconds": last["total_cpu_seconds"],
        "wall_seconds": sum(line["seconds"] - line["time/evaluate"] for line in lines),
        **{f"pool_{name}": last[f"pool/{name}"] for name in ("live", "resets") if f"pool/{name}" in last},
        **_play(lines),
        **_levels(evaluated),
        **_audits(evaluated),
        "curve": [_point(line, run) for line in evaluated],
        **({"samples": _samples(run)} if samples else {}),
    }


def _of_the_start(run: Run) -> dict[str, Any]:
    """What a regime is told by: outcomes of the first step's groups, tokens of all prompts, pool and parameters."""
    first = run.metrics[1]
    return {
        "first_step": {name: first[f"groups/{name}"] for name in ("asked", "all_wrong", "all_correct")},
        "prompt_tokens": run.metrics[-1]["total_prompt_tokens"],
        "pool": run.info.get("pool"),
        "parameters": run.info.get("parameters"),
    }


def _point(line: Line, run: Run) -> list[float]:
    """Costs in the order of ``AXES``, and the accuracy."""
    return [*(float(f"{cost(line, run):.6g}") for cost in AXES.values()), round(line["eval/accuracy"], 4)]


def _shares(lines: Sequence[Line], name: str) -> list[float]:
    """Groups of a kind, as a share of those asked, by quarter of the steps."""
    return [
        round(sum(line[f"groups/{name}"] for line in part) / max(1, sum(line["groups/asked"] for line in part)), 4)
        for part in arms.quarters(lines)
    ]


def _means(lines: Sequence[Line], key: str) -> list[float | None]:
    """Means by quarter of the steps; None where no step has a number."""
    found = [[line[key] for line in part if line.get(key) is not None] for part in arms.quarters(lines)]
    return [float(f"{statistics.fmean(part):.4g}") if part else None for part in found]


def _flipped(run: Run) -> dict[str, float]:
    """Prompts whose last outcome is better or worse than their first, as shares of those visited twice."""
    flips = Flips(read_visits(run, run.metrics[-1]["step"]))
    revisited = max(1, len(flips.revisited))
    ranks = {outcome: rank for rank, outcome in enumerate(OUTCOMES)}

    def share(wanted: int) -> float:
        kinds = [kind for kind in flips.kinds if _sign(ranks, kind) == wanted]
        return round(sum(flips.count(*kind) for kind in kinds) / revisited, 4)

    return {"flips_up": share(1), "flips_down": share(-1), "visited_twice": len(flips.revisited)}


def _sign(ranks: Mapping[Outcome, int], kind: tuple[Outcome, Outcome]) -> int:
    first, last = ranks[kind[0]], ranks[kind[1]]
    return (last > first) - (last < first)


def _signal_after_solved(run: Run) -> float | None:
    """Share of the visits after an all-correct one that have signal, whatever the temperature; None without any."""
    sql = "select avg(outcome = 'mixed') share from groups where previous_outcome = 'all_correct' and fate != 'failed'"
    (row,) = run.query(sql)
    return None if row["share"] is None else round(row["share"], 4)


def _null_control(run: Run) -> dict[str, float]:
    """The recycled share beside that of a frozen policy; empty where the recipe does not recycle."""
    file = run.directory / "null_control.json"
    return {key: round(value, 4) for key, value in json.loads(file.read_text()).items()} if file.exists() else {}


def _play(lines: Sequence[Line]) -> dict[str, list[float | None]]:
    """Self-play's metrics by quarter, means over its questions; empty for given tasks."""
    if "self_play/proposals" not in lines[0]:
        return {}
    return {f"play_{name}": [_over_questions(part, name) for part in arms.quarters(lines)] for name in PLAY}


def _over_questions(lines: Sequence[Line], name: str) -> float | None:
    """Mean over the valid questions, of the valid rate over all; None without any."""
    count = "self_play/proposals" if name == "valid_rate" else "self_play/valid"
    pairs = [(line[count], value) for line in lines if (value := line.get(f"self_play/{name}")) is not None]
    total = sum(weight for weight, _ in pairs)
    return round(sum(weight * value for weight, value in pairs) / total, 4) if total else None


def _levels(evaluated: Sequence[Line]) -> dict[str, list[float]]:
    """Accuracy by level, at the start and as the mean of the last three evaluations."""
    names = sorted(key for key in evaluated[0] if key.startswith("level_") and key.endswith("/accuracy"))
    parts = {"levels_start": evaluated[:1], "levels_end": evaluated[-3:]}
    return {
        part: [round(statistics.fmean(line[name] for line in lines), 4) for name in names]
        for part, lines in parts.items()
        if names
    }


def _audits(evaluated: Sequence[Line]) -> dict[str, list[float]]:
    """Of each audit: what it gives the held-out completions at the start and at the end (mean of three)."""
    names = sorted(key for key in evaluated[0] if key.startswith("eval/audit/"))
    return {
        f"audit_{name.rpartition('/')[2]}": [
            round(evaluated[0][name], 4),
            round(statistics.fmean(line[name] for line in evaluated[-3:]), 4),
        ]
        for name in names
    }


def _samples(run: Run) -> list[dict[str, Any]]:
    """Sampled completions of the first policy and of the last one, most of them of training."""
    found = [one for one in run.sample_lines() if one["temperature"] > 0]
    keys = ("step", "prompt", "completion", "answer", "reward", "truncated")
    return [{key: one.get(key) for key in keys} for one in (*found[:SHOWN], *found[SHOWN:][-SHOWN:])]
