"""Makes run directories whose step log and ledger agree, by playing query recycling on a logistic toy policy."""

import json
import sqlite3
from pathlib import Path

import numpy as np

SCHEMA = """
create table groups (request_id integer primary key, step integer, version integer, task_id text, role text, n integer,
temperature real, successes integer, outcome text, previous_outcome text, first_outcome text, fate text,
prompt_tokens integer, generated_tokens integer, seconds real, tool_tokens integer)
"""

CONFIG = """recipe = "{recipe}"

[model.tiny]
layers = 4
hidden_size = 64

[task]
source = "spell_backward"

[pool]
kind = "recycling"

[train]
steps = {planned}
groups_per_step = {batch}
group_size = {size}
oversample = 2

[eval]
every = {every}
prompts = 256
"""

COUNTS = ("turns", "queries", "refused_queries", "malformed_calls", "idle_turns", "forced_answers", "documents",
          "documents_cut")  # fmt: skip

INFO = {
    "rekindle": "0.1.0",
    "python": "3.11.4",
    "packages": {"torch": "2.13.0", "numpy": "2.4.0"},
    "host": "example",
    "seed": 0,
    "git_revision": "0afaf8b",
    "command": ["train", "run.toml"],
}


def write_run(
    directory: Path,
    *,
    steps: int = 40,
    planned: int | None = None,
    pool: int = 512,
    batch: int = 16,
    size: int = 4,
    every: int = 10,
    skill: tuple[float, float] = (-1.0, 2.5),
    failing: float = 0.0,
    recipe: str = "recycle",
    first_task: str = "spell_backward/0",
    hops: int = 0,
    seed: int = 0,
) -> Path:
    """Write config.toml, run.json, metrics.jsonl, ledger.sqlite and a checkpoint; ``skill`` moves from start to end.

    Nobody ever solves ``first_task``. With ``hops`` it is the run of a search agent whose questions have 1 to ``hops``
    hops, the easiest first in every step: its metrics have levels, search counts and tool tokens besides.
    """
    directory.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(recipe=recipe, planned=planned or max(steps, 1), batch=batch, size=size, every=every)
    (directory / "config.toml").write_text(text)
    (directory / "run.json").write_text(json.dumps(INFO))
    (directory / "checkpoints" / f"step-{steps}").mkdir(parents=True)
    game = _SimulatedRun(pool, batch, size, failing, first_task, seed)
    lines, rows = [], []
    for step in range(steps + 1):
        ability = skill[0] + (skill[1] - skill[0]) * step / max(1, steps)
        line, groups = game.play(step, ability)
        line |= _searched(line, groups, hops) if hops else {}
        if step % every == 0 or step == steps:
            noise = game.rng.normal(0, 0.02)
            line["eval/accuracy"] = round(float(np.mean(1 / (1 + np.exp(game.difficulty - ability))) + noise), 4)
            line["eval/greedy"] = round(min(1.0, line["eval/accuracy"] + 0.12), 4)
            for kind in ("accuracy", "greedy"):
                line |= {f"level_{hop}/{kind}": line[f"eval/{kind}"] / hop for hop in range(1, hops + 1)}
        lines.append(json.dumps(line) + "\n")
        rows += groups
    (directory / "metrics.jsonl").write_text("".join(lines))
    write_ledger(directory / "ledger.sqlite", rows).close()
    return directory


