// Derivative rules: how the gradient of a Node's result flows to its inputs. Each family of
// operations adds its own; autograd.cpp walks the graph and applies them.
#pragma once

#include <array>
#include <vector>

#include "cyxwiz/ops.h"
#include "graph/node.h"

namespace cyxwiz {

/// Gives one gradient for each input, of the input's shape or one that sums down to it; an
/// undefined Tensor where none flows. `y` is the Node's result, `g` the gradient of it.
using Rule = std::vector<Tensor> (*)(const Node& node, const Tensor& y, const Tensor& g);

class Rules {
 public:
  Rule& operator[](Op op) { return rules_[static_cast<size_t>(op)]; }
  Rule operator[](Op op) const { return rules_[static_cast<size_t>(op)]; }

 private:
  std::array<Rule, static_cast<size_t>(Op::kCount)> rules_{};
};

void add_elementwise_rules(Rules& rules);
void add_movement_rules(Rules& rules);
void add_reduce_rules(Rules& rules);
void add_contraction_rules(Rules& rules);
void add_window_rules(Rules& rules);
void add_index_rules(Rules& rules);

inline Tensor input(const Node& node, int i) { return Tensor(node.inputs[static_cast<size_t>(i)]); }

}  // namespace cyxwiz
