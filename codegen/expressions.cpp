#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>

#include <cstddef>

#include "codegen/builders/builder.h"
#include "codegen/dense_dictionaries.h"
#include "codegen/dictionaries.h"
#include "codegen/emitter.h"

// One lowering a node kind. Loops, sorts and what else needs functions of its own have files of their own.

namespace weld::codegen {
namespace {

using ir::ScalarKind;

const ir::Type kBoolType = ir::Type::scalar(ScalarKind::kBool);

// The loop whose only builder is a dictmerger or groupmerger that this is the result of; null for others.
ir::Expr filled_by(ir::Expr dict) {
  const auto* result = dict.as<ir::Result>();
  if (!result || !result->builder.is<ir::For>()) return {};
  const ir::Type type = result->builder.type();
  return type.as<ir::DictMergerType>() || type.as<ir::GroupMergerType>() ? result->builder : ir::Expr();
}

struct Lowering {
  Emitter& emitter;
  ir::Expr expr;

  llvm::IRBuilder<>& ir() const { return emitter.ir; }
  Value scalar(llvm::Value* value) const { return {expr.type(), {value}}; }

  Value operator()(const ir::Literal& node) const { return scalar(emitter.scalar_constant(node.value)); }

  Value operator()(const ir::StringLiteral& node) const {
    llvm::GlobalVariable* text =
        ir().CreateGlobalString(llvm::StringRef(node.bytes.data(), node.bytes.size()));
    return {expr.type(), {text, emitter.i64(static_cast<std::int64_t>(node.bytes.size()))}};
  }

  Value operator()(const ir::Ident& node) const { return {expr.type(), emitter.bound(node.symbol).leaves}; }

  Value operator()(const ir::Let&) const { return rejected("a let is written by the chain"); }
  Value operator()(const ir::Lambda&) const { return rejected("lambdas are written where they are used"); }
  Value operator()(const ir::Apply&) const { return rejected("applications are inlined"); }
  Value operator()(const ir::Zip&) const { return rejected("zips are inlined"); }

  Value operator()(const ir::Cast& node) const {
    return scalar(emitter.cast(node.value.type(), node.kind, emitter.emit_scalar(node.value)));
  }

  Value operator()(const ir::Unary& node) const {
    return scalar(emitter.unary(node.op, node.value.type(), emitter.emit_scalar(node.value)));
  }

  Value operator()(const ir::Binary& node) const {
    if (node.op == ir::BinaryOp::kLogicalAnd) {
      return short_circuit(
          node, [&] { return emitter.emit(node.right); },
          [&] { return Value{kBoolType, {ir().getFalse()}}; });
    }
    if (node.op == ir::BinaryOp::kLogicalOr) {
      return short_circuit(
          node, [&] { return Value{kBoolType, {ir().getTrue()}}; }, [&] { return emitter.emit(node.right); });
    }
    const Value left = emitter.emit(node.left);
    const Value right = emitter.emit(node.right);
    if (ir::is_comparison(node.op)) return scalar(emitter.compare(node.op, left, right));
    return scalar(emitter.binary(node.op, left.type, left.scalar(), right.scalar(), expr.span()));
  }

  // Both operands are evaluated without a branch where that cannot be noticed and costs little.
  template <class OnTrue, class OnFalse>
  Value short_circuit(const ir::Binary& node, OnTrue&& on_true, OnFalse&& on_false) const {
    llvm::Value* left = emitter.emit_scalar(node.left);
    constexpr std::uint32_t kCheapNodes = 8;
    if (node.right.effects() == ir::Effects::kNone && node.right.record().num_nodes <= kCheapNodes) {
      llvm::Value* right = emitter.emit_scalar(node.right);
      const bool is_and = node.op == ir::BinaryOp::kLogicalAnd;
      return scalar(is_and ? ir().CreateAnd(left, right) : ir().CreateOr(left, right));
    }
    return emitter.branch(left, on_true, on_false);
  }

  Value operator()(const ir::Assert& node) const {
    emitter.fail_if(ir().CreateNot(emitter.emit_scalar(node.condition)), ErrorCode::kAssertionError,
                    expr.span());
    return scalar(ir().getTrue());
  }

  Value operator()(const ir::Broadcast& node) const {
    const std::uint32_t lanes = expr.type().as<ir::SimdType>()->lanes;
    return scalar(ir().CreateVectorSplat(lanes, emitter.emit_scalar(node.value)));
  }

  Value operator()(const ir::If& node) const {
    llvm::Value* condition = emitter.emit_scalar(node.condition);
    llvm::BasicBlock* before = ir().GetInsertBlock();
    const Value value = emitter.branch(
        condition, [&] { return emitter.emit(node.on_true); }, [&] { return emitter.emit(node.on_false); });
    hint_branch(node, *before->getTerminator());
    return value;
  }

