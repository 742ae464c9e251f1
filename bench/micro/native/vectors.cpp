#include "bench/micro/native/vectors.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "bench/micro/native/partitions.h"
#include "bench/micro/native/sum_table.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define WELD_COMPRESSES 1
#endif

namespace weld::bench::micro::native {
namespace {

using workloads::native::kPart;
using workloads::native::PerThread;

// Calls `vector(index, mask)` for each eight rows and `row(index)` for each of the others that pass.
void select(const double* values, double limit, std::int64_t begin, std::int64_t end, auto&& vector,
            auto&& row) {
  std::int64_t i = begin;
#if defined(WELD_COMPRESSES)
  const __m512d limits = _mm512_set1_pd(limit);
  for (; i + 8 <= end; i += 8) {
    const __m512d of_rows = _mm512_loadu_pd(values + i);
    vector(i, of_rows, _mm512_cmp_pd_mask(of_rows, limits, _CMP_LT_OQ));
  }
#endif
  for (; i < end; ++i)
    if (values[i] < limit) row(i);
}

double* compress(const double* values, double limit, std::int64_t begin, std::int64_t end, double* next) {
  select(
      values, limit, begin, end,
      [&](std::int64_t /*i*/, auto of_rows, unsigned mask) {
#if defined(WELD_COMPRESSES)
        _mm512_storeu_pd(next, _mm512_maskz_compress_pd(static_cast<__mmask8>(mask), of_rows));
#endif
        next += std::popcount(mask);
      },
      [&](std::int64_t i) { *next++ = values[i]; });
  return next;
}

}  // namespace

// One thread writes at once; several count first, and write through a buffer, since a vector is written
// whole.
std::int64_t filter(std::int64_t length, const double* values, double limit, double* result, int threads) {
  if (threads == 1) return compress(values, limit, 0, length, result) - result;
  const std::int64_t num_parts = (length + kPart - 1) / kPart;
  std::vector<std::int64_t> firsts(static_cast<std::size_t>(num_parts) + 1);
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    std::int64_t count = 0;
    select(
        values, limit, begin, end,
        [&](std::int64_t /*i*/, auto /*of_rows*/, unsigned mask) { count += std::popcount(mask); },
        [&](std::int64_t /*i*/) { ++count; });
    firsts[static_cast<std::size_t>(begin / kPart) + 1] = count;
  });
  for (std::size_t part = 1; part < firsts.size(); ++part) firsts[part] += firsts[part - 1];
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    double buffer[kPart + 8];
    const double* const last = compress(values, limit, begin, end, buffer);
    std::copy(static_cast<const double*>(buffer), last,
              result + firsts[static_cast<std::size_t>(begin / kPart)]);
  });
  return firsts.back();
}

double filter_sum(std::int64_t length, const double* values, double limit, int threads) {
  PerThread<double> sums;
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    double sum = 0;
#if defined(WELD_COMPRESSES)
    __m512d parts[4] = {};
#endif
    select(
        values, limit, begin, end,
        [&](std::int64_t i, auto of_rows, unsigned mask) {
#if defined(WELD_COMPRESSES)
          __m512d& part = parts[i / 8 % 4];
          part = _mm512_mask_add_pd(part, static_cast<__mmask8>(mask), part, of_rows);
#endif
        },
        [&](std::int64_t i) { sum += values[i]; });
#if defined(WELD_COMPRESSES)
    sum += _mm512_reduce_add_pd((parts[0] + parts[1]) + (parts[2] + parts[3]));
#endif
    sums[thread] += sum;
  });
  double total = 0;
  for (int thread = 0; thread < threads; ++thread) total += sums[thread];
  return total;
}

void histogram(std::int64_t length, const double* values, std::int64_t* counts, int threads) {
  constexpr int kBins = 256;
  constexpr int kCopies = 8;
  struct Counts {
    std::uint32_t of_copies[kCopies][kBins + 16] = {};  // neighbours add to different ones
  };
  std::vector<Counts> of_threads(static_cast<std::size_t>(threads));
  for_each_part(length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    Counts& own = of_threads[static_cast<std::size_t>(thread)];
    alignas(64) std::int32_t bins[kCopies];
    std::int64_t i = begin;
    for (; i + kCopies <= end; i += kCopies) {
      for (int k = 0; k < kCopies; ++k) bins[k] = static_cast<std::int32_t>(values[i + k] * kBins);
      for (int k = 0; k < kCopies; ++k) ++own.of_copies[k][bins[k]];
    }
    for (; i < end; ++i) ++own.of_copies[0][static_cast<std::int32_t>(values[i] * kBins)];
  });
  for (int bin = 0; bin < kBins; ++bin) {
    counts[bin] = 0;
    for (const Counts& own : of_threads)
      for (const auto& copy : own.of_copies) counts[bin] += copy[bin];
  }
}

struct Scatter::State {
  Partitions<NumberSum> partitions;
};

Scatter::Scatter() : state_(std::make_unique<State>()) {}
Scatter::~Scatter() = default;

void Scatter::run(std::int64_t length, const std::int64_t* places, const double* values,
                  std::int64_t num_places, const double* start, double* result, int threads) {
  constexpr int kWindowBits = 17;  // places that stay in the cache
  constexpr std::int64_t kWindow = std::int64_t{1} << kWindowBits;
  state_->partitions.make(
      length, (num_places + kWindow - 1) / kWindow, threads,
      [&](std::int64_t i) { return places[i] >> kWindowBits; },
      [&](std::int64_t i) { return NumberSum{places[i], values[i]}; });
  for_each_part(num_places, kWindow, threads, [&](std::int64_t begin, std::int64_t end, int /*thread*/) {
    std::copy(start + begin, start + end, result + begin);
    for (int share = 0; share < threads; ++share)
      for (const NumberSum& row : state_->partitions.rows(begin >> kWindowBits, share))
        result[row.key] += row.sum;
  });
}

}  // namespace weld::bench::micro::native
