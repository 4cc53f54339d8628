"""Log-probabilities at each row's temperature through TRL's fused head, which has one temperature for all.

The head computes log_softmax(W h / T0) of the backbone's last hidden states h, with the T0 that it was made with. With
h times T0 / T it computes log_softmax(W h / T), and entropies and gradients follow. So a hook on the backbone
multiplies the hidden states of each row. It stands outside the blocks that gradient checkpointing runs again. Where all
rows have temperature T0 nothing is touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rekindle.types import UserError

__all__ = ["RowTemperatures", "check_head"]


def check_head(model: Any) -> None:
    """Refuse a model whose logits are not linear in its hidden states; temperatures of rows need that.

    Args:
        model: A transformers or PEFT model.

    Raises:
        UserError: Names what the head has, and the remedy.
    """
    model = _causal(model)
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    problem = ""
    if cap is not None:
        problem = f"caps its logits (final_logit_softcapping = {cap})"
    elif getattr(model.get_output_embeddings(), "bias", None) is not None:
        problem = "has a bias in its output layer"
    elif model.base_model is model:
        problem = "has no backbone apart from its output layer"
    if problem:
        raise UserError(
            f"{type(model).__name__} {problem}, so its log-probabilities cannot be computed at a temperature per row; "
            'set loss.off_temperature = "importance", or turn raised temperatures off'
        )


class RowTemperatures:
    """Temperatures of the rows of a model's next forward passes with TRL's fused head.

    Args:
        model: The trainer's ``model`` or ``ref_model``, not wrapped for several processes.
        base: Temperature that the fused head divides by, the trainer's.
    """

    def __init__(self, model: Any, base: float) -> None:
        self._model, self._base = model, base

    @contextmanager
    def at(self, temperatures: Sequence[float]) -> Iterator[None]:
        """While it is open, rows are scored at ``temperatures``, in one pass or in chunks of rows one after the other.

        Raises:
            RuntimeError: Another number of rows was scored.
        """
        waiting = list(temperatures)

        def scale(_module: Any, _inputs: Any, output: Any) -> Any:
            hidden = output.last_hidden_state
            if len(hidden) > len(waiting):
                raise RuntimeError(f"{len(hidden)} rows are scored, and {len(waiting)} temperatures are left")
            chunk = waiting[: len(hidden)]
            del waiting[: len(hidden)]
            if any(temperature != self._base for temperature in chunk):
                factors = torch.tensor([self._base / temperature for temperature in chunk], device=hidden.device)
                output.last_hidden_state = (hidden * factors[:, None, None]).to(hidden.dtype)
            return output

        # The backbone is looked up each time, as TRL does, since PEFT and FSDP may replace it.
        hook = _causal(self._model).base_model.register_forward_hook(scale)
        try:
            yield
        finally:
            hook.remove()
        if waiting:
            raise RuntimeError(f"{len(waiting)} of {len(temperatures)} rows were not scored at their temperatures")


def _causal(model: Any) -> Any:
    """The causal language model inside PEFT's wrapper, if there is one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
