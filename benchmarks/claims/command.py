"""Measures claims, keeps their numbers, and writes their pages.

    python benchmarks/claims                              # all claims, the most telling settings first
    python benchmarks/claims recycling erpo --jobs 2      # some of them
    python benchmarks/claims recycling --only toy_few     # one setting
    python benchmarks/claims --plan                       # what it would take, from measured costs
    python benchmarks/claims --fast                       # 20 minutes: three seeds of the toy, one real curve
    python benchmarks/claims --collect                    # numbers and pages of the runs that are finished
    python benchmarks/claims --docs                       # pages and curves from the numbers there are

Finished runs are kept in --runs, without checkpoints; stopped ones are resumed, and claims share equal runs. After each
setting, and when it is interrupted, the numbers of the seeds that all arms have finished are kept, and its page is
written.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import arms
from claims.claim import Claim, PlannedRun
from claims.combination import COMBINATION
from claims.erpo import ERPO
from claims.ntf import NTF
from claims.numbers import measured
from claims.page import block, curves
from claims.recycling import RECYCLING
from claims.self_play import SELF_PLAY
from claims.sgpo import SGPO
from rekindle.types import UserError

__all__ = [
    "BLOCK",
    "CLAIMS",
    "FAST_SEEDS",
    "collect",
    "cpu_hours",
    "in_order",
    "keep",
    "main",
    "planned",
    "read",
    "refresh",
    "write",
]

CLAIMS: dict[str, Claim] = {claim.name: claim for claim in (RECYCLING, ERPO, SGPO, NTF, SELF_PLAY, COMBINATION)}
BLOCK = "claim"
FAST_SEEDS = 3
INTERRUPTED = 130
MISTAKE = 2

Part = tuple[Claim, str]
"""A claim and the name of one of its settings."""


def in_order(claims: Iterable[Claim], only: str | None = None) -> list[Part]:
    """The settings: the first of every claim, then the second of every claim, and so on."""
    rounds = zip_longest(*([(claim, name) for name in claim.settings] for claim in claims))
    return [part for some in rounds for part in some if part and only in (None, part[1])]


def planned(part: Part, *, fast: bool) -> list[PlannedRun]:
    """The runs of a setting; of ``fast`` its fast arms at three seeds, or one of the real model."""
    claim, name = part
    setting = claim.settings[name]
    if not fast:
        return list(setting.runs(name))
    seeds = 1 if setting.is_real else FAST_SEEDS
    return [run for run in setting.runs(name, seeds) if run.arm in setting.fast]


def cpu_hours(parts: Sequence[Part], *, fast: bool) -> float:
    """What the runs take, each counted once."""
    cost = {
        run.place: claim.settings[name].cpu_seconds
        for claim, name in parts
        for run in planned((claim, name), fast=fast)
    }
    return sum(cost.values()) / 3600


def collect(part: Part, runs: Path, *, fast: bool) -> dict[str, dict[str, Any]]:
    """The numbers of finished runs by arm and seed: of the seeds that all arms have finished."""
    wanted = planned(part, fast=fast)
    missing = {run.seed for run in wanted if not (runs / run.place / arms.DONE).exists()}
    found: dict[str, dict[str, Any]] = {}
    for run in wanted:
        if run.seed not in missing:
            numbers = measured(runs / run.place, samples=run.seed == 0)
            found.setdefault(run.arm, {})[str(run.seed)] = {"place": run.place, **numbers}
    return found


def read(claim: Claim, file: Path | None = None, *, replaced: str | None = None) -> dict[str, Any]:
    """The numbers of a claim; none where it was not measured.

    Args:
        claim: Whose arms the numbers must be of.
        file: Where they are; None: the results kept with the claim.
        replaced: A setting that is measured again, whose arms may have had other names.
    """
    file = file or claim.results
    if not file.exists():
        return {"settings": {}}
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is no JSON ({error}); take it from git again, or delete it and --collect") from None
    for name in (one for one in claim.settings if one in results["settings"] and one != replaced):
        if unknown := [arm for arm in results["settings"][name] if arm not in claim.settings[name].arms]:
            remedy = f"name it as before, or measure again with: python benchmarks/claims {claim.name} --only {name}"
            raise UserError(f"{file} has numbers of {unknown[0]!r}, which is no arm of {name}; {remedy}")
    return results


def write(file: Path, results: Mapping[str, Any]) -> None:
    """Write the numbers of a claim, a run on a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = ['{"settings": {']
    text.append(",\n".join(_lines(results["settings"])))
    file.write_text("\n".join([*text, "}}"]) + "\n", encoding="utf-8")


