package price

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// ErrOverrides is matched by errors in a file of prices.
var ErrOverrides = errors.New("invalid prices")

// LoadOverrides reads a YAML file of prices:
//
//	lab-large: {input: 0.20 USD/Mtok, output: 0.80 USD/Mtok}
//	openai/gpt-4o:
//	  - from: 2026-01-01
//	    input: 2.50 USD/Mtok
//	    output: 10 USD/Mtok
//	    web_search: 0.01 USD
//	    tiers: [{above_prompt_tokens: 200000, per_million: {input: "5.00", output: "15.00"}}]
//
// A key is a served or upstream model, or "provider/model"; a list holds dated
// prices. Bucket names with a unit are the short notation; all keys of the card
// notation of [ParseCard] can stand beside them. Where the short notation is used
// and no fallback is given, that of [PlainFallback] holds, as in the catalog:
// reasoning costs what output costs, and cached tokens what input costs;
// "fallback: {}" turns it off. The file is read strictly: errors carry file:line.
func LoadOverrides(file string) (*Book, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	return ParseOverrides(file, data)
}

// ParseOverrides is LoadOverrides for data that is at hand. The file may hold
// the models at its top or under the key "prices".
func ParseOverrides(file string, data []byte) (*Book, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrOverrides, file, err)
	}
	if len(doc.Content) == 0 {
		return NewBook(file, nil), nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.MappingNode && len(root.Content) == 2 && root.Content[0].Value == "prices" {
		root = root.Content[1]
	}
	return OverridesNode(file, root)
}

// OverridesNode is ParseOverrides for a mapping inside a larger YAML file, such
// as the "prices" of the configuration.
func OverridesNode(file string, n *yaml.Node) (*Book, error) {
	p := overrides{file: file}
	if n == nil || n.Kind == 0 || n.Tag == "!!null" {
		return NewBook(file, nil), nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, p.errorf(n, "must map models to prices")
	}
	var cards []*Card
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		if k.Kind != yaml.ScalarNode || k.Value == "" {
			return nil, p.errorf(k, "a model's name must be a text")
		}
		if seen[k.Value] {
			return nil, p.errorf(k, "the model %q stands twice; give dated prices as one list", k.Value)
		}
		seen[k.Value] = true
		items := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			items = v.Content
		}
		dates := map[time.Time]bool{}
		for _, item := range items {
			c, err := p.card(k.Value, resolve(item))
			if err != nil {
				return nil, err
			}
			if dates[c.From] {
				return nil, p.errorf(item, "%s: two prices from the same date", k.Value)
			}
			dates[c.From] = true
			cards = append(cards, c)
		}
	}
	b := NewBook(file, cards)
	b.own = true
	return b, nil
}

type overrides struct{ file string }

