//go:build !noengine && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package engine

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/hybridgroup/yzma/pkg/llama"

	"github.com/stratahq/strata/model/local/proto"
)

// Built says whether this binary can run a model.
const Built = true

// chunk is how many prompt tokens are computed at once. Chunks begin at its
// multiples. Smaller chunks let others in more often and reuse more; larger
// ones are faster: 139, 145, 146 and 146 tokens per second of processor time in
// chunks of 64, 128, 256 and 512 (bundled model, one thread, AMD EPYC Milan,
// November 2026).
const chunk = 128

// native is a loaded model with its context. Only the loop uses it, except for
// the vocabulary's functions, which are safe for concurrent use.
type native struct {
	model llama.Model
	vocab llama.Vocab
	ctx   llama.Context
	mem   llama.Memory
	batch llama.Batch

	embed      llama.Context // made when first needed
	embedBatch llama.Batch

	nVocab, nEmbd, nCtx, nCtxTrain int
	parallel, threads, using       int
	bos                            int32
	addBOS                         bool
	eog                            []bool
	pieces                         [][]byte // bytes of each token, shown as output
	longest                        int      // bytes of the longest piece
	specials                       []string
}

func load(spec *proto.LoadSpec) (*native, error) {
	if err := llama.Load(spec.Libraries); err != nil {
		return nil, fmt.Errorf("the llama.cpp libraries in %s cannot be loaded: %w; run: strata model check", spec.Libraries, err)
	}
	llama.BackendInit()
	if err := llama.GGMLBackendLoadAllFromPath(spec.Libraries); err != nil {
		return nil, fmt.Errorf("the compute libraries in %s cannot be loaded: %w; run: strata model check", spec.Libraries, err)
	}
	if llama.GGMLBackendDeviceCount() == 0 {
		return nil, fmt.Errorf("the libraries in %s hold no compute library for this processor; run: strata model check", spec.Libraries)
	}
	mp := llama.ModelDefaultParams()
	mp.NGpuLayers = int32(spec.GPULayers)
	if spec.GPULayers < 0 {
		mp.NGpuLayers = math.MaxInt32
	}
	n := &native{}
	var err error
	if n.model, err = llama.ModelLoadFromFile(spec.Model, mp); err != nil {
		return nil, fmt.Errorf("llama.cpp cannot load %s: %w", spec.Model, err)
	}
	if !llama.ModelHasDecoder(n.model) || llama.ModelHasEncoder(n.model) {
		return nil, fmt.Errorf("%s is not a decoder-only language model; the local engine serves no others", spec.Model)
	}
	n.vocab = llama.ModelGetVocab(n.model)
	n.nVocab = int(llama.VocabNTokens(n.vocab))
	n.nEmbd = int(llama.ModelNEmbd(n.model))
	n.nCtxTrain = int(llama.ModelNCtxTrain(n.model))
	n.nCtx = spec.Context
	if n.nCtxTrain > 0 {
		n.nCtx = min(n.nCtx, n.nCtxTrain)
	}
	n.parallel = spec.Parallel
	n.threads = spec.Threads
	if n.threads == 0 {
		n.threads = max(1, min(int(llama.Threads()), runtime.GOMAXPROCS(0)))
	}
	cp := n.contextParams()
	cp.NCtx = uint32(n.nCtx * n.parallel)
	cp.NSeqMax = uint32(n.parallel)
	cp.NBatch = uint32(max(chunk, n.parallel))
	cp.NUbatch = cp.NBatch
	if n.ctx, err = llama.InitFromModel(n.model, cp); err != nil {
		return nil, fmt.Errorf("llama.cpp cannot make a context of %d x %d tokens for %s: %w; lower context or parallel", n.parallel, n.nCtx, spec.Model, err)
	}
	if c := int(llama.NCtxSeq(n.ctx)); c > 0 {
		n.nCtx = min(c, n.nCtx)
	}
	if n.mem, err = llama.GetMemory(n.ctx); err != nil {
		return nil, err
	}
	n.using = n.threads
	n.batch = llama.BatchInit(int32(cp.NBatch), 0, 1)
	n.readVocabulary()
	return n, nil
}

