"""How often the intervals of `rekindle compare` exclude 0 for pairs of equal arms, by number of seeds.

    python benchmarks/intervals.py --pairs 4000      # writes intervals.json; a minute
    python benchmarks/intervals.py --docs            # writes the table of docs/howto/compare.md from it

Accuracies of a seed are normal, and both arms share a part of the seed's noise. An interval of 95 % should exclude 0 in
5 % of the pairs. The standard error of a share of 5 % of 4,000 pairs is 0.3 points.
"""

import argparse
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

import arms
from rekindle.statistics.bootstrap import percentile_interval
from rekindle.statistics.comparisons import Paired, paired_differences

RESULTS = arms.ROOT / "benchmarks" / "intervals.json"
PAGE = arms.ROOT / "docs" / "howto" / "compare.md"
BLOCK = "intervals"
SEEDS = (2, 3, 4, 5, 8, 10, 20)
KINDS = {
    "t": "Student's t",
    "percentile": "percentile bootstrap",
    "bootstrap": "bootstrap, widened",
    "both": "both t and widened bootstrap",
}


def pair(draw: np.random.Generator, seeds: int) -> Paired:
    """Two equal arms, compared."""
    common = draw.normal(0.0, 0.02, seeds)
    ours, theirs = (dict(enumerate((0.7 + common + draw.normal(0.0, 0.02, seeds)).tolist())) for _ in range(2))
    return paired_differences(ours, theirs)


def measure(seeds: int, pairs: int) -> dict[str, float]:
    """Share of the pairs whose interval excludes 0, by kind of interval."""
    draw, excluded = np.random.default_rng(seeds), dict.fromkeys(KINDS, 0)
    for _ in range(pairs):
        found = pair(draw, seeds)
        raw = percentile_interval(np.array(list(found.differences.values())))
        excluded["t"] += not found.t.holds(0.0)
        excluded["percentile"] += not raw.holds(0.0)
        excluded["bootstrap"] += not found.bootstrap.holds(0.0)
        excluded["both"] += found.differs
    return {kind: count / pairs for kind, count in excluded.items()}


def table(results: Mapping[str, Any]) -> str:
    """The table of the page."""
    lines = [["seeds", *KINDS.values()]]
    lines += [
        [seeds, *(f"{100 * shares[kind]:.1f} %" for kind in KINDS)] for seeds, shares in results["shares"].items()
    ]
    return (
        f"{arms.markdown_table(lines)}\nOf {results['pairs']:,} pairs of equal arms each; 5 % is what an interval of "
        f"95 % says. {arms.made_words([results['made']])}\n"
    )


def main() -> None:
    """Measure, or write the page from the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=4_000)
    parser.add_argument("--docs", action="store_true", help="write the page's block from the results")
    options = parser.parse_args()
    if options.docs:
        arms.replace_block(PAGE, BLOCK, table(arms.read_results(RESULTS)))
        return
    shares = {str(seeds): measure(seeds, options.pairs) for seeds in SEEDS}
    results = {"made": arms.made_now(), "pairs": options.pairs, "shares": shares}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
