#include "ir/typing.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/error.h"

namespace weld::ir {
namespace {

const Type kBool = Type::scalar(ScalarKind::kBool);
const Type kI32 = Type::scalar(ScalarKind::kI32);
const Type kI64 = Type::scalar(ScalarKind::kI64);

[[noreturn]] void reject(Span span, std::string message) {
  throw UserError(std::move(message), span);
}

void require_type(Expr expr, Type expected, std::string_view what) {
  if (expr.type() != expected) {
    reject(expr.span(), fmt::format("{} has type {}, but {} is expected", what, to_string(expr.type()),
                                    to_string(expected)));
  }
}

void require_value(Expr expr, std::string_view what) {
  if (expr.type().as<FunctionType>())
    reject(expr.span(), fmt::format("{} is a function, but a value is expected", what));
}

// A scalar or simd type like `type`, with another scalar.
Type like(Type type, ScalarKind kind, Arena& arena) {
  const auto* simd = type.as<SimdType>();
  return simd ? arena.simd(kind, simd->lanes) : Type::scalar(kind);
}

bool is_lanes(Type type) {
  return type.as<ScalarType>() || type.as<SimdType>();
}

const Lambda& require_lambda(Expr expr, std::size_t num_parameters, std::string_view what) {
  const auto* lambda = expr.as<Lambda>();
  if (!lambda) reject(expr.span(), fmt::format("{} must be a function", what));
  if (lambda->parameters.size() != num_parameters) {
    reject(expr.span(), fmt::format("{} has {} parameters, but {} are expected", what,
                                    lambda->parameters.size(), num_parameters));
  }
  return *lambda;
}

void require_parameter(const Lambda& lambda, std::size_t index, Type expected, Span span) {
  const Parameter& parameter = lambda.parameters[index];
  if (parameter.type != expected) {
    reject(span, fmt::format("parameter {} has type {}, but {} is passed", parameter.symbol.name(),
                             to_string(parameter.type), to_string(expected)));
  }
}

enum class Operands { kNumeric, kFloat, kInteger, kIntegerOrBool, kBool };

bool accepts(Operands operands, ScalarKind kind) {
  switch (operands) {
    case Operands::kNumeric:
      return is_numeric(kind);
    case Operands::kFloat:
      return is_float(kind);
    case Operands::kInteger:
      return is_integer(kind);
    case Operands::kIntegerOrBool:
      return is_integer(kind) || kind == ScalarKind::kBool;
    case Operands::kBool:
      return kind == ScalarKind::kBool;
  }
  return false;
}

std::string_view describe(Operands operands) {
  switch (operands) {
    case Operands::kNumeric:
      return "a number";
    case Operands::kFloat:
      return "f32 or f64";
    case Operands::kInteger:
      return "an integer";
    case Operands::kIntegerOrBool:
      return "an integer or bool";
    case Operands::kBool:
      return "bool";
  }
  return "";
}

void require_operand(Expr expr, Operands operands, std::string_view op) {
  if (!is_lanes(expr.type()) || !accepts(operands, element_kind(expr.type()))) {
    reject(expr.span(), fmt::format("operand of {} has type {}, but {} is expected", op,
                                    to_string(expr.type()), describe(operands)));
  }
}

Operands operands_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::kNeg:
    case UnaryOp::kAbs:
    case UnaryOp::kSign:
      return Operands::kNumeric;
    case UnaryOp::kNot:
      return Operands::kBool;
    default:
      return Operands::kFloat;
  }
}

Operands operands_of(BinaryOp op) {
  switch (op) {
    case BinaryOp::kLogicalAnd:
    case BinaryOp::kLogicalOr:
      return Operands::kBool;
    case BinaryOp::kBitAnd:
    case BinaryOp::kBitOr:
    case BinaryOp::kXor:
      return Operands::kIntegerOrBool;
    case BinaryOp::kShl:
    case BinaryOp::kShr:
      return Operands::kInteger;
    case BinaryOp::kPow:
    case BinaryOp::kAtan2:
    case BinaryOp::kHypot:
      return Operands::kFloat;
    default:
      return Operands::kNumeric;
  }
}

// The type of one iteration's part of `data`, which is a vector.
Type vector_element(Expr data) {
  const auto* vec = data.type().as<VecType>();
  if (!vec)
    reject(data.span(), fmt::format("cannot iterate over {}: a vector is expected", to_string(data.type())));
  return vec->element;
}

