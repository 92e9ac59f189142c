// Layers of a network made of products in bfloat16, on AMX tiles or on the registers of AVX-512, the channels of a
// pixel side by side.
//
// A part of a layer stays in the caches from its inputs to its results: what precedes a product (LayerNorm,
// padding) and what follows it (activation, the second product of a block, logits to bytes, sub-pixels to
// pixels) is done to a block of 32 pixels at a time, not to the layer as a whole.
// AMX: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter "Programming with Intel AMX";
// VDPBF16PS: volume 2.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

extern "C" {

using Value = uint16_t;  // a bfloat16

// A convolution, what comes before it and what after; fused.py has the same.
struct Convolution {
    int channels, outputs, side, stride, padding;  // outputs: a multiple of 16
    int joined;                                    // whether the channels are those of two images, half and half
    int normal_inputs;                             // whether inputs get a LayerNorm without its affine part
    int normal_outputs, rectified;                 // whether outputs get a LayerNorm, a ReLU
    int doubling;                                  // whether outputs are those of 2 x 2 sub-pixels, group by group
    int levels;  // 0, or how many of `last` there are: 3 channels, or 3 times 2 x 2 sub-pixels
    const Value *weights, *last;                   // tiles of products: the convolution's, the logits'
    const float *bias, *scale, *shift, *last_bias;  // scale, shift: of the outputs' LayerNorm
};

// A ConvNeXt block: depthwise convolution 7 x 7, LayerNorm without its affine part, two products.
struct Block {
    int channels, width;                // multiples of 32
    const float *taps, *taps_bias;      // [channels / 16][49][16]
    const Value *first, *second;        // tiles of the wider and of the narrower product
    const float *first_bias, *second_bias;
};
}

namespace {

constexpr int ROWS = 32;              // pixels of a product: two tiles
constexpr int DEPTH = 32;             // inputs of a tile of weights
constexpr int LANES = 16;             // outputs of a tile of weights, numbers of a register
constexpr int TILE = DEPTH * LANES;   // values of a tile of weights
constexpr int BLOCK = ROWS * DEPTH;   // values of two tiles of pixels
constexpr int CACHED = 1 << 18;       // values of a part of a layer, for the second-level cache
constexpr int SIDE = 7;               // of a depthwise convolution
constexpr int AT_ONCE = 12;           // pixels whose sums fit into registers
constexpr int LEAST = 6 * ROWS;       // pixels of a part of a block: weights are read anew for each
constexpr int FEW_STEPS = 4;          // so few are over before anything could be done beside them
constexpr int CHANNELS = 3;           // of the bytes
constexpr float EPSILON = 1e-6f;      // of LayerNorm, as ConvNeXt has it

__m512 load(const Value* values) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(values)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

__m512i narrow(__m512 first, __m512 second) { return (__m512i)_mm512_cvtne2ps_pbh(second, first); }

__m256i narrow(__m512 numbers) { return (__m256i)_mm512_cvtneps_pbh(numbers); }

void store(Value* values, __m512 first, __m512 second) { _mm512_storeu_si512(values, narrow(first, second)); }

void store(Value* values, __m512 numbers) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), narrow(numbers));
}

// Memory that a thread keeps from call to call, aligned to cache lines; new parts of it are zero.
template <class Type>
class Scratch {
    std::vector<Type> items;

  public:
    Type* hold(size_t count) {
        if (items.size() < count + 64) items.assign(count + 64, 0);
        return reinterpret_cast<Type*>((reinterpret_cast<uintptr_t>(items.data()) + 63) / 64 * 64);
    }
};

thread_local Scratch<Value> inputs, between, filters;
thread_local Scratch<float> numbers;

// Inputs of 32 pixels, `pitch` apart: `taps` times `depth` values, in steps of DEPTH.
struct Inputs {
    const Value* values;
    long pitch;
    int taps, depth;
    long tap_pitch, step_pitch;

