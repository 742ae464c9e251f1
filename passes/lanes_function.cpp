#include "passes/lanes_function.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "ir/typing.h"
#include "passes/expression_cost.h"

namespace weld::passes {
namespace {

constexpr std::uint32_t kMinLanes = 16;
constexpr std::uint32_t kMaxLanes = 64;
constexpr double kIslandCost = 2;   // a turn of a loop over the lanes of a mask
constexpr double kCaptureCost = 1;  // taking one lane out of a vector
constexpr double kSkippedCost = 3;  // what skipping must save to pay for looking whether any lane is left
constexpr double kAlwaysSkippedCost = 30;  // what is worth looking in any case
constexpr double kHoistedCost = 3;         // operands of islands that are worth computing in lanes
constexpr double kProbeCost = 25;          // a lookup in a dictionary
constexpr double kProbeCostInLanes = 17;   // while those of other lanes wait for memory as well
constexpr double kRepeatedCost = 8;        // values without lanes that islands may compute again

constexpr int kLatencyChain = 64;  // operations, each waiting for the last, that leave a processor idle

// What a value of the scalar function is in the lanes function. One of: `uniform`, the same for all lanes;
// `lanes`, a scalar that differs; `members`, a struct; `recipe`, without lanes.
struct LaneValue {
  ir::Type type;  // in the scalar function
  ir::Expr uniform;
  ir::Expr lanes;
  ir::Expr stand_in;  // in islands: a symbol for one lane of `lanes`
  std::vector<LaneValue> members;
  ir::Expr recipe;  // over stand-ins: how an island computes it
};

// Where the builders of a builder-typed value are: leaf k is the k-th builder of the loop.
struct BuilderTree {
  int leaf = -1;
  std::vector<BuilderTree> members;
};

// How often a builder is merged into.
struct Merges {
  int total = 0;      // on all paths together
  int on_a_path = 0;  // at most
};

// A merge that is put off until other paths are known.
struct PendingMerge {
  LaneValue value;
  ir::Expr mask;  // null: all lanes
  ir::Span span;
};
using PendingMerges = std::vector<std::vector<PendingMerge>>;  // by leaf

// A scalar, or a struct of one or more such: what has lanes.
bool has_lanes(ir::Type type) {
  if (type.as<ir::ScalarType>()) return true;
  const auto* structure = type.as<ir::StructType>();
  return structure && !structure->members.empty() && std::ranges::all_of(structure->members, has_lanes);
}

bool has_mergers_only(ir::Type builder) {
  if (builder.as<ir::MergerType>()) return true;
  const auto* structure = builder.as<ir::StructType>();
  return structure && std::ranges::all_of(structure->members, has_mergers_only);
}

bool is_path(ir::Expr expr) {
  while (const auto* field = expr.as<ir::GetField>()) expr = field->value;
  return expr.is<ir::Ident>();
}

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

class LanesBuilder {
 public:
  LanesBuilder(ir::Expr loop, LoopPlace place, PassContext& context)
      : loop_(*loop.as<ir::For>()),
        scalar_(*loop_.function.as<ir::Lambda>()),
        span_(loop.span()),
        arena_(context.arena),
        vector_bytes_(std::clamp(context.target.vector_bytes, 16, 64)),
        least_vectors_(place == LoopPlace::kNested ? 1 : 4),
        takes_active_(place == LoopPlace::kNested && has_mergers_only(loop_.builder.type())) {}

  std::optional<LanesFunction> build() {
    for (const ir::Parameter& parameter : scalar_.parameters) varying_.insert(parameter.symbol.id());
    varies(scalar_.body);
    num_lanes_ = choose_lanes();

    const std::vector<ir::Parameter> parameters = bind_parameters();
    note_builders(scalar_.body);
    scopes_.emplace_back();
    add_cost(kIterationCost, kIterationCost / num_lanes_);
    const BuilderTree value = build_builder(scalar_.body, active_);
    if (failed_) return std::nullopt;
    const bool merges = std::ranges::any_of(merges_in(scalar_.body), [](Merges m) { return m.total > 0; });
    const ir::Expr body = in_scope(merges ? tree_value(value) : body_parameter_);

    LanesFunction made;
    made.function = arena_.make<ir::Lambda>(loop_.function.span(), parameters, body);
    made.iterators =
        looks_elements_up_ ? iterators_ : std::vector(loop_.iterators.begin(), loop_.iterators.end());
    if (looks_elements_up_) made.names = names_;
    made.scalar_cost = scalar_cost_;
    made.lanes_cost = lanes_cost_;
    made.without_lanes = dearest_without_lanes_;
    return made;
  }

 private:
  // ---- What differs between iterations.

  bool varies(ir::Expr expr) {
    if (const char* known = varies_.find(expr.get())) return *known != 0;
    const ir::Expr chain = expr;
    bool varying = false;
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (!varies(let->value)) continue;
      varying_.insert(let->symbol.id());
      varying = true;
    }
    if (const auto* ident = expr.as<ir::Ident>()) {
      varying |= varying_.contains(ident->symbol.id());
    } else {
      ir::for_each_child(expr, [&](ir::Expr child) { varying |= varies(child); });
    }
    varies_.emplace(chain.get(), varying ? 1 : 0);
    return varying;
  }

  // The widest scalar that differs decides.
  std::uint32_t choose_lanes() {
    // Sums of floats have a lane for each of 16 iterations.
    int bytes = ir::depends_on_order(loop_.builder.type()) ? 8 : 0;
    const auto add_type = [&](ir::Type type) {
      const auto* scalar = type.as<ir::ScalarType>();
      if (scalar && scalar->kind != ir::ScalarKind::kBool)
        bytes = std::max(bytes, ir::size_bytes(scalar->kind));
    };
    ir::walk(
        scalar_.body,
        [&](ir::Expr expr) {
          if (expr.is<ir::Lambda>()) return false;
          if (varies(expr)) add_type(expr.type());
          return true;
        },
        [](ir::Expr) {});
    if (bytes == 0) return kMinLanes;
    const int vectors = hides_latency(bytes) ? 8 : least_vectors_;
    return std::clamp(static_cast<std::uint32_t>(vectors * vector_bytes_ / bytes), kMinLanes, kMaxLanes);
  }

