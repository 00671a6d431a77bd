// Package sdktest runs the official OpenAI clients for Python, JavaScript and Go
// against the real strata binary with its real local model. It holds tests only.
//
// `make e2e` installs the clients and runs it. Run alone, it skips what is not
// installed; with STRATA_REQUIRE=1 a missing client or model is a failure.
package sdktest
