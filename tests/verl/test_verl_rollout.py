"""The rollout server on a CPU, without Ray: verl's clients, and weights of its trainer."""

import asyncio
from types import SimpleNamespace

import pytest
import torch
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient, LLMServerClient

from decoder_steps import Counted
from rekindle.integrations.verl.cpu.rollout import SamplingServer
from rekindle.integrations.verl.cpu.weights import StoredWeights
from rekindle.types import UserError

LIMITS = 16, 8
"""``prompt_length`` and ``response_length``."""


@pytest.fixture
def server(assets):
    return SamplingServer(str(assets / "model"), LIMITS, max_rows=64, seed=7)


class Client(LLMServerClient):
    """verl's client with one server, which it need not ask Ray for."""

    def __init__(self, server):
        rollout = SimpleNamespace(name="rekindle_cpu", response_length=LIMITS[1], full_determinism=False)
        super().__init__(SimpleNamespace(actor_rollout_ref=SimpleNamespace(rollout=rollout)))
        self._server = SimpleNamespace(generate=SimpleNamespace(remote=server.generate))

    async def _acquire_server(self, request_id, **_):
        return "one", self._server

    def _release_server(self, server_id, request_id=None):
        pass


class Resuming(Client, FullyAsyncLLMServerClient):
    """The same of the client that asks again after an abort."""


def sampling(seed, **changes):
    return (
        {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}
        | {"seed": seed}
        | changes
    )


def answers(client, asked):
    async def together():
        return await asyncio.gather(
            *(client.generate("any", prompt_ids=prompt, sampling_params=options) for prompt, options in asked)
        )

    return asyncio.run(together())


def test_requests_with_seeds_of_their_own_are_reproducible_in_any_company(server):
    asked = [([number % 3 + 1, 11, 4], sampling(number, temperature=0.7 + number / 10)) for number in range(12)]
    together = answers(Client(server), asked)
    backwards = answers(Client(server), asked[::-1])[::-1]
    alone = [answers(Client(server), [one])[0] for one in asked]
    for one, other, single in zip(together, backwards, alone, strict=True):
        assert one.token_ids == other.token_ids == single.token_ids
        assert one.log_probs == pytest.approx(single.log_probs, abs=1e-5)
        assert one.stop_reason == "completed"
        assert 1 <= len(one.token_ids) <= LIMITS[1]


def test_requests_without_a_seed_are_answered_differently(server):
    options = sampling(None)
    assert len({tuple(one.token_ids) for one in answers(Client(server), [([1, 2], options)] * 8)}) > 4


def test_a_long_prompt_leaves_the_rest_of_the_length_for_the_answer(server):
    prompt = [1, 2, 3, 4] * 5
    found = answers(Client(server), [(prompt, sampling(seed)) for seed in range(20)])
    assert max(len(one.token_ids) for one in found) == sum(LIMITS) - len(prompt)


def test_an_aborted_request_goes_on_with_the_tokens_that_it_has(server):
    asked = [([1, 2, number], sampling(number)) for number in range(6)]
    whole, steps, ended = answers(Client(server), asked), Counted(server._sampler, held=3), []
    generate = server.generate

    async def noted(*args, **named):
        ended.append(await generate(*args, **named))
        return ended[-1]

    server.generate = noted

    async def interrupted():
        client = Resuming(server)
        running = [
            asyncio.create_task(client.generate("any", prompt_ids=prompt, sampling_params=options))
            for prompt, options in asked
        ]
        while steps.count < 3:
            await asyncio.sleep(0)
        await server.abort_all_requests()
        await server.resume_generation()
        return await asyncio.gather(*running)

    resumed = asyncio.run(interrupted())
    cut = [one for one in ended if one.stop_reason == "aborted"]
    assert cut
    assert len(ended) == len(asked) + len(cut)
    for one, before in zip(resumed, whole, strict=True):
        shared = min(len(before.token_ids), 3)
        assert one.token_ids[:shared] == before.token_ids[:shared]
        assert len(one.log_probs) == len(one.token_ids) <= LIMITS[1]


@pytest.mark.parametrize("servers", [1, 2])
def test_weights_of_the_first_rank_reach_every_server(servers):
    ranks = [StoredWeights(0, is_master=first) for first in (True, False)]
    workers = [StoredWeights(0) for _ in range(servers)]
    weights = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    metadata = [one.prepare() for one in (*ranks, *workers)]
    for group, given in zip((ranks, workers), StoredWeights.build_topology(2, servers, metadata), strict=True):
        for one, port in zip(group, given["port"], strict=True):
            one.init_process_group(port)

    async def received(worker):
        return {name: tensor async for name, tensor in worker.receive_weights(3)}

    async def moved():
        sent = [one.send_weights(iter(weights.items()), 3) for one in ranks]
        return (await asyncio.gather(*map(received, workers), *sent))[:servers]

    for found in asyncio.run(moved()):
        torch.testing.assert_close(found, weights, rtol=0, atol=0)
    for one in (*ranks, *workers):
        one.finalize()


def test_a_picture_is_refused(server):
    with pytest.raises(UserError, match="answers text only, and a request has image_data"):
        asyncio.run(server.generate("any", [1], sampling(1), image_data=[object()]))
