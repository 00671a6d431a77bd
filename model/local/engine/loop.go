//go:build !noengine && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package engine

import (
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/local/proto"
)

// loop owns the native context and answers jobs.
type loop struct {
	n *native
	r *renderer
	w *proto.Writer

	temperature, topP float64

	in   chan *job
	wake chan struct{} // a job was cancelled
	done func(*job)    // told once per job, when it has ended

	pace *pace

	queue  []*job // with choices that have not started, in turn
	embeds []*job
	active []*run // in slots, oldest first
	slots  []*slot
	clock  int
}

// slot is one sequence of the native context.
type slot struct {
	seq  int
	run  *run
	used int // when it was last taken, by the loop's clock
	// cached is the beginning of the last prompt, in whole chunks, that the
	// sequence holds.
	cached []int32
}

func newLoop(n *native, r *renderer, w *proto.Writer, queue int, done func(*job)) *loop {
	l := &loop{n: n, r: r, w: w, pace: newPace(n.threads), in: make(chan *job, queue+n.parallel), wake: make(chan struct{}, 1), done: done}
	for i := range n.parallel {
		l.slots = append(l.slots, &slot{seq: i})
	}
	return l
}

// run answers jobs for ever.
func (l *loop) run() {
	runtime.LockOSThread()
	for {
		if len(l.active) == 0 && len(l.queue) == 0 && len(l.embeds) == 0 {
			select {
			case j := <-l.in:
				l.add(j)
			case <-l.wake:
			}
		}
		for more := true; more; {
			select {
			case j := <-l.in:
				l.add(j)
			default:
				more = false
			}
		}
		l.dropCancelled()
		l.fill()
		l.prefill()
		l.decode()
		l.embed()
		l.w.Flush()
	}
}

func (l *loop) add(j *job) {
	if j.embed != nil {
		l.embeds = append(l.embeds, j)
		return
	}
	if j.left == 0 {
		l.end(j)
		return
	}
	l.queue = append(l.queue, j)
}

// end sends the last message of a job that went well.
func (l *loop) end(j *job) {
	u := j.usage
	l.w.Queue(&proto.FromChild{Kind: proto.End, ID: j.id, Usage: &u, Rate: j.rate, Vectors: j.vectors})
	l.done(j)
}

// fail ends a job and frees its slots.
func (l *loop) fail(j *job, err error) {
	for _, r := range j.runs {
		l.release(r)
	}
	gone := func(x *job) bool { return x == j }
	l.queue = slices.DeleteFunc(l.queue, gone)
	l.embeds = slices.DeleteFunc(l.embeds, gone)
	u := j.usage
	l.w.Queue(&proto.FromChild{Kind: proto.Fail, ID: j.id, Usage: &u, Error: asError(err)})
	l.done(j)
}

// release takes a run out of its slot. What the slot holds of the prompt stays
// for reuse.
func (l *loop) release(r *run) {
	if r.grammar != nil {
		r.grammar.free()
		r.grammar = nil
	}
	if r.slot == nil {
		return
	}
	r.slot.cached = r.prompt[:min(r.done, len(r.prompt))/chunk*chunk]
	r.slot.run, r.slot = nil, nil
	l.active = slices.DeleteFunc(l.active, func(x *run) bool { return x == r })
}

func (l *loop) dropCancelled() {
	cancelled := map[*job]bool{}
	for _, r := range l.active {
		if r.job.cancelled.Load() {
			cancelled[r.job] = true
		}
	}
	for _, list := range [][]*job{l.queue, l.embeds} {
		for _, j := range list {
			if j.cancelled.Load() {
				cancelled[j] = true
			}
		}
	}
	for j := range cancelled {
		l.fail(j, model.Errorf(499, model.CodeCanceled, "the request was cancelled"))
	}
}

