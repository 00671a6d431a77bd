package meter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/modeltest"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// books is a ledger in memory. It allows one hard budget for everybody.
type books struct {
	mu          sync.Mutex
	limit       money.Pico // 0 means no budget
	spent, held money.Pico
	holds       map[string]money.Pico
	rows        []ledger.Call
	settled     map[string]int
	holdErr     error
	settleErr   error
	warn        bool
}

func newBooks() *books { return &books{holds: map[string]money.Pico{}, settled: map[string]int{}} }

func (b *books) Hold(_ context.Context, h ledger.Hold) ([]ledger.Budget, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.holdErr != nil {
		return nil, b.holdErr
	}
	if b.limit > 0 && (!h.Known || b.spent+b.held+h.Amount > b.limit) {
		return nil, &ledger.BudgetError{Asked: h.Amount, Unknown: !h.Known,
			Budget: ledger.Budget{ID: "bud_1", Customer: "acme", Limit: b.limit, Period: ledger.PeriodDay, Mode: ledger.ModeHard}}
	}
	b.holds[h.CallID] = h.Amount
	b.held += h.Amount
	if b.warn {
		return []ledger.Budget{{ID: "bud_w", Period: ledger.PeriodMonth}}, nil
	}
	return nil, nil
}

func (b *books) Allowance(context.Context, string, string) (money.Pico, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit - b.spent - b.held, b.limit > 0, nil
}

func (b *books) Settle(_ context.Context, c *ledger.Call) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settleErr != nil {
		return b.settleErr
	}
	b.settled[c.ID]++
	if b.settled[c.ID] > 1 {
		return nil
	}
	b.held -= b.holds[c.ID]
	delete(b.holds, c.ID)
	b.spent += c.Cost
	b.rows = append(b.rows, *c)
	return nil
}

func (b *books) Record(ctx context.Context, c *ledger.Call) error { return b.Settle(ctx, c) }

// only returns the one outcome, and fails when there is not exactly one or a
// hold is left.
func (b *books) only(t *testing.T) *ledger.Call {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) != 1 || len(b.holds) != 0 || b.held != 0 {
		t.Fatalf("%d outcomes, %d open holds; want one outcome and no hold", len(b.rows), len(b.holds))
	}
	return &b.rows[0]
}

func card(t testing.TB, notation string) *price.Card {
	t.Helper()
	c, err := price.ParseCard([]byte(notation))
	if err != nil {
		t.Fatal(err)
	}
	c.Provider, c.Model, c.Version, c.Source = "lab", "m", "test/lab/m", "a test"
	return c
}

// The card of the tests: a dollar per million in, ten dollars per million out.
const notation = `{"per_million":{"input":"1","cache_read":"0.5","output":"10"}}`

// count notes that the inner model was asked.
func (b *bench) count() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.called++
}

type answerer func(ctx context.Context, req *model.Request, yield func(model.Event, error) bool)

// bench is a metered model with its books.
type bench struct {
	*books
	model  model.Model
	called int
}

func metered(t testing.TB, notation string, a answerer, change func(*Options)) *bench {
	b := &bench{books: newBooks()}
	o := Options{Ledger: b.books, Provider: "lab", Upstream: "lab", ServedModel: "m", Module: "test",
		Tokens: func(_, text string) int { return len(strings.Fields(text)) }}
	if notation != "" {
		book := price.NewBook("test", []*price.Card{card(t, notation)})
		o.Book = func() *price.Book { return book }
	}
	if change != nil {
		change(&o)
	}
	b.model = New(model.Func(func(ctx context.Context, req *model.Request) iter.Seq2[model.Event, error] {
		return func(yield func(model.Event, error) bool) { b.count(); a(ctx, req, yield) }
	}), o)
	return b
}

func usageOf(in, out int64) *model.Usage {
	u := &model.Usage{}
	u.Count[model.Input], u.Count[model.Output] = in, out
	return u
}

// speaks answers with the words, a finish reason and the usage.
func speaks(u *model.Usage, words ...string) answerer {
	return func(ctx context.Context, _ *model.Request, yield func(model.Event, error) bool) {
		for i, w := range words {
			if ctx.Err() != nil {
				yield(model.Event{}, model.AsError(ctx.Err()))
				return
			}
			ev := model.Event{Text: w + " ", Model: "m-2026"}
			if i == len(words)-1 {
				ev.FinishReason = "stop"
			}
			if !yield(ev, nil) {
				return
			}
		}
		yield(model.Event{Kind: model.KindEnd, Usage: u}, nil)
	}
}

