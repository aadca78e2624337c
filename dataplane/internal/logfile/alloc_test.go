//go:build !race

package logfile

import "testing"

func TestWriteAllocatesNothing(t *testing.T) {
	w := start("", &disk{}, Options{})
	defer w.Close()
	line := []byte(`{"status":200}`)
	// Both buffers have to grow once.
	for range 2 {
		for range 2000 {
			w.Write(line)
		}
		w.Flush()
	}
	if n := testing.AllocsPerRun(1000, func() { w.Write(line) }); n != 0 {
		t.Errorf("a line allocates %v times, want 0", n)
	}
}

func TestAppendStringAllocatesNothing(t *testing.T) {
	in := []byte("钱包 \"\xff\"\n")
	dst := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(1000, func() {
		dst = AppendString(dst[:0], in)
		dst = AppendString(dst[:0], "钱包 \"\xff\"\n")
	}); n != 0 {
		t.Errorf("a string allocates %v times, want 0", n)
	}
}
