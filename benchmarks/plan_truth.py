"""Plans against runs: predicted and real groups with signal, and rollouts per such group, in the first epoch.

    python benchmarks/plan_truth.py --runs DIR [--only toy,smollm2] [--tables DIR] [--docs]

A case is profiled with ``rekindle profile``, planned as ``rekindle plan`` does, and trained for an epoch and a little
more. Each recipe is predicted twice: from the profile alone, with the gain that is assumed where nothing is known, and
with the gain of one pilot run, which is the first run of ``grpo``. Tables of pass rates need no run: some samples of
each prompt are fitted to, and the share of groups with signal among its other samples is predicted.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import arms
from rekindle import load_run
from rekindle.observability.runs import Run
from rekindle.planning.belief import believe
from rekindle.planning.first_visits import rates_of_run
from rekindle.planning.gains import GAIN
from rekindle.planning.measures import interval
from rekindle.planning.pass_rates import PassRates, grouped_rates
from rekindle.planning.plan_recipes import arms_of
from rekindle.planning.planner import PlanSettings, make_plan
from rekindle.planning.signal import counted_share
from rekindle.planning.sources import load_rates
from rekindle.planning.totals import Horizon, Interval, interval_of
from rekindle.recipes import resolve

__all__ = ["BLOCK", "PAGES", "RESULTS", "page"]

RESULTS = arms.ROOT / "benchmarks" / "plan_truth.json"
PAGES, BLOCK = (Path("benchmarks.md"), Path("howto/plan.md")), "plan truth"
TARGET = 0.15
"""Largest error that is aimed at."""
PILOT = "grpo"
SPLITS = 40

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A configuration that is profiled and then trained.

    Attributes:
        config: Its file, from the repository's root.
        recipes: What it is trained with.
        settings: ``--set`` of the profile and of all runs.
        run: ``--set`` of the runs alone: an epoch and a little more.
        seeds: Number of runs of a recipe.
        samples: Samples of a prompt in the profile.
        like: Case whose runs are its runs as well; "": it has its own.
    """

    config: str
    recipes: Sequence[str]
    settings: Sequence[str] = ()
    run: Sequence[str]
    seeds: int
    samples: int = 8
    like: str = ""


CASES: Mapping[str, Case] = {
    "toy": Case(
        config="examples/spell_backward.toml",
        recipes=("grpo", "recycle", "dapo", "erpo", "sgpo"),
        run=("train.rollouts=18000", "eval.every=1000", "eval.prompts=16"),
        seeds=3,
    ),
    "smollm2": Case(
        config="examples/arithmetic_smollm2.toml",
        recipes=("grpo", "recycle"),
        settings=("task.pool_size=256",),
        run=("train.steps=1000", "train.rollouts=1100", "eval.every=1000", "eval.prompts=16"),
        seeds=3,
    ),
    "smollm2, 32 samples": Case(
        config="examples/arithmetic_smollm2.toml",
        recipes=("grpo", "recycle"),
        settings=("task.pool_size=256",),
        run=(),
        seeds=3,
        samples=32,
        like="smollm2",
    ),
    "smollm2, completion": Case(
        config="examples/arithmetic_smollm2.toml",
        recipes=("grpo", "recycle", "dapo", "erpo"),
        settings=(
            "task.pool_size=512",
            r'task.params={kinds=["1+1","2+1","1*1"],template="6 + 3 = 9\n5 * 7 = 35\n{} ="}',
            "task.verifier=exact_match",
            "model.chat_template=false",
            r'engine.stop=["\n"]',
            "engine.max_new_tokens=8",
        ),
        run=("train.steps=1000", "train.rollouts=2200", "eval.every=1000", "eval.prompts=16"),
        seeds=3,
    ),
}


def set_words(settings: Sequence[str]) -> list[str]:
    """``--set`` of each."""
    return [word for one in settings for word in ("--set", one)]


def filed(name: str) -> str:
    """The name of a case in names of files."""
    return name.replace(", ", "-").replace(" ", "-")