    int steps() const { return (depth + DEPTH - 1) / DEPTH; }
    long weights() const { return static_cast<long>(taps) * steps() * TILE; }  // for 16 outputs
};

// What multiplies, for a thread that holds a Unit. multiply(): product and bias for 32 pixels and COUNT (1 or 2) times
// 16 outputs; beside() may be called after each step, for what other units can do meanwhile.
#ifdef __AMX_BF16__

// The tiles of a thread, all of them 16 rows of 64 bytes.
struct Unit {
    // Whether the system lets this process use the tiles (ARCH_REQ_XCOMP_PERM of arch_prctl).
    static bool allow() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

    Unit() {
        struct alignas(64) {
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shape;
        _tile_loadconfig(&shape);
    }
    ~Unit() { _tile_release(); }
};

template <int COUNT, class Beside>
void multiply(const Inputs& in, const Value* weights, const float* bias, float* sums, int sums_pitch, const Beside& beside) {
    _tile_loadd(0, bias, 0);
    _tile_loadd(2, bias, 0);
    if constexpr (COUNT == 2) {
        _tile_loadd(1, bias + LANES, 0);
        _tile_loadd(3, bias + LANES, 0);
    }
    const Value* more_weights = weights + in.weights();
    for (int tap = 0; tap < in.taps; ++tap)
        for (int step = 0; step < in.steps(); ++step, weights += TILE, more_weights += TILE) {
            const Value* at = in.values + tap * in.tap_pitch + step * in.step_pitch;
            _tile_loadd(4, at, in.pitch * sizeof(Value));
            _tile_loadd(5, at + 16 * in.pitch, in.pitch * sizeof(Value));
            _tile_loadd(6, weights, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (COUNT == 2) {
                _tile_loadd(7, more_weights, 64);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
            beside();
        }
    _tile_stored(0, sums, sums_pitch * sizeof(float));
    _tile_stored(2, sums + 16 * sums_pitch, sums_pitch * sizeof(float));
    if constexpr (COUNT == 2) {
        _tile_stored(1, sums + LANES, sums_pitch * sizeof(float));
        _tile_stored(3, sums + 16 * sums_pitch + LANES, sums_pitch * sizeof(float));
    }
}

#else  // AVX512-BF16

constexpr int SUMMED = 8;  // pixels whose sums fit into registers

struct Unit {
    static bool allow() { return true; }
};

template <int COUNT, class Beside>
void multiply(const Inputs& in, const Value* weights, const float* bias, float* sums, int sums_pitch, const Beside&) {
    for (int first = 0; first < ROWS; first += SUMMED) {
        __m512 found[SUMMED][COUNT];
        for (auto& pixel : found)
            for (int part = 0; part < COUNT; ++part) pixel[part] = _mm512_loadu_ps(bias + part * LANES);
        const Value *tile = weights, *row = in.values + first * in.pitch;
        for (int tap = 0; tap < in.taps; ++tap)
            for (int step = 0; step < in.steps(); ++step, tile += TILE) {
                const Value* at = row + tap * in.tap_pitch + step * in.step_pitch;
                const int end = std::min(DEPTH, in.depth - step * DEPTH);
                for (int pair = 0; pair < end; pair += 2) {
                    __m512bh weight[COUNT];
                    for (int part = 0; part < COUNT; ++part)
                        weight[part] = (__m512bh)_mm512_loadu_si512(tile + pair * LANES + part * in.weights());
                    for (int pixel = 0; pixel < SUMMED; ++pixel) {
                        const auto input = (__m512bh)_mm512_broadcastd_epi32(_mm_loadu_si32(at + pixel * in.pitch + pair));
                        for (int part = 0; part < COUNT; ++part)
                            found[pixel][part] = _mm512_dpbf16_ps(found[pixel][part], input, weight[part]);
                    }
                }
            }
        for (int pixel = 0; pixel < SUMMED; ++pixel)
            for (int part = 0; part < COUNT; ++part)
                _mm512_storeu_ps(sums + (first + pixel) * sums_pitch + part * LANES, found[pixel][part]);
    }
}

#endif

template <int COUNT>
void multiply(const Inputs& in, const Value* weights, const float* bias, float* sums, int sums_pitch) {
    multiply<COUNT>(in, weights, bias, sums, sums_pitch, [] {});
}

struct Product {
    Inputs in;
    const Value* weights;
    const float* bias;
};

// `count` products of 32 outputs; ask(number) gives one. finish(number) gives what to do with the sums of a row,
// which is done beside the next product.
template <class Ask, class Finish>
void multiply_in_turn(int count, const Ask& ask, const Finish& finish) {
    alignas(64) float sums[2][ROWS * 2 * LANES];
    for (int number = 0; number <= count; ++number) {
        const auto finish_row = finish(std::max(number - 1, 0));
        const float* done = sums[(number + 1) % 2];
        int row = number ? 0 : ROWS;
        const auto finish_rows = [&](int rows) {
            for (const int end = std::min(row + rows, ROWS); row < end; ++row) finish_row(row, done + row * 2 * LANES);
        };
        if (number < count) {
            const Product product = ask(number);
            const int steps = product.in.steps();
            const int rows = steps < FEW_STEPS ? 0 : (ROWS + steps - 1) / steps;
            multiply<2>(product.in, product.weights, product.bias, sums[number % 2], 2 * LANES, [&] { finish_rows(rows); });
        }
        finish_rows(ROWS);
    }
}

// What LayerNorm does to the numbers of a pixel, without its affine part.
struct Moments {
    __m512 factor, shift;

    Moments(__m512 sum, __m512 squares, int count) {
        const float mean = _mm512_reduce_add_ps(sum) / count;
        const float variance = std::max(0.f, _mm512_reduce_add_ps(squares) / count - mean * mean);
        const float inverse = 1 / __builtin_sqrtf(variance + EPSILON);
        factor = _mm512_set1_ps(inverse);
        shift = _mm512_set1_ps(-mean * inverse);
    }

    __m512 normalise(__m512 numbers) const { return _mm512_fmadd_ps(numbers, factor, shift); }
};

// LayerNorm of a pixel, its channels put down in runs of DEPTH, of which they are a multiple.
void normalise(const Value* from, int channels, Value* to, long step_pitch) {
    __m512 sum = _mm512_setzero_ps(), squares = sum;
    for (int channel = 0; channel < channels; channel += LANES) {
        const __m512 numbers = load(from + channel);
        sum = _mm512_add_ps(sum, numbers);
        squares = _mm512_fmadd_ps(numbers, numbers, squares);
    }
    const Moments moments(sum, squares, channels);
    for (int channel = 0; channel < channels; channel += DEPTH, to += step_pitch)
        store(to, moments.normalise(load(from + channel)), moments.normalise(load(from + channel + LANES)));
}

// x * Phi(x) = max(x, 0) - a * Phi(-a), a = |x|; Phi(-a) is a polynomial up to 3.8. Off by 2e-4 at most.
__m512 gelu(__m512 x) {
    const __m512 a = _mm512_range_ps(x, _mm512_set1_ps(3.8f), 0b1010);  // the smaller magnitude
    __m512 tail = _mm512_set1_ps(-7.32229266e-04f);
    for (const float coefficient : {1.10783139e-02f, -6.34409115e-02f, 1.54745176e-01f, -6.18291683e-02f,
                                    -3.79289448e-01f, 4.98047590e-01f})
        tail = _mm512_fmadd_ps(tail, a, _mm512_set1_ps(coefficient));
    return _mm512_fnmadd_ps(a, tail, _mm512_max_ps(x, _mm512_setzero_ps()));
}

// 254 / (1 + exp(-x)), rounded; 2 to the power of a number in 0..1 is a polynomial, off by 8e-5 of it at most.
__m128i to_levels(__m512 x) {
    const __m512 doublings = _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f));
    const __m512 rest = _mm512_reduce_ps(doublings, _MM_FROUND_TO_NEG_INF);
    __m512 power = _mm512_set1_ps(7.80245226e-02f);
    for (const float coefficient : {2.26067155e-01f, 6.95833540e-01f, 9.99925219e-01f})
        power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(coefficient));
    const __m512 odds = _mm512_scalef_ps(power, doublings);
    const __m512 share = _mm512_rcp14_ps(_mm512_add_ps(odds, _mm512_set1_ps(1.f)));
    return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(share, _mm512_set1_ps(254.f))));
}

