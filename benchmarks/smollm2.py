"""The example with SmolLM2: accuracy of finished runs, what their policies write, and a second judge.

    rekindle train examples/arithmetic_smollm2.toml --seed N --out RUN
    python benchmarks/smollm2.py RUN [RUN ...] [--name "all weights"] [--docs]

The first policy (``model.path``) and the last one of each run complete all held-out prompts twice. The second judge
knows nothing of rekindle's verifiers: the whole completion has to be the answer, or the problem, "=", "equals" or "is"
and the answer, with at most a full stop after it, and it has to end by itself. With ``--docs`` the table, the curve
and completions go into docs/howto/real_model.md.
"""

import argparse
import json
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import arms
from rekindle import load_run
from rekindle.assembly.opening import load_policy
from rekindle.config import Config, validate
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy
from rekindle.preflight import policy_files, task_set
from rekindle.statistics.words import cell
from rekindle.types import Task, UserError
from rekindle.verifiers import math_equal
from rekindle.warm_starts.stage import policy_directories

RESULTS = arms.ROOT / "benchmarks" / "smollm2.json"
PAGE, BLOCK = arms.ROOT / "docs" / "howto" / "real_model.md", "smollm2"
CURVE = arms.ROOT / "docs" / "images" / "smollm2.svg"
COLOURS = ("#c2491d", "#3d6fb4", "#7d8794")
SAMPLES, SHOWN = 2, 6
ROWS = (
    ("held-out accuracy at the start", "start", ".2f"),
    ("held-out accuracy at the end", "end", ".2f"),
    ("greedy accuracy at the start", "greedy_start", ".2f"),
    ("greedy accuracy at the end", "greedy_end", ".2f"),
    ("second judge at the start", "strict_start", ".2f"),
    ("second judge at the end", "strict_end", ".2f"),
    ("verifier on the same completions", "verified_end", ".2f"),
    ("truncated completions, first step", "truncated_start", ".2f"),
    ("truncated completions, last step", "truncated_end", ".2f"),
    ("groups with signal, first quarter", "taught_early", ".2f"),
    ("groups with signal, last quarter", "taught_late", ".2f"),
    ("never solved groups, last quarter", "never_late", ".2f"),
    ("rollouts", "rollouts", ",.0f"),
    ("generated tokens", "tokens", ",.0f"),
    ("FLOPs", "flops", ".1e"),
    ("CPU seconds of the steps", "cpu_seconds", ",.0f"),
)


def strictly_right(task: Task, completion: str) -> bool:
    """The second judge: nothing but the answer, or the problem with its answer."""
    problem = re.escape(task.id.rpartition("/")[2])
    restated = rf"(?:{problem}\s*(?:=|equals|is)\s*)?"
    return re.fullmatch(rf"\s*{restated}{re.escape(str(task.answer))}\s*\.?\s*", completion) is not None


