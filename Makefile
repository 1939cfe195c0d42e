# Everything a fresh machine needs: `make demo` and `make test`. Python 3.11 or later must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without compiled bytecode every start of torch takes twice as long; some machines switch it off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/heed demo

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	for name in scenes streaming scan_scoring scenes_detector large_store number_types corruption faults kills demo; do $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
