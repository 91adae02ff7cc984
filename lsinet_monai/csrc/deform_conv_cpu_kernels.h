// The interface of the CPU kernels. deform_conv_cpu_kernels_impl.h is compiled once per instruction set, and
// deform_conv_cpu.cpp selects the best one for the processor (cpu_capability.h).
#pragma once

#include <cstdint>

#include "geometry.h"

namespace lsinet_monai {

// The number of output positions per tile: their columns stay in the caches.
constexpr int64_t TILE = 32;

LSINET_MONAI_INLINE int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Matrices of one group are padded to whole vectors: rows of the reduction (channels times taps), and outputs.
struct Padded {
  int64_t reduction, outputs;
};

// One image with its offsets and mask. The pixels are channels last, (height * width + 1, channels), so that a pixel's
// channels are one or a few vectors. The last pixel is zero and stands for all pixels outside.
template <typename T>
struct Image {
  const T* pixels;
  const T* offset;
  const T* mask;  // null: all ones
};

template <typename T>
struct CpuKernels {
  Padded (*padded)(const Geometry&);
  // The number of scratch values for forward and backward. They must be zero before the first call, and are reusable.
  int64_t (*scratch)(const Geometry&);
  // Computes output (out_channels, positions) at the positions from begin to end.
  // weight: (groups, group_inputs * taps, padded outputs), the reduction in the order (tap, channel).
  void (*forward)(const Geometry&, const Image<T>&, const T* weight, const T* bias, int64_t begin, int64_t end,
                  T* scratch, T* output);
  // Computes grad_offset and grad_mask at the positions from begin to end, and adds these positions' contributions to
  // grad_pixels (laid out as Image.pixels) and to grad_weight (laid out as forward's weight).
  // weight: (groups, group_outputs, padded reduction), the reduction in the order (tap, channel).
  void (*backward)(const Geometry&, const Image<T>&, const T* weight, const T* grad_output, int64_t begin, int64_t end,
                   T* scratch, T* grad_pixels, T* grad_weight, T* grad_offset, T* grad_mask);
};

template <typename T>
struct CpuKernelSets {
  static const CpuKernels<T> baseline;
#ifdef __x86_64__
  static const CpuKernels<T> avx2;
  static const CpuKernels<T> avx512;
#endif
};

}  // namespace lsinet_monai
