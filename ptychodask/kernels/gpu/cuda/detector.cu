// All that happens on the detector, in one pass over psi. One thread block does a chunk of pixels of a pattern:
// blockIdx.x = chunk, blockIdx.y = pattern b.
//
//   I = sum_m |psi_m|^2 / N^2 + background
//   Poisson    loss = w [I - n + (n + e) log((n + e) / (I + e))]     rho = FISHER_STEP w (n - I) / (I + e)
//   amplitude  loss = 2 w (sqrt I - sqrt n)^2                        rho = w (sqrt n / (sqrt I + e) - 1)
//   psi_m <- rho psi_m / N^2, which the inverse FFT turns into chi at the exit face
//
// `counts` (n) are fitted; the loss is measured on `measured` against `share` of the intensity (and of the Poisson e).
// Held-out events are measured against `ratio` of the intensity; ratio = 0 where nothing is held out.
//
// Each chunk writes its own float64 sums [B][CHUNKS][TERMS]; the host adds them in their order. Within a chunk a tree
// of fixed shape adds them: the same bits on every run.

__device__ inline float predicted(const float2* psi, int modes, int p, float background) {
    float sum = 0.0f;
    for (int m = 0; m < modes; m++) sum += norm(psi[size_t(m) * AREA + p]);
    return sum * (1.0f / AREA) + background;
}

__device__ inline float poisson_loss(float n, float i, float e) { return (n + e) * logf((n + e) / (i + e)) - n + i; }

__device__ inline float amplitude_loss(float n, float i) {
    const float d = sqrtf(i) - sqrtf(n);
    return 2.0f * d * d;
}

// Sums of the threads of a chunk, added in a tree, to its place in sums [B][CHUNKS][N].
template <int N> __device__ void add_up(const double (&own)[N], double* tree, double* sums) {
    const int t = threadIdx.x;
    for (int k = 0; k < N; k++) tree[k * DETECTOR_THREADS + t] = own[k];
    for (int half = DETECTOR_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half)
            for (int k = 0; k < N; k++) tree[k * DETECTOR_THREADS + t] += tree[k * DETECTOR_THREADS + t + half];
    }
    if (t == 0)
        for (int k = 0; k < N; k++)
            sums[(size_t(blockIdx.y) * CHUNKS + blockIdx.x) * N + k] = tree[k * DETECTOR_THREADS];
}

