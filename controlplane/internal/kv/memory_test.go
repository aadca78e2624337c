package kv_test

import (
	"testing"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/controlplane/internal/kv/kvtest"
)

func TestMemory(t *testing.T) {
	kvtest.Bucket(t, &kv.Memory{})
	kvtest.History(t, &kv.Memory{})
}
