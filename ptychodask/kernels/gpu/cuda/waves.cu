// The pointwise steps between two FFTs of cuFFT: one thread per pixel, blockIdx.y = item = b M + m.

__device__ inline int own_pixel() { return blockIdx.x * blockDim.x + threadIdx.x; }

// u_0 = F^-1 [ramp_b P^_m]: before the inverse FFT.
extern "C" __global__ void shift(const float2* spectra, const float2* ramps, int modes, float2* waves) {
    const int p = own_pixel(), b = blockIdx.y / modes, m = blockIdx.y % modes;
    if (p < AREA) waves[size_t(blockIdx.y) * AREA + p] = mul(__ldg(spectra + m * AREA + p), ramp(ramps, b, p / N, p % N));
}

// e_s = u_s O_s
extern "C" __global__ void transmit(
    const float2* waves, const float2* object, const int* corners, int width, int modes, float2* exit) {
    const int p = own_pixel(), b = blockIdx.y / modes;
    const size_t i = size_t(blockIdx.y) * AREA + p;
    if (p < AREA) exit[i] = mul(waves[i], transmission(view_of(object, corners, width, b), width, p / N, p % N));
}

// spectrum *= H, or conj(H) on the way back
extern "C" __global__ void propagate(float2* spectrum, const float2* propagator, int back) {
    const int p = own_pixel();
    const size_t i = size_t(blockIdx.y) * AREA + p;
    if (p < AREA) spectrum[i] = back ? conj_mul(propagator[p], spectrum[i]) : mul(propagator[p], spectrum[i]);
}

// One slice of the back-propagation: u_s becomes the object's terms, chi_s becomes conj(O_s) chi_s.
extern "C" __global__ void adjoint(
    float2* waves, float2* chi, const float2* object, const int* corners, int width, int modes, int pure_phase) {
    const int p = own_pixel(), b = blockIdx.y / modes;
    if (p >= AREA) return;
    const size_t i = size_t(blockIdx.y) * AREA + p;
    const float2 o = transmission(view_of(object, corners, width, b), width, p / N, p % N), c = chi[i];
    waves[i] = object_terms(waves[i], c, o, pure_phase);
    chi[i] = conj_mul(o, c);
}
