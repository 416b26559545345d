"""branchline: OpenTelemetry-native observability for experiments in branches and pipelines in steps."""
