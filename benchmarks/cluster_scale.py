"""Scheduling for a cluster: 512 rollout workers, ten million prompts, steps of 8,192 rollouts, in simulated time.

    python benchmarks/cluster_scale.py [--only grpo,recycle] [--out FILE.json] [--docs]

Builds the real scheduler of each recipe and runs it on ``rekindle.planning.cluster``, synchronously and with
``train.max_off_policy_steps`` 1, 2 and 4. Measured of the driver, in CPU time: ask, tell, take and advance per group,
with rollouts of realistic length, whose tokens a tell counts, and of one token, which leaves the decisions; peak memory
of the process; size and time of the state. Measured of the cluster, in simulated time: how busy its slots are, updates
an hour, ages of the trained groups, and the fates of all rollouts. Targets: 20,000 groups a second, or 1 % of a step.

Each recipe runs in its own process. Simulated time does not depend on the machine.
"""

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

import arms
from hashed_player import HashedPlayer
from rekindle.config import Config
from rekindle.methods import build_scheduler
from rekindle.planning.cluster import ClusterSettings, Measured, run
from rekindle.recipes import RECIPES, resolve
from rekindle.records.state_files import split_arrays
from rekindle.scheduling.history import TaskIds
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import Fate

RESULTS = arms.ROOT / "benchmarks" / "cluster_scale.json"
PAGE = Path("benchmarks.md")
BLOCK = "cluster scale"
PROMPTS = 10**7
GROUPS, GROUP_SIZE = 1024, 8
LAGS = (0, 1, 2, 4)
STEPS, SETTLED = 14, 6
"""Updates of a run, and those that are left out of rates, in which the steps in flight fill up."""
MEASURED = ("grpo", "recycle", "posterior_recycle", "erpo", "dapo", "rekindle")
BESIDE = (("grpo", "pareto"), ("recycle", "pareto"))
"""Further runs with another distribution of lengths."""
MOST_SHARE = 0.01

Row = dict[str, Any]


def settings_of(recipe: str, lag: int) -> Config:
    """A recipe with steps of as many rollouts as all others; a group of one stays one."""
    train: dict[str, Any] = {"max_off_policy_steps": lag, "steps": STEPS}
    if RECIPES[recipe]().train.group_size == 1:
        train |= {"groups_per_step": GROUPS * GROUP_SIZE}
    else:
        train |= {"groups_per_step": GROUPS, "group_size": GROUP_SIZE}
    return resolve({"train": train}, recipe)


def measure(recipe: str, latency: str, prompts: int) -> list[Row]:
    """Measure a recipe in this process, a row for each lag."""
    before = _peak()
    began = time.process_time()
    ids = TaskIds(f"train/{row}" for row in range(prompts))
    scheduler = build_scheduler(settings_of(recipe, 0), ids)
    built = time.process_time() - began
    cluster, rows = ClusterSettings(latency=latency), list[Row]()
    decided = run(scheduler, cluster, HashedPlayer(prompt_tokens=1, lengths=(1,)), STEPS)
    gc.collect()
    gc.freeze()  # as a run does
    for lag in LAGS:
        del scheduler
        scheduler = build_scheduler(settings_of(recipe, lag), ids)
        measured = run(scheduler, cluster, HashedPlayer(), STEPS)
        row = {"recipe": recipe, "latency": latency, "lag": lag, "prompts": prompts, **_rates(measured)}
        if not lag:
            row |= {"decisions_us": _rates(decided)["cpu_us"], "build_seconds": round(built, 2)}
            row |= {"peak_megabytes": _peak(), "of_which_before": before}
        if lag in (LAGS[0], LAGS[-1]):
            row |= _state(scheduler)
        rows.append(row)
    return rows


