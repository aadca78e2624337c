// Package prober is a stand-in.
package prober

import (
	"context"

	"apiproxy.internal/controlplane/internal/membership"
)

func Probe(context.Context, membership.Probe) bool { return true }
