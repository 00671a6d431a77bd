package unit

import "strings"

// named is a unit name and whether SI prefixes may stand before it.
type named struct {
	Unit
	prefix bool
}

func dim(b base) (d Dim) {
	d[b] = 1
	return
}

// Calendar lengths. A year is 365 days, as in the rental arithmetic of the
// report and of cloud price lists (8,760 hours); a month is a twelfth of it.
const (
	minute = 60.0
	hour   = 60 * minute
	day    = 24 * hour
	week   = 7 * day
	year   = 365 * day
	month  = year / 12
)

// prefixes are the SI prefixes, and the binary ones for bytes.
var prefixes = map[string]float64{
	"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24,
	"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50,
}

// names holds every unit name. Dimensions that people count (tokens, users,
// GPUs) take singular and plural.
var names = buildNames()

func buildNames() map[string]named {
	m := map[string]named{}
	add := func(b base, scale float64, prefix bool, spellings ...string) {
		for _, s := range spellings {
			m[s] = named{Unit{Text: s, Scale: scale, Dim: dim(b)}, prefix}
		}
	}
	add(dollar, 1, true, "USD", "$")
	add(second, 1, true, "s")
	add(second, 1, false, "sec", "second", "seconds")
	add(second, minute, false, "min", "minute", "minutes")
	add(second, hour, false, "h", "hr", "hour", "hours")
	add(second, day, false, "d", "day", "days")
	add(second, week, false, "week", "weeks")
	add(second, month, false, "month", "months", "mo")
	add(second, year, false, "year", "years", "yr", "y")
	add(flop, 1, true, "FLOP", "FLOPs", "flop")
	add(byte_, 1, true, "B", "byte", "bytes")
	add(byte_, 0.125, true, "bit", "bits")
	add(token, 1, true, "tok", "token", "tokens")
	add(joule, 1, true, "J", "joule")
	add(person, 1, false, "person", "people", "user", "users", "seat", "seats", "employee", "employees")
	add(gpu, 1, false, "GPU", "GPUs", "gpu", "gpus", "accelerator", "accelerators")
	add(call, 1, false, "call", "calls", "request", "requests", "req")
	watt := Dim{}
	watt[joule], watt[second] = 1, -1
	m["W"] = named{Unit{Text: "W", Scale: 1, Dim: watt}, true}
	m["Wh"] = named{Unit{Text: "Wh", Scale: hour, Dim: dim(joule)}, true}
	flops := Dim{}
	flops[flop], flops[second] = 1, -1
	// "FLOPS" in capitals is the common name of a rate; "FLOPs" is a count.
	m["FLOPS"] = named{Unit{Text: "FLOPS", Scale: 1, Dim: flops}, true}
	m["%"] = named{Percent, false}
	m["x"] = named{Unit{Text: "x", Scale: 1}, false}
	return m
}

// nearest suggests a known name that differs only in case or a plural s.
func nearest(name string) string {
	low := strings.TrimSuffix(strings.ToLower(name), "s")
	best := ""
	for n := range names {
		if strings.TrimSuffix(strings.ToLower(n), "s") == low && (best == "" || n < best) {
			best = n
		}
	}
	if best != "" {
		return best
	}
	for p := range prefixes {
		rest, ok := strings.CutPrefix(name, p)
		if !ok {
			continue
		}
		low := strings.TrimSuffix(strings.ToLower(rest), "s")
		for n, u := range names {
			if u.prefix && strings.TrimSuffix(strings.ToLower(n), "s") == low && (best == "" || p+n < best) {
				best = p + n
			}
		}
	}
	return best
}
