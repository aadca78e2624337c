package config

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// How a provider wants its key.
const (
	AuthNone   = "none"
	AuthBasic  = "basic"  // Authorization: Basic username:password (RFC 7617)
	AuthHeader = "header" // a header of its own
	AuthQuery  = "query"  // a query parameter
	AuthPath   = "path"   // segments in front of the path
)

// Auth is how a provider's credential is put into a request. In the document each
// secret is written as x_env or x_file.
type Auth struct {
	Type string `json:"type" oneof:"none basic header query path"`
	// Username and Password belong to basic; without Password it is empty.
	Username *SecretRef `json:"username"`
	Password *SecretRef `json:"password"`
	// Value is the key of header, query and path.
	Value *SecretRef `json:"value"`
	// Header is the field's name; Template, such as "Bearer {key}", its value, by
	// default the bare key.
	Header string `json:"header"`
	// Param is the name of the query parameter.
	Param string `json:"param"`
	// Template of path, such as "/v2/{key}", goes between upstream and path.
	Template string `json:"template"`
	// PassAuthorization lets the client's own Authorization through; only for none.
	PassAuthorization bool `json:"pass_authorization"`
}

// MarshalJSON writes the references as the document has them.
func (a Auth) MarshalJSON() ([]byte, error) {
	env := func(s *SecretRef) string {
		if s == nil {
			return ""
		}
		return s.Env
	}
	file := func(s *SecretRef) string {
		if s == nil {
			return ""
		}
		return s.File
	}
	return json.Marshal(struct {
		Type              string `json:"type"`
		UsernameEnv       string `json:"username_env,omitempty"`
		UsernameFile      string `json:"username_file,omitempty"`
		PasswordEnv       string `json:"password_env,omitempty"`
		PasswordFile      string `json:"password_file,omitempty"`
		ValueEnv          string `json:"value_env,omitempty"`
		ValueFile         string `json:"value_file,omitempty"`
		Header            string `json:"header,omitempty"`
		Param             string `json:"param,omitempty"`
		Template          string `json:"template,omitempty"`
		PassAuthorization bool   `json:"pass_authorization,omitempty"`
	}{
		a.Type,
		env(a.Username), file(a.Username), env(a.Password), file(a.Password), env(a.Value), file(a.Value),
		a.Header, a.Param, a.Template, a.PassAuthorization,
	})
}

type namedSecret struct {
	name string
	ref  *SecretRef
}

func (a *Auth) secrets() []namedSecret {
	return []namedSecret{{"username", a.Username}, {"password", a.Password}, {"value", a.Value}}
}

// field is the name of the secret in the document.
func (s namedSecret) field() string {
	if s.ref != nil && s.ref.File != "" {
		return s.name + "_file"
	}
	return s.name + "_env"
}

// authShapes says which fields a type needs and which others it may have.
var authShapes = map[string]struct{ needs, may []string }{
	AuthNone:   {nil, []string{"pass_authorization"}},
	AuthBasic:  {[]string{"username_env"}, []string{"password_env"}},
	AuthHeader: {[]string{"header", "value_env"}, []string{"template"}},
	AuthQuery:  {[]string{"param", "value_env"}, nil},
	AuthPath:   {[]string{"template", "value_env"}, nil},
}

func (r *report) auth(path string, a *Auth) {
	for _, s := range a.secrets() {
		if s.ref != nil {
			r.secret(path, s)
		}
	}
	if r.broken[child(path, "type")] {
		return // what fits an unknown type is unknown
	}
	r.authShape(path, a)
	switch a.Type {
	case AuthHeader:
		r.authHeader(path, a)
	case AuthQuery:
		r.authParam(path, a)
	case AuthPath:
		r.authTemplate(path, a)
	}
}

