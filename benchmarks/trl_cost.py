"""What a recipe costs and saves inside TRL: CPU seconds of a step, beside TRL's own trainer on the same task.

    python benchmarks/trl_cost.py                                            # the toy
    python benchmarks/trl_cost.py --model models/SmolLM2-135M-Instruct --steps 8
    python benchmarks/trl_cost.py --docs                                     # the page's block, of earlier results

Every trainer begins with the same weights and sees the same prompts and rewards. They take turns, step by step, in one
process, each in a thread of its own. Time is the thread's CPU time, which waiting does not add to; with
``OMP_NUM_THREADS=1`` no other thread computes. *Scheduling* is ask, tell, take and advance; *credit* turns groups into
samples; *records* writes ledger, metrics and samples.
"""

import argparse
import functools
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import arms

RESULTS = arms.ROOT / "benchmarks" / "trl_cost.json"
PAGE, BLOCK = arms.ROOT / "docs" / "howto" / "trl.md", "trl_cost"
SIDES = ("trl", "grpo", "recycle")
TARGET = 0.02
"""Most of a step that scheduling, credit and records may take."""
OURS = {
    "scheduling": ("rekindle.scheduling.scheduler:Scheduler", ("ask", "tell", "take", "advance", "drain_records")),
    "credit": ("rekindle.integrations.steps", ("build_samples",)),
    "records": ("rekindle.integrations.recorded_run:RecordedRun", ("note", "collected", "finished", "add", "write")),
}
"""What is timed of ours: part -> where it is, and the functions."""
PARTS = ("generation", *OURS, "sampled", "trained")
"""What is counted of a step, beside its time."""
ROWS = (
    ("CPU s of a step", "step", ".2f"),
    ("of it generation", "generation", ".2f"),
    ("scheduling, ms", "scheduling_ms", ".1f"),
    ("credit, ms", "credit_ms", ".1f"),
    ("records, ms", "records_ms", ".1f"),
    ("share of the three in the step", "share", ".2%"),
    ("rollouts of a step", "sampled", ",.0f"),
    ("rows forward and backward", "trained", ",.0f"),
    ("their share of the rollouts", "trained_share", ".0%"),
    ("CPU s per 1,000 rollouts", "per_1000", ".2f"),
    ("the same, TRL's divided by it", "ratio", ".2f"),
)


