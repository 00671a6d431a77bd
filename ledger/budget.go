package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stratahq/strata/money"
	"github.com/stratahq/strata/store"
)

// budget is a Budget with its counters, as the writer keeps it.
type budget struct {
	Budget
	num, win, anchor int64
	// base is what calls that were settled before the budget was set last count,
	// in the window of that time, baseWin. Later calls name the budget themselves.
	base    money.Sum
	baseWin int64
	dirty   bool
}

// at is what is spent and held in the window that holds t, and its start. A
// window only moves forward.
func (b *budget) at(t time.Time, loc *time.Location) (win int64, spent, held money.Sum) {
	if w := nanos(windowStart(b.Period, t, loc)); w > b.win {
		return w, money.Sum{}, money.Sum{}
	}
	return b.win, b.Spent, b.Held
}

// roll moves to a later window.
func (b *budget) roll(win int64) {
	if win > b.win {
		b.win, b.base, b.Spent, b.Held = win, money.Sum{}, money.Sum{}, money.Sum{}
		b.dirty = true
	}
}

// view is the budget as of a window, for callers.
func (b *budget) view(win int64, spent, held money.Sum, loc *time.Location) Budget {
	v := b.Budget
	v.Spent, v.Held = spent, held
	v.WindowStart = fromNanos(win)
	if b.Period != PeriodTotal {
		v.WindowEnd = windowEnd(b.Period, v.WindowStart, loc)
	}
	return v
}

// budgets is the admission's state. Only the writer's goroutine changes it.
type budgets struct {
	mu                sync.Mutex
	byNum             map[int64]*budget
	byKey, byCustomer map[string][]*budget
}

func (s *budgets) load(q store.Querier) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := readBudgets(q)
	if err != nil {
		return err
	}
	s.byNum, s.byKey, s.byCustomer = map[int64]*budget{}, map[string][]*budget{}, map[string][]*budget{}
	for _, b := range list {
		s.byNum[b.num] = b
		if b.KeyID != "" {
			s.byKey[b.KeyID] = append(s.byKey[b.KeyID], b)
		} else {
			s.byCustomer[b.Customer] = append(s.byCustomer[b.Customer], b)
		}
	}
	return nil
}

