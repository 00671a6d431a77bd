package ledger

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// The kinds of accounts; see the package comment.
const (
	accountCost       = 1
	accountPayable    = 2 // ref: names.id of the upstream
	accountReceivable = 3 // ref: tenants.id
	accountRevenue    = 4
)

type account struct{ kind, ref int64 }

// label names an account in the chain: with the upstream's name, and with the
// customer's number, so that erasure does not change it.
func (a account) label(upstream func(id int64) (string, error)) (string, error) {
	switch a.kind {
	case accountCost:
		return "cost", nil
	case accountRevenue:
		return "revenue", nil
	case accountReceivable:
		return fmt.Sprintf("receivable:#%d", a.ref), nil
	case accountPayable:
		name, err := upstream(a.ref)
		return "payable:" + name, err
	}
	return "", fmt.Errorf("account kind %d is unknown", a.kind)
}

// batch collects what the calls of one group come to.
type batch struct {
	rows, corrections [][32]byte
	lastCall          int64 // newest booked call in the batch
	lastCorrection    int64
	posts             map[account]money.Sum
	upstreams         map[int64]string // names of the payable accounts
	rollups           map[rollupKey]*rollup
	hours             map[hourKey]*span
}

type hourKey struct{ hour, sample int64 }
type span struct{ first, last int64 }

func (b *batch) reset() {
	*b = batch{rows: b.rows[:0], corrections: b.corrections[:0], posts: map[account]money.Sum{},
		upstreams: map[int64]string{}, rollups: map[rollupKey]*rollup{}, hours: map[hourKey]*span{}}
}

// post adds a call's change of cost and charge to the balanced set.
func (b *batch) post(upstreamID int64, upstream string, tenant int64, cost, charge money.Sum) {
	add := func(a account, s money.Sum) { b.posts[a] = b.posts[a].AddSum(s) }
	if !cost.IsZero() {
		b.upstreams[upstreamID] = upstream
		add(account{accountCost, 0}, cost)
		add(account{accountPayable, upstreamID}, cost.Neg())
	}
	if !charge.IsZero() {
		add(account{accountReceivable, tenant}, charge)
		add(account{accountRevenue, 0}, charge.Neg())
	}
}

// addCall folds a call that was just inserted into the batch. names are the ids
// in the order of insert.
func (b *batch) addCall(r *row, names *[11]int64, c *Call) {
	hk := hourKey{hourOf(r.time), flag64(r.flags&flagSample != 0)}
	b.hour(hk.hour, hk.sample, r.seq)
	key := rollupKey{hk.hour, hk.sample, r.customer, names[1], names[2], names[3]}
	u := b.rollups[key]
	if u == nil {
		u = &rollup{}
		b.rollups[key] = u
	}
	u.add(r, c.Usage)
	if r.flags&flagSample != 0 {
		return
	}
	b.rows = append(b.rows, hashRow(r))
	b.lastCall = r.seq
	b.post(names[5], r.upstream, r.customer, money.SumOf(money.Pico(r.cost)), money.SumOf(money.Pico(r.charge)))
}

func (b *batch) hour(hour, sample, seq int64) {
	k := hourKey{hour, sample}
	if s := b.hours[k]; s == nil {
		b.hours[k] = &span{seq, seq}
	} else {
		s.first, s.last = min(s.first, seq), max(s.last, seq)
	}
}

