"""OTLP: what the journal holds, delivered to an endpoint."""

from __future__ import annotations

from .answers import Answer, Transport
from .delivery import transport_for


__all__ = ["Answer", "Transport", "transport_for"]
