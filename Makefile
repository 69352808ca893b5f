# The words we type. Meson describes the build (meson.build); the longer recipes are in tools/.
#
#   make run       builds, fetches a small model once, and answers a first question on 127.0.0.1:8080
#   make test      everything CI runs; the last line is "N passed, N failed"
#   make soak      kills the gateway under load a hundred times and counts its ledger; KILLS=n, SEED=n
#   make           builds build/src/cli/caudal
#
# NODEPS=1 leaves installing Debian packages to you. BUILD=folder builds elsewhere.

BUILD  = build
PREFIX = /usr/local
SHELL  = /bin/sh
FUZZ_S = 600
KILLS  = 100
SEED   = 1812

ASAN = -Db_sanitize=address,undefined -Db_lundef=false
TSAN = -Db_sanitize=thread -Db_lundef=false

.PHONY: all build configured run test check unit asan tsan fuzz soak bench bench-twin bench-engine cover lint fmt install clean deps \
        build-asan build-tsan build-fuzz

all: build

deps:
	@tools/deps run test

configured:
	@tools/deps run
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD)

build: configured
	@ninja -C $(BUILD)

# The binary alone: the tests and the benchmarks are most of a build.
run: configured
	@ninja -C $(BUILD) src/cli/caudal
	@BUILD=$(BUILD) tools/run

# What a change needs before it is shown: a minute or two. CI runs `test`.
check: build
	@tests/run --build $(BUILD) lint unit integration

unit: build
	@tests/run --build $(BUILD) unit

# A client or an engine that cannot be fetched shows as the failure of the tests that need it.
test: deps build build-asan build-fuzz
	@tools/fetch-engine || true
	@tools/fetch-clients || true
	@tools/fetch-highs || true
	@CAUDAL_OTHER=$(abspath build-fuzz)/src/cli/caudal tests/run --build $(BUILD)

asan: deps build-asan
	@tests/run --build build-asan unit integration

tsan: deps build-tsan
	@tests/run --build build-tsan unit integration

fuzz: deps build-fuzz
	@tests/run --fuzz-s $(FUZZ_S) fuzz

build-asan: deps
	@test -f $@/build.ninja || meson setup $@ $(ASAN)
	@ninja -C $@

build-tsan: deps
	@test -f $@/build.ninja || meson setup $@ $(TSAN)
	@ninja -C $@

build-fuzz: deps
	@test -f $@/build.ninja || CC=clang CXX=clang++ meson setup $@ -Dfuzz=true
	@ninja -C $@ src/cli/caudal $$(ninja -C $@ -t targets all | sed -n 's/^\(tests.fuzz.fuzz_[a-z0-9_]*\): .*/\1/p')

# What make test does ten times, at other moments: about two minutes a hundred.
soak: build
	@cd tests/integration && CAUDAL=$(abspath $(BUILD))/src/cli/caudal LEDGER_KILLS=$(KILLS) SEED=$(SEED) \
	    python3 ledger_test.py Kill

bench: build
	@tools/deps run bench
	@CAUDAL=$(BUILD)/src/cli/caudal tests/bench/run
	@CAUDAL=$(BUILD)/src/cli/caudal tests/bench/replay_speed.py

# One trace through serve and through replay: eight minutes, on a machine that does nothing else.
bench-twin: build
	@CAUDAL=$(BUILD)/src/cli/caudal tests/bench/twin

# A real engine measured, fitted and foretold: a quarter of an hour, on a machine that does nothing else.
bench-engine: build
	@tools/fetch-engine
	@tests/bench/real_engine.py --build $(BUILD)

cover: deps
	@tools/deps dev
	@test -f build-cover/build.ninja || meson setup build-cover -Db_coverage=true
	@ninja -C build-cover
	@tests/run --build build-cover unit integration
	@gcovr -r . --object-directory build-cover src

lint: build
	@tools/lint $(BUILD)

fmt:
	@clang-format -i $$(git ls-files -co --exclude-standard 'src/*.[ch]' 'src/*.cc' 'tests/*.[ch]')

# DESTDIR for packagers. The local engine's packages are not installed: tools/fetch-engine gets them.
install: build
	@tools/install "$(DESTDIR)" "$(PREFIX)" "$(BUILD)"

clean:
	rm -rf build build-asan build-tsan build-fuzz build-cover
