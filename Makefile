PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test check bench

demo: $(VENV)/installed
	$(BIN)/python examples/rare_disease/demo.py

test: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python benchmarks/graders.py
	$(BIN)/python benchmarks/text_similarity.py
	$(BIN)/python benchmarks/math_grader.py
	$(BIN)/python benchmarks/grade_file.py
	$(BIN)/python benchmarks/fuzz.py --inputs 1000000
	$(BIN)/python benchmarks/rft_gain.py $(if $(PHENOPACKETS),--phenopackets $(PHENOPACKETS))

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
