"""The cost of the accuracy that GRPO ends with: GRPO as TRL and verl run it, our GRPO, and the best combination.

    python benchmarks/combination.py --runs runs/combination [--seeds 3] [--jobs 2] [--only rekindle]
    python benchmarks/combination.py --runs runs/combination --tasks final [--seeds 5] [--docs]

Arms are chosen on the development tasks. The final tasks have other words, lengths and seeds, and are run for the
arms of ``FINAL`` only. Every run is a command, `rekindle train benchmarks/combination.toml --recipe NAME --seed N
--set ...`; finished runs are kept and stopped ones go on. The results are in combination.json.

The rules of the measurement:

- The target of a seed is what our GRPO, with the settings of the documentation, ends with: the mean of its last four
  evaluations. Each arm has the same seed, start policy, pool and held-out prompts.
- The cost of the target is what was spent when the mean of three evaluations in a row is first at least the target.
  This holds for GRPO as well: it may reach its target before it ends; where it does not, its cost is that of its run.
- Three accounts of FLOPs. "lean" is that of the step log: a row without an advantage costs no update. "every row" is
  GRPO as TRL and verl run it: each row goes through generation, forward and backward pass, 8P per token, with its
  prompt. "every row, prompts shared" counts a prompt once per group. GRPO's curve by steps is the same in all three.
- Ratios are paired by seed, with 95 % t-intervals. A seed that does not reach the target is said.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.comparison.curves import Curve, cost_to_reach
from rekindle.observability.runs import Run
from rekindle.statistics.comparisons import paired_log_ratios
from rekindle.statistics.words import cell, paired

RESULTS = arms.ROOT / "benchmarks" / "combination.json"
PAGE = arms.ROOT / "docs" / "methods" / "rekindle.md"
EXAMPLE = "benchmarks/combination.toml"
BASE = "GRPO"
LATE = 4
"""Evaluations at the end of GRPO whose mean is the target."""
FORWARD_AND_BACKWARD = 8
"""FLOPs per parameter and token of a row that is generated (2) and trained on (6)."""


Results = Mapping[str, Sequence[Mapping[str, Any]]]
"""Runs of a task by arm."""


@dataclass(frozen=True)
class Task:
    """A task that arms are compared on.

    Attributes:
        words: Its description.
        settings: Keys that make it.
        first_seed: Seed of the first run.
        final: Whether nothing is chosen on it.
    """

    words: str
    settings: tuple[str, ...]
    first_seed: int
    final: bool = False


@dataclass(frozen=True)
class Arm:
    """A recipe with its settings."""

    recipe: str
    settings: tuple[str, ...] = ()


def _words(seed: int, shortest: int, longest: int) -> tuple[str, ...]:
    limits = (f"task.params.min_length={shortest}", f"task.params.max_length={longest}")
    return (f"task.params.seed={seed}", *limits, f"engine.max_new_tokens={longest + 10}")


TASKS = {
    "a": Task("words of 2 to 14 letters", _words(1, 2, 14), 100),
    "b": Task("words of 4 to 16 letters", _words(2, 4, 16), 200),
    "final_a": Task("other words of 2 to 14 letters", _words(11, 2, 14), 300, final=True),
    "final_b": Task("other words of 5 to 15 letters", _words(12, 5, 15), 400, final=True),
}
_FALLING = ("optimizer.schedule=linear",)
_HALF = ("train.groups_per_step=32", "optimizer.warmup_steps=10", "eval.every=12", *_FALLING)
_QUARTER = ("train.groups_per_step=16", "eval.every=12", *_FALLING)
_OURS = ("eval.every=12", *_FALLING, "train.steps=256")
_BALANCED = ("subset.kind=balanced", "subset.size=2", "loss.aggregation=token_mean")
ARMS = {
    BASE: Arm("grpo"),
    "GRPO, tuned": Arm("grpo", (*_HALF, "train.steps=214")),
    "GRPO, twice the rate": Arm("grpo", (*_FALLING, "train.learning_rate=1e-3", "train.steps=107")),
    "GRPO, steps of 16 groups": Arm("grpo", (*_QUARTER, "train.steps=428")),
    "a success and a failure": Arm("grpo", (*_HALF, *_BALANCED, "train.steps=128")),
    "all successes": Arm("grpo", (*_QUARTER, "advantage.negative_scale=0", "train.steps=256")),
    "rekindle": Arm("rekindle", _OURS),
    "rekindle, steps of 32 groups": Arm("rekindle", (*_HALF, "train.steps=128")),
    "rekindle, steps of 8 groups": Arm("rekindle", (*_OURS, "train.groups_per_step=8", "train.steps=512")),
    "rekindle, twice the rate": Arm("rekindle", (*_OURS, "train.learning_rate=1e-3")),
    "rekindle, constant rate": Arm("rekindle", ("eval.every=12", "train.steps=256")),
    "rekindle, posterior recycling": Arm("rekindle", (*_OURS, "pool.kind=prioritized", "priority.sharpness=2.0")),
}
"""GRPO has the rollouts of the documentation's runs in every arm; ours have fewer, because they end higher earlier."""
FINAL = (BASE, "GRPO, tuned", "rekindle")
"""Arms of the final tasks. "Tuned" is the best of GRPO's arms on the development tasks."""
COSTS = {
    "lean": "lean FLOPs",
    "every_row": "FLOPs, every row",
    "every_row_shared": "FLOPs, every row, prompts shared",
    "tokens": "generated tokens",
    "cpu_seconds": "CPU seconds",
}


