"""Write the table of recipes in docs/howto/trl.md, so that the page and the code that refuses cannot differ.

Run it as: python docs/make_trl.py
"""

import re
from pathlib import Path

from rekindle.integrations.trl.settings.capabilities import Capability, capabilities

PAGE = Path(__file__).parent / "howto" / "trl.md"
BEGIN, END = "<!-- begin recipes: made by docs/make_trl.py -->", "<!-- end recipes -->"
NOTE = (
    "Where rewards become 0 or 1, a reward of at least `task.success_threshold` (0.5, unless you set it) is 1. "
    "Arguments that a recipe decides can be left out; set to anything else than TRL's default or the value here, they "
    "are refused by name."
)


def page() -> str:
    """The whole page with the present table."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def table() -> str:
    """The table of recipes."""
    lines = ["| recipe | in TRL | set in `GRPOConfig` | decided by the recipe | rewards |", "|---|---|---|---|---|"]
    lines += [f"| `{name}` | {_cells(one)} |" for name, one in capabilities().items()]
    return "\n".join([*lines, "", NOTE])


def _cells(one: Capability) -> str:
    if one.refusal:
        return f"no: {re.sub('[|]', ' ', one.refusal)} | | | "
    decided = ", ".join(f"`{name} = {value!r}`" for name, value in (one.decided or {}).items())
    return f"yes | {one.needs} | {decided} | {'0 or 1' if one.binary else 'as they are'}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
