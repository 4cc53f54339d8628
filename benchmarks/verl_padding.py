"""Dummy rows on verl: how many a batch of ragged groups needs, over real schedulers, in simulated runs.

    python benchmarks/verl_padding.py [--steps 24] [--out FILE.json] [--docs]

Runs the scheduler and the credit of each recipe on simulated prompts (``simulated_cluster.Player``, rollouts of
lognormal length) in steps of 2,048 rollouts and four optimizer steps, and counts the rows with a gradient. The
arithmetic of dummy rows is that of the integration (``verl.row_counts``). Beside it stands what verl alone would add
to the same rows: 128 tokens each, up to a multiple of processes and of ``ppo_mini_batch_size x rollout.n``. In
self-play every question of a step adds a row of its proposer.
"""

import argparse
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import arms
from rekindle.config import Config
from rekindle.integrations.settings.group_shape import sizes_itself
from rekindle.integrations.verl.row_counts import TOKENS, has_gradient, missing_rows, round_of
from rekindle.learning.samples import build_samples
from rekindle.methods import build_credit, build_scheduler, needs_profile
from rekindle.recipes import RECIPES, resolve
from rekindle.scheduling.pools import GrowingPool
from rekindle.scheduling.profiling import Profile, ProfileKey
from rekindle.scheduling.scheduler import Scheduler
from rekindle.types import GroupRequest, TrainingSample
from simulated_cluster import LATENCIES, MOST_TOKENS, Player

RESULTS = arms.ROOT / "benchmarks" / "verl_padding.json"
PAGE = Path("howto/verl.md")
BLOCK = "verl padding"
MEASURED = ("sgpo", "reinforce_ada", "recycle", "rekindle", "self_play")
PROMPTS, ROLLOUTS, GROUP_SIZE, OPTIMIZER_STEPS = 20_000, 2_048, 8, 4
PROCESSES = (2, 8)
MICRO_BATCHES = {"fixed": 4, "dynamic": None}
VERLS_TOKENS = 128
OWN_SIZES = ("rekindle", "self_play")
MANY = 10**6
SAMPLES = 8
"""Rollouts of a prompt in its profile."""

Row = dict[str, Any]


class SimulatedRun:
    """Steps of a recipe.

    Args:
        recipe: Its name.
    """

    def __init__(self, recipe: str) -> None:
        self._config = _settings_of(recipe)
        self._player, self._rng = Player(), np.random.default_rng(0)
        self._created = 0
        ids = [] if recipe == "self_play" else [f"train/{row}" for row in range(PROMPTS)]
        profile = self._profile(ids) if needs_profile(self._config) else None
        self._scheduler, self._credit = build_scheduler(self._config, ids, profile), build_credit(self._config)

    def steps(self, number: int) -> Iterator[list[int]]:
        """Tokens of the rows with a gradient, of each step."""
        for step in range(number):
            proposers = self._propose(self._scheduler)
            samples = self._step(step)
            yield [len(one.token_ids) for one in samples if has_gradient(one)] + proposers

    def _step(self, step: int) -> list[TrainingSample]:
        scheduler = self._scheduler
        while (groups := scheduler.take()) is None:
            requests = list(iter(scheduler.ask, None))
            assert requests, scheduler.stopped or "nothing to ask for"
            for request in requests:
                scheduler.tell(request.id, self._player.play(request, self._lengths(request.n)))
        scheduler.drain_records()
        scheduler.advance(step + 1)
        return build_samples(groups, self._credit)

    def _propose(self, scheduler: Scheduler) -> list[int]:
        """New questions in the pool of self-play; tokens of the conversations that asked them."""
        if not isinstance(scheduler.pool, GrowingPool):
            return []
        first, self._created = self._created, self._created + scheduler.groups_per_step
        scheduler.pool.add(f"created/{number}" for number in range(first, self._created))
        return [int(length) for length in self._lengths(scheduler.groups_per_step)]

    def _lengths(self, number: int) -> list[float]:
        return np.minimum(LATENCIES["lognormal"](self._rng, number), MOST_TOKENS).tolist()

    def _profile(self, ids: Sequence[str]) -> Profile:
        """What a pass over the prompts finds."""
        requests = (
            GroupRequest(id=row, task_id=name, row=row, n=SAMPLES, temperature=1.0, seed=row, version=0, step=0)
            for row, name in enumerate(ids)
        )
        wins = [sum(one.reward for one in self._player.play(request, [1.0] * SAMPLES)) for request in requests]
        same = np.full(len(ids), SAMPLES)
        return Profile(
            ProfileKey("simulated", "exact_match", 1.0, 512), ids, np.array(wins, dtype=int), same, same, same
        )


def _settings_of(recipe: str) -> Config:
    """A recipe with as many rollouts a step as all others; it keeps a size that its method decides."""
    plain = RECIPES[recipe]()
    size, method = plain.train.group_size, recipe in OWN_SIZES or sizes_itself(plain)
    size = size if method else GROUP_SIZE
    train = {"groups_per_step": ROLLOUTS // size, "steps": MANY} | ({} if method else {"group_size": size})
    return resolve({"train": train}, recipe)


def measure(recipe: str, steps: int) -> Row:
    """Measure a recipe."""
    found = list(SimulatedRun(recipe).steps(steps))
    size = _settings_of(recipe).train.group_size
    row: Row = {"recipe": recipe, "steps": steps, "rows_a_step": round(statistics.fmean(map(len, found)))}
    for processes in PROCESSES:
        for name, micro in MICRO_BATCHES.items():
            multiple = round_of(processes, OPTIMIZER_STEPS, micro, [] if micro is None else [micro])
            row[f"{name}_{processes}"] = _shares(found, multiple, TOKENS)
        whole = math.lcm(processes, ROLLOUTS // size // OPTIMIZER_STEPS * size)
        row[f"verl_{processes}"] = _shares(found, whole, VERLS_TOKENS)
    return row


def _shares(steps: Sequence[Sequence[int]], multiple: int, tokens: int) -> dict[str, float]:
    """Shares of dummy rows, and of their tokens, in all of the steps."""
    rows, dummies = sum(map(len, steps)), sum(missing_rows(len(step), multiple) for step in steps)
    real = sum(map(sum, steps))
    return {"rows": dummies / (rows + dummies), "tokens": dummies * tokens / (real + dummies * tokens)}


def table(found: dict[str, Any]) -> str:
    """The block of the page."""
    names = [(name, processes) for processes in PROCESSES for name in (*MICRO_BATCHES, "verl")]
    words = {"fixed": "micro-batches of 4", "dynamic": "dynamic", "verl": "verl alone"}
    head = ["recipe", "rows a step", *(f"{processes} ranks, {words[name]}" for name, processes in names)]
    lines = [
        [f"`{row['recipe']}`", f"{row['rows_a_step']:,}", *(_cell(row[f"{one}_{number}"]) for one, number in names)]
        for row in found["rows"]
    ]
    return "\n".join([arms.markdown_table([head, *lines]), arms.made_words([found]), ""])


def _cell(shares: dict[str, float]) -> str:
    return f"{100 * shares['rows']:.2f} / {100 * shares['tokens']:.4f}"


def main() -> None:
    """Measure every recipe, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    found = {**arms.made_now(), "rows": [measure(recipe, options.steps) for recipe in MEASURED]}
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    text = table(found)
    print(text)
    if options.docs:
        arms.replace_block(options.docs / PAGE, BLOCK, text)


if __name__ == "__main__":
    main()
