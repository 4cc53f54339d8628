"""Generation and update of a policy against the bounds of its device, and the agreement of engine and trainer."""

import resource
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gpu.bounds import clock, copy_bandwidth, matrix_peak, products
from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable
from rekindle.engines.engine import Completion, SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy
from rekindle.planning.shapes import ModelShape
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import TrainingSample

__all__ = [
    "HIGH",
    "LOW",
    "Workload",
    "decode_bytes",
    "differences",
    "measured_speed",
    "samples_of",
    "update_operations",
]

LOW, HIGH = 0.8, 1.28
"""Importance ratios that DAPO does not clip."""
SCORED = 16
"""Rollouts of a pass that scores."""
BFLOAT16_BYTES = 2

Prompts = Sequence[Sequence[int]]
Groups = Sequence[Sequence[Completion]]


@dataclass(frozen=True, slots=True)
class Workload:
    """A step: random prompts, and completions of one length.

    Attributes:
        prompts: Prompts, with a group of rollouts each.
        prompt_tokens: Tokens of a prompt.
        group_size: Rollouts of a group.
        new_tokens: Tokens of a completion; no end token ends it.
        rows: Most rollouts decoded at the same time.
        microbatch_tokens: Most tokens of a forward and backward pass.
        steps: Steps after a first one that warms up.
    """

    prompts: int
    prompt_tokens: int
    group_size: int
    new_tokens: int
    rows: int
    microbatch_tokens: int
    steps: int


def update_operations(shape: ModelShape, work: Workload) -> float:
    """Operations of an update: 6 per weight of a matrix and token; prompts once per group and without the head."""
    head = shape.vocabulary * shape.hidden_size
    layers = sum(inner * outer * count for (inner, outer), count in products(shape).items()) - head
    sampled = work.prompts * work.group_size * work.new_tokens
    return 6.0 * (layers * (sampled + work.prompts * work.prompt_tokens) + head * sampled)


