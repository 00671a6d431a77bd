package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// PriceList is the answer of GET /api/v1/prices.
type PriceList struct {
	Prices    []Price  `json:"prices"`
	Total     int      `json:"total"`
	Date      string   `json:"date"`
	Credit    string   `json:"credit"`
	Providers []string `json:"providers"`
}

// PriceDetail is the answer of GET /api/v1/prices/{provider}/{model...}.
type PriceDetail struct {
	Price   Price   `json:"price"`
	History []Price `json:"history"`
}

// listAll asks the book for up to n cards in force now.
func listAll(n int) price.ListQuery { return price.ListQuery{Limit: n} }

// getPrices searches the price book at a date.
func (s *service) getPrices(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	q, err := s.parseQuery(r, "q", "provider", "mode", "at", "limit", "offset")
	if err != nil {
		return err
	}
	at, err := parseTime("at", q.get("at"), q.now, q.zone, false)
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = q.now
	}
	limit, err := q.count("limit", 100, maxPage)
	if err != nil {
		return err
	}
	offset, err := q.count("offset", 0, 1_000_000)
	if err != nil {
		return err
	}
	book := s.Book()
	cards, total := book.List(price.ListQuery{Provider: q.get("provider"), Text: q.get("q"), Mode: q.get("mode"), At: at, Offset: offset, Limit: max(limit, 1)})
	if limit == 0 {
		cards = nil
	}
	list := PriceList{Prices: make([]Price, 0, len(cards)), Total: total, Date: dateOrEmpty(book.Date), Credit: book.Credit, Providers: []string{}}
	for _, c := range cards {
		list.Prices = append(list.Prices, PriceOf(c))
	}
	all, _ := book.List(price.ListQuery{At: at, Limit: -1})
	for _, c := range all {
		list.Providers = append(list.Providers, c.Provider)
	}
	slices.Sort(list.Providers)
	list.Providers = slices.Compact(list.Providers)
	writeJSON(w, http.StatusOK, list)
	return nil
}

// getPrice shows a model's card in force, and its earlier and later ones.
func (s *service) getPrice(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	q, err := s.parseQuery(r, "at")
	if err != nil {
		return err
	}
	at, err := parseTime("at", q.get("at"), q.now, q.zone, false)
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = q.now
	}
	provider, name := r.PathValue("provider"), r.PathValue("model")
	book := s.Book()
	c, ok := book.Find(provider, name, at)
	if !ok {
		return notFound("the price book has no price of %s/%s on %s; give one in the configuration under prices", clip(provider), clip(name), at.Format(time.DateOnly))
	}
	d := PriceDetail{Price: PriceOf(c), History: []Price{}}
	for _, h := range book.History(c.Provider, c.Model) {
		d.History = append(d.History, PriceOf(h))
	}
	writeJSON(w, http.StatusOK, d)
	return nil
}

// PriceOf turns a card into the wire's form.
func PriceOf(c *price.Card) Price {
	p := Price{
		Provider: c.Provider, Model: c.Model, Mode: c.Facts.Mode, PerMillion: map[string]money.Decimal{}, PerUnit: map[string]money.Decimal{},
		Card: c, Effective: dateOrEmpty(c.From), Until: dateOrEmpty(c.Until), Source: c.Source, Origin: originOf(c),
		MaxInput: c.Facts.MaxInput, MaxOutput: c.Facts.MaxOutput,
	}
	for b := range model.NumBuckets {
		usd, ok := c.Base.Get(b)
		switch {
		case !ok:
		case b.IsToken():
			p.PerMillion[b.String()] = usd.Shift(6)
		default:
			p.PerUnit[b.String()] = usd
		}
	}
	return p
}

// originOf tells where a card comes from by the name that it is recorded under.
func originOf(c *price.Card) string {
	switch {
	case strings.HasPrefix(c.Version, "override/"):
		return "override"
	case strings.HasPrefix(c.Version, "local"):
		return "local"
	}
	return "catalog"
}
