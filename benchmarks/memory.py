"""Peak memory of one update: all weights or LoRA, with and without gradient checkpointing.

    OMP_NUM_THREADS=1 python benchmarks/memory.py --model models/SmolLM2-135M-Instruct [--rollouts 32] [--tokens 128]

Each arm is a process of its own. It loads the model, makes one update of rollouts of random tokens in one micro-batch,
and a second one for the time. Memory is the largest resident set of the process, minus that of a process that has
imported the same and loaded nothing. The logits of the batch in float32 would be rollouts x tokens x vocabulary x 4
bytes; the script prints them for comparison. The update's result is compared too: checkpointing gives the same bits.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable
from rekindle.models.lora import NewAdapter
from rekindle.models.policy import Policy
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import TrainingSample

ADAPTER = NewAdapter(rank=8, alpha=16.0, targets=("all-linear",), seed=0)
ARMS: dict[str, dict[str, Any]] = {
    "all weights": {},
    "all weights, checkpointing": {"recompute": True},
    "LoRA, rank 8": {"adapter": ADAPTER},
    "LoRA, rank 8, checkpointing": {"adapter": ADAPTER, "recompute": True},
}


def samples(rollouts: int, tokens: int, vocabulary: int) -> list[TrainingSample]:
    """Rollouts of random tokens without a shared prompt, half of them right."""
    draw = np.random.default_rng(0)
    prompt = tokens // 4
    made = []
    for index in range(rollouts):
        mask = [False] * prompt + [True] * (tokens - prompt)
        made.append(
            TrainingSample(
                token_ids=draw.integers(3, vocabulary, tokens).tolist(),
                loss_mask=mask,
                logprobs=[0.0] * tokens,
                advantages=[(1.0 if index % 2 else -1.0) * trained for trained in mask],
                temperature=1.0,
                weight=1 / rollouts / (tokens - prompt),
                version=0,
                prompt_key=index,
            )
        )
    return made


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(arm: str, options: argparse.Namespace) -> dict[str, object]:
    """Memory, CPU seconds and result of an arm; run in a process of its own."""
    torch.set_num_threads(1)
    before = peak_bytes()
    policy = Policy.load(options.model, device="cpu", dtype=options.dtype, **ARMS[arm])
    loaded = peak_bytes()
    settings = UpdateSettings(1e-5, 0, LossTable(), OptimizerTable(warmup_steps=0, microbatch_tokens=2**20))
    trainer = Trainer(policy, settings)
    batch = samples(options.rollouts, options.tokens, policy.vocabulary)
    first = trainer.update(batch, 0)
    began = time.process_time()
    trainer.update(batch, 1)
    return {
        "loaded": loaded - before,
        "peak": peak_bytes() - before,
        "seconds": time.process_time() - began,
        "trained": policy.trained_count,
        "grad_norm": first.grad_norm,
        "logits": options.rollouts * options.tokens * policy.vocabulary * 4,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128, help="tokens of a rollout, a quarter of them prompt")
    parser.add_argument("--arm", choices=list(ARMS))
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(measured(options.arm, options)))
        return
    print("| | trained weights | model loaded | peak | CPU seconds of an update | gradient norm |")
    print("|---|---|---|---|---|---|")
    for arm in ARMS:
        command = [sys.executable, *sys.argv, "--arm", arm]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {arm} | {found['trained']:,} | {found['loaded'] / 1e6:,.0f} MB | {found['peak'] / 1e6:,.0f} MB | "
            f"{found['seconds']:.1f} | {found['grad_norm']:.9g} |",
            flush=True,
        )
    print(f"\nThe logits of the batch in float32 would take {found['logits'] / 1e6:,.0f} MB.")


if __name__ == "__main__":
    main()
