module apiproxy.internal/deploy

go 1.26.0

require apiproxy.internal/shared v0.0.0

replace apiproxy.internal/shared => ../shared
