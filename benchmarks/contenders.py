"""The contenders: each records the same work its own way, in a process of its own."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Work = Callable[[int, str], None]

BARE: Final = "bare"
API: Final = "api"
UNCONFIGURED: Final = "unconfigured"
SDK: Final = "sdk"
SDK_OTLP: Final = "sdk+otlp"
CRASH: Final = "crash"
BATCH: Final = "batch"

# Large enough that nothing is dropped: what is measured is recording, not losing.
_STOCK_QUEUE: Final = 1 << 21
_FLUSH_SECONDS: Final = 120.0

# What programs log to: its records go nowhere, but to a contender that takes them.
LOG: Final = logging.getLogger("benchmarks.work")
LOG.setLevel(logging.INFO)
LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True, kw_only=True)
class Contender:
    """How one way of recording does what the cases need."""

    traced: Callable[[str], Decorator]
    """Decorates a function of the case, sync or async."""
    annotate: Work
    """Puts six attributes and two events, with one attribute each, on the current span."""
    block: Work
    """A with-block with the same six attributes and two events."""
    point: Work
    """Records one value of a metric, with one attribute: for a dashboard, and to be kept with its span."""
    usage: Work
    """Records what a call of a model took; where nobody has a word for that, adds 1 to a counter with 3 attributes."""
    settle: Callable[[], object] = lambda: None
    """Waits until everything recorded so far is where it goes."""
    finish: Callable[[], int | None] = lambda: None
    """Ends it, and says how many spans arrived there; None where nobody counts."""


def bare() -> Contender:
    """Return plain functions: what the work itself costs."""
    return Contender(
        traced=lambda name: lambda function: function, annotate=_nothing, block=_nothing, point=_nothing, usage=_nothing
    )


def api() -> Contender:
    """Return the OpenTelemetry API, with no SDK behind it."""
    from opentelemetry import _logs, metrics, trace

    meter = metrics.get_meter("benchmarks")
    return _with_tracer(
        trace.get_tracer("benchmarks"),
        point=_point(meter, _logs.get_logger("benchmarks")),
        usage=_counted(meter),
    )


def unconfigured() -> Contender:
    """Return branchline, imported but not configured."""
    return _with_steps()


def stock(*, is_encoding: bool, has_default_queue: bool = False) -> Contender:
    """Return the OpenTelemetry SDK with its batch processor; the exporter encodes to OTLP, or only counts."""
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    encode: Callable[[Sequence[ReadableSpan]], Any] = len
    if is_encoding:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        def encode(spans: Sequence[ReadableSpan]) -> Any:
            return encode_spans(spans).SerializeToString()

    class Counting(SpanExporter):
        """Counts what arrives and drops it."""

        count = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            encode(spans)
            self.count += len(spans)
            return SpanExportResult.SUCCESS

    exporter = Counting()
    provider = TracerProvider()
    if has_default_queue:
        # It warns of what it drops; here that is counted.
        logging.getLogger("opentelemetry.sdk").setLevel(logging.ERROR)
    size = None if has_default_queue else _STOCK_QUEUE
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=size))

    points = StockPoints(is_encoding=is_encoding)
    LOG.addHandler(points.handler())

    def settle() -> None:
        assert provider.force_flush(int(_FLUSH_SECONDS * 1000))
        points.settle()

    def finish() -> int:
        provider.shutdown()
        return exporter.count + points.finish()

    tracer = provider.get_tracer("benchmarks")
    return _with_tracer(tracer, point=points.record, usage=points.count, settle=settle, finish=finish)


class StockPoints:
    """Metric points as the OpenTelemetry SDK has them: a histogram, and a log event with the span's ids."""

    def __init__(self, *, is_encoding: bool) -> None:
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        log_exporter, metric_exporter = _point_exporters(is_encoding=is_encoding)
        self._exporter = log_exporter
        self._metric_exporter = metric_exporter
        self._logs = LoggerProvider()
        self._logs.add_log_record_processor(BatchLogRecordProcessor(log_exporter, max_queue_size=_STOCK_QUEUE))
        self._metrics = MeterProvider([PeriodicExportingMetricReader(metric_exporter)])
        meter = self._metrics.get_meter("benchmarks")
        self.record = _point(meter, self._logs.get_logger("benchmarks"))
        self.count = _counted(meter)

    def handler(self) -> logging.Handler:
        """Return the handler of the logging module that gives records to the same logger provider."""
        import warnings

        from opentelemetry.sdk._logs import LoggingHandler

        with warnings.catch_warnings():
            # It has moved to another package, and has stayed the same.
            warnings.simplefilter("ignore")
            return LoggingHandler(logger_provider=self._logs)

    def settle(self) -> None:
        assert self._logs.force_flush(int(_FLUSH_SECONDS * 1000))
        assert self._metrics.force_flush(_FLUSH_SECONDS * 1000)

    def finish(self) -> int:
        self._logs.shutdown()
        self._metrics.shutdown()
        count: int = self._exporter.count + self._metric_exporter.counted
        return count


