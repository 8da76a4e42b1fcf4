// Element types: names, sizes, and the promotion rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cyxwiz {

/// The order within a kind is the order of promotion.
enum class DType : uint8_t { kBool, kUInt8, kInt8, kInt16, kInt32, kInt64, kFloat32, kFloat64 };

inline constexpr int kDTypeCount = 8;

constexpr int64_t item_size(DType t) {
  constexpr int64_t sizes[kDTypeCount] = {1, 1, 1, 2, 4, 8, 4, 8};
  return sizes[static_cast<size_t>(t)];
}

constexpr bool is_floating(DType t) { return t >= DType::kFloat32; }
constexpr bool is_integer(DType t) { return t > DType::kBool && t < DType::kFloat32; }

/// The dtype's name, spelled as NumPy and the Python array API spell it.
std::string_view name(DType t);

/// The dtype of that name; throws DTypeError with the list of known names.
DType dtype_from_name(std::string_view name);

/// The dtype that both convert to: the array API's table within a kind; an integer with a floating
/// dtype gives the floating one (as PyTorch does), bool with anything gives the other.
DType promote(DType a, DType b);

/// `t` itself when floating, otherwise the default floating dtype, float32.
constexpr DType to_floating(DType t) { return is_floating(t) ? t : DType::kFloat32; }

}  // namespace cyxwiz
