#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "ir/error.h"
#include "ir/reduction_order.h"
#include "ir/value.h"

namespace weld::ir {

/// How far a loop has come, as far as the order of sums needs it.
struct LoopPosition {
  std::int64_t num_iterations = 0;
  std::int64_t block_iterations = 1;

  std::int64_t iterations_of_block(std::int64_t iteration) const {
    const std::int64_t first = iteration - iteration % block_iterations;
    return std::min(block_iterations, num_iterations - first);
  }
};

/// The state of a builder in the interpreter. Used linearly, so merging changes it in place.
class Builder {
 public:
  virtual ~Builder() = default;

  /// kArrayOutOfBounds from a vecmerger, else kSuccess.
  virtual ErrorCode merge(const Value& value) = 0;
  /// Merges the lanes whose mask is true; appender and merger only.
  virtual void merge_simd(const std::vector<ScalarValue>& lanes, const std::vector<bool>& mask);
  /// The value; ends the use of the builder.
  virtual Value result() = 0;

  // Called by LoopOrder; builders that do not depend on order ignore it.
  virtual void begin_loop(const LoopPosition& position) {}
  virtual void begin_iteration(std::int64_t iteration) {}
  virtual void seek(std::int64_t iteration) {}
  virtual void end_loop() {}

  // Of dictmerger and vecmerger that depend on order, in their outermost loop.
  virtual bool is_ranged() const { return false; }
  virtual std::optional<std::int64_t> vector_length() const { return std::nullopt; }  ///< of vecmergers
  virtual bool exceeds_distinct_keys() const { return false; }  ///< kMaxDistinctKeysForRanges, so far
  virtual void begin_range() {}
  virtual void choose_ranges(bool one) {}
};

/// A new builder; `argument` is null or what NewBuilder says.
Value make_builder(Type type, const Value* argument, const std::shared_ptr<ByteAccount>& account);

/// Tells the builders of a loop where blocks and ranges begin (reduction_order.h).
class LoopOrder {
 public:
  /// `builder` is a builder or a struct of builders.
  LoopOrder(Expr loop, std::int64_t num_iterations, const Value& builder);
  void begin_iteration(std::int64_t iteration);
  /// What is merged next belongs to that iteration of the same block.
  void seek(std::int64_t iteration);
  /// How many iterations from that one on are a group of `size` lanes (nodes.h: For): `size` of them, or what
  /// is left of the block if that goes through lanes too; 0: none. Those where the ranges are chosen are
  /// none.
  enum class Rest : std::uint8_t { kScalar, kInLanes };
  std::int64_t group_from(std::int64_t iteration, std::int64_t size, Rest rest) const;
  /// After the last iteration.
  void end();

 private:
  void choose_ranges();

  LoopPosition position_;
  Ranges ranges_{1, 1};
  bool undecided_ = false;  // the data decide between one range and many
  std::vector<std::shared_ptr<Builder>> builders_;
};

}  // namespace weld::ir
