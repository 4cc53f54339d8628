from typing import Any

import pytest
import torch
from model_zoo import MAX_LENGTH, assert_same_gradients, batches, gradients, make_model

import rekindle.models.kernels as kernels
from rekindle.models.kernels import Kernels, measure_kernels
from rekindle.models.packed import PackedForward
from rekindle.models.samples import rows_of

ONEDNN = Kernels(linear="onednn", input_grad="onednn", weight_grad="onednn")
needs_onednn = pytest.mark.skipif(not kernels._has_onednn(), reason="this torch has no oneDNN")


@pytest.fixture
def fresh(monkeypatch):
    """Forget what this process measured."""
    monkeypatch.setattr(kernels, "_measured", {})
    return monkeypatch


@pytest.mark.parametrize("choice", [Kernels(), pytest.param(ONEDNN, marks=needs_onednn)])
@pytest.mark.parametrize(("rows", "width", "out"), [(5, 3, 7), (1, 16, 4), (64, 32, 32)])
def test_products_are_those_of_the_definition(choice, rows, width, out):
    x, weight, grad, bias = torch.randn(rows, width), torch.randn(out, width), torch.randn(rows, out), torch.randn(out)
    exact: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(choice.forward(x, weight), x @ weight.t(), **exact)
    torch.testing.assert_close(choice.forward(x, weight, bias), x @ weight.t() + bias, **exact)
    torch.testing.assert_close(choice.forward(x, weight, bias, add=grad), x @ weight.t() + bias + grad, **exact)
    torch.testing.assert_close(choice.to_input(grad, weight), grad @ weight, **exact)
    torch.testing.assert_close(choice.to_input(grad, weight, add=x.clone()), grad @ weight + x, **exact)
    torch.testing.assert_close(choice.to_weight(grad, x), grad.t() @ x, **exact)


@needs_onednn
@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
def test_the_whole_pass_agrees_whoever_multiplies(kind):
    model, rows = make_model(kind), rows_of(batches()["shared_prompts"], MAX_LENGTH)
    results = [PackedForward(model, choice)(rows).logprobs for choice in (Kernels(), ONEDNN)]
    torch.testing.assert_close(*results, rtol=1e-5, atol=2e-6)
    assert_same_gradients(*(gradients(model, result) for result in results))


@needs_onednn
@pytest.mark.parametrize("decode", ["torch", "onednn"])
@pytest.mark.parametrize("rows", [1, 5, 64, 100])
def test_prepared_weights_give_the_product_for_any_number_of_rows(decode, rows):
    x, weight, bias, add = torch.randn(rows, 48), torch.randn(96, 48), torch.randn(96), torch.randn(rows, 96)
    choice = Kernels(decode=decode)
    prepared = choice.prepare(weight)
    assert prepared.arranged == (decode == "onednn")
    exact: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(choice.decoded(x, prepared), x @ weight.t(), **exact)
    torch.testing.assert_close(choice.decoded(x, prepared, bias), x @ weight.t() + bias, **exact)
    torch.testing.assert_close(choice.decoded(x, prepared, add=add), x @ weight.t() + add, **exact)


@needs_onednn
def test_only_large_weights_are_prepared(fresh):
    fresh.setattr(kernels, "_race", lambda *_: {"torch": 1.0, "onednn": 1.0})
    fresh.setattr(kernels, "_race_decoding", lambda shape, times: {"torch": 2.0 * times, "onednn": 1.0 * times})
    large = measure_kernels([(8, 4)], {(512, 512): 3, (4, 4): 1})
    # 2 * 32 rows * (3 * 512 * 512 + 4 * 4) operations in 8 s and in 4 s.
    assert (large.decode, large.gigaflops["decode"]) == ("onednn", {"torch": 0.0, "onednn": 0.0})
    small = measure_kernels([(8, 4)], {(511, 512): 1})
    assert (small.decode, "decode" in small.gigaflops) == ("torch", False)
    assert measure_kernels([(512, 512)]).decode == "torch", "nothing is decoded"


@needs_onednn
def test_a_race_of_prepared_weights_times_both(monkeypatch):
    monkeypatch.setattr(kernels, "_BEYOND_CACHES", 2**12)
    once, twice = (kernels._race_decoding((256, 64), times) for times in (1, 200))  # a part of 64 rows, 4 times
    assert set(once) == {"torch", "onednn"}
    assert all(0 < once[library] < twice[library] for library in once)


def test_a_checkpoint_from_before_the_choice_for_decoding_decodes_as_it_did():
    description = Kernels().describe()
    del description["decode"]
    assert Kernels.from_description(description).decode == "torch"


def seconds(**by_kind):
    """Pretend measurements: kind -> (torch's seconds, oneDNN's)."""
    return lambda kind, problem: dict(zip(("torch", "onednn"), by_kind[kind], strict=True))


@needs_onednn
def test_only_a_clear_win_changes_the_library(fresh):
    fresh.setattr(kernels, "_race", seconds(linear=(2.0, 1.0), input_grad=(1.1, 1.0), weight_grad=(1.0, 3.0)))
    chosen = measure_kernels([(8, 4)])
    assert (chosen.linear, chosen.input_grad, chosen.weight_grad) == ("onednn", "torch", "torch")
    # N = 2048 rows: 2 * 2048 * 8 * 4 operations in 2 s and in 1 s are below 0.05 GFLOP/s.
    assert chosen.gigaflops["linear"] == {"torch": 0.0, "onednn": 0.0}


@needs_onednn
def test_products_that_are_not_true_float32_are_refused(fresh):
    fresh.setattr(kernels, "_race", seconds(linear=(9.0, 1.0), input_grad=(9.0, 1.0), weight_grad=(9.0, 1.0)))
    product = kernels._onednn
    fresh.setattr(kernels, "_onednn", lambda x, weight, bias: product(x.bfloat16().float(), weight, bias))
    assert measure_kernels([(8, 4)]).describe() | {"gigaflops": 0} == Kernels().describe() | {"gigaflops": 0}


def test_without_onednn_nothing_is_measured(fresh):
    fresh.setattr(kernels, "_has_onednn", lambda: False)
    fresh.setattr(kernels, "_race", lambda *_: pytest.fail("measured"))
    assert measure_kernels([(8, 4)]) == Kernels()


def test_a_process_measures_once_for_a_shape(fresh):
    first = measure_kernels([(8, 4), (4, 8), (2, 2)])
    fresh.setattr(kernels, "_race", lambda *_: pytest.fail("measured again"))
    assert measure_kernels([(4, 8), (8, 4)]) is first


def test_the_choice_survives_a_checkpoint(fresh):
    chosen = Kernels(linear="onednn", gigaflops={"linear": {"torch": 1.0, "onednn": 2.0}})
    fresh.setattr(kernels, "_has_onednn", lambda: True)
    assert Kernels.from_description(chosen.describe()) == chosen
    fresh.setattr(kernels, "_has_onednn", lambda: False)
    with pytest.raises(ValueError, match="linear was oneDNN's, which this torch lacks; resume with the torch"):
        Kernels.from_description(chosen.describe())
    with pytest.raises(ValueError, match="kernel input_grad = 'cuda' is unknown"):
        Kernels.from_description({**Kernels().describe(), "input_grad": "cuda"})
