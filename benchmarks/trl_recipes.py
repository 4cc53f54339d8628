"""Recipes inside TRL, on the toy or on SmolLM2: held-out accuracy by three judges, what the policies write, and curves.

    python benchmarks/trl_recipes.py --out runs/trl                                        # the toy
    python benchmarks/trl_recipes.py --out runs/trl --model models/SmolLM2-135M-Instruct
    python benchmarks/trl_recipes.py --out runs/trl --summary benchmarks/trl_recipes.json --docs

``trl`` among the recipes is TRL's own GRPOTrainer. A finished run is kept, an unfinished one continues from its last
checkpoint. Completions of the held-out prompts are sampled by transformers, with a random state of their own.
"""

import argparse
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import arms
from rekindle.statistics.words import cell

RESULTS = arms.ROOT / "benchmarks" / "trl_recipes.json"
PAGE, BLOCK = arms.ROOT / "docs" / "howto" / "trl.md", "trl_recipes"
RECIPES = ("trl", "grpo", "recycle", "erpo", "c_rf_ntf", "rekindle")
COLOURS = dict(zip(RECIPES, ("#7d8794", "#4d4d4d", "#c2491d", "#3d6fb4", "#4a8f3c", "#8a4fa3"), strict=True))
ENDING, EVALUATIONS = "finished.json", "evaluations.jsonl"
SHOWN = 4
ROWS = (
    ("verifier, at the start", "start_verifier", ".2f"),
    ("verifier, at the end", "end_verifier", ".2f"),
    ("last number, at the end", "end_last_number", ".2f"),
    ("strict, at the start", "start_strict", ".2f"),
    ("strict, at the end", "end_strict", ".2f"),
    ("rollouts", "rollouts", ",.0f"),
    ("CPU seconds of training", "cpu_seconds", ",.0f"),
)

Measured = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
"""Records of runs by task and recipe."""


# -- runs -------------------------------------------------------------------------------------------------------------


