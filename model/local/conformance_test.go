package local

import (
	"testing"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/artifact"
	"github.com/stratahq/strata/model/modeltest"
)

// TestConformance runs the suite that every Model passes, against the real
// engine, with a stopped engine as the model that fails.
func TestConformance(t *testing.T) {
	fetched(t, artifact.Libraries())
	modeltest.Run(t, func(t *testing.T) model.Model { return tales(t) }, modeltest.Options{
		Request: func() *model.Request {
			return &model.Request{Op: model.OpComplete, Stream: true, Completion: &model.Completion{
				Prompts: []string{"Once upon a time"}, Sampling: model.Sampling{MaxTokens: ptr(200)}}}
		},
		Patience: 30 * time.Second,
		Failing: map[string]func(t *testing.T) model.Model{
			"stopped": func(t *testing.T) model.Model {
				e, err := New(Config{Path: stories}, Deps{Command: childCommand()})
				if err != nil {
					t.Fatal(err)
				}
				return e
			},
		},
	})
}
