package training

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stratahq/strata/infra/roofline"
)

//go:embed data/cases.csv
var casesCSV []byte

//go:embed data/shapes.csv
var shapesCSV []byte

//go:embed data/gpus.csv
var gpusCSV []byte

// Quantities that a case can measure.
const (
	QuantityStepTime   = "step_time"               // seconds
	QuantityActivation = "activation_memory"       // GiB per GPU, fullest pipeline stage
	QuantityPeak       = "peak_memory"             // GiB per GPU, all that is allocated
	QuantityTokens     = "tokens_per_s_per_gpu"    // tokens/s per GPU
	QuantityHardware   = "hardware_tflops_per_gpu" // TFLOP/s per GPU, recomputation counted
	QuantityModel      = "model_tflops_per_gpu"    // TFLOP/s per GPU, recomputation not counted
	QuantityHours      = "gpu_hours"
	QuantityRatio      = "time_ratio"      // time on gpus over time on tokens-column GPUs
	QuantityNodes      = "nodes"           // of eight GPUs
	QuantityCost       = "cost_per_day"    // USD, of the service's nodes
	QuantityRevenue    = "revenue_per_day" // USD, if all tokens were billed
)

// Case is one measured run.
type Case struct {
	Name, Group, Stack string
	ModelName          string
	Shape              *Shape
	GPU                *roofline.GPU
	GPUs               int
	Layout             Layout // zero where the run does not say
	Tokens             float64
	Quantity           string
	Measured           float64
	Line               int
	// Guessed says that the stack was not stated.
	Guessed bool
}

// CaseError is a row that cannot be used, and why.
type CaseError struct {
	File string
	Line int
	Name string
	Err  error
}

// Error gives file, line and reason.
func (e *CaseError) Error() string {
	return fmt.Sprintf("%s:%d: case %q: %v", e.File, e.Line, e.Name, e.Err)
}

func (e *CaseError) Unwrap() error { return e.Err }

// csvColumns are the columns of a file of cases; optional ones follow.
var csvColumns = []string{"name", "model", "gpu", "gpus", "tp", "pp", "dp", "ep", "interleave", "micro_batch", "global_batch", "seq_len", "recompute", "precision", "quantity", "measured"}

var csvOptional = []string{"group", "stack", "cp", "sequence_parallel", "shard", "tokens"}

// Columns lists the columns that a file of cases must have, in order.
func Columns() []string { return slices.Clone(csvColumns) }

// Lookup finds shapes and GPUs that a case names. It may be nil: then only the
// embedded ones are known.
type Lookup struct {
	Shape func(name string) (*Shape, error)
	GPU   func(name string) (*roofline.GPU, error)
}

