"""Rows drawn with seeds and temperatures of their own: transformers' generate, turns with tools, vLLM."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from rekindle.engines.engine import SamplingRequest
from rekindle.engines.torch_engine import TorchEngine
from rekindle.integrations.trl.sampling.row_plan import RowPlan
from rekindle.integrations.trl.sampling.row_sampling import Cuts, RowDraws, RowSeed, check_generation, drawing
from rekindle.models.policy import Policy
from rekindle.types import UserError

PROMPTS = ["1+2=", "a", "9+9=", "zebra crossing=", "1+2="]
ROWS = [RowSeed(11, 0, 1.0), RowSeed(12, 3, 0.7), RowSeed(2**63 - 1, 1, 1.6), RowSeed(0, 0, 1.2), RowSeed(11, 1, 1.0)]


def single_turn(trainer, prompts, draws):
    """What TRL's own method samples for token prompts, with the log-probabilities of the draws."""
    with drawing(trainer, draws):
        completions, nothing = trainer._generate_single_turn(prompts, None, {}, 1)
    assert nothing is None
    return completions, draws.logprobs(completions)


def encoded(tokenizer, prompts=PROMPTS):
    return [tokenizer(one)["input_ids"] for one in prompts]


def natively(model, tokenizer, prompts, rows, **limits):
    """The same rows by the native engine."""
    engine = TorchEngine(Policy(model, tokenizer))
    requests = [
        SamplingRequest(prompt, n=row.index + 1, temperature=row.temperature, seed=row.seed, **limits)
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    found = dict(engine.generate(requests))
    return [found[number][row.index] for number, row in enumerate(rows)]


@pytest.mark.parametrize("cuts", [{}, {"top_p": 0.8}, {"min_p": 0.2}, {"top_p": 0.9, "min_p": 0.05}])
def test_tokens_and_logprobs_equal_those_of_the_native_engine(trainer, tokenizer, cuts):
    made, prompts = trainer(), encoded(tokenizer)
    completions, logprobs = single_turn(made, prompts, RowPlan(ROWS, Cuts(**cuts)).begin(prompts))
    native = natively(made.model.eval(), tokenizer, prompts, ROWS, max_new_tokens=8, **cuts)
    assert completions == [one.token_ids for one in native]
    for ours, theirs in zip(logprobs, native, strict=True):
        assert ours == pytest.approx(theirs.logprobs, abs=1e-5)


def test_rows_of_trl_are_the_same_in_another_order_and_with_other_padding(trainer, tokenizer):
    made, prompts = trainer(), encoded(tokenizer)
    whole, logprobs = single_turn(made, prompts, RowPlan(ROWS).begin(prompts))
    for kept in ([0], [4, 2, 0], [1, 2], [3, 1, 4, 0, 2]):
        some = [prompts[row] for row in kept]
        part, values = single_turn(made, some, RowPlan([ROWS[row] for row in kept]).begin(some))
        assert part == [whole[row] for row in kept]
        for one, row in zip(values, kept, strict=True):
            assert one == pytest.approx(logprobs[row], abs=1e-5)
    assert len({tuple(one) for one in whole}) == 5


@pytest.fixture(scope="module")
def scorer():
    """Scores [B, V] of sequences that depend on the sequence alone: a model without rounding."""

    def scores(sequences):
        rows = []
        for sequence in sequences:
            generator = torch.Generator().manual_seed(hash(tuple(sequence)) % 2**31)
            rows.append(torch.randn(50, generator=generator) * 2)
        return torch.stack(rows)

    return scores


def played(scorer, sequences, draws, steps):
    """The sequences after some steps of draws."""
    sequences = [list(one) for one in sequences]
    for _ in range(steps):
        allowed = draws(torch.zeros(1), scorer(sequences))
        assert allowed.isfinite().sum(dim=1).tolist() == [1] * len(sequences)
        for sequence, token in zip(sequences, allowed.argmax(dim=1).tolist(), strict=True):
            sequence.append(token)
    return sequences


ROW = st.builds(RowSeed, st.integers(0, 2**63 - 1), st.integers(0, 20), st.sampled_from([0.3, 1.0, 1.7]))


@settings(max_examples=30)
@given(rows=st.lists(ROW, min_size=1, max_size=6, unique=True), data=st.data())
def test_a_row_is_the_same_whatever_the_other_rows(scorer, rows, data):
    order = data.draw(st.permutations(range(len(rows))))
    kept = order[: data.draw(st.integers(1, len(rows)))]
    prompts = [[number, 1, 2] for number in range(len(rows))]
    cuts = Cuts(top_k=data.draw(st.sampled_from([0, 5])), top_p=data.draw(st.sampled_from([1.0, 0.9])))
    whole = played(scorer, prompts, RowPlan(rows, cuts).begin(prompts), steps=4)
    some = [prompts[row] for row in kept]
    part = played(scorer, some, RowPlan([rows[row] for row in kept], cuts).begin(some), steps=4)
    assert part == [whole[row] for row in kept]


def test_other_seeds_indexes_and_positions_draw_other_tokens():
    flat = torch.zeros(4, 4000)
    base = RowSeed(5, 0, 1.0)
    draws = RowDraws([base, RowSeed(6, 0, 1.0), RowSeed(5, 1, 1.0), base], [0, 0, 0, 1], Cuts())
    first, second = draws(torch.zeros(1), flat).argmax(1).tolist(), draws(torch.zeros(1), flat).argmax(1).tolist()
    assert len({*first}) == 4
    assert second[0] == first[3]


@pytest.mark.parametrize(("top_k", "allowed"), [(1, {3}), (2, {3, 2}), (0, {0, 1, 2, 3})])
def test_top_k_keeps_the_likeliest_and_logprobs_are_those_before_it(top_k, allowed):
    scores = torch.tensor([[0.1, 0.2, 0.5, 0.6]]).repeat(200, 1)
    draws = RowDraws([RowSeed(1, index, 0.5) for index in range(200)], [0] * 200, Cuts(top_k=top_k))
    tokens = draws(torch.zeros(1), scores).argmax(dim=1)
    assert set(tokens.tolist()) == allowed
    expected = torch.log_softmax(scores / 0.5, dim=1).gather(1, tokens[:, None])
    assert torch.tensor(draws.logprobs(tokens[:, None].tolist())) == pytest.approx(expected, abs=1e-6)


def test_shares_of_tokens_follow_each_rows_temperature():
    scores = torch.tensor([[0.0, 1.0, 2.0]]).repeat(4000, 1)
    heats = [0.5] * 2000 + [2.0] * 2000
    draws = RowDraws([RowSeed(3, index, heat) for index, heat in enumerate(heats)], [0] * 4000, Cuts())
    tokens = draws(torch.zeros(1), scores).argmax(dim=1)
    for part, heat in ((tokens[:2000], 0.5), (tokens[2000:], 2.0)):
        shares = torch.bincount(part, minlength=3) / 2000
        assert shares == pytest.approx(torch.softmax(scores[0] / heat, 0), abs=0.04)


def test_transformers_processors_come_before_the_draws(trainer, tokenizer):
    prompts = encoded(tokenizer)
    made = trainer(generation_kwargs={"min_new_tokens": 6, "suppress_tokens": [3, 4]}, max_completion_length=6)
    completions, logprobs = single_turn(made, prompts, RowPlan(ROWS).begin(prompts))
    assert [len(one) for one in completions] == [6] * 5
    assert not {3, 4} & {token for one in completions for token in one}
    assert all(value < 0 for row in logprobs for value in row)


def test_no_warper_runs_and_defaults_of_the_model_do_not_cut(trainer, tokenizer, monkeypatch):
    made, prompts = trainer(temperature=0.5, top_p=0.5, top_k=3, min_p=0.1), encoded(tokenizer)
    seen = []
    merged = made.model._get_logits_processor

    def watched(*args, **options):
        seen.append(merged(*args, **options))
        return seen[-1]

    monkeypatch.setattr(made.model, "_get_logits_processor", watched)
    plain = single_turn(made, prompts, RowPlan(ROWS).begin(prompts))
    assert [[type(one) for one in processors] for processors in seen] == [[RowDraws]]
    made.model.generation_config.update(top_k=1, top_p=0.1, min_p=0.9, temperature=0.1, typical_p=0.2)
    assert single_turn(made, prompts, RowPlan(ROWS).begin(prompts)) == plain
    assert made.generation_config.top_k == 3


def failing():
    raise ZeroDivisionError


def test_generate_is_as_before_afterwards_also_after_an_error(trainer):
    made = trainer()
    before = made.model.generate
    with drawing(made, RowDraws([], [], Cuts())):
        assert made.model.generate != before
    with pytest.raises(ZeroDivisionError), drawing(made, RowDraws([], [], Cuts())):
        failing()
    assert made.model.generate == before
    assert "generate" not in vars(made.model)


def test_a_peft_model_samples_its_rows_as_the_native_engine_does(trainer, tokenizer, tiny_model):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(tiny_model, config)
    made, prompts = trainer(model=adapted), encoded(tokenizer)
    completions, logprobs = single_turn(made, prompts, RowPlan(ROWS).begin(prompts))
    merged = adapted.merge_and_unload()
    native = natively(merged, tokenizer, prompts, ROWS, max_new_tokens=8)
    assert completions == [one.token_ids for one in native]
    assert logprobs[0] == pytest.approx(native[0].logprobs, abs=1e-4)


def test_a_wrapped_model_is_unwrapped(trainer, tokenizer):
    made, prompts = trainer(), encoded(tokenizer)
    plain = single_turn(made, prompts, RowPlan(ROWS).begin(prompts))
    store = torch.distributed.HashStore()  # type: ignore[attr-defined] # torch does not list it
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        made.model_wrapped = torch.nn.parallel.DistributedDataParallel(made.model)
        assert single_turn(made, prompts, RowPlan(ROWS).begin(prompts)) == plain
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_beams", 4), ("do_sample", False), ("typical_p", 0.5), ("epsilon_cutoff", 0.1), ("top_h", 0.4)],
)
def test_options_that_draws_cannot_honour_are_refused_by_name(name, value):
    check_generation(GenerationConfig(do_sample=True))
    with pytest.raises(UserError, match=f"generation_kwargs has {name} = {value}"):
        check_generation(GenerationConfig(**({"do_sample": True} | {name: value})))


def test_wrong_numbers_of_rows_and_other_tokens_are_named():
    draws = RowDraws([RowSeed(1, 0, 1.0)], [0], Cuts())
    with pytest.raises(RuntimeError, match="samples 2 rows, and 1 were planned"):
        draws(torch.zeros(1), torch.zeros(2, 5))
    token = int(draws(torch.zeros(1), torch.zeros(1, 5)).argmax())
    with pytest.raises(RuntimeError, match="did not return the tokens that were drawn"):
        draws.logprobs([[(token + 1) % 5]])
    with pytest.raises(RuntimeError, match="asks for 2 rows, and 1 were planned"):
        RowPlan([RowSeed(1, 0, 1.0)]).begin([[1], [2]])
