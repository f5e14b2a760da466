# psyopsOS: `make run` boots it in a virtual machine, `make test` proves it.
GO     ?= go
OUT    ?= artifacts
TK      = $(OUT)/bin/tk
COMMIT := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
RUN    ?= .
# Virtual machines at once. A booting one waits for a third of its time: three
# on two processors end sooner than two.
VMS    ?= 3
# No C compiler is needed, but for the race detector.
export CGO_ENABLED = 0
# mke2fs, sgdisk and sshd are where an ordinary user's PATH may not lead.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

.PHONY: run test matrix crashtest check qemu-test bench man size clean help deps test-deps $(TK)

run: deps ## build everything, start the VM with its console in this terminal
	$(TK) mkimage diskimg --out $(OUT)
	$(TK) vm diskimg --out $(OUT)

test: test-deps ## all tests: unit, fuzz seeds, scripts, VMs
	( $(GO) test -json ./... ; echo exit $$? ; $(GO) test -json -p 1 -parallel $(VMS) -tags qemu -timeout 75m $(VMTESTS) ; echo exit $$? ) | $(OUT)/bin/testreport -runs=2

# Also what needs a real S3 server, which is built at first use.
VMTESTS = ./image/loader/ ./deaddrop/ ./qemu-tests/

qemu-test: test-deps ## VM tests alone; RUN=Regexp selects
	( $(GO) test -json -p 1 -parallel $(VMS) -tags qemu -timeout 75m -count=1 -run '$(RUN)' $(VMTESTS) ; echo exit $$? ) | $(OUT)/bin/testreport -runs=1

matrix: test-deps ## every release that can fail, and every cut of an apply, in virtual machines (half an hour)
	( QEMU_MATRIX=all $(GO) test -json -p 1 -parallel $(VMS) -tags qemu -timeout 2h -count=1 -run 'EndsOnTheOldSide|EndsOnTheProvenSide|KilledAgain|ComeAndGo' ./qemu-tests/ ; echo exit $$? ) | $(OUT)/bin/testreport -runs=1

crashtest: test-deps ## every state that a power cut can leave of a real update (most of an hour)
	CRASHTEST=full $(GO) test -count=1 -v -tags qemu -timeout 3h -run 'TestEveryCut' ./qemu-tests/

check: test-deps ## gofmt, vet, staticcheck, unit tests with the race detector
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; [ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags qemu ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags qemu ./...
	CGO_ENABLED=1 $(GO) test -race ./...

bench: test-deps ## our boot beside a floor program's, our build beside a plain script's, an apply beside plain writing, a push beside plain PUTs, with ratios; benchmarks of packages
	PSYOPSOS_BENCH_OBJECTS=1000 PSYOPSOS_BENCH_MB=2000 $(GO) test -run '^$$' -tags qemu -timeout 30m -bench Push -benchtime 1x ./deaddrop/
	$(GO) test -run '^$$' -bench . ./...
	$(GO) test -count=1 -tags qemu -timeout 60m -run '^$$' -bench 'Boot|Build|Apply' -benchtime 1x ./qemu-tests/

man: $(TK) ## man pages of tk and neuralupgrade, in artifacts/man
	$(TK) man $(OUT)/man
	mkdir -p $(OUT)/man/man8 && $(GO) build -trimpath -o $(OUT)/bin/neuralupgrade ./init && $(OUT)/bin/neuralupgrade man >$(OUT)/man/man8/neuralupgrade.8

size: go ## what PID 1 weighs
	$(GO) test -count=1 -v -run Size ./init/

clean: ## remove what was built (the package cache stays)
	rm -rf $(OUT) test-logs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

deps: $(TK)
	@$(TK) check-deps --install

test-deps: $(TK)
	@$(TK) check-deps --install --tests

$(TK): go
	@$(GO) build -trimpath -ldflags '-X main.commit=$(COMMIT)' -o $(OUT)/bin/ ./cmd/...

.PHONY: go
go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or later is needed and was not found: see https://go.dev/doc/install"; exit 1; }
