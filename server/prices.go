package server

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stratahq/strata/admin"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model/local"
	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/money"
)

// prices are the price book and the tariffs in force. The book changes while the
// server runs when the local model's throughput has been measured.
type prices struct {
	current atomic.Pointer[price.Book]
	tariffs *price.Tariffs // nil charges the cost
	// overrides are the configured cards, as they are written: a card without a
	// provider is for a served name, or for an upstream's own name anywhere.
	overrides []*price.Card
}

// loadPrices lays the configured prices over the embedded catalog: the files in
// their order, then the configuration's own.
func loadPrices(set *settings) (*prices, error) {
	p := &prices{}
	book := price.Catalog()
	var layers []*price.Book
	for _, file := range set.file.PriceFiles {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(set.configFile), file)
		}
		layer, err := price.LoadOverrides(file)
		if err != nil {
			return nil, &InvalidError{err}
		}
		layers = append(layers, layer)
	}
	own, err := price.OverridesNode(set.configFile, &set.file.Prices)
	if err != nil {
		return nil, &InvalidError{err}
	}
	for _, layer := range append(layers, own) {
		cards, _ := layer.List(price.ListQuery{Limit: -1})
		for _, c := range cards {
			p.overrides = append(p.overrides, layer.History(c.Provider, c.Model)...)
		}
		book = book.With(layer)
	}
	if p.tariffs, err = price.TariffsNode(set.configFile, &set.file.Tariffs); err != nil {
		return nil, &InvalidError{err}
	}
	p.current.Store(book)
	return p, nil
}

// bind makes the configured cards without a provider hold for the models that
// they mean: a card named like a served model for that model, and one named like
// an upstream's own model for that model at every upstream. A served name wins.
func (p *prices) bind(m *models) error {
	var own, served []*price.Card
	providers := map[string]bool{localUpstream: true}
	for _, u := range m.upstreams {
		providers[u.Provider()] = true
	}
	meant := map[string]string{} // provider/model → the served name that priced it
	for _, c := range p.overrides {
		if c.Provider != "" {
			continue
		}
		if s := m.named[c.Model]; s != nil {
			key := s.provider + "/" + s.upstreamModel
			if other, ok := meant[key]; ok && other != s.name {
				return invalidf("prices: %s and %s are the same model %s of upstream %s, so they have one price; keep one of the two", other, s.name, s.upstreamModel, s.upstream)
			}
			meant[key] = s.name
			served = append(served, c.As(s.provider, s.upstreamModel))
			continue
		}
		for provider := range providers {
			own = append(own, c.As(provider, c.Model))
		}
	}
	p.current.Store(p.current.Load().With(price.NewBook("configured", own), price.NewBook("configured", served)))
	return nil
}

// book is the price book in force.
func (p *prices) book() *price.Book { return p.current.Load() }

// charge says what a customer pays for a call.
func (p *prices) charge(c *ledger.Call, cost *price.Rating) (tariff string, charge price.Rating, err error) {
	return p.tariffs.Charge(*cost, c.Usage, price.Sale{At: c.Time, Customer: c.Customer, Provider: c.Provider, Model: c.Model, Served: c.ServedModel,
		Query: price.Query{At: c.Time, Surface: string(c.Op)}})
}

// adminCharge is charge for repricing.
func (p *prices) adminCharge(c *ledger.Call, cost price.Rating) (admin.Charged, error) {
	tariff, r, err := p.charge(c, &cost)
	if err != nil {
		return admin.Charged{}, err
	}
	charged := admin.Charged{Lines: r.Lines, Known: r.Known, Tariff: tariff}
	if r.Known {
		for _, l := range r.Lines {
			if charged.Amount, err = charged.Amount.Add(l.Amount); err != nil {
				return admin.Charged{}, fmt.Errorf("charge of %s: %w", c.ID, err)
			}
		}
	}
	return charged, nil
}

// AssumedPerHour is what an hour of this machine is taken to cost until its user
// says: the on-demand price of a rented machine of 2 virtual cores and 4 GiB
// (AWS t3.medium, Linux: 0.0416 USD/h, as a cost calculator that was reviewed on
// 17 April 2026 quotes the price page; the page itself was not seen). Every price
// made from it says that it is assumed.
const AssumedPerHour = "0.0416 USD/h"

// localPrice makes the local model's price from local.price, or from
// [AssumedPerHour]. known is false while the throughput must still be measured.
func localPrice(set *settings, measured float64) (card *price.Card, known bool, err error) {
	c := set.file.Local.Price
	if c.Free {
		return price.LocalFree(), true, nil
	}
	number, unit, _ := strings.Cut(strings.TrimSpace(first(c.PerHour, AssumedPerHour)), " ")
	perHour, err := money.ParseDecimal(number)
	if err != nil || strings.TrimSpace(unit) != "USD/h" || perHour.Sign() < 0 {
		return nil, false, invalidf("%s: local.price.per_hour: %q is not a price per hour; write it as 0.08 USD/h, or free", first(set.configFile, "local price"), c.PerHour)
	}
	throughput := c.TokensPerSecond
	if throughput == 0 {
		throughput = measured
	}
	if throughput <= 0 {
		return nil, false, nil
	}
	// A measurement in whole hundredths: more digits are noise.
	perSecond, err := money.ParseDecimal(strconv.FormatFloat(throughput, 'f', 2, 64))
	if err != nil {
		return nil, false, invalidf("local.price.tokens_per_second: %w", err)
	}
	card, err = price.Local(perHour, perSecond)
	if err != nil {
		return nil, false, &InvalidError{fmt.Errorf("%s: local.price: %w", set.configFile, err)}
	}
	if c.PerHour == "" {
		card.Source = "assumed: " + card.Source + ", the price of a rented 2-core machine; local.price sets your own"
	}
	return card, true, nil
}

// priceLocal gives the local model its price, once its throughput is known. A
// price stays for as long as the server runs, so that it does not change with
// every request.
func (s *stack) priceLocal(ctx context.Context, status func() local.Status) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		card, known, err := localPrice(s.settings, status().TokensPerSecond)
		switch {
		case err != nil:
			s.log.Error("the local model has no price", "error", err)
			return
		case known:
			s.prices.current.Store(s.prices.book().With(price.NewBook("local", []*price.Card{card})))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
