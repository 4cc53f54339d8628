"""The cost of a step in floating-point operations, counted by tokens and parameters."""

__all__ = ["flops"]


def flops(parameters: int, *, forward: float, trained: float) -> float:
    """2P per token that went through the model once, and 6P per token of forward and backward.

    Attention over the context and the second forward pass of gradient checkpointing are not counted.

    Args:
        parameters: Number of parameters, P.
        forward: Tokens that were read, sampled or scored without a gradient.
        trained: Tokens of an update.
    """
    return parameters * (2 * forward + 6 * trained)
