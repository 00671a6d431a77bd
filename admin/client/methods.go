package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stratahq/strata/admin"
)

// Calls lists one page of calls; q takes the parameters of GET /api/v1/calls.
func (c *Client) Calls(ctx context.Context, q url.Values) (out admin.CallList, err error) {
	err = c.Get(ctx, "/api/v1/calls", q, &out)
	return out, err
}

// EachCall pages through all calls that q selects, newest first, until fn fails.
func (c *Client) EachCall(ctx context.Context, q url.Values, fn func(*admin.Call) error) error {
	page := url.Values{}
	for k, v := range q {
		page[k] = v
	}
	for {
		list, err := c.Calls(ctx, page)
		if err != nil {
			return err
		}
		for i := range list.Calls {
			if err := fn(&list.Calls[i]); err != nil {
				return err
			}
		}
		if list.Next == "" {
			return nil
		}
		page.Set("cursor", list.Next)
	}
}

// CallDetail is the receipt of one call.
func (c *Client) CallDetail(ctx context.Context, id string) (out admin.CallDetail, err error) {
	err = c.Get(ctx, "/api/v1/calls/"+url.PathEscape(id), nil, &out)
	return out, err
}

// Spend sums by a dimension; q takes the parameters of GET /api/v1/spend.
func (c *Client) Spend(ctx context.Context, q url.Values) (out admin.SpendReport, err error) {
	err = c.Get(ctx, "/api/v1/spend", q, &out)
	return out, err
}

// Series sums over time; q takes the parameters of GET /api/v1/series.
func (c *Client) Series(ctx context.Context, q url.Values) (out admin.SeriesReport, err error) {
	err = c.Get(ctx, "/api/v1/series", q, &out)
	return out, err
}

// Latency is the heat map; q takes the parameters of GET /api/v1/latency.
func (c *Client) Latency(ctx context.Context, q url.Values) (out admin.Latency, err error) {
	err = c.Get(ctx, "/api/v1/latency", q, &out)
	return out, err
}

// Prices searches the price book; q takes the parameters of GET /api/v1/prices.
func (c *Client) Prices(ctx context.Context, q url.Values) (out admin.PriceList, err error) {
	err = c.Get(ctx, "/api/v1/prices", q, &out)
	return out, err
}

// Status says what is running.
func (c *Client) Status(ctx context.Context) (out admin.Status, err error) {
	err = c.Get(ctx, "/api/v1/status", nil, &out)
	return out, err
}

// Models lists the served models.
func (c *Client) Models(ctx context.Context) ([]admin.Model, error) {
	var out struct{ Models []admin.Model }
	err := c.Get(ctx, "/api/v1/models", nil, &out)
	return out.Models, err
}

// Keys lists the keys, revoked ones too.
func (c *Client) Keys(ctx context.Context) ([]admin.Key, error) {
	var out struct{ Keys []admin.Key }
	err := c.Get(ctx, "/api/v1/keys", nil, &out)
	return out.Keys, err
}

// CreateKey makes a key; the answer holds its secret, once.
func (c *Client) CreateKey(ctx context.Context, spec admin.KeySpec) (out admin.CreatedKey, err error) {
	err = c.Post(ctx, "/api/v1/keys", spec, &out)
	return out, err
}

// UpdateKey changes a key's name or content logging.
func (c *Client) UpdateKey(ctx context.Context, id string, change admin.KeyChange) (out admin.Key, err error) {
	err = c.Patch(ctx, "/api/v1/keys/"+url.PathEscape(id), change, &out)
	return out, err
}

// RevokeKey ends a key.
func (c *Client) RevokeKey(ctx context.Context, id string) (out admin.Key, err error) {
	err = c.Delete(ctx, "/api/v1/keys/"+url.PathEscape(id), &out)
	return out, err
}

// Budgets lists the budgets.
func (c *Client) Budgets(ctx context.Context) ([]admin.Budget, error) {
	var out struct{ Budgets []admin.Budget }
	err := c.Get(ctx, "/api/v1/budgets", nil, &out)
	return out.Budgets, err
}

// SetBudget sets a budget.
func (c *Client) SetBudget(ctx context.Context, spec admin.BudgetSpec) (out admin.Budget, err error) {
	err = c.Put(ctx, "/api/v1/budgets", spec, &out)
	return out, err
}

