"""A policy small enough to reason about: the next token depends on the last one only."""

import copy
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import torch

from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable
from rekindle.models.policy import Policy, TokenLogprobs
from rekindle.records.update_stats import UpdateStats
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import TrainingSample

VOCABULARY = 7


class BigramModel(torch.nn.Module):
    """logits of the next token = norm * (table[last token] @ mixing + bias)."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.nn.Parameter(torch.randn(VOCABULARY, 5, generator=generator).to(dtype))
        self.mixing = torch.nn.Parameter(torch.randn(5, VOCABULARY, generator=generator).to(dtype))
        self.norm = torch.nn.Parameter(torch.ones(VOCABULARY, dtype=dtype))
        self.bias = torch.nn.Parameter(torch.zeros(VOCABULARY, dtype=dtype))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return (self.table[tokens] @ self.mixing + self.bias) * self.norm


class BigramPolicy(Policy):
    """Counts what it is asked; otherwise like ``rekindle.models.policy.Policy``."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        self.model = BigramModel(seed, dtype)
        self.forwards: list[tuple[bool, list[TrainingSample]]] = []

    def clone_frozen(self) -> "BigramPolicy":
        clone = copy.deepcopy(self)
        clone.model.requires_grad_(False)
        clone.forwards = []
        return clone

    def token_logprobs(self, samples: Sequence[TrainingSample]) -> TokenLogprobs:
        self.forwards.append((torch.is_grad_enabled(), list(samples)))
        tokens = [token for sample in samples for token in compress(sample.token_ids, sample.loss_mask)]
        before = [token for s in samples for token in compress(s.token_ids[:-1], s.loss_mask[1:])]
        heats = [s.temperature for s in samples for _ in range(sum(s.loss_mask))]
        logits = self.model(torch.tensor(before))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        everything = torch.log_softmax(logits / logits.new_tensor(heats)[:, None], -1)
        entropies = -(everything.exp() * everything).sum(-1).detach()
        longest = max(len(sample.token_ids) for sample in samples)
        real = sum(len(sample.token_ids) for sample in samples)
        chosen = everything.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
        return TokenLogprobs(chosen, entropies, longest * len(samples), longest * len(samples) - real)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}


def settings(learning_rate: float = 1e-2, seed: int = 0, **changes: Any) -> UpdateSettings:
    """Settings of an update; the changes are keys of ``[loss]`` or ``[optimizer]``."""
    values = {"warmup_steps": 0, "weight_decay": 0.1} | changes
    of_loss = {key: values.pop(key) for key in list(values) if key in LossTable.model_fields}
    return UpdateSettings(learning_rate, seed, LossTable(**of_loss), OptimizerTable(**values))


def gradients_of_update(
    policy: Any, samples: Sequence[TrainingSample], version: int = 0, *, reference: Any = None, **changes: Any
) -> tuple[dict[str, torch.Tensor], UpdateStats]:
    """What an update's backward passes add up to, before clipping and the optimizer; for updates of one step."""
    totals = {name: torch.zeros_like(parameter) for name, parameter in policy.model.named_parameters()}
    for name, parameter in policy.model.named_parameters():
        parameter.register_hook(lambda gradient, name=name: totals[name].add_(gradient))
    stats = Trainer(policy, settings(**changes), reference=reference).update(samples, version)
    return totals, stats


def gradients_by_hand(policy: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradient of a loss that was written out over ``policy.token_logprobs``."""
    names, parameters = zip(*policy.model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def assert_close(mine: dict[str, torch.Tensor], others: dict[str, torch.Tensor], tolerance: float) -> None:
    """Every tensor agrees up to this part of its norm."""
    assert mine.keys() == others.keys()
    for name, tensor in mine.items():
        assert (tensor - others[name]).norm() <= tolerance * others[name].norm(), name


def flat(samples: Sequence[TrainingSample], values: Callable[[TrainingSample], Sequence[float]]) -> torch.Tensor:
    """[N] a column of the samples at their trainable tokens, in double precision."""
    rows = [value for sample in samples for value in compress(values(sample), sample.loss_mask)]
    return torch.tensor(rows, dtype=torch.float64)


def weights_of(samples: Sequence[TrainingSample]) -> torch.Tensor:
    """[N] the weight of each trainable token."""
    return flat(samples, lambda sample: [sample.weight] * len(sample.loss_mask))


def make_samples(seed: int = 0, prompts: int = 4, rows: int = 3, version: int = 0) -> list[TrainingSample]:
    """Ragged rows of 1 to 5 sampled tokens after a two-token prompt; each prompt's advantages sum to zero."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for prompt in range(prompts):
        rewards = torch.randn(rows, generator=generator)
        for advantage in (rewards - rewards.mean()).tolist():
            length = int(torch.randint(1, 6, (), generator=generator))
            tokens = torch.randint(0, VOCABULARY, (2 + length,), generator=generator).tolist()
            mask = [False, False] + [True] * length
            logprobs = [0.0, 0.0, *(-3 * torch.rand(length, generator=generator)).tolist()]
            advantages = [advantage * trainable for trainable in mask]
            samples.append(
                TrainingSample(
                    token_ids=tokens,
                    loss_mask=mask,
                    logprobs=logprobs,
                    advantages=advantages,
                    temperature=1.1,
                    weight=1 / 30,
                    version=version,
                    prompt_key=prompt,
                )
            )
    return samples
