"""The layers: who may import whom, held against the imports that are really there."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


SOURCE = Path(__file__).parent.parent / "src" / "branchline"

API = "opentelemetry"  # everything of OpenTelemetry but the parts that are packages of their own
SDK = "opentelemetry.sdk"
OPENTELEMETRY_PARTS = ("exporter", "instrumentation", "proto", "sdk", "semconv", "test")
CORE = frozenset({API, SDK, "click", "orjson", "rich", "urllib3"})


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the modules of one room may import: rooms of ours, and packages of others."""

    rooms: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()


def row(*rooms: str, packages: tuple[str, ...] = ()) -> Row:
    return Row(rooms=frozenset(rooms), packages=frozenset(packages))


SPANS = ("foreign", "outcomes", "generators", "captures", "callables", "wrappers", "steps", "branches", "stamps")
USAGE = ("foreign_usage", "step_usage", "responses", "spending", "token_log", "usage", "prices", "budget")
LATER = (*USAGE, "metrics", "monitor", "progress", "metadata", "events", "logs")
RECORD_MODULES = (*SPANS, *LATER)
LEAVES = (
    *(
        "quantities",
        "later",
        "scripts",
        "watching",
        "links",
        "money",
        "price_list",
        "usage_values",
        "tally",
        "names",
        "progress_values",
        "usage_records",
        "redaction_shapes",
        "redaction",
        "standing_redaction",
        "cuts",
        "values",
        "metric_values",
        "json_values",
        "updates",
        "boundaries",
        "spreads",
        "tracebacks",
        "errors",
        "metadata_documents",
    ),
    *("periods", "limits", "totals", "destinations", "options", "config", "active"),
    *("recording", "current", "context", "log_api"),
)
RECORD = (*LEAVES, *RECORD_MODULES)
ABOVE_TELEMETRY = (*RECORD, "_files", "_journal", "_pipeline", "_mlflow", "backends", "engines", "exporters")
READING = (
    "read",
    "view",
    "exporters",
    "_files",
    "prices",
    "price_list",
    "limits",
    "money",
    "tally",
    "usage_values",
    "progress_values",
    "config",
    "links",
    "errors",
    "names",
)

