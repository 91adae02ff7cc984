// The sizes of one modulated deformable convolution, as plain numbers, for CPU and CUDA kernels.
//
// Definition (Zhu et al., Deformable ConvNets v2, 2019, section 3.1, eq. 1). For output channel o at position p
//
//   output[o, p] = bias[o] + sum over c, k of weight[o, c, k] * mask[d, k, p] * input[c, q],
//   q = p * stride - padding + k * dilation + offset[d, k, p],
//
// over the channels c of o's group and the taps k of the kernel, where d is the deformable group of channel c. The
// input at a fractional place q is the bilinear interpolation of its four neighbours, and pixels outside are zero.
#pragma once

#include <cstdint>

namespace lsinet_monai {

struct Geometry {
  int64_t batch, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width;
  int64_t padding_height, padding_width;
  int64_t dilation_height, dilation_width;
  int64_t groups, deformable_groups;

#ifdef __CUDACC__
#define LSINET_MONAI_INLINE __host__ __device__ inline
#else
// Always inline, so that no copy compiled for one instruction set is linked into code for all processors.
#define LSINET_MONAI_INLINE inline __attribute__((always_inline))
#endif
  LSINET_MONAI_INLINE int64_t pixels() const { return height * width; }
  LSINET_MONAI_INLINE int64_t positions() const { return out_height * out_width; }
  LSINET_MONAI_INLINE int64_t taps() const { return kernel_height * kernel_width; }
  // The input and output channels of one group of the weight.
  LSINET_MONAI_INLINE int64_t group_inputs() const { return channels / groups; }
  LSINET_MONAI_INLINE int64_t group_outputs() const { return out_channels / groups; }
  // The channels that share offsets and mask.
  LSINET_MONAI_INLINE int64_t deformable_channels() const { return channels / deformable_groups; }
};

}  // namespace lsinet_monai
