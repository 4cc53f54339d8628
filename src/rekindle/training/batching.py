"""Division of a batch into minibatches (one optimizer step each) and micro-batches (one forward-backward pass each)."""

from collections.abc import Iterator, Sequence

import numpy as np

from rekindle.types import TrainingSample

__all__ = ["microbatches", "minibatches"]


def microbatches(samples: Sequence[TrainingSample], max_tokens: int) -> list[list[TrainingSample]]:
    """Divide samples into micro-batches of at most ``max_tokens`` tokens, padding included (rows x longest row).

    Samples with equal ``prompt_key`` stay together, longest first, unless they alone exceed the limit. Prompts are
    sorted by their longest row, longest first, so that rows of similar length share a pass and the largest pass comes
    first. A row longer than the limit gets its own pass. The order depends only on the samples.
    """
    batches: list[list[TrainingSample]] = []
    longest = 0
    for prompt in _by_prompt_longest_first(samples):
        for part in _parts(prompt, max_tokens):
            longest = max(longest, _length(part[0]))
            if batches and (len(batches[-1]) + len(part)) * longest <= max_tokens:
                batches[-1].extend(part)
            else:
                batches.append(part)
                longest = _length(part[0])
    return batches


def minibatches(samples: Sequence[TrainingSample], count: int, seed: Sequence[int]) -> list[tuple[list[int], float]]:
    """Divide whole prompts at random into ``count`` minibatches, or one per prompt if there are fewer prompts.

    Args:
        samples: The batch.
        count: Minibatches wanted; with 1 nothing is drawn.
        seed: Non-negative integers, the seed of the division.

    Returns:
        For each minibatch the indices of its samples and the factor of their weights, (prompts of the batch) / (prompts
        of the minibatch): a minibatch's loss is then an unbiased estimate of the batch's.
    """
    prompts: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        prompts.setdefault(sample.prompt_key, []).append(index)
    members = list(prompts.values())
    count = min(count, len(members))
    if count <= 1:
        return [(list(range(len(samples))), 1.0)]
    order = np.random.default_rng(seed).permutation(len(members))
    return [
        (sorted(index for prompt in part for index in members[prompt]), len(members) / len(part))
        for part in np.array_split(order, count)
    ]


def _by_prompt_longest_first(samples: Sequence[TrainingSample]) -> list[list[TrainingSample]]:
    prompts: dict[int, list[TrainingSample]] = {}
    for sample in sorted(samples, key=_length, reverse=True):
        prompts.setdefault(sample.prompt_key, []).append(sample)
    return list(prompts.values())


def _parts(prompt: list[TrainingSample], max_tokens: int) -> Iterator[list[TrainingSample]]:
    while prompt:
        rows = max(1, max_tokens // _length(prompt[0]))
        yield prompt[:rows]
        prompt = prompt[rows:]


def _length(sample: TrainingSample) -> int:
    return len(sample.token_ids)
