#include "cyxwiz/tensor.h"

#include <stdexcept>

#include "graph/node.h"

namespace cyxwiz {

void Tensor::throw_empty() {
  throw std::runtime_error("this tensor holds nothing: its value was donated to a Program");
}

const Shape& Tensor::shape() const { return node()->shape; }
DType Tensor::dtype() const { return node()->dtype; }
const Device* Tensor::device() const { return node()->device; }
bool Tensor::is_traced() const { return node()->traced; }
int64_t Tensor::size() const { return element_count(shape()); }

const void* Tensor::data() const {
  node();
  evaluate({this, 1});
  return static_cast<const std::byte*>(node_->buffer->data()) + node_->offset;
}

Tensor from_buffer(BufferPtr buffer, int64_t offset, const Shape& shape, DType dtype) {
  element_count(shape);
  auto node = std::make_shared<Node>();
  node->dtype = dtype;
  node->shape = shape;
  node->device = buffer->device();
  node->buffer = std::move(buffer);
  node->offset = offset;
  return Tensor(std::move(node));
}

Tensor from_data(const void* data, const Shape& shape, DType dtype) {
  const int64_t bytes = element_count(shape) * item_size(dtype);
  const Device* device = default_device();
  BufferPtr buffer = device->backend->allocate(*device, bytes);
  device->backend->copy_in(data, *buffer, bytes);
  return from_buffer(std::move(buffer), 0, shape, dtype);
}

}  // namespace cyxwiz
