"""The second judge of the arithmetic tasks, which knows neither the verifier nor the reference answer.

The last line of the prompt has the problem. The completion has to be its result and nothing else, or the problem,
"=", "equals" or "is" and the result; blanks around it and one full stop after it are allowed.
"""

import re
from collections.abc import Sequence
from operator import add, mul, sub

__all__ = ["recomputed"]

PROBLEM = re.compile(r"(\d+) ([+*-]) (\d+)")
OPERATIONS = {"+": add, "-": sub, "*": mul}


def recomputed(prompts: Sequence[str], completions: Sequence[str], **_: object) -> list[float]:
    """1.0 for each completion that is right by this rule, else 0.0."""
    return [float(_is_right(prompt, text)) for prompt, text in zip(prompts, completions, strict=True)]


def _is_right(prompt: str, completion: str) -> bool:
    problems = PROBLEM.findall(prompt.splitlines()[-1])
    if len(problems) != 1:
        return False
    left, sign, right = problems[0]
    result = OPERATIONS[sign](int(left), int(right))
    restated = rf"(?:{left} {re.escape(sign)} {right}\s*(?:=|equals|is)\s*)?"
    return re.fullmatch(rf"\s*{restated}{result}\s*\.?\s*", completion) is not None
