"""Values of metrics: the number that what was measured becomes when it is recorded."""

from __future__ import annotations

import math
import operator

from .values import INT64_MAX, INT64_MIN, Oddity


def freeze_number(value: object, oddity: Oddity = None) -> int | float:
    """Return *value* as a number of at most 64 bits; one that is not finite stays so, and what is none is NaN.

    Never raises. *oddity* hears of ``big_int``, ``non_finite`` and ``not_a_number``.
    """
    try:
        number = _number(value)
        if isinstance(number, int) and not INT64_MIN <= number <= INT64_MAX:
            number = _rounded(number)
            kind = "big_int"
        elif number - number == 0:
            return number
        else:
            kind = "non_finite"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # whatever the methods of a number of the user's raise
        number, kind = math.nan, "not_a_number"
    if oddity is not None:
        oddity(kind)
    return number


def _number(value: object) -> int | float:
    try:
        # Numpy's integers too, which as floats would lose their last digits.
        return operator.index(value)  # type: ignore[arg-type]  # raises as it may
    except TypeError:
        return float.__float__(float(value))  # type: ignore[arg-type]  # raises as it may


def _rounded(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
