"""What a branch is: its configuration, its times, its status; plain values that can be pickled."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self, TypedDict, cast, overload

from .. import names
from ..metrics import record_metric, record_on
from ..outcomes import outcome_of
from ..recording import Recording
from ..values import freeze, freeze_name
from .config import logging_params, mapping_of


if TYPE_CHECKING:
    from ..redaction import Redactor


Status = Literal["pending", "success", "failed", "skipped", "cancelled", "interrupted", "lost"]

# As far as the two clocks may drift apart in a branch before the wall clock is taken to have been set.
CLOCK_TOLERANCE_SECONDS = 0.001


class ExceptionInfo(TypedDict):
    """What went wrong, as text."""

    type: str
    message: str
    traceback: str


@dataclass(eq=False)
class Branch:
    """One variant of an experiment: its configuration, when it ran, and how it ended."""

    config_id: str
    config: Mapping[str, object]
    start_ts: float
    """Seconds since the epoch."""
    end_ts: float | None = None
    status: Status = "pending"
    output: object = None
    exception_info: ExceptionInfo | None = None
    name: str | None = None
    error: BaseException | None = field(default=None, repr=False)
    """The exception itself, until the ``with`` block of the branch has ended; it does not travel by pickle."""
    retries: int = field(default=0, init=False, repr=False)
    """How often it was tried again."""
    skip_reason: str | None = field(default=None, init=False, repr=False)
    _started_ns: int | None = field(default=None, init=False, repr=False)

    @classmethod
    def start(cls, config_id: str, config: Mapping[str, object], *, name: str | None = None) -> Self:
        """Return a branch that starts now."""
        values = config if isinstance(config, dict) else mapping_of(config)
        started = cls(config_id=config_id, config=values, start_ts=time.time(), name=name)
        started.begin()
        return started

    def begin(self) -> None:
        """Have it start now, not when it was planned."""
        self.start_ts = time.time()
        self._started_ns = time.monotonic_ns()

    def __repr__(self) -> str:
        return f"<Branch {self.name or self.config_id!r} {self.status}>"

    @property
    def duration(self) -> float | None:
        """How many seconds it took; None while it runs."""
        return None if self.end_ts is None else max(self.end_ts - self.start_ts, 0.0)

    @property
    def is_final(self) -> bool:
        """Whether its status is settled."""
        return self.status != names.PENDING

    def mark_success(self, output: object = None) -> None:
        """End it as a success; an *output* of None leaves the one that it has."""
        self._finalize("success")
        if output is not None:
            self.output = output

    def mark_failure(self, exc: BaseException) -> None:
        """End it as failed by *exc*."""
        self._finalize("failed", exception_info(exc), exc)

    def mark_skipped(self, reason: str) -> None:
        """End it as skipped."""
        self._finalize("skipped", {"type": "Skipped", "message": reason, "traceback": ""})

    def mark_cancelled(self, reason: str | None = None) -> None:
        """End it as cancelled."""
        self._finalize("cancelled", {"type": "Cancelled", "message": reason or "", "traceback": ""})

    def mark_interrupted(self, exc: BaseException) -> None:
        """End it as interrupted by *exc*."""
        self._finalize("interrupted", exception_info(exc), exc)

    def mark_lost(self, reason: str) -> None:
        """End it as lost: nobody will ever know how it would have ended."""
        self._finalize("lost", {"type": "Lost", "message": reason, "traceback": ""})

    def cancel(self, reason: str = "") -> bool:
        """Have whoever runs it cancel it; False where nobody runs it, or it has ended."""
        canceller = self.__dict__.get("_canceller")
        return canceller is not None and not self.is_final and canceller(reason)

    def cancelled_by(self, canceller: Callable[[str], bool] | None) -> None:
        """Let *canceller* do it from now on."""
        self.__dict__["_canceller"] = canceller

    def skip(self, reason: str = "") -> None:
        """Have it end as skipped, unless it fails, when its ``with`` block ends; the block itself goes on."""
        self.skip_reason = freeze_name(reason) if type(reason) is not str or reason else ""

    def metric(
        self, name: str, value: float, /, *, unit: str | None = None, step: int | None = None, **attributes: object
    ) -> None:
        """Record one value of a metric of this branch, also from elsewhere and after its end."""
        recording = self.__dict__.get("_recording")
        if recording is None:
            # It was not opened by ``with``, or nothing recorded it.
            record_metric(name, value, unit=unit, step=step, **attributes)
        else:
            record_on(recording, name, value, unit, step, attributes)

    def recorded_by(self, recording: Recording | None) -> None:
        """Belong to *recording* from now on."""
        # No field: what takes a branch apart into its fields must not come upon its span.
        self.__dict__["_recording"] = recording

    def finish(self, error: BaseException | None) -> None:
        """End it the way its body ended; a status that it has already stays."""
        if self.is_final:
            return
        outcome = outcome_of(error)
        # A generator that is closed early leaves its branch unfinished.
        status = cast("Status", names.INTERRUPTED if outcome == names.CLOSED else outcome)
        # Another thread may be quicker to end it; then it has ended.
        with suppress(RuntimeError):
            if error is not None and status in names.ERROR_OUTCOMES:
                self._finalize(status, exception_info(error), error)
            elif self.skip_reason is not None:
                self.mark_skipped(self.skip_reason)
            else:
                self.mark_success()

    def _finalize(
        self,
        status: Status,
        info: ExceptionInfo | None = None,
        error: BaseException | None = None,
    ) -> None:
        if self.is_final:
            msg = f"Branch already finalized with status '{self.status}'. Cannot change status after finalization."
            raise RuntimeError(msg)
        self.end_ts = self._end()
        self.status = status
        self.exception_info = info
        self.error = error

    def _end(self) -> float:
        now = time.time()
        if self._started_ns is None:
            return max(now, self.start_ts)
        measured = self.start_ts + (time.monotonic_ns() - self._started_ns) / 1e9
        # The wall clock may have been set meanwhile; the monotonic one cannot be.
        return max(now, self.start_ts) if abs(now - measured) < CLOCK_TOLERANCE_SECONDS else measured

    def to_dict(self, redact: bool | Redactor = False) -> dict[str, object]:
        """Return its fields: the values as they are, or, with *redact*, as they are recorded, without secrets."""
        fields: dict[str, object] = {
            "config_id": self.config_id,
            "config": dict(self.config),
            "start_ts": self.start_ts,
            "end_ts": self.end_ts,
            "status": self.status,
            "output": self.output,
            "exception_info": None if self.exception_info is None else dict(self.exception_info),
            "duration": self.duration,
        }
        if self.name is not None:
            fields["name"] = self.name
        if redact is False:
            return fields
        # Its patterns take longer to compile than all the rest of branchline takes to import.
        from ..redaction import redactor_from

        redactor = redactor_from(redact)
        if redactor is None:
            return fields
        return {key: redactor.value(key, freeze(value)) for key, value in fields.items()}

    def to_logging_params(self) -> dict[str, object]:
        """Return its configuration for a logging backend: flat, what is nested under dotted keys."""
        return logging_params(self.config)

    def __getstate__(self) -> dict[str, object]:
        # Another host's monotonic clock has nothing to do with this one's, and not every exception can be pickled.
        return self.__dict__ | {"_started_ns": None, "error": None, "_recording": None, "_canceller": None}


class BranchContainer:
    """Branches, in the order in which they came."""

    def __init__(self, branches: Iterable[Branch] = ()) -> None:
        self.branches = list(branches)

    def __iter__(self) -> Iterator[Branch]:
        # A copy: branches may start in other threads while somebody looks.
        return iter(tuple(self.branches))

    def __len__(self) -> int:
        return len(self.branches)

    @overload
    def __getitem__(self, index: int) -> Branch: ...

    @overload
    def __getitem__(self, index: slice) -> BranchContainer: ...

    def __getitem__(self, index: int | slice) -> Branch | BranchContainer:
        return BranchContainer(self.branches[index]) if isinstance(index, slice) else self.branches[index]

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for each in self:
            counts[each.status] = counts.get(each.status, 0) + 1
        described = "".join(f", {count} {status}" for status, count in counts.items())
        return f"<BranchContainer of {len(self)} branch(es){described}>"

    def add(self, branch: Branch) -> None:
        """Add *branch* at the end."""
        self.branches.append(branch)

    def successful(self) -> list[Branch]:
        """Return the branches that ended as a success."""
        return [each for each in self if each.status == "success"]

    def failed(self) -> list[Branch]:
        """Return the branches that failed."""
        return [each for each in self if each.status == "failed"]

    def by_config_id(self, config_id: str) -> Branch | None:
        """Return the first branch of that configuration."""
        return next((each for each in self if each.config_id == config_id), None)


def exception_info(error: BaseException) -> ExceptionInfo:
    """Return what *error* says; never raises, whatever its ``__str__`` does."""
    try:
        message = str(error)
    except Exception:
        message = f"<unprintable {type(error).__name__}>"
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception:
        trace = ""
    return {"type": type(error).__name__, "message": message, "traceback": trace}
