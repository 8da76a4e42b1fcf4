// Greedy fusion in program order: a value joins the latest group of its inputs that can compute it
// in the same loop, and groups that meet in it merge; it never joins where that would make a cycle.
#include "program/fuse.h"

#include <algorithm>
#include <bit>

namespace cyxwiz {
namespace {

// A group's instructions and operands stay within what a tile's pointer table holds.
constexpr size_t kMostMembers = 96;
constexpr size_t kMostReads = 40;
// The longest row that is kept in a tile whole, in elements.
constexpr int64_t kLongestRow = 4096;

unsigned squeezed_mask(int64_t mask, const Shape& shape) {
  unsigned result = 0;
  int to = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == 1) continue;
    if (mask >> i & 1) result |= 1u << to;
    ++to;
  }
  return result;
}

class Fusion {
 public:
  explicit Fusion(Lowered& lowered) : lowered_(lowered) {}

  void run() {
    const size_t count = lowered_.values.size();
    lowered_.group_of.assign(count, -1);
    lowered_.row_level.assign(count, false);
    for (size_t v = 0; v < count; ++v) {
      if (lowered_.values[v].op != Op::kInput) place(static_cast<int>(v));
    }
    order_groups();
    mark_stored();
  }

 private:
  // Groups while they grow; a merged one forwards to the one that took it in.
  struct Growing {
    Group group;
    std::vector<int> needs;  // groups that it reads from
    size_t reads = 0;
    bool dead = false;
  };

  LoweredValue& value(int v) { return lowered_.values[static_cast<size_t>(v)]; }
  int group_of(int v) const { return lowered_.group_of[static_cast<size_t>(v)]; }
  Growing& growing(int g) { return groups_[static_cast<size_t>(g)]; }

  /// Does `from` need `to`, directly or through others?
  bool depends(int from, int to) {
    if (from < 0) return false;
    std::vector<char> seen(groups_.size(), 0);
    std::vector<int> stack{from};
    while (!stack.empty()) {
      const int g = stack.back();
      stack.pop_back();
      if (g == to) return true;
      if (seen[static_cast<size_t>(g)]++) continue;
      for (int need : growing(g).needs) stack.push_back(need);
    }
    return false;
  }

  enum class Level { kNo, kFull, kRow };

  /// Can `v` read `access` from inside group `g`, at its full or its row level?
  bool reads_inside(const Access& access, const Shape& domain, const Group& group, bool row) {
    const LoweredValue& base = value(access.base);
    if (access.offset != 0) return false;
    const bool base_row = lowered_.row_level[static_cast<size_t>(access.base)];
    if (is_reduction(base.op) && !base_row) return false;  // done only when the step is
    const Strides strides = squeezed(access.strides, domain);
    if (row) return base_row && strides == contiguous_strides(squeezed(domain));
    if (!base_row) return strides == contiguous_strides(group.domain);
    // A row's result for each of the row's elements.
    Shape rows = group.domain;
    rows.resize(rows.rank() - 1);
    Strides expected = contiguous_strides(rows);
    expected.push_back(0);
    return strides == expected;
  }

  /// Could `v` run inside `g`, and at which level?
  Level level_in(int v, int g) {
    const LoweredValue& it = value(v);
    const Group& group = growing(g).group;
    if (group.opaque || group.permuted || group.members.size() >= kMostMembers) return Level::kNo;
    if (growing(g).reads + it.inputs.size() > kMostReads) return Level::kNo;
    const Shape domain = squeezed(it.domain);
    bool row = false;
    if (domain != group.domain) {
      Shape rows = group.domain;
      if (group.kind != ReduceKind::kRow || is_reduction(it.op) || is_source(it.op))
        return Level::kNo;
      rows.resize(rows.rank() - 1);
      if (domain != rows) return Level::kNo;
      row = true;
    }
    for (const Access& access : it.inputs) {
      const int from = group_of(access.base);
      if (from == g ? !reads_inside(access, it.domain, group, row) : depends(from, g)) {
        return Level::kNo;
      }
    }
    return row ? Level::kRow : Level::kFull;
  }

  struct Reduction {
    ReduceKind kind = ReduceKind::kNone;
    unsigned mask = 0;
    bool permuted = false;
  };

  Reduction reduction_of(const LoweredValue& it) {
    if (!is_reduction(it.op)) return {};
    Reduction r;
    const Shape domain = squeezed(it.domain);
    r.mask = squeezed_mask(it.attributes[0], it.domain);
    const unsigned all = (1u << domain.rank()) - 1, kept = all & ~r.mask;
    if (kept == 0) {
      r.kind = ReduceKind::kTile;
    } else if (kept < (1u << std::countr_zero(r.mask))) {
      r.kind = ReduceKind::kTile;  // trailing
    } else if (r.mask < (1u << std::countr_zero(kept))) {
      r.kind = ReduceKind::kColumn;  // leading
    } else {
      r.permuted = true;
      r.kind = r.mask >> (domain.rank() - 1) & 1 ? ReduceKind::kTile : ReduceKind::kColumn;
    }
    const bool last_only = domain.rank() > 0 && r.mask == 1u << (domain.rank() - 1);
    if (last_only && domain.back() <= kLongestRow && domain.back() > 0) r.kind = ReduceKind::kRow;
    return r;
  }

  static bool compatible(const Group& group, const Reduction& r) {
    if (r.kind == ReduceKind::kNone) return true;
    if (r.permuted || group.domain.rank() == 0) return false;
    if (group.kind == ReduceKind::kNone) {
      return !group.has_source || r.kind != ReduceKind::kColumn;
    }
    return group.kind == r.kind && group.reduced == r.mask;
  }

