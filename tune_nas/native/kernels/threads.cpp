// The number of threads that the loops of these kernels have: that of torch, if both use the same OpenMP.

#include <ATen/Parallel.h>
#include <torch/library.h>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace tune_nas {
namespace {

int64_t threads_of_loops() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(tune_nas, library) { library.def("threads_of_loops() -> int", &threads_of_loops); }

}  // namespace tune_nas
