#include "ir/verify.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "ir/error.h"
#include "ir/fields.h"

namespace weld::ir {
namespace {

[[noreturn]] void reject(Span span, std::string message, ErrorCode code = ErrorCode::kCompileError) {
  throw UserError(std::move(message), span, code);
}

// Scopes, places of lambdas, and forms of the stage.
class ScopeChecker {
 public:
  explicit ScopeChecker(Stage stage) : stage_(stage) {}

  void check_program(Expr program) {
    if (program.is<Lambda>())
      check_lambda(program);
    else
      check_value(program);
  }

 private:
  enum class Binding : std::uint8_t { kInScope, kOutOfScope };
  struct Bound {
    Type type;
    Binding binding;
  };

  // An expression whose value is used: not a function.
  void check_value(Expr expr) {
    const Expr chain = expr;
    for (const Let* let; (let = expr.as<Let>()); expr = let->body) {
      check_forms(expr);
      if (let->value.is<Lambda>())
        check_lambda(let->value);
      else
        check_value(let->value);
      bind(let->symbol, let->value.type(), expr.span());
    }
    if (expr.type().as<FunctionType>()) reject(expr.span(), "a function cannot be used as a value");
    check_node(expr);
    const Let* let = nullptr;
    for (Expr bound = chain; (let = bound.as<Let>()); bound = let->body) unbind(let->symbol);
  }

  void check_lambda(Expr expr) {
    check_forms(expr);
    const auto& lambda = *expr.as<Lambda>();
    for (const Parameter& parameter : lambda.parameters) {
      check_type(parameter.type, expr.span());
      bind(parameter.symbol, parameter.type, expr.span());
    }
    check_value(lambda.body);
    for (const Parameter& parameter : lambda.parameters) unbind(parameter.symbol);
  }

  void check_node(Expr expr) {
    check_forms(expr);
    if (const auto* ident = expr.as<Ident>()) return check_use(*ident, expr);
    if (const auto* apply = expr.as<Apply>()) {
      if (const auto* ident = apply->function.as<Ident>())
        check_use(*ident, apply->function);
      else if (apply->function.is<Lambda>())
        check_lambda(apply->function);
      else
        reject(apply->function.span(), "only a function that is named or written here can be applied");
      for (Expr argument : apply->arguments) check_value(argument);
      return;
    }
    // Typing rules saw to it that a lambda is where a function is taken, and only there.
    for_each_child(expr, [&](Expr child) {
      if (child.is<Lambda>() && takes_functions(expr))
        check_lambda(child);
      else
        check_value(child);
    });
  }

  static bool takes_functions(Expr expr) {
    return expr.is<For>() || expr.is<Iterate>() || expr.is<Sort>() || expr.is<PartialSort>() ||
           expr.is<MapLanes>() || expr.is<ForLanes>();
  }

  void bind(Symbol symbol, Type type, Span span) {
    if (!symbols_.try_emplace(symbol.id(), Bound{type, Binding::kInScope}).second)
      reject(span, fmt::format("symbol {} is bound twice", symbol.name()));
  }
  void unbind(Symbol symbol) { symbols_.at(symbol.id()).binding = Binding::kOutOfScope; }

  void check_use(const Ident& ident, Expr expr) {
    const auto found = symbols_.find(ident.symbol.id());
    if (found == symbols_.end())
      reject(expr.span(), fmt::format("symbol {} is not bound", ident.symbol.name()));
    if (found->second.binding == Binding::kOutOfScope)
      reject(expr.span(), fmt::format("symbol {} is used outside of its scope", ident.symbol.name()));
    if (found->second.type != expr.type()) {
      reject(expr.span(),
             fmt::format("symbol {} is used with type {}, but it has type {}", ident.symbol.name(),
                         to_string(expr.type()), to_string(found->second.type)));
    }
  }

