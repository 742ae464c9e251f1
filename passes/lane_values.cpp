#include "passes/lane_values.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/typing.h"
#include "passes/expression_cost.h"

namespace weld::passes {
namespace {

constexpr double kIslandCost = 2;   // a turn of a loop over the lanes of a mask
constexpr double kSkippedCost = 3;  // what skipping must save to pay for looking whether any lane is left
constexpr double kAlwaysSkippedCost = 30;  // what is worth looking in any case
constexpr double kHoistedCost = 3;         // operands of islands that are worth computing in lanes
constexpr double kProbeCost = 25;          // a lookup in a dictionary
constexpr double kProbeCostInLanes = 17;   // while those of other lanes wait for memory as well
constexpr double kRepeatedCost = 8;        // values without lanes that islands may compute again

bool is_trivial(ir::Expr expr) {
  return expr.is<ir::Literal>() || is_path(expr);
}

bool binds_symbols(ir::Expr root) {
  bool binds = false;
  ir::walk(
      root,
      [&](ir::Expr expr) {
        binds = binds || expr.is<ir::Let>() || expr.is<ir::Lambda>();
        return !binds;
      },
      [](ir::Expr) {});
  return binds;
}

ir::Expr zero_of(ir::Type type, ir::Arena& arena) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return arena.literal(ir::ScalarValue{scalar->kind, 0});
  std::vector<ir::Expr> members;
  for (ir::Type member : type.as<ir::StructType>()->members) members.push_back(zero_of(member, arena));
  return arena.make<ir::MakeStruct>(ir::Span(), members);
}

}  // namespace

bool has_lanes(ir::Type type) {
  if (type.as<ir::ScalarType>()) return true;
  const auto* structure = type.as<ir::StructType>();
  return structure && !structure->members.empty() && std::ranges::all_of(structure->members, has_lanes);
}

LaneValues::LaneValues(const ir::For& loop, ir::Span span, ir::Arena& arena, int vector_bytes,
                       int least_vectors)
    : loop_(loop),
      span_(span),
      arena_(arena),
      variation_(*loop.function.as<ir::Lambda>()),
      vector_bytes_(vector_bytes),
      num_lanes_(choose_lanes(loop, variation_, vector_bytes, least_vectors)) {}

// ---- Scopes: values that are named go into the innermost one.

ir::Expr LaneValues::bind(ir::Expr value, std::string_view name) {
  const ir::Symbol symbol = arena_.fresh_symbol(name);
  scopes_.back().emplace_back(symbol, value);
  return arena_.ident(symbol, value.type(), value.span());
}

ir::Expr LaneValues::in_scope(ir::Expr value) {
  auto bindings = std::move(scopes_.back());
  scopes_.pop_back();
  for (auto binding = bindings.rbegin(); binding != bindings.rend(); ++binding)
    value = arena_.make<ir::Let>(value.span(), binding->first, binding->second, value);
  return value;
}

void LaneValues::add_cost(double scalar, double lanes) {
  scalar_cost_ += scalar * share_;
  lanes_cost_ += lanes * weight_;
}

void LaneValues::add_operation_cost(double cost, ir::ScalarKind kind) {
  add_cost(cost, cost * ir::size_bytes(kind) / vector_bytes_);
}

void LaneValues::name_iterators() {
  iterators_.assign(loop_.iterators.begin(), loop_.iterators.end());
  for (ir::Iterator& it : iterators_) {
    for (ir::Expr* part : {&it.data, &it.start, &it.end, &it.stride, &it.shape, &it.strides}) {
      if (!*part || is_trivial(*part)) continue;
      names_.emplace_back(arena_.fresh_symbol(part == &it.data ? "data" : "bound"), *part);
      *part = arena_.ident(names_.back().first, part->type(), part->span());
    }
  }
}