def _peak() -> int:
    """Peak memory of this process, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _rates(measured: Measured) -> Row:
    """What a run did, after its first updates."""
    cpu, seconds, asked = (part[SETTLED:] for part in (measured.cpu, measured.seconds, measured.asked))
    rollouts, groups = sum(measured.rollouts.values()), sum(measured.ages.values())
    return {
        "cpu_us": round(1e6 * statistics.median(spent / number for spent, number in zip(cpu, asked, strict=True)), 1),
        "cpu_seconds_a_step": round(statistics.median(cpu), 4),
        "groups_a_step": round(statistics.fmean(asked)),
        "seconds_a_step": round(statistics.fmean(seconds), 1),
        "busy": round(measured.busy, 3),
        "ages": {str(age): round(number / groups, 4) for age, number in sorted(measured.ages.items())},
        "fates": {fate.value: round(measured.rollouts[fate] / rollouts, 4) for fate in Fate},
        "trained_groups_an_hour": round(3600 * groups / sum(measured.seconds)),
    }


def _state(scheduler: Scheduler) -> Row:
    """Size and CPU time of the state between two steps."""
    began = time.process_time()
    values, arrays = split_arrays(scheduler.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        save_file(arrays, Path(folder) / "scheduler.safetensors")
        text = json.dumps(values)
    spent = time.process_time() - began
    size = sum(array.nbytes for array in arrays.values()) + len(text)
    return {"state_megabytes": round(size / 2**20), "state_seconds": round(spent, 2)}


# -- the page ---------------------------------------------------------------------------------------------------------


def table(found: Mapping[str, Any]) -> str:
    """The block of the page: the driver, and the cluster."""
    rows: Sequence[Row] = found["rows"]
    at_once = [row for row in rows if row["latency"] == "lognormal" and row["lag"] == 0]
    driver = [
        [
            f"`{row['recipe']}`",
            f"{row['groups_a_step']:,}",
            f"{row['decisions_us']:.0f} ({1e6 / row['decisions_us']:,.0f})",
            f"{row['cpu_us']:.0f}",
            f"{_share(rows, row['recipe']):.3%}",
            f"{row['peak_megabytes']:,} ({_bytes_a_prompt(row):.0f})",
            f"{row['state_megabytes']:,} / {row['state_seconds']:.1f}",
        ]
        for row in at_once
    ]
    missed = [f"`{row['recipe']}`" for row in at_once if _share(rows, row["recipe"]) > MOST_SHARE]
    slow = [f"`{row['recipe']}`" for row in at_once if row["decisions_us"] > 1e6 / 20_000]
    verdict = f"Above 1 % of a step: {', '.join(missed)}." if missed else "No recipe takes 1 % of a step."
    verdict += f" Below 20,000 decisions a second: {', '.join(slow)}." if slow else ""
    head = [
        "recipe",
        "groups asked a step",
        "µs a decision (a second)",
        "µs a group with its tokens",
        "share of a step",
    ]
    return "\n".join(
        [
            arms.markdown_table([[*head, "peak MB (bytes a prompt)", "state MB / s"], *driver]),
            f"{verdict}\n",
            _in_flight(rows),
            arms.markdown_table([_HEAD, *(_cells(row, rows) for row in rows)]),
            arms.made_words([found]),
            "",
        ]
    )


def _bytes_a_prompt(row: Row) -> float:
    megabytes: int = row["peak_megabytes"] - row["of_which_before"]
    return megabytes * 2**20 / int(row["prompts"])


def _in_flight(rows: Sequence[Row]) -> str:
    """A sentence about the state with steps in flight."""
    last = next(row for row in rows if row["lag"] == LAGS[-1])
    return (
        f"With {LAGS[-1]} steps ahead the state also has the rollouts of groups that wait for their step, with their "
        f"tokens: {last['state_megabytes']:,} MB in {last['state_seconds']:.0f} s for `{last['recipe']}`.\n"
    )


_HEAD = [
    "recipe, lengths", "steps ahead", "slots busy", "seconds an update", "trained groups an hour", "age in updates",
    "trained / no signal / excess / failed / expired, % of rollouts",
]  # fmt: skip


def _share(rows: Sequence[Row], recipe: str) -> float:
    """Largest share of the driver's CPU time in the seconds of a step."""
    return max(row["cpu_seconds_a_step"] / row["seconds_a_step"] for row in rows if row["recipe"] == recipe)


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    same = [one for one in rows if (one["recipe"], one["latency"]) == (row["recipe"], row["latency"])]
    gain = row["trained_groups_an_hour"] / same[0]["trained_groups_an_hour"]
    fates = row["fates"]
    shares = (
        fates["trained"], fates["recycled"] + fates["retired"], fates["excess"], fates["failed"], fates["expired"]
    )  # fmt: skip
    return [
        f"`{row['recipe']}`, {row['latency']}",
        str(row["lag"]),
        f"{row['busy']:.0%}",
        f"{row['seconds_a_step']:,.0f}",
        f"{row['trained_groups_an_hour']:,} (x {gain:.2f})",
        f"{sum(int(age) * share for age, share in row['ages'].items()):.2f}, at most {max(map(int, row['ages']))}",
        " / ".join(f"{100 * share:.1f}" for share in shares),
    ]


def main() -> None:
    """Measure every recipe in a fresh process, print the tables, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("RECIPE", "LATENCY"), help=argparse.SUPPRESS)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(MEASURED), help="recipes to measure")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    if options.one:
        recipe, latency = options.one
        print(json.dumps(measure(recipe, latency, options.prompts)))
        return
    wanted = [(recipe, "lognormal") for recipe in MEASURED] + list(BESIDE)
    found = arms.read_results(options.out)["rows"] if options.out.exists() else []
    rows: dict[tuple[str, str], list[Row]] = {
        pair: [row for row in found if (row["recipe"], row["latency"]) == pair] for pair in wanted
    }
    for recipe, latency in wanted:
        if recipe not in options.only:
            continue
        command = [sys.executable, __file__, "--one", recipe, latency, "--prompts", str(options.prompts)]
        rows[recipe, latency] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{recipe}, {latency}", file=sys.stderr, flush=True)
        kept = {**arms.made_now(), "rows": [row for part in rows.values() for row in part]}
        options.out.write_text(json.dumps(kept, indent=1) + "\n")
    text = table(arms.read_results(options.out))
    print(text)
    if options.docs:
        arms.replace_block(options.docs / PAGE, BLOCK, text)


if __name__ == "__main__":
    main()
