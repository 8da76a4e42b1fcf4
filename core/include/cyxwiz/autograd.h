// Derivatives: graph in, graph out. What grad returns fuses and differentiates like any other code.
#pragma once

#include <span>
#include <vector>

#include "cyxwiz/tensor.h"

namespace cyxwiz {

/// The same value as a fresh handle that derivatives can be taken to. What is computed from it
/// stays differentiable after it was evaluated.
Tensor watch(const Tensor& x);

/// The same value, through which no gradient flows and which watches nothing: once evaluated, it
/// lets go of the computation behind it.
Tensor stop_gradient(const Tensor& x);

/// The gradients of `output`, weighted by `seed` (default: 1, for a 0-d output), to each of
/// `inputs`; zeros to those it does not depend on. Throws ShapeError or DTypeError.
std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs,
                         const Tensor& seed = {});

}  // namespace cyxwiz
