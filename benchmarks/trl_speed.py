"""CPU time per optimizer step, side by side with TRL's GRPOTrainer.

Both train the same model from the same weights on the same problems, in one process, step by step in turn, with one
thread and in float32; TRL without gradient checkpointing and mixed precision, which only slow it down here. Both make
one optimizer step per batch of 32 prompts x 8 rollouts, on the same loss (clipped, one weight per token). Time is
the process's CPU time, medians over the steps.

    fixed     every completion has exactly 32 tokens and every row has an advantage: nothing can be left out
    natural   completions end where the model ends them, rewards are right or wrong: after a supervised warm start
              lengths are skewed with a mean below a quarter of the limit, and about half of the groups have no signal

Run it in an environment that has trl 1.16 and this package:  python benchmarks/trl_speed.py [--out FILE.json]
"""

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import addition
import torch
import transformers
import trl
from datasets import Dataset
from transformers import TrainerCallback

from rekindle.config import TrainTable
from rekindle.engines.protocol import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.learning.aggregation import token_mean
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.samples import build_samples
from rekindle.models.policy import Policy
from rekindle.training.trainer import Trainer
from rekindle.types import Group, GroupRequest, Rollout, TrainingSample, outcome_of

PROMPTS, GROUP_SIZE, LIMIT = 32, 8, 32
LEARNING_RATE = 1e-6  # small, so that lengths and pass rates stay as the warm start made them
PARTS = ("generation", "recomputation", "update", "rest")


@dataclass(frozen=True)
class Scenario:
    name: str
    min_new_tokens: int
    warm_start_steps: int
    reward: Callable[[str, str], float]
    goal: float


SCENARIOS = {
    "fixed": Scenario("fixed", LIMIT, 0, addition.spread, 1.4),
    "natural": Scenario("natural", 0, 300, addition.exact, 2.5),
}


@dataclass
class Meter:
    """CPU seconds of one side, by part and step, and what was sampled."""

    steps: list[dict[str, float]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)

    @contextmanager
    def part(self, name: str):
        start = time.process_time()
        yield
        self.running[name] = self.running.get(name, 0.0) + time.process_time() - start

    def end_step(self, total: float) -> None:
        parts = {name: self.running.get(name, 0.0) for name in PARTS[:-1]}
        self.steps.append(parts | {"rest": total - sum(parts.values()), "step": total})
        self.running = {}

    def sampled(self, lengths: list[int], rewards: list[float]) -> None:
        self.lengths += lengths
        groups = [rewards[start : start + GROUP_SIZE] for start in range(0, len(rewards), GROUP_SIZE)]
        self.silent += [max(group) == min(group) for group in groups]

    def summary(self, skip: int) -> dict[str, float]:
        kept = self.steps[skip:]
        result = {f"{name}_ms": 1000 * statistics.median(step[name] for step in kept) for name in (*PARTS, "step")}
        rows = PROMPTS * GROUP_SIZE
        lengths, silent = self.lengths[skip * rows :], self.silent[skip * PROMPTS :]
        result["mean_length"] = statistics.fmean(lengths)
        result["longest"] = max(lengths)
        result["groups_without_signal"] = statistics.fmean(silent)
        result["tokens_per_second"] = result["mean_length"] * rows / (result["step_ms"] / 1000)
        return result


class Ours:
    """Engine, rewards, samples, update: the loop of a run without its bookkeeping."""

    def __init__(self, model, tokenizer, problems, scenario: Scenario) -> None:
        self.meter = Meter()
        self._problems = problems
        self._scenario = scenario
        self._policy = Policy(model, tokenizer)
        self._engine = TorchEngine(self._policy, max_rows=PROMPTS * GROUP_SIZE)
        settings = TrainTable(steps=1000, warmup_steps=0, learning_rate=LEARNING_RATE, aggregation="token_mean")
        self._trainer = Trainer(self._policy, settings)

    def step(self) -> None:
        start = time.process_time()
        version = self._trainer.updates
        first = version * PROMPTS
        problems = [self._problems[(first + index) % len(self._problems)] for index in range(PROMPTS)]
        prompts = [self._policy.encode_prompt(problem.prompt, chat_template=False) for problem in problems]
        requests = [
            SamplingRequest(
                prompt, GROUP_SIZE, 1.0, LIMIT, seed=first + index, min_new_tokens=self._scenario.min_new_tokens
            )
            for index, prompt in enumerate(prompts)
        ]
        with self.meter.part("generation"):
            completions = dict(self._engine.generate(requests))
        groups = [
            self._group(first + index, version, prompt, problems[index], completions[index])
            for index, prompt in enumerate(prompts)
        ]
        samples = build_samples(groups, estimator=ESTIMATORS["grpo"], aggregation=token_mean)
        with self.meter.part("update"):
            stats = self._trainer.update(samples, version)
        assert stats.optimizer_steps == 1
        assert stats.recomputed_tokens == 0
        self.meter.end_step(time.process_time() - start)
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        self.meter.sampled([each.generated_tokens for each in rollouts], [each.reward for each in rollouts])

    def _group(self, key: int, version: int, prompt: list[int], problem, completions) -> Group:
        rollouts = tuple(
            Rollout(
                [*prompt, *completion.token_ids],
                [False] * len(prompt) + [True] * len(completion.token_ids),
                [0.0] * len(prompt) + completion.logprobs,
                self._scenario.reward(completion.text, problem.answer),
                version=version,
                truncated=completion.truncated,
                text=completion.text,
            )
            for completion in completions
        )
        request = GroupRequest(key, problem.prompt, key, GROUP_SIZE, 1.0, key, version, version)
        return Group(request, rollouts, outcome_of([rollout.reward for rollout in rollouts]))


