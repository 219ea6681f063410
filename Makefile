# make bench [CODEC=family@point,...|all|paper:focalcodec] [TASK=resynthesis] [PROFILE=embedded] [DATA=...] [LIMIT=n] [DEVICE=auto]
#     [WEIGHTS=...] [METRICS=...] [WORKERS=n] [CHANNELS=average|first|each] [LANGUAGE=de] [PROTOCOL=...] [SEEDS=0,1,2] [CONTINUOUS=1]
#     [EXECUTOR=processes|inline|ray|slurm] [KEEP=audio|codes|scores]
# make listen [CODEC=...] [TASK=resynthesis|vc] [DATA=...] [COUNT=8] [BY=column] [TEST=mushra|abx|ab|webmushra] [CHANNELS=...]
# make page [CODEC=...] [COUNT=2]
# make test | gate [UPDATE=1] | certify [CHECK=1] | lint | perf | doctor | gpu-check | results [SPEECH=folder] [FAMILY=focalcodec]
.DEFAULT_GOAL := bench
PY := .venv/bin/python
export OMP_WAIT_POLICY ?= PASSIVE

# What each target reads. A variable on the command line that its targets do not read is refused, with the nearest name.
READ_BY_bench := CODEC DATA TASK PROFILE WEIGHTS DEVICE LIMIT CHANNELS LANGUAGE METRICS WORKERS PROTOCOL SEEDS CONTINUOUS EXECUTOR KEEP
READ_BY_listen := CODEC DATA TASK WEIGHTS DEVICE PROTOCOL COUNT BY TEST CHANNELS
READ_BY_page := CODEC DATA COUNT
READ_BY_gate := UPDATE
READ_BY_certify := CHECK
READ_BY_test := ARGS
READ_BY_perf := ARGS
READ_BY_results := SPEECH FAMILY
TARGETS := $(or $(MAKECMDGOALS),bench)
READ := $(sort PY PYTHON EXTRAS $(foreach target,$(TARGETS),$(READ_BY_$(target))))
UNREAD := $(filter-out $(READ) MAKEFLAGS MAKEOVERRIDES,$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
NEAREST = $(shell python3 -c 'import difflib, sys; name, *known = sys.argv[1:]; \
	print(" or ".join(difflib.get_close_matches(name.upper(), known, n=2, cutoff=0.5) or known))' $(1) $(READ))
$(if $(UNREAD),$(error make $(TARGETS) reads no variable '$(firstword $(UNREAD))'. Did you mean: $(call NEAREST,$(firstword $(UNREAD)))?))

# The desktop's variable of this name is not meant.
ifneq ($(origin LANGUAGE),command line)
override LANGUAGE :=
endif
TASK ?= resynthesis
PROFILE ?= embedded
DEVICE ?= auto
# With neither codec, data nor limit named: a few telling codecs on part of the speech, in a few minutes.
ifeq ($(strip $(CODEC)$(DATA)$(LIMIT)),)
ifeq ($(TASK),resynthesis)
LIMIT := 28
endif
endif
# Values reach the program through the environment, as they are: no shell reads them. Tests get none of them.
ifneq ($(filter bench listen page results,$(TARGETS)),)
export $(READ_BY_bench) $(READ_BY_listen) $(READ_BY_results)
endif
flag = $(if $($(1)),--$(2) "$$$(1)")
FLAGS = $(call flag,TASK,task) $(call flag,CODEC,codec) $(call flag,DATA,data) $(call flag,DEVICE,device) \
	$(call flag,WEIGHTS,weights) $(call flag,PROTOCOL,protocol)

.PHONY: bench listen page test gate certify lint format perf doctor gpu-check results list install

# What tests and lint run needs more than a benchmark does: make install EXTRAS=dev (all, visqol, f0, lyra ...: pyproject.toml).
test lint perf certify: EXTRAS := dev
export EXTRAS

install:
	@tools/install.sh

bench: install
	@$(PY) -m bench run $(FLAGS) $(call flag,PROFILE,profile) $(call flag,LIMIT,limit) $(call flag,CHANNELS,channels) $(call flag,LANGUAGE,language) \
		$(call flag,METRICS,metrics) $(call flag,WORKERS,workers) $(call flag,SEEDS,seeds) $(call flag,EXECUTOR,executor) $(call flag,KEEP,keep) $(if $(CONTINUOUS),--continuous)

listen: install
	@$(PY) -m bench listen $(FLAGS) $(call flag,COUNT,count) $(call flag,BY,by) $(call flag,TEST,test) $(call flag,CHANNELS,channels)

page: install
	@$(PY) -m bench page $(call flag,CODEC,codec) $(call flag,DATA,data) $(call flag,COUNT,count)

test: install
	@$(PY) -m pytest $(ARGS)

gate: install
	@$(PY) -m bench gate $(if $(UPDATE),--update)

certify: install
	@$(PY) -m bench certify $(if $(CHECK),--check)

lint: install
	@.venv/bin/ruff check bench tests tools
	@.venv/bin/ruff format --check -q bench tests tools
	@$(PY) -m mypy
	@.venv/bin/lint-imports

format: install
	@.venv/bin/ruff format bench tests tools

# One thread: the ratios are of CPU times, which threads that wait for one another inflate.
# Beside the official classes where they are: .venv/bin/pip install --no-deps --target .bench/official -r tools/official.txt
perf: install
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests/perf --benchmark-only --benchmark-columns=min,median,rounds --override-ini addopts= -q $(ARGS)

doctor: install
	@$(PY) -m bench doctor

gpu-check: install
	@$(PY) -m bench doctor --gpu

list: install
	@$(PY) -m bench list all

results: install
	@tools/results.sh $(if $(FAMILY),"$$FAMILY")
