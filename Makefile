# SPDX-License-Identifier: Apache-2.0
# The commands of the repository. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VERSION ?= v1.0.0
# Scenarios that `make test` runs; `make molecule SCENARIO=single` runs one. Those of data, certificates and hardening are long: `make soak` runs them.
LONG_SCENARIOS := postgres backup dumps files tls hardened git_deploy monitoring alerts dashboard dev
SCENARIOS ?= $(filter-out lab fleet edge2 $(LONG_SCENARIOS),$(notdir $(patsubst %/,%,$(dir $(wildcard molecule/*/molecule.yml)))))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Without byte code Ansible recompiles itself at every start.
unexport PYTHONDONTWRITEBYTECODE
# Colours on a terminal.
ifneq ($(shell test -t 1 && echo tty),)
export ANSIBLE_FORCE_COLOR ?= 1
endif

LAB := -i inventories/lab
comma := ,
# part TITLE,COMMAND: print a heading, run the command, print its duration.
part = @start=$$SECONDS; printf '\n==> %s\n' '$(1)'; $(2); printf '<== %s: %d s\n' '$(1)' $$((SECONDS - start))

##@ The lab
demo: ## Build the lab and deploy the reference app on it; ends with a URL
	$(call part,Set-up,$(MAKE) --no-print-directory --jobs=2 setup lab-image)
	$(call part,Lab,scripts/lab)
	$(call part,Reference app,scripts/lab-images)
	$(call part,Provision the hosts,ansible-playbook provision.yml $(LAB))
	$(call part,Deploy $(VERSION),ansible-playbook deploy.yml $(LAB) -e app_version=$(VERSION))
	$(call part,Seed the database,ansible-playbook playbooks/database/seed.yml $(LAB))
	$(call part,What runs where,ansible-playbook status.yml $(LAB))
	@scripts/lab-next

# Build what needs no Python packages while these are installed.
lab-image:
	@scripts/engine start
	@scripts/lab-image host >/dev/null

url: ## Print the address of the lab
	@scripts/lab-url

engine: setup
	@scripts/engine start

lab: engine ## Bring up the lab's hosts, registry and object store
	$(call part,Lab,scripts/lab)

images: lab ## Build both versions of the reference app and push them to the lab's registry
	$(call part,Reference app,scripts/lab-images)

clean: ## Remove everything these targets made, and nothing else
	@scripts/clean

##@ Tests
# Molecule waits for its hosts half of the time: the rest runs meanwhile.
test: setup ## Everything: check, Molecule, end to end
	$(call part,Check$(comma) edge script$(comma) Molecule,$(MAKE) --no-print-directory --jobs=5 --output-sync lint unit edge-tests molecule)
	$(call part,End to end,$(MAKE) --no-print-directory e2e)

# Side by side: most of the time of either is waiting for Python to start.
check: setup ## Quick: lint, unit and contract tests
	$(call part,Lint$(comma) unit and contract tests,$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit)

unit: setup ## Unit and contract tests
	@pytest --numprocesses=auto

lint: setup ## Lint Python, YAML, playbooks, shell and Dockerfiles
	@scripts/lint

sanity: setup ## Ansible's own tests of a collection, without ignore files
	@scripts/sanity

format: setup ## Format the Python code
	@ruff check --quiet --select I --fix . && ruff format --quiet .

edge-tests: engine ## The edge's script in a real Nginx
	@scripts/edge-tests

molecule: $(addprefix molecule-,$(or $(SCENARIO),$(SCENARIOS))) ## Molecule scenarios on real hosts

molecule-%: images
	@scripts/molecule $*

e2e: images ## End to end on the lab: load, faults, browser
	$(call part,End to end,pytest tests/e2e --durations=20)

example-tests: engine ## The reference app's own tests: unit, integration, security, browser
	$(call part,Example,scripts/example-tests)

bench: images ## Measure releases, backups and restores, as ratios; writes build/bench.json
	@python -m tests.bench.bench $(if $(ROUNDS),--rounds $(ROUNDS))
	@python -m tests.bench.database

soak: images ## The long ones: a kill at every task of a deploy, reboots, two edges, many releases under load, the database
	$(call part,Sanity,scripts/sanity)
	$(call part,Molecule,scripts/molecule $(LONG_SCENARIOS))
	$(call part,Soak,pytest tests/e2e --soak -m soak)

##@ Set-up
setup: .venv/.stamp ## Make .venv and the collection link

.venv/.stamp: requirements/dev.txt scripts/venv
	@PYTHON=$(PYTHON) scripts/venv
	@touch $@

lock: setup ## Rebuild the lock files in requirements/
	@scripts/lock

build: setup ## Build the collection's artefact
	@ansible-galaxy collection build --force --output-path dist

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nMade by the lab: .lab/. Another Python: make setup PYTHON=python3.12\n'


.PHONY: demo lab-image url lab images clean test engine check lint unit sanity format edge-tests molecule e2e example-tests bench soak setup lock build help