  // Whether operations wait for each other so long that a processor, which looks about 500 instructions
  // ahead, finds too few that do not, and few enough values are alive for eight vectors of each.
  bool hides_latency(int bytes) {
    if (bytes < 4 || ir::depends_on_order(loop_.builder.type())) return false;
    std::unordered_map<std::uint64_t, int> path_of;  // operations up to a name
    ir::PointerMap<ir::ExprRecord, int> path_to;
    ir::PointerMap<ir::ExprRecord, std::uint64_t> name_of;
    ir::for_each_node(scalar_.body, [&](ir::Expr expr) {
      if (const auto* let = expr.as<ir::Let>()) name_of.emplace(let->value.get(), let->symbol.id());
    });
    int longest = 0;
    int num_operations = 0;
    bool is_arithmetic = true;
    ir::walk(
        scalar_.body, [&](ir::Expr expr) { return !path_to.contains(expr.get()); },
        [&](ir::Expr expr) {
          if (path_to.contains(expr.get())) return;
          int path = 0;
          ir::for_each_child(expr,
                             [&](ir::Expr child) { path = std::max(path, *path_to.find(child.get())); });
          if (const auto* ident = expr.as<ir::Ident>()) {
            const auto found = path_of.find(ident->symbol.id());
            path = found == path_of.end() ? 0 : found->second;
          }
          const auto* unary = expr.as<ir::Unary>();
          if (unary || expr.is<ir::Binary>() || expr.is<ir::Select>() || expr.is<ir::Cast>()) {
            ++path;
            ++num_operations;
          }
          is_arithmetic &= !(unary && unary_cost(unary->op) > 10) && !expr.is<ir::Lookup>() &&
                           !expr.is<ir::Lambda>() && !expr.is<ir::If>();
          path_to.emplace(expr.get(), path);
          if (const std::uint64_t* name = name_of.find(expr.get())) path_of[*name] = path;
          longest = std::max(longest, path);
        });
    return is_arithmetic && longest > kLatencyChain && num_operations <= 3 * longest;
  }

  // ---- Scopes: values that are named go into the innermost one.

  ir::Expr bind(ir::Expr value, std::string_view name) {
    const ir::Symbol symbol = arena_.fresh_symbol(name);
    scopes_.back().emplace_back(symbol, value);
    return arena_.ident(symbol, value.type(), value.span());
  }

  // Ends the innermost scope: its value, with the names that it uses around it.
  ir::Expr in_scope(ir::Expr value) {
    auto bindings = std::move(scopes_.back());
    scopes_.pop_back();
    for (auto binding = bindings.rbegin(); binding != bindings.rend(); ++binding)
      value = arena_.make<ir::Let>(value.span(), binding->first, binding->second, value);
    return value;
  }

  void add_cost(double scalar, double lanes) {
    scalar_cost_ += scalar * share_;
    lanes_cost_ += lanes * weight_;
  }
  void add_operation_cost(double cost, ir::ScalarKind kind) {
    add_cost(cost, cost * ir::size_bytes(kind) / vector_bytes_);
  }

  // ---- Parameters and elements.

  std::vector<ir::Parameter> bind_parameters() {
    const ir::Type element = scalar_.parameters[2].type;
    std::vector<ir::Parameter> parameters;
    for (const ir::Parameter& parameter : scalar_.parameters)
      parameters.push_back({arena_.fresh_symbol(parameter.symbol.name()), parameter.type});
    parameters[1].type = arena_.simd(ir::ScalarKind::kI64, num_lanes_);
    parameters[2].type = ir::lanes_type(element, num_lanes_, arena_);
    if (takes_active_) {
      parameters.push_back({arena_.fresh_symbol("active"), arena_.simd(ir::ScalarKind::kBool, num_lanes_)});
      active_ = arena_.ident(parameters[3].symbol, parameters[3].type, span_);
    }

    const ir::Parameter& builder = parameters[0];
    builders_[scalar_.parameters[0].symbol.id()] =
        leaves_of(builder.type, arena_.ident(builder.symbol, builder.type, span_));
    body_parameter_ = arena_.ident(builder.symbol, builder.type, span_);

    index_.type = scalar_.parameters[1].type;
    index_.lanes = arena_.ident(parameters[1].symbol, parameters[1].type, span_);
    index_ = named(std::move(index_), "i");
    env_[scalar_.parameters[1].symbol.id()] = index_;

    name_iterators();
    const ir::Expr lanes = arena_.ident(parameters[2].symbol, parameters[2].type, span_);
    if (loop_.iterators.size() == 1) {
      env_[scalar_.parameters[2].symbol.id()] = element_of(element, lanes, iterators_[0], {});
      return parameters;
    }
    LaneValue all{.type = element};
    const auto members = element.as<ir::StructType>()->members;
    for (std::uint32_t k = 0; k < members.size(); ++k)
      all.members.push_back(
          element_of(members[k], arena_.make<ir::GetField>(span_, lanes, k), iterators_[k], {}));
    env_[scalar_.parameters[2].symbol.id()] = std::move(all);
    return parameters;
  }

  // Names for what iterators walk over, should islands have to look at it.
  void name_iterators() {
    iterators_.assign(loop_.iterators.begin(), loop_.iterators.end());
    for (ir::Iterator& it : iterators_) {
      for (ir::Expr* part : {&it.data, &it.start, &it.end, &it.stride, &it.shape, &it.strides}) {
        if (!*part || is_trivial(*part)) continue;
        names_.emplace_back(arena_.fresh_symbol(part == &it.data ? "data" : "bound"), *part);
        *part = arena_.ident(names_.back().first, part->type(), part->span());
      }
    }
  }

