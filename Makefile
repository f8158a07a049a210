# Everything sets itself up into .venv on a machine that has only python3 (uv is used when it is there).
PYTHON ?= python3
BIN := .venv/bin
.PHONY: demo test test-fast test-oldest test-newest test-parity test-app test-all soak lint lock readme notebooks site clean

# Installs into environment $(1), without the lock; $(2) are settings for uv, $(3) for pip.
install = if command -v uv >/dev/null; then set -- uv pip install --quiet --python $(1)/bin/python $(2); else \
	  set -- $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(3); fi; "$$@"
versions = $(1)/bin/python -c 'import platform, flax, jax; print("Python", platform.python_version(), "jax", jax.__version__, "flax", flax.__version__)'

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
	  $(BIN)/python -m gan_jax.evaluate --workdir $$workdir --samples 5000 && \
	  printf '\npicture   %s\nnext      %s\n          %s\n          %s\n' "$$(ls $$workdir/samples/*.png | tail -n 1)" \
	    "$(BIN)/python -m gan_jax.sample --workdir $$workdir --picture=interpolation --out interpolation.png" \
	    "$(BIN)/python -m gan_jax.main --config configs/gan.py:ring --workdir runs/ring" \
	    "$(BIN)/python -m gan_jax.main --list"

# Most of the time goes into compiling small programs that run a few times: with these flags a third of what it is for a
# user's run, which `make test-all` and pytest alone compile for. The others are of the locked jax; older ones may not know
# them. In one part a program compiles in four fifths of the CPU time that many parts take together.
# What they compile is several times slower: what computes for long is `slow`, for `make test-all` has no such flags.
QUICK = XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=0$(1)"
QUICKER := $(call QUICK, --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1)
SUITE := -m pytest -n 2 --dist worksteal --ignore=tests/parity
SHORT := -m 'not slow'

test: .venv/.test lint  ## everything a change must pass, offline, on a CPU
	$(QUICKER) $(BIN)/python $(SUITE) $(SHORT)

test-fast: .venv/.test  ## for the edit loop: imports, configs, owners of networks, losses, games on two examples
	$(QUICKER) $(BIN)/python $(SUITE) $(SHORT) -k 'law_2 or not test_laws.py' \
	  $(addprefix tests/test_,package.py config.py laws.py losses.py game.py tricks.py)

# The oldest jax and flax that are supported: what Colab has. The rest is the newest that goes with them.
.venv-oldest/.test: pyproject.toml Makefile
	@echo "Setting up .venv-oldest (once, about a minute) ..."
	@test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	@$(call install,.venv-oldest) -e '.[test]' jax==0.7.2 flax==0.11.2
	@touch $@

# At level 0 jaxlib 0.7.2 computes NaN in the second step of the figures' classifier; at 1 it does not.
test-oldest: .venv-oldest/.test  ## the tests with the oldest jax and flax that are supported
	@$(call versions,.venv-oldest)
	XLA_FLAGS="$$XLA_FLAGS --xla_backend_optimization_level=1" .venv-oldest/bin/python $(SUITE) $(SHORT)

# The newest Python that is here and works (pyenv's need not be on the path), or one that uv fetches.
.venv-newest/bin/python:
	@echo "Setting up .venv-newest (once, about a minute) ..."
	@for minor in 14 13 12; do \
	  for python in python3.$$minor "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.$$minor.*/bin/python; do \
	    if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then exec "$$python" -m venv .venv-newest; fi; \
	  done; \
	done; \
	echo "No Python from 3.12 on is here: fetching 3.13 with uv ..."; \
	uv=$$(command -v uv) || { \
	  uv=.venv-uv/bin/uv; \
	  $(PYTHON) -m venv .venv-uv && .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check uv; \
	} && $$uv venv --quiet --seed --python 3.13 .venv-newest

test-newest: .venv-newest/bin/python  ## the tests with the newest of everything, looked up each time
	@$(call install,.venv-newest,--upgrade,--upgrade --upgrade-strategy eager) -e '.[test]'
	@$(call versions,.venv-newest)
	$(call QUICK) .venv-newest/bin/python $(SUITE) $(SHORT)

# torch-fidelity asks for torchvision, which it needs for nothing that is compared here.
.venv/.parity: .venv/.test
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps torch-fidelity==0.4.0 prdc==0.2 foolbox==3.3.4
	$(BIN)/python -m pip install --quiet --disable-pip-version-check eagerpy==0.30.0 GitPython requests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs,export,notebooks]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps jax2onnx==0.17.1
	@touch $@

test-parity: .venv/.parity  ## against implementations that are not ours, in PyTorch
	GAN_JAX_PARITY=1 $(QUICKER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow' tests/parity

# The pages in Debian's chromium (apt-get install chromium).
.venv/.app: .venv/.test
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[app]' playwright==1.65.2
	@touch $@

test-app: .venv/.app  ## the pages of gan_jax.app in a browser without a window
	$(QUICKER) $(BIN)/python -m pytest -rs tests/test_app_browser.py

test-all: .venv/.parity lint  ## the long product as well
	$(BIN)/python -m pytest

# What `make reproduce-NAME` trains and measures, as in docs/results.md; TFDS_DATA_DIR says where prepared data are.
config_gan = configs/gan.py:mnist --config.steps_per_call=50
figures_gan = --metrics parzen,classes --samples 10000
config_cgan = configs/cgan.py:mnist --config.steps_per_call=50
figures_cgan = --metrics parzen,classes --samples 10000
config_cgan-tags = configs/cgan.py:tags --config.steps_per_call=50
figures_cgan-tags = --metrics tags,fid --samples 10000
config_infogan = configs/infogan.py:mnist
figures_infogan = --metrics codes,classes --samples 10000
config_dcgan = configs/dcgan.py:mnist
figures_dcgan = --samples 10000

reproduce-%: .venv/.library  ## train a system on the paper's set and measure what the paper measures
	@test -n "$(config_$*)" || { echo "make reproduce-$*: there are gan, cgan, cgan-tags, infogan, dcgan"; exit 2; }
	$(BIN)/python -m gan_jax.main --config $(config_$*) --workdir runs/$*
	$(BIN)/python -m gan_jax.evaluate --workdir runs/$* $(figures_$*)

MINUTES ?= 3
soak: .venv/.library  ## kills, signals, full disks, dead pipes, vanished files, second starters: nothing is lost
	$(BIN)/python tests/soak.py --minutes $(MINUTES)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

lock:  ## after a change of the dependencies (needs uv)
	uv lock
	uv export --quiet --frozen --all-extras --no-emit-project --no-hashes --no-annotate --no-header -o constraints.txt

readme: .venv/.library  ## after a change of the configs: the table of docs/systems.md
	$(BIN)/python docs/systems_table.py

site: .venv/.library  ## the documents and the API of the docstrings as a site in dist/site; a warning is an error
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs dist/site
	@echo dist/site/index.html

NOTEBOOKS ?=
notebooks: .venv/.library  ## after a change of notebooks/src: runs them and writes them with their outputs
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	$(BIN)/python notebooks/build.py $(NOTEBOOKS)

clean:
	rm -rf .venv .venv-oldest .venv-newest .venv-uv .cache .pytest_cache .mypy_cache .ruff_cache dist
