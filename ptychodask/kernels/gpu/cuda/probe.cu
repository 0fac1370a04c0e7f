// Sums for the probe over the patterns of a mini-batch, in the order of the scan: one thread per pixel.

// gradient_m += sum_b conj(ramp_b) F[conj(O_0) chi_0]: the adjoint of the shift; blockIdx.y = mode
extern "C" __global__ void add_probe(const float2* spectra, const float2* ramps, int batch, int modes, float2* gradient) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x, m = blockIdx.y;
    if (p >= AREA) return;
    float2 sum = gradient[m * AREA + p];
    for (int b = 0; b < batch; b++)
        sum = add(sum, conj_mul(ramp(ramps, b, p / N, p % N), spectra[(size_t(b) * modes + m) * AREA + p]));
    gradient[m * AREA + p] = sum;
}

// moments_km += sum_b a_bk conj(ramp_b) F[conj(O_0) chi_0], a_b0 = 1: what the score of the geometry is made of;
// blockIdx.y = k * modes + mode
extern "C" __global__ void add_moments(
    const float2* spectra, const float2* ramps, const float* weights, int count, int batch, int modes, float2* moments) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x, m = blockIdx.y % modes, k = blockIdx.y / modes;
    if (p >= AREA) return;
    float2 sum = moments[size_t(blockIdx.y) * AREA + p];
    for (int b = 0; b < batch; b++) {
        const float2 its = conj_mul(ramp(ramps, b, p / N, p % N), spectra[(size_t(b) * modes + m) * AREA + p]);
        const float a = weights[b * count + k];
        sum = add(sum, make_float2(a * its.x, a * its.y));
    }
    moments[size_t(blockIdx.y) * AREA + p] = sum;
}

// light += sum_b |O_0|^2 on the views
extern "C" __global__ void add_probe_light(
    const float2* object, const int* corners, int batch, int width, float* light) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= AREA) return;
    float sum = light[p];
    for (int b = 0; b < batch; b++) sum += norm(transmission(view_of(object, corners, width, b), width, p / N, p % N));
    light[p] = sum;
}
