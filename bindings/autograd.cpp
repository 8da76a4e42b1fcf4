#include "convert.h"

using cyxwiz::Tensor;

void bind_autograd(nb::module_& m) {
  m.def("watch", &cyxwiz::watch, "x"_a,
        "The same value as a fresh tensor that derivatives can be taken to; what is computed from "
        "it\n"
        "stays differentiable after it was evaluated.");
  m.def(
      "stop_gradient", [](nb::handle x) { return cyxwiz::stop_gradient(to_tensor(x)); }, "x"_a,
      nb::sig("def stop_gradient(x: TensorLike) -> Tensor"),
      "The same value, through which no gradient flows.\n\n"
      ">>> cx.grad(lambda x: x * cx.stop_gradient(x))(cx.Tensor(3.0)).item()\n3.0");
  m.def(
      "grad",
      [](const Tensor& output, nb::handle inputs, nb::handle seed) {
        const std::vector<Tensor> to = to_tensors(inputs);
        const Tensor weights = seed.is_none() ? Tensor() : to_tensor(seed);
        std::vector<Tensor> gradients;
        {
          const GilRelease release;
          gradients = cyxwiz::grad(output, to, weights);
        }
        return to_list(gradients);
      },
      "output"_a, "inputs"_a, "seed"_a = nb::none(),
      nb::sig("def grad(output: Tensor, inputs: Sequence[Tensor], seed: Tensor | None = None) -> "
              "list[Tensor]"),
      "The gradients of `output`, weighted by `seed` (1 for a 0-d output), to each of `inputs`; "
      "zeros\n"
      "to those it does not depend on. Raises ShapeError or DTypeError.");
}
