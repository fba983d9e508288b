// Runs a convolutional network as one program over channels-last images: no allocation, no framework in between.
//
// A program is a list of steps over buffers; diamond_engine/runtime/cpu/program.py writes it. Images of a batch are shared out
// to teams of threads; the threads of a team share the rows of every step. Built for the machine it runs on; its OpenMP is
// that of the process that loads it. Elements are float32 or bfloat16, sums always float32.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <thread>
#include <type_traits>
#include <vector>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace {

constexpr int64_t LANES = 16;
constexpr int64_t GROUP = 32;  // channels of a group norm's group
constexpr int64_t HEAD = 8;    // channels of an attention head
#ifdef __AVX512F__
constexpr int MAX_VECTORS = 4, ACCUMULATORS = 24;  // of 32 registers
#else
constexpr int MAX_VECTORS = 2, ACCUMULATORS = 6;  // each is two of 16 registers
#endif
constexpr int64_t PLANES = 4;       // that pairs of pixels become
constexpr int64_t MOST_PAIRS = 32;  // whose sums are kept in the cache
constexpr int SPINS = 4096;  // before a waiting thread lets others run

// ---- Vectors of 16 lanes ----

template <typename Vector>
constexpr bool is_two = false;

#ifdef __AVX512F__
typedef float Floats __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

