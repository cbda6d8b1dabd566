# Everything CI checks, in the active environment: make check

.PHONY: check lint imports types test format

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

format:
	ruff check --fix .
	ruff format .