// ReadCases reads a file of cases. Rows that cannot be used come back as
// errors; a file without the columns is an error of its own.
func ReadCases(name string, r io.Reader, look *Lookup) ([]Case, []*CaseError, error) {
	rd := csv.NewReader(r)
	rd.FieldsPerRecord = -1
	rd.TrimLeadingSpace = true
	rd.Comment = '#'
	header, err := rd.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: the file is empty; the first line names the columns %s", name, strings.Join(csvColumns, ","))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	at := map[string]int{}
	for i, h := range header {
		h = strings.TrimSpace(strings.TrimPrefix(h, "\ufeff"))
		if !slices.Contains(csvColumns, h) && !slices.Contains(csvOptional, h) {
			return nil, nil, fmt.Errorf("%s:1: unknown column %q; the columns are %s, and optionally %s", name, h, strings.Join(csvColumns, ","), strings.Join(csvOptional, ","))
		}
		if _, twice := at[h]; twice {
			return nil, nil, fmt.Errorf("%s:1: column %q is there twice", name, h)
		}
		at[h] = i
	}
	for _, c := range csvColumns {
		if _, ok := at[c]; !ok {
			return nil, nil, fmt.Errorf("%s:1: column %q is missing; the columns are %s", name, c, strings.Join(csvColumns, ","))
		}
	}
	var cases []Case
	var bad []*CaseError
	for {
		record, err := rd.Read()
		if errors.Is(err, io.EOF) {
			return cases, bad, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := rd.FieldPos(0)
		row := func(c string) string {
			if i, ok := at[c]; ok && i < len(record) {
				return strings.TrimSpace(record[i])
			}
			return ""
		}
		if len(record) != len(header) {
			bad = append(bad, &CaseError{name, line, row("name"), fmt.Errorf("has %d fields, the header has %d", len(record), len(header))})
			continue
		}
		c, err := parseCase(row, look)
		if err != nil {
			bad = append(bad, &CaseError{name, line, row("name"), err})
			continue
		}
		c.Line = line
		cases = append(cases, c)
	}
}

func parseCase(row func(string) string, look *Lookup) (Case, error) {
	c := Case{Name: row("name"), Group: row("group"), Stack: row("stack"), ModelName: row("model")}
	if c.Name == "" {
		return c, errors.New("has no name")
	}
	var err error
	if c.Shape, err = findShape(row("model"), look); err != nil {
		return c, err
	}
	if c.GPU, err = findGPU(row("gpu"), look); err != nil {
		return c, err
	}
	l := &c.Layout
	for _, f := range []struct {
		column string
		to     *int
	}{{"gpus", &c.GPUs}, {"tp", &l.TP}, {"pp", &l.PP}, {"dp", &l.DP}, {"ep", &l.EP}, {"cp", &l.CP}, {"interleave", &l.Interleave},
		{"micro_batch", &l.MicroBatch}, {"global_batch", &l.GlobalBatch}, {"seq_len", &l.SeqLen}} {
		text := row(f.column)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<30 {
			return c, fmt.Errorf("column %s: %q is not a whole number of at least 1", f.column, text)
		}
		*f.to = n
	}
	if text := row("tokens"); text != "" {
		if c.Tokens, err = strconv.ParseFloat(text, 64); err != nil || !(c.Tokens > 0) || math.IsInf(c.Tokens, 0) {
			return c, fmt.Errorf("column tokens: %q is not a number above zero", text)
		}
	}
	text := row("measured")
	if c.Measured, err = strconv.ParseFloat(text, 64); err != nil || !(c.Measured > 0) || math.IsInf(c.Measured, 0) {
		return c, fmt.Errorf("column measured: %q is not a number above zero", text)
	}
	sequence := row("sequence_parallel")
	switch mode := strings.ToLower(row("recompute")); mode {
	case "", "none", "no", "false", "seq":
		l.Recompute = RecomputeNone
		if mode == "" && l.TP == 0 && l.PP == 0 {
			l.Recompute = ""
		}
		if mode == "seq" && sequence == "" {
			sequence = "yes"
		}
	case "full", "yes", "true":
		l.Recompute = RecomputeFull
	case "op":
		l.Recompute = RecomputeOp
	case "sel", "attn_only":
		l.Recompute = RecomputeSelective
	case "selective", "seqsel":
		// Selective recomputation was published, and ships, with sequence
		// parallelism; a file that means it without says sequence_parallel=no.
		l.Recompute = RecomputeSelective
		if sequence == "" && l.TP > 1 {
			sequence = "yes"
		}
	default:
		return c, fmt.Errorf("column recompute: %q is not none, selective, op or full", row("recompute"))
	}
	switch strings.ToLower(sequence) {
	case "", "no", "false", "0":
	case "yes", "true", "1":
		l.SequenceParallel = true
	default:
		return c, fmt.Errorf("column sequence_parallel: %q is not yes or no", sequence)
	}
	if text := row("shard"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 3 {
			return c, fmt.Errorf("column shard: %q is not a ZeRO stage from 0 to 3", text)
		}
		l.Shard = Shard(n)
	} else if l.TP <= 1 && l.PP <= 1 && max(l.DP, c.GPUs) > 1 && (l.TP == 1 || l.DP > 1) {
		l.Shard = ShardParameters
	}
	l.Precision = strings.ToLower(row("precision"))
	switch l.Precision {
	case "float16":
		l.Precision = "fp16"
	case "bfloat16", "amp_bf16":
		l.Precision = "bf16"
	case "float8", "amp_fp8":
		l.Precision = "fp8"
	}
	if _, err := c.GPU.PeakOf(l.Precision); err != nil {
		return c, fmt.Errorf("column precision: %w", err)
	}
	switch q := strings.ToLower(row("quantity")); q {
	case "step_time", "batch_time_s", "step_time_s", "batch_time", "step_s":
		c.Quantity = QuantityStepTime
	case "activation_memory", "act_gib", "activation_gib", "activation_memory_gib":
		c.Quantity = QuantityActivation
	case "peak_memory", "memory_gib":
		c.Quantity = QuantityPeak
	case "tokens_per_s_per_gpu", "throughput", "tokens_per_gpu_s":
		c.Quantity = QuantityTokens
	case "hardware_tflops_per_gpu", "hfu_tflops", "tflops", "tflops_per_gpu":
		c.Quantity = QuantityHardware
	case "model_tflops_per_gpu", "mfu_tflops":
		c.Quantity = QuantityModel
	case QuantityHours, QuantityRatio, QuantityNodes, QuantityCost, QuantityRevenue:
		c.Quantity = q
	default:
		return c, fmt.Errorf("column quantity: %q is not one of %s", q, strings.Join([]string{QuantityStepTime, QuantityActivation, QuantityPeak, QuantityTokens, QuantityHardware, QuantityModel, QuantityHours, QuantityRatio}, ", "))
	}
	if c.Stack == "" {
		c.Stack = guessStack(c.Shape, *l, c.GPU)
		c.Guessed = true
		if c.Quantity == QuantityHours || c.Quantity == QuantityRatio {
			c.Stack = "blind"
		}
		switch c.Quantity {
		case QuantityNodes, QuantityCost, QuantityRevenue:
			c.Stack = "service"
		}
	}
	if c.Stack != "service" {
		if _, err := stackIndex(c.Stack); err != nil {
			return c, fmt.Errorf("column stack: %w", err)
		}
	}
	if c.Group == "" {
		c.Group = map[string]string{QuantityStepTime: "step_time", QuantityActivation: "activation_memory", QuantityPeak: "peak_memory", QuantityHours: "gpu_hours_blind", QuantityRatio: "scaling", QuantityNodes: "service", QuantityCost: "service", QuantityRevenue: "service"}[c.Quantity]
		if c.Group == "" {
			c.Group = "throughput"
		}
	}
	if known := l.TP * l.PP * l.DP; known > 0 && c.GPUs > 0 && known*max(1, l.CP) != c.GPUs {
		return c, fmt.Errorf("tp %d x pp %d x dp %d x cp %d is not %d GPUs", l.TP, l.PP, l.DP, max(1, l.CP), c.GPUs)
	}
	if l.Recompute == RecomputeSelective {
		// With fused attention there is no attention core left to recompute:
		// selective then means every second product and what is element-wise.
		if i, err := stackIndex(c.Stack); err == nil && stacks[i].Flash {
			l.Recompute = RecomputeOp
		}
	}
	if c.Quantity == QuantityHours {
		c.published()
	}
	if c.Group != "service" && (l.SeqLen == 0 || l.GlobalBatch == 0) {
		return c, errors.New("needs seq_len and global_batch")
	}
	return c, nil
}

// publishedRun is what a whole run was given, by model: tokens, and the batch and
// length of its sequences. A file of cases need not repeat it.
var publishedRun = map[string]struct {
	tokens     float64
	batch, seq int
}{
	"llama2-7b": {2e12, 1024, 4096}, "llama2-13b": {2e12, 1024, 4096}, "llama2-70b": {2e12, 1024, 4096},
	"deepseek-v3": {14.8e12, 15360, 4096}, "gpt3-175b": {3e11, 1536, 2048}, "bloom-176b": {3.66e11, 2048, 2048},
}

// published fills in what a run's publication states and a row leaves out.
func (c *Case) published() {
	p, ok := publishedRun[c.Shape.Name]
	if !ok {
		return
	}
	if c.Tokens == 0 {
		c.Tokens = p.tokens
	}
	if c.Layout.GlobalBatch == 0 {
		c.Layout.GlobalBatch = p.batch
	}
	if c.Layout.SeqLen == 0 {
		c.Layout.SeqLen = p.seq
	}
}

// EmbeddedCases are the published measurements that Strata ships.
func EmbeddedCases() ([]Case, error) {
	cases, bad, err := ReadCases("cases.csv", bytes.NewReader(casesCSV), nil)
	if err == nil && len(bad) > 0 {
		err = bad[0]
	}
	return cases, err
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return -1
	}, s)
}

