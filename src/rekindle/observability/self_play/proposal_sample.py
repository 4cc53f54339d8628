"""Some of a run's proposals, for people to read: few, from the whole run, valid ones and others."""

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
    """What a report needs of ``proposals.jsonl``.

    Attributes:
        lines: In the order of their steps.
        questions: By task id, of the tasks that were asked for.
    """

    lines: list[Mapping[str, Any]]
    questions: Mapping[str, str]


def sampled(
    lines: Iterable[Mapping[str, Any]], last_step: int, tasks: Collection[str], seed: int = 0
) -> ProposalSample:
    """Read all lines once, keeping little of them; the same lines give the same sample.

    Args:
        lines: Of ``proposals.jsonl``.
        last_step: Later ones are left out.
        tasks: Ids of the tasks whose questions are wanted.
        seed: Of the choice. Within a part of the run all proposals of a kind have the same chance, those first of
            which the documents were recorded.
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
