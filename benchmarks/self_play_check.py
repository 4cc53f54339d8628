"""What self-play's check of a question accepts: of planted questions, and of those of one run, by right and wrong.

    python benchmarks/self_play_check.py --planted [--seeds 5] --docs
    python benchmarks/self_play_check.py --runs runs/self_play_check --docs

Planted questions need no training: questions whose answer is not the one they were proposed for, and right ones, go
through the check of each seed's start policy. ``--runs`` takes a run of self-play as published apart, in the example's
own world: all its proposals are recorded with their documents, so that policies of other steps can check the same
questions. The claim of self-play (``python benchmarks/claims self_play``) measures remedies.
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
from rekindle.statistics.intervals import wilson

RESULTS = arms.ROOT / "benchmarks" / "self_play_check.json"
EXAMPLE = "examples/self_play.toml"
PAGE = arms.ROOT / "docs" / "methods" / "self_play.md"
RUN = (
    "warm_start.seed=0",
    "check.unsolved=allowed",
    "checkpoint.keep=30",
    "checkpoint.every=20",
    "self_play.recorded_documents=64",
)
PLANTED = 400
"""Wrong and right ones each, of a seed."""
QUARTERS = range(4)
HOPS = range(1, 5)
LATE_STEP = 60
CHECKED = ("valid", "unanswerable", "known")
"""Verdicts of questions that were checked."""

PARTS = {"planted": "--planted", "causes": "--runs DIR"}
"""Parts of the results, and the option that measures each."""

Line = dict[str, Any]


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


# -- the page ----------------------------------------------------------------------------------------------------------


def page_block(results: dict[str, Any]) -> str:
    """What the page says of the numbers."""
    made = arms.made_words([*results["planted"], results["causes"]])
    return "\n".join([*_planted_lines(results["planted"]), "", *_causes_lines(results["causes"]), made, ""])


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


def _row(name: str, cells: Any) -> str:
    return "| " + " | ".join((name, *cells)) + " |"


def _shares(counts: Sequence[int]) -> str:
    right, all_right, wrong, all_wrong = counts
    if not right + wrong:
        return ""
    return f"{right / max(1, all_right):.2f}, {wrong / max(1, all_wrong):.2f}, **{right / (right + wrong):.2f}**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planted", action="store_true", help="check planted questions with the start policies")
    parser.add_argument("--seeds", type=int, default=5, help="of the planted questions")
    parser.add_argument("--runs", type=Path, help="where the run is, or is made, whose questions others check")
    parser.add_argument("--docs", action="store_true", help="write the block of the page from the numbers")
    options = parser.parse_args()
    results = arms.read_results(RESULTS) if RESULTS.exists() else {}
    if options.planted:
        results["planted"] = [planted(seed) | arms.made_now() for seed in range(options.seeds)]
    if options.runs:
        sets = [part for setting in RUN for part in ("--set", setting)]
        run = options.runs / "self-play-0"
        arms.run_all([([EXAMPLE, *sets, "--seed", "0"], run)], 1)
        results["causes"] = causes(run) | arms.made(load_run(run))
    if options.planted or options.runs:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    if options.docs:
        if missing := [option for part, option in PARTS.items() if part not in results]:
            parser.error(f"{RESULTS} lacks a part of the page; measure it with {' and '.join(missing)}")
        arms.replace_block(PAGE, "self_play_check", page_block(results))


if __name__ == "__main__":
    main()
