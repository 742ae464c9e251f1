#pragma once

#include <deque>
#include <span>
#include <vector>

#include "ir/arena.h"
#include "parser/ast.h"

namespace weld::parser {

struct Constraint;

/// A type that may not be known yet. Written types keep their annotations; types that are only found never
/// get any.
struct InferredType {
  enum class Form : std::uint8_t {
    kUnknown,
    kWrong,  ///< the expression is in error: agrees with everything
    kScalar,
    kVec,
    kSimd,  ///< its part is a scalar
    kDict,
    kStruct,
    kAppender,
    kMerger,
    kDictMerger,
    kGroupMerger,
    kVecMerger,
  };
  Form form = Form::kUnknown;
  ir::ScalarKind scalar = ir::ScalarKind::kI32;
  ir::MergeOp op = ir::MergeOp::kAdd;
  bool is_converting = false;
  std::uint32_t lanes = 4;
  std::span<InferredType* const> parts;
  ir::Annotations annotations;
  InferredType* found = nullptr;  ///< of kUnknown: what it turned out to be
  InferredType* same = nullptr;   ///< of others: a type that was unified with it
  Constraint* waiting = nullptr;  ///< of kUnknown: what can go on when it is known
  ir::Type plain = {};            ///< once converted, without annotations
  ir::Type annotated = {};
};

/// Types by unification, with rules that wait for a type to be known. It never reports anything: what does
/// not fit together is left as it is, and found when nodes are made of it (ir/typing.h).
class Unifier {
 public:
  using Form = InferredType::Form;

  Unifier(Pool& pool, ir::Arena& arena) : pool_(pool), arena_(arena) {}

  // Types.
  InferredType* unknown() { return pool_.make(InferredType{}); }
  InferredType* wrong() { return pool_.make(InferredType{.form = Form::kWrong}); }
  InferredType* scalar(ir::ScalarKind kind);
  InferredType* make(Form form, std::initializer_list<InferredType*> parts) {
    return make(form, std::span(parts.begin(), parts.size()));
  }
  InferredType* make(Form form, std::span<InferredType* const> parts);
  InferredType* written(const TypeAst* type);

  /// The type itself, or what an unknown one turned out to be.
  static InferredType* root(InferredType* type);

  /// Makes both equal as far as possible; false where they cannot be.
  bool unify(InferredType* left, InferredType* right);

  // Rules. Each holds at once where the types are known, else when they become so.
  void field(InferredType* structure, std::uint32_t index, InferredType* result);
  void lookup(InferredType* container, InferredType* key, InferredType* value);
  void result(InferredType* builder, InferredType* value);
  void merge(InferredType* builder, InferredType* value);
  /// `result` is a scalar of that kind, or the simd of it where `operand` is simd.
  void lanes_of(InferredType* operand, ir::ScalarKind kind, InferredType* result);
  /// The size or dictionary that a dictmerger begins with.
  void dictmerger_argument(InferredType* argument, InferredType* builder);

  /// Settles what is still open: scalars rather than simd. Call once, after all rules are given.
  void settle();

  enum class Outcome : std::uint8_t { kKnown, kUnknown, kWrong, kEndless };
  struct Converted {
    ir::Type type;  ///< null unless kKnown
    Outcome outcome;
  };
  /// The type in the arena. An unknown part counts as wrong from then on, so that it is reported once.
  ///
  /// Errors  UserError without a place where the type is malformed (ir::Arena::add_type).
  Converted convert(InferredType* type);

 private:
  enum class Rule : std::uint8_t { kField, kLookup, kResult, kMerge, kLanes, kArgument };

  void post(const Constraint& constraint);
  void drain();
  InferredType* attempt(Constraint& constraint);
  InferredType* attempt_merge(Constraint& constraint);
  void assume(Constraint& constraint);
  void find(InferredType* unknown, InferredType* type);
  Converted convert(InferredType* type, bool with_annotations, std::uint32_t depth);
  ir::TypeNode node_of(const InferredType& type, std::span<const ir::Type> parts);

  Pool& pool_;
  ir::Arena& arena_;
  std::vector<std::pair<InferredType*, InferredType*>> pairs_;
  std::vector<Constraint*> ready_;
  std::vector<Constraint*> open_;
  bool draining_ = false;

  friend struct Constraint;
};

/// A rule that holds between types.
struct Constraint {
  Unifier::Rule rule;
  ir::ScalarKind kind = ir::ScalarKind::kBool;
  bool is_done = false;
  std::uint32_t index = 0;
  InferredType* subject = nullptr;
  InferredType* other = nullptr;
  InferredType* result = nullptr;
  Constraint* next_waiting = nullptr;
};

}  // namespace weld::parser
