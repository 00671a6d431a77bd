package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// RepriceRequest is the body of POST /api/v1/reprice. Since and Until are as in
// queries; without them all calls are rated again.
type RepriceRequest struct {
	DryRun bool   `json:"dry_run"`
	Since  string `json:"since,omitempty"`
	Until  string `json:"until,omitempty"`
	// Book is "current" (the default: the book in force now, overrides and all)
	// or "catalog" (the embedded one alone).
	Book string `json:"book,omitempty"`
	// Prices is a price file, as YAML text, to lay over that book.
	Prices string `json:"prices,omitempty"`
	// Customer and Model limit what is rated again.
	Customer string `json:"customer,omitempty"`
	Model    string `json:"model,omitempty"`
	// Reason is recorded with each correction.
	Reason string `json:"reason,omitempty"`
}

// repriceBatch is how many corrections are posted together.
const repriceBatch = 200

// postReprice rates the calls of a time range again, from the usage that was
// stored with them, and reports what would change; without dry_run it posts the
// changes as corrections. A call whose amounts stay the same is not corrected, so
// doing it twice changes nothing the second time.
//
// Left as they are: sample calls; calls that consumed nothing; and calls whose
// model the other book does not know at all, because that a book is silent on a
// model does not make a known cost unknown. They are counted as kept.
//
// Two facts that a few prices depend on are not stored with a call, the size of
// a search's context and whether a batch was used: rating again takes "low" and
// "no", as the meter does for calls that state neither.
func (s *service) postReprice(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	var body RepriceRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	q := query{values: map[string][]string{"since": {body.Since}, "until": {body.Until}}, now: s.Now(), zone: s.TimeZone}
	since, until, err := q.span()
	if err != nil {
		return err
	}
	if len(body.Reason) > 200 {
		return badParam("reason", "reason is longer than 200 bytes")
	}
	books, err := s.repriceBooks(&body)
	if err != nil {
		return err
	}
	if !s.rewriting.TryLock() {
		return model.Errorf(http.StatusConflict, CodeConflict, "history is being rewritten by another request; wait until it is done")
	}
	defer s.rewriting.Unlock()
	no := false
	f := ledger.Filter{Since: since, Until: until, Customer: body.Customer, Model: body.Model, Sample: &no}
	return long(s, w, r, func(progress func(done, total int64)) (Reprice, error) {
		out, err := s.reprice(r.Context(), f, books, &body, progress)
		if err != nil {
			return out, err
		}
		if !out.DryRun {
			err = s.Access.Audit(r.Context(), "ledger.reprice", body.Book, fmt.Sprintf("%d of %d calls corrected; cost %s before, %s after", out.Changed, out.Calls, out.CostBefore, out.CostAfter))
		}
		return out, err
	})
}

// books finds the card of a call: first among prices for a served or upstream
// name at any provider, then in the book.
type books struct {
	book    *price.Book
	unbound map[string][]*price.Card // by model name
	bound   map[string]*price.Book   // made from unbound, by provider/model
}

func (s *service) repriceBooks(body *RepriceRequest) (*books, error) {
	b := &books{unbound: map[string][]*price.Card{}, bound: map[string]*price.Book{}}
	switch body.Book {
	case "", "current":
		body.Book = "current"
		b.book = s.Book()
	case "catalog":
		b.book = price.Catalog()
	default:
		return nil, badParam("book", "book must be current or catalog, not %q; give a price file's text as prices", clip(body.Book))
	}
	if body.Prices == "" {
		return b, nil
	}
	layer, err := price.ParseOverrides("prices", []byte(body.Prices))
	if err != nil {
		return nil, badParam("prices", "%s", err)
	}
	b.book = b.book.With(layer)
	cards, _ := layer.List(price.ListQuery{Limit: -1})
	for _, c := range cards {
		if c.Provider == "" {
			b.unbound[strings.ToLower(c.Model)] = layer.History("", c.Model)
		}
	}
	return b, nil
}

func (b *books) card(c *ledger.Call) (*price.Card, bool) {
	for _, name := range []string{c.Model, c.ServedModel} {
		cards, ok := b.unbound[strings.ToLower(name)]
		if !ok || name == "" {
			continue
		}
		key := strings.ToLower(name) + "\x00" + c.Provider + "\x00" + c.ServedModel
		book := b.bound[key]
		if book == nil {
			as := make([]*price.Card, 0, len(cards))
			for _, card := range cards {
				as = append(as, card.As(c.Provider, c.ServedModel))
			}
			book = price.NewBook("prices", as)
			b.bound[key] = book
		}
		if card, ok := book.Find(c.Provider, c.ServedModel, c.Time); ok {
			return card, true
		}
	}
	if c.Provider == "" || c.ServedModel == "" {
		return nil, false // no upstream was reached
	}
	return b.book.Find(c.Provider, c.ServedModel, c.Time)
}

