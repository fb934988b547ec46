# README's two commands: `make demo` and `make test`. Each makes .venv and installs what it needs, so neither expects an active environment.
# Another Python: make demo PYTHON=python3.12. Another index for torch: make demo TORCH_INDEX=ADDRESS. Both are remembered; docs/install.md says more.
VENV := .venv
override VENV := $(or $(VENV),.venv)
# by the environment: what is in quotes here would end at a quote in a name
export VENV PYTHON TORCH_INDEX
BIN := $$VENV/bin
SETUP = @sh .ci/venv $@

.PHONY: demo test lint docs links notebooks figures bench clean
.NOTPARALLEL: # the goals share one environment

demo:
	$(SETUP)
	"$(BIN)/python" -m xor_mi tour

# one worker per core, one thread per worker; a worker has neighbouring tests, which share their files' fixtures, and steals some when it is done;
# what is imported is kept compiled, whatever the environment says: each worker, and each process of a test, would compile all of it anew
test:
	$(SETUP)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 "$(BIN)/python" -m pytest -n auto --dist worksteal

lint:
	$(SETUP)
	"$(BIN)/ruff" format --check .
	"$(BIN)/ruff" check .
	"$(BIN)/pyright" --pythonpath "$(BIN)/python"

# the documentation as a site, every warning an error; it opens from the disk
docs:
	$(SETUP)
	"$(BIN)/sphinx-build" -W --keep-going -q -E -j auto -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# every link of the documentation; without a network those inside it
links:
	@sh .ci/venv docs
	"$(BIN)/sphinx-build" -W --keep-going -q -b linkcheck docs docs/_build/links

notebooks:
	$(SETUP)
	"$(BIN)/python" .ci/notebooks.py
	"$(BIN)/python" -c "from xor_mi import identify_circuit, plots, train; m = train('XOR', seed=29).model; \
		plots.network_diagram(m, identify_circuit(m)).write_image('notebooks/circuit.png', scale=2)"

# README's animation and the still of a report; needs chromium and chromedriver
figures:
	$(SETUP)
	"$(BIN)/python" docs/figures.py

bench:
	$(SETUP)
	"$(BIN)/python" benchmarks/table.py

# environments that .ci/venv and .ci/versions made; another one is left alone
clean:
	for made in "$$VENV" "$$VENV.old" .venv-second; do if [ -d "$$made/.xor-mi" ]; then rm -rf -- "$$made"; fi; done
	rm -rf .venv-lowest .venv-newest dist docs/_build docs/notebooks docs/reference xor-mi-tour .pytest_cache .ruff_cache .hypothesis
	rm -f xor_mi/*/__pycache__/*.nb[ci] # what numba compiled, of former sources too
