"""Every attribute, event and metric name that branchline writes, in one place."""

from __future__ import annotations

from typing import Final


SCOPE: Final = "branchline"
VERSION: Final = "0.1.0"

# ── what a span of ours is ────────────────────────────────────────────────────────────────────────
KIND: Final = "branchline.kind"
KIND_EXPERIMENT: Final = "experiment"
KIND_BRANCH: Final = "branch"
KIND_STEP: Final = "step"

OUTCOME: Final = "branchline.outcome"
SUCCESS: Final = "success"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"
CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"
CLOSED: Final = "closed"
PENDING: Final = "pending"
LOST: Final = "lost"
ERROR_OUTCOMES: Final = frozenset({FAILED, CANCELLED, INTERRUPTED})

# ── whose span or log record it is ────────────────────────────────────────────────────────────────
RUN_ID: Final = "branchline.run.id"
EXPERIMENT_NAME: Final = "branchline.experiment.name"
BRANCH_ID: Final = "branchline.branch.id"
BRANCH_NAME: Final = "branchline.branch.name"

# ── a branch span ─────────────────────────────────────────────────────────────────────────────────
BRANCH_STATUS: Final = "branchline.branch.status"
BRANCH_CONFIG_PREFIX: Final = "branchline.config."
BRANCH_OUTPUT: Final = "branchline.branch.output"
SKIP_REASON: Final = "branchline.skip_reason"
# Of a branch that was run for somebody: how often it was tried again, which of several runs of its configuration it is,
# at which place in the whole it was begun, and whether somebody waited for it.
BRANCH_RETRIES: Final = "branchline.branch.retries"
BRANCH_REPEAT: Final = "branchline.branch.repeat"
BRANCH_POSITION: Final = "branchline.branch.position"
BRANCH_ORDER: Final = "branchline.branch.order"
BRANCH_SHADOW: Final = "branchline.branch.shadow"
# Events of such a branch: it is tried again; its worker died, and it is begun again in another.
RETRY_EVENT: Final = "branchline.branch.retry"
WORKER_LOST_EVENT: Final = "branchline.worker.lost"

# ── a step ────────────────────────────────────────────────────────────────────────────────────────
ARGUMENTS_PREFIX: Final = "branchline.argument."
RESULT: Final = "branchline.result"
GENERATOR_ITEMS: Final = "branchline.generator.items"
TRACE_LINK: Final = "branchline.link"

# ── stamps ────────────────────────────────────────────────────────────────────────────────────────
STAMP_STEP: Final = "branchline.stamp.step"
STAMP_ID: Final = "branchline.stamp.id"
STAMP_NAME: Final = "branchline.stamp.name"
STAMP_PROCESS: Final = "branchline.stamp.process"

# ── log events ────────────────────────────────────────────────────────────────────────────────────
RUN_STARTED: Final = "branchline.run.started"
RUN_ENDED: Final = "branchline.run.ended"
EXPERIMENT_STARTED: Final = "branchline.experiment.started"
BRANCH_STARTED: Final = "branchline.branch.started"
STEP_STARTED: Final = "branchline.step.started"
STEP_CHECKPOINT: Final = "branchline.step.checkpoint"
STAMP_EVENT: Final = "branchline.stamp"
METRIC_EVENT: Final = "branchline.metric"
USAGE_EVENT: Final = "branchline.usage"
SPAN_EVENT: Final = "branchline.span.event"
PROGRESS_EVENT: Final = "branchline.progress"
STALL_EVENT: Final = "branchline.stall"
STARTED_EVENTS: Final = {
    KIND_EXPERIMENT: EXPERIMENT_STARTED,
    KIND_BRANCH: BRANCH_STARTED,
    KIND_STEP: STEP_STARTED,
}

# What branchline notes for itself, not for a person who reads the log.
HOUSEKEEPING: Final = frozenset(
    {
        *(RUN_STARTED, RUN_ENDED, EXPERIMENT_STARTED, BRANCH_STARTED, STEP_STARTED, STEP_CHECKPOINT, SPAN_EVENT),
        PROGRESS_EVENT,
    }
)

# What is kept as a log record, but is none to a person: the reader has another place for it, or none.
NO_LOG_LINES: Final = HOUSEKEEPING | {STAMP_EVENT, METRIC_EVENT, USAGE_EVENT}
# Of these, what says only that something has begun, or how far it is: followers deliver the thing itself, once it has
# ended, and what it comes to as metrics.
LIFECYCLE: Final = HOUSEKEEPING - {SPAN_EVENT}

