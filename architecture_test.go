package strata_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the import path of this repository.
const module = "github.com/stratahq/strata"

// room is one part of the house: a folder, and everything that it may import
// from this module. A package belongs to the room with the longest matching
// folder. Imports inside a room are free, since Go itself forbids cycles.
type room struct {
	folder string
	// exact means that the folder's own package only, not what is below it.
	exact bool
	// may lists the rooms that this one may import; "*" means any.
	may []string
	// never lists import paths, by prefix, that are forbidden although they are
	// not part of this module (such as HTTP in the ledger).
	never []string
}

// house is the import rule of ARCHITECTURE.md, floor by floor, bottom first.
// A new package must be given a room here before it can be merged.
var house = []room{
	// Leaves: they import nothing of ours.
	{folder: "money"},
	{folder: "unit"},
	{folder: "nearest"},

	// Floor 2's vocabulary: what a request, an event and a usage are.
	{folder: "model", exact: true, may: []string{"money", "unit"}, never: []string{"net/http", "database/sql"}},
	// Secrets are taken out of text here; it knows nothing else.
	{folder: "model/redact"},
	{folder: "model/modeltest", may: []string{"model", "money"}},

	// The database, and the spine on it. Neither knows HTTP.
	{folder: "store", may: []string{"money", "unit"}, never: []string{"net/http"}},
	{folder: "ledger", may: []string{"store", "model", "money", "unit"}, never: []string{"net/http"}},

	// Floor 1: what models run on. It never sees the ledger: what it needs from
	// traffic is handed to it as observations.
	{folder: "infra/catalog", may: []string{"nearest", "money", "unit"}},
	{folder: "infra/roofline", may: []string{"infra/catalog", "money", "unit"}},
	{folder: "infra/serving", may: []string{"infra/roofline", "infra/catalog", "money", "unit"}},
	{folder: "infra/training", may: []string{"infra/roofline", "infra/catalog", "money", "unit"}},

	// Floor 2: what answers. Prices and usage are pure; providers do not know
	// the ledger; the meter is where a model and the ledger meet.
	{folder: "model/price", may: []string{"model/usage", "model", "money", "unit"}},
	{folder: "model/usage", may: []string{"model", "money"}, never: []string{"net/http", "database/sql"}},
	{folder: "model/wire", may: []string{"model/usage", "model", "money"}},
	{folder: "model/provider", may: []string{"model/redact", "model/wire", "model/usage", "model", "money"}},
	{folder: "model/local", may: []string{"model/usage", "model", "money"}},
	{folder: "model/mock", may: []string{"model/wire", "model", "money"}},
	{folder: "model/route", may: []string{"model", "money", "ledger"}},
	{folder: "model/meter", may: []string{"model/redact", "model/price", "model/usage", "model", "money", "ledger"}},

	// Floor 3 and the tower. Applications know models, never providers.
	{folder: "app", may: []string{"model", "model/meter", "model/route", "ledger", "money", "unit"}},
	{folder: "trust", may: []string{"model", "ledger", "store", "money", "unit"}},
	{folder: "econ", may: []string{"nearest", "infra/catalog", "infra/roofline", "infra/serving", "infra/training", "model/price", "money", "unit"}},
	{folder: "atlas", may: []string{"unit", "money"}},

	// The front door and its neighbours.
	{folder: "job", may: []string{"store", "money", "unit"}},
	{folder: "access", may: []string{"store", "ledger", "model", "money"}},
	{folder: "config", may: []string{"nearest", "model", "model/redact", "model/price", "model/usage", "model/wire", "model/provider", "model/local", "model/route", "model/meter", "money", "unit"}},
	{folder: "gateway", may: []string{"nearest", "model/redact", "access", "ledger", "model", "model/wire", "model/meter", "model/usage", "money"}},
	{folder: "admin", may: []string{"nearest", "access", "ledger", "store", "model", "model/price", "model/usage", "money", "unit"}},
	{folder: "console"},

	// The roof: server alone puts everything together, cmd calls it.
	{folder: "server", may: []string{"*"}, never: []string{module + "/cmd"}},
	{folder: "cmd", may: []string{"*"}},

	// Outside the house: they test or measure it, and nothing imports them.
	{folder: "bench", may: []string{"*"}},
	{folder: "sdktest", may: []string{"*"}},
	{folder: "docs", may: []string{"*"}},
}

