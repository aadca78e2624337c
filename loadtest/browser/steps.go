package browser

import (
	"encoding/json"
	"fmt"

	"github.com/chromedp/chromedp"
)

// The steps. Each finds what it needs on the page as a person does, by what is
// written there, and waits for the page to say how it ended.

// OpenStatus opens the status page of the controller at base, an address such as
// http://127.0.0.1:8090, and waits until it is live.
func (b *Browser) OpenStatus(base string, s Screen) (*Page, error) {
	p, err := b.Open(base+"/status", s)
	if err != nil || s.NoScript {
		return p, err
	}
	return p, p.Wait("the page is live", `document.documentElement.classList.contains("scripted") && document.querySelector("#stream").textContent === "live"`)
}

// Nodes are the states of the nodes that the page shows, by id.
func (p *Page) Nodes() (map[string]string, error) {
	return Eval[map[string]string](p, `Object.fromEntries([...document.querySelectorAll("#nodes tr")].map((row) =>
		[row.querySelector("[data-f=id]").textContent, row.querySelector("[data-f=state]").textContent]))`)
}

// WaitNode waits until the page shows a node in a state; "gone" also holds for a
// node that is not listed any more.
func (p *Page) WaitNode(id, state string) error {
	row := `[...document.querySelectorAll("#nodes tr")].find((row) => row.querySelector("[data-f=id]").textContent === ` + quote(id) + `)`
	is := `(` + row + `?.querySelector("[data-f=state]").textContent ?? "gone") === ` + quote(state)
	return p.Wait("node "+id+" is "+state, is)
}

// WaitBreaker waits until the page shows a provider's breaker closed, open or
// half open.
func (p *Page) WaitBreaker(provider, state string) error {
	return p.Wait("the breaker of "+provider+" is "+state, card(provider)+`.querySelector("[data-f=state]").textContent === `+quote(state))
}

// WaitLimit waits until a limit's line contains a text such as "of 300/s". The
// limit is "global", "per_ip" or a provider.
func (p *Page) WaitLimit(limit, text string) error {
	return p.Wait("the limit of "+limit+" shows "+text, card(limit)+`.querySelector("[data-f=used]").textContent.includes(`+quote(text)+`)`)
}

// WaitEvent waits until the list of events has one that contains a text.
func (p *Page) WaitEvent(text string) error {
	return p.Wait("an event with "+text, `[...document.querySelectorAll("#events li")].some((e) => e.textContent.includes(`+quote(text)+`))`)
}

// Change is who changes something and why; the token may be "".
type Change struct {
	Token, Author, Reason string
}

// ChangeLimit changes "global", "per_ip" or a provider's limit with the form and
// returns what the form says then.
func (p *Page) ChangeLimit(limit, rate, burst string, c Change) (result string, err error) {
	return p.change(limit, "limit", c, map[string]string{"rate": rate, "burst": burst})
}

// ChangeBreaker trips, resets or frees (auto) a provider's breaker with the form.
// ttl is for trip; "" has no end.
func (p *Page) ChangeBreaker(provider, action, ttl string, c Change) (result string, err error) {
	return p.change(provider, "breaker", c, map[string]string{"action": action, "ttl": ttl})
}

func (p *Page) change(key, form string, c Change, values map[string]string) (result string, err error) {
	values["token"], values["author"], values["reason"] = c.Token, c.Author, c.Reason
	filled, err := json.Marshal(values)
	if err != nil {
		return "", err
	}
	dialog := "#" + form + "-dialog"
	if err := p.Run(card(key) + `.querySelector("[data-do=` + form + `]").click()`); err != nil {
		return "", err
	}
	if err := p.Wait("the form opens", `document.querySelector(`+quote(dialog)+`).open`); err != nil {
		return "", err
	}
	fill := `(() => {
		const fields = document.querySelector(` + quote(dialog) + `).querySelector("form").elements, values = ` + string(filled) + `;
		for (const name in values) {
			fields[name].value = values[name];
			(fields[name].length ? fields[name][0] : fields[name]).dispatchEvent(new Event("change", { bubbles: true }));
		}
	})()`
	if err := p.Run(fill); err != nil {
		return "", err
	}
	if err := p.do(chromedp.Click(chromedp.CSS(dialog + " [type=submit]"))); err != nil {
		return "", fmt.Errorf("send the form: %w", err)
	}
	answered := `(() => { const t = document.querySelector(` + quote(dialog+" .result") + `).innerText; return t && t !== "Sending…"; })()`
	if err := p.Wait("the form tells a result", answered); err != nil {
		return "", err
	}
	if result, err = p.Text(dialog + " .result"); err != nil {
		return "", err
	}
	return result, p.Run(`document.querySelector(` + quote(dialog+" [data-do=close]") + `).click()`)
}

// card is the JavaScript expression for the card of a provider or a limit.
func card(key string) string {
	return `[...document.querySelectorAll("#providers > li, #limits > li")].find((e) => e.dataset.key === ` + quote(key) + `)`
}

// quote writes a text as JavaScript.
func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string always has a JSON form
	return string(quoted)
}
