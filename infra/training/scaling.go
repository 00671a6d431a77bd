package training

import (
	"errors"
	"fmt"
	"math"
)

// ScalingLaw is the loss of a model of N parameters after D tokens:
// E + A/N^Alpha + B/D^Beta.
type ScalingLaw struct {
	E, A, B, Alpha, Beta float64
	Source               string
}

// Hoffmann is the law as first published, and Besiroglu its corrected fit to the
// same data, whose optimum agrees with the paper's other two methods (about 20
// tokens per parameter).
var (
	Hoffmann  = ScalingLaw{E: 1.69, A: 406.4, B: 410.7, Alpha: 0.34, Beta: 0.28, Source: "Hoffmann et al. arXiv 2203.15556 (2022-03), approach 3"}
	Besiroglu = ScalingLaw{E: 1.8172, A: 482.01, B: 2085.43, Alpha: 0.3478, Beta: 0.3658, Source: "Besiroglu et al. arXiv 2404.10102 (2024-04)"}
)

// ErrScaling is a question to a scaling law that has no answer.
var ErrScaling = errors.New("the scaling law has no answer")

// Loss is the loss in nats per token.
func (l ScalingLaw) Loss(params, tokens float64) float64 {
	return l.E + l.A/math.Pow(params, l.Alpha) + l.B/math.Pow(tokens, l.Beta)
}

// Optimal splits a budget of FLOP (6ND) into parameters and tokens so that the
// loss is least (equation 4 of Hoffmann et al.).
func (l ScalingLaw) Optimal(flop float64) (params, tokens float64, err error) {
	if !(flop > 0) || math.IsInf(flop, 0) {
		return 0, 0, fmt.Errorf("%w: a budget of %v FLOP", ErrScaling, flop)
	}
	g := math.Pow(l.Alpha*l.A/(l.Beta*l.B), 1/(l.Alpha+l.Beta))
	params = g * math.Pow(flop/6, l.Beta/(l.Alpha+l.Beta))
	return params, flop / 6 / params, nil
}

// TokensFor is how many tokens a model of a size needs to reach a loss. A model
// that is too small never does: [ErrScaling].
func (l ScalingLaw) TokensFor(params, loss float64) (float64, error) {
	left := loss - l.E - l.A/math.Pow(params, l.Alpha)
	if !(params > 0) || !(left > 0) {
		return 0, fmt.Errorf("%w: %.3g parameters never reach a loss of %.4g (the least is %.4g)", ErrScaling, params, loss, l.E+l.A/math.Pow(math.Max(params, 1), l.Alpha))
	}
	return math.Pow(l.B/left, 1/l.Beta), nil
}

// InferenceAware finds the size and the tokens that reach a loss with the least
// cost of training and of serving together: 6ND of training at trainPrice and 2N
// per served token at servePrice, both in USD per FLOP (Sardana et al. arXiv
// 2401.00448, 2023-12, with different prices because decoding uses a GPU worse
// than training does). served is the tokens over the model's life.
func (l ScalingLaw) InferenceAware(loss, served, trainPrice, servePrice float64) (params, tokens, cost float64, err error) {
	if !(loss > l.E) || !(served >= 0) || !(trainPrice > 0) || !(servePrice >= 0) {
		return 0, 0, 0, fmt.Errorf("%w: loss %v (above %v), served tokens %v, prices %v and %v USD/FLOP", ErrScaling, loss, l.E, served, trainPrice, servePrice)
	}
	least := math.Log(math.Pow(l.A/(loss-l.E), 1/l.Alpha))
	price := func(x float64) float64 {
		n := math.Exp(x)
		d, err := l.TokensFor(n, loss)
		if err != nil {
			return math.Inf(1)
		}
		return 6*n*d*trainPrice + 2*n*served*servePrice
	}
	// The cost falls, then rises, with the size: golden-section search.
	lo, hi := least+1e-6, least+math.Log(1e6)
	ratio := (math.Sqrt(5) - 1) / 2
	a, b := hi-ratio*(hi-lo), lo+ratio*(hi-lo)
	fa, fb := price(a), price(b)
	for range 100 {
		if fa < fb {
			hi, b, fb = b, a, fa
			a = hi - ratio*(hi-lo)
			fa = price(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + ratio*(hi-lo)
			fb = price(b)
		}
	}
	params = math.Exp((lo + hi) / 2)
	tokens, err = l.TokensFor(params, loss)
	if err != nil {
		return 0, 0, 0, err
	}
	return params, tokens, price(math.Log(params)), nil
}