  // What the program says of a branch: how often it is taken, and that conditions joined by `&` or `|` are
  // one condition. LLVM would make a branch of each, mispredicted on its own: TPC-H Q12, whose filter
  // has five conditions, took 1.6 times as long.
  void hint_branch(const ir::If& node, llvm::Instruction& branch) const {
    llvm::MDBuilder metadata(branch.getContext());
    const auto* binary = node.condition.as<ir::Binary>();
    if (binary && (binary->op == ir::BinaryOp::kBitAnd || binary->op == ir::BinaryOp::kBitOr)) {
      branch.setMetadata(llvm::LLVMContext::MD_unpredictable, metadata.createUnpredictable());
    }
    const auto selectivity = ir::annotated_number(expr.annotations(), "branch_selectivity");
    if (selectivity && *selectivity >= 0 && *selectivity <= 1) {
      constexpr double kScale = 1 << 20;
      const auto taken = static_cast<std::uint32_t>(*selectivity * kScale);
      branch.setMetadata(
          llvm::LLVMContext::MD_prof,
          metadata.createBranchWeights(taken + 1, static_cast<std::uint32_t>(kScale) - taken + 1));
    }
  }

  Value operator()(const ir::Select& node) const {
    llvm::Value* condition = emitter.emit_scalar(node.condition);
    const Value on_true = emitter.emit(node.on_true);
    const Value on_false = emitter.emit(node.on_false);
    Value value{expr.type(), {}};
    for (std::size_t i = 0; i < on_true.leaves.size(); ++i) {
      value.leaves.push_back(ir().CreateSelect(condition, on_true.leaves[i], on_false.leaves[i]));
    }
    return value;
  }

  Value operator()(const ir::Gather&) const { return emit_gather(emitter, expr); }
  Value operator()(const ir::LookupLanes&) const { return emit_lookup_lanes(emitter, expr); }
  Value operator()(const ir::OptLookupLanes&) const { return emit_optlookup_lanes(emitter, expr); }
  Value operator()(const ir::AnyLane&) const { return emit_any_lane(emitter, expr); }
  Value operator()(const ir::MapLanes&) const { return emit_map_lanes(emitter, expr); }
  Value operator()(const ir::ForLanes&) const { return emit_for_lanes(emitter, expr); }
  Value not_lowered() const {
    ir::internal_check(false, "the form is lowered");
    return {};
  }

  Value operator()(const ir::Iterate&) const { return emit_iterate(emitter, expr); }
  Value operator()(const ir::Sort&) const { return emit_sort(emitter, expr); }
  Value operator()(const ir::PartialSort&) const { return emit_sort(emitter, expr); }
  Value operator()(const ir::ForeignCall&) const { return emit_foreign_call(emitter, expr); }
  Value operator()(const ir::Serialize&) const { return emit_serialize(emitter, expr); }
  Value operator()(const ir::Deserialize&) const { return emit_deserialize(emitter, expr); }
  Value operator()(const ir::For&) const { return emit_loop(emitter, expr); }
  Value operator()(const ir::Variants&) const { return emit_variants(emitter, expr); }

  Value operator()(const ir::MakeStruct& node) const {
    Value value{expr.type(), {}};
    for (ir::Expr member : node.members) {
      const Value part = emitter.emit(member);
      value.leaves.append(part.leaves.begin(), part.leaves.end());
    }
    return value;
  }

  Value operator()(const ir::MakeVector& node) const {
    std::vector<Value> elements;
    for (ir::Expr element : node.elements) elements.push_back(emitter.emit(element));
    const auto count = static_cast<std::int64_t>(elements.size());
    if (count == 0) return emitter.zero(expr.type());
    const std::int64_t bytes = emitter.flat(node.element).size_bytes;
    llvm::Value* data = emitter.allocate(emitter.i64(count * bytes), expr.span());
    for (std::int64_t i = 0; i < count; ++i) {
      emitter.store(elements[static_cast<std::size_t>(i)], emitter.offset(data, i * bytes));
    }
    return {expr.type(), {data, emitter.i64(count)}};
  }

  Value operator()(const ir::GetField& node) const {
    if (std::optional<Value> field = emitter.lazy_field(expr)) return *std::move(field);
    return emitter.member(emitter.emit(node.value), node.index);
  }

  Value operator()(const ir::Length& node) const {
    const Value value = emitter.emit(node.value);
    if (value.type.as<ir::VecType>()) return scalar(value.leaves[1]);
    return scalar(
        emitter.load_field(ir().getInt64Ty(), value.scalar(), offsetof(runtime::Dict, num_entries)));
  }

