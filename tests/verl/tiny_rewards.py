"""Rewards of the tiny runs, which verl loads by the path of this file."""


def odd(data_source, solution_str, ground_truth, extra_info, **_):
    """1 for an odd number of digits."""
    return float(sum(one.isdigit() for one in solution_str) % 2)


def often(data_source, solution_str, ground_truth, extra_info, **_):
    """Always 1 for two prompts of three, so that temperatures are raised."""
    return 1.0 if extra_info["index"] % 3 else float(sum(one.isdigit() for one in solution_str) % 2)


def failing(data_source, solution_str, ground_truth, extra_info, **_):
    """An error for a prompt of four."""
    if extra_info["index"] % 4 == 0:
        raise ValueError("no reward for this prompt")
    return float(sum(one.isdigit() for one in solution_str) % 2)


def broken(data_source, solution_str, ground_truth, extra_info, **_):
    """An error for every prompt."""
    return extra_info["verdict"]


def nothing(data_source, solution_str, ground_truth, extra_info, **_):
    """No number."""


def mendable(data_source, solution_str, ground_truth, extra_info, **_):
    """What the user can mend, for a prompt of four."""
    from rekindle.types import UserError

    if extra_info["index"] % 4 == 0:
        raise UserError("the corpus is not on this machine; copy it")
    return float(sum(one.isdigit() for one in solution_str) % 2)
