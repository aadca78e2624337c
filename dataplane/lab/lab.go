package lab

import (
	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/limit"
)

type (
	Lease     = lease.Lease
	Time      = lease.Time
	Status    = lease.Status
	Bucket    = limit.Bucket
	AddrTable = limit.AddrTable
	Params    = limit.Params
	Suspects  = lease.Suspects
)

// NewLease is lease.New.
func NewLease(t Time, bell chan<- struct{}) *Lease { return lease.New(t, bell) }

// NewAddrTable is limit.NewAddrTable with room for a few addresses.
func NewAddrTable(now int64, p Params) *AddrTable { return limit.NewAddrTable(now, p, 64, 1) }

// NewSuspects is lease.NewSuspects.
func NewSuspects(key [16]byte) *Suspects { return lease.NewSuspects(key) }
