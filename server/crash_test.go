package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratahq/strata/ledger"
	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// received is a reply that a client holds whole.
type received struct {
	id         string
	cost       string // X-Strata-Cost
	completion int64  // usage.completion_tokens of the reply
	customer   string
}

// crashScene is the real binary, killed again and again, between a mock
// upstream and clients that live in the test.
type crashScene struct {
	t                    *testing.T
	binary, data, config string
	temp                 string // of the servers' sockets; short, as their path must be
	addr                 string
	keys                 map[string]string // secret by customer
	client               *http.Client

	mu       sync.Mutex
	received []received
	denied   atomic.Int64 // 402
	broken   atomic.Int64 // replies that a kill cut off
}

const crashClients = 64

// TestCrash kills the server with SIGKILL at random moments under load, and
// then asks the ledger about every reply that a client received whole.
// STRATA_KILLS is the number of kills (20 unless set), STRATA_SEED the seed.
func TestCrash(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("kill -9 is a Unix test; the file-layer faults of package store run everywhere")
	}
	if testing.Short() {
		t.Skip("builds the binary and kills it; not in -short")
	}
	kills := envInt("STRATA_KILLS", 20)
	seed := envInt("STRATA_SEED", 1)
	t.Logf("%d kills, seed %d", kills, seed)
	rng := rand.New(rand.NewPCG(uint64(seed), 7))
	s := newCrashScene(t)

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range crashClients {
		clients.Go(func() { s.clientLoop(rand.New(rand.NewPCG(uint64(seed), uint64(i)+100)), stop) })
	}
	for range kills {
		up := s.start()
		// Short and long lives: some kills fall into the first calls.
		time.Sleep(time.Duration(50+rng.IntN(500)) * time.Millisecond)
		up.Process.Kill()
		up.Wait()
	}
	close(stop)
	clients.Wait()

	// One more start resolves the holds that the last kill left.
	up := s.start()
	up.Process.Signal(os.Interrupt)
	if err := up.Wait(); err != nil {
		t.Fatalf("the last start did not end in order: %v", err)
	}
	s.check(kills)
	if left, _ := filepath.Glob(filepath.Join(s.temp, "*")); len(left) != 0 {
		t.Errorf("the killed servers left %v behind", left)
	}
}

func envInt(name string, unset int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return unset
}

// Limits of the customers with a hard budget, in USD. A call of the mock costs
// at most 64 output tokens at 10 USD per million and its prompt at 1, so that
// "small" is used up early and "large" late or never.
var crashBudgets = map[string]string{"small": "0.01", "large": "0.5"}

func newCrashScene(t *testing.T) *crashScene {
	t.Helper()
	dir := t.TempDir()
	s := &crashScene{t: t, binary: buildStrata(t), data: filepath.Join(dir, "data"), config: filepath.Join(dir, "strata.yaml"),
		keys: map[string]string{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crashClients}}}
	temp, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	s.temp = temp
	// Slow enough that every kill finds calls in all their stages.
	upstream := startMock(t, mock.Options{Tokens: 64, FirstToken: 5 * time.Millisecond, PerToken: 200 * time.Microsecond})
	writeFile(t, s.config, mockConfig(upstream))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	l.Close()
	up := s.start()
	for _, customer := range []string{"small", "large", "free"} {
		var key struct{ Key string }
		s.api("POST", "/api/v1/keys", fmt.Sprintf(`{"name":%q,"customer":%q}`, customer, customer), &key)
		s.keys[customer] = key.Key
		if limit := crashBudgets[customer]; limit != "" {
			s.api("PUT", "/api/v1/budgets", fmt.Sprintf(`{"customer":%q,"limit_usd":%q,"period":"total","mode":"hard"}`, customer, limit), nil)
		}
	}
	up.Process.Kill()
	up.Wait()
	return s
}

const crashAdmin = "admin-secret-of-the-crash-test"

// api asks the running server as its administrator.
func (s *crashScene) api(method, path, body string, into any) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+crashAdmin)
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, got, err)
	}
	if into != nil {
		if err := json.Unmarshal(got, into); err != nil {
			s.t.Fatal(err)
		}
	}
}

// command is the binary on the scene's data.
func (s *crashScene) command(args ...string) *exec.Cmd {
	c := exec.Command(s.binary, append(args, "--data", s.data, "--config", s.config)...)
	// Nothing of the developer's own environment must configure it.
	c.Env = []string{"HOME=" + filepath.Dir(s.data), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.temp, "STRATA_ADMIN_SECRET=" + crashAdmin}
	return c
}

