// The CPU kernels of the deformable convolution, for the instruction set of the including file (vectors.h). That file
// also defines LSINET_MONAI_ROWS, the rows of a matrix product kept in registers, and LSINET_MONAI_KERNELS, the name of
// the set.
//
// A tile of positions is sampled into columns (positions, channels * taps). A matrix product with the weight turns them
// into outputs at once, so that columns never leave the caches. Sampling works on vectors of channels: the channels of
// a deformable group share their four neighbours and weights, and are contiguous.

#include "deform_conv_cpu_kernels.h"
#include "vectors.h"

namespace lsinet_monai {
namespace {

constexpr int64_t ROWS = LSINET_MONAI_ROWS;

// The width of the matrix product's inner loop.
template <typename T>
constexpr int64_t BLOCK = 2 * LANES<T>;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// c (R, BLOCK) = or += a (R, reduction) x b (reduction, BLOCK), with the sums in registers.
template <typename T, int64_t R>
inline void multiply_block(int64_t reduction, const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step,
                           T* c, int64_t c_row, bool add) {
  using V = Vector<T, LANES<T>>;
  V left[R], right[R];
#pragma GCC unroll 16
  for (int64_t r = 0; r < R; ++r) {
    left[r] = add ? load<V>(c + r * c_row) : V{};
    right[r] = add ? load<V>(c + r * c_row + LANES<T>) : V{};
  }
  for (int64_t i = 0; i < reduction; ++i) {
    const V b_left = load<V>(b), b_right = load<V>(b + LANES<T>);
#pragma GCC unroll 16
    for (int64_t r = 0; r < R; ++r) {
      left[r] += a[r * a_row] * b_left;
      right[r] += a[r * a_row] * b_right;
    }
    a += a_step;
    b += b_step;
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < R; ++r) {
    store(c + r * c_row, left[r]);
    store(c + r * c_row + LANES<T>, right[r]);
  }
}

// c (rows, columns) = or += a (rows, reduction) x b (reduction, columns); columns is a multiple of BLOCK. Element
// (i, j) of a is at i * a_row + j * a_step; the rows of b and c are b_step and c_row apart.
template <typename T>
void multiply(int64_t rows, int64_t columns, int64_t reduction, const T* a, int64_t a_row, int64_t a_step, const T* b,
              int64_t b_step, T* c, int64_t c_row, bool add) {
  for (int64_t j = 0; j < columns; j += BLOCK<T>) {
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS) {
      multiply_block<T, ROWS>(reduction, a + i * a_row, a_row, a_step, b + j, b_step, c + i * c_row + j, c_row, add);
    }
    for (; i < rows; ++i) {
      multiply_block<T, 1>(reduction, a + i * a_row, a_row, a_step, b + j, b_step, c + i * c_row + j, c_row, add);
    }
  }
}

// The places at which a tile's positions are sampled, for one tap and one deformable group.
template <typename T>
struct Samples {
  // The neighbours in the order top left, top right, bottom left, bottom right: the index of a pixel's first channel,
  // and its weight (bilinear weight times mask).
  int32_t corner[4][TILE];
  T weight[4][TILE];
  // The place's distance below and to the right of the top left neighbour, from 0 to 1, and the mask.
  T below[TILE], beside[TILE], mask[TILE];
};

// The positions of a tile, in pixels of the input, for the first tap.
template <typename T>
struct Positions {
  int64_t begin, count;
  T y[TILE], x[TILE];
};

template <typename T>
inline void place_positions(const Geometry& g, int64_t begin, int64_t count, Positions<T>& positions) {
  positions.begin = begin;
  positions.count = count;
  int64_t row = begin / g.out_width, column = begin % g.out_width;
  for (int64_t i = 0; i < count; ++i) {
    positions.y[i] = row * g.stride_height - g.padding_height;
    positions.x[i] = column * g.stride_width - g.padding_width;
    if (++column == g.out_width) {
      column = 0;
      ++row;
    }
  }
}

// Splits a coordinate into the neighbour at or before it and the distance from there. A coordinate more than a pixel
// outside counts as -2 or size, whose neighbours are all outside. NaN gives neighbours outside and the fraction NaN:
// the result is NaN, and no memory outside the image is read.
template <typename T>
inline __attribute__((always_inline)) void split(T place, int32_t size, int32_t& before, T& fraction) {
  place = place < T(-2) ? T(-2) : place;
  place = place > T(size) ? T(size) : place;
  const T number = place >= T(-2) ? place : T(-2);
  before = static_cast<int32_t>(number);
  before -= number < T(before);
  fraction = place - T(before);
}

template <typename T>
void place_samples(const Geometry& g, const Image<T>& image, const Positions<T>& positions, int64_t deformable_group,
                   int64_t tap, Samples<T>& samples) {
  const int64_t index = deformable_group * g.taps() + tap;
  const T* dy = image.offset + 2 * index * g.positions() + positions.begin;
  const T* dx = dy + g.positions();
  const T* mask = image.mask ? image.mask + index * g.positions() + positions.begin : nullptr;
  const T tap_y = tap / g.kernel_width * g.dilation_height, tap_x = tap % g.kernel_width * g.dilation_width;
  const int32_t height = g.height, width = g.width, channels = g.channels, outside = height * width * channels;
  for (int64_t i = 0; i < positions.count; ++i) {
    samples.mask[i] = mask ? mask[i] : T(1);
  }
  for (int64_t i = 0; i < positions.count; ++i) {
    int32_t top, left;
    T below, beside;
    split(positions.y[i] + tap_y + dy[i], height, top, below);
    split(positions.x[i] + tap_x + dx[i], width, left, beside);
    const bool has_top = (top >= 0) & (top < height), has_bottom = (top >= -1) & (top < height - 1);
    const bool has_left = (left >= 0) & (left < width), has_right = (left >= -1) & (left < width - 1);
    const int32_t first = (top * width + left) * channels;
    samples.corner[0][i] = has_top & has_left ? first : outside;
    samples.corner[1][i] = has_top & has_right ? first + channels : outside;
    samples.corner[2][i] = has_bottom & has_left ? first + width * channels : outside;
    samples.corner[3][i] = has_bottom & has_right ? first + width * channels + channels : outside;
    const T masked = samples.mask[i];
    samples.weight[0][i] = (1 - below) * (1 - beside) * masked;
    samples.weight[1][i] = (1 - below) * beside * masked;
    samples.weight[2][i] = below * (1 - beside) * masked;
    samples.weight[3][i] = below * beside * masked;
    samples.below[i] = below;
    samples.beside[i] = beside;
  }
}

// The channels shared by one deformable group and one group, and where their values of a tap begin in a row of columns.
struct Segment {
  int64_t channel, length, column;
};

// Calls function(segment) for each part of a deformable group that is in one group.
template <typename F>
inline void for_each_segment(const Geometry& g, int64_t reduction, int64_t deformable_group, int64_t tap,
                             const F& function) {
  const int64_t end = (deformable_group + 1) * g.deformable_channels();
  for (int64_t channel = deformable_group * g.deformable_channels(); channel < end;) {
    const int64_t group = channel / g.group_inputs(), first = group * g.group_inputs();
    const int64_t length = smaller(end, first + g.group_inputs()) - channel;
    function(Segment{channel, length, group * reduction + tap * g.group_inputs() + channel - first});
    channel += length;
  }
}

// Calls function<N>() with the widest vectors of N values that fit a register and divide a segment's length.
template <typename T, int64_t N = LANES<T>, typename F>
inline void with_vector_width(int64_t length, const F& function) {
  if (length % N == 0) {
    function.template operator()<N>();
  } else {
    with_vector_width<T, (N * sizeof(T) > 16 ? N / 2 : 1)>(length, function);
  }
}

template <typename T>
struct Gather {
  const T* pixels;  // from the segment's first channel on
  const Samples<T>& samples;
  int64_t count, length, row;
  T* columns;

