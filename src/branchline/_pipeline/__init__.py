"""The write side between the OpenTelemetry API and the journal: spans, the queue and its one writer."""
