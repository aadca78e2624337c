// Package monitoring checks the files in the folder monitoring: that every query
// of the dashboard and of the alerts is one that Prometheus can read, asks for
// metrics that exist, and has an answer while the proxy works.
package monitoring
