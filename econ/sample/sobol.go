package sample

import (
	"math/bits"
	"math/rand/v2"
	"sync"
)

// A Sobol sequence fills the unit cube far more evenly than random points: each
// block of 2^k points has one point in every k-fold halving of each axis. The
// direction numbers here are not a published table. Axis j takes the j-th
// primitive polynomial over GF(2), in the order of degree, and of sixteen seeded
// choices of its free initial numbers the one with the evenest projections on the
// planes with the eight axes before it. Points are scrambled by nested uniform
// scrambling (Owen 1995): each binary digit is flipped by a hash of the digits
// above it, which keeps the evenness and makes every point uniform.

const digits = 32

// directions holds the direction numbers of the axes made so far.
var directions struct {
	sync.Mutex
	axes   [][digits]uint32
	degree int
	polys  []uint32 // of the degrees up to degree, not yet used
}

// maxAxes is one for the axis without a polynomial and one for each of the 1,395
// polynomials of degree 13 and below.
const maxAxes = 1396

// axes returns the direction numbers of the first n axes.
func axes(n int) [][digits]uint32 {
	d := &directions
	d.Lock()
	defer d.Unlock()
	for len(d.axes) < n {
		var v [digits]uint32
		if len(d.axes) == 0 { // van der Corput: the digits of the number, reversed
			for k := range v {
				v[k] = 1 << (digits - 1 - k)
			}
			d.axes = append(d.axes, v)
			continue
		}
		for len(d.polys) == 0 {
			d.degree++
			d.polys = primitives(d.degree)
		}
		p := d.polys[0]
		d.polys = d.polys[1:]
		d.axes = append(d.axes, choose(p, d.degree, d.axes))
	}
	return d.axes[:n]
}

// primitives lists the primitive polynomials of a degree: those modulo which the
// powers of x run through everything but 0.
func primitives(degree int) []uint32 {
	var out []uint32
	top := uint32(1) << degree
	for p := top | 1; p < top<<1; p += 2 {
		x, order := uint32(1), 0
		for {
			x <<= 1
			if x&top != 0 {
				x ^= p
			}
			if order++; x == 1 || order >= int(top) {
				break
			}
		}
		if order == int(top)-1 {
			out = append(out, p)
		}
	}
	return out
}

// choose picks the initial numbers of an axis.
func choose(p uint32, degree int, before [][digits]uint32) [digits]uint32 {
	r := rand.New(rand.NewPCG(uint64(p), uint64(len(before))))
	var best [digits]uint32
	least := int(^uint(0) >> 1)
	for range 16 {
		var v [digits]uint32
		for k := range v {
			if k < degree {
				m := r.Uint32()&(1<<(k+1)-1) | 1 // odd and below 2^(k+1)
				v[k] = m << (digits - 1 - k)
				continue
			}
			v[k] = v[k-degree] ^ v[k-degree]>>degree
			for i := 1; i < degree; i++ {
				if p>>(degree-i)&1 != 0 {
					v[k] ^= v[k-i]
				}
			}
		}
		worst := 0
		for _, other := range before[max(0, len(before)-8):] {
			t := unevenness(&v, &other)
			worst += t * t
		}
		if worst < least {
			best, least = v, worst
		}
	}
	return best
}

// unevenness is the t value of the plane of two axes for 2^10 points: every
// rectangle of area 2^(t-10) from halving the sides holds its share of points.
func unevenness(a, b *[digits]uint32) int {
	const m = 10
	row := func(v *[digits]uint32, digit int) (out uint32) {
		for k := range m {
			out |= v[k] >> (digits - 1 - digit) & 1 << k
		}
		return out
	}
	fewest := m
	for i := range m + 1 {
		var basis [m]uint32
		insert := func(x uint32) bool {
			for x != 0 {
				top := bits.Len32(x) - 1
				if basis[top] == 0 {
					basis[top] = x
					return true
				}
				x ^= basis[top]
			}
			return false
		}
		rank := 0
		for digit := range i {
			if !insert(row(a, digit)) {
				break
			}
			rank++
		}
		for digit := 0; rank < m && insert(row(b, digit)); digit++ {
			rank++
		}
		fewest = min(fewest, rank)
	}
	return m - fewest
}

// mix is a hash of 64 bits (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// scramble flips each of the upper digits of x by a hash of the digits above it,
// and the lower ones by one hash of all: no sample is so large that it could tell.
func scramble(x uint32, seed uint64) uint32 {
	const upper = 22
	out := uint32(0)
	for digit := range upper {
		shift := digits - 1 - digit
		prefix := uint64(1)<<digit | uint64(x)>>(shift+1)
		flip := uint32(mix(seed^prefix*0x9e3779b97f4a7c15)) & 1
		out |= (x>>shift&1 ^ flip) << shift
	}
	const low = 1<<(digits-upper) - 1
	return out | uint32(mix(seed+uint64(x>>(digits-upper))))&low
}

// points fills n points of the first len(columns) axes, one column an axis, each
// strictly between 0 and 1.
func points(columns [][]float64, seed uint64) {
	for j, v := range axes(min(len(columns), maxAxes)) {
		key := mix(seed*0x9e3779b97f4a7c15 + uint64(j) + 1)
		x := uint32(0)
		for i := range columns[j] {
			if i > 0 {
				x ^= v[bits.TrailingZeros(uint(i))]
			}
			columns[j][i] = (float64(scramble(x, key)) + 0.5) / (1 << digits)
		}
	}
	// Beyond the axes there are: seeded random numbers.
	for j := maxAxes; j < len(columns); j++ {
		r := rand.New(rand.NewPCG(seed, uint64(j)))
		for i := range columns[j] {
			columns[j][i] = (float64(r.Uint32()) + 0.5) / (1 << digits)
		}
	}
}
