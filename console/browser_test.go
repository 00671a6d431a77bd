package console_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// chromePath finds a Chromium: STRATA_CHROME, else the usual names on PATH.
// Without one a developer's tests are skipped; in CI that is a failure, because
// a browser test that never runs proves nothing.
func chromePath(t testing.TB) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}
	if named := os.Getenv("STRATA_CHROME"); named != "" {
		names = []string{named}
	}
	for _, name := range names {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	reason := "no Chromium on PATH (looked for " + strings.Join(names, ", ") + "); set STRATA_CHROME to one"
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

// tab is a browser tab that remembers everything that went wrong in it.
type tab struct {
	t    testing.TB
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string
	// expected are texts of console messages that a test provokes on purpose.
	expected []string
}

// newTab opens a tab of its own browser. At the end of the test any console
// error, uncaught exception or violation of the content security policy fails it.
func newTab(t testing.TB, base string, width, height int64) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		chromedp.ExecPath(chromePath(t)),
		chromedp.WindowSize(int(width), int(height)),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("lang", "en-US"),
	))
	t.Cleanup(cancel)
	ctx, cancelTime := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancelTime)
	b := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if s := m.String(); m.IsException() || strings.Contains(strings.ToLower(string(m.Type)), "error") || m.Source == "security" {
				b.mu.Lock()
				b.problems = append(b.problems, s)
				b.mu.Unlock()
			}
		}
	}()
	// Violations are events of the document; the console text alone might change.
	_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `document.addEventListener('securitypolicyviolation', e => console.error('csp-violation', e.violatedDirective, e.blockedURI, e.sourceFile, e.lineNumber))`,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
	next:
		for _, p := range b.problems {
			for _, e := range b.expected {
				if strings.Contains(p, e) {
					continue next
				}
			}
			t.Errorf("the browser's console: %s", p)
		}
	})
	return b
}

// expect allows console messages that contain the text.
func (b *tab) expect(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, text)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("%v\npage: %s", err, b.text())
	}
}

// open loads an address of the console as a fresh page.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
}

// text is what the page shows, for messages.
func (b *tab) text() string {
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText.slice(0, 4000) : ''`))
	if err != nil {
		return err.Error()
	}
	return s
}

// eval runs an expression and returns its value.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wait polls an expression until it is true.
func (b *tab) wait(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`!!(`+expression+`)`))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain for %s (%s): %v\npage %s:\n%s", what, expression, err, eval[string](b, `location.href`), b.text())
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatal(b.ctx.Err())
		case <-time.After(40 * time.Millisecond):
		}
	}
}

// sees waits until the page shows the text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.wait("the text "+text, fmt.Sprintf(`document.body.innerText.includes(%q)`, text))
}

// lacks fails when the page shows the text.
func (b *tab) lacks(text string) {
	b.t.Helper()
	if eval[bool](b, fmt.Sprintf(`document.body.innerText.includes(%q)`, text)) {
		b.t.Errorf("the page shows %q:\n%s", text, b.text())
	}
}

// click clicks the first element that matches the CSS selector, or, with text,
// the first one whose visible text or label contains it.
func (b *tab) click(selector, text string) {
	b.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.getClientRects().length && !e.disabled && ((e.innerText || '') + ' ' + (e.getAttribute('aria-label') || '') + ' ' + (e.title || '')).includes(%q))`, selector, text)
	b.wait(fmt.Sprintf("%s %q to click", selector, text), find)
	eval[bool](b, `(`+find+`).click(), true`)
}

// fill types into a field as a person would: focus, clear, keys.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.wait("the field "+selector, fmt.Sprintf(`document.querySelector(%q)`, selector))
	eval[bool](b, fmt.Sprintf(`(e => { e.focus(); e.select && e.select(); return true })(document.querySelector(%q))`, selector))
	b.do(chromedp.KeyEvent(text))
}

// choose sets a select.
func (b *tab) choose(selector, value string) {
	b.t.Helper()
	b.wait("the choice "+selector, fmt.Sprintf(`[...(document.querySelector(%q)?.options ?? [])].some(o => o.value === %q)`, selector, value))
	eval[bool](b, fmt.Sprintf(`(e => { e.value = %q; e.dispatchEvent(new Event('change', {bubbles: true})); return true })(document.querySelector(%q))`, value, selector))
}

// settled waits until nothing is loading and every chart in view is drawn.
func (b *tab) settled() {
	b.t.Helper()
	b.wait("the page to be there", `document.querySelector('#main, .alone') && ![...document.querySelectorAll('#main .skeleton')].some(e => { const r = e.getBoundingClientRect(); return r.bottom > 0 && r.top < innerHeight })`)
	time.Sleep(450 * time.Millisecond) // the charts' own animation
}

// noSidewaysScroll fails when the page is wider than the window.
func (b *tab) noSidewaysScroll() {
	b.t.Helper()
	wide := eval[string](b, `(() => {
		const w = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= w) return '';
		const inside = e => { for (let p = e.parentElement; p; p = p.parentElement) { const o = getComputedStyle(p).overflowX; if (o !== 'visible') return true } return false };
		return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > w + 1 && !inside(e)).slice(0, 5).map(e => e.tagName + '.' + e.className).join(', ') || 'something';
	})()`)
	if wide != "" {
		b.t.Errorf("%s scrolls sideways: %s", eval[string](b, `location.pathname`), wide)
	}
}

// setTheme sets light or dark for the pages that are opened from now on, and
// setLanguage en or zh.
func (b *tab) setTheme(theme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) setLanguage(lang string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(localStorage.setItem('strata.lang', %q), true)`, lang))
}

// shot takes a picture: of the window, or of the whole page.
func (b *tab) shot(file string, whole bool) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, func() chromedp.Action[[]byte] {
		if whole {
			return chromedp.FullScreenshot(100)
		}
		return chromedp.CaptureScreenshot()
	}())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func reload() chromedp.Action[chromedp.Void] { return chromedp.Reload() }

func key(keys string) chromedp.Action[chromedp.Void] { return chromedp.KeyEvent(keys) }

func ctrl(k string) chromedp.Action[chromedp.Void] {
	return chromedp.KeyEvent(k, chromedp.KeyModifiers(chromedp.ModifierCtrl))
}

func viewport(width, height int64) chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(width, height)
}