func flag64(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// flush writes the group's link, postings and projections: it is the store's
// BeforeCommit hook.
func (l *Ledger) flush(tx *store.Tx) error {
	w := l.w
	if w == nil {
		return nil // nothing of the ledger's is in this group
	}
	if err := l.bud.write(tx); err != nil {
		return err
	}
	b := &w.batch
	if len(b.hours) == 0 && len(b.corrections) == 0 && len(b.rollups) == 0 {
		return nil
	}
	for k, s := range b.hours {
		if _, err := tx.Exec(`INSERT INTO hours (hour, sample, first, last) VALUES (?,?,?,?)
 ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)`, k.hour, k.sample, s.first, s.last); err != nil {
			return err
		}
	}
	for k, u := range b.rollups {
		if err := u.write(tx, k); err != nil {
			return err
		}
	}
	if len(b.rows) > 0 || len(b.corrections) > 0 {
		begun, err := l.beginEpoch(tx, w)
		if err != nil {
			return err
		}
		begun()
		if err := w.writeLink(tx, l.epoch); err != nil {
			return err
		}
	}
	b.reset()
	return nil
}

// writeLink writes the postings, the balances and the link of the batch.
func (w *writer) writeLink(tx *store.Tx, epoch int64) error {
	b := &w.batch
	k := linkHash{before: w.head, epoch: epoch, id: w.nextLink, callsTo: b.lastCall, corrTo: b.lastCorrection, rows: b.rows, corrs: b.corrections}
	if len(b.rows) == 0 || len(b.corrections) == 0 {
		// A link states how far it covers both; what it does not add stays.
		var calls, corrections int64
		if err := tx.QueryRow("SELECT coalesce(max(calls_to), 0), coalesce(max(corrections_to), 0) FROM links").Scan(&calls, &corrections); err != nil {
			return err
		}
		k.callsTo, k.corrTo = max(k.callsTo, calls), max(k.corrTo, corrections)
	}
	type post struct {
		id        int64
		usd, pico int64
		label     string
	}
	posts := make([]post, 0, len(b.posts))
	for a, s := range b.posts {
		if s.IsZero() {
			continue
		}
		id, err := w.accountID(tx, a)
		if err != nil {
			return err
		}
		label, err := a.label(func(ref int64) (string, error) { return b.upstreams[ref], nil })
		if err != nil {
			return err
		}
		usd, pico := s.Parts()
		posts = append(posts, post{id, usd, pico, label})
	}
	slices.SortFunc(posts, func(x, y post) int { return cmp.Compare(x.id, y.id) })
	for _, p := range posts {
		k.postings = append(k.postings, namedPosting{p.label, p.usd, p.pico})
		if _, err := tx.Exec("INSERT INTO postings (link, account, usd, pico) VALUES (?,?,?,?)", w.nextLink, p.id, p.usd, p.pico); err != nil {
			return err
		}
		// The balance keeps its picodollars below a dollar, so that neither
		// column can overflow.
		if _, err := tx.Exec(`UPDATE accounts SET usd = usd + ?1 + (pico + ?2) / 1000000000000, pico = (pico + ?2) % 1000000000000 WHERE id = ?3`, p.usd, p.pico, p.id); err != nil {
			return err
		}
	}
	hash := k.sum()
	if _, err := tx.Exec("INSERT INTO links (id, epoch, calls_to, corrections_to, hash) VALUES (?,?,?,?,?)", w.nextLink, epoch, k.callsTo, k.corrTo, hash[:]); err != nil {
		return err
	}
	// If the commit fails, AfterRollback drops w, and this with it.
	w.head = hash
	w.nextLink++
	return nil
}

func (w *writer) accountID(tx *store.Tx, a account) (int64, error) {
	if id, ok := w.accounts[a]; ok {
		return id, nil
	}
	var id int64
	err := tx.QueryRow("SELECT id FROM accounts WHERE kind = ? AND ref = ?", a.kind, a.ref).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		var r store.Result
		r, err = tx.Exec("INSERT INTO accounts (kind, ref) VALUES (?, ?)", a.kind, a.ref)
		id = r.LastInsertID
	}
	if err != nil {
		return 0, err
	}
	if len(w.accounts) >= maxCached {
		clear(w.accounts)
	}
	w.accounts[a] = id
	return id, nil
}

// readHead is the newest link's hash, or the newest epoch's genesis when that
// is later; zero in an empty ledger.
func readHead(q store.Querier) (head [32]byte, err error) {
	var hash, genesis []byte
	var linkEpoch, epoch int64
	err = q.QueryRow("SELECT epoch, hash FROM links ORDER BY id DESC LIMIT 1").Scan(&linkEpoch, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return head, err
	}
	err = q.QueryRow("SELECT id, genesis FROM epochs ORDER BY id DESC LIMIT 1").Scan(&epoch, &genesis)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return head, err
	}
	if epoch > linkEpoch {
		hash = genesis
	}
	if hash != nil && len(hash) != len(head) {
		return head, fmt.Errorf("the head of the chain has %d bytes instead of %d; run `strata ledger verify`", len(hash), len(head))
	}
	copy(head[:], hash)
	return head, nil
}

// beginEpoch records this process's part of the chain before its first row or
// hold. A process that only reads leaves no trace, and the head stays as it was.
// The caller calls begun once the record stands, so that a savepoint that is
// rolled back leaves no epoch in memory that is not in the database.
func (l *Ledger) beginEpoch(tx *store.Tx, w *writer) (begun func(), err error) {
	if w.begun {
		return func() {}, nil
	}
	started := l.now().UnixNano()
	genesis := genesisOf(l.epoch, started, w.head)
	if _, err := tx.Exec("INSERT INTO epochs (id, started, genesis) VALUES (?,?,?)", l.epoch, started, genesis[:]); err != nil {
		return nil, err
	}
	return func() { w.head, w.begun = genesis, true }, nil
}
