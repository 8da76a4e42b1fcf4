#include "cyxwiz/dtype.h"

#include <string>

#include "cyxwiz/error.h"

namespace cyxwiz {
namespace {

constexpr std::string_view kNames[kDTypeCount] = {"bool",  "uint8", "int8",    "int16",
                                                  "int32", "int64", "float32", "float64"};

}  // namespace

std::string_view name(DType t) { return kNames[static_cast<size_t>(t)]; }

DType dtype_from_name(std::string_view wanted) {
  std::string known;
  for (int i = 0; i < kDTypeCount; ++i) {
    if (kNames[i] == wanted) return static_cast<DType>(i);
    known += (i ? ", " : "") + std::string(kNames[i]);
  }
  throw DTypeError("unknown dtype '" + std::string(wanted) + "': the known ones are " + known);
}

DType promote(DType a, DType b) {
  // The only pair of one kind whose larger member can't hold the smaller.
  if ((a == DType::kUInt8 && b == DType::kInt8) || (a == DType::kInt8 && b == DType::kUInt8)) {
    return DType::kInt16;
  }
  return a > b ? a : b;
}

}  // namespace cyxwiz
