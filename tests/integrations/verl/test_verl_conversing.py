"""Conversations one by one, and the facts of rollouts; without verl."""

import asyncio
import json
import threading
import time

import pytest

from rekindle.integrations.verl.conversing import Desk, Player, WaitingCalls
from rekindle.integrations.verl.facts import rollout_facts, rollout_fields
from rekindle.integrations.verl.server_turns import through_stop
from rekindle.types import Document, Retrieval, Rollout
from search_cases import TASK, CharacterCodec, ScriptedEngine, Shelf, environment, in_turn, order, play

CODEC = CharacterCodec()
SEARCHES = ("<search>France</search>", "<answer>Paris</answer>")


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def sampler(*turns):
    """Samples turns of a script; each is a call of its own."""
    engine = ScriptedEngine(CODEC, in_turn(*turns))

    async def sample(request):
        await asyncio.sleep(0)
        ((_, (completion,)),) = engine.generate([request])
        return completion

    return sample


def test_a_conversation_is_that_of_the_environment(desk):
    alone = environment(in_turn(*SEARCHES))
    native = play(alone)
    player = Player(environment(None), desk)
    rollout, seconds, counts = asyncio.run(player.play(TASK, order(), 0, sampler(*SEARCHES)))
    assert [rollout] == native
    assert counts == alone.counts
    assert counts["search/turns"] == 2
    assert seconds.generate >= 0 < seconds.reply


def test_conversations_that_wait_are_answered_together(desk):
    class Slow(Shelf):
        def search(self, queries, k):
            time.sleep(0.05)
            return super().search(queries, k)

    shelf = Slow()
    player = Player(environment(None, shelf), desk)

    async def many():
        return await asyncio.gather(
            *[
                player.play(TASK, order(), place, sampler(f"<search>q{place}</search>", SEARCHES[1]))
                for place in range(9)
            ]
        )

    found = asyncio.run(many())
    assert all(rollout.reward == 1.0 for rollout, _, _ in found)
    assert sum(map(len, shelf.asked)) == 9
    assert [counts["search/queries"] for _, _, counts in found] == [1] * 9
    assert len(shelf.asked) < 9, "queries that wait go to the retriever in one call"
    assert [rollout.retrievals[0].query for rollout, _, _ in found] == [f"q{place}" for place in range(9)]


def test_the_event_loop_goes_on_while_a_retriever_searches(desk):
    class Stuck(Shelf):
        def search(self, queries, k):
            assert released.wait(10), "the event loop was held up"
            return super().search(queries, k)

    released = threading.Event()
    player = Player(environment(None, Stuck()), desk)

    async def both():
        playing = asyncio.create_task(player.play(TASK, order(), 0, sampler(*SEARCHES)))
        await asyncio.sleep(0.05)
        assert not playing.done()
        released.set()
        return await playing

    rollout, _, _ = asyncio.run(both())
    assert rollout.reward == 1.0


def test_a_turn_that_cannot_be_sampled_ends_its_own_session(desk):
    async def broken(request):
        raise ConnectionError("the server is gone")

    player = Player(environment(None), desk)

    async def both():
        return await asyncio.gather(
            player.play(TASK, order(), 0, broken),
            player.play(TASK, order(), 1, sampler(*SEARCHES)),
            return_exceptions=True,
        )

    failed, (rollout, _, _) = asyncio.run(both())
    assert isinstance(failed, ConnectionError)
    assert rollout.reward == 1.0
    assert not player._held


def test_an_exception_reaches_whoever_waits():
    def call(items):
        raise ValueError("no")

    own = Desk()

    async def both():
        calls = WaitingCalls(call, own.conversations)
        return await asyncio.gather(calls(1), calls(2), return_exceptions=True)

    found = asyncio.run(both())
    own.close()
    assert [str(one) for one in found] == ["no", "no"]


def test_a_session_that_is_cancelled_leaves_the_others(desk):
    calls = []

    def call(items):
        time.sleep(0.05)
        calls.append(list(items))
        return items

    async def run():
        waiting = WaitingCalls(call, desk.conversations)
        first, second = asyncio.create_task(waiting(1)), asyncio.create_task(waiting(2))
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second == 2
        return await waiting(3)

    assert asyncio.run(run()) == 3
    assert [one for items in calls for one in items] == [1, 2, 3]


def test_facts_travel_as_json():
    retrieval = Retrieval(1, "q", (Document("1", "T", "x"), Document("2", "", "y")))
    rollout = Rollout(
        token_ids=[1, 2, 3],
        loss_mask=[False, True, True],
        logprobs=[0.0, -1.0, -2.0],
        reward=0.5,
        truncated=True,
        text="a",
        turns=2,
        failure="timeout",
        void=True,
        transcript="ab",
        retrievals=(retrieval,),
        rewards={"one": 1.0, "two": None},
        audits={"three": 0.0},
        final="b",
    )
    facts = json.loads(json.dumps(rollout_facts(rollout)))
    again = Rollout(
        token_ids=[1, 2, 3],
        loss_mask=[False, True, True],
        logprobs=[0.0, -1.0, -2.0],
        reward=0.5,
        **rollout_fields(facts),
    )
    assert again == rollout
    assert rollout_fields({}) == {}, "of a loop that is not ours"


@pytest.mark.parametrize(
    ("text", "stop", "kept"),
    [
        ("abc</s>", ("</s>",), "abc</s>"),
        ("abc</s>def", ("</s>",), "abc</s>"),
        ("a</t>bc</s>def", ("</s>", "</t>"), "a</t>"),
        ("abc", ("</s>",), "abc"),
        ("abc</s>", (), "abc</s>"),
        ("", ("</s>",), ""),
        ("</s></s></s>", ("</s>",), "</s>"),
    ],
)
def test_tokens_through_the_first_stop_text(text, stop, kept):
    assert through_stop(CODEC.own(text), stop, CODEC.decode) == len(kept)
