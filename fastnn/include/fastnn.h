/* The kernels of fastnn for C and C++.
 *
 *     #include <fastnn.h>                 in the folder that fastnn.get_include() returns
 *
 *     if (fastnn_import()) return NULL;   once, with the GIL, where your extension module is initialised
 *
 *     fastnn_options options = fastnn_options_adamw();
 *     options.lr = 3e-4;
 *     fastnn_kernels->f32->adam(params, grads, state, sizes, count, step, &memory, &options);
 *
 * fastnn_functions.inc, beside this file, lists the functions, says what each of them does, and has the version of the
 * API, FASTNN_API_MAJOR and FASTNN_API_MINOR.
 *
 * Calls. A function may be called from any thread, with or without the GIL, and from several threads at once as long as
 * no call writes what another one uses. It runs on the package's threads and instruction set, and its results have the
 * same bits as from Python. It keeps no pointer, throws no exception and needs no Python. Pointers and sizes are not
 * checked.
 *
 * Compatibility. Within a major version nothing changes that is declared here: a function keeps its place in its table,
 * its parameters and its meaning; an enumerator keeps its value; fastnn_random keeps its fields. A minor version may
 * append functions to tables, tables to fastnn_api and fields to fastnn_options, and may add enumerators. So a module
 * that was built with version 1.x of this header works with every fastnn whose version is 1.x or a later 1.y;
 * fastnn_import() refuses all others. */
#ifndef FASTNN_H
#define FASTNN_H

#ifndef FASTNN_NO_PYTHON /* Define it to get the declarations without Python.h and fastnn_import(). */
#include <Python.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FASTNN_API_CAPSULE "fastnn._core.api"

/* What functions return. If it is not FASTNN_OK, nothing has been written. Later versions may have further codes, all
 * of them negative. */
enum {
  FASTNN_OK = 0,
  FASTNN_NO_MEMORY = -1, /* no memory for scratch space */
  FASTNN_INVALID = -2    /* an unknown fastnn_activation, an unknown struct_size, or a number of threads out of range */
};

typedef int32_t fastnn_activation;
enum {
  FASTNN_IDENTITY = 0,
  FASTNN_RELU = 1,
  FASTNN_LEAKY_RELU = 2,
  FASTNN_ELU = 3,
  FASTNN_GELU = 4,
  FASTNN_GELU_TANH = 5, /* the approximation of GELU with tanh */
  FASTNN_SILU = 6,
  FASTNN_SIGMOID = 7,
  FASTNN_TANH = 8,
  FASTNN_SOFTPLUS = 9
};

/* Where a function begins to draw random numbers: at block number `block` of the stream `stream` of the seed `seed`. A
 * block has 64 words of 32 bits. fastnn.Generator(seed, stream) draws the same where its state["offset"] is 64 * block.
 * fastnn_functions.inc says how many words each function takes; advance `block` by a 64th of that, rounded up. */
typedef struct fastnn_random {
  uint64_t seed, stream, block;
} fastnn_random;

/* The options of optimizers, with the names and the meaning that they have in fastnn.optim. The comments say which
 * optimizers read them. Begin with what fastnn_options_sgd() or another of the functions below returns, which has
 * struct_size and the defaults of fastnn.optim, and change what you like. */
typedef struct fastnn_options {
  uint64_t struct_size;       /* sizeof(fastnn_options) as the caller knows it; no more is read */
  double lr;                  /* all */
  double weight_decay;        /* all */
  double momentum;            /* sgd, rmsprop */
  double dampening;           /* sgd */
  double beta1;               /* adam, adamax, nadam, radam, lion: betas[0] */
  double beta2;               /* adam, adamax, nadam, radam, lion: betas[1] */
  double eps;                 /* all but sgd and lion */
  double momentum_decay;      /* nadam */
  double lr_decay;            /* adagrad */
  double rho;                 /* adadelta */
  double alpha;               /* rmsprop */
  double gradient_scale;      /* all; multiplies the gradients first, for instance to clip their norm */
  int maximize;               /* all */
  int nesterov;               /* sgd */
  int amsgrad;                /* adam */
  int decoupled_weight_decay; /* adam (with it, AdamW), nadam, radam */
  int centered;               /* rmsprop */
  int zero_grad;              /* all; leaves zeros in the gradients */
} fastnn_options;

/* A field that a later version adds has a default that changes nothing, and this default holds for a caller whose
 * struct ends before the field. A struct_size larger than the library's own is FASTNN_INVALID, because the caller may
 * have set a field that the library does not know. fastnn_options_of is for the functions after it. */
