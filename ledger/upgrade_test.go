package ledger

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// testdata/schema-N.db.gz are databases as each schema's program has left them.
// To add one for a new schema, run this test with STRATA_FIXTURE=1 before the
// release, and commit the file. A file is never made again.
func TestDatabasesOfEverySchemaUpgradeAndVerify(t *testing.T) {
	newest := filepath.Join("testdata", fmt.Sprintf("schema-%04d.db.gz", store.SchemaVersion()))
	if os.Getenv("STRATA_FIXTURE") != "" {
		writeFixture(t, newest)
	}
	files, err := filepath.Glob("testdata/schema-*.db.gz")
	if err != nil || len(files) != store.SchemaVersion() {
		t.Fatalf("%d fixtures for %d schemas: %v", len(files), store.SchemaVersion(), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f := &fixture{t: t, dir: t.TempDir(), now: at.AddDate(0, 0, 1)}
			unzip(t, file, filepath.Join(f.dir, store.FileName))
			f.open()
			defer f.close()
			v := f.verify()
			if v.Calls != 10 || v.OpenHolds != 0 {
				t.Errorf("%d calls and %d open holds, want 9 calls and a recovered one", v.Calls, v.OpenHolds)
			}
			yes, no := true, false
			total, err := f.Totals(ctx, Filter{Sample: &no})
			if err != nil {
				t.Fatal(err)
			}
			// 1000…1007 less the second's 1002, corrected to 77, plus 1.
			if want := money.SumOf(8*1000 + 28 - 1002 + 77 + 1); total.Cost != want || total.UnknownCostCalls != 1 {
				t.Errorf("cost %s with %d unknown, want %s with 1", total.Cost, total.UnknownCostCalls, want)
			}
			if s, err := f.Totals(ctx, Filter{Sample: &yes}); err != nil || s.Calls != 1 {
				t.Errorf("samples: %+v, %v", s, err)
			}
			list, err := f.Calls(ctx, Filter{Customer: "acme", Limit: 100})
			if err != nil || len(list) != 6 {
				t.Fatalf("%d calls, %v", len(list), err)
			}
			first, err := f.Call(ctx, list[len(list)-1].ID)
			if err != nil || string(first.Content.Reply) != "answer" || first.Tags["team"] != "blue" || first.TTFT != 120*time.Millisecond || first.Usage.Count[0] != 100 {
				t.Errorf("the first call is %+v, %v", first, err)
			}
			if b := f.only(); b.Limit != money.PicoPerUSD || b.Customer != "acme" {
				t.Errorf("budget = %+v", b)
			}
			c := f.call("acme", 5)
			if err := f.hold(c, 5); err != nil {
				t.Fatal(err)
			}
			f.settle(c)
			f.verify()
		})
	}
}

func writeFixture(t *testing.T, file string) {
	f := books(t)
	db := filepath.Join(t.TempDir(), "copy.db")
	if err := f.db.Backup(ctx, db); err != nil {
		t.Fatal(err)
	}
	in, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z, _ := gzip.NewWriterLevel(out, gzip.BestCompression)
	if _, err := z.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
