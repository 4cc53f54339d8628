"""The engine against a loop that decodes each completion alone, without cache, through transformers."""

import dataclasses
import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Generator

import pytest
import torch

import fast
from rekindle.engines import batch
from rekindle.engines.engine import SamplingRequest
from rekindle.engines.generic import GenericDecoder
from rekindle.engines.rows import RowTable
from rekindle.engines.sampling import sample
from rekindle.engines.torch_engine import RequestError, TorchEngine
from rekindle.types import TrainingSample, UserError
from rekindle.warm_starts.tiny_model import build_tiny

KINDS = ["llama", "qwen2", "qwen3", "gpt2"]


def requests_of_all_sorts(count: int, seed: int = 0) -> list[SamplingRequest]:
    rng = random.Random(seed)
    return [
        SamplingRequest(
            prompt_ids=[rng.randrange(27) for _ in range(rng.choice([1, 2, 3, 5, 8, 13, 30]))],
            n=rng.choice([1, 1, 2, 3, 5]),
            temperature=rng.choice([0.0, 0.5, 0.8, 1.0, 1.3, 1.5]),
            max_new_tokens=rng.choice([1, 2, 6, 12, 25]),
            seed=rng.getrandbits(63),
            top_p=rng.choice([1.0, 1.0, 0.9, 0.6]),
            min_p=rng.choice([0.0, 0.0, 0.05]),
            stop=rng.choice([(), (), ("ab",), ("q", "xyz")]),
            min_new_tokens=rng.choice([0, 0, 4]),
            top_k=rng.choice([0, 0, 1, 5, 1000]),
        )
        for _ in range(count)
    ]


def collect(engine: TorchEngine, requests):
    groups = dict(engine.generate(requests))
    assert sorted(groups) == list(range(len(requests)))
    return [groups[index] for index in range(len(requests))]


@torch.no_grad()
def decode_alone(policy, request: SamplingRequest, index: int):
    """One completion, by the whole forward pass for every token: (token ids, log-probabilities, truncated)."""
    table = RowTable([request], policy.max_length, policy.device)
    options = table.options.select(torch.tensor([index]))
    ends = torch.tensor(sorted(policy.eos_ids))
    ids, logprobs = list(request.prompt_ids), []
    while len(logprobs) < request.max_new_tokens and len(ids) < policy.max_length:
        logits = policy.model(input_ids=torch.tensor([ids])).logits[:, -1]
        token, logprob = sample(logits, options.settings, torch.tensor([len(logprobs)]), ends)
        ids.append(int(token.item()))
        logprobs.append(logprob.item())
        sampled = ids[len(request.prompt_ids) :]
        if token.item() in policy.eos_ids or any(text in policy.decode(sampled) for text in request.stop):
            return sampled, logprobs, False
    return ids[len(request.prompt_ids) :], logprobs, True


@pytest.mark.parametrize(
    "case", fast.sample([(kind, rows) for kind in KINDS for rows in (3, 64)], ("gpt2", 3)), ids=str
)
def test_every_completion_is_what_decoding_it_alone_gives(policies, case):
    kind, max_rows = case
    policy = policies(kind)
    requests = requests_of_all_sorts(25)
    for request, completions in zip(requests, collect(TorchEngine(policy, max_rows=max_rows), requests), strict=True):
        assert len(completions) == request.n
        for index, completion in enumerate(completions):
            ids, logprobs, truncated = decode_alone(policy, request, index)
            assert completion.token_ids == ids
            assert completion.logprobs == pytest.approx(logprobs, abs=1e-4)
            assert completion.truncated is truncated
            assert completion.text == policy.decode(ids)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_however_often_the_batch_is_tidied(policies, monkeypatch, kind):
    """Unneeded columns and slots are dropped at every end, and long rows outgrow every buffer."""
    monkeypatch.setattr(batch, "SPARE_COLUMNS", 0)
    monkeypatch.setattr(batch, "COMPACTION_SHARE", 10**6)
    policy = policies(kind)
    long = SamplingRequest([3, 1], n=2, temperature=1.2, max_new_tokens=90, min_new_tokens=90, seed=8)
    requests = [*requests_of_all_sorts(10, seed=3), long, *requests_of_all_sorts(10, seed=4)]
    for request, completions in zip(requests, collect(TorchEngine(policy, max_rows=6), requests), strict=True):
        expected = [decode_alone(policy, request, index)[0] for index in range(request.n)]
        assert [completion.token_ids for completion in completions] == expected


