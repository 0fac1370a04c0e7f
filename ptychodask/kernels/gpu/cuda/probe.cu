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

// moments_km += sum_b a_kb conj(ramp_b) F[conj(O_0) chi_0], a_0 = 1 and a_1, a_2 the place of the pattern: what the score
// of the geometry is made of; blockIdx.y = mode
extern "C" __global__ void add_moments(
    const float2* spectra, const float2* ramps, const float2* away, int batch, int modes, float2* moments) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x, m = blockIdx.y;
    if (p >= AREA) return;
    const int at = m * AREA + p, apart = modes * AREA;
    float2 sum = moments[at], along_y = moments[apart + at], along_x = moments[2 * apart + at];
    for (int b = 0; b < batch; b++) {
        const float2 its = conj_mul(ramp(ramps, b, p / N, p % N), spectra[(size_t(b) * modes + m) * AREA + p]), a = away[b];
        sum = add(sum, its);
        along_y = add(along_y, make_float2(a.x * its.x, a.x * its.y));
        along_x = add(along_x, make_float2(a.y * its.x, a.y * its.y));
    }
    moments[at] = sum, moments[apart + at] = along_y, moments[2 * apart + at] = along_x;
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
