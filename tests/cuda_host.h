// Enough of CUDA C++ to run the kernels on the host, one thread at a time: blocks one after the other, and the threads
// of a block as fibers that hand over at barriers. Checks what CUDA does not: number and size of arguments, threads
// that miss a barrier, and launches whose shared memory is too small for what they touch.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

struct float2 { float x, y; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline void sincospi(double x, double* s, double* c) { sincos(M_PI * x, s, c); }
template <class T>
static inline T __ldg(const T* p) { return *p; }
struct dim3 { unsigned x = 1, y = 1, z = 1; };

#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(...)

// threads take turns from the last to the first: what depends on the order between two barriers shows
extern "C" int host_reverse = 0;

static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host {

constexpr size_t SHARED = 1 << 18, STACK = 1 << 15, WARP = 32;
enum State { ENDED, AT_WARP, AT_BLOCK };
alignas(16) char shared[SHARED];

struct Fiber {
    ucontext_t context;
    jmp_buf resume;
    dim3 thread;
    bool started = false;
    State state = ENDED;
    std::unique_ptr<char[]> stack{new char[STACK]};
};

std::vector<std::unique_ptr<Fiber>> fibers;
jmp_buf scheduler;
ucontext_t home;
Fiber* current;
unsigned next_thread, limit;
const std::function<void()>* body;

// A fiber runs thread after thread until one of them waits; then another fiber takes over.
void work() {
    while (next_thread < limit) {
        threadIdx.x = host_reverse ? blockDim.x - 1 - next_thread : next_thread;
        next_thread++;
        (*body)();
    }
    current->state = ENDED;
    _longjmp(scheduler, 1);
}

void barrier(State state) {
    Fiber* own = current;
    own->thread = threadIdx;
    own->state = state;
    if (!_setjmp(own->resume)) _longjmp(scheduler, 1);
    threadIdx = own->thread;
}

void resume(Fiber* fiber) {
    current = fiber;
    if (_setjmp(scheduler)) return;
    if (fiber->started) _longjmp(fiber->resume, 1);
    fiber->started = true;
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, work, 0);
    setcontext(&fiber->context);
}

unsigned waiting_as(State state, size_t low, size_t high) {
    unsigned count = 0;
    for (size_t i = low; i < high; i++) count += fibers[i]->state == state;
    return count;
}

// Let a warp, which is fibers low to high, go on until it ends or some of it waits for the block.
void run_ahead(size_t low, size_t high) {
    while (high > low && waiting_as(AT_WARP, low, high) == high - low)
        for (size_t i = low; i < high; i++) resume(fibers[i].get());
}

// One block: from one of its barriers to the next, each warp goes as far as it can before the next warp moves. False
// where threads missed a barrier that others wait at, which CUDA leaves undefined.
bool run_block(const std::function<void()>& function) {
    body = &function;
    next_thread = 0;
    size_t alive = 0;
    for (unsigned low = 0; low < blockDim.x; low += WARP) {
        limit = std::min<unsigned>(low + WARP, blockDim.x);
        const size_t first = alive;
        while (next_thread < limit) {
            if (alive == fibers.size()) fibers.emplace_back(new Fiber);
            fibers[alive]->started = false;
            resume(fibers[alive].get());
            alive += fibers[alive]->state != ENDED;
        }
        if (alive != first && alive - first != limit - low) return false;
        run_ahead(first, alive);
    }
    if (alive != 0 && alive != blockDim.x) return false;
    while (waiting_as(ENDED, 0, alive) != alive) {
        if (waiting_as(AT_BLOCK, 0, alive) != alive) return false;
        for (size_t low = 0; low < alive; low += WARP) {
            const size_t high = std::min(low + WARP, alive);
            for (size_t i = low; i < high; i++) resume(fibers[i].get());
            run_ahead(low, high);
        }
    }
    return true;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}

// Run a grid; returns 0, or -(k + 1) where argument k has another size, or what cuda_host.py explains.
template <class... A>
int launch(void (*kernel)(A...), const unsigned* shape, size_t bytes, int count, const int* sizes, void** arguments) {
    const int expected[] = {int(sizeof(A))...};
    if (count != int(sizeof...(A))) return -1000;
    for (int k = 0; k < count; k++)
        if (sizes[k] != expected[k]) return -(k + 1);
    gridDim = {shape[0], shape[1], shape[2]};
    blockDim = {shape[3], 1, 1};
    if (bytes > SHARED - 64) return -2000;
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = {x, y, z};
                // a new block finds garbage in shared memory, and a guard behind what it asked for
                std::memset(shared, 0xff, bytes);
                std::memset(shared + bytes, 0x5a, 64);
                if (!run_block([&] { call(kernel, arguments, std::index_sequence_for<A...>{}); })) return -4000;
                for (int i = 0; i < 64; i++)
                    if (shared[bytes + i] != 0x5a) return -3000;
            }
    return 0;
}

}  // namespace host

static inline void __syncthreads() { host::barrier(host::AT_BLOCK); }
static inline void __syncwarp() { host::barrier(host::AT_WARP); }
