"""`rekindle compare`: runs compared over their seeds."""

import argparse

from rekindle.cli.options import user_path

__all__ = ["add"]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    compare = commands.add_parser("compare", help="compare runs over their seeds")
    compare.add_argument(
        "directories",
        nargs="+",
        type=user_path,
        metavar="DIR",
        help="run directories, or directories of runs, such as a sweep's",
    )
    compare.add_argument(
        "--out",
        action="append",
        default=[],
        type=user_path,
        metavar="FILE",
        help="file to write: .html, .md, .csv, .tex, .svg or .pdf; repeatable (default: the table in the terminal)",
    )
    compare.add_argument("--baseline", metavar="ARM", help="arm to compare with (default: grpo, or the first)")
    compare.add_argument(
        "--target",
        type=float,
        metavar="ACCURACY",
        help="accuracy whose cost is compared (default: what every seed of the baseline ends with)",
    )
    compare.add_argument(
        "--x",
        dest="axis",
        default="rollouts",
        metavar="COST",
        help="main cost: rollouts, tokens, flops, flops_sgpo or seconds (default: rollouts)",
    )
    compare.add_argument(
        "--metric",
        metavar="KEY",
        help="key of metrics.jsonl (default: eval/accuracy, or eval/greedy where not every run has that)",
    )
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    from rekindle.api.comparing import compare
    from rekindle.comparison.writing import check_files

    check_files(options.out)
    comparison = compare(
        *options.directories,
        baseline=options.baseline,
        target=options.target,
        metric=options.metric,
        x=options.axis,
    )
    comparison.write(*options.out)
    print(comparison.text)
    for path in options.out:
        print(path)
    return 0
