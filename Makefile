# make bench [CODEC=family@point,...|all] [TASK=resynthesis] [PROFILE=embedded] [DATA=...] [LIMIT=n] [DEVICE=auto] [WEIGHTS=...]
# make listen [CODEC=...] [TASK=resynthesis|vc] [DATA=...] [COUNT=8] [BY=column]
# make test | gate [UPDATE=1] | lint | perf | doctor | results
.DEFAULT_GOAL := bench
PY := .venv/bin/python
export OMP_WAIT_POLICY ?= PASSIVE

TASK ?= resynthesis
PROFILE ?= embedded
DEVICE ?= auto
# With neither codec, data nor limit named: a few telling codecs on part of the speech, in a few minutes.
ifeq ($(strip $(CODEC)$(DATA)$(LIMIT)),)
ifeq ($(TASK),resynthesis)
LIMIT := 28
endif
endif
# Words in quotes reach the program as they are.
FLAGS = $(if $(CODEC),--codec "$(CODEC)") $(if $(DATA),--data "$(DATA)") $(if $(LIMIT),--limit "$(LIMIT)") \
	$(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(METRICS),--metrics "$(METRICS)") $(if $(WORKERS),--workers "$(WORKERS)") \
	$(if $(PROTOCOL),--protocol "$(PROTOCOL)") $(if $(SEEDS),--seeds "$(SEEDS)") $(if $(CONTINUOUS),--continuous)

.PHONY: bench listen test gate lint perf doctor results list install

install:
	@tools/install.sh

bench: install
	@$(PY) -m bench run --task "$(TASK)" --profile "$(PROFILE)" --device "$(DEVICE)" $(FLAGS)

listen: install
	@$(PY) -m bench listen --task "$(TASK)" --device "$(DEVICE)" $(if $(CODEC),--codec "$(CODEC)") $(if $(DATA),--data "$(DATA)") \
		$(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(PROTOCOL),--protocol "$(PROTOCOL)") $(if $(COUNT),--count "$(COUNT)") $(if $(BY),--by "$(BY)")

test: install
	@$(PY) -m pytest $(ARGS)

gate: install
	@$(PY) -m bench gate $(if $(UPDATE),--update)

lint: install
	@.venv/bin/ruff check bench tests tools
	@$(PY) -m mypy
	@.venv/bin/lint-imports

# One thread: the ratios are of CPU times, which threads that wait for one another inflate.
perf: install
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests/perf --benchmark-only --benchmark-columns=min,median,rounds --override-ini addopts= -q $(ARGS)

doctor: install
	@$(PY) -m bench doctor

list: install
	@$(PY) -m bench list all

results: install
	@tools/results.sh
