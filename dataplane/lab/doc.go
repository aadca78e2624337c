// Package lab shows the node's pure cores to simulations that run them together
// with the leader's. It holds names only.
package lab
