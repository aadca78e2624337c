module apiproxy.internal/controlplane

go 1.26.0

replace apiproxy.internal/shared => ../shared