  // The part at `path` of an iterator's element.
  LaneValue element_of(ir::Type type, ir::Expr lanes, const ir::Iterator& it,
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

  bool is_available(const LaneValue& value) const {
    return !value.recipe &&
           std::ranges::all_of(value.members, [&](const LaneValue& member) { return is_available(member); });
  }

  LaneValue uniform(ir::Expr expr) const { return {.type = expr.type(), .uniform = expr}; }
  LaneValue in_lanes(ir::Type type, ir::Expr lanes) const { return {.type = type, .lanes = lanes}; }

  LaneValue member_of(const LaneValue& value, std::uint32_t k, ir::Span span) {
    if (value.uniform) return uniform(arena_.make<ir::GetField>(span, value.uniform, k));
    if (!value.recipe) return value.members[k];
    LaneValue member{.type = value.type.as<ir::StructType>()->members[k]};
    member.recipe = arena_.make<ir::GetField>(span, value.recipe, k);
    return member;
  }

  // The same with names for what is not trivial, so that it can be used any number of times.
  LaneValue named(LaneValue value, std::string_view name) {
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

  ir::Expr broadcast(ir::Expr scalar) {
    return arena_.make<ir::Broadcast>(scalar.span(), scalar, num_lanes_);
  }
  // Of lanes_type.
  ir::Expr lanes_of_value(const LaneValue& value) {
    if (value.lanes) return value.lanes;
    if (value.uniform && value.type.as<ir::ScalarType>()) return broadcast(value.uniform);
    std::vector<ir::Expr> members;
    const auto types = value.type.as<ir::StructType>()->members;
    const LaneValue source = value.uniform ? named(value, "u") : value;
    for (std::uint32_t k = 0; k < types.size(); ++k)
      members.push_back(lanes_of_value(member_of(source, k, span_)));
    return arena_.make<ir::MakeStruct>(span_, members);
  }
  // Of a scalar, by islands.
  ir::Expr scalar_form(const LaneValue& value) {
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

  ir::Expr all_lanes() { return broadcast(arena_.literal(true, span_)); }
  ir::Expr mask_or_all(ir::Expr mask) { return mask ? mask : all_lanes(); }
  // Whether no lane may be active.
  bool is_mask_of_some(ir::Expr mask) const { return mask && !(active_ && mask == active_); }

  ir::Expr negated(ir::Expr mask) { return arena_.make<ir::Unary>(mask.span(), ir::UnaryOp::kNot, mask); }
  // Both masks; `mask` may be null.
  ir::Expr both(ir::Expr mask, ir::Expr condition) {
    if (!mask) return is_path(condition) ? condition : bind(condition, "mask");
    return bind(arena_.make<ir::Binary>(condition.span(), ir::BinaryOp::kBitAnd, mask, condition), "mask");
  }

  // `value` where any lane of the mask is true, else zeros.
  LaneValue where_any(ir::Expr mask, const std::function<LaneValue()>& value) {
    scopes_.emplace_back();
    const LaneValue made = value();
    const ir::Expr lanes = lanes_of_value(made);
    const ir::Expr on_true = in_scope(lanes);
    const ir::Expr any = arena_.make<ir::AnyLane>(mask.span(), mask);
    const ir::Expr zeros = lanes_of_value(uniform(zero_of(made.type, arena_)));
    const ir::Expr chosen = bind(arena_.make<ir::If>(mask.span(), any, on_true, zeros), "x");
    return parts_of_lanes(made.type, chosen);
  }
  LaneValue parts_of_lanes(ir::Type type, ir::Expr lanes) {
    if (type.as<ir::ScalarType>()) return in_lanes(type, lanes);
    LaneValue value{.type = type};
    const auto types = type.as<ir::StructType>()->members;
    for (std::uint32_t k = 0; k < types.size(); ++k)
      value.members.push_back(parts_of_lanes(types[k], arena_.make<ir::GetField>(span_, lanes, k)));
    return value;
  }

  // ---- Skipping what no lane needs.

  double share_of_groups(double share) const { return 1 - std::pow(1 - share, num_lanes_); }

  // How many of the columns that the loop walks over the expression reads: groups that skip it need not read
  // them, if nothing else does.
  int num_columns(ir::Expr expr) const {
    std::unordered_set<std::uint32_t> columns;
    ir::for_each_node(expr, [&](ir::Expr part) {
      const auto* field = part.as<ir::GetField>();
      const auto* whole = (field ? field->value : part).as<ir::Ident>();
      if (whole && whole->symbol == scalar_.parameters[2].symbol) columns.insert(field ? field->index : 0);
    });
    return static_cast<int>(columns.size());
  }

  // Whether it pays to look first whether any lane needs what a share of the lanes needs.
  bool is_skipped(ir::Expr expr, double share) const {
    const double cost = expression_cost(expr);
    const double saved = (cost + kLateColumnCost * num_columns(expr)) * (1 - share_of_groups(share));
    return cost >= kAlwaysSkippedCost || saved >= kSkippedCost;
  }
  // Whether what inactive lanes do matters.
  static bool needs_mask(ir::Expr expr) {
    return ir::may_fail_or_diverge(expr) || expression_cost(expr) >= kRepeatedCost;
  }

  // Evaluates `body` with the chances of a branch that a share of the lanes takes.
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

  // One side of a branch whose condition is lanes: under its mask where that matters.
  LaneValue side(ir::Expr expr, ir::Expr mask, const std::function<ir::Expr()>& condition, double share) {
    if (!varies(expr) && !ir::may_fail_or_diverge(expr)) return lanes_of(expr, mask);
    const bool skipped = is_skipped(expr, share);
    if (!skipped && !needs_mask(expr)) return with_share(share, false, [&] { return lanes_of(expr, mask); });
    const ir::Expr inner = both(mask, condition());
    return with_share(share, skipped, [&] {
      return skipped ? where_any(inner, [&] { return lanes_of(expr, inner); }) : lanes_of(expr, inner);
    });
  }

  LaneValue chosen(ir::Span span, const LaneValue& condition, const LaneValue& on_true,
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

  LaneValue lanes_of(ir::Expr expr, ir::Expr mask) {
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

  LaneValue uniform_value(ir::Expr expr, ir::Expr mask) {
    const ir::Expr scalar = outside_of_islands(expr);
    if (!is_mask_of_some(mask) || !ir::may_fail_or_diverge(expr)) return uniform(scalar);
    const ir::Expr any = arena_.make<ir::AnyLane>(mask.span(), mask);
    return uniform(bind(arena_.make<ir::If>(expr.span(), any, scalar, zero_of(expr.type(), arena_)), "u"));
  }
  // What does not vary, as the lanes function writes it.
  ir::Expr outside_of_islands(ir::Expr expr) {
    if (expr.is<ir::Literal>()) return expr;
    const ir::Expr scalar = scalar_rewrite(expr);
    return binds_symbols(scalar) ? ir::clone_fresh(scalar, arena_) : scalar;
  }

  LaneValue at_path(ir::Expr expr) {
    if (const auto* field = expr.as<ir::GetField>())
      return member_of(at_path(field->value), field->index, expr.span());
    const auto found = env_.find(expr.as<ir::Ident>()->symbol.id());
    return found != env_.end() ? found->second : uniform(expr);
  }

  static bool is_division(ir::BinaryOp op) { return op == ir::BinaryOp::kDiv || op == ir::BinaryOp::kRem; }

  LaneValue binary_in_lanes(const ir::Binary& binary, ir::Expr expr, ir::Expr mask) {
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

  LaneValue short_circuit(const ir::Binary& binary, ir::Expr expr, ir::Expr mask) {
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
  LaneValue joined(bool is_and, ir::Expr expr, ir::Expr left, ir::Expr right) {
    const ir::BinaryOp op = is_and ? ir::BinaryOp::kBitAnd : ir::BinaryOp::kBitOr;
    return in_lanes(expr.type(), arena_.make<ir::Binary>(expr.span(), op, left, right));
  }

  // Structs of scalars for equality; strings and orders of structs lane by lane.
  LaneValue compared(const ir::Binary& binary, ir::Expr expr, ir::Expr mask) {
    const bool equal = binary.op == ir::BinaryOp::kEq;
    if (!has_lanes(binary.left.type()) || (!equal && binary.op != ir::BinaryOp::kNe))
      return island(expr, mask);
    const LaneValue left = named(lanes_of(binary.left, mask), "x");
    const LaneValue right = named(lanes_of(binary.right, mask), "x");
    return in_lanes(expr.type(), compared_parts(binary.op, left, right, expr.span()));
  }
  ir::Expr compared_parts(ir::BinaryOp op, const LaneValue& left, const LaneValue& right, ir::Span span) {
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

  LaneValue branch_in_lanes(ir::Expr condition, ir::Expr on_true, ir::Expr on_false, ir::Expr expr,
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

  static bool fits_gather(ir::Type element) {
    const auto* structure = element.as<ir::StructType>();
    if (!structure) return ir::is_scalar(element);
    return has_lanes(element) &&
           std::ranges::all_of(structure->members, [](ir::Type member) { return ir::is_scalar(member); });
  }

  LaneValue gathered(const ir::Lookup& lookup, ir::Expr expr, ir::Expr mask) {
    if (!lookup.container.type().as<ir::VecType>() || varies(lookup.container) || !fits_gather(expr.type()))
      return island(expr, mask);
    if (mask && ir::may_fail_or_diverge(lookup.container)) return island(expr, mask);
    add_cost(3, 2);
    const ir::Expr index = index_in_lanes(lookup.key, mask);
    const ir::Expr vector = outside_of_islands(lookup.container);
    const ir::Expr lanes = arena_.make<ir::Gather>(expr.span(), vector, index, mask_or_all(mask));
    return parts_of_lanes(expr.type(), ir::is_scalar(expr.type()) ? lanes : bind(lanes, "x"));
  }
  // Keys of a dictionary, all at once.
  template <class Form>
  LaneValue looked_up(ir::Expr dict, ir::Expr key, ir::Expr expr, ir::Expr mask) {
    if (varies(dict) || !has_lanes(key.type()) || (mask && ir::may_fail_or_diverge(dict)))
      return island(expr, mask);
    add_cost(kProbeCost, kProbeCostInLanes);
    const ir::Expr keys = lanes_of_value(lanes_of(key, mask));
    const Form form{outside_of_islands(dict), keys, mask_or_all(mask)};
    const ir::Expr name = bind(arena_.add(form, expr.span(), expr.annotations()), "x");
    if (expr.is<ir::KeyExists>()) return in_lanes(expr.type(), arena_.make<ir::GetField>(span_, name, 0u));
    return parts_of_lanes(expr.type(), name);
  }
  // As i32 where the index was no wider.
  ir::Expr index_in_lanes(ir::Expr key, ir::Expr mask) {
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

  // min(i64(x), bound) as i32: a bound that no i32 reaches does nothing, and below 0 any will do, which is
  // outside of all vectors.
  std::optional<ir::Expr> bounded_index(ir::Expr key, ir::Expr mask) {
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
    limit = arena_.make<ir::Cast>(key.span(), ir::ScalarKind::kI32,
                                  binary(ir::BinaryOp::kMax, limit, literal(-1)));
    add_operation_cost(1, ir::ScalarKind::kI32);
    return binary(ir::BinaryOp::kMin, lanes_of_value(lanes_of(cast->value, mask)),
                  broadcast(bind(limit, "bound")));
  }

  // True for every active lane, or the error.
  LaneValue asserted(const ir::Assert& assertion, ir::Expr expr, ir::Expr mask) {
    ir::Expr broken = negated(lanes_of_value(lanes_of(assertion.condition, mask)));
    if (mask) broken = arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kBitAnd, mask, broken);
    add_cost(2, 0.5);
    const ir::Expr any = arena_.make<ir::AnyLane>(expr.span(), broken);
    const ir::Expr none = arena_.make<ir::Unary>(expr.span(), ir::UnaryOp::kNot, any);
    return uniform(bind(arena_.make<ir::Assert>(expr.span(), none), "held"));
  }

  // ---- Names of the scalar function.

  // False where the value has no lanes and cannot be computed again by islands that need it.
  bool bind_let(const ir::Let& let, ir::Expr mask) {
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

  // The expression with names replaced by what they stand for in islands and outside. Builders become those
  // of `island_builders_`.
  ir::Expr scalar_rewrite(ir::Expr root) {
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
      if (const auto found = builders_.find(ident->symbol.id()); found != builders_.end())
        return island_builder(found->second);
      return expr;
    });
  }

  // The same after its operands that are worth it have been computed in lanes.
  ir::Expr with_operands_in_lanes(ir::Expr expr, ir::Expr mask) {
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

  struct Island {
    ir::Expr values;
    ir::Parameter parameter;
    ir::Expr body;  // over the parameter
  };

  // Closes a body over stand-ins: what they stand for becomes the values, one lane of them the parameter.
  Island close_island(ir::Expr body) {
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

  // Islands run for the lanes that get there.
  void add_island_cost(ir::Expr expr, double cost) {
    note_cost_without_lanes(expr, cost * share_);
    scalar_cost_ += cost * share_;
    lanes_cost_ += (cost + island_overhead_) * share_ + 0.5 * weight_;
  }

  void note_cost_without_lanes(ir::Expr expr, double cost) {
    if (cost <= dearest_cost_) return;
    dearest_cost_ = cost;
    dearest_without_lanes_ = expr.span();
  }

  LaneValue island(ir::Expr expr, ir::Expr mask) {
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
  // The scalars of a struct side by side: what map_lanes gives.
  ir::Expr flattened(ir::Expr value) {
    if (ir::is_scalar(value.type()) || fits_gather(value.type())) return value;
    const ir::Symbol symbol = arena_.fresh_symbol("x");
    std::vector<ir::Expr> scalars;
    add_scalars(arena_.ident(symbol, value.type(), value.span()), scalars);
    const ir::Expr flat = arena_.make<ir::MakeStruct>(value.span(), scalars);
    return arena_.make<ir::Let>(value.span(), symbol, value, flat);
  }
  void add_scalars(ir::Expr value, std::vector<ir::Expr>& scalars) {
    const auto* structure = value.type().as<ir::StructType>();
    if (!structure) {
      scalars.push_back(value);
      return;
    }
    for (std::uint32_t k = 0; k < structure->members.size(); ++k)
      add_scalars(arena_.make<ir::GetField>(value.span(), value, k), scalars);
  }
  LaneValue unflattened(ir::Type type, ir::Expr lanes, std::uint32_t& next) {
    if (ir::is_scalar(type)) return in_lanes(type, arena_.make<ir::GetField>(span_, lanes, next++));
    LaneValue value{.type = type};
    for (ir::Type member : type.as<ir::StructType>()->members)
      value.members.push_back(unflattened(member, lanes, next));
    return value;
  }

  // ---- Builders: `states_` has the present state of each, and building an expression moves it on.

  BuilderTree leaves_of(ir::Type type, ir::Expr path) {
    if (ir::is_builder(type)) {
      states_.push_back(path);
      return {static_cast<int>(states_.size()) - 1, {}};
    }
    BuilderTree tree;
    const auto members = type.as<ir::StructType>()->members;
    for (std::uint32_t k = 0; k < members.size(); ++k)
      tree.members.push_back(leaves_of(members[k], arena_.make<ir::GetField>(span_, path, k)));
    return tree;
  }

  ir::Expr tree_value(const BuilderTree& tree) {
    if (tree.leaf >= 0) return states_[static_cast<std::size_t>(tree.leaf)];
    std::vector<ir::Expr> members;
    for (const BuilderTree& member : tree.members) members.push_back(tree_value(member));
    return arena_.make<ir::MakeStruct>(span_, members);
  }
  ir::Expr island_builder(const BuilderTree& tree) {
    if (tree.leaf >= 0) {
      const auto found = island_builders_.find(tree.leaf);
      if (found != island_builders_.end()) return found->second;
      failed_ = true;  // a builder that the island's value does not hold
      return states_[static_cast<std::size_t>(tree.leaf)];
    }
    std::vector<ir::Expr> members;
    for (const BuilderTree& member : tree.members) members.push_back(island_builder(member));
    const ir::Expr made = arena_.make<ir::MakeStruct>(span_, members);
    made_structs_.emplace(made.get(), 1);
    return made;
  }

  // Which builders the names of the scalar function are.
  void note_builders(ir::Expr expr) {
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (!ir::contains_builder(let->value.type())) continue;
      note_builders(let->value);
      if (const auto tree = tree_of(let->value)) builders_.emplace(let->symbol.id(), *tree);
    }
    if (const auto* branch = expr.as<ir::If>()) {
      note_builders(branch->on_true);
      note_builders(branch->on_false);
    } else if (const auto* structure = expr.as<ir::MakeStruct>()) {
      for (ir::Expr member : structure->members) note_builders(member);
    } else if (const auto* merge = expr.as<ir::Merge>()) {
      note_builders(merge->builder);
    } else if (const auto* masked = expr.as<ir::MergeMasked>()) {
      note_builders(masked->builder);
    } else if (const auto* field = expr.as<ir::GetField>()) {
      note_builders(field->value);
    }
  }

  // The builders that a value holds; nothing where they are not (only) the loop's.
  std::optional<BuilderTree> tree_of(ir::Expr expr) const {
    while (const auto* let = expr.as<ir::Let>()) expr = let->body;
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = builders_.find(ident->symbol.id());
      return found == builders_.end() ? std::nullopt : std::optional(found->second);
    }
    if (const auto* merge = expr.as<ir::Merge>()) return tree_of(merge->builder);
    if (const auto* masked = expr.as<ir::MergeMasked>()) return tree_of(masked->builder);
    if (const auto* loop = expr.as<ir::For>()) return tree_of(loop->builder);
    if (const auto* branch = expr.as<ir::If>()) return tree_of(branch->on_true);
    if (const auto* field = expr.as<ir::GetField>()) {
      const auto tree = tree_of(field->value);
      if (!tree || field->index >= tree->members.size()) return std::nullopt;
      return tree->members[field->index];
    }
    const auto* structure = expr.as<ir::MakeStruct>();
    if (!structure) return std::nullopt;
    BuilderTree tree;
    for (ir::Expr member : structure->members) {
      const auto part = tree_of(member);
      if (!part) return std::nullopt;
      tree.members.push_back(*part);
    }
    return tree;
  }

  void add_leaves(const BuilderTree& tree, std::vector<int>& leaves) const {
    if (tree.leaf >= 0) leaves.push_back(tree.leaf);
    for (const BuilderTree& member : tree.members) add_leaves(member, leaves);
  }

  // How often each builder is merged into by a builder-typed expression.
  const std::vector<Merges>& merges_in(ir::Expr expr) {
    if (const auto found = merges_.find(expr.get()); found != merges_.end()) return found->second;
    std::vector<Merges> merges(states_.size());
    const auto add = [&](const std::vector<Merges>& more) {
      for (std::size_t k = 0; k < merges.size(); ++k) {
        merges[k].total += more[k].total;
        merges[k].on_a_path += more[k].on_a_path;
      }
    };
    const ir::Expr chain = expr;
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (ir::contains_builder(let->value.type())) add(merges_in(let->value));
    }
    const auto* merge = expr.as<ir::Merge>();
    const auto* masked = expr.as<ir::MergeMasked>();
    if (merge || masked) {
      const ir::Expr builder = merge ? merge->builder : masked->builder;
      add(merges_in(builder));
      add_to_leaves(merges, builder, 1);
    } else if (const auto* branch = expr.as<ir::If>()) {
      const std::vector<Merges> on_true = merges_in(branch->on_true);
      const std::vector<Merges>& on_false = merges_in(branch->on_false);
      for (std::size_t k = 0; k < merges.size(); ++k) {
        merges[k].total += on_true[k].total + on_false[k].total;
        merges[k].on_a_path += std::max(on_true[k].on_a_path, on_false[k].on_a_path);
      }
    } else if (const auto* structure = expr.as<ir::MakeStruct>()) {
      for (ir::Expr member : structure->members) add(merges_in(member));
    } else if (const auto* field = expr.as<ir::GetField>()) {
      add(merges_in(field->value));
    } else if (!expr.is<ir::Ident>()) {
      add_to_leaves(merges, expr, 2);  // a loop: any number
    }
    return merges_.emplace(chain.get(), std::move(merges)).first->second;
  }
  void add_to_leaves(std::vector<Merges>& merges, ir::Expr builder, int times) const {
    std::vector<int> leaves;
    if (const auto tree = tree_of(builder)) add_leaves(*tree, leaves);
    for (int leaf : leaves) {
      merges[static_cast<std::size_t>(leaf)].total += times;
      merges[static_cast<std::size_t>(leaf)].on_a_path += times;
    }
  }

  // Whether the result depends on the order of merges of different iterations. Mergers of floats have a lane
  // for each iteration of a group.
  bool keeps_order(std::size_t leaf) const {
    const ir::Type type = states_[leaf].type();
    if (type.as<ir::MergerType>()) return false;
    if (type.as<ir::VecMergerType>()) return ir::depends_on_order(type);
    if (type.as<ir::DictMergerType>() && ir::annotated_word(type.annotations(), "order", "any"))
      return ir::depends_on_order(type);
    return true;
  }
  bool any_ordered(const std::vector<Merges>& first, const std::vector<Merges>& second) const {
    for (std::size_t k = 0; k < first.size(); ++k) {
      if (first[k].total > 0 && second[k].total > 0 && keeps_order(k)) return true;
    }
    return false;
  }

  BuilderTree build_builder(ir::Expr expr, ir::Expr mask) {
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      if (!ir::contains_builder(let->value.type())) {
        if (!bind_let(*let, mask)) return builder_island(expr, mask);
        continue;
      }
      if (!builders_.contains(let->symbol.id())) return builder_island(expr, mask);
      const std::vector<Merges> first = merges_in(let->value);
      if (any_ordered(first, merges_in(let->body))) return builder_island(expr, mask);
      build_builder(let->value, mask);
    }
    if (is_path(expr)) return *tree_of(expr);
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      BuilderTree tree;
      for (ir::Expr member : structure->members) tree.members.push_back(build_builder(member, mask));
      return tree;
    }
    if (const auto* merge = expr.as<ir::Merge>())
      return build_merge(merge->builder, merge->value, {}, expr, mask);
    if (const auto* masked = expr.as<ir::MergeMasked>()) {
      if (!masked->mask.type().as<ir::ScalarType>()) return builder_island(expr, mask);
      return build_merge(masked->builder, masked->value, masked->mask, expr, mask);
    }
    if (const auto* branch = expr.as<ir::If>()) return build_branch(*branch, expr, mask);
    return builder_island(expr, mask);
  }

  BuilderTree build_merge(ir::Expr builder, ir::Expr value, ir::Expr condition, ir::Expr expr,
                          ir::Expr mask) {
    const auto tree = tree_of(builder);
    if (!tree || tree->leaf < 0) return builder_island(expr, mask);
    const auto leaf = static_cast<std::size_t>(tree->leaf);
    const bool again = merges_in(builder)[leaf].total > 0 && keeps_order(leaf);
    if (again || !merges_lanes(builder.type(), value)) return builder_island(expr, mask);
    build_builder(builder, mask);
    const LaneValue lanes = lanes_of(value, mask);
    ir::Expr active = mask;
    if (condition) active = both(mask, lanes_of_value(lanes_of(condition, mask)));
    emit_merge(leaf, {lanes, active, expr.span()});
    return *tree;
  }
  // A merger or appender of scalars takes simd of the language as well, which has no lanes.
  bool merges_lanes(ir::Type builder, ir::Expr value) {
    return has_lanes(value.type()) && value.type() == ir::merge_type(builder, arena_);
  }

  void emit_merge(std::size_t leaf, const PendingMerge& merge) {
    ir::Expr& state = states_[leaf];
    add_merge_cost(state.type(), merge);
    const ir::Expr value = lanes_of_value(merge.value);
    state = merge.mask ? arena_.make<ir::MergeMasked>(merge.span, state, value, merge.mask)
                       : arena_.make<ir::Merge>(merge.span, state, value);
    if (state.record().depth > kMaxStateDepth) state = bind(state, "b");
  }
  void add_merge_cost(ir::Type builder, const PendingMerge& merge) {
    const double scalar = merge_cost(builder);
    const double vectors = vectors_of(ir::merge_type(builder, arena_));
    if (builder.as<ir::MergerType>()) {
      add_cost(scalar, vectors);
    } else if (builder.as<ir::AppenderType>()) {
      // What is appended under a mask is compressed first.
      add_cost(scalar, merge.mask ? 0.5 + vectors : vectors);
    } else if (builder.as<ir::VecMergerType>() && merges_at_index(merge.value)) {
      add_cost(scalar, 3 * vectors);  // places beside each other: loaded and stored as vectors
    } else {
      scalar_cost_ += scalar * share_;
      lanes_cost_ += (scalar + kCaptureCost) * share_ + 0.5 * weight_;
    }
  }
  bool merges_at_index(const LaneValue& place_and_value) const {
    const auto& members = place_and_value.members;
    return !members.empty() && members.front().lanes == index_.lanes;
  }
  // The share of a vector that one value of the type fills.
  double vectors_of(ir::Type type) const {
    if (const auto* scalar = type.as<ir::ScalarType>())
      return static_cast<double>(ir::size_bytes(scalar->kind)) / vector_bytes_;
    double sum = 0;
    for (ir::Type member : type.as<ir::StructType>()->members) sum += vectors_of(member);
    return sum;
  }

  // Lets the states of the leaves be used on several paths.
  void name_states(const std::vector<std::size_t>& leaves) {
    for (std::size_t leaf : leaves) {
      if (!is_path(states_[leaf])) states_[leaf] = bind(states_[leaf], "b");
    }
  }
  ir::Expr states_together(const std::vector<std::size_t>& leaves) {
    if (leaves.size() == 1) return states_[leaves.front()];
    std::vector<ir::Expr> members;
    for (std::size_t leaf : leaves) members.push_back(states_[leaf]);
    return arena_.make<ir::MakeStruct>(span_, members);
  }
  void set_states(const std::vector<std::size_t>& leaves, ir::Expr together) {
    if (leaves.size() == 1) {
      states_[leaves.front()] = together;
      return;
    }
    const ir::Expr name = bind(together, "b");
    for (std::uint32_t k = 0; k < leaves.size(); ++k)
      states_[leaves[k]] = arena_.make<ir::GetField>(span_, name, k);
  }
  std::vector<std::size_t> merged_leaves(ir::Expr expr) {
    std::vector<std::size_t> leaves;
    const std::vector<Merges>& merges = merges_in(expr);
    for (std::size_t k = 0; k < merges.size(); ++k) {
      if (merges[k].total > 0) leaves.push_back(k);
    }
    return leaves;
  }

  BuilderTree build_branch(const ir::If& branch, ir::Expr expr, ir::Expr mask) {
    const auto tree = tree_of(expr);
    if (!tree) return builder_island(expr, mask);
    if (!varies(branch.condition)) {
      // What may fail where the mask is true only is known lane by lane all the same.
      const LaneValue tested = named(lanes_of(branch.condition, mask), "c");
      if (tested.uniform) return build_uniform_branch(branch, tested.uniform, expr, mask, *tree);
    }
    if (any_ordered(merges_in(branch.on_true), merges_in(branch.on_false))) {
      PendingMerges pending(states_.size());
      if (!collect_merges(expr, mask, pending)) return builder_island(expr, mask);
      for (std::size_t leaf = 0; leaf < pending.size(); ++leaf) {
        for (const PendingMerge& merge : pending[leaf]) emit_merge(leaf, merge);
      }
      return *tree;
    }
    const double share = branch_selectivity(expr);
    add_cost(branch_cost(share), 0);
    LaneValue tested = named(lanes_of(branch.condition, mask), "c");
    if (tested.uniform) tested = named(in_lanes(tested.type, broadcast(tested.uniform)), "c");
    build_side(branch.on_true, mask, tested.lanes, share);
    build_side(branch.on_false, mask, negated(tested.lanes), 1 - share);
    return *tree;
  }
  void build_side(ir::Expr expr, ir::Expr mask, ir::Expr condition, double share) {
    const std::vector<std::size_t> leaves = merged_leaves(expr);
    if (leaves.empty() && !ir::may_fail_or_diverge(expr)) return;
    const ir::Expr inner = both(mask, condition);
    const bool skipped = !leaves.empty() && is_skipped(expr, share);
    if (!skipped) {
      with_share(share, false, [&] { return build_builder(expr, inner); });
      return;
    }
    name_states(leaves);
    const ir::Expr before = states_together(leaves);
    scopes_.emplace_back();
    with_share(share, true, [&] { return build_builder(expr, inner); });
    const ir::Expr after = in_scope(states_together(leaves));
    const ir::Expr any = arena_.make<ir::AnyLane>(expr.span(), inner);
    set_states(leaves, arena_.make<ir::If>(expr.span(), any, after, before));
  }

  BuilderTree build_uniform_branch(const ir::If& branch, ir::Expr condition, ir::Expr expr, ir::Expr mask,
                                   const BuilderTree& tree) {
    const std::vector<std::size_t> leaves = merged_leaves(expr);
    if (leaves.empty()) return tree;
    name_states(leaves);
    const std::vector<ir::Expr> before = states_;
    const auto side_of = [&](ir::Expr side) {
      states_ = before;
      scopes_.emplace_back();
      build_builder(side, mask);
      return in_scope(states_together(leaves));
    };
    const ir::Expr on_true = side_of(branch.on_true);
    const ir::Expr on_false = side_of(branch.on_false);
    states_ = before;
    set_states(leaves, arena_.make<ir::If>(expr.span(), condition, on_true, on_false));
    return tree;
  }

  // The merges of paths that exclude each other, at most one a path and ordered builder, so that each builder
  // gets the lanes of all paths at once. False where a path does more than that.
  bool collect_merges(ir::Expr expr, ir::Expr mask, PendingMerges& pending) {
    for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
      const bool is_name = ir::contains_builder(let->value.type()) && is_path(let->value);
      if (!is_name && (ir::contains_builder(let->value.type()) || !bind_let(*let, mask))) return false;
    }
    if (is_path(expr)) return true;
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      for (ir::Expr member : structure->members) {
        if (!collect_merges(member, mask, pending)) return false;
      }
      return true;
    }
    if (const auto* merge = expr.as<ir::Merge>()) {
      const auto tree = tree_of(merge->builder);
      if (!tree || tree->leaf < 0 || !merges_lanes(merge->builder.type(), merge->value)) return false;
      const auto leaf = static_cast<std::size_t>(tree->leaf);
      if (!collect_merges(merge->builder, mask, pending)) return false;
      if (!pending[leaf].empty() && keeps_order(leaf)) return false;
      pending[leaf].push_back({named(lanes_of(merge->value, mask), "x"), mask, expr.span()});
      return true;
    }
    const auto* branch = expr.as<ir::If>();
    return branch && collect_branches(*branch, expr, mask, pending);
  }
  bool collect_branches(const ir::If& branch, ir::Expr expr, ir::Expr mask, PendingMerges& pending) {
    const double share = branch_selectivity(expr);
    add_cost(branch_cost(share), 0);
    LaneValue tested = named(lanes_of(branch.condition, mask), "c");
    if (tested.uniform) tested = named(in_lanes(tested.type, broadcast(tested.uniform)), "c");
    PendingMerges on_true(states_.size());
    PendingMerges on_false(states_.size());
    const auto collect = [&](ir::Expr side, ir::Expr condition, double side_share, PendingMerges& merges) {
      if (is_path(side)) return true;
      const ir::Expr inner = both(mask, condition);
      return with_share(side_share, false, [&] { return collect_merges(side, inner, merges); });
    };
    if (!collect(branch.on_true, tested.lanes, share, on_true)) return false;
    if (!collect(branch.on_false, negated(tested.lanes), 1 - share, on_false)) return false;
    for (std::size_t leaf = 0; leaf < pending.size(); ++leaf) {
      std::vector<PendingMerge>& left = on_true[leaf];
      std::vector<PendingMerge>& right = on_false[leaf];
      if (keeps_order(leaf) && !left.empty() && !right.empty()) {
        LaneValue value = chosen(expr.span(), tested, left.front().value, right.front().value);
        const ir::Expr active =
            arena_.make<ir::Binary>(expr.span(), ir::BinaryOp::kBitOr, left.front().mask, right.front().mask);
        left = {{named(std::move(value), "x"), bind(active, "mask"), expr.span()}};
        right.clear();
      }
      for (std::vector<PendingMerge>* merges : {&left, &right})
        pending[leaf].insert(pending[leaf].end(), merges->begin(), merges->end());
      if (keeps_order(leaf) && pending[leaf].size() > 1) return false;
    }
    return true;
  }

  // The expression lane by lane.
  BuilderTree builder_island(ir::Expr expr, ir::Expr mask) {
    const auto tree = tree_of(expr);
    std::vector<int> leaves;
    if (tree) add_leaves(*tree, leaves);
    if (leaves.empty() || failed_) {
      failed_ = true;
      return tree.value_or(BuilderTree());
    }
    const ir::Type type = expr.type();
    const double cost = expression_cost(expr);
    const ir::Parameter builder{arena_.fresh_symbol("b"), type};
    bind_island_builders(*tree, arena_.ident(builder.symbol, type, span_));
    const ir::Expr body = scalar_rewrite(with_operands_in_lanes(expr, mask));
    island_builders_.clear();
    const Island closed = close_island(body);
    add_island_cost(expr, cost);
    const ir::Expr function = ir::clone_fresh(
        arena_.make<ir::Lambda>(expr.span(), std::vector{builder, closed.parameter}, closed.body), arena_);
    ir::Expr after =
        arena_.make<ir::ForLanes>(expr.span(), tree_value(*tree), closed.values, mask_or_all(mask), function);
    if (tree->leaf < 0) after = bind(after, "b");
    set_tree(*tree, after);
    return *tree;
  }
  void bind_island_builders(const BuilderTree& tree, ir::Expr path) {
    if (tree.leaf >= 0) island_builders_[tree.leaf] = path;
    for (std::uint32_t k = 0; k < tree.members.size(); ++k)
      bind_island_builders(tree.members[k], arena_.make<ir::GetField>(span_, path, k));
  }
  void set_tree(const BuilderTree& tree, ir::Expr value) {
    if (tree.leaf >= 0) states_[static_cast<std::size_t>(tree.leaf)] = value;
    for (std::uint32_t k = 0; k < tree.members.size(); ++k)
      set_tree(tree.members[k], arena_.make<ir::GetField>(span_, value, k));
  }

  static constexpr std::uint32_t kMaxStateDepth = 64;

  const ir::For& loop_;
  const ir::Lambda& scalar_;
  ir::Span span_;
  ir::Arena& arena_;
  int vector_bytes_;
  int least_vectors_;  // that the widest scalar should fill
  bool takes_active_;
  std::uint32_t num_lanes_ = kMinLanes;

  std::unordered_set<std::uint64_t> varying_;  // symbols whose values differ between iterations
  ir::PointerMap<ir::ExprRecord, char> varies_;
  std::unordered_map<std::uint64_t, LaneValue> env_;         // values of the scalar function's symbols
  std::unordered_map<std::uint64_t, BuilderTree> builders_;  // and their builders
  std::unordered_map<std::uint64_t, ir::Expr> stand_ins_;    // the lanes that a symbol of islands is one of
  std::vector<std::vector<std::pair<ir::Symbol, ir::Expr>>> scopes_;
  ir::PointerMap<ir::ExprRecord, char> made_structs_;  // whose fields are read directly
  ir::PointerMap<ir::ExprRecord, char> elements_;      // recipes that look elements up
  LaneValue index_;

  ir::Expr body_parameter_;
  ir::Expr active_;               // the mask of lanes that have an iteration; null: all
  std::vector<ir::Expr> states_;  // by leaf
  std::unordered_map<int, ir::Expr> island_builders_;
  std::unordered_map<const ir::ExprRecord*, std::vector<Merges>> merges_;

  std::vector<ir::Iterator> iterators_;
  std::vector<std::pair<ir::Symbol, ir::Expr>> names_;
  bool looks_elements_up_ = false;
  bool failed_ = false;

  double share_ = 1;   // of iterations that get here
  double weight_ = 1;  // of groups that get here
  double scalar_cost_ = 0;
  double lanes_cost_ = 0;
  double island_overhead_ = 0;
  double dearest_cost_ = 0;
  ir::Span dearest_without_lanes_;
};

}  // namespace

std::optional<LanesFunction> make_lanes_function(ir::Expr loop, LoopPlace place, PassContext& context) {
  return LanesBuilder(loop, place, context).build();
}

}  // namespace weld::passes
