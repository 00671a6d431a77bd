package scenario

import (
	"strings"

	"github.com/stratahq/strata/econ/formula"
	"github.com/stratahq/strata/econ/sample"
	"github.com/stratahq/strata/unit"
)

// Result is an evaluated scenario, as "strata plan --json" prints it. Numbers are
// plain JSON numbers in the unit that stands beside them; a share is a fraction,
// so that 81.1 % is 0.811 with the unit "1". They are estimates.
type Result struct {
	Title     string    `json:"title,omitempty"`
	About     string    `json:"about,omitempty"`
	File      string    `json:"file"`
	Source    string    `json:"source,omitempty"`
	Variant   string    `json:"variant,omitempty"`
	Variants  []Variant `json:"variants,omitempty"`
	Seed      uint64    `json:"seed"`
	Samples   int       `json:"samples"`
	Months    int       `json:"months"`
	Uncertain []string  `json:"uncertain"`
	Show      []string  `json:"show,omitempty"`
	// Quantities holds every quantity that is a number, by name.
	Quantities map[string]*Figure `json:"quantities"`
	Drivers    *Drivers           `json:"drivers,omitempty"`
	Goal       *GoalResult        `json:"goal,omitempty"`
}

// Figure is one quantity of a [Result].
type Figure struct {
	// Value is the result with every input at its best guess; of a series, in the
	// last month.
	Value float64 `json:"value"`
	// Reported is the figure that the source states, as it rounds it.
	Reported *float64 `json:"reported,omitempty"`
	Unit     string   `json:"unit"`
	// Shown is the unit in which people are shown the value, when it is another.
	Shown string `json:"shown_unit,omitempty"`
	// The figures of the draws; they equal Value where nothing is uncertain.
	Mean  float64 `json:"mean"`
	P2_5  float64 `json:"p2_5"`
	P10   float64 `json:"p10"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P97_5 float64 `json:"p97_5"`
	// Positive is the probability of a value above 0.
	Positive float64 `json:"probability_above_0"`
	// Invalid counts the draws without a value.
	Invalid int `json:"draws_without_value,omitempty"`
	// LikeForLike is the value with every figure that is not comparable replaced by
	// the comparable one.
	LikeForLike *float64 `json:"like_for_like,omitempty"`
	AsReported  string   `json:"as_reported,omitempty"`
	Input       bool     `json:"input,omitempty"`
	// Number is an input as it was written, with what is assumed of it.
	Number  string `json:"number,omitempty"`
	Formula string `json:"formula,omitempty"`
	// Series is one value per month at the best guesses. SeriesP10 and SeriesP90
	// are there for the series of the show list, where something is uncertain.
	Series    []float64 `json:"series,omitempty"`
	SeriesP10 []float64 `json:"series_p10,omitempty"`
	SeriesP90 []float64 `json:"series_p90,omitempty"`
	Block     string    `json:"block,omitempty"`
	Doc       string    `json:"doc,omitempty"`
	Note      string    `json:"note,omitempty"`
	Source    string    `json:"source,omitempty"`

	quantity *formula.Quantity
}

// Quantity is the quantity of the graph.
func (f *Figure) Quantity() *formula.Quantity { return f.quantity }

// Base turns a number of the figure back into base units.
func (f *Figure) Base(v float64) float64 { return v * scaleOf(f.quantity.Unit) }

// Drivers says what drives a quantity.
type Drivers struct {
	Quantity string   `json:"quantity"`
	Unit     string   `json:"unit"`
	Inputs   []Driver `json:"inputs"`
}

// Driver is one uncertain input behind a quantity. First and Total are Sobol
// indices; Low and High are the quantity with this input alone at its 10th and
// 90th percentile.
type Driver struct {
	Input     string  `json:"input"`
	Unit      string  `json:"unit"`
	First     float64 `json:"first"`
	Total     float64 `json:"total"`
	InputLow  float64 `json:"input_p10"`
	InputHigh float64 `json:"input_p90"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
}

