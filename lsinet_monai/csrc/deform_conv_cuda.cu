// Modulated deformable convolution on CUDA devices: kernels, launches and registration.
//
// Forward is one kernel. A block samples columns for 32 positions, and for a few channels and taps at a time, into
// shared memory, and multiplies them with the weight at once, so that columns never reach global memory. Backward is a
// matrix product for the gradient of the columns, a kernel for the gradients of input, offset and mask that also writes
// the columns, and a matrix product for the gradient of the weight.
#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "arguments.h"

namespace lsinet_monai {
namespace {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

// The forward kernel's block: neighbouring positions, and samples at a time.
constexpr int POSITIONS = 32;
constexpr int SAMPLES = 8;
// The largest number of channels per sample of the forward kernel.
constexpr int MAX_CHANNELS = 4;

constexpr int BACKWARD_THREADS = 128;

// The largest number of blocks along the second and third axis of a grid.
constexpr int64_t MAX_GRID = 65535;

// The type in which values of another type are computed.
template <typename T>
struct ComputedIn {
  using type = float;
};
template <>
struct ComputedIn<double> {
  using type = double;
};

// A place in the input: its four neighbours in the order top left, top right, bottom left, bottom right, as pixels of
// one channel (-1: outside), and its distance below and to the right of the top left one, from 0 to 1.
template <typename A>
struct Place {
  int corner[4];
  A below, beside;

