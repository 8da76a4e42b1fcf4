// The tile kernels of each instruction set; tile_kernels() picks the one that this processor runs.
#pragma once

#include "cpu/tile.h"

namespace cyxwiz::cpu {

namespace baseline {
const TileKernels& make_tile_kernels();
}
namespace avx2 {
const TileKernels& make_tile_kernels();
}
namespace avx512 {
const TileKernels& make_tile_kernels();
}

}  // namespace cyxwiz::cpu
