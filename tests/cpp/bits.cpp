// What Python computes too, written against the public headers alone: tests/test_cpp.py compares
// the two bit by bit. Each row is an expression of both languages.
#include <cstdio>
#include <numbers>
#include <string>

#include "tests.h"

using namespace cyxwiz;

namespace {

void print(const std::string& name, const Tensor& tensor) {
  std::printf("%s %s %s ", name.c_str(), std::string(cyxwiz::name(tensor.dtype())).c_str(),
              to_string(tensor.shape()).c_str());
  const auto* bytes = static_cast<const unsigned char*>(tensor.data());
  const int64_t count = tensor.size() * item_size(tensor.dtype());
  for (int64_t i = 0; i < count; ++i) std::printf("%02x", bytes[i]);
  std::printf("\n");
}

Tensor network(const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& v) {
  return log_softmax(matmul(relu(matmul(x, w) + b), v));
}

Tensor loss(const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& v,
            const Tensor& labels) {
  return -mean(sum(
      where(equal(expand_dims(labels, 1), arange(0, 1, 10, DType::kInt64)), network(x, w, b, v), 0),
      {-1}));
}

void print_training() {
  const Tensor x = random_normal({32, 50}),
               labels = astype(random_uniform({32}) * 10, DType::kInt64);
  std::vector<Tensor> weights = {random_normal({50, 64}) * 0.1, zeros({64}),
                                 random_normal({64, 10}) * 0.1};
  for (int step = 0; step < 5; ++step) {
    const Tensor w = watch(weights[0]), b = watch(weights[1]), v = watch(weights[2]);
    const Tensor value = loss(x, w, b, v, labels);
    const std::vector<Tensor> gradients = grad(value, std::vector<Tensor>{w, b, v});
    print("loss" + std::to_string(step), value);
    for (size_t i = 0; i < 3; ++i) {
      weights[i] = stop_gradient(weights[i] - gradients[i] * 0.5);
    }
  }
  for (size_t i = 0; i < 3; ++i) print("weight" + std::to_string(i), weights[i]);
}

/// A traced function, as cx.compile makes one.
void print_program() {
  Tracing tracing;
  const Tensor x = placeholder({7, 9}, DType::kFloat32),
               scale = placeholder({}, DType::kFloat64, true);
  const std::vector<Tensor> inputs = {x, scale};
  const std::vector<Tensor> outputs = {tanh(x) * scale + random_uniform({7, 9}), sum(x * x, {0})};
  tracing.end();
  Program program(inputs, outputs, tracing);
  std::vector<Tensor> arguments = {random_normal({7, 9}), 0.3};
  const std::vector<Tensor> results = program(arguments);
  print("compiled0", results[0]);
  print("compiled1", results[1]);
}

}  // namespace

namespace tests {

int print_bits() {
  set_random_state({7, 0});
  const Tensor x = random_normal({1000, 37}), d = random_normal({70, 70}, DType::kFloat64);
  const Tensor n = astype(random_uniform({300}) * 1000, DType::kInt32) - 500;
  print("elementwise", sqrt(x * x + 1) * exp(-x) + sin(x));
  print("functions", erf(x) + atan2(x, 0.5) + log1p(absolute(x)) + power(absolute(x), 1.3));
  print("float64", tanh(d) / (d * d + 0.1) + std::numbers::pi);
  print("integers", floor_divide(n, 7) * 3 + remainder(n, 11));
  print("compare", x > 0.5);
  print("sums", sum(x, {0}) + mean(x));
  print("rows", stddev(x, {1}) + max(x, {1}));
  print("argmax", argmax(x, 1));
  print("softmax", softmax(x));
  print("product", matmul(d, d));
  print("transposed", matmul(transpose(x), x));
  print("movement",
        concatenate(std::vector<Tensor>{flip(x, {0}), x * 2, transpose(transpose(x))}, 1));
  print("taken", take(x, arange(999, -7, 100, DType::kInt64)));
  const Tensor images = random_normal({3, 4, 12, 12}), filters = random_normal({5, 4, 3, 3});
  print("convolution", conv2d(images, filters, {2, 1}, {1, 1}));
  print("pooled", max_pool2d(images, {2, 2}, {2, 2}) - avg_pool2d(images, {2, 2}, {2, 2}));
  print("permutation", random_permutation(100));
  print_training();
  print_program();
  return 0;
}

}  // namespace tests