# -- runs -------------------------------------------------------------------------------------------------------------


def chosen_arms(task: Task, only: Sequence[str] = ()) -> list[str]:
    """The arms of a task: the baseline first, on a final task those of ``FINAL``, and of these the wanted ones."""
    names = FINAL if task.final else tuple(ARMS)
    return [name for name in names if name == BASE or not only or name in only]


def command(task: str, arm: str, seed: int) -> list[str]:
    """Arguments of ``rekindle train``."""
    settings = (*TASKS[task].settings, *ARMS[arm].settings)
    sets = [word for setting in settings for word in ("--set", setting)]
    return [EXAMPLE, "--recipe", ARMS[arm].recipe, "--seed", str(seed), *sets]


def directory(runs: Path, task: str, arm: str, seed: int) -> Path:
    """Directory of one run."""
    return runs / f"{task}-{arm.replace(',', '').replace(' ', '_')}-{seed}"


def spent(run: Run) -> dict[str, list[float]]:
    """Costs so far at every line of the step log, by the names of ``COSTS``."""
    parameters, size = run.info["parameters"], run.config["train"]["group_size"]
    rows, lines = [], run.metrics
    for line in lines:
        sampled = line["total_generated_tokens"] + line["total_tool_tokens"]
        rows.append((sampled + line["total_prompt_tokens"], sampled + line["total_prompt_tokens"] / size))
    seconds = (line["cpu_seconds"] * (1 - line["time/evaluate"] / line["seconds"]) for line in lines[1:])
    return {
        "lean": [line["total_flops"] for line in lines],
        "every_row": [FORWARD_AND_BACKWARD * parameters * alone for alone, _ in rows],
        "every_row_shared": [FORWARD_AND_BACKWARD * parameters * shared for _, shared in rows],
        "tokens": [line["total_generated_tokens"] for line in lines],
        "cpu_seconds": [0.0, *accumulate(seconds)],
    }


def measure(path: Path) -> dict[str, Any]:
    """The numbers of one run: costs and accuracies at its evaluations."""
    run = load_run(path)
    places = [place for place, line in enumerate(run.metrics) if "eval/accuracy" in line]
    costs = spent(run)
    return {
        **arms.made(run),
        "seed": run.config["train"]["seed"],
        "updates": run.metrics[-1]["version"],
        "rollouts": run.metrics[-1]["total_rollouts"],
        "signal": statistics.fmean(line["groups/mixed"] / line["groups/asked"] for line in run.metrics[1:]),
        "accuracy": [run.metrics[place]["eval/accuracy"] for place in places],
        "greedy": [run.metrics[place]["eval/greedy"] for place in places],
        "costs": {name: [values[place] for place in places] for name, values in costs.items()},
    }


# -- costs of the target ----------------------------------------------------------------------------------------------


def late(run: Mapping[str, Any], key: str = "accuracy") -> float:
    """Mean of the last evaluations."""
    return statistics.fmean(run[key][-LATE:])


def cost(run: Mapping[str, Any], name: str, target: float) -> float | None:
    """What the run spent until it reached the target; None: it did not."""
    return cost_to_reach(Curve(run["costs"][name], run["accuracy"]), target)


