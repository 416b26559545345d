"""The environment: Python, the platform, and of the variables those that are known to hold no secret."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .. import names
from ..redaction import Redactor


# What changes results or speed, and is never a secret. Everything else stays where it is.
ALLOWED_VARIABLES: Final = (
    *("PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONUTF8", "PYTHONPATH", "PYTHON_GIL", "PYTHONMALLOC"),
    *("VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "LANG", "LC_ALL", "TZ"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"),
    *("RAYON_NUM_THREADS", "POLARS_MAX_THREADS", "TOKENIZERS_PARALLELISM", "MALLOC_ARENA_MAX"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_VISIBLE_DEVICES"),
    *("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "JAX_PLATFORMS", "XLA_FLAGS", "TF_DETERMINISTIC_OPS"),
    *("TF_CPP_MIN_LOG_LEVEL", "PYTORCH_CUDA_ALLOC_CONF", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_NUM_NODES"),
    *("GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_SHA", "GITHUB_RUN_ID", "CI_COMMIT_SHA", "CI_COMMIT_REF_NAME"),
)

_LOCALTIME: Final = Path("/etc/localtime")
_MOST_WORDS: Final = 200
_LONGEST_WORD: Final = 1_000


def environment_document(env: Mapping[str, str], redactor: Redactor) -> dict[str, Any]:
    """Return what this process runs in; ``EnvironmentInfo`` says what each of it is."""
    return {
        "python_version": platform.python_version(),
        "platform": sys.platform,
        "platform_version": platform.release(),
        "timezone": _timezone(env),
        "hostname": socket.gethostname(),
        "branchline_version": names.VERSION,
        "python_implementation": sys.implementation.name,
        "executable": redactor.text(sys.executable or ""),
        "variables": {name: redactor.text(env[name]) for name in ALLOWED_VARIABLES if name in env},
    }


def _timezone(env: Mapping[str, str]) -> str:
    """Return the name of the time zone, as ``Europe/Berlin`` where the system says it so."""
    named = env.get("TZ", "").lstrip(":")
    if "/" in named and not named.startswith("/"):
        return named
    try:
        _, found, zone = os.readlink(_LOCALTIME).partition("zoneinfo/")  # noqa: PTH115  # resolved, it has another name
    except OSError:
        found, zone = "", ""
    return zone if found else time.tzname[0] or "UTC"


def process_document(
    arguments: Sequence[str], orig: Sequence[str], directory: str, redactor: Redactor
) -> dict[str, Any]:
    """Return how this process was started: its *arguments* without what is secret in them, and in which *directory*.

    *orig* is ``sys.orig_argv``: it alone says ``-m package``.
    """
    words = redactor.value("argv", tuple(map(str, arguments[:_MOST_WORDS])))
    shown = [str(word)[:_LONGEST_WORD] for word in words] if isinstance(words, tuple) else []
    return {
        "argv": shown,
        "module": _module(orig),
        "directory": redactor.text(directory),
        "executable": redactor.text(sys.executable or ""),
    }


def _module(orig: Sequence[str]) -> str | None:
    rest = list(orig[1:])
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        # These have their value in the next word.
        rest = rest[2 if rest[0] in {"-W", "-X", "--check-hash-based-pycs"} else 1 :]
    return rest[1] if len(rest) > 1 and rest[0] == "-m" else None


def code_places(arguments: Sequence[str], directory: str) -> tuple[Path, ...]:
    """Return where the code may lie that runs: the script's folder, unless it was installed; then the *directory*."""
    script = getattr(sys.modules.get("__main__"), "__file__", None) or (arguments[0] if arguments else "")
    path = Path(directory, script)
    is_installed = any(path.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix))
    # Not asked of the path, which raises for a name that no file can have.
    is_file = os.path.isfile(path)  # noqa: PTH113
    return (path.parent, Path(directory)) if script and is_file and not is_installed else (Path(directory),)
