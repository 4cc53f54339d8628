"""Torch engine: samples with the policy's own model, in this process."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from rekindle.engines.decoders import Decoder, agrees_with_transformers
from rekindle.engines.decoding import Decoding
from rekindle.engines.engine import Completion, Meter, Partner, PartnerTurn, SamplingRequest
from rekindle.engines.fused import FusedDecoder
from rekindle.engines.generic import GenericDecoder
from rekindle.engines.rows import RowTable
from rekindle.models.architecture import find_decoder
from rekindle.models.policy import Policy
from rekindle.notices import warn
from rekindle.types import UserError

__all__ = ["RequestError", "TorchEngine"]


class RequestError(UserError):
    """A sampling request is not valid; the message gives its index, the cause and the remedy."""


class TorchEngine:
    """Samples with the weights that the policy has when an iteration begins; no weights are copied after an update.

    A completion depends on its request and the weights alone; other rows of the batch change its log-probabilities by
    rounding only. The same call with the same number of threads gives the same bits.

    Attributes:
        meter: Running counts of rollouts and tokens.

    Args:
        policy: The policy to sample from.
        max_rows: Most completions decoded at the same time. More use more memory and are faster up to a point.
    """

    def __init__(self, policy: Policy, *, max_rows: int = 256) -> None:
        if max_rows < 1:
            raise UserError(f"max_rows = {max_rows} leaves no room for a single completion; use at least 1")
        self._policy = policy
        self._max_rows = max_rows
        self.meter = Meter()
        self._decoder = _decoder_for(policy)
        # Inference mode is faster, but tensors that a model caches in it (e.g. rotary tables) cannot be used in
        # training afterwards. The fused decoder runs no model code.
        self._quietly = torch.inference_mode if isinstance(self._decoder, FusedDecoder) else torch.no_grad

    def sync(self, policy: Policy, version: int) -> None:
        """Nothing to do: the engine reads the policy's own weights.

        Raises:
            ValueError: It is another policy than the one that is sampled from.
        """
        if policy is not self._policy:
            raise ValueError(
                f"version {version} is live in another policy than the one this engine samples from; make the engine "
                "of the policy that is trained"
            )

    def generate(
        self, requests: Sequence[SamplingRequest], *, interrupted: Callable[[], bool] | None = None
    ) -> Iterator[tuple[int, list[Completion]]]:
        """Yield ``(index of the request, its n completions)`` once per request, as soon as all n have ended.

        The weights must not change until the iterator is exhausted or dropped. It may be dropped early.

        Args:
            requests: The requests.
            interrupted: Asked before every token; from True on, all completions end as they are, some without tokens.

        Raises:
            RequestError: A request is not valid; raised by the call itself, before anything is sampled.
        """
        requests = self._checked(requests)
        return self._run(requests, interrupted or (lambda: False))

    def converse(self, requests: Sequence[SamplingRequest], partner: Partner) -> None:
        """Run ``n`` conversations per request; see `rekindle.engines.engine.Converser`.

        The samples are those of `rekindle.engines.conversing.converse`, turn by turn.

        Raises:
            RequestError: A request is not valid.
            ValueError: A reply leaves no room in the context.
        """
        requests = self._checked(requests)
        if requests:
            decoding = self._decoding(requests, _Outside(partner))
            while not decoding.done:
                with self._quietly():
                    decoding.advance()

    def _checked(self, requests: Sequence[SamplingRequest]) -> tuple[SamplingRequest, ...]:
        vocabulary = self._policy.model.get_input_embeddings().weight.shape[0]
        for index, request in enumerate(requests):
            _check(index, request, self._policy.max_length, vocabulary)
        return tuple(requests)

    def _decoding(self, requests: tuple[SamplingRequest, ...], partner: Partner | None = None) -> Decoding:
        with self._quietly():
            self._decoder.refresh()
            policy = self._policy
            table = RowTable(requests, policy.max_length, policy.device)
            return Decoding(self._decoder, table, policy.eos_ids, policy.decode, self._max_rows, partner, self.meter)

    def _run(
        self, requests: tuple[SamplingRequest, ...], interrupted: Callable[[], bool]
    ) -> Iterator[tuple[int, list[Completion]]]:
        if not requests:
            return
        # Not around a yield, where the caller's code would run in this mode.
        decoding = self._decoding(requests)
        finished: dict[int, dict[int, Completion]] = {index: {} for index in range(len(requests))}
        while not decoding.done:
            with self._quietly():
                completed = decoding.interrupt() if interrupted() else decoding.advance()
            for row, completion in completed:
                request, _ = decoding.name(row)
                finished[request][row] = completion
                if len(finished[request]) == requests[request].n:
                    group = finished.pop(request)
                    yield request, [group[row] for row in sorted(group)]


class _Outside:
    """A partner whose code runs outside inference mode: what it computes may be trained with."""

    def __init__(self, partner: Partner) -> None:
        self._partner = partner

    def on_turn(self, request: int, sample: int, completion: Completion) -> bool:
        """See ``Partner.on_turn``."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self._partner.on_turn(request, sample, completion)

    def respond(self, conversations: Sequence[tuple[int, int]]) -> list[PartnerTurn]:
        """See ``Partner.respond``."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self._partner.respond(conversations)


def _decoder_for(policy: Policy) -> Decoder[Any]:
    """Return the fused decoder where it agrees with transformers, else the generic one."""
    if find_decoder(policy.model) is not None:
        fused = FusedDecoder(policy)
        if agrees_with_transformers(fused, policy):
            return fused
        warn("the fused decoder does not reproduce this model; sampling goes through transformers, slower")
    generic = GenericDecoder(policy)
    if not agrees_with_transformers(generic, policy):
        raise UserError(
            f"{type(policy.model).__name__} computes other probabilities with a key-value cache and left padding than "
            "without; use a model that supports both"
        )
    return generic


def _check(index: int, request: SamplingRequest, max_length: int, vocabulary: int) -> None:
    """Refuse an invalid request; the message names the field and the remedy."""
    length = len(request.prompt_ids)
    foreign = next((token for token in request.prompt_ids if not 0 <= token < vocabulary), None)
    problems = {
        "prompt_ids is empty; give at least one token": length == 0,
        f"prompt_ids has {length} tokens and the context holds {max_length}, the completion included; "
        "shorten the prompt": length >= max_length,
        f"prompt_ids contains {foreign}, and the vocabulary has {vocabulary} tokens; "
        "use the policy's own tokenizer": foreign is not None,
        f"n = {request.n} completions; ask for at least 1": request.n < 1,
        f"temperature = {request.temperature}; use 0 for greedy or a positive number": not 0
        <= request.temperature
        < math.inf,
        f"max_new_tokens = {request.max_new_tokens}; allow at least 1": request.max_new_tokens < 1,
        f"top_k = {request.top_k}; use 0 to keep all tokens, or a positive number": request.top_k < 0,
        f"top_p = {request.top_p}; use a number above 0 and up to 1": not 0 < request.top_p <= 1,
        f"min_p = {request.min_p}; use a number from 0 to below 1": not 0 <= request.min_p < 1,
        "stop contains an empty text, which every completion contains; remove it": "" in request.stop,
        f"min_new_tokens = {request.min_new_tokens}; use 0 or more": request.min_new_tokens < 0,
    }
    for problem, present in problems.items():
        if present:
            raise RequestError(f"request {index}: {problem}")