struct TypeRule {
  Span span;
  Arena& arena;

  Type operator()(const Literal& node) const { return Type::scalar(node.value.kind); }
  Type operator()(const StringLiteral&) const { return arena.vec(Type::scalar(ScalarKind::kI8)); }
  Type operator()(const Ident&) const {
    internal_check(false, "a use of a symbol is made with its type");
    return {};
  }
  Type operator()(const Let& node) const { return node.body.type(); }
  Type operator()(const Lambda& node) const {
    std::vector<Type> parameters;
    for (const Parameter& parameter : node.parameters) {
      if (!parameter.type) reject(span, fmt::format("parameter {} has no type", parameter.symbol.name()));
      parameters.push_back(parameter.type);
    }
    if (node.body.type().as<FunctionType>()) reject(node.body.span(), "a function cannot return a function");
    return arena.function(parameters, node.body.type());
  }
  Type operator()(const Apply& node) const {
    const auto* function = node.function.type().as<FunctionType>();
    if (!function) {
      reject(node.function.span(), fmt::format("{} is not a function", to_string(node.function.type())));
    }
    if (function->parameters.size() != node.arguments.size()) {
      reject(span, fmt::format("the function takes {} arguments, but {} are given",
                               function->parameters.size(), node.arguments.size()));
    }
    for (std::size_t i = 0; i < node.arguments.size(); ++i) {
      require_type(node.arguments[i], function->parameters[i], fmt::format("argument {}", i + 1));
    }
    return function->result;
  }
  Type operator()(const Cast& node) const {
    if (!is_lanes(node.value.type())) {
      reject(node.value.span(), fmt::format("cannot convert {} to {}: a scalar is expected",
                                            to_string(node.value.type()), scalar_name(node.kind)));
    }
    return like(node.value.type(), node.kind, arena);
  }
  Type operator()(const Unary& node) const {
    require_operand(node.value, operands_of(node.op), op_name(node.op));
    return node.op == UnaryOp::kIsNan ? like(node.value.type(), ScalarKind::kBool, arena) : node.value.type();
  }
  Type operator()(const Binary& node) const {
    const Type type = node.left.type();
    if (type != node.right.type()) {
      reject(span, fmt::format("operands of {} have different types, {} and {}", op_name(node.op),
                               to_string(type), to_string(node.right.type())));
    }
    if (is_comparison(node.op)) {
      if (type.as<SimdType>()) return like(type, ScalarKind::kBool, arena);
      if (!is_comparable(type))
        reject(span, fmt::format("values of type {} cannot be compared", to_string(type)));
      return kBool;
    }
    require_operand(node.left, operands_of(node.op), op_name(node.op));
    const bool logical = node.op == BinaryOp::kLogicalAnd || node.op == BinaryOp::kLogicalOr;
    if (logical && type.as<SimdType>()) {
      reject(span, fmt::format("operands of {} have type {}, but bool is expected", op_name(node.op),
                               to_string(type)));
    }
    return type;
  }
  Type operator()(const Assert& node) const {
    require_type(node.condition, kBool, "the condition of assert");
    return kBool;
  }
  Type operator()(const Broadcast& node) const {
    const auto* scalar = node.value.type().as<ScalarType>();
    if (!scalar) {
      reject(node.value.span(),
             fmt::format("cannot broadcast {}: a scalar is expected", to_string(node.value.type())));
    }
    return arena.simd(scalar->kind, node.lanes);
  }
  Type operator()(const If& node) const {
    require_type(node.condition, kBool, "the condition of if");
    require_value(node.on_true, "a branch of if");
    require_same_branches("if", node.on_true, node.on_false);
    return node.on_true.type();
  }
  Type operator()(const Variants& node) const {
    require_value(node.first, "a variant");
    require_same_branches("variants", node.first, node.second);
    return node.first.type();
  }
  Type operator()(const Select& node) const {
    require_same_branches("select", node.on_true, node.on_false);
    require_value(node.on_true, "a value of select");
    const Type type = node.on_true.type();
    if (contains_builder(type))
      reject(span, "select evaluates both values, so they cannot be builders: use if");
    if (const auto* mask = node.condition.type().as<SimdType>()) {
      const auto* lanes = type.as<SimdType>();
      if (mask->kind != ScalarKind::kBool || !lanes || lanes->lanes != mask->lanes) {
        reject(span, fmt::format("select has a condition of type {} for values of type {}",
                                 to_string(node.condition.type()), to_string(type)));
      }
      return type;
    }
    require_type(node.condition, kBool, "the condition of select");
    return type;
  }
  Type operator()(const Iterate& node) const {
    const Lambda& update = require_lambda(node.update, 1, "the update of iterate");
    const Type state = node.initial.type();
    require_parameter(update, 0, state, node.update.span());
    const Type expected = arena.structure({state, kBool});
    require_type(update.body, expected, "the value of the update of iterate");
    return state;
  }
  Type operator()(const MakeStruct& node) const {
    std::vector<Type> members;
    for (Expr member : node.members) {
      require_value(member, "a field of the struct");
      members.push_back(member.type());
    }
    return typed([&] { return arena.structure(std::span<const Type>(members)); });
  }
  Type operator()(const MakeVector& node) const {
    for (Expr element : node.elements) require_type(element, node.element, "an element of the vector");
    return typed([&] { return arena.vec(node.element); });
  }
  Type operator()(const GetField& node) const {
    const auto* structure = node.value.type().as<StructType>();
    if (!structure) {
      reject(node.value.span(),
             fmt::format("{} has no fields: a struct is expected", to_string(node.value.type())));
    }
    if (node.index >= structure->members.size()) {
      reject(span, fmt::format("there is no field ${} in {}", node.index, to_string(node.value.type())));
    }
    return structure->members[node.index];
  }
  Type operator()(const Zip& node) const {
    std::vector<Type> members;
    for (Expr vector : node.vectors) {
      const auto* vec = vector.type().as<VecType>();
      if (!vec)
        reject(vector.span(), fmt::format("cannot zip {}: a vector is expected", to_string(vector.type())));
      members.push_back(vec->element);
    }
    return arena.vec(arena.structure(std::span<const Type>(members)));
  }
  Type operator()(const Length& node) const {
    const Type type = node.value.type();
    if (!type.as<VecType>() && !type.as<DictType>()) {
      reject(node.value.span(),
             fmt::format("{} has no length: a vector or a dictionary is expected", to_string(type)));
    }
    return kI64;
  }
  Type operator()(const Lookup& node) const {
    const Type type = node.container.type();
    if (const auto* vec = type.as<VecType>()) {
      require_type(node.key, kI64, "the index of lookup");
      return vec->element;
    }
    return require_dict(node.container, node.key, "lookup").value;
  }
  Type operator()(const OptLookup& node) const {
    const DictType& dict = require_dict(node.dict, node.key, "optlookup");
    return arena.structure({kBool, dict.value});
  }
  Type operator()(const KeyExists& node) const {
    require_dict(node.dict, node.key, "keyexists");
    return kBool;
  }
  Type operator()(const Slice& node) const {
    if (!node.vector.type().as<VecType>()) {
      reject(node.vector.span(),
             fmt::format("cannot slice {}: a vector is expected", to_string(node.vector.type())));
    }
    require_type(node.start, kI64, "the start of slice");
    require_type(node.count, kI64, "the size of slice");
    return node.vector.type();
  }
  Type operator()(const Sort& node) const { return check_sort(node.vector, node.function); }
  Type operator()(const PartialSort& node) const {
    require_type(node.count, kI64, "the number of elements of sort");
    return check_sort(node.vector, node.function);
  }
  Type check_sort(Expr vector, Expr function_expr) const {
    const auto* vec = vector.type().as<VecType>();
    if (!vec) {
      reject(vector.span(), fmt::format("cannot sort {}: a vector is expected", to_string(vector.type())));
    }
    const auto* lambda = function_expr.as<Lambda>();
    const std::size_t num_parameters = lambda && lambda->parameters.size() == 1 ? 1 : 2;
    const Lambda& function = require_lambda(function_expr, num_parameters, "the function of sort");
    for (std::size_t i = 0; i < num_parameters; ++i) {
      require_parameter(function, i, vec->element, function_expr.span());
    }
    if (num_parameters == 2) {
      require_type(function.body, kI32, "the value of the comparator");
    } else if (!is_comparable(function.body.type())) {
      reject(function.body.span(), fmt::format("{} cannot be a sort key", to_string(function.body.type())));
    }
    return vector.type();
  }
  Type operator()(const Serialize& node) const {
    if (!is_serializable(node.value.type())) {
      reject(node.value.span(), fmt::format("{} cannot be serialized", to_string(node.value.type())));
    }
    return arena.vec(Type::scalar(ScalarKind::kU8));
  }
  Type operator()(const Deserialize& node) const {
    if (!is_serializable(node.target)) {
      reject(span, fmt::format("{} cannot be deserialized", to_string(node.target)));
    }
    const auto* vec = node.buffer.type().as<VecType>();
    const bool bytes =
        vec && (is_scalar(vec->element, ScalarKind::kU8) || is_scalar(vec->element, ScalarKind::kI8));
    if (!bytes) {
      reject(node.buffer.span(),
             fmt::format("deserialize reads {}, but vec[u8] is expected", to_string(node.buffer.type())));
    }
    return node.target;
  }
  Type operator()(const ForeignCall& node) const {
    for (Expr argument : node.arguments) {
      require_value(argument, "an argument of cudf");
      if (contains_builder(argument.type())) reject(argument.span(), "a builder cannot be passed to a cudf");
    }
    if (contains_builder(node.result) || node.result.as<FunctionType>()) {
      reject(span, fmt::format("a cudf cannot return {}", to_string(node.result)));
    }
    return node.result;
  }
  Type operator()(const ToVec& node) const {
    const auto* dict = node.dict.type().as<DictType>();
    if (!dict) {
      reject(node.dict.span(), fmt::format("tovec takes a dictionary, not {}", to_string(node.dict.type())));
    }
    return arena.vec(arena.structure({dict->key, dict->value}));
  }
  Type operator()(const For& node) const {
    const Type builder = node.builder.type();
    if (!is_builder(builder) && !is_builder_struct(builder)) {
      reject(node.builder.span(),
             fmt::format("for takes a builder or a struct of builders, not {}", to_string(builder)));
    }
    check_iterators(node.iterators);
    const Type element = element_type(node.iterators, arena);
    check_loop_function(require_lambda(node.function, 3, "the function of for"), builder, kI64, element,
                        node.function.span());
    if (node.lanes) {
      const auto* with_active = node.lanes.as<Lambda>();
      const bool takes_active = with_active && with_active->parameters.size() == 4;
      const Lambda& lanes = require_lambda(node.lanes, takes_active ? 4 : 3, "the lanes function of for");
      const auto* index = lanes.parameters[1].type.as<SimdType>();
      if (!index || index->kind != ScalarKind::kI64 || !is_lane_count(index->lanes)) {
        reject(node.lanes.span(),
               fmt::format("iteration numbers of lanes have type {}, but simd[i64,n] is expected, "
                           "with n = 16, 32 or 64",
                           to_string(lanes.parameters[1].type)));
      }
      check_loop_function(lanes, builder, lanes.parameters[1].type, lanes_type(element, index->lanes, arena),
                          node.lanes.span());
      if (takes_active)
        require_parameter(lanes, 3, arena.simd(ScalarKind::kBool, index->lanes), node.lanes.span());
    }
    return builder;
  }
  static bool is_lane_count(std::uint32_t count) { return count == 16 || count == 32 || count == 64; }
  void check_loop_function(const Lambda& lambda, Type builder, Type index, Type element, Span span) const {
    require_parameter(lambda, 0, builder, span);
    require_parameter(lambda, 1, index, span);
    require_parameter(lambda, 2, element, span);
    require_type(lambda.body, builder, "the value of the loop's function");
  }
  Type operator()(const Gather& node) const {
    const auto* vector = node.vector.type().as<VecType>();
    if (!vector || (!is_scalar(vector->element) && !is_scalar_or_scalar_struct(vector->element))) {
      reject(node.vector.span(), fmt::format("gather takes a vector of scalars or structs of them, not {}",
                                             to_string(node.vector.type())));
    }
    const auto* index = node.index.type().as<SimdType>();
    if (!index || (index->kind != ScalarKind::kI64 && index->kind != ScalarKind::kI32)) {
      reject(node.index.span(),
             fmt::format("the index of gather has type {}, but simd of i64 or i32 is expected",
                         to_string(node.index.type())));
    }
    require_mask(node.mask, index->lanes);
    return lanes_type(vector->element, index->lanes, arena);
  }
  Type operator()(const LookupLanes& node) const {
    const DictType& dict = require_keys(node.dict, node.keys, node.mask);
    if (!has_only_scalars(dict.value)) {
      reject(node.dict.span(),
             fmt::format("the values of lookup_lanes consist of scalars, not of {}", to_string(dict.value)));
    }
    return lanes_type(dict.value, *num_lanes(node.mask.type()), arena);
  }
  Type operator()(const OptLookupLanes& node) const {
    const DictType& dict = require_keys(node.dict, node.keys, node.mask);
    const Type value = has_only_scalars(dict.value)
                           ? lanes_type(dict.value, *num_lanes(node.mask.type()), arena)
                           : arena.structure({});
    return arena.structure({node.mask.type(), value});
  }
  // A dictionary whose keys have lanes, lanes of its keys, and as many of the mask.
  const DictType& require_keys(Expr dict, Expr keys, Expr mask) const {
    const auto* type = dict.type().as<DictType>();
    if (!type || !has_only_scalars(type->key)) {
      reject(dict.span(), fmt::format("a dictionary whose keys consist of scalars is expected, not {}",
                                      to_string(dict.type())));
    }
    const auto* lanes = mask.type().as<SimdType>();
    if (!lanes)
      reject(mask.span(),
             fmt::format("the mask has type {}, but simd of bool is expected", to_string(mask.type())));
    require_mask(mask, lanes->lanes);
    require_type(keys, lanes_type(type->key, lanes->lanes, arena), "the keys");
    return *type;
  }
  static bool has_only_scalars(Type type) {
    if (type.as<ScalarType>()) return true;
    const auto* structure = type.as<StructType>();
    return structure && !structure->members.empty() &&
           std::ranges::all_of(structure->members, has_only_scalars);
  }
  Type operator()(const AnyLane& node) const {
    const auto* mask = node.mask.type().as<SimdType>();
    if (!mask || mask->kind != ScalarKind::kBool) {
      reject(node.mask.span(),
             fmt::format("any_lane takes simd of bool, not {}", to_string(node.mask.type())));
    }
    return kBool;
  }
  Type operator()(const MapLanes& node) const {
    const std::uint32_t count = require_values(node.values, node.mask);
    const Lambda& function = require_lambda(node.function, 1, "the function of map_lanes");
    require_parameter(function, 0, lane_type(node.values.type(), arena), node.function.span());
    const Type result = function.body.type();
    if (!is_scalar(result) && !is_scalar_or_scalar_struct(result)) {
      reject(node.function.span(),
             fmt::format("map_lanes makes scalars or structs of them, not {}", to_string(result)));
    }
    return lanes_type(result, count, arena);
  }
  Type operator()(const ForLanes& node) const {
    require_values(node.values, node.mask);
    const Type builder = node.builder.type();
    if (!is_builder(builder) && !is_builder_struct(builder)) {
      reject(node.builder.span(),
             fmt::format("for_lanes takes a builder or a struct of builders, not {}", to_string(builder)));
    }
    const Lambda& function = require_lambda(node.function, 2, "the function of for_lanes");
    require_parameter(function, 0, builder, node.function.span());
    require_parameter(function, 1, lane_type(node.values.type(), arena), node.function.span());
    require_type(function.body, builder, "the value of the function of for_lanes");
    return builder;
  }
  void require_mask(Expr mask, std::uint32_t count) const {
    require_type(mask, arena.simd(ScalarKind::kBool, count), "the mask");
  }
  // Values of as many lanes as the mask has; a struct without members suits any.
  std::uint32_t require_values(Expr values, Expr mask) const {
    const auto* type = mask.type().as<SimdType>();
    if (!type)
      reject(mask.span(),
             fmt::format("the mask has type {}, but simd of bool is expected", to_string(mask.type())));
    require_mask(mask, type->lanes);
    const auto count = num_lanes(values.type());
    const auto* structure = values.type().as<StructType>();
    if (count != type->lanes && !(structure && structure->members.empty())) {
      reject(values.span(), fmt::format("lanes of type {} have a mask of type {}", to_string(values.type()),
                                        to_string(mask.type())));
    }
    return type->lanes;
  }
  Type operator()(const NewBuilder& node) const {
    const Type builder = node.builder;
    if (!is_builder(builder)) reject(span, fmt::format("{} is not a builder", to_string(builder)));
    if (const auto* vecmerger = builder.as<VecMergerType>()) {
      if (!node.argument) reject(span, "vecmerger needs the vector that it starts from");
      require_type(node.argument, arena.vec(vecmerger->element), "the argument of vecmerger");
    }
    if (!node.argument) return builder;
    if (builder.as<AppenderType>() || builder.as<GroupMergerType>()) {
      require_type(node.argument, kI64, "the size hint of the builder");
    } else if (const auto* merger = builder.as<MergerType>()) {
      require_type(node.argument, merger->value, "the initial value of merger");
    } else if (const auto* dictmerger = builder.as<DictMergerType>();
               dictmerger && node.argument.type() != kI64) {
      require_type(node.argument, arena.dict(dictmerger->key, dictmerger->value),
                   "the argument of dictmerger");
    }
    return builder;
  }
  Type operator()(const Merge& node) const {
    check_merge(node.builder, node.value);
    return node.builder.type();
  }
  Type operator()(const MergeMasked& node) const {
    check_merge(node.builder, node.value);
    const bool is_element = node.value.type() == merge_type(node.builder.type(), arena);
    const auto lanes = is_element ? std::nullopt : num_lanes(node.value.type());
    const Type mask = lanes ? arena.simd(ScalarKind::kBool, *lanes) : kBool;
    require_type(node.mask, mask, "the mask of merge");
    return node.builder.type();
  }
  Type operator()(const Result& node) const {
    const Type builder = node.builder.type();
    if (!is_builder(builder) && !is_builder_struct(builder)) {
      reject(node.builder.span(), fmt::format("result takes a builder, not {}", to_string(builder)));
    }
    return result_type(builder, arena);
  }

