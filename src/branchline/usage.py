"""Usage: the tokens and the money that calls of models take."""

from __future__ import annotations

from .usage_values import TokenBreakdown, Usage


__all__ = ["TokenBreakdown", "Usage"]
