# make demo: images to verified files in one command.  make test: the tests.
# Both set up everything they need in .venv; only Python 3.11+ and make must exist.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCE := setup.cfg pyproject.toml constraints.txt
# Two files of tests at a time: each keeps its own models and data. In their own order,
# or a file of few but long tests would come last, beside an idle core.
TWO    := -n 2 --dist loadfile --no-loadscope-reorder
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo picture test test-jax test-torch notebooks processors check types slow wheel install clean

demo: $(VENV)/.installed
	$(BIN)/keras-vit demo --output out/demo --overwrite

picture: demo
	$(BIN)/python docs/make_picture.py out/demo/training/best.keras docs/digits.png

test: $(VENV)/.tests
	$(BIN)/python -m pytest $(TWO)

# What must be right on every backend of Keras.
BACKENDS := tests/layers tests/models tests/introspect/test_formulas.py \
	tests/weights/test_bit.py tests/weights/test_published_files.py \
	tests/weights/test_hybrids.py

# Losses, optimisers and probes as recorded.
TRAINING := tests/training/engine/test_jax.py tests/training/optim/test_losses.py \
	tests/training/optim/test_update_rules.py tests/training/evaluate/test_probes.py

test-jax: $(VENV)/.jax
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(TWO) $(BACKENDS) $(TRAINING)

test-torch: $(VENV)/.torch
	KERAS_BACKEND=torch $(BIN)/python -m pytest $(TWO) $(BACKENDS)

# In small form; not part of `make test`, but of .ci/run.
notebooks: $(VENV)/.tests
	$(BIN)/python -m pytest -n 2 -m slow tests/house/test_notebooks.py

# Every recipe on emulated processors, as in docs/processors.md; goes on where it was
# stopped. PROCESSORS holds further words, such as --large FILE --images FOLDER.
processors: $(VENV)/.tests
	$(BIN)/keras-vit processors --install
	$(BIN)/python benchmarks/processors.py $(PROCESSORS)

check: $(VENV)/.tests types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees the rooms as they install: training/ and export/ below keras_vit/.
TYPED := $(abspath $(VENV))/typed
types: $(VENV)/.tests
	rm -rf $(TYPED)/keras_vit && mkdir -p $(TYPED)/keras_vit
	ln -s $(CURDIR)/keras_vit/* $(CURDIR)/training $(CURDIR)/export $(TYPED)/keras_vit
	ln -sf $(CURDIR)/tests/house/typed_calls.py $(TYPED)
	cd $(TYPED) && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml

slow: $(VENV)/.tests
	$(BIN)/python -m pytest -m slow

wheel: $(VENV)/.tests
	rm -rf build dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

install: $(VENV)/.installed

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version + ". Use make PYTHON=python3.12, for example.")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(SOURCE)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onnxruntime]'
	touch $@

$(VENV)/.tests: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tests]'
	touch $@

$(VENV)/.jax: $(VENV)/.tests
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tests,jax]'
	touch $@

$(VENV)/.torch: $(VENV)/.tests
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tests,torch]'
	touch $@

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .ruff_cache