// A convolution of one image.
struct Work {
    const Convolution& layer;
    const Value *image, *other;  // other: the second of a layer that joins two
    int height, width, rows, columns;
    Value* values;
    uint8_t* bytes;

    long row_values() const { return static_cast<long>(width + 2 * layer.padding) * layer.channels; }

    void run_rows(int first, int last) const {
        const int stride = layer.stride, read = (last - first - 1) * stride + layer.side;
        const long pitch = row_values(), pixel = static_cast<long>(stride) * layer.channels;
        // A product reads past the last pixel: up to 31 pixels more, and DEPTH values. Their weights are zero.
        const long beyond = (ROWS + layer.side) * pixel + DEPTH;
        Value* band = inputs.hold(read * pitch + beyond);
        std::fill_n(band + read * pitch, beyond, Value{0});
        for (int row = 0; row < read; ++row) copy_row(first * stride - layer.padding + row, band + row * pitch);
        float* sums = numbers.hold(static_cast<size_t>(ROWS) * layer.outputs);
        for (int row = first; row < last; ++row)
            for (int column = 0; column < columns; column += ROWS) {
                const Value* at = band + (row - first) * stride * pitch + column * pixel;
                multiply_all({at, pixel, layer.side, layer.side * layer.channels, pitch, DEPTH}, sums);
                if (layer.normal_outputs) normalise_sums(sums);
                const int count = std::min(ROWS, columns - column);
                layer.levels ? put_levels(sums, row, column, count) : put_values(sums, row, column, count);
            }
    }

