#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string_view>
#include <tuple>
#include <variant>

#include "ir/expr.h"

namespace weld::ir {

// Every node kind once. `fields` is the single list from which hash, equality, children, rewriting and
// printing are derived (fields.h). A node is trivially destructible: whatever it refers to belongs to its
// arena. Expr fields that may be null are marked optional.

/// The bits of a scalar: two's complement in the low bits, zero-extended; IEEE bits for floats; 0 or 1 for
/// bool.
struct ScalarValue {
  ScalarKind kind = ScalarKind::kI32;
  std::uint64_t bits = 0;

  /// From a C++ scalar of exactly the kind's type.
  template <class T>
  static ScalarValue of(T value);
  /// As the C++ type `T`, which must be the kind's.
  template <class T>
  T as() const;
  bool operator==(const ScalarValue&) const = default;
};

enum class UnaryOp : std::uint8_t {
  kNeg,
  kNot,
  kExp,
  kLog,
  kSqrt,
  kErf,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kSinh,
  kCosh,
  kTanh,
  kExp2,
  kExpm1,
  kLog2,
  kLog10,
  kLog1p,
  kCbrt,
  kErfc,
  kFloor,
  kCeil,
  kRound,
  kTrunc,
  kAbs,
  kSign,
  kIsNan,
};
inline constexpr int kNumUnaryOps = static_cast<int>(UnaryOp::kIsNan) + 1;

enum class BinaryOp : std::uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kRem,
  kEq,
  kNe,
  kLt,
  kGt,
  kLe,
  kGe,
  kLogicalAnd,
  kLogicalOr,
  kBitAnd,
  kBitOr,
  kXor,
  kShl,
  kShr,
  kMin,
  kMax,
  kPow,
  kAtan2,
  kHypot,
};
inline constexpr int kNumBinaryOps = static_cast<int>(BinaryOp::kHypot) + 1;

constexpr bool is_comparison(BinaryOp op) {
  return op >= BinaryOp::kEq && op <= BinaryOp::kGe;
}

/// `-`, `!`, `exp`, … and `+`, `min`, `atan2`, …
std::string_view op_name(UnaryOp op);
std::string_view op_name(BinaryOp op);
/// True for operators written between their operands.
bool is_infix(BinaryOp op);

/// A scalar constant.
struct Literal {
  ScalarValue value;
  static auto fields(auto& node) { return std::tie(node.value); }
};

/// A constant `vec[i8]`.
struct StringLiteral {
  std::string_view bytes;
  static auto fields(auto& node) { return std::tie(node.bytes); }
};

/// A use of a symbol.
struct Ident {
  Symbol symbol;
  static auto fields(auto& node) { return std::tie(node.symbol); }
};

/// `let symbol = value; body`. A lambda as value is not a value at run time: it is inlined where it is
/// applied.
struct Let {
  Symbol symbol;
  Expr value;
  Expr body;
  static auto fields(auto& node) { return std::tie(node.symbol, node.value, node.body); }
};

struct Parameter {
  Symbol symbol;
  Type type;
};

/// `|parameters| body`.
struct Lambda {
  std::span<const Parameter> parameters;
  Expr body;
  static auto fields(auto& node) { return std::tie(node.parameters, node.body); }
};

/// `function(arguments)`; the function is a lambda or a symbol bound to one.
struct Apply {
  Expr function;
  std::span<const Expr> arguments;
  static auto fields(auto& node) { return std::tie(node.function, node.arguments); }
};

/// `kind(value)`: scalar to scalar, or simd to simd lane by lane.
struct Cast {
  ScalarKind kind;
  Expr value;
  static auto fields(auto& node) { return std::tie(node.kind, node.value); }
};

struct Unary {
  UnaryOp op;
  Expr value;
  static auto fields(auto& node) { return std::tie(node.op, node.value); }
};

struct Binary {
  BinaryOp op;
  Expr left;
  Expr right;
  static auto fields(auto& node) { return std::tie(node.op, node.left, node.right); }
};

/// True, or the error AssertionError.
struct Assert {
  Expr condition;
  static constexpr std::string_view kKeyword = "assert";
  static auto fields(auto& node) { return std::tie(node.condition); }
};

/// A scalar in every lane: `broadcast(x)`, internally also `broadcast[16](x)`.
struct Broadcast {
  Expr value;
  std::uint32_t lanes = 4;
  static auto fields(auto& node) { return std::tie(node.value, node.lanes); }
};

/// Evaluates one branch only.
struct If {
  Expr condition;
  Expr on_true;
  Expr on_false;
  static constexpr std::string_view kKeyword = "if";
  static auto fields(auto& node) { return std::tie(node.condition, node.on_true, node.on_false); }
};

