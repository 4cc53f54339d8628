"""What a live display shows of a run: its place, its last steps, held-out accuracy and two samples."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rekindle.observability.formatting import compact, duration, grouped, percent, rate
from rekindle.observability.live.shown_samples import ShownSample
from rekindle.observability.rows import number
from rekindle.records.activity import Activity, Doing, Part

__all__ = ["STEPS_SHOWN", "RunState", "doing_words", "step_cells"]

STEPS_SHOWN = 5
"""Steps in the table."""

_SECONDS_SHOWN = 2.0
"""Parts of a step show their duration from here on."""

Metrics = Mapping[str, object]


def _ratio(metrics: Metrics, part: str, whole: str) -> float | None:
    parts, wholes = number(metrics, part), number(metrics, whole)
    return parts / wholes if parts is not None and wholes else None


_COLUMNS: dict[str, tuple[Callable[[Metrics], float | None], Callable[[float], str]]] = {
    "step": (lambda one: number(one, "step"), grouped),
    "reward": (lambda one: number(one, "reward/mean"), rate),
    "signal": (lambda one: _ratio(one, "groups/mixed", "groups/asked"), percent),
    "greedy": (lambda one: number(one, "eval/greedy"), rate),
    "length": (lambda one: number(one, "completion/length_mean"), compact),
    "truncated": (lambda one: number(one, "completion/truncated"), percent),
    "tokens/s": (lambda one: _ratio(one, "generated_tokens", "time/generate"), grouped),
    "learning rate": (lambda one: number(one, "lr"), lambda value: f"{value:.2g}"),
}
"""Column -> its value of a step, and how it is written."""


def step_cells(metrics: Metrics) -> dict[str, str]:
    """One step of the table by column; a value that the step does not have is "".

    ``reward`` is the mean reward, ``signal`` the share of mixed groups, ``length`` the mean of a rollout's sampled
    tokens.
    """
    values = {name: (value(metrics), form) for name, (value, form) in _COLUMNS.items()}
    return {name: "" if value is None else form(value) for name, (value, form) in values.items()}


def doing_words(doing: Doing) -> str:
    """``"rolling out 96 of 256, 310 tokens/s"``, ``"training, 12 s"``."""
    sampled = f", {grouped(doing.tokens / doing.seconds)} tokens/s" if doing.tokens and doing.seconds > 0 else ""
    if doing.expected and doing.ended >= doing.expected and doing.part is Part.ROLLING_OUT:
        return f"judging {grouped(doing.expected)} rollouts"
    if doing.expected:
        return f"{doing.part} {grouped(doing.ended)} of {grouped(doing.expected)}{sampled}"
    if doing.ended:
        return f"{doing.part}, {grouped(doing.ended)} rollouts{sampled}"
    return f"{doing.part}{sampled}" + (f", {duration(doing.seconds)}" if doing.seconds >= _SECONDS_SHOWN else "")


@dataclass(slots=True)
class RunState:
    """State of a run for a live display, which may read it from another thread.

    Attributes:
        position: ``"step 41 of 82"``.
        done: Part of the run that is done, 0 to 1.
        sentence: The last step in words; "" before the first.
        held_out: The last evaluation in words, sampled and greedy; "" before the first.
        steps: Cells of the last steps, oldest first.
        samples: What the policy wrote in the last step.
        activity: What the run is doing; None: it is not known.
    """

    position: str = ""
    done: float = 0.0
    sentence: str = ""
    held_out: str = ""
    steps: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=STEPS_SHOWN))
    samples: tuple[ShownSample, ...] = ()
    activity: Activity | None = None
    _start: dict[str, float] = field(default_factory=dict)

    def add(self, metrics: Metrics) -> None:
        """Take the numbers of a finished step."""
        self.steps.append(step_cells(metrics))
        found = {kind: number(metrics, f"eval/{kind}") for kind in ("accuracy", "greedy")}
        if number(metrics, "step") == 0:
            self._start = {kind: value for kind, value in found.items() if value is not None}
        words = [self._change(kind, value, metrics) for kind, value in found.items() if value is not None]
        if words:
            self.held_out = f"held-out {', '.join(words)} (step {grouped(number(metrics, 'step') or 0)})"

    def _change(self, kind: str, value: float, metrics: Metrics) -> str:
        """The value, after that of the start where this process has seen the start."""
        began = self._start.get(kind) if number(metrics, "step") else None
        return f"{kind} {rate(value)}" if began is None else f"{kind} {rate(began)} -> {rate(value)}"

    @property
    def doing(self) -> str:
        """What the run is doing at this moment, in words; "" where it is not known."""
        doing = self.activity.read() if self.activity else None
        return doing_words(doing) if doing else ""
