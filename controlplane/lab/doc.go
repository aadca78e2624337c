// Package lab shows the leader's pure cores to simulations that run them
// together with the nodes'. It holds names only.
package lab