func (p overrides) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrOverrides, p.file, n.Line, fmt.Sprintf(format, args...))
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// card reads one model's price.
func (p overrides) card(name string, n *yaml.Node) (*Card, error) {
	if n.Kind != yaml.MappingNode {
		return nil, p.errorf(n, "%s: must be a price such as {input: 0.20 USD/Mtok, output: 0.80 USD/Mtok}", name)
	}
	full := map[string]json.RawMessage{}
	var short Rates
	c := &Card{}
	var lines = map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		if lines[k.Value] != nil {
			return nil, p.errorf(k, "%s: the key %q stands twice", name, k.Value)
		}
		lines[k.Value] = k
		if b, ok := model.ParseBucket(k.Value); ok {
			d, err := rate(b, v)
			if err != nil {
				return nil, p.errorf(v, "%s: %s: %v", name, k.Value, err)
			}
			short.Set(b, d)
			continue
		}
		switch k.Value {
		case "from":
			t, err := time.Parse(time.DateOnly, v.Value)
			if err != nil {
				return nil, p.errorf(v, "%s: from: %q is no date; write 2026-01-31", name, v.Value)
			}
			c.From = t
		case "source":
			c.Source = v.Value
		case "max_input_tokens", "max_output_tokens":
			m, err := strconv.ParseInt(v.Value, 10, 64)
			if err != nil || m <= 0 {
				return nil, p.errorf(v, "%s: %s: %q is no number of tokens", name, k.Value, v.Value)
			}
			if k.Value == "max_input_tokens" {
				c.Facts.MaxInput = m
			} else {
				c.Facts.MaxOutput = m
			}
		case "mode":
			c.Facts.Mode = v.Value
		default:
			raw, err := toJSON(v, 0)
			if err != nil {
				return nil, p.errorf(v, "%s: %s: %v", name, k.Value, err)
			}
			full[k.Value] = raw
		}
	}
	data, err := json.Marshal(full)
	if err != nil {
		return nil, p.errorf(n, "%s: %v", name, err)
	}
	parsed, err := ParseCard(data)
	if err != nil {
		at := n
		for k, line := range lines {
			// The card's errors begin with the key at fault.
			if strings.HasPrefix(strings.TrimPrefix(err.Error(), ErrCard.Error()+": "), k) {
				at = line
			}
		}
		return nil, p.errorf(at, "%s: %v", name, err)
	}
	for b := range model.NumBuckets {
		d, ok := short.Get(b)
		if !ok {
			continue
		}
		if parsed.Base.Has.Has(b) {
			return nil, p.errorf(lines[b.String()], "%s: %s is priced twice", name, b)
		}
		parsed.Base.Set(b, d)
	}
	if short.Has != 0 && parsed.Fallback == nil {
		parsed.Fallback = PlainFallback(&parsed.Base)
	}
	parsed.From, parsed.Facts = c.From, c.Facts
	parsed.Source = c.Source
	if parsed.Source == "" {
		parsed.Source = p.file + ":" + strconv.Itoa(n.Line)
	}
	parsed.Provider, parsed.Model = "", name
	if i := strings.IndexByte(name, '/'); i > 0 {
		parsed.Provider, parsed.Model = name[:i], name[i+1:]
	}
	parsed.Version = "override/" + name
	if !parsed.From.IsZero() {
		parsed.Version += "@" + parsed.From.Format(time.DateOnly)
	}
	parsed.Version += "#" + parsed.Digest()
	return parsed, nil
}

// rate reads a price of the short notation: "0.20 USD/Mtok", "3 USD/ktok",
// "0.01 USD", "0.006 USD/min" (audio). The unit must fit the bucket: a price
// without one would be a guess between a token and a million.
func rate(b model.Bucket, n *yaml.Node) (money.Decimal, error) {
	var d money.Decimal
	if n.Kind != yaml.ScalarNode {
		return d, errors.New("must be a price such as 0.20 USD/Mtok")
	}
	number, unit, _ := strings.Cut(strings.TrimSpace(n.Value), " ")
	d, err := money.ParseDecimal(number)
	if err != nil {
		return d, fmt.Errorf("%q is no price; write 0.20 USD/Mtok", n.Value)
	}
	if d.Sign() < 0 {
		return d, fmt.Errorf("%q is negative", n.Value)
	}
	unit = strings.ReplaceAll(unit, " ", "")
	if d.IsZero() && unit == "" {
		return d, nil // zero needs no unit
	}
	tokens := map[string]int32{"USD/Mtok": -6, "USD/ktok": -3, "USD/tok": 0}
	units := []string{"USD", "USD/each"}
	if b.IsToken() {
		shift, ok := tokens[unit]
		if !ok {
			return d, fmt.Errorf("the unit of %q must be USD/Mtok, USD/ktok or USD/tok", n.Value)
		}
		return d.Shift(shift), nil
	}
	switch {
	case slices.Contains(units, unit):
		return d, nil
	case b == model.Character && unit == "USD/Mchar":
		return d.Shift(-6), nil
	case b == model.AudioSecond && unit == "USD/s":
		return d, nil
	case b == model.AudioSecond && (unit == "USD/min" || unit == "USD/h"):
		seconds := int64(60)
		if unit == "USD/h" {
			seconds = 3600
		}
		q, exact, err := d.Quo(money.Int(seconds))
		if err != nil {
			return d, err
		}
		if !exact {
			return d, fmt.Errorf("%q is no finite decimal per second; write it as USD/s", n.Value)
		}
		return q, nil
	case unit == "USD/k":
		return d.Shift(-3), nil
	}
	return d, fmt.Errorf("the unit of %q must be USD (each) or USD/k (per thousand)", n.Value)
}