@pytest.mark.parametrize("kind", fast.sample(["qwen3", "gpt2"], "qwen3"))
def test_neighbours_order_and_room_do_not_matter(policies, kind):
    policy = policies(kind)
    mine = SamplingRequest([3, 1, 4, 1, 5], n=4, temperature=1.1, max_new_tokens=20, seed=2**62 + 1)
    alone = collect(TorchEngine(policy), [mine])[0]
    others = requests_of_all_sorts(40, seed=1)
    for max_rows in (4, 64):
        engine = TorchEngine(policy, max_rows=max_rows)
        for place in (0, 17, 40):
            among = collect(engine, [*others[:place], mine, *others[place:]])[place]
            for one, other in zip(alone, among, strict=True):
                assert one.token_ids == other.token_ids
                assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_completions_of_a_group_differ_and_a_larger_group_begins_with_the_smaller_one(policies):
    engine = TorchEngine(policies("llama"))
    request = SamplingRequest([1, 2, 3], n=6, temperature=1.5, max_new_tokens=15, seed=11)
    six, three, other = collect(
        engine, [request, dataclasses.replace(request, n=3), dataclasses.replace(request, seed=12)]
    )
    texts = [completion.text for completion in six]
    assert len(set(texts)) > 1
    assert [completion.text for completion in three] == texts[:3]
    assert [completion.text for completion in other] != texts


@pytest.mark.parametrize("kind", KINDS)
def test_logprobs_are_what_the_trainer_recomputes(policies, kind):
    policy = policies(kind)
    rng = random.Random(5)
    requests = [
        SamplingRequest(
            [rng.randrange(27) for _ in range(length)], n=3, temperature=temperature, max_new_tokens=20, seed=length
        )
        for length, temperature in [(1, 0.5), (4, 0.8), (9, 1.0), (17, 1.2), (33, 1.5)]
    ]
    requests.append(dataclasses.replace(requests[2], top_p=0.7, min_p=0.05, min_new_tokens=6))
    samples, sampled = [], []
    for request, completions in zip(requests, collect(TorchEngine(policy), requests), strict=True):
        for completion in completions:
            ids = [*request.prompt_ids, *completion.token_ids]
            mask = [False] * len(request.prompt_ids) + [True] * len(completion.token_ids)
            zeros = [0.0] * len(ids)
            samples.append(
                TrainingSample(
                    token_ids=ids,
                    loss_mask=mask,
                    logprobs=zeros,
                    advantages=zeros,
                    temperature=request.temperature,
                    weight=1.0,
                )
            )
            sampled += completion.logprobs
    with torch.no_grad():
        recomputed = policy.token_logprobs(samples).logprobs
    torch.testing.assert_close(torch.tensor(sampled), recomputed.float(), atol=1e-4, rtol=0)


def test_a_group_comes_as_soon_as_its_last_completion_has_ended(policies):
    engine = TorchEngine(policies("llama"))
    lengths = [30, 2, 9]
    requests = [SamplingRequest([5], 2, max_new_tokens=n, min_new_tokens=n, seed=n) for n in lengths]
    assert [index for index, _ in engine.generate(requests)] == [1, 2, 0]


