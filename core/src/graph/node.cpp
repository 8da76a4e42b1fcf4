#include "graph/node.h"

#include <algorithm>
#include <cstring>

#include "cyxwiz/error.h"
#include "cyxwiz/program.h"

namespace cyxwiz {
namespace {

std::atomic<Trigger> trigger = evaluate_if_large;

}  // namespace

Node::~Node() {
  std::vector<NodePtr> doomed;
  auto take = [&](Node& node) {
    for (NodePtr& input : node.inputs) {
      if (input && input.use_count() == 1 && input->input_count > 0) {
        doomed.push_back(std::move(input));
      }
    }
  };
  take(*this);
  while (!doomed.empty()) {
    const NodePtr node = std::move(doomed.back());
    doomed.pop_back();
    take(*node);
  }
}

std::recursive_mutex& graph_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

void set_trigger(Trigger wanted) { trigger = wanted; }

uint64_t next_mark() {
  static uint64_t mark = 0;
  return ++mark;
}

Tensor record(Op op, DType dtype, const Shape& shape, std::initializer_list<Tensor> inputs,
              std::vector<int64_t> attributes) {
  element_count(shape);  // throws for more than there can be, at the user's line
  auto node = std::make_shared<Node>();
  node->op = op;
  node->dtype = dtype;
  node->shape = shape;
  node->attributes = std::move(attributes);
  int32_t depth = 0;
  int64_t held = 0;
  bool all_weak = inputs.size() > 0;
  for (const Tensor& tensor : inputs) {
    const NodePtr& input = tensor.node();
    // Numbers, traced ones too, go wherever they are needed.
    if (input->op != Op::kScalar && !input->weak) {
      if (node->device && node->device != input->device) {
        throw DeviceError(std::string(name(op)) + ": one tensor is on " + node->device->spec() +
                          ", another on " + input->device->spec() + "; move one with .to(\"" +
                          node->device->spec() + "\")");
      }
      node->device = input->device;
    }
    node->traced |= input->traced;
    node->watched |= input->watched;
    all_weak &= input->weak;
    const int32_t below = input->depth.load(std::memory_order_relaxed);
    depth = std::max(depth, below);
    const int64_t more = below == 0 ? element_count(input->shape) * item_size(input->dtype)
                                    : input->held_bytes.load(std::memory_order_relaxed);
    held = std::min(held + more, int64_t{1} << 60);
    node->inputs[node->input_count++] = input;
  }
  // Only a traced number stays weak: outside a trace, what was computed has the dtype it has.
  node->weak = all_weak && node->traced;
  if (!node->device) node->device = default_device();
  depth += 1;
  node->depth.store(depth, std::memory_order_relaxed);
  node->held_bytes.store(held, std::memory_order_relaxed);
  Tensor result(std::move(node));
  if (depth >= kLongestPending || held >= kMostHeld) {
    if (!result.node()->traced && !Tracing::current()) trigger.load()(result);
  }
  return result;
}

namespace {

Tensor make_scalar(DType dtype, bool weak, double real, int64_t integer) {
  auto node = std::make_shared<Node>();
  node->op = Op::kScalar;
  node->dtype = dtype;
  node->weak = weak;
  node->device = default_device();
  if (is_floating(dtype)) {
    node->number.real = real;
  } else {
    node->number.integer = integer;
  }
  return Tensor(std::move(node));
}

}  // namespace

Tensor scalar(double value, DType dtype) {
  return make_scalar(dtype, false, value, static_cast<int64_t>(is_floating(dtype) ? 0 : value));
}
Tensor scalar(int64_t value, DType dtype) {
  return make_scalar(dtype, false, static_cast<double>(value), value);
}

Tensor::Tensor(double value) : Tensor(make_scalar(DType::kFloat64, true, value, 0).node_) {}
Tensor::Tensor(int value) : Tensor(static_cast<int64_t>(value)) {}
Tensor::Tensor(int64_t value) : Tensor(make_scalar(DType::kInt64, true, 0, value).node_) {}

std::array<std::byte, 8> scalar_bytes(const Node& node) {
  std::array<std::byte, 8> bytes{};
  auto put = [&](auto value) { std::memcpy(bytes.data(), &value, sizeof(value)); };
  switch (node.dtype) {
    case DType::kBool:
      put(static_cast<uint8_t>(node.number.integer != 0));
      break;
    case DType::kUInt8:
      put(static_cast<uint8_t>(node.number.integer));
      break;
    case DType::kInt8:
      put(static_cast<int8_t>(node.number.integer));
      break;
    case DType::kInt16:
      put(static_cast<int16_t>(node.number.integer));
      break;
    case DType::kInt32:
      put(static_cast<int32_t>(node.number.integer));
      break;
    case DType::kInt64:
      put(node.number.integer);
      break;
    case DType::kFloat32:
      put(static_cast<float>(node.number.real));
      break;
    case DType::kFloat64:
      put(node.number.real);
      break;
  }
  return bytes;
}

}  // namespace cyxwiz