func (n *native) contextParams() llama.ContextParams {
	cp := llama.ContextDefaultParams()
	cp.NThreads, cp.NThreadsBatch = int32(n.threads), int32(n.threads)
	cp.NoPerf = 1
	return cp
}

func (n *native) readVocabulary() {
	n.bos = int32(llama.VocabBOS(n.vocab))
	n.addBOS = llama.VocabGetAddBOS(n.vocab)
	n.eog = make([]bool, n.nVocab)
	n.pieces = make([][]byte, n.nVocab)
	buf := make([]byte, 1024)
	for t := range n.nVocab {
		tok := llama.Token(t)
		n.eog[t] = llama.VocabIsEOG(n.vocab, tok)
		k := llama.TokenToPiece(n.vocab, tok, buf, 0, false)
		if int(-k) > len(buf) {
			buf = make([]byte, -k)
			k = llama.TokenToPiece(n.vocab, tok, buf, 0, false)
		}
		if k > 0 {
			n.pieces[t] = slices.Clone(buf[:k])
			n.longest = max(n.longest, int(k))
		}
		if llama.VocabIsControl(n.vocab, tok) {
			if text := llama.VocabGetText(n.vocab, tok); text != "" {
				n.specials = append(n.specials, text)
				n.longest = max(n.longest, len(text))
			}
		}
	}
}

// tokenText is the text of a token as the vocabulary writes it.
func (n *native) tokenText(t int32) string {
	if t < 0 {
		return ""
	}
	return llama.VocabGetText(n.vocab, llama.Token(t))
}

func (n *native) piece(t int32) []byte { return n.pieces[t] }

// tokenize must not be given text with NUL bytes.
func (n *native) tokenize(text string, special, parse bool) []int32 {
	if text == "" && !special {
		return nil
	}
	toks := llama.Tokenize(n.vocab, text, special, parse)
	return unsafe.Slice((*int32)(unsafe.SliceData(toks)), len(toks))
}

var errDecode = errors.New("llama.cpp cannot decode")

// setThreads sets how many threads the next decode of the main context uses.
func (n *native) setThreads(threads int) {
	if threads != n.using {
		llama.SetNThreads(n.ctx, int32(threads), int32(threads))
		n.using = threads
	}
}

// decode computes what is in the batch.
func (n *native) decode(ctx llama.Context, b llama.Batch) error {
	rc, err := llama.Decode(ctx, b)
	if err != nil {
		return err
	}
	if rc != 0 {
		return fmt.Errorf("%w (code %d)", errDecode, rc)
	}
	return nil
}

// logits are valid until the next decode.
func (n *native) logits(i int) ([]float32, error) {
	l, err := llama.GetLogitsIth(n.ctx, int32(i), n.nVocab)
	if err == nil && l == nil {
		err = fmt.Errorf("%w: no logits for row %d", errDecode, i)
	}
	return l, err
}

// forget drops what slot seq holds from position p on. It reports whether the
// rest is intact; recurrent models can only drop everything.
func (n *native) forget(seq int, p int) bool {
	ok, err := llama.MemorySeqRm(n.mem, llama.SeqId(seq), llama.Pos(p), -1)
	if ok && err == nil {
		return true
	}
	llama.MemorySeqRm(n.mem, llama.SeqId(seq), -1, -1)
	return false
}

