module apiproxy.internal/loadtest

go 1.26.0

require (
	apiproxy.internal/dataplane v0.0.0
	apiproxy.internal/shared v0.0.0
)

require go.uber.org/goleak v1.3.0 // indirect

replace (
	apiproxy.internal/dataplane => ../dataplane
	apiproxy.internal/shared => ../shared
)