# What says that the set-up of logging has changed: a sink that is added to a Logger or taken away, another level.
LOGGING_CHANGED: Final = "branchline.logging.changed"
# And that a run was configured in place of another one, with other options.
CONFIGURATION_CHANGED: Final = "branchline.configuration.changed"
LOGGER: Final = "branchline.logger"
BEFORE_PREFIX: Final = "before."
AFTER_PREFIX: Final = "after."

# ── events of the topics that ``branchline.events`` has ───────────────────────────────────────────
# What happened in an experiment comes behind it: ``branchline.event.data_loaded``.
EVENT_PREFIX: Final = "branchline.event."
ACTION_CREATED: Final = "branchline.action.created"
ACTION_DONE: Final = "branchline.action.done"
ACTION_FAILED: Final = "branchline.action.failed"
TRADE_PLACED: Final = "branchline.trade.placed"
TRADE_EXECUTED: Final = "branchline.trade.executed"
TRADE_CANCELLED: Final = "branchline.trade.cancelled"
TRADE_POSITION: Final = "branchline.trade.position"
TRADE_INVALID: Final = "branchline.trade.invalid"
TRADE_STARTED: Final = "branchline.trade.started"
TRADE_NOTE: Final = "branchline.trade.note"
TRADE_RESULT: Final = "branchline.trade.result"
TRADE_COMPLETED: Final = "branchline.trade.completed"
TRADE_FAILED: Final = "branchline.trade.failed"
ERROR_EVENT: Final = "branchline.error"

# ── attributes of lifecycle events ────────────────────────────────────────────────────────────────
SPAN_NAME: Final = "branchline.span.name"
SPAN_PARENT_ID: Final = "branchline.span.parent_id"
SPAN_START: Final = "branchline.span.start_unix_nano"
SPAN_ATTRIBUTES: Final = "branchline.span.attributes"
SPAN_EVENTS: Final = "branchline.span.events"
EVENT_NAME: Final = "branchline.event.name"
PROCESS: Final = "branchline.process"

# ── a metric point, which is a log event ──────────────────────────────────────────────────────────
METRIC_NAME: Final = "branchline.metric.name"
METRIC_VALUE: Final = "branchline.metric.value"
METRIC_UNIT: Final = "branchline.metric.unit"
METRIC_STEP: Final = "branchline.metric.step"

# ── what a call of a model took: of the step that recorded it, and of its log event ───────────────
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_USAGE_PREFIX: Final = "gen_ai.usage."
COST_USD: Final = "branchline.cost.usd"
PRICED_RATIO: Final = "branchline.cost.priced_ratio"
# The cost as text: a float says it to about sixteen digits.
COST_EXACT: Final = "branchline.cost.exact"
COST_ESTIMATED: Final = "branchline.cost.estimated"
COST_SOURCE: Final = "branchline.cost.source"
GIVEN: Final = "given"
USAGE_LATENCY: Final = "branchline.usage.latency"
USAGE_TIER: Final = "branchline.usage.service_tier"
USAGE_CALLS: Final = "branchline.usage.calls"
# Whether it was picked up from the span of an instrumentation.
USAGE_PICKED_UP: Final = "branchline.usage.picked_up"
BREAKDOWN_PREFIX: Final = "branchline.usage.breakdown."
USAGE_LABEL_PREFIX: Final = "branchline.usage.label."

# ── what steps, branches and experiments took, with all inside that has ended in this process ─────
TOTAL_INPUT_TOKENS: Final = "branchline.usage.input_tokens"
TOTAL_OUTPUT_TOKENS: Final = "branchline.usage.output_tokens"
TOTAL_COST_USD: Final = "branchline.usage.cost_usd"
TOTAL_PRICED_RATIO: Final = "branchline.usage.priced_ratio"

# ── metrics made of usage ─────────────────────────────────────────────────────────────────────────
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105  # no secret: how many tokens
OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
COST: Final = "branchline.cost"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105  # the same

# ── budgets ───────────────────────────────────────────────────────────────────────────────────────
BUDGET_WARNING: Final = "branchline.budget.warning"
BUDGET_EXCEEDED: Final = "branchline.budget.exceeded"
BUDGET_PERIOD: Final = "branchline.budget.period"
BUDGET_NAME: Final = "branchline.budget.name"
BUDGET_LIMIT: Final = "branchline.budget.limit"
BUDGET_USED: Final = "branchline.budget.used"
BUDGET_FORECAST: Final = "branchline.budget.forecast"
BUDGET_USED_RATIO: Final = "branchline.budget.used_ratio"
BUDGET_REMAINING: Final = "branchline.budget.remaining"
# Of a process: the budget that it was told.
BUDGET: Final = "budget"

