"""OpenTelemetry's own tracing tests, run against our provider: ``make test-sdk``."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET


HERE = Path(__file__).parent
CACHE = Path(sys.prefix) / "conformance"

# All that start spans through a provider, but for the SDK's measurements of itself: the pipeline has its own counts.
FILES = (
    "trace/test_trace.py",
    "trace/test_span_processor.py",
    "trace/test_sampling.py",
    "trace/test_implementation.py",
    "trace/test_globals.py",
    "trace/export/test_export.py",
    "trace/export/test_in_memory_span_exporter.py",
    "context/test_asyncio.py",
)

# Tests that ours need not pass, and why. A test that passes all the same is an excuse too many, and fails the run.
EXCUSED: Mapping[str, str] = {
    "TestSpanCreation.test_span_processor_for_source": "reads the private field span._span_processor",
    "TestSpanCreation.test_update_resource": (
        "calls the private _update_resource() under an open span: ours asks its provider, which then knows better"
    ),
    "TestSpan.test_add_link_with_invalid_span_context_with_tracestate": (
        "gives a text where the API asks for a TraceState"
    ),
    "TestSpan.test_invalid_attribute_values": (
        "wants None and a warning for an object without __str__; ours records its text and counts it"
    ),
    "TestTracerProvider.test_tracer_provider_init_default": (
        "wants the SDK's id generator by its class; ours does not touch the user's random numbers"
    ),
}

# The same for tests of older releases, whose successors want what ours does: needed or not, as the release has it.
OUTLIVED: Mapping[str, str] = {
    "TestSpan.test_byte_type_attribute_value": "wants bytes that are UTF-8 to become text; they stay bytes",
    "TestSpan.test_invalid_event_attributes": "wants mappings and mixed lists to be refused; they are recorded",
}


class NotHereError(Exception):
    """Their tests cannot be had: no network, no pip."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one of their tests; *said* is empty if it passed."""

    name: str
    said: str
    is_skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which results nobody expected."""

    broken: Sequence[Result]
    needless: Sequence[str]


def judged(results: Iterable[Result], *, excused: Container[str], outlived: Container[str]) -> Verdict:
    """Return the tests that failed without an excuse, and the excuses of tests that passed."""
    ran = [result for result in results if not result.is_skipped]
    return Verdict(
        broken=[result for result in ran if result.said and result.name not in excused and result.name not in outlived],
        needless=[result.name for result in ran if not result.said and result.name in excused],
    )


def main() -> int:
    """Run their tests, say what came of them, and return the exit status."""
    release = version("opentelemetry-sdk")
    try:
        tests, helpers = fetched(release)
    except NotHereError as error:
        print(f"skipped: the tests of opentelemetry-sdk {release} cannot be had: {error}")
        return 0
    with tempfile.TemporaryDirectory(prefix="branchline-conformance-") as folder:
        output, results = ran(tests, helpers, Path(folder))
        journaled = sum(line.count(b'"spanId"') for line in lines(Path(folder)))
    verdict = judged(results, excused=EXCUSED, outlived=OUTLIVED)
    if not results or verdict.broken or verdict.needless:
        print(output)
    for result in verdict.broken:
        print(f"failed: {result.name}: {result.said}")
    for name in verdict.needless:
        print(f"excused without need: {name} passes")
    report(release, results, journaled)
    return int(not results or bool(verdict.broken or verdict.needless))


def report(release: str, results: Sequence[Result], journaled: int) -> None:
    """Say in a few lines what ran."""
    excuses = {**EXCUSED, **OUTLIVED}
    excused = [result for result in results if result.said and result.name in excuses and not result.is_skipped]
    for result in excused:
        print(f"excused: {result.name}: {excuses[result.name]}")
    passed = sum(not result.said for result in results)
    skipped = sum(result.is_skipped for result in results)
    print(
        f"opentelemetry-sdk {release}: {len(results)} of its tests ran against our provider; {passed} passed, "
        f"{len(excused)} excused, {skipped} skipped by themselves; {journaled:,} spans journaled meanwhile"
    )


def fetched(release: str) -> tuple[Path, Path]:
    """Return the folder of the SDK's source, with its tests, and the folder of the helpers that they import."""
    place = CACHE / release
    source, helpers = place / f"opentelemetry_sdk-{release}", place / "helpers"
    if not (source / "tests").is_dir():
        wanted = f"opentelemetry-sdk=={release}"
        pip("download", "--no-binary", ":all:", "--no-deps", "--dest", str(place), wanted)
        with tarfile.open(place / f"opentelemetry_sdk-{release}.tar.gz") as archive:
            archive.extractall(place, filter="data")
    if not helpers.is_dir():
        # Released apart from the SDK and not always with it: the newest that is not newer will do.
        wanted = f"opentelemetry-test-utils<={version('opentelemetry-semantic-conventions')}"
        pip("install", "--no-deps", "--pre", "--target", str(helpers), wanted)
    return source, helpers


def pip(*arguments: str) -> None:
    """Run pip, the environment's or, where it has none, that of the Python it was made with."""
    said = "there is no pip"
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable)):
        command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        said = (done.stderr.strip().splitlines() or [said])[-1]
    raise NotHereError(said)


def ran(tests: Path, helpers: Path, folder: Path) -> tuple[str, list[Result]]:
    """Run their tests in an interpreter that has our provider in the SDK's place; return its output and the results."""
    report_file = folder / "results.xml"
    command = [
        *(sys.executable, "-m", "pytest", "--config-file", os.devnull, "--rootdir", str(tests), "--tb", "short"),
        *("-q", "-p", "no:cacheprovider", "-p", "no:branchline", "-p", "no:xdist", "--junit-xml", str(report_file)),
        *(f"tests/{file}" for file in FILES if (tests / "tests" / file).exists()),
    ]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "BRANCHLINE_", "PYTEST_"))},
        "PYTHONPATH": os.pathsep.join((str(HERE), str(helpers))),
        # Their tests start "python" by its name.
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
        "CONFORMANCE_JOURNAL": str(folder),
    }
    done = subprocess.run(command, cwd=tests, env=environment, capture_output=True, text=True, check=False)
    output = f"{done.stdout}\n{done.stderr}"
    return output, results_in(report_file) if report_file.exists() else []


def results_in(file: Path) -> list[Result]:
    """Return the results that pytest wrote to *file*."""
    found = []
    for case in ET.parse(file).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name', '')}"
        failed = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        said = failed if failed is not None else skipped
        message = "" if said is None else said.get("message") or "failed"
        found.append(Result(name=name, said=message, is_skipped=failed is None and skipped is not None))
    return found


def lines(folder: Path) -> Iterable[bytes]:
    """Return the lines of the journal that was written meanwhile."""
    for file in folder.glob("runs/*/*/traces-*.jsonl"):
        yield from file.read_bytes().splitlines()


if __name__ == "__main__":
    sys.exit(main())
