package server_test

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stratahq/strata/model/mock"
)

// up starts the real binary and returns once it has printed what it found.
func up(t *testing.T, config string, env ...string) (cmd *exec.Cmd, url string, stdout, stderr *lockedBuffer) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "strata.yaml")
	writeFile(t, file, config)
	cmd = exec.Command(buildStrata(t), "up", "--no-local", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--config", file)
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
	stdout, stderr = &lockedBuffer{}, &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	address := regexp.MustCompile(`console +(http://\S+)`)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if m := address.FindStringSubmatch(stdout.String()); m != nil {
			return cmd, m[1], stdout, stderr
		}
		if time.Now().After(deadline) {
			t.Fatalf("strata up printed no address:\n%s%s", stdout, stderr)
		}
	}
}

func (l *lockedBuffer) lines() *bufio.Scanner { return bufio.NewScanner(strings.NewReader(l.String())) }

// What `strata up` prints: one address, one command, what was found, no secret.
func TestUpPrints(t *testing.T) {
	_, url, stdout, stderr := up(t, mockConfig(startMock(t, mock.Options{})), "OPENAI_API_KEY=sk-openai-secret", "STRATA_ADMIN_SECRET=admin-secret-value-1")
	out := stdout.String()
	for _, want := range []string{url + "\n", "curl " + url + "/v1/chat/completions", "openai (OPENAI_API_KEY)", "empty ledger", "strata.yaml"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	for _, secret := range []string{"sk-openai-secret", "admin-secret-value-1", upstreamKey} {
		if strings.Contains(out+stderr.String(), secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	addresses := 0
	for lines := stdout.lines(); lines.Scan(); {
		if strings.Contains(lines.Text(), "http://") {
			addresses++
		}
	}
	if addresses != 2 { // the console's, and the command's
		t.Errorf("%d lines hold addresses:\n%s", addresses, out)
	}
}

// Ctrl-C drains and ends with 0; a second one cuts what is open, and still
// ends with 0.
func TestCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent Ctrl-C there")
	}
	for _, twice := range []bool{false, true} {
		cmd, url, _, stderr := up(t, mockConfig(startMock(t, mock.Options{Tokens: 100, PerToken: 10 * time.Millisecond})))
		resp, err := http.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(chat("fake", `"stream":true,`)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		stream := bufio.NewReader(resp.Body)
		if _, err := stream.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(os.Interrupt)
		if twice {
			eventually(t, func() bool { return strings.Contains(stderr.String(), "waiting for open replies") })
			cmd.Process.Signal(os.Interrupt)
		}
		var rest bytes.Buffer
		rest.ReadFrom(stream)
		if whole := strings.HasSuffix(rest.String(), "data: [DONE]\n\n"); whole == twice {
			t.Errorf("twice %t: the stream is whole: %t", twice, whole)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("twice %t: %v\n%s", twice, err, stderr)
		}
	}
}
