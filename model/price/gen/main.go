// Command gen makes the embedded price catalog from a copy of the LiteLLM price
// map and the dated history derived from it:
//
//	go run ./model/price/gen -src ../shared/data/econ/litellm-prices
//
// It writes catalog.gz, and a report of everything that the cards cannot
// express. The same input always gives the same bytes.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stratahq/strata/model/price"
	"github.com/stratahq/strata/model/price/litellm"
)

func main() {
	log.SetFlags(0)
	src := flag.String("src", "../shared/data/econ/litellm-prices", "`folder` with model_prices_and_context_window.json and price-history.csv")
	out := flag.String("out", "model/price/catalog.gz", "`file` to write")
	report := flag.String("report", "model/price/gen/report.txt", "`file` for the report")
	flag.Parse()
	packed, text, err := build(*src)
	if err != nil {
		log.Fatal("gen: ", err)
	}
	if err := os.WriteFile(*out, packed, 0o644); err != nil {
		log.Fatal("gen: ", err)
	}
	if err := os.WriteFile(*report, text, 0o644); err != nil {
		log.Fatal("gen: ", err)
	}
	fmt.Printf("%s: %d bytes\n", *out, len(packed))
}

// build makes the catalog and the report.
func build(src string) (packed, report []byte, err error) {
	data, err := os.ReadFile(filepath.Join(src, "model_prices_and_context_window.json"))
	if err != nil {
		return nil, nil, err
	}
	var stamp struct {
		Updated string `json:"last_updated"`
	}
	if err := json.Unmarshal(data, &stamp); err != nil {
		return nil, nil, err
	}
	date, err := time.Parse(time.DateOnly, stamp.Updated[:min(10, len(stamp.Updated))])
	if err != nil {
		return nil, nil, fmt.Errorf("last_updated: %w", err)
	}
	history, err := os.Open(filepath.Join(src, "price-history.csv"))
	if err != nil {
		return nil, nil, err
	}
	defer history.Close()
	cards, rep, err := litellm.Parse(data, history, date)
	if err != nil {
		return nil, nil, err
	}
	cards = append(cards, litellm.Wildcards(date)...)
	slices.SortStableFunc(cards, func(a, b *price.Card) int {
		if c := strings.Compare(a.Provider+"/"+a.Model, b.Provider+"/"+b.Model); c != 0 {
			return c
		}
		return a.From.Compare(b.From)
	})
	var buf bytes.Buffer
	h := price.Header{Date: date.Format(time.DateOnly), Credit: "LiteLLM price map, github.com/BerriAI/litellm", License: "MIT"}
	if err := price.Pack(&buf, h, cards); err != nil {
		return nil, nil, err
	}
	return buf.Bytes(), write(h, cards, rep), nil
}

func write(h price.Header, cards []*price.Card, rep *litellm.Report) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Price catalog of %s from the %s (%s)\n", h.Date, h.Credit, h.License)
	fmt.Fprintf(&b, "%d entries in the map, %d cards with history\n\n", rep.Entries, len(cards))
	byField := map[string][]string{}
	for name, fields := range rep.Unrepresented {
		for _, f := range fields {
			byField[f] = append(byField[f], name)
		}
	}
	fmt.Fprintf(&b, "Prices that a card cannot express. The models say so, and a call that needs them has an unknown cost.\n")
	for _, f := range slices.Sorted(maps.Keys(byField)) {
		names := byField[f]
		slices.Sort(names)
		fmt.Fprintf(&b, "%4d  %s\n", len(names), f)
		for _, n := range names {
			fmt.Fprintf(&b, "        %s\n", n)
		}
	}
	section := func(title string, names []string) {
		fmt.Fprintf(&b, "\n%s: %d\n", title, len(names))
		for _, n := range names {
			fmt.Fprintf(&b, "        %s\n", n)
		}
	}
	section("Entries without any price", rep.Unpriced)
	section("Entries that name a model of another entry; the fuller one stands", rep.Collisions)
	section("Models whose dated history does not end at the map's price", rep.History)
	return b.Bytes()
}