// GoalResult is the answer to a goal: the value of Input at which Quantity is
// Target.
type GoalResult struct {
	Quantity  string  `json:"quantity"`
	Target    float64 `json:"target"`
	Unit      string  `json:"unit"`
	Input     string  `json:"input"`
	InputUnit string  `json:"input_unit"`
	Value     float64 `json:"value"`
	P2_5      float64 `json:"p2_5"`
	P10       float64 `json:"p10"`
	P50       float64 `json:"p50"`
	P90       float64 `json:"p90"`
	P97_5     float64 `json:"p97_5"`
	// Unreached is the share of draws in which no value within Low and High
	// reaches the target.
	Unreached float64 `json:"unreached"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	// Samples is the number of draws behind the percentiles.
	Samples int `json:"samples"`
}

// sourceOf is the source that the file states, or that of the figures which the
// formula looks up.
func sourceOf(q *formula.Quantity) string {
	return or(q.Source, strings.Join(q.LookedUp(), "; "))
}

// neat takes the last bits off, which only say in which order floating-point
// operations were done: 2025 is not printed as 2024.9999999999998.
func neat(v float64) float64 { return formula.Round(v, 14) }

// scaleOf is how many base units one of the unit of the JSON number is; shares
// are fractions there.
func scaleOf(u unit.Unit) float64 {
	if u.Scale == 0 || u.Dim == (unit.Dim{}) {
		return 1
	}
	return u.Scale
}

// UnitOf is the name of the unit of a quantity's JSON numbers; "1" for plain
// numbers and shares.
func UnitOf(u unit.Unit) string {
	if u.Dim == (unit.Dim{}) {
		return "1"
	}
	return u.Text
}

// Study is the scenario as package sample asks it.
func (s *Scenario) Study() *sample.Study {
	return &sample.Study{Graph: s.Graph, Dists: s.Dists, Seed: s.Seed, Samples: s.Samples}
}

// Run evaluates every quantity.
func (s *Scenario) Run() (*Result, error) {
	r := &Result{Title: s.Title, About: s.About, File: s.File, Source: s.Source, Variant: s.Variant, Variants: s.Variants, Seed: s.Seed, Samples: s.Samples, Months: s.Months, Uncertain: s.Uncertain(), Show: s.Show, Quantities: map[string]*Figure{}}
	if r.Uncertain == nil {
		r.Uncertain = []string{}
	}
	var names []string
	for _, q := range s.Graph.Quantities() {
		if q.Text == nil {
			names = append(names, q.Name)
		}
	}
	intervals, err := s.Study().Intervals(names)
	if err != nil {
		return nil, err
	}
	series, err := s.series(names)
	if err != nil {
		return nil, err
	}
	for _, v := range intervals {
		q, _ := s.Graph.Quantity(v.Name)
		k := scaleOf(q.Unit)
		f := &Figure{Value: neat(v.Value / k), Unit: UnitOf(q.Unit), Mean: neat(v.Mean / k), P2_5: neat(v.P2_5 / k), P10: neat(v.P10 / k), P50: neat(v.P50 / k), P90: neat(v.P90 / k), P97_5: neat(v.P97_5 / k), Positive: v.Positive, Invalid: v.Invalid, AsReported: q.AsReported, Input: q.IsInput(), Formula: q.Formula, Block: q.Block, Doc: q.Doc, Note: q.Note, Source: sourceOf(q), quantity: q}
		if q.Unit.Text != f.Unit {
			f.Shown = q.Unit.Text
		}
		if q.Reported != nil {
			x := neat(*q.Reported / k)
			f.Reported = &x
		}
		if like, ok := s.Like[q.Name]; ok {
			x := neat(like / k)
			f.LikeForLike = &x
		}
		if f.Input {
			f.Number = s.Dists[q.Name].String()
		}
		for _, x := range series[q.Name] {
			f.Series = append(f.Series, neat(x/k))
		}
		r.Quantities[q.Name] = f
	}
	for _, name := range s.Show {
		f := r.Quantities[name]
		if f == nil || f.Series == nil || f.P2_5 == f.P97_5 {
			continue
		}
		fan, err := s.Study().Fan(name)
		if err != nil {
			return nil, err
		}
		k := scaleOf(f.quantity.Unit)
		for _, v := range fan {
			f.SeriesP10, f.SeriesP90 = append(f.SeriesP10, neat(v.P10/k)), append(f.SeriesP90, neat(v.P90/k))
		}
	}
	return r, nil
}

// series computes the months of the quantities that are series, at best guesses.
func (s *Scenario) series(names []string) (map[string][]float64, error) {
	p, err := s.Graph.Program(names, nil)
	if err != nil {
		return nil, err
	}
	r := p.NewRunner()
	r.Eval(p.Base(), make([]float64, len(names)))
	out := map[string][]float64{}
	for i, q := range p.Outputs() {
		if q.IsSeries() {
			out[q.Name] = r.Series(i)
		}
	}
	return out, nil
}

// Drivers says what drives a quantity: how much each uncertain input behind it
// does alone and together with the others.
func (s *Scenario) Drivers(name string) (*Drivers, error) {
	q, err := s.number(name)
	if err != nil {
		return nil, err
	}
	study := s.Study()
	indices, err := study.Sobol(name)
	if err != nil {
		return nil, err
	}
	swings, err := study.Tornado(name)
	if err != nil {
		return nil, err
	}
	d := &Drivers{Quantity: name, Unit: UnitOf(q.Unit), Inputs: []Driver{}}
	k := scaleOf(q.Unit)
	for _, i := range indices {
		in, _ := s.Graph.Quantity(i.Input)
		for _, w := range swings {
			if w.Input != i.Input {
				continue
			}
			ki := scaleOf(in.Unit)
			d.Inputs = append(d.Inputs, Driver{Input: i.Input, Unit: UnitOf(in.Unit), First: i.First, Total: i.Total, InputLow: w.InputLow / ki, InputHigh: w.InputHigh / ki, Low: w.Low / k, High: w.High / k})
		}
	}
	return d, nil
}

// number finds a quantity that is a number.
func (s *Scenario) number(name string) (*formula.Quantity, error) {
	q, ok := s.Graph.Quantity(name)
	if !ok || q.Text != nil {
		return nil, s.unknown(name)
	}
	return q, nil
}

// unknown is the fault of a name that is no quantity. The name of a group comes
// with what is in it.
func (s *Scenario) unknown(name string) *formula.Error {
	message := "there is no quantity " + quote(name)
	var inside []string
	for _, n := range s.Graph.Names() {
		if strings.HasPrefix(n, name+".") {
			inside = append(inside, n)
		}
	}
	if len(inside) > 0 {
		message += "; it is a group of " + strings.Join(inside, ", ")
	} else {
		message += formula.Suggest(name, s.Graph.Names())
	}
	return &formula.Error{Pos: formula.Pos{File: s.File}, Message: message}
}

func quote(s string) string { return `"` + s + `"` }

// Seek finds the value of an input at which a quantity is what target says, such
// as "60%". Bounds are as written, such as "1 USD/h"; both may be empty.
func (s *Scenario) Seek(name, target, input, low, high string) (*GoalResult, error) {
	q, err := s.number(name)
	if err != nil {
		return nil, err
	}
	in, err := s.number(input)
	if err != nil {
		return nil, err
	}
	read := func(text string, u unit.Unit) float64 {
		if err != nil || text == "" {
			return 0
		}
		v, parseErr := unit.ParseAs(text, u)
		if parseErr != nil {
			err = &formula.Error{Pos: formula.Pos{File: s.File}, Path: name, Message: parseErr.Error()}
		}
		return v.Base
	}
	g := sample.Goal{Output: name, Target: read(target, q.Unit), Input: input, Low: read(low, in.Unit), High: read(high, in.Unit)}
	if err != nil {
		return nil, err
	}
	f, err := s.Study().Seek(g)
	if err != nil {
		return nil, err
	}
	k := scaleOf(in.Unit)
	return &GoalResult{Quantity: name, Target: g.Target / scaleOf(q.Unit), Unit: UnitOf(q.Unit), Input: input, InputUnit: UnitOf(in.Unit), Value: f.Value / k, P2_5: f.P2_5 / k, P10: f.P10 / k, P50: f.P50 / k, P90: f.P90 / k, P97_5: f.P97_5 / k, Unreached: f.Unreached, Low: f.Low / k, High: f.High / k, Samples: f.Samples}, nil
}

// FigureOf is an empty figure of a quantity, for showing numbers in its unit.
func FigureOf(q *formula.Quantity) *Figure { return &Figure{quantity: q} }
