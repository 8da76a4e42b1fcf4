// Every family of operations, against values worked out by hand or by a plain loop.
#include <numeric>

#include "check.h"

using namespace cyxwiz;

TEST(elementwise_operations_broadcast) {
  const Tensor a = tensor({1, 2, 3, 4}, {2, 2}), b = vector({10, 20});
  CHECK(is(a + b, {11, 22, 13, 24}));
  CHECK(is(a * 0.5, {0.5, 1, 1.5, 2}));
  CHECK(is(1 - a / b, {0.9, 0.9, 0.7, 0.8}));
  CHECK(is(sqrt(square(a)), {1, 2, 3, 4}));
  CHECK(is(where(a > 2, a, -a), {-1, -2, 3, 4}));
  CHECK((a * 0.5).dtype() == DType::kFloat32);
}

TEST(integers_wrap_and_narrow_dtypes_keep_their_range) {
  const uint8_t bytes[] = {250, 5};
  const Tensor a = from_data(bytes, {2}, DType::kUInt8);
  CHECK((a + a).dtype() == DType::kUInt8);
  CHECK(is(a + a, {244, 10}));
  CHECK(is((a + a) / 2, {122, 5}));
}

TEST(long_arrays_agree_with_a_loop_at_every_length) {
  for (int64_t n : {1, 15, 16, 17, 1023, 1024, 1025, 8193, 100003}) {
    std::vector<float> x(static_cast<size_t>(n));
    std::iota(x.begin(), x.end(), 0.0f);
    double sum = 0, squares = 0;
    for (float v : x) {
      sum += std::sin(v * 0.01);
      squares += static_cast<double>(v) * v;
    }
    const Tensor t = vector(x);
    CHECK(is(cyxwiz::sum(sin(t * 0.01)), {sum}, 1e-3));
    CHECK(is(cyxwiz::sum(t * t), {squares}, 1e-5));
    CHECK(is(max(t), {static_cast<double>(n - 1)}));
    CHECK(is(argmax(t), {static_cast<double>(n - 1)}));
  }
}

TEST(reductions_over_any_axes) {
  std::vector<float> x(24);
  std::iota(x.begin(), x.end(), 0.0f);
  const Tensor t = tensor(x, {2, 3, 4});
  CHECK(is(sum(t, {0, 2}), {60, 92, 124}));
  CHECK(is(sum(t, {1}), {12, 15, 18, 21, 48, 51, 54, 57}));
  CHECK(is(mean(t, {-1}), {1.5, 5.5, 9.5, 13.5, 17.5, 21.5}));
  CHECK(is(stddev(t), {std::sqrt(575.0 / 12)}));
  CHECK(is(argmin(permute(t, {2, 0, 1}), 0), {0, 0, 0, 0, 0, 0}));
  CHECK(is(sum(zeros({0, 3}), {0}), {0, 0, 0}));
  CHECK(is(sum(softmax(t), {-1}), {1, 1, 1, 1, 1, 1}));
}

TEST(views_are_folded) {
  std::vector<float> x(12);
  std::iota(x.begin(), x.end(), 0.0f);
  const Tensor t = tensor(x, {3, 4});
  CHECK(is(transpose(t), {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  CHECK(is(flip(t, {1}) + t, {3, 3, 3, 3, 11, 11, 11, 11, 19, 19, 19, 19}));
  CHECK(is(slice(t, {{2, 1}, {-2, 2}, {2, 2}}), {9, 11, 1, 3}));
  const Tensor parts[] = {t, t * 2};
  CHECK(is(slice(concatenate(parts, 1), {{1, 3}, {1, 1}, {1, 3}}), {7, 8, 10}));
  CHECK(is(slice_update(t, -1, {{0, 1}, {1, 1}, {3, 2}}),
           {0, -1, -1, 3, 4, -1, -1, 7, 8, -1, -1, 11}));
}

TEST(contractions_and_windows) {
  const Tensor a = tensor({1, 2, 3, 4, 5, 6}, {2, 3}), b = tensor({1, 0, 0, 1, 1, 1}, {3, 2});
  CHECK(is(matmul(a, b), {4, 5, 10, 11}));
  CHECK(is(matmul(transpose(b), transpose(a)), {4, 10, 5, 11}));
  CHECK(is(matmul(a, vector({1, 1, 1})), {6, 15}));
  std::vector<float> image(16);
  std::iota(image.begin(), image.end(), 0.0f);
  const Tensor x = tensor(image, {1, 1, 4, 4});
  CHECK(is(conv2d(x, ones({1, 1, 2, 2}), {2, 2}), {10, 18, 42, 50}));
  CHECK(is(max_pool2d(x, {2, 2}, {2, 2}), {5, 7, 13, 15}));
  CHECK(is(avg_pool2d(x, {2, 2}, {2, 2}), {2.5, 4.5, 10.5, 12.5}));
}

TEST(gathers_and_random_numbers) {
  const int64_t indices[] = {2, -3};
  const Tensor rows = from_data(indices, {2}, DType::kInt64);
  const Tensor t = tensor({1, 2, 3, 4, 5, 6}, {3, 2});
  CHECK(is(take(t, rows), {5, 6, 1, 2}));
  CHECK(is(take(t, one_hot(rows, 1, DType::kInt64), 1), {1, 1, 3, 3, 5, 5}));
  set_random_state({7, 0});
  const Tensor first = random_uniform({1000});
  CHECK(is(mean(first), {0.5}, 0.05));
  set_random_state({7, 0});
  CHECK(is(sum(first - random_uniform({1000})), {0}));
  CHECK(is(sum(random_permutation(100)), {4950}));
}
