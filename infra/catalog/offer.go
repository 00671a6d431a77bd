package catalog

import (
	"cmp"
	"fmt"
	"time"
)

// Date is a day in UTC, written 2026-01-31.
type Date struct{ time.Time }

// Day makes a Date.
func Day(year int, month time.Month, day int) Date {
	return Date{time.Date(year, month, day, 0, 0, 0, 0, time.UTC)}
}

// UnmarshalText reads 2026-01-31, or 2026-01 for the first day of a month.
func (d *Date) UnmarshalText(b []byte) error {
	for _, layout := range []string{time.DateOnly, "2006-01"} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			if t.Year() < 1950 || t.Year() > 2100 {
				return fmt.Errorf("%q is not a day between 1950 and 2100", b)
			}
			d.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is not a day; write for example 2026-01-31", b)
}

// MarshalText writes 2026-01-31; a zero Date is empty.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalJSON writes the day as text; it stands over time.Time's.
func (d Date) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// String is 2026-01-31, or "" for a zero Date.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// Commitment is what a renter binds themself to.
type Commitment string

// The commitments.
const (
	OnDemand   Commitment = "on_demand" // by the hour or second, may end at any time
	OneYear    Commitment = "1y"        // one year reserved
	ThreeYears Commitment = "3y"        // three years reserved
	Spot       Commitment = "spot"      // may be taken away at short notice
)

var commitments = []Commitment{OnDemand, OneYear, ThreeYears, Spot}

// Offer is the price of renting an accelerator, as observed on a day.
type Offer struct {
	Provider    string `json:"provider"`
	Instance    string `json:"instance,omitempty"` // the provider's name of the machine
	Accelerator string `json:"accelerator"`        // a name of the catalog
	// Count is how many accelerators the machine has; 0 when not told.
	Count      int        `json:"count,omitempty"`
	Region     string     `json:"region,omitempty"`
	Commitment Commitment `json:"commitment"`
	// Price is in USD per accelerator and hour.
	Price float64 `json:"usd_per_accelerator_hour"`
	// Date is the day of the observation.
	Date       Date `json:"date"`
	Provenance `yaml:",inline"`
}

type offerKey struct {
	provider, instance, accelerator, region string
	commitment                              Commitment
	count                                   int
}

func (o Offer) key() offerKey {
	return offerKey{o.Provider, o.Instance, o.Accelerator, o.Region, o.Commitment, o.Count}
}

func compareOffers(a, b Offer) int {
	return cmp.Or(cmp.Compare(a.Accelerator, b.Accelerator), cmp.Compare(a.Provider, b.Provider),
		cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Count, b.Count), cmp.Compare(a.Region, b.Region),
		cmp.Compare(a.Commitment, b.Commitment), a.Date.Compare(b.Date.Time))
}

// offerEntry is an observation in a file: one or several commitments.
type offerEntry struct {
	Provider    string `yaml:"provider"`
	Instance    string `yaml:"instance"`
	Accelerator string `yaml:"accelerator"`
	Count       int    `yaml:"count"`
	Region      string `yaml:"region"`
	Date        Date   `yaml:"date"`
	// Prices are per accelerator and hour, InstancePrices per machine and hour
	// (then count must be given).
	Prices         map[Commitment]float64 `yaml:"prices" unit:"USD/h"`
	InstancePrices map[Commitment]float64 `yaml:"instance_prices" unit:"USD/h"`
	Provenance     `yaml:",inline"`
}

// Purchase is what one accelerator cost to buy, as observed.
type Purchase struct {
	Accelerator string `yaml:"accelerator" json:"accelerator"`
	Date        Date   `yaml:"date" json:"date"`
	// Price is USD per accelerator: its share of the system where System is set.
	// It is Total / Count when the file gives Total.
	Price float64 `yaml:"price" unit:"USD" json:"usd"`
	// Low and High bound the price where the source gives a range.
	Low  float64 `yaml:"low" unit:"USD" json:"usd_low,omitempty"`
	High float64 `yaml:"high" unit:"USD" json:"usd_high,omitempty"`
	// Total is the price of a whole system with Count accelerators.
	Total  float64 `yaml:"total" unit:"USD" json:"usd_system,omitempty"`
	Count  int     `yaml:"count" json:"count,omitempty"`
	System string  `yaml:"system" json:"system,omitempty"`
	// Kind is list, street, system or estimate.
	Kind       string `yaml:"kind" json:"kind"`
	Provenance `yaml:",inline"`
}

var purchaseKinds = []string{"list", "street", "system", "estimate"}

// Power is the price of electricity in a place, by date.
type Power struct {
	Name    string   `yaml:"-" json:"name"`
	Title   string   `yaml:"title" json:"title"`
	Aliases []string `yaml:"aliases" json:"aliases,omitempty"`
	// Sector says who pays it: industrial, commercial, all.
	Sector     string       `yaml:"sector" json:"sector"`
	Prices     []PowerPrice `yaml:"prices" json:"prices"`
	Provenance `yaml:",inline"`
}

// PowerPrice is an average over a period.
type PowerPrice struct {
	From Date `yaml:"from" json:"from"`
	To   Date `yaml:"to" json:"to"` // the last day of the period
	// Price is in USD/kWh.
	Price float64 `yaml:"price" unit:"USD/kWh" json:"usd_per_kwh"`
}

// At is the price in USD/kWh of the period that holds the day, or of the latest
// period before it; false when all periods are later. A zero time means the
// latest.
func (p *Power) At(t time.Time) (PowerPrice, bool) {
	var best PowerPrice
	found := false
	for _, x := range p.Prices {
		if !t.IsZero() && x.From.After(t) {
			continue
		}
		if !found || !x.From.Before(best.From.Time) {
			best, found = x, true
		}
	}
	return best, found
}