  void add_needs(int g, int v) {
    for (const Access& access : value(v).inputs) {
      const int from = group_of(access.base);
      if (from == g) continue;
      growing(g).reads += 1;
      if (from >= 0) growing(g).needs.push_back(from);
    }
  }

  void place(int v) {
    LoweredValue& it = value(v);
    const Reduction r = reduction_of(it);
    std::vector<int> candidates;
    if (!it.opaque() && !r.permuted) {
      for (const Access& access : it.inputs) {
        if (group_of(access.base) >= 0) candidates.push_back(group_of(access.base));
      }
      std::sort(candidates.rbegin(), candidates.rend());
      candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    }
    int home = -1;
    bool row = false;
    for (int g : candidates) {
      if (growing(g).dead) continue;
      if (home < 0) {
        const Level level = level_in(v, g);
        if (level == Level::kNo || !compatible(growing(g).group, r)) continue;
        if (is_source(it.op) && growing(g).group.kind == ReduceKind::kColumn) continue;
        home = g;
        row = level == Level::kRow;
      } else if (!row && r.kind == ReduceKind::kNone && can_merge(v, home, g)) {
        merge(home, g);
      }
    }
    if (home < 0) {
      home = static_cast<int>(groups_.size());
      groups_.push_back({});
      growing(home).group.opaque = it.opaque();
      growing(home).group.domain = squeezed(it.domain);
      growing(home).group.permuted = r.permuted;
    }
    Group& group = growing(home).group;
    if (r.kind != ReduceKind::kNone) {
      group.kind = r.kind;
      group.reduced = r.mask;
      row = r.kind == ReduceKind::kRow;
    }
    group.has_source |= is_source(it.op);
    add_needs(home, v);
    group.members.push_back(v);
    lowered_.group_of[static_cast<size_t>(v)] = home;
    lowered_.row_level[static_cast<size_t>(v)] = row;
  }

  /// May `other` be taken into `home`, where `v` already goes, because `v` reads both?
  bool can_merge(int v, int home, int other) {
    const Group &a = growing(home).group, &b = growing(other).group;
    if (b.opaque || b.permuted || a.domain != b.domain) return false;
    if (a.members.size() + b.members.size() >= kMostMembers) return false;
    if (growing(home).reads + growing(other).reads > kMostReads) return false;
    if (a.kind != ReduceKind::kNone && b.kind != ReduceKind::kNone &&
        (a.kind != b.kind || a.reduced != b.reduced)) {
      return false;
    }
    if ((a.has_source || b.has_source) &&
        (a.kind == ReduceKind::kColumn || b.kind == ReduceKind::kColumn)) {
      return false;
    }
    for (const Access& access : value(v).inputs) {
      const int from = group_of(access.base);
      // What `v` reads from elsewhere must not need `other`: it would need the group that needs it.
      if (from == other ? !reads_inside(access, value(v).domain, b, /*row=*/false)
                        : from != home && depends(from, other)) {
        return false;
      }
    }
    return !depends(home, other) && !depends(other, home);
  }

  void merge(int home, int other) {
    Growing& a = growing(home);
    Growing& b = growing(other);
    for (int v : b.group.members) lowered_.group_of[static_cast<size_t>(v)] = home;
    a.group.members.insert(a.group.members.end(), b.group.members.begin(), b.group.members.end());
    std::sort(a.group.members.begin(), a.group.members.end());
    a.needs.insert(a.needs.end(), b.needs.begin(), b.needs.end());
    a.reads += b.reads;
    a.group.has_source |= b.group.has_source;
    if (b.group.kind != ReduceKind::kNone) {
      a.group.kind = b.group.kind;
      a.group.reduced = b.group.reduced;
    }
    b.dead = true;
    for (Growing& g : groups_) std::replace(g.needs.begin(), g.needs.end(), other, home);
  }

  /// Numbers the living groups so that each comes after what it needs, in program order otherwise.
  void order_groups() {
    std::vector<int> state(groups_.size(), 0), number(groups_.size(), -1);
    auto visit = [&](auto&& self, int g) -> void {
      if (state[static_cast<size_t>(g)]++) return;
      for (int need : growing(g).needs) self(self, need);
      number[static_cast<size_t>(g)] = static_cast<int>(lowered_.groups.size());
      lowered_.groups.push_back(std::move(growing(g).group));
    };
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (!groups_[g].dead) visit(visit, static_cast<int>(g));
    }
    for (int& g : lowered_.group_of) {
      if (g >= 0) g = number[static_cast<size_t>(g)];
    }
  }

  void mark_stored() {
    lowered_.stored.assign(lowered_.values.size(), false);
    for (size_t v = 0; v < lowered_.values.size(); ++v) {
      for (const Access& access : lowered_.values[v].inputs) {
        const int from = group_of(access.base);
        if (from >= 0 && from != group_of(static_cast<int>(v))) {
          lowered_.stored[static_cast<size_t>(access.base)] = true;
        }
      }
    }
    for (const LoweredOutput& output : lowered_.outputs) {
      if (group_of(output.value) >= 0) lowered_.stored[static_cast<size_t>(output.value)] = true;
    }
  }

  Lowered& lowered_;
  std::vector<Growing> groups_;
};

}  // namespace

void fuse(Lowered& lowered) { Fusion(lowered).run(); }

}  // namespace cyxwiz
