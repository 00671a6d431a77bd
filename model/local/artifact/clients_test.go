package artifact

import (
	"slices"
	"strings"
	"testing"
)

func TestClientsGiveUpEarlyUnlessToldOtherwise(t *testing.T) {
	got := impatient([]string{"PATH=/bin", "PIP_RETRIES=9", "NPM_CONFIG_FETCH_RETRIES=4"})
	for _, want := range []string{"PATH=/bin", "PIP_RETRIES=9", "NPM_CONFIG_FETCH_RETRIES=4", "npm_config_fetch_retry_mintimeout=1000", "npm_config_fetch_retry_maxtimeout=2000"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
	for _, v := range got {
		if v == "PIP_RETRIES=1" || v == "npm_config_fetch_retries=1" {
			t.Errorf("the user's own setting is overruled by %s", v)
		}
	}
	// The slice of os.Environ may have room: what is appended must not be written there.
	env := append(make([]string, 0, 9), "A=1")
	impatient(env)
	if s := strings.Join(env[:2:2], ""); strings.Contains(s, "RETRIES") {
		t.Errorf("the given environment was changed: %s", s)
	}
}
