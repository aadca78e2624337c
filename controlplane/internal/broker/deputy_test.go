package broker

import (
	"testing"

	"apiproxy.internal/shared/wire"
)

// TestServerAsDeputy pins down what permissions cannot prevent, as door.go says: the
// server writes its reply wherever a node asks for it. Readers must refuse what it
// writes. If this test fails because nothing was written, the server has learned
// better, and the comment can go.
func TestServerAsDeputy(t *testing.T) {
	s := open(t, Options{Listen: "127.0.0.1:0", Secret: secret})
	ctx := within(t)
	cfg := s.Bucket(wire.ConfigBucket)
	n := s.node("node-1")
	if err := n.PublishRequest(wire.ReportSubject("node-1"), "$KV.cfg."+wire.ConfigKey, []byte("x")); err != nil {
		t.Fatal(err)
	}
	poll(t, "the server's reply is in the bucket", func() bool {
		_, err := cfg.Get(ctx, wire.ConfigKey)
		return err == nil
	})
	e, err := cfg.Get(ctx, wire.ConfigKey)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := wire.Decode[wire.ConfigEntry](e.Value); err == nil {
		t.Fatalf("%s is taken for a configuration: %+v", e.Value, m)
	}
}
