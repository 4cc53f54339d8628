"""Units behind a number, e.g. ``cm`` and ``square centimeters``: which words are units, and which are the same unit."""

import re

__all__ = ["SCALES", "unit_of"]

NAMES = {
    "m": "m meter meters metre metres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "km": "km kilometer kilometers kilometre kilometres",
    "inch": "in inch inches",
    "foot": "ft foot feet",
    "yard": "yd yds yard yards",
    "mile": "mi mile miles",
    "degree": "° deg degree degrees",
    "radian": "rad radian radians",
    "second": "s sec secs second seconds",
    "minute": "min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "yr yrs year years",
    "g": "g gm gram grams",
    "mg": "mg milligram milligrams",
    "kg": "kg kilogram kilograms",
    "pound": "lb lbs pound pounds",
    "ounce": "oz ounce ounces",
    "ton": "ton tons tonne tonnes",
    "liter": "l liter liters litre litres",
    "ml": "ml milliliter milliliters millilitre millilitres",
    "gallon": "gal gallon gallons",
    "quart": "qt quart quarts",
    "pint": "pint pints",
    "cup": "cup cups",
    "dollar": "$ usd dollar dollars",
    "euro": "€ eur euro euros",
    "yen": "¥ jpy yen",
    "rupee": "₹ inr rupee rupees",
    "cent": "¢ cent cents",
    "mile per hour": "mph",
    "km per hour": "kmh kph km/h",
    "m per second": "m/s",
    "unit": "unit units",
}
KNOWN = {word: name for name, words in NAMES.items() for word in words.split()}
POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
MOST_WORDS = 4
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?|[°$€£¥₹¢]")
EXPONENT = re.compile(r"\^\s*\{?\s*([23])\s*\}?")
NO_UNIT = re.compile(
    r"(?:is|are|was|not|or|and|to|if|maybe|perhaps|probably|wrong|but|plus|minus|times|more|less|than|least|most|about"
    r"|either|no|none|because|since|so|then|else|mod|modulo|divided|choose|of)",
    re.IGNORECASE,
)
"""Words that continue a sentence, and are no name of what was counted."""


def unit_of(text: str) -> str | None:
    """The name of the unit that ``text`` consists of.

    Returns:
        ``""`` where the text is empty or names things that are no known unit (``apples``); None where it is not a unit.
    """
    power = EXPONENT.search(text)
    bare = EXPONENT.sub(" ", text).strip()
    words = [word.rstrip(".") for word in WORD.findall(bare)]
    if not bare:
        return "" if power is None else None
    if bare in KNOWN and power is None:
        return KNOWN[bare]
    rest = WORD.sub("", bare).replace("/", "").strip(" ,.")
    if rest or len(words) > MOST_WORDS or any(map(NO_UNIT.fullmatch, words)):
        return None
    return _name(words, int(power[1]) if power else 1)


def _name(words: list[str], power: int) -> str | None:
    powers = [POWERS[word.lower()] for word in words if word.lower() in POWERS]
    known = [KNOWN.get(word) or KNOWN.get(word.lower()) for word in words if word.lower() not in POWERS]
    if len(words) == 1 and len(words[0]) == 1 and known == [None]:
        return None  # a variable
    names = [name for name in known if name is not None]
    if len(names) == 2 and len(words) == 3 and words[1].lower() == "per":
        return f"{names[0]} per {names[1]}"
    if len(names) != 1 or len(known) != 1:
        return ""
    exponent = max([power, *powers])
    return names[0] if exponent == 1 else f"{names[0]}^{exponent}"
