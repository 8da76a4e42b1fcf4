// What a test is here: a function that checks, and a name; main() runs them all.
#pragma once

#include <cmath>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "cyxwiz/cyxwiz.h"

namespace tests {

struct Test {
  std::string name;
  std::function<void()> run;
};

std::vector<Test>& all();
void fail(const char* file, int line, const std::string& what);

struct Add {
  Add(const char* name, std::function<void()> run) { all().push_back({name, std::move(run)}); }
};

/// A float64 Tensor of these numbers.
cyxwiz::Tensor of(const std::vector<double>& values, const cyxwiz::Shape& shape = {});
/// The elements as doubles, whatever the dtype.
std::vector<double> values(const cyxwiz::Tensor& tensor);
bool close(const cyxwiz::Tensor& tensor, const std::vector<double>& expected, double by = 1e-12);
bool same_bits(const cyxwiz::Tensor& a, const cyxwiz::Tensor& b);

/// Prints the values of a fixed list of expressions, as bytes, for Python to compare with its own.
int print_bits();

/// Does `run` throw exactly this error? An empty message matches any.
template <class Error>
bool throws(const std::function<void()>& run, const std::string& message = "") {
  try {
    run();
  } catch (const Error& error) {
    return message.empty() || message == error.what();
  } catch (...) {
  }
  return false;
}

}  // namespace tests

#define CHECK(...)                                                     \
  do {                                                                 \
    if (!(__VA_ARGS__)) tests::fail(__FILE__, __LINE__, #__VA_ARGS__); \
  } while (false)
#define TEST(name)                                 \
  static void name();                              \
  static const tests::Add add_##name(#name, name); \
  static void name()