func request(limit int) *model.Request {
	r := &model.Request{Op: model.OpChat, Model: "served", Stream: true,
		Call:        model.CallRef{ID: "0190a5b6-c7d8-7abc-8def-0123456789ab"},
		Attribution: model.Attribution{KeyID: "key_1", Customer: "acme", Feature: "f", Tags: map[string]string{"a": "b"}},
		Chat:        &model.Chat{Messages: []model.Message{model.UserMessage("one two three")}}}
	if limit > 0 {
		r.Chat.MaxTokens = &limit
	}
	return r
}

func TestConformance(t *testing.T) {
	modeltest.Run(t, func(t *testing.T) model.Model {
		return metered(t, notation, speaks(usageOf(3, 3), "a", "b", "c"), func(o *Options) { o.NewID = ledger.NewID }).model
	}, modeltest.Options{
		Request: func() *model.Request { r := request(10); r.Call.ID = ""; return r },
		Failing: map[string]func(*testing.T) model.Model{
			"panic": func(t *testing.T) model.Model {
				return metered(t, notation, func(context.Context, *model.Request, func(model.Event, error) bool) { panic("boom") }, nil).model
			},
			"no end": func(t *testing.T) model.Model {
				return metered(t, notation, func(context.Context, *model.Request, func(model.Event, error) bool) {}, nil).model
			},
		},
	})
}

func TestWholeCall(t *testing.T) {
	b := metered(t, notation, speaks(usageOf(1000, 3), "a", "b", "c"), nil)
	b.warn = true
	var end model.Event
	for ev, err := range b.model.Generate(t.Context(), request(10)) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == model.KindEnd {
			if end = ev; len(b.rows) != 1 {
				t.Error("the terminal event came before the settlement")
			}
		}
	}
	row := b.only(t)
	if row.Outcome != ledger.OutcomeOK || row.Status != 200 || row.Cost.String() != "0.00103" || !row.CostKnown || row.Charge != row.Cost || !row.ChargeKnown ||
		row.Customer != "acme" || row.Feature != "f" || row.Model != "served" || row.ServedModel != "m-2026" || row.PriceVersion != "test/lab/m" ||
		row.Root != row.ID || row.TTFT <= 0 || row.Duration < row.TTFT || row.Held <= 0 || len(row.Decisions) != 1 || row.Content != nil {
		t.Errorf("row = %+v", row)
	}
	if want := sha256.Sum256([]byte("a b c ")); string(row.OutputHash) != string(want[:]) {
		t.Errorf("hash = %x", row.OutputHash)
	}
	if r := end.Receipt; r == nil || r.CostUSD != "0.00103" || r.CallID != row.ID || r.Estimated {
		t.Errorf("receipt = %+v", r)
	}
	if !row.Overrun {
		t.Error("1000 prompt tokens for 40 bytes are beyond the bound")
	}
}

// drive ranges over an answer; stopAfter > 0 leaves after so many events.
func drive(ctx context.Context, m model.Model, req *model.Request, stopAfter int) (events int, ended bool, failure *model.Error) {
	for ev, err := range m.Generate(ctx, req) {
		if err != nil {
			return events, ended, model.AsError(err)
		}
		events++
		ended = ended || ev.Kind == model.KindEnd
		if events == stopAfter {
			break
		}
	}
	return events, ended, nil
}

