// The memory search on the CPU: arguments, division of the work among threads, and registration.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include "cpu_capability.h"
#include "memory_search_cpu_kernels.h"

namespace lsinet_monai {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// The number of queries that a thread handles at a time.
constexpr int64_t QUERIES_AT_A_TIME = 32;

// A score is 2 q.k - |k|^2. Packs keys (count, channels) into (channels + 1, padded): 2 k, then -|k|^2, or the lowest
// number for a slot that is not occupied.
void pack(int64_t count, int64_t channels, int64_t padded, const float* keys, const bool* occupied, float* elements) {
  float* biases = elements + channels * padded;
  for (int64_t n = 0; n < padded; ++n) {
    float square = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const float key = n < count ? keys[n * channels + c] : 0;
      elements[c * padded + n] = 2 * key;
      square += key * key;
    }
    biases[n] = n >= count                    ? -std::numeric_limits<float>::infinity()
                : !occupied || occupied[n]    ? -square
                                              : std::numeric_limits<float>::lowest();
  }
}

Tensor search_memory(Tensor queries, Tensor keys, std::optional<Tensor> occupied, int64_t top_k) {
  STD_TORCH_CHECK(queries.dim() == 3 && keys.dim() == 3 && queries.size(0) == keys.size(0) &&
                      queries.size(2) == keys.size(2),
                  "search_memory: queries (B, Q, C) and keys (B, N, C) are needed");
  STD_TORCH_CHECK(queries.scalar_type() == ScalarType::Float && keys.scalar_type() == ScalarType::Float,
                  "search_memory: queries and keys must be float32");
  STD_TORCH_CHECK(top_k >= 1 && top_k <= keys.size(1), "search_memory: top_k must be from 1 to the number of elements");
  if (occupied) {
    STD_TORCH_CHECK(occupied->scalar_type() == ScalarType::Bool && occupied->dim() == 2 &&
                        occupied->size(0) == keys.size(0) && occupied->size(1) == keys.size(1),
                    "search_memory: occupied must be bool, (B, N)");
    occupied = torch::stable::contiguous(*occupied);
  }
  queries = torch::stable::contiguous(queries);
  keys = torch::stable::contiguous(keys);
  const int64_t batch = keys.size(0), count = keys.size(1), channels = keys.size(2), query_count = queries.size(1);
  const int64_t padded = (count + ELEMENT_BLOCK - 1) / ELEMENT_BLOCK * ELEMENT_BLOCK;
  const int64_t packed = (channels + 1) * padded;
  const std::unique_ptr<float[]> elements(new float[batch * packed]);
  for (int64_t b = 0; b < batch; ++b) {
    pack(count, channels, padded, keys.const_data_ptr<float>() + b * count * channels,
         occupied ? occupied->const_data_ptr<bool>() + b * count : nullptr, elements.get() + b * packed);
  }

  Tensor indices = torch::stable::new_empty(queries, {batch, query_count, top_k}, ScalarType::Long);
  const float* from = queries.const_data_ptr<float>();
  int64_t* to = indices.mutable_data_ptr<int64_t>();
  const SearchKernels& kernel = best_of<SearchKernelSets>();
  const int64_t parts = (query_count + QUERIES_AT_A_TIME - 1) / QUERIES_AT_A_TIME;
  torch::stable::parallel_for(0, batch * parts, 1, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<float[]> scores(new float[QUERIES_AT_A_TIME * top_k]);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / parts, first = i % parts * QUERIES_AT_A_TIME, query = b * query_count + first;
      kernel.search(channels, padded, elements.get() + b * packed, std::min(QUERIES_AT_A_TIME, query_count - first),
                    from + query * channels, top_k, scores.get(), to + query * top_k);
    }
  });
  return indices;
}

}  // namespace
}  // namespace lsinet_monai

STABLE_TORCH_LIBRARY_IMPL(lsinet_monai, CPU, m) {
  m.impl("search_memory", TORCH_BOX(&lsinet_monai::search_memory));
}
