import pytest
import torch
from model_zoo import MAX_LENGTH, assert_same_gradients, batches, completion, gradients, make_model, reference

from fast import sample
from rekindle.models.generic import GenericForward
from rekindle.models.samples import rows_of


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("batch", sample(batches(), *list(batches())[::2]))
def test_log_probabilities_and_gradients_are_those_of_single_rows(kind, batch):
    model, samples = make_model(kind), batches()[batch]
    rows = [row for row in rows_of(samples, MAX_LENGTH) if row.targets.size]
    result = GenericForward(model)(rows)
    found = gradients(model, result.logprobs)
    logprobs, entropies = reference(model, samples)
    torch.testing.assert_close(result.logprobs, logprobs, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(result.entropies, entropies, rtol=1e-5, atol=2e-6)
    assert_same_gradients(found, gradients(model, logprobs))


def test_padding_is_counted():
    samples = [completion([2, 3], [4, 5, 6]), completion([2], [3])]
    result = GenericForward(make_model("gpt2"))(rows_of(samples, MAX_LENGTH))
    assert (result.computed_tokens, result.padded_tokens) == (8, 3)


@pytest.mark.parametrize(("kind", "plain"), [("llama", True), ("gpt2", True), ("gemma2", False)])
def test_soft_capped_logits_are_taken_from_the_model_itself(kind, plain):
    assert GenericForward(make_model(kind))._plain_head is plain
