// A vector holds L channels of one pixel; the compiler maps it to the vector registers of the
// processor (AVX-512, AVX2, SSE, NEON).
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <new>
#include <type_traits>
#include <vector>

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

// A vector that crosses the end of a cache line is loaded twice: what is computed with begins on one.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* at, size_t) { ::operator delete(at, kLine); }
  template <class U>
  bool operator==(const AlignedAllocator<U>&) const { return true; }

 private:
  static constexpr std::align_val_t kLine{64};
};
template <class T>
using Aligned = std::vector<T, AlignedAllocator<T>>;

// A plane of one image: height × width pixels of `channels`.
struct Plane {
  int height, width, channels;
  size_t size() const { return static_cast<size_t>(height) * width * channels; }
};

template <class T, class F>
void with_lanes_of(int64_t channels, F f) {
  constexpr int widest = kVectorBytes / sizeof(T);
  if constexpr (widest >= 16)
    if (channels % 16 == 0) return f(T{}, std::integral_constant<int, 16>{});
  if constexpr (widest >= 8)
    if (channels % 8 == 0) return f(T{}, std::integral_constant<int, 8>{});
  f(T{}, std::integral_constant<int, 4>{});
}

// Calls f with the widest vector of the processor that divides the channels.
template <class F>
void with_lanes(const at::Tensor& x, int64_t channels, F f) {
  if (x.scalar_type() == at::kFloat) return with_lanes_of<float>(channels, f);
  TORCH_CHECK(x.scalar_type() == at::kDouble, "the kernels take float32 and float64");
  with_lanes_of<double>(channels, f);
}

inline void check(const at::Tensor& x, const char* name) {
  TORCH_CHECK(x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.size(1) % 4 == 0,
              name, " must lie in channels_last and have a multiple of 4 channels");
}

}  // namespace tune_nas
