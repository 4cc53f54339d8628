"""Conversations: a cache kept across turns, separate requests per turn and the model itself give equal results."""

import dataclasses

import pytest
import torch

import fast
from rekindle.engines.conversing import converse
from rekindle.engines.engine import Converser, Metered, PartnerTurn, SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.types import UserError


class Interviewer:
    """Partner whose replies depend on the turns; a conversation ends after a fixed number of turns."""

    def __init__(self, requests, turns, widest=9):
        self.seen = {}
        self.texts = {
            (index, sample): list(request.prompt_ids)
            for index, request in enumerate(requests)
            for sample in range(request.n)
        }
        self._turns, self._widest = turns, widest
        self.asked = []

    def on_turn(self, request, sample, completion):
        name = request, sample
        self.seen.setdefault(name, []).append(completion)
        self.texts[name] += completion.token_ids
        return len(self.seen[name]) < self._turns(name)

    def respond(self, conversations):
        self.asked.append(len(conversations))
        replies = []
        for name in conversations:
            last = self.seen[name][-1]
            words = [(3 * token + 1) % 26 for token in last.token_ids][: self._widest] + [len(self.seen[name])] * (
                1 + name[1] % self._widest
            )
            self.texts[name] += words
            replies.append(PartnerTurn(words, max_new_tokens=2 + len(self.seen[name]), stop=("b",)))
        return replies


class WithoutCache:
    """The same engine, which can only generate."""

    def __init__(self, engine):
        self.generate = engine.generate


REQUESTS = [
    SamplingRequest([5, 3, 1], n=5, max_new_tokens=6, seed=11, stop=("a", "c")),
    SamplingRequest([2, 2, 7, 8, 9, 1, 0, 4, 4], n=3, max_new_tokens=3, seed=12, temperature=0.7),
    SamplingRequest([8], n=4, max_new_tokens=9, seed=13, top_p=0.9, stop=("b",)),
    SamplingRequest([1, 6], n=1, max_new_tokens=4, seed=14, temperature=0),
]


def held(engine, requests=REQUESTS, turns=lambda name: 1 + (name[0] + name[1]) % 4):
    partner = Interviewer(requests, turns)
    converse(engine, requests, partner)
    return partner


@pytest.mark.parametrize("max_rows", fast.sample([256, 4, 1], 4))
@pytest.mark.parametrize("kind", fast.sample(["llama", "qwen2", "qwen3", "gpt2", "bloom"], "qwen3", "gpt2", "bloom"))
def test_the_kept_cache_changes_nothing(policies, kind, max_rows):
    engine = TorchEngine(policies(kind), max_rows=max_rows)
    assert isinstance(engine, Converser)
    ours, theirs = held(engine), held(WithoutCache(engine))
    assert ours.texts == theirs.texts
    for name, turns in theirs.seen.items():
        for one, other in zip(ours.seen[name], turns, strict=True):
            assert (one.token_ids, one.text, one.truncated) == (other.token_ids, other.text, other.truncated)
            assert one.logprobs == pytest.approx(other.logprobs, abs=2e-5)


def test_log_probabilities_are_those_of_the_model(policies):
    policy = policies("llama")
    partner = held(TorchEngine(policy, max_rows=5))
    for name, ids in partner.texts.items():
        logits = policy.model(input_ids=torch.tensor([ids])).logits[0].detach()
        temperature = REQUESTS[name[0]].temperature or 1.0
        logprobs = torch.log_softmax(logits / temperature, -1)
        place = len(REQUESTS[name[0]].prompt_ids)
        for number, turn in enumerate(partner.seen[name]):
            assert ids[place : place + len(turn.token_ids)] == turn.token_ids
            wanted = [float(logprobs[place + offset - 1, token]) for offset, token in enumerate(turn.token_ids)]
            assert turn.logprobs == pytest.approx(wanted, abs=1e-4)
            place += len(turn.token_ids)
            if number + 1 < len(partner.seen[name]):
                place += len([*turn.token_ids[:9], *[0] * (1 + name[1] % 9)])
        assert place == len(ids)