LaneValue LaneValues::element_of(ir::Type type, ir::Expr lanes, const ir::Iterator& it,
                                 const std::vector<std::uint32_t>& path) {
  LaneValue value{.type = type};
  if (type.as<ir::ScalarType>()) {
    value.lanes = lanes;
    return named(std::move(value), "e");
  }
  if (const auto* structure = type.as<ir::StructType>()) {
    for (std::uint32_t k = 0; k < structure->members.size(); ++k) {
      std::vector<std::uint32_t> inner = path;
      inner.push_back(k);
      value.members.push_back(
          element_of(structure->members[k], arena_.make<ir::GetField>(span_, lanes, k), it, inner));
    }
    return value;
  }
  ir::Expr place = index_.stand_in;
  if (it.start) {
    const ir::Expr distance = arena_.make<ir::Binary>(span_, ir::BinaryOp::kMul, place, it.stride);
    place = arena_.make<ir::Binary>(span_, ir::BinaryOp::kAdd, it.start, distance);
  }
  value.recipe = arena_.make<ir::Lookup>(span_, it.data, place);
  for (std::uint32_t k : path) value.recipe = arena_.make<ir::GetField>(span_, value.recipe, k);
  elements_.emplace(value.recipe.get(), 1);
  return value;
}

// ---- Values.

bool LaneValues::is_available(const LaneValue& value) const {
  return !value.recipe &&
         std::ranges::all_of(value.members, [&](const LaneValue& member) { return is_available(member); });
}

LaneValue LaneValues::member_of(const LaneValue& value, std::uint32_t k, ir::Span span) {
  if (value.uniform) return uniform(arena_.make<ir::GetField>(span, value.uniform, k));
  if (!value.recipe) return value.members[k];
  LaneValue member{.type = value.type.as<ir::StructType>()->members[k]};
  member.recipe = arena_.make<ir::GetField>(span, value.recipe, k);
  return member;
}

LaneValue LaneValues::named(LaneValue value, std::string_view name) {
  for (LaneValue& member : value.members) member = named(std::move(member), name);
  if (value.uniform && !is_trivial(value.uniform)) value.uniform = bind(value.uniform, name);
  if (value.lanes && !value.stand_in) {
    if (!is_path(value.lanes)) value.lanes = bind(value.lanes, name);
    const ir::Symbol symbol = arena_.fresh_symbol(name);
    stand_ins_.emplace(symbol.id(), value.lanes);
    value.stand_in = arena_.ident(symbol, value.type, value.lanes.span());
  }
  return value;
}

ir::Expr LaneValues::broadcast(ir::Expr scalar) {
  return arena_.make<ir::Broadcast>(scalar.span(), scalar, num_lanes_);
}

ir::Expr LaneValues::lanes_of_value(const LaneValue& value) {
  if (value.lanes) return value.lanes;
  if (value.uniform && value.type.as<ir::ScalarType>()) return broadcast(value.uniform);
  std::vector<ir::Expr> members;
  const auto types = value.type.as<ir::StructType>()->members;
  const LaneValue source = value.uniform ? named(value, "u") : value;
  for (std::uint32_t k = 0; k < types.size(); ++k)
    members.push_back(lanes_of_value(member_of(source, k, span_)));
  return arena_.make<ir::MakeStruct>(span_, members);
}

ir::Expr LaneValues::scalar_form(const LaneValue& value) {
  if (value.uniform) return value.uniform;
  if (value.lanes) return value.stand_in;
  if (value.recipe) {
    looks_elements_up_ |= elements_.contains(value.recipe.get());
    return value.recipe;
  }
  std::vector<ir::Expr> members;
  for (const LaneValue& member : value.members) members.push_back(scalar_form(member));
  const ir::Expr made = arena_.make<ir::MakeStruct>(span_, members);
  made_structs_.emplace(made.get(), 1);
  return made;
}

ir::Expr LaneValues::both(ir::Expr mask, ir::Expr condition) {
  if (!mask) return is_path(condition) ? condition : bind(condition, "mask");
  return bind(arena_.make<ir::Binary>(condition.span(), ir::BinaryOp::kBitAnd, mask, condition), "mask");
}

LaneValue LaneValues::where_any(ir::Expr mask, const std::function<LaneValue()>& value) {
  scopes_.emplace_back();
  const LaneValue made = value();
  const ir::Expr lanes = lanes_of_value(made);
  const ir::Expr on_true = in_scope(lanes);
  const ir::Expr any = arena_.make<ir::AnyLane>(mask.span(), mask);
  const ir::Expr zeros = lanes_of_value(uniform(zero_of(made.type, arena_)));
  const ir::Expr chosen = bind(arena_.make<ir::If>(mask.span(), any, on_true, zeros), "x");
  return parts_of_lanes(made.type, chosen);
}