/// Evaluates both values; lane by lane for a simd condition.
struct Select {
  Expr condition;
  Expr on_true;
  Expr on_false;
  static constexpr std::string_view kKeyword = "select";
  static auto fields(auto& node) { return std::tie(node.condition, node.on_true, node.on_false); }
};

/// Do-while: applies `update` (a lambda `|s| {T,bool}`) to the state until the bool is false.
struct Iterate {
  Expr initial;
  Expr update;
  static constexpr std::string_view kKeyword = "iterate";
  static auto fields(auto& node) { return std::tie(node.initial, node.update); }
};

struct MakeStruct {
  std::span<const Expr> members;
  static auto fields(auto& node) { return std::tie(node.members); }
};

/// `[elements]`; the element type is kept for the empty vector.
struct MakeVector {
  std::span<const Expr> elements;
  Type element;
  static auto fields(auto& node) { return std::tie(node.elements, node.element); }
};

/// `value.$index`.
struct GetField {
  Expr value;
  std::uint32_t index;
  static auto fields(auto& node) { return std::tie(node.value, node.index); }
};

/// A value of type `vec[{T1,T2,…}]`, outside of a `for`.
struct Zip {
  std::span<const Expr> vectors;
  static constexpr std::string_view kKeyword = "zip";
  static auto fields(auto& node) { return std::tie(node.vectors); }
};

/// Elements of a vector, entries of a dictionary, as i64.
struct Length {
  Expr value;
  static constexpr std::string_view kKeyword = "len";
  static auto fields(auto& node) { return std::tie(node.value); }
};

/// An element by index (i64), or the value of a key.
struct Lookup {
  Expr container;
  Expr key;
  static constexpr std::string_view kKeyword = "lookup";
  static auto fields(auto& node) { return std::tie(node.container, node.key); }
};

/// `{found, value}`; the value is zeroed when absent.
struct OptLookup {
  Expr dict;
  Expr key;
  static constexpr std::string_view kKeyword = "optlookup";
  static auto fields(auto& node) { return std::tie(node.dict, node.key); }
};

struct KeyExists {
  Expr dict;
  Expr key;
  static constexpr std::string_view kKeyword = "keyexists";
  static auto fields(auto& node) { return std::tie(node.dict, node.key); }
};

/// A view of `count` elements from `start` on, fewer at the end of the vector.
struct Slice {
  Expr vector;
  Expr start;
  Expr count;
  static constexpr std::string_view kKeyword = "slice";
  static auto fields(auto& node) { return std::tie(node.vector, node.start, node.count); }
};

/// A stable sort; `function` is a comparator `|a,b| i32` or a key `|x| scalar, struct or vector`.
struct Sort {
  Expr vector;
  Expr function;
  static constexpr std::string_view kKeyword = "sort";
  static auto fields(auto& node) { return std::tie(node.vector, node.function); }
};

/// The first `count` elements of that sort, fewer when the vector is shorter. Internal.
struct PartialSort {
  Expr vector;
  Expr function;
  Expr count;
  static constexpr std::string_view kKeyword = "sort";
  static auto fields(auto& node) { return std::tie(node.vector, node.function, node.count); }
};

struct Serialize {
  Expr value;
  static constexpr std::string_view kKeyword = "serialize";
  static auto fields(auto& node) { return std::tie(node.value); }
};

/// `deserialize[target](buffer)`.
struct Deserialize {
  Type target;
  Expr buffer;
  static auto fields(auto& node) { return std::tie(node.target, node.buffer); }
};

/// `cudf[name,result](arguments)`: a call of `void name(A1*, …, result*)`.
struct ForeignCall {
  std::string_view name;
  Type result;
  std::span<const Expr> arguments;
  static auto fields(auto& node) { return std::tie(node.name, node.result, node.arguments); }
};

/// The entries of a dictionary, in the order of their first merge.
struct ToVec {
  Expr dict;
  static constexpr std::string_view kKeyword = "tovec";
  static auto fields(auto& node) { return std::tie(node.dict); }
};

enum class IteratorKind : std::uint8_t { kScalar, kSimd, kFringe, kRange, kNd };

/// What a `for` walks over. `kRange` has start, end and stride only.
struct Iterator {
  IteratorKind kind = IteratorKind::kScalar;
  Expr data;   ///< the vector; null for kRange
  Expr start;  ///< optional, together with end and stride: i64
  Expr end;
  Expr stride;
  Expr shape;    ///< kNd, optional: vec[i64]
  Expr strides;  ///< kNd, optional: vec[i64]

  static auto fields(auto& it) {
    return std::tie(it.kind, it.data, it.start, it.end, it.stride, it.shape, it.strides);
  }
};

