package client

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
)

// handlerTransport answers requests with a handler in the same process, streamed
// as over a connection.
type handlerTransport struct {
	handler http.Handler
	running sync.WaitGroup
}

// wait waits for the handlers that still run. Closing the bodies of streamed
// answers ends those.
func (t *handlerTransport) wait() { t.running.Wait() }

// RoundTrip implements http.RoundTripper.
func (t *handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	r.RequestURI = req.URL.RequestURI()
	r.Host = req.URL.Host
	if r.Body == nil {
		r.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &responseWriter{header: http.Header{}, body: writer, started: make(chan struct{})}
	t.running.Go(func() {
		defer func() {
			// A handler that panics has cut its answer, as over a connection.
			if p := recover(); p != nil {
				w.fail(fmt.Errorf("the answer was cut: %v", p))
				return
			}
			w.start(http.StatusOK)
			writer.Close()
		}()
		t.handler.ServeHTTP(w, r)
	})
	select {
	case <-w.started:
	case <-req.Context().Done():
		reader.CloseWithError(req.Context().Err())
		return nil, req.Context().Err()
	}
	if w.failed != nil {
		return nil, w.failed
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: reader, ContentLength: -1, Request: req,
	}, nil
}

// responseWriter writes an answer into a pipe.
type responseWriter struct {
	header  http.Header
	body    *io.PipeWriter
	once    sync.Once
	started chan struct{}
	// set before started is closed, then only read
	status int
	sent   http.Header
	failed error
}

func (w *responseWriter) start(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, maps.Clone(w.header)
		close(w.started)
	})
}

func (w *responseWriter) fail(err error) {
	w.once.Do(func() {
		w.failed = err
		close(w.started)
	})
	w.body.CloseWithError(err)
}

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) { w.start(status) }

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	w.start(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements http.Flusher; a pipe holds nothing back.
func (w *responseWriter) Flush() { w.start(http.StatusOK) }
