# A thin front for meson: `make` builds build/skep, `make demo` shows it, `make test` runs every test.
PREFIX ?= /usr/local
BUILD  ?= build

.PHONY: all demo test bench install clean
.DEFAULT_GOAL := all

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) $(if $(V),-v,--quiet)
	@ln -sf cli/skep $(BUILD)/skep
	@[ ! -e $(BUILD)/cli/skep-static ] || ln -sf cli/skep-static $(BUILD)/skep-static

$(BUILD)/build.ninja: | tools/deps tools/packages
	@tools/deps build
	@meson setup $(BUILD) --prefix=$(abspath $(PREFIX)) $(MESON_FLAGS) >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

demo: all
	@examples/firewall/demo $(BUILD)

test: all
	@tools/deps test
	@tools/deps reference || echo "without them the comparison with Linux's selftests is skipped" >&2
	@[ -e $(BUILD)/test-ready ] || { meson setup --reconfigure $(BUILD) >$(BUILD)/setup.log 2>&1 || { cat $(BUILD)/setup.log; exit 1; }; }
	@ninja -C $(BUILD) $(if $(V),-v,--quiet) && touch $(BUILD)/test-ready
	@tools/run-tests $(BUILD)

bench: all
	@bench/run $(BUILD)

install: all
	@meson configure $(BUILD) --prefix=$(abspath $(PREFIX))
	@ninja -C $(BUILD) >$(BUILD)/install.log 2>&1 || { cat $(BUILD)/install.log; exit 1; }
	@meson install -C $(BUILD) --no-rebuild --quiet
	@echo "installed: $(abspath $(PREFIX))/bin/skep"

clean:
	@rm -rf $(BUILD) $(BUILD)-*
