// The CPU kernels for every processor: vectors of 16 bytes, as in SSE2 and NEON.
#define LSINET_MONAI_VECTOR_BYTES 16
#define LSINET_MONAI_ROWS 4
#define LSINET_MONAI_KERNELS baseline
#include "deform_conv_cpu_kernels_impl.h"
#include "memory_search_cpu_kernels_impl.h"