  __device__ A weight(int k) const { return (k / 2 ? below : 1 - below) * (k % 2 ? beside : 1 - beside); }
};

// Splits a coordinate into the neighbour at or before it and the distance from there. A coordinate more than a pixel
// outside counts as -2 or size, whose neighbours are all outside. NaN gives neighbours outside and the fraction NaN.
template <typename A>
__device__ void split(A place, int size, int& before, A& fraction) {
  place = place < A(-2) ? A(-2) : place;
  place = place > A(size) ? A(size) : place;
  const A number = place >= A(-2) ? place : A(-2);
  before = static_cast<int>(floor(number));
  fraction = place - A(before);
}

// offset: the offsets of one image and deformable group.
template <typename T, typename A>
__device__ Place<A> find_place(const Geometry& g, const T* offset, int tap, int position) {
  const int64_t positions = g.positions();
  const int out_width = g.out_width, kernel_width = g.kernel_width, height = g.height, width = g.width;
  const int64_t y = position / out_width * g.stride_height - g.padding_height + tap / kernel_width * g.dilation_height;
  const int64_t x = position % out_width * g.stride_width - g.padding_width + tap % kernel_width * g.dilation_width;
  Place<A> place;
  int top, left;
  split(A(y) + static_cast<A>(offset[2 * tap * positions + position]), height, top, place.below);
  split(A(x) + static_cast<A>(offset[(2 * tap + 1) * positions + position]), width, left, place.beside);
  for (int k = 0; k < 4; ++k) {
    const int row = top + k / 2, column = left + k % 2;
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    place.corner[k] = inside ? row * width + column : -1;
  }
  return place;
}

// A pixel outside is zero; times its weight it is NaN if the offset is.
template <typename T, typename A>
__device__ A value_at(const T* pixels, int corner) {
  return corner < 0 ? A(0) : static_cast<A>(pixels[corner]);
}

// A block computes POSITIONS positions of one image and SAMPLES * OUTPUTS output channels of one group. A thread
// samples for the position threadIdx.x, then sums OUTPUTS output channels of that position. A sample is one tap and
// `channels` channels of the same group and deformable group.
template <typename T, typename A, int OUTPUTS>
__global__ void forward_kernel(Geometry g, int channels, const T* __restrict__ input, const T* __restrict__ weight,
                               const T* __restrict__ offset, int64_t offset_stride, const T* __restrict__ mask,
                               int64_t mask_stride, const T* __restrict__ bias, T* __restrict__ output) {
  constexpr int ROWS = SAMPLES * MAX_CHANNELS, WIDTH = SAMPLES * OUTPUTS;
  __shared__ A columns[ROWS][POSITIONS];
  // Rows are padded so that writes down a column fall into different banks.
  __shared__ __align__(16) A weights[ROWS][WIDTH + 4];

  const int64_t positions = g.positions(), pixels = g.pixels();
  const int taps = g.taps(), inputs = g.group_inputs(), outputs = g.group_outputs();
  const int deformable_channels = g.deformable_channels();
  const int blocks = (positions + POSITIONS - 1) / POSITIONS;
  const int64_t image = blockIdx.x / blocks, position = blockIdx.x % blocks * POSITIONS + threadIdx.x;
  const int parts = (outputs + WIDTH - 1) / WIDTH;
  const int group = blockIdx.y / parts, first_output = blockIdx.y % parts * WIDTH;
  const int samples = taps * (inputs / channels), rows = SAMPLES * channels;
  const int thread = threadIdx.y * POSITIONS + threadIdx.x;

  A sums[OUTPUTS] = {};
  for (int start = 0; start < samples; start += SAMPLES) {
    const int sample = start + threadIdx.y;
    if (sample < samples && position < positions) {
      const int tap = sample % taps, channel = group * inputs + sample / taps * channels;
      const int64_t plane = channel / deformable_channels * taps;
      const Place<A> place =
          find_place<T, A>(g, offset + image * offset_stride + 2 * plane * positions, tap, position);
      const A masked =
          mask ? static_cast<A>(mask[image * mask_stride + (plane + tap) * positions + position]) : A(1);
      for (int c = 0; c < channels; ++c) {
        const T* values = input + (image * g.channels + channel + c) * pixels;
        A sum = 0;
        for (int k = 0; k < 4; ++k) {
          sum += place.weight(k) * value_at<T, A>(values, place.corner[k]);
        }
        columns[threadIdx.y * channels + c][threadIdx.x] = masked * sum;
      }
    } else {
      for (int c = 0; c < channels; ++c) {
        columns[threadIdx.y * channels + c][threadIdx.x] = 0;
      }
    }
    for (int i = thread; i < rows * WIDTH; i += POSITIONS * SAMPLES) {
      // Neighbouring threads read the taps of one channel, which are contiguous in the weight.
      const int row = i % rows, c = row / SAMPLES;
      const int from = start + row % SAMPLES, output_channel = first_output + i / rows;
      A value = 0;
      if (from < samples && output_channel < outputs) {
        const int64_t connection = (int64_t(group) * outputs + output_channel) * inputs + from / taps * channels + c;
        value = static_cast<A>(weight[connection * taps + from % taps]);
      }
      weights[row % SAMPLES * channels + c][i / rows] = value;
    }
    __syncthreads();
    for (int row = 0; row < rows; ++row) {
      const A column = columns[row][threadIdx.x];
#pragma unroll
      for (int o = 0; o < OUTPUTS; ++o) {
        sums[o] += column * weights[row][threadIdx.y * OUTPUTS + o];
      }
    }
    __syncthreads();
  }

  if (position < positions) {
#pragma unroll
    for (int o = 0; o < OUTPUTS; ++o) {
      const int in_group = first_output + threadIdx.y * OUTPUTS + o, channel = group * outputs + in_group;
      if (in_group < outputs) {
        const A added = bias ? static_cast<A>(bias[channel]) : A(0);
        output[(image * g.out_channels + channel) * positions + position] = static_cast<T>(sums[o] + added);
      }
    }
  }
}

// A thread handles one position, tap and deformable group, in every gridDim.z-th image. columns and grad_columns:
// (batch, channels, taps, positions).
template <typename T>
__global__ void backward_kernel(Geometry g, const T* __restrict__ input, const T* __restrict__ offset,
                                int64_t offset_stride, const T* __restrict__ mask, int64_t mask_stride,
                                const T* __restrict__ grad_columns, T* __restrict__ columns,
                                T* __restrict__ grad_input, T* __restrict__ grad_offset, T* __restrict__ grad_mask) {
  const int64_t positions = g.positions(), pixels = g.pixels();
  const int64_t position = blockIdx.x * int64_t(blockDim.x) + threadIdx.x;
  const int taps = g.taps(), deformable_group = blockIdx.y / taps, tap = blockIdx.y % taps;
  if (position >= positions) {
    return;
  }
  for (int64_t image = blockIdx.z; image < g.batch; image += gridDim.z) {
    const Place<T> place = find_place<T, T>(
        g, offset + image * offset_stride + int64_t(2) * deformable_group * taps * positions, tap, position);
    const T masked = mask ? mask[image * mask_stride + blockIdx.y * positions + position] : T(1);
    T products[4] = {};
    const int64_t first = image * g.channels + deformable_group * g.deformable_channels();
    for (int64_t channel = first; channel < first + g.deformable_channels(); ++channel) {
      const int64_t at = (channel * taps + tap) * positions + position;
      const T grad = grad_columns[at];
      T sum = 0;
      for (int k = 0; k < 4; ++k) {
        const T value = value_at<T, T>(input + channel * pixels, place.corner[k]);
        products[k] += grad * value;
        sum += place.weight(k) * value;
        if (place.corner[k] >= 0) {
          atomicAdd(grad_input + channel * pixels + place.corner[k], masked * place.weight(k) * grad);
        }
      }
      columns[at] = masked * sum;
    }
    const T below = place.below, beside = place.beside;
    const int64_t plane = image * g.deformable_groups * taps + blockIdx.y;
    T* grad_y = grad_offset + 2 * plane * positions + position;
    grad_y[0] = masked * ((products[2] - products[0]) * (1 - beside) + (products[3] - products[1]) * beside);
    grad_y[positions] = masked * ((products[1] - products[0]) * (1 - below) + (products[3] - products[2]) * below);
    if (grad_mask) {
      grad_mask[plane * positions + position] = (products[0] * (1 - beside) + products[1] * beside) * (1 - below) +
                                                (products[2] * (1 - beside) + products[3] * beside) * below;
    }
  }
}

cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

template <typename T>
const T* data_or_null(const std::optional<Tensor>& tensor) {
  return tensor ? tensor->const_data_ptr<T>() : nullptr;
}

template <typename T, int OUTPUTS>
void launch_forward(const Geometry& g, const Tensor& input, const Tensor& weight, const Tensor& offset,
                    const std::optional<Tensor>& mask, const std::optional<Tensor>& bias, Tensor& output) {
  int channels = MAX_CHANNELS;
  while (g.group_inputs() % channels || g.deformable_channels() % channels) {
    channels /= 2;
  }
  const int64_t blocks = g.batch * ((g.positions() + POSITIONS - 1) / POSITIONS);
  const int64_t parts = g.groups * ((g.group_outputs() + SAMPLES * OUTPUTS - 1) / (SAMPLES * OUTPUTS));
  STD_TORCH_CHECK(blocks <= INT32_MAX && parts <= MAX_GRID,
                  "deform_conv2d: too many positions or groups for one launch");
  forward_kernel<T, typename ComputedIn<T>::type, OUTPUTS>
      <<<dim3(blocks, parts), dim3(POSITIONS, SAMPLES), 0, current_stream(input)>>>(
          g, channels, input.const_data_ptr<T>(), weight.const_data_ptr<T>(), offset.const_data_ptr<T>(),
          offset.stride(0), data_or_null<T>(mask), mask ? mask->stride(0) : 0, data_or_null<T>(bias),
          output.mutable_data_ptr<T>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename T>
void forward(const Geometry& g, const Tensor& input, const Tensor& weight, const Tensor& offset,
             const std::optional<Tensor>& mask, const std::optional<Tensor>& bias, Tensor& output) {
  if (g.group_outputs() > 4 * SAMPLES) {
    launch_forward<T, 8>(g, input, weight, offset, mask, bias, output);
  } else {
    launch_forward<T, 4>(g, input, weight, offset, mask, bias, output);
  }
}

template <typename T>
void backward(const Geometry& g, const Tensor& input, const Tensor& offset, const std::optional<Tensor>& mask,
              const Tensor& grad_columns, Tensor& columns, Tensor& grad_input, Tensor& grad_offset,
              Tensor& grad_mask) {
  const int64_t blocks = (g.positions() + BACKWARD_THREADS - 1) / BACKWARD_THREADS;
  const int64_t planes = g.deformable_groups * g.taps();
  STD_TORCH_CHECK(planes <= MAX_GRID, "deform_conv2d: too many deformable groups and taps for one launch");
  const dim3 grid(blocks, planes, std::min(g.batch, MAX_GRID));
  backward_kernel<T><<<grid, BACKWARD_THREADS, 0, current_stream(input)>>>(
      g, input.const_data_ptr<T>(), offset.const_data_ptr<T>(), offset.stride(0), data_or_null<T>(mask),
      mask ? mask->stride(0) : 0, grad_columns.const_data_ptr<T>(), columns.mutable_data_ptr<T>(),
      grad_input.mutable_data_ptr<T>(), grad_offset.mutable_data_ptr<T>(),
      mask ? grad_mask.mutable_data_ptr<T>() : nullptr);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

Tensor deform_conv2d(Tensor input, Tensor weight, Tensor offset, std::optional<Tensor> mask,
                     std::optional<Tensor> bias, Pair stride, Pair padding, Pair dilation, int64_t groups,
                     int64_t deformable_groups) {
  const Geometry g =
      read_geometry(input, weight, offset, mask, stride, padding, dilation, groups, deformable_groups);
  check_bias(bias, input, g);
  const torch::stable::accelerator::DeviceGuard guard(input.get_device_index());
  input = torch::stable::contiguous(input);
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
  switch (input.scalar_type()) {
    case ScalarType::Double:
      forward<double>(g, input, weight, offset, mask, bias, output);
      break;
    case ScalarType::Float:
      forward<float>(g, input, weight, offset, mask, bias, output);
      break;
    case ScalarType::Half:
      forward<Half>(g, input, weight, offset, mask, bias, output);
      break;
    case ScalarType::BFloat16:
      forward<BFloat16>(g, input, weight, offset, mask, bias, output);
      break;
    default:
      STD_TORCH_CHECK(false, "deform_conv2d: only floating-point tensors are supported");
  }
  return output;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> deform_conv2d_backward(Tensor grad_output, Tensor input, Tensor weight,
                                                                  Tensor offset, std::optional<Tensor> mask,
                                                                  Pair stride, Pair padding, Pair dilation,
                                                                  int64_t groups, int64_t deformable_groups) {
  const ScalarType type = input.scalar_type();
  if (type == ScalarType::Half || type == ScalarType::BFloat16) {
    // The sums over positions and over a pixel's contributions have too many terms for half precision.
    const auto single = ScalarType::Float;
    if (mask) {
      mask = torch::stable::to(*mask, single);
    }
    const auto [grad_input, grad_weight, grad_offset, grad_mask] = deform_conv2d_backward(
        torch::stable::to(grad_output, single), torch::stable::to(input, single), torch::stable::to(weight, single),
        torch::stable::to(offset, single), mask, stride, padding, dilation, groups, deformable_groups);
    return {torch::stable::to(grad_input, type), torch::stable::to(grad_weight, type),
            torch::stable::to(grad_offset, type), torch::stable::to(grad_mask, type)};
  }
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                  "deform_conv2d: only floating-point tensors are supported");
  const Geometry g =
      read_geometry(input, weight, offset, mask, stride, padding, dilation, groups, deformable_groups);
  check_grad_output(grad_output, input, g);
  const torch::stable::accelerator::DeviceGuard guard(input.get_device_index());
  grad_output = torch::stable::contiguous(grad_output);
  input = torch::stable::contiguous(input);
  weight = torch::stable::contiguous(weight);
  offset = with_contiguous_images(offset);
  if (mask) {
    mask = with_contiguous_images(*mask);
  }
  Tensor grad_input = torch::stable::new_zeros(input, input.sizes());
  Tensor grad_offset = torch::stable::new_zeros(offset, offset.sizes());
  Tensor grad_mask = mask ? torch::stable::new_zeros(*mask, mask->sizes()) : torch::stable::new_empty(input, {0});
  if (grad_output.numel() == 0) {
    return {grad_input, torch::stable::new_zeros(weight, weight.sizes()), grad_offset, grad_mask};
  }

  const int64_t reduction = g.group_inputs() * g.taps(), outputs = g.group_outputs();
  const Tensor grads = torch::stable::view(grad_output, {g.batch, g.groups, outputs, g.positions()});
  const Tensor weights = torch::stable::view(weight, {1, g.groups, outputs, reduction});
  const Tensor grad_columns =
      torch::stable::contiguous(torch::stable::matmul(torch::stable::transpose(weights, 2, 3), grads));
  Tensor columns = torch::stable::new_empty(input, {g.batch, g.groups, reduction, g.positions()});
  if (type == ScalarType::Double) {
    backward<double>(g, input, offset, mask, grad_columns, columns, grad_input, grad_offset, grad_mask);
  } else {
    backward<float>(g, input, offset, mask, grad_columns, columns, grad_input, grad_offset, grad_mask);
  }
  const Tensor per_image = torch::stable::matmul(grads, torch::stable::transpose(columns, 2, 3));
  const std::array<int64_t, 1> images{0};
  const Tensor grad_weight = torch::stable::view(torch::stable::sum(per_image, images), weight.sizes());
  return {grad_input, grad_weight, grad_offset, grad_mask};
}

}  // namespace
}  // namespace lsinet_monai

STABLE_TORCH_LIBRARY_IMPL(lsinet_monai, CUDA, m) {
  m.impl("deform_conv2d", TORCH_BOX(&lsinet_monai::deform_conv2d));
  m.impl("deform_conv2d_backward", TORCH_BOX(&lsinet_monai::deform_conv2d_backward));
}
