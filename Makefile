# Each command first installs its requirements into .venv, unless they are there.
#   DB    databases, separated by commas or spaces: sqlite postgresql mariadb mysql oracle;
#         postgresql@18 selects another release
#   ARGS  additional arguments for the program that the command runs
#   SERVE=1  for demo: show its data in Django's admin, until Ctrl-C
#   SERVERS=1  for matrix: run the releases of database servers, not of Python and Django
#   QUICK=1, ONLY=…  for bench: rough figures in minutes; questions, such as call or contention

PYTHON ?= python3
DB ?=
ARGS ?=
export DB
# Otherwise each process of the tests compiles Django, and each worker all tests.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
UV := $(BIN)/uv
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt
DISTRIBUTIONS := . $(sort $(patsubst %/pyproject.toml,%,$(wildcard backends/*/pyproject.toml))) contrib
PINS := constraints.txt $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))

comma := ,
databases = $(or $(strip $(subst $(comma), ,$(DB))),$(1))
products = $(foreach one,$(1),$(firstword $(subst @, ,$(one))))
drivers = $(patsubst %,.venv/.driver-%,$(filter mysql oracle postgresql,$(sort $(patsubst mariadb,mysql,$(call products,$(1))))))

.DELETE_ON_ERROR:
.PHONY: help demo test bench faults bench-readme docs messages servers servers-stop lint release changelog matrix constraints clean

help: ## list the commands (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

demo: .venv/.packages $(call drivers,$(call databases,sqlite)) ## number invoices under load on SQLite, or on DB=…; SERVE=1 shows them in Django's admin
	$(BIN)/python contrib/demo/run.py $(if $(SERVE),--serve) $(ARGS)

test: .venv/.dev $(call drivers,$(call databases,postgresql mysql)) ## run all tests on all databases, or on DB=sqlite,…
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

bench: .venv/.dev $(call drivers,$(call databases,postgresql mysql)) ## compare the speed with other packages
	$(BIN)/python -m benchmarks run $(if $(QUICK),--quick) --db "$(DB)" --only $(subst $(comma), ,$(ONLY)) $(ARGS)

bench-readme: .venv/.dev ## write docs/performance.rst from the committed results
	$(BIN)/python -m benchmarks page

faults: .venv/.dev $(call drivers,$(call databases,postgresql mysql)) ## inject faults into writers, servers and clusters, ROUNDS=20 each, and write the report
	$(BIN)/python -m tests.faults --rounds $(or $(ROUNDS),20) $(ARGS)

docs: .venv/.docs ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -b html docs docs/_build/html $(ARGS)

messages: .venv/.dev ## update the translation catalogues from the source code, and compile them
	$(BIN)/python -m tests.servers install gettext
	for package in sequences_core contrib/sequences_contrib; do (cd $$package && \
		$(CURDIR)/$(BIN)/django-admin makemessages --all --no-location --no-wrap --no-obsolete && \
		sed -i '/^"POT-Creation-Date/d' locale/*/LC_MESSAGES/django.po && \
		$(CURDIR)/$(BIN)/django-admin compilemessages --verbosity 0) || exit; done

servers: .venv/.packages $(call drivers,$(call databases,postgresql mysql)) ## start database servers in the background and print their URLs
	@$(BIN)/python -m tests.servers start $(ARGS) $(call databases)

servers-stop: .venv/.packages ## stop these servers and remove their data
	@$(BIN)/python -m tests.servers stop $(call databases)

lint: .venv/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

release: .venv/.release ## build the distributions into dist/, and check them
	$(BIN)/python .ci/release.py $(ARGS)

changelog: .venv/.release ## move the fragments of changelog.d into CHANGELOG.rst (ARGS=--draft prints it)
	$(BIN)/towncrier build --yes --version "$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" $(ARGS)

matrix: .venv/.dev $(call drivers,$(call databases,postgresql mysql)) ## run the tests on every supported Python and Django, or with SERVERS=1 on database releases
	$(if $(SERVERS),$(BIN)/python -m tests.matrix $(ARGS),PATH="$$($(BIN)/python -m tests.pythons $(ARGS))" $(BIN)/nox $(ARGS); \
		status=$$?; $(BIN)/python -m tests.matrix --sessions && exit $$status)

constraints: $(UV) ## update the versions in constraints.txt
	printf '%s\n' uv oracledb 'psycopg[binary]' types-psutil opentelemetry-sdk | $(UV) pip compile --quiet --universal --python-version 3.11 --upgrade \
		--group dev --all-extras --no-annotate --no-header \
		$(patsubst %,%/pyproject.toml,$(DISTRIBUTIONS)) - > .venv/constraints.txt
	{ sed -n '/^#/p' constraints.txt; grep -Ev '^(-e |\./|django==|sequences-)' .venv/constraints.txt; } > .venv/pins.txt
	mv .venv/pins.txt constraints.txt

clean: ## remove all generated files
	test ! -d .servers || $(MAKE) --no-print-directory DB= servers-stop
	rm -rf .servers .venv build dist docs/_build .coverage* .hypothesis .mypy_cache .nox .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Only mysqlclient has to be compiled, so that other databases need no compiler.

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || test "$$(id -u)" != 0 || \
		{ apt-get update; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv; } >/dev/null
	@$(PYTHON) -c 'import ensurepip' || { echo 'Python cannot create a virtual environment; on Debian, run: sudo apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

.venv/.packages: $(UV) $(PINS)
	$(INSTALL) --group demo $(addprefix --editable ,$(addprefix ./,$(DISTRIBUTIONS)))
	@touch $@

.venv/.dev: .venv/.packages
	$(INSTALL) --group dev oracledb 'psycopg[binary]' types-psutil
	@touch $@

.venv/.docs: .venv/.packages
	$(INSTALL) --group docs
	@touch $@

.venv/.release: $(UV) $(PINS)
	$(INSTALL) --group release
	@touch $@

.venv/.driver-mysql: .venv/.packages
	$(BIN)/python -m tests.servers install mysqlclient
	$(INSTALL) mysqlclient
	@touch $@

.venv/.driver-postgresql: .venv/.packages
	$(INSTALL) 'psycopg[binary]'
	@touch $@

.venv/.driver-oracle: .venv/.packages
	$(INSTALL) oracledb
	@touch $@
