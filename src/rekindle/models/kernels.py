"""float32 matrix products by torch or oneDNN, whichever is faster on this CPU; the choice is measured.

torch uses MKL for matrix products, which on some CPUs does not use the widest vector instructions. oneDNN, also part of
torch, does. The two round differently, so the choice is part of a run's state: `Kernels.describe` goes into the
checkpoint and `Kernels.from_description` restores it. A resumed run then computes the same bits, whatever a second
measurement would choose.

While rollouts are decoded, a weight multiplies one small batch after the other. oneDNN can arrange it once
(`Kernels.prepare`); torch arranges it again for every product, which at 32 rows takes about as long as the product.

oneDNN's linear layer is called through internal operators of torch. Where they are absent, or do not give true float32
results, torch's own products are used.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Kernels", "Library", "Prepared", "measure_kernels"]

Library = Literal["torch", "onednn"]

_CLEARLY_FASTER = 1.15
"""Speed-up from which oneDNN is chosen; near a tie torch is kept, so that the choice is stable."""
_REPEATS = 5
_FLOATING_OPERATIONS = 2**27
"""Size of one measured product: about a millisecond."""
_FEWEST_ROWS, _MOST_ROWS = 128, 2048
_DECODED_ROWS = 32
"""Rows of the products for which a library for decoding is chosen."""
_PREPARED_FROM = 2**18
"""Fewest entries of the largest layer from which weights are prepared; smaller ones stay in the processor's cache."""
_BEYOND_CACHES = 2**24
"""Entries of the weights of a measurement: 64 MB."""
_SHAPES = 2
"""Number of shapes measured; the largest ones take most of a model's time."""
_ROUNDING = 2e-6
"""Largest error of a true float32 product, relative to the largest entry; bfloat16 and TF32 err far more."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The library for each kind of product of a linear layer y = x Wᵀ.

    Attributes:
        linear: Library for y = x Wᵀ.
        input_grad: Library for dx = dy W.
        weight_grad: Library for dW = dyᵀ x.
        decode: Library for y = x Wᵀ with few rows and a prepared W.
        gigaflops: Measured GFLOP/s by kind and library; empty when nothing was measured.
    """

    linear: Library = "torch"
    input_grad: Library = "torch"
    weight_grad: Library = "torch"
    decode: Library = "torch"
    gigaflops: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None, add: Tensor | None = None) -> Tensor:
        """Return x weightᵀ + bias + add for x [N, in], weight [out, in], bias [out] and add [N, out]."""
        if self.linear == "onednn":
            return _added(_onednn(x, weight, bias), add)
        if add is None:
            return F.linear(x, weight, bias)
        return torch.addmm(add if bias is None else add + bias, x, weight.t())

    def prepare(self, weight: Tensor) -> "Prepared":
        """Arrange a weight [out, in] for the products of a generation."""
        if self.decode == "onednn":
            return Prepared(torch.ops.mkldnn._reorder_linear_weight(weight, _DECODED_ROWS), arranged=True)
        return Prepared(weight, arranged=False)

    def decoded(self, x: Tensor, weight: "Prepared", bias: Tensor | None = None, add: Tensor | None = None) -> Tensor:
        """Return x weightᵀ + bias + add for x [N, in] and a prepared weight [out, in]."""
        if weight.arranged:
            return _added(torch.ops.mkldnn._linear_pointwise(x, weight.values, bias, "none", [], ""), add)
        # Without preparation oneDNN arranges the weight each time, which only many rows make up for.
        kernels = self if x.shape[0] >= _MANY_ROWS else _TORCH
        return kernels.forward(x, weight.values, bias, add)

    def to_input(self, grad: Tensor, weight: Tensor, add: Tensor | None = None) -> Tensor:
        """Return grad weight + add for grad [N, out], weight [out, in] and add [N, in], which may be overwritten."""
        if self.input_grad == "onednn":
            return _added(_onednn(grad, weight.t().contiguous(), None), add)
        return grad @ weight if add is None else add.addmm_(grad, weight)

    def to_weight(self, grad: Tensor, x: Tensor) -> Tensor:
        """Return gradᵀ x [out, in] for grad [N, out] and x [N, in]."""
        if self.weight_grad == "onednn":
            return _onednn(grad.t().contiguous(), x.t().contiguous(), None)
        if grad.shape[1] > x.shape[1]:  # faster with the narrower matrix transposed
            return (x.t() @ grad).t().contiguous()
        return grad.t() @ x

    def describe(self) -> dict[str, Any]:
        """Return the choice as plain data for a checkpoint."""
        chosen = {kind: getattr(self, kind) for kind in (*_KINDS, "decode")}
        return {**chosen, "gigaflops": {kind: dict(rates) for kind, rates in self.gigaflops.items()}}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> "Kernels":
        """Return the choice that `describe` wrote.

        Raises:
            ValueError: A library is unknown or missing in this installation of torch.
        """
        chosen: dict[str, Any] = {kind: description.get(kind) for kind in _KINDS}
        chosen["decode"] = description.get("decode", "torch")  # older checkpoints do not have it
        for kind, library in chosen.items():
            if library not in get_args(Library):
                raise ValueError(
                    f"kernel {kind} = {library!r} is unknown; start a new run or use the version that wrote it"
                )
            if library == "onednn" and not _has_onednn():
                raise ValueError(
                    f"kernel {kind} was oneDNN's, which this torch lacks; resume with the torch of that run"
                )
        return cls(**chosen, gigaflops=dict(description.get("gigaflops", {})))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A weight [out, in], plain or in oneDNN's own arrangement.

    Attributes:
        values: The weight.
        arranged: Whether it is in oneDNN's arrangement.
    """

    values: Tensor
    arranged: bool


_TORCH = Kernels()
_MANY_ROWS = 64
"""Fewest rows for which oneDNN multiplies with a weight that is not prepared."""
_KINDS: dict[str, Callable[[Kernels, Tensor, Tensor, Tensor], Tensor]] = {
    "linear": lambda kernels, x, weight, grad: kernels.forward(x, weight),
    "input_grad": lambda kernels, x, weight, grad: kernels.to_input(grad, weight),
    "weight_grad": lambda kernels, x, weight, grad: kernels.to_weight(grad, x),
}
_measured: dict[tuple[object, ...], Kernels] = {}


def measure_kernels(shapes: Iterable[tuple[int, int]], decoded: Mapping[tuple[int, int], int] | None = None) -> Kernels:
    """Choose the libraries for float32 linear layers of these shapes on this processor.

    The first call takes a tenth of a second, longer for large models; the result is cached in the process.

    Args:
        shapes: (out, in) of the layers' weights.
        decoded: How often weights of each shape (out, in) multiply a batch while a token is decoded.
    """
    largest = sorted(set(shapes), key=lambda shape: (-shape[0] * shape[1], shape))[:_SHAPES]
    key = tuple(largest), tuple(sorted((decoded or {}).items())), torch.get_num_threads()
    if key not in _measured:
        _measured[key] = _measure(largest, decoded or {})
    return _measured[key]


def _measure(shapes: list[tuple[int, int]], decoded: Mapping[tuple[int, int], int]) -> Kernels:
    if not _has_onednn():
        return Kernels()
    chosen: dict[str, Any] = {}
    gigaflops: dict[str, Mapping[str, float]] = {}
    problems = [_problem(out, width) for out, width in shapes]
    for kind in _KINDS:
        seconds = _added_up(_race(kind, problem) for problem in problems)
        exact = all(_is_float32(kind, problem) for problem in problems)
        work = sum(2 * x.numel() * weight.shape[0] for x, weight, _ in problems)
        gigaflops[kind] = {library: round(work / spent / 1e9, 1) for library, spent in seconds.items()}
        wins = exact and seconds["torch"] > _CLEARLY_FASTER * seconds["onednn"]
        chosen[kind] = "onednn" if wins else "torch"
    if max((out * width for out, width in decoded), default=0) >= _PREPARED_FROM:
        seconds = _added_up(_race_decoding(shape, times) for shape, times in decoded.items())
        work = sum(2 * _DECODED_ROWS * out * width * times for (out, width), times in decoded.items())
        gigaflops["decode"] = {library: round(work / spent / 1e9, 1) for library, spent in seconds.items()}
        chosen["decode"] = "onednn" if seconds["torch"] > _CLEARLY_FASTER * seconds["onednn"] else "torch"
    return Kernels(**chosen, gigaflops=gigaflops)


def _added_up(races: Iterable[Mapping[Library, float]]) -> dict[Library, float]:
    races = list(races)
    return {library: sum(race[library] for race in races) for library in get_args(Library)}


Problem = tuple[Tensor, Tensor, Tensor]
"""x [N, in], weight [out, in] and dy [N, out]."""


def _problem(out: int, width: int) -> Problem:
    generator = torch.Generator().manual_seed(out * 65_537 + width)
    rows = min(_MOST_ROWS, max(_FEWEST_ROWS, _FLOATING_OPERATIONS // (2 * out * width)))
    x, weight, grad = (torch.randn(shape, generator=generator) for shape in ((rows, width), (out, width), (rows, out)))
    return x, weight, grad


def _with(kind: str, library: Library) -> Kernels:
    choice: dict[str, Any] = {kind: library}
    return Kernels(**choice)


def _race(kind: str, problem: Problem) -> dict[Library, float]:
    """Return the best time of each library in seconds. They take turns, so that other load affects both."""
    best: dict[Library, float] = {}
    for _ in range(_REPEATS):
        for library in get_args(Library):
            began = _clock()
            _KINDS[kind](_with(kind, library), *problem)
            spent = _clock() - began
            best[library] = min(spent, best.get(library, spent))
    return best


def _clock() -> float:
    """Seconds that other processes do not change: CPU time, of which several threads would spend several at once."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def _race_decoding(shape: tuple[int, int], times: int) -> dict[Library, float]:
    """Return each library's best time for ``times`` products of few rows with prepared weights of a shape, in seconds.

    A model's weights are too many for the caches, so several are multiplied in turn. Of a very large one a part is.
    """
    out, width = shape
    part = max(1, min(out, _BEYOND_CACHES // width))
    few = torch.ones(_DECODED_ROWS, width)
    weights = [torch.ones(part, width) for _ in range(max(1, _BEYOND_CACHES // (part * width)))]
    prepared = {library: [_with("decode", library).prepare(one) for one in weights] for library in get_args(Library)}
    best: dict[Library, float] = {}
    for _ in range(_REPEATS):
        for library in get_args(Library):
            kernels, began = _with("decode", library), _clock()
            for one in prepared[library]:
                kernels.decoded(few, one)
            spent = (_clock() - began) / len(weights) * times * out / part
            best[library] = min(spent, best.get(library, spent))
    return best


def _is_float32(kind: str, problem: Problem) -> bool:
    """Whether oneDNN's product has full float32 precision."""
    exact = _KINDS[kind](Kernels(), *(tensor.double() for tensor in problem))
    error = (_KINDS[kind](_with(kind, "onednn"), *problem).double() - exact).abs().max()
    return bool(error <= _ROUNDING * exact.abs().max())


def _has_onednn() -> bool:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    operators = torch.ops.mkldnn
    return hasattr(operators, "_linear_pointwise") and hasattr(operators, "_reorder_linear_weight")


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, x.shape[0])
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product


def _added(product: Tensor, add: Tensor | None) -> Tensor:
    return product if add is None else product.add_(add)
