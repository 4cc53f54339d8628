"""Health of a run: what goes wrong with real models, said once and at once, with the likely cause.

=====================================  ===========================================================
a high learning rate for all weights   before the first step
a warm-up longer than the run          before the first step
many truncated completions             a quarter of at least 64 rollouts
a fallen greedy accuracy               below 0.7 of the start, by more than the noise of the prompts
nothing was ever solved                no success in the first 128 rollouts
right answers that count as wrong      a tenth of the completions of the first evaluation
reward and audit part                  see ``audit_watch``
a dead reward function                 no verdict on any rollout of a step, or of an evaluation; it ends the run
=====================================  ===========================================================
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rekindle.config import Config
from rekindle.config.facts import judges, longest_run, plays_search, trains_all_weights
from rekindle.records.audit_watch import AuditWatch
from rekindle.scheduling.pools import Pool
from rekindle.scheduling.starvation import STARVATION_STEPS
from rekindle.types import GroupRequest, Rollout
from rekindle.verifiers.mentions import mentions

__all__ = ["MENTIONED", "TRUNCATED_SHARE", "HealthWatch", "starving"]

HIGH_RATE = 1e-5
TRUNCATED_SHARE = 0.25
TRUNCATED_AFTER = 64
ENDLESS = 0.9
"""Share of truncated completions from which the model does not end its answers at all."""
FALLEN = 0.7
NOISE = 2.0
"""Standard errors of the difference of two accuracies."""
GAIN = 0.1
"""Rise of the mean reward with which a fall of the accuracy means another way to the reward."""
UNSOLVED_AFTER = 128
MOSTLY = 0.5
MENTIONED = 0.1
"""Share of wrong completions with the reference answer in them from which the verifier is doubted."""


@dataclass(slots=True)
class _Counts:
    """Counts of rollouts."""

    rollouts: int = 0
    truncated: int = 0
    empty: int = 0
    failures: int = 0
    mentions: int = 0

    def share(self, name: str) -> float:
        """A count as a share of the rollouts."""
        count: int = getattr(self, name)
        return count / max(1, self.rollouts)


class HealthWatch:
    """Watch over a run; each kind of warning is given once, also across resumes.

    Args:
        config: The complete configuration.
        held_out: Number of held-out prompts.
        answers: Row of a task -> its accepted answers; empty where they are not known.
        trouble: Returns the last problem of a reward function as a sentence; "" where there was none.
    """

    def __init__(
        self,
        config: Config,
        held_out: int = 0,
        answers: Callable[[int], Sequence[str]] = lambda row: (),
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        self._config, self._held_out, self._answers, self._trouble = config, held_out, answers, trouble
        self._audits = AuditWatch(config.task.success_threshold)
        self._said: set[str] = set()
        self._window = _Counts()
        self._unsolved: _Counts | None = _Counts()
        """Counts while nothing was solved; None afterwards."""
        self._first_greedy: float | None = None
        self._first_reward: float | None = None
        self._start: _Counts | None = _Counts()
        """Counts of the first evaluation; None afterwards."""

    def note_start(self, answers: Sequence[str], rollouts: Sequence[Rollout]) -> None:
        """Count the rollouts of a held-out prompt in the first evaluation; later ones are ignored."""
        if self._start is None:
            return
        for one in rollouts:
            self._start.rollouts += not one.void
            wrong = not one.void and one.failure is None and one.reward < self._config.task.success_threshold
            self._start.mentions += wrong and mentions(one.text, answers)

    def begin(self) -> Iterator[str]:
        """Warnings of the settings, before the first step of a new run."""
        rate, warm_up, length = (
            self._config.train.learning_rate,
            self._config.optimizer.warmup_steps,
            longest_run(self._config),
        )
        if trains_all_weights(self._config) and rate > HIGH_RATE:
            yield (
                f"train.learning_rate = {rate:g} is high where all weights of a pretrained model are trained, and "
                f"above {HIGH_RATE:g} often ruins it; set it to 1e-6, or watch the greedy accuracy on held-out prompts"
            )
        if length is not None and warm_up > length:
            yield (
                f"optimizer.warmup_steps = {warm_up} is longer than the run of at most {length} updates, so the "
                f"learning rate never reaches train.learning_rate; set it to {length // 10}"
            )

    def note(self, request: GroupRequest, rollouts: Sequence[Rollout]) -> None:
        """Count the rollouts of a request; void ones are no evidence about the policy."""
        self._audits.note(request, rollouts)
        judged = [one for one in rollouts if not one.void]
        self._window.rollouts += len(judged)
        self._window.truncated += sum(one.truncated for one in judged)
        if self._unsolved is None:
            return
        if any(one.reward >= self._config.task.success_threshold for one in judged):
            self._unsolved = None
            return
        answers = self._answers(request.row)
        counts = self._unsolved
        counts.rollouts += len(judged)
        for one in judged:
            counts.truncated += one.truncated
            counts.empty += not one.text.strip()
            counts.failures += one.failure is not None
            counts.mentions += mentions(one.text, answers)

    def step(self, metrics: Mapping[str, Any]) -> Iterator[str]:
        """Warnings of a finished step, its evaluation included.

        Args:
            metrics: The line of ``metrics.jsonl``.
        """
        if self._first_reward is None:
            self._first_reward = metrics.get("reward/mean")
        found = {
            "misread": self._misread(),
            "truncated": self._truncated(),
            "unsolved": self._never_solved(),
            "greedy": self._fallen(metrics),
        }
        for kind, text in found.items():
            if text and kind not in self._said:
                self._said.add(kind)
                yield text
        yield from self._audits.step()

    def _misread(self) -> str | None:
        """Warning of a verifier that does not accept answers that look right."""
        counts, self._start = self._start, None
        if counts is None or counts.share("mentions") <= MENTIONED:
            return None
        return (
            f"{counts.mentions} of the {counts.rollouts} completions of the first evaluation contain the reference "
            f"answer and count as wrong, because {judges(self._config)} does not accept them as they are written; "
            "`rekindle try` shows them: say in the prompt how to answer, or choose another verifier"
        )

    def _truncated(self) -> str | None:
        if self._window.rollouts < TRUNCATED_AFTER:
            return None
        window, self._window = self._window, _Counts()
        share = window.share("truncated")
        if share <= TRUNCATED_SHARE:
            return None
        limit = f"engine.max_new_tokens = {self._config.engine.max_new_tokens}"
        if plays_search(self._config):
            cause = f"turns or tokens run out: raise search.max_turns or {limit}, or reserve search.answer_tokens"
        elif share >= ENDLESS:
            cause = (
                f"the policy does not end its answers: look for a missing end token or engine.stop, and raise {limit}"
            )
        else:
            cause = f"answers are longer than {limit}: raise it, or ask for shorter answers"
        return (
            f"{share:.0%} of the last {window.rollouts} completions are truncated, and count as wrong where the answer "
            f'is missing. Likely cause: {cause}; overlong.kind = "masked" leaves them out of the loss'
        )

    def _never_solved(self) -> str | None:
        counts = self._unsolved
        if counts is None or counts.rollouts < UNSOLVED_AFTER:
            return None
        return f"none of the first {counts.rollouts} rollouts was right. Likely cause: {self._cause(counts)}"

    def _cause(self, counts: _Counts) -> str:
        verifier = judges(self._config)
        if counts.share("failures") > MOSTLY:
            return f"the verifier: {counts.share('failures'):.0%} of them have no verdict ({verifier})"
        if counts.share("empty") > MOSTLY:
            return (
                f"the prompt format: {counts.share('empty'):.0%} of the completions are empty; look at the prompts in "
                "samples.jsonl (model.chat_template, model.system_prompt, engine.stop)"
            )
        if counts.share("truncated") > MOSTLY:
            limit = self._config.engine.max_new_tokens
            return (
                f"the length: {counts.share('truncated'):.0%} of the completions are truncated; raise "
                f"engine.max_new_tokens = {limit}, or ask for shorter answers"
            )
        if counts.share("mentions") > MENTIONED:
            return (
                f"the format of the answers: {counts.share('mentions'):.0%} of the completions contain the right "
                f"answer, and {verifier} does not accept it as it is written; look at samples.jsonl, say in the prompt "
                "how to answer, or choose another verifier"
            )
        return (
            "the difficulty: the completions end, and the right answer is in none or few of them; use easier prompts "
            "or a stronger model (samples.jsonl shows what it writes)"
        )

    def _fallen(self, metrics: Mapping[str, Any]) -> str | None:
        greedy = metrics.get("eval/greedy")
        if greedy is None:
            return None
        if self._first_greedy is None:
            self._first_greedy = greedy
            return None
        first = self._first_greedy
        variance = (first * (1 - first) + greedy * (1 - greedy)) / max(1, self._held_out)
        if greedy >= FALLEN * first or first - greedy <= NOISE * math.sqrt(variance):
            return None
        return (
            f"the greedy accuracy on held-out prompts fell from {first:.2f} to {greedy:.2f}. Likely cause: "
            f"{self._why_fallen(metrics)}; start again from the model, because later steps seldom mend it"
        )

    def _why_fallen(self, metrics: Mapping[str, Any]) -> str:
        rate, reward = self._config.train.learning_rate, metrics.get("reward/mean")
        if trains_all_weights(self._config) and rate > HIGH_RATE:
            return f"train.learning_rate = {rate:g}, which is high where all weights are trained"
        if (metrics.get("completion/truncated") or 0) > TRUNCATED_SHARE:
            return (
                f"the length: {metrics['completion/truncated']:.0%} of the completions of this step are truncated "
                f"(engine.max_new_tokens = {self._config.engine.max_new_tokens})"
            )
        first = self._first_reward
        if reward is not None and first is not None and reward - first > GAIN:
            return (
                f"the reward rose from {first:.2f} to {reward:.2f} all the same, so it is earned otherwise than by "
                "answers to new prompts; look at samples.jsonl, and at the verifier"
            )
        return f"too large steps (train.learning_rate = {rate:g}), or too many updates on few prompts"

    def dead(self, metrics: Mapping[str, Any]) -> str | None:
        """Why a run whose reward functions fail on everything ends, as a sentence; None: they do not.

        Args:
            metrics: Of a step, or of an evaluation.
        """
        if not (trouble := self._trouble()):
            return None
        rollouts, failed = metrics.get("rollouts"), metrics.get("eval/failed") or 0
        if rollouts and metrics["verify/failures"] >= rollouts:
            what = f"none of the {rollouts} rollouts of the step has a verdict"
        elif self._held_out and failed >= self._held_out:
            what = "no rollout of the evaluation has a verdict"
        else:
            return None
        return f"{what}: {trouble}; fix the function, and continue with --resume"

    def state_dict(self) -> dict[str, Any]:
        """State as JSON values."""
        return {
            "said": sorted(self._said),
            "window": asdict(self._window),
            "unsolved": self._unsolved and asdict(self._unsolved),
            "first_greedy": self._first_greedy,
            "first_reward": self._first_reward,
            "audits": self._audits.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore."""
        self._said, self._window = set(state["said"]), _Counts(**state["window"])
        self._unsolved = None if state["unsolved"] is None else _Counts(**state["unsolved"])
        self._first_greedy, self._first_reward = state["first_greedy"], state["first_reward"]
        self._start = None
        if "audits" in state:  # not in checkpoints of earlier versions
            self._audits.load_state_dict(state["audits"])


def starving(trained: float, wanted: int, pool: Pool) -> str:
    """Warning of a pool that begins to starve.

    Args:
        trained: Mean of trained groups of the last steps.
        wanted: Groups of a step.
        pool: The pool.
    """
    return (
        f"the pool is starving: the last {STARVATION_STEPS} steps trained on {trained:.0f} of {wanted} groups on "
        f"average, and of {pool.live} live prompts (pool of {len(pool.history)}) few still have signal; add prompts "
        "(task.pool_size) or raise pool.reset_below"
    )
