package price

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// ErrCard is matched by the errors of [ParseCard].
var ErrCard = errors.New("invalid price card")

// ParseCard reads the "prices" notation. It is strict: an unknown key or
// bucket, a negative price or a range that makes no sense is an error that
// names the place.
func ParseCard(data []byte) (*Card, error) { return parseCard(data, true) }

// ParseCardLenient reads the same notation but keeps the names of unknown
// top-level keys in Notes where ParseCard fails.
func ParseCardLenient(data []byte) (*Card, error) { return parseCard(data, false) }

func parseCard(data []byte, strict bool) (*Card, error) {
	p := cardParser{strict: strict}
	c := &Card{}
	if err := p.card(c, data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCard, err)
	}
	c.Version = "card#" + c.Digest()
	return c, nil
}

type cardParser struct{ strict bool }

type field struct {
	key string
	raw json.RawMessage
}

// fields lists the members of an object in sorted order, without nulls.
func fields(data []byte, at string) ([]field, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: must be an object: %w", place(at), err)
	}
	out := make([]field, 0, len(m))
	for k, v := range m {
		if !bytes.Equal(bytes.TrimSpace(v), []byte("null")) {
			out = append(out, field{k, v})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out, nil
}

func place(at string) string {
	if at == "" {
		return "prices"
	}
	return at
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func (p *cardParser) card(c *Card, data []byte) error {
	fs, err := fields(data, "")
	if err != nil {
		return err
	}
	for _, f := range fs {
		switch f.key {
		case "per_million", "per_unit":
			err = p.rates(&c.Base, f, "")
		case "cache_modes":
			c.CacheModes, err = p.variants(f.raw, f.key)
		case "service_tiers":
			c.ServiceTiers, err = p.variants(f.raw, f.key)
		case "tiers":
			c.Tiers, err = p.tiers(f.raw, f.key)
		case "windows":
			c.Windows, err = p.windows(f.raw, f.key)
		case "batch":
			var v Variant
			err = p.variant(&v, f.raw, f.key)
			c.Batch = &v
		case "batch_multiplier":
			var d money.Decimal
			d, err = amountOf(f.raw, f.key)
			c.BatchMultiplier = &d
		case "geo_multipliers":
			c.GeoMultipliers, err = amounts(f.raw, f.key)
		case "request_fee_by_search_context":
			c.RequestFeeBySize, err = amounts(f.raw, f.key)
		case "minimum_units":
			c.MinimumUnits, err = minimums(f.raw, f.key)
		case "fallback":
			c.Fallback, err = fallbacks(f.raw, f.key)
		case "provider_reported_cost":
			c.Reported, err = p.reported(f.raw, f.key)
		default:
			if p.strict {
				return fmt.Errorf("%s: unknown key; the keys are per_million, per_unit, cache_modes, service_tiers, tiers, windows, batch, batch_multiplier, geo_multipliers, minimum_units, fallback, request_fee_by_search_context, provider_reported_cost", f.key)
			}
			c.Notes = append(c.Notes, f.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *cardParser) rates(r *Rates, f field, at string) error {
	at = join(at, f.key)
	fs, err := fields(f.raw, at)
	if err != nil {
		return err
	}
	for _, g := range fs {
		b, ok := model.ParseBucket(g.key)
		if !ok {
			return fmt.Errorf("%s.%s: unknown bucket", at, g.key)
		}
		d, err := amountOf(g.raw, join(at, g.key))
		if err != nil {
			return err
		}
		if f.key == "per_million" {
			d = d.Shift(-6)
		}
		if r.Has.Has(b) {
			return fmt.Errorf("%s.%s: priced twice, per million and per unit", at, g.key)
		}
		r.Set(b, d)
	}
	return nil
}

func (p *cardParser) variants(data []byte, at string) (map[string]*Variant, error) {
	fs, err := fields(data, at)
	if err != nil {
		return nil, err
	}
	m := make(map[string]*Variant, len(fs))
	for _, f := range fs {
		v := new(Variant)
		if err := p.variant(v, f.raw, join(at, f.key)); err != nil {
			return nil, err
		}
		m[f.key] = v
	}
	return m, nil
}

func (p *cardParser) variant(v *Variant, data []byte, at string) error {
	fs, err := fields(data, at)
	if err != nil {
		return err
	}
	for _, f := range fs {
		switch f.key {
		case "per_million", "per_unit":
			err = p.rates(&v.Rates, f, at)
		case "tiers":
			v.Tiers, err = p.tiers(f.raw, join(at, f.key))
		default:
			err = p.unknown(at, f.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *cardParser) unknown(at, key string) error {
	if p.strict {
		return fmt.Errorf("%s: unknown key", join(at, key))
	}
	return nil
}

func list(data []byte, at string) ([]json.RawMessage, error) {
	var l []json.RawMessage
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("%s: must be a list: %w", at, err)
	}
	return l, nil
}

func (p *cardParser) tiers(data []byte, at string) ([]Tier, error) {
	items, err := list(data, at)
	if err != nil {
		return nil, err
	}
	tiers := make([]Tier, 0, len(items))
	for i, item := range items {
		at := at + "[" + strconv.Itoa(i) + "]"
		fs, err := fields(item, at)
		if err != nil {
			return nil, err
		}
		t := Tier{Above: -1}
		for _, f := range fs {
			switch f.key {
			case "above_prompt_tokens":
				var d money.Decimal
				d, err = amountOf(f.raw, join(at, f.key))
				n, ok := d.Int64()
				if err == nil && !ok {
					err = fmt.Errorf("%s: must be a whole number of tokens", join(at, f.key))
				}
				t.Above = n
			case "per_million", "per_unit":
				err = p.rates(&t.Rates, f, at)
			default:
				err = p.unknown(at, f.key)
			}
			if err != nil {
				return nil, err
			}
		}
		if t.Above < 0 {
			return nil, fmt.Errorf("%s: above_prompt_tokens is missing", at)
		}
		tiers = append(tiers, t)
	}
	slices.SortStableFunc(tiers, func(a, b Tier) int { return int(min(1, max(-1, a.Above-b.Above))) })
	for i := 1; i < len(tiers); i++ {
		if tiers[i].Above == tiers[i-1].Above {
			return nil, fmt.Errorf("%s: two tiers above %d", at, tiers[i].Above)
		}
	}
	return tiers, nil
}

func (p *cardParser) windows(data []byte, at string) ([]Window, error) {
	items, err := list(data, at)
	if err != nil {
		return nil, err
	}
	windows := make([]Window, 0, len(items))
	for i, item := range items {
		at := at + "[" + strconv.Itoa(i) + "]"
		fs, err := fields(item, at)
		if err != nil {
			return nil, err
		}
		var w Window
		for _, f := range fs {
			switch f.key {
			case "name":
				err = json.Unmarshal(f.raw, &w.Name)
			case "weekdays":
				err = json.Unmarshal(f.raw, &w.Weekdays)
				for _, d := range w.Weekdays {
					if d < 0 || d > 6 {
						err = fmt.Errorf("%d is no weekday; 0 is Monday, 6 is Sunday", d)
					}
				}
			case "utc":
				w.Spans, err = spans(f.raw)
			case "per_million", "per_unit":
				err = p.rates(&w.Rates, f, at)
			default:
				err = p.unknown(at, f.key)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", join(at, f.key), err)
			}
		}
		windows = append(windows, w)
	}
	return windows, nil
}

func spans(data []byte) ([]Span, error) {
	var pairs [][]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return nil, fmt.Errorf("must be a list of pairs such as [\"01:00\", \"04:00\"]: %w", err)
	}
	out := make([]Span, 0, len(pairs))
	for _, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf("a span has a start and an end, not %d times", len(p))
		}
		start, err := clock(p[0])
		if err != nil {
			return nil, err
		}
		end, err := clock(p[1])
		if err != nil {
			return nil, err
		}
		out = append(out, Span{start, end})
	}
	return out, nil
}

// clock reads "HH:MM" or "HH:MM:SS"; "24:00" is the end of the day.
func clock(s string) (time.Duration, error) {
	parts := strings.Split(s, ":")
	bad := fmt.Errorf("%q is no time of day; write HH:MM", s)
	if len(parts) < 2 || len(parts) > 3 {
		return 0, bad
	}
	var n [3]int
	for i, part := range parts {
		v, err := strconv.Atoi(part)
		if err != nil || v < 0 || len(part) > 2 || i > 0 && v > 59 {
			return 0, bad
		}
		n[i] = v
	}
	d := time.Duration(n[0])*time.Hour + time.Duration(n[1])*time.Minute + time.Duration(n[2])*time.Second
	if d > 24*time.Hour {
		return 0, bad
	}
	return d, nil
}

// amountOf reads a decimal that is not negative.
func amountOf(data []byte, at string) (money.Decimal, error) {
	var d money.Decimal
	if err := d.UnmarshalJSON(bytes.TrimSpace(data)); err != nil {
		return d, fmt.Errorf("%s: %w", at, err)
	}
	if d.Sign() < 0 {
		return d, fmt.Errorf("%s: %s is negative", at, d)
	}
	return d, nil
}

func amounts(data []byte, at string) (map[string]money.Decimal, error) {
	fs, err := fields(data, at)
	if err != nil {
		return nil, err
	}
	m := make(map[string]money.Decimal, len(fs))
	for _, f := range fs {
		if m[f.key], err = amountOf(f.raw, join(at, f.key)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func minimums(data []byte, at string) (map[model.Bucket]money.Decimal, error) {
	named, err := amounts(data, at)
	if err != nil {
		return nil, err
	}
	m := make(map[model.Bucket]money.Decimal, len(named))
	for name, d := range named {
		b, ok := model.ParseBucket(name)
		if !ok || b.IsToken() {
			return nil, fmt.Errorf("%s: not a unit", join(at, name))
		}
		m[b] = d
	}
	return m, nil
}

func fallbacks(data []byte, at string) (map[model.Bucket]model.Bucket, error) {
	var named map[string]string
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, fmt.Errorf("%s: must map buckets to buckets: %w", at, err)
	}
	m := make(map[model.Bucket]model.Bucket, len(named))
	for from, to := range named {
		f, ok := model.ParseBucket(from)
		if !ok {
			return nil, fmt.Errorf("%s: unknown bucket", join(at, from))
		}
		t, ok := model.ParseBucket(to)
		if !ok {
			return nil, fmt.Errorf("%s: unknown bucket %q", join(at, from), to)
		}
		m[f] = t
	}
	return m, nil
}

func (p *cardParser) reported(data []byte, at string) (*ReportedCost, error) {
	fs, err := fields(data, at)
	if err != nil {
		return nil, err
	}
	r := &ReportedCost{DivideBy: money.Int(1)}
	for _, f := range fs {
		switch f.key {
		case "path":
			err = json.Unmarshal(f.raw, &r.Path)
		case "divide_by":
			r.DivideBy, err = amountOf(f.raw, join(at, f.key))
			if err == nil && r.DivideBy.IsZero() {
				err = fmt.Errorf("%s: must not be zero", join(at, f.key))
			}
		default:
			err = p.unknown(at, f.key)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.Path == "" {
		return nil, fmt.Errorf("%s: path is missing", at)
	}
	return r, nil
}
