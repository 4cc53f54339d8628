"""Single-turn environment: the policy completes the prompt, the verifier judges the text."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from rekindle.engines.engine import Engine, Partner, SamplingLimits
from rekindle.environments.conversational import Name, Start
from rekindle.environments.one_turn import Answer, OneTurn
from rekindle.types import GroupRequest, Rollout, Task
from rekindle.verifiers.verifier import Verdict, Verifier, Written, draw_of, judged

__all__ = ["SingleTurn"]


class SingleTurn:
    """Environment of one turn per rollout (also ``Conversational``); a request's ``row`` is the index of its task.

    Args:
        tasks: The prompts, in the order of the scheduler's history.
        encode: A task's prompt, a text or chat messages -> token ids.
        engine: Samples the completions of ``play``; None: it is not called.
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
        engine: Engine | None,
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
        prompt = self._prompt(task)
        return self._limits.context_of(len(prompt)) - len(prompt)

    def _prompt(self, task: Task) -> Sequence[int]:
        return self._encode(task.messages or task.prompt)

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Sample all completions, then judge them; a request whose prompt leaves no room for an answer fails."""
        starts = [(request.id, self.start(self._tasks[request.row], request)) for request in requests]
        yield from ((request_id, None) for request_id, start in starts if start is None)
        playable = [(request_id, start) for request_id, start in starts if start is not None]
        groups = self._complete([start for _, start in playable])
        rollouts = iter(self.finish([one for group in groups for one in group]))
        for (request_id, _), group in zip(playable, groups, strict=True):
            yield request_id, [next(rollouts) for _ in group]

    def start(self, task: Task, request: GroupRequest) -> Start[Answer] | None:
        """See ``Conversational.start``."""
        prompt = self._prompt(task)
        if len(prompt) >= self._limits.context_of(len(prompt)):
            return None
        sampling = self._limits.request(prompt, n=request.n, temperature=request.temperature, seed=request.seed)
        return Start(sampling, lambda place: Answer(request, task, prompt, place))

    def partner(self, held: Mapping[Name, Answer]) -> Partner:
        """See ``Conversational.partner``."""
        return OneTurn(held)

    def finish(self, held: Sequence[Answer]) -> list[Rollout]:
        """See ``Conversational.finish``."""
        return [self._rollout(one, verdict) for one, verdict in zip(held, self._judge(held), strict=True)]

    def counted(self, held: Answer) -> Mapping[str, int]:
        """See ``Conversational.counted``."""
        return {}

    def _complete(self, starts: Sequence[Start[Answer]]) -> list[list[Answer]]:
        began = time.perf_counter()
        assert self._engine is not None, "an environment without an engine is played one conversation at a time"
        groups = [[start.begin(place) for place in range(start.sampling.n)] for start in starts]
        for index, completions in self._engine.generate([start.sampling for start in starts]):
            for answer, completion in zip(groups[index], completions, strict=True):
                answer.completion = completion
        self._seconds["generate"] += time.perf_counter() - began
        return groups

    def _judge(self, held: Sequence[Answer]) -> list[Verdict]:
        began = time.perf_counter()
        answers: list[tuple[Task, str]] = []
        written: list[Written] = []
        prompts = {id(one.prompt): one.prompt for one in held}
        thoughts = {key: self._thought(prompt) for key, prompt in prompts.items()}
        for one in held:
            answers.append((one.task, thoughts[id(one.prompt)] + one.written.text))
            written.append(Written(one.written.text, one.written.token_ids, draw_of(one.request.seed, one.place)))
        verdicts = judged(self._verifier, answers, written)
        self._seconds["verify"] += time.perf_counter() - began
        return verdicts

    def _rollout(self, one: Answer, verdict: Verdict) -> Rollout:
        return replace(
            one.rollout(self._reward(verdict.score)),
            failure=verdict.failure,
            void=verdict.void,
            rewards=verdict.parts,
            audits=verdict.audits,
        )
