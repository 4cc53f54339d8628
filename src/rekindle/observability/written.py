"""Section of the report with what the policy wrote at the beginning and at the end of the run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rekindle.observability import page
from rekindle.observability.formatting import compact, excerpt, grouped
from rekindle.observability.rows import number
from rekindle.observability.sample_fields import further_fields, judgement
from rekindle.observability.summary import Summary

__all__ = ["written"]

_TEXT = 2000
"""Most characters of a prompt or completion."""
_NAME = 200
_STEPS = (3, 5)
"""Steps at the beginning and at the end whose samples are shown, of each kind."""
_SHOWN = 12
"""Most samples of a kind and step."""

Line = Mapping[str, Any]


def written(summary: Summary) -> str:
    """Held-out completions and rollouts of the first and of the last steps, with search and filters."""
    lines = [line for line in summary.run.samples if line["step"] <= summary.step]
    kinds = {
        "Held-out prompts": _ends([line for line in lines if line.get("split") == "held_out"]),
        "Rollouts of training": _ends([line for line in lines if line.get("split") == "train"]),
    }
    shown = [line for found in kinds.values() for line in found]
    if not shown:
        return ""
    threshold = summary.setting("task", "success_threshold")
    attributes = _attributes(threshold if isinstance(threshold, int | float) else 0.5)
    note = (
        "From samples.jsonl, which has a few rollouts of every step and evaluation; here are those of the first and of "
        "the last steps."
    )
    groups = [part for name, found in kinds.items() for part in _groups(name, found, attributes)]
    bar = page.filters("Filter the samples", _choices(shown, attributes))
    return page.section(
        "What the policy writes", page.paragraph(note, "soft"), bar, page.sample_list("Samples", *groups)
    )


def _ends(lines: Sequence[Line]) -> list[Line]:
    """The lines of the first and of the last steps."""
    steps = sorted({line["step"] for line in lines})
    first, last = _STEPS
    chosen = {*steps[:first], *steps[-last:]}
    return [line for line in lines if line["step"] in chosen]


Attributes = Mapping[str, Callable[[Line], str]]
"""What samples are filtered by: name -> its value of a line; "" where the line has none."""


def _attributes(success_at: float) -> Attributes:
    return {
        "kind": lambda line: "training" if line.get("split") == "train" else "held-out",
        "role": lambda line: excerpt(str(line.get("role") or ""), _NAME),
        "outcome": lambda line: excerpt(str(line.get("outcome") or line.get("fate") or ""), _NAME).replace("_", " "),
        "reward": lambda line: judgement(line, success_at),
        "step": lambda line: str(line["step"]),
        "truncated": lambda line: "yes" if line.get("truncated") else "no",
    }


def _choices(lines: Sequence[Line], attributes: Attributes) -> dict[str, dict[str, str]]:
    """Values of the attributes by which the lines differ, in the order of their first line; steps ascend."""
    found = {
        name: list(dict.fromkeys(filter(None, map(value, lines))))
        for name, value in attributes.items()
        if len(set(map(value, lines))) > 1
    }
    if "step" in found:
        found["step"].sort(key=int)
    return {name: {value: value for value in values} for name, values in found.items()}


def _groups(name: str, lines: Sequence[Line], attributes: Attributes) -> Iterator[str]:
    """A group of samples per step."""
    for step, found in groupby(lines, key=lambda line: line["step"]):
        yield page.samples(
            f"{name}, step {grouped(step)}", *(_sample(line, attributes) for line in list(found)[:_SHOWN])
        )


def _sample(line: Line, attributes: Attributes) -> str:
    reward = number(line, "reward")
    about = [
        f"reward {'unknown' if reward is None else compact(reward)}",
        "greedy" if line.get("temperature") == 0 else f"temperature {compact(number(line, 'temperature') or 0)}",
        f"{grouped(number(line, 'generated_tokens') or 0)} tokens{', truncated' if line.get('truncated') else ''}",
        *(str(line[key]).replace("_", " ") for key in ("outcome", "fate", "failure") if line.get(key)),
    ]
    role = "proposer, " if line.get("role") == "proposer" else ""
    name = excerpt(f"{role}{', '.join(about)}: {str(line.get('completion')).strip()}", _NAME)
    values = {key: value(line) for key, value in attributes.items()}
    return page.record(name.replace("\n", " "), _entries(line), values)


def _entries(line: Line) -> Iterator[tuple[str, str]]:
    yield "task", excerpt(str(line.get("task_id")), _NAME)
    yield "prompt", excerpt(str(line.get("prompt")), _TEXT)
    yield "completion", excerpt(str(line.get("completion")), _TEXT)
    yield from ((name, excerpt(text, _TEXT)) for name, text in further_fields(line))
