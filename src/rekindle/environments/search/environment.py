"""A search agent's task: the policy asks as often as it may, reads what is found, and answers; the verifier judges."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rekindle.engines.conversing import converse
from rekindle.engines.protocol import Engine, SamplingRequest
from rekindle.environments.search.codec import Codec
from rekindle.environments.search.conversation import Conversation
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.play import COUNTS, Play, Rules
from rekindle.environments.search.protocol import ANSWER_CLOSE, ANSWER_OPEN, TurnProtocol
from rekindle.retrieval.protocol import Retriever
from rekindle.types import GroupRequest, Rollout, Task, UserError
from rekindle.verifiers.protocol import Verdict, Verifier

__all__ = ["SearchEnvironment"]

NO_ANSWER = Verdict(0.0)


class SearchEnvironment:
    """Plays requests for ``tasks``; a request's ``row`` is the index of its task.

    A rollout goes on until the policy answers. Where its turns or tokens run out first, or a limit cuts a turn short of
    a search or an answer, the environment opens the answer and the policy completes it (``SearchLimits.answer_tokens``;
    one turn more than ``max_turns``); a rollout that answers so is not truncated. A turn that the policy ends without
    either, or with a call that makes no sense, gets a short reply, and counts. Only what the policy sampled in its last
    turn is judged; without an answer in it the reward is 0 and the verifier is not asked. Where the retriever is down,
    the rollouts that asked it end at once and are void.

    Replies are made of our own words, which mean what they say, and of documents, which are text and nothing else; what
    they hold is cut to leave room for the next turn and a forced answer. Nothing that was sampled is encoded again.

    Args:
        tasks: The prompts, in the order of the scheduler's history; ``metadata["corpus"]`` names the retriever, ""
            where it is absent.
        codec: Between text and tokens.
        engine: Samples the turns.
        retrievers: By corpus.
        verifier: Judges the answers.
        reward: From a verdict's score to a reward.
        limits: Of every rollout.
        protocol: How the policy asks and answers.
        document_format: How a document is written: ``{rank}``, ``{title}``, ``{text}``.
        prompt: Text with ``{question}`` in it; None: the protocol's instructions.

    Raises:
        UserError: A task names no corpus that is there, or the tokenizer, the prompt or the format cannot be used.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        codec: Codec,
        engine: Engine,
        retrievers: Mapping[str, Retriever],
        verifier: Verifier,
        reward: Callable[[float], float],
        limits: SearchLimits,
        protocol: TurnProtocol,
        document_format: str,
        prompt: str | None = None,
    ) -> None:
        self._tasks, self._engine, self._verifier, self._reward = tasks, engine, verifier, reward
        self._prompt = protocol.instructions if prompt is None else prompt
        _check_prompt(self._prompt)
        _check_marks(codec, protocol)
        _check_corpora(tasks, retrievers)
        writer = DocumentWriter(codec, document_format=document_format, document_tokens=limits.document_tokens)
        self._rules = Rules(codec, protocol, limits, writer, retrievers, _reserve(codec, protocol, limits))
        self._seconds = {"generate": 0.0, "retrieve": 0.0, "verify": 0.0}
        self._counts = dict.fromkeys(COUNTS, 0)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds so far: sampling, looking up and writing documents, judging."""
        return self._seconds

    @property
    def counts(self) -> Mapping[str, int]:
        """What happened so far: turns, queries answered and refused, malformed calls, idle turns, and so on."""
        return {f"search/{name}": count for name, count in self._counts.items()}

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Hold all conversations, then judge all answers; a prompt that leaves no room for a turn fails."""
        prompts = [self._encode(self._tasks[request.row]) for request in requests]
        most = self._rules.limits.context - self._rules.reserve
        playable = [
            (request, prompt) for request, prompt in zip(requests, prompts, strict=True) if 0 < len(prompt) < most
        ]
        names = {request.id for request, _ in playable}
        yield from ((request.id, None) for request in requests if request.id not in names)
        groups = self._converse(playable)
        verdicts = iter(self._judge([one for group in groups for one in group]))
        for (request, _), group in zip(playable, groups, strict=True):
            yield request.id, [self._rollout(one, next(verdicts)) for one in group]

    def _encode(self, task: Task) -> list[int]:
        text = self._prompt.replace("{question}", task.prompt)
        return self._rules.codec.prompt(text, self._rules.protocol.tools)

    def _converse(self, playable: Sequence[tuple[GroupRequest, list[int]]]) -> list[list[Conversation]]:
        began, retrieving = time.perf_counter(), self._seconds["retrieve"]
        conversations = {
            (index, sample): Conversation(request, _corpus(self._tasks[request.row]), list(prompt))
            for index, (request, prompt) in enumerate(playable)
            for sample in range(request.n)
        }
        partner = Play(self._rules, conversations, self._counts, self._seconds)
        orders = [self._order(conversations[index, 0]) for index in range(len(playable))]
        if orders:
            converse(self._engine, orders, partner)
        retrieved = self._seconds["retrieve"] - retrieving
        self._seconds["generate"] += time.perf_counter() - began - retrieved
        return [
            [conversations[index, sample] for sample in range(request.n)] for index, (request, _) in enumerate(playable)
        ]

    def _order(self, conversation: Conversation) -> SamplingRequest:
        request, limits = conversation.request, self._rules.limits
        return SamplingRequest(
            prompt_ids=tuple(conversation.token_ids),
            n=request.n,
            temperature=request.temperature,
            max_new_tokens=conversation.allowance(limits, self._rules.reserve),
            seed=request.seed,
            top_p=limits.top_p,
            min_p=limits.min_p,
            stop=self._rules.protocol.stop,
        )

    def _judge(self, conversations: Sequence[Conversation]) -> list[Verdict]:
        """Ask the verifier about the answers, in tags of their own, so that nothing else can be taken for one."""
        began = time.perf_counter()
        items = [
            (self._tasks[one.request.row], f"{ANSWER_OPEN}{one.answer}{ANSWER_CLOSE}")
            for one in conversations
            if one.answer is not None
        ]
        verdicts = iter(self._verifier.judge(items) if items else ())
        judged = [NO_ANSWER if one.answer is None else next(verdicts) for one in conversations]
        self._seconds["verify"] += time.perf_counter() - began
        return judged

    def _rollout(self, conversation: Conversation, verdict: Verdict) -> Rollout:
        void = verdict.void or conversation.failure is not None
        reward = 0.0 if void else self._reward(verdict.score)
        return conversation.rollout(reward, conversation.failure or verdict.failure, void=void)


