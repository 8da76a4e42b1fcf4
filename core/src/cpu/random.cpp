#include "cpu/random.h"

#include <array>
#include <numeric>
#include <utility>

#include "cpu/philox.h"

namespace cyxwiz::cpu {
namespace {

/// The words of one stream, one after the other.
class PhiloxWords {
 public:
  PhiloxWords(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  uint32_t next32() {
    if (position_ == words_.size()) {
      philox_fill(words_.data(), seed_, stream_, next_block_, kBlocks);
      next_block_ += kBlocks;
      position_ = 0;
    }
    return words_[position_++];
  }

  uint64_t next64() {
    const uint64_t low = next32();
    return low | uint64_t{next32()} << 32;
  }

  /// Uniform in [0, bound), by multiplication and rejection (Lemire 2019, arXiv:1805.10941).
  uint64_t below(uint64_t bound) {
    return bound <= UINT32_MAX ? below32(static_cast<uint32_t>(bound)) : below64(bound);
  }

 private:
  static constexpr int64_t kBlocks = 64;

  uint32_t below32(uint32_t bound) {
    uint64_t product = uint64_t{next32()} * bound;
    if (static_cast<uint32_t>(product) < bound) {
      const uint32_t threshold = (0 - bound) % bound;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next32()} * bound;
    }
    return static_cast<uint32_t>(product >> 32);
  }

  uint64_t below64(uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    Wide product = Wide{next64()} * bound;
    if (static_cast<uint64_t>(product) < bound) {
      const uint64_t threshold = (0 - bound) % bound;
      while (static_cast<uint64_t>(product) < threshold) product = Wide{next64()} * bound;
    }
    return static_cast<uint64_t>(product >> 64);
  }

  const uint64_t seed_, stream_;
  uint64_t next_block_ = 0;
  std::array<uint32_t, kPhiloxWords * kBlocks> words_;
  size_t position_ = words_.size();
};

class Permutation final : public Kernel {
 public:
  explicit Permutation(int64_t n) : n_(n) {}

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* key = static_cast<const uint64_t*>(inputs[0]);
    auto* values = static_cast<int64_t*>(outputs[0]);
    std::iota(values, values + n_, int64_t{0});
    PhiloxWords words(key[0], key[1]);
    for (int64_t i = n_ - 1; i > 0; --i) {
      std::swap(values[i], values[words.below(static_cast<uint64_t>(i) + 1)]);
    }
  }

 private:
  const int64_t n_;
};

}  // namespace

KernelPtr make_permutation(int64_t n) { return std::make_unique<Permutation>(n); }

}  // namespace cyxwiz::cpu
