package console_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/server"
)

// upstreamKey is the key of the mock upstream. No page may show it.
const upstreamKey = "sk-upstream-secret-4711"

// testConfig serves the mock upstream's models, with prices for all but one.
func testConfig(upstream string) string {
	return `
upstreams:
  lab: {module: provider.openai, base_url: ` + upstream + `/v1, api_key: ` + upstreamKey + `}
models:
  lab-small: {upstream: lab, name: mock}
  troubled: {upstream: lab, name: mock-500}
  unpriced: {upstream: lab, name: mock@3}
  talkative: {upstream: lab, name: mock@2000}
prices:
  lab-small: {input: 1 USD/Mtok, output: 10 USD/Mtok}
  troubled: {input: 1 USD/Mtok, output: 10 USD/Mtok}
  talkative: {input: 1 USD/Mtok, output: 10 USD/Mtok}
tariffs:
  default: partner
  plans:
    partner: {markup: 20 %}
time_zone: Asia/Shanghai
`
}

// startStrata runs a whole Strata in this process, on a real database, in front
// of the mock upstream, and returns its address. The business day begins in
// Shanghai, so that a page which takes the browser's zone is wrong.
func startStrata(t testing.TB, change func(*server.Options)) string {
	t.Helper()
	upstream := startMock(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "strata.yaml")
	if err := os.WriteFile(file, []byte(testConfig(upstream.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	o := server.Options{Addr: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), ConfigFile: file, NoLocal: true,
		Env: func(string) string { return "" }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), DrainTimeout: time.Second}
	if change != nil {
		change(&o)
	}
	srv, err := server.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-served:
		case <-time.After(20 * time.Second):
			t.Error("the server did not stop")
		}
	})
	return "http://" + srv.Addr()
}

func startMock(t testing.TB) *httptest.Server {
	t.Helper()
	upstream := httptest.NewServer(mock.New(mock.Options{Key: upstreamKey, Tokens: 60, FirstToken: 40 * time.Millisecond, PerToken: 8 * time.Millisecond}))
	t.Cleanup(upstream.Close)
	return upstream
}

