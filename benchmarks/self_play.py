"""Accuracy of the embedded search agent after self-play without given questions, and the effect of the check.

    python benchmarks/self_play.py --runs runs/self_play [--jobs 1] [--seeds 5]
    python benchmarks/self_play.py --planted [--seeds 5]
    python benchmarks/self_play.py --docs

Every seed has a warm start of its own, from which all arms begin with the same number of rollouts of both roles.
Accuracy is that on human-template questions about a world of unseen names, the mean over 1 to 4 hops; the end is the
mean of the last three evaluations. Controls: one of the roles is played by the start policy throughout, and the RAG
check is off. The planted test needs no training: questions whose answer is not the one they were proposed for, and
right ones, go through the check of each start policy.
"""

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.observability.runs import Run
from rekindle.statistics.intervals import wilson
from rekindle.statistics.words import cell, paired

RESULTS = arms.ROOT / "benchmarks" / "self_play.json"
EXAMPLE = "examples/self_play.toml"
PAGE = arms.ROOT / "docs" / "methods" / "self_play.md"
CURVES = arms.ROOT / "docs" / "images" / "methods" / "self_play.svg"
ARMS: dict[str, tuple[str, ...]] = {
    "self-play": (),
    "fixed proposer": ("self_play.fixed=proposer", "self_play.proposer_estimator=reinforce"),
    "fixed solver": ("self_play.fixed=solver",),
    "no check": ("check.kind=off",),
}
COLOURS = ("#2f6fb5", "#2f9e6f", "#8a6fb5", "#b5482f")
LAST = 3
GAME = ("valid_rate", "solver_success", "reference_success", "searches", "wished_hops", "novelty", "right")
"""Self-play's metrics, in the order of the page."""
PLANTED = 400
ELSEWHERE = 7
"""Seed of a world that was not looked at before the settings were chosen."""


def command(arm: str, seed: int) -> list[str]:
    """Arguments of ``rekindle train``, as on the page."""
    sets = [part for setting in (*ARMS[arm], f"warm_start.seed={seed}") for part in ("--set", setting)]
    return [EXAMPLE, *sets, "--seed", str(seed)]


def directory(runs: Path, arm: str, seed: int) -> Path:
    """Of one run."""
    return runs / f"{arm.replace(' ', '_')}-{seed}"


def measured(run: Run) -> dict[str, Any]:
    """The numbers of one run."""
    lines = arms.evaluations(run)
    return {
        "start": arms.accuracies(lines[:1]),
        "end": arms.accuracies(lines[-LAST:]),
        "curve": [(line["total_rollouts"], line["eval/accuracy"]) for line in lines],
        "game": [_game(part) for part in arms.quarters(run.metrics[1:])],
        "rejected": _rejected(run.metrics[1:]),
        "proposals": sum(line["self_play/proposals"] for line in run.metrics[1:]),
        "seconds": run.metrics[-1]["total_seconds"],
        "all_cpu_seconds": run.metrics[-1]["total_cpu_seconds"],
        **arms.counted(run),
    }


