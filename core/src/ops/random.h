// Streams of the process's random generator.
#pragma once

#include "cyxwiz/tensor.h"

namespace cyxwiz {

/// The next stream as an int64 [2] Tensor {seed, stream} on the default device.
Tensor draw_stream();

}  // namespace cyxwiz
