"""Conversations of several turns with any engine."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from rekindle.engines.engine import Completion, Converser, Engine, Partner, PartnerTurn, SamplingRequest

__all__ = ["converse", "next_turn"]


def converse(engine: Engine, requests: Sequence[SamplingRequest], partner: Partner) -> None:
    """Hold the conversations with the engine's own ``converse`` where it has one, else turn by turn.

    Turn by turn, all conversations finish a turn before any begins its next. Every turn is a new request with the whole
    conversation as its prompt. The samples are the same; it suits engines with prefix caching.
    """
    if isinstance(engine, Converser):
        engine.converse(requests, partner)
        return
    continuing = _take_turn(engine, requests, [(index, 0) for index in range(len(requests))], partner)
    while continuing:
        names = [name for name, _, _ in continuing]
        turns = [
            next_turn(request, generated, name[1], read)
            for (name, request, generated), read in zip(continuing, partner.respond(names), strict=True)
        ]
        continuing = _take_turn(engine, turns, names, partner)


Continuing = tuple[tuple[int, int], SamplingRequest, Completion]
"""A continuing conversation: its name (request, sample), and the request and completion of its last turn."""


def _take_turn(
    engine: Engine, requests: Sequence[SamplingRequest], names: Sequence[tuple[int, int]], partner: Partner
) -> list[Continuing]:
    """Sample a turn of every request, in order; return the continuing conversations."""
    generated = sorted(engine.generate(requests), key=lambda one: one[0])
    return [
        ((names[index][0], names[index][1] + offset), requests[index], completion)
        for index, completions in generated
        for offset, completion in enumerate(completions)
        if partner.on_turn(names[index][0], names[index][1] + offset, completion)
    ]


def next_turn(request: SamplingRequest, generated: Completion, sample: int, read: PartnerTurn) -> SamplingRequest:
    """Request of a conversation's next turn: its prompt is the whole conversation, and it has its own seed.

    Args:
        request: Request of the turn before.
        generated: Completion of the turn before.
        sample: Index of the conversation among those of the first request.
        read: The partner's turn.
    """
    digest = hashlib.blake2b(f"{request.seed} {sample} {len(request.prompt_ids)}".encode(), digest_size=8).digest()
    return replace(
        request,
        prompt_ids=[*request.prompt_ids, *generated.token_ids, *read.token_ids],
        n=1,
        max_new_tokens=read.max_new_tokens,
        seed=int.from_bytes(digest, "little") >> 1,
        stop=read.stop,
        min_new_tokens=0,
    )
