# make demo: train on real digits.  make test: run the tests.  make docs: build the documentation site into build/docs.
# All set up what they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc fastnn -name '*.cpp' -o -name '*.h' -o -name '*.inc' -o -name '*.py') CMakeLists.txt
TOOLS := 'scikit-build-core>=0.10' 'pybind11>=2.13' 'cython>=3.0' cmake ninja

.PHONY: demo test test-openmp test-sanitized test-large test-aarch64 lint bench readme docs clean

demo: $(VENV)/.installed
	$(BIN)/python -m fastnn train

test: $(VENV)/.installed
	$(BIN)/pytest

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fastnn._core --concise --allowlist tests/stubtest_allowlist.txt
	$(foreach cxx,$(wildcard /usr/bin/g++ /usr/bin/clang++),$(call warnings,$(cxx)))

# Every warning that CMakeLists.txt asks for is an error.
define warnings
$(BIN)/cmake -S . -B build/lint-$(notdir $(1)) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
  -DCMAKE_CXX_COMPILER=$(1) -DCMAKE_CXX_FLAGS=-Werror -DCMAKE_BUILD_TYPE=Release -DSKBUILD_PROJECT_VERSION=0 \
  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) -DPython_EXECUTABLE=$(abspath $(BIN))/python -Wno-dev >/dev/null
$(BIN)/cmake --build build/lint-$(notdir $(1))

endef

# Measures for a quarter of an hour, beside torch where that is installed in .venv, and writes bench/results/.
bench: $(VENV)/.installed
	$(BIN)/pytest bench --save=latest --ignore=bench/test_random_bars.py
	$(BIN)/pytest bench/test_random_bars.py --save=random

readme:
	$(PYTHON) bench/readme.py

# From the docstrings as they stand in the files: nothing is compiled.
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# $(call second,NAME,FOLDER,SETTINGS): another build of the package, in an environment with all else of the first.
define second
$(BIN)/python -m venv --without-pip $(VENV)-$(1)
$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
  > $$($(VENV)-$(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/first.pth
$(BIN)/pip --quiet --python $(VENV)-$(1)/bin/python install --no-build-isolation --no-deps --force-reinstall \
  --config-settings=build-dir=$(2)/$(1) $(foreach setting,$(3),--config-settings=cmake.$(setting)) .
endef

# The OpenMP engine under the tests that ask for threads.
test-openmp: $(VENV)/.installed
	$(call second,openmp,build,define.FASTNN_THREADS=openmp)
	PYTHONSAFEPATH=1 $(VENV)-openmp/bin/python -m pytest $$(grep -lE 'THREADS|set_num_threads|running\(' tests/test_*.py)

# The kernels, what checks their arguments, threads and memory, under AddressSanitizer and UndefinedBehaviorSanitizer.
# Python frees little when it ends, so leaks are not looked for; a sanitizer needs all of the address space; and what
# it finds it writes to a descriptor that pytest would keep to itself.
CHECKS := build-checks# not in build/, whose objects tests/test_objects.py looks into
SANITIZED := border border_optim c_api clip denormals dropout fill fused_norms fused_norms_hard generator group_norm \
  kernels layouts memory nn norms optim_memory optim_state optim_tensors optimizers random threads
test-sanitized: $(VENV)/.installed
	$(call second,sanitized,$(CHECKS),define.FASTNN_SANITIZE=ON build-type=RelWithDebInfo)
	PYTHONSAFEPATH=1 ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  $(VENV)-sanitized/bin/python -m pytest --capture=sys $(SANITIZED:%=tests/test_%.py) \
	  --deselect tests/test_memory.py::test_kept_blocks_make_room -k "not (test_same_bits and avx)"

# Arrays of more than 2^31 elements, in 18 GB of memory.
test-large: $(VENV)/.installed
	FASTNN_TEST_LARGE=1 $(BIN)/pytest tests/test_large.py

# The kernels on another CPU, which qemu-user-static emulates and g++-aarch64-linux-gnu compiles for: the bits of
# every function of the C API are those of this machine.
test-aarch64: $(VENV)/.tools
	$(call bits,native,)
	$(call bits,aarch64,-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++)
	$(CHECKS)/native/bits > $(CHECKS)/native.txt
	qemu-aarch64-static $(CHECKS)/aarch64/bits > $(CHECKS)/aarch64.txt
	diff $(CHECKS)/native.txt $(CHECKS)/aarch64.txt && echo "$$(wc -l < $(CHECKS)/native.txt) lines, all the same"

# The program of tests/bits, for a machine.
define bits
$(BIN)/cmake -S . -B $(CHECKS)/$(1) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DCMAKE_BUILD_TYPE=Release \
  -DSKBUILD_PROJECT_VERSION=0 -DFASTNN_BITS=ON $(2) >/dev/null
$(BIN)/cmake --build $(CHECKS)/$(1)
endef

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet $(TOOLS)
	touch $@

$(VENV)/.installed: $(VENV)/.tools $(SOURCES)
	$(BIN)/pip install --quiet --no-build-isolation --editable '.[test,lint,bench]'
	touch $@

$(VENV)/.docs: $(VENV)/.tools
	$(BIN)/pip install --quiet $$($(BIN)/python -c "import tomllib; \
	  print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])")
	touch $@

clean:
	rm -rf build $(CHECKS) dist $(VENV) $(VENV)-openmp $(VENV)-sanitized
