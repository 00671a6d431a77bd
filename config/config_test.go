package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/provider/openai"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

const full = `
addr: 0.0.0.0:8080
time_zone: Asia/Shanghai
admin_secret: env:ADMIN
hosts: [strata.example.com]
upstreams:
  openai: {module: provider.openai, api_key: env:OPENAI_API_KEY}
  lab:
    module: provider.openai
    base_url: http://127.0.0.1:9000/v1
models:
  gpt-4o-mini: {upstream: openai}
  lab-large: {upstream: lab, name: large-v3, max_output: 4096}
  steady: {module: route.fallback, of: [gpt-4o-mini, lab-large]}
  careful: {module: think.vote, of: gpt-4o-mini, samples: 8}
prices:
  lab-large: {input: 0.20 USD/Mtok, output: 0.80 USD/Mtok}
local:
  threads: 2
  price: {per_hour: 0.08 USD/h}
limits: {body: 8 MiB, header_timeout: 5s}
drain: 10s
`

func TestParseWholeFile(t *testing.T) {
	f, err := Parse("strata.yaml", []byte(full), env("ADMIN", "s3cret", "OPENAI_API_KEY", "sk-x"))
	if err != nil {
		t.Fatal(err)
	}
	if f.AdminSecret.Reveal() != "s3cret" || f.AdminSecret.From() != "env:ADMIN" {
		t.Errorf("admin secret from %q", f.AdminSecret.From())
	}
	if m := f.Models["lab-large"]; m.Upstream != "lab" || m.Name != "large-v3" || m.MaxOutput != 4096 {
		t.Errorf("lab-large = %+v", m)
	}
	if m := f.Models["careful"]; len(m.Of()) != 1 || m.Of()[0] != "gpt-4o-mini" {
		t.Errorf("careful is of %v", m.Of())
	}
	if f.Limits.Body != 8<<20 || f.Limits.HeaderTimeout != 5*time.Second || f.DrainFor() != 10*time.Second {
		t.Errorf("limits = %+v, drain %v", f.Limits, f.DrainFor())
	}
	if u := f.Upstreams["openai"]; u.KeyFrom() != "env:OPENAI_API_KEY" {
		t.Errorf("key from %q", u.KeyFrom())
	}
	if !f.LocalEnabled() || !f.PassesThrough() {
		t.Error("the engine and provider/model names are on unless switched off")
	}
}

func TestSecretsAreNotSeen(t *testing.T) {
	var s Secret
	s.SetSecret("sk-very-secret", "env:X")
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%+v", struct{ S Secret }{s})} {
		if strings.Contains(got, "very") || strings.Contains(got, fmt.Sprintf("%x", "very")) {
			t.Errorf("the secret shows in %q", got)
		}
	}
	b, err := s.MarshalText()
	if err != nil || string(b) != "[redacted]" {
		t.Errorf("marshalled as %s, %v", b, err)
	}
}

