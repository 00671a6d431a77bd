package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// unknown is how a missing number is drawn: never as zero.
const unknown = "?"

// dollars draws an amount exactly, with at least two decimals.
func dollars(amount fmt.Stringer) string {
	s := amount.String()
	sign := ""
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	}
	whole, frac, _ := strings.Cut(s, ".")
	for len(frac) < 2 {
		frac += "0"
	}
	return sign + "$" + groupDigits(whole) + "." + frac
}

// maybeDollars draws an amount that may be unknown.
func maybeDollars(p *money.Pico) string {
	if p == nil {
		return unknown
	}
	return dollars(*p)
}

// groupDigits puts commas between groups of three digits.
func groupDigits(digits string) string {
	if len(digits) <= 3 {
		return digits
	}
	head := len(digits) % 3
	var b strings.Builder
	b.WriteString(digits[:head])
	for i := head; i < len(digits); i += 3 {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(digits[i : i+3])
	}
	return b.String()
}

// count draws a whole number with commas.
func count(n int64) string {
	if n < 0 {
		return "-" + groupDigits(strconv.FormatInt(n, 10)[1:])
	}
	return groupDigits(strconv.FormatInt(n, 10))
}

// tokens draws prompt and output tokens, marked with ~ when estimated.
func tokens(u *model.Usage, estimated bool) string {
	if u == nil {
		return unknown
	}
	mark := ""
	if estimated {
		mark = "~"
	}
	return mark + count(u.Prompt()) + " → " + count(u.Completion())
}

// millis draws a duration in milliseconds; nil is unknown.
func millis(ms *float64) string {
	if ms == nil {
		return unknown
	}
	switch {
	case *ms < 10:
		return strconv.FormatFloat(*ms, 'f', 1, 64) + " ms"
	case *ms < 10_000:
		return strconv.FormatFloat(*ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(*ms/1000, 'f', 1, 64) + " s"
}

// size draws a number of bytes in powers of 1000.
func size(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, i := float64(n)/1000, 0
	for f >= 999.95 && i < len(units)-1 {
		f /= 1000
		i++
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + string(units[i]) + "B"
}

// or is s, or other when s is empty.
func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// localTime draws a time in the business time zone.
func localTime(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// maybeTime draws a time that may be absent.
func maybeTime(t *time.Time, zone *time.Location) string {
	if t == nil {
		return "-"
	}
	return localTime(*t, zone)
}
