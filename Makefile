# What a person types. `make` alone lists it.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
ENGINE      ?= podman
PROMPT      ?= a red circle on a blue background
export ENGINE
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo demo-down test test-long api-key lint lock

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the whole service on local hosts, and a picture through its gateway; MONITORING=yes watches it
	@scripts/bootstrap
	@python scripts/demo.py --prompt '$(PROMPT)' $(if $(filter yes,$(MONITORING)),--monitoring)

demo-down: ## remove the local hosts of the demo
	@scripts/bootstrap
	@ansible-playbook playbooks/local_hosts.yml -i inventories/demo -e local_hosts_state=absent

test: ## everything that CI runs
	@scripts/bootstrap test
	@scripts/test

test-long: ## what takes too long for every change
	@scripts/bootstrap test
	@scripts/test-long

api-key: ## make an API key for a user of the gateway
	@python3 scripts/api_key.py

lint: ## the static checks alone
	@scripts/bootstrap
	@scripts/lint

lock: ## renew the lock files from requirements*.in
	@scripts/lock
