// What a block reads, made from what is sent: half the bytes, and no sines on the host. One thread per value.

// O = exp(i phase) of a pure phase object
extern "C" __global__ void expand_phase(const float* phase, float2* object, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) sincosf(phase[i], &object[i].y, &object[i].x);
}

// Factors exp(-2 pi i f q), q = fftfreq(N), of the sub-pixel shifts f [B][2]; in double precision, then rounded.
extern "C" __global__ void make_ramps(const double* fractions, float2* ramps, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, k = i % N;
    if (i >= count) return;
    double sine, cosine;
    sincospi(-2.0 * fractions[i / N] * (k < (N + 1) / 2 ? k : k - N) / N, &sine, &cosine);
    ramps[i] = make_float2(float(cosine), float(sine));
}
