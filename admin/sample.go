package admin

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/stratahq/strata/access"
	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
)

// SampleRequest is the body of POST /api/v1/sample-data; {} will do.
type SampleRequest struct {
	Seed  uint64 `json:"seed,omitempty"`  // the same seed and day give the same calls; 1 when 0
	Calls int    `json:"calls,omitempty"` // 1,500 when 0
}

// SampleResult says how many sample calls were made or erased.
type SampleResult struct {
	Calls int64 `json:"calls"`
}

const (
	sampleCalls = 1500
	maxSample   = 20_000
	sampleDays  = 14
)

// postSampleData fills an empty console with labelled sample calls over the last
// 14 days. They are priced by the real price book, charge no budget, are in no
// account, and go with one DELETE. Sample calls that were there are replaced.
func (s *service) postSampleData(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	body := SampleRequest{Seed: 1, Calls: sampleCalls}
	if r.ContentLength != 0 {
		var given SampleRequest
		if err := readJSON(w, r, &given); err != nil {
			return err
		}
		if given.Calls < 0 || given.Calls > maxSample {
			return badParam("calls", "calls must be from 1 to %d", maxSample)
		}
		if given.Seed != 0 {
			body.Seed = given.Seed
		}
		if given.Calls != 0 {
			body.Calls = given.Calls
		}
	}
	if !s.rewriting.TryLock() {
		return model.Errorf(http.StatusConflict, CodeConflict, "history is being rewritten by another request; wait until it is done")
	}
	defer s.rewriting.Unlock()
	ctx := r.Context()
	if _, err := s.Ledger.EraseSamples(ctx); err != nil {
		return err
	}
	calls, err := s.sampleCalls(body)
	if err != nil {
		return err
	}
	for _, c := range calls {
		if err := s.Ledger.Record(ctx, c); err != nil {
			return err
		}
	}
	if err := s.Access.Audit(ctx, "sample_data.create", "", fmt.Sprintf("%d calls", len(calls))); err != nil {
		return err
	}
	writeJSON(w, http.StatusCreated, SampleResult{int64(len(calls))})
	return nil
}

// deleteSampleData erases every sample call.
func (s *service) deleteSampleData(w http.ResponseWriter, r *http.Request, _ access.Principal) error {
	if _, err := s.parseQuery(r); err != nil {
		return err
	}
	if !s.rewriting.TryLock() {
		return model.Errorf(http.StatusConflict, CodeConflict, "history is being rewritten by another request; wait until it is done")
	}
	defer s.rewriting.Unlock()
	n, err := s.Ledger.EraseSamples(r.Context())
	if err != nil {
		return err
	}
	if err := s.Access.Audit(r.Context(), "sample_data.erase", "", fmt.Sprintf("%d calls", n)); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, SampleResult{n})
	return nil
}

// sampleModel is a model of the sample traffic. TTFT is the median in
// milliseconds, and TPOT the mean per output token: rounded from what such
// models are commonly seen to do, good enough for a picture and for nothing else.
type sampleModel struct {
	name, upstream, provider string
	weight                   float64
	ttft, tpot               float64
	cached, reasoning        float64 // share of the prompt that is cached; of the output that is reasoning
	embed                    bool
}

// sampleModels has one model that no price book knows, so that the console shows
// from the start what an unknown cost looks like.
var sampleModels = []sampleModel{
	{name: "gpt-4o-mini", upstream: "openai", provider: "openai", weight: 30, ttft: 380, tpot: 9, cached: 0.35},
	{name: "gpt-4.1", upstream: "openai", provider: "openai", weight: 14, ttft: 520, tpot: 15, cached: 0.4},
	{name: "o4-mini", upstream: "openai", provider: "openai", weight: 6, ttft: 4200, tpot: 8, reasoning: 0.7},
	{name: "claude-sonnet-4-5", upstream: "anthropic", provider: "anthropic", weight: 16, ttft: 900, tpot: 17, cached: 0.55},
	{name: "gemini-2.5-flash", upstream: "gemini", provider: "gemini", weight: 14, ttft: 450, tpot: 5, reasoning: 0.3},
	{name: "deepseek-chat", upstream: "deepseek", provider: "deepseek", weight: 12, ttft: 1100, tpot: 28, cached: 0.5},
	{name: "text-embedding-3-small", upstream: "openai", provider: "openai", weight: 5, ttft: 90, embed: true},
	{name: "lab-large-v3", upstream: "lab", provider: "lab", weight: 3, ttft: 300, tpot: 22},
}

