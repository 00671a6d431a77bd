package training

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Result is one case beside its prediction.
type Result struct {
	Name      string  `json:"name"`
	Group     string  `json:"group"`
	Quantity  string  `json:"quantity"`
	Unit      string  `json:"unit"`
	Measured  float64 `json:"measured"`
	Predicted float64 `json:"predicted"`
	// P10 and P90 bound the 80 % interval of the measurement.
	P10 float64 `json:"p10"`
	P90 float64 `json:"p90"`
	// Error is predicted over measured less one.
	Error   float64 `json:"error"`
	Covered bool    `json:"covered"`
	Model   string  `json:"model"`
	GPU     string  `json:"gpu"`
	GPUs    int     `json:"gpus,omitempty"`
	Stack   string  `json:"stack"`
	// Layout is the one that the case states, or the best that fits.
	Layout string `json:"layout,omitempty"`
}

// Skipped is a case that the model cannot predict, and why.
type Skipped struct {
	Name   string `json:"name"`
	Line   int    `json:"line,omitempty"`
	Reason string `json:"reason"`
}

// Summary is the errors of a group, as fractions.
type Summary struct {
	Cases        int     `json:"cases"`
	MeanAbsError float64 `json:"mean_abs_error"`
	MaxAbsError  float64 `json:"max_abs_error"`
	Bias         float64 `json:"bias"` // mean error with its sign
	Coverage80   float64 `json:"coverage_80"`
	// MeanWidth is the mean of (p90-p10)/predicted.
	MeanWidth float64 `json:"mean_width"`
}

