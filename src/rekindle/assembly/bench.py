"""The policy with everything that plays and judges it: what training, profiling and evaluation share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rekindle.config import Config
from rekindle.engines.protocol import Engine
from rekindle.environments.single_turn import SamplingLimits, SingleTurn
from rekindle.evaluation.evaluator import Evaluation, evaluate
from rekindle.models.policy import Policy
from rekindle.tasks.loading import TaskSet
from rekindle.types import Task
from rekindle.verifiers.protocol import Verifier
from rekindle.verifiers.rewards import reward

__all__ = ["EVALUATION_SEED", "Workbench"]

EVALUATION_SEED = 1_000_003


@dataclass(frozen=True, slots=True)
class Workbench:
    """A policy that can be played with: what training and evaluation share."""

    config: Config
    policy: Policy
    engine: Engine
    tasks: TaskSet
    verifier: Verifier
    directory: Path | None = None
    """Where the policy's weights came from."""

    def environment(self, tasks: Sequence[Task]) -> SingleTurn:
        """An environment over ``tasks`` with the policy as it is."""
        table, model, sampling = self.config.task, self.config.model, self.config.engine
        return SingleTurn(
            tasks,
            encode=lambda text: self.policy.encode_prompt(
                text, chat_template=model.chat_template, system_prompt=model.system_prompt
            ),
            engine=self.engine,
            verifier=self.verifier,
            reward=lambda score: reward(score, table.binary_rewards, table.success_threshold),
            limits=SamplingLimits(
                max_new_tokens=sampling.max_new_tokens,
                context=self.policy.max_length,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                stop=sampling.stop,
            ),
        )

    def evaluate(self, samples: int, temperature: float) -> Evaluation:
        """Play the held-out prompts."""
        return evaluate(
            self.environment(self.tasks.held_out),
            self.tasks.held_out,
            samples=samples,
            temperature=temperature,
            seed=EVALUATION_SEED,
            success_at=self.config.task.success_threshold,
        )

    def evaluation_metrics(self) -> dict[str, float]:
        """``eval/accuracy`` (sampled at temperature 1) and ``eval/greedy``."""
        sampled = self.evaluate(self.config.eval.samples, temperature=1.0)
        return {"eval/accuracy": sampled.accuracy, "eval/greedy": self.evaluate(1, temperature=0.0).accuracy}
