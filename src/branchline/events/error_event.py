"""Errors: what went wrong, how bad it is, where, and with what; one record, also for a program that reads it later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, cast

from .. import names
from ..logs.json_lines import as_json
from ..redaction import Redactor
from ..standing_redaction import redactor_by
from .fingerprints import fingerprint_of
from .plain import plain_payload, plain_value
from .raised import Raised, raised_of
from .restored import restored
from .saying import say, side_by_side


Severity: TypeAlias = Literal["critical", "high", "medium", "low"]
SEVERITIES: Final[Mapping[str, str]] = {"critical": "FATAL", "high": "ERROR", "medium": "WARN", "low": "INFO"}
# Whoever wants errors in a file of their own gives this logger a sink.
LOGGER: Final = "errors"

_LEVELS: Final[Mapping[str, Severity]] = {
    "critical": "critical",
    "fatal": "critical",
    "high": "high",
    "error": "high",
    "medium": "medium",
    "warning": "medium",
    "warn": "medium",
    "low": "low",
    "info": "low",
    "debug": "low",
}
_MOST_CAUSES: Final = 16


@dataclass(frozen=True, kw_only=True)
class ErrorEvent:
    """Something that went wrong; made by ``of``, which takes secrets out of everything that it is given."""

    message: str
    severity: Severity = "high"
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    exception: Raised | None = None
    error_code: str | None = None
    component: str | None = None
    """Of the program: what it was in."""
    operation: str | None = None
    """What it was doing."""
    user_id: str | None = None
    session_id: str | None = None
    parameter: str | None = None
    """What was not valid."""
    rule: str | None = None
    """Why it was not: what would have been."""
    value: Any = None
    """What it was."""
    context: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What else there is to know: the host and the port, the request, the state."""
    fingerprint: str = ""
    """The same for all errors that are the same fault."""
    # Of this process: what handlers of the logging module get.
    _error: BaseException | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        error: BaseException | None = None,
        message: str | None = None,
        *,
        severity: str = "high",
        error_code: object = None,
        component: object = None,
        operation: object = None,
        user_id: object = None,
        session_id: object = None,
        parameter: object = None,
        rule: object = None,
        value: object = None,
        local_variables: bool = False,
        redact: bool | Redactor = True,
        **context: object,
    ) -> ErrorEvent:
        """Return what *error* is, or of none what the *message* says; whatever it is given, never raises.

        *severity* is ``critical``, ``high``, ``medium`` or ``low``, or a level of the logging module. With
        *local_variables* every place that the error came through has its variables, bounded and without secrets.
        """
        redactor = redactor_by(redact)
        raised = None if error is None else raised_of(error, redactor, with_locals=local_variables)
        text = _text(message, redactor) or (str(raised) if raised is not None else "unknown error")
        code = _text(error_code, redactor)
        is_secret = redactor is not None and parameter is not None and redactor.is_secret(str(plain_value(parameter)))
        return cls(
            message=text,
            severity=_LEVELS.get(str(plain_value(severity)).lower(), "high"),
            exception=raised,
            error_code=code,
            component=_text(component, redactor),
            operation=_text(operation, redactor),
            user_id=_text(user_id, redactor),
            session_id=_text(session_id, redactor),
            parameter=_text(parameter, redactor),
            rule=_text(rule, redactor),
            # What is not valid may be a password all the same.
            value=_clean("password" if is_secret else "value", value, redactor),
            context={key: _clean(key, item, redactor) for key, item in plain_payload(context).items()},
            fingerprint=fingerprint_of(raised, text, code),
            _error=error,
        )

    # ── as an event ───────────────────────────────────────────────────────────────────────────────

    def record(self, *, logger: str | None = LOGGER) -> ErrorEvent:
        """Record it as an event of the current step, give it to whoever listens to that *logger*, and return it.

        Never raises.
        """
        say(
            names.ERROR_EVENT,
            self.fields(),
            severity=SEVERITIES[self.severity],
            message=self.message,
            logger=logger,
            error=self._error,
            beside=self._exception_fields(),
        )
        return self

    def fields(self) -> dict[str, object]:
        """Return what there is to know of it beside the message, side by side; what is not known is left out."""
        own = self._named()
        own |= {"severity": self.severity, "fingerprint": self.fingerprint}
        error = self.exception
        if error is not None:
            own |= {
                names.ERROR_TYPE: error.type,
                "error_module": error.module,
                "error_location": error.location,
                "error_function": error.function,
                "notes": error.notes,
                "causes": tuple(str(each) for each in _first(error)),
                "errors": tuple(str(each) for each in error.exceptions),
                "local_variables": _locals(error),
            }
        return side_by_side(
            {key: item for key, item in own.items() if item not in (None, "", (), {})}, self.context, "context"
        )

    def _named(self) -> dict[str, object]:
        return {
            "error_code": self.error_code,
            "component": self.component,
            "operation": self.operation,
            "user_id": self.user_id,
            "session_id": self.session_id,
            "parameter": self.parameter,
            "rule": self.rule,
            "value": self.value,
        }

    def _exception_fields(self) -> dict[str, object]:
        error = self.exception
        if error is None:
            return {}
        return {
            names.EXCEPTION_TYPE: error.type,
            names.EXCEPTION_MESSAGE: error.message,
            names.EXCEPTION_STACKTRACE: error.stacktrace,
        }

    # ── as plain values ───────────────────────────────────────────────────────────────────────────

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; what is not known is left out."""
        named = {key: item for key, item in self._named().items() if item is not None}
        told: dict[str, Any] = {
            "message": self.message,
            "severity": self.severity,
            "timestamp": self.timestamp.isoformat(),
            "fingerprint": self.fingerprint,
            "context": {**self.context, **named},
        }
        return told | ({} if self.exception is None else {"exception": self.exception.to_dict()})

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return as_json(self.to_dict())

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> ErrorEvent:
        """Return the error that ``to_dict`` told of; nothing but the message has to be there.

        Raises:
            ValueError: for what cannot be one.
        """
        message, timestamp = told.get("message"), told.get("timestamp")
        if not isinstance(message, str):
            msg = f"{told!r} is no error: it needs a message"
            raise ValueError(msg)  # noqa: TRY004  # what cannot be one, for one reason or another
        context = dict(told.get("context") or {})
        known = {key: context.pop(key) for key in _CONTEXT if key in context}
        raised = Raised.from_dict(told["exception"]) if told.get("exception") else None
        same = told.get("fingerprint") or fingerprint_of(raised, message, known.get("error_code"))
        return cls(
            message=message,
            severity=_LEVELS.get(str(told.get("severity", "high")).lower(), "high"),
            timestamp=datetime.fromisoformat(timestamp) if isinstance(timestamp, str) else datetime.now(UTC),
            exception=raised,
            context=context,
            fingerprint=str(same),
            **known,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ErrorEvent:
        """Return the error that ``to_json`` told of.

        Raises:
            ValueError: for what cannot be one.
        """
        return cls.from_dict(cast("Mapping[str, Any]", json.loads(text)))

    def to_exception(self) -> BaseException | None:
        """Return an exception that says the same: of its own class if that is built in; None where there was none."""
        return None if self.exception is None else restored(self.exception)


_CONTEXT: Final = ("error_code", "component", "operation", "user_id", "session_id", "parameter", "rule", "value")


def record_error(
    message: str | None = None, exception: BaseException | None = None, *, severity: str = "high", **context: object
) -> ErrorEvent:
    """Record that something went wrong: an *exception*, the one that was given, with all else in the same record.

    *context* may have ``error_code``, ``component``, ``operation``, ``user_id``, ``session_id``, ``parameter``,
    ``rule``, ``value``, ``local_variables``, and anything else. Never raises.
    """
    return ErrorEvent.of(exception, message, severity=severity, **cast("dict[str, Any]", context)).record()


def _first(error: Raised) -> list[Raised]:
    return [each for each, _ in zip(error.chain(), range(_MOST_CAUSES), strict=False)]


def _locals(error: Raised) -> dict[str, dict[str, str]]:
    """Return the variables by place, the innermost first."""
    return {
        f"{frame.function} ({frame.file}:{frame.line})": dict(frame.locals)
        for frame in reversed(error.frames)
        if frame.locals
    }


def _text(said: object, redactor: Redactor | None) -> str | None:
    if said is None:
        return None
    text = str(plain_value(said))
    return text if redactor is None else redactor.text(text)


def _clean(key: str, value: object, redactor: Redactor | None) -> Any:  # noqa: ANN401  # JSON
    plain = plain_value(value)
    return plain if redactor is None else plain_value(redactor.value(key, plain))