// Coverage is how many measurements lie in their 80 % interval over all groups.
type Coverage struct {
	Cases   int `json:"cases"`
	Covered int `json:"covered"`
	// Share is their fraction, Low and High its exact 95 % binomial interval
	// (Clopper and Pearson, 1934).
	Share     float64 `json:"share"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	MeanWidth float64 `json:"mean_width"`
}

// Constant is a fitted constant.
type Constant struct {
	Name   string  `json:"name"`
	Prior  float64 `json:"prior"`
	Fitted float64 `json:"fitted"`
}

// Report is what validation found.
type Report struct {
	Cases     []Result           `json:"cases"`
	Summary   map[string]Summary `json:"summary"`
	Coverage  Coverage           `json:"coverage"`
	Skipped   []Skipped          `json:"skipped"`
	Constants []Constant         `json:"constants"`
	FittedOn  []string           `json:"fitted_on"`
}

// summaryKeys name the groups in the summary.
var summaryKeys = map[string]string{"step_time": "step_time", "activation_memory": "activation_memory", "peak_memory": "peak_memory", "throughput": "throughput", "gpu_hours_blind": "gpu_hours", "scaling": "scaling", "service": "service"}

// SummaryGroups is the order of the groups in a table.
var SummaryGroups = []string{"step_time", "activation_memory", "peak_memory", "throughput", "gpu_hours", "scaling", "service"}

var units = map[string]string{QuantityStepTime: "s", QuantityActivation: "GiB", QuantityPeak: "GiB", QuantityTokens: "tokens/s", QuantityHardware: "TFLOP/s", QuantityModel: "TFLOP/s", QuantityHours: "h", QuantityRatio: "1", QuantityNodes: "1", QuantityCost: "USD", QuantityRevenue: "USD"}

// validation is everything that predictions need, computed once: the constants
// from all measurements and, for each model, from all others' measurements.
type validation struct {
	cases   []Case
	all     Constants
	x       []float64
	without map[string]Constants // by shape name
	// residuals are log(measured/predicted), leave-one-model-out.
	residuals []residual
}

type residual struct {
	class, group, model string
	e                   float64
}

var validated = sync.OnceValues(func() (*validation, error) {
	cases, err := EmbeddedCases()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded measurements: %w", err)
	}
	v := &validation{cases: cases, without: map[string]Constants{}}
	v.all, v.x = FitConstants(cases, nil)
	blindLoss(&v.all, cases)
	var models []string
	for i := range cases {
		if n := cases[i].Shape.Name; !slices.Contains(models, n) {
			models = append(models, n)
		}
	}
	// One fit per model left out, side by side; each is deterministic.
	var wg sync.WaitGroup
	var mu sync.Mutex
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, m := range models {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			var rest []Case
			for _, k := range cases {
				if k.Shape.Name != m {
					rest = append(rest, k)
				}
			}
			c, _ := FitConstants(rest, v.x)
			blindLoss(&c, rest)
			mu.Lock()
			defer mu.Unlock()
			v.without[m] = c
		})
	}
	wg.Wait()
	for i := range cases {
		k := &cases[i]
		c := v.without[k.Shape.Name]
		p, _, err := c.Predict(k)
		if err != nil {
			continue
		}
		if k.Quantity == QuantityCost || k.Quantity == QuantityRevenue {
			continue // the error of the nodes once more, and arithmetic
		}
		v.residuals = append(v.residuals, residual{class(k), k.Group, k.Shape.Name, math.Log(k.Measured / p)})
	}
	return v, nil
})

// class gathers cases whose errors are alike: those of one benchmark.
func class(k *Case) string {
	if k.Group == "throughput" {
		if strings.HasPrefix(k.Stack, "torchtitan") || k.Stack == "fsdp-compile" {
			return "torchtitan"
		}
		return k.Stack
	}
	return k.Group
}

// blindLoss fits the loss of whole runs: the mean of what the runs of known
// length lost, drawn to its prior as if that were one run.
func blindLoss(c *Constants, cases []Case) {
	c.Slow["blind"] = 1
	sum, weight := math.Log(blindPrior), 1.0
	for i := range cases {
		k := &cases[i]
		if k.Quantity != QuantityHours {
			continue
		}
		if p, _, err := c.Predict(k); err == nil {
			sum += math.Log(k.Measured / p)
			weight++
		}
	}
	c.Slow["blind"] = math.Exp(sum / weight)
}

// Default returns the constants fitted on every embedded measurement. They are
// computed once (in about a tenth of a second) and are the same every time.
func Default() (*Constants, error) {
	v, err := defaultConstants()
	return v, err
}

var defaultConstants = sync.OnceValues(func() (*Constants, error) {
	cases, err := EmbeddedCases()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded measurements: %w", err)
	}
	c, _ := FitConstants(cases, nil)
	blindLoss(&c, cases)
	return &c, nil
})

// least is the least half width of an interval, in e-folds: measured times are
// given to about one part in a hundred.
const least = 0.01

// Interval is the factor by which a measurement of a kind may lie above or below
// its prediction in 80 % of cases. It comes from the leave-one-model-out errors
// of other models: the 80 % quantile of a benchmark with many of them, and with
// few a Student interval around their spread, drawn to the spread of the rest as
// if that were four more. model is left out ("" leaves out none).
func (v *validation) interval(class, group, model string) float64 {
	var own, others []float64
	for _, r := range v.residuals {
		if r.model == model {
			continue
		}
		if r.class == class {
			own = append(own, math.Abs(r.e))
		} else if whole(r.group) == whole(group) && !memory(group) && !memory(r.group) {
			others = append(others, math.Abs(r.e))
		}
	}
	if len(own) >= 20 {
		return math.Max(least, quantile(own, 0.8*float64(len(own)+1)/float64(len(own))))
	}
	// The pooled spread from a robust quantile: 0.8 of a normal lies in 1.2816.
	prior, nu := 0.0, 0.0
	if len(others) > 0 {
		prior, nu = quantile(others, 0.8)/1.2816, 4
	}
	sum := nu * prior * prior
	for _, e := range own {
		sum += e * e
	}
	n := nu + float64(len(own))
	if n == 0 {
		return least
	}
	return math.Max(least, student80(n)*math.Sqrt(sum/n))
}

// unknown widens the interval, in e-folds, for what nothing was measured of: 15 %
// for software that a row does not name, and 15 % for a GPU without any measured
// run. Both are assumptions. Memory depends on neither, and step times by
// pipelines on one software only.
func (v *validation) unknown(k *Case) float64 {
	if memory(k.Group) || k.Stack == "service" {
		return 0
	}
	u := 0.0
	if k.Guessed && k.Stack != "megatron-2022" && k.Stack != "blind" && !(k.Stack == "llm-foundry" && strings.HasPrefix(k.Shape.Name, "mpt")) {
		u = 0.15
	}
	for i := range v.cases {
		if v.cases[i].GPU.Name == k.GPU.Name {
			return u
		}
	}
	return math.Hypot(u, 0.15)
}

// whole says whether a group predicts whole runs or services, whose layout and
// losses nobody published: their errors are of another kind than those of a step.
func whole(group string) bool {
	return group == "gpu_hours_blind" || group == "scaling" || group == "service"
}

// memory says whether a group predicts bytes and not time.
func memory(group string) bool { return group == "activation_memory" || group == "peak_memory" }

// student80 is the 90 % point of Student's distribution, by its expansion in the
// degrees of freedom (Abramowitz and Stegun 26.7.5).
func student80(nu float64) float64 {
	const x = 1.2815515655446004
	return x + (x*x*x+x)/(4*nu) + (5*math.Pow(x, 5)+16*x*x*x+3*x)/(96*nu*nu)
}

func quantile(list []float64, q float64) float64 {
	s := slices.Clone(list)
	slices.Sort(s)
	at := math.Min(1, math.Max(0, q)) * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// Spread is the factor f by which a measured time lies above or below its
// prediction in 80 % of cases, for runs of a stack ("blind" for whole runs): a
// time t is then uncertain from t/f to t·f. It rests on the leave-one-model-out
// errors of every embedded case, and takes a few seconds the first time.
func Spread(stack string) (float64, error) {
	if _, err := stackIndex(stack); err != nil {
		return 0, err
	}
	v, err := validated()
	if err != nil {
		return 0, err
	}
	k := Case{Stack: stack, Group: "throughput"}
	switch {
	case stack == "megatron-2022":
		k.Group = "step_time"
	case strings.HasPrefix(stack, "blind"):
		k.Group = "gpu_hours_blind"
	}
	return math.Exp(v.interval(class(&k), k.Group, "")), nil
}

// Validate compares cases with their predictions. nil means the embedded ones.
// Each prediction uses constants that were fitted without any measurement of the
// same model.
func Validate(cases []Case, bad []*CaseError) (*Report, error) {
	v, err := validated()
	if err != nil {
		return nil, err
	}
	if cases == nil {
		cases = v.cases
	}
	rep := &Report{Cases: []Result{}, Summary: map[string]Summary{}, Skipped: []Skipped{}}
	for _, b := range bad {
		rep.Skipped = append(rep.Skipped, Skipped{b.Name, b.Line, b.Err.Error()})
	}
	for i := range cases {
		k := &cases[i]
		c, ok := v.without[k.Shape.Name]
		if !ok {
			c = v.all
		}
		p, l, err := c.Predict(k)
		if err != nil {
			rep.Skipped = append(rep.Skipped, Skipped{k.Name, k.Line, err.Error()})
			continue
		}
		half := math.Hypot(v.interval(class(k), k.Group, k.Shape.Name), v.unknown(k))
		if k.Quantity == QuantityRevenue {
			half = least // tokens times prices: nothing is modelled
		}
		w := math.Exp(half)
		r := Result{Name: k.Name, Group: k.Group, Quantity: k.Quantity, Unit: units[k.Quantity], Measured: k.Measured, Predicted: p,
			P10: p / w, P90: p * w, Error: p/k.Measured - 1, Model: k.Shape.Name, GPU: k.GPU.Name, GPUs: k.GPUs, Stack: k.Stack}
		if k.Stack != "service" {
			r.Layout = l.String()
		}
		r.Covered = k.Measured >= r.P10 && k.Measured <= r.P90
		rep.Cases = append(rep.Cases, r)
	}
	rep.summarize()
	for i, p := range parameters() {
		rep.Constants = append(rep.Constants, Constant{p.name, p.prior, p.prior * math.Exp(v.x[i])})
	}
	rep.Constants = append(rep.Constants, Constant{"loss.blind", blindPrior, v.all.Slow["blind"]})
	rep.FittedOn = fittedOn(v.cases)
	return rep, nil
}

// fittedOn says what each kind of constant is fitted on.
func fittedOn(cases []Case) []string {
	count := map[string]int{}
	for i := range cases {
		k := &cases[i]
		if fitted(k) {
			count[k.GPU.Generation]++
			count[stackLoss(k.Stack)]++
		}
		if k.Quantity == QuantityHours {
			count["blind"]++
		}
	}
	line := func(what, key string) string { return fmt.Sprintf("%s: %d measured runs", what, count[key]) }
	return []string{
		line("ampere.* (A100: shares of peak, memory, links, network)", "ampere"),
		line("hopper.* (H100, H200: the same)", "hopper"),
		line("loss.megatron-2022 (Korthikanti et al.)", "megatron-2022"),
		line("loss.megatron-2021 (SC'21)", "megatron-2021"),
		line("loss.llm-foundry, .kept, .attention", "llm-foundry"),
		line("loss.torchtitan", "torchtitan"),
		line("loss.blind (whole runs; one factor)", "blind"),
		"memory, scaling ratios and the service: nothing is fitted; Volta takes Ampere's shares",
		"every error is of constants fitted without any run of the case's own model; priors count as observations",
	}
}

func stackLoss(name string) string {
	if i, err := stackIndex(name); err == nil {
		return stacks[i].slow
	}
	return name
}

func (rep *Report) summarize() {
	type acc struct {
		Summary
		covered int
	}
	sums := map[string]*acc{}
	for _, r := range rep.Cases {
		key := summaryKeys[r.Group]
		if key == "" {
			key = r.Group
		}
		s := sums[key]
		if s == nil {
			s = &acc{}
			sums[key] = s
		}
		s.Cases++
		s.MeanAbsError += math.Abs(r.Error)
		s.Bias += r.Error
		s.MaxAbsError = math.Max(s.MaxAbsError, math.Abs(r.Error))
		width := (r.P90 - r.P10) / r.Predicted
		s.MeanWidth += width
		rep.Coverage.MeanWidth += width
		rep.Coverage.Cases++
		if r.Covered {
			s.covered++
			rep.Coverage.Covered++
		}
	}
	for key, s := range sums {
		n := float64(s.Cases)
		s.MeanAbsError /= n
		s.Bias /= n
		s.MeanWidth /= n
		s.Coverage80 = float64(s.covered) / n
		rep.Summary[key] = s.Summary
	}
	if n := rep.Coverage.Cases; n > 0 {
		rep.Coverage.MeanWidth /= float64(n)
		rep.Coverage.Share = float64(rep.Coverage.Covered) / float64(n)
		rep.Coverage.Low, rep.Coverage.High = clopperPearson(rep.Coverage.Covered, n, 0.95)
	}
	slices.SortStableFunc(rep.Cases, func(a, b Result) int {
		return cmp.Compare(slices.Index(SummaryGroups, summaryKeys[a.Group]), slices.Index(SummaryGroups, summaryKeys[b.Group]))
	})
}

// clopperPearson is the exact interval of a binomial share.
func clopperPearson(k, n int, level float64) (low, high float64) {
	tail := (1 - level) / 2
	// upper tail P(X >= k | p) and lower tail P(X <= k | p), by summing logs.
	atLeast := func(p float64) float64 { return binomialRange(k, n, n, p) }
	atMost := func(p float64) float64 { return binomialRange(0, k, n, p) }
	bisect := func(f func(float64) bool) float64 {
		lo, hi := 0.0, 1.0
		for range 60 {
			mid := (lo + hi) / 2
			if f(mid) {
				lo = mid
			} else {
				hi = mid
			}
		}
		return (lo + hi) / 2
	}
	low, high = 0, 1
	if k > 0 {
		low = bisect(func(p float64) bool { return atLeast(p) < tail })
	}
	if k < n {
		high = bisect(func(p float64) bool { return atMost(p) > tail })
	}
	return low, high
}

func binomialRange(from, to, n int, p float64) float64 {
	sum := 0.0
	lgN, _ := math.Lgamma(float64(n + 1))
	for i := from; i <= to; i++ {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(lgN - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}