  void check_forms(Expr expr) {
    if (stage_ == Stage::kInternal) return;
    if (expr.is<MergeMasked>()) reject(expr.span(), "a masked merge is an internal form");
    if (expr.is<Variants>()) reject(expr.span(), "a choice of variants is an internal form");
    if (expr.is<PartialSort>()) reject(expr.span(), "a sort of the first elements is an internal form");
    const auto* loop = expr.as<For>();
    const bool has_lanes = loop && loop->lanes;
    if (has_lanes || expr.is<Gather>() || expr.is<LookupLanes>() || expr.is<OptLookupLanes>() ||
        expr.is<AnyLane>() || expr.is<MapLanes>() || expr.is<ForLanes>())
      reject(expr.span(), "lanes are an internal form");
    check_type(expr.type(), expr.span());
  }

  void check_type(Type type, Span span) {
    if (stage_ == Stage::kInternal || !type || !checked_types_.insert(&type.record()).second) return;
    if (const auto* simd = type.as<SimdType>(); simd && simd->lanes != 4)
      reject(span, fmt::format("{} is an internal form: simd has 4 lanes", to_string(type)));
    std::visit(
        [&](const auto& node) {
          std::apply([&](const auto&... field) { (check_field(field, span), ...); },
                     std::remove_cvref_t<decltype(node)>::fields(node));
        },
        type.record().node);
  }
  void check_field(const Type& type, Span span) { check_type(type, span); }
  void check_field(const std::span<const Type>& types, Span span) {
    for (Type type : types) check_type(type, span);
  }
  template <class T>
  void check_field(const T&, Span) {}

  Stage stage_;
  std::unordered_map<std::uint64_t, Bound> symbols_;
  std::unordered_set<const TypeRecord*> checked_types_;
};

// Follows builders through a program. Every state of a builder between two uses is a *resource*, consumed at
// most once on a path; consuming it yields the next one. An expression's value is described by the resources
// at the places of its builders.
class LinearityChecker {
 public:
  void check_program(Expr program) {
    const auto* lambda = program.as<Lambda>();
    if (lambda) {
      for (const Parameter& parameter : lambda->parameters)
        resources_of_[parameter.symbol.id()] = fresh(parameter.type, kOwn);
      program = lambda->body;
    }
    const Places value = follow(program);
    consume(value, program);
  }

 private:
  using Resource = std::int32_t;
  using Origin = std::int32_t;  // whose builder a resource is: kOwn, or an index of origins_
  static constexpr Resource kNoBuilder = -1;
  static constexpr Origin kOwn = -1;

  struct Places {
    Resource resource = kNoBuilder;
    std::vector<Places> members;
  };
  struct ResourceInfo {
    Origin origin = kOwn;
    std::int32_t level = 0;  // of repeated functions around the place where it was made
    bool consumed = false;
  };
  // A builder that enters a repeated function. `fills` when a loop fills it, so that it has no result inside.
  struct OriginInfo {
    Origin outside = kOwn;  // that of the resource which was passed
    bool fills = false;
  };

  static constexpr int kMaxDepth = 4000;
  static constexpr std::int64_t kMaxSteps = 16'000'000;

  Resource make(Origin origin) {
    resources_.push_back({origin, level_, false});
    return static_cast<Resource>(resources_.size() - 1);
  }
  ResourceInfo& info(Resource resource) { return resources_[static_cast<std::size_t>(resource)]; }

  Places fresh(Type type, Origin origin) {
    if (is_builder(type)) return {make(origin), {}};
    const auto* structure = type.as<StructType>();
    if (!structure || !contains_builder(type)) return {};
    Places places;
    for (Type member : structure->members) places.members.push_back(fresh(member, origin));
    return places;
  }

  // Marks all builders of a value as used; `expr` is the use.
  void consume(const Places& places, Expr expr) {
    for (const Let* let; (let = expr.as<Let>());) expr = let->body;
    if (places.resource != kNoBuilder) consume(places.resource, expr);
    for (std::size_t i = 0; i < places.members.size(); ++i) {
      const auto* structure = expr.as<MakeStruct>();
      consume(places.members[i], structure ? structure->members[i] : expr);
    }
  }
  void consume(Resource resource, Expr expr) {
    ResourceInfo& used = info(resource);
    if (used.consumed) reject(expr.span(), fmt::format("{} is used twice", describe(expr)));
    if (used.level < level_) {
      reject(expr.span(),
             fmt::format("{} comes from outside of the function, which may run many times", describe(expr)));
    }
    used.consumed = true;
    consumed_.push_back(resource);
  }

