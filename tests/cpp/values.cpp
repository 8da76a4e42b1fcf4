// Expressions of every family, against values worked out by hand.
#include <cmath>
#include <limits>
#include <numeric>

#include "tests.h"

using namespace cyxwiz;
using tests::close;
using tests::of;
using tests::throws;
using tests::values;

namespace {
const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInf = std::numeric_limits<double>::infinity();
}  // namespace

TEST(elementwise_chains_of_any_length_have_their_value) {
  for (int64_t size : {1, 15, 16, 17, 1023, 1024, 1025, 100003}) {
    std::vector<double> numbers(static_cast<size_t>(size));
    std::iota(numbers.begin(), numbers.end(), -0.5 * static_cast<double>(size));
    const Tensor x = of(numbers) * (1.0 / static_cast<double>(size));
    const Tensor y = sqrt(x * x + 1) * exp(-x) + sin(x) / (x + 2);
    std::vector<double> expected;
    for (double v : numbers) {
      const double s = v * (1.0 / static_cast<double>(size));
      expected.push_back(std::sqrt(s * s + 1) * std::exp(-s) + std::sin(s) / (s + 2));
    }
    CHECK(close(y, expected, 1e-13));
  }
}

TEST(nan_and_infinity_pass_through) {
  const Tensor x = of({1, kNan, kInf, -kInf, 0});
  CHECK(close(maximum(x, 0), {1, kNan, kInf, 0, 0}));
  CHECK(close(relu(x), {1, kNan, kInf, 0, 0}));
  CHECK(close(isnan(x), {0, 1, 0, 0, 0}));
  CHECK(close(exp(x), {std::exp(1.0), kNan, kInf, 0, 1}, 1e-15));
  CHECK(close(max(x), {kNan}) && close(argmax(x), {1}) && close(argmin(x), {1}));
  CHECK(close(logsumexp(of({-kInf, -kInf})), {-kInf}));
}

TEST(dtypes_meet_as_the_array_api_says) {
  CHECK(promote(DType::kUInt8, DType::kInt8) == DType::kInt16);
  CHECK(promote(DType::kInt64, DType::kFloat32) == DType::kFloat32);
  CHECK(promote(DType::kBool, DType::kInt8) == DType::kInt8);
  const Tensor whole = arange(1, 1, 3, DType::kInt32);
  CHECK((whole * 2).dtype() == DType::kInt32 && (whole * 0.5).dtype() == DType::kFloat32);
  CHECK((whole / 2).dtype() == DType::kFloat32 && (whole > 1).dtype() == DType::kBool);
  CHECK(sum(whole).dtype() == DType::kInt64 && sqrt(whole).dtype() == DType::kFloat32);
  CHECK((of({0}) + 0.1).dtype() == DType::kFloat64 && close(of({0}) + 0.1, {0.1}, 0));
}

TEST(integers_divide_and_wrap_as_numpys) {
  const Tensor x = arange(-7, 7, 3, DType::kInt32);  // -7, 0, 7
  CHECK(close(floor_divide(x, 2), {-4, 0, 3}) && close(remainder(x, 3), {2, 0, 1}));
  CHECK(close(floor_divide(x, 0), {0, 0, 0}));
  const Tensor small = full({1}, 127, DType::kInt8);
  CHECK(close(small + 1, {-128}));
}

TEST(reductions_over_any_axes_have_their_value) {
  const Tensor x = reshape(arange(0, 1, 24, DType::kFloat64), Shape{2, 3, 4});
  CHECK(close(sum(x), {276}) && close(mean(x), {11.5}) && close(prod(x), {0}));
  CHECK(close(sum(x, {0, 2}), {60, 92, 124}) &&
        close(sum(x, {1}, true), {12, 15, 18, 21, 48, 51, 54, 57}));
  CHECK(sum(x, {1}, true).shape() == Shape{2, 1, 4});
  CHECK(close(max(permute(x, {2, 0, 1}), {0}), {3, 7, 11, 15, 19, 23}));
  CHECK(close(argmax(flip(x), 2), {0, 0, 0, 0, 0, 0}) && close(argmin(x), {0}));
  CHECK(close(var(of({1, 2, 3, 4})), {1.25}) &&
        close(stddev(of({1, 3}), {}, false, 1), {std::sqrt(2.0)}, 1e-15));
  CHECK(close(any(x > 22), {1}) && close(all(x > 22), {0}));
  CHECK(close(sum(zeros({0, 3}, DType::kFloat64), {0}), {0, 0, 0}));
}

TEST(softmax_sums_to_one_along_its_axis) {
  const Tensor x = reshape(sin(arange(0, 1, 60, DType::kFloat64)) * 5, Shape{3, 4, 5});
  for (int64_t axis : {0, 1, 2, -1}) {
    const Tensor y = softmax(x, axis);
    const std::vector<double> ones(
        static_cast<size_t>(60 / x.shape()[static_cast<int>(axis < 0 ? 2 : axis)]), 1.0);
    CHECK(close(sum(y, {axis}), ones, 1e-14));
    CHECK(close(exp(log_softmax(x, axis)), values(y), 1e-14));
  }
  CHECK(close(softmax(of({1000, 1000})), {0.5, 0.5}));
}