var embeddedTables = sync.OnceValues(func() (tables, error) {
	t := tables{shapes: map[string]*Shape{}, gpus: map[string]*roofline.GPU{}}
	err := eachRow(shapesCSV, func(row func(string) string, num func(string) float64) {
		n := func(c string) int { return int(num(c)) }
		s := &Shape{Name: row("name"), Layers: n("layers"), Hidden: n("hidden"), FFN: n("ffn"), Heads: n("heads"), KVHeads: n("kv_heads"),
			HeadDim: n("head_dim"), Vocab: n("vocab"), Gated: row("gated") == "yes", Tied: row("gated") != "yes", Positions: n("positions"), Source: row("source")}
		if n("experts") > 0 {
			s.MoE = &MoE{Experts: n("experts"), Active: n("active_experts"), Shared: n("shared_experts"), FFN: n("expert_ffn"), Dense: n("dense_layers")}
		}
		if n("mla_q") > 0 {
			s.MLA = &MLA{Q: n("mla_q"), KV: n("mla_kv"), Rope: n("mla_rope"), Nope: n("mla_nope"), V: n("mla_v")}
		}
		t.shapeList = append(t.shapeList, s)
		for _, name := range append(strings.Split(row("aliases"), "|"), s.Name) {
			if name != "" {
				t.shapes[fold(name)] = s
			}
		}
	})
	if err != nil {
		return t, fmt.Errorf("shapes.csv: %w", err)
	}
	err = eachRow(gpusCSV, func(row func(string) string, num func(string) float64) {
		g := &roofline.GPU{Name: row("name"), Peak: map[string]float64{}, Memory: num("memory"), Bandwidth: num("bandwidth"), SM: int(num("sm")),
			Link: num("link"), Domain: int(num("domain")), Network: num("network"), Host: num("host"), Generation: row("generation")}
		for _, p := range []string{"fp16", "bf16", "fp8"} {
			if v := num(p); v > 0 {
				g.Peak[p] = v
			}
		}
		for _, name := range append(strings.Split(row("aliases"), "|"), g.Name) {
			t.gpus[fold(name)] = g
		}
	})
	if err != nil {
		return t, fmt.Errorf("gpus.csv: %w", err)
	}
	return t, nil
})

