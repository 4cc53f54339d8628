"""Search environment: conversations with a retriever that end with an answer, which the verifier judges."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from rekindle.engines.engine import Partner
from rekindle.environments.conversational import Name, Start
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.conversations import SearchConversations
from rekindle.environments.search.partner import COUNTS
from rekindle.types import GroupRequest, Rollout, Task, UserError
from rekindle.verifiers.verifier import Verdict, Verifier, Written, draw_of, judged

__all__ = ["SearchEnvironment"]

NO_ANSWER = Verdict(0.0)


class SearchEnvironment:
    """Environment of search conversations (also ``Conversational``); a request's ``row`` is the index of its task.

    ``SearchConversations`` describes a conversation. Only the text that the policy sampled in its last turn is judged.
    Without an answer the reward is 0 and the verifier is not called.

    Args:
        tasks: The prompts, in the order of the scheduler's history; ``metadata["corpus"]`` names the retriever, ""
            where it is absent. The sequence may grow.
        conversations: Holds the conversations; they end with an answer.
        corpora: Corpora that have a retriever.
        verifier: Judges the answers.
        reward: A verdict's score -> reward.
        prompt: Text with ``{question}`` in it, around the last message of the user; None: the protocol's instructions.

    Raises:
        UserError: A task names a corpus without a retriever, or the prompt cannot be used.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        conversations: SearchConversations,
        corpora: Sequence[str],
        verifier: Verifier,
        reward: Callable[[float], float],
        prompt: str | None = None,
    ) -> None:
        self._tasks, self._conversations, self._verifier, self._reward = tasks, conversations, verifier, reward
        self._prompt = conversations.protocol.instructions if prompt is None else prompt
        self._corpora = corpora
        _check_prompt(self._prompt)
        for task in tasks:
            _check_corpus(task, corpora)
        self._verifying = 0.0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds spent sampling, looking up and writing documents, and judging."""
        return {**self._conversations.seconds, "verify": self._verifying}

    @property
    def counts(self) -> Mapping[str, int]:
        """Counts of turns, queries answered and refused, malformed calls, idle turns and more (see ``COUNTS``)."""
        return {f"search/{name}": count for name, count in self._conversations.counts.items()}

    def room(self, task: Task) -> int:
        """Tokens of the context that are left for turns after the prompt of a task."""
        return self._conversations.room(self._prompt_ids(task))

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Hold all conversations, then judge all answers; a request whose prompt leaves no room for a turn fails."""
        starts = [(request.id, self.start(self._tasks[request.row], request)) for request in requests]
        yield from ((request_id, None) for request_id, start in starts if start is None)
        playable = [(request_id, start) for request_id, start in starts if start is not None]
        groups = self._conversations.hold([start for _, start in playable])
        rollouts = iter(self.finish([one for group in groups for one in group]))
        for (request_id, _), group in zip(playable, groups, strict=True):
            yield request_id, [next(rollouts) for _ in group]

    def start(self, task: Task, request: GroupRequest) -> Start[Conversation] | None:
        """See ``Conversational.start``."""
        _check_corpus(task, self._corpora)
        return self._conversations.start(task, request, self._prompt_ids(task))

    def partner(self, held: Mapping[Name, Conversation]) -> Partner:
        """See ``Conversational.partner``."""
        return self._conversations.partner(held)

    def finish(self, held: Sequence[Conversation]) -> list[Rollout]:
        """See ``Conversational.finish``."""
        return [self._rollout(one, verdict) for one, verdict in zip(held, self._judge(held), strict=True)]

    def counted(self, held: Conversation) -> Mapping[str, int]:
        """See ``Conversational.counted``."""
        return {f"search/{name}": held.counts[name] for name in COUNTS}

    def _prompt_ids(self, task: Task) -> list[int]:
        text = self._prompt.replace("{question}", task.prompt)
        if not task.messages:
            return self._conversations.prompt(text)
        return self._conversations.prompt([*task.messages[:-1], {"role": "user", "content": text}])

    def _judge(self, conversations: Sequence[Conversation]) -> list[Verdict]:
        """Judge the answers, each in tags of its own, so that no other text can be taken for the answer."""
        began, final = time.perf_counter(), self._conversations.protocol.final
        items: list[tuple[Task, str]] = []
        written: list[Written] = []
        for one in conversations:
            if one.final is not None:
                text = f"{final.open}{one.final}{final.close}"
                items.append((one.task, text))
                written.append(Written(text, draw=draw_of(one.request.seed, one.place)))
        verdicts = iter(judged(self._verifier, items, written) if items else ())
        found = [NO_ANSWER if one.final is None else next(verdicts) for one in conversations]
        self._verifying += time.perf_counter() - began
        return found

    def _rollout(self, conversation: Conversation, verdict: Verdict) -> Rollout:
        void = verdict.void or conversation.failure is not None
        reward = 0.0 if void else self._reward(verdict.score)
        rollout = conversation.rollout(reward, conversation.failure or verdict.failure, void=void)
        if not (verdict.parts or verdict.audits):
            return rollout
        return replace(rollout, rewards=verdict.parts, audits=verdict.audits)


def _check_prompt(prompt: str) -> None:
    if "{question}" not in prompt:
        raise UserError(
            f"search.prompt = {prompt!r} has no {{question}} in it, so the policy would not see the question; add it"
        )


def _check_corpus(task: Task, corpora: Sequence[str]) -> None:
    corpus = str(task.metadata.get("corpus", ""))
    if corpus not in corpora:
        raise UserError(
            f"task {task.id!r} names the corpus {corpus!r}, and there is a retriever for {sorted(corpora)} only; "
            "correct the task's corpus or configure a retriever for it"
        )
