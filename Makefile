# Two commands do everything on a fresh clone: `make sweep` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: sweep test lint format bench bench-gpu clean

sweep: $(VENV)/.installed
	$(BIN)/tune-nas sweep lambda

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/help_time.py
	$(BIN)/python benchmarks/levels_and_orders.py
	$(BIN)/python benchmarks/steps.py --docs docs/speed.md \
		--output benchmarks/results/$$(date +%Y-%m-%d)-$$(uname -m).json
	$(BIN)/python benchmarks/retrain_speed.py --docs docs/speed.md \
		--output benchmarks/results/$$(date +%Y-%m-%d)-$$(uname -m)-retrain.json
	$(BIN)/python benchmarks/together.py --docs docs/speed.md \
		--output benchmarks/results/$$(date +%Y-%m-%d)-$$(uname -m)-together.json

# On a machine with a GPU. The core alone is needed: torch, pydantic and pyyaml, and here rich and
# torchvision; the Python is that of $(VENV) where there is one, and nothing is installed.
GPU_PYTHON := PYTHONPATH=. $(or $(wildcard $(BIN)/python),$(PYTHON))

bench-gpu:
	$(GPU_PYTHON) benchmarks/steps.py --device cuda --data fake --batch-size 64 --rounds 9 --steps 4 \
		--output benchmarks/results/$$(date +%Y-%m-%d)-cuda.json
	$(GPU_PYTHON) benchmarks/retrain_speed.py --device cuda --init-channels 36 --cells 20 \
		--batch-size 96 --steps 10 --rounds 9 \
		--output benchmarks/results/$$(date +%Y-%m-%d)-cuda-retrain.json
	$(GPU_PYTHON) benchmarks/together.py --device cuda --searches 8 --space darts --cells 8 \
		--graphs always --steps 20 --output benchmarks/results/$$(date +%Y-%m-%d)-cuda-together.json

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	@echo "installing tune-nas into $(VENV) (a minute or two) …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: $(BIN)/python pyproject.toml
	@echo "installing tune-nas and its test extra into $(VENV) (a minute or two) …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.installed
