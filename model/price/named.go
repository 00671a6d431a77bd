package price

import (
	"fmt"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Named is [Rates.Get] for a bucket by its name, for readers that do not know
// package model. ok is false when the bucket has no price; the error says that no
// bucket has the name.
func (r *Rates) Named(bucket string) (usd money.Decimal, tokens, ok bool, err error) {
	b, known := model.ParseBucket(bucket)
	if !known {
		return usd, false, false, fmt.Errorf("no bucket %q; there are for example input, cache_read, output, output_image", bucket)
	}
	usd, ok = r.Get(b)
	return usd, b.IsToken(), ok, nil
}
