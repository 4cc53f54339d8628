"""A trial before a run: a few rollouts and one update, what they show, and what the run would cost.

The policy that is trained for the measurement is thrown away. Nothing is written.
"""

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rekindle.config import Config
from rekindle.config.facts import fewest_and_most, plays_itself
from rekindle.notices import Say
from rekindle.planning.signal import counted_share
from rekindle.types import Rollout, Task, TrainingSample, UserError

if TYPE_CHECKING:
    from rekindle.assembly.bench import Workbench
    from rekindle.given import Given

__all__ = ["Trial", "TrialResult", "Written", "signal_share"]

SEED = 1_000_033
"""Seed of the rollouts of a trial: not those of a run."""


@dataclass(frozen=True, slots=True)
class Written:
    """A rollout as people read it.

    Attributes:
        task: The task.
        prompt: The prompt as the model sees it, control tokens included.
        completion: What the policy wrote, and what it was answered.
        rollout: The rollout.
    """

    task: Task
    prompt: str
    completion: str
    rollout: Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What a trial showed.

    Attributes:
        config: The configuration with what its defaults leave to the tasks.
        written: Every rollout, by task.
        successes: Successful rollouts of each task.
        samples: Rollouts of each task.
        seconds: Wall seconds by phase: generate, verify, train.
        peak_bytes: Most memory that was in use.
        held_out: Number of held-out prompts.
        failed: Tasks that could not be played.
    """

    config: Config
    written: Sequence[Sequence[Written]]
    successes: Sequence[int]
    samples: int
    seconds: Mapping[str, float]
    peak_bytes: int
    held_out: int
    failed: int = 0

    @property
    def rollouts(self) -> list[Rollout]:
        """All rollouts."""
        return [one.rollout for group in self.written for one in group]


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of a configuration.

    Attributes:
        config: The complete configuration.
        given: Parts that a script made itself.
        say: Shows a line to the user.
        measure: Rollouts to make.
    """

    config: Config
    given: "Given"
    say: Say
    measure: int = 64

    def run(self) -> TrialResult:
        """Play, update once, and return what was seen.

        Raises:
            UserError: The configuration cannot be tried.
        """
        from rekindle.assembly import workbench
        from rekindle.preflight import checked_parts
        from rekindle.warm_starts.stage import start_model

        config = self.config
        if plays_itself(config):
            raise UserError(
                'task.source = "self_play" invents its questions in the run, so there are none to try; begin with a '
                "run of a few steps (train.steps), and look at its report"
            )
        tasks, policy = checked_parts(config, self.given, self.say)
        self.say(policy.loading)
        start = start_model(config, self.say, tasks, policy.source)
        with workbench(config, start, self.say, tasks=tasks, given=self.given) as bench:
            return self._measured(bench)

    def _measured(self, bench: "Workbench") -> TrialResult:
        from rekindle.evaluation.evaluator import evaluate

        config, (tasks, samples) = bench.config, self._chosen(bench)
        self.say(f"rolling out {len(tasks)} prompts x {samples} ...")
        environment, played = bench.environment(tasks), list[Sequence[Rollout]]()
        evaluation = evaluate(
            environment,
            tasks,
            samples=samples,
            temperature=config.train.temperature,
            seed=SEED,
            success_at=config.task.success_threshold,
            note=lambda _, rollouts: played.append(rollouts),
        )
        self.say("measuring an update ...")
        seconds = {**environment.seconds, "train": _update_seconds(bench, played)}
        groups = [found for found in zip(tasks, played, evaluation.successes, strict=True) if found[1]]
        return TrialResult(
            config=config,
            written=[[_written(bench, task, one) for one in group] for task, group, _ in groups],
            successes=[successes for *_, successes in groups],
            samples=samples,
            seconds=seconds,
            peak_bytes=_peak_bytes(bench),
            held_out=len(bench.tasks.held_out),
            failed=len(tasks) - len(groups),
        )

    def _chosen(self, bench: "Workbench") -> tuple[Sequence[Task], int]:
        """Tasks of the pool, evenly spread, and rollouts of each."""
        from rekindle.records.rollout_samples import spread

        pool = bench.tasks.pool
        samples = min(max(2, fewest_and_most(bench.config)[1]), self.measure)
        return [pool[row] for row in spread(len(pool), max(1, self.measure // samples))], samples


def _update_seconds(bench: "Workbench", groups: Sequence[Sequence[Rollout]]) -> float:
    """Wall seconds of one update in which every rollout has an advantage."""
    from rekindle.training.schedules import Decay
    from rekindle.training.trainer import Trainer, UpdateSettings

    config = bench.config
    kept = [(key, one) for key, group in enumerate(groups) for one in group if one.generated_tokens]
    if not kept:
        return 0.0
    samples = [
        TrainingSample(
            token_ids=one.token_ids,
            loss_mask=one.loss_mask,
            logprobs=one.logprobs,
            advantages=[(-1.0) ** index * sampled for sampled in one.loss_mask],
            temperature=one.temperature,
            weight=1.0 / len(kept) / one.generated_tokens,
            prompt_key=key,
        )
        for index, (key, one) in enumerate(kept)
    ]
    settings = UpdateSettings(config.train.learning_rate, config.train.seed, config.loss, config.optimizer)
    reference = bench.policy.clone_frozen() if config.loss.kl_coefficient > 0 else None
    trainer = Trainer(bench.policy, settings, decay=Decay(config.optimizer.warmup_steps, 1), reference=reference)
    began = time.perf_counter()
    trainer.update(samples, 0)
    return time.perf_counter() - began


def _written(bench: "Workbench", task: Task, rollout: Rollout) -> Written:
    prompt = bench.policy.tokenizer.decode(list(rollout.token_ids[: rollout.prompt_length]))
    return Written(task, prompt, rollout.transcript or rollout.text, rollout)


def _peak_bytes(bench: "Workbench") -> int:
    """Most memory of the accelerator, or of the process."""
    import torch

    if bench.policy.device.type == "cuda":
        return torch.cuda.max_memory_allocated(bench.policy.device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def signal_share(result: TrialResult, size: int) -> float | None:
    """See ``planning.signal.counted_share``, of the trial's prompts."""
    return counted_share(result.successes, result.samples, size)
