// Counts of a mini-batch as dense float32 [B][N][N], from events or from dense integers.

// Events of pattern b are start[first + b] .. start[first + b + 1] - 1; one thread block per pattern.
extern "C" __global__ void spread(
    const int* start, const unsigned int* pixel, const float* count, int first, float* counts) {
    const int b = blockIdx.x;
    counts += size_t(b) * AREA;
    for (int p = threadIdx.x; p < AREA; p += blockDim.x) counts[p] = 0.0f;
    __syncthreads();
    for (int e = start[first + b] + threadIdx.x; e < start[first + b + 1]; e += blockDim.x) counts[pixel[e]] = count[e];
}

template <class Count>
__device__ void widen(const Count* dense, float* counts) {
    const size_t p = size_t(blockIdx.y) * AREA + blockIdx.x * blockDim.x + threadIdx.x;
    if (blockIdx.x * blockDim.x + threadIdx.x < AREA) counts[p] = float(dense[p]);
}

extern "C" __global__ void widen_u8(const unsigned char* dense, float* counts) { widen(dense, counts); }

extern "C" __global__ void widen_u16(const unsigned short* dense, float* counts) { widen(dense, counts); }
