"""Causes of the falling share of right questions among those that self-play accepts, and two remedies.

    python benchmarks/self_play_check.py --runs runs/self_play_check [--seeds 3] [--jobs 1] [--causes] [--docs]

All runs begin with one start policy, in the example's own world. ``--causes`` takes the first run of self-play apart:
its proposals are all recorded with their documents, so that policies of other steps can check the same questions.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import arms
from rekindle import load_run
from rekindle.statistics.words import paired

RESULTS = arms.ROOT / "benchmarks" / "self_play_check.json"
EXAMPLE = "examples/self_play.toml"
PAGE = arms.ROOT / "docs" / "methods" / "self_play.md"
RECORDED = ("checkpoint.keep=30", "checkpoint.every=20", "self_play.recorded_documents=64")
ARMS: dict[str, tuple[str, ...]] = {
    "self-play": (),
    "unsolved refused": ("check.unsolved=refused",),
    "start policy verifies": ("check.kind=start",),
    "both": ("check.unsolved=refused", "check.kind=start"),
}
QUARTERS = range(4)
HOPS = range(1, 5)
LATE_STEP = 60
LAST = 2
"""Evaluations whose mean is the accuracy at the end."""
CHECKED = ("valid", "unanswerable", "known")
"""Verdicts of questions that were checked."""

Line = dict[str, Any]


def command(arm: str, seed: int) -> list[str]:
    """Arguments of ``rekindle train``."""
    sets = [part for setting in ("warm_start.seed=0", *RECORDED, *ARMS[arm]) for part in ("--set", setting)]
    return [EXAMPLE, *sets, "--seed", str(seed)]


def directory(runs: Path, arm: str, seed: int) -> Path:
    """Of one run."""
    return runs / f"{arm.replace(' ', '_')}-{seed}"


# -- the proposals of a run -------------------------------------------------------------------------------------------


def quarters(run: Path) -> list[list[Line]]:
    """The proposals of each quarter of a run's steps."""
    lines = [json.loads(line) for line in (run / "proposals.jsonl").read_text().splitlines()]
    last = max(line["step"] for line in lines)
    return [[line for line in lines if (line["step"] - 1) * 4 // last == quarter] for quarter in QUARTERS]


def is_right(line: Line) -> bool:
    """Whether the world's answer to a question is the one it was proposed for."""
    true = set(line.get("true_answers") or ())
    return bool(true) and true <= set(line["answers"])


def names_nobody(line: Line) -> bool:
    """Whether the documents that the proposer read do not mention the entity that a question begins with."""
    subject = " ".join(line["question"].split()[:2])
    return not any(subject in document["text"] for document in line["documents"])


def hops(line: Line) -> int:
    """Number of relations in a question, such as 2 in "ka lo boss home ?"."""
    return len(line["question"].split()) - 3


def accepted(lines: Sequence[Line], accepts: Callable[[Line], bool]) -> list[int]:
    """[right and accepted, right, wrong and accepted, wrong]."""
    counts = [0, 0, 0, 0]
    for line in lines:
        place = 0 if is_right(line) else 2
        counts[place] += accepts(line)
        counts[place + 1] += 1
    return counts


# -- causes ------------------------------------------------------------------------------------------------------------


def causes(run: Path) -> dict[str, Any]:
    """What became of right and of wrong questions in each quarter of a run, and what other verifiers say of them."""
    parts = quarters(run)
    checked = [[line for line in part if line["verdict"] in CHECKED] for part in parts]
    verdicts = dict(other_verdicts(run, parts))
    rules: dict[str, Callable[[Line], bool]] = {"the policy of the time": _valid}
    rules |= {name: _among(found) for name, found in verdicts.items()}
    rules["the policy of the time, and a rollout of the solver"] = lambda line: _valid(line) and line["success"] > 0
    return {
        "verifiers": {name: [accepted(part, rule) for part in checked] for name, rule in rules.items()},
        "hops": [
            {str(count): accepted([line for line in part if hops(line) == count], _valid) for count in HOPS}
            for part in checked
        ],
        "rewards": [[_mean_reward(part, right) for right in (True, False)] for part in checked],
        "misnamed": [
            [sum(map(names_nobody, wrong)), len(wrong)]
            for part in checked
            for wrong in [[line for line in part if _valid(line) and not is_right(line)]]
        ],
    }


def _valid(line: Line) -> bool:
    return bool(line["verdict"] == "valid")


def _among(ids: set[int]) -> Callable[[Line], bool]:
    return lambda line: line["request_id"] in ids


def _mean_reward(lines: Sequence[Line], right: bool) -> float:
    """Mean reward of the accepted questions that were played."""
    return statistics.fmean(
        line["reward"] for line in lines if _valid(line) and is_right(line) is right and line["reward"] is not None
    )


@dataclass
class _Number:
    id: int


@dataclass
class _Asked:
    """A recorded question, as the check reads it."""

    request: _Number
    question: str
    answers: tuple[str, ...]
    documents: list[Any]
    reason: Any
    reply: str | None = None


def other_verdicts(run: Path, parts: Sequence[Sequence[Line]]) -> Iterator[tuple[str, set[int]]]:
    """The numbers of the questions that other verifiers accept, from the documents that the proposers read."""
    from rekindle.recipes import resolve
    from rekindle.warm_starts.stage import start_model

    lines = [line for part in parts for line in part]
    start = start_model(resolve(arms.ROOT / EXAMPLE, None, ["warm_start.seed=0"], 0), lambda _: None)
    late = run / "checkpoints" / f"step-{LATE_STEP}" / "model"
    of_start = accepted_by(start, lines)
    yield "the start policy", of_start
    yield f"the policy of step {LATE_STEP}", accepted_by(late, lines)
    yield "the start policy, no noise", accepted_by(start, lines, noise=0)
    yield "the start policy, noise of 8", accepted_by(start, lines, noise=8)
    again = (accepted_by(start, parts[-1], seed=seed) for seed in (1, 2))
    yield "the start policy, three times with other noise", of_start.intersection(*again)  # of the last quarter


def accepted_by(model: Path, lines: Sequence[Line], *, noise: int = 4, seed: int = 0) -> set[int]:
    """The numbers of the questions that a policy accepts; noise is that of each step."""
    from rekindle.assembly.opening import workbench
    from rekindle.assembly.self_play import build_check
    from rekindle.recipes import resolve

    # Attempts without documents are left out: in the embedded world they refuse nothing.
    sets = ["warm_start.seed=0", "check.closed_book=0", f"check.noise={noise}"]
    with workbench(resolve(arms.ROOT / EXAMPLE, None, sets, seed), model, lambda _: None) as bench:
        check, found = build_check(bench), set[int]()
        for _, of_step in groupby(lines, key=lambda line: line["step"]):
            asked = list(map(_asked, of_step))
            check.judge(asked)  # type: ignore[arg-type]  # it reads no more of a proposal than they have
            found |= {one.request.id for one in asked if one.reason is None}
    return found


def _asked(line: Line) -> _Asked:
    from rekindle.types import Document

    documents = [Document(one["id"], one["title"], one["text"]) for one in line["documents"]]
    reason = None if line["verdict"] in CHECKED else line["verdict"]
    return _Asked(_Number(line["request_id"]), line["question"], tuple(line["answers"]), documents, reason)


# -- remedies ----------------------------------------------------------------------------------------------------------


def measured(run: Path) -> dict[str, Any]:
    """The numbers of one run of an arm."""
    parts, last = quarters(run), arms.evaluations(load_run(run))[-LAST:]
    valid = [[line for line in part if _valid(line)] for part in parts]
    return {
        "right": [statistics.fmean(map(is_right, part)) if part else None for part in valid],
        "valid": [len(found) / len(part) for found, part in zip(valid, parts, strict=True)],
        "accuracy": statistics.fmean(line["eval/accuracy"] for line in last),
        "greedy": statistics.fmean(line["eval/greedy"] for line in last),
        "hardest": statistics.fmean(line["level_4/accuracy"] for line in last),
    }


# -- the page ----------------------------------------------------------------------------------------------------------


def page_block(results: dict[str, Any]) -> str:
    """What the page says of the numbers."""
    return "\n".join([*_causes_lines(results["causes"]), *_arms_lines(results["arms"]), ""])


def _causes_lines(found: dict[str, Any]) -> Iterator[str]:
    yield (
        "Questions of one run that reached the check, by quarter of the run. In each cell: the share accepted of the "
        "right ones, the share accepted of the wrong ones, and in bold the share of right ones among the accepted."
    )
    yield from ("", "| verifier | 1 | 2 | 3 | 4 |", "|---|---|---|---|---|")
    for name, counts in found["verifiers"].items():
        yield _row(name, map(_shares, counts))
    yield from ("", "| in the run | 1 | 2 | 3 | 4 |", "|---|---|---|---|---|")
    for count in HOPS:
        yield _row(f"hops: {count}", (_shares(part[str(count)]) for part in found["hops"]))
    yield _row(
        "reward of right ones, of wrong ones", (f"{right:.2f}, {wrong:.2f}" for right, wrong in found["rewards"])
    )
    yield _row("wrong ones that ask about nobody", (f"{count} of {total}" for count, total in found["misnamed"]))
    yield ""


def _arms_lines(found: dict[str, Any]) -> Iterator[str]:
    first, *others = found
    yield (
        "Means over the seeds, by quarter; accuracy is sampled, the mean of the last two evaluations. All runs begin "
        "with one start policy."
    )
    yield from (
        "",
        "| | seeds | right 1 / 2 / 3 / 4 | valid 1 / 2 / 3 / 4 | accuracy | with 4 hops |",
        "|---" * 6 + "|",
    )
    for arm, runs in found.items():
        cells = (_by_quarter(runs, "right"), _by_quarter(runs, "valid"), *_ends(runs, ("accuracy", "hardest")))
        yield _row(arm, (str(len(runs)), *cells))
    yield from ("", "Against self-play, paired by seed:", "")
    for arm in others:
        right, accuracy = (_against(found, arm, first, value) for value in (_late, _end))
        yield f"- {arm}: right in the last quarter {right}; accuracy {accuracy}"


def _against(found: dict[str, Any], arm: str, first: str, value: Callable[[Line], float]) -> str:
    pairs = zip(found[arm], found[first], strict=False)  # seeds 0, 1, ... of both
    return paired(*map(list, zip(*((value(ours), value(theirs)) for ours, theirs in pairs), strict=True)))


def _late(run: Line) -> float:
    return float(run["right"][-1])


def _end(run: Line) -> float:
    return float(run["accuracy"])


def _row(name: str, cells: Any) -> str:
    return "| " + " | ".join((name, *cells)) + " |"


def _shares(counts: Sequence[int]) -> str:
    right, all_right, wrong, all_wrong = counts
    if not right + wrong:
        return ""
    return f"{right / max(1, all_right):.2f}, {wrong / max(1, all_wrong):.2f}, **{right / (right + wrong):.2f}**"


def _by_quarter(runs: Sequence[Line], name: str) -> str:
    found = [[run[name][quarter] for run in runs if run[name][quarter] is not None] for quarter in QUARTERS]
    return " ".join(f"{statistics.fmean(values):.2f}" if values else "none" for values in found)


def _ends(runs: Sequence[Line], names: Sequence[str]) -> Iterator[str]:
    return (f"{statistics.fmean(run[name] for run in runs):.2f}" for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--causes", action="store_true", help="let other policies check the questions of the first run")
    parser.add_argument("--docs", action="store_true", help="write the block of the page from the numbers")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    planned = [(arm, seed) for seed in range(options.seeds) for arm in ARMS]
    arms.run_all([(command(*one), directory(options.runs, *one)) for one in planned], options.jobs)
    results["arms"] = {
        arm: [measured(directory(options.runs, arm, seed)) for seed in range(options.seeds)] for arm in ARMS
    }
    if options.causes:
        results["causes"] = causes(directory(options.runs, "self-play", 0))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if options.docs:
        arms.replace_block(PAGE, "self_play_check", page_block(results))


if __name__ == "__main__":
    main()
