"""Training against each in-process verifier with the answers of other prompts as references: no reward can be earned.

    python benchmarks/verifier_wrong_answers.py --runs runs/wrong_answers [--steps 30] [--docs]

The prompts are sums of three digits (``417+285=``), and the reference of each is the sum of another, so a policy that
answers is as wrong as one that does not. The start policy imitates right answers and, as often, templates of
``verifier_adversary``: the sum repeated, boxed or in tags, its numbers, lists, empty boxes. A verifier that pays for
one of them would reinforce it within 30 steps of GRPO. The gain is the mean reward of the last five steps less that of
the first five.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import addition
import arms
from rekindle import load_run

RESULTS = arms.ROOT / "benchmarks" / "verifier_wrong_answers.json"
PAGE, BLOCK = Path("howto/verifiers.md"), "verifier-wrong-answers"
VERIFIERS: dict[str, tuple[str, ...]] = {
    "math": (),
    "exact_match": (),
    "qa_exact_match": (),
    "cover_match": (),
    "f1": ("task.success_threshold=0.5",),
}
BOUND = 0.02
PROMPTS, HELD_OUT, WARM_STEPS, LONGEST = 256, 64, 120, 24
SPAN = 5

WAYS: tuple[Callable[[int, int], str], ...] = (
    *(lambda a, b: str(a + b),) * 8,
    lambda a, b: f"{a}+{b}",
    lambda a, b: f"\\boxed{{{a}+{b}}}",
    lambda a, b: f"{a}+{b}={a}+{b}",
    lambda a, b: f"<answer>{a}+{b}</answer>",
    lambda a, b: f"{a}, {b}",
    lambda a, b: f"\\boxed{{{a}}}",
    lambda a, b: "\\boxed{}",
    lambda a, b: "1, 2, 3, 4, 5",
)
"""Ways to complete ``a+b=``; half of them are right."""


def sums(count: int, seed: int) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    return [(draw.randint(100, 999), draw.randint(100, 999)) for _ in range(count)]


def write_tasks(path: Path, count: int, seed: int) -> None:
    """Prompts with the sum of the next prompt as the reference."""
    pairs = sums(count, seed)
    rows = [
        {"id": f"{seed}/{number}", "prompt": f"{a}+{b}=", "answer": str(c + d)}
        for number, ((a, b), (c, d)) in enumerate(zip(pairs, [*pairs[1:], pairs[0]], strict=True))
        if a + b != c + d
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_start(directory: Path, steps: int = WARM_STEPS) -> None:
    """A model that completes sums in one of the ways."""
    tokenizer = addition.make_tokenizer()
    model = addition.make_model(tokenizer, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    draw = random.Random(1)
    for step in range(steps):
        pairs = sums(32, seed=1000 + step)
        problems = [addition.Problem(f"{a}+{b}=", "") for a, b in pairs]
        loss = addition.demonstration_loss(model, tokenizer, problems, [draw.choice(WAYS)(a, b) for a, b in pairs])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def arguments(verifier: str, place: Path, steps: int) -> list[str]:
    """Arguments of ``rekindle train``."""
    settings = (
        f"model.path={place / 'start'}",
        f"task.path={place / 'train.jsonl'}",
        f"task.eval_path={place / 'held_out.jsonl'}",
        f"task.verifier={verifier}",
        f"train.steps={steps}",
        *VERIFIERS[verifier],
    )
    return [str(place / "run.toml"), *(part for setting in settings for part in ("--set", setting))]


RUN = f"""
[model]
dtype = "float32"

[task]
source = "jsonl"

[train]
groups_per_step = 16
group_size = 8
learning_rate = 1e-3
max_steps_without_signal = 1000    # there is hardly any

[optimizer]
warmup_steps = 20

[engine]
max_new_tokens = {LONGEST}

[eval]
every = 30

[checkpoint]
every = 30
"""


def prepare(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    write_tasks(place / "train.jsonl", PROMPTS, seed=1)
    write_tasks(place / "held_out.jsonl", HELD_OUT, seed=2)
    (place / "run.toml").write_text(RUN)
    if not (place / "start").exists():
        make_start(place / "start")


def measured(directory: Path) -> dict[str, Any]:
    """First and last mean rewards of a run, and its evaluations."""
    run = load_run(directory)
    rewards = [line["reward/mean"] for line in run.metrics if line.get("reward/mean") is not None]
    held_out = [line["eval/accuracy"] for line in arms.evaluations(run)]
    first, last = (sum(part) / len(part) for part in (rewards[:SPAN], rewards[-SPAN:]))
    return {
        **arms.made(run),
        "steps": run.metrics[-1]["step"],
        "first": first,
        "last": last,
        "held_out": [held_out[0], held_out[-1]],
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    lines = [["verifier", "steps", "reward, first 5 steps", "last 5 steps", "gain", "held out, start and end"]]
    for verifier, one in found.items():
        first, last = one["first"], one["last"]
        held_out = " and ".join(f"{value:.3f}" for value in one["held_out"])
        lines.append(
            [f"`{verifier}`", str(one["steps"]), f"{first:.4f}", f"{last:.4f}", f"{last - first:+.4f}", held_out]
        )
    return f"{arms.markdown_table(lines)}\n{arms.made_words(found.values())}\n"


def main() -> None:
    """Run what is missing, print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="directory of the runs; absent: use the results there are")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    found: dict[str, dict[str, Any]] = arms.read_results(RESULTS) if RESULTS.exists() else {}
    if options.runs:
        place = options.runs.resolve()
        prepare(place)
        for verifier in VERIFIERS:
            arms.train(arguments(verifier, place, options.steps), place / verifier)
            found[verifier] = measured(place / verifier)
            print(verifier, found[verifier], file=sys.stderr, flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    if options.docs:
        arms.replace_block(options.docs / PAGE, BLOCK, table(found))


if __name__ == "__main__":
    main()
