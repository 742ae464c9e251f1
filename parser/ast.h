#pragma once

#include <cstdint>
#include <memory_resource>
#include <span>
#include <string_view>
#include <vector>

#include "ir/nodes.h"
#include "parser/call_forms.h"

namespace weld::parser {

/// Owns what is made while a program is read: trees, scopes, types. Nothing in it is destroyed.
class Pool {
 public:
  template <class T>
  T* make(const T& value) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (memory_.allocate(sizeof(T), alignof(T))) T(value);
  }
  template <class T>
  std::span<T> copy(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (values.empty()) return {};
    T* copies = static_cast<T*>(memory_.allocate(values.size() * sizeof(T), alignof(T)));
    std::uninitialized_copy(values.begin(), values.end(), copies);
    return {copies, values.size()};
  }
  template <class T>
  std::span<T> filled(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    T* values = static_cast<T*>(memory_.allocate(count * sizeof(T), alignof(T)));
    std::uninitialized_value_construct_n(values, count);
    return {values, count};
  }

 private:
  std::pmr::monotonic_buffer_resource memory_{4096};
};

/// A type as written, aliases replaced.
struct TypeAst {
  enum class Form : std::uint8_t {
    kScalar,
    kVec,
    kSimd,
    kDict,
    kStruct,
    kAppender,
    kMerger,
    kDictMerger,
    kGroupMerger,
    kVecMerger,
    kOmitted,  ///< `?`, or not written at all
  };
  Form form = Form::kOmitted;
  ir::ScalarKind scalar = ir::ScalarKind::kI32;
  ir::MergeOp op = ir::MergeOp::kAdd;
  std::uint32_t lanes = 4;
  std::span<const TypeAst* const> parts;
  ir::Annotations annotations;
  std::uint32_t size = 1;   ///< parts as a tree
  std::uint32_t depth = 1;  ///< nesting
};

/// A place that gives a name a meaning. Names are resolved while parsing; what a binder stands for is known
/// only when its scope is expanded: a slot in the frame of the function, macro or program it belongs to.
struct Binder {
  std::string_view name;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t level = 0;  ///< functions around it, in its macro or program
  std::uint32_t slot = 0;
  std::uint32_t uses = 0;  ///< in the text
};

/// A parameter, or the left side of a `let`.
struct BindingAst {
  Binder* binder;
  const TypeAst* type;  ///< null when not written
  std::uint32_t begin;  ///< where the parameter or `let` begins
};

struct IteratorAst {
  ir::IteratorKind kind;
  std::uint32_t num_parts;
};

enum class Form : std::uint8_t {
  kLiteral,   // literal
  kString,    // text
  kName,      // text, binder
  kBlock,     // `let`s: bindings; parts are their values and the body
  kLambda,    // bindings, level, num_slots; part: body
  kCall,      // parts: what is called, arguments
  kCast,      // detail: ScalarKind
  kUnary,     // detail: UnaryOp
  kBinary,    // detail: BinaryOp
  kAscribed,  // type; part: value
  kStruct,
  kVector,
  kField,  // index
  kZip,
  kCallForm,     // call_form
  kBroadcast,    // index: lanes
  kDeserialize,  // type
  kForeignCall,  // text, type
  kFor,          // iterators; parts are theirs, builder, function, lanes if detail is 1
  kNewBuilder,   // type; part: argument, or none
};

/// An expression as written.
struct Ast {
  Form form;
  std::uint8_t detail = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t depth = 1;  ///< as that of an expression (ir::ExprRecord)
  std::uint32_t index = 0;
  std::uint32_t level = 0;
  std::uint32_t num_slots = 0;
  ir::Annotations annotations = {};
  std::span<Ast* const> parts = {};
  std::span<const BindingAst> bindings = {};
  std::span<const IteratorAst> iterators = {};
  ir::ScalarValue literal = {};
  std::string_view text = {};
  Binder* binder = nullptr;  ///< null for what no scope binds: a macro, a function or an error
  const TypeAst* type = nullptr;
  const CallForm* call_form = nullptr;
};

struct MacroAst {
  std::string_view name;
  std::span<Binder* const> parameters;
  Ast* body = nullptr;
  std::uint32_t num_slots = 0;
  bool is_standard = false;
};

struct ProgramAst {
  std::vector<const MacroAst*> macros;
  const Ast* body = nullptr;
  std::uint32_t num_slots = 0;
};

}  // namespace weld::parser
