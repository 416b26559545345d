"""The catalogue: every metric of a process and its machine that is sampled, and what OpenTelemetry says of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .. import names


COUNTER: Final = "counter"
UP_DOWN: Final = "up_down"
GAUGE: Final = "gauge"

# By metric, the values of its series, each with its attributes.
Attributes = Mapping[str, str | int]
Readings = dict[str, list[tuple[float, Attributes]]]
NO_ATTRIBUTES: Final[Attributes] = {}


class Sampled(NamedTuple):
    """One metric that is sampled."""

    kind: str
    unit: str
    description: str


CATALOGUE: Final[Mapping[str, Sampled]] = {
    names.CPU_TIME: Sampled(COUNTER, "s", "Total CPU seconds broken down by different CPU modes."),
    names.CPU_UTILIZATION: Sampled(GAUGE, "1", "CPU time since the last look, by time and number of CPUs."),
    names.MEMORY_USAGE: Sampled(UP_DOWN, "By", "The amount of physical memory in use."),
    names.MEMORY_VIRTUAL: Sampled(UP_DOWN, "By", "The amount of committed virtual memory."),
    names.DISK_IO: Sampled(COUNTER, "By", "Disk bytes transferred."),
    names.THREAD_COUNT: Sampled(UP_DOWN, "{thread}", "Process threads count."),
    names.FILE_DESCRIPTORS: Sampled(UP_DOWN, "{file_descriptor}", "Number of UNIX file descriptors in use."),
    names.CONTEXT_SWITCHES: Sampled(COUNTER, "{context_switch}", "How often the process has been context switched."),
    names.PAGING_FAULTS: Sampled(COUNTER, "{fault}", "Number of page faults the process has made."),
    names.UPTIME: Sampled(GAUGE, "s", "The time the process has been running."),
    names.GC_COLLECTIONS: Sampled(COUNTER, "{collection}", "How often a generation was collected."),
    names.GC_COLLECTED: Sampled(COUNTER, "{object}", "Objects collected inside a generation."),
    names.GC_UNCOLLECTABLE: Sampled(COUNTER, "{object}", "Objects found to be uncollectable inside a generation."),
    names.LOOP_LAG: Sampled(GAUGE, "s", "How late the event loop was at most since the last look."),
    names.SYSTEM_CPU_TIME: Sampled(COUNTER, "s", "Seconds of all CPUs by mode."),
    names.SYSTEM_CPU_UTILIZATION: Sampled(GAUGE, "1", "CPU time since the last look, by time and number of CPUs."),
    names.SYSTEM_CPU_COUNT: Sampled(UP_DOWN, "{cpu}", "Number of logical CPUs."),
    names.SYSTEM_MEMORY_USAGE: Sampled(UP_DOWN, "By", "Memory in use by state."),
    names.SYSTEM_MEMORY_LIMIT: Sampled(UP_DOWN, "By", "Total memory of the machine."),
    names.SYSTEM_MEMORY_UTILIZATION: Sampled(GAUGE, "1", "Memory in use by state, as a part of all."),
    names.SYSTEM_DISK_IO: Sampled(COUNTER, "By", "Disk bytes transferred by the machine."),
    names.SYSTEM_DISK_OPERATIONS: Sampled(COUNTER, "{operation}", "Disk operations of the machine."),
    names.SYSTEM_NETWORK_IO: Sampled(COUNTER, "By", "Bytes transferred by the machine."),
    names.SYSTEM_NETWORK_ERRORS: Sampled(COUNTER, "{error}", "Network errors of the machine."),
    names.GPU_UTILIZATION: Sampled(GAUGE, "1", "Fraction of time spent in a specific task."),
    names.GPU_MEMORY_USAGE: Sampled(UP_DOWN, "By", "GPU memory used."),
    names.GPU_MEMORY_LIMIT: Sampled(UP_DOWN, "By", "Size of the GPU memory."),
    names.GPU_MEMORY_UTILIZATION: Sampled(GAUGE, "1", "Fraction of GPU memory used."),
}