inline Floats larger(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
inline Floats smaller(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }

template <typename To, typename From>
inline To converted(From from) {
    return __builtin_convertvector(from, To);
}
#else
// Two halves of the processor's own size: GCC passes a wider vector through memory, 20 times as slow.
template <typename Part>
struct Two {
    Part low, high;
};

template <typename Part>
constexpr bool is_two<Two<Part>> = true;

#define FOR_BOTH_HALVES(op)                                                                          \
    template <typename Part>                                                                         \
    inline Two<Part> operator op(const Two<Part>& a, const Two<Part>& b) {                           \
        return {a.low op b.low, a.high op b.high};                                                   \
    }                                                                                                \
    template <typename Part, typename Scalar, typename = std::enable_if_t<!is_two<Scalar>>>          \
    inline Two<Part> operator op(const Two<Part>& a, Scalar b) {                                     \
        return {a.low op b, a.high op b};                                                            \
    }                                                                                                \
    template <typename Part, typename Scalar, typename = std::enable_if_t<!is_two<Scalar>>>          \
    inline Two<Part> operator op(Scalar a, const Two<Part>& b) {                                     \
        return {a op b.low, a op b.high};                                                            \
    }
FOR_BOTH_HALVES(+)
FOR_BOTH_HALVES(-)
FOR_BOTH_HALVES(*)
FOR_BOTH_HALVES(/)
FOR_BOTH_HALVES(<<)
FOR_BOTH_HALVES(>>)
FOR_BOTH_HALVES(&)
#undef FOR_BOTH_HALVES

template <typename Part>
inline Two<Part> operator-(const Two<Part>& a) {
    return {-a.low, -a.high};
}

template <typename Part>
inline Two<Part>& operator+=(Two<Part>& a, const Two<Part>& b) {
    return a = a + b;
}

#ifdef __AVX__
constexpr int64_t NATIVE = 8;  // lanes of float
#else
constexpr int64_t NATIVE = 4;
#endif

template <typename Lane, int64_t COUNT>
struct Divided {
    typedef Two<typename Divided<Lane, COUNT / 2>::Vector> Vector;
};
template <typename Lane>
struct Divided<Lane, NATIVE> {
    typedef Lane Vector __attribute__((vector_size(NATIVE * sizeof(Lane))));
};

using Floats = Divided<float, LANES>::Vector;
using Words = Divided<uint32_t, LANES>::Vector;
using Ints = Divided<int32_t, LANES>::Vector;
using Halves = Divided<uint16_t, LANES>::Vector;

template <typename Vector>
inline Vector larger(const Vector& a, const Vector& b) {
    if constexpr (is_two<Vector>)
        return {larger(a.low, b.low), larger(a.high, b.high)};
    else
        return a > b ? a : b;
}

template <typename Vector>
inline Vector smaller(const Vector& a, const Vector& b) {
    if constexpr (is_two<Vector>)
        return {smaller(a.low, b.low), smaller(a.high, b.high)};
    else
        return a < b ? a : b;
}

template <typename To, typename From>
inline To converted(const From& from) {
    if constexpr (is_two<From>)
        return {converted<decltype(To::low)>(from.low), converted<decltype(To::high)>(from.high)};
    else
        return __builtin_convertvector(from, To);
}
#endif

template <typename Value>
inline Value read(const void* from) {
    if constexpr (is_two<Value>) {
        typedef decltype(Value::low) Part;
        return {read<Part>(from), read<Part>(static_cast<const char*>(from) + sizeof(Part))};
    } else {
        Value value;
        std::memcpy(&value, from, sizeof value);
        return value;
    }
}

template <typename Value>
inline void write(void* to, const Value& value) {
    if constexpr (is_two<Value>) {
        write(to, value.low);
        write(static_cast<char*>(to) + sizeof value.low, value.high);
    } else {
        std::memcpy(to, &value, sizeof value);
    }
}

// The same bits as another type.
template <typename To, typename From>
inline To as(const From& from) {
    if constexpr (is_two<From>)
        return {as<decltype(To::low)>(from.low), as<decltype(To::high)>(from.high)};
    else
        return (To)from;
}

// ---- The interface: these structs are mirrored by ctypes in kernels.py ----

struct View {
    int64_t buffer;   // index into the program's buffers; negative: none
    int64_t channel;  // first channel
    int64_t pitch;    // channels from one pixel to the next
    int64_t width;    // pixels from one row to the next
};

enum Kind : int64_t { LOAD, NORMALISE, COPY, CONVOLVE, ATTEND, POOL, CLEAR, RECUR };

struct Step {
    int64_t kind;
    View in, add, out;
    int64_t height, width;     // of what is computed; of the input where it is pooled
    int64_t channels;          // read per pixel
    int64_t vectors;           // CONVOLVE: vectors of 16 channels written per pixel
    int64_t kernel, stride;    // CONVOLVE
    int64_t flag;              // NORMALISE: then SiLU; COPY: enlarge twice; CONVOLVE: write float32; LOAD: channels given
    int64_t border;            // LOAD, NORMALISE, COPY: surround the output with a pixel of zeros
    int64_t paired;            // NORMALISE, COPY: write, CONVOLVE: read, images in four planes (see `pairs`)
    int64_t group;             // NORMALISE: channels of a group that are not filled up with zeros
    int64_t column;            // NORMALISE: scale and shift are columns of the modulation from here; negative: fixed
    const void* weights;       // CONVOLVE: packed; NORMALISE: fixed scale, then shift
    const float* bias;         // CONVOLVE, or null
};

struct Buffer {
    void* data;      // null: in the arena of each team
    int64_t offset;  // bytes: in the arena, or from one image to the next
};

struct Program {
    const Step* steps;
    int64_t count;
    const Buffer* buffers;
    void* arena;
    int64_t arena_bytes;  // of one team
    const void* modulation;
    int64_t modulation_bytes;  // from one image to the next
    int64_t batch, teams, threads;  // threads of a team
};

// ---- Elements ----

struct Float32 {
    static constexpr int PACKED = 1;  // input channels that one multiplication takes
    float value;
    static Floats load(const Float32* from) { return read<Floats>(from); }
    static void store(Float32* to, Floats values) { write(to, values); }
    static float single(const Float32* from) { return from->value; }
    static Float32 from(float value) { return {value}; }
    static Floats multiply_add(Floats sum, const Float32* in, const Float32* weights) {
        return sum + in->value * load(weights);
    }
};

struct BFloat16 {
    static constexpr int PACKED = 2;
    uint16_t bits;
    static Floats load(const BFloat16* from) {
#ifdef __AVX512F__
        const Words words = (Words)_mm512_cvtepu16_epi32(read<__m256i>(from));  // GCC 12 takes two halves for it
#else
        const Words words = converted<Words>(read<Halves>(from));
#endif
        return as<Floats>(words << 16);
    }
    static void store(BFloat16* to, Floats values) {
#ifdef __AVX512BF16__
        const __m256bh halves = _mm512_cvtneps_pbh((__m512)values);
#else
        const Words words = as<Words>(values);
        const Halves halves = converted<Halves>((words + 0x7fff + ((words >> 16) & 1)) >> 16);
#endif
        write(to, halves);
    }
    static float single(const BFloat16* from) {
        const uint32_t word = static_cast<uint32_t>(from->bits) << 16;
        return read<float>(&word);
    }
    static BFloat16 from(float value) {
        const uint32_t word = read<uint32_t>(&value);
        return {static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16)};
    }
    static Floats multiply_add(Floats sum, const BFloat16* in, const BFloat16* weights) {
#ifdef __AVX512BF16__
        return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(read<int32_t>(in)), read<__m512bh>(weights));
#else
        const Words pairs = read<Words>(weights);
        const uint32_t pair = read<uint32_t>(in);
        const Words low = Words{} + (pair << 16), high = Words{} + (pair & 0xffff0000u);
        return sum + as<Floats>(low) * as<Floats>(pairs << 16) + as<Floats>(high) * as<Floats>(pairs & 0xffff0000u);
#endif
    }
};

