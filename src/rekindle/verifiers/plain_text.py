r"""Numbers in LaTeX, Markdown and Unicode, rewritten in plain signs: ``\frac{1}{2}`` as ``1/2``, ``１２`` as ``12``.

Commands without a plain form stay as they are.
"""

import re
import unicodedata

__all__ = ["THIN_SPACE", "compact", "plain"]

THIN_SPACE = "\u2009"
"""The result for all spaces that separate groups of three digits."""
SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\ufe63\u2010\u2011", "-"),
        **dict.fromkeys("\u2009\u202f\u00a0\u2007\u2006\u2008", THIN_SPACE),
        **dict.fromkeys("\u00d7\u2715\u22c5\u00b7\u2217", "×"),
        **dict.fromkeys("\u2044\u2215\u00f7", "/"),
        **dict.fromkeys("\u2248\u2243\u2245", "≈"),
        "\u00ba": "°",
        "\u066a": "%",
        "\u2264": "<",
        "\u2265": ">",
        "\u03c0": r"\pi ",
        "\u221a": r"\sqrt ",
        "\u221e": r"\infty ",
    }
)
FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
RAISED = re.compile(f"[{SUPERSCRIPTS}]+")
LOWERED = str.maketrans(SUPERSCRIPTS, "0123456789+-")

ARGUMENT = r"(?:\s*\{\s*([-+]?\d+)\s*\}|\s*(\d))"
Rewrites = tuple[tuple[re.Pattern[str], str], ...]
LATEX_MARKS, MARKDOWN_MARKS = re.compile(r"[\\~]|\$\$|\{\s*,"), re.compile(r"[*`_]")
"""A text without them has nothing to rewrite."""
LATEX: Rewrites = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\(?:left|right|big|Big|bigg|Bigg|displaystyle|textstyle|limits)(?![a-zA-Z])", ""),
        (r"\\!\s*", ""),
        (r"\{\s*,\s*\}", ","),
        (r"\\[,;:]|~", THIN_SPACE),
        (r"\\(?:quad|qquad)(?![a-zA-Z])|\\[ \n]", " "),
        (r"\\(?:text|mathrm|mathbf|mathit|mathsf|mbox|textbf|textit|textrm|textnormal)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\(?:rm|bf|it)(?![a-zA-Z])", ""),
        (r"\$\$|\\[()\[\]]", " "),
        (r"\\([$%#&_])", r"\1"),
        (r"\\(?:times|cdot|ast)(?![a-zA-Z])", "×"),
        (r"\\div(?![a-zA-Z])", "/"),
        (r"\\(?:approx|simeq|doteq)(?![a-zA-Z])", "≈"),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])|\\textdegree(?![a-zA-Z])", "°"),
        (rf"\\frac{ARGUMENT}{ARGUMENT}", r" \1\2/\3\4"),
    )
)
MARKDOWN: Rewrites = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<![\w)}\s])\*\*(?=\S)|(?<![\w)}])\*\*(?=\w)|(?<=\S)\*\*(?![\w({\\])|`|(?<!\w)__|__(?!\w)", ""),
        (r"(?<!\S)\*(?=\S)|(?<=\S)\*(?!\S)", ""),
        (r"\*\*", "^"),
    )
)

ATOMIC_FRACTION = re.compile(r"\\frac\{(\\?\w+)\}\{(\\?\w+)\}")
BRACED_ATOM = re.compile(r"\{(\w|\\[a-zA-Z]+)\}")


def plain(text: str) -> str:
    """The text in plain characters. Meant for short texts: the time is bounded, but not linear, in their length."""
    plainer = text if text.isascii() else _in_ascii(text)
    for marks, rewrites in ((LATEX_MARKS, LATEX), (MARKDOWN_MARKS, MARKDOWN)):
        if marks.search(plainer):
            for pattern, replacement in rewrites:
                plainer = pattern.sub(replacement, plainer)
    return plainer.strip()


def compact(text: str) -> str:
    r"""The plain text for comparisons of wording: without spaces and dollar signs, and ``\frac{a}{b}`` as ``a/b``.

    Braces around one atom are left out; others have a meaning (``x^{2+3}``).
    """
    tight = "".join(sign for sign in plain(text) if not sign.isspace() and sign != "$")
    return BRACED_ATOM.sub(r"\1", ATOMIC_FRACTION.sub(r"\1/\2", tight))


def _in_ascii(text: str) -> str:
    """Digits, signs, fractions and superscripts in ASCII where they have such a form."""
    lowered = RAISED.sub(lambda found: f"^{{{found.group().translate(LOWERED)}}}", text)
    return "".join(map(_sign, lowered)).translate(SIGNS)


def _sign(sign: str) -> str:
    """The plain form of a digit, a fraction or a full-width character."""
    if sign.isascii():
        return sign
    if sign.isdecimal():
        return str(unicodedata.decimal(sign))
    if ord(sign) in FULL_WIDTH:
        return chr(FULL_WIDTH[ord(sign)])
    if unicodedata.category(sign) == "No" and "\u2044" in (parts := unicodedata.normalize("NFKD", sign)):
        return f" {parts}"
    return sign
