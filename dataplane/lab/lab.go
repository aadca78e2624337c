package lab

import (
	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/limit"
)

type (
	Lease  = lease.Lease
	Time   = lease.Time
	Status = lease.Status
	Bucket = limit.Bucket
)

// NewLease is lease.New.
func NewLease(t Time, bell chan<- struct{}) *Lease { return lease.New(t, bell) }
