// Package browser opens the controller's status page in headless Chromium and
// does with it what an operator does: look, change a limit, trip a breaker. It
// knows the page by its address only, so the same steps serve a stand-in and a
// real cluster.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrNotInstalled is returned by Start where there is no Chromium.
var ErrNotInstalled = errors.New("chromium is not installed (Debian: apt-get install chromium)")

// Patience is how long a page may take for anything; a loaded machine is slow.
const Patience = 30 * time.Second

// Browser is a running Chromium with a profile of its own.
type Browser struct {
	ctx  context.Context
	stop context.CancelFunc
}

// Start starts a browser; Stop ends it and removes its profile.
func Start() (*Browser, error) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, ErrNotInstalled
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("no-proxy-server", true), // whatever the environment says: the page is on this machine
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root otherwise
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(allocator)
	stop := func() { stopBrowser(); stopAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return &Browser{ctx, stop}, nil
}

// Stop ends the browser and every page.
func (b *Browser) Stop() { b.stop() }

// Screen is what a page is shown on. The zero value is a large light one.
type Screen struct {
	Width, Height int64 // CSS pixels; 1280 by 900 if 0
	Dark          bool
	NoScript      bool // JavaScript is off
}

// Page is one tab. Its methods may be called by one goroutine at a time.
type Page struct {
	ctx   context.Context
	close context.CancelFunc

	mu         sync.Mutex
	complaints []string
}

// Open opens url in a new tab and waits until it has loaded.
func (b *Browser) Open(url string, s Screen) (*Page, error) {
	if s.Width == 0 {
		s.Width, s.Height = 1280, 900
	}
	ctx, closeTab := chromedp.NewContext(b.ctx)
	p := &Page{ctx: ctx, close: closeTab}
	if err := chromedp.Listen(ctx, p.listen); err != nil { // this also makes the tab
		closeTab()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	scheme := "light"
	if s.Dark {
		scheme = "dark"
	}
	viewport := chromedp.EmulateViewport(s.Width, s.Height)
	if s.Width < 600 {
		viewport = chromedp.EmulateViewport(s.Width, s.Height, chromedp.EmulateMobile)
	}
	err := p.do(
		viewport,
		set(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}),
		set(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: s.NoScript}),
		set(runtime.Enable, cdp.Empty{}), set(log.Enable, cdp.Empty{}),
		chromedp.Navigate(url),
	)
	if err != nil {
		closeTab()
		return nil, fmt.Errorf("open %s: %w", url, err)
	}
	return p, nil
}

// set is a command of the browser's protocol whose answer nobody needs.
func set[P any](command cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// Reload loads the page again and waits until it has loaded.
func (p *Page) Reload() error { return p.do(chromedp.Reload()) }

// Close closes the tab.
func (p *Page) Close() { p.close() }

// listen collects what the browser's console would show in red: errors, uncaught
// exceptions, violations of the content security policy, failed downloads.
func (p *Page) listen(event any) {
	complaint := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			complaint += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			complaint = fmt.Sprint("console: ", e.Type)
			for _, argument := range e.Args {
				complaint += " " + string(argument.Value)
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning || e.Entry.Source == log.EntrySourceSecurity {
			complaint = strings.TrimSpace(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
	if complaint != "" {
		p.mu.Lock()
		p.complaints = append(p.complaints, complaint)
		p.mu.Unlock()
	}
}

// Complaints is what the browser complained about so far.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.complaints...)
}

// do does something with the page, within Patience.
func (p *Page) do(actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// Eval is the value of a JavaScript expression.
func Eval[T any](p *Page, expression string) (value T, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	if value, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression)); err != nil {
		err = fmt.Errorf("%s: %w", expression, err)
	}
	return value, err
}

// Run evaluates a JavaScript expression for its effect.
func (p *Page) Run(expression string) error {
	_, err := Eval[chromedp.Void](p, expression)
	return err
}

// Wait waits until a JavaScript expression is true; what says which event that
// is. It asks again and again from outside: the page's policy forbids it to
// evaluate text, as a poll inside it would.
func (p *Page) Wait(what, expression string) error {
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); {
		if happened, err := Eval[bool](p, "!!("+expression+")"); err != nil || happened {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
	return fmt.Errorf("waited in vain for: %s (%s)", what, expression)
}

// Text is what an element shows.
func (p *Page) Text(selector string) (string, error) {
	return Eval[string](p, "document.querySelector("+quote(selector)+").innerText")
}

// Screenshot is a PNG of the whole page.
func (p *Page) Screenshot() ([]byte, error) {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.FullScreenshot(100))
}
