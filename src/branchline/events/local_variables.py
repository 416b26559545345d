"""The local variables of a frame as text: without secrets, and of a size that somebody reads."""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Final

from ..cuts import beginning
from ..redaction import REDACTED, Redactor
from ..values import freeze
from .plain import plain_value


MOST_VARIABLES: Final = 32
MOST_CHARACTERS: Final = 512
_MODULE: Final = "<module>"


def locals_of(frame: FrameType, redactor: Redactor | None) -> dict[str, str]:
    """Return what the variables of *frame* are, as text; never raises.

    At the level of a module there are none: what is there is the program, and not where it stood.
    """
    if frame.f_code.co_name == _MODULE:
        return {}
    try:
        variables = list(frame.f_locals.items())
    except Exception:  # a frame of somebody else's making
        return {}
    wanted = [(name, value) for name, value in variables if not _is_program(name, value)]
    found = {name: _shown(name, value, redactor) for name, value in wanted[:MOST_VARIABLES]}
    if len(wanted) > MOST_VARIABLES:
        found["…"] = f"[cut: {len(wanted)} variables]"
    return found


def _is_program(name: str, value: object) -> bool:
    try:
        return name.startswith("__") or inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value)
    except Exception:  # what asks for its class raises
        return False


def _shown(name: str, value: object, redactor: Redactor | None) -> str:
    frozen = freeze(value)
    clean = frozen if redactor is None else redactor.value(name, frozen)
    # By its type: what an object of the application's says of its class may raise.
    is_text = issubclass(type(value), str)
    is_shown = isinstance(clean, str) and (clean == REDACTED or not is_text)
    text = str(clean) if is_shown else repr(plain_value(clean))
    is_whole = len(text) <= MOST_CHARACTERS
    return text if is_whole else f"{beginning(text, MOST_CHARACTERS)}… [cut: {len(text):,} characters]"
