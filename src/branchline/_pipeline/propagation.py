"""Context across threads, pools and processes: what the standard library starts joins the trace it was started in.

Each patched method is one of the standard library's own starting points; ``Propagation.undo`` puts all of them back.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ..context import Carried, attached, carrier, extracted
from ..current import CURRENT, SETTINGS_KEY
from .notices import say


Join = Callable[[Mapping[str, Any]], None]
R = TypeVar("R")


@dataclass(frozen=True)
class Inherited:
    """What a new process is handed: unpickled there, it joins the run and the trace before any user code runs."""

    settings: Mapping[str, Any]
    fields: Mapping[str, str]

    def __reduce__(self) -> tuple[object, ...]:
        try:
            pickle.dumps(dict(self.settings))
        except Exception as error:  # a redaction callback that is a lambda, for one
            # Recording there without it would let out what it keeps in; failing here would keep the process from
            # starting at all.
            _say_once(f"processes that are spawned cannot join the run, for its settings cannot be pickled: {error}")
            return Inherited, ({}, {})
        return _join_here, (dict(self.settings), dict(self.fields))


def _join_here(settings: Mapping[str, Any], fields: Mapping[str, str]) -> Inherited:
    try:
        joined = _joining.get("join")
        if joined is None:
            _load_telemetry()
            joined = _joining.get("join")
        if joined is not None:
            joined(settings)
            if fields:
                otel_context.attach(extracted(fields, Context()))
    except Exception as error:  # the process is somebody's, and has other things to do
        _say_once(f"could not join run {settings.get('run_id')}: {error}")
    return Inherited(settings, fields)


_said: set[str] = set()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        say(text)


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


def _carried(function: Callable[..., Any], inherited: Inherited) -> _CarriedTask:
    # Its fields go with the task: the process joins the run once, and a trace for every task.
    return _CarriedTask(function, Inherited(inherited.settings, {}), inherited.fields)


def _carried_job(job: Any, inherited: Inherited) -> Any:
    """Return what joblib calls, a function with its arguments; what is none is joblib's to refuse."""
    return (_carried(job[0], inherited), *job[1:]) if isinstance(job, tuple) and job else job


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
        self._when_loaded("multiprocessing.pool", self._patch_multiprocessing_pools)
        for pools in ("concurrent.futures.process", "loky.process_executor", "joblib.externals.loky.process_executor"):
            self._when_loaded(pools, self._patch_pools)
        self._when_loaded("joblib.parallel", self._patch_joblib)
        self._when_loaded("subprocess", self._patch_popen)

    def release(self, settings: Mapping[str, Any]) -> None:
        """Put everything back when the last run lets go."""
        self._runs = [wanted for wanted in self._runs if wanted is not settings]
        if not self._runs:
            for put_back in reversed(self._undo):
                put_back()
            self._undo.clear()

    def _patch(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        # What gevent puts into the place of a class has the method from its base.
        is_inherited = name not in owner.__dict__
        original = getattr(owner, name)
        patched = functools.wraps(original)(make(original))
        setattr(owner, name, patched)

        def put_back() -> None:
            # Somebody who patched after us keeps theirs; ours below it then does nothing.
            if owner.__dict__.get(name) is not patched:
                return
            if is_inherited:
                delattr(owner, name)
            else:
                setattr(owner, name, original)

        self._undo.append(put_back)

    # ── threads ───────────────────────────────────────────────────────────────────────────────────

    def _thread_start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(thread: threading.Thread) -> None:
            if self.is_on:
                _quietly(_carry_into, thread)
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
        return Inherited(self._settings(), carrier())

    def _settings(self) -> Mapping[str, Any]:
        """Return those of the capture that this context belongs to, else of the run, else the newest ones."""
        own = otel_context.get_value(SETTINGS_KEY)
        if isinstance(own, Mapping):
            return own
        runs = self._runs
        return next((settings for settings in runs if settings["run_id"] == CURRENT.run_id), runs[-1])

    def _patch_processes(self, module: Any) -> None:
        self._patch(module.BaseProcess, "start", self._process_start)
        self._patch(module.BaseProcess, "_bootstrap", self._process_bootstrap)

    def _process_start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(process: Any) -> None:
            if self.is_on and CURRENT.run_id is not None:
                # An attribute of the process object: pickled with it for spawn and forkserver, copied by fork.
                process._branchline = _quietly(self.inherited)  # noqa: SLF001  # ours
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
            return original(executor, self._task(fn), *args, **kwargs)

        return submit

    def _task(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* as another process is to call it."""
        if not self.is_on or CURRENT.run_id is None or isinstance(function, (Carried, _CarriedTask)):
            return function
        inherited = _quietly(self.inherited)
        return function if inherited is None else _carried(function, inherited)

    def _patch_joblib(self, module: Any) -> None:
        self._patch(module.Parallel, "__call__", self._parallel_call)

    def _parallel_call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(parallel: Any, iterable: Any, /) -> Any:
            inherited = _quietly(self.inherited) if self.is_on and CURRENT.run_id is not None else None
            if inherited is None:
                return original(parallel, iterable)
            # Most of it is taken later, in a thread that knows another context, for processes that are older.
            jobs = (_carried_job(job, inherited) for job in iterable)
            return original(parallel, list(jobs) if hasattr(iterable, "__len__") else jobs)

        return call

    def _patch_multiprocessing_pools(self, module: Any) -> None:
        # All of its methods end in one of these.
        for name in ("apply_async", "_map_async", "imap", "imap_unordered"):
            self._patch(module.Pool, name, functools.partial(self._pool_call, module.ThreadPool))

    def _pool_call(self, thread_pool: type, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(pool: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if not self.is_on:
                return original(pool, func, *args, **kwargs)
            if isinstance(pool, thread_pool):
                # The threads of a pool are older than its tasks, and know another context.
                task: Callable[..., Any] = functools.partial(_run_in, otel_context.get_current(), func)
            else:
                task = self._task(func)
            return original(pool, task, *args, **kwargs)

        return call

    def _patch_popen(self, module: Any) -> None:
        self._patch(module.Popen, "__init__", self._popen)

    def _popen(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(popen: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
            # With env= given by position, or several arguments deep, the caller knows better than we do.
            if self.is_on and CURRENT.run_id is not None and len(rest) < _POPEN_ENV:
                variables = _quietly(_joining_environment, kwargs.get("env"))
                if variables is not None:
                    kwargs["env"] = variables
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


def _quietly(function: Callable[..., R], *args: Any) -> R | None:
    """Return what *function* returns, or None: nothing of ours keeps the application's own from starting."""
    try:
        return function(*args)
    except Exception as error:  # a propagator of somebody else's, an environment that is no mapping
        _say_once(f"what is started here does not join the trace: {type(error).__name__}: {error}")
        return None


def _carry_into(thread: threading.Thread) -> None:
    context = otel_context.get_current()
    if not context or _brings_its_own(thread):
        return
    before = thread.__dict__.get("run")
    run = thread.run

    def run_here() -> None:
        if before is None:
            thread.__dict__.pop("run", None)
        else:
            thread.__dict__["run"] = before
        with attached(context):
            run()

    thread.run = run_here  # type: ignore[method-assign]  # the thread's own, for this one start


def _joining_environment(given: Mapping[Any, Any] | None) -> dict[Any, Any]:
    return {**(os.environ if given is None else given), **carrier(environ=True)}


def _run_in(context: Context, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with attached(context):
        return function(*args, **kwargs)


class _Finder:
    """Waits for one module to be imported, and then calls *loaded* with it."""

    def __init__(self, name: str, loaded: Callable[[Any], None]) -> None:
        self._name: str | None = name
        self._loaded = loaded

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find the awaited module as everybody else would, and hear when it has run."""
        if name != self._name:
            return None
        # It stays in the list, deaf: another thread that goes through the list now must not miss the next one.
        self._name = None
        # The import system is the one thing that is certainly loaded here.
        import importlib.util

        spec = importlib.util.find_spec(name)
        loader = None if spec is None else spec.loader
        if loader is None or isinstance(loader, type):
            return spec
        run = loader.exec_module
        loaded = self._loaded

        def exec_module(module: Any) -> None:
            loader.__dict__.pop("exec_module", None)
            run(module)
            _quietly(loaded, module)

        loader.exec_module = exec_module  # type: ignore[method-assign]  # this spec's loader only
        return spec


# The private rooms: what of ours has no underscore may be a thread's target like anybody's function.
_OUR_THREADS = f"{__name__.partition('.')[0]}._"


def _brings_its_own(thread: threading.Thread) -> bool:
    # A pool's worker lives longer than the task it is started for, and each task brings its own context. Our own
    # threads work for everybody, and would keep the spans of whoever started them alive.
    module = getattr(getattr(thread, "_target", None), "__module__", None) or ""
    return module == "concurrent.futures.thread" or module.startswith(_OUR_THREADS)


PROPAGATION = Propagation()
