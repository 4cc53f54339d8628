"""Memory of a GPU that trains and samples in turn, as verl does: FSDP in mixed precision, and an engine beside it.

Bytes are computed from sizes alone. What is not in them, such as fragmentation and communication, is in ``RESERVED``.
"""

from dataclasses import dataclass

from rekindle.planning.shapes import ModelShape

__all__ = [
    "ENGINE_WORKSPACE",
    "RESERVED",
    "ClusterMemory",
    "ClusterShape",
    "activation_bytes",
    "layer_bytes",
    "memory_of",
]

RESERVED = 4e9
"""Bytes of a GPU for its context, communication buffers, graphs of the engine, and fragmentation."""
ENGINE_WORKSPACE = 2e9
"""Bytes of the engine's share for its activations."""
MASTER, GRADIENT, ADAM = 4, 4, 8
"""Bytes of a parameter in float32: the weights, their gradient, and both moments."""
HALF, FULL = 2, 4
"""Bytes of a value in bfloat16 and in float32."""
LOGIT = HALF + HALF + FULL
"""Bytes of a logit in training: the value, its gradient, and a float32 copy (none with flash-attn's kernel)."""
GATHERED_LAYERS = 2
"""Layers whose whole weights are on a GPU at a time: the one that computes, and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterShape:
    """The settings of a run that decide on memory.

    Attributes:
        nodes: Number of nodes.
        gpus_per_node: GPUs of a node; the weights are sharded over all of them.
        tensor_parallel: GPUs of an engine.
        engine_share: Share of a GPU's memory for the engine's weights and KV cache.
        tokens_per_gpu: Most tokens of a micro-batch.
        gpu_bytes: Memory of a GPU.
        on_host: Whether weights, gradients and optimizer are in the memory of the host (FSDP's CPU offload).
    """

    nodes: int
    gpus_per_node: int
    tensor_parallel: int
    engine_share: float
    tokens_per_gpu: int
    gpu_bytes: float = 80e9
    on_host: bool = False

    @property
    def gpus(self) -> int:
        """All GPUs."""
        return self.nodes * self.gpus_per_node

    @property
    def engines(self) -> int:
        """Engines side by side."""
        return self.gpus // self.tensor_parallel


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMemory:
    """Bytes of each GPU, but for ``host`` and ``cache_tokens``.

    Attributes:
        states: Weights, gradients and optimizer of the GPU's shard; 0 where they are on the host.
        gathered: Whole weights of the layers that compute, in bfloat16.
        activations: Activations of a micro-batch with gradient checkpointing, logits included.
        training: All that is there while the model is trained and the engine sleeps.
        sampling: All that is there while the engine samples.
        host: Bytes on each node's host.
        cache_tokens: Tokens of the KV cache of an engine; 0 where the weights leave no room.
    """

    states: float
    gathered: float
    activations: float
    training: float
    sampling: float
    host: float
    cache_tokens: int

    def fits(self, gpu_bytes: float) -> bool:
        """Whether both phases have room in a GPU, and the engine has a cache."""
        return max(self.training, self.sampling) <= gpu_bytes and self.cache_tokens > 0


def memory_of(model: ModelShape, cluster: ClusterShape) -> ClusterMemory:
    """The memory of a run that trains all parameters of a model with Adam."""
    shard = model.parameters / cluster.gpus
    states = 0.0 if cluster.on_host else (MASTER + GRADIENT + ADAM) * shard
    resident = 0.0 if cluster.on_host else (MASTER + ADAM) * shard
    gathered = HALF * (model.outer_parameters + GATHERED_LAYERS * model.layer_parameters)
    activations = activation_bytes(model, cluster.tokens_per_gpu)
    engine = cluster.engine_share * cluster.gpu_bytes
    cache = engine - HALF * model.parameters / cluster.tensor_parallel - ENGINE_WORKSPACE
    return ClusterMemory(
        states=states,
        gathered=gathered,
        activations=activations,
        training=states + gathered + activations + RESERVED,
        sampling=resident + engine + RESERVED,
        host=(MASTER + GRADIENT + ADAM) * model.parameters / cluster.nodes if cluster.on_host else 0.0,
        cache_tokens=max(0, int(cache / model.cache_bytes(cluster.tensor_parallel))),
    )


def activation_bytes(model: ModelShape, tokens: int) -> int:
    """Activations of a micro-batch: the inputs of all layers, one layer recomputed with its gradients, and logits."""
    inputs = HALF * model.layers * model.hidden_size
    gradients = HALF * (2 * model.hidden_size + 3 * model.intermediate_size)
    return tokens * (inputs + layer_bytes(model) + gradients + LOGIT * model.vocabulary)


def layer_bytes(model: ModelShape) -> int:
    """Bytes that a layer of transformers keeps of each token for its backward pass.

    Of both norms the float32 input and two results; queries, keys, values and the result of attention; four values of
    the MLP. Attention keeps nothing of a quadratic size (flash attention).
    """
    norms = 2 * (FULL + 2 * HALF) * model.hidden_size
    attention = HALF * (model.attention_size + model.heads * model.head_size)
    return norms + attention + 4 * HALF * model.intermediate_size