LaneValue LaneValues::parts_of_lanes(ir::Type type, ir::Expr lanes) {
  if (type.as<ir::ScalarType>()) return in_lanes(type, lanes);
  LaneValue value{.type = type};
  const auto types = type.as<ir::StructType>()->members;
  for (std::uint32_t k = 0; k < types.size(); ++k)
    value.members.push_back(parts_of_lanes(types[k], arena_.make<ir::GetField>(span_, lanes, k)));
  return value;
}

// ---- Skipping what no lane needs.

int LaneValues::num_columns(ir::Expr expr) const {
  const ir::Symbol element = loop_.function.as<ir::Lambda>()->parameters[2].symbol;
  std::unordered_set<std::uint32_t> columns;
  ir::for_each_node(expr, [&](ir::Expr part) {
    const auto* field = part.as<ir::GetField>();
    const auto* whole = (field ? field->value : part).as<ir::Ident>();
    if (whole && whole->symbol == element) columns.insert(field ? field->index : 0);
  });
  return static_cast<int>(columns.size());
}

bool LaneValues::is_skipped(ir::Expr expr, double share) const {
  const double cost = expression_cost(expr);
  const double saved = (cost + kLateColumnCost * num_columns(expr)) * (1 - share_of_groups(share));
  return cost >= kAlwaysSkippedCost || saved >= kSkippedCost;
}

bool LaneValues::needs_mask(ir::Expr expr) {
  return ir::may_fail_or_diverge(expr) || expression_cost(expr) >= kRepeatedCost;
}

LaneValue LaneValues::side(ir::Expr expr, ir::Expr mask, const std::function<ir::Expr()>& condition,
                           double share) {
  if (!varies(expr) && !ir::may_fail_or_diverge(expr)) return lanes_of(expr, mask);
  const bool skipped = is_skipped(expr, share);
  if (!skipped && !needs_mask(expr)) return with_share(share, false, [&] { return lanes_of(expr, mask); });
  const ir::Expr inner = both(mask, condition());
  return with_share(share, skipped, [&] {
    return skipped ? where_any(inner, [&] { return lanes_of(expr, inner); }) : lanes_of(expr, inner);
  });
}

LaneValue LaneValues::chosen(ir::Span span, const LaneValue& condition, const LaneValue& on_true,
                             const LaneValue& on_false) {
  const ir::Type type = on_true.type;
  if (const auto* scalar = type.as<ir::ScalarType>()) {
    add_operation_cost(1, scalar->kind);
    return in_lanes(type, arena_.make<ir::Select>(span, lanes_of_value(condition), lanes_of_value(on_true),
                                                  lanes_of_value(on_false)));
  }
  const LaneValue left = named(on_true, "x");
  const LaneValue right = named(on_false, "x");
  LaneValue value{.type = type};
  const auto types = type.as<ir::StructType>()->members;
  for (std::uint32_t k = 0; k < types.size(); ++k)
    value.members.push_back(chosen(span, condition, member_of(left, k, span), member_of(right, k, span)));
  return value;
}

// ---- Expressions whose type has lanes. Where the mask is false the lanes are anything.

