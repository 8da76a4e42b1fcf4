#include "ops/random.h"

#include <atomic>
#include <mutex>
#include <numbers>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "cyxwiz/program.h"
#include "graph/node.h"

namespace cyxwiz {
namespace {

struct Generator {
  std::mutex mutex;  // guards `state`
  RandomState state;
};

Generator& generator() {
  static Generator instance;
  return instance;
}

/// The next stream as an int64 [2] Tensor {seed, stream}: an input of whatever draws from it.
Tensor next_stream() {
  if (Tracing* tracing = Tracing::current()) {
    Tensor stream = placeholder({2}, DType::kInt64);
    tracing->add_stream(stream);
    return stream;
  }
  return draw_stream();
}

}  // namespace

Tensor draw_stream() {
  std::array<uint64_t, 2> words;
  {
    Generator& g = generator();
    const std::lock_guard lock(g.mutex);  // not while a Backend copies: it may take the GIL
    words = {g.state.seed, g.state.stream++};
  }
  return from_data(words.data(), {2}, DType::kInt64);
}

RandomState random_state() {
  Generator& g = generator();
  const std::lock_guard lock(g.mutex);
  return g.state;
}

void set_random_state(RandomState state) {
  Generator& g = generator();
  const std::lock_guard lock(g.mutex);
  g.state = state;
}

Tensor random_uniform(const Shape& shape, DType dtype) {
  if (!is_floating(dtype)) throw DTypeError("random_uniform: it draws floating dtypes only");
  element_count(shape);
  return record(Op::k_uniform, dtype, shape, {next_stream()});
}

Tensor random_normal(const Shape& shape, DType dtype) {
  // Box and Muller 1958 (doi:10.1214/aoms/1177706645). 1 - u is in (0, 1], so its logarithm is
  // finite.
  const Tensor radius = sqrt(-2 * log(1 - random_uniform(shape, dtype)));
  return radius * cos(random_uniform(shape, dtype) * (2 * std::numbers::pi));
}

Tensor random_permutation(int64_t n) {
  if (n < 0) throw ValueError("random_permutation: n is negative");
  return record(Op::k_permutation, DType::kInt64, {n}, {next_stream()});
}

}  // namespace cyxwiz
