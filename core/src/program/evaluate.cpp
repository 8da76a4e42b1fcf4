// The trigger's work: find the pending graph, look its structure up, run the Program, hand out
// values.
#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "cyxwiz/error.h"
#include "cyxwiz/program.h"
#include "graph/node.h"
#include "program/trace.h"

namespace cyxwiz {
namespace {

struct CachedProgram {
  std::vector<uint64_t> key;
  const Device* device;
  uint64_t epoch;
  size_t nodes;  // of the graph it was made of
  std::unique_ptr<Executable> executable;
};

/// Programs by structure, the least recently used dropped first.
class ProgramCache {
 public:
  Executable& find(const Trace& trace, const Device* device) {
    const uint64_t epoch = device->backend->epoch();
    uint64_t hash = reinterpret_cast<uintptr_t>(device);
    for (uint64_t word : trace.key) hash = (hash ^ word) * 0x9E3779B97F4A7C15u, hash ^= hash >> 32;
    const auto [first, last] = index_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      const CachedProgram& program = *it->second;
      if (program.device != device || program.epoch != epoch || program.key != trace.key) continue;
      stats_.hits += 1;
      programs_.splice(programs_.begin(), programs_, it->second);
      return *programs_.front().executable;
    }
    stats_.misses += 1;
    std::unique_ptr<Executable> made = device->backend->compile(build(trace), *device);
    nodes_ += trace.nodes.size();
    while (!programs_.empty() && (programs_.size() >= kMostPrograms || nodes_ > kMostNodes)) {
      drop_last();
    }
    programs_.push_front({trace.key, device, epoch, trace.nodes.size(), std::move(made)});
    hashes_[&programs_.front()] = hash;
    index_.emplace(hash, programs_.begin());
    return *programs_.front().executable;
  }

  CacheStats stats() const {
    CacheStats all = stats_;
    all.programs = static_cast<int64_t>(programs_.size());
    return all;
  }

 private:
  static constexpr size_t kMostPrograms = 512;
  // A Program grows with its graph: by 0.2 KB for an elementwise Node, by 1 KB for a product, by
  // 19 KB for a convolution (measured with oneDNN 3.2 and AVX-512).
  static constexpr size_t kMostNodes = size_t{1} << 13;

  void drop_last() {
    const auto last = std::prev(programs_.end());
    const auto [from, to] = index_.equal_range(hashes_.at(&*last));
    for (auto it = from; it != to; ++it) {
      if (it->second == last) {
        index_.erase(it);
        break;
      }
    }
    hashes_.erase(&*last);
    nodes_ -= last->nodes;
    programs_.erase(last);
  }

  std::list<CachedProgram> programs_;  // the most recently used first
  std::unordered_multimap<uint64_t, std::list<CachedProgram>::iterator> index_;
  std::unordered_map<const CachedProgram*, uint64_t> hashes_;
  size_t nodes_ = 0;  // of all of them together
  CacheStats stats_;
};

ProgramCache& cache() {
  // Never destroyed, like the Backends whose memory its Programs hold.
  static ProgramCache* instance = std::make_unique<ProgramCache>().release();
  return *instance;
}

bool is_heavy(Op op) { return !is_elementwise(op) && !is_view(op) && op > Op::kScalar; }

/// Chooses which Nodes below the roots get a value too, because a handle outside still wants them:
/// what is dear to compute at once; what is elementwise only when it is met for the second time, so
/// that a named intermediate of one expression costs no memory traffic.
void choose_outputs(Trace& trace, std::span<Node* const> roots) {
  trace.outputs.assign(roots.begin(), roots.end());
  const uint64_t is_root = next_mark();
  for (Node* root : roots) root->mark = is_root;
  thread_local std::vector<char> heavy;
  heavy.assign(trace.nodes.size(), 0);
  for (Node* node : trace.nodes) {
    if (node->is_leaf()) continue;
    char& mine = heavy[static_cast<size_t>(node->id)];
    mine = is_heavy(node->op);
    for (const NodePtr& input : node->operands()) mine |= heavy[static_cast<size_t>(input->id)];
    if (node->mark == is_root) continue;
    // Handles are the owners that are not consumers in this trace.
    const bool held = node->weak_from_this().use_count() > node->uses;
    if (!held) continue;
    if (mine || node->recomputed) trace.outputs.push_back(node);
    node->recomputed = true;
  }
}

void check_has_value(const Node& node) {
  if (node.traced) {
    throw TracingError(
        "the value of a tensor was asked for while its function is traced by cx.compile: it is not "
        "known yet. Return it from the function instead, use where() for a condition on it, or "
        "make "
        "the argument static (static_argnames=...)");
  }
}

void store_scalar(Node& node) {
  const auto bytes = scalar_bytes(node);
  const DeviceScope scope(node.device);
  const Tensor stored = from_data(bytes.data(), node.shape, node.dtype);
  node.buffer = stored.node()->buffer;
  node.offset = stored.node()->offset;
  node.computed.store(true, std::memory_order_release);
}

/// The vectors of one run. They keep their memory from one run on this thread to the next, unless
/// that is a run within a run (a Backend may run any Python code).
struct Work {
  Trace trace;
  std::vector<Argument> arguments;
  std::vector<Result> results;
  std::vector<NodePtr> alive;

