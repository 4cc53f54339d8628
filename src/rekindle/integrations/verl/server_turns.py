"""Turns of one session, sampled by verl's rollout servers."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from rekindle.engines.engine import Completion, SamplingRequest
from rekindle.scheduling.seeding import mixed_seed

__all__ = ["ServerTurns", "through_stop"]

SEED_BITS = 31
"""Bits of the seed that an engine takes; vLLM's and SGLang's are signed."""
SPANNED = ("min_global_steps", "max_global_steps")
"""First and last policy version of a trajectory, in verl's extra fields of a turn."""


class ServerTurns:
    """Samples the turns of one session, each as a request of its own with the whole conversation as its prompt.

    Attributes:
        extra: verl's extra fields of all turns together.
        preempted: Times that an engine preempted a turn; -1 where it does not say.
        has_logprobs: Whether every turn came with log-probabilities.

    Args:
        server: verl's client of the rollout servers.
        session: Id of the session, which keeps it on one server.
        sampling: verl's sampling parameters, at the session's temperature. ``seed`` is that of its first turn, from
            which those of the others follow; without it the engine draws.
        decode: Token ids -> text, without special tokens.
        ends: Tokens that end a turn.
        priority: verl's priority of the session.
    """

    def __init__(
        self,
        server: Any,
        session: str,
        sampling: Mapping[str, Any],
        *,
        decode: Callable[[Sequence[int]], str],
        ends: Container[int],
        priority: int = 0,
    ) -> None:
        self._server, self._session, self._sampling = server, session, dict(sampling)
        self._decode, self._ends, self._priority = decode, ends, priority
        self.extra: dict[str, Any] = {}
        self.preempted = -1
        self.has_logprobs = True
        self._turns = 0

    async def __call__(self, request: SamplingRequest) -> Completion:
        """Sample a turn; it ends with an end token, right after a stop text, or cut by its limit."""
        output = await self._server.generate(
            request_id=self._session,
            prompt_ids=list(request.prompt_ids),
            sampling_params=self._parameters(request),
            priority=self._priority,
        )
        self._note(output)
        sampled = [int(token) for token in output.token_ids]
        ids = sampled[: through_stop(sampled, request.stop, self._decode)]
        logprobs = list(map(float, output.log_probs[: len(ids)])) if output.log_probs else [0.0] * len(ids)
        text = self._decode(ids)
        ended = (bool(ids) and ids[-1] in self._ends) or any(one in text for one in request.stop)
        return Completion(ids, logprobs, truncated=not ended, text=text)

    def _parameters(self, request: SamplingRequest) -> dict[str, Any]:
        own: dict[str, Any] = {"max_tokens": request.max_new_tokens}
        if request.stop:
            own["stop"] = [*self._sampling.get("stop", ()), *request.stop]
        if "seed" in self._sampling and self._turns:
            own["seed"] = mixed_seed(int(self._sampling["seed"]), self._turns) % 2**SEED_BITS
        return {**self._sampling, **own}

    def _note(self, output: Any) -> None:
        self._turns += 1
        self.has_logprobs = self.has_logprobs and (bool(output.log_probs) or not output.token_ids)
        if output.num_preempted is not None:
            self.preempted = max(0, self.preempted) + output.num_preempted
        first, last = SPANNED
        before = self.extra.get(first)
        self.extra |= output.extra_fields
        if before is not None:
            self.extra[first] = before
        self.extra[last] = output.extra_fields.get(last)


def through_stop(ids: Sequence[int], stop: Sequence[str], decode: Callable[[Sequence[int]], str]) -> int:
    """Number of tokens up to the one that completes the first stop text; all, where none does.

    An engine usually ends there by itself, but engines differ in how soon they notice.

    Args:
        ids: [C] sampled tokens.
        stop: Texts that end a turn.
        decode: Token ids -> text.
    """

    def complete(count: int) -> bool:
        text = decode(ids[:count])
        return any(one in text for one in stop)

    count = len(ids)
    if not stop or not complete(count):
        return count
    if not complete(count - 1):
        return count
    low, high = 0, count - 1  # not complete, complete
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if complete(middle) else (middle, high)
    return high
