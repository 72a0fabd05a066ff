# The one list of recipes, for people and for CI alike. Each makes the virtual environment that it needs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first interpreter that really runs, is recent enough and can make virtual environments. Later than 3.13 is
# left out: TensorFlow has no wheels for it.
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
	"$$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	>/dev/null 2>&1 && echo "$$candidate" && break; done)
VENV ?= .venv
VENV_GENERATE ?= .venv-generate
BIN := $(VENV)/bin
# Further arguments for the tool behind `test`, `storm`, `lock`, `sbom` and `audit`: make test ARGS="tests/client -x"
ARGS ?=

# Only what the lock names, only with its hash, and only wheels, so that installing runs nobody's code.
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet --require-hashes --only-binary :all:
READY := $(VENV)/.installed
READY_GENERATE := $(VENV_GENERATE)/.installed

# Those that benchmarks/quality.py compares with: an environment each, as they do not agree on numpy. And `search`, of the
# libraries that benchmarks/topk.py compares with.
VENV_PEERS ?= .venv-peers
PEERS := cornac implicit mlserver myfm search spark surprise
READY_PEERS := $(PEERS:%=$(VENV_PEERS)/%/.installed)

.PHONY: help setup demo test storm peers lint format breaking generate check-generated docs lock sbom audit clean

help:
	@echo "make setup            the virtual environment, in $(VENV)"
	@echo "make demo             train on MovieLens 100K through a real server and look at the results"
	@echo "make test             the test suite, in JOBS=$(JOBS) processes (ARGS=... goes to pytest)"
	@echo "make storm            the long fault and load tests"
	@echo "make peers            the environments of those that the benchmarks compare with, in $(VENV_PEERS)"
	@echo "make lint             ruff, mypy, buf, hadolint"
	@echo "make format           let ruff reformat and repair"
	@echo "make breaking         would the protos break callers? against AGAINST (now: $(AGAINST))"
	@echo "make generate         stubs from the protos"
	@echo "make check-generated  are the checked-in stubs fresh?"
	@echo "make docs             docs/cli.md and docs/settings.md, from the commands and settings themselves"
	@echo "make lock             all the locks (ARGS=--upgrade for the newest)"
	@echo "make sbom             what the images are made of, as CycloneDX, in $(SBOM)"
	@echo "make audit            is a vulnerability of that known? asks the network"
	@echo "make clean            remove the environments, the caches and what was built"

define make_environment
@test -n "$(PYTHON)" || { echo "mfserve needs Python 3.11, 3.12 or 3.13 with its venv module: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
@$(1)/bin/python -c '' 2>/dev/null || { echo "Making $(1)"; "$(PYTHON)" -m venv --clear $(1); }
endef

setup: $(READY)

$(READY): requirements/dev.lock pyproject.toml
	$(call make_environment,$(VENV))
	@echo "Installing requirements/dev.lock"
	@$(BIN)/python $(PIP_INSTALL) --requirement requirements/dev.lock
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_GENERATE): requirements/generate.lock
	$(call make_environment,$(VENV_GENERATE))
	@$(VENV_GENERATE)/bin/python $(PIP_INSTALL) --requirement requirements/generate.lock
	@touch $@

peers: $(READY) $(READY_PEERS)

$(VENV_PEERS)/%/.installed: benchmarks/peers/%.lock
	$(call make_environment,$(VENV_PEERS)/$*)
	@echo "Installing $<"
	@$(VENV_PEERS)/$*/bin/python $(PIP_INSTALL) --requirement $<
	@touch $@

# Spark is published as source alone: it is built with what its own build lock names.
$(VENV_PEERS)/spark/.installed: benchmarks/peers/spark.lock benchmarks/peers/spark-build.lock
	$(call make_environment,$(VENV_PEERS)/spark)
	@echo "Installing $<"
	@$(VENV_PEERS)/spark/bin/python $(PIP_INSTALL) --requirement benchmarks/peers/spark-build.lock
	@$(VENV_PEERS)/spark/bin/python $(PIP_INSTALL) --no-binary pyspark --no-build-isolation --requirement $<
	@touch $@