  void clear() {
    trace.clear();
    arguments.clear();
    results.clear();
    alive.clear();
  }
};

class Scratch {
 public:
  Scratch() : kept_(kept()), is_inner_(std::exchange(kept_.in_use, true)) {
    if (is_inner_) inner_ = std::make_unique<Work>();
  }
  ~Scratch() {
    if (is_inner_) return;
    kept_.work.clear();
    kept_.in_use = false;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Work& operator*() { return is_inner_ ? *inner_ : kept_.work; }

 private:
  struct Kept {
    Work work;
    bool in_use = false;
  };
  static Kept& kept() {
    thread_local Kept instance;
    return instance;
  }
  Kept& kept_;
  bool is_inner_;
  std::unique_ptr<Work> inner_;
};

void finish(Node& node, Result&& result) {
  node.buffer = std::move(result.buffer);
  node.offset = result.offset;
  node.computed.store(true, std::memory_order_release);
  node.depth = 0;
  node.held_bytes = 0;
  if (node.watched) return;
  const auto released = std::move(node.inputs);
  node.input_count = 0;
  node.attributes.clear();
}

void run(std::span<Node* const> roots) {
  Scratch scratch;
  auto& [trace, arguments, results, alive] = *scratch;
  walk(roots, trace);
  choose_outputs(trace, roots);
  write_key(trace);
  const Device* device = roots.front()->device;
  Executable& program = cache().find(trace, device);

  arguments.resize(trace.leaves.size());
  results.resize(trace.outputs.size());
  for (size_t i = 0; i < trace.leaves.size(); ++i) {
    const Node& leaf = *trace.leaves[i];
    if (leaf.evaluated()) {
      arguments[i].buffer = leaf.buffer;
      arguments[i].offset = leaf.offset;
    } else {
      arguments[i].immediate = scalar_bytes(leaf);
    }
  }
  // Keeps every output alive while the first ones let go of their inputs, whatever other threads
  // drop.
  for (Node* node : trace.outputs) alive.push_back(node->shared_from_this());
  program.run(arguments, results);
  for (size_t i = 0; i < trace.outputs.size(); ++i)
    finish(*trace.outputs[i], std::move(results[i]));
}

}  // namespace

void evaluate(std::span<const Tensor> tensors) {
  const std::lock_guard lock(graph_mutex());
  std::vector<Node*> roots;
  const uint64_t mark = next_mark();
  for (const Tensor& tensor : tensors) {
    tensor.shape();  // throws where the handle holds nothing
    Node& node = *tensor.node();
    if (node.evaluated() || node.mark == mark) continue;
    check_has_value(node);
    if (node.op == Op::kScalar) {
      store_scalar(node);
    } else if (roots.empty() || node.device == roots.front()->device) {
      roots.push_back(&node);
      node.mark = mark;
    } else {
      evaluate({&tensor, 1});
    }
  }
  if (!roots.empty()) run(roots);
}

void evaluate_if_large(const Tensor& tensor) {
  const std::lock_guard lock(graph_mutex());
  Node& node = *tensor.node();
  if (node.evaluated() || node.is_leaf()) return;
  if (node.depth < kLongestPending) {
    // What recording added up may count memory twice, and memory that its owners keep anyway: a
    // chain on arrays of any size should stay one Program. But what several graphs hold together
    // looks owned to each of them, so there is a bound for that too.
    Trace trace;
    Node* root = &node;
    walk({&root, 1}, trace);
    int64_t all = 0, alone = 0;
    for (const Node* leaf : trace.leaves) {
      const int64_t bytes = element_count(leaf->shape) * item_size(leaf->dtype);
      all += bytes;
      if (leaf->weak_from_this().use_count() <= leaf->uses) alone += bytes;
    }
    const int64_t most = std::max(kMostHeld, node.device->memory_bytes / 8);
    if (alone < kMostHeld && all < most) {
      node.held_bytes = all;
      return;
    }
  }
  evaluate({&tensor, 1});
}

CacheStats cache_stats() {
  const std::lock_guard lock(graph_mutex());
  return cache().stats();
}

}  // namespace cyxwiz