# A room is named by the first part of its modules' names, or by more parts where a part of it has a row of its own.
ROWS: Mapping[str, Row] = {
    "quantities": row(),
    "later": row(),
    "scripts": row(),
    "watching": row(),
    "links": row("errors"),
    "money": row(),
    "price_list": row("money"),
    "usage_values": row(),
    "progress_values": row("names"),
    "tally": row("money", "usage_values"),
    "usage_records": row("names", "money", "tally", "usage_values"),
    "redaction_shapes": row(),
    "redaction": row("redaction_shapes"),
    "standing_redaction": row("redaction"),
    "cuts": row("standing_redaction"),
    "values": row("cuts"),
    "metric_values": row("values"),
    "json_values": row(),
    "updates": row("json_values", "values"),
    "boundaries": row(),
    "spreads": row(),
    "tracebacks": row(),
    "names": row(),
    "errors": row(),
    "metadata_documents": row("redaction"),
    "periods": row(),
    "limits": row("errors", "money", "quantities"),
    "totals": row("limits", "money", "periods", "usage_values"),
    "destinations": row("errors", "redaction"),
    "options": row("redaction", "destinations", "limits", "quantities", "price_list"),
    "config": row("errors", "redaction", "destinations", "limits", "links", "scripts", "price_list", "options"),
    "recording": row("usage_values", packages=(API,)),
    "current": row(
        *("recording", "limits", "totals", "price_list", "progress_values", "updates", "watching"),
        packages=(API,),
    ),
    "context": row("recording", "current", packages=(API,)),
    "active": row(packages=(API,)),
    "log_api": row(packages=(API,)),
    # Record modules import each other downward: there is no list of what is below what, there are no cycles.
    **{name: row(*RECORD, packages=(API,)) for name in RECORD_MODULES},
    **{name: row(*RECORD, "_files", packages=(API,)) for name in ("events", "usage", "budget")},
    "logs": row(*RECORD, "_files", packages=(API, "orjson")),
    "prices": row(*RECORD, packages=(API, "genai_prices")),
    "monitor": row(*RECORD, packages=(API, "psutil", "pynvml", "urllib3")),
    # A bar is drawn the same way, whether a run draws it or, without one, who works.
    "progress": row(*RECORD, "exporters", packages=(API, "IPython")),
    "logs.sinks": row(*RECORD, "_files", packages=(API, "urllib3")),
    "_files": row("errors", "quantities", packages=("compression", "zstandard", "obstore", "cryptography")),
    "_journal": row(
        *(
            "names",
            "metadata_documents",
            "errors",
            "redaction",
            "values",
            "boundaries",
            "money",
            "limits",
            "tally",
            "totals",
            "usage_values",
            "progress_values",
            "usage_records",
            "_files",
        ),
        packages=("orjson",),
    ),
    "_pipeline": row(
        *(
            "names",
            "metadata_documents",
            "errors",
            "redaction",
            "standing_redaction",
            "cuts",
            "values",
            "metric_values",
            "boundaries",
            "money",
            "tally",
            "limits",
            "totals",
            "usage_values",
            "progress_values",
            "usage_records",
            "updates",
            "tracebacks",
            "config",
            "active",
            "recording",
            "current",
            "context",
            "log_api",
            "watching",
            "_journal",
        ),
        packages=(API, SDK),
    ),
    "_mlflow": row("names", "errors", packages=("mlflow", "opentelemetry.proto")),
    "backends": row(*RECORD, "_mlflow", packages=(API,)),
    "engines": row(*RECORD_MODULES, "recording", "current", "context", "config", "errors", packages=("ray", "pyspark")),
    "exporters": row("names", "errors", "config", "redaction", "values", "_journal", "_mlflow"),
    "exporters.console": row(
        *("names", "errors", "config", "limits", "links", "redaction", "values", "money", "tally", "progress_values"),
        "_journal",
        packages=("rich",),
    ),
    "exporters.otlp": row(
        "names",
        "errors",
        "config",
        "destinations",
        "redaction",
        "standing_redaction",
        "cuts",
        "values",
        "_journal",
        packages=(API, "urllib3", "orjson", "google", "grpc", "opentelemetry.proto"),
    ),
    "exporters.mlflow": row(
        *("names", "errors", "config", "destinations", "redaction", "values", "usage_records", "_journal", "_mlflow"),
        *("exporters.otlp", "log_api"),
        packages=(API, "urllib3", "orjson"),
    ),
    "telemetry": row(*ABOVE_TELEMETRY, packages=(API, SDK)),
    "entrypoints": row(
        "telemetry",
        "testing",
        "_pipeline",
        "config",
        "scripts",
        packages=(API, SDK, "opentelemetry.instrumentation", "pytest"),
    ),
    "read": row(
        *(
            "names",
            "metadata_documents",
            "errors",
            "redaction",
            "values",
            "limits",
            "money",
            "tally",
            "totals",
            "usage_values",
            "progress_values",
            "usage_records",
            "spreads",
            "_files",
            "_journal",
            "prices",
        ),
        packages=("duckdb", "numpy", "scipy"),
    ),
    "view": row("read", "config", "errors", "names", packages=("starlette", "uvicorn")),
    "cli": row(*READING, packages=("click", "rich")),
    "cli.demo": row(*READING, *RECORD, "telemetry", packages=("click", "rich")),
    "cli.run": row(*READING, "telemetry", "scripts", packages=("click", "rich")),
    "testing": row("names", "telemetry", "read", "values", packages=(API, SDK)),
    "__init__": row(*RECORD, "telemetry"),
    "__main__": row("cli"),
}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import as it stands in a file; *target* is the whole dotted name of the module."""

    importer: str
    target: str
    line: int
    is_deferred: bool  # inside a function, or for type checkers only
    is_relative: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"

    @property
    def is_ours(self) -> bool:
        return self.target.partition(".")[0] == "branchline"


# ── reading what is there ─────────────────────────────────────────────────────────────────────────


def modules(source: Path) -> dict[str, Path]:
    """Return the modules below *source* by dotted name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: Path) -> list[Import]:
    """Return every import below *source*, wherever in a file it stands."""
    known = modules(source)
    return [found for name, path in known.items() for found in module_imports(name, path, known)]


