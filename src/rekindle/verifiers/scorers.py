"""Third-party scorers, by name, as worker processes run them.

``load`` and ``prepare`` run in the long-lived server, which never looks at model output; ``score`` runs in a process of
its own for every completion.
"""

import ast
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from rekindle.tasks.reasoning_gym_main import Dataset, make_dataset, make_entry
from rekindle.verifiers.guards import GUARDS
from rekindle.verifiers.latex import latex_equal

__all__ = ["ScorerName", "admitted", "load", "prepare", "score"]

ScorerName = Literal["math", "reasoning_gym"]

NO_ANSWER = "This is no answer."
"""A text that no scorer may accept."""
REFUSED = ""
"""What a scorer gets in place of a text that its guard refuses."""
TYPICAL_LATEX = (
    r"\frac{3}{4}",
    r"(1, \frac{7\pi}{2}]",
    r"\{1, 2\}",
    r"x^2+3x-\sqrt{2}",
    r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
    r"x=50\%",
    r"\text{odd}",
)
"""Parsing these fills the parser's caches, which cuts the time of a judgement by a third."""


def load(scorer: ScorerName) -> None:
    """Import a scorer's packages and run it once, so that processes forked later start warm."""
    if scorer == "math":
        for latex in TYPICAL_LATEX:
            latex_equal(latex, ["0.5"], ())
    else:
        dataset = make_dataset("countdown", {"seed": 0, "size": 1})
        dataset.score_answer("1+1", make_entry(dataset, 0))


def prepare(scorer: ScorerName, job: Mapping[str, Any]) -> None:
    """Create the job's data set once, for all scoring processes forked later."""
    if scorer == "reasoning_gym":
        _dataset(job["dataset"])


def score(scorer: ScorerName, job: Mapping[str, Any]) -> float:
    """Judge one completion.

    Args:
        scorer: Name of the scorer.
        job: ``said``, ``references`` and ``given`` for maths; ``text`` and a task's metadata (``dataset``, ``index``,
            ``entry``) for reasoning-gym, where an ``entry`` of None is generated again from its index.
    """
    if scorer == "math":
        return float(latex_equal(job["said"], job["references"], job["given"]))
    dataset, literal = _dataset(job["dataset"]), job["entry"]
    entry = make_entry(dataset, job["index"]) if literal is None else ast.literal_eval(literal)
    return _checked(dataset, admitted(job["dataset"]["name"], job["text"], entry), entry)


def admitted(name: str, text: str, entry: Mapping[str, Any]) -> str:
    """The text that a scorer may evaluate: the answer, or ``REFUSED`` where it can be none (see ``guards``).

    Args:
        name: Data set of reasoning-gym; ``composite`` scores as the data set that the entry comes from.
        text: The answer.
        entry: The entry.
    """
    names = {name, entry.get("metadata", {}).get("source_dataset")}
    return text if all(guard(text, entry) for one, guard in GUARDS.items() if one in names) else REFUSED


def _checked(dataset: Dataset, text: str, entry: Any) -> float:
    """The data set's score; 0 where it gives full marks to any text, unless this text is the reference answer.

    ``game_of_life_halting`` is such a data set: where its answer is True, it accepts every text that is not empty.
    """
    result = float(dataset.score_answer(text, entry))
    if result < 1 or text.strip().casefold() == str(entry.get("answer")).strip().casefold():
        return result
    return 0.0 if float(dataset.score_answer(NO_ANSWER, entry)) >= 1 else result


def _dataset(spec: Mapping[str, Any]) -> Dataset:
    return _dataset_of(json.dumps(spec, sort_keys=True))


@cache
def _dataset_of(spec: str) -> Dataset:
    fields = json.loads(spec)
    return make_dataset(fields["name"], fields["params"])