// e^x to a few ulp: 2^n, put into the exponent, times the exponential series of the rest (at most ln(2) / 2).
inline Floats exponential(Floats x) {
    x = smaller(larger(x, Floats{} - 87.f), Floats{} + 87.f);
    const Floats shifted = x * 1.44269504f + 12582912.f;  // adding 1.5·2^23 rounds to a whole number in the low bits
    const Floats n = shifted - 12582912.f;
    const Floats rest = x - n * 0.693145751953125f - n * 1.428606765330187e-6f;
    Floats series = rest * (1.f / 720) + 1.f / 120;
    series = series * rest + 1.f / 24;
    series = series * rest + 1.f / 6;
    series = series * rest + 0.5f;
    series = series * rest * rest + rest + 1.f;
#ifdef __AVX512F__
    return (Floats)_mm512_scalef_ps((__m512)series, (__m512)n);
#else
    return as<Floats>(as<Ints>(series) + ((as<Ints>(shifted) - 0x4b400000) << 23));
#endif
}

inline Floats sigmoid(Floats x) {
    const Floats divisor = 1.f + exponential(-x);
#ifdef __AVX512F__
    const Floats guess = (Floats)_mm512_rcp14_ps((__m512)divisor);  // to 14 bits; a step of Newton's method doubles them
    return guess * (2.f - divisor * guess);
#else
    return 1.f / divisor;
#endif
}

inline Floats silu(Floats x) { return x * sigmoid(x); }

inline Floats tangent(Floats x) { return 2.f * sigmoid(2.f * x) - 1.f; }  // hyperbolic

inline float total(Floats values) {
#ifdef __AVX512F__
    return _mm512_reduce_add_ps((__m512)values);
#else
    float lanes[LANES], sum = 0;
    write(lanes, values);
    for (const float lane : lanes) sum += lane;
    return sum;
#endif
}

// ---- Threads ----

struct Moments {
    double sum = 0, squares = 0;
};

struct Team {
    int64_t size;
    std::vector<Moments> moments;  // of each thread's rows, per group
    std::atomic<int64_t> waiting{0}, round{0};

    void wait() {
        if (size == 1) return;
        const int64_t now = round.load();
        if (waiting.fetch_add(1) + 1 == size) {
            waiting.store(0);
            round.store(now + 1);
            return;
        }
        for (int spin = 0; round.load() == now; ++spin)
            if (spin > SPINS) std::this_thread::yield();
    }
};

struct Rows {
    int64_t first, last;
};

// ---- Steps, for one image and one thread ----

template <typename T>
class Image {
   public:
    Image(const Program& program, Team& team, int64_t rank, int64_t team_number, int64_t b)
        : program_(program), team_(team), rank_(rank), team_number_(team_number), b_(b) {}

    void run() {
        for (int64_t i = 0; i < program_.count; ++i) {
            const Step& step = program_.steps[i];
            switch (step.kind) {
                case LOAD: load(step); break;
                case NORMALISE: normalise(step); break;
                case COPY: copy(step); break;
                case CONVOLVE: convolve(step); break;
                case ATTEND: attend(step); break;
                case POOL: pool(step); break;
                case CLEAR: clear(step); break;
                case RECUR: recur(step); break;
            }
            team_.wait();
        }
    }

   private:
    const Program& program_;
    Team& team_;
    const int64_t rank_, team_number_, b_;

    template <typename Element = T>
    __attribute__((always_inline)) Element* data(const View& view) const {
        const Buffer& buffer = program_.buffers[view.buffer];
        char* base = buffer.data ? static_cast<char*>(buffer.data) + b_ * buffer.offset
                                 : static_cast<char*>(program_.arena) + team_number_ * program_.arena_bytes + buffer.offset;
        return reinterpret_cast<Element*>(base) + view.channel;
    }

    Rows rows(int64_t height) const { return {height * rank_ / team_.size, height * (rank_ + 1) / team_.size}; }

    // Clears this thread's part of the border and returns the first pixel inside it.
    T* inside(const Step& step) const {
        T* out = data(step.out);
        if (!step.border) return out;
        const int64_t pitch = step.out.pitch, row = step.out.width * pitch;
        const Rows mine = rows(step.height);
        if (mine.first == 0) std::memset(out, 0, row * sizeof(T));
        for (int64_t y = mine.first; y < mine.last; ++y) {
            std::memset(out + (y + 1) * row, 0, pitch * sizeof(T));
            std::memset(out + (y + 1) * row + (step.width + 1) * pitch, 0, pitch * sizeof(T));
        }
        if (mine.last == step.height) std::memset(out + (step.height + 1) * row, 0, row * sizeof(T));
        return out + row + pitch;
    }

    void clear(const Step& step) const {
        const Rows mine = rows(step.height);
        for (int64_t y = mine.first; y < mine.last; ++y)
            for (int64_t x = 0; x < step.width; ++x)
                std::memset(data(step.out) + (y * step.out.width + x) * step.out.pitch, 0, step.channels * sizeof(T));
    }

    // Planar float32 (C, H, W) → pixels, the channels filled up with zeros.
    void load(const Step& step) const {
        const float* in = data<float>(step.in);
        T* out = inside(step);
        const Rows mine = rows(step.height);
        for (int64_t y = mine.first; y < mine.last; ++y)
            for (int64_t x = 0; x < step.width; ++x)
                for (int64_t c = 0; c < step.channels; ++c)
                    out[(y * step.out.width + x) * step.out.pitch + c] =
                        T::from(c < step.flag ? in[(c * step.height + y) * step.width + x] : 0.f);
    }