    // A row of the image, with its padding.
    void copy_row(int row, Value* to) const {
        const long edge = static_cast<long>(layer.padding) * layer.channels;
        if (row < 0 || row >= height) {
            std::fill_n(to, row_values(), Value{0});
            return;
        }
        std::fill_n(to, edge, Value{0});
        std::fill_n(to + row_values() - edge, edge, Value{0});
        const long inner = static_cast<long>(width) * layer.channels;
        if (layer.joined)
            join_row(row * inner / 2, to + edge);
        else if (layer.normal_inputs)
            for (long at = 0; at < inner; at += layer.channels)
                normalise(image + row * inner + at, layer.channels, to + edge + at, DEPTH);
        else
            std::copy_n(image + row * inner, inner, to + edge);
    }

    void join_row(long start, Value* to) const {
        const int half = layer.channels / 2;
        for (int pixel = 0; pixel < width; ++pixel, start += half)
            for (const Value* from : {image + start, other + start})
                for (int channel = 0; channel < half; channel += LANES, to += LANES)
                    std::memcpy(to, from + channel, LANES * sizeof(Value));
    }

    void multiply_all(const Inputs& in, float* sums) const {
        const Value* weights = layer.weights;
        int output = 0;
        for (; output + 2 * LANES <= layer.outputs; output += 2 * LANES, weights += 2 * in.weights())
            multiply<2>(in, weights, layer.bias + output, sums + output, layer.outputs);
        if (output < layer.outputs) multiply<1>(in, weights, layer.bias + output, sums + output, layer.outputs);
    }

