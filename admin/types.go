// Package admin is the JSON interface that the console and the command line
// share: /api/v1. One file per endpoint; this file holds the types on the wire.
// Money is always a decimal string in USD; an unknown amount is null, never "0".
// Times are RFC 3339 in UTC; durations are numbers of milliseconds.
package admin

import (
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Call is a call as listed. GET /api/v1/calls answers {"calls": [Call],
// "next": "cursor or empty", "totals": Spend}, newest first; the totals are of
// all calls that the filter selects, not of the page. Its parameters are since,
// until, customer, feature, model, key, outcome, q (text), unknown_cost=1, root,
// cursor and limit; calls.csv takes the same. GET /api/v1/calls/live is a stream
// of server-sent events whose data is a Call; it takes the same filters.
type Call struct {
	Seq         int64             `json:"seq"`
	ID          string            `json:"id"`
	Parent      string            `json:"parent,omitempty"`
	Root        string            `json:"root"`
	Time        time.Time         `json:"time"`
	Key         string            `json:"key"`
	Customer    string            `json:"customer"`
	Feature     string            `json:"feature"`
	EndUser     string            `json:"end_user,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Op          string            `json:"op"`
	Model       string            `json:"model"`
	ServedModel string            `json:"served_model"`
	Upstream    string            `json:"upstream"`
	Stream      bool              `json:"stream"`
	Outcome     string            `json:"outcome"`
	Status      int               `json:"status"`
	ErrorCode   string            `json:"error_code,omitempty"`
	ErrorText   string            `json:"error_text,omitempty"`
	// Usage is null when nothing is known about consumption.
	Usage            *model.Usage `json:"usage"`
	Estimated        bool         `json:"estimated"`
	EstimatedBuckets []string     `json:"estimated_buckets,omitempty"`
	// CostUSD and ChargeUSD are null when unknown.
	CostUSD    *money.Pico `json:"cost_usd"`
	ChargeUSD  *money.Pico `json:"charge_usd"`
	MarginUSD  *money.Pico `json:"margin_usd"`
	TTFTMs     *float64    `json:"ttft_ms"`
	TPOTMs     *float64    `json:"tpot_ms"`
	DurationMs float64     `json:"duration_ms"`
	Overrun    bool        `json:"overrun,omitempty"`
	Sample     bool        `json:"sample,omitempty"`
}

// CallDetail is the receipt of one call: GET /api/v1/calls/{id}.
type CallDetail struct {
	Call
	CostLines    []money.Line      `json:"cost_lines"`
	ChargeLines  []money.Line      `json:"charge_lines"`
	Unpriced     []string          `json:"unpriced,omitempty"`
	PriceVersion string            `json:"price_version"`
	PriceSource  string            `json:"price_source"`
	Tariff       string            `json:"tariff"`
	HeldUSD      *money.Pico       `json:"held_usd"`
	Flags        []string          `json:"flags,omitempty"`
	Decisions    []ledger.Decision `json:"decisions,omitempty"`
	OutputSHA256 string            `json:"output_sha256,omitempty"`
	Children     []Call            `json:"children,omitempty"`
	// Corrections are later postings that changed the amounts (repricing).
	Corrections []CallCorrection `json:"corrections,omitempty"`
	// Request and Reply are present only when content logging was on.
	ContentLogged bool   `json:"content_logged"`
	Request       string `json:"request,omitempty"`
	Reply         string `json:"reply,omitempty"`
}

// CallCorrection is one correction of a call's amounts.
type CallCorrection struct {
	Time         time.Time   `json:"time"`
	CostUSD      *money.Pico `json:"cost_usd"`
	ChargeUSD    *money.Pico `json:"charge_usd"`
	PriceVersion string      `json:"price_version"`
	Reason       string      `json:"reason"`
}

// Spend is one group: GET /api/v1/spend?by=customer|feature|model|key|day&since=&until=
// answers {"by": "...", "time_zone": "...", "groups": [Spend], "totals": Spend}.
type Spend struct {
	Group            string       `json:"group"`
	Calls            int64        `json:"calls"`
	Errors           int64        `json:"errors"`
	UnknownCostCalls int64        `json:"unknown_cost_calls"`
	CostUSD          money.Sum    `json:"cost_usd"`
	ChargeUSD        money.Sum    `json:"charge_usd"`
	MarginUSD        money.Sum    `json:"margin_usd"`
	Usage            *model.Usage `json:"usage"`
}

// Point is one step of GET /api/v1/series?step=hour|day&since=&until= which
// answers {"step": "...", "time_zone": "...", "points": [Point]}. Steps without
// calls are present with calls 0 and null amounts.
type Point struct {
	Start            time.Time  `json:"start"`
	Calls            int64      `json:"calls"`
	Errors           int64      `json:"errors"`
	UnknownCostCalls int64      `json:"unknown_cost_calls"`
	CostUSD          *money.Sum `json:"cost_usd"`
	ChargeUSD        *money.Sum `json:"charge_usd"`
	MarginUSD        *money.Sum `json:"margin_usd"`
	InputTokens      int64      `json:"input_tokens"`
	OutputTokens     int64      `json:"output_tokens"`
	TTFTp50Ms        *float64   `json:"ttft_p50_ms"`
	TTFTp95Ms        *float64   `json:"ttft_p95_ms"`
	DurationP50Ms    *float64   `json:"duration_p50_ms"`
	DurationP95Ms    *float64   `json:"duration_p95_ms"`
}

// Latency is GET /api/v1/latency?since=&until=&metric=duration|ttft: how many
// calls with outcome ok took how long, in steps of time. It is a heat map; a
// step without calls has only zeros and is no data, not fast.
type Latency struct {
	Metric   string `json:"metric"`
	TimeZone string `json:"time_zone"`
	// Starts are the steps' beginnings, ascending; StepMs is their width.
	Starts []time.Time `json:"starts"`
	StepMs int64       `json:"step_ms"`
	// BoundsMs are the upper bounds of the duration rows in milliseconds,
	// ascending; the last row, beyond all bounds, has none.
	BoundsMs []float64 `json:"bounds_ms"`
	// Counts has one slice per step, each with len(BoundsMs)+1 rows.
	Counts [][]int64 `json:"counts"`
}

// Status is GET /api/v1/status.
type Status struct {
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`
	Address  string    `json:"address"`
	TimeZone string    `json:"time_zone"`
	DataDir  string    `json:"data_dir"`
	// Config is the file that was read; "" when there is none.
	Config string `json:"config"`
	// OpenLoopback says that calls without a key are accepted as customer "local".
	OpenLoopback bool         `json:"open_loopback"`
	Engine       EngineStatus `json:"engine"`
	Upstreams    []Upstream   `json:"upstreams"`
	Models       int          `json:"models"`
	Calls        int64        `json:"calls"`
	SampleCalls  int64        `json:"sample_calls"`
	PriceDate    string       `json:"price_date"`
	PriceModels  int          `json:"price_models"`
}

// EngineStatus is the state of the local engine.
type EngineStatus struct {
	// State is off, missing, fetching, starting, ready, restarting or failed.
	State   string `json:"state"`
	Model   string `json:"model"`
	Detail  string `json:"detail"` // for people: what is wrong and what to do
	Fetched int64  `json:"fetched_bytes,omitempty"`
	Total   int64  `json:"total_bytes,omitempty"`
	// Throughput is measured output tokens per second; null before a measurement.
	TokensPerSecond *float64 `json:"tokens_per_second"`
}

// Upstream is a configured provider, without its key.
type Upstream struct {
	Name    string `json:"name"`
	Module  string `json:"module"`
	BaseURL string `json:"base_url"`
	KeyFrom string `json:"key_from"` // "env:OPENAI_API_KEY", "file", "none"
}

// Model is one of GET /api/v1/models: {"models": [Model]}.
type Model struct {
	Name      string   `json:"name"`
	Upstream  string   `json:"upstream"`
	Module    string   `json:"module"`
	Ops       []string `json:"ops"`
	Ready     bool     `json:"ready"`
	Priced    bool     `json:"priced"`
	Price     *Price   `json:"price"`
	MaxInput  int64    `json:"max_input_tokens"`
	MaxOutput int64    `json:"max_output_tokens"`
}

// Price is one card of GET /api/v1/prices?q=&provider=&mode=&at=&limit=&offset=:
// {"prices": [Price], "total": n, "date": "...", "credit": "...", "providers":
// ["openai", ...] (all, for a filter's choices)}, and of
// GET /api/v1/prices/{provider}/{model...}: {"price": Price, "history": [Price]}.
type Price struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Mode     string `json:"mode"`
	// PerMillion and PerUnit are the base card, by bucket name.
	PerMillion map[string]money.Decimal `json:"per_million"`
	PerUnit    map[string]money.Decimal `json:"per_unit"`
	// Card is the whole card in the format of price cases, tiers and all.
	Card      any    `json:"card"`
	Effective string `json:"effective"` // date from which the card holds; "" when not known
	Until     string `json:"until"`
	Source    string `json:"source"`
	Origin    string `json:"origin"` // catalog, override, config, local
	MaxInput  int64  `json:"max_input_tokens"`
	MaxOutput int64  `json:"max_output_tokens"`
}

// Key is one of GET /api/v1/keys: {"keys": [Key]}. POST /api/v1/keys takes
// {name, customer?, log_content?, feature?} and answers {id, key, ...Key} with
// the secret, once. PATCH /api/v1/keys/{id} changes name and log_content;
// DELETE revokes.
type Key struct {
	ID         string     `json:"id"` // "key_…"
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"` // the first characters of the secret, for recognition
	Customer   string     `json:"customer"`
	Feature    string     `json:"feature"`
	Admin      bool       `json:"admin"`
	LogContent bool       `json:"log_content"`
	Created    time.Time  `json:"created"`
	LastUsed   *time.Time `json:"last_used"`
	Revoked    *time.Time `json:"revoked"`
}

// Budget is one of GET /api/v1/budgets: {"budgets": [Budget]}. PUT
// /api/v1/budgets takes {key|customer, limit_usd, period, mode} and answers a
// Budget (one per key or customer and period); DELETE /api/v1/budgets/{id}.
type Budget struct {
	ID           string     `json:"id"`
	Key          string     `json:"key,omitempty"`
	Customer     string     `json:"customer,omitempty"`
	LimitUSD     money.Pico `json:"limit_usd"`
	Period       string     `json:"period"`
	Mode         string     `json:"mode"`
	SpentUSD     money.Sum  `json:"spent_usd"`
	HeldUSD      money.Sum  `json:"held_usd"`
	RemainingUSD money.Sum  `json:"remaining_usd"`
	WindowStart  *time.Time `json:"window_start"`
	WindowEnd    *time.Time `json:"window_end"`
}

// Verification is GET /api/v1/ledger/verify.
type Verification struct {
	OK          bool      `json:"ok"`
	Calls       int64     `json:"calls"`
	Postings    int64     `json:"postings"`
	PostingsSum money.Sum `json:"postings_sum"`
	Head        string    `json:"head"`
	OpenHolds   int64     `json:"open_holds"`
	Errors      []string  `json:"errors"`
}

// Reprice is the answer of POST /api/v1/reprice {dry_run, since, until, book?}:
// what history would cost under another book, and the corrections when posted.
type Reprice struct {
	DryRun     bool  `json:"dry_run"`
	Calls      int64 `json:"calls"`
	Changed    int64 `json:"changed"`
	NowKnown   int64 `json:"now_known"`
	NowUnknown int64 `json:"now_unknown"`
	// Kept are calls of models that the other book does not know: their amounts stay.
	Kept       int64     `json:"kept"`
	CostBefore money.Sum `json:"cost_before_usd"`
	CostAfter  money.Sum `json:"cost_after_usd"`
	// UnknownBefore and UnknownAfter are the calls whose cost is in neither sum.
	UnknownBefore int64         `json:"unknown_cost_before"`
	UnknownAfter  int64         `json:"unknown_cost_after"`
	ByModel       []RepriceLine `json:"by_model"`
}

// RepriceLine is the change for one model.
type RepriceLine struct {
	Model      string    `json:"model"`
	Calls      int64     `json:"calls"`
	Changed    int64     `json:"changed"`
	CostBefore money.Sum `json:"cost_before_usd"`
	CostAfter  money.Sum `json:"cost_after_usd"`
	// UnknownBefore and UnknownAfter are the calls whose cost is in neither sum.
	UnknownBefore int64 `json:"unknown_cost_before"`
	UnknownAfter  int64 `json:"unknown_cost_after"`
}

// Session is GET /api/v1/session: who the browser is. POST takes {"key": "..."}
// (an admin secret or a key) and sets the cookie; DELETE logs out.
type Session struct {
	Authenticated bool `json:"authenticated"`
	// Role is admin, or member for a key's holder, who sees own calls only.
	Role     string `json:"role"`
	Key      string `json:"key,omitempty"`
	Customer string `json:"customer,omitempty"`
	// CSRF must be sent back in X-Strata-CSRF with every changing request.
	CSRF string `json:"csrf"`
}

// ErrorBody is every error of /api/v1: {"error": {...}} with a stable code.
type ErrorBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Param   string `json:"param,omitempty"`
	} `json:"error"`
}
