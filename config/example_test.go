package config

import (
	"os"
	"reflect"
	"testing"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/provider/openai"
)

// The example is a valid configuration and shows every setting there is.
func TestExampleShowsEverySetting(t *testing.T) {
	data, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e := env("STRATA_ADMIN_SECRET", "a", "OPENAI_API_KEY", "b", "LAB_KEY", "c", "LAB_TEAM", "d")
	f, err := Parse("example.yaml", data, e)
	if err != nil {
		t.Fatal(err)
	}
	var r Registry
	Register(&r, openai.ModuleID, func(c openai.Config, d Deps) (model.Model, error) {
		return openai.New(d.Name, c, openai.Deps{})
	})
	for name := range f.Upstreams {
		if _, err := r.Upstream(f, name, e, Deps{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := price.OverridesNode("example.yaml", &f.Prices); err != nil {
		t.Error(err)
	}
	if _, err := price.TariffsNode("example.yaml", &f.Tariffs); err != nil {
		t.Error(err)
	}

	root, err := parseNode("example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	var shown func(t *testing.T, typ reflect.Type, path ...string)
	shown = func(t *testing.T, typ reflect.Type, path ...string) {
		for field := range fieldsOf(typ) {
			at := append(path[:len(path):len(path)], field.name)
			if find(root, at...) == nil {
				t.Errorf("%v is not in the example", at)
			}
			if sub := typ.FieldByIndex(field.index).Type; sub.Kind() == reflect.Struct && sub != nodeType && sub.PkgPath() == typ.PkgPath() {
				shown(t, sub, at...)
			}
		}
	}
	shown(t, reflect.TypeFor[File]())
	shown(t, reflect.TypeFor[openai.Config](), "upstreams", "lab")
	for _, key := range []string{"upstream", "name", "max_output"} {
		if find(root, "models", "lab-large", key) == nil {
			t.Errorf("models: %s is not in the example", key)
		}
	}
}

func TestOnDisconnect(t *testing.T) {
	for in, drains := range map[string]bool{"": false, "on_disconnect: cancel\n": false, "on_disconnect: drain\n": true} {
		if f, err := Parse("c.yaml", []byte(in), env()); err != nil || f.Drains() != drains {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := Parse("c.yaml", []byte("on_disconnect: wait\n"), env()); err == nil {
		t.Error("an unknown word is accepted")
	}
}