def test_only_replies_are_computed_again(policies, monkeypatch):
    engine = TorchEngine(policies("llama"))
    passes = []
    prefill = engine._decoder.prefill

    def noting(tokens, starts, columns, kept=()):
        passes.append((tuple(tokens.shape), columns, len(kept)))
        return prefill(tokens, starts, columns, kept)

    monkeypatch.setattr(engine._decoder, "prefill", noting)
    long = [SamplingRequest([1] * 60, n=3, max_new_tokens=1, seed=1)]
    held(engine, long, turns=lambda name: 3)
    (shape, columns, kept), *later = passes
    assert (shape, columns, kept) == ((1, 60), 60, 0)
    assert later
    assert all(kept and shape[1] <= 7 and columns > 60 for shape, columns, kept in later)


def test_a_conversation_does_not_depend_on_its_neighbours(policies):
    engine = TorchEngine(policies("qwen3"), max_rows=3)
    together = held(engine)
    for index, request in enumerate(REQUESTS):
        alone = held(engine, [request], turns=lambda name, index=index: 1 + (index + name[1]) % 4)
        for sample in range(request.n):
            assert alone.texts[0, sample] == together.texts[index, sample]


def test_the_same_call_gives_the_same_bits(policies):
    engine = TorchEngine(policies("llama"), max_rows=6)
    assert held(engine).seen == held(engine).seen


def test_turns_have_random_numbers_of_their_own(policies):
    engine = TorchEngine(policies("llama"))
    request = SamplingRequest([5], n=6, max_new_tokens=4, seed=3, temperature=50.0)
    partner = held(engine, [request], turns=lambda name: 3)
    turns = {tuple(turn.token_ids) for turns in partner.seen.values() for turn in turns}
    assert len(turns) == 18


def test_a_partner_may_compute_gradients(policies):
    class Learner(Interviewer):
        def respond(self, conversations):
            weight = torch.nn.Parameter(torch.ones(2))
            (weight * 3).sum().backward()
            assert weight.grad is not None
            assert weight.grad.tolist() == [3, 3]
            return super().respond(conversations)

    partner = Learner(REQUESTS[:1], lambda name: 2)
    converse(TorchEngine(policies("llama")), REQUESTS[:1], partner)
    assert partner.asked


def test_a_reply_that_fills_the_context_is_an_error(policies):
    class Talker(Interviewer):
        def respond(self, conversations):
            return [PartnerTurn([1] * 95, 4) for _ in conversations]

    with pytest.raises(ValueError, match="leaves no room for a turn in 96"):
        converse(TorchEngine(policies("llama")), REQUESTS[:1], Talker(REQUESTS[:1], lambda name: 2))


def test_bad_requests_are_refused_before_anything_is_sampled(policies):
    engine = TorchEngine(policies("llama"))
    bad = [REQUESTS[0], dataclasses.replace(REQUESTS[1], n=0)]
    with pytest.raises(UserError, match="request 1: n = 0"):
        engine.converse(bad, Interviewer(bad, lambda name: 1))
    engine.converse([], Interviewer([], lambda name: 1))


def test_a_conversation_counts_once_and_all_its_sampled_tokens(policies):
    engine = TorchEngine(policies("qwen3"), max_rows=4)
    partner = held(engine)
    assert engine.meter.rollouts == sum(request.n for request in REQUESTS) == len(partner.seen)
    assert engine.meter.tokens == sum(len(turn.token_ids) for turns in partner.seen.values() for turn in turns)


def test_completions_and_tokens_are_counted_while_they_are_sampled(policies):
    engine = TorchEngine(policies("qwen3"), max_rows=4)
    assert isinstance(engine, Metered)
    ended, tokens = 0, 0
    for _, group in engine.generate(REQUESTS):
        ended, tokens = ended + len(group), tokens + sum(len(one.token_ids) for one in group)
        assert engine.meter.rollouts >= ended
        assert engine.meter.tokens >= tokens
    assert (engine.meter.rollouts, engine.meter.tokens) == (ended, tokens)