func TestEveryEndIsOneOutcome(t *testing.T) {
	fault := func(charged bool) *model.Error {
		return &model.Error{Status: 502, Code: model.CodeUpstreamReset, Message: "lost", MayHaveBeenCharged: charged}
	}
	fails := func(after int, e error) answerer {
		return func(_ context.Context, _ *model.Request, yield func(model.Event, error) bool) {
			for range after {
				if !yield(model.Event{Text: "word "}, nil) {
					return
				}
			}
			yield(model.Event{}, e)
		}
	}
	for name, c := range map[string]struct {
		a         answerer
		stopAfter int
		outcome   ledger.Outcome
		code      string
		in, out   int64 // -1 means that there must be no usage
		estimated bool
	}{
		"whole":                      {a: speaks(usageOf(3, 2), "a", "b"), outcome: ledger.OutcomeOK, in: 3, out: 2},
		"no usage":                   {a: speaks(nil, "a", "b"), outcome: ledger.OutcomeOK, in: 8, out: 2, estimated: true},
		"absurd usage":               {a: speaks(usageOf(3, 1e15), "a", "b"), outcome: ledger.OutcomeOK, in: 3, out: 2, estimated: true},
		"zero usage with text":       {a: speaks(usageOf(0, 0), "a", "b"), outcome: ledger.OutcomeOK, in: 8, out: 2, estimated: true},
		"error before":               {a: fails(0, fault(false)), outcome: ledger.OutcomeError, code: model.CodeUpstreamReset, in: -1},
		"error before, maybe billed": {a: fails(0, fault(true)), outcome: ledger.OutcomeError, code: model.CodeUpstreamReset, in: 8, estimated: true},
		"error after":                {a: fails(2, fault(true)), outcome: ledger.OutcomeError, code: model.CodeUpstreamReset, in: 8, out: 2, estimated: true},
		"error with usage": {a: fails(2, &model.Error{Status: 502, Code: model.CodeUpstreamStatus, Message: "x", Usage: usageOf(5, 7)}),
			outcome: ledger.OutcomeError, code: model.CodeUpstreamStatus, in: 5, out: 7},
		"timeout":               {a: fails(1, &model.Error{Status: 504, Code: model.CodeDeadline, Message: "x", MayHaveBeenCharged: true}), outcome: ledger.OutcomeError, code: model.CodeDeadline, in: 8, out: 1, estimated: true},
		"bare error":            {a: fails(1, errors.New("secret detail")), outcome: ledger.OutcomeError, code: model.CodeInternal, in: 8, out: 1, estimated: true},
		"consumer stops":        {a: speaks(usageOf(3, 2), "a", "b", "c"), stopAfter: 2, outcome: ledger.OutcomeCanceled, code: model.CodeCanceled, in: 8, out: 2, estimated: true},
		"consumer stops at end": {a: speaks(usageOf(3, 2), "a", "b"), stopAfter: 3, outcome: ledger.OutcomeOK, in: 3, out: 2},
		"no end": {a: func(_ context.Context, _ *model.Request, yield func(model.Event, error) bool) {
			yield(model.Event{Text: "w"}, nil)
		},
			outcome: ledger.OutcomeError, code: model.CodeUpstreamProtocol, in: 8, out: 1, estimated: true},
		"panic before": {a: func(context.Context, *model.Request, func(model.Event, error) bool) { panic("boom") },
			outcome: ledger.OutcomeError, code: model.CodeInternal, in: -1},
		"panic after": {a: func(_ context.Context, _ *model.Request, yield func(model.Event, error) bool) {
			yield(model.Event{Text: "w"}, nil)
			panic("boom")
		}, outcome: ledger.OutcomeError, code: model.CodeInternal, in: 8, out: 1, estimated: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := metered(t, notation, c.a, nil)
			_, ended, failure := drive(t.Context(), b.model, request(100), c.stopAfter)
			row := b.only(t)
			if row.Outcome != c.outcome || row.ErrorCode != c.code || ended != (c.outcome == ledger.OutcomeOK) {
				t.Errorf("outcome %s, code %q, ended %t, error %v", row.Outcome, row.ErrorCode, ended, failure)
			}
			if c.in < 0 {
				if row.Usage != nil || row.Cost != 0 || !row.CostKnown {
					t.Errorf("usage %+v, cost %s", row.Usage, row.Cost)
				}
				return
			}
			if row.Usage == nil || row.Usage.Prompt() != c.in || row.Usage.Completion() != c.out || row.Estimated() != c.estimated {
				t.Fatalf("usage %+v", row.Usage)
			}
			if want := money.Pico(c.in*1e6 + c.out*1e7); row.Cost != want || !row.CostKnown {
				t.Errorf("cost %s, want %s", row.Cost, want)
			}
			if strings.Contains(row.ErrorText, "secret detail") || strings.Contains(row.ErrorText, "boom") {
				t.Errorf("the row shows %q", row.ErrorText)
			}
		})
	}
}

