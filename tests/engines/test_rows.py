"""Row numbers, options and the board."""

import torch

from rekindle.engines.engine import SamplingRequest
from rekindle.engines.rows import Board, RowTable
from rekindle.engines.sampling import row_keys

CPU = torch.device("cpu")


def test_rows_are_numbered_request_by_request():
    requests = [
        SamplingRequest([1, 2], n=3, seed=5),
        SamplingRequest([1], n=1, seed=-6),
        SamplingRequest([3], n=2, seed=5),
    ]
    table = RowTable(requests, 10, CPU)
    assert len(table) == 6
    assert table.owners == [0, 0, 0, 1, 2, 2]
    assert [list(table.rows_of(index)) for index in range(3)] == [[0, 1, 2], [3], [4, 5]]
    assert table.request(4) is requests[2]
    keys = row_keys(torch.tensor([5, 5, 5, -6, 5, 5]), torch.tensor([0, 1, 2, 0, 0, 1]))
    assert torch.equal(table.options.settings.keys, keys)


def test_limits_are_the_shorter_of_request_and_context():
    requests = [SamplingRequest([1] * 4, max_new_tokens=3), SamplingRequest([1] * 4, max_new_tokens=30)]
    assert RowTable(requests, 10, CPU).options.limits.tolist() == [7, 10]


def test_features_that_no_request_uses_cost_nothing():
    plain = RowTable([SamplingRequest([1])], 10, CPU).options.settings
    assert (plain.greedy, plain.top_p, plain.min_p, plain.min_new_tokens) == (None, None, None, None)
    mixed = RowTable([SamplingRequest([1], temperature=0), SamplingRequest([1], temperature=0.5, top_p=0.5)], 10, CPU)
    assert mixed.options.settings.temperatures.tolist() == [1.0, 0.5]
    assert mixed.options.settings.greedy is not None
    assert mixed.options.settings.top_p is not None
    assert mixed.options.settings.greedy.tolist() == [True, False]
    assert mixed.options.settings.top_p.tolist() == [1.0, 0.5]


def test_a_seed_counts_by_its_low_64_bits():
    seeds = [2**63 - 1, -1, 2**64 - 1, 2**63]
    keys = RowTable([SamplingRequest([1], seed=seed) for seed in seeds], 10, CPU).options.settings.keys
    assert torch.equal(keys, row_keys(torch.tensor([2**63 - 1, -1, -1, -(2**63)]), torch.zeros(4, dtype=torch.int64)))


def test_the_board_keeps_what_was_written_through_growth_and_moves():
    board = Board.empty(3, CPU)
    everything = slice(None)
    for column in range(5, 200):
        tokens = torch.tensor([0, 1, 2]) * 1000 + column
        board.record(everything, column, tokens, -tokens.float())
    board.record(torch.tensor([1]), 199, torch.tensor([7]), torch.tensor([-0.5]))
    board.compact(torch.tensor([0]), torch.tensor([2]), 2)
    board.shift(-150)
    ids, logprobs = board.read(torch.tensor([1, 0]), slice(47, 50))
    assert ids == [[1197, 1198, 7], [2197, 2198, 2199]]
    assert logprobs == [[-1197.0, -1198.0, -0.5], [-2197.0, -2198.0, -2199.0]]
    board.shift(3)
    assert board.read(torch.tensor([0]), slice(52, 53))[0] == [[2199]]
