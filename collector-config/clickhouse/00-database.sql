-- The database that scale-sink.yaml writes to (CLICKHOUSE_DATABASE).
CREATE DATABASE IF NOT EXISTS otel;