// listed is what `go list -json` says about a package.
type listed struct {
	ImportPath string
	Imports    []string
}

// roomOf finds the room of a package of this module, or nil.
func roomOf(importPath string) *room {
	folder, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return nil
	}
	var best *room
	for i := range house {
		r := &house[i]
		if folder != r.folder && (r.exact || !strings.HasPrefix(folder, r.folder+"/")) {
			continue
		}
		if best == nil || len(r.folder) > len(best.folder) {
			best = r
		}
	}
	return best
}

// violations says which imports of a package break the rule.
func violations(p listed) []string {
	if p.ImportPath == module {
		return nil // the root holds tests only
	}
	from := roomOf(p.ImportPath)
	if from == nil {
		return []string{fmt.Sprintf("%s has no room: say in architecture_test.go and ARCHITECTURE.md what it may import", p.ImportPath)}
	}
	var bad []string
	for _, imported := range p.Imports {
		for _, n := range from.never {
			if imported == n || strings.HasPrefix(imported, n+"/") {
				bad = append(bad, fmt.Sprintf("%s imports %s, which %s must never know", p.ImportPath, imported, from.folder))
			}
		}
		if !strings.HasPrefix(imported, module) {
			continue
		}
		to := roomOf(imported)
		switch {
		case to == nil:
			bad = append(bad, fmt.Sprintf("%s imports %s, which has no room", p.ImportPath, imported))
		case to == from, slices.Contains(from.may, to.folder), slices.Contains(from.may, "*"):
		default:
			bad = append(bad, fmt.Sprintf("%s imports %s, but %s may import only %v", p.ImportPath, imported, from.folder, from.may))
		}
	}
	return bad
}

// TestImportsRunDownward keeps the arrows of the house.
func TestImportsRunDownward(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
		cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Fatalf("go list for %s: %v\n%s", goos, err, exit.Stderr)
			}
			t.Fatalf("go list for %s: %v", goos, err)
		}
		seen := 0
		for dec := json.NewDecoder(bytes.NewReader(out)); ; seen++ {
			var p listed
			if err := dec.Decode(&p); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for _, v := range violations(p) {
				t.Errorf("GOOS=%s: %s", goos, v)
			}
		}
		if seen < 10 {
			t.Errorf("GOOS=%s: go list named %d packages; the test saw too little to mean anything", goos, seen)
		}
	}
}

// TestRuleRefusesForbiddenImports shows that the rule can fail: each of these
// arrows points the wrong way.
func TestRuleRefusesForbiddenImports(t *testing.T) {
	in := func(p string) string { return module + "/" + p }
	for _, c := range []struct {
		name   string
		p      listed
		broken bool
	}{
		{"the ledger must not know HTTP", listed{in("ledger"), []string{"net/http"}}, true},
		{"the ledger must not import a provider", listed{in("ledger"), []string{in("model/provider/openai")}}, true},
		{"a provider must not import the ledger", listed{in("model/provider/openai"), []string{in("ledger")}}, true},
		{"an application must not know providers", listed{in("app/think"), []string{in("model/provider/openai")}}, true},
		{"economics must not import the ledger", listed{in("econ"), []string{in("ledger")}}, true},
		{"infrastructure must not import the ledger", listed{in("infra/serving"), []string{in("ledger")}}, true},
		{"money imports nothing of ours", listed{in("money"), []string{in("model")}}, true},
		{"only cmd and tests stand above server", listed{in("gateway"), []string{in("server")}}, true},
		{"server must not import cmd", listed{in("server"), []string{in("cmd/strata")}}, true},
		{"a new folder needs a room", listed{in("helpers"), nil}, true},
		{"types do not reach below their own package", listed{in("model"), []string{in("model/usage")}}, true},

		{"the meter joins model and ledger", listed{in("model/meter"), []string{in("model"), in("ledger")}}, false},
		{"server may import everything", listed{in("server"), []string{in("gateway"), in("model/local")}}, false},
		{"packages of one room may import each other", listed{in("model/local"), []string{in("model/local/artifact")}}, false},
		{"the standard library is free", listed{in("gateway"), []string{"net/http", "fmt"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := violations(c.p); (len(got) > 0) != c.broken {
				t.Errorf("violations = %q, want broken = %v", got, c.broken)
			}
		})
	}
}