    void normalise_sums(float* sums) const {
        for (int pixel = 0; pixel < ROWS; ++pixel, sums += layer.outputs) {
            __m512 sum = _mm512_setzero_ps(), squares = sum;
            for (int output = 0; output < layer.outputs; output += LANES) {
                const __m512 numbers = _mm512_load_ps(sums + output);
                sum = _mm512_add_ps(sum, numbers);
                squares = _mm512_fmadd_ps(numbers, numbers, squares);
            }
            const Moments moments(sum, squares, layer.outputs);
            for (int output = 0; output < layer.outputs; output += LANES) {
                const __m512 scale = _mm512_loadu_ps(layer.scale + output), shift = _mm512_loadu_ps(layer.shift + output);
                const __m512 normal = moments.normalise(_mm512_load_ps(sums + output));
                _mm512_store_ps(sums + output, _mm512_fmadd_ps(normal, scale, shift));
            }
        }
    }

    // Numbers to values; a negative one is negative as a whole number, too.
    void put(const float* from, int count, Value* to) const {
        const __m512i least = layer.rectified ? _mm512_setzero_si512() : _mm512_set1_epi16(INT16_MIN);
        for (; count >= 2 * LANES; count -= 2 * LANES, from += 2 * LANES, to += 2 * LANES) {
            const __m512i pair = narrow(_mm512_load_ps(from), _mm512_load_ps(from + LANES));
            _mm512_storeu_si512(to, _mm512_max_epi16(pair, least));
        }
        if (!count) return;
        const __m256i single = _mm256_max_epi16(narrow(_mm512_load_ps(from)), _mm512_castsi512_si256(least));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), single);
    }

    // Sub-pixels of a line follow each other.
    void put_values(const float* sums, int row, int column, int count) const {
        const int lines = layer.doubling ? 2 : 1, run = layer.outputs / lines;
        for (int line = 0; line < lines; ++line) {
            Value* to = values + ((static_cast<long>(row) * lines + line) * columns + column) * run;
            for (int pixel = 0; pixel < count; ++pixel) put(sums + pixel * layer.outputs + line * run, run, to + pixel * run);
        }
    }

    void put_levels(const float* sums, int row, int column, int count) const {
        const int depth = (layer.outputs + DEPTH - 1) / DEPTH * DEPTH;
        Value* features = between.hold(static_cast<size_t>(ROWS) * depth);
        if (depth > layer.outputs) std::fill_n(features, ROWS * depth, Value{0});
        for (int pixel = 0; pixel < ROWS; ++pixel) put(sums + pixel * layer.outputs, layer.outputs, features + pixel * depth);
        alignas(64) float logits[ROWS * LANES];
        alignas(64) uint8_t found[ROWS * LANES];
        multiply<1>({features, depth, 1, depth, 0, DEPTH}, layer.last, layer.last_bias, logits, LANES);
        for (int at = 0; at < ROWS * LANES; at += LANES)
            _mm_store_si128(reinterpret_cast<__m128i*>(found + at), to_levels(_mm512_load_ps(logits + at)));
        layer.levels == CHANNELS ? put_bytes<1>(found, row, column, count) : put_bytes<2>(found, row, column, count);
    }

    template <int FINER>
    void put_bytes(const uint8_t* found, int row, int column, int count) const {
        for (int channel = 0; channel < CHANNELS; ++channel)
            for (int down = 0; down < FINER; ++down, found += FINER) {
                const long y = (static_cast<long>(channel) * rows + row) * FINER + down;
                uint8_t* to = bytes + (y * columns + column) * FINER;
                for (int pixel = 0; pixel < count; ++pixel) std::memcpy(to + pixel * FINER, found + pixel * LANES, FINER);
            }
    }
};

// A ConvNeXt block at rows of one image.
struct Rows {
    const Block& layer;
    const Value* features;
    Value* results;
    int height, width;

