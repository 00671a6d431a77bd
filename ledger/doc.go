// Package ledger is the spine of Strata: one durable record of every call, with
// holds, double-entry postings, budgets and a hash chain over the rows.
//
// # A call's life
//
// [Ledger.Hold] admits a call: an upper bound of its cost is held against every
// budget that applies, in one step with all other calls, by the one writer of
// the database. Hold returns when the hold is in the database's log; it does
// not wait for fsync. It survives kill -9; a power failure can take holds of the
// last half second, of calls that then never delivered a whole reply.
// [Ledger.Settle] writes the call's one row, releases the hold in the same
// transaction, and returns after the fsync that covers it. Settling the same id
// again changes nothing and reports success, after the same wait: so a caller
// that was told "not durable" repeats it. A hold without a settlement exists
// only while its process lives.
//
// # Recovery
//
// [New] resolves the holds that an earlier process left open. Whether the
// upstream has answered and will bill, nobody knows any more. So each becomes a
// call with [OutcomeRecovered] whose cost is unknown, which the books count
// apart and never as zero; and the bound that was held stays counted against
// the budgets of the window in which it was held, so that a hard limit holds
// even when the upstream bills all of it. A correction that states the true
// cost replaces the bound. The call's decisions say so.
//
// In the same way a settled call whose cost is unknown, because a price is
// missing, counts with its bound against budgets; unless it failed or was
// refused with no usage at all, which costs nothing.
//
// # Budgets and the clock
//
// A window is a calendar day or month in the business time zone (of 23 or 25
// hours where clocks change), or all time. A call counts in the window in which
// its hold was admitted. A budget's window only moves forward: a clock that
// jumps back neither reopens an earlier window nor refreshes this one, and a
// clock that jumped ahead by mistake leaves the budget in the later window, its
// spending intact, until the clock gets there or an administrator sets the
// budget again, which anchors the window anew and recounts from the record.
// Nothing else depends on the clock: order and cursors are Seq.
//
// # Books
//
// Each commit batch posts one balanced set, per account touched. Debits are
// positive, credits negative:
//
//	cost                 what calls cost us (expense)             + cost
//	payable:<upstream>   what we owe the provider (liability)     − cost
//	receivable:<customer> what the customer owes us (asset)       + charge
//	revenue              what we have charged (income)            − charge
//
// Calls of unknown cost or charge post nothing on that side. Corrections post
// the difference to what they replace. Holds are not postings. Sample calls are
// kept beside the books: they are listed and summed, but neither posted nor
// chained, so that they can be erased.
//
// # The chain
//
// Each batch also writes one link: SHA-256 over the previous link, the hash of
// each row in order, and the postings. The first row or hold of a process begins
// an epoch, whose first link continues from a genesis hash over the head before
// it; a process that only reads leaves the head as it was. What can identify
// a customer (name, end user, tags, content) enters a row's hash only through a
// commitment keyed with the customer's own key (HMAC-SHA-256). [Ledger.EraseCustomer]
// destroys that key with the data: the rest still verifies. [Ledger.Verify]
// recomputes everything and returns the head. A chain that nobody anchors can be
// rewritten as a whole, and its end cut off: keep the head elsewhere.
//
// # Projections
//
// Balances, budget counters and the hourly roll-ups that answer Spend, Series
// and Latency are written in the same transaction as the rows. Verify compares
// them with the record, and [Ledger.Rebuild] makes them anew.
package ledger