LaneValue LaneValues::lanes_of(ir::Expr expr, ir::Expr mask) {
  if (!varies(expr) && !expr.is<ir::MakeStruct>()) return uniform_value(expr, mask);
  for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
    if (!bind_let(*let, mask)) return island(expr, mask);
  }
  if (const auto* structure = expr.as<ir::MakeStruct>()) {
    LaneValue value{.type = expr.type()};
    for (ir::Expr member : structure->members) value.members.push_back(lanes_of(member, mask));
    return value;
  }
  if (!varies(expr)) return uniform_value(expr, mask);
  if (is_path(expr)) {
    const LaneValue value = at_path(expr);
    return is_available(value) ? value : island(expr, mask);
  }
  const ir::Span span = expr.span();
  const ir::Type type = expr.type();
  if (const auto* cast = expr.as<ir::Cast>()) {
    if (!cast->value.type().as<ir::ScalarType>()) return island(expr, mask);
    const LaneValue value = lanes_of(cast->value, mask);
    add_operation_cost(1, cast->kind);
    return in_lanes(type, arena_.make<ir::Cast>(span, cast->kind, lanes_of_value(value)));
  }
  if (const auto* unary = expr.as<ir::Unary>()) {
    if (!type.as<ir::ScalarType>()) return island(expr, mask);
    const LaneValue value = lanes_of(unary->value, mask);
    add_operation_cost(unary_cost(unary->op), ir::element_kind(unary->value.type()));
    return in_lanes(type, arena_.make<ir::Unary>(span, unary->op, lanes_of_value(value)));
  }
  if (const auto* binary = expr.as<ir::Binary>()) return binary_in_lanes(*binary, expr, mask);
  if (const auto* branch = expr.as<ir::If>()) {
    add_cost(branch_cost(branch_selectivity(expr)), 0);
    return branch_in_lanes(branch->condition, branch->on_true, branch->on_false, expr, mask);
  }
  if (const auto* select = expr.as<ir::Select>()) {
    if (!select->condition.type().as<ir::ScalarType>()) return island(expr, mask);
    const LaneValue condition = named(lanes_of(select->condition, mask), "c");
    const LaneValue on_true = lanes_of(select->on_true, mask);
    const LaneValue on_false = lanes_of(select->on_false, mask);
    return chosen(span, condition, on_true, on_false);
  }
  if (const auto* field = expr.as<ir::GetField>()) {
    if (!has_lanes(field->value.type())) return island(expr, mask);
    return member_of(named(lanes_of(field->value, mask), "s"), field->index, span);
  }
  if (const auto* lookup = expr.as<ir::Lookup>()) {
    if (!lookup->container.type().as<ir::DictType>()) return gathered(*lookup, expr, mask);
    return looked_up<ir::LookupLanes>(lookup->container, lookup->key, expr, mask);
  }
  if (const auto* lookup = expr.as<ir::OptLookup>())
    return looked_up<ir::OptLookupLanes>(lookup->dict, lookup->key, expr, mask);
  if (const auto* exists = expr.as<ir::KeyExists>())
    return looked_up<ir::OptLookupLanes>(exists->dict, exists->key, expr, mask);
  if (const auto* assertion = expr.as<ir::Assert>()) return asserted(*assertion, expr, mask);
  return island(expr, mask);
}

LaneValue LaneValues::uniform_value(ir::Expr expr, ir::Expr mask) {
  const ir::Expr scalar = outside_of_islands(expr);
  if (!is_mask_of_some(mask) || !ir::may_fail_or_diverge(expr)) return uniform(scalar);
  const ir::Expr any = arena_.make<ir::AnyLane>(mask.span(), mask);
  return uniform(bind(arena_.make<ir::If>(expr.span(), any, scalar, zero_of(expr.type(), arena_)), "u"));
}

ir::Expr LaneValues::outside_of_islands(ir::Expr expr) {
  if (expr.is<ir::Literal>()) return expr;
  const ir::Expr scalar = scalar_rewrite(expr);
  return binds_symbols(scalar) ? ir::clone_fresh(scalar, arena_) : scalar;
}

LaneValue LaneValues::at_path(ir::Expr expr) {
  if (const auto* field = expr.as<ir::GetField>())
    return member_of(at_path(field->value), field->index, expr.span());
  const auto found = env_.find(expr.as<ir::Ident>()->symbol.id());
  return found != env_.end() ? found->second : uniform(expr);
}

