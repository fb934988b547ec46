# README's two commands: `make demo` and `make test`. Each makes .venv and installs what it needs, so neither expects an active environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
RECIPE := pyproject.toml constraints.txt

.PHONY: demo test lint notebooks bench clean

demo: $(VENV)/.installed
	$(BIN)/xor-mi tour

# one worker per core, one thread per worker; a worker has neighbouring tests, which share their files' fixtures, and steals some when it is done
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.installed-lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

EXECUTE = PYTHONWARNINGS=ignore PLOTLY_RENDERER=plotly_mimetype+png $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	--ExecutePreprocessor.record_timing=False --ExecutePreprocessor.store_widget_state=False \
	--NotebookExporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor

# the browser that draws the stills logs its own goodbye as an error once in a while: what has output on stderr is run a second time
notebooks: $(VENV)/.installed-dev
	$(EXECUTE) notebooks/*.ipynb
	again=$$(grep -l '"name": "stderr"' notebooks/*.ipynb); [ -z "$$again" ] || $(EXECUTE) $$again
	$(BIN)/python -c "from xor_mi import identify_circuit, plots, train; m = train('XOR', seed=29).model; \
		plots.network_diagram(m, identify_circuit(m)).write_image('notebooks/circuit.png', scale=2)"

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/table.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(RECIPE) | $(BIN)/python
	@echo "installing into $(VENV) (a minute or two)"
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-%: $(RECIPE) | $(BIN)/python
	@echo "installing the $* extra into $(VENV) (a minute or two)"
	$(INSTALL) -e '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) xor-mi-tour .pytest_cache .ruff_cache .hypothesis
