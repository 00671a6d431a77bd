package gateway

import (
	"net/http"
	"sort"
	"strings"

	"github.com/stratahq/strata/model"
	distance "github.com/stratahq/strata/nearest"
)

// unknownModel is the error for a name that nothing serves, with the served
// names nearest to it.
func (g *Gateway) unknownModel(name string) *model.Error {
	entries := g.Models.List()
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name
	}
	hint := "no model is served yet; configure an upstream or see \"strata doctor\""
	if len(names) > 0 {
		hint = "GET /v1/models lists the served ones"
		if near := nearest(name, names, 3); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
		}
	}
	e := model.Errorf(http.StatusNotFound, model.CodeModelNotFound, "the model %q is not served here; %s", printable(name), hint)
	e.Param = "model"
	return e
}

// nearest returns up to limit of the names that are close to the given one: a
// part of it, or within an edit distance of a third of its length. The closest
// come first; ties are in alphabetical order.
func nearest(name string, names []string, limit int) []string {
	const longest = 200 // names beyond this are not typing mistakes
	want := strings.ToLower(name)
	if want == "" || len(want) > longest {
		return nil
	}
	type match struct {
		name     string
		distance int
	}
	var found []match
	for _, n := range names {
		have := strings.ToLower(n)
		if len(have) > longest {
			continue
		}
		d := distance.Distance(want, have)
		part := len(want) >= 3 && strings.Contains(have, want) || len(have) >= 3 && strings.Contains(want, have)
		if d <= max(2, len(want)/3) || part {
			found = append(found, match{n, d})
		}
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].distance != found[j].distance {
			return found[i].distance < found[j].distance
		}
		return found[i].name < found[j].name
	})
	var out []string
	for _, m := range found[:min(limit, len(found))] {
		out = append(out, m.name)
	}
	return out
}
