#include "cpu/tile_step.h"

#include <algorithm>
#include <cstring>

#include "cpu/threads.h"
#include "cpu/tile_step_builder.h"

namespace cyxwiz::cpu {
namespace {

// Pointers of a run: registers, memory operands, and two for a terminal reduction's result.
constexpr size_t kMostPointers = 512;

constexpr size_t at(Compute t) { return static_cast<size_t>(t); }
constexpr size_t reduce_at(Op op) {
  return static_cast<size_t>(op) - static_cast<size_t>(Op::k_sum);
}

/// Runs one kernel outside a tile: on `rows` × `cols` elements at `from`.
void run_kernel(TileKernel kernel, void* to, const void* from, void* also, int64_t rows,
                int64_t cols) {
  char* pointers[] = {static_cast<char*>(to), static_cast<char*>(const_cast<void*>(from)),
                      static_cast<char*>(also)};
  TileInstruction instruction;
  instruction.to = 0;
  instruction.a = 1;
  instruction.c = 2;
  Tile tile;
  tile.rows = rows;
  tile.cols = cols;
  tile.count[0] = rows * cols;
  tile.count[1] = rows;
  kernel(instruction, pointers, tile);
}

}  // namespace

/// One thread's walk over tiles.
class TileStep::Runner {
 public:
  Runner(const TileStep& step, char* const* slots, char* scratch)
      : step_(step), slots_(slots), scratch_(scratch) {
    char* memory = thread_memory(step.registers_ * step.register_bytes_);
    for (int r = 0; r < step.registers_; ++r) pointers_[r] = memory + r * step.register_bytes_;
  }

  /// Tiles first … last − 1 of the segments one after another, each on its own; of a segment those
  /// at its end first, if `backwards`.
  void run_tiles(int64_t first, int64_t last, bool backwards) {
    int64_t before = 0;
    for (const Segment& segment : step_.segments_) {
      const int64_t from = std::max(first - before, int64_t{0});
      const int64_t to = std::min(last - before, segment.tiles);
      if (from < to) {
        enter(segment);
        for (int64_t i = from; i < to; ++i) {
          const int64_t t = backwards ? to - 1 - (i - from) : i;
          locate(t);
          run_instructions();
          for (const TerminalReduction& terminal : step_.terminals_) reduce_tile(terminal, t);
        }
      }
      before += segment.tiles;
    }
  }

  /// Units of a column reduction: each accumulates the tiles of one chunk, for some of the columns.
  void run_columns(int64_t first, int64_t last) {
    const Segment& segment = step_.segments_[0];
    enter(segment);
    const int64_t reduced = step_.reduced_tiles();
    const int64_t col_blocks = step_.blocks(segment, segment.sizes.size() - 1);
    for (int64_t unit = first; unit < last; ++unit) {
      const int64_t chunk = unit % step_.chunks_, rest = unit / step_.chunks_;
      const int64_t col = rest % col_blocks, outer = rest / col_blocks;
      const int64_t from = reduced * chunk / step_.chunks_;
      const int64_t to = reduced * (chunk + 1) / step_.chunks_;
      for (int64_t r = from; r < to; ++r) {
        locate((outer * reduced + r) * col_blocks + col);
        tile_.first = r == from;
        run_instructions();
        for (const TerminalReduction& terminal : step_.terminals_) accumulate(terminal, chunk);
      }
    }
  }

 private:
  void enter(const Segment& segment) {
    segment_ = &segment;
    operand_count_ = segment.operands.size();
    char** memory = pointers_ + step_.registers_;
    for (size_t i = 0; i < operand_count_; ++i) {
      const TileOperand& operand = segment.operands[i];
      bases_[i] = slots_[operand.place.slot] + operand.place.offset + operand.offset * operand.item;
      memory[i] = bases_[i];
    }
    tile_.rows = step_.row_block_;
    tile_.cols = step_.col_block_;
    tile_.count[0] = tile_.rows * tile_.cols;
    tile_.count[1] = tile_.rows;
    for (const TileInstruction& in : step_.once_) in.run(in, pointers_, tile_);
  }