static inline fastnn_options fastnn_options_of(double lr, double beta2, double eps) {
  fastnn_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.lr = lr;
  options.beta1 = 0.9;
  options.beta2 = beta2;
  options.eps = eps;
  options.momentum_decay = 4e-3;
  options.rho = 0.9;
  options.alpha = 0.99;
  options.gradient_scale = 1;
  return options;
}
static inline fastnn_options fastnn_options_sgd(void) { return fastnn_options_of(1e-3, 0.999, 1e-8); }
static inline fastnn_options fastnn_options_adam(void) { return fastnn_options_of(1e-3, 0.999, 1e-8); }
static inline fastnn_options fastnn_options_adamw(void) {
  fastnn_options options = fastnn_options_adam();
  options.weight_decay = 1e-2;
  options.decoupled_weight_decay = 1;
  return options;
}
static inline fastnn_options fastnn_options_adamax(void) { return fastnn_options_of(2e-3, 0.999, 1e-8); }
static inline fastnn_options fastnn_options_nadam(void) { return fastnn_options_of(2e-3, 0.999, 1e-8); }
static inline fastnn_options fastnn_options_radam(void) { return fastnn_options_of(1e-3, 0.999, 1e-8); }
static inline fastnn_options fastnn_options_lion(void) { return fastnn_options_of(1e-4, 0.99, 1e-8); }
static inline fastnn_options fastnn_options_adagrad(void) { return fastnn_options_of(1e-2, 0.999, 1e-10); }
static inline fastnn_options fastnn_options_adadelta(void) { return fastnn_options_of(1, 0.999, 1e-6); }
static inline fastnn_options fastnn_options_rmsprop(void) { return fastnn_options_of(1e-2, 0.999, 1e-8); }

/* The tables: functions of float, the same functions of double, and functions that have no such type. A macro of yours
 * that is called REAL stays as it is. */
#pragma push_macro("REAL")
#undef REAL
#define REAL float
#define FASTNN_FUNCTION(number, name, parameters) int (*name) parameters;
typedef struct fastnn_f32 {
#include "fastnn_functions.inc"
} fastnn_f32;
#define REAL double
#define FASTNN_FUNCTION(number, name, parameters) int (*name) parameters;
typedef struct fastnn_f64 {
#include "fastnn_functions.inc"
} fastnn_f64;
#define FASTNN_COMMON(number, name, parameters) int (*name) parameters;
typedef struct fastnn_common {
#include "fastnn_functions.inc"
} fastnn_common;
#pragma pop_macro("REAL")

/* What the capsule holds. The sizes are those of the structs in the installed fastnn, for FASTNN_HAS. */
typedef struct fastnn_api {
  uint32_t major, minor; /* the first two fields in every version */
  uint32_t api_size, f32_size, f64_size, common_size;
  const fastnn_f32* f32;
  const fastnn_f64* f64;
  const fastnn_common* common;
} fastnn_api;

#ifndef FASTNN_NO_PYTHON
static const fastnn_api* fastnn_kernels = NULL; /* every source file has its own and needs its own fastnn_import() */

/* The oldest minor version that the module works with. Define it before the #include if the module can do without what
 * is newer: then it may use a newer function only where FASTNN_HAS(f32, layer_norm), FASTNN_HAS(common, philox) or the
 * like is true, and sets options.struct_size to the offset of the first field that the older version did not have. */
#ifndef FASTNN_API_MINOR_NEEDED
#define FASTNN_API_MINOR_NEEDED FASTNN_API_MINOR
#endif
#define FASTNN_HAS(table, name) (offsetof(fastnn_##table, name) < fastnn_kernels->table##_size)

/* Returns 0, or -1 with a Python exception where fastnn is missing or its version is one that is refused. */
static inline int fastnn_import(void) {
  const fastnn_api* api;
  PyObject* module = PyImport_ImportModule("fastnn");
  if (!module) return -1;
  Py_DECREF(module);
  api = (const fastnn_api*)PyCapsule_Import(FASTNN_API_CAPSULE, 0);
  if (!api) return -1;
  if (api->major != FASTNN_API_MAJOR || (int)api->minor < FASTNN_API_MINOR_NEEDED) {
    PyErr_Format(PyExc_ImportError,
                 "fastnn: got version %u.%u of its C API, want %u.%u or a later %u.x; install a fastnn that has it, or "
                 "build this module with the header of the installed one",
                 api->major, api->minor, FASTNN_API_MAJOR, FASTNN_API_MINOR_NEEDED, FASTNN_API_MAJOR);
    return -1;
  }
  fastnn_kernels = api;
  return 0;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
