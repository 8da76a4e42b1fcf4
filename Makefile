# pycyxwiz: everything a developer runs. `make` alone lists the targets.
#
#   PYTHON=python3.12   the interpreter that the virtual environment is made of
#   VENV=/tmp/x         where it is made; the C++ build tree lies inside it

PYTHON := python3
VENV := .venv
JOBS := $(shell nproc 2>/dev/null || echo 2)

BIN := $(VENV)/bin
BUILD := $(abspath $(VENV))/build
CONTRACT := $(wildcard ../shared/contract)

# What the installed package is made of. Folders are listed too: their time changes when a file goes.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
  $(shell find core bindings pycyxwiz tests/cpp -not -name '*.pyc' -not -name __pycache__ \
    -not -name '.*' 2>/dev/null)
CXX_FILES := $(shell find core bindings tests/cpp \( -name '*.h' -o -name '*.cpp' \) 2>/dev/null)

.DELETE_ON_ERROR:
.PHONY: help check demo test lint format sanitize bench clean

help:
	@echo 'make demo      train a digit classifier with the package built from this checkout'
	@echo 'make test      the whole test suite, Python and C++'
	@echo 'make lint      formatting, lint and types, changing nothing'
	@echo 'make format    put the formatting right'
	@echo 'make sanitize  the C++ tests under the address and undefined-behaviour sanitizers'
	@echo 'make bench     the benchmarks against the peers in benchmarks/requirements.txt'
	@echo 'make clean     remove the virtual environment and everything built'

demo: $(VENV)/.installed-examples
	$(BIN)/pycyxwiz run examples/04_training.cyx

test: $(VENV)/.installed-test
	$(BIN)/ctest --test-dir $(BUILD) --output-on-failure --no-tests=error
	$(BIN)/pytest -c pyproject.toml --rootdir . --doctest-modules --pyargs tests pycyxwiz $(CONTRACT)

lint: $(VENV)/.lint-tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@echo $(BIN)/clang-format --dry-run -Werror '...'
	@$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/mypy

format: $(VENV)/.lint-tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	@echo $(BIN)/clang-format -i '...'
	@$(BIN)/clang-format -i $(CXX_FILES)

SANITIZED := $(BUILD)-sanitize
sanitize: $(VENV)/.build-tools
	@echo 'Building the C++ tests with sanitizers'
	@PATH=$(abspath $(BIN)):$$PATH cmake -S . -B $(SANITIZED) -G Ninja \
	  -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_PREFIX_PATH=$(abspath $(VENV)) \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python \
	  '-DCYXWIZ_SANITIZE=address;undefined' -DCYXWIZ_BUILD_TESTS=ON
	@$(BIN)/cmake --build $(SANITIZED) -j $(JOBS)
	$(BIN)/ctest --test-dir $(SANITIZED) --output-on-failure --no-tests=error

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment ---------------------------------------------------------------------

# Says everything that is missing at once, by the names of Debian's packages.
check:
	@need= ; \
	if ! command -v $(PYTHON) >/dev/null; then \
	  echo 'missing: $(PYTHON) (pycyxwiz needs Python 3.10 or newer)'; \
	  need='python3 python3-dev python3-venv'; \
	elif ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then \
	  echo "too old: $$($(PYTHON) --version); pycyxwiz needs Python 3.10 or newer."; \
	  echo 'Where a newer one is installed, name it: make PYTHON=python3.12'; \
	  exit 1; \
	else \
	  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo 'missing: the venv and ensurepip modules of $(PYTHON)'; need="$$need $(notdir $(PYTHON))-venv"; }; \
	  header=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h; \
	  test -e "$$header" || { echo "missing: $$header"; need="$$need $(notdir $(PYTHON))-dev"; }; \
	fi; \
	if ! command -v $(CXX) >/dev/null; then \
	  echo 'missing: the C++ compiler $(CXX)'; need="$$need g++"; \
	elif ! printf '#include <concepts>\n#include <omp.h>\nint x[__GNUC__ >= 12 ? 1 : -1];' | \
	  $(CXX) -std=c++20 -fopenmp -fsyntax-only -x c++ - 2>/dev/null; then \
	  echo "too old: $$($(CXX) --version | head -n 1)"; \
	  echo 'The core needs g++ 12 or newer. Where another is installed, name it: make CXX=g++-12'; \
	  need="$$need g++"; \
	fi; \
	if [ -n "$$need" ]; then \
	  echo; echo "On Debian and Ubuntu:  sudo apt install $$(echo $$need)"; exit 1; \
	fi

# Prints the requirements that stand under a dotted name in pyproject.toml.
define REQUIREMENTS
import sys
try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib
table = tomllib.load(open("pyproject.toml", "rb"))
for key in sys.argv[1].split("."):
    table = table[key]
print("\n".join(table))
endef
export REQUIREMENTS
requirements = $(BIN)/python -c "$$REQUIREMENTS" $(1)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet

$(BIN)/python:
	@$(MAKE) --no-print-directory check
	@echo 'Making the virtual environment $(VENV)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.build-tools: pyproject.toml | $(BIN)/python
	@echo 'Installing what the build needs'
	@$(call requirements,build-system.requires) > $@
	@$(PIP) -r $@ cmake ninja

$(VENV)/.lint-tools: pyproject.toml | $(BIN)/python
	@echo 'Installing the linters'
	@$(call requirements,project.optional-dependencies.lint) > $@
	@$(PIP) -r $@

# Building with the environment's own tools instead of pip's throw-away ones makes a second build quick.
$(VENV)/.installed-%: $(SOURCES) $(VENV)/.build-tools
	@echo "Building and installing pycyxwiz[$*]: minutes the first time, seconds after a change"
	@PATH=$(abspath $(BIN)):$$PATH CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) $(PIP) --no-build-isolation \
	  -C build-dir=$(BUILD) -C cmake.define.CYXWIZ_BUILD_TESTS=$(if $(filter test,$*),ON,OFF) '.[$*]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-examples benchmarks/requirements.txt
	@echo 'Installing the peers'
	@$(PIP) -r benchmarks/requirements.txt
	@touch $@
