"""Rewards of the tiny runs, which verl loads by the path of this file."""


def odd(data_source, solution_str, ground_truth, extra_info, **_):
    """1 for an odd number of digits."""
    return float(sum(one.isdigit() for one in solution_str) % 2)