@dataclass
class Meter:
    """CPU seconds and rows of a trainer, by step."""

    steps: list[Mapping[str, float]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    inside: int = 0

    @contextmanager
    def part(self, name: str):
        """Add the thread's CPU time inside the context to a part; a part inside a part is not counted twice."""
        self.inside += 1
        start = time.thread_time()
        try:
            yield
        finally:
            self.inside -= 1
            if not self.inside:
                self.running[name] += time.thread_time() - start

    def end_step(self, seconds: float) -> None:
        """End a step."""
        self.steps.append(self.running | {"step": seconds})
        self.running = dict.fromkeys(PARTS, 0.0)

    def summary(self, skip: int) -> dict[str, float]:
        """Medians of seconds, and means of rows, without the first ``skip`` steps."""
        kept = self.steps[skip:]
        found = {name: statistics.median(one[name] for one in kept) for name in ("step", "generation", *OURS)}
        found |= {f"{name}_ms": 1000 * found.pop(name) for name in OURS}
        found |= {name: statistics.fmean(one[name] for one in kept) for name in ("sampled", "trained")}
        found["share"] = sum(found[f"{name}_ms"] for name in OURS) / 1000 / found["step"]
        found["trained_share"] = found["trained"] / found["sampled"]
        found["per_1000"] = 1000 * sum(one["step"] for one in kept) / sum(one["sampled"] for one in kept)
        return found | {"steps": len(kept)}


METER: dict[int, Meter] = {}
"""The meter of each thread."""


def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function whose time goes to a part of the step of the thread that calls it."""

    @functools.wraps(function)
    def measured(*args: Any, **named: Any) -> Any:
        meter = METER.get(threading.get_ident())
        if meter is None:
            return function(*args, **named)
        with meter.part(name):
            return function(*args, **named)

    return measured


def time_ours() -> None:
    """Put timers around our parts."""
    from importlib import import_module

    for part, (place, names) in OURS.items():
        module, _, kind = place.partition(":")
        owner: Any = import_module(module)
        owner = getattr(owner, kind) if kind else owner
        for name in names:
            setattr(owner, name, timed(getattr(owner, name), part))


def metered(kind: type, meter: Meter) -> type:
    """A trainer that counts the rows that it samples, and those that go forward and backward."""

    class Metered(kind):
        def _generate_single_turn(self, *args: Any, **named: Any) -> Any:
            with meter.part("generation"):
                found = super()._generate_single_turn(*args, **named)
            meter.running["sampled"] += len(found[0])
            return found

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            meter.running["trained"] += len(inputs["completion_ids"])
            return super()._compute_loss(model, inputs)

    return Metered


class Turns:
    """Whose turn it is: every member in order, until it leaves."""

    def __init__(self, members: Sequence[str]) -> None:
        self._members, self._changed = list(members), threading.Condition()

    def begin(self, member: str) -> None:
        """Wait for one's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._members[0] == member)

    def end(self, member: str, *, leaves: bool = False) -> None:
        """Give the turn to the next one."""
        with self._changed:
            if self._members[0] == member:
                self._members.append(self._members.pop(0))
            if leaves:
                self._members.remove(member)
            self._changed.notify_all()


def in_turn(side: str, turns: Turns, meter: Meter) -> Any:
    """The callback that ends the steps of a trainer and waits for its turn."""
    from transformers import TrainerCallback

    class InTurn(TrainerCallback):
        def on_train_begin(self, *args: Any, **named: Any) -> None:
            self.last = time.thread_time()

        def on_step_begin(self, *args: Any, **named: Any) -> None:
            turns.begin(side)

        def on_step_end(self, *args: Any, **named: Any) -> None:
            now = time.thread_time()
            meter.end_step(now - self.last)
            self.last = now
            turns.end(side)

    return InTurn()


def train(trainer: Any, side: str, turns: Turns, meter: Meter) -> None:
    """Train one side, in a thread of its own."""
    METER[threading.get_ident()] = meter
    try:
        trainer.train()
    finally:
        turns.end(side, leaves=True)


def measured(setting: Any, skip: int) -> dict[str, dict[str, float]]:
    """The sides in turn; their summaries."""
    from trl_tasks import arguments, kind_of, make_trainer

    turns, meters, threads = Turns(SIDES), {side: Meter() for side in SIDES}, []
    with TemporaryDirectory() as folder:
        for side, meter in meters.items():  # all of them before one trains: their accelerators share a state
            args = arguments(setting, side, 0, Path(folder) / side, save_strategy="no")
            trainer = make_trainer(setting, side, args, kind=metered(kind_of(side), meter))
            trainer.callback_handler.callbacks.append(in_turn(side, turns, meter))  # its files are part of the step
            threads.append(threading.Thread(target=train, args=(trainer, side, turns, meter), name=side))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = {side: meter.summary(skip) for side, meter in meters.items() if len(meter.steps) > skip}
    if absent := [side for side in SIDES if side not in found]:
        raise SystemExit(f"{', '.join(absent)} made no step after the first {skip}")
    return {side: one | {"ratio": found["trl"]["per_1000"] / one["per_1000"]} for side, one in found.items()}


def block(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page's block: a table per task."""
    parts = []
    for task, result in results.items():
        sides = result["sides"]
        lines = [[task, *("TRL" if side == "trl" else f"`{side}`" for side in sides)]]
        lines += [[words, *(format(one[key], form) for one in sides.values())] for words, key, form in ROWS]
        above = [side for side, one in sides.items() if one["share"] > TARGET]
        verdict = f"above it: {', '.join(above)}" if above else "no recipe is above it"
        parts += [arms.markdown_table(lines).strip(), f"Target of the share: {TARGET:.0%}; {verdict}."]
    return "\n\n".join([*parts, arms.made_words(results.values())]) + "\n"


def main() -> None:
    """Measure, keep the results, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="directory of SmolLM2; otherwise the toy")
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps of each side")
    parser.add_argument("--warmup", type=int, default=3, help="first steps left out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", action="store_true", help="write the page's block of the results there are; no run")
    options = parser.parse_args()
    results = arms.read_results(options.out) if options.out.exists() else {}
    if not options.docs:
        from dataclasses import replace

        import torch
        import transformers

        from trl_tasks import on_model, toy

        torch.set_num_threads(1)
        transformers.utils.logging.set_verbosity_error()
        time_ours()
        setting = replace(on_model(options.model) if options.model else toy(), steps=options.steps)
        results[setting.name] = {"sides": measured(setting, options.warmup), **arms.made_now()}
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(block(results))
    if options.docs:
        arms.replace_block(PAGE, BLOCK, block(results))


if __name__ == "__main__":
    main()
