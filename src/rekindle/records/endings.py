"""Endings of a run: its target, a declared bound, or an interruption."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rekindle.config.tables.training import TrainTable

__all__ = ["Ending", "Stop", "stop_after"]


class Ending(Enum):
    """How a run ended; the values are the command's exit codes."""

    DONE = 0
    BOUND = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of a run.

    Attributes:
        ending: Its kind.
        why: Reason and remedy of a stop at a bound, as a sentence.
    """

    ending: Ending
    why: str = ""


def stop_after(
    step: int,
    *,
    train: TrainTable,
    spent: Mapping[str, float],
    stopped: str | None,
    without_signal: int,
    skipped: tuple[int, int] = (0, 1),
    last: Mapping[str, Any] | None = None,
) -> Stop | None:
    """Whether the run is over after a step; None while it goes on.

    Args:
        step: Number of the last step.
        train: Target and budgets.
        spent: Totals of the run by metric, the step included.
        stopped: Reason why the scheduler has stopped; None: it has not.
        without_signal: Number of last steps in a row without anything to train on.
        skipped: Number of last optimizer steps in a row that were skipped, and the number at which the run stops.
        last: Metrics of the step; None before the first.
    """
    if train.steps is not None and step >= train.steps:
        return Stop(Ending.DONE)
    for key, budget in (("rollouts", train.rollouts), ("generated_tokens", train.tokens)):
        if budget is None or spent[key] < budget:
            continue
        if train.steps is None:
            return Stop(Ending.DONE)
        name = key.removeprefix("generated_")
        why = f"train.{name} = {budget} were spent at step {step} of {train.steps}; raise it to go on"
        return Stop(Ending.BOUND, why)
    if stopped is not None or skipped[0] >= skipped[1]:
        return Stop(Ending.BOUND, stopped or _not_finite(skipped[0], train.learning_rate))
    if without_signal >= train.max_steps_without_signal:
        bound = f"{without_signal} steps in a row had nothing to train on (train.max_steps_without_signal)"
        return Stop(Ending.BOUND, f"{bound}; {_likely_cause(last)}")
    return None


def _not_finite(skipped: int, rate: float) -> str:
    return (
        f"{skipped} optimizer steps in a row were skipped, because the loss, a gradient or a log-probability was not "
        f"finite (optimizer.max_skipped_steps); the last checkpoint has the last good weights: begin a new run with "
        f"them, and a lower train.learning_rate (now {rate:g}) or a higher optimizer.warmup_steps, or raise the bound "
        "to go on"
    )


def _likely_cause(last: Mapping[str, Any] | None) -> str:
    """Likely cause of steps without signal, with the remedy, from the metrics of the last step."""
    if last and 2 * last["groups/failed"] >= last["groups/asked"] > 0:
        return (
            f"{last['groups/failed']} of the last {last['groups/asked']} groups failed: the warnings say why (a "
            "retriever or judge that is down, prompts too long for the model); fix the cause, and continue with "
            "--resume and a higher bound"
        )
    if last and last.get("self_play/valid") == 0:
        return (
            f"no proposed question was valid (in the last step: {_rejections(last)}); look at proposals.jsonl, "
            'relax the keys of [filters] and [check] that reject them, or set self_play.fill = "replay"'
        )
    if last and last.get("groups/all_wrong") == last["groups/asked"] > 0:
        return (
            "no rollout of the last step was right: the verifier (task.verifier) does not read the format of the "
            "answers, they are cut at engine.max_new_tokens, or the prompts are too hard; look at the report and at "
            "what the policy writes (samples.jsonl)"
        )
    return (
        "the prompts are too hard or too easy for this policy, or their verifier fails: look at the report, change the "
        "prompts, or raise train.group_size"
    )


def _rejections(last: Mapping[str, Any]) -> str:
    """Counted reasons for rejected proposals, most frequent first."""
    prefix = "self_play/rejected/"
    found = {key.removeprefix(prefix): count for key, count in last.items() if key.startswith(prefix) and count}
    ordered = sorted(found.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in ordered) or "none came back"
