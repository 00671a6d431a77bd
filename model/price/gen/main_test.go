package main

import (
	"bytes"
	"os"
	"testing"
)

// The embedded catalog is what the generator makes of the source, to the byte.
func TestCatalogIsUpToDate(t *testing.T) {
	const src = "../../../../shared/data/econ/litellm-prices"
	if _, err := os.Stat(src); err != nil {
		t.Skip("the LiteLLM price map is not here: ", err)
	}
	packed, report, err := build(src)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{"../catalog.gz": packed, "report.txt": report} {
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not what the generator makes; run go run ./model/price/gen", file)
		}
	}
	if len(packed) > 400_000 {
		t.Errorf("the catalog has %d bytes", len(packed))
	}
}
