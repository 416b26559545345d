"""Usage: the tokens and the money that calls of models take."""

from __future__ import annotations

from .spending import record_usage
from .token_log import TokenUsage, TokenUsageLogger, log_token_usage
from .usage_values import TokenBreakdown, Usage


__all__ = ["TokenBreakdown", "TokenUsage", "TokenUsageLogger", "Usage", "log_token_usage", "record_usage"]
