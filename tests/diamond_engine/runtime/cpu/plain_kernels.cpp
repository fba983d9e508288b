// Every kernel of diamond_engine/runtime/cpu/kernels.cpp, written plainly: one image after the other, one number at a
// time, no threads. The same interface, so that the same program runs on both. docs/kernels.md draws the layouts.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int64_t LANES = 16, GROUP = 32, HEAD = 8, PLANES = 4;

// ---- The interface, as in kernels.cpp ----

struct View {
    int64_t buffer, channel, pitch, width;
};

enum Kind : int64_t { LOAD, NORMALISE, COPY, CONVOLVE, ATTEND, POOL, CLEAR, RECUR };

struct Step {
    int64_t kind;
    View in, add, out;
    int64_t height, width, channels, vectors, kernel, stride, flag, border, paired, group, column;
    const void* weights;
    const float* bias;
};

struct Buffer {
    void* data;
    int64_t offset;
};

struct Program {
    const Step* steps;
    int64_t count;
    const Buffer* buffers;
    void* arena;
    int64_t arena_bytes;
    const void* modulation;
    int64_t modulation_bytes;
    int64_t batch, teams, threads;
};

struct Modulated {
    const void* in;
    const float* modulation;
    const void* out_gradient;
    void* out;
    float* modulation_gradient;
    int64_t batch, pixels, channels, threads;
};

// ---- Numbers: float32, or the upper half of one, rounded to even ----

struct Float32 {
    static constexpr int64_t PACKED = 1;
    float value;
    operator float() const { return value; }
    static Float32 from(float value) { return {value}; }
};

struct BFloat16 {
    static constexpr int64_t PACKED = 2;
    uint16_t bits;
    operator float() const {
        const uint32_t word = static_cast<uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &word, sizeof value);
        return value;
    }
    static BFloat16 from(float value) {
        uint32_t word;
        std::memcpy(&word, &value, sizeof word);
        return {static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16)};
    }
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double silu(double x) { return x * sigmoid(x); }

// ---- A program on one image ----

template <typename T>
struct Image {
    const Program& program;
    int64_t b;

    template <typename Element = T>
    Element* begin(const View& view) const {
        const Buffer& buffer = program.buffers[view.buffer];
        char* base = static_cast<char*>(buffer.data ? buffer.data : program.arena);
        return reinterpret_cast<Element*>(base + (buffer.data ? b * buffer.offset : buffer.offset)) + view.channel;
    }

    // The number in row y, column x and channel c of a view.
    template <typename Element = T>
    Element& at(const View& view, int64_t y, int64_t x, int64_t c) const {
        return begin<Element>(view)[(y * view.width + x) * view.pitch + c];
    }

    template <typename Call>
    static void each(int64_t height, int64_t width, int64_t channels, Call call) {
        for (int64_t y = 0; y < height; ++y)
            for (int64_t x = 0; x < width; ++x)
                for (int64_t c = 0; c < channels; ++c) call(y, x, c);
    }

    void run() const {
        for (int64_t i = 0; i < program.count; ++i) {
            const Step& s = program.steps[i];
            switch (s.kind) {
                case LOAD:
                    put(s, [&](int64_t y, int64_t x, int64_t c) {
                        return c < s.flag ? begin<float>(s.in)[(c * s.height + y) * s.width + x] : 0.f;
                    });
                    break;
                case NORMALISE: normalise(s); break;
                case COPY:
                    put(s, [&](int64_t y, int64_t x, int64_t c) { return float(at(s.in, y >> s.flag, x >> s.flag, c)); });
                    break;
                case CONVOLVE: convolve(s); break;
                case ATTEND: attend(s); break;
                case POOL: pool(s); break;
                case CLEAR:
                    each(s.height, s.width, s.channels, [&](auto y, auto x, auto c) { at(s.out, y, x, c) = T::from(0); });
                    break;
                case RECUR: recur(s); break;
            }
        }
    }

    // Writes the image `value(y, x, c)`: with a border of zeros where one is asked for, or in pairs.
    template <typename Value>
    void put(const Step& s, Value value) const {
        if (s.paired) return put_pairs(s, value);
        if (s.border)
            each(s.height + 2, s.width + 2, s.channels, [&](auto y, auto x, auto c) { at(s.out, y, x, c) = T::from(0); });
        each(s.height, s.width, s.channels, [&](auto y, auto x, auto c) {
            at(s.out, y + s.border, x + s.border, c) = T::from(value(y, x, c));
        });
    }

    // Place of channel c of pair x in a plane of row y, which row 0 of zeros precedes.
    int64_t place(const View& view, int64_t width, int64_t y, int64_t plane, int64_t x, int64_t c) const {
        const int64_t pairs = (width + 1) / 2;
        return ((y * PLANES + plane) * pairs + x) * view.pitch + c;
    }

