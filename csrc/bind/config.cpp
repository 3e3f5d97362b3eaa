// Reports and sets which code runs (instruction set, threads, build) and how much memory is cached. Also the memory
// probe.
#include <pybind11/stl.h>

#include "bind/arrays.h"
#include "bind/register.h"
#include "kernels/args/stream.h"
#include "runtime/memory.h"
#include "runtime/threads.h"

#define FASTNN_TEXT_(x) #x
#define FASTNN_TEXT(x) FASTNN_TEXT_(x)

namespace fastnn {
namespace {

void checked_set_num_threads(py::int_ n_) {
  int overflow = 0;
  const long n = py::isinstance<py::bool_>(n_) ? 0 : PyLong_AsLongAndOverflow(n_.ptr(), &overflow);
  if (overflow || n < 1 || n > kMostThreads) {
    const std::string most = std::to_string(kMostThreads);
    throw py::value_error("n: got " + std::string(py::repr(n_)) + ", want an integer in [1, " + most + "]");
  }
  set_num_threads(int(n));
}

py::dict build_info() {
  py::dict info;
  info["version"] = FASTNN_TEXT(FASTNN_VERSION);
#if defined(__clang__)
  info["compiler"] = "clang " __clang_version__;
#else
  info["compiler"] = "gcc " __VERSION__;
#endif
#if defined(NDEBUG)
  info["build"] = "release";
#else
  info["build"] = "debug";
#endif
  info["threads_engine"] = thread_engine();
  info["pybind11"] = FASTNN_TEXT(PYBIND11_VERSION_MAJOR) "." FASTNN_TEXT(PYBIND11_VERSION_MINOR);
  return info;
}

py::dict memory_stats_dict() {
  const MemoryStats s = memory_stats();
  py::dict d;
  d["used_blocks"] = s.used_blocks;
  d["used_bytes"] = s.used_bytes;
  d["cached_blocks"] = s.cached_blocks;
  d["cached_bytes"] = s.cached_bytes;
  d["system_allocations"] = s.system_allocations;
  d["reuses"] = s.reuses;
  d["limit_bytes"] = s.limit_bytes;
  return d;
}

void checked_set_cache_limit(py::int_ bytes_) {
  const std::size_t bytes = py::isinstance<py::bool_>(bytes_) ? std::size_t(-1) : PyLong_AsSize_t(bytes_.ptr());
  if (bytes == std::size_t(-1)) {
    PyErr_Clear();
    throw py::value_error("bytes: got " + std::string(py::repr(bytes_)) +
                          ", want a number of bytes >= 0; 0 keeps none");
  }
  set_cache_limit(bytes);
}

void stream(const py::sequence& updated, const py::sequence& written, const py::sequence& read) {
  StreamArgs<float> shape = {};
  shape.updates = int(updated.size());
  shape.writes = int(written.size());
  shape.reads = int(read.size());
  const int pattern = 100 * shape.updates + 10 * shape.writes + shape.reads;
  bool known = false;
  for (int p : {100, 101, 201, 301, 10, 11, 12, 1}) known |= p == pattern;
  if (!known) throw py::value_error("stream: got an access pattern that no kernel has");
  std::vector<Array> arrays;
  for (const auto& list : {updated, written, read}) {
    for (py::handle h : list) {
      const std::string name = "arrays[" + std::to_string(arrays.size()) + "]";
      arrays.push_back(arrays.empty() ? check(h, name, Access::write)
                                      : check(h, name, arrays[0], arrays[0].shape, Access::write));
      for (std::size_t i = 0; i + 1 < arrays.size(); ++i) check_apart(arrays.back(), arrays[i]);
    }
  }
  by_dtype(arrays[0], [&]<class T>(T) {
    StreamArgs<T> a = {};
    auto next = arrays.begin();
    for (int i = 0; i < shape.updates; ++i) a.updated[i] = (next++)->as<T>();
    for (int i = 0; i < shape.writes; ++i) a.written = (next++)->as<T>();
    for (int i = 0; i < shape.reads; ++i) a.read[i] = (next++)->as<T>();
    a.size = arrays[0].size;
    a.updates = shape.updates;
    a.writes = shape.writes;
    a.reads = shape.reads;
    run(kernels_for<T>().stream, a);
  });
}

}  // namespace

FASTNN_BINDINGS(config, m) {
  using namespace py::literals;
  m.def("isa", [] { return kernel_table().isa; });
  m.def("supported_isas", [] { return py::tuple(py::cast(supported_isas())); });
  m.def("use_isa", &use_isa, "name"_a);
  m.def("get_num_threads", &get_num_threads);
  m.def("set_num_threads", &checked_set_num_threads, "n"_a);
  m.def("build_info", &build_info);
  m.def("memory_stats", &memory_stats_dict);
  m.def("empty_cache", &empty_cache);
  m.def("set_cache_limit", &checked_set_cache_limit, "bytes"_a);
  m.def("stream", &stream, "updated"_a, "written"_a, "read"_a);
}

}  // namespace fastnn
