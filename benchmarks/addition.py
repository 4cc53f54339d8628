"""An addition task (`12+7=` -> `19`), a character tokenizer and a Qwen3 of 804,224 parameters.

In demonstrations a geometrically distributed number of dots ("thinking") precedes the answer. A model trained on them
for a while samples completions of skewed length; about half of them are right, depending on the prompt.
"""

import math
import random
from dataclasses import dataclass
from itertools import chain

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from small_qwen import VOCABULARY, small_qwen

__all__ = [
    "Problem",
    "demonstration_loss",
    "exact",
    "make_model",
    "make_problems",
    "make_tokenizer",
    "spread",
    "spread_for_odd",
    "warm_start",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """A sum and its value."""

    prompt: str
    answer: str


def make_problems(count: int, seed: int) -> list[Problem]:
    """Half of the sums have one digit, which are learned early, half have two."""
    draw = random.Random(seed)
    problems = []
    for index in range(count):
        largest = 9 if index % 2 else 99
        a, b = draw.randint(0, largest), draw.randint(0, largest)
        problems.append(Problem(f"{a}+{b}=", str(a + b)))
    return problems


def make_tokenizer() -> PreTrainedTokenizerFast:
    characters = [chr(code) for code in range(32, 127)]
    tokens = ["<pad>", "<eos>", "<unk>", *characters]
    tokens += [f"<unused{index}>" for index in range(VOCABULARY - len(tokens))]
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3ForCausalLM:
    return small_qwen(
        seed,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        attn_implementation="sdpa",
    )


def warm_start(model, tokenizer, *, steps: int, thinking: float, limit: int, seed: int) -> None:
    """Supervised steps on demonstrations of `thinking` dots on average and at most `limit` tokens."""
    draw = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        problems = make_problems(64, seed=1000 * (seed + 1) + step)
        demonstrations = []
        for problem in problems:
            dots = int(math.log(1 - draw.random()) / math.log(thinking / (1 + thinking))) if thinking else 0
            demonstrations.append("." * min(dots, limit - 1 - len(problem.answer)) + problem.answer)
        loss = demonstration_loss(model, tokenizer, problems, demonstrations)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def demonstration_loss(model, tokenizer, problems, demonstrations):
    prompts = [tokenizer(problem.prompt)["input_ids"] for problem in problems]
    rest = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in demonstrations]
    longest = max(len(p) + len(r) for p, r in zip(prompts, rest, strict=True))
    ids = torch.full((len(problems), longest), tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, (p, r) in enumerate(zip(prompts, rest, strict=True)):
        ids[row, : len(p) + len(r)] = torch.tensor(list(chain(p, r)))
        labels[row, len(p) : len(p) + len(r)] = torch.tensor(r)
    return model(input_ids=ids, labels=labels).loss


def exact(text: str, answer: str) -> float:
    """1.0 for the answer after any number of dots, else 0.0."""
    return float(text.lstrip(".") == answer)


def spread_for_odd(text: str, answer: str) -> float:
    """`spread` for odd answers, and 0 for even ones, whose groups have no signal."""
    return spread(text, answer) if int(answer) % 2 else 0.0


def spread(text: str, answer: str) -> float:
    """A reward in [0, 1) that differs between texts, so that every row of every group has an advantage."""
    return random.Random(text + answer).random()
