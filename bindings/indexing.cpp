#include "indexing.h"

#include <string>
#include <vector>

using cyxwiz::IndexError;
using cyxwiz::Shape;
using cyxwiz::Tensor;

namespace {

/// An index of numbers, slices, None and `...`: a slice of every axis, and then the shape it gives.
struct Basic {
  cyxwiz::Slice slice;
  Shape shape;  // with the axes of numbers dropped and those of None added
};

bool is_plain(nb::handle item) {
  return item.is_none() || item.ptr() == Py_Ellipsis || PySlice_Check(item.ptr()) ||
         (PyLong_Check(item.ptr()) && !PyBool_Check(item.ptr())) ||
         (PyIndex_Check(item.ptr()) && !nb::isinstance<Tensor>(item) &&
          !nb::hasattr(item, "__array_interface__"));
}

std::vector<nb::object> items_of(nb::handle index) {
  std::vector<nb::object> items;
  if (PyTuple_Check(index.ptr())) {
    for (nb::handle item : nb::borrow<nb::tuple>(index)) items.push_back(nb::borrow(item));
  } else {
    items.push_back(nb::borrow(index));
  }
  return items;
}

class Parser {
 public:
  explicit Parser(const Tensor& tensor) : tensor_(tensor) {}

  Basic parse(const std::vector<nb::object>& items) {
    int named = 0;
    for (const nb::object& item : items) named += !item.is_none() && item.ptr() != Py_Ellipsis;
    if (named > tensor_.rank()) {
      throw IndexError("too many indices: " + std::to_string(named) + " for a tensor of " +
                       std::to_string(tensor_.rank()) + " axes");
    }
    bool filled = false;
    for (const nb::object& item : items) {
      if (item.is_none()) {
        result_.shape.push_back(1);
      } else if (item.ptr() == Py_Ellipsis) {
        if (filled) throw IndexError("an index can only have a single ellipsis ('...')");
        filled = true;
        for (int i = named; i < tensor_.rank(); ++i) whole_axis();
      } else if (PySlice_Check(item.ptr())) {
        slice(item);
      } else {
        number(item);
      }
    }
    while (axis_ < tensor_.rank()) whole_axis();
    return std::move(result_);
  }

 private:
  void take(int64_t start, int64_t step, int64_t count) {
    result_.slice.starts.push_back(start);
    result_.slice.steps.push_back(step);
    result_.slice.shape.push_back(count);
    ++axis_;
  }

  void whole_axis() {
    result_.shape.push_back(tensor_.shape()[axis_]);
    take(0, 1, tensor_.shape()[axis_]);
  }

  void slice(nb::handle item) {
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(item.ptr(), &start, &stop, &step) != 0) throw nb::python_error();
    const Py_ssize_t count = PySlice_AdjustIndices(tensor_.shape()[axis_], &start, &stop, step);
    result_.shape.push_back(count);
    take(count > 0 ? start : 0, step, count);
  }

  void number(nb::handle item) {
    const Py_ssize_t given = PyNumber_AsSsize_t(item.ptr(), PyExc_IndexError);
    if (given == -1 && PyErr_Occurred()) throw nb::python_error();
    const int64_t size = tensor_.shape()[axis_];
    if (given < -size || given >= size) {
      throw IndexError("index " + std::to_string(given) + " is out of bounds for axis " +
                       std::to_string(axis_) + " of size " + std::to_string(size));
    }
    take(given < 0 ? given + size : given, 1, 1);
  }

  const Tensor& tensor_;
  Basic result_;
  int axis_ = 0;
};

nb::object indexing(const char* function) {
  return nb::module_::import_("pycyxwiz._indexing").attr(function);
}

/// One integer Tensor alone, over the first axis: a gather that never looks at the values.
bool is_row_index(nb::handle index) {
  return nb::isinstance<Tensor>(index) &&
         cyxwiz::is_integer(nb::cast<const Tensor&>(index).dtype());
}

}  // namespace

Tensor get_item(const Tensor& tensor, nb::handle index) {
  const cyxwiz::DeviceScope scope(tensor.device());
  const std::vector<nb::object> items = items_of(index);
  for (const nb::object& item : items) {
    if (is_plain(item)) continue;
    if (is_row_index(index)) return cyxwiz::take(tensor, nb::cast<const Tensor&>(index));
    return nb::cast<Tensor>(indexing("getitem")(tensor, index));
  }
  const Basic basic = Parser(tensor).parse(items);
  return cyxwiz::reshape(cyxwiz::slice(tensor, basic.slice), basic.shape);
}

Tensor set_item(const Tensor& tensor, nb::handle index, nb::handle value) {
  const cyxwiz::DeviceScope scope(tensor.device());
  const std::vector<nb::object> items = items_of(index);
  for (const nb::object& item : items) {
    if (is_plain(item)) continue;
    // A mask over the whole tensor is a choice, and works while it is traced.
    if (nb::isinstance<Tensor>(index)) {
      const Tensor& mask = nb::cast<const Tensor&>(index);
      const Tensor fill = to_operand(value);
      if (mask.dtype() == cyxwiz::DType::kBool && mask.shape() == tensor.shape() &&
          fill.rank() == 0) {
        return cyxwiz::where(mask, astype(fill, tensor.dtype()), tensor);
      }
    }
    return nb::cast<Tensor>(indexing("setitem")(tensor, index, value));
  }
  const Basic basic = Parser(tensor).parse(items);
  // The value broadcasts to what the index gives; the slice keeps the axes that numbers dropped.
  Tensor part = astype(to_operand(value), tensor.dtype());
  while (part.rank() > basic.shape.rank() && part.shape()[0] == 1) part = squeeze(part, {0});
  part = reshape(broadcast_to(part, basic.shape), basic.slice.shape);
  return slice_update(tensor, part, basic.slice);
}
