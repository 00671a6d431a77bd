package console_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startBinary builds Strata and runs it as people do, with the local model,
// beside the mock upstream. It fetches the model when it is not cached.
func startBinary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "strata-") // a short name, since a picture shows it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, file := filepath.Join(dir, "strata"), filepath.Join(dir, "strata.yaml")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/strata").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	config := testConfig(startMock(t).URL) + "local: {price: {per_hour: 0.08 USD/h}}\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	up := exec.Command(binary, "up", "--config", file, "--data", filepath.Join(dir, "data"), "--addr", addr)
	up.Stdout, up.Stderr = os.Stderr, os.Stderr
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = up.Process.Signal(syscall.SIGTERM)
		_ = up.Wait()
	})
	base := "http://" + addr
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		var status struct {
			Engine struct{ State, Detail string }
		}
		res, err := http.Get(base + "/api/v1/status")
		if err == nil {
			err = json.NewDecoder(res.Body).Decode(&status)
			res.Body.Close()
		}
		if err == nil && status.Engine.State == "ready" {
			return base
		}
		if time.Now().After(deadline) {
			t.Fatalf("the local engine is not ready: %+v, %v", status, err)
		}
	}
}

// TestScreenshots takes the pictures of the README, from a whole server with
// sample data, real calls through the mock upstream, and a chat with the local
// model:
//
//	STRATA_SCREENSHOTS=../docs/images go test ./console -run Screenshots
//
// With STRATA_SCREENSHOTS_ALL=1 it takes every page as a whole in both widths,
// themes and languages instead, to look at.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("STRATA_SCREENSHOTS")
	if dir == "" {
		t.Skip("takes pictures only when STRATA_SCREENSHOTS names a directory")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	base := startBinary(t)

	// The state that the pictures show.
	b := newTab(t, base, 1440, 900)
	b.open("/")
	b.settled()
	b.shot(filepath.Join(dir, "first-visit.png"), false)
	b.click("button", "Load sample data")
	b.sees("sample calls")
	for range 3 {
		call(t, base, "", "lab-small", "acme")
	}
	call(t, base, "", "unpriced", "northwind")
	b.open("/keys")
	for _, k := range [][2]string{{"checkout-prod", "acme"}, {"batch-worker", "northwind"}} {
		b.click("button", "Create key")
		b.fill(`input[name="key-name"]`, k[0])
		b.fill(`input[name="key-customer"]`, k[1])
		b.click("dialog[open] button[type=submit]", "Create key")
		b.sees("cannot be shown again")
		secret := eval[string](b, `document.querySelector('[data-secret]').innerText`)
		b.click("dialog[open] button", "Done")
		b.sees(k[0])
		for range 4 {
			call(t, base, secret, "lab-small", "")
		}
		b.click("button", "Set budget")
		b.choose(`select[name="budget-kind"]`, "customer")
		b.fill(`input[name="budget-customer"]`, k[1])
		b.fill(`input[name="budget-limit"]`, map[string]string{"acme": "0.01", "northwind": "0.003"}[k[1]])
		b.click("dialog[open] button[type=submit]", "Save budget")
		b.wait("the budget", `[...document.querySelectorAll('.list li')].some(e => e.innerText.includes("`+k[1]+`"))`)
	}

	if os.Getenv("STRATA_SCREENSHOTS_ALL") != "" {
		allScreenshots(t, base, dir, b)
		return
	}
	for _, theme := range []string{"light", "dark"} {
		b.setTheme(theme)
		b.do(viewport(1440, 1180))
		b.open("/")
		b.settled()
		b.shot(filepath.Join(dir, map[string]string{"light": "overview.png", "dark": "overview-dark.png"}[theme]), false)
	}
	b.setTheme("light")
	b.do(viewport(1440, 900))
	b.open("/calls")
	b.settled()
	b.shot(filepath.Join(dir, "calls.png"), false)
	b.open("/calls?q=gpt-4o&outcome=ok")
	b.click("tbody tr a", "")
	b.settled()
	b.shot(filepath.Join(dir, "receipt.png"), false)
	chat(b)
	b.settled()
	b.shot(filepath.Join(dir, "playground.png"), false)
	b.open("/prices?q=gpt-4o")
	b.settled()
	b.shot(filepath.Join(dir, "prices.png"), false)
	b.open("/keys")
	b.settled()
	b.shot(filepath.Join(dir, "keys.png"), false)
	verify(b)
	b.shot(filepath.Join(dir, "ledger.png"), false)
}

// chat has a conversation of two turns.
func chat(b *tab) {
	b.t.Helper()
	b.open("/playground")
	b.wait("the local model", `[...document.querySelectorAll('.settings option')].some(o => /smollm/i.test(o.value))`)
	eval[bool](b, `(e => { e.value = [...e.options].find(o => /smollm/i.test(o.value)).value; e.dispatchEvent(new Event('change', {bubbles: true})); return true })(document.querySelector('.settings select'))`)
	b.fill(".settings input[name=temperature]", "0.2")
	for i, text := range []string{"What is a ledger, in two sentences?", "Name three layers of rock."} {
		b.fill(".composer textarea", text)
		b.click(".composer button.primary", "")
		b.wait("the receipt", `document.querySelectorAll(".meter strong.cost").length === `+string(rune('1'+i)))
	}
}

func verify(b *tab) {
	b.t.Helper()
	b.open("/ledger")
	b.settled()
	b.click("button.primary", "")
	b.wait("the verdict", `document.querySelector('.verdict.ok')`)
}

func allScreenshots(t *testing.T, base, dir string, signedIn *tab) {
	t.Helper()
	b := signedIn // the console was open; its session is this browser's
	for _, v := range []struct {
		theme, lang string
		width       int64
	}{{"light", "en", 1440}, {"dark", "zh", 1440}, {"light", "zh", 375}, {"dark", "en", 375}} {
		b.setTheme(v.theme)
		b.do(viewport(v.width, 820))
		b.setLanguage(v.lang)
		name := func(page string) string {
			return filepath.Join(dir, page+"-"+v.theme+"-"+v.lang+"-"+map[int64]string{375: "narrow", 1440: "wide"}[v.width]+".png")
		}
		for page, path := range map[string]string{"overview": "/", "overview-today": "/?range=24h", "calls": "/calls", "prices": "/prices", "price": "/prices/openai/gpt-4o", "keys": "/keys", "nowhere": "/nowhere"} {
			b.open(path)
			b.settled()
			for range 6 { // charts are drawn when they come near
				eval[bool](b, `(scrollBy(0, 700), true)`)
				b.settled()
			}
			eval[bool](b, `(scrollTo(0, 0), true)`)
			b.shot(name(page), true)
		}
		b.open("/calls?outcome=error")
		b.click("tbody tr a", "")
		b.settled()
		b.shot(name("receipt-error"), true)
		b.open("/calls?unknown_cost=1")
		b.click("tbody tr a", "")
		b.settled()
		b.shot(name("receipt-unknown"), true)
		chat(b)
		b.shot(name("playground"), false)
		verify(b)
		b.shot(name("ledger"), true)
		b.open("/keys")
		b.click("section button.primary", "")
		b.shot(name("create-key"), false)
		b.open("/")
		b.settled()
		b.do(ctrl("k"))
		b.wait("the palette", `document.querySelector('dialog[open] [role=combobox]')`)
		b.shot(name("palette"), false)
		if v.width == 375 {
			b.open("/")
			b.settled()
			b.click(".top button", "")
			b.settled()
			b.shot(name("menu"), false)
		}
	}
}
