// The CPU kernels for x86-64 processors with AVX-512.
#ifdef __x86_64__

#include <cstdint>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif

#define LSINET_MONAI_VECTOR_BYTES 64
#define LSINET_MONAI_ROWS 8
#define LSINET_MONAI_KERNELS avx512
#include "deform_conv_cpu_kernels_impl.h"
#include "memory_search_cpu_kernels_impl.h"

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