func readBudgets(q store.Querier) ([]*budget, error) {
	rows, err := q.Query(`SELECT num, id, key, customer, cap, period, mode, created, win, anchor, base_win,
 base_usd, base_pico, spent_usd, spent_pico, held_usd, held_pico FROM budgets ORDER BY num`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*budget
	for rows.Next() {
		b := &budget{}
		var created, bu, bp, su, sp, hu, hp int64
		if err := rows.Scan(&b.num, &b.ID, &b.KeyID, &b.Customer, &b.Limit, &b.Period, &b.Mode, &created, &b.win, &b.anchor, &b.baseWin, &bu, &bp, &su, &sp, &hu, &hp); err != nil {
			return nil, err
		}
		b.Created = fromNanos(created)
		b.base, b.Spent, b.Held = money.SumFromParts(bu, bp), money.SumFromParts(su, sp), money.SumFromParts(hu, hp)
		list = append(list, b)
	}
	return list, rows.Err()
}

// applying lists the budgets of a key and a customer. The caller holds mu.
func (s *budgets) applying(key, customer string) []*budget {
	var list []*budget
	if key != "" {
		list = s.byKey[key]
	}
	if customer != "" {
		list = append(slices.Clip(list), s.byCustomer[customer]...)
	}
	return list
}

func (s *budgets) admit(h *Hold, loc *time.Location) (list []charged, warnings []Budget, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.applying(h.KeyID, h.Customer) {
		win, spent, held := b.at(h.Time, loc)
		limit, used := money.SumOf(b.Limit), spent.AddSum(held)
		if b.Mode == ModeHard {
			if !h.Known && (!h.AllowUnknown || used.Cmp(limit) >= 0) {
				return nil, nil, &BudgetError{Budget: b.view(win, spent, held, loc), Unknown: !h.AllowUnknown}
			}
			if used.Add(h.Amount).Cmp(limit) > 0 {
				return nil, nil, &BudgetError{Budget: b.view(win, spent, held, loc), Asked: h.Amount}
			}
		} else if used.Add(h.Amount).Cmp(limit) > 0 {
			warnings = append(warnings, b.view(win, spent, held, loc))
		}
		list = append(list, charged{b.num, win, b.anchor})
	}
	return list, warnings, nil
}

// windowsFor are the windows against which a call without a hold counts.
func (s *budgets) windowsFor(c *Call, loc *time.Location) (list []charged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.applying(c.KeyID, c.Customer) {
		win, _, _ := b.at(c.Time, loc)
		list = append(list, charged{b.num, win, b.anchor})
	}
	return list
}

// in calls f for each budget that is still in the charged window. It moves the
// budget to that window when the window is later.
func (s *budgets) in(list []charged, f func(*budget)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range list {
		b := s.byNum[c.budget]
		if b == nil || b.anchor != c.anchor {
			continue
		}
		b.roll(c.window)
		if b.win == c.window {
			f(b)
			b.dirty = true
		}
	}
}

func (s *budgets) hold(o *openHold) {
	s.in(o.charged, func(b *budget) { b.Held = b.Held.Add(o.amount) })
}

func (s *budgets) settle(held *openHold, x *extra) {
	s.in(x.charged, func(b *budget) {
		if held != nil {
			b.Held = b.Held.Sub(money.SumOf(held.amount))
		}
		b.Spent = b.Spent.Add(x.counted)
	})
}

// correct replaces what a call counts: in the windows that it names, and in the
// base of budgets that were set after it was settled.
func (s *budgets) correct(key, customer string, at int64, list []charged, was, now money.Pico) {
	change := func(b *budget) { b.Spent = b.Spent.Sub(money.SumOf(was)).Add(now) }
	s.in(list, change)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.applying(key, customer) {
		named := slices.ContainsFunc(list, func(c charged) bool { return c.budget == b.num && c.anchor == b.anchor })
		if !named && b.win == b.baseWin && at >= b.win {
			change(b)
			b.base = b.base.Sub(money.SumOf(was)).Add(now)
			b.dirty = true
		}
	}
}

func (s *budgets) allowance(key, customer string, t time.Time, loc *time.Location) (left money.Pico, limited bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.applying(key, customer) {
		if b.Mode != ModeHard {
			continue
		}
		_, spent, held := b.at(t, loc)
		room, err := money.SumOf(b.Limit).Sub(spent).Sub(held).Pico()
		if err != nil || room < 0 {
			room = 0 // only an overspent budget is that far from its limit
		}
		if !limited || room < left {
			left, limited = room, true
		}
	}
	return left, limited
}

// write stores the changed counters.
func (s *budgets) write(tx *store.Tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.byNum {
		if !b.dirty {
			continue
		}
		bu, bp := b.base.Parts()
		su, sp := b.Spent.Parts()
		hu, hp := b.Held.Parts()
		if _, err := tx.Exec(`UPDATE budgets SET win = ?, base_usd = ?, base_pico = ?, spent_usd = ?, spent_pico = ?, held_usd = ?, held_pico = ? WHERE num = ?`,
			b.win, bu, bp, su, sp, hu, hp, b.num); err != nil {
			return err
		}
		b.dirty = false
	}
	return nil
}

// SetBudget creates a budget, or replaces the one with its ID or, without an
// ID, the one of the same key or customer and period. It anchors the window at
// the clock's present and recounts from the record what the window's calls have
// cost and what running calls hold. ErrInvalid when not exactly one of key and
// customer is set, or limit, period or mode make no sense; ErrNotFound for an
// unknown ID.
func (l *Ledger) SetBudget(ctx context.Context, b Budget) (Budget, error) {
	if b.Mode == "" {
		b.Mode = ModeHard
	}
	switch {
	case (b.KeyID == "") == (b.Customer == ""):
		return Budget{}, fmt.Errorf("%w: a budget is for a key or for a customer", ErrInvalid)
	case b.Limit < 0:
		return Budget{}, fmt.Errorf("%w: a budget of %s USD", ErrInvalid, b.Limit)
	case b.Period != PeriodDay && b.Period != PeriodMonth && b.Period != PeriodTotal:
		return Budget{}, fmt.Errorf("%w: period %.20q is not day, month or total", ErrInvalid, b.Period)
	case b.Mode != ModeHard && b.Mode != ModeWarn:
		return Budget{}, fmt.Errorf("%w: mode %.20q is not hard or warn", ErrInvalid, b.Mode)
	}
	var out Budget
	err := l.db.WriteAlone(ctx, func(tx *store.Tx) error {
		if _, err := l.load(tx); err != nil {
			return err
		}
		at := l.now()
		n := &budget{Budget: b, win: nanos(windowStart(b.Period, at, l.loc)), anchor: 1}
		n.baseWin = n.win
		n.Created = at.UTC()
		found := false
		for _, old := range l.bud.byNum {
			if b.ID != "" && old.ID == b.ID || b.ID == "" && old.KeyID == b.KeyID && old.Customer == b.Customer && old.Period == b.Period {
				n.ID, n.num, n.anchor, n.Created, found = old.ID, old.num, old.anchor+1, old.Created, true
			}
		}
		if b.ID != "" && !found {
			return fmt.Errorf("budget %.40q: %w", b.ID, ErrNotFound)
		}
		if !found {
			n.ID = "bud_" + strings.ToLower(rand.Text()[:16])
		}
		var err error
		if n.base, err = l.recount(tx, n); err != nil {
			return err
		}
		n.Spent = n.base
		bu, bp := n.base.Parts()
		r, err := tx.Exec(`INSERT INTO budgets (num, id, key, customer, cap, period, mode, created, win, anchor, base_win, base_usd, base_pico, spent_usd, spent_pico, held_usd, held_pico)
 VALUES (nullif(?, 0),?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,0) ON CONFLICT (num) DO UPDATE SET key = excluded.key, customer = excluded.customer, cap = excluded.cap,
 period = excluded.period, mode = excluded.mode, win = excluded.win, anchor = excluded.anchor, base_win = excluded.base_win, base_usd = excluded.base_usd, base_pico = excluded.base_pico,
 spent_usd = excluded.spent_usd, spent_pico = excluded.spent_pico, held_usd = 0, held_pico = 0`,
			n.num, n.ID, n.KeyID, n.Customer, n.Limit, n.Period, n.Mode, nanos(n.Created), n.win, n.anchor, n.baseWin, bu, bp, bu, bp)
		if err != nil {
			return err
		}
		if n.num == 0 {
			n.num = r.LastInsertID
		}
		if err := l.joinHolds(tx, n); err != nil {
			return err
		}
		n.dirty = true
		out = n.view(n.win, n.Spent, n.Held, l.loc)
		tx.OnRelease(func() { l.bud.replace(n) })
		return nil
	})
	if err != nil {
		return Budget{}, unavailable(err)
	}
	return out, nil
}

// replace puts a budget into the maps in place of its earlier self.
func (s *budgets) replace(n *budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(n.num)
	s.byNum[n.num] = n
	if n.KeyID != "" {
		s.byKey[n.KeyID] = append(slices.Clip(s.byKey[n.KeyID]), n)
	} else {
		s.byCustomer[n.Customer] = append(slices.Clip(s.byCustomer[n.Customer]), n)
	}
}

// remove drops a budget from the maps. The caller holds mu.
func (s *budgets) remove(num int64) {
	delete(s.byNum, num)
	for _, m := range []map[string][]*budget{s.byKey, s.byCustomer} {
		for k, list := range m {
			list = slices.DeleteFunc(slices.Clone(list), func(b *budget) bool { return b.num == num })
			if len(list) == 0 {
				delete(m, k)
			} else {
				m[k] = list
			}
		}
	}
}

// joinHolds counts the running calls of n's key or customer as held by n.
func (l *Ledger) joinHolds(tx *store.Tx, n *budget) error {
	return eachHold(tx, func(id []byte, o *openHold) error {
		o.charged = slices.DeleteFunc(o.charged, func(c charged) bool { return c.budget == n.num })
		if n.KeyID != "" && o.key == n.KeyID || n.Customer != "" && o.customer == n.Customer {
			n.Held = n.Held.Add(o.amount)
			o.charged = append(o.charged, charged{n.num, n.win, n.anchor})
		}
		_, err := tx.Exec("UPDATE holds SET body = ? WHERE id = ?", o.pack(), id)
		return err
	})
}

// eachHold reads all open holds first, so that f may change them.
func eachHold(q store.Querier, f func(id []byte, o *openHold) error) error {
	type hold struct {
		id []byte
		o  *openHold
	}
	var all []hold
	rows, err := q.Query("SELECT id, body FROM holds ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, body []byte
		if err := rows.Scan(&id, &body); err != nil {
			return err
		}
		o, err := unpackHold(body)
		if err != nil {
			return fmt.Errorf("hold %s: %w", idString(id), err)
		}
		all = append(all, hold{id, o})
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, h := range all {
		if err := f(h.id, h.o); err != nil {
			return err
		}
	}
	return nil
}

// recount sums from the record what the calls of n's window count.
func (l *Ledger) recount(q store.Querier, n *budget) (money.Sum, error) {
	no := false
	f := Filter{KeyID: n.KeyID, Customer: n.Customer, Since: fromNanos(n.win), Sample: &no}
	total, err := l.totals(q, f)
	if err != nil {
		return money.Sum{}, err
	}
	sum := total.Cost
	// Calls of unknown cost count with their bound.
	f.UnknownCost = true
	c, err := l.condition(q, &f)
	if err != nil || c.none {
		return sum, err
	}
	rows, err := q.Query("SELECT c.body"+rowFrom+c.String(), c.args...)
	if err != nil {
		return money.Sum{}, err
	}
	defer rows.Close()
	for rows.Next() {
		x, err := unpackExtra(rows.RawBytes(0))
		if err != nil {
			return money.Sum{}, err
		}
		sum = sum.Add(x.counted)
	}
	return sum, rows.Err()
}

// Budgets lists the budgets with what is spent and held in their current windows.
func (l *Ledger) Budgets(ctx context.Context) ([]Budget, error) {
	if l.epoch == 0 {
		var list []*budget
		err := l.db.Read(ctx, func(q store.Querier) (err error) { list, err = readBudgets(q); return })
		return l.viewAll(list), unavailable(err)
	}
	l.bud.mu.Lock()
	defer l.bud.mu.Unlock()
	list := make([]*budget, 0, len(l.bud.byNum))
	for _, b := range l.bud.byNum {
		list = append(list, b)
	}
	return l.viewAll(list), nil
}

func (l *Ledger) viewAll(list []*budget) []Budget {
	slices.SortFunc(list, func(a, b *budget) int { return int(a.num - b.num) })
	now := l.now()
	out := make([]Budget, len(list))
	for i, b := range list {
		win, spent, held := b.at(now, l.loc)
		out[i] = b.view(win, spent, held, l.loc)
	}
	return out
}

// DeleteBudget removes a budget; ErrNotFound when there is none of that id.
func (l *Ledger) DeleteBudget(ctx context.Context, id string) error {
	return unavailable(l.db.WriteAlone(ctx, func(tx *store.Tx) error {
		if _, err := l.load(tx); err != nil {
			return err
		}
		var num int64
		for _, b := range l.bud.byNum {
			if b.ID == id {
				num = b.num
			}
		}
		if num == 0 {
			return fmt.Errorf("budget %.40q: %w", id, ErrNotFound)
		}
		if _, err := tx.Exec("DELETE FROM budgets WHERE num = ?", num); err != nil {
			return err
		}
		tx.OnRelease(func() {
			l.bud.mu.Lock()
			defer l.bud.mu.Unlock()
			l.bud.remove(num)
		})
		return nil
	}))
}
