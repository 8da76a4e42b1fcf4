#include "cpu/tile_step_builder.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cpu/alignment.h"

namespace cyxwiz::cpu {
namespace {

constexpr int kManyRegisters = 8;
constexpr double kFunctionCost = 0.5;

constexpr size_t at(Compute t) { return static_cast<size_t>(t); }
constexpr size_t at(DType t) { return static_cast<size_t>(t); }
constexpr size_t at(Op op) { return static_cast<size_t>(op); }
constexpr size_t reduce_at(Op op) { return at(op) - at(Op::k_sum); }

/// Nanoseconds an element on one core, roughly: what decides whether threads are worth their fork.
double instruction_cost(Op op) {
  switch (op) {
    case Op::k_exp:
    case Op::k_log:
    case Op::k_sin:
    case Op::k_cos:
    case Op::k_tanh:
    case Op::k_sigmoid:
      return kFunctionCost;
    case Op::k_power:
    case Op::k_remainder:
    case Op::k_floor_divide:
    case Op::k_tan:
    case Op::k_erf:
    case Op::k_softplus:
      return 2.0;
    case Op::k_uniform:
      return 1.0;
    default:
      return 0.1;
  }
}

}  // namespace

bool TileStepBuilder::in_group(int v) const {
  return std::binary_search(group_.members.begin(), group_.members.end(), v);
}

void TileStepBuilder::arrange_axes() {
  const Shape& domain = group_.domain;
  const int rank = domain.rank();
  int inner_from = rank;  // kColumn: the trailing run of kept axes
  if (group_.kind == ReduceKind::kColumn) {
    while (inner_from > 0 && !(group_.reduced >> (inner_from - 1) & 1)) --inner_from;
  }
  auto add = [&](int axis, Axis::Role role) {
    axes_.push_back({domain[axis], role});
    order_.push_back(axis);
  };
  const bool reduces = group_.kind == ReduceKind::kTile || group_.kind == ReduceKind::kColumn;
  if (!reduces) {
    for (int i = 0; i < rank; ++i) {
      const bool row_axis = group_.kind == ReduceKind::kRow && i == rank - 1;
      add(i, row_axis ? Axis::kInner : Axis::kOuter);
    }
    return;
  }
  for (int i = 0; i < inner_from; ++i) {
    if (!(group_.reduced >> i & 1)) add(i, Axis::kOuter);
  }
  for (int i = 0; i < inner_from; ++i) {
    if (group_.reduced >> i & 1) add(i, Axis::kReduced);
  }
  for (int i = inner_from; i < rank; ++i) add(i, Axis::kInner);
}

/// Joins neighbouring axes that every operand walks through as if they were one.
void TileStepBuilder::collapse_axes() {
  std::vector<Strides> reads;
  for (int i = 0; i < group_.domain.rank(); ++i) merged_.push_back({i});
  auto over_domain = [&](const Strides& strides, const Shape& domain, bool row) {
    Strides s = squeezed(strides, domain);
    if (row) s.push_back(0);
    Strides arranged = s;
    for (int i = 0; i < s.rank(); ++i) arranged[i] = s[order_[static_cast<size_t>(i)]];
    return arranged;
  };
  for (int v : group_.members) {
    if (is_source(value(v).op)) continue;
    for (const Access& access : value(v).inputs) {
      if (!in_group(access.base)) {
        reads.push_back(over_domain(access.strides, value(v).domain,
                                    row_level(v) && !is_reduction(value(v).op)));
      }
    }
    // What is written at the full level is dense over the domain as it was before it was permuted.
    if (stored(v) && !is_terminal(v) && !row_level(v)) {
      reads.push_back(over_domain(contiguous_strides(group_.domain), group_.domain, false));
    }
  }
  for (size_t i = 0; i + 1 < axes_.size();) {
    const bool together = axes_[i].role == axes_[i + 1].role &&
                          std::all_of(reads.begin(), reads.end(), [&](const Strides& s) {
                            const int from = merged_[i].back(), to = merged_[i + 1].back();
                            return s[from] == s[to] * axes_[i + 1].size;
                          });
    if (!together) {
      ++i;
      continue;
    }
    axes_[i].size *= axes_[i + 1].size;
    merged_[i].insert(merged_[i].end(), merged_[i + 1].begin(), merged_[i + 1].end());
    axes_.erase(axes_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    merged_.erase(merged_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }
  if (axes_.empty()) {
    axes_.push_back({1, group_.kind == ReduceKind::kTile ? Axis::kReduced : Axis::kInner});
    merged_.push_back({});
  }
  // Only the last of several kept inner axes is a tile's columns; the others are walked outside.
  if (group_.kind == ReduceKind::kColumn) {
    auto first_inner = std::find_if(axes_.begin(), axes_.end(),
                                    [](const Axis& axis) { return axis.role == Axis::kInner; });
    auto first_reduced = std::find_if(axes_.begin(), axes_.end(),
                                      [](const Axis& axis) { return axis.role == Axis::kReduced; });
    const auto from = first_reduced - axes_.begin(), middle = first_inner - axes_.begin();
    const auto last = static_cast<std::ptrdiff_t>(axes_.size()) - 1;
    std::rotate(axes_.begin() + from, axes_.begin() + middle, axes_.begin() + last);
    std::rotate(merged_.begin() + from, merged_.begin() + middle, merged_.begin() + last);
    for (std::ptrdiff_t i = from; i < from + last - middle; ++i) {
      axes_[static_cast<size_t>(i)].role = Axis::kOuter;
    }
  }
}

Strides TileStepBuilder::step_strides(const Strides& strides, const Shape& domain, bool row) const {
  Strides s = squeezed(strides, domain);
  if (row) s.push_back(0);
  Strides result;
  for (const std::vector<int>& axes : merged_) {
    result.push_back(axes.empty() ? 0 : s[order_[static_cast<size_t>(axes.back())]]);
  }
  return result;
}

void TileStepBuilder::choose_tile(int64_t elements) {
  const size_t last = axes_.size() - 1;
  const int64_t cols = axes_[last].size;
  step_.has_rows_ = last > 0 && (cols < elements || group_.kind == ReduceKind::kColumn);
  if (last > 0 && group_.kind == ReduceKind::kRow) step_.has_rows_ = true;
  if (group_.kind == ReduceKind::kTile && last > 0 && axes_[last - 1].role != Axis::kReduced) {
    step_.has_rows_ = false;
  }
  step_.col_block_ = group_.kind == ReduceKind::kRow ? cols : std::min(cols, elements);
  // Several rows make a tile only where they lie one after another in what is written.
  const bool adjacent = last > 0 && !merged_[last].empty() && !merged_[last - 1].empty() &&
                        order_[static_cast<size_t>(merged_[last - 1].back())] + 1 ==
                            order_[static_cast<size_t>(merged_[last].front())];
  const bool whole_rows = step_.col_block_ == cols && adjacent;
  step_.row_block_ = 1;
  if (step_.has_rows_ && whole_rows) {
    const int64_t fit = std::max<int64_t>(1, elements / std::max<int64_t>(cols, 1));
    step_.row_block_ = std::min(fit, std::max<int64_t>(axes_[last - 1].size, 1));
  } else if (step_.has_rows_ && group_.kind == ReduceKind::kColumn) {
    step_.row_block_ = 1;
  } else if (!whole_rows && step_.has_rows_) {
    step_.has_rows_ = false;
  }
  TileStep::Segment segment;
  for (const Axis& axis : axes_) segment.sizes.push_back(axis.size);
  segment.tiles = 1;
  for (size_t i = 0; i < axes_.size(); ++i) segment.tiles *= step_.blocks(segment, i);
  step_.segments_.push_back(std::move(segment));
}

int TileStepBuilder::new_operand(int v, int64_t offset, const Strides& strides, bool is_store,
                                 bool aligned) {
  std::vector<TileOperand>& operands = step_.segments_[0].operands;
  operands.push_back({v, offset, strides, item_size(value(v).dtype), is_store, {}});
  aligned_.push_back(aligned);
  if (std::any_of(strides.begin(), strides.end(), [](int64_t stride) { return stride != 0; })) {
    step_.segments_[0].moving.push_back(operands.size() - 1);
  }
  return static_cast<int>(operands.size()) - 1;
}

/// Can instructions read that memory as if it were a register?
bool TileStepBuilder::is_direct(const Strides& strides, bool row) const {
  const int last = strides.rank() - 1;
  if (row) return !step_.has_rows_ || step_.row_block_ == 1 || strides[last - 1] == 1;
  if (step_.col_block_ > 1 && strides[last] != 1) return false;
  return step_.row_block_ == 1 || strides[last - 1] == axes_[static_cast<size_t>(last)].size;
}

/// Does every tile see the same elements?
bool TileStepBuilder::is_invariant(const Strides& strides) const {
  const int last = strides.rank() - 1;
  for (int i = 0; i < last; ++i) {
    if (strides[i] != 0) return false;
  }
  return strides[last] == 0 || step_.col_block_ == axes_[static_cast<size_t>(last)].size;
}

TileStepBuilder::Location TileStepBuilder::emit(TileKernel kernel, Compute result, bool row,
                                                std::vector<Location> inputs, const Location* to) {
  Draft draft;
  draft.instruction.run = kernel;
  draft.instruction.level = row;
  draft.to = to ? *to : Location{false, new_register(), result, row};
  draft.inputs = std::move(inputs);
  drafts_.push_back(std::move(draft));
  return drafts_.back().to;
}

TileStepBuilder::Location TileStepBuilder::at_level(Location from, bool row) {
  if (from.row == row || row) return from;
  const auto key = std::pair(from.memory ? -1 - from.index : from.index, 0);
  if (const auto found = expanded_.find(key); found != expanded_.end()) return found->second;
  expanded_[key] = emit(tile_kernels().expand[at(from.type)], from.type, false, {from});
  // In a tile of one row, a number a row is one for the whole tile.
  drafts_.back().single = step_.row_block_ == 1;
  return expanded_[key];
}

TileStepBuilder::Location TileStepBuilder::read(const Access& access, const Shape& domain,
                                                bool row) {
  if (in_group(access.base)) return at_level(location_.at(access.base), row);
  const LoweredValue& source = value(access.base);
  const Strides strides = step_strides(access.strides, domain, row);
  const Compute type = compute_type(source.dtype);
  const auto key = std::tuple(access.base, access.offset,
                              std::vector<int64_t>(strides.begin(), strides.end()), row);
  if (const auto found = loads_.find(key); found != loads_.end()) return found->second;
  const bool direct = stored_as_computed(source.dtype) && is_direct(strides, row);
  const bool once = !direct && is_invariant(strides);
  // Does element i of the loop read element i of the value, in that element's own turn?
  const bool aligned = access.offset == 0 && !once &&
                       squeezed(access.strides, domain) == contiguous_strides(squeezed(domain));
  const Location memory{true, new_operand(access.base, access.offset, strides, false, aligned),
                        type, row};
  if (direct) return loads_[key] = memory;
  const Location loaded = emit(tile_kernels().load[at(source.dtype)], type, row, {memory});
  const int last = strides.rank() - 1;
  drafts_.back().once = once;
  drafts_.back().single = once && strides[last] == 0 && stored_as_computed(source.dtype);
  TileInstruction& load = drafts_.back().instruction;
  const int64_t row_stride = step_.has_rows_ ? strides[last - 1] : 0;
  load.row_stride = row_stride;
  load.column_stride = row ? row_stride : strides[last];
  return loads_[key] = loaded;
}

TileStepBuilder::Location TileStepBuilder::converted(Location from, Compute to) {
  if (from.type == to) return from;
  return emit(tile_kernels().convert[at(from.type)][at(to)], to, from.row, {from});
}

TileStepBuilder::Location TileStepBuilder::own_memory(int v) {
  const bool row = row_level(v);
  Shape shape = group_.domain;
  if (row) shape.resize(shape.rank() - 1);
  const Strides strides = step_strides(contiguous_strides(shape), shape, row);
  return {true, new_operand(v, 0, strides, true, true), compute_type(value(v).dtype), row};
}

/// Where the value's last instruction should write: its memory, when that is as it is computed.
TileStepBuilder::Location TileStepBuilder::destination(int v) {
  const Compute type = compute_type(value(v).dtype);
  const bool row = row_level(v);
  if (!stored(v) || !stored_as_computed(value(v).dtype)) {
    return {false, new_register(), type, row};
  }
  return own_memory(v);
}

/// Makes `result` the value's location, and writes it to the value's memory unless it is there
/// already.
void TileStepBuilder::finish_value(int v, Location result, bool written) {
  location_[v] = result;
  if (!stored(v) || written) return;
  const LoweredValue& it = value(v);
  const TileKernel kernel = stored_as_computed(it.dtype) ? tile_kernels().copy[at(result.type)]
                                                         : tile_kernels().store[at(it.dtype)];
  const Location memory = own_memory(v);
  emit(kernel, result.type, memory.row, {result}, &memory);
}

void TileStepBuilder::emit_value(int v) {
  const LoweredValue& it = value(v);
  const TileKernels& kernels = tile_kernels();
  const bool row = row_level(v);
  const Compute type = compute_type(it.dtype);
  const bool narrow = !stored_as_computed(it.dtype);
  step_.cost_ += instruction_cost(it.op) * static_cast<double>(item_size(type)) / 4;
  if (is_reduction(it.op)) {  // kRow
    Location source = read(it.inputs[0], it.domain, false);
    const Location to = destination(v);
    emit(kernels.reduce_rows[reduce_at(it.op)][at(source.type)], type, true, {source}, &to);
    drafts_.back().pass.outer = it.op;
    return finish_value(v, to, to.memory);
  }
  if (is_source(it.op)) {
    const Location to = destination(v);
    if (it.op == Op::k_uniform) {
      Strides still;
      still.resize(static_cast<int>(axes_.size()));
      const Location key{true,
                         new_operand(it.inputs[0].base, it.inputs[0].offset, still, false, false),
                         Compute::kInt64, false};
      emit(kernels.map[at(it.op)][at(type)], type, false, {key}, &to);
    } else {
      emit(kernels.map[at(it.op)][at(type)], type, false, {}, &to);
    }
    return finish_value(v, to, to.memory);
  }
  if (it.op == Op::k_cast || it.op == Op::k_copy) {
    const DType from_dtype = value(it.inputs[0].base).dtype;
    Location from = read(it.inputs[0], it.domain, row);
    // Same type in a register, nothing to write and nothing to wrap: another name will do.
    const bool wraps = it.op == Op::k_cast && narrow && from_dtype != it.dtype;
    if (from.type == type && !wraps) return finish_value(v, from, false);
    if (!wraps) {
      const Location to = destination(v);
      emit(kernels.convert[at(from.type)][at(type)], type, row, {from}, &to);
      return finish_value(v, to, to.memory);
    }
    from = converted(from, type);
    return finish_value(v, emit(kernels.wrap[at(it.dtype)], type, row, {from}), false);
  }
  // Arithmetic and comparisons of bools happen in int32; `where` chooses among any type.
  std::vector<Location> inputs;
  for (size_t i = 0; i < it.inputs.size(); ++i) {
    Location input = read(it.inputs[i], it.domain, row);
    const bool has_kernel = kernels.map[at(it.op)][at(input.type)] != nullptr;
    if (!has_kernel) input = converted(input, Compute::kInt32);
    inputs.push_back(input);
  }
  const Compute in_type = inputs[it.op == Op::k_where ? 1 : 0].type;
  const TileKernel kernel = kernels.map[at(it.op)][at(in_type)];
  const bool from_int = in_type == Compute::kInt32 && type == Compute::kBool &&
                        (it.op < Op::k_equal || it.op > Op::k_greater_equal) &&
                        it.op != Op::k_isnan && it.op != Op::k_isinf && it.op != Op::k_isfinite;
  Location to = from_int || narrow ? Location{false, new_register(), in_type, row} : destination(v);
  emit(kernel, type, row, std::move(inputs), &to);
  if (in_type == type && it.op != Op::k_where) drafts_.back().pass.outer = it.op;
  if (from_int) {
    const Location bools = destination(v);
    emit(kernels.convert[at(in_type)][at(type)], type, row, {to}, &bools);
    to = bools;
  } else if (narrow) {
    to = emit(kernels.wrap[at(it.dtype)], type, row, {to});
  }
  finish_value(v, to, to.memory);
}

void TileStepBuilder::emit_terminal(int v) {
  const LoweredValue& it = value(v);
  step_.cost_ += 0.1;
  const Location source = read(it.inputs[0], it.domain, false);
  terminal_sources_.push_back(source);
  Strides strides;  // the result is dense over the kept axes, in their order in the domain
  strides.resize(static_cast<int>(axes_.size()));
  Strides of_domain;
  of_domain.resize(group_.domain.rank());
  int64_t stride = 1;
  for (int i = group_.domain.rank() - 1; i >= 0; --i) {
    if (group_.reduced >> i & 1) continue;
    of_domain[i] = stride;
    stride *= group_.domain[i];
  }
  for (size_t i = 0; i < axes_.size(); ++i) {
    if (!merged_[i].empty()) {
      strides[static_cast<int>(i)] = of_domain[order_[static_cast<size_t>(merged_[i].back())]];
    }
  }
  step_.out_count_ = stride;
  TerminalReduction terminal;
  terminal.op = it.op;
  terminal.type = source.type;
  terminal.value = v;
  terminal.strides = strides;
  step_.terminals_.push_back(terminal);
}

uint16_t TileStepBuilder::pointer(const Location& location) const {
  const int index = location.memory ? step_.registers_ + location.index
                                    : physical_[static_cast<size_t>(location.index)];
  return static_cast<uint16_t>(index);
}

/// How often each virtual register is read, and by which draft it is written.
void TileStepBuilder::count_reads() {
  reads_.assign(static_cast<size_t>(registers_), 0);
  writer_.assign(static_cast<size_t>(registers_), -1);
  for (size_t i = 0; i < drafts_.size(); ++i) {
    const Draft& draft = drafts_[i];
    for (const Location& input : draft.inputs) {
      if (!input.memory) reads_[static_cast<size_t>(input.index)] += 1;
    }
    if (!draft.to.memory) writer_[static_cast<size_t>(draft.to.index)] = static_cast<int>(i);
  }
  for (const Location& source : terminal_sources_) {
    if (!source.memory) reads_[static_cast<size_t>(source.index)] += 1;
  }
}

/// The draft that makes an operand for that reader alone, or null.
const TileStepBuilder::Draft* TileStepBuilder::inner_of(const Location& operand,
                                                        const Draft& reader) const {
  if (operand.memory || reads_[static_cast<size_t>(operand.index)] != 1) return nullptr;
  const int inner = writer_[static_cast<size_t>(operand.index)];
  if (inner < 0) return nullptr;
  const Draft& from = drafts_[static_cast<size_t>(inner)];
  const int level = is_reduction(reader.pass.outer) ? 0 : reader.instruction.level;
  return from.pass.outer != Op::kInput && from.instruction.level == level ? &from : nullptr;
}

bool TileStepBuilder::is_single(const Location& operand) const {
  if (operand.memory) return false;
  const int writer = writer_[static_cast<size_t>(operand.index)];
  return writer >= 0 && drafts_[static_cast<size_t>(writer)].single;
}

namespace {

bool commutes(Op op) { return op == Op::k_add || op == Op::k_multiply; }

/// An operation that runs on its own, not as a part of a form.
bool is_plain(const TilePass& pass) {
  return pass.then == Op::kInput && pass.left == Op::kInput && pass.right == Op::kInput;
}

}  // namespace

/// A plain draft's operation and operands, for a form: x² is a product like any other, and of
/// operands that may change places the first is the one that is a single element.
std::pair<Op, std::vector<TileStepBuilder::Location>> TileStepBuilder::parts_of(
    const Draft& draft) const {
  std::pair<Op, std::vector<Location>> parts(draft.pass.outer, draft.inputs);
  auto& [op, operands] = parts;
  if (op == Op::k_square) return {Op::k_multiply, {operands[0], operands[0]}};
  if (commutes(op) && is_single(operands[1])) std::swap(operands[0], operands[1]);
  return parts;
}

/// Makes a form of a draft if there is a kernel for it. Operands that are one element are taken
/// from where they lie; `once` are those that are already (bits).
bool TileStepBuilder::become(Draft& draft, const TilePass& pass, std::vector<Location> operands,
                             size_t once) {
  const auto& forms = tile_kernels().forms;
  const auto form = std::find_if(forms.begin(), forms.end(), [&](const TileForm& f) {
    return f.pass == pass && f.type == draft.to.type;
  });
  if (form == forms.end() || !form->run[once]) return false;
  // Where there is no kernel for all that are single, some stay in registers.
  for (size_t i = 0; i < operands.size(); ++i) {
    const size_t more = once | size_t{1} << i;
    if (!is_single(operands[i]) || !form->run[more]) continue;
    once = more;
    const int load = writer_[static_cast<size_t>(operands[i].index)];
    operands[i] = drafts_[static_cast<size_t>(load)].inputs[0];
  }
  if (is_plain(pass) && once == 0) return false;  // nothing is gained
  draft.instruction.run = form->run[once];
  draft.pass = pass;
  draft.once_operands = once;
  draft.inputs = std::move(operands);
  return true;
}

/// Lets a draft compute operands of it on the way. False when there is no kernel for that.
bool TileStepBuilder::absorb_operands(Draft& outer) {
  if (outer.pass.outer == Op::kInput || !is_plain(outer.pass)) return false;
  if (outer.inputs.size() == 1) {
    const Draft* inner = inner_of(outer.inputs[0], outer);
    if (!inner || inner->pass.then != Op::kInput) return false;
    TilePass pass = inner->pass;
    pass.then = outer.pass.outer;
    if (!is_plain(inner->pass)) return become(outer, pass, inner->inputs, inner->once_operands);
    auto [op, operands] = parts_of(*inner);
    pass.outer = op;
    return become(outer, pass, std::move(operands));
  }
  const auto plain_inner = [&](size_t side) {
    const Draft* inner = inner_of(outer.inputs[side], outer);
    return inner && is_plain(inner->pass) ? inner : nullptr;
  };
  const Draft* const inner[] = {plain_inner(0), plain_inner(1)};
  // Which operands are computed on the way (bits), and whether they change places.
  constexpr std::pair<int, bool> kChoices[] = {{3, false}, {3, true}, {1, false},
                                               {2, false}, {1, true}, {2, true}};
  for (const auto& [taken, swapped] : kChoices) {
    const bool possible = (!(taken & 1) || inner[0]) && (!(taken & 2) || inner[1]) &&
                          (!swapped || commutes(outer.pass.outer));
    if (!possible) continue;
    std::pair<Op, std::vector<Location>> sides[2];
    for (size_t side = 0; side < 2; ++side) {
      sides[swapped ? 1 - side : side] =
          taken >> side & 1 ? parts_of(*inner[side])
                            : std::pair(Op::kInput, std::vector{outer.inputs[side]});
    }
    const TilePass pass{Op::kInput, outer.pass.outer, sides[0].first, sides[1].first};
    std::vector<Location> operands = std::move(sides[0].second);
    operands.insert(operands.end(), sides[1].second.begin(), sides[1].second.end());
    if (become(outer, pass, std::move(operands))) return true;
  }
  return false;
}

/// Takes operands of an operation that are one element from where they lie.
bool TileStepBuilder::absorb_singles(Draft& draft) {
  const bool is_binary = draft.pass.outer != Op::kInput && draft.inputs.size() == 2;
  return is_binary && is_plain(draft.pass) && become(draft, draft.pass, parts_of(draft).second);
}

/// Makes one pass over the tile of several where there is a kernel for it.
void TileStepBuilder::combine_drafts() {
  count_reads();
  // What takes its singles where they lie is no longer there to be computed on another's way: those
  // come last.
  for (Draft& draft : drafts_) {
    if (absorb_operands(draft)) count_reads();
  }
  for (Draft& draft : drafts_) {
    if (absorb_singles(draft)) count_reads();
  }
  // What nobody reads any more goes.
  std::erase_if(drafts_, [&](const Draft& draft) {
    return !draft.to.memory && reads_[static_cast<size_t>(draft.to.index)] == 0;
  });
}

/// Remembers when instructions touch memory: what may_overwrite() decides by.
void TileStepBuilder::note_memory() {
  for (size_t i = 0; i < drafts_.size(); ++i) {
    for (const Location& input : drafts_[i].inputs) note(input, i, false);
    note(drafts_[i].to, i, true);
  }
  for (const Location& source : terminal_sources_) note(source, drafts_.size(), false);
}

void TileStepBuilder::note(const Location& location, size_t instruction, bool is_store) {
  if (!location.memory) return;
  const auto index = static_cast<size_t>(location.index);
  const TileOperand& operand = step_.segments_[0].operands[index];
  step_.timings_.push_back(
      {operand.value, static_cast<int>(instruction), aligned_[index] != 0, operand.item, is_store});
}

/// Linear scan: a register is free again after the last instruction that reads it.
void TileStepBuilder::assign_registers() {
  std::vector<int> last_use(static_cast<size_t>(registers_), -1);
  auto use = [&](const Location& location, int when) {
    if (!location.memory) last_use[static_cast<size_t>(location.index)] = when;
  };
  const int end = static_cast<int>(drafts_.size());
  for (int i = 0; i < end; ++i) {
    const Draft& d = drafts_[static_cast<size_t>(i)];
    use(d.to, d.once ? end : i);
    for (const Location& input : d.inputs) use(input, i);
  }
  // What was computed once is read in every tile.
  for (const Draft& d : drafts_) {
    if (d.once) use(d.to, end);
  }
  for (const Location& source : terminal_sources_) use(source, end);

  physical_.assign(static_cast<size_t>(registers_), -1);
  std::vector<int> free_list;
  int used = 0;
  auto assign = [&](const Location& to) {
    if (to.memory || physical_[static_cast<size_t>(to.index)] >= 0) return;
    if (free_list.empty()) {
      physical_[static_cast<size_t>(to.index)] = used++;
    } else {
      physical_[static_cast<size_t>(to.index)] = free_list.back();
      free_list.pop_back();
    }
  };
  for (const Draft& d : drafts_) {
    if (d.once) assign(d.to);
  }
  for (int i = 0; i < end; ++i) {
    const Draft& d = drafts_[static_cast<size_t>(i)];
    auto release = [&](const Location& from) {
      if (from.memory || last_use[static_cast<size_t>(from.index)] != i) return;
      last_use[static_cast<size_t>(from.index)] = -1;  // once, even where it is read twice
      free_list.push_back(physical_[static_cast<size_t>(from.index)]);
    };
    // First the result, then the inputs that end here: kernels that change the item size or the
    // level can't work in place.
    assign(d.to);
    for (const Location& input : d.inputs) release(input);
  }
  step_.registers_ = used;
  for (const Draft& d : drafts_) {
    TileInstruction instruction = d.instruction;
    instruction.to = pointer(d.to);
    uint16_t* const operands[] = {&instruction.a, &instruction.b, &instruction.c, &instruction.d};
    for (size_t i = 0; i < d.inputs.size(); ++i) *operands[i] = pointer(d.inputs[i]);
    (d.once ? step_.once_ : step_.instructions_).push_back(instruction);
  }
  fetch_ahead();
  for (size_t i = 0; i < terminal_sources_.size(); ++i) {
    step_.terminals_[i].source = pointer(terminal_sources_[i]);
  }
  step_.register_bytes_ = aligned(step_.row_block_ * step_.col_block_ * 8);
}

/// The instructions of a chain with functions fetch an operand's next tile each. The first would
/// else wait for memory, which is idle while the others compute. (8 % of a chain with exp, sin and
/// sqrt. An optimizer's update, which has to wait for memory anyhow, would take 2 % longer.)
void TileStepBuilder::fetch_ahead() {
  const bool is_flat_chain = group_.kind == ReduceKind::kNone && axes_.size() == 1;
  if (!is_flat_chain || !computes_functions() || step_.registers_ == 0) return;
  auto instruction = step_.instructions_.begin();
  for (const size_t i : step_.segments_[0].moving) {
    if (instruction == step_.instructions_.end()) return;
    const TileOperand& operand = step_.segments_[0].operands[i];
    if (operand.item != sizeof(float) || operand.strides[0] != 1) continue;
    (instruction++)->fetches = static_cast<uint16_t>(static_cast<size_t>(step_.registers_) + i);
  }
}

/// How a reduction's work is cut, by its size alone, and where its partial results lie.
void TileStepBuilder::plan_terminals() {
  if (step_.terminals_.empty()) return;
  step_.kept_axes_ = static_cast<size_t>(std::count_if(
      axes_.begin(), axes_.end(), [](const Axis& axis) { return axis.role == Axis::kOuter; }));
  const int64_t tiles = step_.segments_[0].tiles;
  if (group_.kind == ReduceKind::kTile) {
    step_.chunks_ = step_.out_count_ > 0 ? tiles / step_.out_count_ : 0;
  } else {
    const int64_t reduced_tiles = step_.reduced_tiles();
    const int64_t units = std::max<int64_t>(reduced_tiles > 0 ? tiles / reduced_tiles : 1, 1);
    constexpr int64_t kEnoughUnits = 16, kTilesInChunk = 16;
    const int64_t wanted = units >= kEnoughUnits ? 1 : 4 * kEnoughUnits / units;
    step_.chunks_ = std::clamp<int64_t>(reduced_tiles / kTilesInChunk, 1, wanted);
  }
  for (TerminalReduction& t : step_.terminals_) {
    const bool arg = t.op == Op::k_argmax || t.op == Op::k_argmin;
    const int64_t partials = step_.chunks_ * step_.out_count_;
    t.is_arg = arg;
    t.dtype = value(t.value).dtype;
    t.direct = partials == step_.out_count_ && !arg && stored_as_computed(t.dtype);
    auto take = [&](int64_t bytes) {
      const int64_t at = step_.scratch_bytes_;
      step_.scratch_bytes_ += aligned(bytes);
      return at;
    };
    if (t.direct) continue;
    t.partials = take(partials * item_size(t.type));
    if (arg) t.indices = take(partials * 8);
    t.combined = take(step_.out_count_ * 8);
    if (arg) t.chosen = take(step_.out_count_ * 8);
  }
}

int64_t TileStepBuilder::likely_tile() const {
  if (group_.members.size() == 1) return kLongTile;
  if (group_.kind != ReduceKind::kNone) return kTile;
  return computes_functions() ? kFunctionsTile : kChainTile;
}

bool TileStepBuilder::computes_functions() const {
  return std::any_of(group_.members.begin(), group_.members.end(),
                     [&](int v) { return instruction_cost(value(v).op) >= kFunctionCost; });
}

int64_t TileStepBuilder::best_tile() const {
  const bool needs_tile_registers = std::any_of(
      drafts_.begin(), drafts_.end(), [](const Draft& d) { return !d.to.memory && !d.to.row; });
  const int64_t tile = needs_tile_registers ? likely_tile() : kLongTile;
  return tile == kTile && step_.registers_ > kManyRegisters ? kTile / 2 : tile;
}

void TileStepBuilder::build(int64_t tile) {
  step_.kind_ = group_.kind;
  arrange_axes();
  collapse_axes();
  choose_tile(tile);
  step_.text_ = "fused";
  for (int v : group_.members) {
    step_.text_ += " " + std::string(name(value(v).op));
    if (is_terminal(v)) {
      emit_terminal(v);
    } else {
      emit_value(v);
    }
  }
  step_.text_ += " over " + to_string(group_.domain);
  combine_drafts();
  note_memory();
  assign_registers();
  plan_terminals();
}

}  // namespace cyxwiz::cpu
