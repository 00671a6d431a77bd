package openai

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	wire "github.com/stratahq/strata/model/wire/openai"
)

// pool keeps event readers with their buffers.
func pool() *sync.Pool {
	return &sync.Pool{New: func() any { return wire.NewEventReader(nil, 0) }}
}

// maxModels bounds the list of models in bytes: a chosen bound far above what a
// list of some thousand models needs, not a measured one.
const maxModels = 16 << 20

// Models asks the upstream which models it has. It is one request; callers that
// ask often keep the answer.
func (u *Upstream) Models(ctx context.Context) ([]wire.ModelObject, error) {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := min(u.firstByte, time.Minute)
	timer := time.AfterFunc(limit, func() { cancel(&timeoutError{"did not list its models", limit}) })
	defer timer.Stop()
	r, err := u.request(ctx, http.MethodGet, "/models")
	if err != nil {
		return nil, u.protocol(err, "has an address that cannot be called")
	}
	resp, err := u.client.Do(r)
	if err != nil {
		return nil, u.broken(parent, ctx, err, false)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, u.refused(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxModels+1))
	if err != nil {
		return nil, u.broken(parent, ctx, err, false)
	}
	type entry struct {
		ID      string      `json:"id"`
		Created json.Number `json:"created"`
		OwnedBy string      `json:"owned_by"`
	}
	var list struct {
		Data []entry `json:"data"`
	}
	if len(data) > maxModels || json.Unmarshal(data, &list) != nil {
		// Together sends the bare array.
		if len(data) > maxModels || json.Unmarshal(data, &list.Data) != nil {
			e := u.protocol(nil, "sent a list of models that is not valid JSON of the expected form")
			e.MayHaveBeenCharged = false
			return nil, e
		}
	}
	out := make([]wire.ModelObject, 0, len(list.Data))
	for _, m := range list.Data {
		if m.ID == "" {
			continue
		}
		created, _ := m.Created.Int64()
		out = append(out, wire.ModelObject{ID: m.ID, Created: created, OwnedBy: m.OwnedBy})
	}
	return out, nil
}
