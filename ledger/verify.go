package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// maxVerifyErrors bounds how many errors a verification spells out.
const maxVerifyErrors = 100

// Verify recomputes the whole record: every row's hash, the sums of its lines,
// its commitments and content, the postings and the link of every batch, the
// balances, the roll-ups and the budgets. It reads a snapshot while calls go on,
// in bounded memory. What it finds wrong is in Errors; an error is returned
// only when the database cannot be read. progress, if not nil, is called now
// and then with the calls done and in total.
func (l *Ledger) Verify(ctx context.Context, progress func(done, total int64)) (Verification, error) {
	var out Verification
	err := l.db.Read(ctx, func(q store.Querier) error {
		v := &verifier{q: q, res: newResolver(q), progress: progress, balances: map[account]money.Sum{},
			byHour: map[hourKey]*hourSums{}, counted: map[charged]money.Sum{}, seed: maphash.MakeSeed()}
		err := v.run()
		out = v.out
		return err
	})
	out.OK = err == nil && len(out.Errors) == 0
	return out, unavailable(err)
}

type verifier struct {
	q        store.Querier
	res      *resolver
	out      Verification
	found    int64
	progress func(done, total int64)
	seen     int64
	total    int64

	head     [32]byte
	epoch    int64
	calls    *cursor
	corrs    *cursor
	posts    *cursor
	contents int64

	balances map[account]money.Sum
	byHour   map[hourKey]*hourSums
	spans    map[hourKey]span
	counted  map[charged]money.Sum // what the record counts per budget window
	seed     maphash.Seed
}

// hourSums is what an hour's calls come to. The fingerprints weigh calls and
// cost with a hash of their attributes, so that a roll-up under wrong
// attributes shows without a table of all of them.
type hourSums struct {
	calls, errors, unknown, timed int64
	cost, charge                  money.Sum
	units                         [2]uint64 // usage: plain and weighed
	weighed                       [2]uint64 // calls and cost, weighed
}

func (v *verifier) wrong(format string, args ...any) {
	v.found++
	if len(v.out.Errors) < maxVerifyErrors {
		v.out.Errors = append(v.out.Errors, fmt.Sprintf(format, args...))
	}
}

// cursor is a query that can be looked at before it moves on.
type cursor struct {
	rows *store.Rows
	ok   bool
}

func (v *verifier) open(sql string) (*cursor, error) {
	rows, err := v.q.Query(sql)
	if err != nil {
		return nil, err
	}
	c := &cursor{rows: rows}
	return c, c.next()
}

func (c *cursor) next() error {
	c.ok = c.rows.Next()
	return c.rows.Err()
}

// maxSQLInt is the largest integer that SQLite holds.
const maxSQLInt = 1<<63 - 1

