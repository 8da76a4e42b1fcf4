// From the lazy graph to a Graph that a Backend compiles: the walk, the structural key, and the
// builder. Everything here is called under graph_mutex().
#pragma once

#include <vector>

#include "cyxwiz/program.h"
#include "graph/node.h"

namespace cyxwiz {

/// The pending part of a graph below some roots, inputs first.
struct Trace {
  std::vector<Node*>
      nodes;  ///< pending Nodes and, as leaves, evaluated ones, numbers, placeholders
  std::vector<Node*> leaves;   ///< in the order of their first use: the Program's arguments
  std::vector<Node*> outputs;  ///< Nodes that get a value
  std::vector<uint64_t> key;   ///< the structure, and nothing but the structure

  void clear();
};

/// Walks down from `roots`. Each Node's `id` becomes its index in `nodes`.
void walk(std::span<Node* const> roots, Trace& trace);

/// Appends the structure to `trace.key`: ops, attributes, shapes, dtypes, wiring and outputs.
void write_key(Trace& trace);

/// The Graph of a walked trace, with common subexpressions shared.
Graph build(const Trace& trace);

}  // namespace cyxwiz