def _game(lines: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Means over a quarter's questions: of valid ones, but the valid rate and the wished hops over all."""
    found: dict[str, float | None] = {}
    for name in GAME:
        count = "proposals" if name in {"valid_rate", "wished_hops"} else "valid"
        seen = [
            (line[f"self_play/{count}"], line[f"self_play/{name}"])
            for line in lines
            if line.get(f"self_play/{name}") is not None
        ]
        total = sum(weight for weight, _ in seen)
        found[name] = sum(weight * value for weight, value in seen) / total if total else None
    return found


def _rejected(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    prefix = "self_play/rejected/"
    names = [key for key in lines[0] if key.startswith(prefix)]
    return {name.removeprefix(prefix): sum(line[name] for line in lines) for name in names}


def collect(runs: Path, seeds: int, jobs: int) -> dict[str, Any]:
    """Make the runs that are missing, and measure all."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arms.run_all([(command(arm, seed), directory(runs, arm, seed)) for seed in range(seeds) for arm in ARMS], jobs)
    return {arm: [measured(load_run(directory(runs, arm, seed))) for seed in range(seeds)] for arm in ARMS}


# -- the page ---------------------------------------------------------------------------------------------------------


def page_block(results: dict[str, Any]) -> str:
    """What the page says of the numbers."""
    found = results["arms"]
    first = found["self-play"]
    gains = {kind: [100 * (run["end"][kind] - run["start"][kind]) for run in first] for kind in ("sampled", "greedy")}
    lines = [
        f"{len(first)} seeds, each with a warm start of its own; {first[0]['rollouts']:,} rollouts of both roles. Mean "
        "over human-template questions of 1 to 4 hops about a world of unseen names; ± is the standard deviation over "
        "seeds.",
        "",
        "| | sampled | greedy | sampled by hops 1 / 2 / 3 / 4 | tokens | GFLOPs | CPU s, evaluation included |",
        "|---|---|---|---|---|---|---|",
        _row("start policy", [run["start"] for run in first], None),
        *(_row(arm, [run["end"] for run in runs], runs) for arm, runs in found.items()),
        "",
        f"Self-play gains {_gain(gains['sampled'])} sampled and {_gain(gains['greedy'])} greedy.",
        "",
        _elsewhere_line(results["elsewhere"]),
        "",
        "Against self-play, paired by seed, sampled and greedy:",
        "",
        *(f"- {arm}: {_against(found, arm, 'sampled')}; {_against(found, arm, 'greedy')}" for arm in list(ARMS)[1:]),
        "",
        "The reference policy's success in the last quarter, self-play against the fixed proposer, paired: "
        f"{_harder(found)}.",
        "",
        "Quarters of the run, means over the seeds; the reference policy is the start policy, which is not trained:",
        "",
        "| | " + " | ".join(("valid", "solver", "reference", "searches", "wished hops", "novelty", "right")) + " |",
        "|---" * (len(GAME) + 1) + "|",
        *(_game_row(arm, found[arm], quarter) for arm in ARMS for quarter in range(4)),
        "",
        f"Why proposals of self-play were rejected, of {sum(run['proposals'] for run in first):,}: "
        + ", ".join(_reasons(first))
        + ".",
        "",
        *_planted_lines(results["planted"]),
        "",
    ]
    return "\n".join(lines)


def _elsewhere_line(found: Sequence[dict[str, float]]) -> str:
    start, end = (cell([one[name] for one in found], ".2f") for name in ("start", "self-play"))
    return (
        f"On a further world (`task.params.seed={ELSEWHERE}`), on which nothing was chosen, the last checkpoints reach "
        f"{end} sampled, the start policies {start}."
    )


def _gain(points: Sequence[float]) -> str:
    return f"{statistics.median(points):.0f} points (median; {min(points):.0f} to {max(points):.0f})"


def _row(name: str, accuracies: Sequence[dict[str, float]], runs: Sequence[dict[str, Any]] | None) -> str:
    hops = " ".join(f"{statistics.fmean(one[f'accuracy_{hop}'] for one in accuracies):.2f}" for hop in arms.HOPS)
    spent = ["", "", ""]
    if runs:
        tokens = cell([run["tokens"] / 1e6 for run in runs], ".2f")
        flops = cell([run["flops"] / 1e9 for run in runs], ".0f")
        spent = [f"{tokens} M", flops, cell([run["all_cpu_seconds"] for run in runs], ".0f")]
    cells = [cell([one[kind] for one in accuracies], ".2f") for kind in ("sampled", "greedy")]
    return "| " + " | ".join((name, *cells, hops, *spent)) + " |"


def _against(found: dict[str, Any], arm: str, kind: str) -> str:
    ours, theirs = ([run["end"][kind] for run in found[name]] for name in (arm, "self-play"))
    return paired(ours, theirs)


def _harder(found: dict[str, Any]) -> str:
    """Whether a proposer that learns asks what the start policy solves less often."""
    ours, theirs = (
        [run["game"][-1]["reference_success"] for run in found[name]] for name in ("self-play", "fixed proposer")
    )
    return paired(ours, theirs)


def _game_row(arm: str, runs: Sequence[dict[str, Any]], quarter: int) -> str:
    cells = []
    for name in GAME:
        values = [value for run in runs if (value := run["game"][quarter][name]) is not None]
        cells.append(f"{statistics.fmean(values):.2f}" if values else "")
    return "| " + " | ".join((f"{arm}, {quarter + 1}", *cells)) + " |"


def _reasons(runs: Sequence[dict[str, Any]]) -> list[str]:
    total = sum(run["proposals"] for run in runs)
    sums = {name: sum(run["rejected"][name] for run in runs) for name in runs[0]["rejected"]}
    ordered = sorted(sums.items(), key=lambda pair: -pair[1])
    return [f"{name.replace('_', ' ')} {100 * count / total:.1f} %" for name, count in ordered if count]


def _planted_lines(planted: Sequence[dict[str, Any]]) -> list[str]:
    def share(key: str) -> str:
        passed, asked = (sum(one[key][index] for one in planted) for index in (0, 1))
        low, high = wilson(passed, asked)
        return f"{passed} of {asked} ({100 * passed / asked:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f})"

    return [
        "Planted questions, checked by each seed's start policy: of those whose answer in the world is *not* the one "
        f"they were proposed for, the check accepts {share('wrong')}; without the check all are accepted, as they pass "
        f"every rule filter. Of the right ones it accepts {share('right')}.",
    ]


def curves(results: dict[str, Any]) -> str:
    """The learning curves."""
    return arms.accuracy_curves(
        arms.drawn_arms(results["arms"], COLOURS),
        x_label="rollouts of both roles",
        description="Accuracy on the unseen world against rollouts, mean and range over seeds, by arm.",
    )


# -- another world -----------------------------------------------------------------------------------------------------


def elsewhere(runs: Path, seed: int) -> dict[str, float]:
    """Sampled accuracy about another world: of the start policy, and of the last checkpoint of self-play."""
    from rekindle.assembly import workbench
    from rekindle.recipes import resolve
    from rekindle.records.checkpoint_choice import model_directory
    from rekindle.warm_starts.stage import start_workbench

    sets = [f"warm_start.seed={seed}"]
    with start_workbench(resolve(arms.ROOT / EXAMPLE, None, sets, seed), lambda _: None) as bench:
        start = bench.directory
    assert start is not None
    config = resolve(arms.ROOT / EXAMPLE, None, [*sets, f"task.params.seed={ELSEWHERE}"], seed)
    accuracies = {}
    for name, model in (("start", start), ("self-play", model_directory(directory(runs, "self-play", seed)))):
        with workbench(config, model, say=lambda _: None) as bench:
            accuracies[name] = bench.evaluate(4, 1.0).accuracy
    return accuracies


# -- planted questions -------------------------------------------------------------------------------------------------


def planted(seed: int) -> dict[str, list[int]]:
    """(accepted, asked) of wrong and of right questions that pass every rule filter, checked by a start policy."""
    from rekindle.assembly.self_play import build_check
    from rekindle.environments.self_play.building import filter_limits
    from rekindle.environments.self_play.filters import rejected
    from rekindle.recipes import resolve
    from rekindle.tasks import search_world
    from rekindle.warm_starts.stage import start_workbench

    config = resolve(arms.ROOT / EXAMPLE, None, [f"warm_start.seed={seed}"], seed)
    params = search_world.Params.read(config.task.params)
    facts = search_world.Facts(search_world.self_play_passages(params, "pool"))
    with start_workbench(config, lambda _: None) as bench:
        asked = [one for one in _demonstrations(bench, params, seed) if rejected(one, filter_limits(config)) is None]
        right = [facts.answers(one.question) == set(one.answers) for one in asked]
        build_check(bench).judge(asked)
    found = {}
    for kind, wanted in (("wrong", False), ("right", True)):
        chosen = [one for one, is_right in zip(asked, right, strict=True) if is_right is wanted][:PLANTED]
        found[kind] = [sum(one.reason is None for one in chosen), len(chosen)]
    return found


def _demonstrations(bench: Any, params: Any, seed: int) -> list[Any]:
    """Demonstrated proposals: half of them without an error, half with one."""
    from rekindle.assembly.self_play import build_proposer
    from rekindle.environments.self_play.proposer import Order
    from rekindle.types import GroupRequest, Task
    from rekindle.warm_starts import search_world as teachers
    from rekindle.warm_starts.search_lessons import teacher_engine

    wishes = teachers.wishes(params, "pool", 3 * PLANTED, seed)
    proposals: list[Any] = []
    for part, rates in enumerate(((0.0,), (1.0,))):
        teacher = teachers.ProposerTeacher(error_rates=rates)
        engine = teacher_engine(bench, teachers.proposer_lessons(wishes, params, teacher))
        first = part * len(wishes)
        orders = [
            Order(
                GroupRequest(
                    id=first + row,
                    task_id="",
                    row=row,
                    n=1,
                    temperature=1.0,
                    seed=seed + first + row,
                    version=0,
                    step=0,
                ),
                Task("", wish.answer, wish.answer, {"corpus": "pool"}),
                wish.hops,
            )
            for row, wish in enumerate(wishes)
        ]
        proposals += build_proposer(bench, engine).propose(orders)[0]
    return proposals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--planted", action="store_true", help="check planted questions with the start policies")
    parser.add_argument("--docs", action="store_true", help="write the page and the curves from the numbers")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.runs:
        results["arms"] = collect(options.runs, options.seeds, options.jobs)
        results["elsewhere"] = [elsewhere(options.runs, seed) for seed in range(options.seeds)]
    if options.planted:
        results["planted"] = [planted(seed) for seed in range(options.seeds)]
    if options.runs or options.planted:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if options.docs:
        arms.replace_block(PAGE, "self_play", page_block(results))
        CURVES.write_text(curves(results), encoding="utf-8")


if __name__ == "__main__":
    main()
