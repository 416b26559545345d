"""Changes of how logging is set up, as records of the run that is being recorded."""

from __future__ import annotations

from collections.abc import Mapping

from .. import names
from ..current import CURRENT
from .accounts import complain, said


def tell(what: str, attributes: Mapping[str, object]) -> None:
    """Note in the run *what* has changed, and to what; never raises."""
    recorder = CURRENT.recorder
    if recorder is None:
        return
    try:
        recorder.event(names.LOGGING_CHANGED, attributes, severity="DEBUG", body=what)
    except Exception as error:  # a change of logging is no reason for anything else to fail
        complain(f"could not record that {what}: {said(error)}")
