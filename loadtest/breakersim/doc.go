// Package breakersim runs both sides of the circuit breaker together in virtual time, over a
// network that loses, doubles, delays and overtakes, with nodes that crash, links
// that break and leaders that change; oracles watch what the provider would see.
package breakersim
