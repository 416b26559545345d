"""Context across threads, pools and processes: what the standard library starts joins the trace it was started in.

Each patched method is one of the standard library's own starting points; ``Propagation.undo`` puts all of them back.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ..context import CURRENT, Carried, attached, carrier, extracted


Join = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Inherited:
    """What a new process is handed: unpickled there, it joins the run and the trace before any user code runs."""

    settings: Mapping[str, Any]
    fields: Mapping[str, str]

    def __reduce__(self) -> tuple[object, ...]:
        return _join_here, (dict(self.settings), dict(self.fields))


def _join_here(settings: Mapping[str, Any], fields: Mapping[str, str]) -> Inherited:
    joined = _joining.get("join")
    if joined is None:
        _load_telemetry()
        joined = _joining.get("join")
    if joined is not None:
        joined(settings)
        if fields:
            otel_context.attach(extracted(fields, Context()))
    return Inherited(settings, fields)


# Set by ``telemetry`` when it is imported: this room may not import that one.
_joining: dict[str, Join] = {}
_ending: list[Callable[[], None]] = []


def _load_telemetry() -> None:
    import importlib

    # By name: the layers forbid this room to know it, and a fresh process has nobody else to ask.
    importlib.import_module(f"{__package__.rpartition('.')[0]}.telemetry")


def on_join(join: Join, end: Callable[[], None]) -> None:
    """Let *join* make a new process join the run that its parent's settings describe, and *end* end it there."""
    _joining["join"] = join
    _ending.append(end)


class _CarriedTask:
    """A task for another process, with the run and the trace that it belongs to."""

    def __init__(self, function: Callable[..., Any], inherited: Inherited, fields: Mapping[str, str]) -> None:
        self.function = function
        self.inherited = inherited
        self.fields = fields

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with attached(extracted(self.fields, Context())):
            return self.function(*args, **kwargs)


class Propagation:
    """The patches; on while at least one run wants them."""

    def __init__(self) -> None:
        """Patch nothing yet."""
        self._runs: list[Mapping[str, Any]] = []
        self._undo: list[Callable[[], None]] = []

    @property
    def is_on(self) -> bool:
        """Whether anybody wants it."""
        return bool(self._runs)

    def acquire(self, settings: Mapping[str, Any]) -> None:
        """Patch, unless it is done; child processes join the run that the newest *settings* describe."""
        self._runs.append(settings)
        if len(self._runs) > 1:
            return
        self._patch(threading.Thread, "start", self._thread_start)
        self._patch(ThreadPoolExecutor, "submit", self._submit)
        # These are heavy to import: what the application has not loaded is patched when it loads it.
        self._when_loaded("multiprocessing.process", self._patch_processes)
        self._when_loaded("concurrent.futures.process", self._patch_pools)
        self._when_loaded("subprocess", self._patch_popen)

    def release(self, settings: Mapping[str, Any]) -> None:
        """Put everything back when the last run lets go."""
        self._runs = [wanted for wanted in self._runs if wanted is not settings]
        if not self._runs:
            for put_back in reversed(self._undo):
                put_back()
            self._undo.clear()

    def _patch(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        original = owner.__dict__[name]
        patched = functools.wraps(original)(make(original))
        setattr(owner, name, patched)

        def put_back() -> None:
            # Somebody who patched after us keeps theirs; ours below it then does nothing.
            if owner.__dict__.get(name) is patched:
                setattr(owner, name, original)

        self._undo.append(put_back)

    # ── threads ───────────────────────────────────────────────────────────────────────────────────

    def _thread_start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(thread: threading.Thread) -> None:
            context = otel_context.get_current()
            if self.is_on and context and not _is_pool_worker(thread):
                run = thread.run

                def run_here() -> None:
                    thread.__dict__.pop("run", None)
                    with attached(context):
                        run()

                thread.run = run_here  # type: ignore[method-assign]  # the thread's own, for this one start
            original(thread)

        return start

    def _submit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def submit(executor: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if self.is_on and not isinstance(fn, Carried):
                # An empty context too: a worker must not go on with what its last task left.
                fn = functools.partial(_run_in, otel_context.get_current(), fn)
            return original(executor, fn, *args, **kwargs)

        return submit

    # ── processes ─────────────────────────────────────────────────────────────────────────────────

    def inherited(self) -> Inherited:
        """Return what a process that is started here is handed."""
        return Inherited(self._runs[-1], carrier())

    def _patch_processes(self, module: Any) -> None:
        self._patch(module.BaseProcess, "start", self._process_start)
        self._patch(module.BaseProcess, "_bootstrap", self._process_bootstrap)

    def _process_start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(process: Any) -> None:
            if self.is_on and CURRENT.run_id is not None:
                # An attribute of the process object: pickled with it for spawn and forkserver, copied by fork.
                process._branchline = self.inherited()  # noqa: SLF001  # ours
            original(process)

        return start

    def _process_bootstrap(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def bootstrap(process: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(process, *args, **kwargs)
            finally:
                # What follows is os._exit: atexit does not run in these children.
                for end in _ending[-1:]:
                    end()

        return bootstrap

    def _patch_pools(self, module: Any) -> None:
        self._patch(module.ProcessPoolExecutor, "submit", self._process_submit)

    def _process_submit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def submit(executor: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if self.is_on and CURRENT.run_id is not None and not isinstance(fn, (Carried, _CarriedTask)):
                inherited = self.inherited()
                fn = _CarriedTask(fn, Inherited(self._runs[-1], {}), inherited.fields)
            return original(executor, fn, *args, **kwargs)

        return submit

    def _patch_popen(self, module: Any) -> None:
        self._patch(module.Popen, "__init__", self._popen)

    def _popen(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(popen: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
            # With env= given by position, or several arguments deep, the caller knows better than we do.
            if self.is_on and CURRENT.run_id is not None and len(rest) < _POPEN_ENV:
                given = kwargs.get("env")
                kwargs["env"] = {**(os.environ if given is None else given), **carrier(environ=True)}
            original(popen, args, *rest, **kwargs)

        return init

    # ── what is imported later ────────────────────────────────────────────────────────────────────

    def _when_loaded(self, name: str, patch: Callable[[Any], None]) -> None:
        module = sys.modules.get(name)
        if module is not None:
            patch(module)
            return
        finder = _Finder(name, lambda loaded: patch(loaded) if self.is_on else None)
        sys.meta_path.insert(0, finder)
        self._undo.append(lambda: sys.meta_path.remove(finder) if finder in sys.meta_path else None)


# Popen(args, bufsize, executable, stdin, stdout, stderr, preexec_fn, close_fds, shell, cwd, env, …)
_POPEN_ENV = 10


def _run_in(context: Context, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with attached(context):
        return function(*args, **kwargs)


class _Finder:
    """Waits for one module to be imported, and then calls *loaded* with it."""

    def __init__(self, name: str, loaded: Callable[[Any], None]) -> None:
        self._name = name
        self._loaded = loaded

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the awaited module as everybody else would, and hear when it has run."""
        if name != self._name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module
        loaded = self._loaded

        def exec_module(module: Any) -> None:
            run(module)
            loaded(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this spec's loader only
        return spec


def _is_pool_worker(thread: threading.Thread) -> bool:
    # A pool's worker lives longer than the task it is started for, and each task brings its own context.
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", None) == "concurrent.futures.thread"


PROPAGATION = Propagation()
