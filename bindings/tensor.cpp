#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <string>

#include "convert.h"
#include "indexing.h"

using cyxwiz::DType;
using cyxwiz::Tensor;

namespace {

std::string header(const Tensor& t) {
  if (!t.defined()) return "<Tensor without a value: it was donated to a Program>";
  return "<Tensor shape=" + to_string(t.shape()) + " device=" + kind_of(*t.device()) +
         " dtype=" + std::string(name(t.dtype())) + (t.is_traced() ? " traced" : "") + ">";
}

std::string text(const Tensor& t) {
  if (!t.defined() || t.is_traced()) return header(t);
  return header(t) + "\n" + nb::str(to_numpy(t)).c_str();
}

void construct(Tensor* self, nb::handle data, nb::handle flat, nb::handle dtype) {
  if (flat.is_none()) {
    new (self) Tensor(from_python(data, dtype));
    return;
  }
  const cyxwiz::Shape shape = to_shape(data);
  const Tensor values = from_python(flat, dtype);
  if (values.size() != element_count(shape)) {
    throw cyxwiz::ShapeError("Tensor: the shape " + to_string(shape) + " takes " +
                             std::to_string(element_count(shape)) + " elements, the data has " +
                             std::to_string(values.size()));
  }
  new (self) Tensor(reshape(values, shape));
}

/// Does the other operand of an operator turn into a Tensor? Otherwise Python asks the other side.
bool is_operand(nb::handle object) {
  return nb::isinstance<Tensor>(object) || PyFloat_Check(object.ptr()) ||
         PyLong_Check(object.ptr()) || PyList_Check(object.ptr()) || PyTuple_Check(object.ptr()) ||
         nb::hasattr(object, "__array__");
}

using Binary = Tensor (*)(const Tensor&, const Tensor&);

template <Binary op, bool reflected>
nb::object operate(const Tensor& self, nb::handle other) {
  if (!is_operand(other)) return nb::borrow(Py_NotImplemented);
  const cyxwiz::DeviceScope scope(self.device());
  const Tensor operand = to_operand(other);
  return nb::cast(reflected ? op(operand, self) : op(self, operand));
}

/// `t += v` rebinds the handle; as in NumPy, the dtype stays.
template <Binary op>
nb::object assign(nb::handle self, nb::handle other) {
  Tensor& tensor = nb::cast<Tensor&>(self);
  const cyxwiz::DeviceScope scope(tensor.device());
  const Tensor result = op(tensor, to_operand(other));
  if (is_floating(result.dtype()) && !is_floating(tensor.dtype())) {
    throw cyxwiz::DTypeError(
        "an in-place operation can't turn " + std::string(name(tensor.dtype())) + " into " +
        std::string(name(result.dtype())) + "; write t = t + v instead of t += v");
  }
  if (result.shape() != tensor.shape()) {
    throw cyxwiz::ShapeError("an in-place operation can't change the shape " +
                             to_string(tensor.shape()) + " to " + to_string(result.shape()));
  }
  tensor = astype(result, tensor.dtype());
  return nb::borrow(self);
}

int64_t length(const Tensor& t) {
  if (t.rank() == 0) throw nb::type_error("len() of a 0-d tensor");
  return t.shape()[0];
}

/// f"{loss:.3f}": one element is written as its number.
nb::object format(const Tensor& t, nb::str spec) {
  if (nb::len(spec) == 0) return nb::str(text(t).c_str());
  if (t.size() != 1) {
    throw nb::type_error(("a format such as ':" + std::string(spec.c_str()) +
                          "' takes one element, this tensor has shape " + to_string(t.shape()))
                             .c_str());
  }
  return nb::steal(PyObject_Format(to_number(t).ptr(), spec.ptr()));
}

nb::object array(const Tensor& t, nb::handle dtype, nb::handle copy) {
  nb::object result = to_numpy(t);
  if (!dtype.is_none()) result = result.attr("astype")(dtype, "copy"_a = false);
  const bool wants_copy = !copy.is_none() && nb::cast<bool>(copy);
  return wants_copy ? result.attr("copy")() : result;
}

/// The positional axes of t.permute(1, 0) or t.permute((1, 0)).
nb::object unpacked(nb::args args) {
  if (args.size() == 1 && !PyIndex_Check(args[0].ptr())) return nb::borrow(args[0]);
  return args;
}

template <class Class>
void bind_operators(Class& c) {
#define OPERATOR(name, op)                                                    \
  c.def("__" #name "__", &operate<op, false>, nb::is_operator(),              \
        nb::sig("def __" #name "__(self, other: TensorLike, /) -> Tensor"));  \
  c.def("__r" #name "__", &operate<op, true>, nb::is_operator(),              \
        nb::sig("def __r" #name "__(self, other: TensorLike, /) -> Tensor")); \
  c.def("__i" #name "__", &assign<op>,                                        \
        nb::sig("def __i" #name "__(self, other: TensorLike, /) -> Tensor"));
  OPERATOR(add, cyxwiz::add)
  OPERATOR(sub, cyxwiz::subtract)
  OPERATOR(mul, cyxwiz::multiply)
  OPERATOR(truediv, cyxwiz::divide)
  OPERATOR(floordiv, cyxwiz::floor_divide)
  OPERATOR(mod, cyxwiz::remainder)
  OPERATOR(pow, cyxwiz::power)
  OPERATOR(matmul, cyxwiz::matmul)
  OPERATOR(and, cyxwiz::bitwise_and)
  OPERATOR(or, cyxwiz::bitwise_or)
  OPERATOR(xor, cyxwiz::bitwise_xor)
#undef OPERATOR
#define COMPARISON(name, op)                                                       \
  c.def("__" #name "__", &operate<op, false>, nb::is_operator(), "other"_a.none(), \
        nb::sig("def __" #name "__(self, other: TensorLike, /) -> Tensor"));
  COMPARISON(eq, cyxwiz::equal)
  COMPARISON(ne, cyxwiz::not_equal)
  COMPARISON(lt, cyxwiz::less)
  COMPARISON(le, cyxwiz::less_equal)
  COMPARISON(gt, cyxwiz::greater)
  COMPARISON(ge, cyxwiz::greater_equal)
#undef COMPARISON
  c.def("__neg__", &cyxwiz::negative);
  c.def("__pos__", [](const Tensor& t) { return t; });
  c.def("__abs__", &cyxwiz::absolute);
  c.def("__invert__", &cyxwiz::bitwise_not);
}

template <class Class>
void bind_conversions(Class& c) {
  c.def(
      "to_numpy",
      [](const Tensor& t, bool copy) {
        const nb::object view = to_numpy(t);
        return copy ? view.attr("copy")() : view;
      },
      nb::kw_only(), "copy"_a = false,
      nb::sig("def to_numpy(self, *, copy: bool = False) -> numpy.typing.NDArray[Any]"),
      "A read-only array that shares this tensor's memory; with copy=True a writable one of its "
      "own.");
  c.def("item", &to_number, nb::sig("def item(self) -> Any"),
        "The one element as a Python number. Raises ValueError when there are more.");
  c.def(
      "tolist", [](const Tensor& t) { return to_numpy(t).attr("tolist")(); },
      nb::sig("def tolist(self) -> Any"), "The elements as nested lists of Python numbers.");
  c.def("__array__", &array, "dtype"_a = nb::none(), "copy"_a = nb::none(),
        nb::sig("def __array__(self, dtype: Any = None, copy: bool | None = None) -> "
                "numpy.typing.NDArray[Any]"));
  // Before ndarray's own operators: `array * tensor` is a Tensor.
  c.def_prop_ro_static("__array_priority__", [](nb::handle) { return 1000; });
  c.def(
      "__float__", [](const Tensor& t) { return nb::float_(to_number(t)); },
      nb::sig("def __float__(self) -> float"));
  c.def(
      "__int__", [](const Tensor& t) { return nb::int_(to_number(t)); },
      nb::sig("def __int__(self) -> int"));
  c.def(
      "__index__",
      [](const Tensor& t) {
        if (is_floating(t.dtype()) || t.rank() != 0) {
          throw nb::type_error("only a 0-d integer tensor can be used as an index or a count");
        }
        return nb::int_(to_number(t));
      },
      nb::sig("def __index__(self) -> int"));
  c.def("__format__", &format, nb::sig("def __format__(self, spec: str, /) -> str"));
  c.def(
      "__round__",
      [](const Tensor& t, nb::handle digits) {
        return nb::module_::import_("builtins").attr("round")(to_number(t), digits);
      },
      "digits"_a = nb::none(), nb::sig("def __round__(self, digits: int | None = None, /) -> Any"));
  // np.sum(t), np.concatenate([t, u]): NumPy's functions take tensors as the arrays they are.
  c.def(
      "__array_function__",
      [](nb::handle, nb::handle function, nb::handle, nb::handle args, nb::handle kwargs) {
        return nb::module_::import_("pycyxwiz._indexing").attr("call")(function, args, kwargs);
      },
      nb::sig("def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> "
              "Any"));
  c.def("__bool__", [](const Tensor& t) {
    if (t.size() != 1) {
      throw cyxwiz::ValueError("the truth value of a tensor of " + std::to_string(t.size()) +
                               " elements is ambiguous; use .any() or .all()");
    }
    return nb::cast<bool>(nb::bool_(to_number(t)));
  });
  c.def(
      "__dlpack__",
      [](const Tensor& t, nb::kwargs kwargs) { return to_dlpack(t).attr("__dlpack__")(**kwargs); },
      nb::sig("def __dlpack__(self, **kwargs: Any) -> Any"));
  c.def(
      "__dlpack_device__", [](const Tensor&) { return nb::make_tuple(1, 0); },
      nb::sig("def __dlpack_device__(self) -> tuple[int, int]"));
  c.def("__reduce__", [](nb::handle self) {
    const nb::object rebuild = nb::module_::import_("pycyxwiz._core").attr("Tensor");
    return nb::make_tuple(rebuild,
                          nb::make_tuple(to_numpy(nb::cast<const Tensor&>(self)).attr("copy")()));
  });
  c.def("__copy__", [](const Tensor& t) { return t; });
  c.def("__deepcopy__", [](const Tensor& t, nb::handle) { return t; }, "memo"_a);
}

template <class Class>
void bind_methods(Class& c) {
  c.def(
      "astype", [](const Tensor& t, nb::handle dtype) { return astype(t, to_dtype(dtype)); },
      "dtype"_a, nb::sig("def astype(self, dtype: DTypeLike) -> Tensor"),
      "Converted: floats are cut towards zero, integers wrap, as in NumPy.");
  c.def(
      "reshape",
      [](const Tensor& t, nb::args shape) { return reshape(t, to_shape(unpacked(shape))); },
      nb::sig("def reshape(self, *shape: Any) -> Tensor"),
      "The same elements in another shape, as t.reshape(2, -1) or t.reshape((2, -1)); one size may "
      "be\n-1. Raises ShapeError when they don't fill it.");
  for (const char* name : {"permute", "transpose"}) {
    c.def(
        name,
        [](const Tensor& t, nb::args axes) {
          return axes.size() == 0 ? transpose(t) : permute(t, to_axes(unpacked(axes)));
        },
        nb::sig(name == std::string("permute") ? "def permute(self, *axes: Any) -> Tensor"
                                               : "def transpose(self, *axes: Any) -> Tensor"),
        "The axes in the order that is named, as t.permute(2, 0, 1); reversed when none is.");
  }
  c.def(
      "flatten", [](const Tensor& t) { return reshape(t, std::array<int64_t, 1>{-1}); },
      "The elements in one axis.");
  c.def(
      "squeeze", [](const Tensor& t, nb::handle axis) { return squeeze(t, to_axes(axis)); },
      "axis"_a = nb::none(), nb::sig("def squeeze(self, axis: AxesLike = None) -> Tensor"),
      "Without its axes of size 1, or without those named. Raises ShapeError for a larger one.");
  c.def(
      "expand_dims", [](const Tensor& t, int64_t axis) { return expand_dims(t, axis); }, "axis"_a,
      "With a new axis of size 1 at `axis`.");
  c.def(
      "to",
      [](const Tensor& t, nb::handle device) { return move_without_gil(t, to_device(device)); },
      "device"_a, nb::sig("def to(self, device: Device | str) -> Tensor"),
      "This tensor on another device; itself when it is there. Raises DeviceError for a device "
      "that "
      "is not there.");
  c.def("__len__", &length);
  c.def(
      "__iter__",
      [](nb::handle self) {
        const Tensor& t = nb::cast<const Tensor&>(self);
        if (t.rank() == 0) throw nb::type_error("iteration over a 0-d tensor");
        evaluate_without_gil({&t, 1});
        return nb::steal(PySeqIter_New(self.ptr()));
      },
      nb::sig("def __iter__(self) -> Any"));
  c.def("__getitem__", &get_item, "index"_a.none(),
        nb::sig("def __getitem__(self, index: Any, /) -> Tensor"));
  c.def(
      "__setitem__",
      [](Tensor& t, nb::handle index, nb::handle value) { t = set_item(t, index, value); },
      "index"_a.none(), "value"_a,
      nb::sig("def __setitem__(self, index: Any, value: TensorLike, /) -> None"),
      "Rebinds this handle to a tensor with those elements replaced.");
}

void bind_dtypes(nb::module_& m) {
  nb::class_<PyDType>(m, "DType", "An element type. Compares equal to its name and to NumPy's.")
      .def(
          "__init__", [](PyDType* self, nb::handle dtype) { new (self) PyDType{to_dtype(dtype)}; },
          "dtype"_a, nb::sig("def __init__(self, dtype: DTypeLike) -> None"))
      .def_prop_ro("name", [](const PyDType& t) { return std::string(name(t.value)); })
      .def_prop_ro(
          "itemsize", [](const PyDType& t) { return item_size(t.value); },
          "The size of an element in bytes.")
      .def_prop_ro(
          "numpy",
          [](const PyDType& t) {
            return nb::module_::import_("numpy").attr("dtype")(std::string(name(t.value)));
          },
          nb::sig("def numpy(self) -> numpy.dtype[Any]"))
      .def("__str__", [](const PyDType& t) { return std::string(name(t.value)); })
      .def("__repr__", [](const PyDType& t) { return "cx." + std::string(name(t.value)); })
      .def(
          "__eq__",
          [](const PyDType& t, nb::handle other) {
            try {
              return t.value == to_dtype(other);
            } catch (const cyxwiz::DTypeError&) {
            } catch (const nb::python_error&) {
            }
            return false;
          },
          "other"_a.none(), nb::sig("def __eq__(self, other: object, /) -> bool"))
      .def("__hash__",
           [](const PyDType& t) { return nb::hash(nb::str(std::string(name(t.value)).c_str())); })
      .def("__reduce__", [](const PyDType& t) {
        return nb::make_tuple(nb::module_::import_("pycyxwiz._core").attr("DType"),
                              nb::make_tuple(std::string(name(t.value))));
      });
  for (int i = 0; i < cyxwiz::kDTypeCount; ++i) {
    const auto t = static_cast<DType>(i);
    m.attr(t == DType::kBool ? "bool_" : std::string(name(t)).c_str()) = PyDType{t};
  }
}

}  // namespace

void bind_tensor(nb::module_& m) {
  bind_dtypes(m);
  nb::class_<Tensor> c(
      m, "Tensor",
      "An immutable value with shape, dtype and device, computed when it is read.\n\n"
      "Tensor(data) copies nested lists, numbers, arrays and tensors: ints become int64,\n"
      "floats float32; arrays keep their dtype. Tensor(shape, data) fills a shape.\n"
      "Assignments (t[i] = v, t += v) rebind the handle.\n\n"
      "Raises ShapeError for ragged lists or data that does not fill the shape, DTypeError\n"
      "for what is not numbers.\n\n"
      ">>> cx.Tensor([[1, 2], [3, 4]]).sum().item()\n10\n"
      ">>> cx.Tensor([2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).shape\n(2, 3)");
  c.def(
      "__init__", &construct, "data"_a.none(), "flat"_a = nb::none(), "dtype"_a = nb::none(),
      nb::sig(
          "def __init__(self, data: TensorLike, flat: TensorLike | None = None, dtype: DTypeLike | "
          "None = None) -> None"));
  c.def_prop_ro(
      "shape", [](const Tensor& t) { return from_shape(t.shape()); },
      nb::sig("def shape(self) -> Any"),
      "The sizes of the axes: a tuple; calling it gives a list.");
  c.def_prop_ro("dtype", [](const Tensor& t) { return PyDType{t.dtype()}; });
  c.def_prop_ro("device", &Tensor::device, nb::rv_policy::reference,
                "Where the value lies; calling it gives \"CPU\" or \"CUDA\".");
  c.def_prop_ro("ndim", &Tensor::rank, "The number of axes.");
  c.def_prop_ro("size", &Tensor::size, "The number of elements.");
  c.def_prop_ro("nbytes", [](const Tensor& t) { return t.size() * item_size(t.dtype()); });
  c.def_prop_ro("T", [](const Tensor& t) { return transpose(t); }, "The axes reversed.");
  c.def_prop_ro("is_traced", &Tensor::is_traced,
                "Does it depend on an argument of a traced function?");
  c.def("__repr__", &header);
  c.def("__str__", &text);
  c.def("__hash__", [](nb::handle self) {
    return static_cast<Py_hash_t>(reinterpret_cast<uintptr_t>(self.ptr()) >> 4);
  });
  bind_operators(c);
  bind_conversions(c);
  bind_methods(c);
}