# ── progress: of a piece of work how far it is, and the metrics made of that ──────────────────────
PROGRESS_ID: Final = "branchline.progress.id"
PROGRESS_PARENT_ID: Final = "branchline.progress.parent_id"
PROGRESS_DESCRIPTION: Final = "branchline.progress.description"
PROGRESS_DONE: Final = "branchline.progress.done"
PROGRESS_TOTAL: Final = "branchline.progress.total"
PROGRESS_RATE: Final = "branchline.progress.rate"
PROGRESS_ETA: Final = "branchline.progress.eta"
PROGRESS_STARTED: Final = "branchline.progress.start_unix_nano"
PROGRESS_MESSAGE: Final = "branchline.progress.message"
PROGRESS_ITEMS: Final = "branchline.progress.items"
PROGRESS_RATIO: Final = "branchline.progress.ratio"
PROGRESS_STALLS: Final = "branchline.progress.stalls"
# Of a stall: how long no item has ended, and how long one usually takes, in seconds.
STALL_SECONDS: Final = "branchline.stall.seconds"
STALL_USUAL_SECONDS: Final = "branchline.stall.usual_seconds"

# ── metrics made of finished spans, and what tells their series apart ─────────────────────────────
STEP_DURATION: Final = "branchline.step.duration"
BRANCH_DURATION: Final = "branchline.branch.duration"
BRANCHES: Final = "branchline.branches"
STEP_NAME: Final = "branchline.step.name"
OVERFLOW: Final = "otel.metric.overflow"

# ── what branchline measures of itself, where somebody is delivered to ────────────────────────────
SELF_RECORDED: Final = "branchline.self.recorded"
SELF_DROPPED: Final = "branchline.self.dropped"
SELF_DELIVERED: Final = "branchline.self.delivered"
SELF_REJECTED: Final = "branchline.self.rejected"
SELF_SPOOLED: Final = "branchline.self.spooled"
SELF_QUEUE: Final = "branchline.self.queue.size"
SELF_OVERHEAD: Final = "branchline.self.overhead"
SELF_SINK_CREATED: Final = "branchline.self.sink.created"
SELF_SINK_WRITTEN: Final = "branchline.self.sink.written"
SELF_SINK_DROPPED: Final = "branchline.self.sink.dropped"
SELF_SINK_WAITING: Final = "branchline.self.sink.waiting"
SELF_SINK_BYTES: Final = "branchline.self.sink.bytes"
SELF_SINK_ROTATIONS: Final = "branchline.self.sink.rotations"
SELF_SINK_COMPRESSION: Final = "branchline.self.sink.compression_ratio"
SELF_SINK_ERRORS: Final = "branchline.self.sink.errors"
SELF_SINK_TIME: Final = "branchline.self.sink.time"
SINK: Final = "branchline.sink"
SIGNAL: Final = "branchline.signal"
REASON: Final = "branchline.reason"
FOLLOWER: Final = "branchline.follower"

# ── what a process and its machine take: the names that OpenTelemetry's conventions have ──────────
CPU_TIME: Final = "process.cpu.time"
CPU_UTILIZATION: Final = "process.cpu.utilization"
MEMORY_USAGE: Final = "process.memory.usage"
MEMORY_VIRTUAL: Final = "process.memory.virtual"
DISK_IO: Final = "process.disk.io"
THREAD_COUNT: Final = "process.thread.count"
FILE_DESCRIPTORS: Final = "process.unix.file_descriptor.count"
CONTEXT_SWITCHES: Final = "process.context_switches"
PAGING_FAULTS: Final = "process.paging.faults"
UPTIME: Final = "process.uptime"
GC_COLLECTIONS: Final = "cpython.gc.collections"
GC_COLLECTED: Final = "cpython.gc.collected_objects"
GC_UNCOLLECTABLE: Final = "cpython.gc.uncollectable_objects"
SYSTEM_CPU_TIME: Final = "system.cpu.time"
SYSTEM_CPU_UTILIZATION: Final = "system.cpu.utilization"
SYSTEM_CPU_COUNT: Final = "system.cpu.logical.count"
SYSTEM_MEMORY_USAGE: Final = "system.memory.usage"
SYSTEM_MEMORY_LIMIT: Final = "system.memory.limit"
SYSTEM_MEMORY_UTILIZATION: Final = "system.memory.utilization"
SYSTEM_DISK_IO: Final = "system.disk.io"
SYSTEM_DISK_OPERATIONS: Final = "system.disk.operations"
SYSTEM_NETWORK_IO: Final = "system.network.io"
SYSTEM_NETWORK_ERRORS: Final = "system.network.errors"
GPU_UTILIZATION: Final = "hw.gpu.utilization"
GPU_MEMORY_USAGE: Final = "hw.gpu.memory.usage"
GPU_MEMORY_LIMIT: Final = "hw.gpu.memory.limit"
GPU_MEMORY_UTILIZATION: Final = "hw.gpu.memory.utilization"
CPU_MODE: Final = "cpu.mode"
DISK_DIRECTION: Final = "disk.io.direction"
NETWORK_DIRECTION: Final = "network.io.direction"
NETWORK_INTERFACE: Final = "network.interface.name"
SWITCH_TYPE: Final = "process.context_switch.type"
FAULT_TYPE: Final = "system.paging.fault.type"
GC_GENERATION: Final = "cpython.gc.generation"
MEMORY_STATE: Final = "system.memory.state"
GPU_ID: Final = "hw.id"
GPU_NAME: Final = "hw.name"
# For these the conventions have no name: how late an event loop is.
LOOP_LAG: Final = "branchline.event_loop.lag"

