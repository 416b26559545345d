"""Opening the crash ring: in shared memory, else on the disk, with what a recoverer must know of this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .. import names
from .._journal import layout
from .._journal.compact import dumps, ring_default
from .._journal.recovery import home_of, make_room, mounts
from .._journal.ring import Ring, create_ring
from .._journal.ring_places import ring_folder, rings
from ..errors import BranchlineError, JournalError
from .disk_rings import described, redacted_resource


# Of dead processes, in shared memory, before a new one tidies up: 128 MiB.
_MOST_RINGS: Final = 32
_RECOVERED_AT_ONCE: Final = 2

_IDENTIFYING: Final = (
    names.SERVICE_NAME,
    names.HOST_NAME,
    names.PROCESS_PID,
    names.SERVICE_INSTANCE_ID,
    names.RUN_ID,
)

_Page = dict[str, str | int]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The process whose records a ring takes."""

    process: str
    pid: int
    started_unix_nano: int
    resource: Mapping[str, Any]
    directory: Path


def opened_ring(options: Any, origin: Origin) -> Ring:
    """Return a new ring for what *origin* records as *options* say.

    Raises:
        OSError: where there is room for it nowhere.
        BranchlineError: the same.
    """
    page = _page(options, origin)
    folder = ring_folder()
    try:
        if folder is not None:
            if len(rings(folder)) > _MOST_RINGS:
                make_room(_RECOVERED_AT_ONCE)
            return _made(options, origin, folder, page, is_shared_memory=True)
    except (OSError, BranchlineError):
        # No room in shared memory: the disk serves as well, redacted.
        pass
    folder = layout.private_directory(origin.directory)
    page["resource"] = redacted_resource(options.redactor, origin.resource)
    return _made(options, origin, folder, page, is_shared_memory=False)


def _page(options: Any, origin: Origin) -> _Page:
    return {
        "version": layout.VERSION,
        "home": home_of(options.run_directory),
        "mounts": mounts(),
        "run_directory": str(options.run_directory.resolve()),
        "run_id": options.run_id,
        "process": origin.process,
        "pid": origin.pid,
        "service_name": options.service_name,
        "started_unix_nano": origin.started_unix_nano,
        "resource": dumps(dict(origin.resource), ring_default).decode(),
        "redact": described(options.redactor),
    }


def _made(options: Any, origin: Origin, folder: Path, page: _Page, *, is_shared_memory: bool) -> Ring:
    index = None
    if not is_shared_memory:
        index = layout.private_directory(layout.rings_directory(options.run_directory.parent.parent))
    try:
        return create_ring(folder, page, is_shared_memory=is_shared_memory, index=index)
    except JournalError:
        # A resource of many kilobytes: the little that says who this was will do.
        known = {key: origin.resource[key] for key in _IDENTIFYING if key in origin.resource}
        page = {**page, "resource": redacted_resource(options.redactor, known)}
    except OSError:
        # Full, perhaps of what dead processes left.
        if not is_shared_memory:
            raise
        make_room(_MOST_RINGS)
    return create_ring(folder, page, is_shared_memory=is_shared_memory, index=index)