func TestCancelledClient(t *testing.T) {
	started := make(chan struct{})
	b := metered(t, notation, func(ctx context.Context, _ *model.Request, yield func(model.Event, error) bool) {
		close(started)
		<-ctx.Done()
		e := *model.AsError(ctx.Err())
		e.MayHaveBeenCharged = true
		yield(model.Event{}, &e)
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, _, e := drive(ctx, b.model, request(5), 0)
	row := b.only(t)
	if e == nil || e.Code != model.CodeCanceled || row.Outcome != ledger.OutcomeCanceled || row.Status != 499 || row.Usage == nil || row.Usage.Completion() != 0 {
		t.Errorf("%v, %+v", e, row)
	}
	b = metered(t, notation, speaks(nil, "a"), nil)
	drive(ctx, b.model, request(5), 0)
	if row := b.only(t); row.Outcome != ledger.OutcomeCanceled || b.called != 0 || row.Usage != nil {
		t.Errorf("cancelled before: %+v", row)
	}
}

func TestDrainReadsOnForTheUsage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := metered(t, notation, speaks(usageOf(30, 40), "a", "b", "c"), func(o *Options) { o.DrainOnDisconnect = true })
	for range b.model.Generate(ctx, request(100)) {
		cancel()
		break
	}
	row := b.only(t)
	if row.Outcome != ledger.OutcomeCanceled || row.Usage.Count[model.Input] != 30 || row.Estimated() || len(row.Decisions) != 1 || row.Decisions[0].What != "drained" {
		t.Errorf("row = %+v, usage %+v", row, row.Usage)
	}
	// The limit ends what never ends.
	b = metered(t, notation, func(ctx context.Context, _ *model.Request, yield func(model.Event, error) bool) {
		for yield(model.Event{Text: "w "}, nil) && ctx.Err() == nil {
		}
		if ctx.Err() != nil {
			yield(model.Event{}, model.AsError(ctx.Err()))
		}
	}, func(o *Options) { o.DrainOnDisconnect, o.DrainLimit = true, 20*time.Millisecond })
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	drive(ctx, b.model, request(100), 1)
	if row := b.only(t); row.Outcome != ledger.OutcomeCanceled {
		t.Errorf("row = %+v", row)
	}
}

func TestConsumerPanicIsSettledAndPassesThrough(t *testing.T) {
	b := metered(t, notation, speaks(nil, "a", "b"), nil)
	func() {
		defer func() {
			if recover() != "mine" {
				t.Error("the consumer's panic did not pass through")
			}
		}()
		for range b.model.Generate(t.Context(), request(5)) {
			panic("mine")
		}
	}()
	if row := b.only(t); row.Outcome != ledger.OutcomeCanceled {
		t.Errorf("row = %+v", row)
	}
}

func TestLedgerUnavailable(t *testing.T) {
	b := metered(t, notation, speaks(usageOf(1, 1), "a"), nil)
	b.holdErr = fmt.Errorf("disk full: %w", ledger.ErrUnavailable)
	_, _, e := drive(t.Context(), b.model, request(5), 0)
	if e == nil || e.Status != 503 || e.Code != model.CodeLedgerUnavailable || b.called != 0 || strings.Contains(e.Message, "disk full") {
		t.Errorf("at the hold: %v, called %d", e, b.called)
	}

	b = metered(t, notation, speaks(usageOf(1, 1), "a"), nil)
	b.settleErr = ledger.ErrUnavailable
	_, ended, e := drive(t.Context(), b.model, request(5), 0)
	if e == nil || e.Status != 503 || e.Code != model.CodeLedgerUnavailable || ended || len(b.rows) != 0 {
		t.Errorf("at the settlement: ended %t, %v", ended, e)
	}
	// The row is not lost: it is written with the next call that settles.
	b.settleErr = nil
	r := request(5)
	r.Call.ID = "0190a5b6-c7d8-7abc-8def-0123456789ac"
	if _, ended, e = drive(t.Context(), b.model, r, 0); e != nil || !ended || len(b.rows) != 2 || len(b.holds) != 0 {
		t.Errorf("afterwards: %v, %d rows, %d holds", e, len(b.rows), len(b.holds))
	}
	if late := b.rows[1]; late.Outcome != ledger.OutcomeError || late.ErrorCode != model.CodeLedgerUnavailable || late.Cost == 0 {
		t.Errorf("late row = %+v", late)
	}
}

func TestHardBudgets(t *testing.T) {
	limitOf := func(r *model.Request) int {
		if s := r.Sampling(); s.MaxTokens != nil {
			return *s.MaxTokens
		}
		return 0
	}
	asked := -1
	obeys := func(ctx context.Context, r *model.Request, yield func(model.Event, error) bool) {
		asked = limitOf(r)
		n := min(max(asked, 1), 50)
		speaks(usageOf(10, int64(n)), strings.Fields(strings.Repeat("w ", n))...)(ctx, r, yield)
	}
	usd := func(s string) money.Pico { p, _ := money.ParsePico(s); return p }

	// No limit given: the budget sets one, and says so.
	b := metered(t, notation, obeys, nil)
	b.limit = usd("0.0005") // 50 output tokens
	ctx, notes := WithNotes(t.Context())
	req := request(0)
	_, ended, e := drive(ctx, b.model, req, 0)
	if e != nil || !ended || asked < 30 || asked > 49 || notes.MaxTokens != asked || req.Chat.MaxTokens != nil {
		t.Errorf("asked for %d, notes %+v, %v", asked, notes, e)
	}
	if row := b.only(t); row.Cost > b.limit || row.Overrun || len(row.Decisions) != 1 || row.Decisions[0].What != "max_tokens_capped" {
		t.Errorf("row = %+v", row)
	}

	// A limit that does not fit is refused and the model not asked.
	b = metered(t, notation, obeys, nil)
	b.limit = usd("0.0005")
	_, _, e = drive(t.Context(), b.model, request(1000), 0)
	row := b.only(t)
	if e == nil || e.Status != 402 || e.Code != model.CodeBudgetExceeded || b.called != 0 || row.Outcome != ledger.OutcomeRefused || row.Usage != nil || !row.CostKnown {
		t.Errorf("%v, called %d, row %+v", e, b.called, row)
	}

	// A used-up budget is refused.
	b = metered(t, notation, obeys, nil)
	b.limit, b.spent = usd("0.0005"), usd("0.0005")
	if _, _, e = drive(t.Context(), b.model, request(0), 0); e == nil || e.Status != 402 || b.called != 0 {
		t.Errorf("used up: %v", e)
	}

	// n choices multiply.
	b = metered(t, notation, obeys, nil)
	b.limit = usd("0.0005")
	r := request(20)
	r.Chat.N = 3
	if _, _, e = drive(t.Context(), b.model, r, 0); e == nil || e.Status != 402 {
		t.Errorf("3 × 20 tokens fit into 50: %v", e)
	}

	// A prompt whose bytes do not fit, but whose tokens do.
	b = metered(t, notation, obeys, nil)
	b.limit = usd("0.0005")
	r = request(10)
	r.Chat.Messages = []model.Message{model.UserMessage(strings.Repeat("x", 1000))}
	if _, _, e = drive(t.Context(), b.model, r, 0); e != nil {
		t.Errorf("the tokens fit: %v", e)
	}

	// No price: a hard budget cannot be kept, and the message says what to do.
	b = metered(t, "", obeys, nil)
	b.limit = usd("1")
	_, _, e = drive(t.Context(), b.model, request(5), 0)
	if e == nil || e.Status != 402 || !strings.Contains(e.Message, "has no price") || !strings.Contains(e.Message, "prices:") || b.called != 0 {
		t.Errorf("no price: %v", e)
	}
}

func TestManyCallsNeverExceedAHardBudget(t *testing.T) {
	b := metered(t, notation, nil, nil)
	limit, _ := money.ParsePico("0.01")
	b.limit = limit
	book := price.NewBook("test", []*price.Card{card(t, notation)})
	m := New(model.Func(func(ctx context.Context, r *model.Request) iter.Seq2[model.Event, error] {
		n := *r.Sampling().MaxTokens
		return func(yield func(model.Event, error) bool) { speaks(usageOf(9, int64(n)), "w")(ctx, r, yield) }
	}), Options{Ledger: b.books, Book: func() *price.Book { return book }, Provider: "lab", ServedModel: "m", MaxOutput: 100})
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, refused := 0, 0
	for i := range 64 {
		wg.Go(func() {
			r := request(0)
			r.Call.ID = ""
			if i%2 == 0 {
				r = request(30)
				r.Call.ID = ""
			}
			_, ended, e := drive(t.Context(), m, r, 0)
			mu.Lock()
			defer mu.Unlock()
			if ended {
				done++
			} else if e != nil && e.Status == 402 {
				refused++
			}
		})
	}
	wg.Wait()
	if done+refused != 64 || done == 0 || refused == 0 || b.spent > limit || b.held != 0 || len(b.rows) != 64 {
		t.Errorf("%d done, %d refused, %s spent of %s, %s held, %d rows", done, refused, b.spent, limit, b.held, len(b.rows))
	}
}

func TestUnknownCostIsNotZero(t *testing.T) {
	b := metered(t, "", speaks(usageOf(3, 2), "a"), nil)
	var receipt *model.Receipt
	for ev, err := range b.model.Generate(t.Context(), request(5)) {
		if err != nil {
			t.Fatal(err)
		}
		receipt = ev.Receipt
	}
	if row := b.only(t); row.CostKnown || row.ChargeKnown || row.Usage == nil || receipt.CostUSD != "" {
		t.Errorf("row = %+v, receipt %+v", row, receipt)
	}
	b = metered(t, `{"per_million":{"input":"1"}}`, speaks(usageOf(3, 2), "a"), nil)
	drive(t.Context(), b.model, request(5), 0)
	if row := b.only(t); row.CostKnown || len(row.Unpriced) != 1 || row.Unpriced[0] != "output" {
		t.Errorf("row = %+v", row)
	}
}

func TestABookBehindTheModelDoesNotMakeUsageAbsurd(t *testing.T) {
	for said, want := range map[int64]int64{70: 70, 1e6: 1} { // the model's maximum is 50
		b := metered(t, notation, speaks(usageOf(3, said), strings.Repeat("x", 100)), func(o *Options) { o.MaxOutput = 50 })
		drive(t.Context(), b.model, request(0), 0)
		if row := b.only(t); row.Usage.Completion() != want || row.Estimated() != (said != want) {
			t.Errorf("%d became %+v", said, row.Usage)
		}
	}
}

func TestContentIsKeptOnlyWhenAskedAndRedacted(t *testing.T) {
	b := metered(t, notation, speaks(usageOf(3, 2), "the", "key", "is", "sk-abcdefghijklmnop"), nil)
	r := request(5)
	r.Attribution.LogContent = true
	r.Chat.Messages = []model.Message{model.UserMessage("my password: hunter2hunter2 and AKIAABCDEFGHIJKLMNOP")}
	drive(t.Context(), b.model, r, 0)
	c := b.only(t).Content
	if c == nil || !strings.Contains(string(c.Reply), "the key is [redacted]") || !strings.Contains(string(c.Request), "[redacted]") {
		t.Fatalf("content = %+v", c)
	}
	for _, forbidden := range []string{"sk-abc", "hunter2", "AKIA"} {
		if strings.Contains(string(c.Request)+string(c.Reply), forbidden) {
			t.Errorf("%s is kept: %s %s", forbidden, c.Request, c.Reply)
		}
	}
}

func TestEmbeddingsAndCharges(t *testing.T) {
	b := metered(t, notation, func(_ context.Context, _ *model.Request, yield func(model.Event, error) bool) {
		yield(model.Event{Kind: model.KindEnd, Embeddings: [][]float32{{1}}, Usage: usageOf(4, 0)}, nil)
	}, func(o *Options) {
		o.Charge = func(_ *ledger.Call, cost *price.Rating) (string, price.Rating, error) {
			line, err := money.NewLine("markup", money.Int(1), money.MustDecimal("0.5"))
			return "flat", price.Rating{Lines: []money.Line{line}, Known: true}, err
		}
	})
	r := &model.Request{Op: model.OpEmbed, Model: "e", Call: request(0).Call, Embedding: &model.Embedding{Inputs: []string{"a"}}}
	drive(t.Context(), b.model, r, 0)
	row := b.only(t)
	if row.Cost.String() != "0.000004" || row.Charge.String() != "0.5" || row.Tariff != "flat" || row.Usage.Completion() != 0 || row.Estimated() {
		t.Errorf("row = %+v", row)
	}
}

func TestClockThatJumpsBack(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	b := metered(t, notation, speaks(usageOf(1, 2), "a", "b"), func(o *Options) {
		o.Now = func() time.Time { at = at.Add(-time.Hour); return at }
	})
	drive(t.Context(), b.model, request(5), 0)
	if row := b.only(t); row.Duration < 0 || row.TTFT < 0 || row.TPOT < 0 || row.Cost == 0 {
		t.Errorf("row = %+v", row)
	}
}

// BenchmarkMeter is what metering adds to a call of 200 chunks.
func BenchmarkMeter(b *testing.B) {
	words := make([]string, 200)
	for i := range words {
		words[i] = "word"
	}
	inner := speaks(usageOf(20, 200), words...)
	m := metered(b, notation, inner, nil)
	req := request(500)
	req.Call.ID = ""
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range m.model.Generate(b.Context(), req) {
			if err != nil {
				b.Fatal(err)
			}
		}
		m.rows = m.rows[:0]
	}
}
