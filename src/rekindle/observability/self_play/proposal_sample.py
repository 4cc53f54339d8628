"""A small sample of a run's proposals for people to read: valid and rejected ones from the whole run."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

__all__ = ["ProposalSample", "sampled"]

_SHOWN = 6
_PARTS = 3
"""Of the run; each shows as many valid proposals as others, where it has both."""


@dataclass(frozen=True, slots=True)
class ProposalSample:
    """Contents of ``proposals.jsonl`` for the report.

    Attributes:
        lines: Sampled lines, by step.
        questions: Questions of the requested tasks, by task id.
    """

    lines: list[Mapping[str, Any]]
    questions: Mapping[str, str]


def sampled(
    lines: Iterable[Mapping[str, Any]], last_step: int, tasks: Collection[str], seed: int = 0
) -> ProposalSample:
    """Sample the lines in one pass with little memory; equal lines and seeds give equal samples.

    Args:
        lines: Lines of ``proposals.jsonl``.
        last_step: Later lines are left out.
        tasks: Ids of the tasks whose questions are returned.
        seed: Seed of the sample. Within a part of the run all proposals of a kind have the same probability; proposals
            with recorded documents are preferred.
    """
    rng, questions = Random(seed), dict[str, str]()
    kept = defaultdict[tuple[bool, int], list[tuple[bool, float, int, Mapping[str, Any]]]](list)
    for index, line in enumerate(lines):
        if not 0 < line["step"] <= last_step:
            continue
        if line.get("task_id") in tasks:
            questions[line["task_id"]] = str(line.get("question"))
        stratum = kept[line.get("verdict") != "valid", _PARTS * (line["step"] - 1) // last_step]
        push = heapq.heappush if len(stratum) < _SHOWN else heapq.heappushpop
        push(stratum, (bool(line.get("documents")), rng.random(), index, line))
    ranked = [sorted(kept[stratum], reverse=True) for stratum in sorted(kept)]
    dealt = [stratum[place] for place in range(_SHOWN) for stratum in ranked if place < len(stratum)]
    return ProposalSample([line for *_, line in sorted(dealt[:_SHOWN], key=lambda entry: entry[2])], questions)