  Value operator()(const ir::Lookup& node) const {
    const Value container = emitter.emit(node.container);
    const Value key = emitter.emit(node.key);
    if (const auto* vec = container.type.as<ir::VecType>()) {
      llvm::Value* outside = ir().CreateICmpUGE(key.scalar(), container.leaves[1]);
      emitter.fail_if(outside, ErrorCode::kArrayOutOfBounds, expr.span());
      const std::int64_t bytes = emitter.flat(vec->element).size_bytes;
      return emitter.load_element(
          vec->element, emitter.element_address(container.leaves[0], key.scalar(), bytes), expr.span());
    }
    const EntryType type = entry_type(container.type);
    llvm::Value* entry = find_entry(emitter, type, container.scalar(), key);
    emitter.fail_if(ir().CreateIsNull(entry), ErrorCode::kKeyNotFoundError, expr.span());
    return emitter.load(type.value, entry_value_address(emitter, type, entry));
  }

  Value operator()(const ir::OptLookup& node) const {
    const Value dict = emitter.emit(node.dict);
    const Value key = emitter.emit(node.key);
    const EntryType type = entry_type(dict.type);
    llvm::Value* entry = find_entry(emitter, type, dict.scalar(), key);
    llvm::Value* found = ir().CreateIsNotNull(entry);
    const Value value = emitter.branch(
        found, [&] { return emitter.load(type.value, entry_value_address(emitter, type, entry)); },
        [&] { return emitter.zero(type.value); });
    return emitter.structure(expr.type(), {Value{kBoolType, {found}}, value});
  }

  Value operator()(const ir::KeyExists& node) const {
    const Value dict = emitter.emit(node.dict);
    const Value key = emitter.emit(node.key);
    return scalar(ir().CreateIsNotNull(find_entry(emitter, entry_type(dict.type), dict.scalar(), key)));
  }

  Value operator()(const ir::Slice& node) const {
    const Value vector = emitter.emit(node.vector);
    llvm::Value* start = emitter.emit_scalar(node.start);
    llvm::Value* count = emitter.emit_scalar(node.count);
    llvm::Value* outside =
        ir().CreateOr(ir().CreateICmpUGT(start, vector.leaves[1]), ir().CreateICmpSLT(count, emitter.i64(0)));
    emitter.fail_if(outside, ErrorCode::kArrayOutOfBounds, expr.span());
    llvm::Value* rest = ir().CreateSub(vector.leaves[1], start);
    const std::int64_t bytes = emitter.flat(vector.type.as<ir::VecType>()->element).size_bytes;
    llvm::Value* data = emitter.element_address(vector.leaves[0], start, bytes);
    emitter.note_part(data);
    return {expr.type(), {data, ir().CreateBinaryIntrinsic(llvm::Intrinsic::smin, count, rest)}};
  }

  Value operator()(const ir::ToVec& node) const {
    if (const ir::Expr loop = filled_by(node.dict))
      emitter.note_dict_use(loop, {.keeps_order = true, .has_slots = false});
    return entries_of(emitter, expr.type(), emitter.emit_scalar(node.dict));
  }

  // Whether the vector is the result of an appender that a loop fills, and has no name.
  static bool is_made_here(ir::Expr vector) {
    while (const auto* let = vector.as<ir::Let>()) vector = let->body;
    const auto* result = vector.as<ir::Result>();
    const auto* loop = result ? result->builder.as<ir::For>() : nullptr;
    const auto* builder = loop ? loop->builder.as<ir::NewBuilder>() : nullptr;
    return builder && builder->builder.as<ir::AppenderType>();
  }

  Value operator()(const ir::NewBuilder& node) const {
    if (!node.argument)
      return with_table(builder_ops(node.builder).create(emitter, node.builder, nullptr, expr.span()));
    const Value argument = emitter.emit(node.argument);
    // A vecmerger starts from a copy of its vector, or from the vector itself where nobody else has it.
    if (node.builder.as<ir::VecMergerType>() && is_made_here(node.argument))
      return {node.builder, argument.leaves};
    return with_table(builder_ops(node.builder).create(emitter, node.builder, &argument, expr.span()));
  }

  Value with_table(const Value& builder) const {
    if (const auto* dict = builder.type.as<ir::DictMergerType>())
      choose_table(emitter, {dict->key, dict->value}, builder.scalar(), expr.annotations(), expr.span());
    return builder;
  }

  Value operator()(const ir::Merge& node) const {
    const Value builder = emitter.emit(node.builder);
    const Value value = emitter.emit(node.value);
    const bool is_element = value.type == emitter.module.merge_type(builder.type);
    emitter.count_merge(node.builder, is_element ? 1 : ir::num_lanes(value.type).value_or(1), nullptr);
    return merge_any(emitter, builder, value, expr.span());
  }

