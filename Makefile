# The two commands to know are `make run` and `make test`; `make help` lists the others.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.ONESHELL:

PLUGINS     := $(notdir $(wildcard plugins/*))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BUF         := github.com/bufbuild/buf/cmd/buf@v1.75.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# Mail to measure on, for the proofs that need real mail.
CORPORA ?=

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## build the gateway and its plugins into bin/
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/postern ./core/cmd/postern
	for name in $(PLUGINS); do CGO_ENABLED=0 go build -trimpath -o bin/postern-$$name ./plugins/$$name; done
	CGO_ENABLED=0 go build -trimpath -o bin/postern-verdicts ./examples/analyzer-go
	go build -trimpath -o bin/sandbox-simulator ./examples/sandbox-simulator
	CGO_ENABLED=0 go build -trimpath -o bin/hostile-plugin ./core/e2e/hostile

.PHONY: run
run: build ## start the gateway here, send it the sample mails, show what became of them; ONCE=1 ends there
	@go run ./core/e2e/trial $(if $(ONCE),-once)

.PHONY: test
test: packages build ## run every test, with the race detector, against real servers
	go test -race -timeout 15m ./...

.PHONY: bench
bench: build ## measure: Go benchmarks, and the gateway beside a bare relay in the same run
	go test -run '^$$' -bench . -benchmem ./...
	go run ./core/e2e/proof throughput

.PHONY: lint
lint: ## run the linters
	@test -z "$$(gofmt -l core plugins sdk)" || { echo "not formatted:"; gofmt -l core plugins sdk; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	cd sdk/proto && go run $(BUF) lint

.PHONY: vuln
vuln: ## look for known holes in what is built in
	go run $(GOVULNCHECK) ./...

.PHONY: proofs
proofs: build ## list the proofs with what each claims
	@go run ./core/e2e/proof

.PHONY: proof
proof: packages build ## run one: make proof NAME=split [CORPORA=folder]
	@go run ./core/e2e/proof -corpora "$(CORPORA)" $(NAME)

.PHONY: generate
generate: ## make the Go of the plugin contract from its .proto
	cd sdk/proto && go run $(BUF) generate

# What the tests need besides Go, from Debian: a C compiler (race detector), clamd, PostgreSQL, strace, 7-Zip.
.PHONY: packages
packages:
	@missing=()
	have() { command -v "$$1" >/dev/null || [ -x "/usr/sbin/$$1" ]; }
	have gcc || missing+=(gcc libc6-dev)
	have clamd || missing+=(clamav-daemon)
	have strace || missing+=(strace)
	have 7zz || missing+=(7zip)
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
	if [ $${#missing[@]} -gt 0 ]; then
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo
		echo "installing $${missing[*]}"
		$$sudo apt-get update -qq
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null
	fi
