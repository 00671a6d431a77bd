package check

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/usage"
)

// ownCases reads all cases that the project keeps.
func ownCases(t testing.TB) []Case {
	files, err := filepath.Glob("../testdata/cases/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	var all []Case
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		cases, err := Read(name, f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, cases...)
	}
	return all
}

func TestOwnCases(t *testing.T) {
	cases := ownCases(t)
	if len(cases) < 100 {
		t.Fatalf("%d cases; the project promises at least 100", len(cases))
	}
	seen := map[Text]bool{}
	providers := map[Text]bool{}
	for i := range cases {
		c := &cases[i]
		if seen[c.ID] {
			t.Errorf("two cases are called %s", c.ID)
		}
		seen[c.ID] = true
		providers[c.Provider] = true
		if c.Why == "" || c.Source == "" {
			t.Errorf("%s: every case says why and has a source", c.ID)
		}
		if c.Buckets == nil || len(c.Cost) == 0 || c.Estimated == nil || c.EstimatedBuckets == nil {
			t.Errorf("%s: a case without expectations cannot fail", c.ID)
		}
		if o := Run(c); !o.OK {
			t.Errorf("%s (%s): %s; flags %v", c.ID, c.Why, *o.Error, o.Flags)
		}
	}
	if len(providers) < 15 {
		t.Errorf("cases of %d providers only", len(providers))
	}
}

