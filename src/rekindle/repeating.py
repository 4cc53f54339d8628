"""Repeating a skipped optimizer step: the same weights, samples and settings, and which numbers are not finite."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import torch

from rekindle.assembly.opening import load_policy
from rekindle.config import validate
from rekindle.models.kernels import Kernels
from rekindle.models.policy import Policy
from rekindle.preflight import policy_files
from rekindle.records.state_files import UNREADABLE
from rekindle.records.update_stats import Diverged
from rekindle.training.schedules import Decay
from rekindle.training.skipped_steps import MODEL, SkippedStep, read_step
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import TrainingSample, UserError
from rekindle.warm_starts.stage import policy_directories

__all__ = ["RepeatedStep", "repeat_step"]


@dataclass(frozen=True, slots=True)
class RepeatedStep:
    """A skipped optimizer step that was computed again.

    Attributes:
        step: The step as it was kept.
        outcome: What is not finite, as then; "" where loss and gradient are finite this time.
        loss: Loss; NaN where it is not finite.
        grad_norm: Norm of the gradient; NaN where it is not finite.
        not_finite: Numbers of the samples that are not finite, a sentence each, in the order of the samples.
    """

    step: SkippedStep
    outcome: str
    loss: float
    grad_norm: float
    not_finite: list[str]


def repeat_step(directory: str | Path) -> RepeatedStep:
    """Compute loss and gradient of a skipped step again, e.g. ``repeat_step("runs/mine/skipped/update-12-1")``.

    Weights, samples, threads and kernels are those of the step; on another machine numbers may differ in their last
    digits. A reference policy is not needed: its log-probabilities are kept.

    Raises:
        UserError: The directory is not one of a skipped step, or is damaged.
    """
    place = Path(directory)
    try:
        step, values = read_step(place)
        config = validate(values["config"], str(place))
    except UNREADABLE as error:
        raise UserError(f"{place} is no whole skipped step ({error}); give a directory below RUN/skipped") from error
    torch.set_num_threads(values["threads"])
    model, base = policy_directories(config, policy_files(config, place / MODEL, print), print)
    policy = load_policy(config, model, base)
    policy.use_kernels(Kernels.from_description(values["kernels"]))
    settings = UpdateSettings(config.train.learning_rate, config.train.seed, config.loss, config.optimizer)
    decay = Decay(config.optimizer.warmup_steps, step.update)  # a kept step has its own rate, so any end will do
    trainer = Trainer(policy, settings, decay=decay, reference=policy)
    try:
        stats, outcome = trainer.repeated(step), ""
    except Diverged as error:
        stats, outcome = None, str(error)
    loss, norm = (math.nan, math.nan) if stats is None else (stats.loss, stats.grad_norm or 0.0)
    return RepeatedStep(step, outcome, loss, norm, list(_not_finite(step, policy)))


def _not_finite(step: SkippedStep, policy: Policy) -> Iterator[str]:
    for number, sample in enumerate(step.samples):
        with torch.no_grad():
            ours = policy.token_logprobs([sample]).logprobs.tolist()
        for name, found in _values(sample, ours).items():
            places = [place for place, value in enumerate(found) if not math.isfinite(value)]
            if places:
                yield f"sample {number}: {name} of trainable token {places[0]} is {found[places[0]]}"
        if not math.isfinite(sample.weight):
            yield f"sample {number}: its weight is {sample.weight}"


def _values(sample: TrainingSample, ours: list[float]) -> dict[str, list[float]]:
    """Numbers of the trainable tokens by their name."""
    return {
        "the policy's log-probability": ours,
        "the engine's log-probability": list(compress(sample.logprobs, sample.loss_mask)),
        "the advantage": list(compress(sample.advantages, sample.loss_mask)),
    }