    // Group normalisation, an affine map per channel, SiLU.
    void normalise(const Step& step) const {
        const int64_t groups = step.channels / GROUP;
        const T* in = data(step.in);
        const Rows mine = rows(step.height);
        for (int64_t g = 0; g < groups; ++g)
            team_.moments[rank_ * groups + g] = measure(in + g * GROUP, step, mine);
        team_.wait();

        std::vector<float> factor(step.channels), offset(step.channels);
        affine(step, factor.data(), offset.data());
        const auto value = [&](int64_t y, int64_t x, int64_t c) __attribute__((always_inline)) {
            const Floats before = T::load(in + (y * step.in.width + x) * step.in.pitch + c);
            const Floats v = before * read<Floats>(&factor[c]) + read<Floats>(&offset[c]);
            return step.flag ? silu(v) : v;
        };
        if (step.paired) return pairs(step, value);
        T* out = inside(step);
        for (int64_t y = mine.first; y < mine.last; ++y)
            for (int64_t x = 0; x < step.width; ++x)
                for (int64_t c = 0; c < step.channels; c += LANES)
                    T::store(out + (y * step.out.width + x) * step.out.pitch + c, value(y, x, c));
    }

    // An image for `convolve_pairs`: two pixels side by side and their neighbours become the inputs of four products
    // instead of six (Winograd's F(2, 3) along rows), summed in float32 and rounded once. Four planes a row, with a row
    // of zeros above and below.
    template <typename Value>
    void pairs(const Step& step, Value value) const {
        const int64_t pitch = step.out.pitch, plane = (step.width + 1) / 2 * pitch, row = PLANES * plane;
        T* out = data(step.out);
        const Rows mine = rows(step.height);
        if (mine.first == 0) std::memset(out, 0, row * sizeof(T));
        if (mine.last == step.height) std::memset(out + (step.height + 1) * row, 0, row * sizeof(T));
        for (int64_t y = mine.first; y < mine.last; ++y) {
            for (int64_t c = 0; c < step.channels; c += LANES) {
                T* to = out + (y + 1) * row + c;
                Floats before{}, left = value(y, 0, c);
                const auto put = [&](Floats right, Floats after) __attribute__((always_inline)) {
                    T::store(to, before - right);
                    T::store(to + plane, left + right);
                    T::store(to + 2 * plane, right - left);
                    T::store(to + 3 * plane, left - after);
                    before = right;
                    left = after;
                    to += pitch;
                };
                int64_t x = 0;
                for (; x + 2 < step.width; x += 2) put(value(y, x + 1, c), value(y, x + 2, c));
                put(x + 1 < step.width ? value(y, x + 1, c) : Floats{}, Floats{});
            }
        }
    }

    static Moments measure(const T* in, const Step& step, Rows mine) {
        Moments moments;
        for (int64_t y = mine.first; y < mine.last; ++y) {
            Floats sum[2] = {}, squares[2] = {};
            for (int64_t x = 0; x < step.width; ++x) {
                for (int64_t half = 0; half < 2; ++half) {
                    const Floats v = T::load(in + (y * step.in.width + x) * step.in.pitch + half * LANES);
                    sum[half] += v;
                    squares[half] += v * v;
                }
            }
            moments.sum += total(sum[0] + sum[1]);
            moments.squares += total(squares[0] + squares[1]);
        }
        return moments;
    }

    void affine(const Step& step, float* factor, float* offset) const {
        const bool adaptive = step.column >= 0;
        const T* scale = static_cast<const T*>(step.weights);
        if (adaptive) {
            const char* row = static_cast<const char*>(program_.modulation) + b_ * program_.modulation_bytes;
            scale = reinterpret_cast<const T*>(row) + step.column;
        }
        const T* shift = scale + step.channels;
        const int64_t groups = step.channels / GROUP;
        const double count = static_cast<double>(step.height * step.width * step.group);
        for (int64_t g = 0; g < groups; ++g) {
            Moments all;
            for (int64_t rank = 0; rank < team_.size; ++rank) {
                all.sum += team_.moments[rank * groups + g].sum;
                all.squares += team_.moments[rank * groups + g].squares;
            }
            const double mean = all.sum / count, variance = std::max(0.0, all.squares / count - mean * mean);
            const float inverse = static_cast<float>(1 / std::sqrt(variance + 1e-5));
            for (int64_t c = g * GROUP; c < (g + 1) * GROUP; c += LANES) {
                const Floats a = (T::load(scale + c) + (adaptive ? 1.f : 0.f)) * inverse;
                write(factor + c, a);
                write(offset + c, T::load(shift + c) - a * static_cast<float>(mean));
            }
        }
    }

