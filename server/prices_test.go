package server

import (
	"strings"
	"testing"

	"github.com/stratahq/strata/config"
	"github.com/stratahq/strata/model"
)

func TestLocalPrice(t *testing.T) {
	for name, c := range map[string]struct {
		price          config.LocalPrice
		measured       float64
		known          bool
		source, output string // USD per token
	}{
		"assumed":       {config.LocalPrice{}, 100, true, "assumed: 0.0416 USD per hour at 100 tokens/s", "0.000000115555556"},
		"not measured":  {config.LocalPrice{}, 0, false, "", ""},
		"configured":    {config.LocalPrice{PerHour: "0.36 USD/h"}, 100, true, "0.36 USD per hour at 100 tokens/s", "0.000001"},
		"given measure": {config.LocalPrice{PerHour: "0.36 USD/h", TokensPerSecond: 50}, 100, true, "0.36 USD per hour at 50 tokens/s", "0.000002"},
		"free":          {config.LocalPrice{Free: true}, 0, true, "free, as configured", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			card, known, err := localPrice(&settings{file: &config.File{Local: config.Local{Price: c.price}}}, c.measured)
			if err != nil || known != c.known {
				t.Fatalf("known %v, %v; want %v", known, err, c.known)
			}
			if !known {
				return
			}
			if !strings.HasPrefix(card.Source, c.source) {
				t.Errorf("source %q, want it to begin with %q", card.Source, c.source)
			}
			if got, ok := card.Base.Get(model.Output); !ok || got.String() != c.output {
				t.Errorf("an output token costs %s, want %s", got, c.output)
			}
		})
	}
	for _, bad := range []string{"0.08", "0.08 EUR/h", "x USD/h", "-1 USD/h"} {
		if _, _, err := localPrice(&settings{file: &config.File{Local: config.Local{Price: config.LocalPrice{PerHour: bad}}}}, 100); err == nil {
			t.Errorf("%q is not a price per hour, but was taken", bad)
		}
	}
}
