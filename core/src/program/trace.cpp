#include "program/trace.h"

#include <unordered_map>

namespace cyxwiz {
namespace {

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

struct ValueHash {
  size_t operator()(const Value& value) const {
    uint64_t hash = mix(static_cast<uint64_t>(value.op), static_cast<uint64_t>(value.dtype));
    for (int64_t size : value.shape) hash = mix(hash, static_cast<uint64_t>(size));
    for (int input : value.operands()) hash = mix(hash, static_cast<uint64_t>(input));
    for (int64_t a : value.attributes) hash = mix(hash, static_cast<uint64_t>(a));
    return hash;
  }
};

}  // namespace

void Trace::clear() {
  nodes.clear();
  leaves.clear();
  outputs.clear();
  key.clear();
}

void walk(std::span<Node* const> roots, Trace& trace) {
  const uint64_t mark = next_mark();
  struct Frame {
    Node* node;
    int next;
  };
  thread_local std::vector<Frame> stack;
  auto visit = [&](Node* node) {
    if (node->mark == mark) return;
    node->mark = mark;
    node->uses = 0;
    stack.push_back({node, node->is_leaf() ? node->input_count : 0});
  };
  for (Node* root : roots) {
    visit(root);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next < frame.node->input_count) {
        Node* input = frame.node->inputs[static_cast<size_t>(frame.next++)].get();
        visit(input);
        input->uses += 1;
        continue;
      }
      Node* node = frame.node;
      stack.pop_back();
      node->id = static_cast<int32_t>(trace.nodes.size());
      trace.nodes.push_back(node);
      if (node->is_leaf()) trace.leaves.push_back(node);
    }
  }
}

void write_key(Trace& trace) {
  std::vector<uint64_t>& key = trace.key;
  for (const Node* node : trace.nodes) {
    const bool leaf = node->is_leaf();
    const uint64_t op = static_cast<uint64_t>(leaf ? Op::kInput : node->op);
    const uint64_t inputs = leaf ? 0 : node->input_count;
    const uint64_t attributes = leaf ? 0 : node->attributes.size();
    key.push_back(op | static_cast<uint64_t>(node->dtype) << 16 |
                  static_cast<uint64_t>(node->shape.rank()) << 24 | inputs << 32 |
                  attributes << 40);
    for (int64_t size : node->shape) key.push_back(static_cast<uint64_t>(size));
    for (uint64_t i = 0; i < inputs; ++i) {
      key.push_back(static_cast<uint64_t>(node->inputs[i]->id));
    }
    for (uint64_t i = 0; i < attributes; ++i) {
      key.push_back(static_cast<uint64_t>(node->attributes[i]));
    }
  }
  for (const Node* node : trace.outputs) key.push_back(static_cast<uint64_t>(node->id));
}

Graph build(const Trace& trace) {
  Graph graph;
  std::unordered_map<Value, int, ValueHash> known;
  std::vector<int> ids(trace.nodes.size());
  for (size_t i = 0; i < trace.nodes.size(); ++i) {
    const Node& node = *trace.nodes[i];
    Value value;
    value.dtype = node.dtype;
    value.shape = node.shape;
    const int next = static_cast<int>(graph.values.size());
    if (node.is_leaf()) {
      graph.inputs.push_back(next);
    } else {
      value.op = node.op;
      value.attributes = node.attributes;
      for (const NodePtr& input : node.operands()) {
        value.inputs[static_cast<size_t>(value.input_count++)] =
            ids[static_cast<size_t>(input->id)];
      }
      const auto [found, is_new] = known.try_emplace(value, next);
      ids[i] = found->second;
      if (!is_new) continue;
    }
    ids[i] = next;
    graph.values.push_back(std::move(value));
  }
  for (const Node* node : trace.outputs)
    graph.outputs.push_back(ids[static_cast<size_t>(node->id)]);
  graph.donated.assign(graph.inputs.size(), false);
  return graph;
}

}  // namespace cyxwiz
