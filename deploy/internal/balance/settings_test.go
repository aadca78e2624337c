package balance

import (
	"strings"
	"testing"
)

func TestFromEnv(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	s, err := FromEnv(getenv)
	if err != nil || s.Nodes != "api-proxy:8080" || s.Control != "control-plane:8090" || s.ByClient || s.TLSCert != "" {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	env["LB_METHOD"] = "hash"
	if s, err = FromEnv(getenv); err != nil || !s.ByClient {
		t.Errorf("hash: %+v, %v", s, err)
	}
	for name, value := range map[string]string{"LB_METHOD": "round_robin", "LB_NODES": "api-proxy", "LB_CONTROL": "x", "LB_TLS_KEY": "k"} {
		env = map[string]string{name: value}
		if _, err = FromEnv(getenv); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

// What the guide lets an operator choose is in the text.
func TestBackMethod(t *testing.T) {
	state := State{Nodes: members(1, 2), Control: "10.0.0.9:8090"}
	for byClient, want := range map[bool]string{false: "least_conn;", true: "hash $http_x_real_ip consistent;"} {
		text := Back(Settings{ByClient: byClient}, state)
		for _, line := range []string{want, "server 10.0.0.1:8080 ", "server 10.0.0.2:8080 ", "proxy_pass http://10.0.0.9:8090;"} {
			if strings.Count(text, line) < 1 {
				t.Errorf("by client %v: %q is missing", byClient, line)
			}
		}
	}
}
