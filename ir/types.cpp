#include "ir/types.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ir/nodes.h"

namespace weld::ir {
namespace {

// Scalars live as long as the process.
const TypeRecord* scalar_record(ScalarKind kind) {
  static const auto records = [] {
    std::array<TypeRecord, kNumScalarKinds> made;
    for (int i = 0; i < kNumScalarKinds; ++i) {
      made[static_cast<std::size_t>(i)] = {.node = ScalarType{static_cast<ScalarKind>(i)},
                                           .hash = 0x9e3779b97f4a7c15u * static_cast<std::uint64_t>(i + 1),
                                           .annotations = {}};
    }
    return made;
  }();
  return &records[static_cast<std::size_t>(kind)];
}

bool same_field(const Type& left, const Type& right) {
  return left == right;
}
bool same_field(std::span<const Type> left, std::span<const Type> right) {
  return std::ranges::equal(left, right);
}
template <class T>
bool same_field(const T& left, const T& right) {
  return left == right;
}

// Whether the type is built of scalars, structs and (if allowed) vectors only.
bool built_of(Type type, bool vectors) {
  if (type.as<ScalarType>()) return true;
  if (const auto* vec = type.as<VecType>()) return vectors && built_of(vec->element, vectors);
  if (const auto* structure = type.as<StructType>()) {
    return std::ranges::all_of(structure->members, [&](Type member) { return built_of(member, vectors); });
  }
  return false;
}

}  // namespace

Type Type::scalar(ScalarKind kind) {
  return Type(scalar_record(kind));
}
Annotations Type::annotations() const {
  return record_->annotations;
}
std::uint64_t Type::hash() const {
  return record_->hash;
}

bool Type::operator==(const Type& other) const {
  if (record_ == other.record_) return true;
  if (!record_ || !other.record_ || record_->hash != other.record_->hash) return false;
  if (record_->node.index() != other.record_->node.index()) return false;
  return std::visit(
      [&](const auto& left) {
        using T = std::remove_cvref_t<decltype(left)>;
        const auto& right = std::get<T>(other.record_->node);
        return [&]<std::size_t... i>(std::index_sequence<i...>, const auto& l, const auto& r) {
          return (true && ... && same_field(std::get<i>(l), std::get<i>(r)));
        }(std::make_index_sequence<std::tuple_size_v<decltype(T::fields(left))>>{}, T::fields(left),
               T::fields(right));
      },
      record_->node);
}

bool is_scalar(Type type) {
  return type.as<ScalarType>() != nullptr;
}
bool is_scalar(Type type, ScalarKind kind) {
  const auto* scalar = type.as<ScalarType>();
  return scalar && scalar->kind == kind;
}
bool is_builder(Type type) {
  return type.as<AppenderType>() || type.as<MergerType>() || type.as<DictMergerType>() ||
         type.as<GroupMergerType>() || type.as<VecMergerType>();
}
bool contains_builder(Type type) {
  if (is_builder(type)) return true;
  const auto* structure = type.as<StructType>();
  return structure && std::ranges::any_of(structure->members, contains_builder);
}
bool is_builder_struct(Type type) {
  const auto* structure = type.as<StructType>();
  return structure && !structure->members.empty() && std::ranges::all_of(structure->members, [](Type t) {
           return is_builder(t) || is_builder_struct(t);
         });
}
bool is_hashable(Type type) {
  return built_of(type, true);
}
bool is_comparable(Type type) {
  return built_of(type, true);
}
bool is_scalar_or_scalar_struct(Type type) {
  if (is_scalar(type)) return true;
  const auto* structure = type.as<StructType>();
  return structure && !structure->members.empty() &&
         std::ranges::all_of(structure->members, [](Type member) { return is_scalar(member); });
}
bool is_serializable(Type type) {
  if (is_scalar(type)) return true;
  if (const auto* vec = type.as<VecType>()) return is_serializable(vec->element);
  if (const auto* dict = type.as<DictType>())
    return is_serializable(dict->key) && is_serializable(dict->value);
  const auto* structure = type.as<StructType>();
  return structure && std::ranges::all_of(structure->members, is_serializable);
}
bool contains_pointer(Type type) {
  if (type.as<ScalarType>() || type.as<SimdType>() || type.as<MergerType>()) return false;
  const auto* structure = type.as<StructType>();
  return !structure || std::ranges::any_of(structure->members, contains_pointer);
}

bool is_integer(ScalarKind kind) {
  return kind <= ScalarKind::kU64;
}
bool is_signed(ScalarKind kind) {
  return kind <= ScalarKind::kI64;
}
bool is_float(ScalarKind kind) {
  return kind == ScalarKind::kF32 || kind == ScalarKind::kF64;
}
int size_bytes(ScalarKind kind) {
  return dispatch(kind, [](auto zero) { return static_cast<int>(sizeof(zero)); });
}
int bit_width(ScalarKind kind) {
  return 8 * size_bytes(kind);
}

std::string_view scalar_name(ScalarKind kind) {
  constexpr std::array<std::string_view, kNumScalarKinds> names = {"i8",  "i16", "i32", "i64", "u8",  "u16",
                                                                   "u32", "u64", "f32", "f64", "bool"};
  return names[static_cast<std::size_t>(kind)];
}
std::string_view merge_op_name(MergeOp op) {
  constexpr std::array<std::string_view, 4> names = {"+", "*", "min", "max"};
  return names[static_cast<std::size_t>(op)];
}

ScalarKind element_kind(Type type) {
  if (const auto* simd = type.as<SimdType>()) return simd->kind;
  if (const auto* scalar = type.as<ScalarType>()) return scalar->kind;
  return ScalarKind::kBool;
}

namespace {

std::string annotated(Annotations annotations) {
  if (annotations.empty()) return {};
  std::string text = "@(";
  for (const Annotation& annotation : annotations) {
    if (text.size() > 2) text += ',';
    text += fmt::format(fmt::runtime(annotation.kind == Annotation::Kind::kString ? "{}:\"{}\"" : "{}:{}"),
                        annotation.key, annotation.value);
  }
  return text + ") ";
}

std::string joined(std::span<const Type> types) {
  std::string text;
  for (Type type : types) text += (text.empty() ? "" : ",") + to_string(type);
  return text;
}

struct TypePrinter {
  std::string operator()(const ScalarType& type) const { return std::string(scalar_name(type.kind)); }
  std::string operator()(const VecType& type) const {
    return fmt::format("vec[{}]", to_string(type.element));
  }
  std::string operator()(const SimdType& type) const {
    if (type.lanes == 4) return fmt::format("simd[{}]", scalar_name(type.kind));
    return fmt::format("simd[{},{}]", scalar_name(type.kind), type.lanes);
  }
  std::string operator()(const DictType& type) const {
    return fmt::format("dict[{},{}]", to_string(type.key), to_string(type.value));
  }
  std::string operator()(const StructType& type) const { return fmt::format("{{{}}}", joined(type.members)); }
  std::string operator()(const AppenderType& type) const {
    return fmt::format("appender[{}]", to_string(type.element));
  }
  std::string operator()(const MergerType& type) const {
    return fmt::format("merger[{},{}]", to_string(type.value), merge_op_name(type.op));
  }
  std::string operator()(const DictMergerType& type) const {
    return fmt::format("dictmerger[{},{},{}]", to_string(type.key), to_string(type.value),
                       merge_op_name(type.op));
  }
  std::string operator()(const GroupMergerType& type) const {
    return fmt::format("groupmerger[{},{}]", to_string(type.key), to_string(type.value));
  }
  std::string operator()(const VecMergerType& type) const {
    return fmt::format("vecmerger[{},{}]", to_string(type.element), merge_op_name(type.op));
  }
  std::string operator()(const FunctionType& type) const {
    return fmt::format("|{}| {}", joined(type.parameters), to_string(type.result));
  }
};

}  // namespace

std::string to_string(Type type) {
  if (!type) return "?";
  return annotated(type.annotations()) + std::visit(TypePrinter{}, type.record().node);
}

}  // namespace weld::ir