  static std::string describe(Expr expr) {
    std::string fields;
    while (const auto* field = expr.as<GetField>()) {
      fields = fmt::format(".${}{}", field->index, fields);
      expr = field->value;
    }
    const auto* ident = expr.as<Ident>();
    return ident ? fmt::format("builder {}{}", ident->symbol.name(), fields) : "the builder";
  }

  // After a use: the next states of the same builders.
  Places next(const Places& places) {
    Places successors;
    if (places.resource != kNoBuilder) successors.resource = make(info(places.resource).origin);
    for (const Places& member : places.members) successors.members.push_back(next(member));
    return successors;
  }

  bool is_filled_by_loop(Origin origin) const {
    for (; origin != kOwn; origin = origins_[static_cast<std::size_t>(origin)].outside) {
      if (origins_[static_cast<std::size_t>(origin)].fills) return true;
    }
    return false;
  }

  Places follow(Expr expr) {
    if (++depth_ > kMaxDepth || ++steps_ > kMaxSteps)
      reject(expr.span(), "functions that use builders are applied too often", ErrorCode::kBudgetExceeded);
    for (const Let* let; (let = expr.as<Let>()); expr = let->body) {
      ++steps_;
      follow_binding(*let);
    }
    Places places = std::visit([&](const auto& node) { return visit(node, expr); }, expr.record().node);
    --depth_;
    return places;
  }

  void follow_binding(const Let& let) {
    const auto* lambda = let.value.as<Lambda>();
    if (!lambda) {
      Places places = follow(let.value);
      if (places.resource != kNoBuilder || !places.members.empty())
        resources_of_[let.symbol.id()] = std::move(places);
    } else if (uses_builders_of_others(let.value)) {
      functions_[let.symbol.id()] = lambda;
    } else {
      follow(lambda->body);
    }
  }

  static bool uses_builders_of_others(Expr lambda) {
    const auto* function = lambda.type().as<FunctionType>();
    if (contains_builder(function->result)) return true;
    for (Type parameter : function->parameters) {
      if (contains_builder(parameter)) return true;
    }
    for (const Parameter& free : free_symbols(lambda)) {
      if (contains_builder(free.type) || free.type.as<FunctionType>()) return true;
    }
    return false;
  }

  // Nodes that only compute: their parts are followed, their value holds no builder.
  template <class N>
  Places visit(const N&, Expr expr) {
    for_each_child(expr, [&](Expr part) { follow(part); });
    return {};
  }
  Places visit(const Lambda& node, Expr) { return follow(node.body); }

  Places visit(const Ident& node, Expr) {
    const auto found = resources_of_.find(node.symbol.id());
    return found == resources_of_.end() ? Places() : found->second;
  }

  Places visit(const Apply& node, Expr expr) {
    const auto* lambda = node.function.as<Lambda>();
    if (const auto* ident = node.function.as<Ident>()) {
      const auto found = functions_.find(ident->symbol.id());
      if (found != functions_.end()) lambda = found->second;
    }
    std::vector<Places> arguments;
    for (Expr argument : node.arguments) arguments.push_back(follow(argument));
    if (!lambda) return {};  // it was followed where it is bound
    for (std::size_t i = 0; i < arguments.size(); ++i)
      resources_of_[lambda->parameters[i].symbol.id()] = std::move(arguments[i]);
    return follow(lambda->body);
  }

  Places visit(const If& node, Expr) {
    follow(node.condition);
    return follow_either(node.on_true, node.on_false);
  }
  Places visit(const Variants& node, Expr) { return follow_either(node.first, node.second); }

