"""Where a program runs: a notebook, a cluster, a container, a job. Facts only: nothing is imported, asked or set."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

from .runtime_tells import BY_VALUE, BY_VARIABLE, DETAILS, PLATFORMS


_TRIDENT: Final = "home/trusted-service-user/.trident-context"
_NAMESPACE: Final = "var/run/secrets/kubernetes.io/serviceaccount/namespace"
_TRIDENT_KEYS: Final = ("workspace", "artifact.workspace", "lakehouse", "artifact", "capacity")
_CONTAINERS: Final = ("docker", "containerd", "kubepods", "libpod", "lxc")


class Runtime(frozenset[str]):
    """A set of facts, such as ``databricks``, ``notebook``, ``spark_driver``; what is known beyond is in *details*."""

    details: Mapping[str, str]
    """Ids and names, by what OpenTelemetry calls them where it has a word."""

    def __new__(cls, facts: Iterator[str], details: Mapping[str, str]) -> Self:
        """Hold *facts*."""
        made = super().__new__(cls, facts)
        made.details = dict(details)
        return made

    @property
    def platform(self) -> str | None:
        """Whose it is, in one word: ``databricks`` before ``jupyter``, for its notebooks are that too."""
        return next((name for name in PLATFORMS if name in self), None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"platform": self.platform, "facts": sorted(self), "details": dict(self.details)}

    def __repr__(self) -> str:
        return f"Runtime({', '.join(sorted(self))})"


def detect_runtime(
    env: Mapping[str, str] | None = None,
    *,
    root: Path = Path("/"),
    modules: Mapping[str, ModuleType] | None = None,
) -> Runtime:
    """Return where this program runs, as a set of facts.

    Told by the environment, by files that are there and by modules that the program has imported itself: no package is
    imported, no network asked, no signal handler set.
    """
    env = os.environ if env is None else env
    modules = sys.modules if modules is None else modules
    facts = {fact for variable, fact in BY_VARIABLE if env.get(variable)}
    facts |= {fact for variable, values, fact in BY_VALUE if env.get(variable, "").strip().lower() in values}
    facts |= {*_of_databricks(env, root), *_of_azure(env, root), *_of_containers(env, root), *_of_modules(modules)}
    if facts & {"spark_executor"}:
        # Its own process may hold what it has inherited from the driver's.
        facts -= {"spark_driver"}
    details = {name: env[variable] for variable, name in DETAILS if env.get(variable)}
    return Runtime(iter(facts), details | _trident(facts, root) | _kubernetes(facts, env, root))


def _of_databricks(env: Mapping[str, str], root: Path) -> Iterator[str]:
    version = env.get("DATABRICKS_RUNTIME_VERSION", "")
    if not version and not _exists(root / "databricks/DBR_VERSION"):
        return
    yield "databricks"
    if env.get("DATABRICKS_ENV_VERSION") or version.startswith("client."):
        yield "databricks_serverless"


def _of_azure(env: Mapping[str, str], root: Path) -> Iterator[str]:
    is_pure_python = env.get("MSNOTEBOOKUTILS_RUNTIME_TYPE") == "jupyter" or "fabric.microsoft.com" in env.get(
        "MSNOTEBOOKUTILS_SPARK_TRIDENT_PBIHOST", ""
    )
    is_fabric_spark = _exists(root / _TRIDENT)
    if is_fabric_spark or is_pure_python:
        yield "fabric"
        yield from ("spark",) if is_fabric_spark and not is_pure_python else ("fabric_python", "notebook")
    elif env.get("AZURE_SERVICE") == "Microsoft.ProjectArcadia":
        yield from ("synapse", "spark")


def _of_containers(env: Mapping[str, str], root: Path) -> Iterator[str]:
    is_docker, is_podman = _exists(root / ".dockerenv"), _exists(root / "run/.containerenv")
    groups = _text(root / "proc/self/cgroup")
    if is_docker or is_podman or env.get("KUBERNETES_SERVICE_HOST") or any(name in groups for name in _CONTAINERS):
        yield "container"
    yield from (("docker",) if is_docker else ()) + (("podman",) if is_podman else ())


# ── what the program has imported ─────────────────────────────────────────────────────────────────


def _of_modules(modules: Mapping[str, ModuleType]) -> Iterator[str]:
    for tell in (_ipython, _spark, _dask, _ray):
        try:
            yield from tell(modules)
        except Exception:  # noqa: S112  # somebody else's module, in whatever state it is
            continue


def _ipython(modules: Mapping[str, ModuleType]) -> Iterator[str]:
    shell = modules["IPython"].get_ipython() if "IPython" in modules else None
    if shell is None:
        return
    yield "ipython"
    # In a terminal it is no notebook.
    if getattr(shell, "kernel", None) is not None:
        yield from ("jupyter", "notebook")


def _spark(modules: Mapping[str, ModuleType]) -> Iterator[str]:
    task = _named(modules, ("pyspark.taskcontext",), "TaskContext")
    if task is not None and task.get() is not None:
        yield from ("spark", "spark_executor")
    # Asked of the class: a session would ask its Java side, over a socket.
    context = _named(modules, ("pyspark.core.context", "pyspark.context"), "SparkContext")
    session = _named(modules, ("pyspark.sql.connect.session",), "SparkSession")
    if getattr(context, "_active_spark_context", None) is not None:
        yield from ("spark", "spark_driver")
    elif getattr(session, "_default_session", None) is not None:
        yield from ("spark", "spark_connect")


def _dask(modules: Mapping[str, ModuleType]) -> Iterator[str]:
    get_worker = _named(modules, ("distributed.worker",), "get_worker")
    # It raises where there is none.
    if get_worker is not None and get_worker() is not None:
        yield from ("dask", "dask_worker")


def _ray(modules: Mapping[str, ModuleType]) -> Iterator[str]:
    is_initialized = _named(modules, ("ray",), "is_initialized")
    if is_initialized is not None and is_initialized():
        yield "ray"


def _named(modules: Mapping[str, ModuleType], homes: tuple[str, ...], name: str) -> Any:  # noqa: ANN401 - not ours
    return next((vars(modules[home])[name] for home in homes if home in modules and name in vars(modules[home])), None)


# ── ids ───────────────────────────────────────────────────────────────────────────────────────────


def _trident(facts: set[str], root: Path) -> dict[str, str]:
    if "fabric" not in facts:
        return {}
    lines = (line.partition("=") for line in _text(root / _TRIDENT).splitlines())
    told = {key.strip(): value.strip() for key, separator, value in lines if separator}
    named = {name: told.get(f"trident.{name}.id", "") for name in _TRIDENT_KEYS}
    return {f"fabric.{name}.id": value for name, value in named.items() if value}


def _kubernetes(facts: set[str], env: Mapping[str, str], root: Path) -> dict[str, str]:
    if "kubernetes" not in facts:
        return {}
    namespace = env.get("POD_NAMESPACE") or _text(root / _NAMESPACE)
    pod = env.get("POD_NAME") or env.get("HOSTNAME", "")
    found = {"k8s.namespace.name": namespace, "k8s.pod.name": pod}
    return {name: value for name, value in found.items() if value}


def _exists(path: Path) -> bool:
    # Not asked of the path, which raises where nobody may look.
    return os.path.exists(path)  # noqa: PTH110


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(64 * 1024).decode("utf-8", "replace").strip()
    except OSError:
        return ""
