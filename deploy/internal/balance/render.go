package balance

import (
	"net/netip"
	"strings"
	"text/template"
)

// The balancer is two nginx in a row. The front one holds the clients'
// connections and is never reloaded; the back one knows the nodes and is reloaded
// when they change. A reload closes idle connections of clients, and a client
// that was just writing a POST into one could not tell whether it arrived. The
// back one's client is the front, which opens a connection for each request, so
// none of its connections is ever idle.

// Front is the configuration of the nginx that clients meet.
func Front(s Settings) string { return execute(frontText, s) }

// State is what the back nginx knows.
type State struct {
	Nodes   []netip.AddrPort
	Control string // host:port of the control plane, resolved; empty = not to be found
}

// Back is the configuration of the nginx that meets the nodes.
func Back(s Settings, state State) string {
	return execute(backText, struct {
		Dir      string
		ByClient bool
		State
	}{s.Dir, s.ByClient, state})
}

func execute(t *template.Template, data any) string {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		panic(err) // a template that does not fit its data: every test would see it
	}
	return b.String()
}

func parse(text string) *template.Template {
	return template.Must(template.New("").Parse(common + text))
}

const common = `{{define "common"}}worker_processes auto;
daemon off;
error_log stderr warn;
events { worker_connections 8192; }
{{end}}{{define "proxy"}}
  access_log off;                       # the nodes log every request
  server_tokens off;
  client_max_body_size 0;               # the nodes decide what is too large
  large_client_header_buffers 8 72k;
  merge_slashes off;
  proxy_http_version 1.1;
  proxy_buffering off;                  # streams pass as they come,
  proxy_request_buffering off;          # and a node refuses an upload before it is sent
  proxy_buffer_size 32k;                # an answer's head
  proxy_buffers 8 16k;
  proxy_connect_timeout 2s;
  proxy_read_timeout 300s;              # a node's own timeouts and retries end before
  proxy_send_timeout 300s;
  proxy_pass_header Date;
  proxy_pass_header Server;
  # A provider's answer must not steer the balancer.
  proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires Cache-Control Set-Cookie Vary;
{{end}}`

var frontText = parse(`{{template "common"}}
pid {{.Dir}}/front.pid;
http {{"{"}}{{template "proxy"}}
  client_body_temp_path {{.Dir}}/front-body;
  proxy_temp_path {{.Dir}}/front-proxy;
  fastcgi_temp_path {{.Dir}}/front-fastcgi;
  uwsgi_temp_path {{.Dir}}/front-uwsgi;
  scgi_temp_path {{.Dir}}/front-scgi;
  client_header_timeout 10s;
  client_body_timeout 60s;
  send_timeout 60s;
  keepalive_timeout 75s;
  keepalive_requests 100000;
  map $http_upgrade $to_peer { default upgrade; '' close; }

  server {
    listen {{.Listen}} backlog=4096 default_server;
{{- if .TLSCert}}
    listen {{.ListenTLS}} ssl http2 backlog=4096 default_server;
    ssl_certificate {{.TLSCert}};
    ssl_certificate_key {{.TLSKey}};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
{{- end}}

    # Whatever a client says about its address is replaced: it must not choose
    # the bucket that it is counted in. Behind another balancer, append instead.
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;  # for a node to refuse
    proxy_set_header Connection $to_peer;
    proxy_next_upstream off;                 # the back tries again, if anybody

    location = /lb-health {
      default_type application/json;
      return 200 '{"status":"ok"}\n';
    }
    location = /metrics {
      allow 127.0.0.0/8; allow 10.0.0.0/8; allow 172.16.0.0/12; allow 192.168.0.0/16;
      allow ::1; allow fc00::/7; allow fe80::/10;
      deny all;
      proxy_pass http://unix:{{.Dir}}/back.sock;
    }
    location / { proxy_pass http://unix:{{.Dir}}/back.sock; }
  }
}
`)

var backText = parse(`{{template "common"}}
pid {{.Dir}}/back.pid;
http {{"{"}}{{template "proxy"}}
  client_body_temp_path {{.Dir}}/back-body;
  proxy_temp_path {{.Dir}}/back-proxy;
  fastcgi_temp_path {{.Dir}}/back-fastcgi;
  uwsgi_temp_path {{.Dir}}/back-uwsgi;
  scgi_temp_path {{.Dir}}/back-scgi;
  keepalive_timeout 0;
  map $http_upgrade $to_peer { default upgrade; '' ''; }
{{if .Nodes}}
  upstream api-proxy {
    {{if .ByClient}}hash $http_x_real_ip consistent;{{else}}least_conn;{{end}}
{{- range .Nodes}}
    server {{.}} max_fails=3 fail_timeout=5s;
{{- end}}
    # Shorter than a node's --drain-delay: when its port closes, no connection
    # to it is idle, so none is closed while a request is on its way.
    keepalive 256;
    keepalive_timeout 3s;
    keepalive_requests 100000;
  }
{{end}}
  server {
    listen unix:{{.Dir}}/back.sock backlog=4096;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $to_peer;
    # A request goes to another node if the connection failed before it was
    # sent, whatever its method; GET, HEAD, PUT, DELETE and OPTIONS also if it
    # broke before an answer. A POST that was sent is never sent again.
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 3;
    proxy_next_upstream_timeout 10s;
{{if .Control}}
    # The whole cluster; while there is no control plane, the view of one node.
    location = /status {
      proxy_pass http://{{.Control}};
      proxy_connect_timeout 1s;
      proxy_read_timeout 5s;
      error_page 502 504 = @node;
    }
    location /status/ { proxy_pass http://{{.Control}}; }
{{end}}
{{- if .Nodes}}
    location @node { proxy_pass http://api-proxy; }
    location / {
      proxy_pass http://api-proxy;
      error_page 502 504 @none;
    }
{{else}}
    location @node { return 502; }
    location / {
      return 502;
      error_page 502 @none;
    }
{{end}}
    location @none {
      default_type application/problem+json;
      return 502 '{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"the balancer reaches no node"}\n';
    }
  }
}
`)
