// Add the views of a mini-batch onto the block's window, V_b^T: one thread per pixel of the window and slice gathers
// from the patterns that cover it, in the order of the scan. Nothing is added twice at a time, so there are no atomics,
// the bits are the same on every run, and they do not depend on how the block was cut into mini-batches.
// blockIdx.z = slice; `values` are [S][room][M][N][N], of which the first `batch` of `room` patterns hold data.

template <class Sum, class Term>
__device__ void add_views(
    const float2* values, const int* corners, int batch, int room, int modes, int height, int width, Sum& sum,
    Term term) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    values += size_t(blockIdx.z) * room * modes * AREA;
    for (int b = 0; b < batch; b++) {
        const int row = y - corners[2 * b], column = x - corners[2 * b + 1];
        if (row < 0 || row >= N || column < 0 || column >= N) continue;
        const float2* value = values + size_t(b) * modes * AREA + row * N + column;
        Sum pattern = term(value[0]);
        for (int m = 1; m < modes; m++) pattern = pattern + term(value[size_t(m) * AREA]);
        sum = sum + pattern;
    }
}

struct Complex {
    float x, y;
    __device__ Complex operator+(Complex other) const { return {x + other.x, y + other.y}; }
};

// Complex object, before the back-propagation: light += sum_m |u|^2
extern "C" __global__ void add_light(
    const float2* values, const int* corners, int batch, int room, int modes, int height, int width, float* light) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    add_views(values, corners, batch, room, modes, height, width,
              light[(size_t(blockIdx.z) * height + blockIdx.y) * width + x], [](float2 u) { return norm(u); });
}

// Complex object, after it: gradient += sum_m conj(u) chi
extern "C" __global__ void add_gradient(
    const float2* values, const int* corners, int batch, int room, int modes, int height, int width,
    Complex* gradient) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    add_views(values, corners, batch, room, modes, height, width,
              gradient[(size_t(blockIdx.z) * height + blockIdx.y) * width + x],
              [](float2 g) { return Complex{g.x, g.y}; });
}

// Pure phase object: gradient += sum_m Im(conj(O u) chi) and light += sum_m |u|^2, which came in one float2
extern "C" __global__ void add_phase_terms(
    const float2* values, const int* corners, int batch, int room, int modes, int height, int width, float* gradient,
    float* light) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const size_t i = (size_t(blockIdx.z) * height + blockIdx.y) * width + x;
    Complex sum = {gradient[i], light[i]};
    add_views(values, corners, batch, room, modes, height, width, sum, [](float2 g) { return Complex{g.x, g.y}; });
    gradient[i] = sum.x;
    light[i] = sum.y;
}
