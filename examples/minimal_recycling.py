"""Query recycling (arXiv 2606.10709) with no abstraction: one file, top to bottom, plain torch and transformers.

    python examples/minimal_recycling.py [steps]

It gives the same batches, advantages and losses as `rekindle train examples/spell_backward.toml --recipe recycle` for
the same seed (a test holds them equal), only slower: it samples without a cache and pads what it trains on. Only the
words and the warm-started policy come from the library.

What happens in a step:
  1. draw k*B distinct prompts, each in proportion to its weight (all 1 at the start);
  2. sample K answers for each, reward 1 for the right word, else 0;
  3. keep at most B of the prompts whose rewards differ (0 < right < K);
  4. one GRPO update on them;
  5. only the prompts of the update lose their weight. All others - always right, never right, or not needed - can be
     drawn again, because the policy changes and they may have signal next time.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

B, K, OVERSAMPLE = 64, 4, 2  # groups in an update, rollouts in a group, k
TEMPERATURE, MAX_NEW_TOKENS = 1.0, 24
LEARNING_RATE, WARMUP_STEPS, GRAD_CLIP, CLIP = 5e-4, 20, 1.0, 0.2
RESET_BELOW = 0.25  # refill the pool when fewer prompts than this are left; the paper never gets there
WORD = 2**64 - 1


def mix(z):
    """SplitMix64's finaliser on Python integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
    return z ^ (z >> 31)


def request_seed(seed, request):
    """Every request has a seed of its own, so that a rollout depends on nothing else that is sampled."""
    return mix((seed * 0x9E3779B97F4A7C15 + request * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & WORD) >> 1


def uniform(seed, rollout, position):
    """The random number in [0, 1) behind one token: a hash of (request, rollout, position), not a stream."""
    key = mix((mix(seed) + (rollout + 1) * 0x9E3779B97F4A7C15) & WORD)
    return (mix((key + (position + 1) * 0x9E3779B97F4A7C15) & WORD) >> 11) * 2.0**-53


def draw(weights, count, rng):
    """Step 1: distinct rows, one after the other, each in proportion to the weights of what is left."""
    left, rows = weights.astype(np.float64), []
    while len(rows) < count and left.any():
        ends = left.cumsum()
        points = rng.random(count - len(rows)) * ends[-1]
        for row in np.searchsorted(ends, points, side="right").tolist():
            if row not in rows:  # drawn before: skipping it is drawing from what is left
                rows.append(row)
        left[rows] = 0
    return rows


@torch.no_grad()
def sample_answers(model, tokenizer, prompts, seeds):
    """Step 2: K sampled continuations of every prompt. Returns, per prompt, K lists of token ids.

    Prompts of one length are decoded together; the whole text goes through the model for every token.
    """
    by_length = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    answers = [[] for _ in prompts]
    for members in by_length.values():
        rows = [(index, rollout) for index in members for rollout in range(K)]
        tokens = torch.tensor([prompts[index] for index, _ in rows])
        sampled = [[] for _ in rows]
        for position in range(MAX_NEW_TOKENS):
            logits = model(input_ids=tokens).logits[:, -1].float() / TEMPERATURE
            cumulative = torch.softmax(logits, -1).cumsum(-1, dtype=torch.float64)
            u = torch.tensor([uniform(seeds[index], rollout, position) for index, rollout in rows], dtype=torch.float64)
            chosen = torch.searchsorted(cumulative, u[:, None] * cumulative[:, -1:], right=True)
            tokens = torch.cat([tokens, chosen], 1)
            for row, token in enumerate(chosen[:, 0].tolist()):
                if not sampled[row] or sampled[row][-1] != tokenizer.eos_token_id:
                    sampled[row].append(token)
            if all(ids[-1] == tokenizer.eos_token_id for ids in sampled):
                break
        for index, start in zip(members, range(0, len(rows), K), strict=True):
            answers[index] = sampled[start : start + K]
    return answers


def standardise(rewards):
    """GRPO's advantage (arXiv 2402.03300): distance from the group's mean in population standard deviations."""
    mean = sum(rewards) / len(rewards)
    deviation = (sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) ** 0.5
    return [(reward - mean) / (deviation + 1e-8) for reward in rewards]


def answer_logprobs(model, prompt, answers):
    """Log-probabilities [K, longest answer] of a group's tokens, and the mask of those that are really there."""
    longest = max(map(len, answers))
    padded = torch.tensor([answer + [0] * (longest - len(answer)) for answer in answers])
    tokens = torch.cat([torch.tensor([prompt] * len(answers)), padded], 1)
    logits = model(input_ids=tokens).logits[:, len(prompt) - 1 : -1].float() / TEMPERATURE
    logprobs = torch.log_softmax(logits, -1).gather(-1, padded[:, :, None]).squeeze(-1)
    mask = torch.tensor([[position < len(answer) for position in range(longest)] for answer in answers])
    return logprobs, mask


def update(model, optimizer, batch, step):
    """Step 4: one clipped policy-gradient step; the mean over groups of the mean over a group's tokens."""
    optimizer.zero_grad()
    total = 0.0
    for prompt, answers, advantages in batch:
        logprobs, mask = answer_logprobs(model, prompt, answers)
        ratio = torch.exp(logprobs - logprobs.detach())  # 1: the policy that is trained is the one that sampled
        advantage = torch.tensor(advantages)[:, None]
        losses = -torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
        loss = (losses * mask).sum() / mask.sum() / len(batch)
        loss.backward()
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
    for group in optimizer.param_groups:
        group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / WARMUP_STEPS)
    optimizer.step()
    return total


