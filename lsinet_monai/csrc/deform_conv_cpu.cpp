// Modulated deformable convolution on the CPU: arguments, division of the work among threads, and registration.
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <memory>
#include <tuple>

#include "arguments.h"
#include "cpu_capability.h"
#include "deform_conv_cpu_kernels.h"

namespace lsinet_monai {
namespace {

using torch::stable::parallel_for;

// The largest number of pieces into which the backward pass cuts an image: each needs its own gradient of the image.
constexpr int64_t MAX_PIECES = 16;

// The smallest number of image rows that a thread copies at a time.
constexpr int64_t ROWS_TO_COPY = 16;

template <typename T>
using Buffer = std::unique_ptr<T[]>;

template <typename T>
Buffer<T> uninitialised(int64_t size) {
  return Buffer<T>(new T[size]);
}

template <typename T>
Buffer<T> zeros(int64_t size) {
  return Buffer<T>(new T[size]());
}

int64_t thread_index() {
  uint32_t index = 0;
  TORCH_ERROR_CODE_CHECK(torch_get_thread_idx(&index));
  return index;
}

// (batch, channels, height, width) with any strides -> (batch, height * width + 1, channels), the last pixel zero.
template <typename T>
Buffer<T> channels_last(const Tensor& input, const Geometry& g) {
  const int64_t size = (g.pixels() + 1) * g.channels;
  Buffer<T> result = uninitialised<T>(g.batch * size);
  const T* source = input.const_data_ptr<T>();
  const int64_t by_image = input.stride(0), by_channel = input.stride(1), by_row = input.stride(2),
                by_column = input.stride(3);
  parallel_for(0, g.batch * g.height, ROWS_TO_COPY, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / g.height, row = i % g.height;
      const T* from = source + image * by_image + row * by_row;
      T* to = result.get() + image * size + row * g.width * g.channels;
      for (int64_t column = 0; column < g.width; ++column) {
        for (int64_t channel = 0; channel < g.channels; ++channel) {
          to[column * g.channels + channel] = from[channel * by_channel + column * by_column];
        }
      }
    }
  });
  for (int64_t image = 0; image < g.batch; ++image) {
    std::fill_n(result.get() + image * size + g.pixels() * g.channels, g.channels, T(0));
  }
  return result;
}

template <typename T>
Image<T> image_of(const Geometry& g, int64_t index, const T* pixels, const Tensor& offset,
                  const std::optional<Tensor>& mask) {
  return {pixels + index * (g.pixels() + 1) * g.channels, offset.const_data_ptr<T>() + index * offset.stride(0),
          mask ? mask->const_data_ptr<T>() + index * mask->stride(0) : nullptr};
}

template <typename T>
void forward(const Geometry& g, const Tensor& input, const Tensor& weight, const Tensor& offset,
             const std::optional<Tensor>& mask, const std::optional<Tensor>& bias, Tensor& output) {
  const CpuKernels<T>& kernel = best_of<CpuKernelSets<T>>();
  const Padded padded = kernel.padded(g);
  const int64_t taps = g.taps(), inputs = g.group_inputs(), outputs = g.group_outputs();
  Buffer<T> packed = zeros<T>(g.groups * inputs * taps * padded.outputs);
  const T* from = weight.const_data_ptr<T>();
  for (int64_t o = 0; o < g.out_channels; ++o) {
    for (int64_t c = 0; c < inputs; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        packed[((o / outputs * taps + tap) * inputs + c) * padded.outputs + o % outputs] = *from++;
      }
    }
  }

  const Buffer<T> pixels = channels_last<T>(input, g);
  const T* biases = bias ? bias->const_data_ptr<T>() : nullptr;
  T* results = output.mutable_data_ptr<T>();
  const int64_t tiles = (g.positions() + TILE - 1) / TILE;
  parallel_for(0, g.batch * tiles, 1, [&](int64_t begin, int64_t end) {
    const Buffer<T> scratch = zeros<T>(kernel.scratch(g));
    while (begin < end) {
      const int64_t image = begin / tiles, stop = std::min(end, (image + 1) * tiles);
      kernel.forward(g, image_of<T>(g, image, pixels.get(), offset, mask), packed.get(), biases,
                     (begin - image * tiles) * TILE, std::min(g.positions(), (stop - image * tiles) * TILE),
                     scratch.get(), results + image * g.out_channels * g.positions());
      begin = stop;
    }
  });
}

