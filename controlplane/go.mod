module apiproxy.internal/controlplane

go 1.26.0

replace apiproxy.internal/shared => ../shared

require apiproxy.internal/shared v0.0.0-00010101000000-000000000000
