#include "cpu/isa.h"

#include <cstdlib>
#include <string>
#include <string_view>

#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

Isa best() {
#if defined(CYXWIZ_X86_KERNELS)
  // x86-64-v4 and -v3 as the psABI defines them: exactly what the kernels are compiled for.
  if (__builtin_cpu_supports("x86-64-v4")) return Isa::kAvx512;
  if (__builtin_cpu_supports("x86-64-v3")) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

Isa choose() {
  const Isa most = best();
  const char* wanted = std::getenv("CYXWIZ_ISA");
  if (!wanted || !*wanted) return most;
  for (Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
    if (wanted != std::string_view(name(isa))) continue;
    if (isa > most) {
      throw ValueError("CYXWIZ_ISA=" + std::string(wanted) + ": this processor has " + name(most));
    }
    return isa;
  }
  throw ValueError("CYXWIZ_ISA=" + std::string(wanted) + ": it takes baseline, avx2 or avx512");
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

const char* name(Isa isa) { return kNames[static_cast<int>(isa)]; }

}  // namespace cyxwiz::cpu
