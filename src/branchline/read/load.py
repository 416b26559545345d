"""Finding the runs below a directory, and parsing one when something of it is asked for."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

from .. import names
from .._journal import layout
from .._journal.anyvalue import Value
from .._journal.decode import TORN, Line, Skipped, Skips, read_file
from ..redaction import Redactor
from .assemble import Gathered, assemble
from .processes import process_info
from .run import Contents, Run
from .run_document import whole_run
from .values import ProcessInfo


_NAMED: Final = 8


class Runs(Sequence[Run]):
    """The runs of a directory, oldest first; each is parsed only when something of it is asked for."""

    def __init__(
        self,
        runs: Sequence[Run],
        *,
        directory: Path,
        recovered: Sequence[str] = (),
        unreadable: Sequence[str] = (),
    ) -> None:
        """Hold *runs*, in any order.

        *recovered* says what was done for processes that had died; *unreadable* are the names of runs that are there,
        but not for this user.
        """
        self._runs = sorted(runs, key=lambda run: (run.created_unix_nano, run.id))
        self.directory = directory
        self.recovered = tuple(recovered)
        self.unreadable = tuple(unreadable)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all runs, oldest first."""
        return tuple(run.id for run in self._runs)

    @property
    def last(self) -> Run:
        """The newest run. Raises LookupError when there is none."""
        if not self._runs:
            msg = f"no runs in {self.directory}"
            raise LookupError(msg)
        return self._runs[-1]

    @overload
    def __getitem__(self, which: str | int) -> Run: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[Run, ...]: ...
    def __getitem__(self, which: str | int | slice) -> Run | tuple[Run, ...]:
        """Return the run with this id, or the unique beginning of one; ``last`` is the newest. Also by position."""
        if isinstance(which, slice):
            return tuple(self._runs[which])
        return self._named(which) if isinstance(which, str) else self._runs[which]

    def _named(self, name: str) -> Run:
        exact = [run for run in self._runs if run.id == name]
        if exact:
            return exact[-1]
        if name == "last" and self._runs:
            return self.last
        found = [run for run in self._runs if name and run.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        if name in self.unreadable:
            msg = f"the run {name!r} in {self.directory} may not be read by this user"
        elif not self._runs:
            msg = f"no run {name!r}: there are no runs in {self.directory}"
        elif found:
            msg = f"{name!r} is the beginning of {len(found)} runs: {_listed(found)}"
        else:
            msg = f"no run {name!r} in {self.directory}; there are {_listed(self._runs)}"
        raise KeyError(msg)

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, which: object) -> bool:
        return which in self._runs or which in self.ids

    def __repr__(self) -> str:
        return f"<Runs {len(self._runs)} in {self.directory}>"


def _listed(runs: Sequence[Run]) -> str:
    newest = [run.id for run in runs[-_NAMED:]]
    more = f" and {len(runs) - _NAMED:,} older" if len(runs) > _NAMED else ""
    return ", ".join(reversed(newest)) + more


def open_runs(directory: str | os.PathLike[str] = ".branchline", *, recover: bool = True) -> Runs:
    """Return the runs below *directory*.

    It may also be the folder of one run, or a folder of OTLP/JSON lines that somebody else wrote (the Collector's
    file exporter), or one such file: each is then the only run. With *recover*, what processes that have died left
    in memory is put into their journals first.
    """
    place = Path(directory)
    recovered: Sequence[str] = ()
    # The folder of one run lies in <home>/runs.
    home = place.parent.parent if place.absolute().parent.name == "runs" else place
    if recover and layout.is_there(layout.runs_directory(home)):
        # Locks and shared memory are POSIX; looking at a copied run is not.
        from .._journal.recovery import recover_runs

        recovered = recover_runs(home)
    places = _places(place)
    return Runs(
        [_run(path) for path in places if _holds_a_run(path)],
        directory=place,
        recovered=recovered,
        unreadable=[path.name for path in places if path.is_dir() and not layout.is_readable(path)],
    )


def _places(place: Path) -> list[Path]:
    """Return where runs may be."""
    runs = layout.runs_directory(place)
    return layout.processes(runs) if layout.is_there(runs) else [place]


