// Package formula is the small language in which economics is written down, and
// its compiler.
//
// A [Quantity] is an input or has a formula over other quantities. [Build] checks
// a set of them as one graph: names, units, cycles. A [Program] computes some of
// them, for one set of inputs or for columns of draws.
//
// The language:
//
//	200000 [USD]   5 [years]   50%   175B        numbers; the unit stands in brackets
//	capital / life                               names, from the own scope outwards
//	+ - * / ^   < <= > >= == !=   and or not
//	min(a, b)  max(a, b)  clamp(x, low, high)  abs(x)  if(condition, a, b)
//	sqrt(x)  exp(x)  ln(x)  log10(x)  floor(x)  ceil(x)  round(x)
//	month                                        1, 2, 3, ... to the horizon: a series
//	sum(s)  mean(s)  first(s)  last(s)  min(s)  max(s)
//	running(s)                                   the sum up to each month
//	lag(s, initial)                              the month before
//	carry(initial, keep, add)                    x = x of the month before × keep + add
//	first_month(condition, otherwise)            the first month in which it holds
//
// Units are checked when a graph is built: dollars do not add to hours, and the
// exponent of a quantity with a unit is a whole number. The literal 0 fits any
// unit. A formula that uses a series is a series. Values are estimates in
// float64 and base units; they are never money that is owed.
package formula