template <typename T>
void backward(const Geometry& g, const Tensor& grad_output, const Tensor& input, const Tensor& weight,
              const Tensor& offset, const std::optional<Tensor>& mask, Tensor& grad_input, Tensor& grad_weight,
              Tensor& grad_offset, Tensor& grad_mask) {
  const CpuKernels<T>& kernel = best_of<CpuKernelSets<T>>();
  const Padded padded = kernel.padded(g);
  const int64_t taps = g.taps(), inputs = g.group_inputs(), outputs = g.group_outputs();
  Buffer<T> packed = zeros<T>(g.out_channels * padded.reduction);
  const T* from = weight.const_data_ptr<T>();
  for (int64_t o = 0; o < g.out_channels; ++o) {
    for (int64_t c = 0; c < inputs; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        packed[o * padded.reduction + tap * inputs + c] = *from++;
      }
    }
  }

  const Buffer<T> pixels = channels_last<T>(input, g);
  const int64_t threads = torch::stable::get_num_threads(), tiles = (g.positions() + TILE - 1) / TILE;
  // With more threads than images each image is cut into pieces.
  const int64_t pieces = std::clamp<int64_t>((threads + g.batch - 1) / g.batch, 1, std::min(MAX_PIECES, tiles));
  const int64_t image_size = (g.pixels() + 1) * g.channels;
  const int64_t weight_size = g.groups * inputs * taps * padded.outputs;
  const Buffer<T> grad_pixels = zeros<T>(g.batch * pieces * image_size);
  const Buffer<T> grad_weights = zeros<T>(threads * weight_size);
  const T* grad_outputs = grad_output.const_data_ptr<T>();
  T* grad_offsets = grad_offset.mutable_data_ptr<T>();
  T* grad_masks = mask ? grad_mask.mutable_data_ptr<T>() : nullptr;
  parallel_for(0, g.batch * pieces, 1, [&](int64_t begin, int64_t end) {
    const Buffer<T> scratch = zeros<T>(kernel.scratch(g));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / pieces, piece = i % pieces, planes = g.deformable_groups * taps * g.positions();
      kernel.backward(g, image_of<T>(g, image, pixels.get(), offset, mask), packed.get(),
                      grad_outputs + image * g.out_channels * g.positions(), piece * tiles / pieces * TILE,
                      std::min(g.positions(), (piece + 1) * tiles / pieces * TILE), scratch.get(),
                      grad_pixels.get() + i * image_size, grad_weights.get() + thread_index() * weight_size,
                      grad_offsets + 2 * image * planes, grad_masks ? grad_masks + image * planes : nullptr);
    }
  });

  T* grad_inputs = grad_input.mutable_data_ptr<T>();
  parallel_for(0, g.batch * g.height, ROWS_TO_COPY, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / g.height, row = i % g.height;
      const T* sums = grad_pixels.get() + image * pieces * image_size + row * g.width * g.channels;
      T* to = grad_inputs + (image * g.channels * g.height + row) * g.width;
      for (int64_t channel = 0; channel < g.channels; ++channel) {
        for (int64_t column = 0; column < g.width; ++column) {
          T sum = 0;
          for (int64_t piece = 0; piece < pieces; ++piece) {
            sum += sums[piece * image_size + column * g.channels + channel];
          }
          to[channel * g.pixels() + column] = sum;
        }
      }
    }
  });
  T* to = grad_weight.mutable_data_ptr<T>();
  for (int64_t o = 0; o < g.out_channels; ++o) {
    for (int64_t c = 0; c < inputs; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        T sum = 0;
        for (int64_t thread = 0; thread < threads; ++thread) {
          sum += grad_weights[thread * weight_size +
                              ((o / outputs * taps + tap) * inputs + c) * padded.outputs + o % outputs];
        }
        *to++ = sum;
      }
    }
  }
}

// Half precision is computed in float32.
bool is_computed_in_float(ScalarType type) { return type == ScalarType::Half || type == ScalarType::BFloat16; }

std::optional<Tensor> to_dtype(const std::optional<Tensor>& tensor, ScalarType type) {
  return tensor ? std::optional<Tensor>(torch::stable::to(*tensor, type)) : std::nullopt;
}