def run(setting: Any, recipe: str, seed: int, out: Path) -> None:
    """Train one run, or what is left of it; its checkpoints are removed at the end."""
    from trl_evaluations import Evaluated
    from trl_tasks import arguments, make_trainer

    folder = out / f"{setting.name}-{recipe}-{seed}"
    record, about = folder / ENDING, {"steps": setting.steps, "rows": setting.rows, "limit": setting.limit}
    if record.exists():
        if json.loads(record.read_text())["about"] != about:
            raise SystemExit(f"{folder} holds a run with other settings; choose another --out")
        return
    args = arguments(setting, recipe, seed, folder, save_steps=setting.every, save_total_limit=2)
    evaluated = Evaluated(setting, folder / EVALUATIONS)
    trainer = make_trainer(setting, recipe, args, callbacks=[evaluated])
    evaluated.tokenizer = trainer.processing_class
    trainer.train(resume_from_checkpoint=any(folder.glob("checkpoint-*")))
    made = {"about": about, "seed": seed, **arms.made_now()}
    record.write_text(json.dumps(made) + "\n", encoding="utf-8")
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def measure(folder: Path, stock: bool) -> dict[str, Any]:
    """The numbers of a finished run."""
    ending = json.loads((folder / ENDING).read_text())
    evaluations = [json.loads(line) for line in (folder / EVALUATIONS).read_text().splitlines()]
    rollouts = _rollouts(folder, ending["about"], stock)
    first, last = evaluations[0], evaluations[-1]
    judges = {
        f"{when}_{judge}": sum(row[judge] for row in line["rows"]) / len(line["rows"])
        for when, line in (("start", first), ("end", last))
        for judge, verdict in line["rows"][0].items()
        if isinstance(verdict, bool)
    }
    every = max(1, len(last["rows"]) // SHOWN)
    return {
        **judges,
        "seed": ending["seed"],
        "rollouts": rollouts[last["step"]],
        "cpu_seconds": last["cpu_seconds"],
        "curve": [(rollouts[line["step"]], line["accuracy"]) for line in evaluations],
        "samples": list(zip(first["rows"], last["rows"], strict=True))[::every][:SHOWN],
        "date": ending["date"],
        "revision": ending["revision"],
    }


def _rollouts(folder: Path, about: Mapping[str, int], stock: bool) -> dict[int, int]:
    """Rollouts until the end of each step."""
    if stock:
        return {step: step * about["rows"] for step in range(about["steps"] + 1)}
    from rekindle import load_run

    return {0: 0, **{line["step"]: line["total_rollouts"] for line in load_run(folder / "rekindle").metrics}}


def measured_in(out: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The numbers of all finished runs in a directory."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for recipe in RECIPES:
        for folder in sorted(out.glob(f"*-{recipe}-[0-9]*")):
            if (folder / ENDING).exists():
                task = folder.name.removesuffix(f"-{recipe}-{folder.name.rpartition('-')[2]}")
                found.setdefault(task, {}).setdefault(recipe, []).append(measure(folder, recipe == "trl"))
    return found


# -- the page ---------------------------------------------------------------------------------------------------------


def curve_file(task: str) -> Path:
    """Where the curves of a task are."""
    return arms.ROOT / "docs" / "images" / f"trl_{task.lower()}.svg"


def curve(task: str, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy against rollouts."""
    return arms.accuracy_curves(
        arms.drawn_arms(runs, [COLOURS[recipe] for recipe in runs]),
        x_label="rollouts",
        description=f"Mean and range over the seeds of the held-out accuracy in TRL, {task}, by recipe",
    )


def table(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A column per recipe: mean and standard deviation over the seeds."""
    lines = [["", *(f"`{recipe}`, {len(some)} seed{'s' * (len(some) > 1)}" for recipe, some in runs.items())]]
    shown = [row for row in ROWS if all(row[1] in one for some in runs.values() for one in some)]
    for words, key, form in shown:
        lines.append([words, *(cell([one[key] for one in some], form) for some in runs.values())])
    return arms.markdown_table(lines)


def samples(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the policies of the first seed write, for the same prompts."""
    lines = [["prompt", "start", *(f"`{recipe}`" for recipe in runs)]]
    shown = [some[0]["samples"] for some in runs.values()]
    for rows in zip(*shown, strict=True):
        before = rows[0][0]
        texts = [before["completion"], *(after["completion"] for _, after in rows)]
        lines.append([arms.plain_cell(text) for text in (before["prompt"], *texts)])
    return arms.markdown_table(lines)


def block(measured: Measured) -> str:
    """The page's block: per task the curves, the table, and completions."""
    parts = []
    for task, runs in measured.items():
        image = f"![Held-out accuracy against rollouts, {task}](../images/{curve_file(task).name})"
        parts += [f"**{task}**", image, table(runs), "Held-out prompts, sampled at temperature 1:", samples(runs)]
    made = arms.made_words(run for runs in measured.values() for some in runs.values() for run in some)
    return "\n\n".join(part.strip() for part in [*parts, made]) + "\n"


def main() -> None:
    """Run what is missing; measure, print and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs")
    parser.add_argument("--model", type=Path, help="directory of SmolLM2; otherwise the toy")
    parser.add_argument("--recipes", default=",".join(RECIPES), help='names with commas; "" trains nothing')
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--steps", type=int, help="optimizer steps of a run")
    parser.add_argument("--every", type=int, help="steps between evaluations, and between checkpoints")
    parser.add_argument("--summary", type=Path, help="write the numbers of all finished runs here")
    parser.add_argument("--docs", action="store_true", help="write the page's block and the curves")
    options = parser.parse_args()
    recipes = [recipe for recipe in options.recipes.split(",") if recipe]
    if recipes:
        train(options, recipes)
    measured = measured_in(options.out)
    if not measured:
        parser.error(f"{options.out} has no finished run")
    print(block(measured))
    if options.summary:
        options.summary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        arms.replace_block(PAGE, BLOCK, block(measured))
        for task, runs in measured.items():
            curve_file(task).write_text(curve(task, runs), encoding="utf-8")


def train(options: argparse.Namespace, recipes: Sequence[str]) -> None:
    """Run the recipes with every seed, one after the other."""
    from dataclasses import replace

    import transformers

    from trl_tasks import on_model, toy

    transformers.utils.logging.set_verbosity_error()
    options.out.mkdir(parents=True, exist_ok=True)
    setting = on_model(options.model) if options.model else toy()
    given = {name: value for name in ("steps", "every") if (value := getattr(options, name))}
    for seed in map(int, options.seeds.split(",")):
        for recipe in recipes:
            print(f"{setting.name}, {recipe}, seed {seed}", flush=True)
            run(replace(setting, **given), recipe, seed, options.out)


if __name__ == "__main__":
    main()
