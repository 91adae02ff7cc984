// The interface of the CPU kernel. memory_search_cpu_kernels_impl.h is compiled once per instruction set.
#pragma once

#include <cstdint>

namespace lsinet_monai {

// The number of elements is padded to a multiple of this.
constexpr int64_t ELEMENT_BLOCK = 64;

struct SearchKernels {
  // Finds for each query the elements with the highest scores, in no order; the score of element n is
  // bias[n] + sum_c query[c] * elements[c, n].
  // elements: (channels + 1, count), the biases after the channels; the bias of padding is -infinity.
  // queries: (query_count, channels). best: scores (query_count, top_k), for the kernel's own use, and indices of the
  // same shape; top_k is at most the number of elements.
  void (*search)(int64_t channels, int64_t count, const float* elements, int64_t query_count, const float* queries,
                 int64_t top_k, float* best_scores, int64_t* best_indices);
};

struct SearchKernelSets {
  static const SearchKernels baseline;
#ifdef __x86_64__
  static const SearchKernels avx2;
  static const SearchKernels avx512;
#endif
};

}  // namespace lsinet_monai
