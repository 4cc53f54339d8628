"""Numbers of an update, as verl's metrics and the rows of the batch say them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rekindle.integrations.verl.update_rows import UpdateRow
from rekindle.records.update_stats import UpdateStats

__all__ = ["gap_of", "update_stats"]

NEAR = (0.8, 1.2)
"""Ratios inside these bounds are near."""


def gap_of(rows: Sequence[UpdateRow], old: Sequence[Tensor]) -> tuple[float, float] | None:
    """Mean |log-probability of the trainer - that of the engine| per token, and the share of ratios far from 1.

    Args:
        rows: The rows, all at the temperature at which they were sampled.
        old: [response] log-probabilities of the trainer, of each row.
    """
    differences = [
        (logprobs.double() - torch.tensor(row.logprobs, dtype=torch.float64))[torch.tensor(row.mask, dtype=torch.bool)]
        for row, logprobs in zip(rows, old, strict=True)
        if row.sample.behaviour_temperature in (None, row.sample.temperature)
    ]
    found = torch.cat(differences) if differences else torch.zeros(0)
    if not found.numel():
        return None
    ratios = found.exp()
    far = (ratios < NEAR[0]) | (ratios > NEAR[1])
    return float(found.abs().mean()), float(far.double().mean())


def update_stats(
    metrics: Mapping[str, Any],
    rows: Sequence[UpdateRow],
    *,
    padding: int,
    passes: int,
    steps: int,
    recomputed_tokens: int,
    gap: tuple[float, float] | None,
    moved: float | None,
) -> UpdateStats:
    """The numbers of an update.

    Args:
        metrics: verl's, of the update.
        rows: The rows that were trained on.
        padding: Tokens of dummy rows.
        passes: How often each row was trained on.
        steps: Optimizer steps.
        recomputed_tokens: Tokens of passes without gradient: old policy, reference.
        gap: ``gap_of``; None where nothing was compared.
        moved: Movement of the policy; None if not measured.
    """
    norm = _number(metrics.get("actor/grad_norm"))
    tokens = sum(len(row.sample.token_ids) for row in rows) + padding
    loss = metrics.get("actor/loss", metrics.get("actor/pg_loss", 0.0))
    return UpdateStats(
        loss=float(loss),
        entropy=float(metrics.get("actor/entropy", 0.0)),
        grad_norm=norm,
        lr=float(metrics.get("actor/lr", 0.0)),
        kl=_number(metrics.get("actor/kl_loss")),
        clip_fraction=float(metrics.get("actor/pg_clipfrac", 0.0)),
        trained_tokens=passes * sum(sum(row.mask) for row in rows),
        computed_tokens=passes * tokens,
        padded_tokens=passes * padding,
        recomputed_tokens=recomputed_tokens,
        microbatches=steps,
        optimizer_steps=steps,
        # The norm is a mean over the steps, so one that is not finite is at least one step that verl has skipped.
        skipped_steps=int(norm is not None and not math.isfinite(norm)),
        moved=moved,
        gap=None if gap is None else gap[0],
        gap_outside=None if gap is None else gap[1],
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
