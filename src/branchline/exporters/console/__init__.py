"""The console: a run as a person sees it while it happens, and a summary at the end."""

from __future__ import annotations

from .listener import console_listener


__all__ = ["console_listener"]