// call makes one chat call from outside the browser.
func call(t testing.TB, base, key, model, customer string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, base+"/v1/chat/completions", strings.NewReader(`{"model": "`+model+`", "messages": [{"role": "user", "content": "from outside"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if customer != "" {
		r.Header.Set("X-Strata-Customer", customer)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// TestFirstVisit is the path of someone new: the empty console, sample data, a
// chat, its receipt, a key and a budget, with every page's address reloadable.
func TestFirstVisit(t *testing.T) {
	base := startStrata(t, nil)
	b := newTab(t, base, 1440, 900)

	b.open("/")
	b.sees("Nothing has been called yet")
	b.sees("curl " + base + "/v1/chat/completions")
	b.lacks("$0")

	b.click("button", "Load sample data")
	b.sees("sample calls")
	b.settled()
	b.wait("a chart", `document.querySelector('.chart canvas')`)
	b.sees("Asia/Shanghai")
	b.click("button", "Erase sample data")
	b.sees("Nothing has been called yet")

	// The playground streams, prices and links to the receipt.
	b.click("nav a", "Playground")
	b.choose(".settings select", "lab-small")
	b.fill(".composer textarea", "What is a ledger?")
	b.click(".composer button", "Send")
	b.wait("a streamed answer", `document.querySelector('.answer')?.innerText.length > 20`)
	b.wait("the receipt", `document.querySelector(".meter strong.cost")`)
	cost := eval[string](b, `document.querySelector(".meter strong.cost").innerText`)
	if !strings.HasPrefix(cost, "$0.000") {
		t.Errorf("a turn of 60 tokens at 10 USD/Mtok costs %q", cost)
	}
	// A decimal survives being typed, and is what is sent.
	b.fill(`input[name="temperature"]`, "0.2")
	if got := eval[string](b, `document.querySelector('input[name="temperature"]').value`); got != "0.2" {
		t.Errorf("typing 0.2 gives %q", got)
	}
	eval[bool](b, `(window.sent = [], window.fetch = (f => (u, o) => { if (o?.body) sent.push(String(o.body)); return f(u, o) })(window.fetch), true)`)
	b.fill(".composer textarea", "And a chain?")
	b.click(".composer button", "Send")
	b.wait("two receipts", `document.querySelectorAll(".meter strong.cost").length === 2`)
	b.sees("2 turns")
	if !eval[bool](b, `sent.some(x => JSON.parse(x).temperature === 0.2)`) {
		t.Error("the temperature was not sent")
	}

	b.click(".meter a", "Receipt")
	b.sees("What it cost us")
	b.sees("What the customer pays")
	if got := eval[string](b, `document.querySelector('.receipt .total span:last-child').innerText`); got != cost {
		t.Errorf("the receipt says %s, the playground said %s", got, cost)
	}
	b.sees("lab-small")
	b.sees("Content logging is off by default")
	b.lacks(upstreamKey)
	b.do(reload())
	b.sees("What it cost us")

	// Going back loses nothing.
	eval[bool](b, `(history.go(-1), true)`)
	b.wait("the list or the chat again", `location.pathname === '/playground'`)

	// A call from outside appears by itself.
	b.click("nav a", "Calls")
	b.sees("2 calls")
	b.wait("the live connection", `document.querySelector('.page-head .dot.on')`)
	call(t, base, "", "lab-small", "acme")
	b.sees("acme")
	b.sees("3 calls")
	call(t, base, "", "unpriced", "acme")
	b.sees("1 of unknown cost")
	b.wait("unknown is a word", `[...document.querySelectorAll('tbody tr')].some(r => r.innerText.includes('unpriced') && r.innerText.includes('unknown') && !r.innerText.includes('$0'))`)

	// Filters are in the address, and a reload keeps them.
	b.choose(`select[aria-label="Customer"]`, "acme")
	b.wait("the address", `location.search.includes('customer=acme')`)
	b.sees("2 calls")
	b.do(reload())
	b.sees("2 calls")
	b.choose(`select[aria-label="Model"]`, "unpriced")
	b.wait("the address", `location.search.includes('model=unpriced')`)
	b.sees("1 call")
	b.click("button", "Clear filters")
	b.sees("4 calls")
	b.fill(`input[type="search"]`, "unpriced")
	b.wait("the address", `location.search.includes('q=unpriced')`)
	b.sees("1 call")
	b.click("button", "Clear filters")
	b.sees("4 calls")

	// Keys: j moves, Enter opens.
	eval[bool](b, `(document.activeElement.blur(), true)`)
	b.do(key("j"), key("j"))
	b.wait("the second row", `document.querySelectorAll('tbody tr')[1].classList.contains('selected')`)
	b.do(key("\r"))
	b.wait("a receipt", `/^\/calls\/.+/.test(location.pathname)`)

	// A failed call says why, in its receipt too.
	call(t, base, "", "troubled", "acme")
	b.open("/calls?outcome=error")
	b.sees("1 call")
	b.click("tbody tr a", "")
	b.sees("The upstream answered with an error.")

	// A key: its secret is shown once; the console stays signed in.
	b.click("nav a", "Keys and budgets")
	b.sees("No keys yet")
	b.click("button", "Create key")
	b.fill(`input[name="key-name"]`, "checkout")
	b.fill(`input[name="key-customer"]`, "acme")
	b.click("dialog[open] button[type=submit]", "Create key")
	b.sees("cannot be shown again")
	secret := eval[string](b, `document.querySelector('[data-secret]').innerText`)
	if !strings.HasPrefix(secret, "sk-strata-") {
		t.Fatalf("the secret is %q", secret)
	}
	b.click("dialog[open] button", "Done")
	b.sees("checkout")
	b.lacks(secret)
	call(t, base, secret, "lab-small", "")

	// A budget: an amount that is none is refused on the page, and a hard budget
	// refuses the next call.
	b.click("button", "Set budget")
	b.fill(`input[name="budget-limit"]`, "-1")
	b.sees("Write an amount above zero")
	b.fill(`input[name="budget-limit"]`, "0.000001")
	b.click("dialog[open] button[type=submit]", "Save budget")
	b.sees("used up")
	call(t, base, secret, "lab-small", "")
	b.open("/calls?outcome=refused")
	b.sees("1 call")
	b.wait("the refusal", `document.body.innerText.includes('402')`)
	b.open("/keys")
	b.click("section button", "Delete")
	b.click("dialog[open] button", "Delete")
	b.sees("No budgets yet")
	b.click("tbody button", "Revoke")
	b.click("dialog[open] button", "Revoke")
	b.sees("Show revoked (1)")

	// The books hold.
	b.click("nav a", "Books")
	b.click("button", "Verify the ledger")
	b.sees("The books are whole")
	b.sees("Sum of postings")

	// Prices: search, and a model's own page by its address.
	b.click("nav a", "Prices")
	b.sees("USD per million tokens")
	b.fill(`input[type="search"]`, "gpt-4o-mini")
	b.wait("the model", `[...document.querySelectorAll('tbody a')].some(a => a.innerText === 'gpt-4o-mini')`)
	b.click("tbody a", "gpt-4o-mini")
	b.sees("Base price")
	b.do(reload())
	b.sees("Base price")
	b.lacks(upstreamKey)
}

// TestStop shows that a turn that is stopped is charged for what it gave.
func TestStop(t *testing.T) {
	base := startStrata(t, nil)
	b := newTab(t, base, 1280, 800)
	b.open("/playground?model=talkative")
	b.fill(".composer textarea", "Go on and on")
	b.click(".composer button", "Send")
	b.wait("some text", `document.querySelector('.answer')?.innerText.length > 20`)
	b.click(".composer button", "Stop")
	b.sees("stopped")
	b.wait("its receipt", `document.querySelector(".meter strong.cost")`)
	b.click(".meter a", "Receipt")
	b.sees("canceled")
	b.wait("a cost above zero", `/\$0\.0*[1-9]/.test(document.querySelector('.receipt .total').innerText)`)
}

// TestErrors shows that what fails is said in words of the reader's language.
func TestErrors(t *testing.T) {
	base := startStrata(t, nil)
	b := newTab(t, base, 1280, 800)
	b.expect("status of 502")
	b.expect("status of 404")
	b.open("/playground?model=troubled")
	b.fill(".composer textarea", "Hello")
	b.click(".composer button", "Send")
	b.sees("The upstream answered with an error.")
	b.setLanguage("zh")
	b.open("/calls/01900000-0000-7000-8000-000000000000")
	b.sees("没有此编号的调用")
	b.open("/prices/openai/no-such-model")
	b.sees("价格表中没有这个模型")
	b.open("/nowhere")
	b.sees("此地址没有页面")
}

// TestLogin is the console of a server with an admin secret, and what a key's
// holder sees of it.
func TestLogin(t *testing.T) {
	const secret = "correct horse battery staple 4711"
	base := startStrata(t, func(o *server.Options) {
		o.Env = func(name string) string {
			if name == "STRATA_ADMIN_SECRET" {
				return secret
			}
			return ""
		}
	})
	b := newTab(t, base, 1280, 800)
	b.expect("status of 401")
	b.open("/keys")
	b.sees("Use the admin secret")
	b.lacks("Create key")
	b.fill(`input[type="password"]`, "wrong secret")
	b.click("button[type=submit]", "Sign in")
	b.sees("This key or secret is not known.")
	b.fill(`input[type="password"]`, secret)
	b.click("button[type=submit]", "Sign in")
	b.sees("Create key")
	b.click("button", "Create key")
	b.fill(`input[name="key-name"]`, "mine")
	b.fill(`input[name="key-customer"]`, "acme")
	b.click("dialog[open] button[type=submit]", "Create key")
	b.sees("cannot be shown again")
	memberKey := eval[string](b, `document.querySelector('[data-secret]').innerText`)
	b.click("dialog[open] button", "Done")
	call(t, base, memberKey, "lab-small", "")

	b.click("nav button", "Sign out")
	b.sees("Use the admin secret")
	b.fill(`input[type="password"]`, memberKey)
	b.click("button[type=submit]", "Sign in")
	b.sees("Key holder")
	b.open("/calls?range=all")
	b.sees("1 call")
	b.open("/keys")
	b.settled()
	b.lacks("Create key")
	b.open("/")
	b.settled()
	b.lacks("Nothing has been called yet")
}

// TestEveryPageEverywhere opens each page narrow and wide, in both languages and
// themes: nothing scrolls sideways, nothing is logged as an error, the policy is
// kept, and the document says its language.
func TestEveryPageEverywhere(t *testing.T) {
	base := startStrata(t, nil)
	call(t, base, "", "lab-small", "acme")
	call(t, base, "", "unpriced", "a-customer-with-quite-a-long-name-that-does-not-fit")
	for _, v := range []struct {
		lang, tag, theme string
		width            int64
	}{{"en", "en", "light", 375}, {"zh", "zh-CN", "dark", 375}, {"en", "en", "dark", 1440}, {"zh", "zh-CN", "light", 1440}} {
		b := newTab(t, base, v.width, 800)
		b.setTheme(v.theme)
		b.open("/")
		b.setLanguage(v.lang)
		for _, path := range []string{"/", "/calls", "/playground", "/prices", "/prices/openai/gpt-4o", "/keys", "/ledger", "/nowhere"} {
			b.open(path)
			b.settled()
			b.noSidewaysScroll()
			if got := eval[string](b, `document.documentElement.lang`); got != v.tag {
				t.Errorf("%s: <html lang> is %q, want %q", path, got, v.tag)
			}
			if n := eval[int](b, `document.querySelectorAll('h1').length`); n != 1 {
				t.Errorf("%s has %d first headings", path, n)
			}
			if unnamed := eval[string](b, `[...document.querySelectorAll('button, a, input, select, textarea')].filter(e => e.checkVisibility({visibilityProperty: true}) && !(e.innerText || e.getAttribute('aria-label') || e.labels?.length || e.title)).map(e => e.outerHTML.slice(0, 120)).join('\n')`); unnamed != "" {
				t.Errorf("%s: controls without a name:\n%s", path, unnamed)
			}
		}
		b.open("/calls?range=all")
		b.click("tbody tr a", "")
		b.settled()
		b.noSidewaysScroll()
	}
}

// TestPreferences switches language and theme on the page, and uses the palette.
func TestPreferences(t *testing.T) {
	base := startStrata(t, nil)
	b := newTab(t, base, 1280, 800)
	b.open("/prices")
	b.sees("Keys and budgets")
	b.click("nav button", "中文")
	b.sees("密钥与预算")
	if got := eval[string](b, `document.documentElement.lang`); got != "zh-CN" {
		t.Errorf("<html lang> is %q", got)
	}
	b.click("nav button", "深色")
	b.wait("dark", `getComputedStyle(document.body).backgroundColor === 'rgb(16, 21, 23)'`)
	b.do(reload())
	b.sees("密钥与预算")
	b.wait("still dark", `getComputedStyle(document.body).backgroundColor === 'rgb(16, 21, 23)'`)
	b.click("nav button", "English")
	b.sees("Keys and budgets")

	b.do(ctrl("k"))
	b.wait("the palette", `document.activeElement?.getAttribute('role') === 'combobox'`)
	b.do(key("books\r"))
	b.wait("the books", `location.pathname === '/ledger'`)
	b.do(ctrl("k"))
	b.wait("the palette", `document.querySelector('dialog[open] [role=combobox]')`)
	b.do(key("\x1b"))
	b.wait("no palette", `!document.querySelector('dialog[open]')`)
}

// TestChartsSave saves a chart as a picture and as a drawing.
func TestChartsSave(t *testing.T) {
	base := startStrata(t, nil)
	call(t, base, "", "lab-small", "acme")
	b := newTab(t, base, 1280, 900)
	b.open("/")
	b.wait("a drawn chart", `document.querySelector('[data-ready=yes] canvas')`)
	eval[bool](b, `(window.saved = [], URL.createObjectURL = (o => x => { saved.push(x); return o.call(URL, x) })(URL.createObjectURL), true)`)
	b.click(".chart button", "PNG")
	b.wait("a PNG", `saved.some(x => x.type === 'image/png' && x.size > 2000)`)
	b.click(".chart button", "SVG")
	b.wait("an SVG", `saved.some(x => x.type.startsWith('image/svg+xml') && x.size > 2000)`)
}
