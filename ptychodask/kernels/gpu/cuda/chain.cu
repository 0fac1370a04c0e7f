// The multislice chain of one wave (pattern b, mode m) in one thread block, with the wave in shared memory from the
// first slice to the last: device memory sees only what must be kept, the incident wave of every slice.
// blockIdx.x = item = b M + m; `waves` are [S][room][M][N][N] and `propagators` [S - 1][N][N].

// The twiddles exp(-2 pi i t k / N) behind the tile, in the order in which fft_line asks for them.
__device__ inline float2* load_twiddles(float2* tile, const float2* roots) {
    float2* twiddles = tile + N * PITCH;
    for (int i = threadIdx.x; i < N; i += THREADS) twiddles[i] = roots[(i & 7) * (i >> 3)];
    return twiddles;
}

// All pixels (y, x) of the tile, for step(value in shared memory, p, y, x).
template <class Step>
__device__ inline void each_pixel(float2* tile, Step step) {
#pragma unroll 4
    for (int p = threadIdx.x; p < AREA; p += THREADS) step(tile[p / N * PITCH + p % N], p, p / N, p % N);
    __syncthreads();
}

// u_0 = F^-1 ramp P^;   u_{s+1} = F^-1 H_s F (u_s O_s);   psi = F (u_{S-1} O_{S-1})
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) chain_forward(
    const float2* spectra, const float2* ramps, const int* corners, const float2* object, int height, int width,
    const float2* propagators, const float2* roots, int slices, int room, int modes, int keep_waves, float2* waves,
    float2* psi) {
    extern __shared__ float2 tile[];
    const float2* twiddles = load_twiddles(tile, roots);
    const int item = blockIdx.x, b = item / modes, m = item % modes;
    waves += size_t(item) * AREA;
    psi += size_t(item) * AREA;
    spectra += size_t(m) * AREA;
    const float2* view = view_of(object, corners, width, b);
    each_pixel(tile, [&](float2& value, int p, int y, int x) { value = mul(__ldg(spectra + p), ramp(ramps, b, y, x)); });
    fft2<INVERSE>(tile, twiddles);
    for (int s = 0;; s++) {
        each_pixel(tile, [&](float2& value, int p, int y, int x) {
            if (keep_waves) waves[p] = value;
            value = mul(value, transmission(view, width, y, x));
        });
        fft2<FORWARD>(tile, twiddles);
        if (s == slices - 1) break;
        each_pixel(tile, [&](float2& value, int p, int, int) { value = mul(value, __ldg(propagators + p)); });
        fft2<INVERSE>(tile, twiddles);
        waves += size_t(room) * modes * AREA;
        view += size_t(height) * width;
        propagators += AREA;
    }
    each_pixel(tile, [&](float2& value, int p, int, int) { psi[p] = value; });
}

// chi_{S-1} = F^-1 (rho psi);   chi_{s-1} = F^-1 conj(H_{s-1}) F (conj(O_s) chi_s)
// Incident waves are replaced by the object's terms and, where the probe moves, rho psi by F (conj(O_0) chi_0).
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) chain_backward(
    float2* psi, float2* waves, const int* corners, const float2* object, int height, int width,
    const float2* propagators, const float2* roots, int slices, int room, int modes, int pure_phase,
    int probe_moves) {
    extern __shared__ float2 tile[];
    const float2* twiddles = load_twiddles(tile, roots);
    const int item = blockIdx.x, b = item / modes;
    psi += size_t(item) * AREA;
    waves += (size_t(slices - 1) * room * modes + item) * AREA;
    const float2* view = view_of(object, corners, width, b) + size_t(slices - 1) * height * width;
    propagators += size_t(slices - 1) * AREA;
    each_pixel(tile, [&](float2& value, int p, int, int) { value = psi[p]; });
    fft2<INVERSE>(tile, twiddles);
    for (int s = slices - 1;; s--) {
        each_pixel(tile, [&](float2& value, int p, int y, int x) {
            const float2 o = transmission(view, width, y, x), chi = value;
            waves[p] = object_terms(waves[p], chi, o, pure_phase);
            value = conj_mul(o, chi);
        });
        if (s == 0) break;
        waves -= size_t(room) * modes * AREA;
        view -= size_t(height) * width;
        propagators -= AREA;
        fft2<FORWARD>(tile, twiddles);
        each_pixel(tile, [&](float2& value, int p, int, int) { value = conj_mul(__ldg(propagators + p), value); });
        fft2<INVERSE>(tile, twiddles);
    }
    if (!probe_moves) return;
    fft2<FORWARD>(tile, twiddles);
    each_pixel(tile, [&](float2& value, int p, int, int) { psi[p] = value; });
}
