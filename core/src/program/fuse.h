// Fusion: which values run together as one step.
#pragma once

#include "program/lowered.h"

namespace cyxwiz {

/// Fills groups, group_of, row_level and stored from values and outputs.
void fuse(Lowered& lowered);

}  // namespace cyxwiz
