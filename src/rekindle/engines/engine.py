"""Engine protocol: sampling from a policy, in single completions and in conversations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rekindle.models.policy import Policy

__all__ = [
    "Completion",
    "Converser",
    "Engine",
    "Meter",
    "Metered",
    "Partner",
    "PartnerTurn",
    "SamplingLimits",
    "SamplingRequest",
]


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """One prompt to complete ``n`` times.

    Attributes:
        prompt_ids: [P] at least one token.
        n: Number of independent completions.
        temperature: Divides the logits; 0 means greedy (log-probabilities are then those at temperature 1).
        max_new_tokens: Limit of each completion, the end token included.
        seed: The completions depend on it, the prompt, the settings and the weights, and not on the rest of the batch.
        top_p: Smallest set of tokens whose probability reaches it; 1 keeps all.
        min_p: Tokens less probable than ``min_p`` times the most probable one are dropped; 0 keeps all.
        stop: A completion ends right after the token that completes one of these texts.
        min_new_tokens: The end token is forbidden before this many tokens (fixed-work benchmarks).
        top_k: Number of most probable tokens that are kept, and those as probable as the last; 0 keeps all.
    """

    prompt_ids: Sequence[int]
    n: int = 1
    temperature: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    min_new_tokens: int = 0
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class SamplingLimits:
    """Limits of every completion of an environment: the part of a request that is configured once.

    Attributes:
        max_new_tokens: See ``SamplingRequest``.
        context: Most tokens of prompt and completion together.
        top_p: See ``SamplingRequest``.
        min_p: See ``SamplingRequest``.
        stop: See ``SamplingRequest``.
        response: Most tokens after a prompt, those of replies included; None: as many as the context has room for.
    """

    max_new_tokens: int
    context: int
    top_p: float = 1.0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    response: int | None = None

    def context_of(self, prompt_tokens: int) -> int:
        """Most tokens of a prompt of this length and everything after it."""
        return self.context if self.response is None else min(self.context, prompt_tokens + self.response)

    def request(self, prompt_ids: Sequence[int], *, n: int = 1, temperature: float, seed: int) -> SamplingRequest:
        """A request within these limits; the prompt leaves room for at least one token."""
        return SamplingRequest(
            prompt_ids=prompt_ids,
            n=n,
            temperature=temperature,
            max_new_tokens=min(self.max_new_tokens, self.context_of(len(prompt_ids)) - len(prompt_ids)),
            seed=seed,
            top_p=self.top_p,
            min_p=self.min_p,
            stop=self.stop,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation.

    Attributes:
        token_ids: [C] the end token included when it was sampled.
        logprobs: [C] log-probabilities in nats under the full softmax at the request's temperature, before ``top_k``,
            ``top_p``, ``min_p`` or ``min_new_tokens`` exclude any token; a trainer recomputes these.
        truncated: True when ``max_new_tokens``, the context or an interruption ended it.
        text: Decoded without special tokens.
    """

    token_ids: list[int]
    logprobs: list[float]
    truncated: bool
    text: str


class Engine(Protocol):
    """Sampler of a policy.

    An engine begins with the weights that its policy has when the engine is made. ``sync`` is called after every
    update, so an engine may hold a copy of the weights on another device, in another process, in another number format.
    """

    def sync(self, policy: "Policy", version: int) -> None:
        """Take over the weights of ``policy``, whose version is ``version``, for all later requests.

        Called before the first request of a run and after every update, never during a request.
        """
        ...

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """Yield ``(index of the request, its n completions)`` once per request, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class PartnerTurn:
    """Turn of the partner, which the policy reads before its next turn.

    Attributes:
        token_ids: [N] at least one token, none of them sampled; appended to the conversation unchanged.
        max_new_tokens: Limit of the next turn.
        stop: Texts that end the next turn.
    """

    token_ids: Sequence[int]
    max_new_tokens: int
    stop: tuple[str, ...] = ()


class Partner(Protocol):
    """The other side of conversations: it receives the policy's turns and responds to them.

    The name of a conversation is (index of its request, index of its sample, below ``n``).
    """

    def on_turn(self, request: int, sample: int, completion: Completion) -> bool:
        """Receive a turn of the policy as soon as it has ended; return whether the conversation continues."""
        ...

    def respond(self, conversations: Sequence[tuple[int, int]]) -> list[PartnerTurn]:
        """Turns of the partner in continuing conversations, in order; called once after each turn of the policy.

        Prompt and turns of both sides together must leave room for at least one more token in the context.
        """
        ...


@runtime_checkable
class Converser(Protocol):
    """An engine that keeps the key-value cache of a conversation from one turn to the next."""

    def converse(self, requests: Sequence[SamplingRequest], partner: Partner) -> None:
        """Hold ``n`` conversations per request, until ``partner`` has ended all of them."""
        ...


@dataclass(slots=True)
class Meter:
    """Running counts of an engine, for progress displays, which read them from another thread.

    Attributes:
        rollouts: Completions and conversations that have ended.
        tokens: Tokens sampled, those of unfinished completions included.
    """

    rollouts: int = 0
    tokens: int = 0


@runtime_checkable
class Metered(Protocol):
    """An engine that counts what it samples while it samples; an engine may do without."""

    @property
    def meter(self) -> Meter:
        """The counts since the engine was made."""
        ...