def cheaper(base: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]], theirs: str, name: str) -> str:
    """How many times less ours cost than GRPO: geometric mean and interval over the common seeds that reached.

    Args:
        base: GRPO's runs.
        ours: Runs of another arm.
        theirs: GRPO's account.
        name: Our account.
    """
    targets = {run["seed"]: late(run) for run in base}
    there = {run["seed"]: cost(run, theirs, targets[run["seed"]]) or run["costs"][theirs][-1] for run in base}
    here = {run["seed"]: cost(run, name, targets[run["seed"]]) for run in ours if run["seed"] in targets}
    if ours is base:
        here = {run["seed"]: cost(run, name, targets[run["seed"]]) or run["costs"][name][-1] for run in base}
    found, reached = paired_log_ratios(there, here), sum(value is not None for value in here.values())
    if not found.count:
        return "not reached"
    limits = found.t.exponential()
    words = f"{math.exp(found.mean):.2f}" + (f" ({limits.low:.2f} to {limits.high:.2f})" if found.t.known else "")
    return words if reached == len(here) else f"{words}; {reached} of {len(here)} seeds"


def table(results: Results) -> str:
    """A row per arm."""
    base = results[BASE]
    head = ["", "seeds", "accuracy at the end", "difference", "greedy", "groups with signal"]
    head += ["lean FLOPs", "than every row", "than every row, shared", "than lean", "tokens", "CPU seconds"]
    lines = [head]
    for name, runs in results.items():
        common = {run["seed"] for run in runs} & {run["seed"] for run in base}
        ends, others = ([late(run) for run in one if run["seed"] in common] for one in (runs, base))
        line = [name, str(len(runs)), cell([late(run) for run in runs], ".3f")]
        line += ["" if runs is base else paired(ends, others)]
        line += [cell([late(run, "greedy") for run in runs], ".3f"), cell([run["signal"] for run in runs], ".2f")]
        line += [cell([run["costs"]["lean"][-1] for run in runs], ".2e")]
        line += [cheaper(base, runs, account, "lean") for account in ("every_row", "every_row_shared", "lean")]
        line += [cheaper(base, runs, account, account) for account in ("tokens", "cpu_seconds")]
        lines.append(line)
    return arms.markdown_table(lines)


def text(results: Mapping[str, Results], *, final: bool) -> str:
    """The tables of the development tasks or of the final ones."""
    parts = []
    for name, task in TASKS.items():
        if task.final == final and name in results:
            made = arms.made_words(run for runs in results[name].values() for run in runs)
            parts.append(f"{task.words.capitalize()}. {made}\n\n{table(results[name])}")
    return "\n".join(parts)


def merged(before: Results, new: Results) -> Results:
    """The runs of both by arm, in the order of ``ARMS`` and of seeds; a new run replaces that of its seed."""
    found = {}
    for arm in ARMS:
        by_seed = {run["seed"]: run for runs in (before, new) for run in runs.get(arm, ())}
        if by_seed:
            found[arm] = [by_seed[seed] for seed in sorted(by_seed)]
    return found


def main() -> None:
    """Make the runs that are missing, and write the results, the page, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="make the runs here; those that are finished are kept")
    parser.add_argument("--tasks", choices=("development", "final"), default="development")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="arms to run besides GRPO, separated by semicolons")
    parser.add_argument("--docs", action="store_true", help="write the measured block of the page")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    final, only = options.tasks == "final", [name for name in options.only.split(";") if name]
    for name, task in TASKS.items():
        if options.runs and task.final == final:
            seeds = range(task.first_seed, task.first_seed + options.seeds)
            wanted = chosen_arms(task, only)
            paths = {(arm, seed): directory(options.runs, name, arm, seed) for arm in wanted for seed in seeds}
            arms.run_all([(command(name, arm, seed), path) for (arm, seed), path in paths.items()], options.jobs)
            measured = {arm: [measure(paths[arm, seed]) for seed in seeds] for arm in wanted}
            results[name] = merged(results.get(name, {}), measured)
            RESULTS.write_text(json.dumps(results) + "\n")
    print(text(results, final=final))
    if options.docs:
        arms.replace_block(PAGE, "combination", f"\n{text(results, final=True)}\n")


if __name__ == "__main__":
    main()
