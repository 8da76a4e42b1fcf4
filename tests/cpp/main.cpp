// Runs every test of the C++ API. It links core/include alone: no Python.
#include "check.h"

int main() {
  for (const auto& [name, body] : tests()) {
    const int before = failures;
    try {
      body();
    } catch (const std::exception& error) {
      std::printf("%s threw: %s\n", name, error.what());
      ++failures;
    }
    if (failures > before) std::printf("FAILED %s\n", name);
  }
  std::printf("%zu tests, %d failed checks\n", tests().size(), failures);
  return failures ? 1 : 0;
}