    // Pixels as they are, or each four times.
    void copy(const Step& step) const {
        const T* in = data(step.in);
        if (step.paired)
            return pairs(step, [&](int64_t y, int64_t x, int64_t c) {
                return T::load(in + ((y >> step.flag) * step.in.width + (x >> step.flag)) * step.in.pitch + c);
            });
        T* out = inside(step);
        const Rows mine = rows(step.height);
        for (int64_t y = mine.first; y < mine.last; ++y)
            for (int64_t x = 0; x < step.width; ++x)
                std::memcpy(out + (y * step.out.width + x) * step.out.pitch,
                            in + ((y >> step.flag) * step.in.width + (x >> step.flag)) * step.in.pitch,
                            step.channels * sizeof(T));
    }

    // Threads share the rows or, if there is only one row, the blocks of output channels.
    void convolve(const Step& step) const {
        const T* weights = static_cast<const T*>(step.weights);
        const Rows mine = step.height == 1 ? rows(step.vectors) : Rows{0, step.vectors};
        int64_t first = 0;
        for (int64_t left = step.vectors; left > 0;) {
            const int64_t now = left >= MAX_VECTORS ? MAX_VECTORS : (left >= 2 ? 2 : 1);
            if (mine.first * LANES <= first && first < mine.last * LANES) {
                if (now == 4) convolve<4>(step, weights, first);
                if (now == 2) convolve<2>(step, weights, first);
                if (now == 1) convolve<1>(step, weights, first);
            }
            weights += step.kernel * (step.paired ? PLANES : step.kernel) * step.channels * now * LANES;
            first += now * LANES;
            left -= now;
        }
    }

    template <int VECTORS>
    void convolve(const Step& step, const T* weights, int64_t first) const {
        const Rows mine = step.height == 1 ? Rows{0, 1} : rows(step.height);
        for (int64_t y = mine.first; y < mine.last; ++y) {
            if (step.paired)
                convolve_pairs<VECTORS>(step, weights, first, y);
            else
                convolve_pixels<VECTORS>(step, weights, first, y);
        }
    }

    template <int VECTORS>
    void convolve_pixels(const Step& step, const T* weights, int64_t first, int64_t y) const {
        const int64_t pitch = step.in.pitch;
        const T* row = data(step.in) + y * step.stride * step.in.width * pitch;
        const Taps taps{step.kernel, step.kernel, step.in.width * pitch, pitch, step.stride * pitch, step.channels};
        tiles<VECTORS>(step.width, [&](int64_t x, auto pixels) {
            Floats sums[pixels.value][VECTORS];
            multiply<VECTORS, pixels.value>(sums, row + x * taps.pixel, taps, weights);
            for (int p = 0; p < pixels.value; ++p) finish<VECTORS>(step, sums[p], first, y, x + p);
        });
    }

    // The same from four planes (see `pairs`): sums over kernel rows only, then makes two pixels of four sums.
    template <int VECTORS>
    void convolve_pairs(const Step& step, const T* weights, int64_t first, int64_t y) const {
        const int64_t pitch = step.in.pitch, count = (step.width + 1) / 2, plane = count * pitch;
        const T* row = data(step.in) + y * PLANES * plane;
        const Taps taps{step.kernel, 1, PLANES * plane, 0, pitch, step.channels};
        const int64_t plane_weights = step.kernel * step.channels * VECTORS * LANES;
        Floats products[PLANES][MOST_PAIRS][VECTORS];
        for (int64_t begin = 0; begin < count; begin += MOST_PAIRS) {
            const int64_t now = std::min(MOST_PAIRS, count - begin);
            for (int64_t j = 0; j < PLANES; ++j) {
                const T* in = row + j * plane + begin * pitch;
                tiles<VECTORS>(now, [&](int64_t x, auto pixels) {
                    multiply<VECTORS, pixels.value>(&products[j][x], in + x * pitch, taps, weights + j * plane_weights);
                });
            }
            for (int64_t x = 0; x < now; ++x) {
                Floats left[VECTORS], right[VECTORS];
                for (int v = 0; v < VECTORS; ++v) {
                    const Floats middle = products[1][x][v], odd = products[2][x][v];
                    left[v] = products[0][x][v] + middle + odd;
                    right[v] = middle - odd - products[3][x][v];
                }
                finish<VECTORS>(step, left, first, y, 2 * (begin + x));
                if (2 * (begin + x) + 1 < step.width) finish<VECTORS>(step, right, first, y, 2 * (begin + x) + 1);
            }
        }
    }

    // Calls `tile(x, pixels)` for a row's pixels in tiles of about the same size, known to the compiler as `pixels.value`.
    template <int VECTORS, typename Tile>
    static void tiles(int64_t width, Tile tile) {
        constexpr int LARGEST = ACCUMULATORS / std::max(2, VECTORS);
        const int64_t count = (width + LARGEST - 1) / LARGEST;
        for (int64_t i = 0; i < count; ++i) {
            const int64_t x = width * i / count;
            of_size<LARGEST>(x, width * (i + 1) / count - x, tile);
        }
    }