TEST(views_and_updates_move_the_right_elements) {
  const Tensor x = reshape(arange(0, 1, 12, DType::kInt64), Shape{3, 4});
  const Slice odd{{0, 3}, {2, -2}, Shape{2, 2}};
  CHECK(close(slice(x, odd), {3, 1, 11, 9}));
  CHECK(close(slice_update(x, -1, odd), {0, -1, 2, -1, 4, 5, 6, 7, 8, -1, 10, -1}));
  CHECK(close(transpose(x), {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
  CHECK(close(concatenate(std::vector<Tensor>{x, x + 100}, 1),
              {0,   1,   2,   3,   100, 101, 102, 103, 4,   5,   6,   7,
               104, 105, 106, 107, 8,   9,   10,  11,  108, 109, 110, 111}));
  const std::array<int64_t, 2> around[] = {{1, 0}, {0, 1}};
  CHECK(
      close(pad(reshape(arange(1, 1, 2, DType::kInt64), Shape{1, 2}), around), {0, 0, 0, 1, 2, 0}));
  CHECK(close(take(x, arange(2, -2, 2, DType::kInt64)), {8, 9, 10, 11, 0, 1, 2, 3}));
  CHECK(close(take(x, arange(-1, 1, 1, DType::kInt64), 1), {3, 7, 11}));
  CHECK(close(one_hot(arange(0, 2, 2, DType::kInt64), 3), {1, 0, 0, 0, 0, 1}));
}

TEST(products_agree_with_loops) {
  for (DType t : {DType::kFloat32, DType::kFloat64, DType::kInt32, DType::kInt64}) {
    for (const auto& [n, k, m] :
         {std::array<int64_t, 3>{1, 1, 1}, {3, 5, 2}, {17, 33, 9}, {64, 70, 65}}) {
      const Tensor a = astype(remainder(arange(0, 7, n * k, DType::kInt64), 11), t);
      const Tensor b = astype(remainder(arange(3, 5, k * m, DType::kInt64), 13), t);
      const std::vector<double> x = values(a), y = values(b);
      std::vector<double> expected(static_cast<size_t>(n * m));
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < m; ++j) {
          for (int64_t p = 0; p < k; ++p) {
            expected[static_cast<size_t>(i * m + j)] +=
                x[static_cast<size_t>(i * k + p)] * y[static_cast<size_t>(p * m + j)];
          }
        }
      }
      const Tensor left = reshape(a, Shape{n, k}), right = reshape(b, Shape{k, m});
      CHECK(close(matmul(left, right), expected, 0));
      CHECK(close(transpose(matmul(transpose(right), transpose(left))), expected, 0));
    }
  }
  const Tensor batch = reshape(arange(0, 1, 12, DType::kFloat64), Shape{2, 2, 3});
  CHECK(close(matmul(batch, of({1, 1, 1})), {3, 12, 21, 30}));
  CHECK(matmul(zeros({0, 3}), zeros({3, 2})).shape() == Shape{0, 2});
  CHECK(close(matmul(zeros({2, 0}), zeros({0, 2})), {0, 0, 0, 0}));
}

TEST(convolution_and_pools_agree_with_hand_computed_values) {
  const Tensor x = reshape(arange(0, 1, 16, DType::kFloat64), Shape{1, 1, 4, 4});
  CHECK(
      close(conv2d(x, ones({1, 1, 2, 2}, DType::kFloat64)), {10, 14, 18, 26, 30, 34, 42, 46, 50}));
  CHECK(close(conv2d(x, ones({1, 1, 2, 2}, DType::kFloat64), {2, 2}), {10, 18, 42, 50}));
  CHECK(close(conv2d(x, ones({1, 1, 2, 2}, DType::kFloat64), {1, 1}, {0, 0}, {3, 3}), {30}));
  CHECK(close(conv2d(x, ones({1, 1, 3, 3}, DType::kFloat64), {3, 3}, {1, 1}), {10, 18, 42, 50}));
  CHECK(close(max_pool2d(x, {2, 2}, {2, 2}), {5, 7, 13, 15}));
  CHECK(close(avg_pool2d(x, {2, 2}, {2, 2}), {2.5, 4.5, 10.5, 12.5}));
  CHECK(close(avg_pool2d(x, {3, 3}, {3, 3}, {1, 1}), {2.5, 4.5, 10.5, 12.5}));
}

TEST(errors_name_the_operation_and_the_values) {
  const Tensor a = zeros({2, 3}), b = zeros({2});
  CHECK(throws<ShapeError>([&] { a + b; },
                           "add: the shapes don't broadcast: [2, 3] and [2] (3 ≠ 2 at axis -1)"));
  CHECK(throws<ShapeError>([&] { matmul(a, a); },
                           "matmul: the inner sizes differ: [2, 3] · [2, 3] (3 ≠ 2)"));
  CHECK(throws<IndexError>([&] { sum(a, {2}); },
                           "sum: axis 2 is out of range for a tensor of 2 axes"));
  CHECK(throws<DTypeError>([&] { bitwise_and(a, 1); }));
  CHECK(throws<DTypeError>([&] { -(a > 0); },
                           "negative: it does not take bools; use logical_not instead"));
  CHECK(throws<ValueError>([&] { max(zeros({0})); },
                           "max: no elements to reduce in a tensor of shape [0]"));
  CHECK(throws<IndexError>([&] { values(take(a, full({1}, 9, DType::kInt64))); }));
  CHECK(throws<DTypeError>([&] { dtype_from_name("float31"); }));
  CHECK(throws<DeviceError>([&] { find_device("cuda:7"); }));
  CHECK(throws<ShapeError>([&] { zeros({int64_t{1} << 40, int64_t{1} << 40}); }));
  CHECK(throws<ShapeError>([&] { reshape(a, Shape{4, 2}); }));
  CHECK(close(a + 1, {1, 1, 1, 1, 1, 1}));  // and all goes on
}