  // Gives errors about malformed types, which have no place of their own, the node's span.
  template <class F>
  Type typed(F&& make) const {
    try {
      return make();
    } catch (const UserError& error) {
      const Diagnostic& diagnostic = error.diagnostics().front();
      throw UserError(diagnostic.message, span, diagnostic.code);
    }
  }

  void require_same_branches(std::string_view what, Expr on_true, Expr on_false) const {
    if (on_true.type() != on_false.type()) {
      reject(span, fmt::format("the branches of {} have different types, {} and {}", what,
                               to_string(on_true.type()), to_string(on_false.type())));
    }
  }

  const DictType& require_dict(Expr dict, Expr key, std::string_view what) const {
    const auto* type = dict.type().as<DictType>();
    if (!type) {
      reject(dict.span(), fmt::format("{} takes a dictionary, not {}", what, to_string(dict.type())));
    }
    require_type(key, type->key, fmt::format("the key of {}", what));
    return *type;
  }

  void check_iterators(std::span<const Iterator> iterators) const {
    if (iterators.empty()) reject(span, "for has nothing to iterate over");
    for (const Iterator& it : iterators) {
      if (it.kind != IteratorKind::kRange) {
        internal_check(static_cast<bool>(it.data), "an iterator other than rangeiter has data");
        const Type element = vector_element(it.data);
        const bool lanes = it.kind == IteratorKind::kSimd || it.kind == IteratorKind::kFringe;
        if (lanes && !is_scalar(element)) {
          reject(it.data.span(),
                 fmt::format("a simd iterator walks over scalars, not {}", to_string(element)));
        }
      }
      const int num_bounds = (it.start ? 1 : 0) + (it.end ? 1 : 0) + (it.stride ? 1 : 0);
      internal_check(num_bounds == 3 || (num_bounds == 0 && it.kind != IteratorKind::kRange),
                     "an iterator has all bounds or none");
      if (num_bounds == 3) {
        require_type(it.start, kI64, "the start of the iterator");
        require_type(it.end, kI64, "the end of the iterator");
        require_type(it.stride, kI64, "the stride of the iterator");
      }
      if (it.shape || it.strides) {
        internal_check(it.kind == IteratorKind::kNd && it.shape && it.strides,
                       "nditer alone has shape and strides");
        require_type(it.shape, arena.vec(kI64), "the shape of nditer");
        require_type(it.strides, arena.vec(kI64), "the strides of nditer");
      }
    }
  }