    template <int PIXELS, typename Tile>
    static void of_size(int64_t x, int64_t pixels, Tile& tile) {
        if constexpr (PIXELS > 0) {
            if (pixels == PIXELS)
                tile(x, std::integral_constant<int, PIXELS>{});
            else
                of_size<PIXELS - 1>(x, pixels, tile);
        }
    }

    // What a tile sums over, in elements of the input.
    struct Taps {
        int64_t rows, columns;       // of the kernel
        int64_t row, column, pixel;  // from one to the next
        int64_t channels;
    };

    template <int VECTORS, int PIXELS>
    __attribute__((always_inline)) static void multiply(Floats (*out)[VECTORS], const T* in, const Taps& taps, const T* weights) {
        Floats sums[PIXELS][VECTORS] = {};
        for (int64_t ky = 0; ky < taps.rows; ++ky) {
            for (int64_t kx = 0; kx < taps.columns; ++kx) {
                const T* at = in + ky * taps.row + kx * taps.column;
                for (int64_t c = 0; c < taps.channels; c += T::PACKED) {
#pragma GCC unroll 16
                    for (int p = 0; p < PIXELS; ++p)
#pragma GCC unroll 4
                        for (int v = 0; v < VECTORS; ++v)
                            sums[p][v] = T::multiply_add(sums[p][v], at + p * taps.pixel + c, weights + v * LANES * T::PACKED);
                    weights += VECTORS * LANES * T::PACKED;
                }
            }
        }
#pragma GCC unroll 16
        for (int p = 0; p < PIXELS; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; ++v) out[p][v] = sums[p][v];
    }

    template <int VECTORS>
    __attribute__((always_inline)) void finish(const Step& step, const Floats* sums, int64_t first, int64_t y, int64_t x) const {
        const T* add = step.add.buffer < 0
                           ? nullptr
                           : data(step.add) + (y * step.add.width + x) * step.add.pitch + first;
        const int64_t at = (y * step.out.width + x) * step.out.pitch + first;
        for (int v = 0; v < VECTORS; ++v) {
            Floats sum = sums[v];
            if (step.bias) sum += read<Floats>(step.bias + first + v * LANES);
            if (add) sum += T::load(add + v * LANES);
            if (step.flag)
                write(data<float>(step.out) + at + v * LANES, sum);
            else
                T::store(data(step.out) + at + v * LANES, sum);
        }
    }

    // Self-attention of heads of 8 channels over all pixels; the input holds queries, keys, values.
    void attend(const Step& step) const {
        const int64_t positions = step.height * step.width, padded = (positions + LANES - 1) / LANES * LANES;
        const Rows heads = rows(step.channels / HEAD);
        const T* in = data(step.in);
        T* out = data(step.out);
        std::vector<float> keys(HEAD * padded), values(HEAD * padded), scores(padded);
        for (int64_t head = heads.first; head < heads.last; ++head) {
            for (int64_t i = 0; i < positions; ++i) {
                for (int64_t d = 0; d < HEAD; ++d) {
                    const T* at = in + i * step.in.pitch + head * HEAD + d;
                    keys[d * padded + i] = T::single(at + step.channels);
                    values[d * padded + i] = T::single(at + 2 * step.channels);
                }
            }
            for (int64_t i = 0; i < positions; ++i) {
                float query[HEAD];
                for (int64_t d = 0; d < HEAD; ++d)
                    query[d] = T::single(in + i * step.in.pitch + head * HEAD + d) * 0.35355339059327373f;
                const float most = score(query, keys.data(), scores.data(), positions, padded);
                average(scores.data(), most, values.data(), padded, out + i * step.out.pitch + head * HEAD);
            }
        }
    }

    // Products of a query with all keys, minus infinity for padding; returns the largest.
    static float score(const float* query, const float* keys, float* scores, int64_t positions, int64_t padded) {
        Floats most = Floats{} - INFINITY;
        for (int64_t j = 0; j < padded; j += LANES) {
            Floats sum{};
#pragma GCC unroll 8
            for (int64_t d = 0; d < HEAD; ++d) sum += query[d] * read<Floats>(keys + d * padded + j);
            write(scores + j, sum);
            for (int64_t beyond = positions; beyond < j + LANES; ++beyond) scores[beyond] = -INFINITY;
            most = larger(most, read<Floats>(scores + j));
        }
        float lanes[LANES];
        write(lanes, most);
        return *std::max_element(lanes, lanes + LANES);
    }

    // The mean of values by the softmax of scores.
    static void average(const float* scores, float most, const float* values, int64_t padded, T* out) {
        Floats sum{}, sums[HEAD] = {};
        for (int64_t j = 0; j < padded; j += LANES) {
            const Floats chance = exponential(read<Floats>(scores + j) - most);
            sum += chance;
#pragma GCC unroll 8
            for (int64_t d = 0; d < HEAD; ++d) sums[d] += chance * read<Floats>(values + d * padded + j);
        }
        const float whole = total(sum);
        for (int64_t d = 0; d < HEAD; ++d) out[d] = T::from(total(sums[d]) / whole);
    }