def module_imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[Import]:
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node, is_deferred in nodes(ast.parse(path.read_text(encoding="utf-8"))):
        for written in imported(node):
            yield Import(
                importer=name,
                target=existing(absolute(written, package), known),
                line=getattr(node, "lineno", 0),
                is_deferred=is_deferred,
                is_relative=written.startswith("."),
            )


def nodes(tree: ast.AST, *, is_deferred: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Walk *tree*, saying of each node whether it runs only later, or never."""
    for node in ast.iter_child_nodes(tree):
        yield node, is_deferred
        defers = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        )
        yield from nodes(node, is_deferred=is_deferred or defers)


def imported(node: ast.AST) -> list[str]:
    """Return what *node* imports as it is written, if it is an import (or a call of ``import_module`` with a text)."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        separator = "." if node.module else ""
        return [f"{base}{separator}{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")) and node.args:
        first = node.args[0]
        return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    return []


def absolute(written: str, package: str) -> str:
    dots = len(written) - len(written.lstrip("."))
    base = package.split(".")[: len(package.split(".")) - dots + 1] if dots else []
    return ".".join([*base, written[dots:]])


def existing(name: str, known: Mapping[str, Path]) -> str:
    """Return the module in *name*: all of it, or all but the object imported from the module."""
    is_foreign = name.partition(".")[0] != "branchline"
    return name if name in known or is_foreign else name.rpartition(".")[0] or name


def room(module: str) -> str | None:
    """Return the row that *module* belongs to: the one named with most parts."""
    inside = module.removeprefix("branchline").lstrip(".") or "__init__"
    parts = inside.split(".")
    return next((name for n in range(len(parts), 0, -1) if (name := ".".join(parts[:n])) in ROWS), None)


def package_of(target: str) -> str:
    """Return what a row calls the package that *target* belongs to."""
    first, _, rest = target.partition(".")
    part = rest.partition(".")[0]
    return f"{first}.{part}" if first == API and part in OPENTELEMETRY_PARTS else first


# ── the laws, each as what breaks it ──────────────────────────────────────────────────────────────


def without_row(source: Path) -> list[str]:
    return [f"{name} has no row in {Path(__file__).name}" for name in modules(source) if room(name) is None]


def against_the_table(source: Path) -> list[str]:
    return [refusal(found) for found in imports(source) if found.is_ours and not is_allowed(found)]


def is_allowed(found: Import) -> bool:
    here, there = room(found.importer), room(found.target)
    if here is None or there is None or there == "__init__":
        return True  # other laws
    same_package = here.partition(".")[0] == there.partition(".")[0]
    return same_package or there.partition(".")[0] in ROWS[here].rooms


def refusal(found: Import) -> str:
    there = str(room(found.target)).partition(".")[0]
    may = [name for name, permits in ROWS.items() if there in permits.rooms]
    return (
        f"{found}: the row of {room(found.importer)} does not allow {there}; rows that do: {', '.join(may) or 'none'}"
    )


def of_the_root(source: Path) -> list[str]:
    return [
        f"{found}: say `from .module import name`, the package root is for users"
        for found in imports(source)
        if found.is_ours and (found.target == "branchline" or not found.is_relative)
    ]


def of_strange_packages(source: Path) -> list[str]:
    return [
        f"{found}: the row of {here} allows {', '.join(sorted(ROWS[here].packages)) or 'no package'}"
        for found in imports(source)
        if not found.is_ours
        and found.target.partition(".")[0] not in sys.stdlib_module_names
        and (here := room(found.importer)) is not None
        and package_of(found.target) not in ROWS[here].packages
    ]


def too_early(source: Path) -> list[str]:
    return [
        f"{found}: optional packages are imported inside the function that needs them"
        for found in imports(source)
        if not found.is_ours
        and not found.is_deferred
        and found.target.partition(".")[0] not in sys.stdlib_module_names
        and package_of(found.target) not in CORE | {"pytest"}
    ]


