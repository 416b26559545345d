"""The id generator ``branchline``: ids that neither follow nor disturb the user's own random numbers."""

from __future__ import annotations

import os

from .._pipeline.ids import PrivateIdGenerator, reseed


class BranchlineIdGenerator(PrivateIdGenerator):
    """Makes trace and span ids from a source of chance of its own; a forked child has another one."""


# A run does so too, but here there may be none.
os.register_at_fork(after_in_child=reseed)
