"""Forward and backward pass of one training batch: transformers against our own pass, side by side.

A Qwen3-shaped model of 804,000 parameters (4 layers, width 128) and 256 rows of 6 prompt and 32 completion tokens, 8
rows per prompt. Three columns: transformers with plain logits, log-softmax and gather; the generic pass (transformers'
hidden states, our head); our packed pass. Times are CPU time of the process; the passes take turns, so that other load
affects all of them.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/packed_forward.py [--rows 256] [--repeats 9] [--ragged]
"""

import argparse
import statistics
import time

import numpy as np
import torch

from rekindle.models.generic import GenericForward
from rekindle.models.policy import Policy
from rekindle.models.samples import rows_of
from rekindle.types import TrainingSample
from rekindle.warm_starts.tiny_tokenizers import LETTERS, character_tokenizer
from small_qwen import VOCABULARY, small_qwen

PROMPT, COMPLETION, GROUP, TOTAL = 6, 32, 8, 256


def make_policy():
    return Policy(small_qwen(), character_tokenizer(LETTERS, 256))


def make_samples(ragged):
    random = np.random.default_rng(0)
    samples = []
    for group in range(TOTAL // GROUP):
        prompt = random.integers(1, VOCABULARY, PROMPT).tolist()
        for _ in range(GROUP):
            length = int(random.integers(COMPLETION // 4, COMPLETION + 1)) if ragged else COMPLETION
            tokens = prompt + random.integers(1, VOCABULARY, length).tolist()
            mask = [False] * PROMPT + [True] * length
            advantages = [float(random.normal())] * len(tokens)
            samples.append(
                TrainingSample(
                    token_ids=tokens,
                    loss_mask=mask,
                    logprobs=[0.0] * len(tokens),
                    advantages=advantages,
                    temperature=1.0,
                    weight=1.0,
                    version=0,
                    prompt_key=group,
                )
            )
    return samples


def plain(model, samples):
    """Log-probabilities with plain transformers."""
    width = max(len(sample.token_ids) for sample in samples)
    ids = torch.zeros(len(samples), width, dtype=torch.long)
    keep = torch.zeros(len(samples), width, dtype=torch.bool)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.token_ids)] = torch.tensor(sample.token_ids)
        keep[row, : len(sample.token_ids)] = torch.tensor(sample.loss_mask)
    logits = model(input_ids=ids, logits_to_keep=width - PROMPT + 1, use_cache=False).logits[:, :-1]
    chosen = torch.log_softmax(logits, -1).gather(-1, ids[:, PROMPT:, None]).squeeze(-1)
    return chosen[keep[:, PROMPT:]]


def step(model, logprobs_of, samples, rows):
    """Return milliseconds, log-probabilities and gradients of one batch in micro-batches."""
    model.zero_grad()
    found = []
    began = time.process_time()
    for start in range(0, len(samples), rows):
        part = samples[start : start + rows]
        advantages = torch.tensor([s.advantages[-1] for s in part for kept in s.loss_mask if kept])
        logprobs = logprobs_of(part)
        (-(logprobs * advantages).sum()).backward()
        found.append(logprobs.detach())
    milliseconds = 1000 * (time.process_time() - began)
    return milliseconds, torch.cat(found), [parameter.grad.clone() for parameter in model.parameters()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=64, help="rows of a micro-batch")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--ragged", action="store_true", help="completions of 8 to 32 tokens instead of 32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policy = make_policy()
    samples, generic = make_samples(options.ragged), GenericForward(policy.model)
    passes = {
        "transformers": lambda part: plain(policy.model, part),
        "generic": lambda part: generic(rows_of(part, policy.max_length)).logprobs,
        "packed": lambda part: policy.token_logprobs(part).logprobs,
    }
    times = {name: [] for name in passes}
    results = {}
    for _ in range(options.repeats + 2):
        for name, logprobs_of in passes.items():
            milliseconds, *results[name] = step(policy.model, logprobs_of, samples, options.rows)
            times[name].append(milliseconds)
    logprobs, grads = results["transformers"]
    for name, (ours, our_grads) in results.items():
        apart = ((a - b).abs().max() / b.abs().max() for a, b in zip(our_grads, grads, strict=True))
        print(
            f"{name:13s} median {statistics.median(times[name][2:]):6.1f} ms, best {min(times[name]):6.1f} ms, "
            f"log-probabilities within {(ours - logprobs).abs().max():.1e}, gradients within {max(apart):.1e} relative"
        )
    print(f"kernels: {policy.kernels.describe()}")


if __name__ == "__main__":
    main()