def _point_exporters(*, is_encoding: bool) -> tuple[Any, Any]:
    from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

    encode_logs: Callable[[Any], Any] = len
    encode_metrics: Callable[[Any], Any] = id
    if is_encoding:
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs as log_message
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics as metrics_message

        def encode_logs(batch: Any) -> Any:
            return log_message(batch).SerializeToString()

        def encode_metrics(data: Any) -> Any:
            return metrics_message(data).SerializeToString()

    class CountingLogs(LogRecordExporter):
        """Counts what arrives and drops it."""

        count = 0

        def export(self, batch: Any) -> LogRecordExportResult:
            encode_logs(batch)
            self.count += len(batch)
            return LogRecordExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    class Metrics(MetricExporter):
        """Drops what arrives, and knows what the counter has come to."""

        counted = 0

        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
            encode_metrics(metrics_data)
            for resource in metrics_data.resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    if metric.name == _COUNTER:
                        self.counted = sum(point.value for point in metric.data.data_points)
            return MetricExportResult.SUCCESS

        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            pass

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return True

    return CountingLogs(), Metrics()


def branchline(*, durability: Literal["crash", "batch"]) -> Contender:
    """Return branchline, writing its journal below the working directory."""
    import branchline as bl

    telemetry = bl.configure("benchmarks", durability=durability, console=False)

    def settle() -> None:
        # Whether anything was dropped on the way, the counters say at the end.
        assert bl.flush(_FLUSH_SECONDS).is_complete

    def finish() -> int:
        telemetry.shutdown(_FLUSH_SECONDS)
        return _journaled(telemetry.run_directory)

    return _with_steps(settle=settle, finish=finish)


def _journaled(run: Path) -> int:
    states = [json.loads(path.read_bytes()) for path in run.glob("*/process.json")]
    spans: int = sum(state["counters"]["spans"]["journaled"] for state in states)
    logs = [gzip.decompress(path.read_bytes()) for path in run.glob("*/logs-*.gz")]
    logs += [path.read_bytes() for path in run.glob("*/logs-*.jsonl")]
    # A point, a usage, and a record of the logging module.
    signs = (
        b'"eventName":"branchline.metric"',
        b'"eventName":"branchline.usage"',
        b'"key":"branchline.level"',
    )
    return spans + sum(text.count(sign) for text in logs for sign in signs)


def _with_steps(**others: Any) -> Contender:
    import branchline as bl

    def annotate(index: int, text: str) -> None:
        step = bl.current_step()
        if step is not None:
            step.set(model="small", split="train", source=text, rows=index, score=index * 0.5, cached=True)
            step.stamp("loaded", rows=index)
            step.stamp("scored", score=0.5)

    def block(index: int, text: str) -> None:
        with bl.step(
            "block", model="small", split="train", source=text, rows=index, score=index * 0.5, cached=True
        ) as step:
            step.stamp("loaded", rows=index)
            step.stamp("scored", score=0.5)

    def point(index: int, text: str) -> None:
        bl.record_metric("score", index * 0.5, source=text)

    def usage(index: int, text: str) -> None:  # noqa: ARG001  # as all work is called
        bl.record_usage("gpt-4o", provider="openai", input_tokens=1000 + index, output_tokens=100, cached_tokens=200)

    return Contender(traced=bl.traced_step, annotate=annotate, block=block, point=point, usage=usage, **others)


def _with_tracer(tracer: Any, **others: Any) -> Contender:
    from opentelemetry import trace

    def annotate(index: int, text: str) -> None:
        span = trace.get_current_span()
        span.set_attributes(
            {"model": "small", "split": "train", "source": text, "rows": index, "score": index * 0.5, "cached": True}
        )
        span.add_event("loaded", {"rows": index})
        span.add_event("scored", {"score": 0.5})

    def block(index: int, text: str) -> None:
        attributes = {
            "model": "small", "split": "train", "source": text, "rows": index, "score": index * 0.5, "cached": True,
        }  # fmt: skip
        with tracer.start_as_current_span("block", attributes=attributes) as span:
            span.add_event("loaded", {"rows": index})
            span.add_event("scored", {"score": 0.5})

    return Contender(traced=tracer.start_as_current_span, annotate=annotate, block=block, **others)


def _point(meter: Any, logger: Any) -> Work:
    from opentelemetry._logs import SeverityNumber

    histogram = meter.create_histogram("score")

    def point(index: int, text: str) -> None:
        value = index * 0.5
        histogram.record(value, {"split": "train"})
        logger.emit(
            event_name="score",
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.INFO,
            attributes={"name": "score", "value": value, "source": text},
        )

    return point


_COUNTER: Final = "calls"


def _counted(meter: Any) -> Work:
    counter = meter.create_counter(_COUNTER)

    def usage(index: int, text: str) -> None:  # noqa: ARG001  # as all work is called
        counter.add(1, {"model": "gpt-4o", "provider": "openai", "operation": "chat"})

    return usage


def _nothing(index: int, text: str) -> None:
    """Do the work that is traced: none."""


MAKERS: Final[dict[str, Callable[[], Contender]]] = {
    BARE: bare,
    API: api,
    UNCONFIGURED: unconfigured,
    SDK: lambda: stock(is_encoding=False),
    SDK_OTLP: lambda: stock(is_encoding=True),
    CRASH: lambda: branchline(durability="crash"),
    BATCH: lambda: branchline(durability="batch"),
}

# Only where it is asked for by name: with the queue that it has when nobody thinks of it.
OTHERS: Final[dict[str, Callable[[], Contender]]] = {
    "sdk+otlp, default queue": lambda: stock(is_encoding=True, has_default_queue=True),
}
