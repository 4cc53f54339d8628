"""Gradient checkpointing: blocks whose inner values are computed again in the backward pass instead of being kept.

A step of training keeps, per token and block, about 4 d + 2 I numbers besides attention's (d width, I intermediate
width); with checkpointing it keeps d. It costs one more forward pass. Dropout is off, so the second pass gives the same
bits as the first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rekindle.models.directory import ModelError

__all__ = ["checkpoint_blocks", "checkpointed", "checkpointing"]


def checkpointed(block: Callable[..., Tensor], *args: Any) -> Tensor:
    """Result of a block whose inner values are not kept."""
    result: Tensor = checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False)
    return result


def checkpoint_blocks(model: Any) -> None:
    """Prepare gradient checkpointing of a transformers model; `checkpointing` switches it on.

    Raises:
        ModelError: The model has none.
    """
    try:
        if hasattr(model, "activation_checkpointing_enable"):  # its name from transformers 5.2x on
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        else:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{type(model).__name__} has no gradient checkpointing; set model.gradient_checkpointing = false"
        ) from error


@contextmanager
def checkpointing(model: Any) -> Iterator[None]:
    """Let a prepared model checkpoint its blocks in forward passes inside the context.

    A block of transformers checkpoints in training mode only, and then without a key-value cache. Only the blocks' own
    flags are set: the modules in them, dropout included, stay in evaluation mode.
    """
    blocks = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    for block in blocks:
        block.training = True
    try:
        yield
    finally:
        for block in blocks:
            block.training = False
