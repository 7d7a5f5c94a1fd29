// Package robustness is what faults are found with: a ledger that every mail is written down in and that says, when all is settled, what
// was lost, doubled, altered or let through; load of every kind of fate; a next hop that misbehaves; and builds of the gateway that end at
// a named place or have a bug planted in them. The proofs in core/e2e/proof run them.
package robustness