  /// Points the memory operands at tile `t` of the segment.
  void locate(int64_t t) {
    const std::vector<int64_t>& sizes = segment_->sizes;
    const size_t last = sizes.size() - 1;
    if (last == 0) return locate_flat(t);
    int64_t starts[kMaxRank];
    int64_t linear_stride = 1, along_stride = 1, linear = 0, along = 0;
    for (size_t i = last + 1; i-- > 0;) {
      const int64_t blocks = step_.blocks(*segment_, i);
      const int64_t block = i == last                          ? step_.col_block_
                            : i + 1 == last && step_.has_rows_ ? step_.row_block_
                                                               : 1;
      const int64_t start = i == 0 ? t * block : t % blocks * block;
      t /= blocks;
      starts[i] = start;
      linear += start * linear_stride;
      linear_stride *= sizes[i];
      // For a column reduction the last axis is kept; the reduced ones lie between.
      const bool is_reduced =
          i >= step_.kept_axes_ && (i < last || step_.kind_ == ReduceKind::kTile);
      if (is_reduced) {
        along += start * along_stride;
        along_stride *= sizes[i];
      }
    }
    tile_.linear = linear;
    tile_.along = along;
    tile_.cols = std::min(step_.col_block_, sizes[last] - starts[last]);
    tile_.rows =
        step_.has_rows_ ? std::min(step_.row_block_, sizes[last - 1] - starts[last - 1]) : 1;
    tile_.count[0] = tile_.rows * tile_.cols;
    tile_.count[1] = tile_.rows;
    char** memory = pointers_ + step_.registers_;
    for (size_t i : segment_->moving) {
      const TileOperand& operand = segment_->operands[i];
      int64_t offset = 0;
      for (size_t axis = 0; axis <= last; ++axis) {
        offset += starts[axis] * operand.strides[static_cast<int>(axis)];
      }
      memory[i] = bases_[i] + offset * operand.item;
    }
    if (!step_.terminals_.empty()) std::copy(starts, starts + last + 1, starts_);
  }

  /// The same for a single axis, the common case.
  void locate_flat(int64_t t) {
    const int64_t start = t * step_.col_block_;
    tile_.linear = tile_.along = start;
    tile_.rows = 1;
    tile_.cols = std::min(step_.col_block_, segment_->sizes[0] - start);
    tile_.count[0] = tile_.cols;
    tile_.count[1] = 1;
    char** memory = pointers_ + step_.registers_;
    for (size_t i : segment_->moving) {
      const TileOperand& operand = segment_->operands[i];
      memory[i] = bases_[i] + start * operand.strides[0] * operand.item;
    }
    starts_[0] = start;
  }

  void run_instructions() {
    for (const TileInstruction& in : step_.instructions_) in.run(in, pointers_, tile_);
  }

  void reduce_tile(const TerminalReduction& t, int64_t tile) {
    const char* source = pointers_[t.source];
    const int64_t item = item_size(t.type), n = tile_.count[0];
    char* to = t.direct ? slots_[t.place.slot] + t.place.offset : scratch_ + t.partials;
    to += tile * item;
    const TileKernel kernel = tile_kernels().reduce_rows[reduce_at(t.op)][at(t.type)];
    if (!t.is_arg) return run_kernel(kernel, to, source, nullptr, 1, n);
    int64_t index = 0;
    run_kernel(kernel, &index, source, nullptr, 1, n);
    std::memcpy(to, source + index * item, static_cast<size_t>(item));
    index += tile_.along;
    std::memcpy(scratch_ + t.indices + tile * 8, &index, sizeof(index));
  }

  void accumulate(const TerminalReduction& t, int64_t chunk) {
    int64_t element = chunk * step_.out_count_;
    for (size_t i = 0; i < segment_->sizes.size(); ++i) {
      element += starts_[i] * t.strides[static_cast<int>(i)];
    }
    char* to = t.direct ? slots_[t.place.slot] + t.place.offset : scratch_ + t.partials;
    char** results = pointers_ + step_.registers_ + operand_count_;
    results[0] = to + element * item_size(t.type);
    results[1] = scratch_ + t.indices + element * 8;
    TileInstruction in;
    in.to = static_cast<uint16_t>(static_cast<size_t>(step_.registers_) + operand_count_);
    in.c = static_cast<uint16_t>(in.to + 1);
    in.a = t.source;
    tile_kernels().reduce_columns[reduce_at(t.op)][at(t.type)](in, pointers_, tile_);
  }

