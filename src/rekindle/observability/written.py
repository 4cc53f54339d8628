"""Section of the report with what the policy wrote at the beginning and at the end of the run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rekindle.observability import page
from rekindle.observability.formatting import compact, excerpt, grouped
from rekindle.observability.summary import Summary

__all__ = ["written"]

_TEXT = 2000
"""Most characters of a prompt or completion."""
_NAME = 200
_SHOWN = 4
"""Samples of each kind at each end of the run."""

Line = Mapping[str, Any]


def written(summary: Summary) -> str:
    """Held-out completions of the first and last evaluation, and rollouts of the first and last step."""
    lines = [line for line in summary.run.samples if line["step"] <= summary.step]
    kinds = {
        "Held-out prompts": [line for line in lines if line.get("split") == "held_out"],
        "Rollouts of training": [line for line in lines if line.get("split") == "train"],
    }
    parts = [part for name, found in kinds.items() for part in _ends(name, found)]
    if not parts:
        return ""
    note = "From samples.jsonl, which has a few rollouts of every step and evaluation."
    return page.section("What the policy writes", page.paragraph(note, "soft"), *parts)


def _ends(name: str, lines: Sequence[Line]) -> Iterator[str]:
    """Samples of the first and of the last step among the lines."""
    if not lines:
        return
    first, last = lines[0]["step"], lines[-1]["step"]
    for step in (first, last) if last > first else (first,):
        yield page.subheading(f"{name}, step {step}")
        yield from map(_sample, [line for line in lines if line["step"] == step][:_SHOWN])


def _sample(line: Line) -> str:
    reward = line.get("reward")
    about = [
        f"reward {'unknown' if reward is None else compact(reward)}",
        "greedy" if line.get("temperature") == 0 else f"temperature {compact(line.get('temperature') or 0)}",
        f"{grouped(line.get('generated_tokens') or 0)} tokens{', truncated' if line.get('truncated') else ''}",
        *(str(line[key]).replace("_", " ") for key in ("outcome", "fate", "failure") if line.get(key)),
    ]
    judged = [
        f"{kind} {name} {'none' if value is None else compact(value)}"
        for kind, key in (("reward", "rewards"), ("audit", "audits"))
        for name, value in (line.get(key) or {}).items()
    ]
    role = "proposer, " if line.get("role") == "proposer" else ""
    entries = [
        ("task", excerpt(str(line.get("task_id")), _NAME)),
        ("prompt", excerpt(str(line.get("prompt")), _TEXT)),
        ("completion", excerpt(str(line.get("completion")), _TEXT)),
        *([("answer", excerpt(str(line["answer"]), _NAME))] if line.get("answer") else []),
        *([("judged", excerpt(", ".join(judged), _TEXT))] if judged else []),
    ]
    name = excerpt(f"{role}{', '.join(about)}: {str(line.get('completion')).strip()}", _NAME)
    return page.record(name.replace("\n", " "), entries)
