package lab

import (
	"apiproxy.internal/controlplane/internal/ledger"
	"apiproxy.internal/shared/quota"
)

type (
	Ledger    = ledger.Ledger
	Member    = ledger.Member
	Takeover  = ledger.Takeover
	Status    = ledger.Status
	Account   = ledger.Account
	Addresses = ledger.Addresses
)

// Lead is how long a leader goes on without a confirmation that it still leads.
const Lead = ledger.Lead

// NewLedger is ledger.New.
func NewLedger(now int64, p quota.Params, t Takeover) *Ledger { return ledger.New(now, p, t) }

// NewAddresses is ledger.NewAddresses.
func NewAddresses(p quota.Params) *Addresses { return ledger.NewAddresses(p) }
