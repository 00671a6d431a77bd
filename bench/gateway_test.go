// Package bench measures Strata beside its peers, in the same run on the same
// machine. Its results are ratios: absolute numbers of a shared machine mean
// little.
package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratahq/strata/model/mock"
	"github.com/stratahq/strata/server"
)

// target is something that passes calls on to the mock upstream.
type target struct {
	name, url string
}

// startGateway runs a whole Strata on a real database: keys, ledger, prices.
func startGateway(b *testing.B, upstream string) string {
	b.Helper()
	dir := b.TempDir()
	file := filepath.Join(dir, "strata.yaml")
	config := `
upstreams:
  lab: {module: provider.openai, base_url: ` + upstream + `/v1}
models:
  fake: {upstream: lab, name: mock}
prices:
  fake: {input: 1 USD/Mtok, output: 10 USD/Mtok}
`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	srv, err := server.New(b.Context(), server.Options{Addr: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), ConfigFile: file, NoLocal: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return "http://" + srv.Addr()
}

// startProxy runs the standard library's reverse proxy, which does nothing but
// pass bytes on: the least that a gateway written in Go can cost.
func startProxy(b *testing.B, upstream string) string {
	b.Helper()
	u, err := url.Parse(upstream)
	if err != nil {
		b.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1024},
	}
	srv := httptest.NewServer(proxy)
	b.Cleanup(srv.Close)
	return srv.URL
}

const concurrency = 64

// load sends n calls, concurrency at once, and returns the calls per second and
// the latencies in ascending order.
func load(b *testing.B, client *http.Client, url, body string, n int, whole string) (perSecond float64, latencies []time.Duration) {
	b.Helper()
	latencies = make([]time.Duration, n)
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	started := time.Now()
	for range concurrency {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				t := time.Now()
				resp, err := client.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(body))
				if err != nil {
					failed.Add(1)
					continue
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(got), whole) {
					failed.Add(1)
				}
				latencies[i] = time.Since(t)
			}
		})
	}
	wg.Wait()
	took := time.Since(started)
	if failed.Load() > 0 {
		b.Fatalf("%d of %d calls to %s failed", failed.Load(), n, url)
	}
	slices.Sort(latencies)
	return float64(n) / took.Seconds(), latencies
}

// BenchmarkGateway compares calls through Strata (admission, metering, pricing,
// durable settlement) with the bare reverse proxy, by turns, and reports the
// share of the proxy's throughput that is left.
func BenchmarkGateway(b *testing.B) {
	up := httptest.NewServer(mock.New(mock.Options{Tokens: 64}))
	defer up.Close()
	proxy := target{"proxy", startProxy(b, up.URL)}
	strata := target{"strata", startGateway(b, up.URL)}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
	for _, kind := range []struct{ name, stream, whole string }{
		{"json", "false", `"usage"`},
		{"stream", "true", "data: [DONE]"},
	} {
		b.Run(kind.name, func(b *testing.B) {
			const rounds = 3
			n := max(b.N, 1000)
			rates := map[string][]float64{}
			for round := range rounds + 1 {
				for _, t := range []target{proxy, strata} {
					name := "mock"
					if t == strata {
						name = "fake"
					}
					body := fmt.Sprintf(`{"model":%q,"stream":%s,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"%s"}]}`, name, kind.stream, strings.Repeat("word ", 40))
					if kind.stream == "false" {
						body = strings.Replace(body, `"stream_options":{"include_usage":true},`, "", 1)
					}
					rate, latencies := load(b, client, t.url, body, n, kind.whole)
					if round == 0 {
						continue // connections and caches warm up
					}
					rates[t.name] = append(rates[t.name], rate)
					if round == rounds {
						b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, t.name+"-p50-ms")
						b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1000, t.name+"-p99-ms")
					}
				}
			}
			median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
			b.ReportMetric(median(rates["proxy"]), "proxy-calls/s")
			b.ReportMetric(median(rates["strata"]), "strata-calls/s")
			b.ReportMetric(median(rates["strata"])/median(rates["proxy"]), "of-proxy")
		})
	}
}
