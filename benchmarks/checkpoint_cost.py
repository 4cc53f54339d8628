"""Cost of checkpoints, of their digests, and of a resumption.

    OMP_NUM_THREADS=1 python benchmarks/checkpoint_cost.py [--model models/SmolLM2-135M-Instruct] [--out FILE.json]

Saves a checkpoint of a model with AdamW's state twice, checks its digests as a resumption does, makes a small
step of 2 x 8 rollouts of 32 tokens, and compares the cost with the steps between two checkpoints
(``checkpoint.every``). Then it resumes a finished run of the embedded default in a process of its own: imports, checks,
loading and report, and nothing to train. Seconds are of the wall clock and of the processor; a busy machine stretches
the first alone.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from rekindle.config.tables.training import CheckpointTable
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.loading import first_not_finite
from rekindle.models.policy import Policy
from rekindle.recipes import resolve
from rekindle.records import digests
from rekindle.records.durable_files import sync_tree
from rekindle.training import checkpoint as checkpoints
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import TrainingSample

EMBEDDED = Path(__file__).parents[1] / "examples" / "spell_backward.toml"
IMPORTS = "import torch, transformers.models.llama.modeling_llama, rekindle.session, rekindle.assembly"
SHORT = ("train.steps=2", "eval.prompts=16", "checkpoint.every=1")
GROUPS, SIZE, PROMPT, LENGTH = 2, 8, 32, 32
SAVES = 2


class Timer:
    """Seconds of named parts: [wall clock, processor] of each call."""

    def __init__(self) -> None:
        self.found: dict[str, list[list[float]]] = {}

    @contextmanager
    def part(self, name: str) -> Any:
        """Time the body."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.found.setdefault(name, []).append([time.perf_counter() - wall, time.process_time() - cpu])

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return wrapped

    def medians(self) -> dict[str, list[float]]:
        """Median seconds by part."""
        return {
            name: [round(sorted(one[kind] for one in calls)[len(calls) // 2], 3) for kind in (0, 1)]
            for name, calls in self.found.items()
        }


def sample(number: int) -> TrainingSample:
    """A rollout of made-up tokens."""
    length = PROMPT + LENGTH
    mask = [False] * PROMPT + [True] * LENGTH
    tokens = [(7 * number + 13 * place) % 1000 + 10 for place in range(length)]
    advantage = 1.0 if number % 2 else -1.0
    return TrainingSample(
        token_ids=tokens,
        loss_mask=mask,
        logprobs=[-1.0 * one for one in mask],
        advantages=[advantage * one for one in mask],
        temperature=1.0,
        weight=1 / (GROUPS * SIZE * LENGTH),
        prompt_key=number // SIZE,
    )


def step(policy: Policy, trainer: Trainer, timer: Timer) -> None:
    """Generate the rollouts of a step, and update on as many."""
    with timer.part("generate"):
        engine = TorchEngine(policy)
        requests = [
            SamplingRequest(
                prompt_ids=sample(group * SIZE).token_ids[:PROMPT],
                n=SIZE,
                max_new_tokens=LENGTH,
                min_new_tokens=LENGTH,
                seed=group,
            )
            for group in range(GROUPS)
        ]
        for _ in engine.generate(requests):
            pass
    with timer.part("update"):
        trainer.update([sample(number) for number in range(GROUPS * SIZE)], 0)


def measured(model: Path, place: Path) -> dict[str, Any]:
    """Seconds of saving, checking and a step, and the share of checkpoints in the time of a run."""
    timer = Timer()
    policy = Policy.load(model, device="cpu")
    config = resolve(EMBEDDED, "grpo", ["optimizer.microbatch_tokens=1024"], 0)
    trainer = Trainer(policy, UpdateSettings(1e-6, 0, config.loss, config.optimizer))
    step(policy, trainer, timer)
    for name, function in (("write_digests", digests.write_digests), ("sync_tree", sync_tree)):
        setattr(checkpoints, name, timer.timed(name, function))
    saved = checkpoints.Checkpoints(place / "checkpoints", keep=1)
    saved.prepare()
    for number in range(SAVES):
        with timer.part("check of weights"):
            first_not_finite(policy.model)
        with timer.part("save"):
            path = saved.save(number, policy, trainer.state_dict(), {})
        digests._computed.cache_clear()
        with timer.part("check of digests"):
            assert digests.fault_of(path) is None
    seconds = timer.medians()
    every = CheckpointTable.model_fields["every"].default
    made = [seconds["generate"][kind] + seconds["update"][kind] for kind in (0, 1)]
    cost = [seconds["save"][kind] + seconds["check of weights"][kind] for kind in (0, 1)]
    return {
        "model": model.name,
        "parameters": policy.parameter_count,
        "bytes": sum(one.stat().st_size for one in path.rglob("*") if one.is_file()),
        "seconds": seconds,
        "step": [round(one, 2) for one in made],
        "every": every,
        "share of a checkpoint in a step": [round(cost[kind] / every / made[kind], 5) for kind in (0, 1)],
        "share of digests in a step": [
            round(seconds["write_digests"][kind] / every / made[kind], 5) for kind in (0, 1)
        ],
    }


def resumption(place: Path) -> dict[str, list[float]]:
    """Seconds of the command that resumes a finished run of the embedded default, and of its imports alone."""
    command = [sys.executable, "-m", "rekindle", "train", str(EMBEDDED), "--recipe", "recycle", "--resume"]
    command += ["--out", str(place / "run"), *(part for one in SHORT for part in ("--set", one))]
    subprocess.run(command, check=True)
    return {"command": _spent(command), "imports": _spent([sys.executable, "-c", IMPORTS])}


def _spent(command: list[str]) -> list[float]:
    """Seconds of a process: [wall clock, processor]."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [round(wall, 2), round(cpu, 2)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--model", type=Path, default=Path("models/SmolLM2-135M-Instruct"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        found = {"resumption": resumption(Path(place))} | measured(options.model, Path(place))
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
