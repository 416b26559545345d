"""Reports: what became of the records that each sink of the process was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..standing_redaction import standing_redactor
from .accounts import Account
from .handler import Handler
from .sinks.files import FileSink
from .sinks.network import NetworkSink


@dataclass(frozen=True, kw_only=True)
class SinkReport:
    """One sink: created = written + kept + dropped by reason + waiting."""

    handler_id: int
    sink: str
    created: int = 0
    """Records that passed its level and its filter."""
    written: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    kept: int = 0
    """Left on the disk for the next process."""
    caught_up: int = 0
    """Written for a process before this one."""
    waiting: int = 0
    """In its queue."""
    seconds: float = 0.0
    """Spent making lines and writing them."""
    state: str = "active"
    """``active``, ``degraded`` where something was lost, ``failed`` while nothing can be written, ``recovering`` while
    what has waited since is written, and ``inactive`` once it is closed."""
    errors: int = 0
    """How often something went wrong, whether a record was lost by it or not."""
    last_error: str = ""
    bytes_written: int = 0
    """To a file, or to another machine."""
    rotations: int = 0
    removed: int = 0
    """Rotated files that were too many, too old or too much."""
    archived: int = 0
    compression_ratio: float | None = None
    """How much smaller rotated files became: 0.1 is a tenth."""

    def document(self) -> dict[str, Any]:
        """Return what of it is worth a place in a file."""
        return {key: value for key, value in asdict(self).items() if value or key in ("created", "written")}


def report_of(handler: Handler, *, is_closed: bool = False) -> SinkReport:
    """Return what became of the records of *handler* so far."""
    account, sink = handler.account, handler.sink
    of_file: dict[str, Any] = {}
    if isinstance(sink, FileSink):
        tally = sink.file.tidying.tally
        of_file = {
            "bytes_written": sink.file.bytes_written,
            "rotations": sink.file.rotations,
            "removed": tally.removed,
            "archived": tally.archived,
            "compression_ratio": round(tally.packed_bytes / tally.plain_bytes, 4) if tally.plain_bytes else None,
        }
    elif isinstance(sink, NetworkSink):
        of_file = {"bytes_written": sink.bytes_sent}
    return SinkReport(
        handler_id=handler.id,
        sink=_sound(account.name),
        created=account.created,
        written=account.written,
        dropped=dict(account.dropped),
        kept=account.kept,
        caught_up=account.caught_up,
        waiting=0 if handler.queue is None else handler.queue.depth,
        seconds=round(account.seconds, 6),
        state="inactive" if is_closed else _state(handler),
        errors=account.errors,
        last_error=account.last_error and standing_redactor().text(_sound(account.last_error)),
        **of_file,
    )


def brought_up_to_date(report: SinkReport, account: Account) -> SinkReport:
    """Return *report* with what was counted since."""
    return replace(report, created=account.created, written=account.written, dropped=dict(account.dropped))


def _sound(text: str) -> str:
    # The name of a file may be anything, and this is written where only whole characters can be.
    return text.encode("utf-8", "backslashreplace").decode()


def _state(handler: Handler) -> str:
    sink = handler.sink
    state = sink.state if isinstance(sink, FileSink | NetworkSink) else "active"
    return "degraded" if state == "active" and handler.account.unintended else state
