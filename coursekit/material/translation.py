"""Pairs to translate, English to French: dates, amounts, spans of time and countries, from Unicode's CLDR."""

from __future__ import annotations

import datetime
import functools
import math
import random
from collections.abc import Callable
from typing import Any

Pair = tuple[str, str]
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF", "CAD")
SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_629_800,
    "year": 31_557_600,
}
KINDS = ("date", "amount", "span of time", "countries")


def phrase_pairs(kind: str, n: int, seed: int) -> list[Pair]:
    """`n` different phrases of a kind, drawn at random, each in English and in French.

    Kinds: "date" (1900 to 2099, three styles), "amount" (up to a million, six currencies), "span of time" (before or
    after now) and "countries" (two or three territories whose names have at most two words). Spaces and apostrophes are
    plain ones. Raises ValueError for another kind. Source: Unicode CLDR, by Babel.
    """
    if kind not in KINDS:
        raise ValueError(f"a kind is one of {', '.join(KINDS)}: found {kind!r}")
    draw, rng = _DRAWN[kind], random.Random(f"{kind} {seed}")
    pairs: dict[str, str] = {}
    while len(pairs) < n:
        say = draw(rng)
        pairs.setdefault(say("en_US"), say("fr"))
    return [(_plain(english), _plain(french)) for english, french in pairs.items()]


def _plain(text: str) -> str:
    return text.translate({0x00A0: " ", 0x202F: " ", 0x2019: "'"})


def _date(rng: random.Random) -> Callable[[str], str]:
    from babel.dates import format_date

    day = FIRST_DAY + datetime.timedelta(days=rng.randrange((LAST_DAY - FIRST_DAY).days + 1))
    style = rng.choice(("medium", "long", "full"))
    return lambda language: format_date(day, style, locale=language)


def _amount(rng: random.Random) -> Callable[[str], str]:
    from babel.numbers import format_currency

    amount = round(10 ** rng.uniform(0, 6), 2)
    currency = rng.choice(CURRENCIES)
    return lambda language: format_currency(amount, currency, locale=language)


def _span(rng: random.Random) -> Callable[[str], str]:
    from babel.dates import format_timedelta

    unit = rng.choice(tuple(SECONDS))
    span = datetime.timedelta(seconds=SECONDS[unit] * rng.randint(1, 999) * rng.choice((1, -1)))
    whole: Any = {"granularity": unit, "threshold": math.inf, "add_direction": True}  # 90 minutes are not said as hours
    return lambda language: format_timedelta(span, locale=language, **whole)


def _countries(rng: random.Random) -> Callable[[str], str]:
    from babel.lists import format_list

    codes = rng.sample(_codes(), rng.choice((2, 3)))
    return lambda language: format_list([_territories(language)[code] for code in codes], locale=language)


@functools.cache
def _territories(language: str) -> dict[str, str]:
    from babel import Locale

    return {code: str(name) for code, name in Locale.parse(language).territories.items()}


@functools.cache
def _codes() -> list[str]:
    """Two-letter codes whose names are short in both languages."""
    names = [_territories(language) for language in ("en_US", "fr")]
    return sorted(
        code
        for code in names[0].keys() & names[1].keys()
        if len(code) == 2 and all(len(own[code].split()) < 3 for own in names)
    )


_DRAWN: dict[str, Callable[[random.Random], Callable[[str], str]]] = {
    "date": _date,
    "amount": _amount,
    "span of time": _span,
    "countries": _countries,
}
