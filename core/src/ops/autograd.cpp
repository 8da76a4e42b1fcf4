#include "cyxwiz/autograd.h"

#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

const Rules& rules() {
  static const Rules all = [] {
    Rules made;
    add_elementwise_rules(made);
    add_movement_rules(made);
    add_reduce_rules(made);
    add_contraction_rules(made);
    add_window_rules(made);
    add_index_rules(made);
    return made;
  }();
  return all;
}

/// The Nodes between `targets` and `output`, in an order in which inputs come first.
std::vector<NodePtr> path(const NodePtr& output, const std::unordered_set<const Node*>& targets) {
  struct Frame {
    NodePtr node;
    int next;
  };
  std::unordered_map<const Node*, bool> reaches;  // does a target lie below?
  std::vector<NodePtr> order;
  std::vector<Frame> stack{{output, 0}};
  while (!stack.empty()) {
    Frame& frame = stack.back();
    if (frame.next < frame.node->input_count) {
      const NodePtr& input = frame.node->inputs[static_cast<size_t>(frame.next++)];
      if (!reaches.contains(input.get())) stack.push_back({input, 0});
      continue;
    }
    const NodePtr node = std::move(frame.node);
    stack.pop_back();
    bool reached = targets.contains(node.get());
    for (const NodePtr& input : node->operands()) reached |= reaches[input.get()];
    if (reaches.emplace(node.get(), reached).second && reached) order.push_back(node);
  }
  return order;
}

}  // namespace

Tensor watch(const Tensor& x) {
  Tensor watched = record(Op::k_alias, x.dtype(), x.shape(), {x}, {0});
  watched.node()->watched = true;
  watched.node()->weak = x.node()->weak;
  return watched;
}

Tensor stop_gradient(const Tensor& x) {
  Tensor stopped = record(Op::k_alias, x.dtype(), x.shape(), {x}, {1});
  stopped.node()->weak = x.node()->weak;
  stopped.node()->watched = false;
  return stopped;
}

std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs, const Tensor& seed) {
  if (!is_floating(output.dtype())) {
    throw DTypeError("grad: the output is " + std::string(name(output.dtype())) +
                     ": only a floating result has a derivative");
  }
  if (!seed.defined() && output.rank() != 0) {
    throw ShapeError("grad: the output has shape " + to_string(output.shape()) +
                     ": it must be a 0-d tensor; reduce it with mean() or sum()");
  }
  if (seed.defined() && seed.shape() != output.shape()) {
    throw ShapeError("grad: the seed has shape " + to_string(seed.shape()) + ", the output " +
                     to_string(output.shape()));
  }
  std::unordered_set<const Node*> targets;
  for (const Tensor& tensor : inputs) {
    if (!is_floating(tensor.dtype())) {
      throw DTypeError("grad: an input is " + std::string(name(tensor.dtype())) +
                       ": derivatives are taken to floating tensors only");
    }
    targets.insert(tensor.node().get());
  }

  const std::lock_guard lock(graph_mutex());
  const DeviceScope scope(output.device());  // for what the rules make of nothing
  std::unordered_map<const Node*, Tensor> gradients;
  const std::vector<NodePtr> order = path(output.node(), targets);
  if (!order.empty()) {
    gradients[output.node().get()] =
        seed.defined() ? astype(seed, output.dtype()) : full(output.shape(), 1, output.dtype());
  }
  const std::unordered_set<const Node*> between = [&] {
    std::unordered_set<const Node*> set;
    for (const NodePtr& node : order) set.insert(node.get());
    return set;
  }();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& node = **it;
    const auto found = gradients.find(&node);
    if (found == gradients.end() || node.input_count == 0) continue;
    if (node.op == Op::k_alias && node.attributes[0] == 1) continue;  // stop_gradient
    const Rule rule = rules()[node.op];
    if (!rule) {
      throw ValueError("grad: " + std::string(name(node.op)) + " has no derivative");
    }
    const Tensor g = found->second;
    const std::vector<Tensor> flows = rule(node, Tensor(*it), g);
    for (size_t i = 0; i < flows.size(); ++i) {
      const NodePtr& to = node.inputs[i];
      if (!flows[i].defined() || !between.contains(to.get()) || !is_floating(to->dtype)) continue;
      const Tensor flow = astype(sum_to(flows[i], to->shape), to->dtype);
      Tensor& sum = gradients[to.get()];
      sum = sum.defined() ? sum + flow : flow;
    }
    if (!targets.contains(&node)) gradients.erase(&node);
  }
  std::vector<Tensor> result;
  for (const Tensor& tensor : inputs) {
    const auto found = gradients.find(tensor.node().get());
    result.push_back(found != gradients.end() ? found->second
                                              : zeros(tensor.shape(), tensor.dtype()));
  }
  return result;
}

}  // namespace cyxwiz
