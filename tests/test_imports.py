"""Importing branchline: what it loads, what it does (nothing), and what it gives."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import branchline as bl


ROOT = Path(__file__).parent.parent


def run_python(program, cwd):
    """Run *program* in a Python of its own; return what it printed."""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False, cwd=cwd
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def loaded(program, cwd):
    return set(run_python(f"{program}\nimport sys; print(*sys.modules)", cwd).split())


HEAVY = (
    "branchline.branches.plan",
    "branchline.branches.running",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "asyncio",
    "click",
    "concurrent.futures",
    "email",
    "hashlib",
    "http",
    "importlib.metadata",
    "ipaddress",
    "json",
    "multiprocessing",
    "numpy",
    "opentelemetry.propagate",
    "orjson",
    "pydantic",
    "rich",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "tomllib",
    "urllib.parse",
    "urllib3",
)


def test_loads_little(tmp_path):
    """
    Importing branchline loads no SDK, nothing of others and nothing heavy that the OpenTelemetry API does not load.
    """
    own = loaded("import branchline", tmp_path) - loaded("import opentelemetry.trace", tmp_path)

    assert sorted(name for name in own if name.startswith(HEAVY)) == []
    ours = [name for name in own if name.split(".")[0] not in {*sys.stdlib_module_names, "branchline", "opentelemetry"}]
    assert ours == []


def test_decorating_loads_no_more(tmp_path):
    """
    Neither does decorating and calling functions without configure().
    """
    program = "import branchline as bl\nbl.traced_step('x')(print)()\nwith bl.step('x', a=1): bl.stamp('y')"
    own = loaded(program, tmp_path) - loaded("import branchline", tmp_path)

    assert own == set()


AUDIT = """
import sys
seen = []
def hook(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 0o3
    doing = event.startswith(("socket.", "subprocess.", "os.", "shutil.", "tempfile.", "sqlite3."))
    if writes or (doing and event not in ("os.listdir", "os.scandir")):
        seen.append((event, arguments))
import opentelemetry.trace
import atexit, os, random, signal, threading, warnings, logging
def state():
    return (dict(os.environ), random.getstate(), threading.active_count(), atexit._ncallbacks(), list(sys.meta_path),
        signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), sys.excepthook, threading.excepthook,
        logging.root.level, list(logging.root.handlers), opentelemetry.trace._TRACER_PROVIDER, list(sys.path_hooks))
before = state()
sys.addaudithook(hook)
import branchline
print(seen, state() == before, os.listdir("."))
"""


def test_does_nothing(tmp_path):
    """
    Importing branchline writes nothing, opens nothing, starts nothing, and changes nothing of the process.
    """
    assert run_python(AUDIT, tmp_path) == "[] True []"


VARIABLES = """
import contextvars, sys
import branchline as bl
with bl.configure("plain", directory=sys.argv[0] + "journal", console=False):
    with bl.step("step"):
        bl.record_metric("rows", 1)
    print(len(contextvars.copy_context()))
"""


def test_setting_up_leaves_no_context_variable(tmp_path):
    """
    Outside of steps there is no context variable of ours: with two, setting one of them takes more time in every step.
    """
    assert run_python(VARIABLES, tmp_path) == "0"


NAMES = {
    "OTLP",
    "Branch",
    "BranchContainer",
    "BranchlineError",
    "BudgetConfig",
    "BudgetExceeded",
    "ConfigError",
    "Experiment",
    "FlushResult",
    "JournalError",
    "MLflow",
    "MissingExtraError",
    "Redactor",
    "Stamp",
    "StampManager",
    "Step",
    "Subscription",
    "Telemetry",
    "__version__",
    "arun_branches",
    "attach",
    "branch",
    "carrier",
    "carry",
    "configure",
    "counter",
    "current_branch",
    "current_step",
    "event",
    "experiment",
    "flush",
    "gauge",
    "get_logger",
    "histogram",
    "iter_branches",
    "record_metric",
    "record_usage",
    "run_branches",
    "shutdown",
    "stamp",
    "step",
    "subscribe",
    "traced_experiment",
    "traced_step",
    "track",
}


def test_all():
    """
    __all__ has every public name and no other; each is there, dir() shows them, and a star import brings them.
    """
    star: dict[str, object] = {}
    exec("from branchline import *", star)

    assert set(bl.__all__) == NAMES
    assert [name for name in bl.__all__ if getattr(bl, name, None) is None] == []
    assert dir(bl) == sorted(bl.__all__)
    assert set(star) - {"__builtins__"} == NAMES


def test_nothing_public_is_left_out():
    """
    Whatever of ours the package has under a public name is in __all__.
    """
    ours = {name for name, value in vars(bl).items() if str(getattr(value, "__module__", "")).startswith("branchline.")}

    assert {name for name in ours if not name.startswith("_")} - set(bl.__all__) == set()


def test_unknown_name():
    """
    A name that is not there is an AttributeError that says so.
    """
    with pytest.raises(AttributeError, match="module 'branchline' has no attribute 'tracer'"):
        _ = bl.tracer


def test_version():
    """
    The version is that of pyproject.toml.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert bl.__version__ == project["version"]


EACH_FIRST = """
import os, sys, traceback
for name in {names}:
    if os.fork() == 0:
        code = 0
        try:
            __import__(name)
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)
    if os.wait()[1]:
        print(name)
"""


def test_every_module_can_be_imported_first(tmp_path):
    """
    Each module can be imported before all others.
    """
    source = ROOT / "src"
    parts = [path.relative_to(source).with_suffix("").parts for path in (source / "branchline").rglob("*.py")]
    names = [".".join(part for part in found if part != "__init__") for found in parts if found[-1] != "__main__"]

    assert run_python(EACH_FIRST.format(names=names), tmp_path) == ""