def decode_bytes(shape: ModelShape, work: Workload, dtype_bytes: int) -> float:
    """Bytes that decoding must read after the first token: weights once a step, keys and values of every rollout."""
    rows = work.prompts * work.group_size
    batches = -(-rows // work.rows)
    layers = shape.layers * shape.layer_parameters
    weights = dtype_bytes * (layers + shape.vocabulary * shape.hidden_size + shape.hidden_size)
    steps = range(1, work.new_tokens)
    cached = sum(work.prompt_tokens + step for step in steps)
    return batches * weights * len(steps) + rows * cached * shape.cache_bytes() * dtype_bytes / BFLOAT16_BYTES


def measured_speed(policy: Policy, shape: ModelShape, work: Workload) -> dict[str, Any]:
    """The medians over the steps, their shares of the bounds, memory and agreement."""
    policy.eos_ids = frozenset()
    optimizer = OptimizerTable(warmup_steps=0, microbatch_tokens=work.microbatch_tokens)
    trainer = Trainer(policy, UpdateSettings(1e-6, 0, LossTable(), optimizer))
    engine, device = TorchEngine(policy, max_rows=work.rows), policy.device
    seconds: dict[str, list[float]] = {"first": [], "generation": [], "update": []}
    gaps = []
    for step in range(work.steps + 1):
        words = torch.Generator().manual_seed(step)
        prompts = torch.randint(policy.vocabulary, (work.prompts, work.prompt_tokens), generator=words).tolist()
        marks = [clock(device)]
        generated(engine, prompts, work.group_size, 1, step)
        marks.append(clock(device))
        groups = generated(engine, prompts, work.group_size, work.new_tokens, step)
        marks.append(clock(device))
        samples = samples_of(prompts, groups, step)
        gaps.append(differences(policy, samples))
        began = clock(device)
        trainer.update(samples, step)
        spent = (marks[1] - marks[0], marks[2] - marks[1], clock(device) - began)
        for part, value in zip(seconds, spent, strict=True):
            seconds[part].append(value)
    medians = {part: statistics.median(values[1:]) for part, values in seconds.items()}
    return _shares(policy, shape, work, medians) | {"memory": _memory(device), "agreement": _agreement(torch.cat(gaps))}


def _shares(policy: Policy, shape: ModelShape, work: Workload, seconds: dict[str, float]) -> dict[str, Any]:
    peak = matrix_peak(shape, work.microbatch_tokens, policy.device, policy.dtype)
    bandwidth = copy_bandwidth(policy.device)
    decoding = max(seconds["generation"] - seconds["first"], 1e-9)
    rollouts = work.prompts * work.group_size
    sampled = rollouts * work.new_tokens
    trained = sampled + work.prompts * work.prompt_tokens
    return {
        "matrix_peak": peak,
        "copy_bandwidth": bandwidth,
        "update": {
            "seconds": seconds["update"],
            "tokens_per_second": trained / seconds["update"],
            "seconds_a_rollout": seconds["update"] / rollouts,
            "share_of_peak": update_operations(shape, work) / seconds["update"] / peak,
        },
        "decoding": {
            "seconds": decoding,
            "tokens_per_second": rollouts * (work.new_tokens - 1) / decoding,
            "share_of_bandwidth": decode_bytes(shape, work, policy.dtype.itemsize) / decoding / bandwidth,
        },
        "generation": {
            "seconds": seconds["generation"],
            "tokens_per_second": trained / seconds["generation"],
            "seconds_a_rollout": seconds["generation"] / rollouts,
        },
        "kernels": policy.kernels.describe(),
    }


def generated(engine: TorchEngine, prompts: Prompts, n: int, new_tokens: int, step: int) -> list[list[Completion]]:
    """Groups of completions, in the order of the prompts."""
    requests = [
        SamplingRequest(prompt, n, max_new_tokens=new_tokens, seed=step * 100_003 + index)
        for index, prompt in enumerate(prompts)
    ]
    groups = dict(engine.generate(requests))
    return [groups[index] for index in range(len(prompts))]


def samples_of(prompts: Prompts, groups: Groups, version: int) -> list[TrainingSample]:
    """Samples in which every token has an advantage, half of them positive."""
    made = []
    total = sum(len(one.token_ids) for group in groups for one in group)
    for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
        for place, one in enumerate(group):
            nothing = [0.0] * len(prompt)
            sign = 1.0 if place % 2 else -1.0
            made.append(
                TrainingSample(
                    token_ids=[*prompt, *one.token_ids],
                    loss_mask=[False] * len(prompt) + [True] * len(one.token_ids),
                    logprobs=[*nothing, *one.logprobs],
                    advantages=[*nothing, *[sign] * len(one.token_ids)],
                    temperature=1.0,
                    weight=1 / total,
                    version=version,
                    prompt_key=index,
                )
            )
    return made


@torch.no_grad()
def differences(policy: Policy, samples: Sequence[TrainingSample]) -> torch.Tensor:
    """Engine's log-probabilities minus the trainer's, per sampled token, nats."""
    parts = []
    for start in range(0, len(samples), SCORED):
        batch = samples[start : start + SCORED]
        theirs = policy.token_logprobs(batch).logprobs.cpu()
        pairs = (pair for one in batch for pair in zip(one.logprobs, one.loss_mask, strict=True))
        parts.append(torch.tensor([value for value, trained in pairs if trained]) - theirs)
    return torch.cat(parts)


def _agreement(gaps: torch.Tensor) -> dict[str, float]:
    ratio = gaps.exp()
    return {
        "mean": gaps.abs().mean().item(),
        "largest": gaps.abs().max().item(),
        "outside": ((ratio < LOW) | (ratio > HIGH)).float().mean().item(),
    }


def _memory(device: torch.device) -> float:
    """Bytes: the most that torch allocated on the GPU, or the largest resident set."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
