package events

import "testing"

func TestListenersHearWhatComesAndWhatTheyMissed(t *testing.T) {
	h := New(100)
	h.Publish(NodeJoined, map[string]string{"node": "a"})
	live, cancel := h.Subscribe(0)
	h.Publish(NodeLeft, map[string]string{"node": "a"})
	if e := <-live; e.ID != 102 || e.Name != NodeLeft || string(e.Data) != `{"node":"a"}` {
		t.Errorf("%+v", e)
	}
	back, cancelBack := h.Subscribe(101)
	defer cancelBack()
	if e := <-back; e.ID != 102 {
		t.Errorf("caught up with %+v, want 102", e)
	}
	cancel()
	cancel()
	if _, open := <-live; open {
		t.Error("a cancelled subscription goes on")
	}
}

func TestASlowListenerIsLeftBehind(t *testing.T) {
	h := New(0)
	slow, cancel := h.Subscribe(0)
	defer cancel()
	for range 2000 {
		h.Publish(Breaker, struct{}{})
	}
	var last Event
	for e := range slow {
		last = e
	}
	again, cancelAgain := h.Subscribe(last.ID)
	defer cancelAgain()
	if e := <-again; e.ID != 2000-kept+1 {
		t.Errorf("a returning listener begins with %d", e.ID)
	}
}

func TestClose(t *testing.T) {
	h := New(0)
	before, cancel := h.Subscribe(0)
	h.Close()
	if _, open := <-before; open {
		t.Error("a subscription outlives the hub")
	}
	after, _ := h.Subscribe(0)
	if _, open := <-after; open {
		t.Error("a closed hub takes subscriptions")
	}
	cancel()
	h.Publish(Breaker, struct{}{})
}