LaneValue LaneValues::binary_in_lanes(const ir::Binary& binary, ir::Expr expr, ir::Expr mask) {
  const ir::Span span = expr.span();
  if (!binary.left.type().as<ir::ScalarType>()) return compared(binary, expr, mask);
  if (binary.op == ir::BinaryOp::kLogicalAnd || binary.op == ir::BinaryOp::kLogicalOr)
    return short_circuit(binary, expr, mask);
  const ir::ScalarKind kind = ir::element_kind(binary.left.type());
  const LaneValue left = lanes_of(binary.left, mask);
  const LaneValue right = lanes_of(binary.right, mask);
  ir::Expr divisor = lanes_of_value(right);
  const double cost = binary_cost(binary.op, kind);
  if (is_division(binary.op) && ir::is_integer(kind)) {
    add_cost(cost, cost + 2);  // machines divide integers one at a time
    const auto* literal = binary.right.as<ir::Literal>();
    if (mask && !(literal && literal->value.bits != 0)) {
      const ir::Expr one = broadcast(arena_.literal(ir::ScalarValue{kind, 1}, span));
      divisor = arena_.make<ir::Select>(span, mask, divisor, one);
    }
  } else {
    add_operation_cost(cost, kind);
  }
  return in_lanes(expr.type(), arena_.make<ir::Binary>(span, binary.op, lanes_of_value(left), divisor));
}

LaneValue LaneValues::short_circuit(const ir::Binary& binary, ir::Expr expr, ir::Expr mask) {
  const bool is_and = binary.op == ir::BinaryOp::kLogicalAnd;
  const LaneValue left = named(lanes_of(binary.left, mask), "c");
  if (left.uniform) {
    // Evaluated by the scalar: the right side only where it decides.
    const ir::Expr condition = broadcast(left.uniform);
    const LaneValue right =
        side(binary.right, mask, [&] { return is_and ? condition : negated(condition); }, 0.5);
    return joined(is_and, expr, condition, lanes_of_value(right));
  }
  const double share = is_and ? selectivity(binary.left) : 1 - selectivity(binary.left);
  add_cost(branch_cost(share), 0);
  const LaneValue right =
      side(binary.right, mask, [&] { return is_and ? left.lanes : negated(left.lanes); }, share);
  return joined(is_and, expr, left.lanes, lanes_of_value(right));
}

LaneValue LaneValues::joined(bool is_and, ir::Expr expr, ir::Expr left, ir::Expr right) {
  const ir::BinaryOp op = is_and ? ir::BinaryOp::kBitAnd : ir::BinaryOp::kBitOr;
  return in_lanes(expr.type(), arena_.make<ir::Binary>(expr.span(), op, left, right));
}

LaneValue LaneValues::compared(const ir::Binary& binary, ir::Expr expr, ir::Expr mask) {
  const bool equal = binary.op == ir::BinaryOp::kEq;
  if (!has_lanes(binary.left.type()) || (!equal && binary.op != ir::BinaryOp::kNe)) return island(expr, mask);
  const LaneValue left = named(lanes_of(binary.left, mask), "x");
  const LaneValue right = named(lanes_of(binary.right, mask), "x");
  return in_lanes(expr.type(), compared_parts(binary.op, left, right, expr.span()));
}

ir::Expr LaneValues::compared_parts(ir::BinaryOp op, const LaneValue& left, const LaneValue& right,
                                    ir::Span span) {
  const auto* structure = left.type.as<ir::StructType>();
  if (!structure) {
    add_operation_cost(1, ir::element_kind(left.type));
    return arena_.make<ir::Binary>(span, op, lanes_of_value(left), lanes_of_value(right));
  }
  const ir::BinaryOp join = op == ir::BinaryOp::kEq ? ir::BinaryOp::kBitAnd : ir::BinaryOp::kBitOr;
  ir::Expr all;
  for (std::uint32_t k = 0; k < structure->members.size(); ++k) {
    const ir::Expr part = compared_parts(op, member_of(left, k, span), member_of(right, k, span), span);
    all = all ? arena_.make<ir::Binary>(span, join, all, part) : part;
  }
  return all;
}

LaneValue LaneValues::branch_in_lanes(ir::Expr condition, ir::Expr on_true, ir::Expr on_false, ir::Expr expr,
                                      ir::Expr mask) {
  const LaneValue tested = named(lanes_of(condition, mask), "c");
  const double share = branch_selectivity(expr);
  if (tested.uniform) {
    const auto branch_of = [&](ir::Expr branch) {
      scopes_.emplace_back();
      const ir::Expr lanes = lanes_of_value(lanes_of(branch, mask));
      return in_scope(lanes);
    };
    const ir::Expr left = branch_of(on_true);
    const ir::Expr right = branch_of(on_false);
    const ir::Expr value = arena_.make<ir::If>(expr.span(), tested.uniform, left, right);
    return parts_of_lanes(expr.type(), is_scalar(expr.type()) ? value : bind(value, "x"));
  }
  const LaneValue left = side(on_true, mask, [&] { return tested.lanes; }, share);
  const LaneValue right = side(on_false, mask, [&] { return negated(tested.lanes); }, 1 - share);
  return chosen(expr.span(), tested, left, right);
}

