import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rekindle.models.logprobs import default_chunk, logprobs_of_logits, selected_logprobs


def problem(rows=7, width=5, vocabulary=11, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=dtype, requires_grad=True)
    targets = torch.randint(vocabulary, (rows,), generator=generator)
    temperatures = 0.5 + torch.rand(rows, generator=generator, dtype=dtype)
    return hidden, weight, targets, temperatures


def test_two_tokens_by_hand():
    # Logits (ln 3, 0): probabilities 3/4 and 1/4. At temperature 2 they are as sqrt 3 to 1.
    hidden = torch.tensor([[math.log(3.0)], [math.log(3.0)]])
    weight = torch.tensor([[1.0], [0.0]])
    logprobs, entropies = selected_logprobs(hidden, weight, torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    second = 1 / (1 + math.sqrt(3))
    torch.testing.assert_close(logprobs, torch.tensor([math.log(0.75), math.log(second)]))
    expected = [-sum(p * math.log(p) for p in (first, 1 - first)) for first in (0.75, second)]
    torch.testing.assert_close(entropies, torch.tensor(expected))


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_gradients_are_the_derivatives(chunk):
    hidden, weight, targets, temperatures = problem()

    def logprobs(hidden, weight):
        return selected_logprobs(hidden, weight, targets, temperatures, chunk)[0]

    assert torch.autograd.gradcheck(logprobs, (hidden, weight))


@pytest.mark.parametrize("chunk", [2, None])
def test_chunks_equal_plain_log_softmax(chunk):
    hidden, weight, targets, temperatures = problem(dtype=torch.float32)
    logprobs, entropies = selected_logprobs(hidden, weight, targets, temperatures, chunk)
    found = torch.autograd.grad(logprobs.sum(), (hidden, weight))
    expected, expected_entropies = logprobs_of_logits(hidden @ weight.t(), targets, temperatures)
    torch.testing.assert_close(logprobs, expected)
    torch.testing.assert_close(entropies, expected_entropies)
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), (hidden, weight)))
    assert not entropies.requires_grad


def test_only_the_wanted_gradient_is_computed():
    hidden, weight, targets, temperatures = problem()
    logprobs, _ = selected_logprobs(hidden, weight.detach(), targets, temperatures)
    logprobs.sum().backward()
    assert hidden.grad is not None
    assert weight.grad is None


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest result of any operation."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple) else (result,):
            if isinstance(part, torch.Tensor):
                self.elements = max(self.elements, part.numel())
        return result


def test_no_tensor_of_rows_times_vocabulary_ever_exists():
    rows, vocabulary, chunk = 64, 50, 4
    hidden, weight, targets, temperatures = problem(rows=rows, vocabulary=vocabulary)
    saved = []

    def remember(tensor):
        saved.append(tensor.numel())
        return tensor

    with LargestTensor() as largest:
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            logprobs, _ = selected_logprobs(hidden, weight, targets, temperatures, chunk)
        logprobs.sum().backward()
    assert max(saved) <= max(hidden.numel(), weight.numel())
    assert largest.elements <= max(chunk * vocabulary, hidden.numel(), weight.numel()) < rows * vocabulary


def test_bfloat16_logits_get_a_float32_softmax():
    hidden, weight, targets, temperatures = problem(dtype=torch.bfloat16)
    logprobs, entropies = selected_logprobs(hidden, weight, targets, temperatures)
    assert logprobs.dtype == entropies.dtype == torch.float32
    logits = (hidden @ weight.t()).float() / temperatures[:, None].float()
    expected = torch.log_softmax(logits, -1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(logprobs, expected, rtol=2e-2, atol=2e-2)


def test_large_vocabularies_get_few_rows_at_a_time():
    assert default_chunk(128) == 2**22 // 128
    assert default_chunk(150_000) == 256
