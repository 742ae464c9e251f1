#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>

#include "ir/annotations.h"

namespace weld::ir {

enum class ScalarKind : std::uint8_t { kI8, kI16, kI32, kI64, kU8, kU16, kU32, kU64, kF32, kF64, kBool };
inline constexpr int kNumScalarKinds = 11;

/// The operator of a builder that adds values up.
enum class MergeOp : std::uint8_t { kAdd, kMul, kMin, kMax };

struct TypeRecord;

/// A handle to an immutable type, owned by an arena (scalar types: by the process). Null when default-made.
/// `==` compares structure and ignores annotations.
class Type {
 public:
  Type() = default;
  explicit Type(const TypeRecord* record) : record_(record) {}
  static Type scalar(ScalarKind kind);

  explicit operator bool() const { return record_ != nullptr; }
  template <class T>
  const T* as() const;
  const TypeRecord& record() const { return *record_; }
  Annotations annotations() const;
  std::uint64_t hash() const;

  bool operator==(const Type& other) const;

 private:
  const TypeRecord* record_ = nullptr;
};

struct ScalarType {
  ScalarKind kind;
  static auto fields(auto& type) { return std::tie(type.kind); }
};
struct VecType {
  Type element;
  static auto fields(auto& type) { return std::tie(type.element); }
};
/// `simd[S]`: 4 lanes in the language; other numbers in internal forms only (LANGUAGE.md §1.9).
struct SimdType {
  ScalarKind kind;
  std::uint32_t lanes;
  static auto fields(auto& type) { return std::tie(type.kind, type.lanes); }
};
struct DictType {
  Type key;
  Type value;
  static auto fields(auto& type) { return std::tie(type.key, type.value); }
};
struct StructType {
  std::span<const Type> members;
  static auto fields(auto& type) { return std::tie(type.members); }
};
struct AppenderType {
  Type element;
  static auto fields(auto& type) { return std::tie(type.element); }
};
struct MergerType {
  Type value;  ///< a scalar or a struct of scalars
  MergeOp op;
  static auto fields(auto& type) { return std::tie(type.value, type.op); }
};
struct DictMergerType {
  Type key;
  Type value;  ///< a scalar or a struct of scalars
  MergeOp op;
  static auto fields(auto& type) { return std::tie(type.key, type.value, type.op); }
};
struct GroupMergerType {
  Type key;
  Type value;
  static auto fields(auto& type) { return std::tie(type.key, type.value); }
};
struct VecMergerType {
  Type element;  ///< a scalar or a struct of scalars
  MergeOp op;
  static auto fields(auto& type) { return std::tie(type.element, type.op); }
};
/// The type of a lambda; never the type of a value.
struct FunctionType {
  std::span<const Type> parameters;
  Type result;
  static auto fields(auto& type) { return std::tie(type.parameters, type.result); }
};

using TypeNode = std::variant<ScalarType, VecType, SimdType, DictType, StructType, AppenderType, MergerType,
                              DictMergerType, GroupMergerType, VecMergerType, FunctionType>;

struct TypeRecord {
  TypeNode node;
  std::uint64_t hash = 0;
  std::uint32_t depth = 1;      ///< nesting, at most kMaxTypeDepth
  std::uint32_t num_parts = 1;  ///< as a tree, shared parts counted each time, at most kMaxTypeParts
  Annotations annotations;
};

/// Deeper types are rejected with BudgetExceeded: code over types may recurse.
inline constexpr std::uint32_t kMaxTypeDepth = 256;
/// Larger types are rejected likewise: code over types may visit shared parts each time.
inline constexpr std::uint32_t kMaxTypeParts = 10'000;

template <class T>
const T* Type::as() const {
  return record_ ? std::get_if<T>(&record_->node) : nullptr;
}

// Questions about types. All are false for the null type.
bool is_scalar(Type type);
bool is_scalar(Type type, ScalarKind kind);
bool is_builder(Type type);         ///< one of the five builder types
bool contains_builder(Type type);   ///< a builder, or a struct that holds one at any depth
bool is_builder_struct(Type type);  ///< a struct of one or more members, all builders or such structs
bool is_hashable(Type type);        ///< usable as a dictionary key: scalars, structs and vectors of keys
bool is_comparable(Type type);      ///< usable with == and <: scalars, structs and vectors of such
bool is_scalar_or_scalar_struct(Type type);  ///< what merger, dictmerger and vecmerger hold: flat, not empty
bool is_serializable(Type type);             ///< holds no builder, simd or function
bool contains_pointer(Type type);            ///< values refer to memory: a vec or dict at any depth

// Questions about scalars.
bool is_integer(ScalarKind kind);  ///< not bool
bool is_signed(ScalarKind kind);   ///< signed integers
bool is_float(ScalarKind kind);
inline bool is_numeric(ScalarKind kind) {
  return kind != ScalarKind::kBool;
}
int bit_width(ScalarKind kind);   ///< 8 for bool
int size_bytes(ScalarKind kind);  ///< 1 for bool
std::string_view scalar_name(ScalarKind kind);
std::string_view merge_op_name(MergeOp op);  ///< `+ * min max`

/// The scalar of a scalar or simd type. The caller has checked that it is one.
ScalarKind element_kind(Type type);

/// The type as the language writes it, annotations included.
std::string to_string(Type type);

}  // namespace weld::ir
