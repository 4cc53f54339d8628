"""What each arm writes at its end: the same held-out prompts side by side, or its last rollouts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rekindle.comparison.arms import Arm
from rekindle.comparison.runs import ComparedRun
from rekindle.observability.formatting import excerpt
from rekindle.observability.rows import number
from rekindle.observability.runs import RunError
from rekindle.observability.sample_fields import further_fields, judgement
from rekindle.observability.step_log import StepLogError, read_step_log

__all__ = ["Sample", "last_samples"]

_TEXT = 1500
"""Most characters of a prompt or completion."""
_NAME = 160
_PROMPTS = 8
"""Most held-out prompts, and most rollouts of an arm without any."""

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A text of a policy, cut and without invisible characters; it is still to be escaped.

    Attributes:
        arm: Name of the arm.
        seed: Seed of the run.
        step: Step of the run.
        prompt: The prompt.
        completion: What the policy wrote.
        how: ``"greedy"`` or ``"sampled"``.
        verdict: ``"right"``, ``"wrong"`` or ``"no verdict"``.
        truncated: Whether it was cut at the limit.
        tokens: Number of sampled tokens.
        further: Further names and texts, such as the reference answer and the verdicts of audits.
    """

    arm: str
    seed: int
    step: int
    prompt: str
    completion: str
    how: str
    verdict: str
    truncated: bool
    tokens: int
    further: Sequence[tuple[str, str]]


def last_samples(arms: Sequence[Arm]) -> dict[str, list[Sample]]:
    """Samples of one run of each arm, by heading: a prompt that several arms were asked, or the name of an arm.

    Raises:
        RunError: A file of samples is broken.
    """
    seed = _common_seed(arms)
    lines = {arm.name: (run := arm.runs.get(seed, arm.first), _last_lines(run)) for arm in arms}
    found: dict[str, list[Sample]] = {}
    for name, (run, (held_out, trained)) in lines.items():
        for line in held_out or trained[:_PROMPTS]:
            sample = _sample(name, run, line)
            found.setdefault(sample.prompt if held_out else f"Rollouts of {name}", []).append(sample)
    prompts = list(found)[:_PROMPTS] if any(held_out for _, (held_out, _) in lines.values()) else list(found)
    return {excerpt(prompt, _NAME).replace("\n", " "): found[prompt] for prompt in prompts}


def _common_seed(arms: Sequence[Arm]) -> int:
    """The lowest seed that all arms have; that of the first where there is none."""
    common = set.intersection(*(set(arm.runs) for arm in arms))
    return min(common, default=arms[0].first.seed)


def _last_lines(run: ComparedRun) -> tuple[list[Line], list[Line]]:
    """The held-out samples of the last evaluation, and the solver's of the last step, up to where the metrics end."""
    held_out: list[Line] = []
    trained: list[Line] = []
    try:
        for line in read_step_log(run.directory / "samples.jsonl"):
            kept = held_out if line.get("split") == "held_out" else trained
            if line["step"] > run.step or line.get("role") == "proposer":
                continue
            if kept and kept[-1]["step"] != line["step"]:
                kept.clear()
            kept.append(line)
    except StepLogError as error:
        raise RunError(str(error)) from None
    return held_out, trained


def _sample(arm: str, run: ComparedRun, line: Line) -> Sample:
    threshold = number(run.settings, "task.success_threshold")
    return Sample(
        arm=arm,
        seed=run.seed,
        step=int(line["step"]),
        prompt=excerpt(str(line.get("prompt")), _TEXT),
        completion=excerpt(str(line.get("completion")), _TEXT),
        how="greedy" if line.get("temperature") == 0 else "sampled",
        verdict=judgement(line, 0.5 if threshold is None else threshold),
        truncated=bool(line.get("truncated")),
        tokens=int(number(line, "generated_tokens") or 0),
        further=list(_further(line)),
    )


def _further(line: Line) -> Iterator[tuple[str, str]]:
    yield from ((name, excerpt(text, _TEXT)) for name, text in further_fields(line))
