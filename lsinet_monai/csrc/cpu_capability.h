// Selection of the CPU kernels, which are compiled once per instruction set.
#pragma once

#include <cstdlib>
#include <string>

namespace lsinet_monai {

enum class Capability { baseline, avx2, avx512 };

// The processor's instruction set. PyTorch's variable ATEN_CPU_CAPABILITY (default, avx2) lowers it, as for PyTorch's
// kernels.
inline Capability cpu_capability() {
#ifdef __x86_64__
  const char* variable = std::getenv("ATEN_CPU_CAPABILITY");
  const std::string limit = variable ? variable : "";
  if (limit == "default" || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return Capability::baseline;
  }
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has_avx512 && limit != "avx2" ? Capability::avx512 : Capability::avx2;
#else
  return Capability::baseline;
#endif
}

// The best of the sets baseline, avx2 and avx512 that a type has.
template <typename Sets>
const auto& best_of() {
#ifdef __x86_64__
  static const Capability capability = cpu_capability();
  if (capability == Capability::avx512) {
    return Sets::avx512;
  }
  if (capability == Capability::avx2) {
    return Sets::avx2;
  }
#endif
  return Sets::baseline;
}

}  // namespace lsinet_monai
