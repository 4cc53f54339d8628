"""Sizes of models and memory of a GPU, by hand."""

import dataclasses

import pytest

from rekindle.planning.cluster_memory import (
    ENGINE_WORKSPACE,
    RESERVED,
    ClusterShape,
    activation_bytes,
    layer_bytes,
    memory_of,
)
from rekindle.planning.shapes import SHAPES, ModelShape, shape_of

TINY = ModelShape(
    layers=2, hidden_size=8, intermediate_size=16, heads=4, kv_heads=2, head_size=2, vocabulary=10, tied=False
)
"""A layer: 8 x (8 + 4 + 4) queries, keys and values, 8 x 8 output, 3 x 8 x 16 MLP, 2 x 8 norms = 592; outside 168."""
CLUSTER = ClusterShape(
    nodes=2, gpus_per_node=4, tensor_parallel=2, engine_share=0.5, tokens_per_gpu=100, gpu_bytes=20e9
)


def test_a_model_is_counted_by_hand():
    assert TINY.layer_parameters == 128 + 64 + 384 + 16 == 592
    assert TINY.outer_parameters == 10 * 8 * 2 + 8 == 168
    assert TINY.parameters == 2 * 592 + 168
    assert dataclasses.replace(TINY, tied=True).parameters == TINY.parameters - 80
    assert dataclasses.replace(TINY, biased=True).layer_parameters == 592 + 16
    assert dataclasses.replace(TINY, normed=True).layer_parameters == 592 + 4


def test_the_cache_of_a_token_is_shared_by_the_gpus_of_an_engine():
    assert [TINY.cache_bytes(size) for size in (1, 2, 4)] == [2 * 2 * 2 * 2 * 2, 16, 16]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen/Qwen3-1.7B", 1_720_574_976),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen2.5-32B-Instruct", 32_763_876_352),
    ],
)
def test_known_models_have_as_many_parameters_as_their_files(name, parameters):
    assert SHAPES[name].parameters == parameters


def test_a_configuration_file_gives_the_shape():
    config = {
        "model_type": "qwen3", "num_hidden_layers": 28, "hidden_size": 2048, "intermediate_size": 6144,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "tie_word_embeddings": True,
    }  # fmt: skip
    assert shape_of(config) == SHAPES["Qwen/Qwen3-1.7B"]
    llama = {**config, "model_type": "llama", "head_dim": None, "num_key_value_heads": None}
    assert shape_of(llama) == dataclasses.replace(SHAPES["Qwen/Qwen3-1.7B"], kv_heads=16, normed=False)


def test_activations_are_the_inputs_of_layers_a_layer_with_gradients_and_the_logits():
    """A token: 2 inputs of 8 values; norms 2 x 8 x 8 bytes, attention 2 x (16 + 8), MLP 8 x 16; 10 logits of 8."""
    assert layer_bytes(TINY) == 128 + 48 + 128
    assert activation_bytes(TINY, 100) == 100 * (2 * 2 * 8 + 304 + 2 * (2 * 8 + 3 * 16) + 8 * 10)


@pytest.mark.parametrize("kind", ["Qwen2", "Qwen3"])
def test_a_layer_of_transformers_keeps_as_much(kind):
    """Qwen3 also keeps what the norms of its heads need."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=1, num_attention_heads=8, num_key_value_heads=2,
        head_dim=32, vocab_size=64, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    shape, tokens = shape_of(config.to_dict()), 128
    assert shape.parameters == sum(one.numel() for one in model.parameters())
    own, kept = {one.untyped_storage().data_ptr() for one in model.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    states = torch.randn(1, tokens, 256, dtype=torch.bfloat16, requires_grad=True)
    places = model.model.rotary_emb(states, torch.arange(tokens)[None])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model.layers[0](states, position_embeddings=places, attention_mask=None)
    measured = sum(one.untyped_storage().nbytes() for place, one in kept.items() if place not in own)
    assert measured / tokens == pytest.approx(layer_bytes(shape), rel=0.02 if kind == "Qwen2" else 0.25)


def test_states_are_sixteen_bytes_a_parameter_over_all_gpus():
    model = SHAPES["Qwen/Qwen2.5-7B-Instruct"]
    memory = memory_of(model, CLUSTER)
    assert memory.states == 16 * model.parameters / 8
    assert memory.gathered == 2 * (model.outer_parameters + 2 * model.layer_parameters)
    assert memory.training == memory.states + memory.gathered + memory.activations + RESERVED
    assert memory.sampling == 12 * model.parameters / 8 + 10e9 + RESERVED
    assert memory.cache_tokens == int((10e9 - model.parameters - ENGINE_WORKSPACE) / model.cache_bytes(2))
    assert memory.host == 0


def test_on_the_host_states_leave_the_gpus_and_fill_the_nodes():
    model = SHAPES["Qwen/Qwen2.5-7B-Instruct"]
    memory = memory_of(model, dataclasses.replace(CLUSTER, on_host=True))
    assert (memory.states, memory.host) == (0, 16 * model.parameters / 2)
    assert memory.sampling == 10e9 + RESERVED


def test_an_engine_without_room_for_a_cache_does_not_fit():
    model = SHAPES["Qwen/Qwen2.5-32B-Instruct"]
    memory = memory_of(model, dataclasses.replace(CLUSTER, on_host=True))
    assert memory.cache_tokens == 0
    assert not memory.fits(1e12)
    assert memory_of(TINY, CLUSTER).fits(20e9)
    assert not memory_of(TINY, CLUSTER).fits(9e9)


def test_engines_share_the_gpus():
    assert (CLUSTER.gpus, CLUSTER.engines) == (8, 4)