Tensor deform_conv2d(Tensor input, Tensor weight, Tensor offset, std::optional<Tensor> mask,
                     std::optional<Tensor> bias, Pair stride, Pair padding, Pair dilation, int64_t groups,
                     int64_t deformable_groups) {
  const ScalarType type = input.scalar_type();
  if (is_computed_in_float(type)) {
    const auto single = ScalarType::Float;
    return torch::stable::to(
        deform_conv2d(torch::stable::to(input, single), torch::stable::to(weight, single),
                      torch::stable::to(offset, single), to_dtype(mask, single), to_dtype(bias, single), stride,
                      padding, dilation, groups, deformable_groups),
        type);
  }
  const Geometry g =
      read_geometry(input, weight, offset, mask, stride, padding, dilation, groups, deformable_groups);
  check_bias(bias, input, g);
  weight = torch::stable::contiguous(weight);
  offset = with_contiguous_images(offset);
  if (mask) {
    mask = with_contiguous_images(*mask);
  }
  if (bias) {
    bias = torch::stable::contiguous(*bias);
  }
  Tensor output = torch::stable::new_empty(input, {g.batch, g.out_channels, g.out_height, g.out_width});
  if (output.numel() == 0) {
    return output;
  }
  if (type == ScalarType::Double) {
    forward<double>(g, input, weight, offset, mask, bias, output);
  } else {
    STD_TORCH_CHECK(type == ScalarType::Float, "deform_conv2d: only floating-point tensors are supported");
    forward<float>(g, input, weight, offset, mask, bias, output);
  }
  return output;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> deform_conv2d_backward(Tensor grad_output, Tensor input, Tensor weight,
                                                                  Tensor offset, std::optional<Tensor> mask,
                                                                  Pair stride, Pair padding, Pair dilation,
                                                                  int64_t groups, int64_t deformable_groups) {
  const ScalarType type = input.scalar_type();
  if (is_computed_in_float(type)) {
    const auto single = ScalarType::Float;
    const auto [grad_input, grad_weight, grad_offset, grad_mask] = deform_conv2d_backward(
        torch::stable::to(grad_output, single), torch::stable::to(input, single), torch::stable::to(weight, single),
        torch::stable::to(offset, single), to_dtype(mask, single), stride, padding, dilation, groups,
        deformable_groups);
    return {torch::stable::to(grad_input, type), torch::stable::to(grad_weight, type),
            torch::stable::to(grad_offset, type), torch::stable::to(grad_mask, type)};
  }
  const Geometry g =
      read_geometry(input, weight, offset, mask, stride, padding, dilation, groups, deformable_groups);
  check_grad_output(grad_output, input, g);
  grad_output = torch::stable::contiguous(grad_output);
  weight = torch::stable::contiguous(weight);
  offset = with_contiguous_images(offset);
  if (mask) {
    mask = with_contiguous_images(*mask);
  }
  Tensor grad_input = torch::stable::new_empty(input, input.sizes());
  Tensor grad_weight = torch::stable::new_empty(weight, weight.sizes());
  Tensor grad_offset = torch::stable::new_empty(offset, offset.sizes());
  Tensor grad_mask = mask ? torch::stable::new_empty(*mask, mask->sizes()) : torch::stable::new_empty(input, {0});
  if (grad_output.numel() == 0) {
    for (Tensor* grad : {&grad_input, &grad_weight, &grad_offset, &grad_mask}) {
      torch::stable::zero_(*grad);
    }
  } else if (type == ScalarType::Double) {
    backward<double>(g, grad_output, input, weight, offset, mask, grad_input, grad_weight, grad_offset, grad_mask);
  } else {
    STD_TORCH_CHECK(type == ScalarType::Float, "deform_conv2d: only floating-point tensors are supported");
    backward<float>(g, grad_output, input, weight, offset, mask, grad_input, grad_weight, grad_offset, grad_mask);
  }
  return {grad_input, grad_weight, grad_offset, grad_mask};
}

}  // namespace
}  // namespace lsinet_monai

STABLE_TORCH_LIBRARY_IMPL(lsinet_monai, CPU, m) {
  m.impl("deform_conv2d", TORCH_BOX(&lsinet_monai::deform_conv2d));
  m.impl("deform_conv2d_backward", TORCH_BOX(&lsinet_monai::deform_conv2d_backward));
}
