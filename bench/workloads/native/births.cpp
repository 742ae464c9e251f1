#include <memory>

#include "bench/workloads/native/parallel.h"
#include "bench/workloads/native/string_table.h"
#include "bench/workloads/native/tables.h"
#include "bench/workloads/native/vectors.h"

namespace weld::bench::workloads::native {

void births_by_name(const NamedValues& data, NameSums& result, int threads) {
  static PerThread<StringTable> tables;  // their memory lives from run to run
  for (int thread = 0; thread < threads; ++thread) tables[thread].clear();
  for_each_part(data.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    StringTable& table = tables[thread];
    for (std::int64_t i = begin; i < end; ++i) table[data.names[i]] += data.values[i];
  });
  StringTable& all = tables[0];
  for (int thread = 1; thread < threads; ++thread)
    tables[thread].for_each([&](String name, std::int64_t sum) { all[name] += sum; });
  result.names.clear();
  result.sums.clear();
  all.for_each([&](String name, std::int64_t sum) {
    result.names.push_back(name);
    result.sums.push_back(sum);
  });
}

void pivot_births(const BirthRows& rows, int threads) {
  // Several copies of the sums, in turn, since neighbours often add to the same one.
  constexpr std::int64_t kCopies = 4;
  const std::int64_t num_sums = 2 * rows.num_years;
  std::vector<std::vector<std::int64_t>> sums(threads);
  for (std::vector<std::int64_t>& of_thread : sums) of_thread.resize(kCopies * num_sums + 16);
  const auto add = [&](std::int64_t* of_thread, std::int64_t i, std::int64_t copy) {
    of_thread[copy * num_sums + 2 * (rows.years[i] - rows.first_year) + rows.sexes[i]] += rows.births[i];
  };
  std::uint64_t start = 0;
  const auto length = static_cast<std::int64_t>(rows.start.size());
  std::memcpy(&start, rows.start.data(), rows.start.size());
  const std::uint64_t mask = (std::uint64_t{1} << (8 * length)) - 1;
  for_each_part(rows.length, kPart, threads, [&](std::int64_t begin, std::int64_t end, int thread) {
    std::int64_t* const of_thread = sums[thread].data();
    if (rows.names == nullptr) {
      std::int64_t i = begin;
      for (; i + kCopies <= end; i += kCopies)
        for (std::int64_t copy = 0; copy < kCopies; ++copy) add(of_thread, i + copy, copy);
      for (; i < end; ++i) add(of_thread, i, 0);
      return;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const String name = rows.names[i];
      std::uint64_t bytes;
      std::memcpy(&bytes, name.data, sizeof bytes);
      if ((bytes & mask) == start && name.length >= length) add(of_thread, i, 0);
    }
  });
  for (std::int64_t i = 0; i < num_sums; ++i) {
    std::int64_t sum = 0;
    for (const std::vector<std::int64_t>& of_thread : sums)
      for (std::int64_t copy = 0; copy < kCopies; ++copy) sum += of_thread[copy * num_sums + i];
    rows.sums[i] = sum;
  }
}

}  // namespace weld::bench::workloads::native
