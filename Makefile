# The two commands to know are `make run` and `make test`; `make help` lists the others.
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.ONESHELL:

PLUGINS     := $(notdir $(wildcard plugins/*))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BUF         := github.com/bufbuild/buf/cmd/buf@v1.75.0
NFPM        := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
CYCLONEDX   := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# TAGS=yara builds YARA into the plugin atse, which then needs libyara (Debian's libyara-dev) and a C compiler.
TAGS ?=

# Mail to measure on, for the proofs that need real mail.
CORPORA ?=

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## build the gateway and its plugins into bin/
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/postern ./core/cmd/postern
	for name in $(PLUGINS); do CGO_ENABLED=$(if $(TAGS),1,0) go build -trimpath -tags "$(TAGS)" -o bin/postern-$$name ./plugins/$$name; done
	CGO_ENABLED=0 go build -trimpath -o bin/postern-verdicts ./examples/analyzer-go
	CGO_ENABLED=0 go build -trimpath -o bin/sandbox-simulator ./examples/sandbox-simulator
	CGO_ENABLED=0 go build -trimpath -o bin/object-servers ./examples/object-servers
	CGO_ENABLED=0 go build -trimpath -o bin/hostile-plugin ./core/e2e/hostile

.PHONY: examples
examples: packages ## test the example scanners, each in its own module, and build them into bin/examples/
	@mkdir -p bin/examples
	cd examples/scanner-go
	go vet ./... && go test ./...
	CGO_ENABLED=0 go build -trimpath -o ../../bin/examples/postern-allowed .
	cd ../scanner-node
	[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent
	npm test --silent >/dev/null || npm test
	npm run --silent build
	mv postern-invites ../../bin/examples/

.PHONY: run
run: build ## start the gateway here, send it the sample mails, show what became of them; ONCE=1 ends there
	@go run ./core/e2e/trial $(if $(ONCE),-once)

.PHONY: test
test: packages build examples ## run every test, with the race detector, against real servers
	go test -race -tags yara ./plugins/atse
	go test -race -timeout 15m ./...

.PHONY: bench
bench: build ## measure: Go benchmarks, and the gateway beside a bare relay in the same run
	go test -run '^$$' -bench . -benchmem ./...
	go run ./core/e2e/proof throughput

.PHONY: lint
lint: packages ## run the linters
	@test -z "$$(gofmt -l core plugins sdk examples)" || { echo "not formatted:"; gofmt -l core plugins sdk examples; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
	go vet -tags yara ./plugins/atse
	(cd examples/scanner-go && go vet ./...)
	cd sdk/proto && go run $(BUF) lint && go run $(BUF) breaking --against v1.binpb

.PHONY: vuln
vuln: ## look for known holes in what is built in; VULNDB=file:///folder uses a copy of the database
	go run $(GOVULNCHECK) $(if $(VULNDB),-db "$(VULNDB)") ./...

.PHONY: sbom
sbom: ## list every module that is built in, in bin/sbom.json (CycloneDX)
	@mkdir -p bin
	go run $(CYCLONEDX) mod -json -licenses=false -output bin/sbom.json

.PHONY: reproducible
reproducible: ## build twice, from two folders, and compare
	@one=$$(mktemp -d) two=$$(mktemp -d); trap 'rm -rf "$$one" "$$two"' EXIT
	cp -r core plugins sdk config examples go.mod go.sum "$$two"
	for name in core/cmd/postern $(addprefix plugins/,$(PLUGINS)); do
		CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION)" -o "$$one/built/" ./$$name
		(cd "$$two" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=$(VERSION)" -o "$$two/built/" ./$$name)
	done
	diff -r "$$one/built" "$$two/built" && echo "reproducible: $$(ls "$$one/built" | wc -l) programs, the same bytes from two folders"

.PHONY: deb
deb: sbom ## build the Debian package bin/postern_VERSION_ARCH.deb
	@stage=bin/stage; rm -rf $$stage; mkdir -p $$stage; trap "rm -rf $$stage" EXIT
	for name in postern $(PLUGINS); do
		[ $$name = postern ] && path=core/cmd/postern out=postern || { path=plugins/$$name; out=postern-$$name; }
		CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o "$$stage/lib/$$out" ./$$path
	done
	cp -r config "$$stage/config"
	"$$stage/lib/postern" plugin pin --config "$$stage/config" "$$stage"/lib/postern-*
	"$$stage/lib/postern" completion bash >"$$stage/completion.bash"
	cp bin/sbom.json "$$stage/sbom.json"
	case "$(VERSION)" in v[0-9]*.*) version="$(VERSION)"; version=$${version#v} ;; *) version="0~git.$(VERSION)" ;; esac
	ARCH=$$(go env GOARCH) VERSION="$$version" go run $(NFPM) package --config config/package/nfpm.yaml --packager deb --target bin/

.PHONY: proofs
proofs: build ## list the proofs with what each claims
	@go run ./core/e2e/proof

.PHONY: proof
proof: packages build examples ## run one: make proof NAME=split [CORPORA=folder]
	@go run ./core/e2e/proof -corpora "$(CORPORA)" $(NAME)

.PHONY: generate
generate: ## make the Go of the plugin contract from its .proto, which may have grown but not changed
	cd sdk/proto && go run $(BUF) breaking --against v1.binpb && go run $(BUF) generate && go run $(BUF) build --exclude-source-info -o v1.binpb

# What the tests need besides Go, from Debian: a C compiler (race detector), clamd, PostgreSQL, strace, 7-Zip, libyara, Node.
.PHONY: packages
packages:
	@missing=()
	have() { command -v "$$1" >/dev/null || [ -x "/usr/sbin/$$1" ]; }
	have gcc || missing+=(gcc libc6-dev)
	have clamd || missing+=(clamav-daemon)
	have strace || missing+=(strace)
	{ have pkg-config && pkg-config --exists yara; } || missing+=(libyara-dev pkg-config)
	have 7zz || missing+=(7zip)
	have npm || missing+=(nodejs npm)
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
	if [ $${#missing[@]} -gt 0 ]; then
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo
		echo "installing $${missing[*]}"
		$$sudo apt-get update -qq
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null
	fi
