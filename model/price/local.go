package price

import (
	"fmt"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Local is the price of a model that runs on one's own machine: what an hour of
// the machine costs, divided by the tokens that it makes in an hour. Without a
// prompt throughput of its own, a prompt token costs what an output token costs,
// which is more than it takes, since prompts are processed faster. Prices are
// rounded to 1e-15 USD a token; they rest on a measurement anyway.
func Local(costPerHour, tokensPerSecond money.Decimal, promptTokensPerSecond ...money.Decimal) (*Card, error) {
	output, err := perToken(costPerHour, tokensPerSecond)
	if err != nil {
		return nil, err
	}
	input := output
	if len(promptTokensPerSecond) > 0 && promptTokensPerSecond[0].Sign() > 0 {
		if input, err = perToken(costPerHour, promptTokensPerSecond[0]); err != nil {
			return nil, err
		}
	}
	c := local(input, output)
	c.Source = fmt.Sprintf("%s USD per hour at %s tokens/s", costPerHour, tokensPerSecond)
	return c, nil
}

// LocalFree is the price of a local model of which its user says that it costs
// nothing.
func LocalFree() *Card {
	c := local(money.Decimal{}, money.Decimal{})
	c.Source = "free, as configured"
	return c
}

func local(input, output money.Decimal) *Card {
	c := &Card{Provider: "local", Model: "*", Fallback: map[model.Bucket]model.Bucket{
		model.CacheRead: model.Input, model.CacheWrite: model.Input, model.InputImage: model.Input,
		model.InputAudio: model.Input, model.Reasoning: model.Output,
	}}
	c.Base.Set(model.Input, input)
	c.Base.Set(model.Output, output)
	c.Version = "local#" + c.Digest()
	return c
}

func perToken(costPerHour, tokensPerSecond money.Decimal) (money.Decimal, error) {
	if costPerHour.Sign() < 0 || tokensPerSecond.Sign() <= 0 {
		return money.Decimal{}, fmt.Errorf("%w: a cost per hour must not be negative and a throughput must be above zero, not %s USD/h at %s tokens/s", ErrCard, costPerHour, tokensPerSecond)
	}
	q, _, err := costPerHour.Quo(tokensPerSecond.Mul(money.Int(3600)))
	if err != nil {
		return q, fmt.Errorf("local price: %w", err)
	}
	p, _, err := q.Shift(3).Pico()
	if err != nil {
		return q, fmt.Errorf("local price: %w", err)
	}
	return p.Decimal().Shift(-3), nil
}
