package scenario

import (
	"github.com/stratahq/strata/econ/formula"
)

// Explanation says where a quantity comes from.
type Explanation struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
	Text    string  `json:"text"` // the value for people
	Formula string  `json:"formula,omitempty"`
	// WithNumbers is the formula with each name replaced by its value.
	WithNumbers string `json:"with_numbers,omitempty"`
	// Number is an input as it was written, with what is assumed of it.
	Number     string `json:"number,omitempty"`
	Doc        string `json:"doc,omitempty"`
	Note       string `json:"note,omitempty"`
	Source     string `json:"source,omitempty"`
	Block      string `json:"block,omitempty"`
	Reported   string `json:"reported,omitempty"`
	AsReported string `json:"as_reported,omitempty"`
	// LikeForLike is the value with the comparable figures, for people, and Because
	// are the inputs that make the difference.
	LikeForLike string         `json:"like_for_like,omitempty"`
	Because     []string       `json:"because,omitempty"`
	Place       string         `json:"place,omitempty"` // file:line
	DependsOn   []*Explanation `json:"depends_on,omitempty"`
}

// Explain explains a quantity and, below it, everything that it depends on. A
// quantity that was explained before in the tree is named again without what is
// below it.
func (s *Scenario) Explain(name string) (*Explanation, error) {
	q, ok := s.Graph.Quantity(name)
	if !ok {
		return nil, s.unknown(name)
	}
	return s.explain(q, map[*formula.Quantity]bool{}), nil
}

func (s *Scenario) explain(q *formula.Quantity, seen map[*formula.Quantity]bool) *Explanation {
	if q.Text != nil {
		return &Explanation{Name: q.Name, Text: *q.Text, Doc: q.Doc, Source: q.Source, Note: q.Note, Block: q.Block, Place: place(q)}
	}
	v := s.Values[q.Name]
	e := &Explanation{Name: q.Name, Value: v / scaleOf(q.Unit), Unit: UnitOf(q.Unit), Text: formula.Show(v, q.Unit), Formula: q.Formula, Doc: q.Doc, Note: q.Note, Source: sourceOf(q), Block: q.Block, AsReported: q.AsReported, Place: place(q)}
	e.WithNumbers = q.WithNumbers(func(q *formula.Quantity) float64 { return s.Values[q.Name] })
	if q.IsInput() && !s.Dists[q.Name].Certain() {
		e.Number = s.Dists[q.Name].String()
	}
	if q.Reported != nil {
		e.Reported = formula.Show(*q.Reported, q.Unit)
	}
	if like, ok := s.Like[q.Name]; ok {
		e.LikeForLike = formula.Show(like, q.Unit)
		for _, in := range s.Graph.InputsOf(q.Name) {
			if in.LikeForLike != nil {
				e.Because = append(e.Because, in.Name+" "+formula.Show(*in.LikeForLike, in.Unit)+" instead of "+formula.Show(s.Values[in.Name], in.Unit)+": "+in.AsReported)
			}
		}
	}
	if seen[q] {
		return e
	}
	seen[q] = true
	for _, u := range q.Uses() {
		e.DependsOn = append(e.DependsOn, s.explain(u, seen))
	}
	return e
}

func place(q *formula.Quantity) string {
	return (&formula.Error{Pos: q.Pos}).Where()
}
