// Reading and checking of the operator's arguments, for CPU and CUDA kernels.
//
// The operator's Python function explains errors to people. These checks protect the memory, because calls can reach
// the dispatcher without that function.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <optional>
#include <vector>

#include "geometry.h"

namespace lsinet_monai {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

using Pair = std::vector<int64_t>;

inline bool is_like(const Tensor& tensor, const Tensor& other) {
  return tensor.scalar_type() == other.scalar_type() && tensor.is_cpu() == other.is_cpu() &&
         tensor.get_device_index() == other.get_device_index();
}

// Whether both numbers reach a minimum and fit into 31 bits, so that their products with positions fit into 64 bits.
inline bool are_within(const Pair& pair, int64_t least) {
  return pair.size() == 2 && pair[0] >= least && pair[1] >= least && pair[0] <= INT32_MAX && pair[1] <= INT32_MAX;
}

inline Geometry read_geometry(const Tensor& input, const Tensor& weight, const Tensor& offset,
                              const std::optional<Tensor>& mask, const Pair& stride, const Pair& padding,
                              const Pair& dilation, int64_t groups, int64_t deformable_groups) {
  STD_TORCH_CHECK(input.dim() == 4 && weight.dim() == 4 && offset.dim() == 4,
                  "deform_conv2d: input, weight and offset must have 4 dimensions");
  STD_TORCH_CHECK(are_within(stride, 1) && are_within(padding, 0) && are_within(dilation, 1),
                  "deform_conv2d: stride and dilation must be two positive numbers, and padding two of at least 0");
  const Geometry g{input.size(0),  input.size(1),  input.size(2),  input.size(3), weight.size(0),
                   offset.size(2), offset.size(3), weight.size(2), weight.size(3), stride[0],
                   stride[1],      padding[0],     padding[1],     dilation[0],   dilation[1],
                   groups,         deformable_groups};
  STD_TORCH_CHECK(groups > 0 && deformable_groups > 0 && g.channels % groups == 0 && g.out_channels % groups == 0 &&
                      g.channels % deformable_groups == 0 && weight.size(1) == g.group_inputs(),
                  "deform_conv2d: channels and groups do not fit");
  STD_TORCH_CHECK(offset.size(0) == g.batch && offset.size(1) == 2 * deformable_groups * g.taps(),
                  "deform_conv2d: offset has the wrong shape");
  for (const Tensor* tensor : {&weight, &offset, mask ? &*mask : nullptr}) {
    STD_TORCH_CHECK(!tensor || is_like(*tensor, input), "deform_conv2d: tensors differ in dtype or device");
  }
  STD_TORCH_CHECK(!mask || (mask->dim() == 4 && mask->size(0) == g.batch &&
                            mask->size(1) == deformable_groups * g.taps() && mask->size(2) == g.out_height &&
                            mask->size(3) == g.out_width),
                  "deform_conv2d: mask has the wrong shape");
  // Kernels address the pixels of one image by 32-bit numbers, and compute addresses one pixel outside of it too. In
  // floating point this product cannot overflow.
  STD_TORCH_CHECK((g.height + 2.0) * (g.width + 2.0) * g.channels < INT32_MAX && g.positions() < INT32_MAX,
                  "deform_conv2d: images of 2^31 values or more are not supported");
  return g;
}

inline void check_bias(const std::optional<Tensor>& bias, const Tensor& input, const Geometry& g) {
  STD_TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == g.out_channels &&
                            is_like(*bias, input)),
                  "deform_conv2d: bias does not fit");
}

inline void check_grad_output(const Tensor& grad_output, const Tensor& input, const Geometry& g) {
  STD_TORCH_CHECK(grad_output.dim() == 4 && grad_output.size(0) == g.batch &&
                      grad_output.size(1) == g.out_channels && grad_output.size(2) == g.out_height &&
                      grad_output.size(3) == g.out_width && is_like(grad_output, input),
                  "deform_conv2d: the output's gradient has the wrong shape, dtype or device");
}

// Offsets and masks are often slices along the channels of one larger tensor: each image is one contiguous block, with
// gaps between the images. Such a tensor needs no copy.
inline Tensor with_contiguous_images(const Tensor& tensor) {
  const int64_t rows = tensor.size(3), planes = rows * tensor.size(2);
  const bool contiguous = tensor.stride(3) == 1 && tensor.stride(2) == rows && tensor.stride(1) == planes;
  return contiguous ? tensor : torch::stable::contiguous(tensor);
}

}  // namespace lsinet_monai
