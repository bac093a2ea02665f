# Two commands do all the set-up: `make demo` and `make test`. The work is in scripts/.
SHELL := /bin/bash
RUN := scripts/run

.PHONY: demo test check setup bench fuzz clean help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
demo: setup ## set up everything, start the platform, deploy examples/01-shop
	@$(RUN) python scripts/demo.py
test: setup ## set up everything, run every test
	@scripts/test
check: setup ## format, lint, types, imports, tidiness
	@scripts/check
setup: ## system packages, environment, native parts
	@scripts/setup
bench: setup ## every benchmark, as a table, beside the incumbents that are installed
	@$(RUN) python benchmarks/run.py
fuzz: setup ## bounded fuzzing of the parsers we own
	@scripts/fuzz
clean: ## end the platform and remove everything it made
	@scripts/clean