// Sum of n log(n / I) - n over the held-out events of this chunk, before psi is overwritten.
__device__ double held_events(
    const float2* psi, const int* start, const unsigned int* pixel, const float* count, int first, int low, int high,
    int modes, float background, float ratio) {
    double sum = 0.0;
    for (int e = start[first + blockIdx.y] + threadIdx.x; e < start[first + blockIdx.y + 1]; e += blockDim.x) {
        const int p = pixel[e];
        if (p < low || p >= high) continue;
        const double n = count[e], i = double(ratio * predicted(psi, modes, p, background)) + LOG_FLOOR;
        sum += n * log(n / i) - n;
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(DETECTOR_THREADS) detector(
    float2* psi, const float* counts, const float* measured, const int* held_start, const unsigned int* held_pixel,
    const float* held_count, int first, const float* weights, int modes, int poisson, int scale_psi, float background,
    float e, float share, float ratio, double* sums) {
    extern __shared__ double tree[];  // [TERMS][DETECTOR_THREADS]
    const int t = threadIdx.x, b = blockIdx.y;
    const int low = int(size_t(AREA) * blockIdx.x / CHUNKS), high = int(size_t(AREA) * (blockIdx.x + 1) / CHUNKS);
    double own[TERMS] = {0.0};
    psi += size_t(b) * modes * AREA;
    counts += size_t(b) * AREA;
    measured += size_t(b) * AREA;
    if (ratio > 0.0f)
        own[HELD_LOSS] = held_events(
            psi, held_start, held_pixel, held_count, first, low, high, modes, background, ratio);
    __syncthreads();
    for (int p = low + t; p < high; p += DETECTOR_THREADS) {
        const float w = weights[p], n = counts[p], i = predicted(psi, modes, p, background);
        own[ELECTRONS] += double(w * n);
        own[INTENSITY] += double(w * i);
        own[LOSS] += double(
            w * (poisson ? poisson_loss(measured[p], share * i, share * e) : amplitude_loss(measured[p], share * i)));
        const float fisher = w / (i + e);
        own[BACKGROUND_NUMERATOR] += double(fisher * (n - i));
        own[BACKGROUND_DENOMINATOR] += double(fisher);
        if (!scale_psi) continue;
        const float rho = poisson ? FISHER_STEP * fisher * (n - i) : w * (sqrtf(n) / (sqrtf(i) + e) - 1.0f);
        const float factor = rho * (1.0f / AREA);
        for (int m = 0; m < modes; m++) {
            float2& value = psi[size_t(m) * AREA + p];
            value = make_float2(factor * value.x, factor * value.y);
        }
    }
    own[HELD_LOSS] += double(ratio) * own[INTENSITY];
    add_up(own, tree, sums);
}

// How well the model fits: per chunk the sums of the loss of `counts`, and of the mean and the variance that Poisson
// noise around the intensity gives it: [B][CHUNKS][FIT_TERMS]. `table` is expected_loss.table, (mean, variance) at
// EXPECTED_ENTRIES intensities, uniform in log I.

__device__ inline float2 expected_loss(float i, const float2* table) {
    const float low = logf(EXPECTED_FAINTEST), steps = (EXPECTED_ENTRIES - 1) / (logf(EXPECTED_TOP) - low);
    const float at = (logf(fminf(fmaxf(i, EXPECTED_FAINTEST), EXPECTED_TOP)) - low) * steps;
    const float share = fminf(i / EXPECTED_FAINTEST, 1.0f);
    const int k = at <= 0.0f ? 0 : at < EXPECTED_ENTRIES - 2 ? int(at) : EXPECTED_ENTRIES - 2;
    const float2 a = table[k], b = table[k + 1];
    return make_float2(share * (a.x + (at - k) * (b.x - a.x)), share * (a.y + (at - k) * (b.y - a.y)));
}

extern "C" __global__ void __launch_bounds__(DETECTOR_THREADS) compare(
    const float2* psi, const float* counts, const float* weights, int modes, int poisson, float background, float e,
    const float2* table, double* sums) {
    extern __shared__ double tree[];  // [FIT_TERMS][DETECTOR_THREADS]
    const int t = threadIdx.x, b = blockIdx.y;
    const int low = int(size_t(AREA) * blockIdx.x / CHUNKS), high = int(size_t(AREA) * (blockIdx.x + 1) / CHUNKS);
    double own[FIT_TERMS] = {0.0};
    psi += size_t(b) * modes * AREA;
    counts += size_t(b) * AREA;
    for (int p = low + t; p < high; p += DETECTOR_THREADS) {
        const float w = weights[p], n = counts[p], i = predicted(psi, modes, p, background);
        const float2 expected = expected_loss(i, table);
        own[TESTED_LOSS] += double(w * (poisson ? poisson_loss(n, i, e) : amplitude_loss(n, i)));
        own[EXPECTED_LOSS] += double(w * expected.x);
        own[EXPECTED_VARIANCE] += double(w * expected.y);
    }
    add_up(own, tree, sums);
}

// Intensities [B][AREA] of the waves on the detector.
extern "C" __global__ void predict(const float2* psi, int modes, float background, float* intensity) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y;
    if (p < AREA) intensity[size_t(b) * AREA + p] = predicted(psi + size_t(b) * modes * AREA, modes, p, background);
}

// The line search: per chunk the sums of f (n - I) dI and f dI^2, f = w / (I + e), dI = scale (ahead - behind):
// [B][CHUNKS][LINE_TERMS].
extern "C" __global__ void __launch_bounds__(DETECTOR_THREADS) line(
    const float* counts, const float* here, const float* ahead, const float* behind, const float* weights, float e,
    float scale, double* sums) {
    extern __shared__ double tree[];  // [LINE_TERMS][DETECTOR_THREADS]
    const int low = int(size_t(AREA) * blockIdx.x / CHUNKS), high = int(size_t(AREA) * (blockIdx.x + 1) / CHUNKS);
    const size_t first = size_t(blockIdx.y) * AREA;
    double own[LINE_TERMS] = {0.0};
    for (int p = low + threadIdx.x; p < high; p += DETECTOR_THREADS) {
        const float i = here[first + p], slope = scale * (ahead[first + p] - behind[first + p]);
        const float fisher = weights[p] / (i + e);
        own[LINE_NUMERATOR] += double(fisher * (counts[first + p] - i) * slope);
        own[LINE_DENOMINATOR] += double(fisher * slope * slope);
    }
    add_up(own, tree, sums);
}
