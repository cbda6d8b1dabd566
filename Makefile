# Everything CI checks, in the active environment: make check

.PHONY: check lint imports types test docs format

check: lint imports types test

lint:
	ruff check .
	ruff format --check .

imports:
	lint-imports

types:
	mypy

test:
	pytest

# The site, in build/site; a warning, such as a link that leads nowhere, is an error.
docs:
	sphinx-build -c docs -d build/doctrees -W --keep-going -q . build/site

format:
	ruff check --fix .
	ruff format .
