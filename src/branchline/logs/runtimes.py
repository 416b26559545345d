"""Runtimes: what kind of place this process runs in, as the environment says; nothing is imported, nothing asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from typing import Final


_PLATFORMS: Final = {
    "fabric": ("FABRIC_WORKSPACE_ID", "FABRIC_LAKEHOUSE_ID", "ONELAKE_WORKSPACE_ID", "SYNAPSE_WORKSPACE_NAME"),
    "databricks": ("DATABRICKS_RUNTIME_VERSION", "DATABRICKS_HOST", "DB_JOB_ID", "DB_JOB_RUN_ID"),
    "spark": ("SPARK_HOME", "SPARK_ENV_LOADED", "PYSPARK_PYTHON"),
}
_JOBS: Final = ("DB_JOB_ID", "DB_JOB_RUN_ID", "FABRIC_JOB_ID")


@cache
def here() -> tuple[str, str]:
    """Return the platform and the kind of runtime of this process."""
    return platform_of(os.environ), runtime_of(os.environ, is_notebook="ipykernel" in sys.modules)


def platform_of(env: Mapping[str, str]) -> str:
    """Return ``fabric``, ``databricks``, ``spark`` or ``local``."""
    return next((name for name, variables in _PLATFORMS.items() if any(env.get(key) for key in variables)), "local")


def runtime_of(env: Mapping[str, str], *, is_notebook: bool) -> str:
    """Return ``notebook``, ``job``, ``script`` or ``local``, which is a prompt of Python's."""
    if is_notebook:
        return "notebook"
    if any(env.get(key) for key in _JOBS):
        return "job"
    return "local" if hasattr(sys, "ps1") else "script"
