//go:build noengine || !((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package engine

import (
	"io"

	"github.com/stratahq/strata/model/local/proto"
)

// Built says whether this binary can run a model.
const Built = false

// Serve tells the parent that there is nothing to serve with.
func Serve(_ io.Reader, out io.Writer) error {
	w := proto.NewWriter(out)
	w.Write(&proto.FromChild{Kind: proto.Failed, Error: &proto.Error{Message: ErrNotBuilt.Error()}})
	return ErrNotBuilt
}