  Places follow_either(Expr first, Expr second) {
    const std::size_t before = consumed_.size();
    const Places on_true = follow(first);
    consume(on_true, first);
    const std::vector<Resource> consumed(consumed_.begin() + static_cast<std::ptrdiff_t>(before),
                                         consumed_.end());
    for (Resource resource : consumed) info(resource).consumed = false;
    consumed_.resize(before);
    const Places on_false = follow(second);
    consume(on_false, second);
    for (Resource resource : consumed) {
      if (!info(resource).consumed) consumed_.push_back(resource);
      info(resource).consumed = true;
    }
    return joined(on_true, on_false);
  }

  // The builders of one branch or the other.
  Places joined(const Places& left, const Places& right) {
    Places places;
    if (left.resource != kNoBuilder) {
      const Origin left_origin = info(left.resource).origin;
      const Origin right_origin = info(right.resource).origin;
      const bool left_filled = is_filled_by_loop(left_origin);
      if (left_origin == right_origin) {
        places.resource = make(left_origin);
      } else {
        // Neither builder's successor: an origin of its own that remembers whether a loop fills it.
        origins_.push_back({left_filled ? left_origin : right_origin, false});
        places.resource = make(static_cast<Origin>(origins_.size() - 1));
      }
    }
    for (std::size_t i = 0; i < left.members.size(); ++i)
      places.members.push_back(joined(left.members[i], right.members[i]));
    return places;
  }

  Places visit(const MakeStruct& node, Expr expr) {
    Places places;
    for (Expr member : node.members) places.members.push_back(follow(member));
    if (!contains_builder(expr.type())) places.members.clear();
    return places;
  }

  Places visit(const GetField& node, Expr) {
    Places places = follow(node.value);
    if (places.members.empty()) return {};
    return std::move(places.members[node.index]);
  }

  Places visit(const NewBuilder& node, Expr) {
    if (node.argument) follow(node.argument);
    return {make(kOwn), {}};
  }

  Places visit(const Merge& node, Expr) { return follow_merge(node.builder, {node.value}); }
  Places visit(const MergeMasked& node, Expr) { return follow_merge(node.builder, {node.value, node.mask}); }
  Places follow_merge(Expr builder, std::initializer_list<Expr> values) {
    const Places places = follow(builder);
    for (Expr value : values) follow(value);
    consume(places, builder);
    return next(places);
  }

  Places visit(const Result& node, Expr expr) {
    const Places places = follow(node.builder);
    check_no_loop_fills(places, expr);
    consume(places, node.builder);
    return {};
  }
  void check_no_loop_fills(const Places& places, Expr expr) {
    if (places.resource != kNoBuilder && is_filled_by_loop(info(places.resource).origin))
      reject(expr.span(), "result of a builder inside the loop that fills it");
    for (const Places& member : places.members) check_no_loop_fills(member, expr);
  }

  Places visit(const For& node, Expr) {
    for (const Iterator& it : node.iterators) {
      for (Expr part : {it.data, it.start, it.end, it.stride, it.shape, it.strides}) {
        if (part) follow(part);
      }
    }
    const Places builder = follow(node.builder);
    consume(builder, node.builder);
    follow_function(*node.function.as<Lambda>(), builder);
    if (node.lanes) follow_function(*node.lanes.as<Lambda>(), builder);
    return next(builder);
  }
  // A function that takes the builder round, its first parameter.
  void follow_function(const Lambda& lambda, const Places& builder) {
    ++level_;
    const Places parameter = entering(builder, true);
    resources_of_[lambda.parameters[0].symbol.id()] = parameter;
    const Places value = follow(lambda.body);
    consume(value, lambda.body);
    check_derived(value, parameter, lambda);
    --level_;
  }

  Places visit(const ForLanes& node, Expr) {
    const Places builder = follow(node.builder);
    follow(node.values);
    follow(node.mask);
    consume(builder, node.builder);
    follow_function(*node.function.as<Lambda>(), builder);
    return next(builder);
  }
  Places visit(const MapLanes& node, Expr) {
    follow(node.values);
    follow(node.mask);
    follow_repeated(node.function);
    return {};
  }
  void follow_repeated(Expr function) {
    ++level_;
    follow(function.as<Lambda>()->body);
    --level_;
  }

