"""Write what was measured beside GRPO to where it is read: the file of `rekindle plan`, two pages, and their tables.

Run it as: python docs/make_choosing.py

It reads the results of the benchmarks and what the code accepts, and writes src/rekindle/planning/measured.json, the
tables of docs/choosing.md and docs/what_works_when.md.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from claims import what_works  # noqa: E402
from claims.measured_regimes import claimed_regimes  # noqa: E402
from older_regimes import older_regimes  # noqa: E402
from rekindle.config import ConfigError  # noqa: E402
from rekindle.integrations.trl.settings.capabilities import capabilities as of_trl  # noqa: E402
from rekindle.integrations.verl.settings.capabilities import capabilities as of_verl  # noqa: E402
from rekindle.learning.estimators import ESTIMATORS  # noqa: E402
from rekindle.planning.choice_words import called, difference_words, flops_words  # noqa: E402
from rekindle.planning.chooser import AXES, Standing, standings  # noqa: E402
from rekindle.planning.measured import BASE, Comparison, MeasuredRegime, regime_of_json  # noqa: E402
from rekindle.recipes import RECIPES, resolve  # noqa: E402
from rekindle.statistics.words import NO_DIFFERENCE  # noqa: E402
from rekindle.types import UserError  # noqa: E402

PAGE = ROOT / "docs" / "choosing.md"
WHAT_WORKS = what_works.PAGE
MEASURED = ROOT / "src" / "rekindle" / "planning" / "measured.json"
COMPARED = (
    "regime",
    "recipe",
    "accuracy, less the baseline's",
    "verdict",
    "FLOPs, over its",
    "FLOPs to its accuracy, over its",
)
BINARY = "needs 0/1 rewards"
REAL = """
task = { source = "jsonl", path = "rows.jsonl", binary_rewards = false }
train.steps = 1
model.path = "models/policy"
"""


def entries() -> list[dict[str, Any]]:
    """The measured regimes as JSON: those of the claims, then older ones."""
    return [*claimed_regimes(), *older_regimes()]


def measured_file(found: list[dict[str, Any]]) -> str:
    """The text of ``measured.json``, a comparison on a line."""
    parts = []
    for one in found:
        head = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in one.items() if key != "comparisons"]
        lines = ",\n  ".join(map(json.dumps, one["comparisons"]))
        parts.append("{" + ",\n ".join([*head, f'"comparisons": [\n  {lines}]']) + "}")
    return '{"regimes": [\n' + ",\n".join(parts) + "\n]}\n"


def page(found: list[dict[str, Any]]) -> str:
    """The page with its tables as the numbers and the code have them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("axes", axes()), ("regimes", regimes(found)), ("needs", needs())):
        begin, end = f"<!-- {name}: python docs/make_choosing.py -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def axes() -> str:
    """What tells regimes apart, and how far two may differ and be alike."""
    kinds = {True: "a factor of", False: "a difference of"}
    lines = [f"| {axis.words} | {kinds[axis.as_ratio]} {axis.reach:g} |" for axis in AXES.values()]
    return "\n".join(["| number | alike up to |", "|---|---|", *lines])


def regimes(found: list[dict[str, Any]]) -> str:
    """Every measured regime, and every measured difference to its baseline."""
    measured = list(map(regime_of_json, found))
    head = ["regime", *(axis.words for axis in AXES.values()), "all wrong and all correct in"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| [{one.words}]({one.page}) | {' | '.join(_values(one))} | {one.start} |" for one in measured]
    lines += ["", f"| {' | '.join(COMPARED)} |", f"|{'---|' * len(COMPARED)}"]
    for one in measured:
        lines += [_row(one, comparison) for comparison in one.comparisons]
    return "\n".join(lines)


def _values(one: MeasuredRegime) -> Iterator[str]:
    for name, axis in AXES.items():
        value = one.axes.get(name)
        yield "–" if value is None else axis.shown(value)


def _row(regime: MeasuredRegime, one: Comparison) -> str:
    assert one.ends is not None, "every run has an accuracy"
    beside = "" if regime.baseline == BASE else f", beside `{regime.baseline}`"
    cells = [regime.words, f"{_called(one)}{beside}", difference_words(one.ends), _verdict(regime, one)]
    return f"| {' | '.join([*cells, flops_words(one.spent), flops_words(one.to_target)])} |"


def _called(one: Comparison) -> str:
    """Recipe and settings, and the name of the arm on its page where it says more."""
    recipe, bracket, settings = called(one).partition(" (")
    return f"`{recipe}`" + (f"{bracket}`{settings.removesuffix(')')}`)" if bracket else "")


def _verdict(regime: MeasuredRegime, one: Comparison) -> str:
    """By the interval, and whether it stands after the correction; controls are not corrected, nor recommended."""
    assert one.ends is not None, "every run has an accuracy"
    seen = {1: "above", 0: NO_DIFFERENCE, -1: "below"}[one.ends.side()]
    standing: Standing | None = next((found for found in standings(regime) if found.comparison is one), None)
    return f"**{seen}**" if standing is not None and standing.side else seen


def needs() -> str:
    """What each recipe accepts, and where it runs."""
    trl, verl = of_trl(), of_verl()
    lines = ["| recipe | rewards | in TRL | on verl |", "|---|---|---|---|"]
    for recipe in RECIPES:
        there = ["no" if one[recipe].refusal else "yes" for one in (trl, verl)]
        lines.append(f"| `{recipe}` | {_rewards(recipe)} | {' | '.join(there)} |")
    return "\n".join(lines)


def _rewards(recipe: str) -> str:
    """The rewards that a recipe takes: it is asked for real ones."""
    if recipe.startswith("self_play"):
        return "0 or 1"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "real.toml"
        path.write_text(REAL, encoding="utf-8")
        try:
            config = resolve(path, recipe)
        except ConfigError as error:
            if BINARY not in str(error):
                raise
            return "0 or 1"
    return "0 or more" if ESTIMATORS[config.advantage.estimator].needs_positive_rewards else "any"


def texts(found: list[dict[str, Any]]) -> dict[Path, str]:
    """All that is written, by file."""
    measured = list(map(regime_of_json, found))
    return {MEASURED: measured_file(found), PAGE: page(found), WHAT_WORKS: what_works.page(measured)}


def main() -> None:
    """Write the file and the pages."""
    try:
        found = texts(entries())
    except UserError as error:
        sys.exit(f"make_choosing: {error}")
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
