// The least a test needs: a check that prints what differs, and a list of tests that main() runs.
#pragma once

#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cyxwiz/cyxwiz.h"

inline int failures = 0;

inline std::vector<std::pair<const char*, std::function<void()>>>& tests() {
  static std::vector<std::pair<const char*, std::function<void()>>> list;
  return list;
}

struct Register {
  Register(const char* name, std::function<void()> body) {
    tests().emplace_back(name, std::move(body));
  }
};

#define TEST(name)                                    \
  static void name();                                 \
  static const Register register_##name(#name, name); \
  static void name()

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                           \
    }                                                                       \
  } while (false)

/// The message of the Error that `body` throws; "" when it throws none.
template <class Error>
std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline cyxwiz::Tensor tensor(std::vector<float> values, const cyxwiz::Shape& shape) {
  return cyxwiz::from_data(values.data(), shape, cyxwiz::DType::kFloat32);
}

inline cyxwiz::Tensor vector(std::vector<float> values) {
  const auto n = static_cast<int64_t>(values.size());
  return tensor(std::move(values), {n});
}

/// Are the elements these, to within `tolerance` of each?
inline bool is(const cyxwiz::Tensor& t, const std::vector<double>& wanted,
               double tolerance = 1e-6) {
  if (t.size() != static_cast<int64_t>(wanted.size())) return false;
  const cyxwiz::Tensor values = cyxwiz::astype(t, cyxwiz::DType::kFloat64);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double got = values.data_as<double>()[i];
    if (!(std::fabs(got - wanted[i]) <= tolerance * (1 + std::fabs(wanted[i])))) {
      std::printf("  element %zu is %g, not %g\n", i, got, wanted[i]);
      return false;
    }
  }
  return true;
}