class MeteredGRPOTrainer(trl.GRPOTrainer):
    """TRL's trainer with a clock around its parts."""

    meter: Meter
    first_batch: dict | None = None

    def _generate_single_turn(self, *args, **kwargs):
        with self.meter.part("generation"):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        if torch.is_grad_enabled():
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)
        with self.meter.part("recomputation"):
            return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def compute_loss(self, model, inputs, *args, **kwargs):
        if self.first_batch is None:
            self.first_batch = {name: value.clone() for name, value in inputs.items() if torch.is_tensor(value)}
        with self.meter.part("update"):
            return super().compute_loss(model, inputs, *args, **kwargs)

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        backward = self.accelerator.backward

        def timed(*args, **kwargs) -> None:
            with self.meter.part("update"):
                backward(*args, **kwargs)

        self.accelerator.backward = timed


class InTurn(TrainerCallback):
    """After each step of TRL's, which ends its clock, one of ours; then TRL's clock starts again."""

    def __init__(self, meter: Meter, ours: Ours) -> None:
        self.meter, self.ours = meter, ours

    def on_train_begin(self, *args, **kwargs) -> None:
        self.start = time.process_time()

    def on_pre_optimizer_step(self, *args, **kwargs) -> None:
        self.optimizer_start = time.process_time()

    def on_optimizer_step(self, *args, **kwargs) -> None:
        running = self.meter.running
        running["update"] = running.get("update", 0.0) + time.process_time() - self.optimizer_start

    def on_step_end(self, *args, **kwargs) -> None:
        self.meter.end_step(time.process_time() - self.start)
        self.ours.step()
        self.start = time.process_time()


def make_trl(model, tokenizer, problems, scenario: Scenario, steps: int, rows: int, folder: Path):
    meter = Meter()

    def reward(completions, completion_ids, answer, **columns):
        rewards = [scenario.reward(text, right) for text, right in zip(completions, answer, strict=True)]
        meter.sampled([len(ids) for ids in completion_ids], rewards)
        return rewards

    parts = PROMPTS * GROUP_SIZE // rows
    config = trl.GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=parts,
        steps_per_generation=parts,
        num_generations=GROUP_SIZE,
        max_completion_length=LIMIT,
        generation_kwargs={"min_new_tokens": scenario.min_new_tokens} if scenario.min_new_tokens else None,
        max_steps=steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        temperature=1.0,
        beta=0.0,
        loss_type="dapo",
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    MeteredGRPOTrainer.meter = meter
    data = Dataset.from_list([{"prompt": problem.prompt, "answer": problem.answer} for problem in problems])
    trainer = MeteredGRPOTrainer(
        model=model, reward_funcs=reward, args=config, train_dataset=data, processing_class=tokenizer
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    return trainer


def gradient_agreement(trainer: MeteredGRPOTrainer, model, tokenizer, rows: int) -> float | None:
    """Relative difference of the gradient norms that both sides find for TRL's first batch; None if it was cut up."""
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
                prompt + completion, mask, [0.0] * len(mask), advantages, 1.0, weight, prompt_key=row // GROUP_SIZE
            )
        )
    ours = Trainer(Policy(model, tokenizer), TrainTable(steps=1, warmup_steps=0)).update(samples, 0).grad_norm
    theirs = trainer.state.log_history[0]["grad_norm"]
    print(ours,theirs,trainer.state.log_history[0])
    return abs(ours - theirs) / theirs


def useful_gflop(summary: dict[str, float], prompt_length: float, weights: int) -> float:
    """Matrix products that a step cannot do without, whoever makes it: 2 per weight and token to sample, 6 to train.

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


def run(scenario: Scenario, options: argparse.Namespace) -> dict[str, object]:
    tokenizer = addition.make_tokenizer()
    model = addition.make_model(tokenizer, options.seed)
    problems = addition.make_problems(512, options.seed)
    addition.warm_start(
        model, tokenizer, steps=scenario.warm_start_steps, thinking=options.thinking, limit=LIMIT, seed=options.seed
    )
    start_model = copy.deepcopy(model)
    ours = Ours(copy.deepcopy(model), tokenizer, problems, scenario)
    trainer = make_trl(model, tokenizer, problems, scenario, options.steps, options.trl_rows, options.folder)
    trainer.add_callback(InTurn(trainer.meter, ours))
    trainer.train()
    result: dict[str, object] = {"scenario": scenario.name, "goal": scenario.goal}
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


def show(result: dict[str, object]) -> None:
    trl_side, ours = result["trl"], result["rekindle"]
    print(
        f"\n{result['scenario']}: {PROMPTS} prompts x {GROUP_SIZE}, at most {LIMIT} new tokens, CPU ms per optimizer step"
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
    print(
        f"matmul peak {result['matmul_peak_gflops']:.0f} GFLOP/s; {result['speedup']:.2f}x, goal {result['goal']}x {verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", choices=[*SCENARIOS, "both"], default="both")
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps of each side")
    parser.add_argument("--warmup", type=int, default=3, help="first steps left out of the medians")
    parser.add_argument("--thinking", type=float, default=4.0, help="mean number of dots before a demonstrated answer")
    parser.add_argument("--trl-rows", type=int, default=PROMPTS * GROUP_SIZE, help="TRL's per_device_train_batch_size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, default=Path("trl_output"), help="TRL's output_dir; nothing is saved in it"
    )
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
