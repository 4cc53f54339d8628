"""The two sides of `trl_speed.py`, with timers around their parts."""

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import transformers
import trl
from datasets import Dataset
from transformers import TrainerCallback

from rekindle.config.tables.credit import LossTable
from rekindle.config.tables.training import OptimizerTable
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.learning.aggregation import token_mean
from rekindle.learning.credit import Credit
from rekindle.learning.estimators import ESTIMATORS
from rekindle.learning.samples import build_samples
from rekindle.models.policy import Policy
from rekindle.training.trainer import Trainer, UpdateSettings
from rekindle.types import Group, GroupRequest, Rollout, outcome_of

__all__ = [
    "PARTS",
    "InTurn",
    "Meter",
    "MeteredGRPOTrainer",
    "Ours",
    "Scenario",
    "make_trl",
]

LEARNING_RATE = 1e-6  # small, so that lengths and pass rates stay as the warm start made them
PARTS = ("generation", "recomputation", "update", "rest")


@dataclass(frozen=True)
class Scenario:
    """A workload, and the target ratio of CPU times on a CPU with AVX512."""

    name: str
    min_new_tokens: int
    warm_start_steps: int
    reward: Callable[[str, str], float]
    goal: float
    prompts: int = 32
    group_size: int = 8
    limit: int = 32

    @property
    def rows(self) -> int:
        """Rollouts of a step."""
        return self.prompts * self.group_size


@dataclass
class Meter:
    """CPU seconds of one side by part and step, and statistics of its samples."""

    scenario: Scenario
    steps: list[dict[str, float]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)

    @contextmanager
    def part(self, name: str):
        """Add the time inside the context to a part of the step."""
        start = time.process_time()
        yield
        self.running[name] = self.running.get(name, 0.0) + time.process_time() - start

    def end_step(self, total: float) -> None:
        """End a step of `total` seconds; time outside all parts is the rest."""
        parts = {name: self.running.get(name, 0.0) for name in PARTS[:-1]}
        self.steps.append(parts | {"rest": total - sum(parts.values()), "step": total})
        self.running = {}

    def sampled(self, lengths: list[int], rewards: list[float]) -> None:
        """Record the completions of a step, group by group."""
        self.lengths += lengths
        size = self.scenario.group_size
        groups = [rewards[start : start + size] for start in range(0, len(rewards), size)]
        self.silent += [max(group) == min(group) for group in groups]

    def summary(self, skip: int) -> dict[str, float]:
        """Medians without the first `skip` steps."""
        kept = self.steps[skip:]
        result = {f"{name}_ms": 1000 * statistics.median(step[name] for step in kept) for name in (*PARTS, "step")}
        rows = self.scenario.rows
        lengths, silent = self.lengths[skip * rows :], self.silent[skip * self.scenario.prompts :]
        result["mean_length"] = statistics.fmean(lengths)
        result["longest"] = max(lengths)
        result["groups_without_signal"] = statistics.fmean(silent)
        result["tokens_per_second"] = result["mean_length"] * rows / (result["step_ms"] / 1000)
        return result


class Ours:
    """Our training loop without metrics and files: engine, rewards, samples, update."""

    def __init__(self, model, tokenizer, problems, scenario: Scenario) -> None:
        self.meter = Meter(scenario)
        self._problems = problems
        self._scenario = scenario
        self._policy = Policy(model, tokenizer)
        self._engine = TorchEngine(self._policy, max_rows=scenario.rows)
        settings = UpdateSettings(LEARNING_RATE, 0, LossTable(), OptimizerTable(warmup_steps=0))
        self._trainer = Trainer(self._policy, settings)

    def step(self) -> None:
        """Make one optimizer step on the next problems."""
        start = time.process_time()
        version, scenario = self._trainer.updates, self._scenario
        first = version * scenario.prompts
        problems = [self._problems[(first + index) % len(self._problems)] for index in range(scenario.prompts)]
        prompts = [self._policy.encode_prompt(problem.prompt, chat_template=False) for problem in problems]
        requests = [
            SamplingRequest(
                prompt,
                scenario.group_size,
                1.0,
                scenario.limit,
                seed=first + index,
                min_new_tokens=scenario.min_new_tokens,
            )
            for index, prompt in enumerate(prompts)
        ]
        with self.meter.part("generation"):
            completions = dict(self._engine.generate(requests))
        groups = [
            self._group(first + index, version, prompt, problems[index], completions[index])
            for index, prompt in enumerate(prompts)
        ]
        samples = build_samples(groups, Credit(ESTIMATORS["grpo"], token_mean))
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
                token_ids=[*prompt, *completion.token_ids],
                loss_mask=[False] * len(prompt) + [True] * len(completion.token_ids),
                logprobs=[0.0] * len(prompt) + completion.logprobs,
                reward=self._scenario.reward(completion.text, problem.answer),
                version=version,
                truncated=completion.truncated,
                text=completion.text,
            )
            for completion in completions
        )
        request = GroupRequest(
            id=key,
            task_id=problem.prompt,
            row=key,
            n=self._scenario.group_size,
            temperature=1.0,
            seed=key,
            version=version,
            step=version,
        )
        return Group(request=request, rollouts=rollouts, outcome=outcome_of([rollout.reward for rollout in rollouts]))


class MeteredGRPOTrainer(trl.GRPOTrainer):
    """TRL's trainer with timers around its parts."""

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

    def compute_loss(self, model, inputs, *args, **kwargs):  # noqa: D102
        if self.first_batch is None:
            self.first_batch = {name: value.clone() for name, value in inputs.items() if torch.is_tensor(value)}
        with self.meter.part("update"):
            return super().compute_loss(model, inputs, *args, **kwargs)

    def create_accelerator_and_postprocess(self) -> None:  # noqa: D102
        super().create_accelerator_and_postprocess()
        backward = self.accelerator.backward

        def timed(*args, **kwargs) -> None:
            with self.meter.part("update"):
                backward(*args, **kwargs)

        self.accelerator.backward = timed


class InTurn(TrainerCallback):
    """Runs one step of ours after each step of TRL's, outside TRL's timer."""

    def __init__(self, meter: Meter, ours: Ours) -> None:
        self.meter, self.ours = meter, ours

    def on_train_begin(self, *args, **kwargs) -> None:  # noqa: D102
        self.start = time.process_time()

    def on_pre_optimizer_step(self, *args, **kwargs) -> None:  # noqa: D102
        self.optimizer_start = time.process_time()

    def on_optimizer_step(self, *args, **kwargs) -> None:  # noqa: D102
        running = self.meter.running
        running["update"] = running.get("update", 0.0) + time.process_time() - self.optimizer_start

    def on_step_end(self, *args, **kwargs) -> None:  # noqa: D102
        self.meter.end_step(time.process_time() - self.start)
        self.ours.step()
        self.start = time.process_time()


def make_trl(model, tokenizer, problems, scenario: Scenario, steps: int, rows: int, folder: str):
    meter = Meter(scenario)

    def reward(completions, completion_ids, answer, **columns):
        rewards = [scenario.reward(text, right) for text, right in zip(completions, answer, strict=True)]
        meter.sampled([len(ids) for ids in completion_ids], rewards)
        return rewards

    parts = scenario.rows // rows
    config = trl.GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=parts,
        steps_per_generation=parts,
        num_generations=scenario.group_size,
        max_completion_length=scenario.limit,
        generation_kwargs={"min_new_tokens": scenario.min_new_tokens} if scenario.min_new_tokens else None,
        max_steps=steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        temperature=1.0,
        beta=0.0,
        loss_type="dapo",
        bf16=False,  # the model's own type is computed in
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
