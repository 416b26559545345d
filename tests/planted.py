"""A program that says secrets wherever anything can be said, and says nothing of them itself.

``python planted.py <directory> <argument>…`` reads from stdin what to plant, by entrance, as JSON: nothing of it is on
the disk before. It plants all of it, and then ends as it is told.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry._logs import LogRecord, get_logger_provider

import branchline as bl
from branchline._pipeline import ring_opening
from branchline.events import (
    ErrorEvent,
    EventType,
    ExperimentLogger,
    RequestCreationAction,
    RequestFailureAction,
    RequestSuccessAction,
    TradeEvent,
    record_error,
    record_trade,
)
from branchline.logs import LogContext, OutputFormat, StructuredLogger
from branchline.metadata import MetadataRecorder
from branchline.monitor import PerformanceMonitor, Threshold, WebhookChannel, timed_operation


DIRECTORY = Path(sys.argv[1]) if __name__ == "__main__" else Path()


class Plant(NamedTuple):
    """What is planted at one entrance: texts with a secret in each, and a word that only its key can tell as one."""

    texts: list[str]
    word: str


def numbered(plant: Plant) -> dict[str, Any]:
    """Return the texts of *plant* under keys that say nothing of them."""
    return {f"value{number}": text for number, text in enumerate(plant.texts)}


def nested(plant: Plant) -> dict[str, Any]:
    """Return the texts of *plant* deep inside of containers, also as bytes and as keys."""
    return {
        "list": [[{"text": text} for text in plant.texts]],
        "bytes": {"list": [text.encode() for text in plant.texts]},
        "keys": {f"{text} ": number for number, text in enumerate(plant.texts)},
    }


def by_key(plant: Plant) -> dict[str, Any]:
    """Return words that look like nothing, and that their keys alone tell as secrets."""
    word = plant.word
    return {
        "password": word,
        "config": {"db": [{"db_password": word, "rate": 0.5}], "apiKey": [word, {"x": word}]},
        "headers": [["Authorization", word], ["X-Api-Key", word], ["Host", "example.org"]],
        "argv": ["run.py", "--api-key", word, "--token", word, "--rate", "1"],
        "client.secret": word,
        "aws_secret_access_key": word.encode(),
        "session": {"id": word},
    }


class Failure(Exception):
    """What goes wrong here."""


@contextmanager
def failing() -> Iterator[None]:
    with suppress(Failure):
        yield


def failed(plant: Plant) -> Failure:
    """Return an exception with causes, notes and a message full of secrets."""
    error = Failure(" ".join(plant.texts))
    error.__cause__ = Failure(str(list(plant.texts)))
    for text in plant.texts:
        error.add_note(text)
    return error


def source_of(plant: Plant) -> ModuleType:
    """Return a module whose lines have secrets in them, of which every one is in a traceback of ``fail``."""
    place = DIRECTORY.parent / "source" / "faulty.py"
    place.parent.mkdir()
    lines = ["def fail(number):"]
    for number, text in enumerate(plant.texts):
        literal = text.encode("unicode_escape").decode().replace('"', '\\"')
        lines.append(f'    if number == {number}: raise ValueError(len("{literal}"))')
    place.write_text("\n".join(lines))
    spec = importlib.util.spec_from_file_location("faulty", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ── entrances ─────────────────────────────────────────────────────────────────────────────────────


def attributes(plant: Plant) -> None:
    with bl.step("attributes", **numbered(plant)) as step:
        step.set(**nested(plant))
        step.set(**by_key(plant))
    with trace.get_tracer("theirs", attributes=numbered(plant)).start_as_current_span("span") as span:
        span.set_attributes(numbered(plant))
        span.add_event("event", numbered(plant))
        span.set_status(trace.StatusCode.ERROR, " ".join(plant.texts))
        with trace.get_tracer("theirs").start_as_current_span(
            "linked", links=[trace.Link(span.get_span_context(), numbered(plant))]
        ):
            pass


def names(plant: Plant) -> None:
    for text in plant.texts:
        with bl.experiment(text), bl.branch({"size": 1}, name=text), bl.step(text) as step:
            step.stamp(text)


def stamps(plant: Plant) -> None:
    with bl.step("stamps") as step:
        step.stamp("seen", **numbered(plant), **by_key(plant))
        bl.stamp("nested", **nested(plant))
    bl.stamp("outside", **numbered(plant), **by_key(plant))


def events(plant: Plant) -> None:
    for text in plant.texts:
        bl.event("happened", message=text, what=text)
        bl.event(text)
    bl.event("happened", **nested(plant), **by_key(plant))
    logger = get_logger_provider().get_logger("theirs")
    logger.emit(LogRecord(body=nested(plant), attributes=numbered(plant)))
    for text in plant.texts:
        logger.emit(LogRecord(body={"said": [text, {"again": text}]}, event_name="theirs"))


def messages(plant: Plant) -> None:
    log = logging.getLogger("messages")
    for text in plant.texts:
        log.warning(text)
        log.warning("%s and %r", text, text)
        log.warning({"message": text})
        log.warning("extra", extra={"what": text, "more": [text]})
    log.warning("%s", by_key(plant))
    log.warning("extra", extra=by_key(plant))


def errors(plant: Plant) -> None:
    with failing(), bl.step("errors"):
        raise failed(plant)
    with failing(), bl.branch({"size": 2}, name="errors"):
        raise failed(plant)
    with suppress(ExceptionGroup), bl.step("groups"):
        raise ExceptionGroup(" ".join(plant.texts), [failed(plant), failed(plant)])
    try:
        raise failed(plant)
    except Failure:
        logging.getLogger("errors").exception("it failed", stack_info=True)
        bl.get_logger("errors").exception("it failed")


def sources(plant: Plant) -> None:
    module = source_of(plant)
    for number in range(len(plant.texts)):
        with suppress(ValueError), bl.step("sources"):
            module.fail(number)
        try:
            module.fail(number)
        except ValueError:
            bl.get_logger("sources").exception("it failed")


def calls(plant: Plant) -> None:
    @bl.traced_step(capture=True)
    def called(given: object, *, password: str) -> object:
        return given

    for text in plant.texts:
        called(text, password=text)
    called(nested(plant), password="")
    called(by_key(plant), password="")


def branches(plant: Plant) -> None:
    for number, text in enumerate(plant.texts):
        with bl.branch({"prompt": text, "number": number}) as branch:
            branch.output = text
    with bl.branch({**nested(plant), **by_key(plant)}) as branch:
        branch.output = {**nested(plant), **by_key(plant), "filler": "x" * 5000}


def metrics(plant: Plant) -> None:
    counter, histogram = bl.counter("counted"), bl.histogram("measured")
    for text in plant.texts:
        bl.record_metric("loss", 0.5, what=text)
        counter.add(1, {"what": text})
        histogram.record(1.5, {"what": text})
    bl.record_metric("loss", 0.5, password=plant.word)
    counter.add(1, {"password": plant.word})


def usage(plant: Plant) -> None:
    for text in plant.texts:
        bl.record_usage(text, input_tokens=1, output_tokens=1)


def arguments(plant: Plant) -> None:
    bl.event("begun", argv=sys.argv, environment=dict(os.environ), command=" ".join(sys.argv))


def fields(plant: Plant) -> None:
    log = bl.get_logger("fields")
    log.bind(**numbered(plant), **by_key(plant)).warning("bound")
    with log.contextualize(**numbered(plant), **by_key(plant)):
        log.warning("contextual")
    log.warning("said", **nested(plant), **by_key(plant))
    for text in plant.texts:
        log.warning(text, what=text)
        log.warning("%s", text)


def structured(plant: Plant) -> None:
    said: list[str] = []
    log = StructuredLogger("structured", OutputFormat.BOTH, LogContext(extra=by_key(plant)), said.append)
    for text in plant.texts:
        log.bind(what=text).info(text, again=text)
    (DIRECTORY / "structured.txt").write_text("\n".join(said))


def documents(plant: Plant) -> None:
    """Write what values of ours make of themselves where somebody asks for it without secrets."""
    with bl.branch({**numbered(plant), **by_key(plant)}) as branch:
        branch.output = nested(plant)
    (DIRECTORY / "branch.txt").write_text(str(branch.to_dict(redact=True)))


def variables(plant: Plant) -> None:
    """Have what was local to a function recorded, and write the event as text."""

    def connect(texts: list[str], password: str, config: dict[str, Any]) -> None:
        first, last = texts[0], texts[-1]
        raise ValueError(f"{len(first)} {len(last)} {len(password)} {len(config)}")

    written = []
    for text in plant.texts:
        try:
            connect([text], plant.word, by_key(plant))
        except ValueError as error:
            event = ErrorEvent.of(error, local_variables=True, context={"said": text}).record()
            written.append(f"{event.to_json()}\n")
        record_error(text, parameter="x", rule=text, value=text)
    record_error("refused", parameter="password", rule="long", value=plant.word, **by_key(plant))
    (DIRECTORY / "error_event.txt").write_text("".join(written))


def experiments(plant: Plant) -> None:
    with ExperimentLogger(DIRECTORY / "experiments", experiment_id="e-1", max_file_size=50_000) as experiment:
        for text in plant.texts:
            experiment.info(EventType.DATA_LOADED, {"what": text, "deep": [{"text": text}]}, text)
            experiment.warn("custom", {"what": text})
        experiment.info(EventType.CUSTOM, {**nested(plant), **by_key(plant)})


def actions(plant: Plant) -> None:
    for text in plant.texts:
        RequestCreationAction(None, text, (text,), {"what": text, "password": plant.word}).record()
        RequestSuccessAction("Search", output=[text]).record()
        RequestFailureAction("Search", ValueError(text)).record()


def trades(plant: Plant) -> None:
    for text in plant.texts:
        TradeEvent.cancelled("BTCUSDT", "buy", 1, filled_quantity=0, reason=text, order_id="1").record()
        record_trade("order_placed", symbol=text, side=text, quantity=text)


def metadata(plant: Plant) -> None:
    with MetadataRecorder("e-1", "r-1") as recorder:
        recorder.set_config(model=plant.texts[0], **numbered(plant), **nested(plant))
        recorder.set_config(**by_key(plant))
        for text in plant.texts:
            recorder.add_error(text)
            recorder.add_warning(text)
            recorder.add_checksum(text, "sha256:0")
            recorder.add_data_source(f"{DIRECTORY}/none?{text}")
        recorder.save(DIRECTORY / "metadata.json")


def progress(plant: Plant) -> None:
    for text in plant.texts:
        for item in bl.track([1, 2], text):
            assert item


def monitored(plant: Plant) -> None:
    """Raise alerts about values whose attributes have secrets, to a web hook and to a file."""

    def keep(alert: Any) -> None:
        with (DIRECTORY / "alerts.txt").open("a") as file:
            file.write(f"{alert} {alert.to_dict()}\n")

    threshold = Threshold("watched", above=0.5, cooldown=0, severity="CRITICAL")
    hook = [WebhookChannel(URLS["http"])] if URLS else []
    with PerformanceMonitor(threshold, interval=0.2, system=False, channels=[*hook, keep]):
        for text in plant.texts:
            bl.record_metric("watched", 1, what=text)
            with suppress(ValueError), timed_operation("timed", what=text, password=plant.word):
                raise ValueError(text)
        bl.flush(20)
        time.sleep(1)


ENTRANCES: dict[str, Callable[[Plant], None]] = {
    each.__name__: each
    for each in (
        *(attributes, names, stamps, events, messages, errors, sources, calls, branches, metrics, usage, arguments),
        *(fields, structured, documents, variables, experiments, actions, trades, metadata, progress, monitored),
    )
}


# ── the program ───────────────────────────────────────────────────────────────────────────────────


# Where servers listen that keep all they get.
URLS: dict[str, str] = {}
# Loggers that have sinks of their own.
LOGGED = ("fields", "errors", "sources", "structured", "trades", "actions")


def add_sinks(told: dict[str, Any]) -> None:
    """Give everything that is logged to sinks of every kind."""
    URLS["http"] = told["http"]

    def keep(line: str) -> None:
        with (DIRECTORY / "callable.txt").open("a") as file:
            file.write(f"{line}\n")

    handler = logging.FileHandler(DIRECTORY / "handler.txt")
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(what)s", defaults={"what": ""}))
    sinks: list[dict[str, Any]] = [
        {"sink": DIRECTORY / "json.log", "json": True, "serialize": True, "rotation": "100 KB", "compression": "gz"},
        {"sink": DIRECTORY / "text.log", "format": "{level} {message} {extra}", "enqueue": True},
        {"sink": DIRECTORY / "made.log", "formatter": lambda record: f"{record.message} {dict(record.fields)}"},
        {"sink": "stdout", "json": True},
        {"sink": "stderr"},
        {"sink": keep},
        {"sink": handler},
        {"sink": told["tcp"], "json": True},
        {"sink": told["http"]},
        {"sink": told["nobody"]},
    ]
    for name in LOGGED:
        for sink in sinks:
            bl.get_logger(name).add_handler(sink)


def main() -> None:
    told = json.load(sys.stdin)
    plants = {name: Plant(*plant) for name, plant in told["plants"].items()}
    if told.get("ring") == "disk":
        # As where there is no shared memory.
        ring_opening.ring_folder = lambda: None  # type: ignore[attr-defined]  # it is imported there
    os.environ |= told.get("environment", {})
    bl.configure(
        "planted",
        directory=DIRECTORY / "journal",
        run_id="planted",
        console=True,
        verbosity="VERBOSE",
        otlp=bl.OTLP(told["otlp"], headers={"Authorization": told["header"]}) if told.get("otlp") else False,
        resource=numbered(plants["resource"]) | {"db.password": plants["resource"].word},
        log_file=DIRECTORY / "everything.log",
        capture_logs="DEBUG",
        retention=None,
        exit_timeout=30,
    )
    # The logging module's own last resort prints what it is given: that is the application's, as a print is.
    logging.getLogger().addHandler(logging.NullHandler())
    if told.get("tcp"):
        add_sinks(told)

    def hear(update: Any) -> None:
        with (DIRECTORY / "updates.txt").open("a") as file:
            file.write(f"{update} {update.to_dict()}\n")

    heard = bl.subscribe(hear, kinds=("step", "span", "branch", "experiment", "log", "metric", "usage"))
    with bl.step("kept", input_tokens=5, token_count=12, author="Jane Austen", passenger="Mr. Darcy"):
        bl.get_logger("fields").info("kept", input_tokens=5, token_count=12, author="Jane Austen", passenger="Darcy")
    open_step = bl.step("open", **numbered(plants["attributes"]))
    open_step.__enter__()
    for name, enter in ENTRANCES.items():
        enter(plants[name])
    if told.get("end") == "kill":
        print("planted", flush=True)
        # A step is noted once it has lasted for a second or two.
        time.sleep(3)
        os.kill(os.getpid(), signal.SIGKILL)
    open_step.__exit__(None, None, None)
    for name in LOGGED:
        bl.get_logger(name).flush(20)
        bl.get_logger(name).close(20)
    heard.flush(20)
    bl.shutdown(30)


if __name__ == "__main__":
    main()
