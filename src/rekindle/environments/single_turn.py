"""Single-turn environment: the policy completes the prompt, the verifier judges the text."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rekindle.engines.engine import Completion, Engine, SamplingLimits
from rekindle.types import GroupRequest, Rollout, Task
from rekindle.verifiers.verifier import Verdict, Verifier, Written, draw_of, judged

__all__ = ["SingleTurn"]


class SingleTurn:
    """Environment of one turn per rollout; a request's ``row`` is the index of its task.

    Args:
        tasks: The prompts, in the order of the scheduler's history.
        encode: A task's prompt, a text or chat messages -> token ids.
        engine: Samples the completions.
        verifier: Judges the completions.
        reward: A verdict's score -> reward.
        limits: Limits of every completion.
        thought: Token ids of a prompt -> the mark of a thought that the prompt begins, or ``""``; a completion is
            judged behind it (see ``completions.opened_thought``).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        encode: Callable[..., Sequence[int]],
        engine: Engine,
        verifier: Verifier,
        reward: Callable[[float], float],
        limits: SamplingLimits,
        thought: Callable[[Sequence[int]], str] = lambda prompt: "",
    ) -> None:
        self._tasks, self._encode, self._engine = tasks, encode, engine
        self._verifier, self._reward, self._limits, self._thought = verifier, reward, limits, thought
        self._seconds = {"generate": 0.0, "verify": 0.0}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent generating and verifying."""
        return self._seconds

    @property
    def counts(self) -> Mapping[str, int]:
        """Empty: every rollout has one turn."""
        return {}

    def room(self, task: Task) -> int:
        """Tokens of the context that are left after the prompt of a task."""
        return self._limits.context - len(self._prompt(task))

    def _prompt(self, task: Task) -> Sequence[int]:
        return self._encode(task.messages or task.prompt)

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Sample all completions, then judge them; a request whose prompt leaves no room for an answer fails."""
        prompts = [self._prompt(self._tasks[request.row]) for request in requests]
        fits = [len(prompt) < self._limits.context for prompt in prompts]
        yield from ((request.id, None) for request, fit in zip(requests, fits, strict=True) if not fit)
        playable = [(request, prompt) for request, prompt, fit in zip(requests, prompts, fits, strict=True) if fit]
        completions = self._complete(playable)
        verdicts = iter(self._judge(playable, completions))
        for (request, prompt), group in zip(playable, completions, strict=True):
            yield request.id, [self._rollout(request, prompt, one, next(verdicts)) for one in group]

    def _complete(self, playable: Sequence[tuple[GroupRequest, Sequence[int]]]) -> list[list[Completion]]:
        began = time.perf_counter()
        orders = [
            self._limits.request(prompt, n=request.n, temperature=request.temperature, seed=request.seed)
            for request, prompt in playable
        ]
        completions = [group for _, group in sorted(self._engine.generate(orders), key=lambda one: one[0])]
        self._seconds["generate"] += time.perf_counter() - began
        return completions

    def _judge(
        self, playable: Sequence[tuple[GroupRequest, Sequence[int]]], completions: Sequence[Sequence[Completion]]
    ) -> list[Verdict]:
        began = time.perf_counter()
        answers: list[tuple[Task, str]] = []
        written: list[Written] = []
        for (request, prompt), group in zip(playable, completions, strict=True):
            thought = self._thought(prompt)
            answers += [(self._tasks[request.row], thought + one.text) for one in group]
            written += [
                Written(one.text, one.token_ids, draw_of(request.seed, place)) for place, one in enumerate(group)
            ]
        verdicts = judged(self._verifier, answers, written)
        self._seconds["verify"] += time.perf_counter() - began
        return verdicts

    def _rollout(self, request: GroupRequest, prompt: Sequence[int], one: Completion, verdict: Verdict) -> Rollout:
        prompt_length, sampled = len(prompt), len(one.token_ids)
        return Rollout(
            token_ids=[*prompt, *one.token_ids],
            loss_mask=[False] * prompt_length + [True] * sampled,
            logprobs=[0.0] * prompt_length + one.logprobs,
            reward=self._reward(verdict.score),
            temperature=request.temperature,
            version=request.version,
            truncated=one.truncated,
            text=one.text,
            failure=verdict.failure,
            void=verdict.void,
            rewards=verdict.parts,
            audits=verdict.audits,
        )
