"""Setting up: what ``configure`` decides, for this process and for those that it starts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from opentelemetry.sdk.trace.sampling import Sampler

from .. import names
from .._journal import layout
from .._journal.recovery import recover_runs
from .._journal.retention import enforce as enforce_retention
from .._journal.seen import Listener
from .._pipeline.notices import say
from .._pipeline.propagation import on_join
from ..config import (
    OTLP,
    UNSET,
    Config,
    Durability,
    MLflow,
    ResourceValue,
    Unset,
    Verbosity,
    find_pyproject,
    load_config,
)
from ..exporters.followers import makers_for
from ..limits import BudgetConfig
from ..redaction import Redactor
from .environment import inherited, is_child
from .log_wiring import LogWiring
from .measures import monitor_of
from .progress import hide, shown
from .providers import foreign_tracers
from .run import Telemetry
from .state import STATE


def configure(
    service_name: str | Unset | None = UNSET,
    *,
    directory: str | os.PathLike[str] | Unset | None = UNSET,
    run_id: str | Unset | None = UNSET,
    otlp: str | OTLP | Literal[False] | Unset | None = UNSET,
    mlflow: bool | str | MLflow | Unset | None = UNSET,
    upload: Literal[False] | Unset | None = UNSET,
    console: bool | Literal["auto"] | Unset | None = UNSET,
    verbosity: Verbosity | Unset | None = UNSET,
    log_file: str | os.PathLike[str] | Mapping[str, object] | Literal[False] | Unset | None = UNSET,
    capture_logs: int | str | Literal[False] | Unset | None = UNSET,
    capture_warnings: bool | Unset | None = UNSET,
    capture_uncaught: bool | Unset | None = UNSET,
    events_on_spans: bool | Unset | None = UNSET,
    capture: bool | Literal["args", "result"] | Unset | None = UNSET,
    prices: Mapping[str, Mapping[str, Decimal | float | str]] | Unset | None = UNSET,
    budget: BudgetConfig | Mapping[str, object] | Literal[False] | Unset | None = UNSET,
    redact: bool | Redactor | Unset | None = UNSET,
    sampler: Sampler | Unset | None = UNSET,
    system_metrics: bool | float | str | timedelta | Unset | None = UNSET,
    resource: Mapping[str, ResourceValue] | Unset | None = UNSET,
    propagate: bool | Unset | None = UNSET,
    durability: Durability | Unset | None = UNSET,
    memory_limit: int | str | Unset | None = UNSET,
    max_wait: float | str | timedelta | Unset | None = UNSET,
    retention: float | str | timedelta | Unset | None = UNSET,
    max_total: int | str | Unset | None = UNSET,
    signals: bool | Unset | None = UNSET,
    exit_timeout: float | str | timedelta | Unset | None = UNSET,
) -> Telemetry:
    """Start recording this process's steps and branches into a run, and return it.

    Calling it again with the same options goes on with the same run; with others it starts a new one.

    Raises:
        ConfigError: for an option that is not accepted, at once and naming what is.
    """
    arguments = {name: value for name, value in locals().items() if value is not UNSET}
    STATE.providers.leaves_place = False
    return _configured(arguments)


def host(arguments: Mapping[str, object], *, script: str | None = None) -> Telemetry | None:
    """Record for an application that sets up OpenTelemetry itself, before or after: whatever it sets is joined.

    A run that is going on goes on. None while one is being set up.

    Raises:
        ConfigError: for an option that is not accepted.
    """
    if STATE.is_wiring:
        return None
    if STATE.current is None:
        STATE.providers.leaves_place = True
        # Whoever has started this process has begun the run, and tidied up.
        _configured(arguments, is_joining=is_child(os.environ), pyproject=find_pyproject(Path.cwd()), script=script)
    if STATE.current is not None:
        STATE.current.join()
    return STATE.current


def begin() -> None:
    """Start a run, unless there is one, or one is being set up, or everything is captured."""
    if STATE.current is None and not STATE.is_wiring and not STATE.captures:
        configure()


def _configured(
    arguments: Mapping[str, object],
    *,
    is_joining: bool = False,
    pyproject: Path | None = None,
    script: str | None = None,
) -> Telemetry:
    # Meanwhile OpenTelemetry may ask our own entry points for a provider.
    STATE.is_wiring = True
    try:
        return _set_up(arguments, is_joining=is_joining, pyproject=pyproject, script=script)
    finally:
        STATE.is_wiring = False


def _set_up(
    arguments: Mapping[str, object], *, is_joining: bool, pyproject: Path | None, script: str | None
) -> Telemetry:
    before = STATE.current
    config = load_config(
        arguments,
        env=inherited({} if before is None else before.exported),
        pyproject=pyproject if is_joining else find_pyproject(Path.cwd()),
        script=script or (sys.argv[0] if getattr(sys, "argv", None) else None),
    )
    if (
        before is not None
        and before.config == config
        and not before.is_down
        and before.leaves_place == STATE.providers.leaves_place
    ):
        return before
    is_guest = STATE.providers.leaves_place or foreign_tracers() is not None
    otlp, makers = makers_for(config, dict(os.environ), is_guest=is_guest, say=say)
    for make in makers.values():
        # What is wrong with its settings is said now, while whatever was set up before goes on.
        make().close()
    monitor = monitor_of(config, is_alone=not is_joining)
    logging = LogWiring(config)
    if before is not None:
        before.shutdown()
    telemetry = Telemetry(config, config.run_id or layout.new_run_id(), STATE)
    if config.disabled:
        logging.close()
        return telemetry
    if not is_joining:
        _tidy(config)
    telemetry.wire(listeners=_listeners(config), otlp=otlp, makers=makers, logging=logging, is_joining=is_joining)
    STATE.current = telemetry
    STATE.providers.keep()
    STATE.point()
    telemetry.begin_sampling(monitor)
    if before is not None:
        _tell_changes(telemetry, before.config)
    return telemetry


def _tell_changes(telemetry: Telemetry, before: Config) -> None:
    """Note in a run what is not as it was in the one that it takes the place of."""
    after = telemetry.config
    changed = [each.name for each in fields(Config) if getattr(before, each.name) != getattr(after, each.name)]
    if telemetry.pipeline is not None and changed:
        told = {
            f"{prefix}{name}": str(getattr(config, name))
            for prefix, config in ((names.BEFORE_PREFIX, before), (names.AFTER_PREFIX, after))
            for name in changed
        }
        body = f"configuration changed: {', '.join(changed)}"
        telemetry.pipeline.event(names.CONFIGURATION_CHANGED, told, severity="DEBUG", body=body)


def _listeners(config: Config) -> tuple[Listener, ...]:
    if config.console is False or config.verbosity == "NONE":
        return ()
    if config.console == "auto" and (not _is_terminal() or is_child(os.environ)):
        return ()
    # Drawing needs rich, which a program without a terminal should not pay for.
    from ..exporters.console import console_listener

    hide()
    listener = console_listener(config.console, verbosity=config.verbosity, links=config.links, works=shown)
    return () if listener is None else (listener,)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def _tidy(config: Config) -> None:
    """Recover what processes of earlier runs left in memory, and take away the runs that are past their time."""
    for sentence in recover_runs(config.directory):
        if sentence.startswith("could not"):
            say(sentence)
    retention_seconds = None if config.retention is None else config.retention.total_seconds()
    # Beside the application: looking through thousands of files takes its time, and nobody waits for it.
    threading.Thread(
        target=enforce_retention,
        args=(config.directory,),
        kwargs={"retention_seconds": retention_seconds, "max_total": config.max_total, "say": say},
        name="branchline-tidy",
        daemon=True,
    ).start()


def _join(settings: Mapping[str, Any]) -> None:
    """In a new process: go on with the run of the process that started this one."""
    current = STATE.current
    if current is None or current.run_id != settings["run_id"]:
        _configured(dict(settings), is_joining=True)


def _end_child() -> None:
    if STATE.current is not None:
        STATE.current.end("exit")
    for capturing in STATE.captures:
        capturing.close()


on_join(_join, _end_child)