type sampleCustomer struct {
	name   string
	weight float64
}

var sampleCustomers = []sampleCustomer{{"acme-travel", 38}, {"nordwind-bank", 27}, {"青云科技", 20}, {"kite-robotics", 15}}

type sampleFeature struct {
	name           string
	weight         float64
	prompt, output float64 // median tokens
	streamed       float64
}

var sampleFeatures = []sampleFeature{
	{"support-chat", 45, 1400, 220, 0.95}, {"search", 22, 2600, 120, 0.6}, {"summaries", 18, 5200, 380, 0.2}, {"code-review", 15, 7400, 640, 0.5},
}

// sampler draws the sample traffic.
type sampler struct {
	*rand.Rand
	s *service
}

func (s *service) sampleCalls(body SampleRequest) ([]*ledger.Call, error) {
	d := sampler{rand.New(rand.NewPCG(body.Seed, uint64(len(sampleModels)))), s}
	now := s.Now().UTC()
	times := d.times(now, body.Calls)
	calls := make([]*ledger.Call, 0, len(times))
	for _, at := range times {
		c, err := d.call(at)
		if err != nil {
			return nil, fmt.Errorf("sample data: %w", err)
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// times draws moments of the last 14 days with the rhythm of offices: a morning
// and an afternoon in the business time zone, a little at night, less at weekends.
func (d sampler) times(now time.Time, n int) []time.Time {
	start := now.AddDate(0, 0, -sampleDays)
	span := now.Sub(start)
	times := make([]time.Time, 0, n)
	for len(times) < n {
		at := start.Add(time.Duration(d.Int64N(int64(span))))
		local := at.In(d.s.TimeZone)
		hour := float64(local.Hour()) + float64(local.Minute())/60
		busy := 0.06 + bump(hour, 10.5, 1.8) + 0.9*bump(hour, 15, 2.2)
		if wd := local.Weekday(); wd == time.Saturday || wd == time.Sunday {
			busy *= 0.3
		}
		// The product grows a little.
		busy *= 0.8 + 0.4*float64(at.Sub(start))/float64(span)
		if d.Float64()*1.3 < busy {
			times = append(times, at.Truncate(time.Microsecond))
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

func bump(x, middle, width float64) float64 {
	z := (x - middle) / width
	return math.Exp(-z * z / 2)
}

// lognormal has the given median.
func (d sampler) lognormal(median, sigma float64) float64 {
	return median * math.Exp(sigma*d.NormFloat64())
}

func pick[T any](d sampler, list []T, weight func(T) float64) T {
	total := 0.0
	for _, v := range list {
		total += weight(v)
	}
	x := d.Float64() * total
	for _, v := range list {
		if x -= weight(v); x < 0 {
			return v
		}
	}
	return list[len(list)-1]
}

func (d sampler) call(at time.Time) (*ledger.Call, error) {
	m := pick(d, sampleModels, func(m sampleModel) float64 { return m.weight })
	customer := pick(d, sampleCustomers, func(c sampleCustomer) float64 { return c.weight })
	feature := pick(d, sampleFeatures, func(f sampleFeature) float64 { return f.weight })
	c := &ledger.Call{
		ID: d.id(at), Time: at, Customer: customer.name, Feature: feature.name, KeyID: "sample-" + feature.name, Op: model.OpChat,
		Model: m.name, ServedModel: m.name, Upstream: m.upstream, Provider: m.provider, Stream: d.Float64() < feature.streamed,
		Outcome: ledger.OutcomeOK, Status: http.StatusOK, Sample: true, CostKnown: true, ChargeKnown: true,
		Tags: map[string]string{"env": "production"}, EndUser: fmt.Sprintf("user-%03d", d.IntN(180)),
	}
	c.Root = c.ID
	if d.Float64() < 0.1 {
		c.Tags["env"] = "staging"
	}
	u := &model.Usage{}
	prompt := int64(d.lognormal(feature.prompt, 0.6)) + 20
	output := int64(d.lognormal(feature.output, 0.7)) + 3
	if m.embed {
		c.Op, c.Stream, c.Feature = model.OpEmbed, false, "search"
		c.KeyID = "sample-search"
		u.Count[model.Input] = prompt
		output = 0
	} else {
		cached := int64(0)
		if d.Float64() < m.cached*1.4 { // a cache hits or does not
			cached = prompt * 7 / 10
		}
		u.Count[model.CacheRead], u.Count[model.Input] = cached, prompt-cached
		reasoning := int64(float64(output) * m.reasoning * 2)
		u.Count[model.Output], u.Count[model.Reasoning] = output, reasoning
		output += reasoning
	}
	ttft := d.lognormal(m.ttft, 0.35) * (1 + float64(prompt)/40_000)
	tpot := d.lognormal(m.tpot, 0.15)
	c.Duration = time.Duration((ttft + tpot*float64(output)) * float64(time.Millisecond)).Truncate(time.Microsecond)
	if c.Stream {
		c.TTFT = time.Duration(ttft * float64(time.Millisecond)).Truncate(time.Microsecond)
		c.TPOT = time.Duration(tpot * float64(time.Millisecond)).Truncate(time.Microsecond)
	}
	d.mishap(c, u)
	if c.Usage == nil {
		return c, nil
	}
	card, ok := d.s.Book().Find(m.provider, m.name, at)
	if !ok {
		c.CostKnown, c.ChargeKnown = false, false
		return c, nil
	}
	k, err := d.s.rate(c, card)
	if err != nil {
		return nil, err
	}
	c.Cost, c.CostKnown, c.CostLines, c.PriceVersion, c.PriceSource = k.Cost, k.CostKnown, k.CostLines, card.Version, card.Source
	c.Charge, c.ChargeKnown, c.ChargeLines, c.Tariff = k.Charge, k.ChargeKnown, k.ChargeLines, k.Tariff
	return c, nil
}

// mishap lets a few calls end otherwise than well, and sets the usage of those
// that consumed something.
func (d sampler) mishap(c *ledger.Call, u *model.Usage) {
	switch x := d.Float64(); {
	case x < 0.012:
		c.Outcome, c.Status, c.ErrorCode, c.ErrorText = ledger.OutcomeError, 502, model.CodeUpstreamStatus, "the upstream answered with status 503"
		c.Duration, c.TTFT, c.TPOT = time.Duration(d.lognormal(240, 0.5)*float64(time.Millisecond)).Truncate(time.Microsecond), 0, 0
	case x < 0.016:
		c.Outcome, c.Status, c.ErrorCode, c.ErrorText = ledger.OutcomeError, 504, model.CodeDeadline, "the upstream did not answer within 60 s"
		c.Duration, c.TTFT, c.TPOT = time.Minute, 0, 0
		// The provider had the prompt and may bill it: it is estimated, as the
		// meter does for a call that was sent and not answered.
		u.Count[model.Output], u.Count[model.Reasoning] = 0, 0
		u.Estimated = u.Estimated.With(model.Input)
		c.Usage = u
	case x < 0.022:
		c.Outcome, c.Status, c.ErrorCode, c.ErrorText = ledger.OutcomeRefused, 402, model.CodeBudgetExceeded, "the day budget of customer "+c.Customer+" is used up"
		c.Upstream, c.Provider, c.ServedModel = "", "", ""
		c.Duration, c.TTFT, c.TPOT = 900*time.Microsecond, 0, 0
		c.Decisions = []ledger.Decision{{By: "budget", What: "refused", Detail: "a hard budget is used up"}}
	case x < 0.040 && c.Stream:
		c.Outcome, c.Status, c.ErrorCode, c.ErrorText = ledger.OutcomeCanceled, 499, model.CodeCanceled, "the client closed the request"
		u.Count[model.Output] /= 3
		u.Estimated = u.Estimated.With(model.Output)
		c.Duration = c.TTFT + (c.Duration-c.TTFT)/3
		c.Usage = u
	default:
		c.Usage = u
		if x > 0.985 { // an upstream that stated no usage
			u.Estimated = u.Estimated.With(model.Input).With(model.Output)
			u.Flag("usage_missing")
		}
	}
}

// id is a UUIDv7 of the call's time whose random part is drawn from the seed.
func (d sampler) id(at time.Time) string {
	var u uuid.UUID
	binary.BigEndian.PutUint64(u[8:], d.Uint64())
	binary.BigEndian.PutUint64(u[:8], uint64(at.UnixMilli())<<16|d.Uint64()&0xffff)
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u.String()
}
