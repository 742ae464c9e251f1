#include "bench/workloads/native/native.h"
#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {
namespace {

constexpr std::int64_t kNodesOfPart = 4096;

// The sum of the shares of `count` sources, 8 of them at a time.
inline double sum_shares(const double* shares, const std::int32_t* sources, std::int64_t count) {
#if defined(__AVX512F__) && defined(__AVX512VL__)
  __m512d sum = _mm512_setzero_pd();
  for (std::int64_t i = 0; i < count; i += 8) {
    const std::int64_t left = count - i;
    const auto mask = static_cast<__mmask8>(left >= 8 ? 0xff : (1 << left) - 1);
    const __m256i places = _mm256_maskz_loadu_epi32(mask, sources + i);
    sum = _mm512_add_pd(sum, _mm512_mask_i32gather_pd(_mm512_setzero_pd(), mask, places, shares, 8));
  }
  return _mm512_reduce_add_pd(sum);
#else
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += shares[sources[i]];
  return sum;
#endif
}

}  // namespace

void pagerank(const PageRank& data, int threads) {
  const double teleport = (1 - data.damping) / static_cast<double>(data.num_nodes);
  for (int iteration = 0; iteration < data.iterations; ++iteration) {
    const double* const rank = iteration == 0 ? data.initial : data.rank;
    for_each_part(data.num_nodes, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
      for (std::int64_t i = begin; i < end; ++i) data.shares[i] = rank[i] / data.out_degree[i];
    });
    for_each_part(
        data.num_nodes, kNodesOfPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
          for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t first = data.first[i];
            const double sum = sum_shares(data.shares, data.sources + first, data.first[i + 1] - first);
            data.rank[i] = sum * data.damping + teleport;
          }
        });
  }
}

}  // namespace weld::bench::workloads::native
