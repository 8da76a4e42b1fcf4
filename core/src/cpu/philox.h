// Philox4x32-10, the counter-based generator of Salmon et al. 2011 (doi:10.1145/2063384.2063405):
// block `b` of stream `s` under a seed is a pure function of the three, so any thread can compute
// any part of a stream.
#pragma once

#include <cstdint>

namespace cyxwiz::cpu {

inline constexpr int kPhiloxWords = 4;  ///< 32-bit words in a block.

/// Ten rounds over `Lanes` independent counters, in place: `counter[w][lane]` is word w of that
/// lane.
template <int Lanes>
inline void philox_rounds(uint32_t (&counter)[kPhiloxWords][Lanes], uint64_t seed) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int lane = 0; lane < Lanes; ++lane) {
      const uint64_t product0 = kMultiplier0 * counter[0][lane];
      const uint64_t product1 = kMultiplier1 * counter[2][lane];
      counter[0][lane] = static_cast<uint32_t>(product1 >> 32) ^ counter[1][lane] ^ key0;
      counter[1][lane] = static_cast<uint32_t>(product1);
      counter[2][lane] = static_cast<uint32_t>(product0 >> 32) ^ counter[3][lane] ^ key1;
      counter[3][lane] = static_cast<uint32_t>(product0);
    }
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
}

/// Writes blocks first_block … first_block + blocks − 1 of the stream, four words a block, to
/// `words`. The counter's words are the block's low and high half, then the stream's.
inline void philox_fill(uint32_t* words, uint64_t seed, uint64_t stream, uint64_t first_block,
                        int64_t blocks) {
  constexpr int kLanes = 16;
  uint32_t counter[kPhiloxWords][kLanes];
  for (int64_t done = 0; done < blocks; done += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t block = first_block + static_cast<uint64_t>(done + lane);
      counter[0][lane] = static_cast<uint32_t>(block);
      counter[1][lane] = static_cast<uint32_t>(block >> 32);
      counter[2][lane] = static_cast<uint32_t>(stream);
      counter[3][lane] = static_cast<uint32_t>(stream >> 32);
    }
    philox_rounds(counter, seed);
    if (blocks - done >= kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        for (int w = 0; w < kPhiloxWords; ++w) *words++ = counter[w][lane];
      }
    } else {
      for (int lane = 0; lane < blocks - done; ++lane) {
        for (int w = 0; w < kPhiloxWords; ++w) *words++ = counter[w][lane];
      }
    }
  }
}

}  // namespace cyxwiz::cpu