func (v *verifier) run() (err error) {
	if err := v.q.QueryRow("SELECT count(*) FROM calls").Scan(&v.total); err != nil {
		return err
	}
	if v.spans, err = readSpans(v.q); err != nil {
		return err
	}
	if v.calls, err = v.open("SELECT " + rowColumns + ", c.key, c.feature, c.model, c.upstream" + rowFrom + "ORDER BY c.seq"); err != nil {
		return err
	}
	defer v.calls.rows.Close()
	if v.corrs, err = v.open(`SELECT k.seq, k.call, k.time, k.cost, k.charge, k.body, c.customer, c.upstream, c.flags, c.cost, c.charge,
 (SELECT max(p.seq) FROM corrections p WHERE p.call = k.call AND p.seq < k.seq),
 (SELECT max(p.seq) FROM corrections p WHERE p.call = k.call), c.corrected
 FROM corrections k LEFT JOIN calls c ON c.seq = k.call ORDER BY k.seq`); err != nil {
		return err
	}
	defer v.corrs.rows.Close()
	if v.posts, err = v.open("SELECT p.link, a.kind, a.ref, p.usd, p.pico FROM postings p LEFT JOIN accounts a ON a.id = p.account ORDER BY p.link, p.account"); err != nil {
		return err
	}
	defer v.posts.rows.Close()
	links, err := v.open("SELECT id, epoch, calls_to, corrections_to, hash FROM links ORDER BY id")
	if err != nil {
		return err
	}
	defer links.rows.Close()
	var last int64
	for ; links.ok; err = links.next() {
		if err != nil {
			return err
		}
		var k linkHash
		var hash []byte
		if err := links.rows.Scan(&k.id, &k.epoch, &k.callsTo, &k.corrTo, &hash); err != nil {
			return err
		}
		if k.id != last+1 {
			v.wrong("link %d follows link %d: links are missing", k.id, last)
		}
		last = k.id
		if err := v.link(&k, hash); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if err := v.rest(last); err != nil {
		return err
	}
	if err := v.projections(); err != nil {
		return err
	}
	if err := v.q.QueryRow("SELECT count(*) FROM holds").Scan(&v.out.OpenHolds); err != nil {
		return err
	}
	v.out.Head = hex.EncodeToString(v.head[:])
	if n := v.found - int64(len(v.out.Errors)); n > 0 {
		v.out.Errors = append(v.out.Errors, fmt.Sprintf("and %d more", n))
	}
	if v.progress != nil {
		v.progress(v.total, v.total)
	}
	return nil
}

// epochsTo continues the head through the beginnings of epochs.
func (v *verifier) epochsTo(to int64) error {
	rows, err := v.q.Query("SELECT id, started, genesis FROM epochs WHERE id > ? AND id <= ? ORDER BY id", v.epoch, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, started int64
		var genesis []byte
		if err := rows.Scan(&id, &started, &genesis); err != nil {
			return err
		}
		want := genesisOf(id, started, v.head)
		if id != v.epoch+1 || !bytes.Equal(want[:], genesis) {
			v.wrong("epoch %d does not continue from the chain before it", id)
		}
		v.epoch = id
		copy(v.head[:], genesis)
	}
	return rows.Err()
}

// link checks one batch: its rows, its postings and its hash.
func (v *verifier) link(k *linkHash, hash []byte) error {
	if k.epoch != v.epoch {
		if err := v.epochsTo(k.epoch); err != nil {
			return err
		}
		if k.epoch != v.epoch {
			v.wrong("link %d is of epoch %d, which is not recorded", k.id, k.epoch)
			v.epoch = k.epoch
		}
	}
	k.before = v.head
	want := map[account]money.Sum{}
	if err := v.takeCalls(k.callsTo, want, func(h [32]byte) { k.rows = append(k.rows, h) }); err != nil {
		return err
	}
	if err := v.takeCorrections(k.corrTo, want, func(h [32]byte) { k.corrs = append(k.corrs, h) }); err != nil {
		return err
	}
	sum := money.Sum{}
	for v.posts.ok && v.posts.rows.Int64(0) <= k.id {
		var link, usd, pico int64
		var a account
		if err := v.posts.rows.Scan(&link, &a.kind, &a.ref, &usd, &pico); err != nil {
			return err
		}
		if link < k.id {
			v.wrong("postings of link %d, which is missing", link)
		}
		s := money.SumFromParts(usd, pico)
		if s != want[a] {
			v.wrong("link %d posts %s USD to %s where its rows come to %s", k.id, s, v.label(a), want[a])
		}
		delete(want, a)
		sum = sum.AddSum(s)
		v.balances[a] = v.balances[a].AddSum(s)
		v.out.Postings++
		k.postings = append(k.postings, namedPosting{v.label(a), usd, pico})
		if err := v.posts.next(); err != nil {
			return err
		}
	}
	for a, s := range want {
		if !s.IsZero() {
			v.wrong("link %d has no posting to %s, where its rows come to %s USD", k.id, v.label(a), s)
		}
	}
	if !sum.IsZero() {
		v.wrong("the postings of link %d sum to %s USD instead of zero", k.id, sum)
	}
	v.out.PostingsSum = v.out.PostingsSum.AddSum(sum)
	if got := k.sum(); !bytes.Equal(got[:], hash) {
		v.wrong("the hash of link %d does not match its rows, postings and the link before", k.id)
	}
	copy(v.head[:], hash)
	return nil
}

func (v *verifier) label(a account) string {
	s, err := a.label(v.res.name)
	if err != nil {
		return "an unknown account"
	}
	return s
}

// takeCalls reads the calls up to a number.
func (v *verifier) takeCalls(to int64, want map[account]money.Sum, add func([32]byte)) error {
	for v.calls.ok && v.calls.rows.Int64(0) <= to {
		var r row
		var missing errMissingName
		key := rollupKey{key: v.calls.rows.Int64(34), feature: v.calls.rows.Int64(35), model: v.calls.rows.Int64(36)}
		upstream := v.calls.rows.Int64(37)
		err := scanRowExtra(v.calls.rows, v.res, &r, 4)
		switch {
		case errors.As(err, &missing):
			v.wrong("%v", err)
		case err != nil:
			return err
		}
		key.customer = r.customer
		if err := v.call(&r, key); err != nil {
			return err
		}
		if r.flags&flagSample == 0 {
			v.out.Calls++
			add(hashRow(&r))
			addPosts(want, upstream, r.customer, nullInt{r.cost, r.costKnown}, nullInt{r.charge, r.chargeKnown}, nullInt{}, nullInt{})
		}
		if v.seen++; v.progress != nil && v.seen%4096 == 0 {
			v.progress(v.seen, v.total)
		}
		if err := v.calls.next(); err != nil {
			return err
		}
	}
	return nil
}

// addPosts adds the change from one pair of amounts to another.
func addPosts(m map[account]money.Sum, upstream, tenant int64, cost, charge, wasCost, wasCharge nullInt) {
	b := batch{posts: m, upstreams: map[int64]string{}}
	d := func(now, was nullInt) money.Sum {
		return money.SumOf(money.Pico(now.v)).Sub(money.SumOf(money.Pico(was.v)))
	}
	b.post(upstream, "", tenant, d(cost, wasCost), d(charge, wasCharge))
}

func (v *verifier) takeCorrections(to int64, want map[account]money.Sum, add func([32]byte)) error {
	for v.corrs.ok && v.corrs.rows.Int64(0) <= to {
		var seq, call, at, customer, upstream, flags, corrected int64
		var cost, charge, callCost, callCharge, before, newest nullInt
		var body []byte
		if err := v.corrs.rows.Scan(&seq, &call, &at, &cost, &charge, &body, &customer, &upstream, &flags, &callCost, &callCharge, &before, &newest, &corrected); err != nil {
			return err
		}
		add(hashCorrection(seq, call, at, cost.v, charge.v, cost.ok, charge.ok, body))
		k, err := unpackCorrection(body)
		if err != nil {
			v.wrong("correction %d: %v", seq, err)
			k = &CorrectionRow{}
		}
		was := [2]nullInt{callCost, callCharge}
		if before.ok {
			if err := v.q.QueryRow("SELECT cost, charge FROM corrections WHERE seq = ?", before.v).Scan(&was[0], &was[1]); err != nil {
				return err
			}
		}
		if (nullInt{int64(k.WasCost), k.WasCostKnown}) != was[0] || (nullInt{int64(k.WasCharge), k.WasChargeKnown}) != was[1] {
			v.wrong("correction %d does not replace the amounts that the call had", seq)
		}
		v.sums(fmt.Sprintf("correction %d", seq), cost, k.CostLines, charge, k.ChargeLines)
		if corrected != newest.v {
			v.wrong("call %d does not point to its newest correction, %d", call, newest.v)
		}
		addPosts(want, upstream, customer, cost, charge, was[0], was[1])
		if err := v.corrs.next(); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) sums(what string, cost nullInt, costLines []money.Line, charge nullInt, chargeLines []money.Line) {
	for _, s := range []struct {
		side  string
		total nullInt
		lines []money.Line
	}{{"cost", cost, costLines}, {"charge", charge, chargeLines}} {
		for i := range s.lines {
			l := &s.lines[i]
			if exact := l.Quantity.Mul(l.UnitPrice); l.Exact == nil && exact.Cmp(l.Amount.Decimal()) != 0 || l.Exact != nil && exact.Cmp(*l.Exact) != 0 {
				v.wrong("%s: the %s line %s is not its quantity times its price", what, s.side, l.Item)
			}
		}
		if sum, err := sumLines(s.lines); s.total.ok && (err != nil || int64(sum) != s.total.v) {
			v.wrong("%s: its %s lines sum to %s USD but it says %s", what, s.side, sum, money.Pico(s.total.v))
		}
	}
}

// call checks one row by itself and adds it to what the projections must be.
func (v *verifier) call(r *row, key rollupKey) error {
	what := fmt.Sprintf("call %d", r.seq)
	x, err := unpackExtra(r.body)
	if err != nil {
		v.wrong("%s: %v", what, err)
		x = &extra{}
	}
	v.sums(what, nullInt{r.cost, r.costKnown}, x.costLines, nullInt{r.charge, r.chargeKnown}, x.chargeLines)
	usage, err := unpackUsage(r.usage)
	if err != nil {
		v.wrong("%s: usage: %v", what, err)
	}
	if r.corrected != 0 && r.corrBody == nil {
		v.wrong("%s: its correction %d is missing", what, r.corrected)
	}
	if err := v.private(what, r, x); err != nil {
		return err
	}
	sample := flag64(r.flags&flagSample != 0)
	hk := hourKey{hourOf(r.time), sample}
	if s, ok := v.spans[hk]; !ok || r.seq < s.first || r.seq > s.last {
		v.wrong("%s: the table of hours does not know it", what)
	}
	key.hour, key.sample = hk.hour, sample
	var u rollup
	u.add(r, usage)
	v.hour(hk).add(&u, v.weight(key))
	if len(x.charged) > 0 {
		counted := x.counted
		if cost, _ := r.current(); r.corrected != 0 && cost.ok {
			counted = money.Pico(cost.v)
		}
		for _, c := range x.charged {
			v.counted[c] = v.counted[c].Add(counted)
		}
	}
	return nil
}

func (v *verifier) private(what string, r *row, x *extra) error {
	t, err := v.res.tenant(r.customer)
	if err != nil {
		var missing errMissingName
		if errors.As(err, &missing) {
			v.wrong("%s: its customer %d is missing", what, r.customer)
			return nil
		}
		return err
	}
	if t.key == nil {
		if t.name != erasedName(t.id) {
			v.wrong("%s: the key of customer %d is gone but its name is not", what, t.id)
		}
		return nil
	}
	if !bytes.Equal(sealOf(t, r.id, r.private, x.contentMAC), r.seal) {
		v.wrong("%s: its customer, end user or tags do not match their commitment", what)
	}
	if x.contentMAC == nil {
		return nil
	}
	var sealed []byte
	err = v.q.QueryRow("SELECT sealed FROM content WHERE seq = ?", r.seq).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // erased
	}
	if err != nil {
		return err
	}
	v.contents++
	_, plain, err := decrypt(t, r.id, sealed)
	if err != nil {
		v.wrong("%s: %v", what, err)
	} else if !bytes.Equal(contentMAC(t, plain), x.contentMAC) {
		v.wrong("%s: its content does not match its commitment", what)
	}
	return nil
}

// rest checks that nothing lies beyond the last link.
func (v *verifier) rest(last int64) error {
	ignore := map[account]money.Sum{}
	err := v.takeCalls(maxSQLInt, ignore, func([32]byte) {
		v.wrong("a call lies beyond the last link of the chain, %d", last)
	})
	if err != nil {
		return err
	}
	err = v.takeCorrections(maxSQLInt, ignore, func([32]byte) {
		v.wrong("a correction lies beyond the last link of the chain, %d", last)
	})
	if err != nil {
		return err
	}
	for v.posts.ok {
		v.wrong("postings of link %d, which is missing", v.posts.rows.Int64(0))
		if err := v.posts.next(); err != nil {
			return err
		}
	}
	return v.epochsTo(maxSQLInt)
}