def _searched(line: dict, groups: list[tuple], hops: int) -> dict:
    """What a step of a search agent has besides: every rollout asks one query, is shown 2 documents, and answers."""
    rollouts = line.get("rollouts", 0)
    found = {"tool_tokens": 30 * rollouts, "total_tool_tokens": 30 * line.get("total_rollouts", 0)}
    if not groups:
        return found
    counts = dict.fromkeys(COUNTS, 0) | {"turns": 2 * rollouts, "queries": rollouts, "documents": 2 * rollouts}
    found |= {f"search/{name}": count for name, count in counts.items()}
    found |= {"search/forced_answers": rollouts // 8, "time/retrieve": 0.12}
    for hop, part in enumerate(np.array_split(np.array([row[8] == "mixed" for row in groups]), hops), start=1):
        found |= {f"level_{hop}/groups": len(part), f"level_{hop}/zero_variance": 1 - float(part.mean())}
        found[f"level_{hop}/reward"] = 0.5 / hop
    return found


def write_ledger(path: Path, rows: list[tuple]) -> sqlite3.Connection:
    """Write a ledger in WAL mode and return the open connection; rows without tool tokens have none."""
    ledger = sqlite3.connect(path)
    ledger.execute("pragma journal_mode=wal")
    ledger.execute("pragma user_version=2")
    ledger.execute(SCHEMA)
    ledger.executemany(f"insert into groups values ({', '.join('?' * 15)}, 0)", rows)
    ledger.commit()
    return ledger


class _SimulatedRun:
    def __init__(self, pool: int, batch: int, size: int, failing: float, first_task: str, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.difficulty = self.rng.normal(0, 2.0, pool)
        self.difficulty[0] = 99.0
        self.tasks = [first_task, *(f"spell_backward/{row}" for row in range(1, pool))]
        self.live = np.ones(pool, bool)
        self.first: list[str | None] = [None] * pool
        self.last: list[str | None] = [None] * pool
        self.batch, self.size, self.failing = batch, size, failing
        self.resets = self.request = 0
        self.totals: dict[str, float] = {}

    def play(self, step: int, ability: float) -> tuple[dict, list[tuple]]:
        groups = self._draw(step, ability) if step else []
        fates = self._fates(groups)
        counts = dict.fromkeys(("asked", "mixed", "all_correct", "all_wrong", "trained", "recycled", "retired"), 0)
        counts |= dict.fromkeys(("fresh", "rescued_hard", "rescued_easy", "returned", "excess", "expired", "failed"), 0)
        rows = []
        for (row, wins, outcome), fate in zip(groups, fates, strict=True):
            first, previous = self.first[row], self.last[row]
            for name in ("asked", outcome, fate):
                counts[name] = counts.get(name, 0) + 1
            if fate == "trained":
                source = {None: "fresh", "all_wrong": "rescued_hard", "all_correct": "rescued_easy"}.get(
                    first, "returned"
                )
                counts[source] += 1
                self.live[row] = False
            self.request += 1
            rows.append((self.request, step, step - 1, self.tasks[row], "solver", self.size, 1.0, wins, outcome or None,
                         previous, first, fate, 9 * self.size, 8 * self.size, 0.01))  # fmt: skip
            if outcome:
                self.first[row], self.last[row] = first or outcome, outcome
        counts.pop("", None)
        return self._line(step, ability, groups, counts), rows

    def _draw(self, step: int, ability: float) -> list[tuple[int, int, str]]:
        if self.live.sum() < 2 * self.batch:
            self.live[:] = True
            self.resets += 1
        drawn = self.rng.choice(np.flatnonzero(self.live), 2 * self.batch, replace=False)
        groups = []
        for row in drawn:
            wins = int(self.rng.binomial(self.size, 1 / (1 + np.exp(self.difficulty[row] - ability))))
            outcome = "all_correct" if wins == self.size else "mixed" if wins else "all_wrong"
            failed = self.rng.random() < self.failing
            groups.append((int(row), 0, "") if failed else (int(row), wins, outcome))
        return groups

    def _fates(self, groups: list[tuple[int, int, str]]) -> list[str]:
        fates, room = [], self.batch
        for _, _, outcome in groups:
            if outcome == "mixed":
                fates.append("trained" if room else "excess")
                room = max(0, room - 1)
            else:
                fates.append("recycled" if outcome else "failed")
        return fates

    def _line(self, step: int, ability: float, groups: list, counts: dict) -> dict:
        rollouts = len(groups) * self.size
        spent = {
            "seconds": 0.9, "cpu_seconds": 0.85, "rollouts": rollouts, "generated_tokens": 8 * rollouts,
            "prompt_tokens": 9 * rollouts, "trained_tokens": 8 * self.size * counts["trained"],
            "flops": 2 * 215e3 * 17 * rollouts + 6 * 215e3 * 8 * self.size * counts["trained"],
            "flops_sgpo": 12 * 215e3 * 17 * rollouts,
        }  # fmt: skip
        for key, value in spent.items():
            self.totals[f"total_{key}"] = self.totals.get(f"total_{key}", 0) + (value if step else 0)
        line: dict = {"step": step, "version": step, **self.totals}
        if step:
            wins = sum(group[1] for group in groups)
            line |= spent | {f"groups/{name}": count for name, count in counts.items()}
            line |= {"reward/mean": wins / rollouts, "entropy": 0.9 * np.exp(-0.3 * ability) + 0.02 * self.rng.normal()}
            line |= {
                "grad_norm": abs(0.6 + 0.1 * self.rng.normal()),
                "loss": 0.0,
                "lr": 5e-4,
                "advantage/abs_mean": 0.4,
            }
            line |= {"temperature/mean": 1.0, "temperature/max": 1.0}
            line |= {
                "time/generate": 0.31,
                "time/verify": 0.02,
                "time/train": 0.53,
                "time/evaluate": 0.0,
                "time/other": 0.04,
            }
            line |= {"pool/live": int(self.live.sum()), "pool/size": len(self.live), "pool/resets": self.resets}
        return line
