import pytest
import torch
from model_zoo import completion

import rekindle.models.attention as attention
from rekindle.models.architecture import LayerWeights
from rekindle.models.attention import Projection, attend, attention_inputs, attention_outputs
from rekindle.models.kernels import Kernels
from rekindle.models.layout import Heads, pack
from rekindle.models.samples import rows_of

HEADS, DIM, WIDTH = Heads(4, 2), 4, 6
SAMPLES = [
    completion([1, 2, 3], [4, 5, 6, 7], prompt_key=1),
    completion([1, 2, 3], [8, 9], prompt_key=1),
    completion([2, 1], [3, 1, 2]),
]


def layer_weights(biases, norms):
    generator = torch.Generator().manual_seed(3)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    queries, keys = HEADS.query * DIM, HEADS.key * DIM
    unused = torch.zeros(0)
    return LayerWeights(
        input_norm=random(WIDTH),
        q=random(queries, WIDTH),
        k=random(keys, WIDTH),
        v=random(keys, WIDTH),
        o=unused,
        q_bias=random(queries) if biases else None,
        k_bias=random(keys) if biases else None,
        v_bias=random(keys) if biases else None,
        o_bias=None,
        q_norm=random(DIM) if norms else None,
        k_norm=random(DIM) if norms else None,
        post_norm=unused,
        gate=unused,
        up=unused,
        down=unused,
    )


def projection(layout):
    frequencies = torch.tensor([1.0, 0.3], dtype=torch.float64)
    rotation = torch.polar(torch.ones(1, dtype=torch.float64), layout.positions[:, None] * frequencies)[:, None]
    return Projection(HEADS, DIM, 1e-3, rotation, layout.inputs, Kernels())


def differentiable(layer):
    names = ("input_norm", "q", "k", "v", "q_bias", "k_bias", "v_bias", "q_norm", "k_norm")
    return [getattr(layer, name) for name in names if getattr(layer, name) is not None]


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
def test_projections_have_their_derivative(biases, norms, repeated):
    layout = pack(rows_of(SAMPLES, 32), HEADS, torch.device("cpu"))
    layer, how = layer_weights(biases, norms), projection(layout)
    rows = layout.token_ids.numel() if repeated else layout.positions.numel()
    x = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    repeats = layout.tokens if repeated else None

    def slots(*_):
        return attention_inputs(x, layer, how, repeats).index_fill(0, layout.inputs.padding, 0)

    assert torch.autograd.gradcheck(slots, (x, *differentiable(layer)), fast_mode=True)


def test_distinct_rows_give_what_all_rows_give():
    layout = pack(rows_of(SAMPLES, 32), HEADS, torch.device("cpu"))
    layer, how = layer_weights(biases=True, norms=True), projection(layout)
    distinct = torch.randn(layout.token_ids.numel(), WIDTH, dtype=torch.float64)
    everything = attention_inputs(distinct[layout.tokens.index], layer, how)
    torch.testing.assert_close(attention_inputs(distinct, layer, how, layout.tokens), everything)


@pytest.mark.parametrize("longest_explicit", [0, 512])
def test_attention_has_its_derivative(longest_explicit, monkeypatch):
    monkeypatch.setattr(attention, "_LONGEST_EXPLICIT", longest_explicit)
    layout = pack(rows_of(SAMPLES, 32), HEADS, torch.device("cpu"))
    slots = torch.randn(layout.inputs.index.numel(), DIM, dtype=torch.float64, requires_grad=True)

    def mixed(slots):
        return attention_outputs(attend(slots, layout.blocks, HEADS), layout.outputs, HEADS)

    assert torch.autograd.gradcheck(mixed, (slots,), fast_mode=True)


def test_both_ways_of_attending_agree(monkeypatch):
    layout = pack(rows_of(SAMPLES, 32), HEADS, torch.device("cpu"))
    slots = torch.randn(layout.inputs.index.numel(), DIM, dtype=torch.float64)
    explicit = attend(slots, layout.blocks, HEADS)
    monkeypatch.setattr(attention, "_LONGEST_EXPLICIT", 0)
    torch.testing.assert_close(attend(slots, layout.blocks, HEADS), explicit)
