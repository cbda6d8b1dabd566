# Everything CI checks, in the active environment: make check

.PHONY: check lint imports types test docs links dist format

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

# Which links of the site to other sites lead nowhere. It needs the network, so CI leaves it out.
links:
	sphinx-build -b linkcheck -c docs -d build/doctrees -q . build/links

# What a release uploads, in dist; then each of them is installed and used outside of the checkout, and the
# wheel passes tests of the sdist.
dist:
	rm -rf dist build/outside
	python -m build --quiet
	mkdir -p build/outside/sdist
	tar -xf dist/*.tar.gz -C build/outside/sdist --strip-components 1 --exclude 'truesparse-*/truesparse'
	for file in dist/*.tar.gz dist/*.whl; do \
		pip install --quiet --no-deps --target build/outside/$$file $$file && \
		tests=$$(case $$file in (*.whl) echo $(CURDIR)/build/outside/sdist; esac) && \
		(cd / && PYTHONPATH=$(CURDIR)/build/outside/$$file python $(CURDIR)/tests/outside.py $$tests) || exit 1; \
	done

format:
	ruff check --fix .
	ruff format .
