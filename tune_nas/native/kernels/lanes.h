// A vector holds L channels of one pixel; the compiler maps it to the vector registers of the
// processor (AVX-512, AVX2, SSE, NEON).
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace tune_nas {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kPixels = 8;  // 32 registers
#elif defined(__AVX__)
constexpr int kVectorBytes = 32, kPixels = 4;  // 16 registers
#else
constexpr int kVectorBytes = 16, kPixels = 4;
#endif

template <class T, int L>
struct Lanes {
  typedef T type __attribute__((vector_size(sizeof(T) * L), aligned(alignof(T)), may_alias));
};
template <class T, int L>
using Vec = typename Lanes<T, L>::type;

template <class T, int L>
inline Vec<T, L> load(const T* from) {
  return *reinterpret_cast<const Vec<T, L>*>(from);
}
template <class T, int L>
inline void store(T* to, Vec<T, L> value) {
  *reinterpret_cast<Vec<T, L>*>(to) = value;
}

// Puts v into a register. Otherwise the compiler may read it from memory again for each of its uses. Does
// nothing without AVX.
template <class T, int L>
inline void in_register(Vec<T, L>& v) {
#if defined(__AVX512F__)
  asm("" : "+v"(v));
#elif defined(__AVX__)
  asm("" : "+x"(v));
#endif
}

// Memory of a thread, kept for its next use: the buffers of the last stage are still in the cache.
class Kept {
 public:
  ~Kept() {
    for (const std::vector<void*>& blocks : free_)
      for (void* block : blocks) ::operator delete(block, kLine);
  }
  void* take(size_t bytes) {
    std::vector<void*>& blocks = free_[power(bytes)];
    if (blocks.empty()) return ::operator new(size_t(1) << power(bytes), kLine);
    void* block = blocks.back();
    blocks.pop_back();
    return block;
  }
  void give(void* block, size_t bytes) {
    std::vector<void*>& blocks = free_[power(bytes)];
    if (blocks.size() < kMost) blocks.push_back(block);
    else ::operator delete(block, kLine);
  }
  static Kept& of_thread() {
    thread_local Kept kept;
    return kept;
  }

 private:
  static constexpr std::align_val_t kLine{64};  // a vector that crosses the end of a cache line is loaded twice
  static constexpr size_t kMost = 8;            // of a size
  static int power(size_t bytes) {
    int power = 6;
    while ((size_t(1) << power) < bytes) power++;
    return power;
  }
  std::vector<void*> free_[48];
};

// What it allocates begins on a cache line, and is not set to 0 unless a value is given.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(Kept::of_thread().take(n * sizeof(T))); }
  void deallocate(T* at, size_t n) { Kept::of_thread().give(at, n * sizeof(T)); }
  template <class U>
  void construct(U* at) { ::new (static_cast<void*>(at)) U; }
  template <class U, class... Args>
  void construct(U* at, Args&&... args) { ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...); }
  template <class U>
  bool operator==(const AlignedAllocator<U>&) const { return true; }
};
template <class T>
using Aligned = std::vector<T, AlignedAllocator<T>>;

// A plane of one image: height × width pixels of `channels`.
struct Plane {
  int height, width, channels;
  size_t size() const { return static_cast<size_t>(height) * width * channels; }
};

// Calls f(lanes, first channel) for vectors that cover the channels, a multiple of 4: as many of
// the widest of the processor as fit, then the widest that divides the rest.
template <class T, class F>
inline void for_lanes(int channels, F f) {
  constexpr int widest = std::max<int>(4, kVectorBytes / sizeof(T));
  int c = 0;
  for (; c + widest <= channels; c += widest) f(std::integral_constant<int, widest>{}, c);
  if constexpr (widest > 8)
    if (c + 8 == channels) return f(std::integral_constant<int, 8>{}, c);
  if constexpr (widest > 4)
    for (; c < channels; c += 4) f(std::integral_constant<int, 4>{}, c);
}

// Calls f(lanes, number of vectors, first channel) likewise, for two side by side where they fit.
template <class T, class F>
inline void for_pairs_of_lanes(int channels, F f) {
  constexpr int widest = std::max<int>(4, kVectorBytes / sizeof(T));
  const std::integral_constant<int, 1> one{};
  int first = 0;
  for (; first + 2 * widest <= channels; first += 2 * widest)
    f(std::integral_constant<int, widest>{}, std::integral_constant<int, 2>{}, first);
  if (widest > 4 && (channels - first) % widest == 12) {
    const int fours = channels - 12;
    for_lanes<T>(fours - first, [&](auto lanes, int c) { f(lanes, one, first + c); });
    f(std::integral_constant<int, 4>{}, std::integral_constant<int, 2>{}, fours);
    return f(std::integral_constant<int, 4>{}, one, fours + 8);
  }
  for_lanes<T>(channels - first, [&](auto lanes, int c) { f(lanes, one, first + c); });
}

// Asks for elements that are read soon, so that they arrive while others are computed.
template <class T>
inline void fetch(const T* from, size_t size) {
  for (size_t at = 0; at < size; at += 64 / sizeof(T)) __builtin_prefetch(from + at, 0, 2);
}
// Likewise for elements that are written soon.
template <class T>
inline void fetch_to_write(T* to, size_t size) {
  for (size_t at = 0; at < size; at += 64 / sizeof(T)) __builtin_prefetch(to + at, 1, 2);
}

// Calls f with a value of the type of x.
template <class F>
void with_type(const at::Tensor& x, F f) {
  if (x.scalar_type() == at::kFloat) return f(float{});
  TORCH_CHECK(x.scalar_type() == at::kDouble, "the kernels take float32 and float64");
  f(double{});
}

inline void check(const at::Tensor& x, const char* name) {
  TORCH_CHECK(x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.size(1) % 4 == 0,
              name, " must lie in channels_last and have a multiple of 4 channels");
}

}  // namespace tune_nas
