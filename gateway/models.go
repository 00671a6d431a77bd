package gateway

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/stratahq/strata/model"
)

// modelObject is OpenAI's description of a model.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func describe(e Entry) modelObject {
	m := modelObject{ID: e.Name, Object: "model", OwnedBy: e.OwnedBy}
	if !e.Created.IsZero() {
		m.Created = e.Created.Unix()
	}
	return m
}

// serveModels answers GET /v1/models, and GET /v1/models/{id} when id is given.
// An id may contain slashes. Names that pass through to a provider have no
// entry in the list, but can be asked for one by one.
func (g *Gateway) serveModels(w http.ResponseWriter, r *http.Request, id string) {
	if _, err := g.Authenticate(r); err != nil {
		g.writeError(w, r, model.AsError(err))
		return
	}
	entries := g.Models.List()
	if id == "" {
		list := struct {
			Object string        `json:"object"`
			Data   []modelObject `json:"data"`
		}{"list", make([]modelObject, len(entries))}
		for i, e := range entries {
			list.Data[i] = describe(e)
		}
		writeJSON(w, http.StatusOK, list)
		return
	}
	for _, e := range entries {
		if e.Name == id {
			writeJSON(w, http.StatusOK, describe(e))
			return
		}
	}
	if _, ok := g.Models.Find(id); ok {
		owner, _, _ := strings.Cut(id, "/")
		writeJSON(w, http.StatusOK, describe(Entry{Name: id, OwnedBy: owner}))
		return
	}
	g.writeError(w, r, g.unknownModel(id))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encoding failed", http.StatusInternalServerError)
		return
	}
	writeBody(w, status, body)
}