  const TileStep& step_;
  char* const* slots_;
  char* scratch_;
  const Segment* segment_ = nullptr;
  size_t operand_count_ = 0;
  Tile tile_;
  char* pointers_[kMostPointers];
  char* bases_[kMostPointers];
  int64_t starts_[kMaxRank] = {};
};

TileStep::TileStep(const Lowered& lowered, const Group& group) {
  TileStepBuilder builder(lowered, group, *this);
  const int64_t likely = builder.likely_tile();
  builder.build(likely);
  // Which registers it takes is known only once it is built.
  const int64_t tile = builder.best_tile();
  if (tile == likely) return;
  *this = TileStep();
  TileStepBuilder(lowered, group, *this).build(tile);
}

void TileStep::bind(const std::vector<Place>& place_of) {
  for (Segment& segment : segments_) {
    for (TileOperand& operand : segment.operands) {
      operand.place = place_of[static_cast<size_t>(operand.value)];
    }
  }
  for (TerminalReduction& t : terminals_) t.place = place_of[static_cast<size_t>(t.value)];
}

int64_t TileStep::blocks(const Segment& segment, size_t axis) const {
  const size_t last = segment.sizes.size() - 1;
  const int64_t size = segment.sizes[axis];
  if (axis == last) return (size + col_block_ - 1) / std::max<int64_t>(col_block_, 1);
  if (axis + 1 == last && has_rows_) return (size + row_block_ - 1) / row_block_;
  return size;
}

int64_t TileStep::reduced_tiles() const {
  int64_t tiles = 1;
  for (size_t i = kept_axes_; i + 1 < segments_[0].sizes.size(); ++i)
    tiles *= blocks(segments_[0], i);
  return tiles;
}

bool TileStep::absorb(TileStep& other) {
  auto is_flat = [](const TileStep& step) {
    return step.kind_ == ReduceKind::kNone && !step.has_rows_ &&
           step.segments_[0].sizes.size() == 1;
  };
  auto same = [](const std::vector<TileInstruction>& a, const std::vector<TileInstruction>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
      return x.run == y.run && x.to == y.to && x.a == y.a && x.b == y.b && x.c == y.c &&
             x.d == y.d && x.column_stride == y.column_stride;
    });
  };
  if (!is_flat(*this) || !is_flat(other) || registers_ != other.registers_) return false;
  if (!same(instructions_, other.instructions_) || !same(once_, other.once_)) return false;
  const auto &mine = segments_[0].operands, &theirs = other.segments_[0].operands;
  const bool alike = std::equal(
      mine.begin(), mine.end(), theirs.begin(), theirs.end(), [](const auto& x, const auto& y) {
        return x.strides == y.strides && x.item == y.item && x.is_store == y.is_store;
      });
  if (!alike) return false;
  col_block_ = std::max(col_block_, other.col_block_);
  register_bytes_ = std::max(register_bytes_, other.register_bytes_);
  segments_.insert(segments_.end(), other.segments_.begin(), other.segments_.end());
  for (Segment& segment : segments_) segment.tiles = blocks(segment, 0);
  timings_.insert(timings_.end(), other.timings_.begin(), other.timings_.end());
  return true;
}

bool TileStep::may_overwrite(int input, int output) const {
  for (const Timing& store : timings_) {
    if (store.value != output || !store.is_store) continue;
    return std::all_of(timings_.begin(), timings_.end(), [&](const Timing& read) {
      return read.value != input || (!read.is_store && read.aligned && read.item == store.item &&
                                     read.instruction <= store.instruction);
    });
  }
  return false;
}