// embedChunk embeds the next tokens of a text: pos is where they begin. It adds
// the tokens' output vectors to sum.
func (n *native) embedChunk(tokens []int32, pos int, sum []float64) error {
	if n.embed == 0 {
		cp := n.contextParams()
		cp.NCtx, cp.NSeqMax = uint32(n.nCtx), 1
		cp.NBatch, cp.NUbatch = embedStep, embedStep
		cp.Embeddings = 1
		cp.PoolingType = llama.PoolingTypeNone
		ctx, err := llama.InitFromModel(n.model, cp)
		if err != nil {
			return fmt.Errorf("llama.cpp cannot make a context for embeddings: %w", err)
		}
		n.embed = ctx
		n.embedBatch = llama.BatchInit(embedStep, 0, 1)
	}
	llama.SetNThreads(n.embed, int32(n.using), int32(n.using))
	if pos == 0 {
		mem, err := llama.GetMemory(n.embed)
		if err != nil {
			return err
		}
		if err := llama.MemoryClear(mem, false); err != nil {
			return err
		}
	}
	n.embedBatch.Clear()
	for i, t := range tokens {
		if err := n.embedBatch.Add(llama.Token(t), llama.Pos(pos+i), []llama.SeqId{0}, true); err != nil {
			return err
		}
	}
	if err := n.decode(n.embed, n.embedBatch); err != nil {
		return err
	}
	for i := range tokens {
		v, err := llama.GetEmbeddingsIth(n.embed, int32(i), int32(n.nEmbd))
		if err != nil || v == nil {
			return fmt.Errorf("%w: no embedding (%w)", errDecode, err)
		}
		for j, x := range v {
			sum[j] += float64(x)
		}
	}
	return nil
}

// embedStep is how many tokens are embedded at once.
const embedStep = 128

// grammar constrains one sequence.
type grammar struct {
	s    llama.Sampler
	data []llama.TokenData
	arr  *llama.TokenDataArray
}

func (n *native) newGrammar(gbnf string) (*grammar, error) {
	s := llama.SamplerInitGrammar(n.vocab, gbnf, "root")
	if s == 0 {
		return nil, errors.New("llama.cpp refuses the grammar")
	}
	return &grammar{s: s, arr: &llama.TokenDataArray{}}, nil
}

// allows reports whether the grammar can go on with the token.
func (g *grammar) allows(token int32) bool {
	g.data = append(g.data[:0], llama.TokenData{Id: llama.Token(token), Logit: 1})
	g.apply()
	return !math.IsInf(float64(g.data[0].Logit), -1)
}

// mask copies logits with -Inf for every token that the grammar forbids.
func (g *grammar) mask(logits []float32) []float32 {
	g.data = g.data[:0]
	for t, l := range logits {
		g.data = append(g.data, llama.TokenData{Id: llama.Token(t), Logit: l})
	}
	g.apply()
	out := make([]float32, len(logits))
	for i := range out {
		out[i] = float32(math.Inf(-1))
	}
	for _, d := range g.data[:g.arr.Size] {
		out[d.Id] = d.Logit
	}
	return out
}

func (g *grammar) apply() {
	*g.arr = llama.TokenDataArray{Data: unsafe.SliceData(g.data), Size: uint64(len(g.data)), Selected: -1}
	llama.SamplerApply(g.s, g.arr)
	runtime.KeepAlive(g.data)
}

func (g *grammar) accept(token int32) { llama.SamplerAccept(g.s, llama.Token(token)) }

func (g *grammar) free() {
	llama.SamplerFree(g.s)
	g.s = 0
}

// builtinTemplate renders a chat with llama.cpp's own code.
func builtinTemplate(source string, messages []proto.Message) (string, error) {
	msgs := make([]llama.ChatMessage, len(messages))
	size := len(source) + 1024
	for i, m := range messages {
		if strings.ContainsRune(m.Content, 0) || strings.ContainsRune(m.Role, 0) {
			return "", errors.New("a message holds a NUL character")
		}
		msgs[i] = llama.NewChatMessage(m.Role, m.Content)
		size += len(m.Content) + 256
	}
	buf := make([]byte, size)
	k := llama.ChatApplyTemplate(source, msgs, true, buf)
	if int(k) > len(buf) {
		buf = make([]byte, k)
		k = llama.ChatApplyTemplate(source, msgs, true, buf)
	}
	runtime.KeepAlive(msgs)
	if k <= 0 {
		return "", errors.New("llama.cpp does not know the template")
	}
	return string(buf[:k]), nil
}
