"""What an engine is: something that samples from the policy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Completion", "Converser", "Engine", "Partner", "PartnerTurn", "SamplingRequest"]


@dataclass(frozen=True, slots=True)
class SamplingRequest:
    """One prompt to complete ``n`` times.

    Attributes:
        prompt_ids: [P] at least one token.
        n: Number of independent completions.
        temperature: Divides the logits; 0 means greedy (log-probabilities are then those at temperature 1).
        max_new_tokens: Limit of each completion, the end token included.
        seed: The completions depend on it, the prompt, the settings and the weights, and on no neighbour.
        top_p: Smallest set of tokens whose probability reaches it; 1 keeps all.
        min_p: Tokens less probable than ``min_p`` times the most probable one are dropped; 0 keeps all.
        stop: A completion ends right after the token that completes one of these texts.
        min_new_tokens: The end token is forbidden before this many tokens (fixed-work benchmarks).
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


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation.

    Attributes:
        token_ids: [C] the end token included when it was sampled.
        logprobs: [C] log-probabilities in nats under the full softmax at the request's temperature, before ``top_p``,
            ``min_p`` or ``min_new_tokens`` rule any token out: what a trainer recomputes.
        truncated: True when ``max_new_tokens`` (or the context) ended it.
        text: Decoded without special tokens.
    """

    token_ids: list[int]
    logprobs: list[float]
    truncated: bool
    text: str


class Engine(Protocol):
    """Samples from the policy. Groups come back as they finish, not in the order asked."""

    def generate(self, requests: Sequence[SamplingRequest]) -> Iterator[tuple[int, list[Completion]]]:
        """Yield ``(index of the request, its n completions)`` once per request."""
        ...


@dataclass(frozen=True, slots=True)
class PartnerTurn:
    """What the policy reads before it speaks again.

    Attributes:
        token_ids: [N] at least one token, none of them sampled; appended to the conversation as they are.
        max_new_tokens: Limit of the next turn.
        stop: Texts that end the next turn.
    """

    token_ids: Sequence[int]
    max_new_tokens: int
    stop: tuple[str, ...] = ()


class Partner(Protocol):
    """The other side of conversations: whoever answers the policy between its turns, and keeps the books.

    A conversation is named by the index of its request and of its sample, below ``n``.
    """

    def on_turn(self, request: int, sample: int, completion: Completion) -> bool:
        """Take note of a turn as soon as it has ended; say whether the conversation goes on."""
        ...

    def respond(self, conversations: Sequence[tuple[int, int]]) -> list[PartnerTurn]:
        """Answer conversations that go on, in their order; each is asked for once after every turn that was heard.

        Prompt, turns and replies together must leave room for at least one more token in the context.
        """
        ...


@runtime_checkable
class Converser(Protocol):
    """An engine that keeps the key-value cache of a conversation from one turn to the next."""

    def converse(self, requests: Sequence[SamplingRequest], partner: Partner) -> None:
        """Hold ``n`` conversations per request, until ``partner`` has ended all of them."""
        ...
