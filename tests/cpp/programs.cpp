// Derivatives, Programs, donation, random numbers and threads.
#include <algorithm>
#include <functional>
#include <thread>

#include "tests.h"

using namespace cyxwiz;
using tests::close;
using tests::of;
using tests::same_bits;
using tests::throws;
using tests::values;

namespace {

Tensor gradient(const std::function<Tensor(const Tensor&)>& function, const Tensor& at) {
  const Tensor x = watch(at);
  return grad(function(x), std::vector<Tensor>{x})[0];
}

}  // namespace

TEST(gradients_of_every_family_are_right) {
  const Tensor x = of({0.5, -1, 2});
  CHECK(close(gradient([](const Tensor& v) { return sum(v * v * v); }, x), {0.75, 3, 12}));
  CHECK(close(gradient([](const Tensor& v) { return sum(exp(v) * 2); }, x), values(exp(x) * 2),
              1e-14));
  CHECK(close(gradient([](const Tensor& v) { return max(v); }, x), {0, 0, 1}));
  CHECK(close(gradient([](const Tensor& v) { return prod(v); }, x), {-2, 1, -0.5}));
  CHECK(close(gradient(
                  [](const Tensor& v) {
                    return sum(matmul(reshape(v, Shape{1, 3}), ones({3, 2}, DType::kFloat64)));
                  },
                  x),
              {2, 2, 2}));
  CHECK(close(
      gradient([](const Tensor& v) { return sum(take(v, arange(0, 0, 4, DType::kInt64))); }, x),
      {4, 0, 0}));
  CHECK(
      close(gradient([](const Tensor& v) { return sum(broadcast_to(v, {5, 3})); }, x), {5, 5, 5}));
  CHECK(close(
      gradient([](const Tensor& v) { return sum(slice(v, {{2}, {-2}, {2}}) * of({1, 10})); }, x),
      {10, 0, 1}));
  CHECK(
      close(gradient([](const Tensor& v) { return sum(stop_gradient(v) * v); }, x), {0.5, -1, 2}));
  const Tensor image = reshape(arange(0, 1, 16, DType::kFloat64), Shape{1, 1, 4, 4});
  CHECK(close(gradient([](const Tensor& v) { return sum(max_pool2d(v, {2, 2}, {2, 2})); }, image),
              {0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1}));
  CHECK(close(gradient([&](const Tensor& w) { return sum(conv2d(image, w)); },
                       ones({1, 1, 3, 3}, DType::kFloat64)),
              {10, 14, 18, 26, 30, 34, 42, 46, 50}));
}

TEST(second_derivatives_and_seeds) {
  const Tensor x = watch(of({2, 3}));
  const Tensor first = grad(sum(x * x * x), std::vector<Tensor>{x})[0];
  CHECK(close(grad(sum(first), std::vector<Tensor>{x})[0], {12, 18}));
  CHECK(close(grad(x * x, std::vector<Tensor>{x}, of({1, 10}))[0], {4, 60}));
  CHECK(throws<ShapeError>([&] { grad(x * x, std::vector<Tensor>{x}); }));
}

TEST(programs_compute_anew_for_every_argument) {
  Tracing tracing;
  const Tensor x = placeholder({3}, DType::kFloat64),
               scale = placeholder({}, DType::kFloat64, true);
  const Tensor constant = of({1, 1, 2});
  const std::vector<Tensor> inputs{x, scale}, outputs{x * scale + constant, sum(x), x, constant};
  tracing.end();
  Program program(inputs, outputs, tracing);
  CHECK(!program.steps().empty());
  for (int i = 1; i < 4; ++i) {
    std::vector<Tensor> arguments{of({1, 2, 3}) * i, Tensor(0.5 * i)};
    const std::vector<Tensor> results = program(arguments);
    const double s = 0.5 * i * i;
    CHECK(close(results[0], {s + 1, 2 * s + 1, 3 * s + 2}) && close(results[1], {6.0 * i}));
    CHECK(close(results[2], {1.0 * i, 2.0 * i, 3.0 * i}) && close(results[3], {1, 1, 2}));
  }
  std::vector<Tensor> wrong{of({1, 2}), Tensor(1.0)};
  CHECK(throws<ShapeError>([&] { program(wrong); }));
}

