"""Progress of a run: a live display in a terminal or a notebook, plain lines elsewhere."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from rekindle.notices import warn
from rekindle.observability.formatting import grouped, rate
from rekindle.observability.live.notebook import NotebookView
from rekindle.observability.live.run_state import RunState
from rekindle.observability.live.shown_samples import shown_samples
from rekindle.observability.live.terminal import TerminalView
from rekindle.observability.rows import by_level, shown_levels
from rekindle.records.activity import Activity

__all__ = ["Progress", "sentence"]

_LINES_PER_RUN = 40
_LINES_WHEN_ENDLESS = 10
_SILENCE_SECONDS = 60.0


def sentence(metrics: Mapping[str, object]) -> str:
    """One step as a sentence.

    ``step 41: 19 of 64 groups taught (31 never solved, 14 always solved); 11 of them recycled; accuracy 0.46``

    A group *taught* when it was trained on. It is *recycled* when, in addition, its prompt had only wrong or only right
    rollouts at its first visit, and stayed in the pool for that reason. Accuracy is the mean reward of the step's
    rollouts, called reward where there are reward functions. After an evaluation it is the held-out accuracy, also by
    level where prompts have levels: ``held-out accuracy 0.19 (level 1: 0.54, level 2: 0.07)``. In self-play the
    sentence begins with ``valid 43/64``:
    43 of 64 proposals became questions.

    Args:
        metrics: One line of ``metrics.jsonl``; parts with missing keys are left out.
    """
    asked, taught = _count(metrics, "groups/asked"), _count(metrics, "groups/trained")
    parts = []
    if proposals := _count(metrics, "self_play/proposals"):
        parts.append(f"valid {_count(metrics, 'self_play/valid')}/{proposals}")
    if asked:
        reasons = ", ".join(f"{count} {words}" for count, words in _reasons(metrics) if count)
        parts.append(f"{taught} of {asked} groups taught" + (f" ({reasons})" if reasons else ""))
    recycled = _count(metrics, "groups/rescued_hard") + _count(metrics, "groups/rescued_easy")
    if recycled and _count(metrics, "groups/recycled"):  # elsewhere a pool in turn has come back to them
        parts.append(f"{recycled} of them recycled")
    parts.extend(_accuracy(metrics))
    return f"step {_count(metrics, 'step')}: " + ("; ".join(parts) or "nothing measured")


def _reasons(metrics: Mapping[str, object]) -> list[tuple[int, str]]:
    """Counts of groups not trained on, by reason. They add up even where a gate lets groups without signal through."""
    names = ("all_wrong", "all_correct", "excess", "expired", "failed")
    wrong, correct, excess, expired, failed = (_count(metrics, f"groups/{name}") for name in names)
    left = _count(metrics, "groups/asked") - _count(metrics, "groups/trained") - excess - expired - failed
    others = [(excess, "not needed"), (expired, "too old"), (failed, "failed")]
    if left == wrong + correct:
        return [(wrong, "never solved"), (correct, "always solved"), *others]
    if left == wrong:
        return [(wrong, "never solved"), *others]
    return [(left, "without signal"), *others]


def _accuracy(metrics: Mapping[str, object]) -> list[str]:
    graded = any(key.startswith("reward/") and key != "reward/mean" for key in metrics)
    for key, words in (
        ("eval/accuracy", "held-out accuracy"),
        ("eval/greedy", "held-out greedy accuracy"),
        ("reward/mean", "reward" if graded else "accuracy"),
    ):
        value = metrics.get(key)
        if isinstance(value, int | float):
            return [f"{words} {rate(value)}{_levels(metrics)}"]
    return []


def _levels(metrics: Mapping[str, object]) -> str:
    found = by_level(metrics, "accuracy")
    words = ", ".join(f"level {level}: {rate(found[level])}" for level in shown_levels(found))
    return f" ({words})" if words else ""


def _count(metrics: Mapping[str, object], key: str) -> int:
    value = metrics.get(key)
    return int(value) if isinstance(value, int | float) else 0


class View(Protocol):
    """Live display of a run's state."""

    def start(self) -> None:
        """Begin to show it."""
        ...

    def update(self) -> None:
        """Show a finished step."""
        ...

    def stop(self) -> None:
        """Show it for the last time."""
        ...