// A stream gives the same result wherever the network cuts it.
func TestStreamsSplitAtEveryByte(t *testing.T) {
	cases := ownCases(t)
	streams := 0
	for i := range cases {
		c := &cases[i]
		if c.BodyFormat == "json" || c.BodyFormat == "binary" {
			continue
		}
		streams++
		body, err := c.body()
		if err != nil {
			t.Fatal(err)
		}
		card, err := price.ParseCardLenient(orEmpty(c.Prices))
		if err != nil {
			t.Fatal(err)
		}
		ctx, provider, surface, format := c.usageContext(card), string(c.Provider), string(c.Surface), string(c.BodyFormat)
		text := func(r usage.Result) string {
			b, err := json.Marshal(struct {
				U any
				R usage.Result
			}{r.Usage, r})
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		want := text(usage.Parse(provider, surface, ctx, body, format))
		for at := 0; at <= len(body); at++ {
			s := usage.NewStream(provider, surface, ctx, format)
			s.Write(body[:at])
			s.Write(body[at:])
			if got := text(s.Close()); got != want {
				t.Fatalf("%s split at byte %d: got %s, want %s", c.ID, at, got, want)
			}
		}
		s := usage.NewStream(provider, surface, ctx, format)
		for j := range body {
			s.Write(body[j : j+1])
		}
		if got := text(s.Close()); got != want {
			t.Fatalf("%s byte by byte: got %s, want %s", c.ID, got, want)
		}
	}
	if streams < 20 {
		t.Fatalf("%d streamed cases only", streams)
	}
}

// A wrong expectation must be seen: a checker that passes everything is worse
// than none.
func TestRunSeesEveryKindOfMismatch(t *testing.T) {
	const good = `{"id":"x","provider":"openai","surface":"chat.completions","model":"m","body_format":"json",
		"body":{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":2}},
		"prices":{"per_million":{"input":"1","output":"2"}},
		"expected_buckets":{"input":10,"output":2},"expected_cost_usd":"0.000014","cost_basis":"priced","estimated":false,"estimated_buckets":[],"policy":null}`
	read := func(text string) *Case {
		cases, err := Read("x", strings.NewReader(strings.ReplaceAll(text, "\n", " ")))
		if err != nil {
			t.Fatal(err)
		}
		return &cases[0]
	}
	if o := Run(read(good)); !o.OK || o.Error != nil {
		t.Fatalf("the good case fails: %v", *o.Error)
	}
	for _, tc := range []struct{ old, new, want string }{
		{`"input":10,"output":2}`, `"input":11,"output":2}`, "input: expected 11, got 10"},
		{`"input":10,"output":2}`, `"input":10}`, "output: expected 0, got 2"},
		{`"0.000014"`, `"0.000015"`, "cost_usd: expected 0.000015, got 0.000014"},
		{`"0.000014"`, `null`, "cost_usd: expected null, got 0.000014"},
		{`"cost_basis":"priced"`, `"cost_basis":"provider_reported"`, "cost_basis: expected provider_reported, got priced"},
		{`"estimated":false`, `"estimated":true`, "estimated: expected true, got false"},
		{`"estimated_buckets":[]`, `"estimated_buckets":["output"]`, "estimated_buckets: expected [output], got []"},
		{`,"output":"2"}`, `}`, "got null (no price for output)"},
		{`"estimated":false`, `"estimated":"no"`, "x:1: json"},
		{`{"input":"1"`, `{"inptu":"1"`, "per_million.inptu: unknown bucket"},
	} {
		text := strings.Replace(good, tc.old, tc.new, 1)
		if text == good {
			t.Fatalf("the replacement of %s did nothing", tc.old)
		}
		o := Run(read(text))
		if o.OK || o.Error == nil || !strings.Contains(*o.Error, tc.want) {
			t.Errorf("%s -> %s: got ok %t, error %v; want %q", tc.old, tc.new, o.OK, o.Error, tc.want)
		}
	}
	differs := strings.Replace(strings.Replace(good, `"0.000014"`, `"0.5"`, 1), `"policy":null`, `"policy":"either way"`, 1)
	o := Run(read(differs))
	var s Summary
	s.Add(&o)
	if o.OK || o.Policy != "either way" || s.Failed != 0 || s.Policy != 1 {
		t.Errorf("a case with a policy that differs: ok %t, policy %q, summary %+v", o.OK, o.Policy, s)
	}
}

func TestReadRefusesWhatIsNoFileOfCases(t *testing.T) {
	for name, text := range map[string]string{"not JSON": "{\n", "second line": "{\"id\":\"a\"}\n[1]\n", "empty": "", "blank": "\n \n"} {
		if _, err := Read("cases.jsonl", strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		} else if name == "second line" && !strings.Contains(err.Error(), "cases.jsonl:2:") {
			t.Errorf("the error does not name the line: %v", err)
		}
	}
}

// A remark in an odd form, or a count in another notation, is no reason to fail.
func TestReadIsLenientWithForms(t *testing.T) {
	cases, err := Read("x", strings.NewReader(`{"id":7,"why":["a","b"],"source":null,"stream":"yes","provider":"openai","surface":"chat.completions","body_format":"json","body":{"choices":[{"message":{"content":"hi"}}]},"context":{"ended_by":null,"model_max_output_tokens":"4","estimate":{"prompt_tokens":3.0,"completion_tokens":"9"}},"prices":{"per_million":{"input":1,"output":2}},"expected_buckets":{"input":3,"output":4},"expected_cost_usd":0.000011,"estimated":true,"estimated_buckets":["output","input"],"policy":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if o := Run(&cases[0]); !o.OK || o.ID != "7" {
		t.Errorf("%+v: %s", o, *o.Error)
	}
}

// Amounts beyond what a ledger line holds are still exact here.
func TestHugeAmounts(t *testing.T) {
	cases, err := Read("x", strings.NewReader(`{"id":"huge","provider":"openai","surface":"chat.completions","body_format":"json","body":{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":1000000000000000,"completion_tokens":1}},"prices":{"per_million":{"input":"2.5","output":"10"}},"expected_buckets":{"input":1000000000000000,"output":1},"expected_cost_usd":"2500000000.00001","estimated":false,"estimated_buckets":[],"policy":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if o := Run(&cases[0]); !o.OK {
		t.Errorf("%s", *o.Error)
	}
}

func TestOutcomeHasTheAgreedKeys(t *testing.T) {
	o := Run(&Case{ID: "x", BodyFormat: "json", Body: json.RawMessage(`{}`)})
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"id", "ok", "buckets", "cost_usd", "estimated", "estimated_buckets", "flags", "unpriced", "error"} {
		if _, ok := keys[k]; !ok {
			t.Errorf("key %q is missing in %s", k, b)
		}
	}
	if bytes.Contains(b, []byte(":null")) && len(keys) != 9 {
		t.Errorf("unexpected keys in %s", b)
	}
}