def profiled(name: str, directory: Path) -> Path:
    """The profile of a case, made unless it is there."""
    out, case = (directory / f"{filed(name)}.parquet").resolve(), CASES[name]
    if not out.exists():
        command = ["profile", case.config, *set_words(case.settings), "--samples", str(case.samples), "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "rekindle", *command], cwd=arms.ROOT, env=environment, check=True)
    return out


def run_arguments(name: str, recipe: str, seed: int, profile: Path) -> list[str]:
    """Arguments of ``rekindle train``."""
    case = CASES[name]
    own = [*case.settings, *case.run, *([f"profile.path={profile}"] if recipe == "sgpo" else [])]
    return [case.config, "--recipe", recipe, "--seed", str(seed), *set_words(own)]


def run_directory(runs: Path, name: str, recipe: str, seed: int) -> Path:
    """Where a run is kept."""
    return runs / f"{filed(CASES[name].like or name)}-{recipe}-{seed}"


def make_runs(name: str, runs: Path) -> None:
    """Profile a case and make its missing runs."""
    profile, case = profiled(name, runs), CASES[name]
    if case.like:
        make_runs(case.like, runs)
        return
    arms.run_all(
        [
            (run_arguments(name, recipe, seed, profile), run_directory(runs, name, recipe, seed))
            for seed in range(case.seeds)
            for recipe in case.recipes
        ],
        1,
    )


# -- truth ------------------------------------------------------------------------------------------------------------


def first_epoch(run: Run) -> dict[str, float]:
    """What a run's ledger says of its first epoch: whole steps, until as many groups as prompts were rolled out.

    The epoch of sGPO is its first pass over the phases.
    """
    later = [line["step"] for line in run.metrics if line.get("pool/pass", 1) > 1]
    last, size = min(later, default=math.inf), run.info["pool"]
    found = {"groups": 0, "with_signal": 0, "trained": 0, "rollouts": 0, "steps": 0}
    for line in run.query(_BY_STEP):
        if found["groups"] >= size or line["step"] > last:
            break
        for name in ("groups", "with_signal", "trained", "rollouts"):
            found[name] += line[name]
        found["steps"] += 1
    return {
        "share": found["with_signal"] / found["groups"],
        "per_group": found["rollouts"] / found["trained"],
        **found,
    }


def has_an_epoch(directory: Path) -> bool:
    """Whether a run is finished, or has rolled out as many groups as there are prompts."""
    if (directory / arms.DONE).exists() or not (directory / "ledger.sqlite").exists():
        return (directory / arms.DONE).exists()
    run = load_run(directory)
    return sum(int(line["groups"]) for line in run.query(_BY_STEP)) >= run.info["pool"]


_BY_STEP = """
select step, count(distinct task_id) groups, count(distinct case when outcome = 'mixed' then task_id end) with_signal,
  count(distinct case when outcome = 'mixed' and fate = 'trained' then task_id end) trained, sum(n) rollouts
from groups where role = 'solver' group by step order by step
"""


def predictions(name: str, profile: Path, gain: float | None) -> dict[str, dict[str, list[float]]]:
    """By recipe: the predicted share and rollouts per group, with limits."""
    rates = load_rates(profile)
    config = resolve(arms.ROOT / CASES[name].config)
    found, _ = arms_of(CASES[name].recipes, (config.train.group_size,), config.train.groups_per_step)
    settings = PlanSettings(
        prompts=rates.pool,
        horizon=Horizon(groups=rates.pool),
        words="one epoch",
        gain=GAIN if gain is None else gain,
        gain_known=gain is not None,
    )
    plan = make_plan(rates, found, settings)
    return {
        one.arm.recipe: {
            key: limits(interval(one, measure))
            for key, measure in (("share", "with_signal"), ("per_group", "rollouts_per_signal"))
        }
        for one in plan.arms
    }


def limits(found: Interval | None) -> list[float]:
    """Mean, low and high."""
    assert found is not None, "these recipes have groups"
    return [round(value, 4) for value in (found.mean, found.low, found.high)]


def measured_case(name: str, runs: Path) -> list[Row]:
    """A row for each recipe that has runs: predicted from the profile alone, and with the gain of a pilot run."""
    profile, case = profiled(name, runs), CASES[name]
    finished = {
        (recipe, seed): load_run(run_directory(runs, name, recipe, seed))
        for recipe in case.recipes
        for seed in range(case.seeds)
        if has_an_epoch(run_directory(runs, name, recipe, seed))
    }
    pilot = rates_of_run(run_directory(runs, name, PILOT, 0)).gain if (PILOT, 0) in finished else None
    blind, informed = predictions(name, profile, None), {} if pilot is None else predictions(name, profile, pilot)
    rows = []
    for recipe in case.recipes:
        real = [first_epoch(run) for (one, _), run in finished.items() if one == recipe]
        if real:
            means = {key: statistics.fmean(one[key] for one in real) for key in ("share", "per_group")}
            row = {"case": name, "recipe": recipe, "seeds": len(real), "real": means, "blind": blind[recipe]}
            rows.append({**row, "pilot": informed.get(recipe), "gain": pilot})
    return rows


# -- tables of pass rates ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A table of counted samples.

    Attributes:
        file: Below the directory of the tables.
        fitted: Samples of each prompt that are fitted to.
        sizes: Group sizes that are predicted for the other samples.
    """

    file: str
    fitted: int
    sizes: Sequence[int]


TABLES: Mapping[str, Table] = {
    "maths, Qwen": Table("math_qwen_50x8.jsonl", 4, (2, 4)),
    "game of 24, GPT-4": Table("game24_gpt4_direct_100x100.jsonl", 8, (4, 8, 16)),
}


def measured_table(name: str, data: Path) -> list[Row]:
    """Fit on some samples of each prompt, and predict the share of groups with signal among the others."""
    table = TABLES[name]
    rows = arms.read_rows(data / table.file)
    right, asked = (np.array([row[key] for row in rows]) for key in ("successes", "samples"))
    rng = np.random.default_rng(0)
    found: dict[int, list[tuple[float, Interval]]] = {size: [] for size in table.sizes}
    for split in range(SPLITS):
        fitted = rng.hypergeometric(right, asked - right, table.fitted)
        successes, samples, prompts, lengths = grouped_rates(fitted, np.full(len(rows), table.fitted), where=name)
        rates = PassRates(successes=successes, samples=samples, prompts=prompts, sampled_tokens=lengths)
        belief, rest = believe(rates, seed=split), int(asked[0] - table.fitted)
        for size in table.sizes:
            wrong, correct = belief.all_alike(size)
            share = interval_of((1 - wrong - correct) @ (prompts / prompts.sum()))
            found[size].append((counted_share((right - fitted).tolist(), rest, size) or 0.0, share))
    return [
        {
            "case": name,
            "prompts": len(rows),
            "fitted": table.fitted,
            "size": size,
            "real": statistics.fmean(real for real, _ in pairs),
            "predicted": statistics.fmean(one.mean for _, one in pairs),
            "one_split": statistics.median(abs(one.mean / real - 1) for real, one in pairs if real),
            "inside": statistics.fmean(one.low <= real <= one.high for real, one in pairs),
        }
        for size, pairs in found.items()
    ]


# -- the page ---------------------------------------------------------------------------------------------------------


def error(predicted: float, real: float) -> str:
    """The relative error, marked where it is above the target."""
    part = predicted / real - 1
    return f"{part:+.0%}" + ("" if abs(part) <= TARGET else " (!)")


def run_table(rows: Sequence[Row]) -> str:
    """Predicted and real numbers of the first epoch."""
    head = [
        "case", "recipe", "seeds", "with signal", "predicted", "error", "with a pilot", "rollouts per such group",
        "predicted", "error", "with a pilot",
    ]  # fmt: skip
    lines = [head]
    for row in rows:
        cells = [row["case"], f"`{row['recipe']}`", str(row["seeds"])]
        for key, form in (("share", ".1%"), ("per_group", ".1f")):
            real, (mean, low, high) = row["real"][key], row["blind"][key]
            told = "-" if row["pilot"] is None else error(row["pilot"][key][0], real)
            cells += [f"{real:{form}}", f"{mean:{form}} ({low:{form}}-{high:{form}})", error(mean, real), told]
        lines.append(cells)
    return arms.markdown_table(lines)


def split_table(rows: Sequence[Row]) -> str:
    """Predicted and real shares of the tables of pass rates."""
    lines = [["table", "fitted samples", "group size", "with signal", "predicted", "error", "of one split", "inside"]]
    lines += [
        [
            f"{row['case']}, {row['prompts']} prompts",
            str(row["fitted"]),
            str(row["size"]),
            f"{row['real']:.1%}",
            f"{row['predicted']:.1%}",
            error(row["predicted"], row["real"]),
            f"{row['one_split']:.0%}",
            f"{row['inside']:.0%}",
        ]
        for row in rows
    ]
    return arms.markdown_table(lines)


def page(found: Mapping[str, Any]) -> str:
    """The block of the page."""
    gains = {row["case"]: row["gain"] for row in found["runs"] if row["gain"] is not None}
    words = ", ".join(f"{gain:.2f} in {case}" for case, gain in gains.items())
    return "\n".join(
        [
            run_table(found["runs"]),
            f"Gain measured in a pilot run: {words}; assumed without one: {GAIN:g}. {arms.made_words([found])}\n",
            split_table(found["tables"]),
            "",
        ]
    )


def main() -> None:
    """Make what is missing, compare, print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="directory of profiles and runs; what is there is kept")
    parser.add_argument("--only", help=f"cases to run: some of {', '.join(CASES)}")
    parser.add_argument("--made", action="store_true", help="make no run; read those that are finished")
    parser.add_argument("--tables", type=Path, help="directory of the tables of pass rates")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    found = arms.read_results(options.out) if options.out.exists() else {"runs": [], "tables": []}
    for name in options.only.split(",") if options.only else CASES:
        if options.runs:
            if not options.made:
                make_runs(name, options.runs)
            others = [row for row in found["runs"] if row["case"] != name]
            found |= {**arms.made_now(), "runs": [*others, *measured_case(name, options.runs)]}
    if options.tables:
        rows = [row for name in TABLES for row in measured_table(name, options.tables)]
        found |= {**arms.made_now(), "tables": rows}
    if options.runs or options.tables:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    text = page(found)
    print(text)
    for place in PAGES if options.docs else ():
        arms.replace_block(options.docs / place, BLOCK, text)


if __name__ == "__main__":
    main()
