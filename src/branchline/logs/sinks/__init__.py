"""Sinks: where the lines of a handler go, one kind of place in each module."""