// reprice walks history backwards, so that calls that settle meanwhile do not
// move the pages.
func (s *service) reprice(ctx context.Context, f ledger.Filter, b *books, body *RepriceRequest, progress func(done, total int64)) (Reprice, error) {
	out := Reprice{DryRun: body.DryRun}
	total, err := s.Ledger.Totals(ctx, f)
	if err != nil {
		return out, err
	}
	lines := map[string]*RepriceLine{}
	f.Limit = repriceBatch
	for {
		page, err := s.Ledger.Calls(ctx, f)
		if err != nil {
			return out, err
		}
		var corrections []ledger.Correction
		for i := range page {
			c := &page[i]
			line := lines[c.Model]
			if line == nil {
				line = &RepriceLine{Model: c.Model}
				lines[c.Model] = line
			}
			k, kept, err := s.rateAgain(c, b)
			if err != nil {
				return out, err
			}
			out.count(line, c, k, kept)
			if k != nil && !body.DryRun {
				if k.Reason = body.Reason; k.Reason == "" {
					k.Reason = "repriced with the " + body.Book + " book"
				}
				corrections = append(corrections, *k)
			}
		}
		if len(corrections) > 0 {
			if err := s.Ledger.Correct(ctx, corrections); err != nil {
				return out, fmt.Errorf("after %d calls (what is posted stays; do it again to go on): %w", out.Calls, err)
			}
		}
		progress(out.Calls, total.Calls)
		if len(page) < f.Limit {
			break
		}
		f.BeforeSeq = page[len(page)-1].Seq
	}
	out.ByModel = []RepriceLine{}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		out.ByModel = append(out.ByModel, *lines[name])
	}
	return out, nil
}

// count adds one call to the report; k is nil when it stays as it is.
func (out *Reprice) count(line *RepriceLine, c *ledger.Call, k *ledger.Correction, kept bool) {
	out.Calls++
	line.Calls++
	if kept {
		out.Kept++
	}
	after, afterKnown := c.Cost, c.CostKnown
	if k != nil {
		out.Changed++
		line.Changed++
		after, afterKnown = k.Cost, k.CostKnown
		switch {
		case !c.CostKnown && k.CostKnown:
			out.NowKnown++
		case c.CostKnown && !k.CostKnown:
			out.NowUnknown++
		}
	}
	if c.CostKnown {
		out.CostBefore = out.CostBefore.Add(c.Cost)
		line.CostBefore = line.CostBefore.Add(c.Cost)
	} else {
		out.UnknownBefore++
		line.UnknownBefore++
	}
	if afterKnown {
		out.CostAfter = out.CostAfter.Add(after)
		line.CostAfter = line.CostAfter.Add(after)
	} else {
		out.UnknownAfter++
		line.UnknownAfter++
	}
}

// rateAgain is the correction of one call; nil when nothing changes. kept says
// that the book does not know the model.
func (s *service) rateAgain(c *ledger.Call, b *books) (k *ledger.Correction, kept bool, err error) {
	if c.Usage == nil || c.Usage.IsZero() {
		return nil, false, nil
	}
	card, ok := b.card(c)
	if !ok {
		return nil, true, nil
	}
	k, err = s.rate(c, card)
	if err != nil {
		return nil, false, fmt.Errorf("call %s: %w", c.ID, err)
	}
	if k.CostKnown == c.CostKnown && k.Cost == c.Cost && k.ChargeKnown == c.ChargeKnown && k.Charge == c.Charge {
		return nil, false, nil
	}
	return k, false, nil
}

// rate is what a call comes to under a card and the tariffs in force.
func (s *service) rate(c *ledger.Call, card *price.Card) (*ledger.Correction, error) {
	usage := *c.Usage
	card.Complete(&usage)
	cost, err := card.Rate(&usage, price.Query{At: c.Time, Surface: string(c.Op)})
	if err != nil {
		return nil, err
	}
	k := &ledger.Correction{CallID: c.ID, CostKnown: cost.Known, PriceVersion: cost.Version}
	if cost.Known {
		k.CostLines = cost.Lines
		if k.Cost, err = sumOf(cost.Lines); err != nil {
			return nil, err
		}
	}
	if s.Charge == nil {
		k.Charge, k.ChargeKnown, k.ChargeLines, k.Tariff = k.Cost, k.CostKnown, k.CostLines, price.PassThrough
		return k, nil
	}
	rated := *c
	rated.Usage = &usage
	charged, err := s.Charge(&rated, cost)
	if err != nil {
		return nil, err
	}
	k.ChargeKnown, k.Tariff = charged.Known, charged.Tariff
	if charged.Known {
		k.Charge, k.ChargeLines = charged.Amount, charged.Lines
	}
	return k, nil
}

func sumOf(lines []money.Line) (sum money.Pico, err error) {
	for i := range lines {
		if sum, err = sum.Add(lines[i].Amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}