demo: $(READY)
	@$(BIN)/python demo/run.py $(ARGS)

# How many processes share the tests; each takes whole files (tests/conftest.py). ARGS="-n0 --pdb" for a debugger. One
# more than two cores need, as many tests wait: for a lease to end, or for another process to start.
JOBS ?= 3
# The tests start hundreds of processes: what one of them has compiled is for all, whatever the environment says of it.
test: $(READY)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

storm: $(READY)
	$(BIN)/python -m pytest -m storm --timeout 3600 $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/hadolint Dockerfile

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

AGAINST ?= HEAD
breaking: $(READY)
	$(BIN)/buf breaking --against ".git#ref=$(AGAINST)"

# The folders of the packages, as protoc sees them. Only protos with a service in them get a _grpc module.
PACKAGES := mfserve/v1 mfserve/wire/v1

define compile_protos
@rm -rf build/stubs && mkdir -p build/stubs
@PATH="$(abspath $(VENV_GENERATE))/bin:$$PATH" python -m grpc_tools.protoc --proto_path=protos \
	--python_out=build/stubs --mypy_out=quiet:build/stubs $(PACKAGES:%=protos/%/*.proto)
@PATH="$(abspath $(VENV_GENERATE))/bin:$$PATH" python -m grpc_tools.protoc --proto_path=protos \
	--grpc_python_out=build/stubs --mypy_grpc_out=quiet:build/stubs protos/mfserve/v1/*_service.proto
endef

# Made apart and then moved, so that a proto with a mistake leaves the stubs as they are.
generate: $(READY_GENERATE)
	$(compile_protos)
	@for package in $(PACKAGES); do \
		rm -f client/$$package/*_pb2*; \
		mv build/stubs/$$package/*_pb2* client/$$package/; \
	done

check-generated: $(READY_GENERATE)
	$(compile_protos)
	@for package in $(PACKAGES); do \
		diff --recursive --brief --exclude=__init__.py --exclude=__pycache__ build/stubs/$$package client/$$package \
			|| { echo "The stubs in client/$$package are not what the protos say: run make generate" >&2; exit 1; }; \
	done
	@echo "The stubs are fresh"

docs: $(READY)
	$(BIN)/python -m tests.client.cli.reference
	$(BIN)/python -m tests.packaging.settings_page

# --universal: one lock for every Python and system that we support. Nothing of this machine's configuration,
# and no index address, may reach a lock.
COMPILE := $(BIN)/uv pip compile --no-config --quiet --universal --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"
lock: $(READY)
	$(COMPILE) pyproject.toml --extra all --group dev --output-file requirements/dev.lock $(ARGS) >/dev/null
	$(COMPILE) pyproject.toml --extra server --extra index --extra otel --constraint requirements/dev.lock --output-file requirements/server.lock $(ARGS) >/dev/null
	$(COMPILE) pyproject.toml --extra trainer --extra index --extra otel --constraint requirements/dev.lock --output-file requirements/trainer.lock $(ARGS) >/dev/null
	$(COMPILE) --group build --constraint requirements/dev.lock --output-file requirements/build.lock $(ARGS) >/dev/null
	$(COMPILE) --group generate --output-file requirements/generate.lock $(ARGS) >/dev/null
	for peer in $(PEERS) spark-build; do \
		$(COMPILE) --python-version 3.11 benchmarks/peers/$$peer.in --output-file benchmarks/peers/$$peer.lock $(ARGS) >/dev/null; \
	done

# From the locks that the images are installed by; the same locks give the same bytes. The warning that is left out misses
# who depends on whom, which is no matter of a lock.
SBOM ?= build/sbom
sbom: $(READY)
	@mkdir -p $(SBOM)
	@for image in server trainer; do \
		PYTHONWARNINGS=ignore::UserWarning $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
			--output-file $(SBOM)/$$image.cdx.json requirements/$$image.lock $(ARGS); \
	done

audit: $(READY)
	$(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off --requirement requirements/server.lock \
		--requirement requirements/trainer.lock $(ARGS)

clean:
	rm -rf $(VENV) $(VENV_GENERATE) $(VENV_PEERS) build dist .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
