#include "parser/unification.h"

#include <algorithm>

#include "ir/error.h"

namespace weld::parser {

using TypeForm = InferredType::Form;

InferredType* Unifier::scalar(ir::ScalarKind kind) {
  return pool_.make(InferredType{.form = TypeForm::kScalar, .scalar = kind});
}

InferredType* Unifier::make(TypeForm form, std::span<InferredType* const> parts) {
  InferredType* type = pool_.make(InferredType{.form = form});
  type->parts = pool_.copy(parts);
  return type;
}

InferredType* Unifier::written(const TypeAst* type) {
  if (!type || type->form == TypeAst::Form::kOmitted) return unknown();
  static constexpr TypeForm kForms[] = {TypeForm::kScalar,   TypeForm::kVec,        TypeForm::kSimd,
                                        TypeForm::kDict,     TypeForm::kStruct,     TypeForm::kAppender,
                                        TypeForm::kMerger,   TypeForm::kDictMerger, TypeForm::kGroupMerger,
                                        TypeForm::kVecMerger};
  std::vector<InferredType*> parts;
  for (const TypeAst* part : type->parts) parts.push_back(written(part));
  if (type->form == TypeAst::Form::kSimd) parts.push_back(scalar(type->scalar));
  InferredType* made = make(kForms[static_cast<std::size_t>(type->form)], parts);
  made->scalar = type->scalar;
  made->op = type->op;
  made->lanes = type->lanes;
  made->annotations = type->annotations;
  return made;
}

InferredType* Unifier::root(InferredType* type) {
  while (type->form == TypeForm::kUnknown && type->found) {
    if (type->found->form == TypeForm::kUnknown && type->found->found) type->found = type->found->found;
    type = type->found;
  }
  return type;
}

void Unifier::find(InferredType* unknown, InferredType* type) {
  unknown->found = type;
  Constraint* waiting = unknown->waiting;
  unknown->waiting = nullptr;
  while (waiting) {
    Constraint* next = waiting->next_waiting;
    if (type->form == TypeForm::kUnknown) {
      waiting->next_waiting = type->waiting;
      type->waiting = waiting;
    } else {
      ready_.push_back(waiting);
    }
    waiting = next;
  }
}

bool Unifier::unify(InferredType* left, InferredType* right) {
  const auto representative = [](InferredType* type) {
    type = root(type);
    while (type->same) {
      if (type->same->same) type->same = type->same->same;
      type = type->same;
    }
    return type;
  };
  bool agrees = true;
  pairs_.assign(1, {left, right});
  while (!pairs_.empty()) {
    const auto [first, second] = pairs_.back();
    pairs_.pop_back();
    InferredType* l = representative(first);
    InferredType* r = representative(second);
    if (l == r) continue;
    if (l->form == TypeForm::kUnknown) {
      find(l, r);
    } else if (r->form == TypeForm::kUnknown) {
      find(r, l);
    } else if (l->form != TypeForm::kWrong && r->form != TypeForm::kWrong) {
      const bool same_head = l->form == r->form && l->op == r->op && l->parts.size() == r->parts.size() &&
                             (l->form != TypeForm::kScalar || l->scalar == r->scalar) &&
                             (l->form != TypeForm::kSimd || l->lanes == r->lanes);
      if (!same_head) {
        agrees = false;
        continue;
      }
      r->same = l;
      for (std::size_t i = 0; i < l->parts.size(); ++i) pairs_.emplace_back(l->parts[i], r->parts[i]);
    }
  }
  drain();
  return agrees;
}

void Unifier::field(InferredType* structure, std::uint32_t index, InferredType* result) {
  post({.rule = Rule::kField, .index = index, .subject = structure, .result = result});
}
void Unifier::lookup(InferredType* container, InferredType* key, InferredType* value) {
  post({.rule = Rule::kLookup, .subject = container, .other = key, .result = value});
}
void Unifier::result(InferredType* builder, InferredType* value) {
  post({.rule = Rule::kResult, .subject = builder, .result = value});
}
void Unifier::merge(InferredType* builder, InferredType* value) {
  post({.rule = Rule::kMerge, .subject = builder, .other = value});
}
void Unifier::lanes_of(InferredType* operand, ir::ScalarKind kind, InferredType* result) {
  post({.rule = Rule::kLanes, .kind = kind, .subject = operand, .result = result});
}
void Unifier::dictmerger_argument(InferredType* argument, InferredType* builder) {
  post({.rule = Rule::kArgument, .subject = argument, .other = builder});
}

void Unifier::post(const Constraint& constraint) {
  ready_.push_back(pool_.make(constraint));
  drain();
}

// Rules call `unify`, and that makes other rules ready: they wait in `ready_` rather than on the stack.
void Unifier::drain() {
  if (draining_) return;
  draining_ = true;
  while (!ready_.empty()) {
    Constraint* constraint = ready_.back();
    ready_.pop_back();
    InferredType* blocked = attempt(*constraint);
    if (!blocked) {
      constraint->is_done = true;
      continue;
    }
    constraint->next_waiting = blocked->waiting;
    blocked->waiting = constraint;
    open_.push_back(constraint);
  }
  draining_ = false;
}

// Null when the rule is applied, else the type that must be known first.
InferredType* Unifier::attempt(Constraint& constraint) {
  InferredType* subject = root(constraint.subject);
  if (subject->form == TypeForm::kUnknown) return subject;
  switch (constraint.rule) {
    case Rule::kField:
      if (subject->form == TypeForm::kStruct && constraint.index < subject->parts.size())
        unify(constraint.result, subject->parts[constraint.index]);
      else
        unify(constraint.result, wrong());
      break;
    case Rule::kLookup:
      if (subject->form == TypeForm::kVec) {
        unify(constraint.other, scalar(ir::ScalarKind::kI64));
        unify(constraint.result, subject->parts[0]);
      } else if (subject->form == TypeForm::kDict) {
        unify(constraint.other, subject->parts[0]);
        unify(constraint.result, subject->parts[1]);
      } else {
        unify(constraint.result, wrong());
      }
      break;
    case Rule::kResult:
      switch (subject->form) {
        case TypeForm::kMerger:
          unify(constraint.result, subject->parts[0]);
          break;
        case TypeForm::kAppender:
        case TypeForm::kVecMerger:
          unify(constraint.result, make(TypeForm::kVec, {subject->parts[0]}));
          break;
        case TypeForm::kDictMerger:
          unify(constraint.result, make(TypeForm::kDict, {subject->parts[0], subject->parts[1]}));
          break;
        case TypeForm::kGroupMerger:
          unify(constraint.result,
                make(TypeForm::kDict, {subject->parts[0], make(TypeForm::kVec, {subject->parts[1]})}));
          break;
        case TypeForm::kStruct: {
          std::vector<InferredType*> values;
          for (std::size_t i = 0; i < subject->parts.size(); ++i) values.push_back(unknown());
          unify(constraint.result, make(TypeForm::kStruct, values));
          for (std::size_t i = 0; i < values.size(); ++i) result(subject->parts[i], values[i]);
          break;
        }
        default:
          unify(constraint.result, wrong());
      }
      break;
    case Rule::kMerge:
      return attempt_merge(constraint);
    case Rule::kLanes:
      if (subject->form == TypeForm::kSimd) {
        InferredType* simd = make(TypeForm::kSimd, {scalar(constraint.kind)});
        simd->lanes = subject->lanes;
        unify(constraint.result, simd);
      } else {
        unify(constraint.result, scalar(constraint.kind));
      }
      break;
    case Rule::kArgument: {
      const bool is_size = subject->form == TypeForm::kScalar;
      InferredType* builder = root(constraint.other);
      if (!is_size) unify(subject, make(TypeForm::kDict, {builder->parts[0], builder->parts[1]}));
      break;
    }
  }
  return nullptr;
}

InferredType* Unifier::attempt_merge(Constraint& constraint) {
  InferredType* builder = root(constraint.subject);
  switch (builder->form) {
    case TypeForm::kDictMerger:
    case TypeForm::kGroupMerger:
      unify(constraint.other, make(TypeForm::kStruct, {builder->parts[0], builder->parts[1]}));
      return nullptr;
    case TypeForm::kVecMerger:
      unify(constraint.other, make(TypeForm::kStruct, {scalar(ir::ScalarKind::kI64), builder->parts[0]}));
      return nullptr;
    case TypeForm::kAppender:
    case TypeForm::kMerger:
      break;
    default:
      return nullptr;
  }
  // An appender or merger of scalars takes their simd too.
  InferredType* element = root(builder->parts[0]);
  InferredType* value = root(constraint.other);
  const bool takes_lanes = element->form == TypeForm::kUnknown || element->form == TypeForm::kScalar;
  if (takes_lanes && value->form == TypeForm::kUnknown) return value;
  unify(element, takes_lanes && value->form == TypeForm::kSimd ? value->parts[0] : value);
  return nullptr;
}

void Unifier::settle() {
  // In the order in which the rules were given. A rule may be open several times.
  for (std::size_t i = 0; i < open_.size(); ++i) {
    Constraint& constraint = *open_[i];
    if (constraint.is_done) continue;
    assume(constraint);
  }
}

void Unifier::assume(Constraint& constraint) {
  InferredType* subject = root(constraint.subject);
  const bool is_known = subject->form != TypeForm::kUnknown;
  if (constraint.rule == Rule::kLanes && !is_known) {
    constraint.is_done = true;
    unify(constraint.result, scalar(constraint.kind));
  } else if (constraint.rule == Rule::kMerge && is_known) {
    constraint.is_done = true;
    unify(subject->parts[0], constraint.other);
  } else if (constraint.rule == Rule::kArgument && !is_known) {
    constraint.is_done = true;
    InferredType* builder = root(constraint.other);
    unify(subject, make(TypeForm::kDict, {builder->parts[0], builder->parts[1]}));
  }
}

Unifier::Converted Unifier::convert(InferredType* type) {
  return convert(type, true, 1);
}

Unifier::Converted Unifier::convert(InferredType* type, bool with_annotations, std::uint32_t depth) {
  InferredType* known = root(type);
  if (known != type) with_annotations = false;
  if (known->form == TypeForm::kWrong) return {{}, Outcome::kWrong};
  if (known->form == TypeForm::kUnknown) {
    known->form = TypeForm::kWrong;
    return {{}, Outcome::kUnknown};
  }
  if (known->is_converting) return {{}, Outcome::kEndless};
  if (depth > ir::kMaxTypeDepth) {
    throw ir::UserError("types are nested too deep", {}, ErrorCode::kBudgetExceeded);
  }
  ir::Type& done = with_annotations ? known->annotated : known->plain;
  if (done) return {done, Outcome::kKnown};

  // A malformed type is reported once, by whoever converts it first.
  struct Mark {
    InferredType* type;
    bool is_done = false;
    ~Mark() {
      type->is_converting = false;
      if (!is_done) type->form = TypeForm::kWrong;
    }
  } mark{known};
  known->is_converting = true;
  std::vector<ir::Type> parts;
  Outcome outcome = Outcome::kKnown;
  for (InferredType* part : known->parts) {
    const Converted converted = convert(part, with_annotations, depth + 1);
    if (outcome == Outcome::kKnown) outcome = converted.outcome;
    parts.push_back(converted.type);
  }
  if (outcome != Outcome::kKnown) return {{}, outcome};
  done = arena_.add_type(node_of(*known, parts));
  if (with_annotations && !known->annotations.empty())
    done = arena_.with_annotations(done, known->annotations);
  mark.is_done = true;
  return {done, Outcome::kKnown};
}

ir::TypeNode Unifier::node_of(const InferredType& type, std::span<const ir::Type> parts) {
  switch (type.form) {
    case TypeForm::kVec:
      return ir::VecType{parts[0]};
    case TypeForm::kSimd: {
      const auto* scalar = parts[0].as<ir::ScalarType>();
      if (!scalar) throw ir::UserError("simd holds scalars only, not " + ir::to_string(parts[0]), {});
      return ir::SimdType{scalar->kind, type.lanes};
    }
    case TypeForm::kDict:
      return ir::DictType{parts[0], parts[1]};
    case TypeForm::kStruct:
      return ir::StructType{arena_.keep(parts)};
    case TypeForm::kAppender:
      return ir::AppenderType{parts[0]};
    case TypeForm::kMerger:
      return ir::MergerType{parts[0], type.op};
    case TypeForm::kDictMerger:
      return ir::DictMergerType{parts[0], parts[1], type.op};
    case TypeForm::kGroupMerger:
      return ir::GroupMergerType{parts[0], parts[1]};
    case TypeForm::kVecMerger:
      return ir::VecMergerType{parts[0], type.op};
    default:
      return ir::ScalarType{type.scalar};
  }
}

}  // namespace weld::parser