def _lines(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, by_arm in settings.items():
        of_arms = []
        for arm, by_seed in by_arm.items():
            of_seeds = ",\n".join(f"{json.dumps(seed)}: {json.dumps(run)}" for seed, run in by_seed.items())
            of_arms.append(f"{json.dumps(arm)}: {{\n{of_seeds}}}")
        yield f"{json.dumps(name)}: {{\n" + ",\n".join(of_arms) + "}"


def publish(claim: Claim, results: Mapping[str, Any]) -> None:
    """Write the claim's page and curves, and what follows from the results of all claims."""
    for name, by_arm in results["settings"].items():
        claim.image(name).parent.mkdir(parents=True, exist_ok=True)
        claim.image(name).write_text(curves(claim.settings[name], by_arm), encoding="utf-8")
    arms.replace_block(claim.page, BLOCK, block(claim, results))
    refresh()


def refresh() -> None:
    """Write what `rekindle plan` and the docs have of the results; a failure is shown, and stops no measurement."""
    subprocess.run([sys.executable, str(arms.ROOT / "docs" / "make_choosing.py")], check=False)


def plan_words(parts: Sequence[Part], jobs: int, *, fast: bool) -> str:
    """What each setting takes, and all of them."""
    lines = []
    for claim, name in parts:
        setting, count = claim.settings[name], len(planned((claim, name), fast=fast))
        if count:
            hours = count * setting.cpu_seconds / 3600
            lines.append(f"{claim.name:10} {name:20} {count:4} runs x {setting.cpu_seconds:5.0f} s = {hours:5.2f} h")
    total = cpu_hours(parts, fast=fast)
    return "\n".join(
        [*lines, f"in all, equal runs once: {total:.1f} CPU hours, {total / jobs:.1f} h with --jobs {jobs}"]
    )


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for; 1 where a run failed, 2 after a mistake of the user, 130 where it was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"some of {', '.join(CLAIMS)}; none: all")
    parser.add_argument("--only", metavar="SETTING", help="a setting of the claims")
    parser.add_argument("--runs", type=Path, default=Path("runs/claims"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fast", action="store_true", help="numbers and tables in --runs; the pages stay as they are")
    parser.add_argument("--plan", action="store_true", help="say what it takes, and make nothing")
    parser.add_argument("--collect", action="store_true", help="keep the finished runs of --runs, and make nothing")
    parser.add_argument("--docs", action="store_true", help="write the pages, and make nothing")
    options = parser.parse_args(words)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs} would make no run; give 1 or more")
    if unknown := [name for name in options.claims if name not in CLAIMS]:
        parser.error(f"unknown claims: {', '.join(unknown)}; there are {', '.join(CLAIMS)}")
    try:
        return _do(options, [CLAIMS[name] for name in options.claims or CLAIMS], parser)
    except UserError as error:
        print(f"claims: {error}", file=sys.stderr)
        return MISTAKE


def _do(options: argparse.Namespace, chosen: Sequence[Claim], parser: argparse.ArgumentParser) -> int:
    """What the options ask for."""
    parts = in_order(chosen, options.only)
    if not parts:
        there = ", ".join(dict.fromkeys(name for claim in chosen for name in claim.settings))
        parser.error(f"no claim has a setting {options.only}; there are {there}")
    if options.plan:
        print(plan_words(parts, options.jobs, fast=options.fast))
        return 0
    if options.collect:
        for part in parts:
            keep(part, options.runs, fast=options.fast)
        return 0
    if options.docs:
        for claim in chosen:
            publish(claim, read(claim))
        return 0
    try:
        return _measure(parts, options.runs, options.jobs, fast=options.fast)
    except KeyboardInterrupt:
        print("interrupted: finished seeds are kept; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED


def _measure(parts: Sequence[Part], runs: Path, jobs: int, *, fast: bool) -> int:
    """Make and keep one setting after the other; a run that fails does not stop the next setting."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(plan_words(parts, jobs, fast=fast))
    failed = []
    for part in (one for one in parts if planned(one, fast=fast)):
        commands = [(run.arguments, runs / run.place) for run in planned(part, fast=fast)]
        try:
            arms.run_all(commands, jobs, keep_checkpoints=False)
        except SystemExit as failure:
            failed.append(f"{part[0].name}, {part[1]}: {failure}")
        finally:
            keep(part, runs, fast=fast)
    print("\n".join(failed))
    return int(bool(failed))


def keep(part: Part, runs: Path, *, fast: bool) -> None:
    """Write the numbers of a setting beside those of the others, print the claim's block, and write its page."""
    claim, name = part
    found = collect(part, runs, fast=fast)
    if not found:
        return
    file = runs / "fast" / f"{claim.name}.json" if fast else claim.results
    settings = {**read(claim, file, replaced=name)["settings"], name: found}
    results = {"settings": {one: settings[one] for one in claim.settings if one in settings}}
    write(file, results)
    print(f"\n{claim.title}\n\n{block(claim, results)}")
    if not fast:
        publish(claim, results)
