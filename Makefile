# Targets a newcomer needs: `make demo` and `make test`. Both set up everything they use in .venv.
PYTHON ?= python3.11
TYPING := build/typing/evalkit

.PHONY: typecheck
# tasks/ and reports/ are evalkit.tasks and evalkit.reports once installed; mypy is shown that layout through links
typecheck:
	rm -rf build/typing && mkdir -p $(TYPING)
	for entry in evalkit/*; do ln -s $(CURDIR)/$$entry $(TYPING)/; done
	ln -s $(CURDIR)/tasks $(TYPING)/tasks && ln -s $(CURDIR)/reports $(TYPING)/reports
	cd build/typing && MYPYPATH=. $(CURDIR)/.venv/bin/mypy --config-file $(CURDIR)/pyproject.toml -p evalkit