  void check_merge(Expr builder, Expr value) const {
    const Type type = builder.type();
    if (!is_builder(type))
      reject(builder.span(), fmt::format("merge takes a builder, not {}", to_string(type)));
    const Type expected = merge_type(type, arena);
    if (value.type() == expected) return;
    const auto* lanes = value.type().as<SimdType>();
    const bool takes_lanes = type.as<AppenderType>() || type.as<MergerType>();
    if (lanes && takes_lanes && is_scalar(expected, lanes->kind)) return;
    const auto count = num_lanes(value.type());
    if (count && is_lane_count(*count) && value.type() == lanes_type(expected, *count, arena)) return;
    reject(value.span(), fmt::format("merge value has type {}, but the builder takes {}",
                                     to_string(value.type()), to_string(expected)));
  }
};

}  // namespace

Type infer_type(const Node& node, Span span, Arena& arena) {
  return std::visit(TypeRule{span, arena}, node);
}

Type result_type(Type builder, Arena& arena) {
  if (const auto* type = builder.as<AppenderType>()) return arena.vec(type->element);
  if (const auto* type = builder.as<MergerType>()) return type->value;
  if (const auto* type = builder.as<DictMergerType>()) return arena.dict(type->key, type->value);
  if (const auto* type = builder.as<GroupMergerType>()) return arena.dict(type->key, arena.vec(type->value));
  if (const auto* type = builder.as<VecMergerType>()) return arena.vec(type->element);
  const auto* structure = builder.as<StructType>();
  internal_check(structure, "only builders have results");
  std::vector<Type> members;
  for (Type member : structure->members) members.push_back(result_type(member, arena));
  return arena.structure(std::span<const Type>(members));
}

