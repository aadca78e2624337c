# `make help` lists the targets.
.DEFAULT_GOAL := help
MODULES := shared dataplane controlplane loadtest deploy
BIN := bin
export GOFLAGS += -trimpath

.PHONY: help build run test skips check race unit standalone tidy lint fuzz bench sim accuracy accuracy-short bench-cluster long clean rollout docker-test manifests monitoring load backup

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9\/-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build all programs into bin/
	@mkdir -p $(BIN)
	go build -o $(BIN)/ work

run: build ## run three nodes with fake providers: no keys, no network, no Docker
	@exec $(BIN)/allinone --nodes 3

test: skips check unit race fuzz ## everything that needs no Docker; says what it skips
	@$(MAKE) --no-print-directory skips

skips: ## what this machine lacks, and which tests are left out for it
	@for tool in jq promtool logrotate gcc chromium nats-server nginx; do \
		command -v $$tool >/dev/null || echo "SKIP: $$tool is not installed; the tests that need it are left out"; done
	@[ "$$(id -u)" = 0 ] || echo "SKIP: not root; the tests with a full disk are left out"

unit: ## all tests
	go test -count=1 work

# Packages whose tests start programs of their own: the detector would see only
# the test that watches them.
OUTSIDE := loadtest/(accuracy|browser|endurance|monitoring)

race: ## the tests again under the race detector, but for those of programs as processes
	@if ! CGO_ENABLED=1 go build -race -o /dev/null ./dataplane/cmd/dataplane 2>/dev/null; then \
		echo "SKIP: the race detector needs a C compiler; the tests ran without it"; \
		[ -z "$$CI" ]; \
	else CGO_ENABLED=1 go test -race -count=1 $$(go list work | grep -v -E '$(OUTSIDE)'); fi

check: ## formatting, vet, and each module on its own
	@test -z "$$(gofmt -l $(MODULES))" || { gofmt -l $(MODULES); echo "run gofmt -w on these files"; exit 1; }
	go vet work
	@$(MAKE) --no-print-directory standalone

standalone: ## build and tidy each module without the workspace: the planes must not need each other
	@for m in $(MODULES); do echo "module $$m on its own"; \
		GOWORK=off go -C $$m build ./... && GOWORK=off go -C $$m mod tidy -diff || exit 1; done

tidy: ## tidy all go.mod files
	@for m in $(MODULES); do GOWORK=off go -C $$m mod tidy || exit 1; done
	go work sync

# A count, not a time: a fuzzing process that is stopped by the clock sometimes
# reports that as a failure.
FUZZTIME ?= 3000x
fuzz: ## run every fuzz target FUZZTIME (3000x)
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' $(MODULES) | sort | while IFS=: read -r file func; do \
		target=$${func#func }; echo "fuzz $$target in $$(dirname $$file)"; \
		out=$$(go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) 2>&1) || { echo "$$out"; exit 1; }; \
	done

bench: ## what a decision and a request cost, on one and two cores
	go test -run '^$$' -bench . -benchmem -cpu 1,2 ./dataplane/internal/proxy ./dataplane/internal/limit ./dataplane/internal/breaker ./dataplane/internal/cache/...
	go test -run '^$$' -bench . -benchmem ./controlplane/internal/ledger

SEEDS ?= 3000
sim: ## the cluster's limits in simulated time: tables, then SEEDS (3000) random runs with faults
	go run ./loadtest/cmd/sim -seeds $(SEEDS)

# ACCURACY may choose parts, as in ACCURACY='--parts faults --faults kill'; see
# bin/accuracy --help.
accuracy: build ## how exactly real clusters of 3 and 10 nodes keep their limits: eleven minutes on a quiet machine; tables in bin/accuracy.md and .json
	$(BIN)/accuracy --bin $(BIN) --json $(BIN)/accuracy.json --markdown $(BIN)/accuracy.md $(ACCURACY)

accuracy-short: build ## the same in a minute: 3 nodes, a few loads and faults
	$(BIN)/accuracy --bin $(BIN) --short $(ACCURACY)

bench-cluster: ## how soon a change, a purge and an open breaker are everywhere, 300 times on ten nodes; needs an idle machine
	@uptime
	go test -run '^$$' -bench . -benchtime 300x ./loadtest/clustertest

long: ## the tests of outages of NATS and kills of the controller at full length: 20 s, 20 times
	APIPROXY_LONG=1 go test -count=1 -run 'Outages|Frozen|Kills' -v ./loadtest/clustertest

lint: ## golangci-lint, if it is installed
	@command -v golangci-lint >/dev/null || { echo "SKIP: golangci-lint is not installed (go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@latest)"; exit 0; }; \
	for m in $(MODULES); do echo "lint $$m"; (cd $$m && golangci-lint run --config ../.golangci.yml ./...) || exit 1; done

rollout: ## replace the nodes one after the other, without losing a request
	@deploy/rollout.sh

manifests: ## build the Kubernetes overlays and decode them strictly, offline
	GOWORK=off go -C deploy/k8s/check vet ./... && GOWORK=off go -C deploy/k8s/check test -count=1 ./...

monitoring: ## a real Prometheus asks every query of dashboard and alerts under load
	go vet -tags prometheus ./loadtest/monitoring
	go test -count=1 -tags prometheus ./loadtest/monitoring

bin/k6: ## build k6 into bin/
	GOWORK=off GOBIN=$(CURDIR)/$(BIN) go install go.k6.io/k6@v1.8.1

load: build bin/k6 ## smoke and load with k6 against an all-in-one of its own
	@loadtest/k6/run.sh smoke load

backup: ## configuration, secrets and data into backups/
	@deploy/backup.sh

# COMPOSE_FILE and the images' names are the test's own; it cleans up.
docker-test: ## the whole stack in a real Docker engine, under load
	go vet -tags docker ./loadtest/docker
	go test -count=1 -tags docker -timeout 30m -v ./loadtest/docker

clean: ## remove what make built
	rm -rf $(BIN)
