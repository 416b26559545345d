-- Log records and events, in the columns that the collector's exporter fills, by experiment and branch.
-- Of a record that came twice, one is left after a merge, and at once with FINAL: branchline gives each a uid.
CREATE TABLE IF NOT EXISTS otel.otel_logs
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName LowCardinality(String) CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName LowCardinality(String) CODEC(ZSTD(1)),

    Experiment LowCardinality(String) MATERIALIZED LogAttributes['branchline.experiment.name'] CODEC(ZSTD(1)),
    Branch LowCardinality(String) MATERIALIZED LogAttributes['branchline.branch.name'] CODEC(ZSTD(1)),
    Run String MATERIALIZED ResourceAttributes['branchline.run.id'] CODEC(ZSTD(1)),
    Uid String MATERIALIZED if(LogAttributes['log.record.uid'] != '', LogAttributes['log.record.uid'],
                               toString(cityHash64(TraceId, SpanId, SeverityNumber, Body, LogAttributes))) CODEC(ZSTD(1)),

    INDEX by_trace TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_run Run TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_attribute_key mapKeys(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_attribute_value mapValues(LogAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_word lower(Body) TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, Experiment, Branch, toStartOfHour(Timestamp), Timestamp, Uid)
TTL toDateTime(Timestamp) + INTERVAL 90 DAY
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1;
