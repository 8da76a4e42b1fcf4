// Compiled once for each instruction set, with CYXWIZ_ISA_NAMESPACE saying for which. No inline
// function of a header may be shared with other translation units.
#include "cpu/pool_kernels.h"

#include "cpu/vector.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

/// Calls `body` with the first channel of vectors of `Lanes`, then of half as many each time.
template <int Lanes, class Body>
inline void for_channels(int64_t from, int64_t channels, Body&& body) {
  for (; from + Lanes <= channels; from += Lanes) body.template operator()<Lanes>(from);
  if constexpr (Lanes > 1) {
    if (from < channels) for_channels<Lanes / 2>(from, channels, body);
  }
}

template <class V, class T>
inline V maximum_of(const T* image, const int64_t* taps, int64_t count) {
  V best = load<V>(image + taps[0]);
  for (int64_t i = 1; i < count; ++i) {
    const V value = load<V>(image + taps[i]);
    best = (best == best) & ~(value <= best) ? value : best;
  }
  return best;
}

template <class T>
void maximum(const T* image, const int64_t* taps, int64_t count, int64_t channels, T* to) {
  for_channels<kLanes<T>>(0, channels, [=]<int Lanes>(int64_t c) {
    store(to + c, maximum_of<Vector<T, Lanes>>(image + c, taps, count));
  });
}

template <class T>
void give_to_maximum(const T* image, const int64_t* taps, int64_t count, int64_t channels,
                     const T* g, bool adds, T* to) {
  for_channels<kLanes<T>>(0, channels, [=]<int Lanes>(int64_t c) {
    using V = Vector<T, Lanes>;
    const V best = maximum_of<V>(image + c, taps, count);
    V rest = load<V>(g + c);
    for (int64_t i = 0; i < count; ++i) {
      const V value = load<V>(image + taps[i] + c);
      const auto has_it = (value == best) | (value != value);
      T* const place = to + taps[i] + c;
      const V given = has_it ? rest : V{};
      store(place, adds ? load<V>(place) + given : given);
      rest = has_it ? V{} : rest;
    }
  });
}

template <class T>
void pick_at_maximum(const T* image, const int64_t* taps, int64_t count, int64_t channels,
                     const T* values, T* to) {
  for_channels<kLanes<T>>(0, channels, [=]<int Lanes>(int64_t c) {
    using V = Vector<T, Lanes>;
    const V best = maximum_of<V>(image + c, taps, count);
    V picked{};
    for (int64_t i = count; i-- > 0;) {  // so that the first is the last to be picked
      const V value = load<V>(image + taps[i] + c);
      const auto has_it = (value == best) | (value != value);
      picked = has_it ? load<V>(values + taps[i] + c) : picked;
    }
    store(to + c, picked);
  });
}

template <class T>
constexpr PoolKernels<T> kKernels = {maximum<T>, give_to_maximum<T>, pick_at_maximum<T>};

constexpr PoolTable kTable = {kKernels<float>, kKernels<double>};

}  // namespace

const PoolTable& pool_table() { return kTable; }

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
