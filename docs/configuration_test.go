package docs

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/model/provider/openai"
)

// TestEveryKeyIsDocumented compares the configuration's structs with the page.
func TestEveryKeyIsDocumented(t *testing.T) {
	page, err := os.ReadFile("configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, v := range []any{config.File{}, config.Local{}, config.LocalPrice{}, config.Content{}, config.Limits{}, openai.Config{}} {
		for f := range fields(reflect.TypeOf(v)) {
			keys++
			if !strings.Contains(string(page), "`"+f+"`") && !strings.Contains(string(page), "`"+f+":") && !strings.Contains(string(page), "{"+f+":") {
				t.Errorf("docs/configuration.md says nothing of %q (%T)", f, v)
			}
		}
	}
	if keys < 30 {
		t.Errorf("only %d keys were found", keys)
	}
}

func fields(t reflect.Type) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			if name != "" && name != "-" && !yield(name) {
				return
			}
		}
	}
}
