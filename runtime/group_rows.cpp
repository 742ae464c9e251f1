#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/group.h"
#include "runtime/loop_statistics.h"
#include "runtime/morsel_loop.h"
#include "runtime/run_context.h"
#include "runtime/scratch.h"
#include "runtime/table_partitions.h"

// Groups of many keys. The table of a loop's keys, and a place for the next value of each, would miss the
// caches with every row. So the loop writes its rows down, and full logs become runs of rows, partitioned by
// the upper bits of their keys' hashes, in order inside of each partition. Each partition is then counted and
// placed in the caches, all of them in parallel; values are in the order of the loop whoever does it.
//
// The rows would take more memory than the groups. So where there are few keys for the rows, the loop runs
// several times, each time for some of the partitions.

namespace weld::runtime {

// Rows by partition, then their numbers, in the same block.
struct GroupRun {
  GroupRun* next;
  std::int64_t num_rows;
  std::uint64_t first_number;  // added to the rows' numbers
  std::uint32_t* numbers;      // null: nobody asks
  std::uint32_t begin[kPartitions + 1];

  std::byte* rows() { return reinterpret_cast<std::byte*>(this) + (sizeof(GroupRun) + 7) / 8 * 8; }
};

namespace {

constexpr std::int64_t kLogRows = 16 * 1024;
constexpr std::int64_t kProbedIterations = 64 * 1024;
constexpr std::int64_t kLeastProbes = 8;  // so many times the iterations of a probe, or it does not pay
// Tables of all keys beyond this size wait for memory.
constexpr double kLargeTableBytes = 6 << 20;
constexpr std::int64_t kMaxRounds = 8;

std::byte* allocate_beside(Worker* worker, GroupBuilder& group, std::int64_t bytes) noexcept {
  Block* block = state_of(worker).heap.allocate(bytes);
  if (!block) return nullptr;
  link_beside(Block::of(reinterpret_cast<std::byte*>(&group)), block);
  return block->payload();
}

// The rows of the log in the order of their partitions, and in their own inside of each: as numbers first,
// which stay in the nearest cache, so that rows are written one after the other.
void order_rows(const GroupRun& run, const std::uint32_t* hashes, std::uint16_t* order) {
  static_assert(kLogRows <= 1 << 16);
  std::uint32_t next[kPartitions];
  std::copy_n(run.begin, kPartitions, next);
  for (std::int64_t i = 0; i < run.num_rows; ++i)
    order[next[hashes[i] >> (32 - kPartitionBits)]++] = static_cast<std::uint16_t>(i);
}

// kBytes is the size of an element where not 0.
template <std::int64_t kBytes>
void gather(std::byte* to, const std::byte* from, const std::uint16_t* order, std::int64_t count,
            std::int64_t element_bytes) {
  const std::int64_t bytes = kBytes ? kBytes : element_bytes;
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * bytes, from + order[i] * bytes, static_cast<std::size_t>(bytes));
}

// Makes a run of the log.
ErrorCode spill(Worker* worker, GroupBuilder& group) noexcept {
  const std::int64_t count = group.log_size;
  if (count == 0) return ErrorCode::kSuccess;
  const std::int64_t row_bytes = group.rows_of->row_bytes;
  const std::int64_t rows_bytes = (count * row_bytes + 7) / 8 * 8;
  const std::int64_t header_bytes = (static_cast<std::int64_t>(sizeof(GroupRun)) + 7) / 8 * 8;
  auto* run = reinterpret_cast<GroupRun*>(
      allocate_beside(worker, group, header_bytes + rows_bytes + (group.log_numbers ? count * 4 : 0)));
  if (!run) return ErrorCode::kOutOfMemory;
  std::memset(static_cast<void*>(run), 0, sizeof *run);
  run->num_rows = count;
  for (std::int64_t i = 0; i < count; ++i) ++run->begin[(group.log_hashes[i] >> (32 - kPartitionBits)) + 1];
  for (std::int64_t p = 0; p < kPartitions; ++p) run->begin[p + 1] += run->begin[p];
  std::uint16_t order[kLogRows];
  order_rows(*run, group.log_hashes, order);
  switch (row_bytes) {
    case 8:
      gather<8>(run->rows(), group.log_rows, order, count, 8);
      break;
    case 16:
      gather<16>(run->rows(), group.log_rows, order, count, 16);
      break;
    case 24:
      gather<24>(run->rows(), group.log_rows, order, count, 24);
      break;
    default:
      gather<0>(run->rows(), group.log_rows, order, count, row_bytes);
  }
  if (group.log_numbers) {
    std::byte* numbers = run->rows() + rows_bytes;
    run->numbers = reinterpret_cast<std::uint32_t*>(numbers);
    gather<4>(numbers, reinterpret_cast<const std::byte*>(group.log_numbers), order, count, 4);
  }
  (group.last_run ? group.last_run->next : group.first_run) = run;
  group.last_run = run;
  group.log_size = 0;
  return ErrorCode::kSuccess;
}

// About how many keys there are, when `merges` of random ones met `keys`.
double expected_keys(double keys, double merges) {
  if (keys >= merges) return 1e18;
  double low = keys;
  double high = 1e18;
  for (int step = 0; step < 64; ++step) {
    const double middle = std::sqrt(low * high);
    (middle * -std::expm1(-merges / middle) < keys ? low : high) = middle;
  }
  return low;
}

// How a loop groups its rows.
struct Plan {
  std::int64_t rounds = 0;  // 0: in tables
  std::int64_t keys = 0;    // expected
};

class RowGroups {
 public:
  RowGroups(Worker* worker, GroupBuilder& group, const GroupLoop& loop, void* captures,
            std::int64_t num_iterations)
      : worker_(worker), group_(group), loop_(loop), captures_(captures), num_iterations_(num_iterations) {}

