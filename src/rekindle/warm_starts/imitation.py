"""Supervised warm start of a policy from scratch: imitation of noisy demonstrations.

A teacher that errs more often on harder prompts gives a policy whose pass rates are spread over the difficulties, so
that RL finds prompts that are always solved, never solved, and in between.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import torch

from rekindle.config.tables.model import WarmStartTable
from rekindle.models.policy import Policy
from rekindle.types import TrainingSample

__all__ = ["demonstration", "imitate", "imitated"]

SMOOTHING = 0.05
"""Weight of a step in the smoothed loss."""


def imitate(
    policy: Policy,
    demonstrations: Iterable[TrainingSample],
    settings: WarmStartTable,
    on_step: Callable[[int, float], None],
) -> None:
    """Train on batches of demonstrations; the loss is the mean over the tokens in the loss mask.

    The learning rate is constant for ``steps`` batches, or, with ``decay_below``, until the smoothed loss is below that
    value; from there it falls to 0 in ``decay_steps`` more. The loss decides and not the step, because a skill appears
    suddenly, at a step that differs between seeds.

    Args:
        policy: Changed in place.
        demonstrations: In order; those that do not fit the model are left out. Too few end training early.
        settings: Steps, batch size and learning rate.
        on_step: Called with the step and its loss.
    """
    fitting = (one for one in demonstrations if len(one.token_ids) <= policy.max_length)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    threshold, last, falling = settings.decay_below, settings.steps, False
    smoothed: float | None = None
    for step in itertools.count(1):
        batch = list(itertools.islice(fitting, settings.batch_size))
        if not batch or step > last:
            break
        if falling:
            optimizer.param_groups[0]["lr"] = settings.learning_rate * (last + 1 - step) / settings.decay_steps
        loss = _step(policy, optimizer, batch)
        on_step(step, loss)
        smoothed = loss if smoothed is None else smoothed + SMOOTHING * (loss - smoothed)
        if threshold is not None and not falling and smoothed < threshold:
            falling, last = True, step + settings.decay_steps


def _step(policy: Policy, optimizer: torch.optim.Optimizer, batch: Sequence[TrainingSample]) -> float:
    optimizer.zero_grad()
    loss = -policy.token_logprobs(batch).logprobs.mean()
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def demonstration(policy: Policy, prompt: str, completion: str) -> TrainingSample:
    """Demonstration of one turn; its loss covers the completion and the end token."""
    prompt_ids = policy.encode_prompt(prompt)
    answer_ids = [*policy.tokenizer(completion, add_special_tokens=False)["input_ids"], min(policy.eos_ids)]
    return imitated([*prompt_ids, *answer_ids], [False] * len(prompt_ids) + [True] * len(answer_ids))


def imitated(token_ids: Sequence[int], loss_mask: Sequence[bool]) -> TrainingSample:
    """Training sample of a demonstration, without advantages."""
    nothing = [0.0] * len(token_ids)
    return TrainingSample(
        token_ids=token_ids, loss_mask=loss_mask, logprobs=nothing, advantages=nothing, temperature=1.0, weight=1.0
    )