def cycle(source: Path) -> list[str]:
    graph: dict[str, set[str]] = {name: set() for name in modules(source)}
    for found in imports(source):
        if found.target in graph and found.target not in {found.importer, "branchline"}:
            graph[found.importer].add(found.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


# ── and that nothing does ─────────────────────────────────────────────────────────────────────────


def test_every_module_has_a_row():
    """
    A module belongs to a room that the table knows.
    """
    assert without_row(SOURCE) == []


def test_rooms_import_only_what_their_row_allows():
    """
    Inside branchline a module imports the rooms that its row names, wherever the import stands.
    """
    assert against_the_table(SOURCE) == []


def test_nobody_imports_the_package_root():
    """
    Inside branchline imports are relative, and the root is not among them.
    """
    assert of_the_root(SOURCE) == []


def test_third_parties_are_those_of_the_row():
    """
    A module imports the packages that its row names; OpenTelemetry's API and SDK are two.
    """
    assert of_strange_packages(SOURCE) == []


def test_optional_packages_are_imported_lazily():
    """
    What is no core dependency is imported inside a function.
    """
    assert too_early(SOURCE) == []


def test_no_import_cycle():
    """
    No module imports itself through others, in functions and for type checkers included.
    """
    assert cycle(SOURCE) == []


def test_the_page_on_architecture_has_every_row():
    """
    ARCHITECTURE.md shows every room of this table.
    """
    page = (SOURCE.parent.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")

    assert [name for name in ROWS if f"`{name}`" not in page] == []


# ── the laws can be broken ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tree(tmp_path):
    """
    A function that writes a package of the given files and returns its folder.
    """

    def write(**files: str) -> Path:
        source: Path = tmp_path / "branchline"
        for name, text in {"__init__": "", **files}.items():
            path = source / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return source

    return write


def test_a_module_without_a_row_is_found(tree):
    """
    A module of a room that nobody planned is named.
    """
    assert without_row(tree(steps="", utils="")) == ["branchline.utils has no row in test_layers.py"]


@pytest.mark.parametrize(
    "text",
    [
        "from .telemetry import configure",
        "from . import telemetry",
        "def f():\n    from .telemetry import configure",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .telemetry import configure",
        "import importlib\nimportlib.import_module('.telemetry', __package__)",
    ],
)
def test_an_import_against_the_table_is_found(tree, text):
    """
    An import that the row does not allow is named, with the rows that would allow it.
    """
    [found] = against_the_table(tree(steps=text, telemetry=""))

    assert found.endswith(
        "imports branchline.telemetry: the row of steps does not allow telemetry; "
        "rows that do: entrypoints, cli.demo, cli.run, testing, __init__"
    )


def test_a_part_of_a_room_may_have_a_row_of_its_own(tree):
    """
    The demo may record, the other commands may not.
    """
    source = tree(
        steps="", telemetry="", cli__in__demo="from ..steps import step", cli__in__show="from .. import steps"
    )

    assert [found.partition(":")[0] for found in against_the_table(source)] == ["branchline.cli.show"]


@pytest.mark.parametrize(
    "text",
    ["import branchline", "from branchline import step", "from branchline.names import KIND", "from . import step"],
)
def test_an_import_of_the_root_is_found(tree, text):
    """
    The root is not imported from inside, absolutely or relatively, nor is anything by its absolute name.
    """
    assert len(of_the_root(tree(steps=text, names=""))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import opentelemetry.sdk.trace",
        "from opentelemetry import sdk",
        "from opentelemetry.sdk.trace import Span",
        "from opentelemetry.semconv import trace",
        "import orjson",
    ],
)
def test_a_strange_package_is_found(tree, text):
    """
    The record side may have OpenTelemetry's API, not its SDK and nothing else.
    """
    [found] = of_strange_packages(tree(steps=text, stamps="from opentelemetry import trace\nimport json"))

    assert found.endswith("the row of steps allows opentelemetry")


def test_an_optional_package_at_import_is_found(tree):
    """
    An optional package at the top of a module is named; inside a function it is fine.
    """
    source = tree(monitor="import psutil", prices="def price():\n    import genai_prices")

    assert [found.partition(":")[0] for found in too_early(source)] == ["branchline.monitor"]


def test_a_cycle_is_found(tree):
    """
    A cycle is shown as the way around, though one of its imports is in a function.
    """
    around = cycle(tree(steps="from .stamps import Stamp", stamps="def f():\n    from . import steps"))

    assert around[0] == around[-1]
    assert set(around) == {"branchline.steps", "branchline.stamps"}