    template <typename Value>
    void put_pairs(const Step& s, Value value) const {
        const auto inside = [&](int64_t y, int64_t x, int64_t c) {
            return 0 <= y && y < s.height && 0 <= x && x < s.width ? float(value(y, x, c)) : 0.f;
        };
        each(s.height + 2, (s.width + 1) / 2, s.channels, [&](int64_t row, int64_t x, int64_t c) {
            const int64_t y = row - 1;
            const float a = inside(y, 2 * x - 1, c), l = inside(y, 2 * x, c);  // before, left,
            const float r = inside(y, 2 * x + 1, c), d = inside(y, 2 * x + 2, c);  // right, after
            const float planes[PLANES] = {a - r, l + r, r - l, l - d};
            for (int64_t j = 0; j < PLANES; ++j) begin(s.out)[place(s.out, s.width, row, j, x, c)] = T::from(planes[j]);
        });
    }

    void normalise(const Step& s) const {
        const bool adaptive = s.column >= 0;
        const char* row = static_cast<const char*>(program.modulation) + b * program.modulation_bytes;
        const T* scale = adaptive ? reinterpret_cast<const T*>(row) + s.column : static_cast<const T*>(s.weights);
        std::vector<double> mean(s.channels / GROUP), square(s.channels / GROUP);
        const double count = s.height * s.width * s.group;
        each(s.height, s.width, s.channels, [&](int64_t y, int64_t x, int64_t c) {
            const double v = at(s.in, y, x, c);
            mean[c / GROUP] += v / count;
            square[c / GROUP] += v * v / count;
        });
        put(s, [&](int64_t y, int64_t x, int64_t c) {
            const double m = mean[c / GROUP], variance = std::max(0.0, square[c / GROUP] - m * m);
            const double normed = (at(s.in, y, x, c) - m) / std::sqrt(variance + 1e-5);
            const double v = normed * (scale[c] + (adaptive ? 1.0 : 0.0)) + scale[s.channels + c];
            return float(s.flag ? silu(v) : v);
        });
    }

    // The weight of output o, input c, and tap (first, second): kernel row and column, or plane and kernel row.
    float weight(const Step& s, int64_t o, int64_t c, int64_t first, int64_t second) const {
        const int64_t taps = s.kernel * (s.paired ? PLANES : s.kernel), tap = first * s.kernel + second;
        const int64_t block = o / LANES * taps * s.channels * LANES;
        const int64_t inputs = (tap * s.channels + c / T::PACKED * T::PACKED) * LANES;
        return static_cast<const T*>(s.weights)[block + inputs + o % LANES * T::PACKED + c % T::PACKED];
    }

    float one_product(const Step& s, int64_t y, int64_t x, int64_t o) const {
        float sum = 0;
        each(s.kernel, s.kernel, s.channels, [&](int64_t ky, int64_t kx, int64_t c) {
            sum += at(s.in, y * s.stride + ky, x * s.stride + kx, c) * weight(s, o, c, ky, kx);
        });
        return sum;
    }

    // Pixel x of four products of its pair, of which three make it.
    float paired_product(const Step& s, int64_t y, int64_t x, int64_t o) const {
        float sums[PLANES] = {};
        each(PLANES, s.kernel, s.channels, [&](int64_t j, int64_t ky, int64_t c) {
            sums[j] += begin(s.in)[place(s.in, s.width, y + ky, j, x / 2, c)] * weight(s, o, c, j, ky);
        });
        return x % 2 == 0 ? sums[0] + sums[1] + sums[2] : sums[1] - sums[2] - sums[3];
    }

    void convolve(const Step& s) const {
        each(s.height, s.width, s.vectors * LANES, [&](int64_t y, int64_t x, int64_t o) {
            float sum = s.paired ? paired_product(s, y, x, o) : one_product(s, y, x, o);
            if (s.bias) sum += s.bias[o];
            if (s.add.buffer >= 0) sum += at(s.add, y, x, o);
            if (s.flag)
                at<float>(s.out, y, x, o) = sum;
            else
                at(s.out, y, x, o) = T::from(sum);
        });
    }

    void attend(const Step& s) const {
        const int64_t positions = s.height * s.width;
        const auto in = [&](int64_t i, int64_t c) { return double(begin(s.in)[i * s.in.pitch + c]); };
        each(positions, s.channels / HEAD, HEAD, [&](int64_t i, int64_t head, int64_t d) {
            std::vector<double> scores(positions);
            for (int64_t j = 0; j < positions; ++j)
                for (int64_t e = 0; e < HEAD; ++e)
                    scores[j] += in(i, head * HEAD + e) * in(j, s.channels + head * HEAD + e) / std::sqrt(double(HEAD));
            const double most = *std::max_element(scores.begin(), scores.end());
            double sum = 0, whole = 0;
            for (int64_t j = 0; j < positions; ++j) {
                const double chance = std::exp(scores[j] - most);
                sum += chance * in(j, 2 * s.channels + head * HEAD + d);
                whole += chance;
            }
            begin(s.out)[i * s.out.pitch + head * HEAD + d] = T::from(float(sum / whole));
        });
    }