  Value operator()(const ir::MergeMasked& node) const {
    const Value builder = emitter.emit(node.builder);
    const Value value = emitter.emit(node.value);
    llvm::Value* mask = emitter.emit_scalar(node.mask);
    emitter.count_merge(node.builder, 1, mask);
    return merge_masked(emitter, builder, value, mask, expr.span());
  }

  Value operator()(const ir::Result& node) const {
    if (std::optional<Value> groups = emit_grouped(emitter, expr)) return *groups;
    return finish(emitter.emit(node.builder), expr.type());
  }

  // The values of a builder, or of each builder of a struct.
  Value finish(const Value& builder, ir::Type type) const {
    const auto* structure = builder.type.as<ir::StructType>();
    if (!structure) return builder_ops(builder.type).result(emitter, builder, type, expr.span());
    std::vector<Value> values;
    for (std::uint32_t i = 0; i < structure->members.size(); ++i) {
      values.push_back(finish(emitter.member(builder, i), type.as<ir::StructType>()->members[i]));
    }
    return emitter.structure(type, values);
  }

  static EntryType entry_type(ir::Type dict) {
    return {dict.as<ir::DictType>()->key, dict.as<ir::DictType>()->value};
  }

  Value rejected(std::string_view invariant) const {
    ir::internal_check(false, invariant);
    return {};
  }
};

// What an expression looks a key up in, if it does.
ir::Expr lookup_dict(ir::Expr expr) {
  if (const auto* lookup = expr.as<ir::Lookup>()) return lookup->container;
  if (const auto* lookup = expr.as<ir::OptLookup>()) return lookup->dict;
  if (const auto* lookup = expr.as<ir::KeyExists>()) return lookup->dict;
  if (const auto* lookup = expr.as<ir::LookupLanes>()) return lookup->dict;
  if (const auto* lookup = expr.as<ir::OptLookupLanes>()) return lookup->dict;
  return {};
}

}  // namespace

DictUse dict_use(ir::Symbol dict, ir::Expr scope) {
  const auto is_dict = [&](ir::Expr expr) {
    const auto* ident = expr.as<ir::Ident>();
    return ident && ident->symbol == dict;
  };
  DictUse use{.keeps_order = false, .has_slots = false};
  bool is_passed_on = is_dict(scope);
  ir::for_each_node(scope, [&](ir::Expr expr) {
    ir::for_each_child(expr, [&](ir::Expr child) {
      if (!is_dict(child)) return;
      if (lookup_dict(expr)) {
        use.has_slots = true;
      } else if (expr.is<ir::ToVec>()) {
        use.keeps_order = true;
      } else if (!expr.is<ir::Length>()) {
        is_passed_on = true;
      }
    });
  });
  return is_passed_on ? DictUse{} : use;
}

Value Emitter::emit(ir::Expr expr) {
  while (const auto* let = expr.as<ir::Let>()) {
    if (const ir::Expr loop = filled_by(let->value)) note_dict_use(loop, dict_use(let->symbol, let->body));
    bind(let->symbol, emit(let->value));
    if (ir::contains_builder(let->value.type()) && derives_from_loop(let->value)) {
      mark_loop_state(let->symbol);
      named_builders_[let->symbol.id()] = let->value;
    }
    free_dead_vectors(let->symbol);
    expr = let->body;
  }
  return std::visit(Lowering{*this, expr}, expr.record().node);
}

void Emitter::free_dead_vectors(ir::Symbol let) {
  const auto found = dead_vectors_.find(let.id());
  if (found == dead_vectors_.end()) return;
  for (const ir::Symbol vector : found->second) call("weld_rt_free", {worker, bound(vector).leaves.front()});
}

Value Emitter::load_element(ir::Type type, llvm::Value* address, ir::Span span) {
  Value value = load(type, address);
  const FlatType& leaves = flat(type);
  std::vector<llvm::Value*> wrong;
  for (std::size_t i = 0; i + 1 < leaves.leaves.size(); ++i) {
    if (leaves.leaves[i + 1].kind == LeafKind::kLength)
      wrong.push_back(is_malformed(value.leaves[i], value.leaves[i + 1]));
  }
  fail_if_any(wrong, ErrorCode::kArrayOutOfBounds, span);
  return value;
}

llvm::Value* Emitter::is_malformed(llvm::Value* data, llvm::Value* length) {
  llvm::Value* negative = ir.CreateICmpSLT(length, i64(0));
  llvm::Value* missing = ir.CreateAnd(ir.CreateIsNull(data), ir.CreateICmpSGT(length, i64(0)));
  return ir.CreateOr(negative, missing);
}

}  // namespace weld::codegen
