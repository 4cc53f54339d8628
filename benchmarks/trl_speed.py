"""CPU time per optimizer step, side by side with TRL's GRPOTrainer.

Both train the same model from the same weights on the same problems, in one process, step by step in turn, with one
thread and in float32; TRL without gradient checkpointing and mixed precision, which only slow it down here. Both make
one optimizer step per batch of 32 prompts x 8 rollouts, on the same loss (clipped, one weight per token). Time is
the process's CPU time, medians over the steps.

    fixed     every completion has exactly 32 tokens and every row has an advantage, so no work can be skipped
    half      the same, and about half of the groups have no signal: even sums are never right
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
from dataclasses import replace
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
from trl_sides import PARTS, InTurn, MeteredGRPOTrainer, Ours, Scenario, make_trl

SCENARIOS = {
    "fixed": Scenario("fixed", 32, 0, addition.spread, 1.4),
    "half": Scenario("half", 32, 0, addition.spread_for_odd, 2.0),
    "natural": Scenario("natural", 0, 500, addition.exact, 2.5),
}


def gradient_agreement(trainer: MeteredGRPOTrainer, model, tokenizer, scenario: Scenario, rows: int) -> float | None:
    """Relative difference of both sides' gradient norms for TRL's first batch; None if it was split."""
    batch = trainer.first_batch
    if rows != scenario.rows or batch is None:
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
                prompt_key=row // scenario.group_size,
            )
        )
    settings = UpdateSettings(TrainTable().learning_rate, 0, LossTable(), OptimizerTable(warmup_steps=0))
    ours = Trainer(Policy(model, tokenizer), settings).update(samples, 0).grad_norm
    theirs = trainer.state.log_history[0]["grad_norm"]
    return abs(ours - theirs) / theirs


def useful_gflop(summary: dict[str, float], scenario: Scenario, prompt_length: float, weights: int) -> float:
    """GFLOP of the necessary matrix products of a step: 2 per weight and token to sample, 6 to train.

    Prompts count once per group, rows without signal are not trained, attention scores are left out.
    """
    sampled = scenario.rows * summary["mean_length"] + scenario.prompts * prompt_length
    return 1e-9 * weights * (2 * sampled + 6 * sampled * (1 - summary["groups_without_signal"]))


def matmul_peak(dtype: torch.dtype, size: int = 1536) -> float:
    """GFLOP/s of a large matrix product, the best of several."""
    a, b = (torch.randn(size, size).to(dtype) for _ in range(2))
    times = []
    for _ in range(8):
        start = time.process_time()
        torch.mm(a, b)
        times.append(time.process_time() - start)
    return 2e-9 * size**3 / min(times)


def start_of(scenario: Scenario, options: argparse.Namespace):
    """The model that both sides begin with, and its tokenizer."""
    if options.model:
        dtype = getattr(torch, options.dtype)
        model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype)
        return model, transformers.AutoTokenizer.from_pretrained(options.model, padding_side="left")
    tokenizer = addition.make_tokenizer()
    model = addition.make_model(tokenizer, options.seed)
    steps, limit = scenario.warm_start_steps, scenario.limit
    addition.warm_start(model, tokenizer, steps=steps, thinking=options.thinking, limit=limit, seed=options.seed)
    return model, tokenizer


def run(scenario: Scenario, options: argparse.Namespace) -> dict[str, Any]:
    problems = addition.make_problems(512, options.seed)
    model, tokenizer = start_of(scenario, options)
    rows = options.trl_rows or scenario.rows
    start_model = copy.deepcopy(model)
    ours = Ours(copy.deepcopy(model), tokenizer, problems, scenario)
    with TemporaryDirectory() as folder:
        trainer = make_trl(model, tokenizer, problems, scenario, options.steps, rows, folder)
        trainer.add_callback(InTurn(trainer.meter, ours))
        trainer.train()
    result: dict[str, Any] = {"scenario": scenario.name, "goal": scenario.goal, "model": options.model or "0.8 M"}
    result |= {"rollouts": f"{scenario.prompts} x {scenario.group_size}", "limit": scenario.limit}
    result["gradient_norm_difference"] = gradient_agreement(trainer, start_model, tokenizer, scenario, rows)
    peak = matmul_peak(model.dtype)
    prompt_length = statistics.fmean(len(tokenizer(problem.prompt)["input_ids"]) for problem in problems)
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 2)
    for side, meter in (("trl", trainer.meter), ("rekindle", ours.meter)):
        summary = meter.summary(options.warmup)
        gflops = useful_gflop(summary, scenario, prompt_length, weights) / (summary["step_ms"] / 1000)
        result[side] = summary | {"useful_gflops": gflops, "share_of_peak": gflops / peak}
    result["matmul_peak_gflops"] = peak
    result["speedup"] = result["trl"]["step_ms"] / result["rekindle"]["step_ms"]
    return result


def show(result: dict[str, Any]) -> None:
    trl_side, ours = result["trl"], result["rekindle"]
    print(
        f"\n{result['scenario']}: {result['rollouts']} rollouts of at most {result['limit']} tokens, CPU ms per "
        "optimizer step"
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


def scenario_of(name: str, options: argparse.Namespace) -> Scenario:
    """The scenario, smaller and with its own goal for a real model."""
    if not options.model:
        return SCENARIOS[name]
    return replace(SCENARIOS[name], prompts=8, goal=4.0 if name == "half" else 2.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", choices=[*SCENARIOS, "both"], default="both")
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps of each side")
    parser.add_argument("--warmup", type=int, default=3, help="first steps left out of the medians")
    parser.add_argument("--thinking", type=float, default=4.0, help="mean number of dots before a demonstrated answer")
    parser.add_argument("--trl-rows", type=int, help="TRL's per_device_train_batch_size (default: all rows)")
    parser.add_argument("--model", help="directory of a real model; 8 x 8 rollouts of 32 tokens, and no warm start")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of --model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    both = ["fixed", "half" if options.model else "natural"]
    names = both if options.scenario == "both" else [options.scenario]
    results = [run(scenario_of(name, options), options) for name in names]
    for result in results:
        show(result)
    if options.out:
        versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
        capability = torch.backends.cpu.get_cpu_capability()
        document = {"versions": versions, "python": sys.version.split()[0], "cpu": capability, "results": results}
        options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