/// Does this run go backwards? Steps over much memory go forwards and backwards by turns: what one
/// touched last, L2 still holds when the next one begins. (A quarter of the time of a sum of arrays
/// of 4 MB, on two threads.) Not those that fetch ahead: they do so forwards.
bool TileStep::takes_turn(double elements) const {
  constexpr double kMuch = 1 << 17;
  thread_local bool backwards = false;
  const auto fetches = [](const TileInstruction& in) {
    return in.fetches != TileInstruction::kNothing;
  };
  if (elements < kMuch || std::ranges::any_of(instructions_, fetches)) return false;
  return backwards = !backwards;
}

void TileStep::run(char* const* slots, char* scratch) {
  int64_t tiles = 0;
  for (const Segment& segment : segments_) tiles += segment.tiles;
  if (tiles == 0) return fill_empty(slots, scratch);
  const double elements = static_cast<double>(tiles) * static_cast<double>(row_block_ * col_block_);
  const auto cost = static_cast<int64_t>(elements * cost_);
  if (kind_ == ReduceKind::kColumn) {
    const int64_t units = tiles / reduced_tiles() * chunks_;
    parallel_ranges(units, cost, [&](int64_t first, int64_t last) {
      Runner(*this, slots, scratch).run_columns(first, last);
    });
  } else {
    const bool backwards = takes_turn(elements);
    parallel_ranges(
        tiles, cost,
        [&](int64_t first, int64_t last) {
          Runner(*this, slots, scratch).run_tiles(first, last, backwards);
        },
        backwards);
  }
  if (!terminals_.empty()) combine(slots, scratch);
}

/// Turns the parts' results into the whole's, in an order that only sizes decide.
void TileStep::combine(char* const* slots, char* scratch) const {
  for (const TerminalReduction& t : terminals_) {
    if (t.direct) continue;
    const auto& table =
        kind_ == ReduceKind::kTile ? tile_kernels().reduce_rows : tile_kernels().reduce_columns;
    const int64_t rows = kind_ == ReduceKind::kTile ? out_count_ : chunks_;
    const int64_t cols = kind_ == ReduceKind::kTile ? chunks_ : out_count_;
    const char* partials = scratch + t.partials;
    const TileKernel kernel = table[reduce_at(t.op)][at(t.type)];
    if (!t.is_arg) {
      run_kernel(kernel, scratch + t.combined, partials, nullptr, rows, cols);
    } else {
      auto* chosen = reinterpret_cast<int64_t*>(scratch + t.chosen);
      auto* result = reinterpret_cast<int64_t*>(scratch + t.combined);
      const auto* indices = reinterpret_cast<const int64_t*>(scratch + t.indices);
      // arg_rows writes the part; arg_columns the extreme, and the part beside it.
      const bool by_rows = kind_ == ReduceKind::kTile;
      run_kernel(kernel, by_rows ? static_cast<void*>(chosen) : result, partials, chosen, rows,
                 cols);
      for (int64_t i = 0; i < out_count_; ++i) {
        result[i] = indices[by_rows ? i * chunks_ + chosen[i] : chosen[i] * out_count_ + i];
      }
    }
    store(t, slots, scratch);
  }
}

/// The reduction of nothing is the operation's identity.
void TileStep::fill_empty(char* const* slots, char* scratch) const {
  for (const TerminalReduction& t : terminals_) {
    char* to = t.direct ? slots[t.place.slot] + t.place.offset : scratch + t.combined;
    run_kernel(tile_kernels().reduce_rows[reduce_at(t.op)][at(t.type)], to, nullptr, nullptr,
               out_count_, 0);
    if (!t.direct) store(t, slots, scratch);
  }
}

void TileStep::store(const TerminalReduction& t, char* const* slots, char* scratch) const {
  char* to = slots[t.place.slot] + t.place.offset;
  const char* from = scratch + t.combined;
  if (stored_as_computed(t.dtype)) {
    std::memcpy(to, from, static_cast<size_t>(out_count_ * item_size(t.dtype)));
  } else {
    run_kernel(tile_kernels().store[static_cast<size_t>(t.dtype)], to, from, nullptr, 1,
               out_count_);
  }
}

std::string TileStep::describe() const {
  return text_ +
         (segments_.size() > 1 ? " and " + std::to_string(segments_.size() - 1) + " more" : "");
}

}  // namespace cyxwiz::cpu
