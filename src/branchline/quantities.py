"""Sizes and durations as people write them: "64 MiB", "500 ms", "30 days"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final


A_SIZE: Final = 'a positive number of bytes, or text such as "64 MiB", "5 GiB", "500 MB"'
A_DURATION: Final = 'seconds, a timedelta, or text such as "500 ms", "12 h", "30 days"'

_BYTES: Final = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_SECONDS: Final = {
    **dict.fromkeys(["ms", "millisecond", "milliseconds"], 0.001),
    **dict.fromkeys(["", "s", "sec", "second", "seconds"], 1.0),
    **dict.fromkeys(["m", "min", "minute", "minutes"], 60.0),
    **dict.fromkeys(["h", "hour", "hours"], 3600.0),
    **dict.fromkeys(["d", "day", "days"], 86_400.0),
    **dict.fromkeys(["w", "week", "weeks"], 604_800.0),
    # On average, for ages and intervals; what is meant by the calendar is said in words such as "monthly".
    **dict.fromkeys(["month", "months"], 30 * 86_400.0),
    **dict.fromkeys(["year", "years"], 365 * 86_400.0),
}
_QUANTITY: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)\s*")


def seconds(value: object) -> float:
    """Return the seconds that *value* says: a number, a timedelta, or text such as "500 ms" or "30 days".

    Raises:
        ValueError, KeyError: for anything else, and below zero.
    """
    return _quantity(value.total_seconds() if isinstance(value, timedelta) else value, _SECONDS)


def size(value: object) -> int:
    """Return the bytes that *value* says: a number, or text such as "64 MiB" or "500 MB".

    Raises:
        ValueError, KeyError: for anything else, and for less than one byte.
    """
    bytes_said = int(_quantity(value, _BYTES))
    if bytes_said > 0:
        return bytes_said
    raise ValueError


def _quantity(value: object, units: Mapping[str, float]) -> float:
    if isinstance(value, str) and (match := _QUANTITY.fullmatch(value)):
        value = float(match[1]) * units[match[2].lower()]
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return value
    raise ValueError