def test_more_completions_than_rows_share_one_prefill(policies, monkeypatch):
    engine = TorchEngine(policies("llama"), max_rows=4)
    prompts = []
    prefill = engine._decoder.prefill
    monkeypatch.setattr(
        engine._decoder, "prefill", lambda tokens, *rest: prompts.append(len(tokens)) or prefill(tokens, *rest)
    )
    groups = collect(
        engine, [SamplingRequest([1, 2], n=11, max_new_tokens=3, seed=1), SamplingRequest([3], n=2, seed=2)]
    )
    assert [len(group) for group in groups] == [11, 2]
    assert sum(prompts) == 2


def test_a_prompt_prefilled_beside_a_longer_one_serves_its_later_rows(policies):
    for kind in ("llama", "gpt2"):
        policy = policies(kind)
        requests = [
            SamplingRequest([4] * 30, n=1, max_new_tokens=1, seed=1),
            SamplingRequest([5, 6], n=5, max_new_tokens=3),
        ]
        groups = collect(TorchEngine(policy, max_rows=2), requests)
        for index, completion in enumerate(groups[1]):
            assert completion.token_ids == decode_alone(policy, requests[1], index)[0]


def test_the_context_ends_a_completion(policies):
    policy = policies("gpt2")
    room = 3
    request = SamplingRequest([1] * (policy.max_length - room), max_new_tokens=50, min_new_tokens=50, seed=3)
    [completion] = collect(TorchEngine(policy), [request])[0]
    assert len(completion.token_ids) == room
    assert completion.truncated


def test_an_end_token_at_the_limit_is_an_end(policies):
    policy = policies("llama")
    end = min(policy.eos_ids)
    found = 0
    for group in collect(TorchEngine(policy), [SamplingRequest([2], 400, 1.5, max_new_tokens=1, seed=9)]):
        for completion in group:
            assert completion.truncated is (completion.token_ids != [end])
            found += completion.token_ids == [end]
    assert found


def test_a_stop_text_ends_the_completion_at_the_token_that_completes_it(policies):
    policy = policies("llama")
    free = SamplingRequest([2, 9], 30, 1.5, max_new_tokens=40, seed=4)
    whole = collect(TorchEngine(policy), [free])[0]
    stop = whole[0].text[6:9]
    assert len(stop) == 3
    stopped = collect(TorchEngine(policy), [dataclasses.replace(free, stop=(stop,))])[0]
    for before, after in zip(whole, stopped, strict=True):
        end = before.text.find(stop)
        assert after.text == (before.text if end < 0 else before.text[: end + len(stop)])
        assert after.truncated is (end < 0 and before.truncated)


def test_weights_changed_in_place_are_used_by_the_next_call(fresh_policy):
    policy = fresh_policy("qwen3")
    engine = TorchEngine(policy)
    request = SamplingRequest([3, 1, 4], 8, max_new_tokens=10, seed=5)
    before = collect(engine, [request])[0]
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(0.7)
    after = collect(engine, [request])[0]
    assert before != after
    assert [c.token_ids for c in after] == [decode_alone(policy, request, index)[0] for index in range(8)]


def test_it_is_in_sync_with_its_own_policy_and_refuses_another(fresh_policy):
    policy = fresh_policy("llama")
    engine = TorchEngine(policy)
    engine.sync(policy, 3)
    with pytest.raises(ValueError, match="version 4 is live in another policy than the one this engine samples from"):
        engine.sync(policy.clone_frozen(), 4)


def test_dropped_and_interleaved_generators_leave_nothing_behind(policies):
    engine = TorchEngine(policies("llama"), max_rows=5)
    requests = requests_of_all_sorts(12)
    expected = collect(engine, requests)
    abandoned = engine.generate(requests)
    next(abandoned)
    assert isinstance(abandoned, Generator)
    one, other = engine.generate(requests), engine.generate(requests[::-1])
    groups, reversed_groups = {}, {}
    for (index, group), (backwards, reversed_group) in zip(one, other, strict=True):
        groups[index] = group
        reversed_groups[len(requests) - 1 - backwards] = reversed_group
        del group, reversed_group
    abandoned.close()
    for index, group in enumerate(expected):
        for many in (groups, reversed_groups):
            assert [c.token_ids for c in many[index]] == [c.token_ids for c in group]