    void pool(const Step& s) const {
        each(s.height / 2, s.width / 2, s.channels, [&](int64_t y, int64_t x, int64_t c) {
            float most = -INFINITY;
            each(2, 2, 1, [&](int64_t i, int64_t j, int64_t) { most = std::max(most, float(at(s.in, 2 * y + i, 2 * x + j, c))); });
            at(s.out, y, x, c) = T::from(most);
        });
    }

    void recur(const Step& s) const {
        const int64_t size = s.channels / 4;
        each(1, s.width, size, [&](int64_t, int64_t x, int64_t c) {
            const auto gate = [&](int64_t number) { return double(at<float>(s.in, 0, x, number * size + c)); };
            const double state = sigmoid(gate(1)) * at(s.add, 0, x, c) + sigmoid(gate(0)) * std::tanh(gate(2));
            at(s.add, 0, x, c) = T::from(float(state));
            at(s.out, 0, x, c) = T::from(float(sigmoid(gate(3)) * std::tanh(state)));
        });
    }
};

template <typename T>
void run(const Program& program) {
    for (int64_t b = 0; b < program.batch; ++b) Image<T>{program, b}.run();
}

// ---- Training: adaptive group norm, then SiLU, and its gradient ----

// One group of one image: `x` normalised, and what it was divided by.
template <typename T>
struct Normed {
    std::vector<double> x;
    double deviation;

    Normed(const T* in, const Modulated& m) : x(m.pixels * GROUP) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < m.pixels * GROUP; ++i) mean += x[i] = in[i / GROUP * m.channels + i % GROUP];
        mean /= x.size();
        for (const double v : x) variance += (v - mean) * (v - mean) / x.size();
        deviation = std::sqrt(variance + 1e-5);
        for (double& v : x) v = (v - mean) / deviation;
    }
};

template <typename T>
void modulate(const Modulated& m, bool backward) {
    for (int64_t b = 0; b < m.batch; ++b) {
        for (int64_t g = 0; g < m.channels / GROUP; ++g) {
            const int64_t image = b * m.pixels * m.channels + g * GROUP;
            const Normed<T> normed(static_cast<const T*>(m.in) + image, m);
            const float* scale = m.modulation + b * 2 * m.channels + g * GROUP;
            std::vector<double> before(normed.x.size());  // the gradient of what SiLU was taken of
            double over_h = 0, over_x = 0;
            float* of_scale = m.modulation_gradient + b * 2 * m.channels + g * GROUP;
            if (backward) std::fill(of_scale, of_scale + GROUP, 0.f), std::fill(of_scale + m.channels, of_scale + m.channels + GROUP, 0.f);
            for (size_t i = 0; i < normed.x.size(); ++i) {
                const int64_t c = i % GROUP, place = image + i / GROUP * m.channels + c;
                const double h = normed.x[i] * (1 + scale[c]) + scale[m.channels + c];
                if (!backward) {
                    static_cast<T*>(m.out)[place] = T::from(float(silu(h)));
                    continue;
                }
                before[i] = static_cast<const T*>(m.out_gradient)[place] * sigmoid(h) * (1 + h * (1 - sigmoid(h)));
                of_scale[c] += float(before[i] * normed.x[i]);
                of_scale[m.channels + c] += float(before[i]);
                over_h += before[i] * (1 + scale[c]) / normed.x.size();
                over_x += before[i] * (1 + scale[c]) * normed.x[i] / normed.x.size();
            }
            for (size_t i = 0; backward && i < normed.x.size(); ++i) {
                const int64_t c = i % GROUP, place = image + i / GROUP * m.channels + c;
                const double gradient = (before[i] * (1 + scale[c]) - over_h - normed.x[i] * over_x) / normed.deviation;
                static_cast<T*>(m.out)[place] = T::from(float(gradient));
            }
        }
    }
}

}  // namespace

extern "C" {

void run_float32(const Program* program) { run<Float32>(*program); }

void run_bfloat16(const Program* program) { run<BFloat16>(*program); }

void modulate_float32(const Modulated* modulated) { modulate<Float32>(*modulated, false); }

void modulate_bfloat16(const Modulated* modulated) { modulate<BFloat16>(*modulated, false); }

void modulate_backward_float32(const Modulated* modulated) { modulate<Float32>(*modulated, true); }

void modulate_backward_bfloat16(const Modulated* modulated) { modulate<BFloat16>(*modulated, true); }

int64_t max_vectors() { return 1; }  // weights are packed for one vector of 16 outputs at a time

bool native_bfloat16() { return false; }
}