def completed(policy: Policy, config: Config, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Completions of all tasks, with both judges' verdicts."""
    requests = [
        SamplingRequest(
            policy.encode_prompt(task.prompt), SAMPLES, max_new_tokens=config.engine.max_new_tokens, seed=row
        )
        for row, task in enumerate(tasks)
    ]
    return [
        {
            "prompt": tasks[row].prompt,
            "completion": one.text,
            "strict": not one.truncated and strictly_right(tasks[row], one.text),
            "verified": math_equal(one.text, str(tasks[row].answer), prompt=tasks[row].prompt),
        }
        for row, completions in sorted(TorchEngine(policy).generate(requests))
        for one in completions
    ]


def share(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return statistics.fmean(bool(row[key]) for row in rows)


def measure(directory: Path, config: Config, before: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of one run, and completions of its last policy beside those ``before`` it, for the same prompts."""
    run = load_run(directory)
    after = completed(policy_of(config, directory / "model"), config, held_out(config))
    lines, evaluated = run.metrics[1:], arms.evaluations(run)
    early, *_, late = arms.quarters(lines)

    def groups(some: Sequence[Mapping[str, Any]], key: str) -> float:
        return float(sum(line[f"groups/{key}"] for line in some) / sum(line["groups/asked"] for line in some))

    return {
        **arms.counted(run),
        "seed": config.train.seed,
        "start": evaluated[0]["eval/accuracy"],
        "end": evaluated[-1]["eval/accuracy"],
        "greedy_start": evaluated[0]["eval/greedy"],
        "greedy_end": evaluated[-1]["eval/greedy"],
        "strict_start": share(before, "strict"),
        "strict_end": share(after, "strict"),
        "verified_end": share(after, "verified"),
        "truncated_start": lines[0]["completion/truncated"],
        "truncated_end": lines[-1]["completion/truncated"],
        "taught_early": groups(early, "trained"),
        "taught_late": groups(late, "trained"),
        "never_late": groups(late, "all_wrong"),
        "curve": [(line["total_rollouts"], line["eval/accuracy"]) for line in evaluated],
        "samples": list(zip(before, after, strict=True))[:: len(before) // SHOWN][:SHOWN],
        "revision": run.info["git_revision"][: arms.REVISION_LETTERS],
        "date": arms.made_now()["date"],
    }


def held_out(config: Config) -> Sequence[Task]:
    return task_set(config, _say_nothing).held_out


def _say_nothing(_: str) -> None:
    """Show no line before slow work."""


def policy_of(config: Config, saved: Path | None = None) -> Policy:
    """The policy in a directory, or the first one of a configuration."""
    files = policy_files(config, saved, _say_nothing)
    return load_policy(config, *policy_directories(config, files, _say_nothing))


def table(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A column per arm: mean and standard deviation over the seeds."""
    lines = [["", *(f"{name}, {len(runs)} seed{'s' * (len(runs) > 1)}" for name, runs in measured.items())]]
    for words, key, form in ROWS:
        lines.append([words, *(cell([run[key] for run in runs], form) for runs in measured.values())])
    return arms.markdown_table(lines)


def samples(run: Mapping[str, Any]) -> str:
    """What the policy wrote before and after, for the same prompts."""
    lines = [["prompt", "before", "after"]]
    for before, after in run["samples"]:
        lines.append([before["prompt"], *(arms.plain_cell(one["completion"]) for one in (before, after))])
    return arms.markdown_table(lines)


def block(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The page's block."""
    first = next(iter(measured.values()))[0]
    about = f"What the policy of seed {first['seed']} writes for held-out prompts, sampled at temperature 1:"
    made = arms.made_words(run for runs in measured.values() for run in runs)
    return (
        f"![Held-out accuracy against rollouts](../images/{CURVE.name})\n\n{table(measured)}\n{made}\n\n"
        f"{about}\n\n{samples(first)}"
    )


def curve(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Accuracy against rollouts."""
    return arms.accuracy_curves(
        arms.drawn_arms(measured, COLOURS[: len(measured)]),
        x_label="rollouts",
        description="Mean and range over the seeds of the held-out accuracy of SmolLM2-135M-Instruct on arithmetic",
    )


def measured_now(directories: Sequence[Path]) -> list[dict[str, Any]]:
    """The numbers of these runs.

    Raises:
        UserError: One is not a run, or has other held-out prompts than another.
    """
    configs = [validate(load_run(directory).config, str(directory)) for directory in directories]
    if len({tuple(task.id for task in held_out(config)) for config in configs}) > 1:
        raise UserError("these runs have other held-out prompts than one another; give runs of the same example")
    before = completed(policy_of(configs[0]), configs[0], held_out(configs[0]))
    return [measure(*run, before) for run in zip(directories, configs, strict=True)]


def main() -> None:
    """Measure the given runs, print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", help="finished runs; none: use the results there are")
    parser.add_argument("--name", default="all weights", help="name of their column")
    parser.add_argument("--docs", action="store_true", help="write the page's block and the curve")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured: dict[str, Any] = arms.read_results(RESULTS) if RESULTS.exists() else {}
    if options.runs:
        try:
            measured[options.name] = measured_now(options.runs)
        except UserError as error:
            parser.error(str(error))
        RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    print(block(measured))
    if options.docs:
        CURVE.write_text(curve(measured))
        arms.replace_block(PAGE, BLOCK, block(measured))


if __name__ == "__main__":
    main()
