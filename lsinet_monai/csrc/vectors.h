// Vectors of the width that the including file defines for its instruction set, LSINET_MONAI_VECTOR_BYTES.
//
// Code that is compiled once per instruction set does not use the standard library: the linker could keep the copy of
// an inline function for one instruction set, and use it in code that runs on every processor.
#pragma once

#include <cstdint>

namespace lsinet_monai {
namespace {

template <typename T, int64_t N>
struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};

template <typename T, int64_t N>
using Vector = typename VectorOf<T, N>::type;

// The number of values in a register.
template <typename T>
constexpr int64_t LANES = LSINET_MONAI_VECTOR_BYTES / sizeof(T);

template <typename V, typename T>
inline __attribute__((always_inline)) V load(const T* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));
  return value;
}

template <typename V, typename T>
inline __attribute__((always_inline)) void store(T* to, const V& value) {
  __builtin_memcpy(to, &value, sizeof(V));
}

}  // namespace
}  // namespace lsinet_monai
