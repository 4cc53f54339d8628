"""CPU time per optimizer step, side by side with TRL's GRPOTrainer.

Both train the same model from the same weights on the same problems, in one process, step by step in turn, with one
thread and in float32; TRL without gradient checkpointing and mixed precision, which only slow it down here. Both make
one optimizer step per batch of 32 prompts x 8 rollouts, on the same loss (clipped, one weight per token). Time is
the process's CPU time, medians over the steps.

    fixed     every completion has exactly 32 tokens and every row has an advantage, so no work can be skipped
    natural   the model ends its completions, rewards are 0 or 1; after a supervised warm start the
              lengths are skewed, with a mean below a quarter of the limit, and about half of the groups have no signal

Run it in an environment that has trl 1.16 and this package:  python benchmarks/trl_speed.py [--out FILE.json]
"""

import argparse
import copy
import json
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
import trl

import addition
from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable, TrainTable
from rekindle.models.policy import Policy
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import TrainingSample
from trl_sides import GROUP_SIZE, LIMIT, PARTS, PROMPTS, InTurn, MeteredGRPOTrainer, Ours, Scenario, make_trl

SCENARIOS = {
    "fixed": Scenario("fixed", LIMIT, 0, addition.spread, 1.4),
    "natural": Scenario("natural", 0, 500, addition.exact, 2.5),
}


def gradient_agreement(trainer: MeteredGRPOTrainer, model, tokenizer, rows: int) -> float | None:
    """Relative difference of both sides' gradient norms for TRL's first batch; None if it was split."""
    batch = trainer.first_batch
    if rows != PROMPTS * GROUP_SIZE or batch is None:
        return None
    samples = []
    for row, completion_mask in enumerate(batch["completion_mask"].bool()):
        prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()].tolist()
        completion = batch["completion_ids"][row][completion_mask].tolist()
        mask = [False] * len(prompt) + [True] * len(completion)
        advantages = [batch["advantages"][row].item() * trainable for trainable in mask]
        weight = 1 / int(batch["completion_mask"].sum())
        samples.append(
            TrainingSample(
                token_ids=prompt + completion,
                loss_mask=mask,
                logprobs=[0.0] * len(mask),
                advantages=advantages,
                temperature=1.0,
                weight=weight,
                prompt_key=row // GROUP_SIZE,
            )
        )
    settings = UpdateSettings(TrainTable().learning_rate, 0, LossTable(), OptimizerTable(warmup_steps=0))
    ours = Trainer(Policy(model, tokenizer), settings).update(samples, 0).grad_norm
    theirs = trainer.state.log_history[0]["grad_norm"]
    return abs(ours - theirs) / theirs


def useful_gflop(summary: dict[str, float], prompt_length: float, weights: int) -> float:
    """GFLOP of the necessary matrix products of a step: 2 per weight and token to sample, 6 to train.

    Prompts count once per group, rows without signal are not trained, attention scores are left out.
    """
    rows = PROMPTS * GROUP_SIZE
    sampled = rows * summary["mean_length"] + PROMPTS * prompt_length
    return 1e-9 * weights * (2 * sampled + 6 * sampled * (1 - summary["groups_without_signal"]))


def matmul_peak(size: int = 1536) -> float:
    """GFLOP/s of a large float32 matrix product, the best of several."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(8):
        start = time.process_time()
        torch.mm(a, b)
        times.append(time.process_time() - start)
    return 2e-9 * size**3 / min(times)


def run(scenario: Scenario, options: argparse.Namespace) -> dict[str, Any]:
    tokenizer = addition.make_tokenizer()
    model = addition.make_model(tokenizer, options.seed)
    problems = addition.make_problems(512, options.seed)
    addition.warm_start(
        model, tokenizer, steps=scenario.warm_start_steps, thinking=options.thinking, limit=LIMIT, seed=options.seed
    )
    start_model = copy.deepcopy(model)
    ours = Ours(copy.deepcopy(model), tokenizer, problems, scenario)
    with TemporaryDirectory() as folder:
        trainer = make_trl(model, tokenizer, problems, scenario, options.steps, options.trl_rows, folder)
        trainer.add_callback(InTurn(trainer.meter, ours))
        trainer.train()
    result: dict[str, Any] = {"scenario": scenario.name, "goal": scenario.goal}
    result["gradient_norm_difference"] = gradient_agreement(trainer, start_model, tokenizer, options.trl_rows)
    peak = matmul_peak()
    prompt_length = statistics.fmean(len(problem.prompt) for problem in problems)
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 2)
    for side, meter in (("trl", trainer.meter), ("rekindle", ours.meter)):
        summary = meter.summary(options.warmup)
        gflops = useful_gflop(summary, prompt_length, weights) / (summary["step_ms"] / 1000)
        result[side] = summary | {"useful_gflops": gflops, "share_of_peak": gflops / peak}
    result["matmul_peak_gflops"] = peak
    result["speedup"] = result["trl"]["step_ms"] / result["rekindle"]["step_ms"]
    return result


def show(result: dict[str, Any]) -> None:
    trl_side, ours = result["trl"], result["rekindle"]
    print(
        f"\n{result['scenario']}: {PROMPTS} x {GROUP_SIZE} rollouts, at most {LIMIT} tokens, CPU ms per optimizer step"
    )
    print(f"{'':24}{'TRL':>12}{'rekindle':>12}{'ratio':>8}")
    for name in (*PARTS, "step"):
        left, right = trl_side[f"{name}_ms"], ours[f"{name}_ms"]
        ratio = f"{left / right:8.2f}" if right > 0.05 else f"{'-':>8}"
        share = f"({left / trl_side['step_ms']:.0%} / {right / ours['step_ms']:.0%})"
        print(f"{name:24}{left:12.1f}{right:12.1f}{ratio}  {share}")
    for name, form in (
        ("tokens_per_second", ",.0f"),
        ("mean_length", ".1f"),
        ("longest", "d"),
        ("groups_without_signal", ".2f"),
        ("share_of_peak", ".1%"),
    ):
        print(f"{name:24}{format(trl_side[name], form):>12}{format(ours[name], form):>12}")
    if result["gradient_norm_difference"] is not None:
        print(f"same batch, same gradient norm to {result['gradient_norm_difference']:.1e}")
    verdict = "met" if result["speedup"] >= result["goal"] else "missed"
    print(f"matmul peak {result['matmul_peak_gflops']:.0f} GFLOP/s")
    print(f"speed-up {result['speedup']:.2f}, goal {result['goal']}: {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", choices=[*SCENARIOS, "both"], default="both")
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps of each side")
    parser.add_argument("--warmup", type=int, default=3, help="first steps left out of the medians")
    parser.add_argument("--thinking", type=float, default=4.0, help="mean number of dots before a demonstrated answer")
    parser.add_argument("--trl-rows", type=int, default=PROMPTS * GROUP_SIZE, help="TRL's per_device_train_batch_size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    names = list(SCENARIOS) if options.scenario == "both" else [options.scenario]
    results = [run(SCENARIOS[name], options) for name in names]
    for result in results:
        show(result)
    if options.out:
        versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
        capability = torch.backends.cpu.get_cpu_capability()
        document = {"versions": versions, "python": sys.version.split()[0], "cpu": capability, "results": results}
        options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
