"""Usage: the tokens and the money that calls of models take."""

from __future__ import annotations

from .spending import record_usage
from .usage_values import TokenBreakdown, Usage


__all__ = ["TokenBreakdown", "Usage", "record_usage"]
