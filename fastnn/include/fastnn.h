/* The kernels of fastnn for C and C++, without the GIL: fastnn_kernels->f32->layer_norm(...). The table comes from the installed package:
 * call fastnn_import() once, with the GIL, in the module's initialisation. fastnn.get_include() is this folder. */
#ifndef FASTNN_H
#define FASTNN_H

#ifndef FASTNN_NO_PYTHON /* with it, the types alone */
#include <Python.h>
#endif
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of another major version nothing here holds; a higher minor one has more functions at the ends of its tables. */
#define FASTNN_API_MAJOR 1
#define FASTNN_API_MINOR 0
#define FASTNN_API_CAPSULE "fastnn._core.api"

typedef enum fastnn_activation {
  FASTNN_IDENTITY, FASTNN_RELU, FASTNN_LEAKY_RELU, FASTNN_ELU, FASTNN_GELU, FASTNN_GELU_TANH, FASTNN_SILU, FASTNN_SIGMOID,
  FASTNN_TANH, FASTNN_SOFTPLUS
} fastnn_activation;

/* Where a draw begins: `block` counts 64 words of 32 bits, as state["offset"] / 64 of a fastnn.Generator does. A draw of n float32
 * takes n words (dropout n / 2), of float64 or int64 2 n. */
typedef struct fastnn_random {
  uint64_t seed, stream, block;
} fastnn_random;

/* Of optimizers, by the names that they have in fastnn.optim; each reads its own. */
typedef struct fastnn_options {
  double lr, weight_decay, momentum, dampening, beta1, beta2, eps, momentum_decay, lr_decay, rho, alpha;
  double gradient_scale; /* gradients are multiplied by it, as clipping does; 1 leaves them */
  int maximize, nesterov, amsgrad, decoupled_weight_decay, centered;
  int zero_grad; /* the step leaves zeros in the gradients */
} fastnn_options;

#define FASTNN_FUNCTION(name, parameters) int(*name) parameters;
#define REAL float
typedef struct fastnn_f32 {
#include "fastnn_functions.inc"
} fastnn_f32;
#undef REAL
#define REAL double
typedef struct fastnn_f64 {
#include "fastnn_functions.inc"
} fastnn_f64;
#undef REAL
#undef FASTNN_FUNCTION

typedef struct fastnn_api {
  uint32_t major, minor;
  const fastnn_f32* f32;
  const fastnn_f64* f64;
  /* Uniform in [low, high); range = high - low, 0 standing for 2^64. */
  int (*integers)(int64_t* y, int64_t size, int64_t low, uint64_t range, fastnn_random random);
  /* The numbers below size in random order; takes 2 size words, each half rounded up to blocks. */
  int (*permutation)(int64_t* y, int64_t size, fastnn_random random);
  /* The words themselves, 64 for each of `blocks`. */
  int (*philox)(uint32_t* words, int64_t blocks, fastnn_random random);
  int (*get_num_threads)(void);
  void (*set_num_threads)(int n);
} fastnn_api;

#ifndef FASTNN_NO_PYTHON
static const fastnn_api* fastnn_kernels = NULL;

/* 0, or -1 with a Python exception: no fastnn, or one with another version of this table. */
static inline int fastnn_import(void) {
  const fastnn_api* api;
  PyObject* module = PyImport_ImportModule("fastnn");
  if (!module) return -1;
  Py_DECREF(module);
  api = (const fastnn_api*)PyCapsule_Import(FASTNN_API_CAPSULE, 0);
  if (!api) return -1;
  if (api->major != FASTNN_API_MAJOR || (int)api->minor < FASTNN_API_MINOR) {
    PyErr_Format(PyExc_ImportError, "fastnn: got version %u.%u of its C API, want %u.%u; build this module against it again",
                 api->major, api->minor, FASTNN_API_MAJOR, FASTNN_API_MINOR);
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
