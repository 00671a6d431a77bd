package formula

import (
	"maps"
	"slices"

	"github.com/stratahq/strata/unit"
)

// builtin is a function of the language.
type builtin struct {
	usage string
	least int // arguments
	most  int
	op    opcode
	rule  rule
}

// rule says how units pass through a builtin.
type rule uint8

const (
	plainRule  rule = iota // plain numbers in and out
	keepRule               // all arguments and the result have one unit
	rootRule               // even powers only
	ifRule                 // a condition, then two of one unit
	reduceRule             // a series to one number of its unit
	seriesRule             // a series of the same unit
	carryRule              // initial, keep (a plain number), add
	whenRule               // a condition, and a plain number otherwise
)

var builtins = map[string]builtin{
	"min":         {"min(a, b, ...)", 1, 99, opMin, keepRule},
	"max":         {"max(a, b, ...)", 1, 99, opMax, keepRule},
	"clamp":       {"clamp(x, low, high)", 3, 3, opClamp, keepRule},
	"abs":         {"abs(x)", 1, 1, opAbs, keepRule},
	"if":          {"if(condition, then, otherwise)", 3, 3, opIf, ifRule},
	"sqrt":        {"sqrt(x)", 1, 1, opSqrt, rootRule},
	"exp":         {"exp(x)", 1, 1, opExp, plainRule},
	"ln":          {"ln(x)", 1, 1, opLn, plainRule},
	"log10":       {"log10(x)", 1, 1, opLog10, plainRule},
	"floor":       {"floor(x)", 1, 1, opFloor, plainRule},
	"ceil":        {"ceil(x)", 1, 1, opCeil, plainRule},
	"round":       {"round(x)", 1, 1, opRound, plainRule},
	"sum":         {"sum(series)", 1, 1, opSum, reduceRule},
	"mean":        {"mean(series)", 1, 1, opMean, reduceRule},
	"first":       {"first(series)", 1, 1, opFirst, reduceRule},
	"last":        {"last(series)", 1, 1, opLast, reduceRule},
	"running":     {"running(series)", 1, 1, opRunning, seriesRule},
	"lag":         {"lag(series, initial)", 2, 2, opLag, seriesRule},
	"carry":       {"carry(initial, keep, add)", 3, 3, opCarry, carryRule},
	"first_month": {"first_month(condition, otherwise)", 2, 2, opWhen, whenRule},
}

// checkCall checks a call of a builtin.
func (c *checker) checkCall(n *node, args []typ) (typ, *syntaxError) {
	b, ok := builtins[n.text]
	if !ok {
		known := append(slices.Sorted(maps.Keys(builtins)), slices.Sorted(maps.Keys(c.g.functions))...)
		return typ{}, bad(n, "there is no function %q%s", n.text, Suggest(n.text, known))
	}
	if len(args) < b.least || len(args) > b.most {
		return typ{}, bad(n, "write %s", b.usage)
	}
	n.op = b.op
	var t typ
	for i, a := range args {
		t.series = t.series || a.series
		condition := i == 0 && (b.rule == ifRule || b.rule == whenRule)
		if a.truth != condition {
			return typ{}, bad(n.args[i], "write %s; %s", b.usage, map[bool]string{true: "a condition is missing", false: "a condition cannot stand here"}[condition])
		}
	}
	number := func(i int) *syntaxError {
		if args[i].dim != (unit.Dim{}) {
			return bad(n.args[i], "write %s with a plain number here, not %s", b.usage, args[i].dim)
		}
		return nil
	}
	common := func(of ...typ) *syntaxError {
		sum := of[0]
		for i, a := range of[1:] {
			var err *syntaxError
			if sum, err = same(n.args[len(n.args)-len(of)+1+i], "mix", sum, a); err != nil {
				return err
			}
		}
		t.dim, t.zero = sum.dim, sum.zero
		return nil
	}
	switch b.rule {
	case plainRule:
		return t, number(0)
	case keepRule:
		if len(args) == 1 && (b.op == opMin || b.op == opMax) {
			if !args[0].series {
				return t, bad(n, "%s of one number: write two, or a series", n.text)
			}
			n.op = map[opcode]opcode{opMin: opLeast, opMax: opGreatest}[b.op]
			return typ{dim: args[0].dim}, nil
		}
		return t, common(args...)
	case rootRule:
		for i, e := range args[0].dim {
			if e%2 != 0 {
				return t, bad(n, "the square root of %s is no quantity", args[0].dim)
			}
			t.dim[i] = e / 2
		}
		return t, nil
	case ifRule:
		return t, common(args[1:]...)
	case reduceRule:
		if !args[0].series {
			return t, bad(n, "%s needs a series, such as one that uses month", n.text)
		}
		return typ{dim: args[0].dim}, nil
	case seriesRule:
		t.series = true
		return t, common(args...)
	case carryRule:
		t.series = true
		if err := number(1); err != nil {
			return t, err
		}
		sum, err := same(n.args[2], "mix", args[0], args[2])
		t.dim = sum.dim
		return t, err
	default: // whenRule
		if err := number(1); err != nil {
			return t, err
		}
		return typ{}, nil
	}
}