# ── a step about which it is said what its process took meanwhile ─────────────────────────────────
STEP_CPU_TIME: Final = CPU_TIME
STEP_PEAK_MEMORY: Final = "process.memory.peak"
STEP_DISK_READ: Final = "process.disk.io.read"
STEP_DISK_WRITE: Final = "process.disk.io.write"
# Of what: of the whole process, whatever else ran in it.
MEASURED_SCOPE: Final = "measured.scope"
MEASURED_PROCESS: Final = "process"

# ── operations that are timed ─────────────────────────────────────────────────────────────────────
TIMED_STARTED: Final = "branchline.operation.started"
TIMED_COMPLETED: Final = "branchline.operation.completed"
TIMED_SLOW: Final = "branchline.operation.slow"
TIMED_FAILED: Final = "branchline.operation.failed"

# ── alerts ────────────────────────────────────────────────────────────────────────────────────────
ALERT_EVENT: Final = "branchline.alert"
ALERT_NOT_TAKEN: Final = "branchline.alert.not_taken"
ALERTS: Final = "branchline.alerts"
ALERT_METRIC: Final = "alert.metric"
ALERT_SEVERITY: Final = "alert.severity"
# Of each step and branch that has ended, 1 or 0: what its mean says is the rate of errors.
STEP_FAILED: Final = "branchline.step.failed"
BRANCH_FAILED: Final = "branchline.branch.failed"

# ── a run in MLflow ───────────────────────────────────────────────────────────────────────────────
# What it is found by where the answer to its creation was lost.
MLFLOW_TOKEN: Final = "branchline.mlflow.token"  # noqa: S105  # no secret
# Of a trace there: the trace that it was cut out of.
MLFLOW_TRACE_SOURCE: Final = "branchline.trace.id"

LOG_UID: Final = "log.record.uid"
CODE_FILE: Final = "code.file.path"
CODE_FUNCTION: Final = "code.function.name"
CODE_LINE: Final = "code.line.number"
CODE_STACKTRACE: Final = "code.stacktrace"
# What the logger itself calls the level of a record: a level of its own, or WARNING where OpenTelemetry says WARN.
LEVEL: Final = "branchline.level"
# What OpenTelemetry calls a severity: of number 1 to 4 the second of these, of 21 to 24 the last.
SEVERITIES: Final = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
# How a record of the logging module says that it is an event, among its extra fields.
EVENT_NAME_FIELD: Final = "otel.event.name"

# ── OpenTelemetry's own names that we write ───────────────────────────────────────────────────────
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
HOST_NAME: Final = "host.name"
OS_VERSION: Final = "os.version"
PROCESS_PID: Final = "process.pid"
PROCESS_EXECUTABLE: Final = "process.executable.name"
PROCESS_COMMAND: Final = "process.command"
VCS_COMMIT: Final = "vcs.ref.head.revision"
VCS_BRANCH: Final = "vcs.ref.head.name"
VCS_TYPE: Final = "vcs.ref.head.type"
CLOUD_PROVIDER: Final = "cloud.provider"
CLOUD_PLATFORM: Final = "cloud.platform"
# Where a process runs, as a set of facts.
RUNTIME: Final = "branchline.runtime"
ERROR_TYPE: Final = "error.type"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_ESCAPED: Final = "exception.escaped"
