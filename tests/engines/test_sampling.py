"""Random numbers against a reference in plain integers, and draws against the distributions they are drawn from."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rekindle.engines import sampling
from rekindle.engines.sampling import SamplingSettings, row_keys, sample, uniforms

MASK = 2**64 - 1
NO_END = torch.tensor([], dtype=torch.int64)


def splitmix_finalizer(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def reference_uniform(seed: int, index: int, position: int) -> float:
    gamma = 0x9E3779B97F4A7C15
    key = splitmix_finalizer((splitmix_finalizer(seed & MASK) + (index + 1) * gamma) & MASK)
    return (splitmix_finalizer((key + (position + 1) * gamma) & MASK) >> 11) * 2.0**-53


def grid(seeds: int, indexes: int, positions: int) -> np.ndarray:
    """Uniforms [seeds, indexes, positions] of consecutive small numbers, the least random inputs there are."""
    keys = row_keys(torch.arange(seeds).repeat_interleave(indexes), torch.arange(indexes).repeat(seeds))
    columns = [uniforms(keys, torch.full_like(keys, position)) for position in range(positions)]
    return torch.stack(columns, dim=1).view(seeds, indexes, positions).numpy()


def chi_square_bound(cells: int, sigmas: float = 5.0) -> float:
    """Value that a chi-square of ``cells`` - 1 degrees exceeds with a probability below 1e-6 (Wilson-Hilferty)."""
    k = cells - 1
    return k * (1 - 2 / (9 * k) + sigmas * math.sqrt(2 / (9 * k))) ** 3


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = counts.sum() * probabilities
    return float(((counts - expected) ** 2 / expected).sum())


def plain(rows: int, temperature: float = 1.0, seed: int = 0, **columns: torch.Tensor | None) -> SamplingSettings:
    keys = row_keys(torch.full((rows,), seed), torch.arange(rows))
    return SamplingSettings(keys, torch.full((rows,), temperature), **columns)


def draw(logits: torch.Tensor, rows: int, temperature: float = 1.0, **columns: Any) -> np.ndarray:
    positions = torch.zeros(rows, dtype=torch.int64)
    tokens, _ = sample(logits.expand(rows, -1), plain(rows, temperature, **columns), positions, NO_END)
    return np.bincount(tokens.numpy(), minlength=logits.shape[-1])


@pytest.mark.parametrize("vocabulary", [4096, 5003, 49_152])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_draw_by_blocks_is_the_draw_over_the_whole_vocabulary(monkeypatch, vocabulary, dtype):
    generator = torch.Generator().manual_seed(vocabulary)
    logits = (4 * torch.randn(64, vocabulary, generator=generator)).to(dtype)
    logits[:8, 300:] = -torch.inf  # whole blocks without weight
    logits[8:16, :-1] = -50.0  # all weight on the last token
    settings = SamplingSettings(row_keys(torch.arange(64), torch.arange(64)), torch.linspace(0.5, 2.0, 64))
    positions = torch.arange(64)
    found = sample(logits, settings, positions, NO_END)
    monkeypatch.setattr(sampling, "_LARGE", 10**9)
    expected = sample(logits, settings, positions, NO_END)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-5)
    assert found[1].dtype == torch.float32


def test_a_draw_by_blocks_ends_inside_the_vocabulary_where_logits_are_not_numbers():
    logits = torch.full((2, 4096), torch.nan)
    tokens, logprobs = sample(logits, plain(2), torch.zeros(2, dtype=torch.int64), NO_END)
    assert ((tokens >= 0) & (tokens < 4096)).all()
    assert logprobs.isnan().all()


def test_many_draws_by_blocks_have_the_distribution():
    logits = torch.full((4096,), -torch.inf)
    places = torch.tensor([0, 255, 256, 1000, 4095])
    shares = np.array([0.5, 0.2, 0.15, 0.1, 0.05])
    logits[places] = torch.tensor(np.log(shares), dtype=torch.float32)
    counts = draw(logits, 20_000)
    assert counts.sum() == counts[places.numpy()].sum() == 20_000
    assert chi_square(counts[places.numpy()], shares) < chi_square_bound(5)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**20), st.integers(0, 2**20))
def test_uniforms_equal_splitmix64_in_plain_integers(seed, index, position):
    keys = row_keys(torch.tensor([seed]), torch.tensor([index]))
    assert uniforms(keys, torch.tensor([position])).item() == reference_uniform(seed, index, position)


def test_uniforms_are_uniform_along_every_axis():
    numbers = grid(64, 64, 64)
    for axis in range(3):
        lines = np.moveaxis(numbers, axis, -1).reshape(-1, 64)
        means = lines.mean(axis=1)
        assert abs(means - 0.5).max() < 6 / math.sqrt(12 * 64)
        assert abs(means.var() * 12 * 64 - 1) < 0.15
    counts = np.bincount((numbers.ravel() * 256).astype(int), minlength=256)
    assert chi_square(counts, np.full(256, 1 / 256)) < chi_square_bound(256)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_neighbours_along_an_axis_are_independent(axis):
    numbers = np.moveaxis(grid(64, 64, 64), axis, 0)
    cells = (numbers[:-1] * 16).astype(int) * 16 + (numbers[1:] * 16).astype(int)
    assert chi_square(np.bincount(cells.ravel(), minlength=256), np.full(256, 1 / 256)) < chi_square_bound(256)


def test_no_two_rows_share_their_numbers():
    numbers = grid(50, 50, 4)
    assert len(np.unique(numbers)) == numbers.size


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_frequencies_follow_the_softmax_at_the_row_temperature(temperature):
    logits = torch.linspace(-2, 3, 20)[torch.randperm(20, generator=torch.Generator().manual_seed(1))]
    counts = draw(logits, 200_000, temperature)
    expected = torch.softmax(logits.double() / temperature, -1).numpy()
    assert chi_square(counts, expected) < chi_square_bound(20)


def test_rows_at_different_temperatures_do_not_mix():
    logits = torch.tensor([0.0, 1.0, 3.0])
    temperatures = torch.tensor([0.4, 2.5]).repeat(50_000)
    settings_ = SamplingSettings(plain(100_000).keys, temperatures)
    tokens, logprobs = sample(logits.expand(100_000, -1), settings_, torch.zeros(100_000, dtype=torch.int64), NO_END)
    for start, temperature in enumerate((0.4, 2.5)):
        expected = torch.softmax(logits.double() / temperature, -1)
        counts = np.bincount(tokens[start::2].numpy(), minlength=3)
        assert chi_square(counts, expected.numpy()) < chi_square_bound(3)
        torch.testing.assert_close(logprobs[start::2].double(), expected.log()[tokens[start::2]], atol=1e-6, rtol=0)


def test_a_token_of_small_probability_is_drawn_as_often_as_it_should():
    logits = torch.full((8,), math.log(1000.0))
    logits[-1] = 0.0  # 1 in 7001
    rows = 500_000
    expected = rows / 7001
    assert abs(draw(logits, rows)[-1] - expected) < 6 * math.sqrt(expected)


@given(st.floats(1e-30, 1e30))
def test_the_largest_uniform_stays_below_any_total(total):
    assert (1 - 2.0**-53) * total < total


def nucleus(probabilities: np.ndarray, top_p: float) -> set[int]:
    kept: set[int] = set()
    for token in sorted(range(len(probabilities)), key=lambda token: (-probabilities[token], token)):
        if kept and sum(probabilities[list(kept)]) >= top_p:
            break
        kept.add(token)
    return kept


@pytest.mark.parametrize(
    ("top_p", "expected"), [(0.3, {2}), (0.39, {2}), (0.41, {2, 0}), (0.8, {2, 0, 3}), (1.0, {0, 1, 2, 3, 4})]
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p, expected):
    probabilities = torch.tensor([0.25, 0.1, 0.4, 0.2, 0.05])
    counts = draw(probabilities.log(), 20_000, top_p=torch.full((20_000,), top_p))
    assert set(np.flatnonzero(counts)) == expected == nucleus(probabilities.numpy(), top_p)
    kept = probabilities.numpy() * [token in expected for token in range(5)]
    if len(expected) > 1:
        inside = sorted(expected)
        assert chi_square(counts[inside], kept[inside] / kept.sum()) < chi_square_bound(len(expected))


@pytest.mark.parametrize(
    ("min_p", "expected"), [(0.0, {0, 1, 2, 3}), (0.1, {0, 1, 2, 3}), (0.3, {0, 1, 2}), (0.7, {2})]
)
def test_min_p_keeps_tokens_probable_enough_relative_to_the_best(min_p, expected):
    probabilities = torch.tensor([0.25, 0.2, 0.5, 0.05])
    counts = draw(probabilities.log(), 20_000, min_p=torch.full((20_000,), min_p - 1e-6))
    assert set(np.flatnonzero(counts)) == expected


@pytest.mark.parametrize(("top_k", "expected"), [(0, 5), (1, 1), (2, 2), (3, 4), (4, 4), (5, 5), (99, 5)])
def test_top_k_keeps_the_likeliest_and_those_as_likely_as_the_last(top_k, expected):
    probabilities = torch.tensor([0.1, 0.4, 0.1, 0.35, 0.05])
    counts = draw(probabilities.log(), 5_000, top_k=torch.full((5_000,), top_k))
    assert set(np.flatnonzero(counts)) == set(np.argsort(-probabilities.numpy(), kind="stable")[:expected])


def test_top_p_is_a_share_of_what_top_k_leaves():
    probabilities = torch.tensor([0.4, 0.3, 0.2, 0.1])
    counts = draw(probabilities.log(), 5_000, top_k=torch.full((5_000,), 2), top_p=torch.full((5_000,), 0.55))
    assert set(np.flatnonzero(counts)) == {0}, "0.4 of 0.7 is more than 0.55"


def test_every_row_has_a_top_k_of_its_own():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).expand(3_000, 4)
    tokens, _ = sample(logits, plain(3_000, top_k=torch.tensor([0, 1, 2] * 1_000)), torch.zeros(3_000).long(), NO_END)
    assert [set(tokens[place::3].tolist()) for place in range(3)] == [{0, 1, 2, 3}, {0}, {0, 1}]


def test_of_equally_probable_tokens_top_p_takes_the_first():
    counts = draw(torch.zeros(4), 5_000, top_p=torch.full((5_000,), 0.5))
    assert set(np.flatnonzero(counts)) == {0, 1}


def test_cuts_leave_rows_without_them_exactly_as_they_were():
    logits = torch.randn(64, 500, generator=torch.Generator().manual_seed(0)) * 3
    positions = torch.arange(64)
    without = sample(logits, plain(64), positions, NO_END)
    beside = sample(logits, plain(64, top_p=torch.ones(64), min_p=torch.zeros(64)), positions, NO_END)
    assert torch.equal(without[0], beside[0])
    assert torch.equal(without[1], beside[1])


@settings(max_examples=50)
@given(
    st.lists(st.floats(-8, 8), min_size=2, max_size=12), st.floats(0.01, 1), st.floats(0, 0.99), st.integers(0, 2**40)
)
def test_a_drawn_token_passes_both_cuts(logits, top_p, min_p, seed):
    rows = 32
    probabilities = torch.softmax(torch.tensor(logits), -1).double().numpy()
    settings_ = plain(rows, seed=seed, top_p=torch.full((rows,), top_p), min_p=torch.full((rows,), min_p))
    tokens, _ = sample(torch.tensor(logits).expand(rows, -1), settings_, torch.zeros(rows, dtype=torch.int64), NO_END)
    allowed = nucleus(probabilities, min(1.0, top_p + 1e-6))
    for token in set(tokens.tolist()):
        assert token in allowed
        assert probabilities[token] >= min_p * probabilities.max() - 1e-6


def test_greedy_rows_take_the_best_token_and_report_it_at_temperature_one():
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 4.9]])
    settings_ = plain(2, greedy=torch.tensor([True, True]))
    tokens, logprobs = sample(logits, settings_, torch.zeros(2, dtype=torch.int64), NO_END)
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logprobs, torch.log_softmax(logits, -1)[[0, 1], [1, 0]])


def test_logprobs_are_those_of_the_full_softmax_whatever_is_cut():
    logits = torch.randn(40, 30, generator=torch.Generator().manual_seed(3))
    limits: dict[str, Any] = {
        "top_p": torch.full((40,), 0.3),
        "min_p": torch.full((40,), 0.2),
        "min_new_tokens": torch.ones(40),
    }
    tokens, logprobs = sample(
        logits, plain(40, 0.7, **limits), torch.zeros(40, dtype=torch.int64), torch.tensor([4, 9])
    )
    torch.testing.assert_close(logprobs, torch.log_softmax(logits / 0.7, -1).gather(1, tokens[:, None])[:, 0])


def test_end_tokens_are_forbidden_until_the_minimum_is_reached():
    logits = torch.tensor([9.0, 0.0, 0.0, 8.0]).expand(2000, -1)
    minimum = torch.tensor([3, 0]).repeat(1000)
    settings_ = plain(2000, min_new_tokens=minimum)
    end = torch.tensor([0, 3])
    early, _ = sample(logits, settings_, torch.full((2000,), 2), end)
    assert set(early[::2].tolist()) == {1, 2}
    assert {0, 3} & set(early[1::2].tolist())
    late, _ = sample(logits, settings_, torch.full((2000,), 3), end)
    assert {0, 3} & set(late[::2].tolist())


def test_something_is_drawn_even_when_only_the_end_has_weight_in_float32():
    logits = torch.tensor([[1000.0, 0.0, 1.0]]).expand(3000, -1)
    settings_ = plain(3000, min_new_tokens=torch.ones(3000))
    tokens, _ = sample(logits, settings_, torch.zeros(3000, dtype=torch.int64), torch.tensor([0]))
    counts = np.bincount(tokens.numpy(), minlength=3)
    assert counts[0] == 0
    assert chi_square(counts[1:], torch.softmax(torch.tensor([0.0, 1.0]), -1).numpy()) < chi_square_bound(2)


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    sample(torch.zeros(4, 5), plain(4), torch.zeros(4, dtype=torch.int64), NO_END)
    assert torch.equal(before, torch.random.get_rng_state())


def test_selected_settings_draw_what_the_rows_draw_in_place():
    logits = torch.randn(16, 50, generator=torch.Generator().manual_seed(5))
    all_settings = plain(
        16,
        1.2,
        greedy=torch.arange(16) % 3 == 0,
        top_p=torch.linspace(0.2, 1, 16),
        min_p=torch.linspace(0, 0.3, 16),
        min_new_tokens=torch.arange(16),
    )
    positions = torch.arange(16)
    rows = torch.tensor([11, 2, 5])
    whole, _ = sample(logits, all_settings, positions, torch.tensor([7]))
    part, _ = sample(logits[rows], all_settings.select(rows), positions[rows], torch.tensor([7]))
    assert torch.equal(whole[rows], part)
