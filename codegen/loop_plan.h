#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/fields.h"

namespace weld::codegen {

/// How many elements one iteration adds to a builder.
struct MergeCounts {
  std::int64_t least = 0;
  std::optional<std::int64_t> most;  ///< nothing: no bound is known

  bool exact() const { return most == least; }
};

/// How threads fill a dictmerger together: its annotation `impl`.
enum class DictImpl : std::uint8_t {
  kChosen,
  kLocal,        ///< a table for each part, with all of its keys
  kGlobal,       ///< one table, filled by one thread
  kPartitioned,  ///< merges are written down by their hash
};

/// One builder of a loop; a loop has several when its builder is a struct.
struct LoopBuilder {
  ir::Type type;
  std::uint32_t first_leaf = 0;  ///< among the leaves of the loop's builder
  std::uint32_t num_leaves = 0;
  std::int64_t offset_bytes = 0;  ///< in the C layout of the loop's builder
  MergeCounts merges;
  bool by_blocks =
      false;  ///< a merger whose sum depends on order: totals of blocks, in lanes (ir/reduction_order.h)
  bool keyed_order = false;  ///< a dictmerger or vecmerger whose sums depend on order: ranges
  DictImpl impl = DictImpl::kChosen;
  bool keeps_order = true;  ///< of a dictmerger: not annotated with `order:any`

  /// A vecmerger whose iterations each merge at the place of their own number: they need no copies.
  bool places_apart = false;

  bool is_exact_appender() const { return type.as<ir::AppenderType>() && merges.exact(); }
  bool is_bounded_appender() const { return type.as<ir::AppenderType>() && !merges.exact() && merges.most; }
};

/// Facts about a `for`, found before code is written.
struct LoopPlan {
  std::vector<LoopBuilder> builders;
  std::int64_t block_iterations = 0;
  bool keeps_memory = false;  ///< merged values hold pointers: what an iteration allocates must live on
  bool allocates = false;     ///< an iteration makes vectors, dictionaries or such, besides its merges
  bool may_fork = true;       ///< false: foreign calls, or `parallel:false`
  bool keyed = false;         ///< has a dictmerger, groupmerger or vecmerger
  bool keyed_order = false;   ///< one of them depends on order
  bool any_order = true;      ///< partial states may take any iterations in any order
};

/// `derived`: the builder comes from an enclosing loop, which then rules the order of keyed builders.
LoopPlan plan_loop(ir::Expr loop, bool derived, bool deterministic);

}  // namespace weld::codegen
