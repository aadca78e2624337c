// Package controller is one control-plane process: it keeps the configuration,
// divides the limits among the nodes and sums up what they report. It shares no
// code with the data plane beyond the contracts in shared.
package controller
