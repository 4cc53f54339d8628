"""Makes run directories of arms whose accuracy rises along a known curve, with the files that a comparison reads."""

import json
from pathlib import Path

import numpy as np

CONFIG = """recipe = {recipe}

[task]
source = "spell_backward"
pool_size = 64

[train]
rollouts = {rollouts}
seed = {seed}
group_size = {group_size}

[eval]
every = 1
prompts = 256
samples = 1

[optimizer]
schedule = "constant"
"""

PROMPTS = [f"spell {word}" for word in ("ember", "ash", "kindle", "coal")]


def write_arm_run(
    directory: Path,
    *,
    recipe: str = "grpo",
    seed: int = 0,
    gain: float = 0.4,
    noise: float = 0.0,
    steps: int = 20,
    every: int = 1,
    group_size: int = 4,
    further: dict[str, float] | None = None,
    held_out: list[str] | None = PROMPTS,
    ending: str = "done",
    info: dict | None = None,
    completion: str = "rebme",
    config: str = "",
) -> Path:
    """Write config.toml, run.json, metrics.jsonl, samples.jsonl and tasks.jsonl.

    Accuracy is 0.3 + gain * step / steps, plus normal noise. A step costs 100 rollouts, 1,000 tokens, 5 and 9 GFLOP,
    and 2 seconds, half of it for the evaluation.
    """
    directory.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng([seed, sum(recipe.encode())])
    text = CONFIG.format(recipe=json.dumps(recipe), rollouts=100 * steps, seed=seed, group_size=group_size)
    (directory / "config.toml").write_text(text + config, encoding="utf-8")
    about = {"rekindle": "0.1.0", "seed": seed, "host": "one", "held_out": 256, "device": "cpu", "threads": 1}
    ended = {"ending": {"name": ending, "why": ""}} if ending else {}
    (directory / "run.json").write_text(json.dumps(about | ended | (info or {})))
    lines = []
    for step in range(steps + 1):
        line = {"step": step, "version": step, "seconds": 2.0, "time/evaluate": 1.0}
        line |= {"total_rollouts": 100 * step, "total_generated_tokens": 1000 * step}
        line |= {"total_flops": 5e9 * step, "total_flops_sgpo": 9e9 * step, "reward/mean": 0.5}
        if step % every == 0:
            line["eval/accuracy"] = 0.3 + gain * step / max(1, steps) + noise * float(draw.normal())
            line |= {f"eval/{name}": value + gain * step / max(1, steps) for name, value in (further or {}).items()}
        lines.append(line)
    write_lines(directory / "metrics.jsonl", lines)
    samples = [
        {"step": step, "split": "held_out", "role": "solver", "temperature": how, "reward": float(step > 0),
         "truncated": False, "generated_tokens": 5, "prompt": prompt, "completion": completion, "task_id": prompt,
         "answer": "rebme"}
        for step in (0, steps) for prompt in PROMPTS[:2] for how in (1.0, 0.0)
    ]  # fmt: skip
    write_lines(directory / "samples.jsonl", samples)
    tasks = [{"set": "pool", "id": f"p{n}", "prompt": f"{n:016x}", "answer": "a"} for n in range(64)]
    tasks += [{"set": "held_out", "id": one, "prompt": one[::-1], "answer": "a"} for one in held_out or ()]
    write_lines(directory / "tasks.jsonl", tasks)
    return directory


def write_lines(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_sweep(directory: Path, arms: dict[str, float], seeds: int = 3, **options) -> Path:
    """Runs of several recipes, each with its gain, in DIR/RECIPE/seed-N."""
    for recipe, gain in arms.items():
        for seed in range(seeds):
            write_arm_run(directory / recipe / f"seed-{seed}", recipe=recipe, seed=seed, gain=gain, **options)
    return directory
