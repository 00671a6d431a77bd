package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/stratahq/strata/model"
	"github.com/stratahq/strata/money"
)

// The packed formats are sequences of varints and length-prefixed strings, each
// beginning with a version byte. They are part of the chain: a format is never
// changed, only followed by a next version.
const packVersion = 1

// packer appends to a buffer.
type packer struct{ b []byte }

func (p *packer) byte(v byte)   { p.b = append(p.b, v) }
func (p *packer) uint(v uint64) { p.b = binary.AppendUvarint(p.b, v) }
func (p *packer) int(v int64)   { p.b = binary.AppendVarint(p.b, v) }
func (p *packer) bytes(v []byte) {
	p.uint(uint64(len(v)))
	p.b = append(p.b, v...)
}
func (p *packer) string(v string) {
	p.uint(uint64(len(v)))
	p.b = append(p.b, v...)
}

// decimal packs "0.00000015" as 15 and 8 decimals. A number of more than 18
// digits is kept as text, marked by 255 decimals.
func (p *packer) decimal(d money.Decimal) {
	s := d.String()
	whole, frac, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole+frac, 10, 64); err == nil && len(s) <= 18 && len(frac) < 255 {
		p.byte(byte(len(frac)))
		p.int(n)
		return
	}
	p.byte(255)
	p.string(s)
}

var errPacked = errors.New("packed data are damaged")

// unpacker reads what packer wrote. The first failure sticks.
type unpacker struct {
	b   []byte
	err error
}

func (u *unpacker) fail() {
	if u.err == nil {
		u.err = errPacked
	}
	u.b = nil
}

func (u *unpacker) byte() byte {
	if len(u.b) == 0 {
		u.fail()
		return 0
	}
	v := u.b[0]
	u.b = u.b[1:]
	return v
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) int() int64 {
	v, n := binary.Varint(u.b)
	if n <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) bytes() []byte {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.fail()
		return nil
	}
	v := u.b[:n]
	u.b = u.b[n:]
	return v
}

func (u *unpacker) string() string { return string(u.bytes()) }

// count reads a number of items, each of at least one byte.
func (u *unpacker) count() int {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.fail()
		return 0
	}
	return int(n)
}

func (u *unpacker) decimal() money.Decimal {
	places := u.byte()
	if places != 255 {
		return money.Int(u.int()).Shift(-int32(places))
	}
	d, err := money.ParseDecimal(u.string())
	if err != nil {
		u.fail()
	}
	return d
}

func (u *unpacker) version() {
	if v := u.byte(); v != packVersion && u.err == nil {
		u.err = fmt.Errorf("%w: version %d", errPacked, v)
	}
}

// item packs a line's item: a bucket as its number + 1, others as text after 0.
func (p *packer) item(name string) {
	if b, ok := model.ParseBucket(name); ok {
		p.byte(byte(b) + 1)
		return
	}
	p.byte(0)
	p.string(name)
}

func (u *unpacker) item() string {
	if b := u.byte(); b != 0 {
		return model.Bucket(b - 1).String()
	}
	return u.string()
}

func (p *packer) lines(lines []money.Line) {
	p.uint(uint64(len(lines)))
	for i := range lines {
		l := &lines[i]
		p.item(l.Item)
		p.decimal(l.Quantity)
		p.decimal(l.UnitPrice)
		p.int(int64(l.Amount))
		if l.Exact == nil {
			p.byte(0)
		} else {
			p.byte(1)
			p.decimal(*l.Exact)
		}
	}
}

func (u *unpacker) lines() []money.Line {
	n := u.count()
	if n == 0 {
		return nil
	}
	lines := make([]money.Line, n)
	for i := range lines {
		lines[i] = money.Line{Item: u.item(), Quantity: u.decimal(), UnitPrice: u.decimal(), Amount: money.Pico(u.int())}
		if u.byte() != 0 {
			d := u.decimal()
			lines[i].Exact = &d
		}
	}
	return lines
}

func sameLines(a, b []money.Line) bool {
	return slices.EqualFunc(a, b, func(x, y money.Line) bool {
		return x.Item == y.Item && x.Amount == y.Amount && x.Quantity.Cmp(y.Quantity) == 0 && x.UnitPrice.Cmp(y.UnitPrice) == 0 &&
			(x.Exact == nil) == (y.Exact == nil) && (x.Exact == nil || x.Exact.Cmp(*y.Exact) == 0)
	})
}

// linePair packs cost and charge lines; a charge that passes the cost through
// takes one byte.
func (p *packer) linePair(cost, charge []money.Line) {
	p.lines(cost)
	if sameLines(cost, charge) {
		p.byte(1)
		return
	}
	p.byte(0)
	p.lines(charge)
}

func (u *unpacker) linePair() (cost, charge []money.Line) {
	cost = u.lines()
	if u.byte() != 0 {
		return cost, slices.Clone(cost)
	}
	return cost, u.lines()
}

