#include "codegen/loop_plan.h"

#include <unordered_map>

#include "ir/reduction_order.h"

namespace weld::codegen {
namespace {

using Counts = std::vector<MergeCounts>;  // of the builders inside a type, flattened

void flatten_builders(ir::Type type, std::vector<ir::Type>& builders) {
  if (const auto* structure = type.as<ir::StructType>()) {
    for (ir::Type member : structure->members) flatten_builders(member, builders);
  } else if (ir::is_builder(type)) {
    builders.push_back(type);
  }
}

std::size_t num_builders(ir::Type type) {
  std::vector<ir::Type> builders;
  flatten_builders(type, builders);
  return builders.size();
}

Counts unknown(ir::Type type) {
  return Counts(num_builders(type));
}

// Counts the merges on the way from a loop's builder parameter to the value of its body.
class MergeCounter {
 public:
  explicit MergeCounter(ir::Symbol parameter, ir::Type type) {
    known_[parameter.id()] = Counts(num_builders(type), MergeCounts{0, 0});
  }

  Counts count(ir::Expr expr) {
    while (const auto* let = expr.as<ir::Let>()) {
      if (ir::contains_builder(let->value.type())) known_[let->symbol.id()] = count(let->value);
      expr = let->body;
    }
    if (const auto* ident = expr.as<ir::Ident>()) {
      const auto found = known_.find(ident->symbol.id());
      return found == known_.end() ? unknown(expr.type()) : found->second;
    }
    if (const auto* merge = expr.as<ir::Merge>())
      return added(count(merge->builder), merge->value.type(), true);
    if (const auto* merge = expr.as<ir::MergeMasked>())
      return added(count(merge->builder), merge->value.type(), false);
    if (const auto* branch = expr.as<ir::If>())
      return either(count(branch->on_true), count(branch->on_false));
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      Counts all;
      for (ir::Expr member : structure->members) {
        if (!ir::contains_builder(member.type())) continue;
        const Counts part = count(member);
        all.insert(all.end(), part.begin(), part.end());
      }
      return all;
    }
    if (const auto* field = expr.as<ir::GetField>()) {
      const Counts whole = count(field->value);
      std::size_t first = 0;
      const auto members = field->value.type().as<ir::StructType>()->members;
      for (std::uint32_t i = 0; i < field->index; ++i) first += num_builders(members[i]);
      const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(first);
      return Counts(begin, begin + static_cast<std::ptrdiff_t>(num_builders(expr.type())));
    }
    return unknown(expr.type());
  }

 private:
  static Counts added(Counts counts, ir::Type value, bool always) {
    const auto* simd = value.as<ir::SimdType>();
    const std::int64_t elements = simd ? simd->lanes : 1;
    for (MergeCounts& each : counts) {
      if (always) each.least += elements;
      if (each.most) *each.most += elements;
    }
    return counts;
  }
  static Counts either(Counts left, const Counts& right) {
    for (std::size_t i = 0; i < left.size(); ++i) {
      left[i].least = std::min(left[i].least, right[i].least);
      if (left[i].most && right[i].most)
        left[i].most = std::max(*left[i].most, *right[i].most);
      else
        left[i].most.reset();
    }
    return left;
  }