  template <int64_t N>
  void operator()() const {
    using V = Vector<T, N>;
    T* column = columns;
    for (int64_t i = 0; i < count; ++i, column += row) {
      const T* corner[4];
      for (int64_t k = 0; k < 4; ++k) {
        corner[k] = pixels + samples.corner[k][i];
      }
      for (int64_t c = 0; c < length; c += N) {
        V sum = samples.weight[0][i] * load<V>(corner[0] + c);
        sum += samples.weight[1][i] * load<V>(corner[1] + c);
        sum += samples.weight[2][i] * load<V>(corner[2] + c);
        sum += samples.weight[3][i] * load<V>(corner[3] + c);
        store(column + c, sum);
      }
    }
  }
};

template <typename V, typename T, int64_t N>
inline __attribute__((always_inline)) T sum_of(const V& v) {
  T sum = v[0];
#pragma GCC unroll 16
  for (int64_t i = 1; i < N; ++i) {
    sum += v[i];
  }
  return sum;
}

// Like Gather, and computes from the gradient of the columns the gradient of the pixels, and for each neighbour the
// product of gradient and value, summed over the channels. The gradients of mask and offset follow from these products.
template <typename T>
struct Scatter {
  const T* pixels;
  const Samples<T>& samples;
  int64_t count, length, row;
  T* columns;
  const T* grad_columns;
  T* grad_pixels;
  T (*products)[4];

