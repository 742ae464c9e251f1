#pragma once

#include "runtime/dict.h"
#include "runtime/dict_parts.h"
#include "runtime/scratch.h"

namespace weld::runtime {

/// A table for each partition of the hashes, with the number of each entry's first merge beside it, and the
/// way from them to one dictionary. Tables are filled by any threads, one thread a partition at a time.
class TablePartitions {
 public:
  explicit TablePartitions(Worker& worker);
  ~TablePartitions();
  TablePartitions(const TablePartitions&) = delete;
  TablePartitions& operator=(const TablePartitions&) = delete;

  /// False when out of memory.
  explicit operator bool() const { return partitions_ != nullptr; }

  /// Makes a partition's table, has `fill(table)` put its entries there, in the order of their numbers
  /// (Dict::sequence), and makes room for what comes next. The worker's scope is the partition's meanwhile.
  template <class Fill>
  ErrorCode make(Worker* worker, std::int64_t partition, std::int64_t entry_bytes, std::int64_t capacity,
                 Fill&& fill) noexcept {
    Partition& made = partitions_[partition];
    Scope* const outside = worker->scope;
    made.scope.parent = outside;
    worker->scope = &made.scope;
    ErrorCode code = begin_table(worker, made.table, entry_bytes, capacity);
    if (code == ErrorCode::kSuccess) code = fill(made.table);
    if (code == ErrorCode::kSuccess) code = end_table(worker, made);
    worker->scope = outside;
    return code;
  }

  /// Makes one dictionary of all tables, in `result`, which is clear; its blocks are in the worker's scope.
  /// The tables are not to be used any more. \param num_numbers  one more than the largest; 0: the entries
  /// are put in any order  \param has_slots  false: nobody is going to look for keys
  ErrorCode assemble(Dict& result, std::int64_t entry_bytes, std::uint64_t num_numbers,
                     bool has_slots = true) noexcept;

 private:
  struct Partition {
    Scope scope;
    Dict table;
    std::uint32_t* places;    // of the entries, in the result
    std::uint64_t* overflow;  // slots that found no room in their part of the result's
    std::int64_t num_overflow;
  };
  struct Range {
    std::int64_t begin;
    std::int64_t end;
  };

  static ErrorCode begin_table(Worker* worker, Dict& table, std::int64_t entry_bytes,
                               std::int64_t capacity) noexcept;
  static ErrorCode end_table(Worker* worker, Partition& made) noexcept;
  ErrorCode allocate_result(std::int64_t entry_bytes, bool has_slots) noexcept;
  ErrorCode place_in_order() noexcept;
  std::int64_t first_in(const Dict& table, std::uint64_t number) const;
  static ErrorCode count_chunk(Worker*, void* self, std::int64_t begin, std::int64_t end, void*);
  static ErrorCode place_chunk(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*);
  ErrorCode place_entries_of(Worker& worker, std::int64_t chunk) const;
  ErrorCode place_in_any_order() noexcept;
  static ErrorCode place_partition(Worker*, void* self, std::int64_t begin, std::int64_t end, void*);
  static ErrorCode place_slots(Worker* worker, void* self, std::int64_t begin, std::int64_t end, void*);
  void place_overflow();

  Worker& worker_;
  Scratch memory_;
  Partition* partitions_ = nullptr;
  Dict* result_ = nullptr;
  std::uint64_t num_numbers_ = 0;
  std::int64_t num_entries_ = 0;
  std::uint64_t chunk_ = 0;              // numbers of merges; a power of two, at least 64
  std::int64_t* first_entry_ = nullptr;  // of each chunk, or each partition
};

}  // namespace weld::runtime
