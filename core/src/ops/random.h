// Streams of the process's random generator.
#pragma once

#include "cyxwiz/tensor.h"

namespace cyxwiz {

/// The next stream as an int64 [2] Tensor {seed, stream}.
Tensor draw_stream();

}  // namespace cyxwiz
