# make demo   a virtual environment, then the main job on digits
# make test   the whole test suite
# make check  format, lint, types, and the figures that keep the source readable
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS = 1

.PHONY: demo test check docs interop interop-all test-ray test-slow fuzz fuzz-guided mutate bench-digits bench-peers bench-attacks bench-speed clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "birthmark needs Python 3.11 or newer; give one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[serve,web,data,onnx,hf,timestamp]" --group dev --group notary
	$(BIN)/python scripts/check_install.py
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/birthmark demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.installed
	$(BIN)/ruff format --check src tests scripts benchmarks interop
	$(BIN)/ruff check src tests scripts benchmarks interop
	$(BIN)/mypy
	$(BIN)/python scripts/house.py

# pages of methods and attacks, and the tables between markers, from the code and the committed records
docs: $(VENV)/.installed
	$(BIN)/python scripts/make_docs.py

# the same suspects behind real servers, each in a virtual environment of its own under .interop/
interop: $(VENV)/.installed
	$(BIN)/python interop/run.py litserve mlserver mlflow

interop-all: $(VENV)/.installed
	$(BIN)/python interop/run.py litserve mlserver mlflow kserve triton torchserve --speed

# Ray gives the same bits; 20 kills leave the same bits
test-ray: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[ray]"
	$(BIN)/python -m pytest tests/ray

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest tests/slow

# every reader of what strangers write: 100,000 inputs in process, 500 through the child process; hours.
# What it finds lies in out/fuzz/READER/NUMBER; put the telling ones into tests/fuzz/corpus
fuzz: $(VENV)/.installed
	$(BIN)/python tests/fuzz/run.py --inputs 100000 --record benchmarks/fuzz/record.json
	$(BIN)/python tests/fuzz/run.py --inputs 500 --record benchmarks/fuzz/record.json child-model child-onnx

# the same readers, guided by coverage: make fuzz-guided READER=claim
fuzz-guided: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group nightly
	$(BIN)/python tests/fuzz/guided.py $(READER) -max_total_time=600 -max_len=65536

# what no test notices in verdict, stats, scoring and enrolment: hours; benchmarks/mutation/ holds the last figures
mutate: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group nightly
	$(BIN)/python -m mutmut run
	$(BIN)/python -m mutmut results

# the benchmark in miniature, from cards to a leaderboard: under four minutes on two cores
bench-digits: $(VENV)/.installed
	$(BIN)/birthmark zoo build fingerbench-digits --source 0 --store zoo/digits
	$(BIN)/birthmark bench run fingerbench-digits --source 0 --store zoo/digits --out out/fingerbench-digits
	$(BIN)/birthmark bench table out/fingerbench-digits
	$(BIN)/birthmark bench page out/fingerbench-digits --out out/fingerbench-digits.html

# training throughput of the pool beside a bare PyTorch loop
bench-speed: $(VENV)/.installed
	$(BIN)/python benchmarks/speed/pool.py
	$(BIN)/python benchmarks/speed/scoring.py
	$(BIN)/python benchmarks/speed/answers.py
	$(BIN)/python benchmarks/speed/large.py

# extraction beside adversarial-robustness-toolbox; every theft's strength on Fashion-MNIST
bench-peers: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt --group peers
	$(BIN)/python benchmarks/attacks/peers.py
	$(BIN)/python scripts/make_docs.py

bench-attacks: $(VENV)/.installed
	$(BIN)/python benchmarks/attacks/strength.py
	$(BIN)/python scripts/make_docs.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache demo
