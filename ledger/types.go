package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// Outcome says how a call ended.
type Outcome string

// The outcomes.
const (
	OutcomeOK        Outcome = "ok"        // the reply was delivered whole
	OutcomeRefused   Outcome = "refused"   // Strata refused: bad input, key, budget, limit
	OutcomeError     Outcome = "error"     // the upstream or the engine failed
	OutcomeCanceled  Outcome = "canceled"  // the client left before the end
	OutcomeRecovered Outcome = "recovered" // Strata died during the call; resolved at start
)

// Call is one Generate by one Model that costs something or decides something.
type Call struct {
	Seq    int64  // the ledger's order; assigned on settlement
	ID     string // UUIDv7
	Parent string // "" for a root call
	Root   string

	Time     time.Time     // when the request arrived, UTC
	TTFT     time.Duration // time to the first event with content; 0 when none came
	TPOT     time.Duration // mean time per output token after the first; 0 when unknown
	Duration time.Duration

	KeyID, Customer, Feature, EndUser string
	Tags                              map[string]string

	Op          model.Op
	Model       string // the name asked for
	ServedModel string // the upstream's own name for what answered
	Upstream    string // the configured upstream; "" when none was reached
	Provider    string // the price book's provider name
	Stream      bool

	Outcome   Outcome
	Status    int    // the HTTP status answered
	ErrorCode string // model.Error's code; "" when ok
	ErrorText string // its client-safe message

	// Usage is nil when nothing is known about consumption (a refused call).
	Usage *model.Usage

	// CostKnown is false when the model, or one of the buckets, has no price:
	// the cost is then unknown, which is never zero. Unpriced names the buckets.
	CostKnown    bool
	Unpriced     []string
	Cost         money.Pico // sum of CostLines
	CostLines    []money.Line
	PriceVersion string // the card that rated it, e.g. "catalog-2026-07-24/openai/gpt-4o-mini@2025-02-06"
	PriceSource  string // where the price comes from, for people

	// ChargeKnown, Charge, ChargeLines, Tariff: the same for what the customer pays.
	ChargeKnown bool
	Charge      money.Pico
	ChargeLines []money.Line
	Tariff      string

	// Held is the upper bound that was held; Overrun says that the cost exceeded it.
	Held    money.Pico
	Overrun bool

	// Decisions are what routes, limits and guards decided, in order.
	Decisions []Decision
	// OutputHash is the SHA-256 of the output text; nil when there was none.
	OutputHash []byte
	// Sample marks labelled sample data of the console.
	Sample bool

	// Content is kept apart from the row, only when content logging is on.
	Content *Content
}

// Estimated says that some bucket of the usage is an estimate.
func (c *Call) Estimated() bool { return c.Usage != nil && c.Usage.Estimated != 0 }

// Decision is one thing decided about a call.
type Decision struct {
	By     string `json:"by"`     // e.g. "route.fallback", "budget", "meter"
	What   string `json:"what"`   // e.g. "max_tokens_capped"
	Detail string `json:"detail"` // for people
}

// Content is the text of a call, secrets redacted.
type Content struct {
	Request []byte // the request's body or prompt
	Reply   []byte // the reply's text
}

// Hold is the admission of a call: an upper bound of its cost, held against
// every budget that applies until the call is settled.
type Hold struct {
	CallID   string
	Time     time.Time
	KeyID    string
	Customer string
	// Amount is the upper bound of the cost. Known is false when the model has
	// no price: then nothing is held, and hard budgets refuse the call unless
	// AllowUnknown.
	Amount money.Pico
	Known  bool
	// AllowUnknown lets a call of unknown cost pass hard budgets that are not
	// used up yet.
	AllowUnknown bool
	// Call is what is known of the call already, so that recovery can write it.
	Call *Call
}

// Budget limits the cost of a key or a customer.
type Budget struct {
	ID       string // "bud_…"
	KeyID    string // exactly one of KeyID and Customer is set
	Customer string
	Limit    money.Pico
	Period   Period
	Mode     Mode
	Created  time.Time

	// Spent and Held are of the current window; computed, not stored.
	Spent money.Sum
	Held  money.Sum
	// WindowStart and WindowEnd bound the current window (UTC; zero for total).
	WindowStart, WindowEnd time.Time
}

// Period is the window of a budget, by calendar in the business time zone.
type Period string

// The periods.
const (
	PeriodDay   Period = "day"
	PeriodMonth Period = "month"
	PeriodTotal Period = "total"
)

// Mode says what happens when a budget is used up.
type Mode string

// The modes.
const (
	ModeHard Mode = "hard" // refuse
	ModeWarn Mode = "warn" // go on, record the decision
)

