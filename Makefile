# Everything CI checks, in the active environment: make check

.PHONY: check lint imports types test docs dist format

check: lint imports types test

lint:
	ruff check .
	ruff format --check .

imports:
	lint-imports

types:
	mypy
	mypy --config-file= --strict --follow-imports=silent tests/typed_script.py

test:
	pytest

# The site, in build/site; a warning, such as a link that leads nowhere, is an error.
docs:
	sphinx-build -c docs -d build/doctrees -W --keep-going -q . build/site

# What a release uploads, in dist; then each of them is installed and used outside of the checkout.
dist:
	rm -rf dist build/outside
	python -m build --quiet
	for file in dist/*.whl dist/*.tar.gz; do \
		pip install --quiet --no-deps --target build/outside/$$file $$file && \
		(cd / && PYTHONPATH=$(CURDIR)/build/outside/$$file python $(CURDIR)/tests/outside.py) || exit 1; \
	done

format:
	ruff check --fix .
	ruff format .
