"""From the training samples of one update to the micro-batches of one process, as TRL's ``_compute_loss`` takes them.

TRL's denominators count the rows of the micro-batch, and it averages over A = gradient_accumulation_steps micro-batches
and W processes. Here micro-batches have unequal numbers of rows, and rows without a gradient may be left out. So the
loss of a micro-batch, as TRL returns it, is to be multiplied by its ``loss_scale``:

    ===================  ======================================  ===============================================
    loss_type            loss of an optimizer step               loss_scale
    ===================  ======================================  ===============================================
    grpo, sapo           mean over its rows of token means       computed rows * A' * W / rows of the step
    luspo                mean over its rows of token sums        the same
    dr_grpo              that / max_completion_length            the same
    bnpo                 mean over micro-batches, weighted by    all rows * A' * W / rows of the step
                         their rows, of token means              * computed tokens / all tokens
    dapo, cispo, vespo   token sum * windows / tokens of the     1, with all tokens of the generation as
                         generation                              ``num_items_in_batch``
    ===================  ======================================  ===============================================

A' is A, or steps_per_generation where it is less: an optimizer step over several generations is the mean over these.
"All" counts the rows that are left out too. A row without trainable tokens counts as a row with no tokens. With every
row computed and micro-batches of equal size every scale is 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from rekindle.integrations.trl.updates.division import Division, OptimizerStep, Part, divide
from rekindle.learning.losses.importance import importance_weights
from rekindle.learning.losses.zero_variance import entropy_advantages
from rekindle.learning.sides import side_scales
from rekindle.types import TrainingSample

__all__ = ["Batch", "BatchSettings", "Scorers", "build_batches", "padded"]

Batch = dict[str, Tensor]
"""One micro-batch: inputs of TRL's ``_compute_loss``, and ``temperatures`` [B] and ``loss_scale`` of ours."""

Carried = Mapping[int, Mapping[str, Sequence[float]]]
NOTHING: Carried = MappingProxyType({})
NEUTRAL = MappingProxyType({"importance_sampling_ratio": 1.0})
"""Number that changes nothing, by name of the input, where it is not 0."""

_BY_TOKENS = ("dapo", "cispo", "vespo")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """Settings of the micro-batches of a run.

    Attributes:
        division: Numbers of processes, micro-batches and optimizer steps.
        process: Number of this process, from 0.
        loss_type: TRL's.
        pad_id: Token that fills the rows.
        device: Device of the tensors.
        computes_all: Whether rows without advantage go through the model: with a KL term, an entropy bonus, a quantile
            of entropies or a router's loss they have a share in the loss.
        needs_old: Whether the ratio's denominator has to be stored, because the policy changes within a generation.
        multiple: Lengths are padded to a multiple of it.
    """

    division: Division
    process: int
    loss_type: str
    pad_id: int
    device: torch.device
    computes_all: bool = False
    needs_old: bool = False
    multiple: int = 1


@dataclass(frozen=True, slots=True)
class Scorers:
    """Log-probabilities of a micro-batch's completions [B, C] at the rows' temperatures, without gradient.

    Every process calls them equally often.

    Attributes:
        policy: The current policy: log-probabilities and entropies.
        reference: The reference policy of a KL term; None: there is none.
    """

    policy: Callable[[Batch], tuple[Tensor, Tensor]]
    reference: Callable[[Batch], Tensor] | None = None


def build_batches(
    samples: Sequence[TrainingSample],
    settings: BatchSettings,
    scorers: Scorers,
    seed: Sequence[int],
    carried: Carried = NOTHING,
) -> list[Batch]:
    """The micro-batches of this process for one update, in the order of TRL's steps.

    Advantages of RL-ZVP and importance weights are those of the policy at this moment, for all optimizer steps.

    Args:
        samples: All samples of the update, in the same order on every process; at least one.
        settings: Settings of the run.
        scorers: Called where old log-probabilities, entropies, importance weights or a reference are needed.
        seed: Non-negative integers, the seed of the division into optimizer steps.
        carried: Further numbers of completions, by ``id`` of the sample's tokens, and by name of the input.
    """
    left_out = [_left_out(sample, settings) for sample in samples]
    scored = settings.needs_old or any(one.entropy_scale or one.importance_cap for one in samples)
    tokens = sum(sum(sample.loss_mask) for sample in samples)
    batches = []
    for step in divide(samples, settings.division, seed, left_out):
        scales = side_scales([samples[row] for row in step.rows])
        for parts in step.parts:
            part = parts[settings.process]
            rows = [samples[row] for row in part.computed] or [_filler(samples)]
            batch = padded(rows, settings, [scales.get(id(row), 1.0) for row in rows])
            batch |= _carried(rows, carried, batch["completion_ids"])
            batch["loss_scale"] = torch.tensor(_loss_scale(samples, part, step, settings), device=settings.device)
            batch["num_items_in_batch"] = torch.tensor(float(tokens), device=settings.device)
            if scored:
                _score(batch, rows, settings, scorers)
            if scorers.reference is not None:
                batch["ref_per_token_logps"] = scorers.reference(batch)
            batches.append(batch)
    return batches


def _left_out(sample: TrainingSample, settings: BatchSettings) -> bool:
    """Whether a row has no share in the gradient."""
    if settings.computes_all:
        return not any(sample.loss_mask)
    return not (sample.entropy_scale or any(sample.advantages))