    void run(int first, int last) const {
        const int count = (last - first) * width, part = std::max(LEAST, CACHED / layer.width / ROWS * ROWS);
        const long start = static_cast<long>(first) * width * layer.channels;
        Value* filtered = filters.hold(static_cast<size_t>(count) * layer.channels);
        for (int group = 0; group < layer.channels; group += LANES) filter(first, last, group, filtered);
        for (int pixel = 0; pixel < count; pixel += part) {
            const long at = static_cast<long>(pixel) * layer.channels;
            perceive(filtered + at, features + start + at, results + start + at, std::min(part, count - pixel));
        }
    }

    // Depthwise convolution of 16 channels.
    void filter(int first, int last, int group, Value* filtered) const {
        const int read = last - first + SIDE - 1;
        const long pitch = (width + SIDE - 1 + AT_ONCE) * LANES;
        float* band = numbers.hold(read * pitch);
        for (int row = 0; row < read; ++row) widen_row(first - SIDE / 2 + row, group, band + row * pitch, pitch);
        const float* taps = layer.taps + group * SIDE * SIDE;
        const __m512 bias = _mm512_loadu_ps(layer.taps_bias + group);
        for (int row = 0; row < last - first; ++row)
            for (int column = 0; column < width; column += AT_ONCE) {
                __m512 sums[AT_ONCE];
                for (int pixel = 0; pixel < AT_ONCE; ++pixel) sums[pixel] = bias;
                const float *at = band + row * pitch + column * LANES, *tap = taps;
                for (int down = 0; down < SIDE; ++down, at += pitch)
                    for (int right = 0; right < SIDE; ++right, tap += LANES) {
                        const __m512 weight = _mm512_loadu_ps(tap);
                        for (int pixel = 0; pixel < AT_ONCE; ++pixel)
                            sums[pixel] = _mm512_fmadd_ps(_mm512_load_ps(at + (right + pixel) * LANES), weight, sums[pixel]);
                    }
                Value* to = filtered + (static_cast<long>(row) * width + column) * layer.channels + group;
                for (int pixel = 0; pixel < AT_ONCE; ++pixel, to += layer.channels)  // unrolled, for registers
                    if (column + pixel < width) store(to, sums[pixel]);
            }
    }

    // 16 channels of a row, zeros around it.
    void widen_row(int row, int group, float* to, long pitch) const {
        std::fill_n(to, pitch, 0.f);
        if (row < 0 || row >= height) return;
        const Value* from = features + static_cast<long>(row) * width * layer.channels + group;
        to += SIDE / 2 * LANES;
        for (int pixel = 0; pixel < width; ++pixel, from += layer.channels, to += LANES) _mm512_store_ps(to, load(from));
    }

    // LayerNorm, wider product, GELU, narrower product; added to the features.
    void perceive(const Value* filtered, const Value* added, Value* to, int count) const {
        const int channels = layer.channels, wide = layer.width, whole = (count + ROWS - 1) / ROWS * ROWS;
        Value* normal = inputs.hold(static_cast<size_t>(whole) * channels);
        Value* hidden = between.hold(static_cast<size_t>(whole) * wide);
        for (int pixel = 0; pixel < count; ++pixel)
            normalise(filtered + static_cast<long>(pixel) * channels, channels,
                      normal + pixel / ROWS * ROWS * channels + pixel % ROWS * DEPTH, BLOCK);
        const int blocks = whole / ROWS;
        multiply_in_turn(
            wide / (2 * LANES) * blocks,
            [&](int number) {
                const int output = number / blocks * 2 * LANES;
                const Inputs in{normal + number % blocks * ROWS * channels, DEPTH, 1, channels, 0, BLOCK};
                return Product{in, layer.first + static_cast<long>(output) * channels, layer.first_bias + output};
            },
            [&](int number) {
                Value* put = hidden + static_cast<long>(number % blocks) * ROWS * wide + number / blocks * BLOCK;
                return [=](int row, const float* sums) {
                    store(put + row * DEPTH, gelu(_mm512_load_ps(sums)), gelu(_mm512_load_ps(sums + LANES)));
                };
            });
        multiply_in_turn(
            channels / (2 * LANES) * blocks,
            [&](int number) {
                const int output = number / blocks * 2 * LANES;
                const Inputs in{hidden + static_cast<long>(number % blocks) * ROWS * wide, DEPTH, 1, wide, 0, BLOCK};
                return Product{in, layer.second + static_cast<long>(output) * wide, layer.second_bias + output};
            },
            [&](int number) {
                const int first = number % blocks * ROWS;
                const long start = static_cast<long>(first) * channels + number / blocks * 2 * LANES;
                return [=](int row, const float* sums) {
                    if (first + row >= count) return;
                    const long at = start + static_cast<long>(row) * channels;
                    store(to + at, _mm512_add_ps(load(added + at), _mm512_load_ps(sums)),
                          _mm512_add_ps(load(added + at + LANES), _mm512_load_ps(sums + LANES)));
                };
            });
    }
};

}  // namespace