  // By what the first iterations merge, where the program does not say it.
  ErrorCode plan(Plan& plan) noexcept {
    const std::int64_t most = loop_.most_merges;
    if (loop_.impl == GroupImpl::kGlobal || num_iterations_ > UINT32_MAX / std::max<std::int64_t>(most, 1))
      return ErrorCode::kSuccess;
    const std::int64_t block = loop_.loop->block_iterations;
    const std::int64_t probed = std::max<std::int64_t>(kProbedIterations / block, 1) * block;
    const bool is_told = loop_.impl == GroupImpl::kPartitioned;
    if (num_iterations_ / kLeastProbes < probed) {
      plan.rounds = is_told ? 1 : 0;
      return ErrorCode::kSuccess;
    }
    double keys = 0;
    double merges = 0;
    if (const ErrorCode code = probe(probed, keys, merges); code != ErrorCode::kSuccess) return code;
    const double rows = merges * static_cast<double>(num_iterations_) / static_cast<double>(probed);
    keys = std::min(expected_keys(keys, merges), rows);
    plan.keys = static_cast<std::int64_t>(keys);
    const double key_bytes = static_cast<double>(group_.keys.entry_bytes) + 24;
    if (!is_told && keys * key_bytes < kLargeTableBytes) return ErrorCode::kSuccess;
    const double result_bytes = rows * static_cast<double>(group_.value_bytes) + keys * key_bytes;
    const double row_bytes = rows * static_cast<double>(loop_.row_bytes + (loop_.is_ordered ? 4 : 0));
    while (plan.rounds == 0 ||
           (plan.rounds < kMaxRounds && row_bytes / static_cast<double>(plan.rounds) > result_bytes / 2))
      plan.rounds = std::max<std::int64_t>(plan.rounds * 2, 1);
    return ErrorCode::kSuccess;
  }

