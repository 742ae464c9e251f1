#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "passes/loop_shapes.h"

namespace weld::passes {

/// What a builder of a loop is to the loops that use its result.
enum class LoopRole : std::uint8_t {
  kMap,    ///< the vector has one element an iteration
  kSites,  ///< the vector has the elements that the function merges in one or more places: filter, flatten
  kSink,   ///< anything else: reductions, dictionaries, builders of others
};

/// A value that a node gives to later ones: that of a let, or a field of the result of a struct of builders
/// that is used by its fields only.
struct BlockValue {
  ir::Symbol symbol;
  LoopRole role = LoopRole::kSink;
};

/// A vector as the data of an iterator: the value of a node.
struct Producer {
  int node = -1;  ///< -1 where it comes from outside of the block, or is only a part of the data
  int value = 0;
};

struct BlockUse {
  int user;      ///< node
  int value;     ///< of the used node
  int iterator;  ///< of the user's loop, if that walks over the whole vector; -1 for any other use
  bool is_part;  ///< the user's loop walks over a part of the vector, or in another order
  bool is_of_builder =
      false;  ///< of the builder that the user's loop starts from, which fusion may leave out
};

/// A binding of a block, in terms of the values of nodes before it.
struct BlockNode {
  Binding binding;  ///< the value of the block, which is the last node, has no symbol
  ir::Expr alone;   ///< what the value is if the loop fuses with nothing; null: the same
  bool is_hoisted;  ///< taken out of the value of a later node, which is its only user
  std::vector<BlockValue> values;
  std::vector<BlockUse> uses;
  int region = 0;  ///< nothing moves from one region into another

  std::optional<Loop> loop;         ///< nothing for other nodes, and for loops that stay as they are
  int space = -1;                   ///< loops of one space have equally many iterations, or the program fails
  std::vector<int> iterators;       ///< ids: equal for equal iterators
  std::vector<Producer> producers;  ///< for each iterator
  bool has_joint_fields = false;    ///< the function handles the struct of builders as a whole
  bool uses_index = false;
  int num_sites = 0;      ///< for kSites
  int guard = -1;         ///< for `if(c, merge(b, v), b)`: a number, equal for equal conditions
  std::int64_t cost = 0;  ///< cycles an iteration, roughly
  int num_operations = 0;

  LoopRole role() const { return values.front().role; }
  bool has_fields() const { return values.size() > 1; }
};

/// A chain of lets, with the loops inside of its values as nodes of their own, so far as they are always
/// evaluated, and once.
struct Block {
  std::vector<BlockNode> nodes;  ///< in the order of evaluation
  bool is_simplified = false;    ///< nodes compute less than the block did, if they are fused or not
};

enum class BlockReading : std::uint8_t {
  kAsWritten,
  kSimplified,  ///< with narrow_producers and count_lengths
};
Block read_block(ir::Expr body, BlockReading reading, ir::Arena& arena);

/// Replaces the program as a whole, and the bodies of functions and branches, by `f(body)`, outer ones first:
/// inner ones as the replaced outer ones have them. `f` is called for what has loops only.
ir::Expr rewrite_blocks(ir::Expr root, ir::Arena& arena, const std::function<ir::Expr(ir::Expr)>& f);

}  // namespace weld::passes
