// Runs every test of the C++ API; a program of the headers in core/include alone.
#include <cstdio>
#include <cstring>
#include <exception>

#include "tests.h"

namespace tests {

namespace {
int failures = 0;
}

std::vector<Test>& all() {
  static std::vector<Test> list;
  return list;
}

void fail(const char* file, int line, const std::string& what) {
  ++failures;
  std::printf("  %s:%d: not so: %s\n", file, line, what.c_str());
}

cyxwiz::Tensor of(const std::vector<double>& values, const cyxwiz::Shape& shape) {
  const cyxwiz::Shape row{static_cast<int64_t>(values.size())};
  return cyxwiz::from_data(values.data(), shape.empty() ? row : shape, cyxwiz::DType::kFloat64);
}

std::vector<double> values(const cyxwiz::Tensor& tensor) {
  const cyxwiz::Tensor wide = astype(tensor, cyxwiz::DType::kFloat64);
  const auto* data = wide.data_as<double>();
  return {data, data + wide.size()};
}

bool close(const cyxwiz::Tensor& tensor, const std::vector<double>& expected, double by) {
  const std::vector<double> got = values(tensor);
  if (got.size() != expected.size()) return false;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(expected[i])
            ? !std::isnan(got[i])
            : got[i] != expected[i] && !(std::abs(got[i] - expected[i]) <= by)) {
      return false;
    }
  }
  return true;
}

bool same_bits(const cyxwiz::Tensor& a, const cyxwiz::Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const auto bytes = static_cast<size_t>(a.size() * item_size(a.dtype()));
  return bytes == 0 || std::memcmp(a.data(), b.data(), bytes) == 0;
}

}  // namespace tests

int main(int count, char** arguments) {
  if (count > 1 && std::string(arguments[1]) == "--bits") return tests::print_bits();
  for (const tests::Test& test : tests::all()) {
    const int before = tests::failures;
    try {
      test.run();
    } catch (const std::exception& error) {
      tests::fail(test.name.c_str(), 0, std::string("threw: ") + error.what());
    }
    std::printf("%s %s\n", tests::failures == before ? "ok    " : "FAILED", test.name.c_str());
  }
  std::printf("%zu tests, %d failures\n", tests::all().size(), tests::failures);
  return tests::failures == 0 ? 0 : 1;
}
