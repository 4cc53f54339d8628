"""Evaluations during a run inside TRL, kept in a file with the CPU time of training until then."""

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from trl_tasks import Setting, completed

__all__ = ["Evaluated"]


class Evaluated(TrainerCallback):
    """Completes the held-out prompts before the first step, every ``setting.every`` steps, and after the last.

    ``tokenizer`` is set before training. Lines of steps that a resumed run repeats are replaced.
    """

    tokenizer: Any = None

    def __init__(self, setting: Setting, path: Path) -> None:
        self._setting, self._path = setting, path
        self._cpu_seconds, self._since = 0.0, 0.0

    def on_train_begin(self, args, state, control, model=None, **kwargs) -> None:  # noqa: D102
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= state.global_step]
        self._path.write_text("".join(f"{line}\n" for line in kept))
        self._cpu_seconds = json.loads(kept[-1])["cpu_seconds"] if kept else 0.0
        if not kept:
            self._evaluate(state.global_step, model)
        self._since = time.process_time()

    def on_step_end(self, args, state, control, model=None, **kwargs) -> None:  # noqa: D102
        if state.global_step % self._setting.every == 0 or state.global_step == args.max_steps:
            self._cpu_seconds += time.process_time() - self._since
            self._evaluate(state.global_step, model)
            self._since = time.process_time()

    def _evaluate(self, step: int, model: Any) -> None:
        rows = completed(self._setting, model, self.tokenizer)
        accuracy = sum(row["verifier"] for row in rows) / len(rows)
        line = {"step": step, "accuracy": accuracy, "cpu_seconds": self._cpu_seconds, "rows": rows}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"  step {step}: accuracy {accuracy:.2f}, {self._cpu_seconds:.0f} CPU seconds", flush=True)