  std::unordered_map<std::uint64_t, Counts> known_;
};

bool merged_values_hold_pointers(ir::Type builder) {
  if (const auto* appender = builder.as<ir::AppenderType>()) return ir::contains_pointer(appender->element);
  if (const auto* dict = builder.as<ir::DictMergerType>()) return ir::contains_pointer(dict->key);
  if (const auto* group = builder.as<ir::GroupMergerType>()) {
    return ir::contains_pointer(group->key) || ir::contains_pointer(group->value);
  }
  return false;
}

bool allocates_by_itself(ir::Expr expr) {
  if (const auto* builder = expr.as<ir::NewBuilder>()) return !builder->builder.as<ir::MergerType>();
  return expr.is<ir::MakeVector>() || expr.is<ir::Sort>() || expr.is<ir::PartialSort>() ||
         expr.is<ir::Serialize>() || expr.is<ir::Deserialize>() || expr.is<ir::Iterate>() ||
         expr.is<ir::ForeignCall>();
}

struct DictAnnotations {
  DictImpl impl = DictImpl::kChosen;
  bool keeps_order = true;
};

// What the builders of a loop are annotated with, where they are made for it.
void add_annotations(ir::Expr builder, std::vector<DictAnnotations>& all) {
  if (const auto* structure = builder.as<ir::MakeStruct>()) {
    for (ir::Expr member : structure->members) add_annotations(member, all);
    return;
  }
  DictAnnotations found;
  DictImpl& impl = found.impl;
  if (builder.is<ir::NewBuilder>()) {
    const ir::Annotations annotations = builder.annotations();
    if (ir::annotated_word(annotations, "impl", "local")) impl = DictImpl::kLocal;
    if (ir::annotated_word(annotations, "impl", "global")) impl = DictImpl::kGlobal;
    if (ir::annotated_word(annotations, "impl", "partitioned")) impl = DictImpl::kPartitioned;
    found.keeps_order = !ir::annotated_word(annotations, "order", "any");
  }
  all.resize(all.size() + num_builders(builder.type()), found);
}

// Whether every merge into a vecmerger in the function is at the number of the iteration.
bool merges_at_own_place(const ir::Lambda& function) {
  bool all = true;
  const auto look_at = [&](ir::Expr builder, ir::Expr value) {
    if (!builder.type().as<ir::VecMergerType>()) return;
    const auto* pair = value.as<ir::MakeStruct>();
    const auto* place = pair ? pair->members[0].as<ir::Ident>() : nullptr;
    all = all && place && place->symbol == function.parameters[1].symbol;
  };
  ir::for_each_node(function.body, [&](ir::Expr expr) {
    if (const auto* merge = expr.as<ir::Merge>()) look_at(merge->builder, merge->value);
    if (const auto* merge = expr.as<ir::MergeMasked>()) look_at(merge->builder, merge->value);
  });
  return all;
}

}  // namespace

LoopPlan plan_loop(ir::Expr loop, bool derived, bool deterministic) {
  const auto& node = *loop.as<ir::For>();
  const auto& function = *node.function.as<ir::Lambda>();
  const ir::Parameter& parameter = function.parameters[0];
  LoopPlan plan;
  plan.block_iterations = ir::block_iterations(loop);
  plan.may_fork = !ir::any(function.body.effects() & ir::Effects::kForeign) &&
                  ir::annotated_bool(loop.annotations(), "parallel").value_or(true);
  ir::for_each_node(function.body,
                    [&](ir::Expr expr) { plan.allocates = plan.allocates || allocates_by_itself(expr); });

  std::vector<ir::Type> types;
  flatten_builders(parameter.type, types);
  const Counts counts = MergeCounter(parameter.symbol, parameter.type).count(function.body);
  std::vector<DictAnnotations> annotations;
  add_annotations(node.builder, annotations);
  for (std::size_t i = 0; i < types.size(); ++i) {
    LoopBuilder builder{.type = types[i], .merges = counts[i]};
    if (types[i].as<ir::DictMergerType>()) {
      builder.impl = annotations[i].impl;
      builder.keeps_order = annotations[i].keeps_order;
    }
    const bool ordered = deterministic && ir::depends_on_order(types[i]);
    const bool keyed = types[i].as<ir::DictMergerType>() || types[i].as<ir::GroupMergerType>() ||
                       types[i].as<ir::VecMergerType>();
    builder.by_blocks = ordered && types[i].as<ir::MergerType>();
    builder.keyed_order = ordered && keyed && !derived;
    plan.keyed = plan.keyed || keyed;
    plan.keyed_order = plan.keyed_order || builder.keyed_order;
    if (derived && ordered && keyed) plan.may_fork = false;
    const bool is_merger = types[i].as<ir::MergerType>() != nullptr;
    plan.any_order = plan.any_order && (is_merger || (types[i].as<ir::VecMergerType>() && !ordered));
    plan.keeps_memory = plan.keeps_memory || merged_values_hold_pointers(types[i]);
    plan.builders.push_back(builder);
  }
  // Ranges that depend on order may run twice (loops.cpp: run_after_probe).
  if (!plan.keyed_order && merges_at_own_place(function)) {
    for (LoopBuilder& builder : plan.builders)
      builder.places_apart = builder.type.as<ir::VecMergerType>() && builder.merges.most == 1;
  }
  return plan;
}

}  // namespace weld::codegen
