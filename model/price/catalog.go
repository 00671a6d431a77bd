package price

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

//go:generate go run ./gen

// catalogData is made by ./gen from the LiteLLM price map; see the header in it
// for its date and credit.
//
//go:embed catalog.gz
var catalogData []byte

// Header begins a packed catalog.
type Header struct {
	Date    string `json:"date"` // of the prices, "2026-07-24"
	Credit  string `json:"credit"`
	License string `json:"license"`
}

var catalog = sync.OnceValue(func() *Book {
	b, err := unpack(catalogData)
	if err != nil {
		// The data is part of the binary, and a test reads it.
		panic("price: the embedded catalog is damaged: " + err.Error())
	}
	return b
})

// Catalog is the embedded price book: the LiteLLM price map (BerriAI/litellm,
// MIT) of the date in Book.Date. It is unpacked on first use, and each card is
// read when it is first asked for.
func Catalog() *Book { return catalog() }

// record is one packed card. Keys are short because there are thousands.
type record struct {
	Provider string          `json:"p"`
	Model    string          `json:"m"`
	From     string          `json:"f,omitempty"`
	Before   bool            `json:"b,omitempty"` // in force on From, and possibly before
	Source   string          `json:"s,omitempty"`
	Facts    json.RawMessage `json:"x,omitempty"`
	Card     json.RawMessage `json:"c"`
}

// Pack writes cards as a catalog: gzip of a header and one line per card.
func Pack(w io.Writer, h Header, cards []*Card) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(h); err != nil {
		return err
	}
	for _, c := range cards {
		facts, err := json.Marshal(c.Facts)
		if err != nil {
			return err
		}
		r := record{Provider: c.Provider, Model: c.Model, Before: c.FromOnOrBefore, Source: c.Source, Facts: facts, Card: c.AppendJSON(nil)}
		if !c.From.IsZero() {
			r.From = c.From.Format(time.DateOnly)
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return z.Close()
}

var errCatalog = errors.New("not a packed catalog")

// unpack indexes a catalog without reading its cards.
func unpack(data []byte) (*Book, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCatalog, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCatalog, err)
	}
	head, rest, ok := bytes.Cut(text, []byte("\n"))
	var h Header
	if !ok || json.Unmarshal(head, &h) != nil {
		return nil, fmt.Errorf("%w: it has no header", errCatalog)
	}
	date, err := time.Parse(time.DateOnly, h.Date)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCatalog, err)
	}
	b := &Book{Name: "catalog-" + h.Date, Date: date, Credit: h.Credit + " (" + h.License + ")"}
	b.load = func() (entries []*entry) {
		for len(rest) > 0 {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte("\n"))
			e := &entry{packed: line, book: b.Name}
			if e.provider, e.model, e.from, ok = peek(line); ok {
				entries = append(entries, e)
			}
		}
		return entries
	}
	return b, nil
}

// peek reads the keys of a packed line without decoding it: its first members
// are always p, m and, when there is one, f.
func peek(line []byte) (provider, model string, from time.Time, ok bool) {
	take := func(prefix string) (string, bool) {
		rest, found := bytes.CutPrefix(line, []byte(prefix))
		if !found {
			return "", false
		}
		end := bytes.IndexByte(rest, '"')
		if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
			return "", false
		}
		line = rest[end+1:]
		return string(rest[:end]), true
	}
	if provider, ok = take(`{"p":"`); !ok {
		return
	}
	if model, ok = take(`,"m":"`); !ok {
		return
	}
	if f, has := take(`,"f":"`); has {
		from, _ = time.Parse(time.DateOnly, f)
	}
	return provider, model, from, true
}

// entry is a card of a book, read when it is first needed.
type entry struct {
	provider, model string
	from            time.Time
	packed          []byte
	book            string

	once sync.Once
	card *Card
}

func (e *entry) get() *Card {
	e.once.Do(func() {
		if e.card != nil {
			return
		}
		var r record
		if err := json.Unmarshal(e.packed, &r); err != nil {
			panic("price: the embedded catalog is damaged: " + err.Error())
		}
		c, err := ParseCard(r.Card)
		if err != nil {
			panic("price: the embedded catalog is damaged: " + err.Error())
		}
		if len(r.Facts) > 0 {
			if err := json.Unmarshal(r.Facts, &c.Facts); err != nil {
				panic("price: the embedded catalog is damaged: " + err.Error())
			}
		}
		c.Provider, c.Model, c.From, c.FromOnOrBefore, c.Source = r.Provider, r.Model, e.from, r.Before, r.Source
		c.Version = e.book + "/" + c.Provider + "/" + c.Model
		if !c.From.IsZero() {
			c.Version += "@" + c.From.Format(time.DateOnly)
		}
		e.card, e.packed = c, nil
	})
	return e.card
}
