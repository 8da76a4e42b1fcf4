// Derivatives, Programs, errors, threads: the machinery around the operations.
#include <array>
#include <atomic>
#include <thread>

#include "check.h"

using namespace cyxwiz;

TEST(derivatives_flow_through_every_family) {
  const Tensor x = watch(tensor({1, 2, 3, 4}, {2, 2}));
  const Tensor w = watch(tensor({1, -1, 0.5f, 2}, {2, 2}));
  const Tensor inputs[] = {x, w};
  const std::vector<Tensor> g = grad(sum(square(matmul(x, w))), inputs);
  // 2 (x w) wᵀ and 2 xᵀ (x w), with x w = [[2, 3], [5, 5]].
  CHECK(is(g[0], {-2, 14, 0, 25}));
  CHECK(is(g[1], {34, 36, 48, 52}));
}

TEST(second_derivatives_exist) {
  const Tensor x = watch(vector({2}));
  const Tensor inputs[] = {x};
  const Tensor first = grad(sum(x * x * x), inputs)[0];
  CHECK(is(grad(sum(first), inputs)[0], {12}));
}

TEST(a_number_may_change_without_a_new_program) {
  const Tensor x = vector({1, 2, 3});
  evaluate(std::array{exp(x) * 0.25});
  const CacheStats before = cache_stats();
  CHECK(is(exp(x) * 0.75, {2.0387114, 5.5417921, 15.0641527}));
  // Reading as float64 adds one cast; the product itself is found.
  evaluate(std::array{exp(x) * 0.5});
  CHECK(cache_stats().hits > before.hits);
}

TEST(a_program_donates_and_draws_anew) {
  const Tensor in[] = {placeholder({4}, DType::kFloat32), placeholder({}, DType::kFloat64, true)};
  Tracing tracing;
  const Tensor out[] = {in[0] * in[1] + 1, random_uniform({4})};
  tracing.end();
  Program program(in, out, tracing, {true, false});
  Tensor arguments[] = {vector({1, 2, 3, 4}), Tensor(10.0)};
  const void* memory = arguments[0].data();
  const std::vector<Tensor> first = program(arguments);
  CHECK(is(first[0], {11, 21, 31, 41}));
  CHECK(first[0].data() == memory);
  CHECK(!arguments[0].defined());
  Tensor again[] = {first[0], Tensor(0.5)};
  const std::vector<Tensor> second = program(again);
  CHECK(is(second[0], {6.5, 11.5, 16.5, 21.5}));
  CHECK(is(first[0], {11, 21, 31, 41}));  // a handle was left: its memory was not taken
  CHECK(!is(second[1] - first[1], {0, 0, 0, 0}));
}

TEST(errors_name_what_they_got) {
  const Tensor a = zeros({32, 784}), b = zeros({783, 128});
  CHECK(message_of<ShapeError>([&] { matmul(a, b); }) ==
        "matmul: the inner sizes differ: [32, 784] · [783, 128] (784 ≠ 783)");
  CHECK(!message_of<ShapeError>([&] { a + b; }).empty());
  CHECK(!message_of<IndexError>([&] { sum(a, {2}); }).empty());
  CHECK(!message_of<DTypeError>([&] { bitwise_and(a, a); }).empty());
  CHECK(!message_of<DeviceError>([&] { find_device("cuda:7"); }).empty());
  const int64_t outside[] = {32};
  const Tensor bad = take(a, from_data(outside, {1}, DType::kInt64));
  CHECK(!message_of<IndexError>([&] { bad.data(); }).empty());
}

TEST(results_have_the_same_bits_for_any_number_of_threads) {
  set_random_state({1, 0});
  const Tensor x = random_normal({300, 700}), w = random_normal({700, 90});
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const Tensor y = sum(softmax(matmul(x, w)) * stddev(x), {0});
    results.emplace_back(y.data_as<float>(), y.data_as<float>() + y.size());
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST(threads_evaluate_side_by_side) {
  const Tensor shared = random_normal({1000});
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 50; ++k) wrong += !is(sum(shared * 0 + i), {1000.0 * i});
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST(a_loop_that_never_reads_stays_bounded) {
  Tensor x = ones({1000});
  for (int i = 0; i < 100000; ++i) x = x * 0.5 + 0.5;
  CHECK(is(mean(x), {1}));
}