bool LaneValues::fits_gather(ir::Type element) {
  const auto* structure = element.as<ir::StructType>();
  if (!structure) return ir::is_scalar(element);
  return has_lanes(element) &&
         std::ranges::all_of(structure->members, [](ir::Type member) { return ir::is_scalar(member); });
}

LaneValue LaneValues::gathered(const ir::Lookup& lookup, ir::Expr expr, ir::Expr mask) {
  if (!lookup.container.type().as<ir::VecType>() || varies(lookup.container) || !fits_gather(expr.type()))
    return island(expr, mask);
  if (mask && ir::may_fail_or_diverge(lookup.container)) return island(expr, mask);
  add_cost(3, 2);
  const ir::Expr index = index_in_lanes(lookup.key, mask);
  const ir::Expr vector = outside_of_islands(lookup.container);
  const ir::Expr lanes = arena_.make<ir::Gather>(expr.span(), vector, index, mask_or_all(mask));
  return parts_of_lanes(expr.type(), ir::is_scalar(expr.type()) ? lanes : bind(lanes, "x"));
}

template <class Form>
LaneValue LaneValues::looked_up(ir::Expr dict, ir::Expr key, ir::Expr expr, ir::Expr mask) {
  if (varies(dict) || !has_lanes(key.type()) || (is_mask_of_some(mask) && ir::may_fail_or_diverge(dict)))
    return island(expr, mask);
  add_cost(kProbeCost, kProbeCostInLanes);
  const ir::Expr keys = lanes_of_value(lanes_of(key, mask));
  const Form form{outside_of_islands(dict), keys, mask_or_all(mask)};
  const ir::Expr name = bind(arena_.add(form, expr.span(), expr.annotations()), "x");
  if (expr.is<ir::KeyExists>()) return in_lanes(expr.type(), arena_.make<ir::GetField>(span_, name, 0u));
  return parts_of_lanes(expr.type(), name);
}

ir::Expr LaneValues::index_in_lanes(ir::Expr key, ir::Expr mask) {
  if (const auto bounded = bounded_index(key, mask)) return *bounded;
  const auto* cast = key.as<ir::Cast>();
  const auto* narrow = cast ? cast->value.type().as<ir::ScalarType>() : nullptr;
  if (!narrow || !varies(key) || !ir::is_integer(narrow->kind)) return lanes_of_value(lanes_of(key, mask));
  const int bits = ir::bit_width(narrow->kind);
  const ir::Expr lanes = lanes_of_value(lanes_of(cast->value, mask));
  if (bits == 32 && ir::is_signed(narrow->kind)) return lanes;
  const ir::ScalarKind kind = bits < 32 ? ir::ScalarKind::kI32 : ir::ScalarKind::kI64;
  return bits == 64 && ir::is_signed(narrow->kind) ? lanes : arena_.make<ir::Cast>(key.span(), kind, lanes);
}

std::optional<ir::Expr> LaneValues::bounded_index(ir::Expr key, ir::Expr mask) {
  const auto* least = key.as<ir::Binary>();
  if (!least || least->op != ir::BinaryOp::kMin) return std::nullopt;
  const bool is_left = least->left.is<ir::Cast>();
  const auto* cast = (is_left ? least->left : least->right).as<ir::Cast>();
  const ir::Expr bound = is_left ? least->right : least->left;
  if (!cast || !varies(cast->value) || varies(bound) || ir::may_fail_or_diverge(bound) ||
      !ir::is_scalar(cast->value.type(), ir::ScalarKind::kI32))
    return std::nullopt;
  const auto literal = [&](std::int64_t value) {
    return arena_.literal(ir::ScalarValue::of(value), key.span());
  };
  const auto binary = [&](ir::BinaryOp op, ir::Expr left, ir::Expr right) {
    return arena_.make<ir::Binary>(key.span(), op, left, right);
  };
  ir::Expr limit = binary(ir::BinaryOp::kMin, outside_of_islands(bound),
                          literal(std::numeric_limits<std::int32_t>::max()));
  limit =
      arena_.make<ir::Cast>(key.span(), ir::ScalarKind::kI32, binary(ir::BinaryOp::kMax, limit, literal(-1)));
  add_operation_cost(1, ir::ScalarKind::kI32);
  return binary(ir::BinaryOp::kMin, lanes_of_value(lanes_of(cast->value, mask)),
                broadcast(bind(limit, "bound")));
}