type tables struct {
	shapes    map[string]*Shape
	shapeList []*Shape
	gpus      map[string]*roofline.GPU
}

func eachRow(data []byte, fn func(row func(string) string, num func(string) float64)) error {
	rd := csv.NewReader(bytes.NewReader(data))
	all, err := rd.ReadAll()
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, h := range all[0] {
		at[h] = i
	}
	for line, record := range all[1:] {
		var failed error
		row := func(c string) string { return record[at[c]] }
		fn(row, func(c string) float64 {
			if row(c) == "" {
				return 0
			}
			v, err := strconv.ParseFloat(row(c), 64)
			if err != nil && failed == nil {
				failed = fmt.Errorf("line %d, column %s: %w", line+2, c, err)
			}
			return v
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

func findShape(name string, look *Lookup) (*Shape, error) {
	t, err := embeddedTables()
	if err != nil {
		return nil, err
	}
	if s, ok := t.shapes[fold(name)]; ok {
		return s, nil
	}
	if look != nil && look.Shape != nil {
		s, err := look.Shape(name)
		if err != nil {
			return nil, fmt.Errorf("column model: %w", err)
		}
		return s, s.Validate()
	}
	return nil, fmt.Errorf("column model: no model %q", name)
}

func findGPU(name string, look *Lookup) (*roofline.GPU, error) {
	t, err := embeddedTables()
	if err != nil {
		return nil, err
	}
	if g, ok := t.gpus[fold(name)]; ok {
		return g, nil
	}
	if look != nil && look.GPU != nil {
		g, err := look.GPU(name)
		if err != nil {
			return nil, fmt.Errorf("column gpu: %w", err)
		}
		return g, g.Validate()
	}
	return nil, fmt.Errorf("column gpu: no accelerator %q", name)
}

// ShapeByName finds a shape that the validation cases use.
func ShapeByName(name string) (*Shape, error) { return findShape(name, nil) }

// GPUByName finds a GPU that the validation cases use.
func GPUByName(name string) (*roofline.GPU, error) { return findGPU(name, nil) }
