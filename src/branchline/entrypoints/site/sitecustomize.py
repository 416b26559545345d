"""What Python runs first of all in the processes that ``branchline run`` starts; it stands alone on the search path."""  # noqa: INP001

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec


_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # every process pays for what is imported
# From here, where no package is, there is no relative import.
_HOSTING = "branchline.entrypoints.hosting"


def _run_the_one_that_this_hides() -> None:
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]  # noqa: PTH100  # the same
    found = PathFinder.find_spec("sitecustomize", sys.path)
    if found is not None and found.loader is not None:
        found.loader.exec_module(module_from_spec(found))


def _host() -> None:
    try:
        hosting = importlib.import_module(_HOSTING)
    except ImportError:
        # A Python that has no branchline: it runs as it would have, and records nothing.
        return
    hosting.begin()


_run_the_one_that_this_hides()
_host()