def _loss_scale(samples: Sequence[TrainingSample], part: Part, step: OptimizerStep, settings: BatchSettings) -> float:
    """Factor of a micro-batch's loss; see the table of the module."""
    if settings.loss_type in _BY_TOKENS:
        return 1.0
    if not part.computed:
        return 0.0
    division = settings.division
    share = division.per_step * division.processes / len(step.rows)
    if settings.loss_type == "bnpo":
        return len(part.rows) * share * _tokens(samples, part.computed) / _tokens(samples, part.rows)
    return len(part.computed) * share


def _tokens(samples: Sequence[TrainingSample], rows: Sequence[int]) -> int:
    return sum(sum(samples[row].loss_mask) for row in rows)


def _filler(samples: Sequence[TrainingSample]) -> TrainingSample:
    """A row of two tokens without loss, for a micro-batch without rows: DDP needs a backward pass of every process."""
    return TrainingSample(
        token_ids=(*samples[0].token_ids[:1], *samples[0].token_ids[-1:]),
        loss_mask=(False, False),
        logprobs=(0.0, 0.0),
        advantages=(0.0, 0.0),
        temperature=samples[0].temperature,
        weight=0.0,
    )


def padded(rows: Sequence[TrainingSample], settings: BatchSettings, scales: Sequence[float] | None = None) -> Batch:
    """Rows as tensors: prompts are padded on the left, completions on the right.

    Args:
        rows: The rows; advantages may be missing where nothing is trained.
        settings: Settings of the run.
        scales: Factors of the rows' advantages; None: 1.
    """
    factors = torch.tensor(scales or [1.0] * len(rows), dtype=torch.float32, device=settings.device)
    starts = [row.loss_mask.index(True) if any(row.loss_mask) else 1 for row in rows]
    prompts = [row.token_ids[:start] for row, start in zip(rows, starts, strict=True)]
    completions = [row.token_ids[start:] for row, start in zip(rows, starts, strict=True)]

    def column(values: Sequence[Sequence[float]], fill: float, dtype: torch.dtype, *, left: bool = False) -> Tensor:
        length = -(-max(len(one) for one in values) // settings.multiple) * settings.multiple
        missing = [[fill] * (length - len(one)) for one in values]
        whole = [[*filling, *one] if left else [*one, *filling] for one, filling in zip(values, missing, strict=True)]
        return torch.tensor(whole, dtype=dtype, device=settings.device)

    def after(values: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
        return column([one[start:] for one, start in zip(values, starts, strict=True)], 0, dtype)

    return {
        "prompt_ids": column(prompts, settings.pad_id, torch.int64, left=True),
        "prompt_mask": column([[1] * len(one) for one in prompts], 0, torch.int64, left=True),
        "completion_ids": column(completions, settings.pad_id, torch.int64),
        "completion_mask": column([[1] * len(one) for one in completions], 0, torch.int64),
        "tool_mask": after([row.loss_mask for row in rows], torch.int64),
        "advantages": after([row.advantages for row in rows], torch.float32) * factors[:, None],
        "sampling_per_token_logps": after([row.logprobs for row in rows], torch.float32),
        # On the CPU and in double precision, so that they compare as equal with the trainer's own number.
        "temperatures": torch.tensor([row.temperature for row in rows], dtype=torch.float64),
    }


def _carried(rows: Sequence[TrainingSample], carried: Carried, completions: Tensor) -> Batch:
    """Further numbers of the rows' completions [B, C], one per token and padded on the right; or [B, 1]."""
    found: Batch = {}
    for name in dict.fromkeys(name for numbers in carried.values() for name in numbers):
        fill = NEUTRAL.get(name, 0.0)
        values = [list(carried.get(id(row.token_ids), {}).get(name, [fill])) for row in rows]
        per_token = any(len(one) > 1 for one in _of_name(carried, name))
        width = completions.shape[1] if per_token else 1
        padded_values = [one + [fill] * (width - len(one)) for one in values]
        found[name] = torch.tensor(padded_values, dtype=torch.float32, device=completions.device)
    return found


def _of_name(carried: Carried, name: str) -> list[Sequence[float]]:
    """The numbers of a name, of all completions that have some."""
    return [numbers[name] for numbers in carried.values() if name in numbers]


def _score(batch: Batch, rows: Sequence[TrainingSample], settings: BatchSettings, scorers: Scorers) -> None:
    """Add what depends on the current policy: old log-probabilities, RL-ZVP's advantages, importance weights."""
    logprobs, entropies = scorers.policy(batch)
    if settings.needs_old:
        batch["old_per_token_logps"] = logprobs
    mask = batch["tool_mask"].bool()
    lengths = mask.sum(dim=1).tolist()
    advantages = batch["advantages"]
    if any(row.entropy_scale for row in rows):
        more = entropy_advantages(entropies[mask].float(), lengths, [row.entropy_scale for row in rows])
        advantages[mask] += more
    if any(row.importance_cap for row in rows):
        caps = torch.tensor([row.importance_cap for row in rows], device=settings.device)[:, None].expand_as(mask)
        sampled = batch["sampling_per_token_logps"]
        sampled = torch.where(sampled.isnan(), logprobs.float(), sampled)  # an engine did not score them: a weight of 1
        weights = importance_weights(logprobs.float(), sampled, caps)
        batch["advantages"] = torch.where(mask & (caps > 0), weights * advantages, advantages)