def _holds_a_run(place: Path) -> bool:
    if place.is_file():
        return True
    return layout.is_there(place / "run.json") or any(True for _ in files_of(place))


def _run(place: Path) -> Run:
    known = layout.read_json(place / "run.json") or {}
    source = RunFiles(place)
    created = known.get("created_unix_nano")
    service = known.get("service_name")
    if not isinstance(created, int) or not isinstance(service, str):
        created, service = source.first_seen()
    found = known.get("run_id")
    name = place.absolute().name if place.is_dir() else place.name.removesuffix(".gz").removesuffix(".jsonl")
    return Run(
        id=found if isinstance(found, str) and found else name,
        directory=place,
        created_unix_nano=created,
        service_name=service,
        source=source,
    )


@dataclass(frozen=True)
class RunFiles:
    """The files of one run."""

    place: Path

    def processes(self) -> tuple[ProcessInfo, ...]:
        """Return the processes that took part, in order of start."""
        folders = layout.processes(self.place)
        found = [process_info(path) for path in folders if layout.is_there(path / "process.json") or has_lines(path)]
        return tuple(sorted(found, key=lambda process: (process.started_unix_nano, process.name)))

    def contents(self, processes: tuple[ProcessInfo, ...]) -> Contents:
        """Parse everything; which of the *processes* still run decides what an open step is."""
        alive = {process.name for process in processes if process.state == "running"}
        with uncollected():
            return self._contents(alive)

    def _contents(self, alive: set[str]) -> Contents:
        gathered = Gathered()
        skips = Skips()
        for folder, path in files_of(self.place):
            name = f"{folder}/{path.name}" if folder else path.name
            for line in read_file(path, skips, name=name):
                gathered.add(line, folder or foreign_process(line))
        return assemble(gathered, alive=alive, skipped=_final(skips.found(), alive))

    def document(self, run: Run, redactor: Redactor | None) -> dict[str, Any]:
        """Return *run*, whose files these are, as plain JSON values, without what *redactor* takes out."""
        return whole_run(run, redactor)

    def first_seen(self) -> tuple[int, str]:
        """Return when the first span or log record of the first file was made, and by which service."""
        for _, path in files_of(self.place):
            for line in read_file(path, Skips()):
                for moment, resource in _seen(line):
                    return moment, str(resource.get(names.SERVICE_NAME) or "")
        return int(self.place.stat().st_mtime * 1e9), ""


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from looking through all that is read, again and again, for cycles it cannot have."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def files_of(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of lines in *place* and in the folders of its processes, each with its folder's name."""
    if place.is_file():
        yield "", place
        return
    yield from (("", path) for path in line_files(place))
    for folder in layout.processes(place):
        yield from ((folder.name, path) for path in line_files(folder))


def line_files(folder: Path) -> list[Path]:
    """Return the files of spans and log records in *folder*; one both plain and compressed counts once."""
    found: dict[str, Path] = {}
    try:
        entries = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []
    for name in entries:
        if name.startswith((".", "metrics-")) or not name.endswith((".jsonl", ".jsonl.gz")):
            continue
        # The plain file sorts first, and is the one in force while both are there.
        found.setdefault(name.removesuffix(".gz"), folder / name)
    return list(found.values())


def has_lines(folder: Path) -> bool:
    """Whether *folder* has files of spans or log records."""
    return bool(line_files(folder))


def foreign_process(line: Line) -> str:
    """Return which process a *line* of a foreign file came from, as far as its resource says."""
    for _, resource in _seen(line):
        parts = [str(resource[key]) for key in (names.HOST_NAME, names.PROCESS_PID) if resource.get(key)]
        return str(resource.get(names.SERVICE_INSTANCE_ID) or "-".join(parts))
    return ""


def _seen(line: Line) -> Iterator[tuple[int, Mapping[str, Value]]]:
    yield from ((span.start_unix_nano, span.resource) for span in line.spans)
    yield from ((log.time_unix_nano, log.resource) for log in line.logs)


def _final(skipped: tuple[Skipped, ...], alive: set[str]) -> tuple[Skipped, ...]:
    """Return *skipped* without the lines that are only now being written."""
    return tuple(skip for skip in skipped if not (skip.reason == TORN and skip.file.rpartition("/")[0] in alive))
