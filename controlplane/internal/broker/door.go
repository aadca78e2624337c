package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/nats-io/nats-server/v2/server"

	"apiproxy.internal/shared/wire"
)

// controllerUser is the controller itself at its own server. No node can have
// this name.
const controllerUser = "$controller"

// door decides who may come in: a node with the secret, under any id, because a
// node that was never seen before may join.
type door struct {
	secret, token string
	refused       func(Refused)
}

// Check implements server.Authentication.
func (d *door) Check(c server.ClientAuthentication) bool {
	given := c.GetOpts()
	node := given.Username
	switch {
	case node == controllerUser && same(given.Password, d.token):
		c.RegisterUser(&server.User{Username: node})
		return true
	case !wire.ValidNode(node):
		node = "" // may be anything, a secret in the wrong field too
	case d.secret == "" || same(given.Password, d.secret):
		c.RegisterUser(&server.User{Username: node, Permissions: permissions(node)})
		return true
	}
	if d.refused != nil {
		d.refused(Refused{Node: node, Kind: RefusedLogin})
	}
	return false
}

// same compares in a time that tells nothing, the length included.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// readBuckets are the ones that nodes watch.
var readBuckets = []string{wire.ConfigBucket, wire.MembersBucket, wire.BreakerBucket}

// mayPublish is what a node may publish: its reports, and the requests by which
// one looks at a bucket. They guard against accidents. A hostile node that has the
// secret could still make the server write nonsense into other keys, by naming
// them as the place for its replies; readers refuse what does not decode.
func mayPublish(node string) []string {
	allow := []string{wire.ReportSubject(node), "$JS.API.INFO"}
	for _, bucket := range readBuckets {
		stream := "KV_" + bucket
		allow = append(allow,
			"$JS.API.STREAM.INFO."+stream,
			"$JS.API.STREAM.MSG.GET."+stream,
			"$JS.API.DIRECT.GET."+stream+".>",
			"$JS.API.CONSUMER.CREATE."+stream+".>",
			"$JS.API.CONSUMER.DELETE."+stream+".>",
			"$JS.FC."+stream+".>",
		)
	}
	return allow
}

// maySubscribe is what a node may hear: replies to its own requests, and answers
// to itself.
func maySubscribe(node string) []string {
	return []string{wire.InboxPrefix(node) + ".>", wire.AnswerSubject(node)}
}

func permissions(node string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: slices.Clip(mayPublish(node))},
		Subscribe: &server.SubjectPermission{Allow: slices.Clip(maySubscribe(node))},
	}
}