// packUsage packs what is not zero; nil for unknown usage.
func packUsage(v *model.Usage) []byte {
	if v == nil {
		return nil
	}
	p := &packer{b: make([]byte, 0, 24)}
	p.byte(packVersion)
	var set uint64
	for b := range model.NumBuckets {
		if v.Count[b] != 0 {
			set |= 1 << b
		}
	}
	p.uint(set)
	for b := range model.NumBuckets {
		if v.Count[b] != 0 {
			p.int(v.Count[b])
		}
	}
	rest := v.Estimated != 0 || !v.Seconds.IsZero() || len(v.Flags) > 0 || v.ProviderCost != nil ||
		v.ServiceTier != "" || v.CacheType != "" || v.Geography != ""
	if !rest {
		return p.b
	}
	p.uint(uint64(v.Estimated))
	p.decimal(v.Seconds)
	p.uint(uint64(len(v.Flags)))
	for _, f := range v.Flags {
		p.string(f)
	}
	if v.ProviderCost != nil {
		p.byte(1)
		p.decimal(*v.ProviderCost)
	} else {
		p.byte(0)
	}
	p.string(v.ServiceTier)
	p.string(v.CacheType)
	p.string(v.Geography)
	return p.b
}

func unpackUsage(b []byte) (*model.Usage, error) {
	if b == nil {
		return nil, nil
	}
	u := &unpacker{b: b}
	v := &model.Usage{}
	u.version()
	set := u.uint()
	for k := range model.NumBuckets {
		if set&(1<<k) != 0 {
			v.Count[k] = u.int()
		}
	}
	if len(u.b) == 0 {
		return v, u.err
	}
	v.Estimated = model.BucketSet(u.uint())
	v.Seconds = u.decimal()
	for range u.count() {
		v.Flags = append(v.Flags, u.string())
	}
	if u.byte() != 0 {
		d := u.decimal()
		v.ProviderCost = &d
	}
	v.ServiceTier, v.CacheType, v.Geography = u.string(), u.string(), u.string()
	return v, u.err
}

// packPrivate packs what can identify a person; nil when there is nothing.
func packPrivate(endUser string, tags map[string]string) []byte {
	if endUser == "" && len(tags) == 0 {
		return nil
	}
	p := &packer{}
	p.byte(packVersion)
	p.string(endUser)
	p.uint(uint64(len(tags)))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		p.string(k)
		p.string(tags[k])
	}
	return p.b
}

func unpackPrivate(b []byte) (endUser string, tags map[string]string, err error) {
	if b == nil {
		return "", nil, nil
	}
	u := &unpacker{b: b}
	u.version()
	endUser = u.string()
	if n := u.count(); n > 0 {
		tags = make(map[string]string, n)
		for range n {
			k := u.string()
			tags[k] = u.string()
		}
	}
	return endUser, tags, u.err
}

// charged says against which window of which budget a call counts.
type charged struct {
	budget int64 // budgets.num
	window int64 // start, ns
	anchor int64
}

// extra is the part of a call's row that is only read with the whole call.
type extra struct {
	held                   money.Pico
	costLines, chargeLines []money.Line
	unpriced               []string
	decisions              []Decision
	outputHash             []byte
	contentMAC             []byte
	// counted is what counts against the budgets: the cost, or the bound when
	// the cost is unknown.
	counted money.Pico
	charged []charged
}

func (e *extra) pack() []byte {
	p := &packer{b: make([]byte, 0, 128)}
	p.byte(packVersion)
	p.int(int64(e.held))
	p.linePair(e.costLines, e.chargeLines)
	p.uint(uint64(len(e.unpriced)))
	for _, s := range e.unpriced {
		p.item(s)
	}
	p.uint(uint64(len(e.decisions)))
	for _, d := range e.decisions {
		p.string(d.By)
		p.string(d.What)
		p.string(d.Detail)
	}
	p.bytes(e.outputHash)
	p.bytes(e.contentMAC)
	// What counts is nearly always the cost, and then takes one byte.
	if sum, err := sumLines(e.costLines); err == nil && sum == e.counted {
		p.byte(0)
	} else {
		p.byte(1)
		p.int(int64(e.counted))
	}
	p.uint(uint64(len(e.charged)))
	for _, c := range e.charged {
		p.uint(uint64(c.budget))
		p.int(c.window)
		p.uint(uint64(c.anchor))
	}
	return p.b
}

func unpackExtra(b []byte) (*extra, error) {
	u := &unpacker{b: b}
	u.version()
	e := &extra{held: money.Pico(u.int())}
	e.costLines, e.chargeLines = u.linePair()
	for range u.count() {
		e.unpriced = append(e.unpriced, u.item())
	}
	for range u.count() {
		e.decisions = append(e.decisions, Decision{u.string(), u.string(), u.string()})
	}
	if b := u.bytes(); len(b) > 0 {
		e.outputHash = slices.Clone(b)
	}
	if b := u.bytes(); len(b) > 0 {
		e.contentMAC = slices.Clone(b)
	}
	if u.byte() != 0 {
		e.counted = money.Pico(u.int())
	} else if sum, err := sumLines(e.costLines); err == nil {
		e.counted = sum
	} else {
		u.fail()
	}
	for range u.count() {
		e.charged = append(e.charged, charged{int64(u.uint()), u.int(), int64(u.uint())})
	}
	if u.err == nil && len(u.b) > 0 {
		u.err = errPacked
	}
	return e, u.err
}