def _corpus(task: Task) -> str:
    return str(task.metadata.get("corpus", ""))


def _reserve(codec: Codec, protocol: TurnProtocol, limits: SearchLimits) -> int:
    """Tokens of the context that a forced answer can need."""
    if not limits.answer_tokens:
        return 0
    return limits.answer_tokens + max(len(codec.own(protocol.opening(ended=ended))) for ended in (False, True))


def _check_prompt(prompt: str) -> None:
    if "{question}" not in prompt:
        raise UserError(
            f"search.prompt = {prompt!r} has no {{question}} in it, so the policy would not know the question; add it"
        )


def _check_marks(codec: Codec, protocol: TurnProtocol) -> None:
    for mark in protocol.marks:
        if codec.decode(codec.own(mark)).strip() != mark:
            raise UserError(
                f"the tokenizer cannot write {mark} as text, which the search protocol needs; use another model or "
                "another search.protocol"
            )


def _check_corpora(tasks: Sequence[Task], retrievers: Mapping[str, Retriever]) -> None:
    for task in tasks:
        if _corpus(task) not in retrievers:
            raise UserError(
                f"task {task.id!r} is to be searched for in the corpus {_corpus(task)!r}, and there is a retriever for "
                f"{sorted(retrievers)} only; correct the task's corpus or configure a retriever for it"
            )
