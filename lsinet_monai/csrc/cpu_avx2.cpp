// The CPU kernels for x86-64 processors with AVX2.
#ifdef __x86_64__

#include <cstdint>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LSINET_MONAI_VECTOR_BYTES 32
#define LSINET_MONAI_ROWS 4
#define LSINET_MONAI_KERNELS avx2
#include "deform_conv_cpu_kernels_impl.h"
#include "memory_search_cpu_kernels_impl.h"

#ifdef __clang__
#pragma clang attribute pop
#endif

#endif