def test_an_interruption_ends_all_completions_where_they_are(policies):
    requests = [SamplingRequest([1, 2, 3], n=2, max_new_tokens=20, seed=seed, min_new_tokens=20) for seed in range(3)]
    engine, asked = TorchEngine(policies("qwen3"), max_rows=4), []
    whole = collect(engine, requests)

    def interrupted():
        asked.append(True)
        return len(asked) > 5

    cut = dict(engine.generate(requests, interrupted=interrupted))
    lengths = [len(one.token_ids) for index in range(3) for one in cut[index]]
    assert lengths == [5, 5, 5, 5, 0, 0], "two rows were waiting"
    for index in range(3):
        for one, longer in zip(cut[index], whole[index], strict=True):
            assert one.truncated
            assert one.token_ids == longer.token_ids[: len(one.token_ids)]
            assert one.logprobs == pytest.approx(longer.logprobs[: len(one.logprobs)], abs=1e-5)


def test_the_caller_keeps_its_own_gradient_mode_and_random_state(policies):
    policy = policies("llama")
    state = torch.random.get_rng_state()
    for _ in TorchEngine(policy).generate(requests_of_all_sorts(4)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
    assert torch.equal(state, torch.random.get_rng_state())
    assert not any(parameter.is_inference() for parameter in policy.model.parameters())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_diverged_weights_are_reported(fresh_policy, kind):
    policy = fresh_policy(kind)
    engine = TorchEngine(policy)
    with torch.no_grad():
        policy.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="weights have diverged"):
        list(engine.generate([SamplingRequest([1, 2], n=3, max_new_tokens=4)]))


def test_no_request_gives_nothing(policies):
    assert list(TorchEngine(policies("llama")).generate([])) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt_ids": []}, "prompt_ids is empty"),
        ({"prompt_ids": [1] * 96}, "prompt_ids has 96 tokens and the context holds 96"),
        ({"prompt_ids": [1, 30]}, "prompt_ids contains 30, and the vocabulary has 30 tokens"),
        ({"prompt_ids": [-1]}, "prompt_ids contains -1"),
        ({"n": 0}, "n = 0"),
        ({"temperature": -0.5}, "temperature = -0.5"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"max_new_tokens": 0}, "max_new_tokens = 0"),
        ({"top_k": -1}, r"top_k = -1"),
        ({"top_p": 0.0}, r"top_p = 0\.0"),
        ({"min_p": 1.0}, r"min_p = 1\.0"),
        ({"stop": ("x", "")}, "stop contains an empty text"),
        ({"min_new_tokens": -1}, "min_new_tokens = -1"),
    ],
)
def test_bad_requests_are_refused_by_the_call_itself(policies, change, message):
    good = SamplingRequest([1, 2])
    with pytest.raises(RequestError, match=f"^request 1: {message}"):
        TorchEngine(policies("llama")).generate([good, dataclasses.replace(good, **change)])


def test_no_rows_are_refused(policies):
    with pytest.raises(ValueError, match="max_rows = 0"):
        TorchEngine(policies("llama"), max_rows=0)


def test_models_of_another_shape_decode_through_transformers(policies):
    assert isinstance(TorchEngine(policies("gpt2"))._decoder, GenericDecoder)
    assert not isinstance(TorchEngine(policies("qwen2"))._decoder, GenericDecoder)


def fingerprint() -> str:
    """All token ids and log-probabilities that a small policy samples."""
    torch.set_num_threads(1)
    engine = TorchEngine(build_tiny(seed=3), max_rows=16)
    groups = collect(engine, requests_of_all_sorts(30))
    return hashlib.sha256(repr(groups).encode()).hexdigest()


@pytest.mark.slow
def test_the_same_call_gives_the_same_bits_here_and_in_a_fresh_process():
    here = fingerprint()
    assert fingerprint() == here
    command = [sys.executable, "-c", "import test_torch_engine; print(test_torch_engine.fingerprint())"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    there = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert there.stdout.strip() == here
