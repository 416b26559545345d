// What Jaeger is made of, for its schema. It is compiled below Jaeger's own command.
package main

import (
	"go.opentelemetry.io/collector/otelcol"

	"github.com/jaegertracing/jaeger/cmd/jaeger/internal"
)

func components() (otelcol.Factories, error) {
	return internal.Components()
}
