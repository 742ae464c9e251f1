#pragma once

#include <cmath>
#include <functional>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/arena.h"
#include "passes/lane_count.h"
#include "passes/paths.h"

namespace weld::passes {

/// What a value of the scalar function is in the lanes function. One of: `uniform`, the same for all lanes;
/// `lanes`, a scalar that differs; `members`, a struct; `recipe`, without lanes.
struct LaneValue {
  ir::Type type;  // in the scalar function
  ir::Expr uniform;
  ir::Expr lanes;
  ir::Expr stand_in;  // in islands: a symbol for one lane of `lanes`
  std::vector<LaneValue> members;
  ir::Expr recipe;  // over stand-ins: how an island computes it
};

inline constexpr double kCaptureCost = 1;  ///< taking one lane out of a vector

/// A scalar, or a struct of one or more such: what has lanes.
bool has_lanes(ir::Type type);

/// The values of a loop's lanes function, made of those of its scalar function: the part of
/// make_lanes_function (lanes_function.h) that knows no builders.
///
/// Masks are simd[bool,n], null for all lanes; where a mask is false the lanes of a value are anything. Costs
/// are added up on the way: cycles of an iteration, and of its share of a group.
class LaneValues {
 protected:
  LaneValues(const ir::For& loop, ir::Span span, ir::Arena& arena, int vector_bytes, int least_vectors);
  virtual ~LaneValues() = default;

  /// What islands know a symbol of the loop's builders by; null for other symbols.
  virtual ir::Expr builder_in_island(ir::Symbol symbol) = 0;

  bool varies(ir::Expr expr) { return variation_.varies(expr); }

  // ---- Scopes: values that are named go into the innermost one.

  ir::Expr bind(ir::Expr value, std::string_view name);
  /// Ends the innermost scope: its value, with the names that it uses around it.
  ir::Expr in_scope(ir::Expr value);
  void add_cost(double scalar, double lanes);
  /// Names for what iterators walk over, should islands have to look at it.
  void name_iterators();
  /// The part at `path` of an iterator's element.
  LaneValue element_of(ir::Type type, ir::Expr lanes, const ir::Iterator& it,
                       const std::vector<std::uint32_t>& path);

  // ---- Values.

  LaneValue uniform(ir::Expr expr) const { return {.type = expr.type(), .uniform = expr}; }
  LaneValue in_lanes(ir::Type type, ir::Expr lanes) const { return {.type = type, .lanes = lanes}; }
  /// The same with names for what is not trivial, so that it can be used any number of times.
  LaneValue named(LaneValue value, std::string_view name);
  ir::Expr broadcast(ir::Expr scalar);
  /// Of lanes_type.
  ir::Expr lanes_of_value(const LaneValue& value);
  ir::Expr mask_or_all(ir::Expr mask) { return mask ? mask : all_lanes(); }
  ir::Expr negated(ir::Expr mask) { return arena_.make<ir::Unary>(mask.span(), ir::UnaryOp::kNot, mask); }
  /// Both masks; `mask` may be null.
  ir::Expr both(ir::Expr mask, ir::Expr condition);

  // ---- Skipping what no lane needs.

  double share_of_groups(double share) const { return 1 - std::pow(1 - share, num_lanes_); }
  /// Whether it pays to look first whether any lane needs what a share of the lanes needs.
  bool is_skipped(ir::Expr expr, double share) const;
  /// Evaluates `body` with the chances of a branch that a share of the lanes takes.
  template <class Body>
  auto with_share(double share, bool skipped, Body&& body) {
    const double outer_share = share_;
    const double outer_weight = weight_;
    share_ *= share;
    if (skipped) weight_ *= share_of_groups(share);
    auto result = body();
    share_ = outer_share;
    weight_ = outer_weight;
    return result;
  }
  /// One side of a branch whose condition is lanes: under its mask where that matters.
  LaneValue side(ir::Expr expr, ir::Expr mask, const std::function<ir::Expr()>& condition, double share);
  LaneValue chosen(ir::Span span, const LaneValue& condition, const LaneValue& on_true,
                   const LaneValue& on_false);

  // ---- Expressions whose type has lanes. Where the mask is false the lanes are anything.

  LaneValue lanes_of(ir::Expr expr, ir::Expr mask);

  // ---- Names of the scalar function.

  /// False where the value has no lanes and cannot be computed again by islands that need it.
  bool bind_let(const ir::Let& let, ir::Expr mask);

  // ---- Islands.

  /// The expression with names replaced by what they stand for in islands and outside. Builders become what
  /// `builder_in_island` says.
  ir::Expr scalar_rewrite(ir::Expr root);
  /// The same after its operands that are worth it have been computed in lanes.
  ir::Expr with_operands_in_lanes(ir::Expr expr, ir::Expr mask);
  struct Island {
    ir::Expr values;
    ir::Parameter parameter;
    ir::Expr body;  // over the parameter
  };
  /// Closes a body over stand-ins: what they stand for becomes the values, one lane of them the parameter.
  Island close_island(ir::Expr body);
  /// Islands run for the lanes that get there.
  void add_island_cost(ir::Expr expr, double cost);
  LaneValue island(ir::Expr expr, ir::Expr mask);

  const ir::For& loop_;
  ir::Span span_;
  ir::Arena& arena_;
  Variation variation_;
  int vector_bytes_;
  std::uint32_t num_lanes_;
  ir::Expr active_;                                   // the mask of lanes that have an iteration; null: all
  std::unordered_map<std::uint64_t, LaneValue> env_;  // values of the scalar function's symbols
  std::vector<std::vector<std::pair<ir::Symbol, ir::Expr>>> scopes_;
  ir::PointerMap<ir::ExprRecord, char> made_structs_;  // whose fields are read directly
  LaneValue index_;
  std::vector<ir::Iterator> iterators_;
  std::vector<std::pair<ir::Symbol, ir::Expr>> names_;
  bool looks_elements_up_ = false;
  double share_ = 1;   // of iterations that get here
  double weight_ = 1;  // of groups that get here
  double scalar_cost_ = 0;
  double lanes_cost_ = 0;
  ir::Span dearest_without_lanes_;

 private:
  // ---- Scopes: values that are named go into the innermost one.

  void add_operation_cost(double cost, ir::ScalarKind kind);

  // ---- Values.

  bool is_available(const LaneValue& value) const;
  LaneValue member_of(const LaneValue& value, std::uint32_t k, ir::Span span);
  // Of a scalar, by islands.
  ir::Expr scalar_form(const LaneValue& value);
  ir::Expr all_lanes() { return broadcast(arena_.literal(true, span_)); }
  // Whether no lane may be active.
  bool is_mask_of_some(ir::Expr mask) const { return mask && !(active_ && mask == active_); }
  // `value` where any lane of the mask is true, else zeros.
  LaneValue where_any(ir::Expr mask, const std::function<LaneValue()>& value);
  LaneValue parts_of_lanes(ir::Type type, ir::Expr lanes);

  // ---- Skipping what no lane needs.

  // How many of the columns that the loop walks over the expression reads: groups that skip it need not read
  // them, if nothing else does.
  int num_columns(ir::Expr expr) const;
  // Whether what inactive lanes do matters.
  static bool needs_mask(ir::Expr expr);

  // ---- Expressions whose type has lanes. Where the mask is false the lanes are anything.

  LaneValue uniform_value(ir::Expr expr, ir::Expr mask);
  // What does not vary, as the lanes function writes it.
  ir::Expr outside_of_islands(ir::Expr expr);
  LaneValue at_path(ir::Expr expr);
  static bool is_division(ir::BinaryOp op) { return op == ir::BinaryOp::kDiv || op == ir::BinaryOp::kRem; }
  LaneValue binary_in_lanes(const ir::Binary& binary, ir::Expr expr, ir::Expr mask);
  LaneValue short_circuit(const ir::Binary& binary, ir::Expr expr, ir::Expr mask);
  LaneValue joined(bool is_and, ir::Expr expr, ir::Expr left, ir::Expr right);
  // Structs of scalars for equality; strings and orders of structs lane by lane.
  LaneValue compared(const ir::Binary& binary, ir::Expr expr, ir::Expr mask);
  ir::Expr compared_parts(ir::BinaryOp op, const LaneValue& left, const LaneValue& right, ir::Span span);
  LaneValue branch_in_lanes(ir::Expr condition, ir::Expr on_true, ir::Expr on_false, ir::Expr expr,
                            ir::Expr mask);
  static bool fits_gather(ir::Type element);
  LaneValue gathered(const ir::Lookup& lookup, ir::Expr expr, ir::Expr mask);
  // Keys of a dictionary, all at once.
  template <class Form>
  LaneValue looked_up(ir::Expr dict, ir::Expr key, ir::Expr expr, ir::Expr mask);
  // As i32 where the index was no wider.
  ir::Expr index_in_lanes(ir::Expr key, ir::Expr mask);
  // min(i64(x), bound) as i32: a bound that no i32 reaches does nothing, and below 0 any will do, which is
  // outside of all vectors.
  std::optional<ir::Expr> bounded_index(ir::Expr key, ir::Expr mask);
  // True for every active lane, or the error.
  LaneValue asserted(const ir::Assert& assertion, ir::Expr expr, ir::Expr mask);

  // ---- Islands.

  void note_cost_without_lanes(ir::Expr expr, double cost);
  // The scalars of a struct side by side: what map_lanes gives.
  ir::Expr flattened(ir::Expr value);
  void add_scalars(ir::Expr value, std::vector<ir::Expr>& scalars);
  LaneValue unflattened(ir::Type type, ir::Expr lanes, std::uint32_t& next);

  std::unordered_map<std::uint64_t, ir::Expr> stand_ins_;  // the lanes that a symbol of islands is one of
  ir::PointerMap<ir::ExprRecord, char> elements_;          // recipes that look elements up
  double island_overhead_ = 0;
  double dearest_cost_ = 0;
};

}  // namespace weld::passes
