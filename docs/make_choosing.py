"""Write the tables of docs/choosing.md from the benchmarks' numbers and from what the code accepts.

Run it as: python docs/make_choosing.py
"""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

from rekindle.config import ConfigError, read_toml  # noqa: E402
from rekindle.integrations.trl.settings.capabilities import capabilities as of_trl  # noqa: E402
from rekindle.integrations.verl.settings.capabilities import capabilities as of_verl  # noqa: E402
from rekindle.learning.estimators import ESTIMATORS  # noqa: E402
from rekindle.recipes import RECIPES, resolve  # noqa: E402
from rekindle.statistics.words import paired, ratio  # noqa: E402

PAGE = ROOT / "docs" / "choosing.md"
Runs = Sequence[Mapping[str, Any]]
METHODS = ROOT / "benchmarks" / "methods.toml"
BINARY = "needs 0/1 rewards"
REAL = """
task = { source = "jsonl", path = "rows.jsonl", binary_rewards = false }
train.steps = 1
model.path = "models/policy"
"""


def page() -> str:
    """The page with both tables as the numbers and the code have them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("regimes", regimes()), ("needs", needs())):
        begin, end = f"<!-- {name}: python docs/make_choosing.py -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def regimes() -> str:
    """Every measured difference to GRPO, by regime."""
    head = "| data | recipe | accuracy, less GRPO's | FLOPs, over GRPO's | evidence |"
    return "\n".join([head, "|---|---|---|---|---|", *_spread(), *_even(), *_visits(), *_small()])


def _read(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def _row(data: str, recipe: str, ours: Runs, theirs: Runs, page_and_file: tuple[str, str]) -> str:
    gain = paired([run["accuracy"] for run in ours], [run["accuracy"] for run in theirs])
    flops = ratio([run["flops"] for run in ours], [run["flops"] for run in theirs])
    page_, file = page_and_file
    evidence = f"[page](methods/{page_}), [runs](../benchmarks/{file}.json)"
    return f"| {data} | {recipe} | {gain} | {flops} | {evidence} |"


def _spread() -> Iterator[str]:
    """Recipes that choose prompts or need no groups, on the embedded task at equal generated tokens."""
    results = _read("methods")
    base = results["grpo"]
    visits = base[0]["rollouts"] / base[0]["visit_rollouts"] / read_toml(METHODS)["task"]["pool_size"]
    for recipe in ("prompt_baseline", "spo", "mopps", "c_rf_ntf", "posterior_recycle", "erpo", "recycle"):
        evidence = (
            f"README.md#{'measured-again' if recipe == 'spo' else 'on-the-embedded-task'}",
            "methods",
        )
        yield _row(f"success rates differ widely, {visits:.3g} visits", f"`{recipe}`", results[recipe], base, evidence)


def _even() -> Iterator[str]:
    results = _read("regimes")["even_difficulty"]
    base, *others = results.items()
    for words, runs in others:
        yield _row("prompts are alike", words, runs, base[1], ("single_rollout.md", "regimes"))


def _visits() -> Iterator[str]:
    for pool, results in _read("posterior_recycling")["trained"].items():
        visits = results["grpo"][0]["rollouts"] / 4 / int(pool)
        for recipe in ("recycle", "posterior_recycle"):
            data = f"success rates differ widely, {visits:.3g} visits"
            evidence = ("posterior_recycling.md#visited-3-11-and-30-times", "posterior_recycling")
            yield _row(data, f"`{recipe}`", results[recipe], results["grpo"], evidence)


def _small() -> Iterator[str]:
    results = _read("regimes")["small_pool"]
    evidence = ("sgpo.md#a-small-pool", "regimes")
    yield _row("a small pool, profiled", "`sgpo`", results["sGPO"], results["GRPO"], evidence)


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


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