// fill gives free slots to waiting choices. Requests take turns, so that one
// with many choices does not keep others waiting.
func (l *loop) fill() {
	for len(l.queue) > 0 {
		j := l.queue[0]
		r := j.runs[j.next]
		s, keep := l.pickSlot(r.prompt)
		if s == nil {
			return
		}
		l.queue = l.queue[1:]
		if j.next++; j.next < len(j.runs) {
			l.queue = append(l.queue, j)
		}
		if !l.n.forget(s.seq, keep) {
			keep = 0
		}
		l.clock++
		s.run, s.used, s.cached = r, l.clock, nil
		r.slot, r.done = s, keep
		r.tokens = slices.Clone(r.prompt)
		if r.counted {
			j.usage.CacheRead += keep
		}
		l.active = append(l.active, r)
		if r.gbnf != "" {
			g, err := l.n.newGrammar(r.gbnf)
			if err != nil {
				l.fail(j, unsupported("response_format", "the response format or tool schema is too complex for the local engine"))
				continue
			}
			r.grammar = g
		}
		if r.echo != "" {
			l.w.Queue(&proto.FromChild{Kind: proto.Delta, ID: j.id, Choice: r.choice, Text: r.echo})
		}
		if r.max == 0 {
			if r.counted {
				j.usage.Input += len(r.prompt) // counted though nothing is computed
				j.usage.CacheRead -= keep
			}
			l.finish(r, "length")
		}
	}
}

// pickSlot is the free slot that holds the most of the prompt's beginning, else
// the one that was unused longest; keep is how many tokens can be reused.
func (l *loop) pickSlot(prompt []int32) (best *slot, keep int) {
	for _, s := range l.slots {
		if s.run != nil {
			continue
		}
		// The last token of a prompt is always computed: its logits are needed.
		n, most := 0, min(len(s.cached), len(prompt)-1)
		for n < most && s.cached[n] == prompt[n] {
			n++
		}
		n = n / chunk * chunk
		if best == nil || n > keep || n == keep && s.used < best.used {
			best, keep = s, n
		}
	}
	return best, keep
}

// prefill computes one chunk of the oldest prompt that is not complete.
func (l *loop) prefill() {
	i := slices.IndexFunc(l.active, func(r *run) bool { return r.done < len(r.prompt) })
	if i < 0 {
		return
	}
	r := l.active[i]
	end := min((r.done/chunk+1)*chunk, len(r.prompt))
	final := end == len(r.prompt)
	l.n.batch.Clear()
	for p := r.done; p < end; p++ {
		if err := l.n.batch.Add(llama.Token(r.prompt[p]), llama.Pos(p), []llama.SeqId{llama.SeqId(r.slot.seq)}, final && p == end-1); err != nil {
			l.fail(r.job, err)
			return
		}
	}
	if err := l.n.decode(l.n.ctx, l.n.batch); err != nil {
		l.fail(r.job, err)
		return
	}
	if r.counted {
		r.job.usage.Input += end - r.done
	}
	row := end - r.done - 1
	r.done = end
	if final {
		l.sample(r, row)
	}
}

