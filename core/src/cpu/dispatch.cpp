// Picks each table of kernels for the instruction set that this processor runs.
#include "cpu/isa.h"
#include "cpu/tile_kernels.h"

namespace cyxwiz::cpu {

const TileKernels& tile_kernels() {
#if defined(CYXWIZ_X86_KERNELS)
  if (isa() == Isa::kAvx512) return avx512::make_tile_kernels();
  if (isa() == Isa::kAvx2) return avx2::make_tile_kernels();
#endif
  return baseline::make_tile_kernels();
}

}  // namespace cyxwiz::cpu
