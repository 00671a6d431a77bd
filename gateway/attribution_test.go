package gateway

import (
	"context"
	"iter"
	"reflect"
	"strings"
	"testing"

	"github.com/stratahq/strata/model"
)

func TestAttribution(t *testing.T) {
	for _, c := range []struct {
		name    string
		body    string // fields beside model and messages
		headers []string
		want    model.Attribution
	}{
		{"key alone", ``, nil, model.Attribution{KeyID: "key_good", Feature: "search"}},
		{"headers", ``, []string{"X-Strata-Customer: acme", "X-Strata-Feature: chat", "X-Strata-Tags: env=prod, team = core ,note=a=b,empty="},
			model.Attribution{KeyID: "key_good", Customer: "acme", Feature: "chat", Tags: map[string]string{"env": "prod", "team": "core", "note": "a=b", "empty": ""}}},
		{"same customer", ``, []string{"Authorization: Bearer " + boundKey, "X-Strata-Customer: acme"}, model.Attribution{KeyID: "key_bound", Customer: "acme"}},
		{"user", `"user":"u1",`, nil, model.Attribution{KeyID: "key_good", Feature: "search", EndUser: "u1"}},
		{"metadata", `"metadata":{"user_id":"u2","env":"test","run":"7"},`, []string{"X-Strata-Tags: env=prod"},
			model.Attribution{KeyID: "key_good", Feature: "search", EndUser: "u2", Tags: map[string]string{"user_id": "u2", "env": "prod", "run": "7"}}},
		{"long metadata makes no tag", `"metadata":{"long":"` + strings.Repeat("x", 600) + `","ok":"1"},`, nil,
			model.Attribution{KeyID: "key_good", Feature: "search", Tags: map[string]string{"ok": "1"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, nil)
			var got model.Attribution
			s.models["echo"] = model.Func(func(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
				got = req.Attribution
				return say("x")(ctx, req)
			})
			resp, body := s.send(t, "POST", "/v1/chat/completions", `{`+c.body+hello[1:], c.headers...)
			if resp.StatusCode != 200 || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%d %s\n got %+v\nwant %+v", resp.StatusCode, body, got, c.want)
			}
		})
	}
}

func FuzzParseTags(f *testing.F) {
	for _, s := range []string{"", "a=b", "a=b,c=d", "=", "a==,b=", "a=1,a=2", strings.Repeat("a=b,", 20), "\x00=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tags, err := parseTags(s)
		if err != nil {
			if tags != nil {
				t.Error("tags beside an error")
			}
			return
		}
		if len(tags) > maxTags {
			t.Errorf("%d tags", len(tags))
		}
		for name, value := range tags {
			if name == "" || strings.ContainsAny(name, ",=") || strings.Contains(value, ",") || !cleanText(name+value) {
				t.Errorf("%q=%q", name, value)
			}
		}
	})
}
