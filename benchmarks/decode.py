"""Decoding: our engine against transformers' `generate`, at equal settings, side by side.

The cases, one thread, float32, temperature 1, CPU time of the process (sampling, log-probabilities, copying the weights
and turning the results into lists included):

- forced: 32 prompts x 8 completions of exactly 32 tokens, a Qwen3-shaped model of 804,000 parameters;
- natural: the same with end tokens: each token ends its completion with a probability of about 1/8, at most 64 tokens.
  `generate` computes every row until the longest has ended; the engine drops finished rows;
- queued: natural, 128 prompts x 8, at most 256 rows at a time; `generate` takes four batches;
- tiny: the model of the embedded task (0.2 million parameters), 64 words of 2 to 14 letters x 4.

With `--model DIR` the cases are instead `rows N`: N completions of 32 tokens without an end token, with the real model
in DIR. Every prompt has 32 tokens and `--group` completions (1, or the group size of a training step). `generate`
computes a prompt once per completion, the engine once per group.

The two sides take turns, so that other load affects both. Agreement: the engine's log-probabilities against
transformers' forward pass over the same tokens, and greedy completions against `generate`'s.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/decode.py [--repeats 9] [--case forced]
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/decode.py --model DIR [--dtype bfloat16] [--group 8]
"""

import argparse
import random
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers import GenerationConfig

from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy
from rekindle.warm_starts.tiny_model import build_tiny
from rekindle.warm_starts.tiny_tokenizers import LETTERS, character_tokenizer
from small_qwen import VOCABULARY, small_qwen

MAX_ROWS = 256


@dataclass(frozen=True)
class Case:
    """A policy and its sampling requests."""

    policy: Policy
    requests: list[SamplingRequest]


def random_policy(end_ids):
    """A random, nearly uniform model: the share of end ids in the vocabulary is the probability of an end."""
    model = small_qwen()
    model.generation_config.eos_token_id = end_ids
    return Policy(model, character_tokenizer(LETTERS, 256))


def requests_of(prompts, n, new_tokens, forced):
    minimum = new_tokens if forced else 0
    return [
        SamplingRequest(prompt, n, max_new_tokens=new_tokens, min_new_tokens=minimum, seed=seed)
        for seed, prompt in enumerate(prompts)
    ]


def cases():
    rng = random.Random(0)
    prompts = [[rng.randrange(27) for _ in range(6)] for _ in range(128)]
    ends = list(range(VOCABULARY - 16, VOCABULARY))
    words = [[rng.randrange(26) for _ in range(rng.randint(2, 14))] + [26] for _ in range(64)]
    return {
        "forced": lambda: Case(random_policy([28]), requests_of(prompts[:32], 8, 32, forced=True)),
        "natural": lambda: Case(random_policy(ends), requests_of(prompts[:32], 8, 64, forced=False)),
        "queued": lambda: Case(random_policy(ends), requests_of(prompts, 8, 64, forced=False)),
        "tiny": lambda: Case(build_tiny(), requests_of(words, 4, 24, forced=False)),
    }


def cases_of_a_model(options):
    """Decoding with a real model: no row ends early."""
    policy = Policy.load(options.model, device="cpu", dtype=options.dtype)
    policy.eos_ids, policy.model.generation_config.eos_token_id = frozenset(), None
    rng = random.Random(0)

    def case(rows):
        prompts = [[rng.randrange(policy.vocabulary) for _ in range(32)] for _ in range(rows // options.group)]
        return Case(policy, requests_of(prompts, options.group, 32, forced=False))

    return {f"rows {rows}": partial(case, rows) for rows in map(int, options.rows.split(","))}


def ours(engine, requests):
    groups = dict(engine.generate(requests))
    return [completion.token_ids for index in range(len(requests)) for completion in groups[index]]


@torch.no_grad()
def theirs(policy, requests):
    """Completions by `generate`, in batches of MAX_ROWS rows, prompts padded on the left, cut after their end."""
    rows = [request for request in requests for _ in range(request.n)]
    completions = []
    for start in range(0, len(rows), MAX_ROWS):
        batch = rows[start : start + MAX_ROWS]
        width = max(len(request.prompt_ids) for request in batch)
        padding = [width - len(request.prompt_ids) for request in batch]
        ids = torch.tensor([[0] * pad + request.prompt_ids for pad, request in zip(padding, batch, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])
        config = GenerationConfig(
            max_new_tokens=batch[0].max_new_tokens,
            min_new_tokens=batch[0].min_new_tokens or None,
            do_sample=batch[0].temperature > 0,
            top_k=0 if batch[0].temperature else None,
            eos_token_id=sorted(policy.eos_ids) or None,
            pad_token_id=0,
            disable_compile=True,
        )
        output = policy.model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        completions += [until_end(row, policy.eos_ids) for row in output[:, width:].tolist()]
    return completions


def until_end(ids, eos_ids):
    return ids[: next((place + 1 for place, token in enumerate(ids) if token in eos_ids), len(ids))]


def timed(function, *arguments):
    began = time.process_time()
    completions = function(*arguments)
    return time.process_time() - began, sum(map(len, completions))


@torch.no_grad()
def disagreement(case, engine):
    """Return the largest difference of log-probabilities, and how many greedy completions differ."""
    largest = 0.0
    for index, completions in engine.generate(case.requests[:8]):
        prompt = case.requests[index].prompt_ids
        for completion in completions:
            ids = torch.tensor([prompt + completion.token_ids])
            logprobs = case.policy.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            exact = logprobs.gather(1, ids[0, len(prompt) :, None])[:, 0]
            largest = max(largest, (torch.tensor(completion.logprobs) - exact).abs().max().item())
    greedy = [replace(request, n=1, temperature=0.0) for request in case.requests[:64]]
    pairs = zip(ours(engine, greedy), theirs(case.policy, greedy), strict=True)
    return largest, sum(mine != other for mine, other in pairs)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--case", choices=list(cases()))
    parser.add_argument("--model", help="directory of a real model")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rows", default="8,32,128", help="rows decoded at the same time, of --model")
    parser.add_argument("--group", type=int, default=1, help="completions per prompt, of --model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, make in (cases_of_a_model(options) if options.model else cases()).items():
        if options.case not in {None, name}:
            continue
        case = make()
        engine = TorchEngine(case.policy, max_rows=MAX_ROWS)
        sides = {"transformers": (theirs, case.policy), "engine": (ours, engine)}
        seconds = {side: [] for side in sides}
        tokens = {side: [] for side in sides}
        for repeat in range(options.repeats + 1):
            for side, (function, argument) in sides.items():
                spent, count = timed(function, argument, case.requests)
                if repeat:  # the first of each is a warm-up
                    seconds[side].append(spent)
                    tokens[side].append(count)
        speed = {side: statistics.median(tokens[side]) / statistics.median(seconds[side]) for side in sides}
        for side in sides:
            print(
                f"{name:8s} {side:13s} median {1000 * statistics.median(seconds[side]):7.1f} ms, "
                f"best {1000 * min(seconds[side]):7.1f} ms, {statistics.median(tokens[side]):6.0f} tokens, "
                f"{speed[side]:7.0f} tokens per CPU second"
            )
        largest, differing = disagreement(case, engine)
        print(
            f"{name:8s} {speed['engine'] / speed['transformers']:.2f} times as many tokens per CPU second; "
            f"log-probabilities within {largest:.1e}; {differing} greedy completions differ"
        )


if __name__ == "__main__":
    main()
