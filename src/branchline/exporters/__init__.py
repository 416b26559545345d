"""Exporters: where a run goes, and where it is seen, besides the journal."""
