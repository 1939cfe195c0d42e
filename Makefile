# Everything a fresh machine needs: `make demo` and `make test`. Python 3.11 or later must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without compiled bytecode every start of torch takes twice as long; some machines switch it off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench bench-peers install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/heed demo

# Ray starves where it shares two cores: what starts it comes last and alone.
test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not ray"
	$(BIN)/python -m pytest -m ray

check: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	for name in scenes streaming scan_scoring scenes_detector large_store number_types corruption faults kills video probing demo; do $(BIN)/python -m benchmarks.$$name || exit 1; done

# The peers need another transformers than heed, so they have an environment of their own.
.venv-peers/.installed: benchmarks/peers.txt pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet uv
	.venv-peers/bin/uv pip install --quiet --python .venv-peers/bin/python -r benchmarks/peers.txt --editable .
	touch $@

bench-peers: .venv-peers/.installed
	.venv-peers/bin/python -m benchmarks.peers

clean:
	rm -rf $(VENV) .venv-peers demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache
