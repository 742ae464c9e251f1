#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "passes/loop_shapes.h"

namespace weld::passes {

/// What a loop of a block is to the loops that use its value.
enum class LoopRole : std::uint8_t {
  kNone,   ///< no loop, or one that has to stay as it is
  kMap,    ///< its vector has one element an iteration
  kSites,  ///< its vector has the elements that its function merges in one or more places: filter, flatten
  kSink,   ///< any other loop: reductions, dictionaries, loops that fill a builder of others
};

struct BlockUse {
  int user;      ///< node
  int iterator;  ///< of the user's loop, if that walks over the whole vector and does nothing else with it
                 ///< there; -1 for any other use
};

/// A binding of a block, in terms of the nodes before it.
struct BlockNode {
  Binding binding;  ///< the value of the block, which is the last node, has no symbol
  bool is_hoisted;  ///< taken out of the value of a later node, which is its only user
  std::vector<BlockUse> uses;

  std::optional<Loop> loop;  ///< only where the role is not kNone
  LoopRole role = LoopRole::kNone;
  int region = 0;              ///< nothing moves from one region into another
  int space = -1;              ///< loops of one space have equally many iterations, or the program fails
  std::vector<int> iterators;  ///< ids: equal for equal iterators
  std::vector<int> producers;  ///< for each iterator: the node whose vector it walks over, or -1
  bool uses_index = false;
  int num_sites = 0;      ///< for kSites
  std::int64_t cost = 0;  ///< cycles an iteration, roughly
};

/// A chain of lets, with the loops inside of its values as nodes of their own, so far as they are always
/// evaluated, and once.
struct Block {
  std::vector<BlockNode> nodes;  ///< in the order of evaluation
};

Block read_block(ir::Expr body, ir::Arena& arena);

/// Replaces the bodies of functions and branches, and the program as a whole, by `f(body)`, inner ones first.
ir::Expr rewrite_blocks(ir::Expr root, ir::Arena& arena, const std::function<ir::Expr(ir::Expr)>& f);

}  // namespace weld::passes
