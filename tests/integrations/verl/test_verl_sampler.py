"""The sampler of verl's CPU rollouts: concurrent requests, aborts, and weights that change between answers."""

import asyncio
from typing import Any

import pytest
import torch

from decoder_steps import Counted
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import RequestError
from rekindle.integrations.verl.cpu.sampler import LiveSampler, request_of
from rekindle.types import UserError
from small_policies import build

LIMIT = 12


@pytest.fixture(scope="module")
def policy():
    return build("qwen3")


def asked(prompt, seed, **options):
    return request_of(prompt, {"seed": seed, "temperature": 1.0} | options, limit=LIMIT, seed=0)


def answers(sampler, requests):
    async def together():
        return await asyncio.gather(*map(sampler.answer, requests))

    return asyncio.run(together())


def test_an_answer_is_the_same_alone_and_among_others(policy):
    requests = [asked([seed % 5, 3], seed, temperature=0.5 + seed / 4, top_k=seed % 3 * 4 - 1) for seed in range(9)]
    requests.append(asked([1, 2], 1, temperature=0, top_p=1.0))
    together = answers(LiveSampler(policy), requests)
    for request, answer in zip(requests, together, strict=True):
        (alone,) = answers(LiveSampler(policy), [request])
        assert alone.completion.token_ids == answer.completion.token_ids
        assert alone.completion.logprobs == pytest.approx(answer.completion.logprobs, abs=1e-5)
        assert not answer.aborted


def test_logprobs_are_those_of_the_model_at_the_temperature(policy):
    (answer,) = answers(LiveSampler(policy), [asked([4, 5, 6], 2, temperature=1.7, top_k=3)])
    tokens = answer.completion.token_ids
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([[4, 5, 6, *tokens]])).logits[0, 2:-1]
    expected = torch.log_softmax(logits / 1.7, -1)[range(len(tokens)), tokens]
    assert answer.completion.logprobs == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_abort_ends_answers_where_they_are_and_holds_later_ones_back(policy):
    sampler = LiveSampler(policy)
    requests = [asked([1, seed], seed, min_p=0.0, max_tokens=20) for seed in range(4)]
    whole = {request.seed: one.completion for request, one in zip(requests, answers(sampler, requests), strict=True)}
    steps = Counted(sampler, held=3)

    async def aborted():
        running = [asyncio.create_task(sampler.answer(request)) for request in requests]
        while steps.count < 3:
            await asyncio.sleep(0)
        await sampler.abort()
        assert all(task.done() for task in running)
        later = asyncio.create_task(sampler.answer(requests[0]))
        await asyncio.sleep(0.02)
        assert not later.done()
        sampler.resume()
        return [task.result() for task in running], await later

    cut, later = asyncio.run(aborted())
    assert any(one.aborted for one in cut)
    for request, one in zip(requests, cut, strict=True):
        tokens = one.completion.token_ids
        assert tokens == whole[request.seed].token_ids[: len(tokens)]
        assert one.aborted == (len(tokens) < len(whole[request.seed].token_ids))
    assert later.completion.token_ids == whole[requests[0].seed].token_ids
    assert not later.aborted


def test_a_rejecting_sampler_answers_at_once_without_a_token(policy):
    sampler = LiveSampler(policy)

    async def rejected():
        await sampler.abort(reject=True)
        return await sampler.answer(asked([1, 2], 0))

    answer = asyncio.run(rejected())
    assert answer.aborted
    assert answer.completion.token_ids == answer.completion.logprobs == []


def test_weights_change_between_answers_and_name_their_version(policy):
    sampler, request = LiveSampler(build("qwen3")), asked([1, 2, 3], 5, temperature=0)
    other = build("qwen3")
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(0.7)

    async def changed():
        before = await sampler.answer(request)
        await sampler.load(other.model.state_dict(), 7)
        return before, await sampler.answer(request)

    before, after = asyncio.run(changed())
    (expected,) = answers(LiveSampler(other), [request])
    assert before.completion.logprobs != expected.completion.logprobs
    assert (before.version, after.version) == (None, 7)
    assert after.completion.token_ids == expected.completion.token_ids
    assert after.completion.logprobs == pytest.approx(expected.completion.logprobs, abs=1e-5)


@pytest.mark.parametrize("change", ["more", "less"])
def test_weights_of_another_model_are_refused(change, policy):
    weights = dict(policy.model.state_dict())
    if change == "more":
        weights["adapter.weight"] = torch.zeros(1)
    else:
        weights = {name: one for name, one in weights.items() if "layers.0" not in name}
    with pytest.raises(UserError, match=r"the trainer's weights are not those of .* merge LoRA"):
        asyncio.run(LiveSampler(policy).load(weights, 1))


def test_an_invalid_request_is_refused_and_the_others_are_answered(policy):
    sampler = LiveSampler(policy)

    async def together():
        wrong = sampler.answer(SamplingRequest(prompt_ids=[], max_new_tokens=3))
        return await asyncio.gather(sampler.answer(asked([1], 1)), wrong, return_exceptions=True)

    right, wrong = asyncio.run(together())
    assert right.completion.token_ids
    assert isinstance(wrong, RequestError)


def test_an_error_of_the_engine_reaches_whoever_waits_and_the_sampler_goes_on(policy):
    sampler = LiveSampler(build("qwen3"))
    good = {name: one.clone() for name, one in sampler._policy.model.state_dict().items()}

    async def diverged():
        await sampler.load({name: one * float("nan") for name, one in good.items()}, 1)
        with pytest.raises(UserError, match="the model's logits are not numbers"):
            await sampler.answer(asked([1, 2], 1))
        await sampler.load(good, 2)
        return await sampler.answer(asked([1, 2], 1))

    assert asyncio.run(diverged()).version == 2


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "verl's own": (
        {"temperature": 1.2, "top_p": 0.9, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True},
        {"temperature": 1.2, "top_p": 0.9, "top_k": 0, "max_new_tokens": LIMIT},
    ),
    "vLLM's": (
        {"max_tokens": 5, "top_k": 20, "stop": ["a", "b"]},
        {"max_new_tokens": 5, "top_k": 20, "stop": ("a", "b")},
    ),
    "SGLang's": ({"max_new_tokens": 4, "min_p": 0.1, "stop": "a"}, {"max_new_tokens": 4, "min_p": 0.1, "stop": ("a",)}),
    "greedy": ({"temperature": 0, "top_k": -1}, {"temperature": 0.0}),
    "no room": ({"max_tokens": 0}, {"max_new_tokens": 1}),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_are_those_of_the_engine(case):
    options, expected = OPTIONS[case]
    request = request_of([1, 2], options, limit=LIMIT, seed=3)
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize("options", [{"repetition_penalty": 1.1}, {"logprobs": 5}, {"frequency_penalty": 0.0}])
def test_an_option_that_cannot_be_honoured_is_refused_by_name(options):
    with pytest.raises(UserError, match=next(iter(options))):
        request_of([1], options, limit=LIMIT, seed=0)


def test_random_numbers_depend_on_the_seed_and_on_the_length_of_the_prompt():
    seeds = [asked(prompt, seed).seed for prompt in ([1], [2], [1, 2]) for seed in (0, 1)]
    assert len(set(seeds)) == 4, "two prompts of the same length share their numbers"
    assert request_of([1], {}, limit=1, seed=9).seed == asked([1], 9).seed