  ErrorCode run(const Plan& plan, Dict** result) noexcept {
    TablePartitions tables(*worker_);
    if (!tables) return ErrorCode::kOutOfMemory;
    tables_ = &tables;
    table_capacity_ = std::clamp<std::int64_t>(plan.keys / kPartitions, 8, 4 * 1024);
    group_.rows_of = &loop_;
    const std::int64_t partitions = kPartitions / plan.rounds;
    group_.last_hash = static_cast<std::uint64_t>(partitions << (32 - kPartitionBits)) - 1;
    ErrorCode code = ErrorCode::kSuccess;
    for (first_ = 0; first_ < kPartitions && code == ErrorCode::kSuccess; first_ += partitions)
      code = run_round(partitions);
    group_.rows_of = nullptr;
    if (code == ErrorCode::kSuccess) code = assemble(num_numbers_);
    *result = &group_.keys;
    return code;
  }

 private:
  ErrorCode probe(std::int64_t iterations, double& keys, double& merges) noexcept {
    const Scratch partial(*worker_, loop_.loop->partial_bytes);
    if (!partial) return ErrorCode::kOutOfMemory;
    std::memset(partial.as<std::byte>(), 0, static_cast<std::size_t>(loop_.loop->partial_bytes));
    Scope scope;
    weld_rt_scope_begin(worker_, &scope);
    ErrorCode code = loop_.loop->init(worker_, captures_, 0, iterations, partial.as<std::byte>());
    if (code == ErrorCode::kSuccess)
      code = loop_.loop->body(worker_, captures_, 0, iterations, partial.as<std::byte>());
    if (code == ErrorCode::kSuccess) {
      const GroupBuilder& group = **partial.as<GroupBuilder*>();
      keys = static_cast<double>(group.keys.num_entries);
      for_each_chunk(group, [&](GroupChunk&, std::int64_t num_values, const GroupSegment&) {
        merges += static_cast<double>(num_values);
      });
    }
    weld_rt_scope_end(worker_, &scope);
    return code;
  }

  ErrorCode run_round(std::int64_t num_partitions) noexcept {
    group_.first_hash = static_cast<std::uint64_t>(first_ << (32 - kPartitionBits));
    group_.next_number = 0;
    group_.num_merges = 0;
    ErrorCode code = run_loop(*worker_, *loop_.loop, captures_, num_iterations_, loop_.loop->max_ranges);
    if (code != ErrorCode::kSuccess) return code;
    num_numbers_ = std::max<std::uint64_t>(num_numbers_, group_.next_number);
    if (!values_) {
      Block* block = state_of(worker_).heap.allocate(group_.num_merges * group_.value_bytes);
      if (!block) return ErrorCode::kOutOfMemory;
      link_beside(Block::of(reinterpret_cast<std::byte*>(&group_)), block);
      values_ = next_values_ = block->payload();
      values_end_ = values_ + group_.num_merges * group_.value_bytes;
    }
    for (std::int64_t p = first_; p < first_ + num_partitions; ++p) {
      values_of_[p] = next_values_;
      for (const GroupRun* run = group_.first_run; run; run = run->next)
        next_values_ += (run->begin[p + 1] - run->begin[p]) * group_.value_bytes;
    }
    // What the loop merges must not have changed meanwhile.
    if (next_values_ > values_end_) return ErrorCode::kUnknown;
    code = for_each_morsel(*worker_, num_partitions, 1, group_partitions, this);
    free_runs();
    return code;
  }

