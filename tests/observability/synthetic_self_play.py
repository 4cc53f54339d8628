"""Makes run directories of self-play whose step log, ledger and proposals agree, around a synthetic solver."""

import json
import sqlite3
from pathlib import Path

import numpy as np
from synthetic_run import COUNTS, write_run

REASONS = ("unanswerable", "duplicate", "leaks_answer", "known")


def write_self_play(
    directory: Path,
    *,
    steps: int = 40,
    proposals: int = 16,
    valid: tuple[float, float] = (0.4, 0.7),
    reference: tuple[float, float] = (0.6, 0.2),
    right: float | None = 0.93,
    reasons: tuple[str, ...] = REASONS,
    text: str = "Who keeps the lamp of harbour",
    config: str = "",
    seed: int = 0,
    **run,
) -> Path:
    """The run of ``write_run``, and a proposer besides; pairs move from the first step to the last.

    Args:
        directory: See ``write_run``, as for the options that are not named here.
        steps: Updates.
        proposals: Of a step; the first two have their documents recorded.
        valid: Chance of a proposal to be valid.
        reference: Success of the start policy on valid questions.
        right: Share of right questions; None: nobody knows.
        reasons: Of the others, all equally likely.
        text: What every question, query, reply and document begins with.
        config: Further lines of config.toml.
        seed: Of the draws.
    """
    write_run(directory, steps=steps, hops=3, recipe="self_play", **run)
    path = directory / "config.toml"
    path.write_text(path.read_text().replace('"spell_backward"', '"self_play"') + config)
    game = _SelfPlay(proposals, reasons, text, right, np.random.default_rng(seed))
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for row in rows[1:]:
        place = (row["step"] - 1) / max(1, steps - 1)
        row.update(game.play(row["step"], *(low + (high - low) * place for low, high in (valid, reference))))
        row["rollouts"] += proposals
        row["total_rollouts"] += proposals * row["step"]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "proposals.jsonl").write_text("".join(json.dumps(line) + "\n" for line in game.lines))
    ledger = sqlite3.connect(directory / "ledger.sqlite")
    ledger.executemany(f"insert into groups values ({', '.join('?' * 16)})", game.groups)
    ledger.commit()
    ledger.close()
    return directory


class _SelfPlay:
    def __init__(self, proposals, reasons, text, right, rng) -> None:
        self.proposals, self.reasons, self.text, self.right, self.rng = proposals, reasons, text, right, rng
        self.lines: list[dict] = []
        self.groups: list[tuple] = []
        self.created = 0

    def play(self, step: int, valid: float, reference: float) -> dict:
        lines = [self._propose(step, index, valid, reference) for index in range(self.proposals)]
        accepted = [line for line in lines if line["verdict"] == "valid"]
        row = {
            "self_play/proposals": self.proposals, "self_play/valid": len(accepted), "self_play/failed": 0,
            "self_play/valid_rate": len(accepted) / self.proposals, "self_play/wished_hops": 2.0,
            "self_play/searches": _mean(accepted, lambda line: len(line["queries"])),
            "self_play/novelty": _mean(accepted, lambda line: 1 - line["similarity"]),
            "self_play/solver_success": _mean(accepted, lambda line: line["success"]),
            "self_play/reference_success": _mean(accepted, lambda line: line["reference_success"]),
            "self_play/proposer_reward": _mean(lines, lambda line: line["reward"] or 0.0),
            "pool/fresh": 0, "pool/replayed": self.proposals - len(accepted), "time/check": 0.2, "time/reference": 0.1,
        }  # fmt: skip
        for reason in self.reasons:
            row[f"self_play/rejected/{reason}"] = sum(line["verdict"] == reason for line in lines)
        for hops in (1, 2, 3):
            wished = [line for line in lines if line["hops"] == hops]
            row[f"self_play/wished_{hops}/valid_rate"] = _mean(wished, lambda line: line["verdict"] == "valid")
        if self.right is not None:
            row["self_play/right"] = _mean(accepted, lambda line: line["true_answers"] == line["answers"])
        counts = dict.fromkeys(COUNTS, 0) | {"turns": 3 * self.proposals, "queries": 2 * self.proposals}
        self.lines += lines
        return row | {f"proposer/{name}": count for name, count in counts.items()}

    def _propose(self, step: int, index: int, valid: float, reference: float) -> dict:
        number, good = len(self.groups) + 1, self.rng.random() < valid
        reason = "valid" if good else self.reasons[int(self.rng.integers(len(self.reasons)))]
        fate = "failed" if reason == "unverified" else "trained" if good else "retired"
        self.groups.append((-number, step, step - 1, f"seed/{index}", "proposer", 1, 1.0, int(good),
                            "all_correct" if good else "all_wrong", None, None, fate, 20, 30, 0.4, 60))  # fmt: skip
        line = {
            "step": step, "request_id": -number, "task_id": f"spell_backward/{self.created}" if good else None,
            "seed": f"seed/{index}", "answers": [f"Ada {number}", "A. Ada"], "hops": 1 + index % 3,
            "question": f"{self.text} {number}?", "verdict": reason, "reply": f"{self.text} Ada",
            "queries": [f"{self.text} first", f"{self.text} second"], "similarity": 0.25 if good else None,
            "reference_success": float(self.rng.random() < reference) if good else None,
            "success": 0.5 if good else None, "reward": 0.5 if good else None if fate == "failed" else 0.0,
            "fate": fate,
        }  # fmt: skip
        self.created += good
        if self.right is not None:
            line["true_answers"] = line["answers"] if self.rng.random() < self.right else ["Bob"]
        if index < 2:
            line["documents"] = [{"id": "7", "title": f"{self.text} title", "text": f"{self.text} text"}]
        return line


def _mean(lines, value):
    return float(np.mean([value(line) for line in lines])) if lines else None
