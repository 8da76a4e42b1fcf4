// Which of the compiled instruction sets this processor runs.
#pragma once

namespace cyxwiz::cpu {

enum class Isa { kBaseline, kAvx2, kAvx512 };

/// The best that processor and build have, or what CYXWIZ_ISA names (baseline, avx2, avx512) when
/// the processor has it. Decided once; throws ValueError for another name.
Isa isa();

const char* name(Isa isa);

}  // namespace cyxwiz::cpu