LaneValue LaneValues::asserted(const ir::Assert& assertion, ir::Expr expr, ir::Expr mask) {
  ir::Expr broken = negated(lanes_of_value(lanes_of(assertion.condition, mask)));
  if (mask) broken = arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kBitAnd, mask, broken);
  add_cost(2, 0.5);
  const ir::Expr any = arena_.make<ir::AnyLane>(expr.span(), broken);
  const ir::Expr none = arena_.make<ir::Unary>(expr.span(), ir::UnaryOp::kNot, any);
  return uniform(bind(arena_.make<ir::Assert>(expr.span(), none), "held"));
}

// ---- Names of the scalar function.

bool LaneValues::bind_let(const ir::Let& let, ir::Expr mask) {
  const ir::Type type = let.value.type();
  const std::string_view name = let.symbol.name();
  if (ir::contains_builder(type) || type.as<ir::FunctionType>()) return false;
  if (!varies(let.value)) {
    const bool guarded = is_mask_of_some(mask) && ir::may_fail_or_diverge(let.value);
    if (guarded && !has_lanes(type)) return false;
    env_[let.symbol.id()] =
        named(guarded ? uniform_value(let.value, mask) : uniform(outside_of_islands(let.value)), name);
    return true;
  }
  if (has_lanes(type)) {
    env_[let.symbol.id()] = named(lanes_of(let.value, mask), name);
    return true;
  }
  if (is_path(let.value)) {
    env_[let.symbol.id()] = at_path(let.value);
    return true;
  }
  if (ir::may_fail_or_diverge(let.value) || expression_cost(let.value) >= kRepeatedCost) return false;
  LaneValue value{.type = type};
  value.recipe = scalar_rewrite(let.value);
  env_[let.symbol.id()] = std::move(value);
  return true;
}

// ---- Islands.

ir::Expr LaneValues::scalar_rewrite(ir::Expr root) {
  std::unordered_set<std::uint64_t> bound;
  ir::for_each_node(root, [&](ir::Expr expr) {
    if (const auto* let = expr.as<ir::Let>()) bound.insert(let->symbol.id());
    if (const auto* lambda = expr.as<ir::Lambda>()) {
      for (const ir::Parameter& parameter : lambda->parameters) bound.insert(parameter.symbol.id());
    }
  });
  return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) {
    if (const auto* field = expr.as<ir::GetField>()) {
      const auto* structure = field->value.as<ir::MakeStruct>();
      return structure && made_structs_.contains(field->value.get()) ? structure->members[field->index]
                                                                     : expr;
    }
    const auto* ident = expr.as<ir::Ident>();
    if (!ident || bound.contains(ident->symbol.id())) return expr;
    if (const auto found = env_.find(ident->symbol.id()); found != env_.end())
      return scalar_form(found->second);
    const ir::Expr builder = builder_in_island(ident->symbol);
    return builder ? builder : expr;
  });
}

ir::Expr LaneValues::with_operands_in_lanes(ir::Expr expr, ir::Expr mask) {
  const auto* binary = expr.as<ir::Binary>();
  const bool is_lazy =
      expr.is<ir::If>() || expr.is<ir::Let>() ||
      (binary && (binary->op == ir::BinaryOp::kLogicalAnd || binary->op == ir::BinaryOp::kLogicalOr));
  if (is_lazy) return expr;
  return ir::map_children(expr, arena_, [&](ir::Expr child) {
    if (child.is<ir::Merge>()) return with_operands_in_lanes(child, mask);
    if (child.is<ir::Lambda>() || ir::contains_builder(child.type()) || !varies(child) || is_path(child))
      return child;
    if (!has_lanes(child.type())) return with_operands_in_lanes(child, mask);
    if (expression_cost(child) < kHoistedCost) return child;
    return scalar_form(named(lanes_of(child, mask), "k"));
  });
}

