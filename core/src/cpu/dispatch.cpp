// Picks each table of kernels for the instruction set that this processor runs.
#include "cpu/gemm_kernels.h"
#include "cpu/isa.h"
#include "cpu/pool_kernels.h"
#include "cpu/tile_kernels.h"

#if defined(CYXWIZ_X86_KERNELS)
#define CYXWIZ_PICK(table)                 \
  (isa() == Isa::kAvx512 ? avx512::table() \
   : isa() == Isa::kAvx2 ? avx2::table()   \
                         : baseline::table())
#else
#define CYXWIZ_PICK(table) baseline::table()
#endif

namespace cyxwiz::cpu {

const TileKernels& tile_kernels() { return CYXWIZ_PICK(make_tile_kernels); }

const GemmTable& gemm_table() { return CYXWIZ_PICK(gemm_table); }

const PoolTable& pool_table() { return CYXWIZ_PICK(pool_table); }

}  // namespace cyxwiz::cpu
