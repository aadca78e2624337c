package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestExposition(t *testing.T) {
	m := New("1.2.3", func() State {
		return State{Leader: true, Epoch: 4, Revision: 7, PendingNodes: 1, Nodes: map[string]int{"live": 3},
			Breakers: map[string]string{"zerion": "open"}, Limits: map[string]Limit{"global": {Utilisation: 0.5}}}
	})
	m.Request("PUT", "/api/v1/config", 412, time.Millisecond)
	m.Events.WithLabelValues("breaker").Inc()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	text := answer.Body.String()
	for _, line := range []string{
		`api_proxy_control_build_info{version="1.2.3"} 1`,
		"api_proxy_control_leader 1",
		"api_proxy_control_epoch 4",
		"api_proxy_control_config_revision 7",
		"api_proxy_control_config_pending_nodes 1",
		`api_proxy_control_nodes{state="live"} 3`,
		`api_proxy_control_nodes{state="gone"} 0`,
		`api_proxy_control_nodes{state="left"} 0`,
		`api_proxy_control_breaker_state{provider="zerion",state="open"} 1`,
		`api_proxy_control_breaker_state{provider="zerion",state="closed"} 0`,
		`api_proxy_control_limit_utilisation{limit="global"} 0.5`,
		`api_proxy_control_limit_overshoot_bound{limit="global"} 0`,
		`api_proxy_control_nats_refused_total{reason="login"} 0`,
		`api_proxy_control_cache_purges_total{result="incomplete"} 0`,
		`api_proxy_control_http_requests_total{code="412",method="PUT",route="/api/v1/config"} 1`,
		`api_proxy_control_http_request_duration_seconds_count{route="/api/v1/config"} 1`,
		`api_proxy_control_events_total{event="breaker"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}
