"""Letters that look like a Latin one, so that a word is recognized however it is disguised.

``LOOK_ALIKES`` is derived from Unicode's table of confusable characters (Unicode Technical Standard 39), for characters
that neither case folding nor compatibility decomposition makes Latin: other scripts, small capitals, letters with a
stroke, letters in filled circles and squares. Full-width, mathematical and circled letters and accents need no entry.
"""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache

__all__ = ["LOOK_ALIKES", "latin", "plain_characters"]

LOOK_ALIKES: Mapping[str, str] = {
    "a": "ɐɑαаᎪᗅᴀ\u237a\u2c65\ua4ee\U000102a0\U00016f40\U0001f150\U0001f170\U0001f1e6",
    "b": "ƀƅɓʙβвьᏏᏴᑲᖯᗷ\ua4d0\ua7b5\U00010282\U000102a1\U00010301\U0001f151\U0001f171\U0001f1e7",
    "c": (
        "\u00a2ƈȼɔσсᏟᴄ\u2184\u2ca5\ua4da\U000102a2\U00010302\U0001043d\U0001051c\U000118e9\U000118f2"
        "\U0001f152\U0001f172\U0001f1e8\U0001f74c"
    ),
    "d": "đɗԁᎠᏧᑯᗞᗪᴅ\ua4d2\ua4d3\U0001f153\U0001f173\U0001f1e9",
    "e": (
        "ǝɇɘəɛεезэҽᎬᴇ\u20ac\u212e\u22ff\u2d39\ua4f0\uab32\U00010286\U000118c6\U000118ce\U0001f154\U0001f174\U0001f1ea"
    ),
    "f": (
        "ϝքᖴẝ\ua4dd\ua730\ua799\uab35\U00010287\U000102a5\U00010525\U000118c2\U0001d213\U0001f155\U0001f175\U0001f1eb"
    ),
    "g": "ƍǥɠɡɢԍցᏀᏳᶃ\ua4d6\U0001f156\U0001f176\U0001f1ec",
    "h": "ħʜηнһհᎻᏂᕼ\u2c8f\ua4e7\U000102cf\U0001f157\U0001f177\U0001f1ed",
    "i": "ıɨɩɪιіӏᎥ\u2373\ua647\U000118c3\U0001f158\U0001f178\U0001f1ee",
    "j": "ʝϳјᎫᒍᴊ\ua4d9\U0001f159\U0001f179\U0001f1ef",
    "k": "ƙκкᏦᛕᴋ\u2c95\ua4d7\U00010518\U0001f15a\U0001f17a\U0001f1f0",
    "l": (
        "łƚǀɩʟιіӏ\u06f1Ꮮᒪᛁ\u2223\u23fd\u2502\u2c93\u2cd1\u2d4f\ua4e1\ua4f2\U0001028a\U00010309\U00010320"
        "\U00010443\U00010526\U000118c3\U000118d2\U00016f16\U00016f28\U0001d22a\U0001f15b\U0001f17b\U0001f1f1"
    ),
    "m": "μϻмᎷᗰᛖᴍ\u2c99\ua4df\U000102b0\U00010311\U0001f15c\U0001f17c\U0001f1f2",
    "n": "ŋɲɴνипոռ\u2c9b\ua4e0\U00010513\U0001f15d\U0001f17d\U0001f1f3",
    "o": (
        "Ꮎøɵοσоօ\u06f5०০੦૦ଠ୦௦౦೦ഠ൦๐໐ဝ၀ჿዐᴏᴑ\u25cb\u25cf\u25ef\u2b55\u2c9f\u2d54\u3007"
        "\ua4f3\uab3d\U00010292\U000102ab\U0001042c\U000104ea\U00010516\U000114d0\U000118c8\U000118d5"
        "\U000118d7\U000118e0\U0001f15e\U0001f17e\U0001f1f4"
    ),
    "p": "ƥρрᏢᑭᴘ\u2374\u2ca3\ua4d1\U00010295\U0001f15f\U0001f17f\U0001f1f5",
    "q": "ԛգզ\u2d55\ua7af\U0001f160\U0001f180\U0001f1f6",
    "r": "ɍɹʀʁгяᎡᎱᏒᖇᴦ\u2c85\ua4e3\uab47\uab48\U000104dc\U00016f35\U0001d216\U0001f161\U0001f181\U0001f1f7",
    "s": "ƽʂѕտᏕᏚ\ua4e2\ua731\U00010296\U00010448\U000118c1\U00016f3a\U0001f162\U0001f182\U0001f1f8",
    "t": (
        "ŧƭʇτтᎢᴛ\u2020\u22a4\u27d9\u2c66\u2ca7\ua4d4\U00010297\U000102b1\U00010315\U000118dc\U00016f0a"
        "\U0001f163\U0001f183\U0001f1f9\U0001f768"
    ),
    "u": ("ʉʋυսሀᑌᴜ\u222a\u22c3\ua4f4\ua79f\uab4e\uab52\U000104f6\U000118d8\U00016f42\U0001f164\U0001f184\U0001f1fa"),
    "v": (
        "νѵ\u06f7Ꮩᐯᴠ\u2228\u22c1\u2d38\ua4e6\ua6df\U0001051d\U00011706\U000118c0\U00016f08\U0001d20d"
        "\U0001f165\U0001f185\U0001f1fb"
    ),
    "w": "ɯѡԝաᎳᏔᴡ\ua4ea\U0001170a\U0001170e\U0001170f\U000118e6\U000118ef\U0001f166\U0001f186\U0001f1fc",
    "x": (
        "\u00d7χхᕁᕽ᙭᙮ᚷ\u2573\u292b\u292c\u2a2f\u2cad\u2d5d\ua4eb\uab53\U00010290\U000102b4\U00010317"
        "\U00010322\U00010527\U000118ec\U0001f167\U0001f187\U0001f1fd"
    ),
    "y": "ɏɣʏγυуүყᎩᎽᶌỿ\u2ca9\ua4ec\uab5a\U000102b2\U000118c4\U000118dc\U00016f43\U0001f168\U0001f188\U0001f1fe",
    "z": "ƶζᏃᴢ\ua4dc\U000102f5\U000118c4\U000118c9\U000118e5\U0001f169\U0001f189\U0001f1ff",
}
"""Look-alikes of each letter, in lower case; some stand for two letters."""

_LETTER_OF = {sign: letter for letter, signs in reversed(list(LOOK_ALIKES.items())) for sign in signs}


@lru_cache(maxsize=65536)
def plain_characters(character: str) -> str:
    """A character without accents, marks, width and case: "é" is "e", "Ｃ" is "c", "ﬁ" is "fi", a mark alone is "".

    Enclosing marks are marks too; letters of other scripts stay what they are.
    """
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    return "".join(part for part in parts if not unicodedata.category(part).startswith("M"))


@lru_cache(maxsize=65536)
def latin(character: str) -> str:
    """The plain characters of a character, with letters that look like Latin ones replaced by these."""
    return "".join(_LETTER_OF.get(part, part) for part in plain_characters(character))