TEST(donated_memory_is_reused_and_the_handle_is_empty) {
  Tracing tracing;
  const Tensor w = placeholder({1000}, DType::kFloat32);
  const std::vector<Tensor> inputs{w}, outputs{w * 0.5 + 1};
  tracing.end();
  Program program(inputs, outputs, tracing, {true});
  std::vector<Tensor> arguments{ones({1000}) * 4};
  evaluate(arguments);
  const void* place = arguments[0].data();
  const Tensor kept = arguments[0] + 0;
  evaluate(std::vector<Tensor>{kept});
  for (int i = 0; i < 5; ++i) {
    std::vector<Tensor> results = program(arguments);
    CHECK(!arguments[0].defined() && results[0].data() == place);
    arguments = std::move(results);
  }
  CHECK(std::abs(values(arguments[0])[999] - (2 + 2.0 / 32)) < 1e-6 && values(kept)[0] == 4);
  // A second handle keeps its value: the memory is then not written over.
  const Tensor held = arguments[0];
  const double before = values(held)[0];
  program(arguments);
  CHECK(values(held)[0] == before);
}

TEST(the_structural_cache_tells_scalars_from_structure) {
  const Tensor x = of({1, 2, 3});
  evaluate(std::vector<Tensor>{x * 0.5 + 1});
  const int64_t misses = cache_stats().misses;
  for (int i = 0; i < 10; ++i)
    CHECK(close(x * (0.1 * i) + i, {0.1 * i + i, 0.2 * i + i, 0.1 * i * 3 + i}, 1e-15));
  // `close` reads through a cast to float64, which is nothing here
  CHECK(cache_stats().misses == misses);
}

TEST(random_numbers_repeat_for_a_seed_and_continue_in_programs) {
  set_random_state({42, 0});
  const Tensor first = random_normal({1001});
  const Tensor second = random_uniform({7}, DType::kFloat64);
  evaluate(std::vector<Tensor>{first, second});
  set_random_state({42, 0});
  CHECK(same_bits(first, random_normal({1001})));
  CHECK(same_bits(second, random_uniform({7}, DType::kFloat64)));
  std::vector<double> numbers = values(random_permutation(100));
  std::sort(numbers.begin(), numbers.end());
  for (size_t i = 0; i < 100; ++i) CHECK(numbers[i] == static_cast<double>(i));

  Tracing tracing;
  const std::vector<Tensor> outputs{random_uniform({5})};
  tracing.end();
  Program program({}, outputs, tracing);
  set_random_state({1, 0});
  std::vector<Tensor> none;
  const Tensor a = program(none)[0], b = program(none)[0];
  CHECK(!same_bits(a, b));
  set_random_state({1, 0});
  CHECK(same_bits(a, random_uniform({5})) && same_bits(b, random_uniform({5})));
}

TEST(results_are_the_same_bits_for_any_number_of_threads) {
  const Tensor x = sin(arange(0, 0.001, 300007, DType::kFloat32));
  const Tensor table = reshape(sin(arange(0, 1, 90000, DType::kFloat32)), Shape{300, 300});
  evaluate(std::vector<Tensor>{x, table});
  std::vector<std::vector<Tensor>> runs;
  const int before = num_threads();
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    runs.push_back(
        {sum(x), exp(x) * x, mean(table, {0}), softmax(table), matmul(table, table), argmax(x)});
    evaluate(runs.back());
  }
  set_num_threads(before);
  for (size_t i = 0; i < runs[0].size(); ++i) {
    CHECK(same_bits(runs[0][i], runs[1][i]) && same_bits(runs[0][i], runs[2][i]));
  }
  CHECK(throws<ValueError>([] { set_num_threads(0); }));
}

TEST(several_threads_compute_at_once) {
  const Tensor table = reshape(arange(0, 1, 400, DType::kFloat64), Shape{20, 20});
  std::vector<int> right(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < right.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        right[t] += values(sum(matmul(table, table) * static_cast<double>(t)))[0] ==
                    values(sum(matmul(table, table)) * static_cast<double>(t))[0];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : right) CHECK(count == 50);
}

TEST(a_long_chain_that_is_never_read_stays_shallow) {
  Tensor x = ones({10}, DType::kFloat64);
  for (int i = 0; i < 20000; ++i) x = x * 0.5 + 0.5;
  CHECK(close(x, std::vector<double>(10, 1.0)));
}

TEST(devices_memory_and_runtime_describe_themselves) {
  CHECK(devices().front()->spec() == "cpu" && default_device() == find_device("cpu"));
  CHECK(isa_name() == "baseline" || isa_name() == "avx2" || isa_name() == "avx512");
  CHECK(!onednn_version().empty() && num_threads() >= 1);
  const Device& cpu = *default_device();
  const int64_t before = cpu.backend->memory(cpu).allocated;
  {
    const Tensor x = ones({1 << 20}) + 1;
    evaluate(std::vector<Tensor>{x});
    CHECK(cpu.backend->memory(cpu).allocated >= before + (4 << 20));
  }
  CHECK(cpu.backend->memory(cpu).allocated <= before + 4096);
  cpu.backend->release_cached(cpu);
  CHECK(cpu.backend->memory(cpu).cached == 0);
}
