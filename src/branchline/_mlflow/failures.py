"""What MLflow's errors mean to whoever has to go on."""

from __future__ import annotations

from typing import Final, Literal

from ..errors import BranchlineError


Kind = Literal["retry", "refused", "missing"]

# By MLflow's own names of errors. A server that is down, and one that is broken, both come as INTERNAL_ERROR.
_LATER: Final = frozenset(
    {
        *("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED"),
        *("RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"),
    }
)
_NOT_THERE: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
# A file that is not there or not ours does not get better by itself, as a connection does.
_OF_FILES: Final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_LONGEST_MESSAGE: Final = 500


class MLflowFailure(BranchlineError):
    """A call to MLflow that came to nothing.

    Its *kind* says what to do: ``retry`` the same later, give up what was ``refused``, or begin anew because the run
    or the experiment is ``missing``.
    """

    def __init__(self, kind: Kind, message: str, code: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        """MLflow's own name of the error, or the class of what was raised."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.kind, str(self), self.code)


def failure_of(error: Exception) -> MLflowFailure:
    """Return what *error*, which something of MLflow has raised, means."""
    code = getattr(error, "error_code", None)
    if isinstance(code, str):
        return MLflowFailure(kind_of(code), _message(error), code)
    return MLflowFailure("retry" if _is_passing(error) else "refused", _message(error), type(error).__name__)


def kind_of(code: str) -> Kind:
    """Return what the error that MLflow calls *code* means."""
    if code in _LATER:
        return "retry"
    return "missing" if code in _NOT_THERE else "refused"


def _is_passing(error: Exception) -> bool:
    # A database that is locked: MLflow has SQLAlchemy, we have not.
    is_of_database = any(kind.__name__ == "OperationalError" for kind in type(error).__mro__)
    return is_of_database or (isinstance(error, OSError) and not isinstance(error, _OF_FILES))


def _message(error: Exception) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # whatever it is made of
        text = ""
    text = text or type(error).__name__
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