    // The next state of an LSTM of one pixel an image from float32 gates: input, forget, cell, output. `add` is the cell
    // state, which is replaced, `out` the hidden state.
    void recur(const Step& step) const {
        const int64_t size = step.channels / 4;
        const Rows mine = rows(size / LANES);
        for (int64_t x = 0; x < step.width; ++x) {
            const float* gates = data<float>(step.in) + x * step.in.pitch;
            T* cells = data(step.add) + x * step.add.pitch;
            T* hidden = data(step.out) + x * step.out.pitch;
            for (int64_t c = mine.first * LANES; c < mine.last * LANES; c += LANES) {
                const Floats input = sigmoid(read<Floats>(gates + c)), forget = sigmoid(read<Floats>(gates + size + c));
                const Floats fresh = tangent(read<Floats>(gates + 2 * size + c));
                const Floats cell = forget * T::load(cells + c) + input * fresh;
                T::store(cells + c, cell);
                T::store(hidden + c, sigmoid(read<Floats>(gates + 3 * size + c)) * tangent(cell));
            }
        }
    }

    // The largest of each 2×2 pixels.
    void pool(const Step& step) const {
        const T* in = data(step.in);
        T* out = data(step.out);
        const Rows mine = rows(step.height / 2);
        for (int64_t y = mine.first; y < mine.last; ++y) {
            for (int64_t x = 0; x < step.width / 2; ++x) {
                const T* a = in + (2 * y * step.in.width + 2 * x) * step.in.pitch;
                const T* b = a + step.in.width * step.in.pitch;
                for (int64_t c = 0; c < step.channels; c += LANES) {
                    const Floats top = larger(T::load(a + c), T::load(a + step.in.pitch + c));
                    const Floats bottom = larger(T::load(b + c), T::load(b + step.in.pitch + c));
                    T::store(out + (y * step.out.width + x) * step.out.pitch + c, larger(top, bottom));
                }
            }
        }
    }
};

template <typename T>
void run(const Program& program) {
    std::vector<Team> teams(program.teams);
    for (Team& team : teams) {
        team.size = program.threads;
        int64_t groups = 1;
        for (int64_t i = 0; i < program.count; ++i) groups = std::max(groups, program.steps[i].channels / GROUP);
        team.moments.resize(program.threads * groups);
    }
    const int64_t workers = program.teams * program.threads;
#pragma omp parallel num_threads(workers)
    {
        const bool all_came = omp_get_num_threads() == workers;  // else one does it alone: teams wait for their members
        const int64_t worker = omp_get_thread_num();
        if (all_came || worker == 0) {
            const int64_t number = all_came ? worker / program.threads : 0, stride = all_came ? program.teams : 1;
            if (!all_came) teams[0].size = 1;
            for (int64_t b = number; b < program.batch; b += stride)
                Image<T>(program, teams[number], all_came ? worker % program.threads : 0, number, b).run();
        }
    }
}

// ---- Training: adaptive group norm, then SiLU, over a batch, and its gradient; a thread takes whole images ----

struct Modulated {
    const void* in;              // (batch, pixels, channels)
    const float* modulation;     // (batch, 2 · channels): scale, then shift
    const void* out_gradient;    // like in
    void* out;                   // like in: the result, or the gradient of in
    float* modulation_gradient;  // like modulation
    int64_t batch, pixels, channels, threads;
};

// One image: h = factor · x + offset per channel, then SiLU.
struct Affine {
    std::vector<float> mean, inverse;  // per group
    std::vector<float> factor, offset;  // per channel
};

template <typename T>
Affine affine_of(const T* in, const float* scale, const float* shift, int64_t pixels, int64_t channels) {
    Affine affine{std::vector<float>(channels / GROUP), std::vector<float>(channels / GROUP),
                  std::vector<float>(channels), std::vector<float>(channels)};
    for (int64_t g = 0; g < channels / GROUP; ++g) {
        Floats sum[2] = {}, squares[2] = {};
        const T* first = in + g * GROUP;
        // around the first pixel, so that a large mean does not drown the variance
        const Floats start[2] = {T::load(first), T::load(first + LANES)};
        const float centre = total(start[0] + start[1]) / GROUP;
        for (int64_t p = 0; p < pixels; ++p) {
            for (int64_t half = 0; half < 2; ++half) {
                const Floats v = T::load(first + p * channels + half * LANES) - centre;
                sum[half] += v;
                squares[half] += v * v;
            }
        }
        const double count = static_cast<double>(pixels * GROUP), mean = total(sum[0] + sum[1]) / count;
        const double variance = std::max(0.0, total(squares[0] + squares[1]) / count - mean * mean);
        affine.mean[g] = static_cast<float>(mean + centre);
        affine.inverse[g] = static_cast<float>(1 / std::sqrt(variance + 1e-5));
        for (int64_t c = g * GROUP; c < (g + 1) * GROUP; ++c) {
            affine.factor[c] = (1 + scale[c]) * affine.inverse[g];
            affine.offset[c] = shift[c] - affine.factor[c] * affine.mean[g];
        }
    }
    return affine;
}

