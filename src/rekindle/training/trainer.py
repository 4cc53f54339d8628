"""The trainer: updates a policy from training samples.

The trainer knows no algorithm. It gets advantages and weights as numbers, computes

    loss = sum over samples i of  weight_i * sum over trainable tokens t of (loss_it + kl_coefficient * kl_it)

in micro-batches, whose size affects memory and speed but not the result, and makes AdamW steps.

Passes of the model over a token (forward F, backward B, forward without gradient f):

    ==============================================  ===============
    advantage zero everywhere, no KL                none
    otherwise                                       F B per epoch
    loss.old_logprobs = "recompute", several steps one f more
    loss.kl_coefficient > 0                        one f more, of the reference
    posterior.half_life (a few probed rollouts)     one f more, of these
    ==============================================  ===============

The ratio's denominator is the current policy, without a further forward pass, when the batch is one optimizer step and
was sampled by the current version. Otherwise it is the engine's log-probabilities, or recomputed ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from types import MappingProxyType
from typing import Any, TypedDict

import torch
from torch import Tensor

from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable
from rekindle.learning.losses import LOSSES
from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.kl import corrected, kl_k3
from rekindle.learning.losses.tokens import Clip, Tokens
from rekindle.learning.losses.zero_variance import entropy_advantages
from rekindle.learning.sides import side_scales
from rekindle.models.policy import Policy, TokenLogprobs
from rekindle.notices import warn
from rekindle.records.update_stats import Diverged, UpdateStats
from rekindle.training.batching import microbatches, minibatches
from rekindle.training.movement import Movement
from rekindle.training.optimizer import Optimizer
from rekindle.training.policy_gap import PolicyGap
from rekindle.training.schedules import Decay, learning_rate_factor
from rekindle.training.skipped_steps import SkippedStep
from rekindle.training.update_sums import UpdateSums
from rekindle.types import TrainingSample

__all__ = ["Diverged", "Trainer", "TrainerState", "UpdateSettings", "UpdateStats"]


class TrainerState(TypedDict):
    """State of a trainer without the weights.

    Attributes:
        tensors: Flat, for a safetensors file. They are not copies: write or clone them before the next update.
        values: JSON values.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Settings of updates.

    Attributes:
        learning_rate: Learning rate after the warm-up.
        seed: Seed of the division into minibatches.
        loss: Settings of the loss.
        optimizer: Schedule, minibatches and AdamW's settings.
    """

    learning_rate: float
    seed: int
    loss: LossTable
    optimizer: OptimizerTable


@dataclass(slots=True)
class _FixedLogprobs:
    """Log-probabilities that are constant during an update, by ``id`` of the sample.

    For a sample that is missing in ``old`` the denominator of the ratio is the current policy.
    """

    old: dict[int, Tensor] = field(default_factory=dict)
    reference: dict[int, Tensor] = field(default_factory=dict)


NOTHING: Mapping[str, float] = MappingProxyType({})
"""No budget is spent."""


class Trainer:
    """Updates a policy's weights.

    Args:
        policy: Policy to train.
        settings: Loss, optimizer, learning rate and seed.
        decay: Course of a decaying schedule; None: the rate is constant after the warm-up.
        reference: Frozen policy of the KL term; required when ``loss.kl_coefficient`` is positive.
        probe_rows: Rollouts scored again after each update to measure the movement of the policy; 0 for none.
        on_skip: Receives optimizer steps that were not made, because a number is not finite.

    Raises:
        ValueError: A KL term without a reference, or a decaying schedule without an end.
    """

    def __init__(
        self,
        policy: Policy,
        settings: UpdateSettings,
        *,
        decay: Decay | None = None,
        reference: Policy | None = None,
        probe_rows: int = 0,
        on_skip: Callable[[SkippedStep, Policy], None] = lambda step, policy: None,
    ) -> None:
        loss, optimizer = settings.loss, settings.optimizer
        if loss.kl_coefficient > 0 and reference is None:
            raise ValueError(
                f"loss.kl_coefficient = {loss.kl_coefficient} needs a reference policy; "
                "pass policy.clone_frozen() or set it to 0"
            )
        self._policy = policy
        self._reference = reference
        self._top_rate, self._seed = settings.learning_rate, settings.seed
        self._table, self._batch = loss, optimizer
        self._loss, self._clip = LOSSES[loss.kind].load(), Clip(loss.clip_low, loss.clip_high, loss.dual_clip)
        self._decay, self._probe_rows = decay or Decay(optimizer.warmup_steps, None), probe_rows
        self._optimizer = Optimizer(policy.model.named_parameters(), optimizer)
        self._updates = self._skipped = self._position = 0
        self._on_skip = on_skip
        self._learning_rate()  # refuses a schedule without an end now instead of at the first update

    @property
    def policy(self) -> Policy:
        """The policy being trained."""
        return self._policy

    @property
    def updates(self) -> int:
        """Number of updates since the start of the run."""
        return self._updates

    @property
    def skipped(self) -> int:
        """Number of last optimizer steps in a row that were not made."""
        return self._skipped

    def update(
        self,
        samples: Sequence[TrainingSample],
        version: int,
        scale: float = 1.0,
        spent: Mapping[str, float] = NOTHING,
    ) -> UpdateStats:
        """Train on one batch, ``optimizer.epochs`` times in ``optimizer.minibatches`` parts.

        Rows without advantage are not computed, and the weights of the other rows do not change because of it. The loss
        of a part is an unbiased estimate of the loss of the batch (see ``batching.minibatches``). An optimizer step
        whose loss, gradient or log-probabilities are not finite is not made: weights and optimizer stay as they are,
        ``skipped_steps`` counts it, and its samples are not in the other numbers.

        Args:
            samples: The batch, with the weight of each rollout's tokens.
            version: Current version of the policy.
            scale: Factor of the learning rate.
            spent: What the steps before have spent of each budget, by its setting ("train.rollouts"); read where a
                schedule decays with it.

        Raises:
            ValueError: There are no samples.
        """
        if not samples:
            raise ValueError("an update needs at least one sample; skip the update when no group carries signal")
        steps = [step for epoch in range(self._batch.epochs) for step in self._deal(samples, epoch)]
        sums = UpdateSums()
        fixed = self._fixed_logprobs(samples, version, single_step=len(steps) == 1, sums=sums)
        self._position = int(spent.get(self._decay.key, self._updates))
        learning_rate = scale * self._learning_rate()
        probe = Movement(self._active([samples[index] for index in steps[0][0]]), self._probe_rows)
        gap = PolicyGap(version)
        for number, (members, factor) in enumerate(steps, start=1):
            part = [samples[index] for index in members]
            first = number == 1 and self._table.tool_tokens == "masked"
            try:
                made = self._gradient(part, factor, fixed, (probe.before, gap.add) if first else (probe.before,))
                made.grad_norm = self._optimizer.step(learning_rate)
            except Diverged as error:
                self._optimizer.forget_gradients()
                self._skipped += 1
                sums.skipped_steps += 1
                self._on_skip(self._as_skipped(number, str(error), learning_rate, part, factor, fixed), self._policy)
                continue
            self._skipped, made.optimizer_steps = 0, 1
            sums.include(made)
        self._updates += 1
        moved = probe.moved(self._score(self._policy, probe.rows, sums)) if probe.rows else None
        return sums.stats(learning_rate, with_kl=self._table.kl_coefficient > 0, moved=moved, gap=gap.measured())

    def state_dict(self) -> TrainerState:
        """Everything but the model's weights and the settings."""
        return {
            "tensors": self._optimizer.tensors(),
            "values": {"updates": self._updates, "skipped": self._skipped, "decay": self._decay.state_dict()},
        }

    def load_state_dict(self, state: TrainerState, spent: Mapping[str, float] = NOTHING) -> None:
        """Restore; the policy must have the weights from when ``state_dict`` was called.

        Args:
            state: What ``state_dict`` returned.
            spent: What the run has spent of each budget, as in ``update``.

        Raises:
            UserError: The run is made longer, and its learning rate has fallen to 0 already, or it falls with another
                budget now.
            ValueError: The state belongs to another model.
        """
        values = state["values"]
        self._updates, self._skipped = values["updates"], values.get("skipped", 0)
        self._resume_decay(values.get("decay"), int(spent.get(self._decay.key, self._updates)))
        self._optimizer.load_tensors(state["tensors"])

    def _resume_decay(self, saved: Mapping[str, Any] | None, reached: int) -> None:
        key = self._decay.key
        unit = "update " if key == "train.steps" else f"{key} = "
        self._decay = self._decay.resumed(saved, reached, self._batch.schedule)
        if saved is not None and self._decay.start != saved["start"]:
            warn(
                f"{key} is another one now: the learning rate goes on from its value at {unit}{reached} and falls to 0 "
                f"at {unit}{self._decay.end} instead of {saved['end']}, which is not the course of a run of that "
                "length from the start"
            )

    def repeated(self, step: SkippedStep) -> UpdateStats:
        """Compute loss and gradient of a kept step again, without changing the weights.

        Raises:
            Diverged: A loss, gradient or log-probability is not finite, as then.
        """
        fixed = _FixedLogprobs(_by_sample(step.samples, step.old), _by_sample(step.samples, step.reference))
        try:
            made = self._gradient(step.samples, step.factor, fixed)
            made.grad_norm = self._optimizer.norm()
        finally:
            self._optimizer.forget_gradients()
        made.optimizer_steps = 1
        return made.stats(step.learning_rate, with_kl=self._table.kl_coefficient > 0)

    def _learning_rate(self) -> float:
        factor = learning_rate_factor(
            self._updates,
            warmup_steps=self._batch.warmup_steps,
            schedule=self._batch.schedule,
            decay=self._decay,
            position=self._position,
        )
        return self._top_rate * factor

    def _deal(self, samples: Sequence[TrainingSample], epoch: int) -> list[tuple[list[int], float]]:
        # The division depends on the run's seed, the update and the epoch, so there is no generator state to save.
        seed = (self._seed, self._updates, epoch)
        return minibatches(samples, self._batch.minibatches, seed)

    def _active(self, samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        """The samples whose loss has a gradient."""
        if self._table.kl_coefficient > 0:
            return [sample for sample in samples if any(sample.loss_mask)]
        return [sample for sample in samples if sample.entropy_scale or any(sample.advantages)]

    def _fixed_logprobs(
        self, samples: Sequence[TrainingSample], version: int, *, single_step: bool, sums: UpdateSums
    ) -> _FixedLogprobs:
        active, source = self._active(samples), self._table.old_logprobs
        fixed = _FixedLogprobs()
        if source == "recompute":
            # With a single step the old policy is the current one, so no further forward pass is needed.
            fixed.old = {} if single_step else self._score(self._policy, active, sums)
        else:
            fixed.old = {
                id(sample): torch.tensor(list(compress(sample.logprobs, sample.loss_mask)), dtype=torch.float64)
                for sample in active
                if source == "engine" or sample.version != version or not single_step
            }
        if self._table.kl_coefficient > 0 and self._reference is not None:
            fixed.reference = self._score(self._reference, active, sums)
        return fixed

    def _score(self, policy: Policy, samples: Sequence[TrainingSample], sums: UpdateSums) -> dict[int, Tensor]:
        """Log-probabilities under a policy, without gradient, by ``id`` of the sample."""
        scores: dict[int, Tensor] = {}
        with torch.no_grad():
            for rows in microbatches(samples, self._batch.microbatch_tokens):
                scored = policy.token_logprobs(rows)
                lengths = [sum(row.loss_mask) for row in rows]
                scores |= {id(row): part for row, part in zip(rows, torch.split(scored.logprobs, lengths), strict=True)}
                sums.recomputed_tokens += scored.computed_tokens
        return scores

    def _as_skipped(
        self,
        number: int,
        cause: str,
        learning_rate: float,
        part: Sequence[TrainingSample],
        factor: float,
        fixed: _FixedLogprobs,
    ) -> SkippedStep:
        old, reference = ([_listed(kept.get(id(one))) for one in part] for kept in (fixed.old, fixed.reference))
        return SkippedStep(self._updates + 1, number, cause, learning_rate, factor, part, old, reference)

    def _gradient(
        self,
        part: Sequence[TrainingSample],
        factor: float,
        fixed: _FixedLogprobs,
        watching: Sequence[Callable[[Sequence[TrainingSample], Tensor], None]] = (),
    ) -> UpdateSums:
        """Add the gradient of the samples of an optimizer step, in micro-batches."""
        scales, sums = side_scales(part), UpdateSums()
        for rows in microbatches(self._active(part), self._batch.microbatch_tokens):
            scored = self._backward(rows, factor, scales, fixed, sums)
            for watch in watching:
                watch(rows, scored.logprobs)
        return sums

    def _backward(
        self,
        rows: Sequence[TrainingSample],
        factor: float,
        scales: Mapping[int, float],
        fixed: _FixedLogprobs,
        sums: UpdateSums,
    ) -> TokenLogprobs:
        """Add the gradient of one micro-batch."""
        table, scored = self._table, self._policy.token_logprobs(rows)
        logprobs = scored.logprobs
        tokens, weights = _tokens(rows, factor, scales, scored, _old_logprobs(rows, fixed, logprobs))
        losses, clipped = self._loss(tokens, self._clip)
        divergence = torch.zeros_like(logprobs)
        if fixed.reference:
            divergence = kl_k3(logprobs, torch.cat([fixed.reference[id(row)] for row in rows]))
            penalty = divergence if table.kl == "k3" else corrected(divergence, logprobs, tokens.old_logprobs)
            losses = losses + table.kl_coefficient * penalty
        loss = (losses * weights).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.collect_gradients()
        sums.add(scored, loss, divergence, clipped)
        return scored


def _listed(values: Tensor | None) -> list[float] | None:
    return None if values is None else values.double().tolist()


def _by_sample(samples: Sequence[TrainingSample], kept: Sequence[Sequence[float] | None]) -> dict[int, Tensor]:
    """Inverse of ``_listed``, by ``id`` of the sample."""
    pairs = zip(samples, kept, strict=False)
    return {id(one): torch.tensor(values, dtype=torch.float64) for one, values in pairs if values is not None}


def _tokens(
    rows: Sequence[TrainingSample], factor: float, scales: Mapping[int, float], scored: TokenLogprobs, old: Tensor
) -> tuple[Tokens, Tensor]:
    """Inputs of the loss for the N trainable tokens, and their weights [N].

    Args:
        rows: The samples of a micro-batch.
        factor: Factor of all weights.
        scales: Factors of advantages, by ``id`` of the sample; 1 where there is none.
        scored: Log-probabilities and entropies of the tokens.
        old: [N] denominators of the ratio.
    """
    lengths = [sum(row.loss_mask) for row in rows]
    like = scored.logprobs
    advantages = like.new_tensor(
        [scales.get(id(row), 1.0) * value for row in rows for value in compress(row.advantages, row.loss_mask)]
    )
    if any(row.entropy_scale for row in rows):
        advantages = advantages + entropy_advantages(scored.entropies, lengths, [row.entropy_scale for row in rows])
    weights = _per_token([row.weight * factor for row in rows], lengths, like)
    if any(row.importance_cap for row in rows):
        weights = weights * _importance(rows, lengths, old)
    return Tokens(like, old, advantages, lengths), weights


def _importance(rows: Sequence[TrainingSample], lengths: Sequence[int], old: Tensor) -> Tensor:
    """[N] importance weights of tokens sampled at another temperature or by another engine; 1 for the others."""
    behaviour = old.new_tensor([value for row in rows for value in compress(row.logprobs, row.loss_mask)])
    caps = _per_token([row.importance_cap for row in rows], lengths, old)
    return torch.where(caps > 0, importance_weights(old, behaviour, caps), torch.ones_like(old))


def _per_token(values: Sequence[float], lengths: Sequence[int], like: Tensor) -> Tensor:
    """Repeat one number per rollout for each of its tokens."""
    return like.new_tensor([value for value, length in zip(values, lengths, strict=True) for _ in range(length)])


def _old_logprobs(rows: Sequence[TrainingSample], fixed: _FixedLogprobs, logprobs: Tensor) -> Tensor:
    """[N] denominators of the ratio: fixed ones where available, else the current policy, so that the ratio is 1."""
    current = logprobs.detach()
    if not fixed.old:
        return current
    parts = torch.split(current, [sum(row.loss_mask) for row in rows])
    return torch.cat([fixed.old.get(id(row), part).to(part) for row, part in zip(rows, parts, strict=True)])