  template <int64_t N>
  void operator()() const {
    using V = Vector<T, N>;
    for (int64_t i = 0; i < count; ++i) {
      const T* grad = grad_columns + i * row;
      T* column = columns + i * row;
      V product[4] = {};
      for (int64_t c = 0; c < length; c += N) {
        const V grad_column = load<V>(grad + c);
        V sum{};
#pragma GCC unroll 4
        for (int64_t k = 0; k < 4; ++k) {
          const V value = load<V>(pixels + samples.corner[k][i] + c);
          T* target = grad_pixels + samples.corner[k][i] + c;
          sum += samples.weight[k][i] * value;
          product[k] += grad_column * value;
          store(target, load<V>(target) + samples.weight[k][i] * grad_column);
        }
        store(column + c, sum);
      }
#pragma GCC unroll 4
      for (int64_t k = 0; k < 4; ++k) {
        products[i][k] += sum_of<V, T, N>(product[k]);
      }
    }
  }
};

template <typename T>
Padded padded(const Geometry& g) {
  return {round_up(g.group_inputs() * g.taps(), BLOCK<T>), round_up(g.group_outputs(), BLOCK<T>)};
}

template <typename T>
int64_t scratch(const Geometry& g) {
  const Padded size = padded<T>(g);
  return TILE * g.groups * (2 * size.reduction + size.outputs);
}

template <typename T>
void forward(const Geometry& g, const Image<T>& image, const T* weight, const T* bias, int64_t begin, int64_t end,
             T* scratch, T* output) {
  const Padded size = padded<T>(g);
  const int64_t column_row = g.groups * size.reduction, result_row = g.groups * size.outputs;
  const int64_t reduction = g.group_inputs() * g.taps();
  T* columns = scratch;
  T* results = columns + TILE * column_row;
  Positions<T> positions;
  Samples<T> samples;
  for (; begin < end; begin += TILE) {
    place_positions(g, begin, smaller(TILE, end - begin), positions);
    for (int64_t d = 0; d < g.deformable_groups; ++d) {
      for (int64_t tap = 0; tap < g.taps(); ++tap) {
        place_samples(g, image, positions, d, tap, samples);
        for_each_segment(g, size.reduction, d, tap, [&](const Segment& s) {
          with_vector_width<T>(s.length, Gather<T>{image.pixels + s.channel, samples, positions.count, s.length,
                                                   column_row, columns + s.column});
        });
      }
    }
    for (int64_t group = 0; group < g.groups; ++group) {
      multiply(positions.count, size.outputs, reduction, columns + group * size.reduction, column_row, int64_t(1),
               weight + group * reduction * size.outputs, size.outputs, results + group * size.outputs, result_row,
               false);
    }
    for (int64_t o = 0; o < g.out_channels; ++o) {
      const T* result = results + o / g.group_outputs() * size.outputs + o % g.group_outputs();
      const T added = bias ? bias[o] : T(0);
      for (int64_t i = 0; i < positions.count; ++i) {
        output[o * g.positions() + begin + i] = result[i * result_row] + added;
      }
    }
  }
}

template <typename T>
void backward(const Geometry& g, const Image<T>& image, const T* weight, const T* grad_output, int64_t begin,
              int64_t end, T* scratch, T* grad_pixels, T* grad_weight, T* grad_offset, T* grad_mask) {
  const Padded size = padded<T>(g);
  const int64_t column_row = g.groups * size.reduction, result_row = g.groups * size.outputs;
  const int64_t reduction = g.group_inputs() * g.taps();
  T* columns = scratch;
  T* grad_columns = columns + TILE * column_row;
  T* grad_results = grad_columns + TILE * column_row;
  Positions<T> positions;
  Samples<T> samples;
  T products[TILE][4];
  for (; begin < end; begin += TILE) {
    const int64_t count = smaller(TILE, end - begin);
    place_positions(g, begin, count, positions);
    for (int64_t o = 0; o < g.out_channels; ++o) {
      T* grad_result = grad_results + o / g.group_outputs() * size.outputs + o % g.group_outputs();
      for (int64_t i = 0; i < count; ++i) {
        grad_result[i * result_row] = grad_output[o * g.positions() + begin + i];
      }
    }
    for (int64_t group = 0; group < g.groups; ++group) {
      multiply(count, size.reduction, g.group_outputs(), grad_results + group * size.outputs, result_row, int64_t(1),
               weight + group * g.group_outputs() * size.reduction, size.reduction,
               grad_columns + group * size.reduction, column_row, false);
    }
    for (int64_t d = 0; d < g.deformable_groups; ++d) {
      for (int64_t tap = 0; tap < g.taps(); ++tap) {
        place_samples(g, image, positions, d, tap, samples);
        for (int64_t i = 0; i < TILE; ++i) {
          for (int64_t k = 0; k < 4; ++k) {
            products[i][k] = 0;
          }
        }
        for_each_segment(g, size.reduction, d, tap, [&](const Segment& s) {
          with_vector_width<T>(s.length, Scatter<T>{image.pixels + s.channel, samples, count, s.length, column_row,
                                                    columns + s.column, grad_columns + s.column,
                                                    grad_pixels + s.channel, products});
        });
        const int64_t index = d * g.taps() + tap;
        T* grad_y = grad_offset + 2 * index * g.positions() + begin;
        T* grad_x = grad_y + g.positions();
        for (int64_t i = 0; i < count; ++i) {
          const T* p = products[i];
          const T below = samples.below[i], beside = samples.beside[i];
          grad_y[i] = samples.mask[i] * ((p[2] - p[0]) * (1 - beside) + (p[3] - p[1]) * beside);
          grad_x[i] = samples.mask[i] * ((p[1] - p[0]) * (1 - below) + (p[3] - p[2]) * below);
          if (grad_mask) {
            grad_mask[index * g.positions() + begin + i] = (p[0] * (1 - beside) + p[1] * beside) * (1 - below) +
                                                           (p[2] * (1 - beside) + p[3] * beside) * below;
          }
        }
      }
    }
    for (int64_t group = 0; group < g.groups; ++group) {
      multiply(reduction, size.outputs, count, columns + group * size.reduction, int64_t(1), column_row,
               grad_results + group * size.outputs, result_row, grad_weight + group * reduction * size.outputs,
               size.outputs, true);
    }
  }
}

}  // namespace

template <>
const CpuKernels<float> CpuKernelSets<float>::LSINET_MONAI_KERNELS = {padded<float>, scratch<float>, forward<float>,
                                                                      backward<float>};
template <>
const CpuKernels<double> CpuKernelSets<double>::LSINET_MONAI_KERNELS = {padded<double>, scratch<double>,
                                                                        forward<double>, backward<double>};

}  // namespace lsinet_monai
