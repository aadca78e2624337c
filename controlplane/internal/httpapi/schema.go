package httpapi

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"apiproxy.internal/shared/config"
)

// How the values of a configuration are written, which their Go types do not show.

type rateText struct{}

// Schema implements huma.SchemaProvider.
func (rateText) Schema(huma.Registry) *huma.Schema {
	zero, most := 0.0, 1e9
	return &huma.Schema{
		Description: `Requests per second, or text such as "5/m" or "100/h"; at most 6 decimals.`,
		OneOf:       []*huma.Schema{{Type: huma.TypeNumber, Minimum: &zero, Maximum: &most}, {Type: huma.TypeString, Pattern: `^[0-9.eE+]+/[smhd]$`}},
		Examples:    []any{300, "5/m"},
	}
}

type durationText struct{}

// Schema implements huma.SchemaProvider.
func (durationText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^\+?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+$`,
		Description: "A time with a unit, such as 100ms, 5s or 10m.", Examples: []any{"5s"},
	}
}

type sizeText struct{}

// Schema implements huma.SchemaProvider.
func (sizeText) Schema(huma.Registry) *huma.Schema {
	zero := 0.0
	return &huma.Schema{
		Description: "Bytes, or text with KiB, MiB, GiB, TiB, KB, MB, GB or TB.",
		OneOf:       []*huma.Schema{{Type: huma.TypeInteger, Minimum: &zero}, {Type: huma.TypeString, Pattern: `^[0-9]+([KMGT]i?)?B$`}},
		Examples:    []any{"10MiB"},
	}
}

// authText is config.Auth as it is written.
type authText struct {
	Type              string `json:"type" oneof:"none basic header query path"`
	UsernameEnv       string `json:"username_env,omitempty" doc:"The environment variable of the nodes that holds the secret; or the same with _file."`
	UsernameFile      string `json:"username_file,omitempty"`
	PasswordEnv       string `json:"password_env,omitempty"`
	PasswordFile      string `json:"password_file,omitempty"`
	ValueEnv          string `json:"value_env,omitempty"`
	ValueFile         string `json:"value_file,omitempty"`
	Header            string `json:"header,omitempty"`
	Param             string `json:"param,omitempty"`
	Template          string `json:"template,omitempty"`
	PassAuthorization bool   `json:"pass_authorization,omitempty"`
}

func aliasConfig(schemas huma.Registry) {
	schemas.RegisterTypeAlias(reflect.TypeFor[config.Rate](), reflect.TypeFor[rateText]())
	schemas.RegisterTypeAlias(reflect.TypeFor[config.Duration](), reflect.TypeFor[durationText]())
	schemas.RegisterTypeAlias(reflect.TypeFor[config.ByteSize](), reflect.TypeFor[sizeText]())
	schemas.RegisterTypeAlias(reflect.TypeFor[config.Auth](), reflect.TypeFor[authText]())
}

// Schema implements huma.SchemaProvider.
func (document) Schema(schemas huma.Registry) *huma.Schema {
	return schemas.Schema(reflect.TypeFor[config.Document](), true, "Document")
}

// complete adds to the schema of a struct what the library does not see: that a
// pointer may be null, and in the document of a configuration the bounds, and
// that everything but the rate of a limit has a default.
func complete(schema *huma.Schema, t reflect.Type) {
	inConfig := t.PkgPath() == reflect.TypeFor[config.Document]().PkgPath() || t == reflect.TypeFor[authText]()
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := schema.Properties[name]
		if property == nil {
			continue
		}
		if f.Type.Kind() == reflect.Pointer && property.Ref != "" && !strings.Contains(options, "omit") {
			schema.Properties[name] = &huma.Schema{AnyOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}}
		}
		if inConfig {
			bounds(property, f.Tag)
		}
	}
	if inConfig && t != reflect.TypeFor[config.Problem]() {
		schema.Required = slices.DeleteFunc(schema.Required, func(name string) bool { return name != "rate" })
	}
}

func bounds(property *huma.Schema, tag reflect.StructTag) {
	for word := range strings.FieldsSeq(tag.Get("oneof")) {
		property.Enum = append(property.Enum, word)
	}
	low, high, ok := strings.Cut(tag.Get("range"), "..")
	if !ok {
		return
	}
	from, err1 := strconv.ParseFloat(low, 64)
	to, err2 := strconv.ParseFloat(high, 64)
	if err1 == nil && err2 == nil {
		property.Minimum, property.Maximum = &from, &to
	} else {
		property.Description += " From " + low + " to " + high + "."
	}
}
