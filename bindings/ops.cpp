#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <limits>

#include "convert.h"

using cyxwiz::Axes;
using cyxwiz::DType;
using cyxwiz::Pair;
using cyxwiz::Tensor;
using TensorClass = nb::class_<Tensor>;

namespace {

Pair to_pair(nb::handle object) {
  const cyxwiz::Shape sizes = to_shape(object);
  if (sizes.rank() == 1) return {sizes[0], sizes[0]};
  if (sizes.rank() == 2) return {sizes[0], sizes[1]};
  throw cyxwiz::ValueError(
      "a window's size, stride, padding or dilation is one number or two, got " + to_string(sizes));
}

/// A dtype argument that may be None.
DType dtype_or(nb::handle object, DType otherwise) {
  return object.is_none() ? otherwise : to_dtype(object);
}

Tensor full(nb::handle shape, nb::handle value, nb::handle dtype) {
  const Tensor fill = to_tensor(value);
  return cyxwiz::full(to_shape(shape), fill, dtype_or(dtype, fill.dtype()));
}

constexpr int64_t kMostElements = std::numeric_limits<int64_t>::max();  // more than any shape takes

int64_t steps_between(int64_t first, int64_t last, int64_t by) {
  if (by > 0 ? first >= last : first <= last) return 0;
  // Unsigned: the distance of two int64 may not fit a third.
  const auto from = static_cast<uint64_t>(first), to = static_cast<uint64_t>(last);
  const uint64_t distance = by > 0 ? to - from : from - to;
  const uint64_t stride = by > 0 ? static_cast<uint64_t>(by) : -static_cast<uint64_t>(by);
  return static_cast<int64_t>(std::min<uint64_t>((distance - 1) / stride + 1, kMostElements));
}

int64_t steps_between(double first, double last, double by) {
  const double count = std::ceil((last - first) / by);
  if (std::isnan(count)) throw cyxwiz::ValueError("arange: start, stop and step must be finite");
  return count < 0x1p62 ? std::max(static_cast<int64_t>(count), int64_t{0}) : kMostElements;
}

Tensor arange(nb::handle start, nb::handle stop, nb::handle step, nb::handle dtype) {
  const nb::object zero = nb::int_(0);
  const nb::handle from = stop.is_none() ? nb::handle(zero) : start;
  const nb::handle to = stop.is_none() ? start : stop;
  auto range = [&](auto first, auto last, auto by, DType otherwise) {
    if (by == 0) throw cyxwiz::ValueError("arange: the step can't be 0");
    return cyxwiz::arange(first, by, steps_between(first, last, by), dtype_or(dtype, otherwise));
  };
  const auto first = to_whole(from), last = to_whole(to), by = to_whole(step);
  if (first && last && by) return range(*first, *last, *by, DType::kInt64);
  auto real = [](nb::handle object) { return nb::cast<double>(nb::float_(nb::borrow(object))); };
  return range(real(from), real(to), real(step), DType::kFloat32);
}

Tensor linspace(double start, double stop, int64_t num, nb::handle dtype) {
  if (num < 0)
    throw cyxwiz::ValueError("linspace: num can't be negative, got " + std::to_string(num));
  const double step = num > 1 ? (stop - start) / static_cast<double>(num - 1) : 0.0;
  return cyxwiz::arange(start, step, num, dtype_or(dtype, DType::kFloat32));
}

Tensor eye(int64_t n, std::optional<int64_t> m, nb::handle dtype) {
  const int64_t cols = m.value_or(n);
  if (n < 0 || cols < 0) throw cyxwiz::ValueError("eye: a size is negative");
  const Tensor rows = cyxwiz::arange(0, 1, n, DType::kInt64);
  const Tensor columns = cyxwiz::arange(0, 1, cols, DType::kInt64);
  return astype(equal(expand_dims(rows, 1), columns), dtype_or(dtype, DType::kFloat32));
}

Tensor clip(nb::handle x, nb::handle low, nb::handle high) {
  const BesideScope scope({x, low, high});
  Tensor result = to_tensor(x);
  if (!low.is_none()) result = maximum(result, to_operand(low));
  if (!high.is_none()) result = minimum(result, to_operand(high));
  return result;
}

/// max(x), max(x, 0), max(x, axis=(0, 1), keepdims=True): `axis` None reduces all.
template <Tensor (*reduce)(const Tensor&, const Axes&, bool)>
Tensor reduction(nb::handle x, nb::handle axis, bool keepdims) {
  const Tensor tensor = to_tensor(x);
  // axis=() names no axis: nothing is reduced.
  if (PyTuple_Check(axis.ptr()) && PyTuple_Size(axis.ptr()) == 0) return tensor;
  return reduce(tensor, to_axes(axis), keepdims);
}

template <Tensor (*reduce)(const Tensor&, const Axes&, bool, double)>
Tensor moment(nb::handle x, nb::handle axis, bool keepdims, double ddof) {
  return reduce(to_tensor(x), to_axes(axis), keepdims, ddof);
}

template <Tensor (*reduce)(const Tensor&, std::optional<int64_t>, bool)>
Tensor arg_reduction(nb::handle x, std::optional<int64_t> axis, bool keepdims) {
  return reduce(to_tensor(x), axis, keepdims);
}

void bind_creation(nb::module_& m) {
  m.def(
      "from_numpy", &from_numpy, "array"_a,
      nb::sig("def from_numpy(array: numpy.typing.NDArray[Any]) -> Tensor"),
      "A tensor that shares the array's memory: writing to the array changes the tensor.\n\n"
      "Arrays that are not C-contiguous or not in native byte order are copied. Raises DTypeError\n"
      "for a dtype that tensors don't have.\n\n"
      ">>> a = np.zeros(3, np.float32)\n>>> t = cx.from_numpy(a)\n>>> a[0] = 5\n"
      ">>> t.tolist()\n[5.0, 0.0, 0.0]");
  m.def(
      "from_dlpack",
      [](nb::handle x) { return from_numpy(nb::module_::import_("numpy").attr("from_dlpack")(x)); },
      "x"_a, nb::sig("def from_dlpack(x: Any) -> Tensor"),
      "A tensor that shares the memory of an array of another library, by the DLPack protocol.\n\n"
      ">>> cx.from_dlpack(np.arange(3)).tolist()\n[0, 1, 2]");
  m.def(
      "zeros", [](nb::handle s, nb::handle t) { return cyxwiz::zeros(to_shape(s), to_dtype(t)); },
      "shape"_a, "dtype"_a = "float32",
      nb::sig("def zeros(shape: ShapeLike, dtype: DTypeLike = 'float32') -> Tensor"),
      "A tensor of zeros.\n\n>>> cx.zeros(3).tolist()\n[0.0, 0.0, 0.0]");
  m.def(
      "ones", [](nb::handle s, nb::handle t) { return cyxwiz::ones(to_shape(s), to_dtype(t)); },
      "shape"_a, "dtype"_a = "float32",
      nb::sig("def ones(shape: ShapeLike, dtype: DTypeLike = 'float32') -> Tensor"),
      "A tensor of ones.\n\n>>> cx.ones((2, 2)).sum().item()\n4.0");
  m.def("full", &full, "shape"_a, "value"_a, "dtype"_a = nb::none(),
        nb::sig("def full(shape: ShapeLike, value: TensorLike, dtype: DTypeLike | None = None) -> "
                "Tensor"),
        "A tensor with `value` everywhere; its dtype is the value's unless given.\n\n"
        ">>> cx.full((2,), 7).tolist()\n[7, 7]");
  m.def(
      "zeros_like",
      [](nb::handle x) {
        const Tensor t = to_tensor(x);
        const cyxwiz::DeviceScope scope(t.device());
        return cyxwiz::zeros(t.shape(), t.dtype());
      },
      "x"_a, nb::sig("def zeros_like(x: TensorLike) -> Tensor"),
      "Zeros of x's shape and dtype.\n\n>>> cx.zeros_like([1, 2]).tolist()\n[0, 0]");
  m.def(
      "ones_like",
      [](nb::handle x) {
        const Tensor t = to_tensor(x);
        const cyxwiz::DeviceScope scope(t.device());
        return cyxwiz::ones(t.shape(), t.dtype());
      },
      "x"_a, nb::sig("def ones_like(x: TensorLike) -> Tensor"),
      "Ones of x's shape and dtype.\n\n>>> cx.ones_like([0.5, 2.0]).tolist()\n[1.0, 1.0]");
  m.def(
      "full_like",
      [](nb::handle x, nb::handle value) {
        const Tensor t = to_tensor(x);
        const cyxwiz::DeviceScope scope(t.device());
        return cyxwiz::full(t.shape(), to_operand(value), t.dtype());
      },
      "x"_a, "value"_a, nb::sig("def full_like(x: TensorLike, value: TensorLike) -> Tensor"),
      "`value` everywhere, in x's shape and dtype.\n\n"
      ">>> cx.full_like([0.5, 2.0], 7).tolist()\n[7.0, 7.0]");
  m.def(
      "arange", &arange, "start"_a, "stop"_a = nb::none(), "step"_a = 1, "dtype"_a = nb::none(),
      nb::sig(
          "def arange(start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike | "
          "None = None) -> Tensor"),
      "start, start + step, … up to but without `stop`; with one number, from 0 to it.\n\n"
      "int64 when all three are ints, else float32. Raises ValueError for a step of 0.\n\n"
      ">>> cx.arange(2, 8, 2).tolist()\n[2, 4, 6]");
  m.def(
      "linspace", &linspace, "start"_a, "stop"_a, "num"_a = 50, "dtype"_a = nb::none(),
      nb::sig(
          "def linspace(start: float, stop: float, num: int = 50, dtype: DTypeLike | None = None) "
          "-> Tensor"),
      "`num` evenly spaced numbers from `start` to `stop`, both included.\n\n"
      ">>> cx.linspace(0, 1, 3).tolist()\n[0.0, 0.5, 1.0]");
  m.def("eye", &eye, "n"_a, "m"_a = nb::none(), "dtype"_a = nb::none(),
        nb::sig("def eye(n: int, m: int | None = None, dtype: DTypeLike | None = None) -> Tensor"),
        "Ones on the diagonal of n × m, zeros elsewhere.\n\n>>> cx.eye(2).tolist()\n[[1.0, 0.0], "
        "[0.0, 1.0]]");
  m.def(
      "one_hot",
      [](nb::handle labels, int64_t classes, nb::handle dtype) {
        const BesideScope scope({labels});
        return cyxwiz::one_hot(to_tensor(labels), classes, to_dtype(dtype));
      },
      "labels"_a, "classes"_a, "dtype"_a = "float32",
      nb::sig(
          "def one_hot(labels: TensorLike, classes: int, dtype: DTypeLike = 'float32') -> Tensor"),
      "1 where the label equals the position along a new last axis, else 0.\n\n"
      ">>> cx.one_hot([0, 2], 3).tolist()\n[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]");
}

void bind_elementwise(nb::module_& m, TensorClass& c) {
#define UNARY_DEF(name, doc)                                                 \
  m.def(                                                                     \
      #name, [](nb::handle x) { return cyxwiz::name(to_tensor(x)); }, "x"_a, \
      nb::sig("def " #name "(x: TensorLike) -> Tensor"), doc);               \
  c.def(#name, &cyxwiz::name, doc);
#define BINARY_DEF(name, doc)                              \
  m.def(                                                   \
      #name,                                               \
      [](nb::handle a, nb::handle b) {                     \
        const BesideScope scope({a, b});                   \
        return cyxwiz::name(to_operand(a), to_operand(b)); \
      },                                                   \
      "a"_a, "b"_a, nb::sig("def " #name "(a: TensorLike, b: TensorLike) -> Tensor"), doc);
#include "elementwise_docs.h"
  m.attr("abs") = m.attr("absolute");
  c.attr("abs") = c.attr("absolute");
  c.def("clip", &clip, "min"_a = nb::none(), "max"_a = nb::none(),
        nb::sig("def clip(self, min: TensorLike | None = None, max: TensorLike | None = None) -> "
                "Tensor"),
        "Limited to [min, max]; either may be None. NaN stays NaN.");
  m.def("clip", &clip, "x"_a, "min"_a = nb::none(), "max"_a = nb::none(),
        nb::sig(
            "def clip(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) "
            "-> Tensor"),
        "x limited to [min, max]; either may be None. NaN stays NaN.\n\n"
        ">>> cx.clip([-2, 0, 5], 0, 3).tolist()\n[0, 0, 3]");
  m.def(
      "where",
      [](nb::handle c, nb::handle a, nb::handle b) {
        const BesideScope scope({c, a, b});
        return cyxwiz::where(to_tensor(c), to_operand(a), to_operand(b));
      },
      "condition"_a, "a"_a, "b"_a,
      nb::sig("def where(condition: TensorLike, a: TensorLike, b: TensorLike) -> Tensor"),
      "a where the condition holds, else b; the three broadcast.\n\n"
      ">>> cx.where([True, False], 1, 2).tolist()\n[1, 2]");
  m.def(
      "astype", [](nb::handle x, nb::handle t) { return astype(to_tensor(x), to_dtype(t)); }, "x"_a,
      "dtype"_a, nb::sig("def astype(x: TensorLike, dtype: DTypeLike) -> Tensor"),
      "x converted: floats are cut towards zero, integers wrap, as in NumPy.\n\n"
      ">>> cx.astype([1.7, -1.7], \"int32\").tolist()\n[1, -1]");
}

void bind_movement(nb::module_& m) {
  m.def(
      "reshape", [](nb::handle x, nb::handle s) { return reshape(to_tensor(x), to_shape(s)); },
      "x"_a, "shape"_a, nb::sig("def reshape(x: TensorLike, shape: ShapeLike) -> Tensor"),
      "The same elements in another shape; one size may be -1. Raises ShapeError.\n\n"
      ">>> cx.reshape([1, 2, 3, 4], (2, -1)).tolist()\n[[1, 2], [3, 4]]");
  m.def(
      "transpose",
      [](nb::handle x, nb::handle axes) {
        return axes.is_none() ? transpose(to_tensor(x)) : permute(to_tensor(x), to_axes(axes));
      },
      "x"_a, "axes"_a = nb::none(),
      nb::sig("def transpose(x: TensorLike, axes: AxesLike = None) -> Tensor"),
      "The axes reversed, or in the order of `axes`.\n\n>>> cx.transpose([[1, 2], [3, "
      "4]]).tolist()\n"
      "[[1, 3], [2, 4]]");
  m.def(
      "permute", [](nb::handle x, nb::handle axes) { return permute(to_tensor(x), to_axes(axes)); },
      "x"_a, "axes"_a, nb::sig("def permute(x: TensorLike, axes: Sequence[int]) -> Tensor"),
      "The axes in another order.\n\n>>> cx.permute(cx.zeros((2, 3, 4)), (2, 0, 1)).shape\n(4, 2, "
      "3)");
  m.def(
      "broadcast_to",
      [](nb::handle x, nb::handle s) { return broadcast_to(to_tensor(x), to_shape(s)); }, "x"_a,
      "shape"_a, nb::sig("def broadcast_to(x: TensorLike, shape: ShapeLike) -> Tensor"),
      "x repeated to `shape`, by NumPy's rule.\n\n>>> cx.broadcast_to([1, 2], (2, 2)).tolist()\n"
      "[[1, 2], [1, 2]]");
  m.def(
      "expand_dims", [](nb::handle x, int64_t axis) { return expand_dims(to_tensor(x), axis); },
      "x"_a, "axis"_a, nb::sig("def expand_dims(x: TensorLike, axis: int) -> Tensor"),
      "x with a new axis of size 1 at `axis`.\n\n>>> cx.expand_dims([1, 2], 0).shape\n(1, 2)");
  m.def(
      "squeeze", [](nb::handle x, nb::handle axis) { return squeeze(to_tensor(x), to_axes(axis)); },
      "x"_a, "axis"_a = nb::none(),
      nb::sig("def squeeze(x: TensorLike, axis: AxesLike = None) -> Tensor"),
      "x without its axes of size 1, or without those named. Raises ShapeError for a larger "
      "one.\n\n"
      ">>> cx.squeeze([[1, 2]]).shape\n(2,)");
  m.def(
      "flip", [](nb::handle x, nb::handle axis) { return flip(to_tensor(x), to_axes(axis)); },
      "x"_a, "axis"_a = nb::none(),
      nb::sig("def flip(x: TensorLike, axis: AxesLike = None) -> Tensor"),
      "The elements in reverse order along the axes (all of them by default).\n\n"
      ">>> cx.flip([1, 2, 3]).tolist()\n[3, 2, 1]");
  m.def(
      "concatenate",
      [](nb::handle parts, int64_t axis) {
        const BesideScope scope({parts});
        return concatenate(to_tensors(parts), axis);
      },
      "tensors"_a, "axis"_a = 0,
      nb::sig("def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor"),
      "The tensors one after another along an axis. Raises ShapeError where they differ beyond "
      "it.\n\n"
      ">>> cx.concatenate([[1, 2], [3]]).tolist()\n[1, 2, 3]");
  m.def(
      "stack",
      [](nb::handle parts, int64_t axis) {
        const BesideScope scope({parts});
        std::vector<Tensor> tensors = to_tensors(parts);
        for (Tensor& tensor : tensors) {
          if (tensor.shape() != tensors[0].shape()) {
            throw cyxwiz::ShapeError("stack: the shapes differ: " + to_string(tensors[0].shape()) +
                                     " and " + to_string(tensor.shape()));
          }
        }
        for (Tensor& tensor : tensors) tensor = expand_dims(tensor, axis);
        return concatenate(tensors, axis);
      },
      "tensors"_a, "axis"_a = 0,
      nb::sig("def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor"),
      "The tensors, of one shape, along a new axis.\n\n>>> cx.stack([[1, 2], [3, 4]], "
      "axis=1).tolist()\n"
      "[[1, 3], [2, 4]]");
  m.def(
      "pad",
      [](nb::handle x, std::vector<std::array<int64_t, 2>> widths) {
        return pad(to_tensor(x), widths);
      },
      "x"_a, "widths"_a,
      nb::sig("def pad(x: TensorLike, widths: Sequence[tuple[int, int]]) -> Tensor"),
      "x with zeros around it: (before, after) for each axis.\n\n"
      ">>> cx.pad([1, 2], [(1, 0)]).tolist()\n[0, 1, 2]");
}

void bind_reductions(nb::module_& m, TensorClass& c) {
#define REDUCTION(name, doc)                                                                     \
  m.def(#name, &reduction<&cyxwiz::name>, "x"_a, "axis"_a = nb::none(), "keepdims"_a = false,    \
        nb::sig("def " #name                                                                     \
                "(x: TensorLike, axis: AxesLike = None, keepdims: bool = False) -> Tensor"),     \
        doc);                                                                                    \
  c.def(#name, &reduction<&cyxwiz::name>, "axis"_a = nb::none(), "keepdims"_a = false,           \
        nb::sig("def " #name "(self, axis: AxesLike = None, keepdims: bool = False) -> Tensor"), \
        doc);
  REDUCTION(
      sum,
      "The sum over `axis`, an axis or several (None: all). Integers and bools give int64.\n\n"
      ">>> cx.sum([[1, 2], [3, 4]], axis=0).tolist()\n[4, 6]")
  REDUCTION(prod,
            "The product over `axis` (None: all). Integers and bools give int64.\n\n"
            ">>> cx.prod([2, 3, 4]).item()\n24")
  REDUCTION(min,
            "The smallest over `axis` (None: all); NaN where there is one. Raises ValueError when "
            "empty.\n\n>>> cx.min([3, 1, 2]).item()\n1")
  REDUCTION(max,
            "The largest over `axis` (None: all); NaN where there is one. Raises ValueError when "
            "empty.\n\n>>> cx.max([[1, 5], [7, 2]], axis=1).tolist()\n[5, 7]")
  REDUCTION(mean,
            "The mean over `axis` (None: all). Integers give float32.\n\n"
            ">>> cx.mean([1, 2, 3, 4]).item()\n2.5")
  REDUCTION(any,
            "Is any element true (not zero) over `axis` (None: all)?\n\n"
            ">>> cx.any([0, 0, 3]).item()\nTrue")
  REDUCTION(all,
            "Is every element true (not zero) over `axis` (None: all)?\n\n"
            ">>> cx.all([1, 0, 3]).item()\nFalse")
  REDUCTION(logsumexp,
            "log(sum(exp(x))) over `axis` (None: all), without overflow.\n\n"
            ">>> round(cx.logsumexp([1000.0, 1000.0]), 3)\n1000.693")
#undef REDUCTION
#define MOMENT(name, function, doc)                                                            \
  m.def(#name, &moment<&cyxwiz::function>, "x"_a, "axis"_a = nb::none(), "keepdims"_a = false, \
        "ddof"_a = 0.0,                                                                        \
        nb::sig("def " #name                                                                   \
                "(x: TensorLike, axis: AxesLike = None, keepdims: bool = False, ddof: float "  \
                "= 0.0) -> Tensor"),                                                           \
        doc);                                                                                  \
  c.def(#name, &moment<&cyxwiz::function>, "axis"_a = nb::none(), "keepdims"_a = false,        \
        "ddof"_a = 0.0,                                                                        \
        nb::sig("def " #name                                                                   \
                "(self, axis: AxesLike = None, keepdims: bool = False, ddof: float = 0.0) "    \
                "-> Tensor"),                                                                  \
        doc);
  MOMENT(var, var,
         "The variance over `axis` (None: all): squared distances from the mean over n - ddof.\n\n"
         ">>> cx.var([1.0, 3.0]).item()\n1.0")
  MOMENT(std, stddev,
         "The standard deviation over `axis` (None: all), the root of var().\n\n"
         ">>> cx.std([1.0, 3.0]).item()\n1.0")
#undef MOMENT
#define ARG_REDUCTION(name, doc)                                                                   \
  m.def(#name, &arg_reduction<&cyxwiz::name>, "x"_a, "axis"_a = nb::none(), "keepdims"_a = false,  \
        nb::sig("def " #name                                                                       \
                "(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor"),     \
        doc);                                                                                      \
  c.def(#name, &arg_reduction<&cyxwiz::name>, "axis"_a = nb::none(), "keepdims"_a = false,         \
        nb::sig("def " #name "(self, axis: int | None = None, keepdims: bool = False) -> Tensor"), \
        doc);
  ARG_REDUCTION(argmax,
                "The index of the first largest (the first NaN) along an axis, or in all.\n\n"
                ">>> cx.argmax([1, 9, 9]).item()\n1")
  ARG_REDUCTION(argmin,
                "The index of the first smallest (the first NaN) along an axis, or in all.\n\n"
                ">>> cx.argmin([4, 0, 2]).item()\n1")
#undef ARG_REDUCTION
}

void bind_networks(nb::module_& m, TensorClass& c) {
  m.def(
      "matmul",
      [](nb::handle a, nb::handle b) {
        const BesideScope scope({a, b});
        return matmul(to_tensor(a), to_tensor(b));
      },
      "a"_a, "b"_a, nb::sig("def matmul(a: TensorLike, b: TensorLike) -> Tensor"),
      "The matrix product, as NumPy's: 1-D operands are vectors, leading axes broadcast.\n\n"
      "Raises ShapeError when the inner sizes differ.\n\n"
      ">>> cx.matmul([[1, 2], [3, 4]], [1, 1]).tolist()\n[3, 7]");
  m.attr("dot") = m.attr("matmul");
  c.def(
      "matmul",
      [](const Tensor& a, nb::handle b) {
        const cyxwiz::DeviceScope scope(a.device());
        return matmul(a, to_tensor(b));
      },
      "other"_a, nb::sig("def matmul(self, other: TensorLike) -> Tensor"));
  c.attr("dot") = c.attr("matmul");
  m.def(
      "softmax", [](nb::handle x, int64_t axis) { return softmax(to_tensor(x), axis); }, "x"_a,
      "axis"_a = -1, nb::sig("def softmax(x: TensorLike, axis: int = -1) -> Tensor"),
      "exp(x) scaled to sum to 1 along `axis`.\n\n>>> cx.softmax([0.0, 0.0]).tolist()\n[0.5, 0.5]");
  m.def(
      "log_softmax", [](nb::handle x, int64_t axis) { return log_softmax(to_tensor(x), axis); },
      "x"_a, "axis"_a = -1, nb::sig("def log_softmax(x: TensorLike, axis: int = -1) -> Tensor"),
      "The logarithm of softmax(x), computed without overflow.\n\n"
      ">>> round(cx.log_softmax([0.0, 0.0])[0], 4)\n-0.6931");
  m.def(
      "take",
      [](nb::handle x, nb::handle indices, int64_t axis) {
        const BesideScope scope({x, indices});
        return take(to_tensor(x), to_tensor(indices), axis);
      },
      "x"_a, "indices"_a, "axis"_a = 0,
      nb::sig("def take(x: TensorLike, indices: TensorLike, axis: int = 0) -> Tensor"),
      "The slices of x along `axis` at integer `indices`; negative ones count from the end.\n\n"
      "An index outside raises IndexError when the result is read.\n\n"
      ">>> cx.take([10, 20, 30], [2, 0]).tolist()\n[30, 10]");
  m.def(
      "conv2d",
      [](nb::handle x, nb::handle w, nb::handle stride, nb::handle padding, nb::handle dilation) {
        const BesideScope scope({x, w});
        return conv2d(to_tensor(x), to_tensor(w), to_pair(stride), to_pair(padding),
                      to_pair(dilation));
      },
      "x"_a, "w"_a, "stride"_a = 1, "padding"_a = 0, "dilation"_a = 1,
      nb::sig(
          "def conv2d(x: TensorLike, w: TensorLike, stride: ShapeLike = 1, padding: ShapeLike = 0, "
          "dilation: ShapeLike = 1) -> Tensor"),
      "Cross-correlation of images [N, C, H, W] with filters [O, C, kh, kw]: [N, O, H', W'].\n\n"
      "H' = (H + 2·padding − dilation·(kh − 1) − 1) / stride + 1, rounded down. Raises "
      "ShapeError.\n\n"
      ">>> cx.conv2d(cx.ones((1, 1, 3, 3)), cx.ones((1, 1, 2, 2))).shape\n(1, 1, 2, 2)");
#define POOL(name, doc)                                                                           \
  m.def(                                                                                          \
      #name,                                                                                      \
      [](nb::handle x, nb::handle kernel, nb::handle stride, nb::handle padding) {                \
        return cyxwiz::name(to_tensor(x), to_pair(kernel),                                        \
                            to_pair(stride.is_none() ? kernel : stride), to_pair(padding));       \
      },                                                                                          \
      "x"_a, "kernel"_a, "stride"_a = nb::none(), "padding"_a = 0,                                \
      nb::sig("def " #name "(x: TensorLike, kernel: ShapeLike, stride: ShapeLike | None = None, " \
              "padding: ShapeLike = 0) -> Tensor"),                                               \
      doc);
  POOL(max_pool2d,
       "The largest of each window of images [N, C, H, W]; the stride is the window by "
       "default.\n\n>>> cx.max_pool2d(cx.ones((1, 1, 4, 4)), 2).shape\n(1, 1, 2, 2)")
  POOL(avg_pool2d,
       "The mean of each window of images [N, C, H, W]; padding is not counted.\n\n"
       ">>> cx.avg_pool2d(cx.ones((1, 1, 4, 4)), 2).sum().item()\n4.0")
#undef POOL
}

void bind_random(nb::module_& m) {
  m.def(
      "random_uniform",
      [](nb::handle shape, double low, double high, nb::handle dtype) {
        return cyxwiz::random_uniform(to_shape(shape), to_dtype(dtype)) * (high - low) + low;
      },
      "shape"_a, "low"_a = 0.0, "high"_a = 1.0, "dtype"_a = "float32",
      nb::sig("def random_uniform(shape: ShapeLike, low: float = 0.0, high: float = 1.0, dtype: "
              "DTypeLike "
              "= 'float32') -> Tensor"),
      "Numbers from [low, high), all equally likely.");
  m.def(
      "random_normal",
      [](nb::handle shape, double mean, double std, nb::handle dtype) {
        return cyxwiz::random_normal(to_shape(shape), to_dtype(dtype)) * std + mean;
      },
      "shape"_a, "mean"_a = 0.0, "std"_a = 1.0, "dtype"_a = "float32",
      nb::sig("def random_normal(shape: ShapeLike, mean: float = 0.0, std: float = 1.0, dtype: "
              "DTypeLike = "
              "'float32') -> Tensor"),
      "Normally distributed numbers.");
  m.def(
      "random_bernoulli",
      [](nb::handle p, nb::handle shape) {
        return cyxwiz::random_uniform(to_shape(shape)) < to_operand(p);
      },
      "p"_a, "shape"_a, nb::sig("def random_bernoulli(p: TensorLike, shape: ShapeLike) -> Tensor"),
      "True with probability p.");
  m.def("random_permutation", &cyxwiz::random_permutation, "n"_a,
        "0 … n-1 in random order, int64.");
  m.def(
      "random_randint",
      [](int64_t low, int64_t high, nb::handle shape) {
        if (low >= high) throw cyxwiz::ValueError("random_randint: low must be below high");
        const Tensor u = cyxwiz::random_uniform(to_shape(shape), DType::kFloat64);
        return astype(floor(u * static_cast<double>(high - low)), DType::kInt64) + low;
      },
      "low"_a, "high"_a, "shape"_a,
      nb::sig("def random_randint(low: int, high: int, shape: ShapeLike) -> Tensor"),
      "Integers from [low, high), int64.");
  m.def(
      "random_seed", [](uint64_t seed) { cyxwiz::set_random_state({seed, 0}); }, "seed"_a,
      "Starts the generator anew.");
  m.def(
      "random_state",
      [] {
        const cyxwiz::RandomState state = cyxwiz::random_state();
        return nb::make_tuple(state.seed, state.stream);
      },
      nb::sig("def random_state() -> tuple[int, int]"),
      "(seed, stream): the next stream that is drawn.");
  m.def(
      "random_set_state",
      [](uint64_t seed, uint64_t stream) { cyxwiz::set_random_state({seed, stream}); }, "seed"_a,
      "stream"_a, "Goes on from a state that random_state() gave.");
}

}  // namespace

void bind_ops(nb::module_& m) {
  // Much of it is spelled as a method too: cx.sum(t), t.sum().
  auto c = nb::borrow<TensorClass>(m.attr("Tensor"));
  bind_creation(m);
  bind_elementwise(m, c);
  bind_movement(m);
  bind_reductions(m, c);
  bind_networks(m, c);
  bind_random(m);
}
