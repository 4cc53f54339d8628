"""A policy that answers concurrent requests, whose weights change between them.

Requests that wait are answered together, in one call of the engine, in a thread. A request's answer depends on the
request and the weights alone. An abort ends running requests where they are, and holds later ones back until
``resume``.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rekindle.engines.engine import Completion, SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.models.policy import Policy
from rekindle.types import UserError

__all__ = ["Answer", "LiveSampler", "request_of"]

QUIET_SECONDS = 0.005
"""Requests that arrive within this time after one another are answered together."""

_NO_EFFECT: dict[str, tuple[Any, ...]] = {"logprobs": (True, False, None, 0, 1), "repetition_penalty": (1, None)}
"""Options that no answer depends on, with the values for which this is so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a request.

    Attributes:
        completion: Tokens, and log-probabilities at the request's temperature.
        version: Version of the weights; None before the first update.
        aborted: An abort ended it, perhaps before its first token.
    """

    completion: Completion
    version: int | None
    aborted: bool


def request_of(prompt_ids: Sequence[int], options: Mapping[str, Any], *, limit: int, seed: int) -> SamplingRequest:
    """A request from the sampling options of verl's, which are those of vLLM and SGLang.

    A request that goes on where an aborted one ended, or after a turn of a tool, has the same seed and a longer prompt:
    its random numbers are others.

    Args:
        prompt_ids: [P] all tokens before the answer.
        options: temperature, top_p, top_k (-1 keeps all), min_p, seed, max_tokens or max_new_tokens, stop.
        limit: Most tokens of an answer whose options have no limit.
        seed: Seed where the options have none.

    Raises:
        UserError: An option cannot be honoured.
    """
    left = dict(options)
    for name, harmless in _NO_EFFECT.items():
        if left.pop(name, harmless[0]) not in harmless:
            raise UserError(f"the CPU rollout of rekindle cannot honour {name} = {options[name]!r}; remove the option")
    stop = left.pop("stop", None) or ()
    most = left.pop("max_tokens", None), left.pop("max_new_tokens", None)
    given = left.pop("seed", None)
    named = f"{seed if given is None else given} {len(prompt_ids)}".encode()
    request = SamplingRequest(
        prompt_ids=prompt_ids,
        temperature=float(left.pop("temperature", 1.0)),
        max_new_tokens=max(1, next((int(one) for one in most if one is not None), limit)),
        seed=int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "little") >> 1,
        top_p=float(left.pop("top_p", 1.0)),
        min_p=float(left.pop("min_p", None) or 0.0),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        top_k=max(0, int(left.pop("top_k", None) or 0)),
    )
    if left:
        raise UserError(f"the CPU rollout of rekindle does not know the sampling option {min(left)!r}; remove it")
    return request


class LiveSampler:
    """Answers requests; all its methods belong to one event loop.

    Attributes:
        version: Version of the weights; None before the first update.

    Args:
        policy: The policy.
        max_rows: Most requests that are answered at the same time.
    """

    def __init__(self, policy: Policy, *, max_rows: int = 256) -> None:
        self.version: int | None = None
        self._policy, self._max_rows = policy, max_rows
        self._engine = TorchEngine(policy, max_rows=max_rows)
        self._waiting: list[tuple[SamplingRequest, asyncio.Future[Answer]]] = []
        self._answering: asyncio.Task[None] | None = None
        self._weights = asyncio.Lock()
        self._admits = asyncio.Event()
        self._admits.set()
        self._rejects = self._interrupted = False

    async def answer(self, request: SamplingRequest) -> Answer:
        """Answer a request for one completion, after ``resume`` where the sampler was aborted.

        Raises:
            RequestError: The request is not valid.
        """
        while not self._admits.is_set():
            if self._rejects:
                return Answer(Completion([], [], True, ""), self.version, aborted=True)
            await self._admits.wait()
        self._engine.generate([request])  # refuses an invalid one, which would end the others of its batch
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all())
        return await future

    async def abort(self, *, reject: bool = False) -> None:
        """End all requests where they are, and hold later ones back.

        Args:
            reject: Answer later ones at once, without a token.
        """
        self._rejects = reject
        self._admits.clear()
        self._interrupted = True
        while self._answering is not None:
            await asyncio.wait([self._answering])
        self._interrupted = False

    def resume(self) -> None:
        """Admit requests again, those that were held back first."""
        self._rejects = False
        self._admits.set()

    async def load(self, weights: Mapping[str, Tensor], version: int | None) -> None:
        """Take over weights when no request is being answered.

        Args:
            weights: Name of transformers -> tensor; of tied weights one is enough.
            version: Their version.

        Raises:
            UserError: They are not those of the model.
        """
        async with self._weights:
            await asyncio.to_thread(self._take, weights)
            self.version = version

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        ours = self._policy.model.state_dict()
        unknown = sorted(set(weights) - set(ours))
        given = {ours[name].data_ptr() for name in set(weights) & set(ours)}
        absent = sorted(name for name, tensor in ours.items() if tensor.data_ptr() not in given)
        if unknown or absent:
            raise UserError(
                f"the trainer's weights are not those of {type(self._policy.model).__name__}: it has no "
                f"{(unknown or absent)[0]}; give rollout and trainer one model, and merge LoRA (model.lora.merge=True)"
            )
        self._policy.model.load_state_dict(weights, strict=False)

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                await self._gathered()
                batch, self._waiting = self._waiting, []
                async with self._weights:
                    await asyncio.to_thread(self._answer, batch, self.version, asyncio.get_running_loop())
        finally:
            self._answering = None

    async def _gathered(self) -> None:
        """Wait for the requests that arrive together."""
        count = 0
        while count < len(self._waiting) < self._max_rows and not self._interrupted:
            count = len(self._waiting)
            await asyncio.sleep(QUIET_SECONDS)

    def _answer(
        self,
        batch: Sequence[tuple[SamplingRequest, asyncio.Future[Answer]]],
        version: int | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Answer the requests of a batch, each as soon as its completion has ended."""
        try:
            found = self._engine.generate([request for request, _ in batch], interrupted=lambda: self._interrupted)
            for index, (completion,) in found:
                request, future = batch[index]
                answer = Answer(completion, version, self._interrupted and self._has_room(request, completion))
                loop.call_soon_threadsafe(_settle, future, answer)
        except Exception as error:  # noqa: BLE001 (whoever waits gets it)
            for _, future in batch:
                loop.call_soon_threadsafe(_settle, future, error)

    def _has_room(self, request: SamplingRequest, completion: Completion) -> bool:
        """Whether only an abort can have ended a completion."""
        length = len(completion.token_ids)
        return (
            completion.truncated
            and length < request.max_new_tokens
            and len(request.prompt_ids) + length < self._policy.max_length
        )


def _settle(future: asyncio.Future[Answer], result: Answer | Exception) -> None:
    """Give a future its result, unless it has one or nobody waits for it any more."""
    if future.done():
        return
    if isinstance(result, Answer):
        future.set_result(result)
    else:
        future.set_exception(result)