// toJSON turns YAML into JSON with every scalar as it is written, so that 0.10
// stays 0.10.
func toJSON(n *yaml.Node, depth int) (json.RawMessage, error) {
	if depth > 16 {
		return nil, errors.New("nested too deeply")
	}
	n = resolve(n)
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return json.RawMessage("null"), nil
		}
		if n.Tag == "!!int" {
			if _, err := strconv.ParseInt(n.Value, 10, 64); err == nil && (n.Value == "0" || n.Value[0] != '0') {
				return json.RawMessage(n.Value), nil
			}
		}
		return json.Marshal(n.Value)
	case yaml.SequenceNode:
		items := make([]json.RawMessage, 0, len(n.Content))
		for _, c := range n.Content {
			j, err := toJSON(c, depth+1)
			if err != nil {
				return nil, err
			}
			items = append(items, j)
		}
		return json.Marshal(items)
	case yaml.MappingNode:
		m := map[string]json.RawMessage{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("line %d: a key must be a text", k.Line)
			}
			if _, twice := m[k.Value]; twice {
				return nil, fmt.Errorf("line %d: the key %q stands twice", k.Line, k.Value)
			}
			j, err := toJSON(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			m[k.Value] = j
		}
		return json.Marshal(m)
	}
	return nil, errors.New("not a value")
}

// MarshalOverrides writes cards as a file that LoadOverrides reads. Cards of one
// model make a list of dated prices.
func MarshalOverrides(cards []*Card) ([]byte, error) {
	groups := map[string][]*Card{}
	var names []string
	for _, c := range cards {
		name := c.Model
		if c.Provider != "" {
			name = c.Provider + "/" + c.Model
		}
		if groups[name] == nil {
			names = append(names, name)
		}
		groups[name] = append(groups[name], c)
	}
	slices.Sort(names)
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, name := range names {
		cs := groups[name]
		slices.SortFunc(cs, func(a, b *Card) int { return a.From.Compare(b.From) })
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, c := range cs {
			n, err := cardNode(c)
			if err != nil {
				return nil, err
			}
			list.Content = append(list.Content, n)
		}
		value := list
		if len(cs) == 1 {
			value = list.Content[0]
		}
		root.Content = append(root.Content, text(name), value)
	}
	return yaml.Marshal(root)
}

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// cardNode writes a card in the full notation.
func cardNode(c *Card) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(c.AppendJSON(nil), &doc); err != nil {
		return nil, err
	}
	n := doc.Content[0]
	plain(n)
	var head []*yaml.Node
	if !c.From.IsZero() {
		head = append(head, text("from"), &yaml.Node{Kind: yaml.ScalarNode, Value: c.From.Format(time.DateOnly)})
	}
	if c.Source != "" {
		head = append(head, text("source"), text(c.Source))
	}
	for _, f := range []struct {
		key string
		n   int64
	}{{"max_input_tokens", c.Facts.MaxInput}, {"max_output_tokens", c.Facts.MaxOutput}} {
		if f.n > 0 {
			head = append(head, text(f.key), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(f.n, 10)})
		}
	}
	n.Content = append(head, n.Content...)
	return n, nil
}

// plain takes the JSON look off: block style outside, keys without quotes.
func plain(n *yaml.Node) {
	n.Style = 0
	for i, c := range n.Content {
		plain(c)
		if n.Kind == yaml.MappingNode && i%2 == 1 && c.Kind == yaml.ScalarNode && c.Tag == "!!str" {
			c.Style = yaml.DoubleQuotedStyle
		}
	}
}