def recycle(model, tokenizer, tasks, steps, seed=0, groups=B):
    """Train, and yield what happened in every step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    weights = np.ones(len(tasks), np.float32)
    encoded = [tokenizer(task.prompt)["input_ids"] for task in tasks]
    next_request, updates = 0, 0
    for step in range(1, steps + 1):
        if (weights > 0).sum() < RESET_BELOW * len(tasks):
            weights[:] = 1
        rows = draw(weights, OVERSAMPLE * groups, np.random.default_rng((seed, step, 0, 0)))
        requests = list(range(next_request, next_request + len(rows)))
        next_request += len(rows)

        seeds = [request_seed(seed, request) for request in requests]
        answers = sample_answers(model, tokenizer, [encoded[row] for row in rows], seeds)
        rewards = [
            [float(tokenizer.decode(ids, skip_special_tokens=True).strip() == tasks[row].answer) for ids in group]
            for row, group in zip(rows, answers, strict=True)
        ]

        signal = [i for i, group in enumerate(rewards) if max(group) > min(group)]  # step 3
        if len(signal) > groups:
            chooser = np.random.default_rng((seed, step, 0, 1))
            chosen = set(chooser.choice([requests[i] for i in signal], groups, replace=False).tolist())
            signal = [i for i in signal if requests[i] in chosen]
        batch = [(encoded[rows[i]], answers[i], standardise(rewards[i])) for i in signal]

        loss = update(model, optimizer, batch, updates) if batch else None
        updates += bool(batch)
        weights[[rows[i] for i in signal]] = 0  # step 5: only these
        yield {
            "step": step,
            "drawn": [tasks[row].id for row in rows],
            "batch": [tasks[rows[i]].id for i in signal],
            "advantages": [advantages for _, _, advantages in batch],
            "loss": loss,
            "accuracy": float(np.mean(rewards)),
            "live": int((weights > 0).sum()),
        }


def main():
    """Fetch the words and the warm-started policy from the library, and train."""
    from rekindle.recipes import resolve
    from rekindle.warm_starts.stage import start_workbench

    torch.set_num_threads(1)
    config = resolve(Path(__file__).parent / "spell_backward.toml", "recycle")
    with start_workbench(config) as bench:
        tasks, directory = bench.tasks.pool, bench.directory
    model, tokenizer = AutoModelForCausalLM.from_pretrained(directory), AutoTokenizer.from_pretrained(directory)
    for record in recycle(model.eval(), tokenizer, tasks, steps=int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        print(
            f"step {record['step']}: {len(record['batch'])} of {len(record['drawn'])} groups taught; "
            f"accuracy {record['accuracy']:.2f}; {record['live']} prompts live"
        )


if __name__ == "__main__":
    main()
