#include "cyxwiz/tensor.h"

#include <cstring>
#include <stdexcept>

#include "cyxwiz/error.h"
#include "graph/node.h"

namespace cyxwiz {

void Tensor::throw_empty() {
  throw std::runtime_error("this tensor holds nothing: its value was donated to a Program");
}

const Shape& Tensor::shape() const { return node()->shape; }
DType Tensor::dtype() const { return node()->dtype; }
const Device* Tensor::device() const { return node()->device; }
bool Tensor::is_traced() const { return node()->traced; }
bool Tensor::is_computed() const { return node()->computed.load(std::memory_order_acquire); }
int64_t Tensor::size() const { return element_count(shape()); }

const void* Tensor::data() const {
  if (!is_computed()) evaluate({this, 1});
  if (!node_->buffer->data() && size() > 0) {
    throw DeviceError("the elements of a tensor on " + device()->spec() +
                      " are out of the host's reach; move it with .to(\"cpu\")");
  }
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
  node->computed = true;
  return Tensor(std::move(node));
}

Tensor from_data(const void* data, const Shape& shape, DType dtype) {
  const int64_t bytes = element_count(shape) * item_size(dtype);
  BufferPtr buffer = allocate_on_host(bytes);
  if (bytes > 0) std::memcpy(buffer->data(), data, static_cast<size_t>(bytes));
  return to(from_buffer(std::move(buffer), 0, shape, dtype), default_device());
}

namespace {

Tensor moved(const Tensor& x, const Device* device) {
  const Node& node = *x.node();
  if (!x.is_computed()) evaluate({&x, 1});
  Result value{node.buffer, node.offset};
  if (x.device() != host_device()) {
    value = x.device()->backend->copy_out(value, x.shape(), x.dtype());
  }
  if (device != host_device()) {
    value = {device->backend->copy_in(*device, value, x.shape(), x.dtype()), 0};
  }
  return from_buffer(std::move(value.buffer), value.offset, x.shape(), x.dtype());
}

}  // namespace

Tensor to(const Tensor& x, const Device* device) {
  if (x.device() == device) return x;
  if (x.node()->traced || x.node()->watched) {
    throw DeviceError("to: a tensor can't move from " + x.device()->spec() + " to " +
                      device->spec() +
                      " while its function is traced or differentiated; move it before, and give "
                      "the function what it needs");
  }
  return moved(x, device);
}

Tensor on_host(const Tensor& x) {
  return x.device() == host_device() ? x : moved(x, host_device());
}

}  // namespace cyxwiz
