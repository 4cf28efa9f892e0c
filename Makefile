# All targets work in .venv, made by the first of them; that takes python3 (3.11 or newer, with
# venv) and nothing else. Apache Kafka, for `test` and `bench`, takes Java 17 and Maven.

VENV := .venv
BIN := $(VENV)/bin
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(RECENT)' 2>/dev/null && echo "$$p" && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

.PHONY: help demo test lint format bench install clean

help:
	@echo "make demo    watch streamdrift find injected drift (DEMO_ARGS=\"--plain --seed 7\")"
	@echo "make test    lint, types, import contracts, and all tests (those on Apache Kafka take Java and"
	@echo "             Maven: without these they are skipped, and the closing summary says so)"
	@echo "make lint    the checks of make test that run nothing"
	@echo "make format  format the code and mend what ruff can mend"
	@echo "make bench   throughput against a hand-written loop (BENCH_ARGS=\"--events 1000000\"; takes"
	@echo "             Java and Maven)"
	@echo "make clean   remove .venv, all caches, and Apache Kafka as fetched for the tests"

demo: $(VENV)/.runtime
	@$(BIN)/streamdrift demo $(DEMO_ARGS)

test: install
	@.ci/checks $(BIN) lint types imports kernels unit contract golden browser broker

lint: install
	@.ci/checks $(BIN) lint types imports

format: install
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: install
	@$(BIN)/python -m loadtest.end_to_end $(BENCH_ARGS)

install: $(VENV)/.development

# The stamps make a second call quick; --clear mends an environment that was left half made.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { \
		echo "streamdrift needs Python 3.11 or newer; python3 here is: $$(python3 --version 2>&1)" >&2; \
		echo "install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c '$(RECENT)' || { \
		echo "streamdrift needs Python 3.11 or newer; $(PYTHON) is: $$("$(PYTHON)" --version 2>&1)" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)" >&2; \
		exit 1; }
	@echo "making $(VENV)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing streamdrift into $(VENV) (a minute or two, once)"
	@$(PIP) install -c constraints.txt -e '.[demo]'
	@touch $@

# Read here because pip installs dependency groups by itself only from version 25.1 on.
$(VENV)/.development: $(VENV)/.runtime
	@echo "installing the development tools into $(VENV)"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > $(VENV)/development.txt
	@$(PIP) install -c constraints.txt -r $(VENV)/development.txt
	@touch $@

clean:
	@rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find streamdrift tests loadtest -name __pycache__ -type d -prune -exec rm -rf {} +
