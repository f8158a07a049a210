# Everything sets itself up into .venv on a machine that has only python3 (uv is used when it is there).
PYTHON ?= python3
BIN := .venv/bin
.PHONY: demo test test-parity test-all soak lint lock readme clean

# A virtual environment with the library, then one with the test tools: `make demo` needs only the first.
.venv/.library: pyproject.toml constraints.txt
	@echo "Setting up .venv (once, about a minute) ..."
	@if command -v uv >/dev/null; then uv sync --quiet --frozen; else \
	  test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .; fi
	@touch $@

.venv/.test: .venv/.library
	@if command -v uv >/dev/null; then uv sync --quiet --frozen --extra test; else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'; fi
	@touch $@

demo: .venv/.library  ## train a DCGAN on real handwritten digits, then check what it makes
	@workdir=runs/demo-$$(date +%Y%m%d-%H%M%S); \
	  $(BIN)/python -m gan_jax.main --config configs/quickstart.py --workdir $$workdir && \
	  $(BIN)/python -m gan_jax.evaluate --workdir $$workdir --samples 5000

test: .venv/.test lint  ## everything a change must pass, offline, on a CPU
	$(BIN)/python -m pytest -m 'not slow' --ignore=tests/parity

# torch-fidelity asks for torchvision, which it needs for nothing that is compared here.
.venv/.parity: .venv/.test
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torch-fidelity==0.4.0 prdc==0.2
	@touch $@

test-parity: .venv/.parity  ## against implementations that are not ours, in PyTorch
	$(BIN)/python -m pytest -m 'not slow' tests/parity

test-all: .venv/.parity lint  ## the long product as well
	$(BIN)/python -m pytest

soak: .venv/.library  ## twenty kills of one run at random times: nothing is lost
	$(BIN)/python tests/soak.py

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:  ## after a change of the dependencies (needs uv)
	uv lock
	uv export --quiet --frozen --all-extras --no-emit-project --no-hashes --no-annotate --no-header -o constraints.txt

readme: .venv/.library  ## after a change of the configs: the README's table of systems
	$(BIN)/python docs/systems_table.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache dist