/// `for(iterators, builder, |b, i, e| …)`: `function` has parameters builder, i64 and element (a struct of
/// the iterators' elements where they are several).
///
/// `lanes` (internal) does the same for n iterations at once, n being 16, 32 or 64: `|b, i, e| …` with
/// parameters builder, simd[i64,n] and lanes_type(element, n) (typing.h). Every block of the loop
/// (reduction_order.h) that has at least kMinLanedIterations iterations is cut into groups of n, which go
/// through `lanes`; what is left of it, and shorter blocks, go through `function`. Lane l does what
/// `function` does in that iteration, except that merges into different builders may come in another order.
/// Where `lanes` fails, the group goes through `function` instead, which gives the error; kUnknown if it does
/// not fail.
///
/// A fourth parameter of `lanes`, `active`: simd[bool,n], lets what is left of a block go through it too. It
/// is true for the lanes that have an iteration: all but the last ones, and at least one. In the others
/// nothing is merged, nothing fails, and elements are anything.
struct For {
  std::span<const Iterator> iterators;
  Expr builder;
  Expr function;
  Expr lanes = {};  ///< optional: a pass that changes `function` leaves it out
  static auto fields(auto& node) { return std::tie(node.iterators, node.builder, node.function, node.lanes); }
};

/// A new builder of that type.
struct NewBuilder {
  Type builder;
  Expr argument;  ///< optional: initial value, size hint, dict or vector (LANGUAGE.md §1.5)
  static auto fields(auto& node) { return std::tie(node.builder, node.argument); }
};

/// Adds `value` to `builder`. Yields the builder to use from here on; the old one is consumed.
struct Merge {
  Expr builder;
  Expr value;
  static constexpr std::string_view kKeyword = "merge";
  static auto fields(auto& node) { return std::tie(node.builder, node.value); }
};

/// Adds the value, or the lanes of it, where `mask` (bool, or simd[bool] for lanes) is true. Internal.
///
/// Inside of For::lanes the value may be lanes_type(merge type, n) for any builder: the lanes are merged in
/// order, each as if in its iteration. So may that of a plain Merge.
struct MergeMasked {
  Expr builder;
  Expr value;
  Expr mask;
  static constexpr std::string_view kKeyword = "merge";
  static auto fields(auto& node) { return std::tie(node.builder, node.value, node.mask); }
};

/// Turns a builder, or a struct of builders, into its value.
struct Result {
  Expr builder;
  static constexpr std::string_view kKeyword = "result";
  static auto fields(auto& node) { return std::tie(node.builder); }
};

/// Either of two expressions, which have the same value by way of the same merges in the same order: which
/// one is evaluated, of two loops even morsel by morsel, is decided while the program runs
/// (runtime/variants.h). A part may be `variants` as well. Internal.
struct Variants {
  Expr first;
  Expr second;
  static constexpr std::string_view kKeyword = "variants";
  static auto fields(auto& node) { return std::tie(node.first, node.second); }
};

// Forms of lanes functions only, internal. `mask` is simd[bool,n], and `values` a simd or a struct of simd of
// as many lanes.

/// The elements at simd[i64,n] or simd[i32,n] of a vector of scalars or structs of scalars, as
/// lanes_type(element, n). Where the mask is false: zero, whatever the index is.
struct Gather {
  Expr vector;
  Expr index;
  Expr mask;
  static constexpr std::string_view kKeyword = "gather";
  static auto fields(auto& node) { return std::tie(node.vector, node.index, node.mask); }
};

/// `lookup` of lanes_type(K, n) in a dictionary whose keys and values consist of scalars, as
/// lanes_type(V, n): for each lane where the mask is true; zero elsewhere.
///
/// The annotation `impl:plain` goes to the dictionary key by key, `impl:staged` with all keys of the group at
/// once, so that their cache misses overlap. Without it that is decided while running.
struct LookupLanes {
  Expr dict;
  Expr keys;
  Expr mask;
  static constexpr std::string_view kKeyword = "lookup_lanes";
  static auto fields(auto& node) { return std::tie(node.dict, node.keys, node.mask); }
};

/// The same for `optlookup`: lanes_type({bool,V}, n), zero where the mask is false or the key absent. Values
/// that do not consist of scalars are left out, as in lanes_type.
struct OptLookupLanes {
  Expr dict;
  Expr keys;
  Expr mask;
  static constexpr std::string_view kKeyword = "optlookup_lanes";
  static auto fields(auto& node) { return std::tie(node.dict, node.keys, node.mask); }
};

/// Whether the mask is true for any lane.
struct AnyLane {
  Expr mask;
  static constexpr std::string_view kKeyword = "any_lane";
  static auto fields(auto& node) { return std::tie(node.mask); }
};

