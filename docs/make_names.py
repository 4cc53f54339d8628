"""Write the tables of docs/howto/other_trainers.md: our keys by the names of TRL, verl and others.

Run it as: python docs/make_names.py
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from rekindle.config.other_names import ABSENT, ELSEWHERE

PAGE = Path(__file__).parent / "howto" / "other_trainers.md"
BEGIN, END = "<!-- names: python docs/make_names.py -->", "<!-- end names -->"


def page() -> str:
    """The page with both tables as the code has them."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}{END}{after}"


def tables() -> str:
    """Names with a meaning here, then names without one."""
    known = _rows(ELSEWHERE.items(), "`{}`")
    absent = _rows(ABSENT.items(), "{}")
    return (
        f"| rekindle | elsewhere |\n|---|---|\n{known}\nNames without a counterpart:\n\n"
        f"| why | names |\n|---|---|\n{absent}"
    )


def _rows(pairs: Iterable[tuple[str, str]], form: str) -> str:
    grouped = groupby(pairs, key=lambda pair: pair[1])
    return "".join(
        f"| {form.format(ours)} | {', '.join(f'`{name}`' for name, _ in names)} |\n" for ours, names in grouped
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
