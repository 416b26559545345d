"""The standing redaction: what everything goes by that nobody has told what is secret."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .redaction import Redactor

_of_the_run: Redactor | None = None


def standing_redactor() -> Redactor:
    """Return the redactor of the run that goes on here, if it has one of its own, else the default one."""
    return _of_the_run or _default()


def redactor_by(wish: bool | Redactor) -> Redactor | None:
    """Return the redactor that *wish* means: ``True`` for the standing one, ``False`` for none.

    Raises:
        ValueError: for what is neither.
    """
    from .redaction import redactor_from

    return standing_redactor() if wish is True else redactor_from(wish)


def let_stand(redactor: Redactor | None) -> None:
    """Let *redactor* stand from now on, and the default one for None."""
    global _of_the_run  # noqa: PLW0603  # of the run that there is, which ends it
    _of_the_run = redactor


@functools.cache
def _default() -> Redactor:
    # Its patterns take longer to compile than all the rest of branchline takes to import.
    from .redaction import Redactor

    return Redactor()
