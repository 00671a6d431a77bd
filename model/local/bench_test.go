//go:build !noengine && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package local

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/artifact"
)

// The benchmark sets the engine, measured by its client through the child
// process, beside llama.cpp's own speed on the same file and threads. The npm
// and pip packages hold no llama-bench, so "own" is what llama-bench does,
// written out: decode one token after another without sampling, or one prompt
// in batches of 512, in this process, with the same library. Rounds alternate
// and medians are compared. Run it on an idle machine:
//
//	go test ./model/local -run '^$' -bench Engine -benchtime 1x
const (
	benchTokens = 96
	benchPrompt = 512
	benchRounds = 7
)

// own is llama.cpp in this process.
type own struct {
	ctx   llama.Context
	batch llama.Batch
	mem   llama.Memory
	n     int
}

var ownOnce struct {
	sync.Once
	o   *own
	err error
}

func ownLlama(b *testing.B, threads int) *own {
	b.Helper()
	libs, weights := fetched(b, artifact.Libraries()), fetched(b, artifact.Weights())
	ownOnce.Do(func() {
		if ownOnce.err = llama.Load(libs); ownOnce.err != nil {
			return
		}
		llama.LogSet(llama.LogSilent())
		llama.Init()
		m, err := llama.ModelLoadFromFile(weights, llama.ModelDefaultParams())
		if err != nil {
			ownOnce.err = err
			return
		}
		cp := llama.ContextDefaultParams()
		cp.NCtx, cp.NBatch, cp.NUbatch = benchPrompt+benchTokens, 512, 512
		cp.NThreads, cp.NThreadsBatch = int32(threads), int32(threads)
		o := &own{n: int(llama.VocabNTokens(llama.ModelGetVocab(m)))}
		if o.ctx, err = llama.InitFromModel(m, cp); err != nil {
			ownOnce.err = err
			return
		}
		o.batch = llama.BatchInit(512, 0, 1)
		o.mem, ownOnce.err = llama.GetMemory(o.ctx)
		ownOnce.o = o
	})
	if ownOnce.err != nil {
		b.Fatal(ownOnce.err)
	}
	return ownOnce.o
}

// run decodes tokens from position 0 in batches of n and returns tokens per
// second.
func (o *own) run(b *testing.B, tokens, n int) float64 {
	b.Helper()
	llama.MemoryClear(o.mem, false)
	began := time.Now()
	for at := 0; at < tokens; at += n {
		o.batch.Clear()
		for i := range min(n, tokens-at) {
			last := i == n-1 || at+i == tokens-1
			if err := o.batch.Add(llama.Token((at+i)*7919%o.n), llama.Pos(at+i), []llama.SeqId{0}, last); err != nil {
				b.Fatal(err)
			}
		}
		if rc, err := llama.Decode(o.ctx, o.batch); err != nil || rc != 0 {
			b.Fatal(rc, err)
		}
		llama.Synchronize(o.ctx)
	}
	return float64(tokens) / time.Since(began).Seconds()
}

// stream asks the engine and returns decoding tokens per second as its client
// sees them, and the time to the first token.
func stream(b *testing.B, e *Engine, req *model.Request) (rate float64, first time.Duration) {
	b.Helper()
	began := time.Now()
	var at, last time.Time
	n := 0
	for ev, err := range e.Generate(b.Context(), req) {
		if err != nil {
			b.Fatal(err)
		}
		if ev.Text == "" {
			continue
		}
		last = time.Now()
		if n == 0 {
			at = last
		}
		n++
	}
	return float64(n-1) / last.Sub(at).Seconds(), at.Sub(began)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func benchEngine(b *testing.B) *Engine {
	b.Helper()
	return ready(b, start(b, Config{Context: 2048}))
}

// words is a prompt of about n tokens that no other call begins with.
func words(i, n int) string {
	return strings.Repeat(string(rune('A'+i%26))+" ", n/2)
}

func BenchmarkEngineDecode(b *testing.B) {
	e := benchEngine(b)
	o := ownLlama(b, e.Status().Threads)
	for b.Loop() {
		var mine, theirs []float64
		for i := range benchRounds + 1 {
			t := o.run(b, benchTokens, 1)
			m, _ := stream(b, e, complete("The history of the", benchTokens, func(c *model.Completion) {
				c.LogitBias = map[string]float64{"0": -100, "2": -100} // no end
			}))
			if i > 0 { // the first round warms up
				mine, theirs = append(mine, m), append(theirs, t)
			}
		}
		b.ReportMetric(median(mine), "engine-tok/s")
		b.ReportMetric(median(theirs), "llama-tok/s")
		b.ReportMetric(median(mine)/median(theirs), "ratio")
		b.Logf("engine %.1f, llama.cpp %.1f tokens/s on %d threads", mine, theirs, e.Status().Threads)
	}
}

func BenchmarkEnginePrefill(b *testing.B) {
	e := benchEngine(b)
	o := ownLlama(b, e.Status().Threads)
	for b.Loop() {
		var mine, theirs []float64
		for i := range benchRounds + 1 {
			t := o.run(b, benchPrompt, 512)
			prompt := words(i, benchPrompt)
			n, err := e.Tokens(prompt)
			if err != nil {
				b.Fatal(err)
			}
			_, first := stream(b, e, complete(prompt, 2, func(c *model.Completion) { c.LogitBias = map[string]float64{"0": -100, "2": -100} }))
			if i > 0 {
				mine, theirs = append(mine, float64(n)/first.Seconds()), append(theirs, t)
			}
		}
		b.ReportMetric(median(mine), "engine-tok/s")
		b.ReportMetric(median(theirs), "llama-tok/s")
		b.ReportMetric(median(mine)/median(theirs), "ratio")
		b.Logf("engine %.1f, llama.cpp %.1f tokens/s", mine, theirs)
	}
}

// BenchmarkEngineTogether is the throughput of four streams at once beside one
// alone.
func BenchmarkEngineTogether(b *testing.B) {
	e := benchEngine(b)
	endless := func(c *model.Completion) { c.LogitBias = map[string]float64{"0": -100, "2": -100} }
	for b.Loop() {
		var alone, together []float64
		for range 3 {
			began := time.Now()
			collect(b, e, complete("The history of the", benchTokens, endless))
			alone = append(alone, benchTokens/time.Since(began).Seconds())
			began = time.Now()
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { collect(b, e, complete("The history of the", benchTokens, endless)) })
			}
			wg.Wait()
			together = append(together, 4*benchTokens/time.Since(began).Seconds())
		}
		b.ReportMetric(median(alone), "alone-tok/s")
		b.ReportMetric(median(together), "together-tok/s")
	}
}
