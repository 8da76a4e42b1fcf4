// The module pycyxwiz._core: the C++ library as Python sees it.
#include "convert.h"
#include "cyxwiz/error.h"

using cyxwiz::Tensor;

namespace {

/// Makes the Python class `name(base)` and turns the C++ error into it.
template <class Error>
void bind_error(nb::module_& m, const char* name, PyObject* base) {
  nb::exception<Error>(m, name, base);
}

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);  // what scripts hold when the process ends is no leak
  m.doc() = "The compiled core of pycyxwiz; its public names are those of the package.";
  bind_error<cyxwiz::ShapeError>(m, "ShapeError", PyExc_ValueError);
  bind_error<cyxwiz::DTypeError>(m, "DTypeError", PyExc_TypeError);
  bind_error<cyxwiz::DeviceError>(m, "DeviceError", PyExc_RuntimeError);
  bind_error<cyxwiz::OutOfMemoryError>(m, "OutOfMemoryError", PyExc_MemoryError);
  bind_error<cyxwiz::TracingError>(m, "TracingError", PyExc_RuntimeError);
  cyxwiz::set_trigger([](const Tensor& tensor) {
    // It may come while a binding has released the GIL already.
    if (!PyGILState_Check()) return cyxwiz::evaluate_if_large(tensor);
    const GilRelease release;
    cyxwiz::evaluate_if_large(tensor);
  });
  bind_devices(m);
  bind_backends(m);
  bind_tensor(m);
  bind_ops(m);
  bind_autograd(m);
  bind_program(m);
}
