"""Plans against runs: predicted and real groups with signal in the first epoch.

python benchmarks/plan_truth.py --runs DIR [--only toy,smollm2] [--seeds 3]
python benchmarks/plan_truth.py --tables DIR [--docs]

"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import arms

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A configuration that is profiled and then trained.

    Attributes:
        config: Its file, from the repository's root.
        recipes: What it is trained with.
        settings: ``--set`` of the profile and of all runs.
        run: ``--set`` of the runs alone: an epoch and a little more.
        seeds: Number of runs of a recipe.
    """

    config: str
    recipes: Sequence[str]
    settings: Sequence[str] = ()
    run: Sequence[str]
    seeds: int


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
        seeds=2,
    ),
}
SAMPLES = 8


def set_words(settings: Sequence[str]) -> list[str]:
    """``--set`` of each."""
    return [word for one in settings for word in ("--set", one)]


def profiled(name: str, directory: Path) -> Path:
    """The profile of a case, made unless it is there."""
    out, case = (directory / f"{name}.parquet").resolve(), CASES[name]
    if not out.exists():
        command = ["profile", case.config, *set_words(case.settings), "--samples", str(SAMPLES), "--out", str(out)]
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
    return runs / f"{name}-{recipe}-{seed}"


def make_runs(name: str, runs: Path) -> None:
    """Profile a case and make its missing runs."""
    profile, case = profiled(name, runs), CASES[name]
    arms.run_all(
        [
            (run_arguments(name, recipe, seed, profile), run_directory(runs, name, recipe, seed))
            for seed in range(case.seeds)
            for recipe in case.recipes
        ],
        1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--only", default=",".join(CASES))
    options = parser.parse_args()
    for name in options.only.split(","):
        make_runs(name, options.runs)


if __name__ == "__main__":
    main()