Type merge_type(Type builder, Arena& arena) {
  if (const auto* type = builder.as<AppenderType>()) return type->element;
  if (const auto* type = builder.as<MergerType>()) return type->value;
  if (const auto* type = builder.as<DictMergerType>()) return arena.structure({type->key, type->value});
  if (const auto* type = builder.as<GroupMergerType>()) return arena.structure({type->key, type->value});
  const auto* type = builder.as<VecMergerType>();
  internal_check(type, "only builders take merges");
  return arena.structure({kI64, type->element});
}

Type lanes_type(Type type, std::uint32_t num_lanes, Arena& arena) {
  if (const auto* scalar = type.as<ScalarType>()) return arena.simd(scalar->kind, num_lanes);
  std::vector<Type> members;
  if (const auto* structure = type.as<StructType>()) {
    for (Type member : structure->members) members.push_back(lanes_type(member, num_lanes, arena));
  }
  return arena.structure(std::span<const Type>(members));
}

std::optional<std::uint32_t> num_lanes(Type type) {
  if (const auto* simd = type.as<SimdType>()) return simd->lanes;
  const auto* structure = type.as<StructType>();
  if (!structure || structure->members.empty()) return std::nullopt;
  std::optional<std::uint32_t> lanes;
  for (Type member : structure->members) {
    const auto* empty = member.as<StructType>();
    if (empty && empty->members.empty()) continue;
    const auto count = num_lanes(member);
    if (!count || (lanes && lanes != count)) return std::nullopt;
    lanes = count;
  }
  return lanes;
}

Type lane_type(Type lanes, Arena& arena) {
  if (const auto* simd = lanes.as<SimdType>()) return Type::scalar(simd->kind);
  std::vector<Type> members;
  if (const auto* structure = lanes.as<StructType>()) {
    for (Type member : structure->members) members.push_back(lane_type(member, arena));
  }
  return arena.structure(std::span<const Type>(members));
}

Type element_type(const Iterator& iterator, Arena& arena) {
  if (iterator.kind == IteratorKind::kRange) return kI64;
  const Type element = vector_element(iterator.data);
  return iterator.kind == IteratorKind::kSimd ? arena.simd(element_kind(element)) : element;
}

Type element_type(std::span<const Iterator> iterators, Arena& arena) {
  if (iterators.size() == 1) return element_type(iterators.front(), arena);
  std::vector<Type> members;
  for (const Iterator& iterator : iterators) members.push_back(element_type(iterator, arena));
  return arena.structure(std::span<const Type>(members));
}

}  // namespace weld::ir