/// `function(value)`, a scalar or struct of scalars, for each lane where the mask is true, in order; zero
/// elsewhere.
struct MapLanes {
  Expr values;
  Expr mask;
  Expr function;
  static constexpr std::string_view kKeyword = "map_lanes";
  static auto fields(auto& node) { return std::tie(node.values, node.mask, node.function); }
};

/// Takes the builder through `function(builder, value)` for each lane where the mask is true, in order, each
/// as if in its iteration.
struct ForLanes {
  Expr builder;
  Expr values;
  Expr mask;
  Expr function;
  static constexpr std::string_view kKeyword = "for_lanes";
  static auto fields(auto& node) { return std::tie(node.builder, node.values, node.mask, node.function); }
};

using Node = std::variant<Literal, StringLiteral, Ident, Let, Lambda, Apply, Cast, Unary, Binary, Assert,
                          Broadcast, If, Select, Iterate, MakeStruct, MakeVector, GetField, Zip, Length,
                          Lookup, OptLookup, KeyExists, Slice, Sort, PartialSort, Serialize, Deserialize,
                          ForeignCall, ToVec, For, NewBuilder, Merge, MergeMasked, Result, Variants, Gather,
                          LookupLanes, OptLookupLanes, AnyLane, MapLanes, ForLanes>;
static_assert(std::is_trivially_destructible_v<Node>);

struct ExprRecord {
  Node node;
  Type type;
  Span span;
  Annotations annotations;
  std::uint32_t depth = 1;      ///< nesting; the body of a `let` is no deeper than the `let`
  std::uint32_t num_nodes = 1;  ///< as a tree (shared parts count each time), saturating
  Effects effects = Effects::kNone;
};

template <class T>
const T* Expr::as() const {
  return record_ ? std::get_if<T>(&record_->node) : nullptr;
}
inline Type Expr::type() const {
  return record_->type;
}
inline Span Expr::span() const {
  return record_->span;
}
inline Annotations Expr::annotations() const {
  return record_->annotations;
}
inline Effects Expr::effects() const {
  return record_->effects;
}
inline bool Expr::operator==(const Expr& other) const {
  if (record_ == other.record_) return true;
  const auto* ident = as<Ident>();
  const auto* other_ident = other.as<Ident>();
  return ident && other_ident && ident->symbol == other_ident->symbol;
}

template <class T>
ScalarKind kind_of() {
  if constexpr (std::is_same_v<T, bool>)
    return ScalarKind::kBool;
  else if constexpr (std::is_same_v<T, float>)
    return ScalarKind::kF32;
  else if constexpr (std::is_same_v<T, double>)
    return ScalarKind::kF64;
  else {
    static_assert(std::is_integral_v<T>);
    constexpr int log2_size = std::countr_zero(sizeof(T));
    return static_cast<ScalarKind>(log2_size + (std::is_signed_v<T> ? 0 : 4));
  }
}

template <class T>
ScalarValue ScalarValue::of(T value) {
  const ScalarKind kind = kind_of<T>();
  if constexpr (std::is_same_v<T, float>)
    return {kind, std::bit_cast<std::uint32_t>(value)};
  else if constexpr (std::is_same_v<T, double>)
    return {kind, std::bit_cast<std::uint64_t>(value)};
  else if constexpr (std::is_same_v<T, bool>)
    return {kind, value ? 1u : 0u};
  else
    return {kind, static_cast<std::make_unsigned_t<T>>(value)};
}

template <class T>
T ScalarValue::as() const {
  if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  else if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<double>(bits);
  else if constexpr (std::is_same_v<T, bool>)
    return bits != 0;
  else
    return static_cast<T>(bits);
}

/// Calls `f` with a value-initialised C++ scalar of the kind's type: f(std::int8_t{}), …
template <class F>
decltype(auto) dispatch(ScalarKind kind, F&& f) {
  switch (kind) {
    case ScalarKind::kI8:
      return f(std::int8_t{});
    case ScalarKind::kI16:
      return f(std::int16_t{});
    case ScalarKind::kI32:
      return f(std::int32_t{});
    case ScalarKind::kI64:
      return f(std::int64_t{});
    case ScalarKind::kU8:
      return f(std::uint8_t{});
    case ScalarKind::kU16:
      return f(std::uint16_t{});
    case ScalarKind::kU32:
      return f(std::uint32_t{});
    case ScalarKind::kU64:
      return f(std::uint64_t{});
    case ScalarKind::kF32:
      return f(float{});
    case ScalarKind::kF64:
      return f(double{});
    case ScalarKind::kBool:
      break;
  }
  return f(bool{});
}

/// What merging leaves unchanged: 0, 1, the largest or smallest value, an infinity.
ScalarValue identity_of(MergeOp op, ScalarKind kind);

}  // namespace weld::ir