// ErrInvalid is matched by errors about arguments: an id that is no UUID, lines
// that do not sum to the amount, a budget without a limit.
var ErrInvalid = errors.New("invalid")

// ErrBudgetExceeded is matched by errors of type *BudgetError.
var ErrBudgetExceeded = errors.New("budget exceeded")

// BudgetError says which budget refused a hold.
type BudgetError struct {
	Budget Budget
	Asked  money.Pico
	// Unknown says that the call was refused because its cost has no bound.
	Unknown bool
}

// Error names the budget, its limit, and what is spent and held.
func (e *BudgetError) Error() string {
	whose := "customer " + e.Budget.Customer
	if e.Budget.KeyID != "" {
		whose = "key " + e.Budget.KeyID
	}
	if e.Unknown {
		return fmt.Sprintf("the %s budget of %s is %s USD, and this model has no price, so the call's cost has no bound; set a price for it", e.Budget.Period, whose, e.Budget.Limit)
	}
	return fmt.Sprintf("the %s budget of %s is %s USD: %s spent, %s held by running calls; this call may cost up to %s",
		e.Budget.Period, whose, e.Budget.Limit, e.Budget.Spent, e.Budget.Held, e.Asked)
}

// Is matches ErrBudgetExceeded.
func (e *BudgetError) Is(target error) bool { return target == ErrBudgetExceeded }

// ErrUnavailable is returned when the database is full, locked or corrupt.
var ErrUnavailable = errors.New("the ledger cannot be written")

// ErrNotFound is returned for an id that is not there.
var ErrNotFound = errors.New("not found")

// Filter selects calls. Zero fields select all.
type Filter struct {
	Since, Until                 time.Time // Since ≤ Time < Until
	KeyID, Customer, Feature     string
	Model, ServedModel, Upstream string
	Outcome                      Outcome
	Root                         string // all calls of one tree
	Text                         string // substring of id, models, customer, feature, error
	UnknownCost                  bool   // only calls of unknown cost
	Sample                       *bool
	BeforeSeq                    int64 // page backwards: Seq < BeforeSeq
	AfterSeq                     int64 // live: Seq > AfterSeq
	Limit                        int   // 0 means 100
}

// GroupBy is a dimension of spend.
type GroupBy string

// The dimensions.
const (
	ByCustomer GroupBy = "customer"
	ByFeature  GroupBy = "feature"
	ByModel    GroupBy = "model"
	ByKey      GroupBy = "key"
	ByDay      GroupBy = "day" // in the business time zone
	ByHour     GroupBy = "hour"
)

// Spend is one group of calls, summed exactly.
type Spend struct {
	Group            string
	Calls            int64
	Errors           int64
	UnknownCostCalls int64
	Cost             money.Sum
	Charge           money.Sum
	Usage            model.Usage
}

// Margin is charge minus cost.
func (s *Spend) Margin() money.Sum { return s.Charge.Sub(s.Cost) }

// Point is one step of a time series.
type Point struct {
	Start time.Time
	Spend
	// Latency quantiles over the calls with outcome ok; -1 when there are none.
	TTFTp50, TTFTp95, DurationP50, DurationP95 time.Duration
}

// Verification is what Verify found.
type Verification struct {
	OK          bool
	Calls       int64
	Postings    int64
	PostingsSum money.Sum // must be zero
	Head        string    // hex of the newest link, to keep elsewhere
	OpenHolds   int64
	Errors      []string
}

// Correction is a posting pair that changes the cost or charge of a past call.
type Correction struct {
	CallID       string
	Cost, Charge money.Pico // the new amounts
	CostKnown    bool
	ChargeKnown  bool
	CostLines    []money.Line
	ChargeLines  []money.Line
	PriceVersion string
	Tariff       string
	Reason       string
}

// CorrectionRow is a correction as recorded.
type CorrectionRow struct {
	Correction
	Seq  int64 // the order of corrections
	Time time.Time
	// WasCost, WasCharge and their Known are the amounts that it replaced.
	WasCost, WasCharge           money.Pico
	WasCostKnown, WasChargeKnown bool
}

// Metric names a latency.
type Metric string

// The latencies.
const (
	MetricDuration Metric = "duration"
	MetricTTFT     Metric = "ttft"
)

// Heat is a map of latencies: steps of time × ranges of duration.
type Heat struct {
	// Starts are the beginnings of the steps, ascending and without gaps.
	Starts []time.Time
	// Bounds are the upper bounds of the ranges, ascending, each twice the one
	// before; the last range, beyond all bounds, has none.
	Bounds []time.Duration
	// Counts has one slice per step with len(Bounds)+1 counts of calls with
	// outcome ok.
	Counts [][]int64
}