template <typename T>
void modulate(const Modulated& m) {
#pragma omp parallel for num_threads(m.threads)
    for (int64_t b = 0; b < m.batch; ++b) {
        const T* in = static_cast<const T*>(m.in) + b * m.pixels * m.channels;
        T* out = static_cast<T*>(m.out) + b * m.pixels * m.channels;
        const float* scale = m.modulation + b * 2 * m.channels;
        const Affine affine = affine_of(in, scale, scale + m.channels, m.pixels, m.channels);
        for (int64_t p = 0; p < m.pixels; ++p) {
            for (int64_t c = 0; c < m.channels; c += LANES) {
                const int64_t at = p * m.channels + c;
                const Floats h = T::load(in + at) * read<Floats>(&affine.factor[c]) + read<Floats>(&affine.offset[c]);
                T::store(out + at, silu(h));
            }
        }
    }
}

// The gradient of h, of 16 channels from x and the gradient of SiLU(h).
inline Floats before_silu(Floats h, Floats gradient) {
    const Floats chance = 1.f / (1.f + exponential(-h));
    return gradient * chance * (1.f + h * (1.f - chance));
}

template <typename T>
void modulate_backward(const Modulated& m) {
#pragma omp parallel for num_threads(m.threads)
    for (int64_t b = 0; b < m.batch; ++b) {
        const T* in = static_cast<const T*>(m.in) + b * m.pixels * m.channels;
        const T* gradient = static_cast<const T*>(m.out_gradient) + b * m.pixels * m.channels;
        T* out = static_cast<T*>(m.out) + b * m.pixels * m.channels;
        const float* scale = m.modulation + b * 2 * m.channels;
        float* scale_gradient = m.modulation_gradient + b * 2 * m.channels;
        float* shift_gradient = scale_gradient + m.channels;
        const Affine affine = affine_of(in, scale, scale + m.channels, m.pixels, m.channels);
        for (int64_t g = 0; g < m.channels / GROUP; ++g) {
            const float mean = affine.mean[g], inverse = affine.inverse[g];
            double over_h = 0, over_x = 0;  // sums over the group of the normalised x's gradient, alone and times it
            for (int64_t c = g * GROUP; c < (g + 1) * GROUP; c += LANES) {
                const Floats factor = read<Floats>(&affine.factor[c]), offset = read<Floats>(&affine.offset[c]);
                Floats alone{}, times{};
                for (int64_t p = 0; p < m.pixels; ++p) {
                    const Floats x = T::load(in + p * m.channels + c);
                    const Floats d = before_silu(x * factor + offset, T::load(gradient + p * m.channels + c));
                    T::store(out + p * m.channels + c, d);  // for the second pass: an exponential costs more than a rounding
                    alone += d;
                    times += d * ((x - mean) * inverse);
                }
                write(shift_gradient + c, alone);
                write(scale_gradient + c, times);
                const Floats weight = 1.f + read<Floats>(scale + c);
                over_h += total(weight * alone);
                over_x += total(weight * times);
            }
            const double count = static_cast<double>(m.pixels * GROUP);
            const float mean_h = static_cast<float>(over_h / count), mean_x = static_cast<float>(over_x / count);
            for (int64_t p = 0; p < m.pixels; ++p) {
                for (int64_t c = g * GROUP; c < (g + 1) * GROUP; c += LANES) {
                    const int64_t at = p * m.channels + c;
                    const Floats normed = (T::load(in + at) - mean) * inverse, d = T::load(out + at);
                    T::store(out + at, d * read<Floats>(&affine.factor[c]) - inverse * (mean_h + normed * mean_x));
                }
            }
        }
    }
}

}  // namespace

extern "C" {

void run_float32(const Program* program) { run<Float32>(*program); }

void run_bfloat16(const Program* program) { run<BFloat16>(*program); }

void modulate_float32(const Modulated* modulated) { modulate<Float32>(*modulated); }

void modulate_bfloat16(const Modulated* modulated) { modulate<BFloat16>(*modulated); }

void modulate_backward_float32(const Modulated* modulated) { modulate_backward<Float32>(*modulated); }

void modulate_backward_bfloat16(const Modulated* modulated) { modulate_backward<BFloat16>(*modulated); }

int64_t max_vectors() { return MAX_VECTORS; }

// Whether the processor multiplies bfloat16 itself.
bool native_bfloat16() {
#ifdef __AVX512BF16__
    return true;
#else
    return false;
#endif
}
}
