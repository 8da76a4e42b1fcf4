#include "cpu/executable.h"

#include <algorithm>

#include "cpu/alignment.h"
#include "cpu/allocator.h"
#include "cpu/opaque_step.h"
#include "cpu/threads.h"
#include "cpu/tile_step.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

constexpr int kArena = 0;

/// Places blocks that live from one step to another so that those that overlap in time don't in
/// memory.
class ArenaPlan {
 public:
  int64_t place(int64_t bytes, int from, int to) {
    bytes = aligned(bytes);
    int64_t offset = 0;
    for (const Block& block : blocks_) {  // in the order of their offsets: first fit
      if (block.to < from || to < block.from) continue;
      if (block.offset >= offset + bytes) break;
      offset = std::max(offset, block.offset + block.bytes);
    }
    const Block made{offset, bytes, from, to};
    blocks_.insert(
        std::upper_bound(blocks_.begin(), blocks_.end(), made,
                         [](const Block& a, const Block& b) { return a.offset < b.offset; }),
        made);
    bytes_ = std::max(bytes_, offset + bytes);
    return offset;
  }

  int64_t bytes() const { return bytes_; }

 private:
  struct Block {
    int64_t offset, bytes;
    int from, to;
  };
  std::vector<Block> blocks_;
  int64_t bytes_ = 0;
};

bool contains(const std::vector<int>& list, int value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

CpuExecutable::CpuExecutable(const Graph& graph, const Device& device) : device_(device) {
  const Lowered lowered = lower(graph);
  arguments_ = static_cast<int>(lowered.inputs.size());
  make_steps(lowered);
  merge_alike();
  append_by_rows();
  plan_outputs(lowered);
  plan_arena(lowered);
  find_donors(lowered);
  for (const StepPtr& step : steps_) step->bind(places_);
  slots_.resize(static_cast<size_t>(1 + arguments_) + computed_.size());
  reads_.clear();
  writes_.clear();
  places_.clear();
}

void CpuExecutable::make_steps(const Lowered& lowered) {
  for (const Group& group : lowered.groups) {
    std::vector<int> reads, writes;
    for (int v : group.members) {
      for (const Access& access : lowered.values[static_cast<size_t>(v)].inputs) {
        if (!contains(group.members, access.base)) reads.push_back(access.base);
      }
      // A terminal reduction nobody reads still writes somewhere.
      if (lowered.stored[static_cast<size_t>(v)] || group.opaque) writes.push_back(v);
    }
    if (group.opaque) {
      steps_.push_back(make_opaque_step(lowered, group.members[0]));
    } else {
      steps_.push_back(std::make_unique<TileStep>(lowered, group));
    }
    reads_.push_back(std::move(reads));
    writes_.push_back(std::move(writes));
  }
}

/// Steps that do the same to other memory become one: the update of every parameter, say. The
/// earlier moves down to the later, so nothing between may read what it writes.
void CpuExecutable::merge_alike() {
  for (size_t later = 1; later < steps_.size(); ++later) {
    auto* target = dynamic_cast<TileStep*>(steps_[later].get());
    if (!target) continue;
    for (size_t earlier = later; earlier-- > 0;) {
      auto* source = dynamic_cast<TileStep*>(steps_[earlier].get());
      if (!source) continue;
      const bool needed = std::any_of(reads_.begin() + static_cast<std::ptrdiff_t>(earlier) + 1,
                                      reads_.begin() + static_cast<std::ptrdiff_t>(later) + 1,
                                      [&](const std::vector<int>& reads) {
                                        return std::any_of(reads.begin(), reads.end(), [&](int v) {
                                          return contains(writes_[earlier], v);
                                        });
                                      });
      if (needed || !target->absorb(*source)) continue;
      remove(earlier, later);
      --later;
    }
  }
}

/// Steps that go on with the rows that the one before has made become one with it.
void CpuExecutable::append_by_rows() {
  for (size_t s = 0; s + 1 < steps_.size();) {
    if (steps_[s]->append(*steps_[s + 1])) {
      remove(s + 1, s);
    } else {
      ++s;
    }
  }
}

/// Removes a step whose work another has taken over.
void CpuExecutable::remove(size_t step, size_t heir) {
  reads_[heir].insert(reads_[heir].end(), reads_[step].begin(), reads_[step].end());
  writes_[heir].insert(writes_[heir].end(), writes_[step].begin(), writes_[step].end());
  const auto gone = static_cast<std::ptrdiff_t>(step);
  steps_.erase(steps_.begin() + gone);
  reads_.erase(reads_.begin() + gone);
  writes_.erase(writes_.begin() + gone);
}

void CpuExecutable::plan_outputs(const Lowered& lowered) {
  for (const LoweredOutput& output : lowered.outputs) {
    const LoweredValue& value = lowered.values[static_cast<size_t>(output.value)];
    Output planned{output.value, output.offset * item_size(value.dtype), -1, -1};
    if (value.op == Op::kInput) {
      const auto found = std::find(lowered.inputs.begin(), lowered.inputs.end(), output.value);
      planned.argument = static_cast<int>(found - lowered.inputs.begin());
    } else {
      const auto found = std::find_if(computed_.begin(), computed_.end(),
                                      [&](const Computed& c) { return c.value == output.value; });
      planned.computed = static_cast<int>(found - computed_.begin());
      if (found == computed_.end()) {
        computed_.push_back(
            {output.value, element_count(value.shape) * item_size(value.dtype), -1});
      }
    }
    outputs_.push_back(planned);
  }
}

void CpuExecutable::plan_arena(const Lowered& lowered) {
  places_.assign(lowered.values.size(), {});
  for (int i = 0; i < arguments_; ++i) {
    places_[static_cast<size_t>(lowered.inputs[static_cast<size_t>(i)])] = {1 + i, 0};
  }
  std::vector<bool> leaves(lowered.values.size(), false);
  for (size_t i = 0; i < computed_.size(); ++i) {
    places_[static_cast<size_t>(computed_[i].value)] = {1 + arguments_ + static_cast<int>(i), 0};
    leaves[static_cast<size_t>(computed_[i].value)] = true;
  }
  std::vector<int> last_read(lowered.values.size(), -1);
  for (size_t s = 0; s < steps_.size(); ++s) {
    for (int v : reads_[s]) last_read[static_cast<size_t>(v)] = static_cast<int>(s);
  }
  ArenaPlan plan;
  for (size_t s = 0; s < steps_.size(); ++s) {
    const int now = static_cast<int>(s);
    for (int v : writes_[s]) {
      const auto at = static_cast<size_t>(v);
      if (leaves[at]) continue;
      const LoweredValue& value = lowered.values[at];
      const int64_t bytes = element_count(value.shape) * item_size(value.dtype);
      places_[at] = {kArena, plan.place(bytes, now, std::max(last_read[at], now))};
    }
    scratch_.push_back(plan.place(steps_[s]->scratch_bytes(), now, now));
  }
  arena_bytes_ = plan.bytes();
}

/// Pairs what is computed with donated arguments whose memory it may take.
void CpuExecutable::find_donors(const Lowered& lowered) {
  std::vector<bool> taken(lowered.inputs.size(), false);
  auto fits = [&](const Computed& computed, size_t argument) {
    if (!lowered.donated[argument] || taken[argument]) return false;
    const int input = lowered.inputs[argument];
    const LoweredValue& given = lowered.values[static_cast<size_t>(input)];
    if (element_count(given.shape) * item_size(given.dtype) != computed.bytes) return false;
    const bool returned = std::any_of(outputs_.begin(), outputs_.end(), [&](const Output& output) {
      return output.argument == static_cast<int>(argument);
    });
    if (returned) return false;
    for (size_t s = steps_.size(); s-- > 0;) {
      const bool reads = contains(reads_[s], input);
      if (contains(writes_[s], computed.value)) {
        return !reads || steps_[s]->may_overwrite(input, computed.value);
      }
      if (reads) return false;  // read after it would have been written over
    }
    return false;
  };
  // State comes back in the order in which it was given: try its own place first.
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].computed < 0) continue;
    Computed& computed = computed_[static_cast<size_t>(outputs_[i].computed)];
    if (computed.donor >= 0) continue;
    std::vector<size_t> order;
    if (i < taken.size()) order.push_back(i);
    for (size_t a = 0; a < taken.size(); ++a) order.push_back(a);
    const auto found = std::find_if(order.begin(), order.end(),
                                    [&](size_t argument) { return fits(computed, argument); });
    if (found == order.end()) continue;
    computed.donor = static_cast<int>(*found);
    taken[*found] = true;
  }
}

