import pytest
from model_zoo import completion, sample

from rekindle.models.samples import rows_of


def test_a_row_ends_one_token_before_its_last_trainable_one():
    (row,) = rows_of([sample([5, 6, 7, 8, 9], [False, False, True, True, False])], 5)
    assert row.inputs.tolist() == [5, 6, 7]
    assert row.predictors.tolist() == [1, 2]
    assert row.targets.tolist() == [7, 8]
    assert row.prompt_length == 2


def test_a_row_without_trainable_tokens_needs_nothing():
    (row,) = rows_of([sample([5, 6], [False, False])], 5)
    assert row.inputs.size == row.targets.size == row.prompt_length == 0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (sample([1, 2, 3], [False, True]), "sample 1 has 3 tokens but a loss mask of 2"),
        (sample([1, 2], [True, True]), "sample 1 marks its first token trainable"),
        (completion([1] * 5, [2] * 4), "sample 1 has 9 tokens and the model takes at most 8; sample shorter"),
        (completion([1], [2], temperature=0.0), "sample 1 has temperature 0.0; training needs one above 0"),
        (completion([1], [2], temperature=float("nan")), "sample 1 has temperature nan"),
    ],
)
def test_bad_samples_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        rows_of([completion([1], [2]), bad], 8)
