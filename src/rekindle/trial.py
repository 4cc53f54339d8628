"""A trial before a run: a few rollouts and one update, what they show, and what the run would cost.

The policy that is trained for the measurement is thrown away. Nothing is written.
"""

import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rekindle.config import Config
from rekindle.config.facts import fewest_and_most
from rekindle.notices import Say
from rekindle.types import GroupRequest, Rollout, Task, UserError

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
        written: Every rollout, by task.
        successes: Successful rollouts of each task.
        samples: Rollouts of each task.
        seconds: Wall seconds by phase: generate, verify, train.
        trained_rollouts: Rollouts of the measured update.
        peak_bytes: Most memory that was in use.
        held_out: Number of held-out prompts.
        failed: Tasks that could not be played.
    """

    written: Sequence[Sequence[Written]]
    successes: Sequence[int]
    samples: int
    seconds: Mapping[str, float]
    trained_rollouts: int
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
        seconds: Filled in while it runs.
    """

    config: Config
    given: "Given"
    say: Say
    measure: int = 64
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> TrialResult:
        """Play, update once, and return what was seen.

        Raises:
            UserError: The configuration cannot be tried.
        """
        from rekindle.assembly import workbench
        from rekindle.config.facts import plays_itself
        from rekindle.preflight import check_retriever, check_rewards, check_training, policy_files, task_set
        from rekindle.warm_starts.stage import start_model

        config = self.config
        if plays_itself(config):
            raise UserError(
                'task.source = "self_play" invents its questions in the run, so there are none to try; begin with a '
                "run of a few steps (train.steps), and look at its report"
            )
        policy = policy_files(config, None, self.say)
        if not self.given.retrievers:
            check_retriever(config)
        tasks = self.given.tasks or task_set(config, self.say)
        check_rewards(config, tasks, self.given.rewards)
        check_training(config, tasks)
        self.say(policy.loading)
        start = start_model(config, self.say, tasks, policy.source)
        with workbench(config, start, self.say, tasks=tasks, given=self.given) as bench:
            return self._measured(bench)

    def _measured(self, bench: "Workbench") -> TrialResult:
        tasks, samples = self._chosen(bench)
        self.say(f"rolling out {len(tasks)} prompts x {samples} ...")
        environment = bench.environment(tasks)
        requests = [
            GroupRequest(
                id=row, task_id=task.id, row=row, n=samples, temperature=bench.config.train.temperature,
                seed=SEED + row, version=0, step=0,
            )
            for row, task in enumerate(tasks)
        ]  # fmt: skip
        played = {name: rollouts for name, rollouts in environment.play(requests) if rollouts is not None}
        self.seconds.update(environment.seconds)
        self.say("measuring an update ...")
        trained = self._update(bench, [one for group in played.values() for one in group])
        at = bench.config.task.success_threshold
        groups = [(tasks[row], played[row]) for row in sorted(played)]
        return TrialResult(
            written=[[_written(bench, task, one) for one in group] for task, group in groups],
            successes=[sum(one.reward >= at for one in group) for _, group in groups],
            samples=samples,
            seconds=dict(self.seconds),
            trained_rollouts=trained,
            peak_bytes=_peak_bytes(bench),
            held_out=len(bench.tasks.held_out),
            failed=len(tasks) - len(played),
        )

    def _chosen(self, bench: "Workbench") -> tuple[Sequence[Task], int]:
        """Tasks of the pool, evenly spread, and rollouts of each."""
        pool = bench.tasks.pool
        samples = min(max(2, fewest_and_most(bench.config)[1]), self.measure)
        count = min(len(pool), max(1, self.measure // samples))
        return [pool[index * len(pool) // count] for index in range(count)], samples

    def _update(self, bench: "Workbench", rollouts: Sequence[Rollout]) -> int:
        """Make one update in which every rollout has an advantage; return their number."""
        from rekindle.training.trainer import Trainer, UpdateSettings
        from rekindle.types import TrainingSample

        config, kept = bench.config, [one for one in rollouts if one.generated_tokens]
        if not kept:
            return 0
        samples = [
            TrainingSample(
                token_ids=one.token_ids,
                loss_mask=one.loss_mask,
                logprobs=one.logprobs,
                advantages=[(-1.0) ** index * sampled for sampled in one.loss_mask],
                temperature=one.temperature,
                weight=1.0 / len(kept) / one.generated_tokens,
                prompt_key=0,
            )
            for index, one in enumerate(kept)
        ]
        settings = UpdateSettings(config.train.learning_rate, config.train.seed, config.loss, config.optimizer)
        reference = bench.policy.clone_frozen() if config.loss.kl_coefficient > 0 else None
        trainer = Trainer(bench.policy, settings, total_updates=None, reference=reference)
        began = time.perf_counter()
        trainer.update(samples, 0)
        self.seconds["train"] = time.perf_counter() - began
        return len(kept)


def _written(bench: "Workbench", task: Task, rollout: Rollout) -> Written:
    tokens = rollout.token_ids
    before = rollout.loss_mask.index(True) if rollout.generated_tokens else len(tokens)
    prompt = bench.policy.tokenizer.decode(list(tokens[:before]))
    return Written(task, prompt, rollout.transcript or rollout.text, rollout)


def _peak_bytes(bench: "Workbench") -> int:
    """Most memory of the accelerator, or of the process."""
    import torch

    if bench.policy.device.type == "cuda":
        return torch.cuda.max_memory_allocated(bench.policy.device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def signal_share(result: TrialResult, size: int) -> float | None:
    """Expected share of groups of this size with both right and wrong rollouts, without bias.

    Of k samples of a prompt, c right, a random n have only right ones with C(c, n) / C(k, n). None where there are
    fewer than ``size`` samples of a prompt.
    """
    k = result.samples
    if not 1 < size <= k or not result.successes:
        return None
    every = math.comb(k, size)
    shares = [1 - (math.comb(right, size) + math.comb(k - right, size)) / every for right in result.successes]
    return sum(shares) / len(shares)