LaneValues::Island LaneValues::close_island(ir::Expr body) {
  std::vector<ir::Parameter> used;
  for (const ir::Parameter& free : ir::free_symbols(body)) {
    if (stand_ins_.contains(free.symbol.id())) used.push_back(free);
  }
  std::vector<ir::Expr> lanes;
  for (const ir::Parameter& capture : used) lanes.push_back(stand_ins_.at(capture.symbol.id()));
  Island island;
  island.values = lanes.size() == 1 ? lanes.front() : arena_.make<ir::MakeStruct>(span_, lanes);
  island.parameter = {arena_.fresh_symbol("v"), ir::lane_type(island.values.type(), arena_)};
  const ir::Expr lane = arena_.ident(island.parameter.symbol, island.parameter.type, span_);
  ir::Substitution substitution;
  for (std::uint32_t k = 0; k < used.size(); ++k) {
    substitution.emplace(used[k].symbol.id(),
                         used.size() == 1 ? lane : arena_.make<ir::GetField>(span_, lane, k));
  }
  island.body = ir::substitute(body, substitution, arena_);
  island_overhead_ = kIslandCost + kCaptureCost * static_cast<double>(used.size());
  return island;
}

void LaneValues::add_island_cost(ir::Expr expr, double cost) {
  note_cost_without_lanes(expr, cost * share_);
  scalar_cost_ += cost * share_;
  lanes_cost_ += (cost + island_overhead_) * share_ + 0.5 * weight_;
}

void LaneValues::note_cost_without_lanes(ir::Expr expr, double cost) {
  if (cost <= dearest_cost_) return;
  dearest_cost_ = cost;
  dearest_without_lanes_ = expr.span();
}

LaneValue LaneValues::island(ir::Expr expr, ir::Expr mask) {
  const double cost = expression_cost(expr);
  const ir::Expr body = scalar_rewrite(with_operands_in_lanes(expr, mask));
  const ir::Type type = expr.type();
  Island closed = close_island(flattened(body));
  add_island_cost(expr, cost);
  const ir::Expr function = ir::clone_fresh(
      arena_.make<ir::Lambda>(expr.span(), std::vector{closed.parameter}, closed.body), arena_);
  const ir::Expr lanes =
      bind(arena_.make<ir::MapLanes>(expr.span(), closed.values, mask_or_all(mask), function), "x");
  if (ir::is_scalar(type)) return in_lanes(type, lanes);
  std::uint32_t next = 0;
  return unflattened(type, lanes, next);
}

ir::Expr LaneValues::flattened(ir::Expr value) {
  if (ir::is_scalar(value.type()) || fits_gather(value.type())) return value;
  const ir::Symbol symbol = arena_.fresh_symbol("x");
  std::vector<ir::Expr> scalars;
  add_scalars(arena_.ident(symbol, value.type(), value.span()), scalars);
  const ir::Expr flat = arena_.make<ir::MakeStruct>(value.span(), scalars);
  return arena_.make<ir::Let>(value.span(), symbol, value, flat);
}

void LaneValues::add_scalars(ir::Expr value, std::vector<ir::Expr>& scalars) {
  const auto* structure = value.type().as<ir::StructType>();
  if (!structure) {
    scalars.push_back(value);
    return;
  }
  for (std::uint32_t k = 0; k < structure->members.size(); ++k)
    add_scalars(arena_.make<ir::GetField>(value.span(), value, k), scalars);
}

LaneValue LaneValues::unflattened(ir::Type type, ir::Expr lanes, std::uint32_t& next) {
  if (ir::is_scalar(type)) return in_lanes(type, arena_.make<ir::GetField>(span_, lanes, next++));
  LaneValue value{.type = type};
  for (ir::Type member : type.as<ir::StructType>()->members)
    value.members.push_back(unflattened(member, lanes, next));
  return value;
}

}  // namespace weld::passes
