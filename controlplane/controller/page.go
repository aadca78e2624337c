package controller

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"apiproxy.internal/controlplane/statusview"
	"apiproxy.internal/shared/status"
)

// page is the status page with the little history that it shows at once.
type page struct {
	mu       sync.Mutex
	recorder statusview.Recorder
}

func newPage() *page { return &page{} }

// record keeps samples of the status until ctx ends.
func (p *page) record(ctx context.Context, source func() status.Document) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		doc := source()
		p.mu.Lock()
		p.recorder.Add(&doc)
		p.mu.Unlock()
	}
}

func (p *page) Render(w io.Writer, doc status.Document) error {
	p.mu.Lock()
	history := p.recorder.History()
	p.mu.Unlock()
	return statusview.Render(w, statusview.Page{Status: doc, History: history})
}

func (p *page) Assets() http.Handler { return statusview.Assets() }

func (p *page) CSP() string { return statusview.CSP }
