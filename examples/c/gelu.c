/* A Python module in C with one function: gelu(buffer) changes a float32 buffer in place, without the GIL. */
#include <fastnn.h>

static PyObject* gelu(PyObject* module, PyObject* object) {
  Py_buffer view;
  (void)module;
  if (PyObject_GetBuffer(object, &view, PyBUF_CONTIG | PyBUF_FORMAT)) return NULL;
  if (!view.format || view.format[0] != 'f' || view.format[1]) {
    PyBuffer_Release(&view);
    PyErr_SetString(PyExc_TypeError, "buffer: got another format, want 'f'");
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS
  fastnn_kernels->f32->activation(view.buf, view.buf, view.len / 4, FASTNN_GELU, 0, 0);
  Py_END_ALLOW_THREADS
  PyBuffer_Release(&view);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"gelu", gelu, METH_O, "x * Phi(x), in place."}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "gelu", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_gelu(void) {
  if (fastnn_import()) return NULL;
  return PyModule_Create(&definition);
}