class Progress:
    """Shows a run's steps; a context manager around the training loop.

    A terminal and a notebook show a bar, what the run is doing, held-out accuracy sampled and greedy, the latest step's
    sentence, a table of the last steps and two samples of what the policy wrote. A file, a pipe or a CI log gets a line
    at the first step, at every evaluation, at about forty evenly spread steps, after a minute without a line, and at
    the end.

    Args:
        steps: Updates of the run; None when only rollouts bound it.
        rollouts: Rollouts of the run; None when only steps bound it.
        success_at: A reward of at least this much is right.
        console: Output; default: standard error, so that standard output has results only.
        clock: Time in seconds; only tests replace it.
    """

    def __init__(
        self,
        steps: int | None,
        rollouts: int | None = None,
        *,
        success_at: float = 0.5,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps, self._rollouts, self._success_at = steps, rollouts, success_at
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._every = math.ceil(steps / _LINES_PER_RUN) if steps else _LINES_WHEN_ENDLESS
        self._latest: Mapping[str, object] | None = None
        self._printed: Mapping[str, object] | None = None
        self._printed_at = clock()
        self._state = RunState()
        self._view = _view(self._state, self._console)
        self._is_live = False

    @property
    def is_live(self) -> bool:
        """Whether a live display is on, which says by itself what the run is doing."""
        return self._is_live

    def follow(self, activity: Activity) -> None:
        """Show what the run is doing."""
        self._state.activity = activity

    def samples(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Show two of a step's lines of ``samples.jsonl``."""
        if self._view is not None and (shown := shown_samples(lines, self._success_at)):
            self._state.samples = shown

    def step(self, metrics: Mapping[str, object]) -> None:
        """Show a finished step.

        Args:
            metrics: The step's line of ``metrics.jsonl``.
        """
        self._latest = metrics
        if self._view is not None:
            step, rollouts = _count(metrics, "step"), _count(metrics, "total_rollouts")
            self._state.done, self._state.position = self._done(step, rollouts), self._position(step, rollouts)
            self._state.sentence = sentence(metrics)
            self._state.add(metrics)
            self._view.update()
        elif self._is_due(metrics):
            self._print_latest()

    def warn(self, text: str) -> None:
        """Say that, e.g., the pool is starving; whoever shows it writes above the bar."""
        warn(text)

    def __enter__(self) -> "Progress":
        if self._view is not None:
            self._view.start()
            self._is_live = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._view is not None:
            self._is_live = False
            self._view.stop()
        elif self._latest is not self._printed:
            self._print_latest()

    def _is_due(self, metrics: Mapping[str, object]) -> bool:
        return (
            self._printed is None
            or "eval/accuracy" in metrics
            or _count(metrics, "step") % self._every == 0
            or self._clock() - self._printed_at >= _SILENCE_SECONDS
        )

    def _print_latest(self) -> None:
        assert self._latest is not None
        # No markup, highlighting or wrapping: other programs may read the log lines.
        self._console.print(Text(sentence(self._latest)), soft_wrap=True)
        self._printed, self._printed_at = self._latest, self._clock()

    def _done(self, step: int, rollouts: int) -> float:
        """Part of the run that is done, by the nearer bound."""
        by_steps = step / self._steps if self._steps else 0.0
        by_rollouts = rollouts / self._rollouts if self._rollouts else 0.0
        return min(1.0, max(by_steps, by_rollouts))

    def _position(self, step: int, rollouts: int) -> str:
        if self._steps:
            return f"step {grouped(step)} of {grouped(self._steps)}"
        return f"{grouped(rollouts)} of {grouped(self._rollouts or 0)} rollouts"


def _view(state: RunState, console: Console) -> View | None:
    """The live display for a console; None where there is none, as in a log file."""
    if console.is_jupyter:
        return NotebookView(state)
    return TerminalView(state, console) if console.is_interactive else None