// strata runs one command to its end and decodes its output.
func (s *crashScene) strata(into any, args ...string) {
	s.t.Helper()
	c := s.command(args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("strata %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	if into != nil {
		if err := json.Unmarshal(out, into); err != nil {
			s.t.Fatalf("strata %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// start runs `strata up` and returns once it answers.
func (s *crashScene) start() *exec.Cmd {
	s.t.Helper()
	c := s.command("up", "--no-local", "--addr", s.addr)
	var out lockedBuffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Process.Kill() })
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + s.addr + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return c
		}
	}
	s.t.Fatalf("strata up does not answer:\n%s", out.String())
	return nil
}

// clientLoop calls until stop, and notes every reply that arrived whole.
func (s *crashScene) clientLoop(rng *rand.Rand, stop <-chan struct{}) {
	customers := []string{"small", "large", "free", "free"}
	for {
		select {
		case <-stop:
			return
		default:
		}
		customer := customers[rng.IntN(len(customers))]
		got, err := s.call(customer, rng.IntN(2) == 0, 1+rng.IntN(64))
		switch {
		case err != nil:
			s.broken.Add(1)
			time.Sleep(5 * time.Millisecond) // the server is being started again
		case got != nil:
			s.mu.Lock()
			s.received = append(s.received, *got)
			s.mu.Unlock()
		}
	}
}

// call makes one call. It returns nothing when the call was refused in order,
// and an error when the reply did not arrive whole.
func (s *crashScene) call(customer string, stream bool, maxTokens int) (*received, error) {
	body := fmt.Sprintf(`{"model":"fake","stream":%t,"stream_options":{"include_usage":true},"max_tokens":%d,"messages":[{"role":"user","content":"count"}]}`, stream, maxTokens)
	if !stream {
		body = strings.Replace(body, `"stream_options":{"include_usage":true},`, "", 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.keys[customer])
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusPaymentRequired:
		s.denied.Add(1)
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		// A server that is being killed may lose its upstream first.
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, reply)
	}
	got := &received{id: resp.Header.Get("X-Strata-Call-Id"), cost: resp.Header.Get("X-Strata-Cost"), customer: customer}
	var usage struct {
		Usage *struct {
			CompletionTokens int64 `json:"completion_tokens"`
		}
	}
	if !stream {
		if err := json.Unmarshal(reply, &usage); err != nil || usage.Usage == nil {
			return nil, fmt.Errorf("a whole reply cannot be read: %v: %s", err, reply)
		}
		got.completion = usage.Usage.CompletionTokens
		return got, nil
	}
	if !bytes.HasSuffix(reply, []byte("data: [DONE]\n\n")) {
		return nil, io.ErrUnexpectedEOF
	}
	got.cost = resp.Trailer.Get("X-Strata-Cost")
	for line := range strings.Lines(string(reply)) {
		if data, ok := strings.CutPrefix(line, "data: {"); ok {
			usage.Usage = nil
			if json.Unmarshal([]byte("{"+data), &usage) == nil && usage.Usage != nil {
				got.completion = usage.Usage.CompletionTokens
			}
		}
	}
	return got, nil
}

// check asks the ledger about everything that happened.
func (s *crashScene) check(kills int) {
	t := s.t
	var verified struct {
		OK          bool
		Calls       int64
		PostingsSum string `json:"postings_sum"`
		OpenHolds   int64  `json:"open_holds"`
		Errors      []string
	}
	s.strata(&verified, "ledger", "verify", "--json")
	if !verified.OK || verified.OpenHolds != 0 || len(verified.Errors) != 0 {
		t.Errorf("ledger verify: %+v", verified)
	}
	if sum, err := money.ParseDecimal(verified.PostingsSum); err != nil || !sum.IsZero() {
		t.Errorf("the postings sum to %s (%v)", verified.PostingsSum, err)
	}

	db, err := store.Open(t.Context(), store.Options{Path: s.data, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	book := ledger.Reader(db, ledger.Options{})
	rows := map[string][]ledger.Call{}
	spent := map[string]money.Sum{}
	outcomes := map[ledger.Outcome]int{}
	eachCall(t, book, func(c *ledger.Call) {
		rows[c.ID] = append(rows[c.ID], *c)
		outcomes[c.Outcome]++
		sum := spent[c.Customer]
		spent[c.Customer] = sum.Add(c.Cost)
	})
	missing, doubled, wrong := 0, 0, 0
	for _, got := range s.received {
		found := rows[got.id]
		switch {
		case len(found) == 0:
			missing++
		case len(found) > 1:
			doubled++
		case found[0].Outcome != ledger.OutcomeOK || found[0].Customer != got.customer || found[0].Cost.String() != got.cost ||
			found[0].Usage == nil || found[0].Usage.Count[model.Output] != got.completion:
			wrong++
			t.Logf("received %+v, recorded %+v", got, found[0])
		}
	}
	for customer, limit := range crashBudgets {
		l, err := money.ParseDecimal(limit)
		if err != nil {
			t.Fatal(err)
		}
		if spent[customer].Decimal().Cmp(l) > 0 {
			t.Errorf("the hard budget of %s, %s USD, is exceeded: %s", customer, limit, spent[customer])
		}
	}
	t.Logf("%d kills: %d replies received whole, %d broken off, %d denied by budget; outcomes %v; spent small %s of %s, large %s of %s",
		kills, len(s.received), s.broken.Load(), s.denied.Load(), outcomes, spent["small"], crashBudgets["small"], spent["large"], crashBudgets["large"])
	if missing+doubled+wrong > 0 {
		t.Errorf("of %d replies received whole, %d are missing in the ledger, %d doubled, %d recorded otherwise than sent", len(s.received), missing, doubled, wrong)
	}
	if len(s.received) < kills {
		t.Errorf("only %d replies arrived: the test did not load the server", len(s.received))
	}
	if s.denied.Load() == 0 {
		t.Error("no budget ever refused a call: the test does not test budgets")
	}
	if outcomes[ledger.OutcomeRecovered] == 0 {
		t.Error("no call was ever cut by a kill: the test does not test recovery")
	}
}