extern "C" {

// Whether this process may call what follows.
int allow() { return Unit::allow(); }

// Bytes (count, bands, pixels) to what `table` (bands, 256) has for them, (count, pixels, bands).
void translate(const uint8_t* bytes, int count, int bands, long pixels, const Value* table, Value* values) {
    for (int image = 0; image < count; ++image, values += pixels * bands)
        for (int band = 0; band < bands; ++band, bytes += pixels)
            for (long pixel = 0; pixel < pixels; ++pixel) values[pixel * bands + band] = table[band * 256 + bytes[pixel]];
}

// Images (count, height, width, channels) to values (count, rows, columns, outputs), or to bytes
// (count, 3, rows, columns) if the layer has levels; at twice the rows and columns where these are of sub-pixels.
void convolve(const Convolution* layer, const Value* images, const Value* others, int count, int height, int width,
              Value* values, uint8_t* bytes, int threads) {
    const int rows = (height + 2 * layer->padding - layer->side) / layer->stride + 1;
    const int columns = (width + 2 * layer->padding - layer->side) / layer->stride + 1;
    const long read = static_cast<long>(height) * width * layer->channels / (layer->joined ? 2 : 1);
    const long written = static_cast<long>(rows) * columns;
    const long row_values = static_cast<long>(width + 2 * layer->padding) * layer->channels;
    const int band = static_cast<int>(std::clamp(CACHED / row_values / layer->stride, 1L, 32L));
    const int bands = (rows + band - 1) / band;
#pragma omp parallel num_threads(threads)
    {
        [[maybe_unused]] const Unit unit;
#pragma omp for schedule(dynamic)
        for (int part = 0; part < count * bands; ++part) {
            const int image = part / bands, first = part % bands * band;
            const Work work{*layer,  images + image * read,
                            others + image * read, height, width, rows, columns,
                            values + image * written * layer->outputs, bytes + image * written * layer->levels};
            work.run_rows(first, std::min(first + band, rows));
        }
    }
}

// A ConvNeXt block: features (count, height, width, channels) to results of that shape.
void transform(const Block* layer, const Value* features, int count, int height, int width, Value* results, int threads) {
    const long image_values = static_cast<long>(height) * width * layer->channels;
    const int band = std::clamp(CACHED / width / layer->channels, 4, 32), bands = (height + band - 1) / band;
#pragma omp parallel num_threads(threads)
    {
        [[maybe_unused]] const Unit unit;
#pragma omp for schedule(dynamic)
        for (int part = 0; part < count * bands; ++part) {
            const long start = part / bands * image_values;
            const int first = part % bands * band;
            Rows{*layer, features + start, results + start, height, width}.run(first, std::min(first + band, height));
        }
    }
}
}
