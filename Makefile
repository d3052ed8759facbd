# SPDX-License-Identifier: MIT
# memoproxy. `make run` to try it, `make test` to prove it, `make help` for the rest.
#
# Everything made goes under build/<mode>/, except ./memoproxy, which is the release binary.
# MODE is release (default), debug, asan, tsan or fuzz:  make MODE=asan unit-cache
# BUILD is another place for it, so that two makes can run at once:  make BUILD=/tmp/b unit-http

VERSION := 0.1.0
MODE    ?= release
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
JOBS    ?= $(shell nproc)
FUZZ_SECONDS ?= 10
# The distribution's Python, which is the one that has the distribution's pytest.
PYTHON  ?= $(firstword $(wildcard /usr/bin/python3) python3)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

# --- What is built -------------------------------------------------------------------------------------------------

# Each room (a folder with its archive) may use those that its line names, in link order. `make lint` checks that headers and
# symbols keep to it; a unit test links its own room and what that may use, no more.
BELOW_base              := base
BELOW_http              := http base
BELOW_cache/policy      := cache/policy http base
BELOW_cache/disk/log    := cache/disk/log cache/tier cache/policy http base
BELOW_cache/tier        := cache/tier cache/policy http base
BELOW_cache/disk        := cache/disk cache/disk/log $(BELOW_cache/tier)
BELOW_cache/memory      := cache/memory $(BELOW_cache/tier)
BELOW_cache             := cache $(BELOW_cache/memory)
BELOW_config/routing    := config/routing http base
BELOW_config/ini        := config/ini http base
BELOW_config            := config config/ini config/routing cache/policy http base
BELOW_upstream          := upstream http base
BELOW_proxy/connection  := proxy/connection $(BELOW_config)
BELOW_proxy/front       := proxy/front $(BELOW_proxy/connection)
BELOW_proxy/record      := proxy/record proxy/front proxy/connection upstream $(BELOW_config)
BELOW_proxy/request     := proxy/request config config/ini config/routing upstream $(BELOW_cache)
BELOW_proxy/transaction := proxy/transaction proxy/record proxy/front proxy/connection $(BELOW_proxy/request)
BELOW_proxy/demo        := proxy/demo http base
BELOW_proxy/init        := proxy/init $(BELOW_config)
BELOW_proxy/control     := proxy/control $(BELOW_proxy/init)
BELOW_proxy/admin       := proxy/admin $(BELOW_proxy/transaction)
BELOW_proxy/process     := proxy/process proxy/demo proxy/control proxy/init cache/disk cache/disk/log $(BELOW_proxy/admin)
ROOMS        := $(BELOW_proxy/process)
SOURCES      := $(wildcard $(addsuffix /*.c,$(ROOMS)))
HEADERS      := $(wildcard $(addsuffix /*.h,$(ROOMS)))
# The program's main function is in no archive: tests have their own.
sources_of    = $(filter-out proxy/process/main.c,$(wildcard $1/*.c))

B := $(BUILD)/$(MODE)
export BUILD

# --- How it is compiled --------------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
# In clang's UBSan is what gcc's lacks: an offset added to NULL, for one.
CC := $(if $(filter asan fuzz,$(MODE)),clang,gcc)
endif
AR := ar

PKGS := libevent libevent_pthreads libcurl libnghttp2 jansson yaml-0.1 expat libxxhash zlib libbrotlienc libzstd openssl
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS_common   := $(shell pkg-config --libs jansson zlib libbrotlienc libzstd openssl 2>/dev/null) -lpthread
LIBS_event    := $(shell pkg-config --libs libevent libevent_pthreads 2>/dev/null)
LIBS_curl     := $(shell pkg-config --libs libcurl libnghttp2 2>/dev/null)
LIBS_init     := $(shell pkg-config --libs libcurl yaml-0.1 expat 2>/dev/null)
# What the archives that a program links need: libs_of <room>
libs_of = $(if $(filter proxy/init,$(BELOW_$1)),$(LIBS_init)) $(if $(filter upstream,$(BELOW_$1)),$(LIBS_curl)) $(if $(filter upstream proxy/%,$(BELOW_$1)),$(LIBS_event)) \
	$(LIBS_common)

# MEMOPROXY_HOOKS lets the environment inject faults; a release binary has no such door.
HOOKS := -DMEMOPROXY_HOOKS=1 -fno-omit-frame-pointer
# Sections: the linker says which functions main does not reach (lint-dead.py).
MODE_release := -O2 -ffunction-sections -fdata-sections -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
MODE_debug   := -O0 $(HOOKS)
MODE_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all $(HOOKS)
MODE_tsan    := -O1 -fsanitize=thread $(HOOKS)
MODE_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all $(HOOKS)
ifndef MODE_$(MODE)
$(error MODE is $(MODE); it must be release, debug, asan, tsan or fuzz)
endif

WARN   := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# A warning is an error, but not in the release build of a user, whose compiler may know warnings that nobody has seen yet.
# `make test` sets it there, too, and so does who develops: export WERROR=-Werror
WERROR ?= $(if $(filter release,$(MODE)),,-Werror)
LANG_C := -std=gnu11 -D_GNU_SOURCE -I. -DMEMOPROXY_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
HARDEN := -fstack-protector-strong -fPIE
COMPILE = $(CC) $(LANG_C) $(WARN) $(WERROR) -g -pthread $(HARDEN) $(MODE_$(MODE)) $(CFLAGS)
LINK    = $(CC) -g -pthread $(filter -fsanitize% -fno-sanitize%,$(MODE_$(MODE))) -pie \
	-Wl,-z,relro,-z,now -Wl,--as-needed $(CFLAGS) $(LDFLAGS)

NEEDS = CC='$(CC)' PYTHON='$(PYTHON)' packaging/install-deps.sh

# Short lines; V=1 shows the whole commands.
V ?= 0
say = $(if $(filter 0,$(V)),@echo '$1 $@' && )

# Objects depend on the flags they were compiled with, archives on the list of their sources (one may have gone).
# $(call remember,file,text) is shell that writes the text unless the file holds it already.
quote    = '$(subst ','"'"',$1)'
remember = printf '%s\n' $(call quote,$2) | cmp -s - $1 || printf '%s\n' $(call quote,$2) > $1;
$(shell mkdir -p $(B); $(call remember,$(B)/flags,$(COMPILE)) \
	$(foreach f,$(ROOMS),mkdir -p $(B)/$(dir $f); $(call remember,$(B)/$f.list,$(call sources_of,$f))))

# The first thing that is done before anything is compiled: one sentence, instead of a compiler's errors, if libraries are missing.
needs-%:
	@$(NEEDS) -c $*

$(B)/obj/%.o: %.c $(B)/flags | needs-build
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -MMD -MP -c $< -o $@

obj_of      = $(patsubst %.c,$(B)/obj/%.o,$1)
archives_of = $(foreach f,$(BELOW_$1),$(B)/$f.a)

define archive_rule
$(B)/$1.a: $(call obj_of,$(call sources_of,$1)) $(B)/$1.list
	@rm -f $$@
	$$(call say,AR)$(AR) rcsD $$@ $$(filter %.o,$$^)
endef
$(foreach f,$(ROOMS),$(eval $(call archive_rule,$f)))

$(B)/obj/proxy/admin/openapi.o: proxy/admin/openapi.json

$(B)/memoproxy: $(B)/obj/proxy/process/main.o $(call archives_of,proxy/process)
	$(call say,LD)$(LINK) -o $@ $^ $(call libs_of,proxy/process)

memoproxy: $(BUILD)/release/memoproxy
	cp -f $< $@

-include $(wildcard $(patsubst %.o,%.d,$(call obj_of,$(SOURCES))))

# --- Targets for use -----------------------------------------------------------------------------------------------

.PHONY: all run test check unit system asan tsan fuzz fuzz-build lint format docs bench churn scale conformance soak install uninstall clean help
.PHONY: mutants mutants-check unit-build unit-build-tsan unit-tsan deps deps-test deps-bench deps-packaging node-modules binary fill
.PHONY: dist deb package-test

ifeq ($(MODE),release)
all: memoproxy
else
all: $(B)/memoproxy
endif

binary: $(B)/memoproxy

help:
	@echo 'all (./memoproxy)  run  check (a minute, between changes)  test (all that is proved)'
	@echo 'unit  unit-<folder>  system  asan  tsan  fuzz  lint  lint-fast  format[-<folder>]  docs  bench  churn  scale'
	@echo 'conformance  soak  install  uninstall  dist  deb  package-test  clean  mutants  deps  deps-test  deps-bench;   MODE=release|debug|asan|tsan|fuzz'

deps:
	@$(NEEDS) build
deps-test:
	@$(NEEDS) build unit system lint fuzz
deps-bench:
	@$(NEEDS) build unit system lint fuzz bench
deps-packaging:
	@$(NEEDS) build packaging

# A second make, because this one asked pkg-config before the packages were there.
run: deps
	@$(MAKE) -s --no-print-directory -j$(JOBS) MODE=release all
	@exec ./memoproxy --demo

test check: deps-test
	@MAKE='$(MAKE)' JOBS='$(JOBS)' FUZZ_SECONDS='$(FUZZ_SECONDS)' PYTHON='$(PYTHON)' tests/support/run-tests.sh $@

asan:
	@$(MAKE) --no-print-directory MODE=asan unit
	@$(MAKE) --no-print-directory MODE=asan system

# The rooms whose unit tests start threads.
TSAN_ROOMS := base config upstream cache/disk cache proxy/connection proxy/front
tsan:
	@$(MAKE) --no-print-directory MODE=tsan unit-tsan

# --- Unit tests: tests/unit/<room>/test_<module>.c; other .c files beside them are helpers of that room's tests ---

unit_sources = $(wildcard tests/unit/$1/*.c)
unit_tests   = $(foreach s,$(call unit_sources,$1),$(if $(filter test_%,$(notdir $s)),$s))
unit_helpers = $(filter-out $(call unit_tests,$1),$(call unit_sources,$1))
unit_bins    = $(patsubst %.c,$(B)/%,$(call unit_tests,$1))

# The cache's tests run over the disk too, of which the cache itself knows nothing.
UNIT_ALSO_cache := cache/disk cache/disk/log
unit_also        = $(foreach f,$(UNIT_ALSO_$1),$(B)/$f.a)

define unit_rules
.PHONY: unit-$1
unit-$1: $(call unit_bins,$1)
	@MODE=$(MODE) tests/support/run-unit.sh $$^
$(call unit_bins,$1): $(B)/%: $(B)/obj/%.o $(call obj_of,$(call unit_helpers,$1)) $(call unit_also,$1) $(call archives_of,$1)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(LINK) -o $$@ $$^ $(call libs_of,$1) -lcmocka
$(call obj_of,$(call unit_sources,$1)): | needs-unit
-include $(wildcard $(patsubst %.o,%.d,$(call obj_of,$(call unit_sources,$1))))
endef
TESTED_ROOMS := $(foreach f,$(ROOMS),$(if $(call unit_tests,$f),$f))
$(foreach f,$(TESTED_ROOMS),$(eval $(call unit_rules,$f)))

unit-build: $(foreach f,$(TESTED_ROOMS),$(call unit_bins,$f))
# Programs that start no thread and take seconds: under TSan they would take minutes and find nothing. Elsewhere they may not start one.
SINGLE := base/test_heap cache/test_cache cache/test_cache_memory cache/test_flood cache/test_settle cache/test_sweep cache/test_variants \
	cache/disk/test_formats cache/disk/test_index
tsan_bins = $(filter-out $(SINGLE:%=$(B)/tests/unit/%),$(foreach f,$(TSAN_ROOMS),$(call unit_bins,$f)))
unit-build-tsan: $(tsan_bins)
# All rooms' programs side by side, bottom up; the longest begins first. unit-proxy is all that lies in proxy/.
reverse = $(if $1,$(call reverse,$(wordlist 2,$(words $1),$1)) $(firstword $1))
LONGEST := %/test_crash
longest_first = $(filter $(LONGEST),$1) $(filter-out $(LONGEST),$1)
unit: unit-build
	@MODE=$(MODE) SINGLE='$(SINGLE)' tests/support/run-unit.sh $(call longest_first,$(foreach f,$(call reverse,$(TESTED_ROOMS)),$(call unit_bins,$f)))
unit-tsan: unit-build-tsan
	@MODE=$(MODE) tests/support/run-unit.sh $(call longest_first,$(tsan_bins))
.PHONY: unit-proxy
unit-proxy: $(addprefix unit-,$(call reverse,$(filter proxy/%,$(TESTED_ROOMS))))
.PRECIOUS: $(B)/obj/%.o

# --- System tests --------------------------------------------------------------------------------------------------

NODE := tests/support/node
node-modules: $(if $(wildcard $(NODE)/package-lock.json),$(NODE)/node_modules/.package-lock.json)
$(NODE)/node_modules/.package-lock.json: $(NODE)/package-lock.json
	cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# PYTEST_ARGS='-k purge' chooses among them, '-m tiers' by the marks that tests/system/pytest.ini lists.
system: needs-system $(B)/memoproxy node-modules
	@MODE=$(MODE) PYTHON='$(PYTHON)' MEMOPROXY_BIN='$(abspath $(B)/memoproxy)' tests/support/run-system.sh $(PYTEST_ARGS)

# --- Do the tests notice? tests/mutants/*.toml has small faults as data -----------------------------------------------

# MUTANTS=20 for a random sample (MUTANTS_SEED=n: which), 0 for all; MUTANTS_ARGS='--only cache/disk' chooses.
MUTANTS ?= 20
mutants:
	@nice $(PYTHON) tests/mutants/run.py --sample $(MUTANTS) $(if $(MUTANTS_SEED),--seed $(MUTANTS_SEED)) $(MUTANTS_ARGS)

# Which of them name text that is not there any more.
mutants-check:
	@$(PYTHON) tests/mutants/run.py --check

# --- Fuzzing: tests/fuzz/fuzz_<name>.c, seeds in tests/fuzz/corpus/<name>, what is found goes to build/fuzz ---------

FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
# A fuzz target links the rooms whose headers it includes, and what those may use.
fuzz_uses     = $(shell sed -n 's|^\#include "\([a-z/]*\)/[^/]*".*|\1|p' $1 | sort -u)
fuzz_closure  = $(sort $(foreach f,$(call fuzz_uses,$1),$(BELOW_$f)))
fuzz_archives = $(foreach f,$(filter $(call fuzz_closure,$1),$(ROOMS)),$(B)/$f.a)

define fuzz_rule
$(patsubst %.c,$(B)/%,$1): $(call obj_of,$1) $(call fuzz_archives,$1)
	@mkdir -p $$(@D)
	$$(call say,LD)$$(LINK) -fsanitize=fuzzer -o $$@ $$^ $(call libs_of,proxy/process)
endef

ifeq ($(MODE),fuzz)
$(foreach s,$(FUZZ_SRC),$(eval $(call fuzz_rule,$s)))
-include $(wildcard $(patsubst %.o,%.d,$(call obj_of,$(FUZZ_SRC))))
# libFuzzer's entry point has no prototype in any header.
$(call obj_of,$(FUZZ_SRC)): WARN += -Wno-missing-prototypes
$(call obj_of,$(FUZZ_SRC)): | needs-fuzz
fuzz-build: $(patsubst %.c,$(B)/%,$(FUZZ_SRC))
fuzz: fuzz-build
	@tests/support/run-fuzz.sh $(FUZZ_SECONDS) $(patsubst %.c,$(B)/%,$(FUZZ_SRC))
else
fuzz fuzz-build:
	@$(MAKE) --no-print-directory MODE=fuzz $@
endif

# --- Lint ----------------------------------------------------------------------------------------------------------

TIDY_STAMPS := $(patsubst %.c,$(BUILD)/lint/%.tidy,$(SOURCES))
C_FILES     := $(SOURCES) $(HEADERS) $(wildcard tests/unit/*/*.[ch] tests/unit/*/*/*.[ch] tests/fuzz/*.[ch])

.PHONY: lint-fast lint-tidy
lint: lint-fast lint-tidy
	@echo 'lint: clean'

empty :=
comma := ,
lint-fast: needs-lint $(BUILD)/release/memoproxy
	@tests/support/lint-spdx.sh
	@tests/support/lint-docs.py
	@$(PYTHON) tests/support/reference.py --check $(BUILD)/release/memoproxy
	@tests/support/lint-rooms.py $(BUILD)/release/obj $(foreach r,$(ROOMS),$r=$(subst $(empty) $(empty),$(comma),$(strip $(BELOW_$r))))
	@tests/support/lint-uses.sh $(SOURCES) $(HEADERS)
	@tests/support/lint-dead.py $(SOURCES) $(HEADERS) $(wildcard */*.def */*/*.def) -- $(LINK) -Wl,--gc-sections,--print-gc-sections \
		-o $(BUILD)/release/dead $(BUILD)/release/obj/proxy/process/main.o $(foreach r,$(ROOMS),$(BUILD)/release/$r.a) $(call libs_of,proxy/process)
	@tests/support/lint-length.sh $(C_FILES)
	@clang-format --dry-run -Werror $(C_FILES) || { echo 'lint: run "make format"'; exit 1; }

lint-tidy: $(TIDY_STAMPS)

# Where the static analyser leaves off in one function, a sixth of what it does by itself. It reaches the same blocks of code
# (as -analyzer-checker=debug.Stats says) in a third of the time; what goes is the last ways to come there.
ANALYZER := -Xclang -analyzer-config -Xclang max-nodes=37500

# One stamp a file, with the headers that it reads as prerequisites: a second run is quick.
$(BUILD)/lint/%.tidy: %.c .clang-tidy | needs-build needs-lint
	@mkdir -p $(@D)
	@echo "tidy $<"
	@clang-tidy --quiet $< -- $(LANG_C) $(ANALYZER) 2>$@.log || { cat $@.log; exit 1; }
	@clang $(LANG_C) -MM -MP -MT $@ -MF $@.d $<
	@touch $@
-include $(wildcard $(addsuffix .d,$(TIDY_STAMPS)))

# The reference pages of docs/use, from what the program says of itself.
docs: memoproxy
	@$(PYTHON) tests/support/reference.py memoproxy

format:
	tests/support/lint-spdx.sh --fix
	clang-format -i $(C_FILES)
$(addprefix format-,$(sort $(patsubst %/,%,$(dir $(C_FILES))) cache proxy upstream)): format-%:
	clang-format -i $(filter $*/% tests/unit/$*/%,$(C_FILES))

# --- Longer runs ---------------------------------------------------------------------------------------------------

bench: deps-bench
	@$(MAKE) -s --no-print-directory -j$(JOBS) MODE=release all
	@bench/run.sh

# Memory with bodies of mixed sizes: CHURN_SECONDS, CHURN_MEMORY (MiB), CHURN_WORKERS, CHURN_SEED.
churn: deps-bench
	@$(MAKE) -s --no-print-directory -j$(JOBS) MODE=release all
	@bench/run.sh churn.py

# What costs more as more is stored, configured, purged: SCALE_QUICK=1 for a minute of it, SCALE_ROWS for some of it.
scale: deps-bench
	@$(MAKE) -s --no-print-directory -j$(JOBS) MODE=release all fill
	@SCALE_FILL='$(CURDIR)/$(B)/bench/fill' bench/run.sh scale.py

# Records for the disk tier, written by its own room.
fill: $(B)/bench/fill
$(B)/bench/fill: $(B)/obj/bench/fill.o $(call archives_of,cache/disk)
	@mkdir -p $(@D)
	$(call say,LD)$(LINK) -o $@ $^ $(call libs_of,cache/disk)
-include $(B)/obj/bench/fill.d

conformance: deps-test
	@$(MAKE) -s --no-print-directory -j$(JOBS) MODE=release all node-modules
	@MEMOPROXY_BIN='$(CURDIR)/memoproxy' tests/support/conformance.sh

# MODE=asan for one under the sanitizers, SOAK_SECONDS for how long.
soak: deps-test
	@$(MAKE) -s --no-print-directory -j$(JOBS) MODE=$(MODE) binary
	@MODE=$(MODE) MEMOPROXY_BIN='$(abspath $(B)/memoproxy)' PYTHON='$(PYTHON)' tests/support/soak.sh

# --- Installing ----------------------------------------------------------------------------------------------------

SBINDIR    ?= $(PREFIX)/sbin
MANDIR     ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc/memoproxy
UNITDIR    ?= $(PREFIX)/lib/systemd/system
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d

# An operator's proxy.ini is never overwritten: ours goes beside it.
install: memoproxy
	install -D -m 755 memoproxy $(DESTDIR)$(SBINDIR)/memoproxy
	@ini=$(DESTDIR)$(SYSCONFDIR)/proxy.ini; [ ! -e "$$ini" ] || cmp -s packaging/proxy.ini "$$ini" || ini=$$ini.dist; \
	echo "install $$ini"; install -D -m 644 packaging/proxy.ini "$$ini"
	@mkdir -p $(DESTDIR)$(MANDIR)/man5 && echo "install $(DESTDIR)$(MANDIR)/man5/memoproxy.ini.5" \
	&& packaging/man-ini.sh ./memoproxy > $(DESTDIR)$(MANDIR)/man5/memoproxy.ini.5 \
	&& chmod 644 $(DESTDIR)$(MANDIR)/man5/memoproxy.ini.5
	install -D -m 644 man/memoproxy.8 $(DESTDIR)$(MANDIR)/man8/memoproxy.8
	@for unit in memoproxy.service memoproxy.socket; do \
		to=$(DESTDIR)$(UNITDIR)/$$unit; echo "install $$to"; mkdir -p "$${to%/*}" \
		&& sed 's|/usr/sbin/memoproxy|$(SBINDIR)/memoproxy|g; s|/etc/memoproxy|$(SYSCONFDIR)|g' packaging/$$unit > "$$to" \
		&& chmod 644 "$$to" || exit 1; \
	done
	@complete() { \
		to=$(DESTDIR)$$2; echo "install $$to"; mkdir -p "$${to%/*}" && ./memoproxy completion $$1 > "$$to" && chmod 644 "$$to"; \
	}; \
	complete bash $(BASHDIR)/memoproxy && complete zsh $(ZSHDIR)/_memoproxy && complete fish $(FISHDIR)/memoproxy.fish

# What install put there, with the same PREFIX and the like. A proxy.ini that somebody has changed stays.
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/memoproxy $(DESTDIR)$(MANDIR)/man5/memoproxy.ini.5 $(DESTDIR)$(MANDIR)/man8/memoproxy.8 \
		$(DESTDIR)$(UNITDIR)/memoproxy.service $(DESTDIR)$(UNITDIR)/memoproxy.socket $(DESTDIR)$(BASHDIR)/memoproxy \
		$(DESTDIR)$(ZSHDIR)/_memoproxy $(DESTDIR)$(FISHDIR)/memoproxy.fish $(DESTDIR)$(SYSCONFDIR)/proxy.ini.dist
	@ini=$(DESTDIR)$(SYSCONFDIR)/proxy.ini; ! cmp -s packaging/proxy.ini "$$ini" || { echo "rm $$ini"; rm -f "$$ini"; }
	@[ ! -d $(DESTDIR)$(SYSCONFDIR) ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(SYSCONFDIR)

# --- Packages ------------------------------------------------------------------------------------------------------

# What is committed: the same bytes from the same commit.
DIST := memoproxy-$(VERSION)
dist:
	@mkdir -p $(BUILD)
	@[ -z "$$(git status --porcelain)" ] || echo 'dist: what is not committed is left out' >&2
	git archive --format=tar --prefix=$(DIST)/ HEAD | gzip -9n > $(BUILD)/$(DIST).tar.gz

# In a tree of its own, as dpkg-buildpackage writes into the one above it. BUILD and the like are of this make, not of that one.
# The project has no address for mail, which is what the suppressed tag is about.
deb: deps-packaging dist
	@rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb && tar -xzf $(BUILD)/$(DIST).tar.gz -C $(BUILD)/deb
	cd $(BUILD)/deb/$(DIST) && env -u MAKEFLAGS -u MAKELEVEL -u BUILD -u MODE -u WERROR dpkg-buildpackage -b -us -uc -j$(JOBS)
	lintian --fail-on error,warning --suppress-tags bogus-mail-host $(BUILD)/deb/*.changes
	@ls $(BUILD)/deb/*.deb

# As root, with the package mirror of this machine's apt; some minutes.
package-test: deb
	@$(PYTHON) packaging/package-test.py $(BUILD)/deb

clean:
	rm -rf $(BUILD) memoproxy
