// The errors that the library throws. Each message names the operation, what it got, what it needs,
// and, where there is an obvious mend, the mend.
#pragma once

#include <stdexcept>
#include <string>

namespace cyxwiz {

/// Shapes, axes or sizes that do not fit together (`ShapeError(ValueError)` in Python).
struct ShapeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A dtype that an operation does not take (`DTypeError(TypeError)` in Python).
struct DTypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A value outside the range an operation takes (`ValueError` in Python).
struct ValueError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A number that a dtype does not hold (`OverflowError` in Python).
struct OverflowError : std::overflow_error {
  using std::overflow_error::overflow_error;
};

/// An index outside its axis (`IndexError` in Python).
struct IndexError : std::out_of_range {
  using std::out_of_range::out_of_range;
};

/// A device that is absent or does not fit (`DeviceError(RuntimeError)` in Python).
struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Memory that a device could not give (`OutOfMemoryError(MemoryError)` in Python).
struct OutOfMemoryError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A value was asked for that a trace does not have (`TracingError(RuntimeError)` in Python).
struct TracingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace cyxwiz
