// The FFT of an N x N tile in shared memory, N = 64 or 128, by one thread block of 4 N threads.
//
// A line of N = A 8 points (A = 8 or 16) belongs to 8 threads of one warp. Thread t transforms the A points
// n = t + 8 j in registers, multiplies by the twiddles and hands over to the transforms of 8 points:
//
//   X[k2 + A k1] = sum_t W_8^(t k1) W_N^(t k2) sum_j x[t + 8 j] W_A^(j k2),     W_R = exp(-+ 2 pi i / R)
//
// Bank conflicts: shared memory serves half a warp of float2 at a time, free of conflicts where the 16 addresses differ
// mod 16. The half is two lines of 8 threads, which lie 8 lines apart; the pitch N + 1 is odd. So rows (pitch x line +
// point) and columns (pitch x point + line) both put the second line 8 banks beyond the first, and it is enough that the
// 8 threads of a line differ mod 8. They do: in the first and last access they are neighbours, and in between, where
// thread t holds t and A t is a multiple of 8, point k2 is stored at A t + (k2 + t) mod A.

constexpr int THREADS = 4 * N;
constexpr int PITCH = N + 1;
constexpr int A = N / 8;
constexpr int LINES = THREADS / 8;            // at a time
constexpr int RESIDENT = N == 128 ? 1 : 4;    // thread blocks of which shared memory holds the tiles
constexpr int FORWARD = -1, INVERSE = 1;

static_assert(A == 8 || A == 16, "a line is 8 threads of 8 or 16 points");

// a times exp(SIGN i pi / 2)
template <int SIGN>
__device__ inline float2 turn(float2 a) {
    return SIGN > 0 ? make_float2(-a.y, a.x) : make_float2(a.y, -a.x);
}

// a times c + SIGN i s
template <int SIGN>
__device__ inline float2 rotate(float2 a, float c, float s) {
    return mul(a, make_float2(c, SIGN > 0 ? s : -s));
}

template <int SIGN>
__device__ inline void dft4(float2& a, float2& b, float2& c, float2& d) {
    const float2 p = add(a, c), q = sub(a, c), r = add(b, d), s = turn<SIGN>(sub(b, d));
    a = add(p, r);
    b = add(q, s);
    c = sub(p, r);
    d = sub(q, s);
}

// Natural order in and out, as all of these: v[k] = sum_j v[j] exp(SIGN 2 pi i j k / R).
template <int SIGN>
__device__ inline void dft(float2 (&v)[8]) {
    const float h = 0.70710678118654752f;  // cos(pi / 4)
    float2 e[4] = {v[0], v[2], v[4], v[6]}, o[4] = {v[1], v[3], v[5], v[7]};
    dft4<SIGN>(e[0], e[1], e[2], e[3]);
    dft4<SIGN>(o[0], o[1], o[2], o[3]);
    o[1] = rotate<SIGN>(o[1], h, h);
    o[2] = turn<SIGN>(o[2]);
    o[3] = rotate<SIGN>(o[3], -h, h);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        v[k] = add(e[k], o[k]);
        v[k + 4] = sub(e[k], o[k]);
    }
}

template <int SIGN>
__device__ inline void dft(float2 (&v)[16]) {
    const float c = 0.92387953251128676f, s = 0.38268343236508977f, h = 0.70710678118654752f;  // of pi / 8, pi / 4
#pragma unroll
    for (int j = 0; j < 4; j++) dft4<SIGN>(v[j], v[j + 4], v[j + 8], v[j + 12]);
    // v[j + 4 k] holds output k of group j: twiddle exp(SIGN 2 pi i j k / 16)
    v[5] = rotate<SIGN>(v[5], c, s);
    v[6] = rotate<SIGN>(v[6], h, h);
    v[7] = rotate<SIGN>(v[7], s, c);
    v[9] = rotate<SIGN>(v[9], h, h);
    v[10] = turn<SIGN>(v[10]);
    v[11] = rotate<SIGN>(v[11], -h, h);
    v[13] = rotate<SIGN>(v[13], s, c);
    v[14] = rotate<SIGN>(v[14], -h, h);
    v[15] = rotate<SIGN>(v[15], -c, -s);
    float2 out[16];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        dft4<SIGN>(v[4 * k], v[4 * k + 1], v[4 * k + 2], v[4 * k + 3]);
#pragma unroll
        for (int r = 0; r < 4; r++) out[k + 4 * r] = v[4 * k + r];
    }
#pragma unroll
    for (int k = 0; k < 16; k++) v[k] = out[k];
}

// Transform one line in place; neighbouring points of it are `step` apart. Called by the 8 threads of the line.
// Line is float2*; the test of the bank conflicts passes something that writes addresses down.
template <int SIGN, class Line>
__device__ inline void fft_line(Line line, int step, int t, const float2* twiddles) {
    float2 v[A];
#pragma unroll
    for (int j = 0; j < A; j++) v[j] = line[(t + 8 * j) * step];
    dft<SIGN>(v);
    __syncwarp();  // all have read
#pragma unroll
    for (int k = 0; k < A; k++) {
        const float2 w = twiddles[8 * k + t];  // exp(-2 pi i t k / N)
        line[(A * t + ((k + t) & (A - 1))) * step] = SIGN < 0 ? mul(w, v[k]) : conj_mul(w, v[k]);
    }
    __syncwarp();
    float2 u[A / 8][8];
#pragma unroll
    for (int h = 0; h < A / 8; h++) {
#pragma unroll
        for (int j = 0; j < 8; j++) u[h][j] = line[(A * j + ((t + 8 * h + j) & (A - 1))) * step];
        dft<SIGN>(u[h]);
    }
    __syncwarp();
#pragma unroll
    for (int h = 0; h < A / 8; h++)
#pragma unroll
        for (int k = 0; k < 8; k++) line[(t + 8 * h + A * k) * step] = u[h][k];
}

// First line of this thread: groups 0 and 1, which share half a warp, take lines 0 and 8; groups 8 and 9 lines 1 and 9.
__device__ inline int own_line() {
    const int group = threadIdx.x >> 3;
    return (group & ~9) | (group & 1) << 3 | (group >> 3 & 1);
}

// Transform the tile [N][PITCH] along both axes, unnormalised. Every thread sees the result.
template <int SIGN>
__device__ inline void fft2(float2* tile, const float2* twiddles) {
    const int t = threadIdx.x & 7, first = own_line();
#pragma unroll 1
    for (int line = first; line < N; line += LINES) fft_line<SIGN>(tile + line * PITCH, 1, t, twiddles);
    __syncthreads();
#pragma unroll 1
    for (int line = first; line < N; line += LINES) fft_line<SIGN>(tile + line, PITCH, t, twiddles);
    __syncthreads();
}
