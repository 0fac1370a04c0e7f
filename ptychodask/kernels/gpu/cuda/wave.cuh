// Complex arithmetic on float2, and the shapes that all kernels share.
//
//   pattern b = 0..B-1 of a mini-batch, mode m = 0..M-1, slice s = 0..S-1, pixel p = y N + x
//   item = b M + m            one wave; arrays [B][M][N][N] of waves are [item][p]
//   corner[b] = (row, column) first pixel of the pattern's view in the window [S][height][width] of the object
//
// __ldg is a load of what no kernel of the launch writes: the compiler may move it before stores, so that several are
// under way at a time.
//
// FFTs are unnormalised. The factors are folded into the tables that the host uploads: 1/N into the probe's spectra and
// 1/N^2 into the propagators; the detector kernel applies 1/N^2 to the intensity and to the residual factor.

constexpr int N = PIXELS;
constexpr int AREA = N * N;

__device__ inline float2 mul(float2 a, float2 b) { return make_float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }

// conj(a) b
__device__ inline float2 conj_mul(float2 a, float2 b) {
    return make_float2(a.x * b.x + a.y * b.y, a.x * b.y - a.y * b.x);
}

__device__ inline float2 add(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }

__device__ inline float2 sub(float2 a, float2 b) { return make_float2(a.x - b.x, a.y - b.y); }

__device__ inline float norm(float2 a) { return a.x * a.x + a.y * a.y; }

// The Fourier ramp exp(-2 pi i f.q) of pattern b's sub-pixel shift at pixel (y, x), from its factors [B][2][N].
__device__ inline float2 ramp(const float2* ramps, int b, int y, int x) {
    return mul(__ldg(ramps + 2 * b * N + y), __ldg(ramps + (2 * b + 1) * N + x));
}

// First pixel of pattern b's view in a slice of the window, or in the first of several slices.
__device__ inline const float2* view_of(const float2* object, const int* corners, int width, int b) {
    return object + size_t(corners[2 * b]) * width + corners[2 * b + 1];
}

// Transmission at pixel (y, x) of a view.
__device__ inline float2 transmission(const float2* view, int width, int y, int x) {
    return __ldg(view + size_t(y) * width + x);
}

// What one wave at one pixel says about the object: it takes the place of the incident wave u, which is not needed again.
// Complex object: conj(u) chi. Pure phase: the gradient for the phase, Im(conj(O u) chi), and the light |u|^2.
__device__ inline float2 object_terms(float2 u, float2 chi, float2 o, int pure_phase) {
    return pure_phase ? make_float2(conj_mul(u, conj_mul(o, chi)).y, norm(u)) : conj_mul(u, chi);
}