// DeleteBudget removes a budget.
func (c *Client) DeleteBudget(ctx context.Context, id string) error {
	return c.Delete(ctx, "/api/v1/budgets/"+url.PathEscape(id), nil)
}

// AdminLink makes a login link.
func (c *Client) AdminLink(ctx context.Context) (out admin.AdminLink, err error) {
	err = c.Post(ctx, "/api/v1/admin-link", struct{}{}, &out)
	return out, err
}

// Backup copies the running database to a new file.
func (c *Client) Backup(ctx context.Context, path string) (out admin.Backup, err error) {
	err = c.Post(ctx, "/api/v1/backup", admin.BackupRequest{Path: path}, &out)
	return out, err
}

// CreateSampleData fills the ledger with labelled sample calls.
func (c *Client) CreateSampleData(ctx context.Context) (out admin.SampleResult, err error) {
	err = c.Post(ctx, "/api/v1/sample-data", admin.SampleRequest{}, &out)
	return out, err
}

// EraseSampleData erases every sample call.
func (c *Client) EraseSampleData(ctx context.Context) (out admin.SampleResult, err error) {
	err = c.Delete(ctx, "/api/v1/sample-data", &out)
	return out, err
}

// Audit lists administrative acts, newest first.
func (c *Client) Audit(ctx context.Context, q url.Values) (out admin.AuditList, err error) {
	err = c.Get(ctx, "/api/v1/audit", q, &out)
	return out, err
}

// Verify recomputes the ledger, telling progress when progress is not nil.
func (c *Client) Verify(ctx context.Context, progress func(done, total int64)) (admin.Verification, error) {
	return long[admin.Verification](ctx, c, http.MethodGet, "/api/v1/ledger/verify", nil, progress)
}

// Reprice rates history again, telling progress when progress is not nil.
func (c *Client) Reprice(ctx context.Context, req admin.RepriceRequest, progress func(done, total int64)) (admin.Reprice, error) {
	return long[admin.Reprice](ctx, c, http.MethodPost, "/api/v1/reprice", req, progress)
}

// long reads progress lines up to the result.
func long[T any](ctx context.Context, c *Client, method, path string, in any, progress func(done, total int64)) (out T, err error) {
	resp, err := c.send(ctx, method, path, "application/x-ndjson", in)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var p admin.Progress[T]
		if err := d.Decode(&p); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return out, fmt.Errorf("%s %s: the answer ended without a result: %w", method, path, err)
		}
		if p.Error.Code != "" {
			return out, errorOf(http.StatusInternalServerError, &p.ErrorBody)
		}
		if progress != nil {
			progress(p.Done, p.Total)
		}
		if p.Result != nil {
			return *p.Result, nil
		}
	}
}

// Live calls fn with each call as it settles, until ctx ends or fn fails. When
// the connection breaks, it comes back and goes on where it was, without a gap,
// as long as the server does; q takes the filters of GET /api/v1/calls/live.
func (c *Client) Live(ctx context.Context, q url.Values, fn func(*admin.Call) error) error {
	after := ""
	for {
		got, err := c.follow(ctx, q, &after, fn)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var ended stopped
		if errors.As(err, &ended) {
			return ended.error
		}
		var refused *Error
		if errors.As(err, &refused) || err != nil && !got {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// stopped wraps what fn returned, so that it is not taken for a broken connection.
type stopped struct{ error }

func (s stopped) Unwrap() error { return s.error }

func (c *Client) follow(ctx context.Context, q url.Values, after *string, fn func(*admin.Call) error) (connected bool, err error) {
	params := url.Values{}
	for k, v := range q {
		params[k] = v
	}
	if *after != "" {
		params.Set("after", *after)
	}
	resp, err := c.send(ctx, http.MethodGet, withQuery("/api/v1/calls/live", params), "text/event-stream", nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	id := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return true, nil // broken: the caller comes back
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			if _, err := strconv.ParseInt(value, 10, 64); err == nil {
				id = value
			}
		case "data":
			var call admin.Call
			if err := json.Unmarshal([]byte(value), &call); err != nil {
				return true, stopped{fmt.Errorf("an event of the live list is not a call: %w", err)}
			}
			if err := fn(&call); err != nil {
				return true, stopped{err}
			}
			*after = id
		}
	}
}
