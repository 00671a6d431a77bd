package formula

import "math"

// opcode is an operation over columns.
type opcode uint8

const (
	opNone opcode = iota
	opAdd
	opSub
	opMul
	opDiv
	opPow
	opNeg
	opNot
	opLess
	opLessEqual
	opEqual
	opNotEqual
	opAnd
	opOr
	opMin
	opMax
	opClamp
	opAbs
	opIf
	opSqrt
	opExp
	opLn
	opLog10
	opFloor
	opCeil
	opRound
	opFunc
	// Over months.
	opMonth
	opSum
	opMean
	opFirst
	opLast
	opLeast
	opGreatest
	opRunning
	opLag
	opCarry
	opWhen
)

func (r *Runner) run(code []instruction, n int) {
	months := r.p.graph.months
	for i := range code {
		in := &code[i]
		switch {
		case in.op >= opMonth:
			r.overMonths(in, n)
		case in.dst >= 0:
			r.step(in, 0, n)
		default:
			for t := range months {
				r.step(in, t, n)
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// step runs one instruction for n draws of month t.
func (r *Runner) step(in *instruction, t, n int) {
	dst := r.column(in.dst, t)[:n]
	if in.op == opFunc {
		r.args = r.args[:0]
		for range in.more {
			r.args = append(r.args, 0)
		}
		for i := range dst {
			for j, s := range in.more {
				r.args[j] = r.column(s, t)[i]
			}
			dst[i] = in.call(r.args)
		}
		return
	}
	a := r.column(in.a, t)[:len(dst)]
	b := r.column(in.b, t)[:len(dst)]
	switch in.op {
	case opAdd:
		for i := range dst {
			dst[i] = a[i] + b[i]
		}
	case opSub:
		for i := range dst {
			dst[i] = a[i] - b[i]
		}
	case opMul:
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	case opDiv:
		for i := range dst {
			dst[i] = a[i] / b[i]
		}
	case opPow:
		for i := range dst {
			dst[i] = math.Pow(a[i], b[i])
		}
	case opNeg:
		for i := range dst {
			dst[i] = -a[i]
		}
	case opNot:
		for i := range dst {
			dst[i] = 1 - a[i]
		}
	case opLess:
		for i := range dst {
			dst[i] = truth(a[i] < b[i])
		}
	case opLessEqual:
		for i := range dst {
			dst[i] = truth(a[i] <= b[i])
		}
	case opEqual:
		for i := range dst {
			dst[i] = truth(a[i] == b[i])
		}
	case opNotEqual:
		for i := range dst {
			dst[i] = truth(a[i] != b[i])
		}
	case opAnd:
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	case opOr:
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	case opMin:
		for i := range dst {
			dst[i] = min(a[i], b[i])
		}
	case opMax:
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	case opClamp:
		c := r.column(in.c, t)[:len(dst)]
		for i := range dst {
			dst[i] = min(max(a[i], b[i]), c[i])
		}
	case opIf:
		c := r.column(in.c, t)[:len(dst)]
		for i := range dst {
			if a[i] != 0 {
				dst[i] = b[i]
			} else {
				dst[i] = c[i]
			}
		}
	case opAbs:
		each(dst, a, math.Abs)
	case opSqrt:
		each(dst, a, math.Sqrt)
	case opExp:
		each(dst, a, math.Exp)
	case opLn:
		each(dst, a, math.Log)
	case opLog10:
		each(dst, a, math.Log10)
	case opFloor:
		each(dst, a, math.Floor)
	case opCeil:
		each(dst, a, math.Ceil)
	case opRound:
		each(dst, a, math.Round)
	default:
		panic("formula: an instruction without a kernel")
	}
}

func each(dst, a []float64, f func(float64) float64) {
	for i := range dst {
		dst[i] = f(a[i])
	}
}

// overMonths runs an instruction that reads or writes several months.
func (r *Runner) overMonths(in *instruction, n int) {
	months := r.p.graph.months
	switch in.op {
	case opMonth:
		for t := range months {
			col := r.column(in.dst, t)[:n]
			for i := range col {
				col[i] = float64(t + 1)
			}
		}
	case opSum, opMean:
		dst := r.column(in.dst, 0)[:n]
		clear(dst)
		for t := range months {
			for i, x := range r.column(in.a, t)[:n] {
				dst[i] += x
			}
		}
		if in.op == opMean {
			for i := range dst {
				dst[i] /= float64(months)
			}
		}
	case opFirst:
		copy(r.column(in.dst, 0)[:n], r.column(in.a, 0))
	case opLast:
		copy(r.column(in.dst, 0)[:n], r.column(in.a, months-1))
	case opLeast, opGreatest:
		dst := r.column(in.dst, 0)[:n]
		copy(dst, r.column(in.a, 0))
		for t := 1; t < months; t++ {
			for i, x := range r.column(in.a, t)[:n] {
				if in.op == opLeast {
					dst[i] = min(dst[i], x)
				} else {
					dst[i] = max(dst[i], x)
				}
			}
		}
	case opRunning:
		before := make([]float64, n)
		for t := range months {
			dst, a := r.column(in.dst, t)[:n], r.column(in.a, t)
			for i := range dst {
				dst[i] = before[i] + a[i]
			}
			before = dst
		}
	case opLag:
		copy(r.column(in.dst, 0)[:n], r.column(in.b, 0))
		for t := 1; t < months; t++ {
			copy(r.column(in.dst, t)[:n], r.column(in.a, t-1))
		}
	case opCarry:
		before := r.column(in.a, 0)
		for t := range months {
			dst, keep, add := r.column(in.dst, t)[:n], r.column(in.b, t), r.column(in.c, t)
			for i := range dst {
				dst[i] = before[i]*keep[i] + add[i]
			}
			before = dst
		}
	case opWhen:
		dst := r.column(in.dst, 0)[:n]
		copy(dst, r.column(in.b, 0))
		for t := months - 1; t >= 0; t-- {
			for i, x := range r.column(in.a, t)[:n] {
				if x != 0 {
					dst[i] = float64(t + 1)
				}
			}
		}
	}
}
