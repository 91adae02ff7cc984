// The CPU kernel of the memory search, for the instruction set of the including file (vectors.h).
//
// Scores are computed in registers and compared with the lowest of the query's best scores so far. Only the few higher
// ones are handled one by one.

#include "memory_search_cpu_kernels.h"
#include "vectors.h"

namespace lsinet_monai {
namespace {

// The number of elements compared with all queries before the next ones: they stay in the first-level cache.
constexpr int64_t ELEMENTS_AT_A_TIME = 1024;

// A query's best elements: a heap with the lowest score first.
struct Best {
  int64_t size;
  float* scores;
  int64_t* indices;

  void replace_lowest(float score, int64_t index) {
    int64_t at = 0;
    while (true) {
      int64_t child = 2 * at + 1;
      if (child >= size) {
        break;
      }
      child += child + 1 < size && scores[child + 1] < scores[child];
      if (scores[child] >= score) {
        break;
      }
      scores[at] = scores[child];
      indices[at] = indices[child];
      at = child;
    }
    scores[at] = score;
    indices[at] = index;
  }
};

// Whether any lane of a comparison holds. Halves are joined until one value is left, without a detour through memory.
template <int64_t N>
inline __attribute__((always_inline)) bool any(const Vector<int32_t, N>& mask) {
  if constexpr (N == 2) {
    int64_t both;
    __builtin_memcpy(&both, &mask, sizeof(both));
    return both != 0;
  } else {
    Vector<int32_t, N / 2> halves[2];
    __builtin_memcpy(halves, &mask, sizeof(mask));
    return any<N / 2>(halves[0] | halves[1]);
  }
}

// Compares a query with the elements from begin to end. CHANNELS is their number of channels, or 0 for any number.
template <int64_t CHANNELS>
void search_some(int64_t channels, int64_t count, const float* elements, int64_t begin, int64_t end,
                 const float* query, Best best) {
  using V = Vector<float, LANES<float>>;
  constexpr int64_t N = ELEMENT_BLOCK / LANES<float>;
  const int64_t last = CHANNELS ? CHANNELS : channels;
  V lowest = best.scores[0] - V{};
  for (int64_t block = begin; block < end; block += ELEMENT_BLOCK) {
    const float* from = elements + block;
    V scores[N];
#pragma GCC unroll 16
    for (int64_t i = 0; i < N; ++i) {
      scores[i] = load<V>(from + last * count + i * LANES<float>);
    }
#pragma GCC unroll 4
    for (int64_t c = 0; c < last; ++c) {
#pragma GCC unroll 16
      for (int64_t i = 0; i < N; ++i) {
        scores[i] += query[c] * load<V>(from + c * count + i * LANES<float>);
      }
    }
    auto higher = scores[0] > lowest;
#pragma GCC unroll 16
    for (int64_t i = 1; i < N; ++i) {
      higher |= scores[i] > lowest;
    }
    if (!any<LANES<float>>(higher)) {
      continue;
    }
    for (int64_t i = 0; i < N; ++i) {
      if (!any<LANES<float>>(scores[i] > lowest)) {
        continue;
      }
      float lanes[LANES<float>];
      store(lanes, scores[i]);
      for (int64_t lane = 0; lane < LANES<float>; ++lane) {
        if (lanes[lane] > best.scores[0]) {
          best.replace_lowest(lanes[lane], block + i * LANES<float> + lane);
        }
      }
      lowest = best.scores[0] - V{};
    }
  }
}

void search(int64_t channels, int64_t count, const float* elements, int64_t query_count, const float* queries,
            int64_t top_k, float* best_scores, int64_t* best_indices) {
  for (int64_t i = 0; i < query_count * top_k; ++i) {
    best_scores[i] = -__builtin_inff();
    best_indices[i] = i % top_k;  // kept if scores are NaN
  }
  for (int64_t begin = 0; begin < count; begin += ELEMENTS_AT_A_TIME) {
    const int64_t end = begin + ELEMENTS_AT_A_TIME < count ? begin + ELEMENTS_AT_A_TIME : count;
    for (int64_t q = 0; q < query_count; ++q) {
      const auto run = channels == 4 ? search_some<4> : search_some<0>;
      run(channels, count, elements, begin, end, queries + q * channels,
          {top_k, best_scores + q * top_k, best_indices + q * top_k});
    }
  }
}

}  // namespace

const SearchKernels SearchKernelSets::LSINET_MONAI_KERNELS = {search};

}  // namespace lsinet_monai