void CpuExecutable::run(std::span<Argument> arguments, std::span<Result> results) {
  const FlushDenormals guard;
  BufferPtr arena;
  if (arena_bytes_ > 0) {
    arena = allocate(&device_, arena_bytes_);
    slots_[kArena] = static_cast<char*>(arena->data());
  }
  for (size_t i = 0; i < arguments.size(); ++i) {
    Argument& argument = arguments[i];
    slots_[1 + i] = argument.buffer ? static_cast<char*>(argument.buffer->data()) + argument.offset
                                    : reinterpret_cast<char*>(argument.immediate.data());
  }
  thread_local std::vector<BufferPtr> buffers;
  struct Release {
    ~Release() { buffers.clear(); }
  } release;
  for (size_t i = 0; i < computed_.size(); ++i) {
    const Computed& computed = computed_[i];
    BufferPtr buffer;
    if (computed.donor >= 0) {
      Argument& donor = arguments[static_cast<size_t>(computed.donor)];
      const bool ours = donor.buffer && donor.buffer.use_count() == 1 && donor.buffer->writable();
      if (ours && donor.offset == 0) buffer = std::move(donor.buffer);
    }
    if (!buffer) buffer = allocate(&device_, computed.bytes);
    slots_[static_cast<size_t>(1 + arguments_) + i] = static_cast<char*>(buffer->data());
    buffers.push_back(std::move(buffer));
  }
  for (size_t s = 0; s < steps_.size(); ++s) {
    steps_[s]->run(slots_.data(), slots_[kArena] + scratch_[s]);
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Output& output = outputs_[i];
    if (output.argument >= 0) {
      const Argument& argument = arguments[static_cast<size_t>(output.argument)];
      results[i] = {argument.buffer, argument.offset + output.offset};
    } else {
      results[i] = {buffers[static_cast<size_t>(output.computed)], output.offset};
    }
  }
}

std::vector<std::string> CpuExecutable::describe() const {
  std::vector<std::string> lines;
  for (const StepPtr& step : steps_) lines.push_back(step->describe());
  return lines;
}

}  // namespace cyxwiz::cpu