  // The builders as a repeated function sees them.
  Places entering(const Places& outside, bool fills) {
    Places places;
    if (outside.resource != kNoBuilder) {
      origins_.push_back({info(outside.resource).origin, fills});
      places.resource = make(static_cast<Origin>(origins_.size() - 1));
    }
    for (const Places& member : outside.members) places.members.push_back(entering(member, fills));
    return places;
  }

  void check_derived(const Places& value, const Places& parameter, const Lambda& lambda) {
    if (value.resource != kNoBuilder && info(value.resource).origin != info(parameter.resource).origin) {
      reject(lambda.body.span(),
             fmt::format("the value of the loop's function does not derive from its builder parameter {}",
                         lambda.parameters[0].symbol.name()));
    }
    for (std::size_t i = 0; i < value.members.size(); ++i)
      check_derived(value.members[i], parameter.members[i], lambda);
  }

  Places visit(const Iterate& node, Expr) {
    const Places initial = follow(node.initial);
    consume(initial, node.initial);
    const auto& lambda = *node.update.as<Lambda>();
    // A field may hold another field's builder after a round, so one that a loop fills taints all.
    const Origin outside = filled_origin(initial);
    ++level_;
    const Places parameter = entering_state(initial, outside);
    resources_of_[lambda.parameters[0].symbol.id()] = parameter;
    const Places value = follow(lambda.body);
    consume(value, lambda.body);
    --level_;
    if (value.members.empty()) return {};
    return leaving(value.members[0], parameter, initial, outside);
  }
  Origin filled_origin(const Places& places) {
    if (places.resource != kNoBuilder && is_filled_by_loop(info(places.resource).origin))
      return info(places.resource).origin;
    for (const Places& member : places.members) {
      if (const Origin origin = filled_origin(member); origin != kOwn) return origin;
    }
    return kOwn;
  }
  Places entering_state(const Places& initial, Origin outside) {
    Places places;
    if (initial.resource != kNoBuilder) {
      origins_.push_back({outside, false});
      places.resource = make(static_cast<Origin>(origins_.size() - 1));
    }
    for (const Places& member : initial.members) places.members.push_back(entering_state(member, outside));
    return places;
  }
  // A field that went round as itself is still the builder that entered.
  Places leaving(const Places& value, const Places& parameter, const Places& initial, Origin outside) {
    Places places;
    if (value.resource != kNoBuilder) {
      const bool same = info(value.resource).origin == info(parameter.resource).origin;
      Origin origin = info(initial.resource).origin;
      if (!same) {
        origins_.push_back({outside, false});
        origin = static_cast<Origin>(origins_.size() - 1);
      }
      places.resource = make(origin);
    }
    for (std::size_t i = 0; i < value.members.size(); ++i)
      places.members.push_back(leaving(value.members[i], parameter.members[i], initial.members[i], outside));
    return places;
  }

  Places visit(const Sort& node, Expr) {
    follow(node.vector);
    follow_repeated(node.function);
    return {};
  }
  Places visit(const PartialSort& node, Expr) {
    follow(node.vector);
    follow_repeated(node.function);
    follow(node.count);
    return {};
  }

  std::vector<ResourceInfo> resources_;
  std::vector<OriginInfo> origins_;
  std::vector<Resource> consumed_;                          // on the present path, in order
  std::unordered_map<std::uint64_t, Places> resources_of_;  // by symbol id
  std::unordered_map<std::uint64_t, const Lambda*> functions_;
  std::int32_t level_ = 0;
  int depth_ = 0;
  std::int64_t steps_ = 0;
};

}  // namespace

void verify(Expr program, Stage stage) {
  if (program.record().num_nodes > Arena::kMaxNodes) {
    reject(program.span(), fmt::format("the program has more than {} nodes", Arena::kMaxNodes),
           ErrorCode::kBudgetExceeded);
  }
  ScopeChecker(stage).check_program(program);
  LinearityChecker().check_program(program);
}

}  // namespace weld::ir