// authShape compares the fields that are there with those that the type has.
func (r *report) authShape(path string, a *Auth) {
	shape := authShapes[a.Type]
	present := map[string]string{} // name in authShapes → name in the document
	for _, s := range a.secrets() {
		if s.ref != nil {
			present[s.name+"_env"] = s.field()
		}
	}
	for name, set := range map[string]bool{
		"header": a.Header != "", "param": a.Param != "", "template": a.Template != "", "pass_authorization": a.PassAuthorization,
	} {
		if set {
			present[name] = name
		}
	}
	for _, name := range shape.needs {
		if present[name] == "" {
			remedy := "set " + name
			if secret, ok := strings.CutSuffix(name, "_env"); ok {
				remedy += " or " + secret + "_file"
			}
			r.refuse(child(path, name), "is missing, auth type "+a.Type+" needs it", remedy)
		}
	}
	for _, name := range sortedKeys(present) {
		if !slices.Contains(shape.needs, name) && !slices.Contains(shape.may, name) {
			r.refuse(child(path, present[name]), "does not belong to auth type "+a.Type, "remove it or correct auth.type")
		}
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// secret checks a reference. Its texts are not shown: a secret may have been
// written where its name should be.
func (r *report) secret(path string, s namedSecret) {
	env, file := child(path, s.name+"_env"), child(path, s.name+"_file")
	switch {
	case r.given(env) && r.given(file):
		r.refuse(file, "is given beside "+s.name+"_env", "keep one of the two")
	case r.given(file):
		if s.ref.File == "" || strings.ContainsFunc(s.ref.File, isControl) {
			r.refuse(file, "is not the path of a file", "write the path of the file that holds the secret")
		}
	case !envName.MatchString(s.ref.Env):
		r.refuse(env, "is not the name of an environment variable", "write the variable's name, never the secret itself")
	}
}

var (
	// headerToken is a token of RFC 9110 §5.6.2.
	headerToken = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")
	queryParam  = regexp.MustCompile(`^[-A-Za-z0-9._~]+$`)
)

// reservedHeaders belong to the connection (RFC 9110 §7.6.1) or frame the request.
var reservedHeaders = []string{
	"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
	"te", "trailer", "transfer-encoding", "upgrade", "host", "content-length",
}

const keyMark = "{key}"

func (r *report) authHeader(path string, a *Auth) {
	at := child(path, "header")
	switch {
	case a.Header == "": // reported as missing
	case !headerToken.MatchString(a.Header):
		r.refuse(at, "is not the name of a header", "use letters, digits and dashes")
	case slices.Contains(reservedHeaders, strings.ToLower(a.Header)):
		r.refuse(at, "this header belongs to the connection, not to the credential", "name the header in which the provider expects its key")
	}
	if !r.given(child(path, "template")) {
		return
	}
	at = child(path, "template")
	if strings.Count(a.Template, keyMark) != 1 {
		r.refuse(at, "needs {key} exactly once", `write where the key goes, such as "Bearer {key}"`)
	}
	if strings.Trim(a.Template, " ") != a.Template || strings.ContainsFunc(a.Template, notVisible) {
		r.refuse(at, "cannot be the value of a header", "use visible ASCII, with spaces only inside")
	}
}

func notVisible(c rune) bool { return c < ' ' || c > '~' }

func (r *report) authParam(path string, a *Auth) {
	if a.Param != "" && !queryParam.MatchString(a.Param) {
		r.refuse(child(path, "param"), "is not the name of a query parameter", "use letters, digits and - . _ ~")
	}
}

func (r *report) authTemplate(path string, a *Auth) {
	at := child(path, "template")
	if a.Template == "" {
		return // reported as missing
	}
	if strings.Count(a.Template, keyMark) != 1 {
		r.refuse(at, "needs {key} exactly once", `write where the key goes, such as "/v2/{key}"`)
		return
	}
	if message := checkPath(strings.Replace(a.Template, keyMark, "key", 1)); message != "" {
		r.refuse(at, message, pathRemedy)
	}
}