func TestSecretFile(t *testing.T) {
	p := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(p, []byte("sk-from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Parse("c.yaml", []byte("admin_secret: file:"+p), env())
	if err != nil || f.AdminSecret.Reveal() != "sk-from-file" {
		t.Errorf("secret = %q, %v", f.AdminSecret.Reveal(), err)
	}
}

func TestFaultsNameTheirPlaceAndTheMend(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"unknown key":        {"adr: 127.0.0.1:4000\n", `c.yaml:1:1: adr: unknown key; did you mean "addr"?`},
		"unknown nested key": {"local:\n  thread: 2\n", `c.yaml:2:3: local.thread: unknown key; did you mean "threads"?`},
		"duplicate":          {"addr: 127.0.0.1:1\naddr: 127.0.0.1:2\n", `c.yaml:2:1: addr: is set twice; the first is in line 1`},
		"wrong type":         {"local: {threads: two}\n", `c.yaml:1:18: local.threads: expected a whole number, found "two"`},
		"octal":              {"local: {threads: 012}\n", `expected a whole number, found "012"`},
		"bad address":        {"addr: localhost\n", `c.yaml:1:7: addr: "localhost" is not host:port`},
		"bad zone":           {"time_zone: Shanghai\n", `time_zone: "Shanghai" is not a time zone`},
		"missing variable":   {"admin_secret: env:NOPE\n", `admin_secret: the environment variable NOPE is not set`},
		"unknown upstream":   {"upstreams: {openai: {module: provider.openai}}\nmodels: {m: {upstream: opnai}}\n", `c.yaml:2:24: models.m.upstream: there is no upstream "opnai"; did you mean "openai"?`},
		"both":               {"upstreams: {a: {module: provider.openai}}\nmodels: {m: {upstream: a, module: think.vote}}\n", `models.m: has both an upstream and a module`},
		"neither":            {"models: {m: {name: x}}\n", `models.m: needs either an upstream or a module`},
		"model key":          {"upstreams: {a: {module: p}}\nmodels: {m: {upstream: a, nam: x}}\n", `models.m.nam: unknown key; did you mean "name"?`},
		"no module":          {"upstreams: {a: {base_url: http://x}}\n", `upstreams.a: module is missing`},
		"cycle":              {"models:\n  a: {module: route.fallback, of: [b]}\n  b: {module: route.fallback, of: [a]}\n", `models.a: leads back to itself: a -> b -> a`},
		"alias":              {"local: &l {threads: 1}\ncontent: *l\n", `content: aliases (*name) are not supported`},
		"not yaml":           {"addr: [\n", `not valid YAML`},
		"two documents":      {"addr: 127.0.0.1:1\n---\naddr: 127.0.0.1:2\n", `more than one YAML document`},
		"list for mapping":   {"models: [a]\n", `models: expected a mapping, found a list`},
		"duration":           {"limits: {header_timeout: 5}\n", `limits.header_timeout: expected a duration such as 30s or 5m, found "5"`},
		"size":               {"limits: {body: lots}\n", `limits.body: expected a size such as 32 MiB, found "lots"`},
		"free and priced":    {"local: {price: {free: true, per_hour: 1 USD/h}}\n", `local.price: has both free and per_hour`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(c.in), env())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
			var errs Errors
			if !errors.As(err, &errs) || (errs[0].Line == 0 && name != "two documents") {
				t.Errorf("the fault has no line: %#v", err)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := Parse("c.yaml", []byte("adr: x\nlocal: {thread: 1}\n"), env())
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 || errs[0].Line != 1 || errs[1].Line != 2 {
		t.Fatalf("want both faults in order, got %v", err)
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	for _, in := range []string{"", "\n", "# nothing\n", "---\n"} {
		if f, err := Parse("c.yaml", []byte(in), env()); err != nil || f.Addr != "" {
			t.Errorf("%q: %+v, %v", in, f, err)
		}
	}
}

func TestDefaultFindsKeysInTheEnvironment(t *testing.T) {
	f := Default(env("OPENAI_API_KEY", "sk-1", "ZAI_API_KEY", "sk-2"))
	if len(f.Upstreams) != 2 {
		t.Fatalf("upstreams = %v", f.Upstreams)
	}
	if u := f.Upstreams["zhipu"]; u.KeyFrom() != "env:ZAI_API_KEY" || u.Setting("dialect") != "zhipu" {
		t.Errorf("zhipu = %s %s", u.KeyFrom(), u.Setting("dialect"))
	}
}

// Every hosted provider of the dialect table works from its key alone.
func TestEveryProviderIsConfiguredByItsKey(t *testing.T) {
	var r Registry
	Register(&r, openai.ModuleID, func(c openai.Config, d Deps) (model.Model, error) {
		u, err := openai.New(d.Name, c, openai.Deps{})
		if err != nil {
			return nil, err
		}
		if u.Dialect().Name != d.Name || u.Provider() != d.Name {
			t.Errorf("%s is taken for dialect %s, provider %s", d.Name, u.Dialect().Name, u.Provider())
		}
		return u, nil
	})
	known := openai.Known()
	if len(known) < 15 {
		t.Fatalf("only %d providers are known", len(known))
	}
	for _, k := range known {
		for _, variable := range k.Env {
			e := env(variable, "test-key-value")
			f := Default(e)
			if len(f.Upstreams) != 1 {
				t.Fatalf("%s: upstreams = %v", variable, f.Upstreams)
			}
			if _, err := r.Upstream(f, k.Name, e, Deps{}); err != nil {
				t.Errorf("%s: %v", variable, err)
			}
		}
	}
}

func TestUpstreamSettingsAreStrict(t *testing.T) {
	var r Registry
	Register(&r, openai.ModuleID, func(c openai.Config, d Deps) (model.Model, error) {
		return openai.New(d.Name, c, openai.Deps{})
	})
	for settings, want := range map[string]string{
		"base_url: http://127.0.0.1:9000/v1": "",
		"dialect: vllm":                      "",
		"base_url: http://h/v1, headers: {X-Team: env:TEAM}, idle_timeout: 5s": "",
		"base_url: ftp://h/v1":                       "base_url: must begin with http:// or https://",
		"base_url: 'http://u:sk-leak@h/v1'":          "must not hold a user or password",
		"base_url: http://h/v1/chat/completions":     "must end before /chat/completions",
		"base_url: http://h/v1, dialect: opnai":      `dialect: "opnai" is not known`,
		"dialect: azure":                             "has a different address for every customer",
		"api_key: abcdefgh":                          `"lab" is not the name of a provider`,
		"base_url: http://h/v1, limit_field: tokens": "it is max_tokens or max_completion_tokens",
		"base_url: http://h/v1, idle_timeout: soon":  "expected a duration",
		"base_url: http://h/v1, headers: {Host: x}":  "is set by Strata itself",
		"base_url: http://h/v1, hedaers: {}":         `did you mean "headers"?`,
	} {
		e := env("TEAM", "blue")
		f, err := Parse("c.yaml", []byte("upstreams:\n  lab: {module: provider.openai, "+settings+"}\n"), e)
		if err == nil {
			_, err = r.Upstream(f, "lab", e, Deps{})
		}
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", settings, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "c.yaml:2:")):
			t.Errorf("%s: got %v, want %s with its place", settings, err, want)
		case err != nil && strings.Contains(err.Error(), "sk-leak"):
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

type echo struct {
	BaseURL string   `yaml:"base_url"`
	APIKey  Secret   `yaml:"api_key"`
	Tags    []string `yaml:"tags"`
}

func (e *echo) Validate() error {
	if e.BaseURL == "" {
		return errors.New("base_url is missing")
	}
	return nil
}

func TestRegistryDecodesStrictly(t *testing.T) {
	var r Registry
	var got echo
	Register(&r, "provider.echo", func(c echo, d Deps) (model.Model, error) {
		got = c
		return model.Func(nil), nil
	})
	build := func(in string) error {
		f, err := Parse("c.yaml", []byte(in), env("K", "sk-9"))
		if err != nil {
			return err
		}
		_, err = r.Upstream(f, "a", env("K", "sk-9"), Deps{})
		return err
	}
	if err := build("upstreams: {a: {module: provider.echo, base_url: http://h, api_key: env:K, tags: x}}\n"); err != nil {
		t.Fatal(err)
	}
	if got.BaseURL != "http://h" || got.APIKey.Reveal() != "sk-9" || len(got.Tags) != 1 {
		t.Errorf("settings = %+v", got)
	}
	for in, want := range map[string]string{
		"upstreams: {a: {module: provider.ehco}}\n":                                        `c.yaml:1:16: upstreams.a.module: there is no module "provider.ehco"; did you mean "provider.echo"?`,
		"upstreams: {a: {module: provider.echo}}\n":                                        `upstreams.a: base_url is missing`,
		"upstreams:\n  a:\n    module: provider.echo\n    base_ulr: http://h\n":            `c.yaml:4:5: upstreams.a.base_ulr: unknown key; did you mean "base_url"?`,
		"upstreams: {a: {module: provider.echo, base_url: http://h, api_key: env:GONE}}\n": `the environment variable GONE is not set`,
	} {
		if err := build(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", in, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("c.yaml", data, env("ADMIN", "x", "OPENAI_API_KEY", "y"))
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v with error %v", file, err)
		}
	})
}
