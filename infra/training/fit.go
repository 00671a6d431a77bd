package training

import (
	"math"
)

// sigma is how far, in e-folds, a case of a stack lies from a good model: it
// weighs cases against each other, so that the many rows of one benchmark do not
// outvote the few of another.
var sigma = map[string]float64{"megatron-2022": 0.02, "megatron-2021": 0.03}

const otherSigma = 0.06

// fitted says whether a case takes part in the fit: those with a known layout
// that measure time. Runs that need a search over layouts, the day of a service
// and memory do not.
func fitted(k *Case) bool {
	switch k.Quantity {
	case QuantityStepTime, QuantityTokens, QuantityHardware, QuantityModel:
		return k.Stack != "blind" && k.Stack != "blind-unfused" && k.Stack != "service"
	}
	return false
}

// FitConstants fits the constants to cases by least squares on the logarithm of
// predicted over measured, with the priors as further observations
// (Levenberg-Marquardt, numeric derivatives). start may be nil.
func FitConstants(cases []Case, start []float64) (Constants, []float64) {
	list := parameters()
	n := len(list)
	x := make([]float64, n)
	copy(x, start)
	var used []*Case
	perStack := map[string]int{}
	for i := range cases {
		if fitted(&cases[i]) {
			used = append(used, &cases[i])
			perStack[cases[i].Stack]++
		}
	}
	// What a search chose at the start stays for the fit, so that the residuals
	// are smooth.
	c := constantsAt(list, x)
	fixed := make([]Case, len(used))
	for i, k := range used {
		fixed[i] = *k
		if _, l, err := c.Predict(k); err == nil {
			fixed[i].Layout = l
		}
	}
	residuals := func(x []float64) []float64 {
		c := constantsAt(list, x)
		r := make([]float64, 0, len(fixed)+n)
		for i := range fixed {
			k := &fixed[i]
			p, _, err := c.Predict(k)
			if err != nil {
				r = append(r, 0)
				continue
			}
			s := otherSigma
			if v, ok := sigma[k.Stack]; ok {
				s = v
			}
			// At most as much weight as thirty cases for one stack.
			w := math.Sqrt(math.Min(1, 30/float64(perStack[k.Stack]))) / s
			e := math.Log(p/k.Measured) * w
			// Beyond three deviations a case pulls no harder (Huber).
			if a := math.Abs(e); a > 3*w*s {
				e = math.Copysign(math.Sqrt(6*w*s*a-9*w*s*w*s), e)
			}
			r = append(r, e)
		}
		for i, p := range list {
			r = append(r, x[i]/p.sd)
		}
		return r
	}
	sum := func(r []float64) (s float64) {
		for _, v := range r {
			s += v * v
		}
		return s
	}
	r := residuals(x)
	cost := sum(r)
	lambda := 1e-2
	for range 30 {
		jac := make([][]float64, n)
		for j := range x {
			const step = 1e-4
			y := append([]float64(nil), x...)
			y[j] += step
			rj := residuals(y)
			for i := range rj {
				rj[i] = (rj[i] - r[i]) / step
			}
			jac[j] = rj
		}
		a := make([][]float64, n)
		for j := range a {
			a[j] = make([]float64, n+1)
			for k := range n {
				for i := range r {
					a[j][k] += jac[j][i] * jac[k][i]
				}
			}
			for i := range r {
				a[j][n] -= jac[j][i] * r[i]
			}
		}
		improved := false
		for range 8 {
			b := make([][]float64, n)
			for j := range a {
				b[j] = append([]float64(nil), a[j]...)
				b[j][j] *= 1 + lambda
			}
			delta := solve(b)
			y := make([]float64, n)
			for j := range x {
				y[j] = x[j] + math.Max(-0.5, math.Min(0.5, delta[j]))
			}
			ry := residuals(y)
			if cy := sum(ry); cy < cost {
				improved = cost-cy > 1e-6*cost
				x, r, cost = y, ry, cy
				lambda = math.Max(lambda/4, 1e-7)
				break
			}
			lambda *= 4
		}
		if !improved {
			break
		}
	}
	return constantsAt(list, x), x
}

// solve is Gaussian elimination with pivots on an augmented matrix.
func solve(a [][]float64) []float64 {
	n := len(a)
	for c := range n {
		p := c
		for i := c + 1; i < n; i++ {
			if math.Abs(a[i][c]) > math.Abs(a[p][c]) {
				p = i
			}
		}
		a[c], a[p] = a[p], a[c]
		if a[c][c] == 0 {
			continue
		}
		for i := c + 1; i < n; i++ {
			f := a[i][c] / a[c][c]
			for j := c; j <= n; j++ {
				a[i][j] -= f * a[c][j]
			}
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		v := a[i][n]
		for j := i + 1; j < n; j++ {
			v -= a[i][j] * x[j]
		}
		if a[i][i] != 0 {
			x[i] = v / a[i][i]
		}
	}
	return x
}