  static ErrorCode group_partitions(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*) {
    auto& all = *static_cast<RowGroups*>(self);
    for (std::int64_t p = all.first_ + begin; p < all.first_ + end; ++p) {
      // About as many keys as the one before had.
      const ErrorCode code =
          all.tables_->make(worker, p, all.group_.keys.entry_bytes,
                            all.table_capacity_.load(std::memory_order_relaxed), [&](Dict& table) {
                              const ErrorCode made = all.group_partition(worker, p, table);
                              all.table_capacity_.store(table.num_entries + table.num_entries / 8 + 8,
                                                        std::memory_order_relaxed);
                              return made;
                            });
      if (code != ErrorCode::kSuccess) return code;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode group_partition(Worker* worker, std::int64_t p, Dict& table) const noexcept {
    std::int64_t num_rows = 0;
    for (const GroupRun* run = group_.first_run; run; run = run->next)
      num_rows += run->begin[p + 1] - run->begin[p];
    const Scratch ids(*worker, num_rows * 4);
    if (!ids) return ErrorCode::kOutOfMemory;
    GroupRows rows{&table, nullptr, nullptr, 0, ids.as<std::uint32_t>()};
    for (GroupRun* run = group_.first_run; run; run = run->next) {
      if (must_poll(*worker)) {
        if (const ErrorCode code = weld_rt_poll(worker); code != ErrorCode::kSuccess) return code;
      }
      const std::int64_t count = run->begin[p + 1] - run->begin[p];
      rows.rows = run->rows() + run->begin[p] * loop_.row_bytes;
      rows.numbers = run->numbers ? run->numbers + run->begin[p] : nullptr;
      rows.first_number = run->first_number;
      const ErrorCode code = loop_.index(worker, &rows, 0, count, nullptr);
      if (code != ErrorCode::kSuccess) return code;
      rows.ids += count;
    }
    begin_vectors(table, values_of_[p]);
    const std::uint32_t* next_ids = ids.as<std::uint32_t>();
    for (GroupRun* run = group_.first_run; run; run = run->next) {
      const std::int64_t count = run->begin[p + 1] - run->begin[p];
      const std::byte* values = run->rows() + run->begin[p] * loop_.row_bytes + loop_.value_offset;
      scatter(table, values, next_ids, count);
      next_ids += count;
    }
    for (std::int64_t entry = 0; entry < table.num_entries; ++entry) {
      VecView& vector = vector_of(table, entry);
      vector.data -= vector.length * group_.value_bytes;
    }
    return ErrorCode::kSuccess;
  }

  VecView& vector_of(const Dict& table, std::int64_t entry) const {
    return *reinterpret_cast<VecView*>(table.entries + entry * table.entry_bytes + group_.vector_offset);
  }

  // One after the other; `data` is where the next value goes.
  void begin_vectors(const Dict& table, std::byte* next) const {
    for (std::int64_t entry = 0; entry < table.num_entries; ++entry) {
      VecView& vector = vector_of(table, entry);
      vector.data = next;
      next += vector.length * group_.value_bytes;
    }
  }

  void scatter(const Dict& table, const std::byte* values, const std::uint32_t* ids,
               std::int64_t count) const {
    switch (group_.value_bytes) {
      case 4:
        return scatter_values<4>(table, values, ids, count);
      case 8:
        return scatter_values<8>(table, values, ids, count);
      default:
        return scatter_values<0>(table, values, ids, count);
    }
  }

  template <std::int64_t kBytes>
  void scatter_values(const Dict& table, const std::byte* values, const std::uint32_t* ids,
                      std::int64_t count) const {
    const std::int64_t bytes = kBytes ? kBytes : group_.value_bytes;
    for (std::int64_t i = 0; i < count; ++i) {
      std::byte*& next = vector_of(table, ids[i]).data;
      std::memcpy(next, values + i * loop_.row_bytes, static_cast<std::size_t>(bytes));
      next += bytes;
    }
  }

  void free_runs() noexcept {
    for (GroupRun* run = group_.first_run; run;) {
      GroupRun* const next = run->next;
      weld_rt_free(worker_, reinterpret_cast<std::byte*>(run));
      run = next;
    }
    group_.first_run = group_.last_run = nullptr;
  }

  ErrorCode assemble(std::uint64_t num_numbers) noexcept {
    Dict total{};
    const ErrorCode code = tables_->assemble(total, group_.keys.entry_bytes,
                                             loop_.is_ordered ? std::max<std::uint64_t>(num_numbers, 1) : 0,
                                             loop_.has_slots != 0);
    if (code != ErrorCode::kSuccess) return code;
    take_dict(worker_, Block::of(reinterpret_cast<std::byte*>(&group_)), group_.keys, total);
    return ErrorCode::kSuccess;
  }

  Worker* worker_;
  GroupBuilder& group_;
  const GroupLoop& loop_;
  void* captures_;
  std::int64_t num_iterations_;
  TablePartitions* tables_ = nullptr;
  std::atomic<std::int64_t> table_capacity_{0};
  std::int64_t first_ = 0;  // partition of the round
  std::uint64_t num_numbers_ = 0;
  std::byte* values_ = nullptr;
  std::byte* next_values_ = nullptr;
  std::byte* values_end_ = nullptr;
  std::byte* values_of_[kPartitions];
};

}  // namespace

ErrorCode combine_rows(Worker* worker, GroupBuilder& into, GroupBuilder* const* partials,
                       std::int64_t stride_bytes, std::int64_t num_partials) noexcept {
  for (std::int64_t i = 0; i < num_partials; ++i) {
    GroupBuilder& from = **reinterpret_cast<GroupBuilder* const*>(
        reinterpret_cast<const std::byte*>(partials) + i * stride_bytes);
    if (const ErrorCode code = spill(worker, from); code != ErrorCode::kSuccess) return code;
    for (GroupRun* run = from.first_run; run;) {
      GroupRun* const next = run->next;
      Block* block = Block::of(reinterpret_cast<std::byte*>(run));
      unlink(block);
      link_beside(Block::of(reinterpret_cast<std::byte*>(&into)), block);
      run->first_number = into.next_number;
      run->next = nullptr;
      (into.last_run ? into.last_run->next : into.first_run) = run;
      into.last_run = run;
      run = next;
    }
    from.first_run = from.last_run = nullptr;
    into.next_number += from.next_number;
    into.num_merges += from.num_merges;
  }
  return ErrorCode::kSuccess;
}

extern "C" {

ErrorCode weld_rt_group_begin_part(Worker* worker, GroupBuilder* part, const GroupBuilder* group) noexcept {
  part->logged_bytes = group->logged_bytes;
  part->rows_of = group->rows_of;
  if (!group->rows_of) return ErrorCode::kSuccess;
  part->first_hash = group->first_hash;
  part->last_hash = group->last_hash;
  const std::int64_t row_bytes = group->rows_of->row_bytes;
  const std::int64_t rows_bytes = (kLogRows * row_bytes + 7) / 8 * 8;
  std::byte* log = allocate_beside(worker, *part, rows_bytes + kLogRows * 8);
  if (!log) return ErrorCode::kOutOfMemory;
  part->log_rows = log;
  part->log_hashes = reinterpret_cast<std::uint32_t*>(log + rows_bytes);
  part->log_capacity = kLogRows;
  if (group->rows_of->is_ordered) part->log_numbers = part->log_hashes + kLogRows;
  return ErrorCode::kSuccess;
}

ErrorCode weld_rt_group_spill(Worker* worker, GroupBuilder* group) noexcept {
  return spill(worker, *group);
}

ErrorCode weld_rt_group_loop(Worker* worker, GroupBuilder* group, const GroupLoop* loop, void* captures,
                             std::int64_t num_iterations, Dict** result) noexcept {
  RowGroups groups(worker, *group, *loop, captures, num_iterations);
  Plan plan;
  ErrorCode code = groups.plan(plan);
  if (code != ErrorCode::kSuccess) return code;
  if (plan.rounds > 0) {
    note_strategy(*worker, StrategyOf::kGroupMerger, "rows partitioned");
    return groups.run(plan, result);
  }
  code = run_loop(*worker, *loop->loop, captures, num_iterations, loop->loop->max_ranges);
  return code == ErrorCode::kSuccess ? weld_rt_group_place(worker, group, loop->place, captures, result)
                                     : code;
}

}  // extern "C"
}  // namespace weld::runtime
