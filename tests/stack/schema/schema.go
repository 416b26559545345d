// Prints the JSON schema of the configuration that a collector accepts, made from its components' own types.
//
// It is compiled beside a file with components(), which says what the collector is made of.
package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service"
)

type object = map[string]any

var (
	durations = reflect.TypeOf(time.Duration(0))
	texts     = reflect.TypeOf((*encoding.TextUnmarshaler)(nil)).Elem()
)

// What these read is not what their fields say.
var free = map[string]bool{
	"condition.ContextConditions":      true, // a condition, or a map of them
	"common.ContextStatements":         true, // a statement, or a map of them
	"operator.Config":                  true, // one type for each operator
	"attribute.Set":                    true,
	"migration.ResourceConfigV030":     true, // attributes by name, or a list of them
	"otelconftelemetry.ResourceConfig": true,
}

type schemas struct {
	definitions object
}

func (s *schemas) of(t reflect.Type) any {
	if free[t.String()] {
		return object{}
	}
	if t == durations {
		return object{"type": []string{"string", "integer"}, "format": "duration"}
	}
	if inner, ok := optional(t); ok {
		return object{"anyOf": []any{object{"type": "null"}, s.switchable(inner)}}
	}
	if t.String() == "configopaque.MapList" {
		return object{"type": []string{"object", "array"}}
	}
	if reflect.PointerTo(t).Implements(texts) || t.Implements(texts) {
		return object{"type": []string{"string", "number", "boolean"}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Pointer:
		return object{"anyOf": []any{object{"type": "null"}, s.of(t.Elem())}}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.structure(t)
	}
	return object{}
}

// structure returns a reference to what a struct has: types contain themselves.
func (s *schemas) structure(t reflect.Type) any {
	return s.defined(t, "", []string{"object", "null"}, object{})
}

// switchable is a section that may be switched off by itself.
func (s *schemas) switchable(t reflect.Type) any {
	if t.Kind() != reflect.Struct {
		return s.of(t)
	}
	return s.defined(t, " (optional)", []string{"object"}, object{"enabled": object{"type": "boolean"}})
}

func (s *schemas) defined(t reflect.Type, suffix string, kinds []string, properties object) any {
	// A slash would be a step in the reference.
	name := strings.ReplaceAll(t.PkgPath()+"."+t.Name(), "/", ".") + suffix
	if t.Name() == "" {
		return object{"type": kinds, "properties": properties, "additionalProperties": s.fields(t, properties)}
	}
	if s.definitions[name] == nil {
		s.definitions[name] = object{}
		open := s.fields(t, properties)
		s.definitions[name] = object{"type": kinds, "properties": properties, "additionalProperties": open}
	}
	return object{"$ref": "#/$defs/" + name}
}

// fields adds what a struct's fields are called and are; it returns whether any other name is accepted.
func (s *schemas) fields(t reflect.Type, properties object) bool {
	open := false
	for i := range t.NumField() {
		field := t.Field(i)
		tag, hasTag := field.Tag.Lookup("mapstructure")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" || (!field.IsExported() && !field.Anonymous) || field.Name == "_":
			continue
		case strings.Contains(options, "remain"):
			open = true
		case strings.Contains(options, "squash"):
			inner := field.Type
			if of, ok := optional(inner); ok {
				inner = of
			}
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			open = s.fields(inner, properties) || open
		case name != "":
			properties[name] = s.of(field.Type)
		case !hasTag || name == "":
			properties[strings.ToLower(field.Name)] = s.of(field.Type)
		}
	}
	return open
}

// optional returns what a configoptional.Optional is of.
func optional(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Struct && strings.HasPrefix(t.Name(), "Optional[") {
		if value, ok := t.FieldByName("value"); ok {
			return value.Type, true
		}
	}
	return nil, false
}

func (s *schemas) component(configuration component.Config) any {
	t := reflect.TypeOf(configuration)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if inner, ok := optional(t); ok {
		return s.switchable(inner)
	}
	if t.Kind() == reflect.Struct && t.NumField() == 0 {
		return object{"type": []string{"object", "null"}, "additionalProperties": false}
	}
	return s.of(t)
}

func section[F component.Factory](s *schemas, factories map[component.Type]F) any {
	kinds := object{}
	for kind, factory := range factories {
		if kind != factory.Type() {
			// A name that is going out of use is unknown here, before it is unknown there.
			continue
		}
		kinds["^"+kind.String()+"(/.+)?$"] = s.component(factory.CreateDefaultConfig())
	}
	return object{"type": "object", "patternProperties": kinds, "additionalProperties": false}
}

func main() {
	factories, err := components()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := &schemas{definitions: object{}}
	properties := object{
		"extensions": section(s, factories.Extensions),
		"receivers":  section(s, factories.Receivers),
		"processors": section(s, factories.Processors),
		"exporters":  section(s, factories.Exporters),
		"connectors": section(s, factories.Connectors),
	}
	of := object{}
	s.fields(reflect.TypeOf(service.Config{}), of)
	of["telemetry"] = s.component(factories.Telemetry.CreateDefaultConfig())
	properties["service"] = object{"type": "object", "properties": of, "additionalProperties": false}
	printed := json.NewEncoder(os.Stdout)
	printed.SetIndent("", " ")
	err = printed.Encode(object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"type":                 "object",
		"properties":           properties,
		"additionalProperties": false,
		"$defs":                s.definitions,
	})
	if err != nil {
		os.Exit(1)
	}
}
