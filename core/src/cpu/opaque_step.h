// Steps that are one kernel: contractions, windows, gathers and other values that do not fuse.
#pragma once

#include "cpu/step.h"

namespace cyxwiz::cpu {

/// The step that computes the lowered value `v`.
StepPtr make_opaque_step(const Lowered& lowered, int v);

}  // namespace cyxwiz::cpu