// decode computes the next token of every choice that is past its prompt.
func (l *loop) decode() {
	l.n.batch.Clear()
	var rows []*run
	for _, r := range l.active {
		if len(r.tokens) == len(r.prompt) || r.done >= len(r.tokens) {
			continue
		}
		if err := l.n.batch.Add(llama.Token(r.tokens[r.done]), llama.Pos(r.done), []llama.SeqId{llama.SeqId(r.slot.seq)}, true); err != nil {
			l.fail(r.job, err)
			return
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return
	}
	level, threads := l.pace.next(len(rows))
	l.n.setThreads(threads)
	began := time.Now()
	err := l.n.decode(l.n.ctx, l.n.batch)
	l.pace.observe(level, len(rows), time.Since(began))
	if err != nil {
		for _, r := range rows {
			if r.slot != nil {
				l.fail(r.job, err)
			}
		}
		return
	}
	for i, r := range rows {
		r.done++
		if r.slot != nil { // its job may have failed meanwhile
			l.sample(r, i)
		}
	}
}

// sample draws the next token of a choice from a row of the last batch.
func (l *loop) sample(r *run, row int) {
	raw, err := l.n.logits(row)
	if err != nil {
		l.fail(r.job, err)
		return
	}
	logits := r.sampler.adjust(raw, r.tokens, len(r.prompt))
	tok, ok := r.sampler.draw(logits)
	if ok && r.grammar != nil && !r.grammar.allows(tok) {
		tok, ok = r.sampler.draw(r.grammar.mask(logits))
	}
	if !ok || l.n.eog[tok] {
		l.finish(r, "stop")
		return
	}
	if r.grammar != nil {
		r.grammar.accept(tok)
	}
	r.last = time.Now()
	if r.out == 0 {
		r.first = r.last
	}
	r.out++
	r.job.usage.Output++
	r.sampler.counts[tok]++
	r.tokens = append(r.tokens, tok)
	var lp *proto.Logprob
	if r.sampler.logprobs {
		x := logprob(raw, tok, r.sampler.top, l.n.piece)
		lp = &x
	}
	if l.emit(r, l.n.piece(tok), lp) {
		l.finish(r, "stop")
	} else if r.out >= r.max {
		l.finish(r, "length")
	}
}

// emit adds the bytes of a token to the choice's text and sends what is
// decided. It reports whether a stop string ended the choice.
func (l *loop) emit(r *run, piece []byte, lp *proto.Logprob) (stopped bool) {
	if r.inTool {
		text, _, closed := r.tool.push(piece, nil)
		r.toolText += text
		if closed && !r.forced {
			l.call(r)
			r.inTool, r.tool = false, streamer{stops: []string{toolClose}}
			r.stream = r.newStream()
		}
		return closed && r.forced
	}
	text, lps, stopped := r.stream.push(piece, lp)
	if r.calls > 0 && len(text) > 0 && isSpace(text) {
		text = "" // the white space between calls
	}
	l.delta(r, text, lps)
	if stopped && r.watch && r.stream.matched == toolOpen {
		r.inTool = true
		rest := r.stream.rest
		if rest != "" {
			l.emit(r, []byte(rest), nil)
		}
		return false
	}
	return stopped
}

func isSpace(s string) bool {
	for _, c := range s {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// call sends the tool call that was collected, or its text if it is none.
func (l *loop) call(r *run) {
	text := r.toolText
	r.toolText = ""
	name, args, ok := parseToolCall(text)
	if !ok {
		l.delta(r, toolOpen+text, nil)
		return
	}
	u := r.job.usage
	l.w.Queue(&proto.FromChild{Kind: proto.Delta, ID: r.job.id, Choice: r.choice, Usage: &u,
		ToolCalls: []proto.ToolCall{{Index: r.calls, Name: name, Arguments: args}}})
	r.calls++
}

func (l *loop) delta(r *run, text string, lps []proto.Logprob) {
	if text == "" && len(lps) == 0 {
		return
	}
	u := r.job.usage
	l.w.Queue(&proto.FromChild{Kind: proto.Delta, ID: r.job.id, Choice: r.choice, Text: text, Logprobs: lps, Usage: &u})
}

// finish ends a choice, and its job with the last one.
func (l *loop) finish(r *run, reason string) {
	if r.inTool {
		text, _ := r.tool.flush()
		r.toolText += text
		if r.toolText != "" {
			l.call(r)
		}
	} else if r.stream.matched == "" || r.stream.matched == toolOpen {
		text, lps := r.stream.flush()
		l.delta(r, text, lps)
	}
	if r.calls > 0 && reason == "stop" {
		reason = "tool_calls"
	}
	j := r.job
	u := j.usage
	l.w.Queue(&proto.FromChild{Kind: proto.Delta, ID: j.id, Choice: r.choice, Finish: reason, Usage: &u})
	if took := r.last.Sub(r.first).Seconds(); r.out > j.longest && r.out > 1 && took > 0 {
		j.longest, j.rate = r.out, float64(r.out-1)/took
	}
	l.release(r)
	if j.left--; j.left == 0 {
		l.end(j)
	}
}

// embed computes one step of the oldest text that is to be embedded. A vector
// is the mean of the output vectors of the text's tokens, scaled to length 1.
func (l *loop) embed() {
	if len(l.embeds) == 0 {
		return
	}
	j := l.embeds[0]
	toks := j.embed[j.at]
	if j.pos == 0 {
		j.sum = make([]float64, l.n.nEmbd)
	}
	end := min(j.pos+embedStep, len(toks))
	if err := l.n.embedChunk(toks[j.pos:end], j.pos, j.sum); err != nil {
		l.fail(j, err)
		return
	}
	j.usage.Input += end - j.pos
	if j.pos = end; j.pos < len(toks) {
		return
	}
	j.vectors = append(j.vectors, unit(j.sum))
	j.pos = 0
	if j.at++; j.at == len(j.embed) {
		l.embeds = l.embeds[1:]
		l.end(j)
	}
}

// unit is v scaled to length 1, as little-endian float32.
func unit(v []float64) []byte {
	var norm float64
	for _, x := range v {
		norm += x * x
	}
	norm = math.Sqrt(norm)
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		if norm > 0 {
			x /= norm
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(x)))
	}
	return out
}
