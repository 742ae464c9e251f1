#include "codegen/emitter.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <cstddef>

#include "runtime/run_context.h"

namespace weld::codegen {

ModuleEmitter::ModuleEmitter(llvm::Module& module, const llvm::Module& runtime, const EmitOptions& options,
                             ProgramConstants& constants)
    : module_(module),
      runtime_(runtime),
      options_(options),
      constants_(constants),
      types_(module.getContext()) {}

llvm::Function* ModuleEmitter::runtime_function(std::string_view name) {
  const llvm::StringRef symbol(name.data(), name.size());
  if (llvm::Function* declared = module_.getFunction(symbol)) return declared;
  const llvm::Function* known = runtime_.getFunction(symbol);
  ir::internal_check(known != nullptr, "the runtime declares " + std::string(name));
  auto* declared =
      llvm::Function::Create(known->getFunctionType(), llvm::Function::ExternalLinkage, symbol, module_);
  declared->setAttributes(known->getAttributes());
  declared->removeFnAttr("target-cpu");
  declared->removeFnAttr("target-features");
  declared->addFnAttr(llvm::Attribute::NoUnwind);
  return declared;
}

llvm::Function* ModuleEmitter::external_function(std::string_view symbol, llvm::FunctionType* type,
                                                 bool pure) {
  const llvm::StringRef name(symbol.data(), symbol.size());
  if (llvm::Function* declared = module_.getFunction(name)) return declared;
  auto* declared = llvm::Function::Create(type, llvm::Function::ExternalLinkage, name, module_);
  declared->addFnAttr(llvm::Attribute::NoUnwind);
  if (pure) {
    declared->addFnAttr(llvm::Attribute::WillReturn);
    declared->setDoesNotAccessMemory();
  }
  return declared;
}

llvm::Function* ModuleEmitter::foreign_function(std::string_view name, std::size_t num_parameters,
                                                ir::Span span) {
  const std::string symbol = std::string(kForeignPrefix) + std::string(name);
  if (llvm::Function* declared = module_.getFunction(symbol);
      declared && declared->arg_size() == num_parameters) {
    return declared;
  }
  const auto known = std::ranges::find(constants_.foreign_symbols, name, &ForeignSymbol::name);
  if (known == constants_.foreign_symbols.end())
    constants_.foreign_symbols.push_back({std::string(name), span});
  const llvm::SmallVector<llvm::Type*, 8> parameters(num_parameters, llvm::PointerType::get(context(), 0));
  return external_function(
      symbol, llvm::FunctionType::get(llvm::Type::getVoidTy(context()), parameters, false), false);
}

std::uint32_t ModuleEmitter::layout_index(ir::Type type) {
  const runtime::TypeLayout* layout = &constants_.layouts.of(type);
  auto& used = constants_.used_layouts;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i] == layout) return static_cast<std::uint32_t>(i);
  }
  used.push_back(layout);
  return static_cast<std::uint32_t>(used.size() - 1);
}

std::uint32_t ModuleEmitter::span_index(ir::Span span) {
  if (!span) return runtime::kNoSpan;  // the caller's place is taken
  const std::uint64_t key = reinterpret_cast<std::uintptr_t>(span.source) * 31 +
                            (static_cast<std::uint64_t>(span.begin) << 32 | span.end);
  auto& spans = constants_.spans;
  const auto [entry, inserted] = span_indices_.emplace(key, static_cast<std::uint32_t>(spans.size()));
  if (!inserted && spans[entry->second] == span) return entry->second;
  spans.push_back(span);
  return static_cast<std::uint32_t>(spans.size() - 1);
}

std::uint32_t ModuleEmitter::loop_site(runtime::LoopSite site) {
  auto& loops = constants_.loops;
  const auto known = std::ranges::find_if(loops, [&](const runtime::LoopSite& each) {
    return each.span == site.span && each.depth == site.depth && each.span != runtime::kNoSpan;
  });
  const auto index = static_cast<std::uint32_t>(known - loops.begin());
  if (known == loops.end()) loops.push_back(std::move(site));
  return index;
}

llvm::Function* ModuleEmitter::add_function(const std::string& name, llvm::ArrayRef<llvm::Type*> parameters,
                                            llvm::Type* result) {
  if (!result) result = llvm::Type::getInt32Ty(context());
  auto* type = llvm::FunctionType::get(result, parameters, false);
  auto* function = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module_);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  return function;
}

llvm::Function* ModuleEmitter::shared_function(const std::string& name, ir::Type type, int variant,
                                               llvm::ArrayRef<llvm::Type*> parameters, llvm::Type* result,
                                               const std::function<void(llvm::Function*)>& write) {
  for (const SharedFunction& shared : shared_) {
    if (shared.variant == variant && shared.name == name && shared.type == type) return shared.function;
  }
  llvm::Function* function = add_function(name, parameters, result);
  shared_.push_back({name, type, variant, function});
  write(function);
  return function;
}

Emitter::Emitter(ModuleEmitter& owner, llvm::Function* filled)
    : module(owner), function(filled), ir(owner.context()), worker(filled->getArg(0)) {
  ir.SetInsertPoint(llvm::BasicBlock::Create(module.context(), "entry", function));
  if (module.options().allow_fma) {
    llvm::FastMathFlags flags;
    flags.setAllowContract(true);
    ir.setFastMathFlags(flags);
  }
  error_targets_.push_back({nullptr, nullptr, nullptr});
}

Value Emitter::bound(ir::Symbol symbol) {
  if (const auto lazy = lazy_.find(symbol.id()); lazy != lazy_.end()) {
    return lazy_leaves(symbol.id(), lazy->second.type, 0, lazy->second.leaves.size());
  }
  const auto found = symbols_.find(symbol.id());
  ir::internal_check(found != symbols_.end(), "symbol " + std::string(symbol.name()) + " is bound");
  return found->second;
}

void Emitter::bind_lazily(ir::Symbol symbol, ir::Type type, LoadLeaf load) {
  std::vector<llvm::Value*> leaves(flat(type).leaves.size());
  lazy_[symbol.id()] = {type, std::move(load), std::move(leaves)};
}

Value Emitter::lazy_leaves(std::uint64_t symbol, ir::Type type, std::size_t first, std::size_t count) {
  LazyValue& lazy = lazy_.at(symbol);
  Value value{type, {}};
  for (std::size_t leaf = first; leaf < first + count; ++leaf) {
    if (!lazy.leaves[leaf]) {
      lazy.leaves[leaf] = lazy.load(leaf);
      loaded_.push_back({symbol, leaf});
    }
    value.leaves.push_back(lazy.leaves[leaf]);
  }
  return value;
}

std::optional<Value> Emitter::lazy_field(ir::Expr expr) {
  std::size_t first = 0;
  ir::Expr place = expr;
  while (const auto* field = place.as<ir::GetField>()) {
    first += flat(field->value.type()).member_leaves[field->index];
    place = field->value;
  }
  const auto* root = place.as<ir::Ident>();
  if (!root || !lazy_.contains(root->symbol.id())) return std::nullopt;
  return lazy_leaves(root->symbol.id(), expr.type(), first, flat(expr.type()).leaves.size());
}

void Emitter::forget_loaded(std::size_t mark) {
  for (std::size_t i = mark; i < loaded_.size(); ++i)
    lazy_.at(loaded_[i].symbol).leaves[loaded_[i].leaf] = nullptr;
  loaded_.resize(mark);
}

void Emitter::finish() {
  ir.CreateRet(i32(0));
  ErrorTarget& target = error_targets_.front();
  if (!target.block) return;
  ir.SetInsertPoint(target.block);
  ir.CreateRet(target.code);
}

Value Emitter::load(ir::Type type, llvm::Value* address) {
  Value value{type, {}};
  for (const Leaf& leaf : flat(type).leaves)
    value.leaves.push_back(load_leaf(leaf, offset(address, leaf.offset)));
  return value;
}

void Emitter::store(const Value& value, llvm::Value* address) {
  const FlatType& type = flat(value.type);
  for (std::size_t i = 0; i < type.leaves.size(); ++i) {
    store_leaf(type.leaves[i], value.leaves[i], offset(address, type.leaves[i].offset));
  }
}

llvm::Value* Emitter::load_leaf(const Leaf& leaf, llvm::Value* address) {
  llvm::Type* type = memory_type(leaf);
  llvm::Value* value =
      ir.CreateAlignedLoad(type, address, llvm::Align(static_cast<std::uint64_t>(memory_alignment(leaf))));
  return type == leaf.type ? value : ir.CreateICmpNE(value, llvm::Constant::getNullValue(type));
}

void Emitter::store_leaf(const Leaf& leaf, llvm::Value* value, llvm::Value* address) {
  llvm::Type* type = memory_type(leaf);
  if (type != leaf.type) value = ir.CreateZExt(value, type);
  ir.CreateAlignedStore(value, address, llvm::Align(static_cast<std::uint64_t>(memory_alignment(leaf))));
}

llvm::AllocaInst* Emitter::frame(std::int64_t bytes, std::int64_t align_bytes, const llvm::Twine& name) {
  auto* type =
      llvm::ArrayType::get(ir.getInt8Ty(), static_cast<std::uint64_t>(std::max<std::int64_t>(bytes, 1)));
  llvm::AllocaInst* slot = frame(type, name);
  slot->setAlignment(llvm::Align(static_cast<std::uint64_t>(std::max<std::int64_t>(align_bytes, 1))));
  return slot;
}

llvm::AllocaInst* Emitter::frame(llvm::Type* type, const llvm::Twine& name) {
  llvm::BasicBlock& entry = function->getEntryBlock();
  llvm::IRBuilder<> at_entry(&entry, entry.begin());
  return at_entry.CreateAlloca(type, nullptr, name);
}

llvm::AllocaInst* Emitter::frame(ir::Type type) {
  return frame(flat(type).size_bytes, flat(type).align_bytes);
}

llvm::Value* Emitter::offset(llvm::Value* address, std::int64_t bytes) {
  return bytes == 0 ? address : ir.CreateInBoundsGEP(ir.getInt8Ty(), address, i64(bytes));
}

llvm::Value* Emitter::element_address(llvm::Value* data, llvm::Value* index, std::int64_t bytes) {
  llvm::Type* element = ir.getInt8Ty();
  if (bytes == 2 || bytes == 4 || bytes == 8)
    element = ir.getIntNTy(static_cast<unsigned>(8 * bytes));
  else if (bytes != 1)
    index = ir.CreateNSWMul(index, i64(bytes));
  return ir.CreateInBoundsGEP(element, data, index);
}

llvm::Value* Emitter::load_field(llvm::Type* type, llvm::Value* structure, std::size_t offset_bytes) {
  return ir.CreateLoad(type, offset(structure, static_cast<std::int64_t>(offset_bytes)));
}

void Emitter::store_field(llvm::Value* value, llvm::Value* structure, std::size_t offset_bytes) {
  ir.CreateStore(value, offset(structure, static_cast<std::int64_t>(offset_bytes)));
}

llvm::Value* Emitter::allocate(llvm::Value* bytes, ir::Span span) {
  llvm::Value* data = call("weld_rt_allocate", {worker, bytes});
  fail_if(ir.CreateIsNull(data), ErrorCode::kOutOfMemory, span);
  return data;
}

llvm::Value* Emitter::checked_bytes(llvm::Value* count, std::int64_t bytes_each, ir::Span span) {
  if (bytes_each == 1) return count;
  llvm::Value* product =
      ir.CreateBinaryIntrinsic(llvm::Intrinsic::smul_with_overflow, count, i64(bytes_each));
  fail_if(ir.CreateExtractValue(product, 1), ErrorCode::kOutOfMemory, span);
  return ir.CreateExtractValue(product, 0);
}

llvm::BasicBlock* Emitter::block(const llvm::Twine& name) {
  return llvm::BasicBlock::Create(module.context(), name, function);
}

void Emitter::leave_with(llvm::Value* code) {
  ErrorTarget& target = error_targets_.back();
  if (!target.block) {
    target.block = block("error");
    target.code = llvm::PHINode::Create(ir.getInt32Ty(), 2, "code", target.block);
  }
  target.code->addIncoming(code, ir.GetInsertBlock());
  ir.CreateBr(target.block);
}

void Emitter::fail(ErrorCode code, ir::Span span) {
  leave_with(
      call("weld_rt_fail", {worker, i32(static_cast<std::uint32_t>(code)), i32(module.span_index(span))}));
}

void Emitter::fail_if(llvm::Value* condition, ErrorCode code, ir::Span span) {
  if (const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(condition); constant && constant->isZero())
    return;
  llvm::BasicBlock* failing = block("fails");
  llvm::BasicBlock* going_on = block("goes_on");
  auto* branch = ir.CreateCondBr(condition, failing, going_on);
  branch->setMetadata(
      llvm::LLVMContext::MD_prof,
      llvm::MDNode::get(module.context(), {llvm::MDString::get(module.context(), "branch_weights"),
                                           llvm::ConstantAsMetadata::get(i32(1)),
                                           llvm::ConstantAsMetadata::get(i32(1u << 20))}));
  ir.SetInsertPoint(failing);
  fail(code, span);
  ir.SetInsertPoint(going_on);
}

void Emitter::fail_if_any(llvm::ArrayRef<llvm::Value*> conditions, ErrorCode code, ir::Span span) {
  if (!conditions.empty()) fail_if(ir.CreateOr(conditions), code, span);
}

void Emitter::check(llvm::Value* code, ir::Span span) {
  llvm::BasicBlock* failing = block("fails");
  llvm::BasicBlock* going_on = block("goes_on");
  ir.CreateCondBr(ir.CreateIsNull(code), going_on, failing);
  ir.SetInsertPoint(failing);
  leave_with(call("weld_rt_fail", {worker, code, i32(module.span_index(span))}));
  ir.SetInsertPoint(going_on);
}

void Emitter::propagate(llvm::Value* code) {
  llvm::BasicBlock* failing = block("fails");
  llvm::BasicBlock* going_on = block("goes_on");
  ir.CreateCondBr(ir.CreateIsNull(code), going_on, failing);
  ir.SetInsertPoint(failing);
  leave_with(code);
  ir.SetInsertPoint(going_on);
}

void Emitter::poll() {
  llvm::Value* flag = load_field(ir.getPtrTy(), worker, offsetof(runtime::Worker, poll_needed));
  auto* needed = ir.CreateLoad(ir.getInt8Ty(), flag);
  needed->setVolatile(true);  // set by other threads
  needed->setAtomic(llvm::AtomicOrdering::Monotonic);
  when(ir.CreateIsNotNull(needed), [&] { propagate(call("weld_rt_poll", {worker})); });
}

namespace {

std::size_t num_builders_in(ir::Type type) {
  const auto* structure = type.as<ir::StructType>();
  if (!structure) return ir::is_builder(type) ? 1 : 0;
  std::size_t count = 0;
  for (ir::Type member : structure->members) count += num_builders_in(member);
  return count;
}

}  // namespace

void Emitter::count_merge(ir::Expr builder, std::uint32_t lanes, llvm::Value* mask) {
  if (merge_counts_.empty()) return;
  std::vector<std::uint32_t> path;  // of fields, the innermost first
  while (true) {
    if (const auto* ident = builder.as<ir::Ident>()) {
      const auto named = named_builders_.find(ident->symbol.id());
      if (named == named_builders_.end()) break;
      builder = named->second;
    } else if (const auto* merge = builder.as<ir::Merge>()) {
      builder = merge->builder;
    } else if (const auto* masked = builder.as<ir::MergeMasked>()) {
      builder = masked->builder;
    } else if (const auto* branch = builder.as<ir::If>()) {
      builder = branch->on_true;
    } else if (const auto* variants = builder.as<ir::Variants>()) {
      builder = variants->first;
    } else if (const auto* loop = builder.as<ir::For>()) {
      builder = loop->builder;
    } else if (const auto* let = builder.as<ir::Let>()) {
      builder = let->body;
    } else if (const auto* field = builder.as<ir::GetField>()) {
      path.push_back(field->index);
      builder = field->value;
    } else if (const auto* structure = builder.as<ir::MakeStruct>(); structure && !path.empty()) {
      builder = structure->members[path.back()];
      path.pop_back();
    } else {
      return;
    }
  }
  const auto counted = merge_counts_.find(builder.as<ir::Ident>()->symbol.id());
  if (counted == merge_counts_.end()) return;
  std::size_t index = 0;
  ir::Type type = counted->second.type;
  for (auto field = path.rbegin(); field != path.rend(); ++field) {
    const auto members = type.as<ir::StructType>()->members;
    for (std::uint32_t i = 0; i < *field; ++i) index += num_builders_in(members[i]);
    type = members[*field];
  }
  llvm::AllocaInst* slot = counted->second.slots[index];
  if (!slot) return;
  llvm::Value* added = i64(lanes);
  if (mask && mask->getType()->isVectorTy()) {
    const unsigned count = llvm::cast<llvm::FixedVectorType>(mask->getType())->getNumElements();
    llvm::Value* bits = ir.CreateBitCast(mask, ir.getIntNTy(count));
    added = ir.CreateZExtOrTrunc(ir.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, bits), ir.getInt64Ty());
  } else if (mask) {
    added = ir.CreateZExt(mask, ir.getInt64Ty());
  }
  ir.CreateStore(ir.CreateAdd(ir.CreateLoad(ir.getInt64Ty(), slot), added), slot);
}

Value Emitter::branch(llvm::Value* condition, const std::function<Value()>& on_true,
                      const std::function<Value()>& on_false) {
  llvm::BasicBlock* then_block = block("then");
  llvm::BasicBlock* else_block = block("else");
  llvm::BasicBlock* joined = block("joined");
  ir.CreateCondBr(condition, then_block, else_block);
  ir.SetInsertPoint(then_block);
  Value left;
  part([&] { left = on_true(); });
  llvm::BasicBlock* then_end = ir.GetInsertBlock();
  ir.CreateBr(joined);
  ir.SetInsertPoint(else_block);
  Value right;
  part([&] { right = on_false(); });
  llvm::BasicBlock* else_end = ir.GetInsertBlock();
  ir.CreateBr(joined);
  ir.SetInsertPoint(joined);
  Value value{left.type, {}};
  for (std::size_t i = 0; i < left.leaves.size(); ++i) {
    if (left.leaves[i] == right.leaves[i]) {
      value.leaves.push_back(left.leaves[i]);
      continue;
    }
    llvm::PHINode* phi = ir.CreatePHI(left.leaves[i]->getType(), 2);
    phi->addIncoming(left.leaves[i], then_end);
    phi->addIncoming(right.leaves[i], else_end);
    value.leaves.push_back(phi);
  }
  return value;
}

void Emitter::when(llvm::Value* condition, const std::function<void()>& body) {
  llvm::BasicBlock* then_block = block("then");
  llvm::BasicBlock* joined = block("joined");
  ir.CreateCondBr(condition, then_block, joined);
  ir.SetInsertPoint(then_block);
  part(body);
  ir.CreateBr(joined);
  ir.SetInsertPoint(joined);
}

namespace {

llvm::MDNode* no_vectorization(llvm::LLVMContext& context) {
  const auto flag = [&](const char* name) {
    return llvm::MDNode::get(context, {llvm::MDString::get(context, name),
                                       llvm::ConstantAsMetadata::get(llvm::ConstantInt::getFalse(context))});
  };
  llvm::MDNode* loop = llvm::MDNode::getDistinct(context, {nullptr, flag("llvm.loop.vectorize.enable")});
  loop->replaceOperandWith(0, loop);
  return loop;
}

}  // namespace

void Emitter::count_loop(llvm::Value* count, const std::function<void(llvm::Value*)>& body,
                         LoopLength length) {
  llvm::BasicBlock* before = ir.GetInsertBlock();
  llvm::BasicBlock* header = block("loop");
  llvm::BasicBlock* inside = block("inside");
  llvm::BasicBlock* after = block("after");
  ir.CreateBr(header);
  ir.SetInsertPoint(header);
  llvm::PHINode* index = ir.CreatePHI(ir.getInt64Ty(), 2, "index");
  index->addIncoming(i64(0), before);
  ir.CreateCondBr(ir.CreateICmpSLT(index, count), inside, after);
  ir.SetInsertPoint(inside);
  part([&] { body(index); });
  index->addIncoming(ir.CreateNSWAdd(index, i64(1)), ir.GetInsertBlock());
  llvm::BranchInst* back = ir.CreateBr(header);
  if (length == LoopLength::kShort)
    back->setMetadata(llvm::LLVMContext::MD_loop, no_vectorization(module.context()));
  else
    module.note_long_loop();
  ir.SetInsertPoint(after);
}

void Emitter::pop_cleanup() {
  const ErrorTarget target = std::move(error_targets_.back());
  error_targets_.pop_back();
  if (!target.block) return;
  const llvm::IRBuilder<>::InsertPointGuard guard(ir);
  ir.SetInsertPoint(target.block);
  target.cleanup();
  leave_with(target.code);
}

Emitter::Caught Emitter::pop_catch() {
  const ErrorTarget target = std::move(error_targets_.back());
  error_targets_.pop_back();
  return {target.block, target.code};
}

llvm::Value* Emitter::open_scope() {
  llvm::Value* scope = frame(sizeof(runtime::Scope), alignof(runtime::Scope), "scope");
  call("weld_rt_scope_begin", {worker, scope});
  push_cleanup([this, scope] { call("weld_rt_scope_end", {worker, scope}); });
  return scope;
}

void Emitter::close_scope(llvm::Value* scope) {
  call("weld_rt_scope_end", {worker, scope});
  pop_cleanup();
}

llvm::CallInst* Emitter::call(std::string_view name, llvm::ArrayRef<llvm::Value*> arguments) {
  return call(module.runtime_function(name), arguments);
}

llvm::CallInst* Emitter::call(llvm::Function* callee, llvm::ArrayRef<llvm::Value*> arguments) {
  llvm::CallInst* made = ir.CreateCall(callee, arguments);
  // The extension attributes of narrow integers belong to the call as well.
  made->setAttributes(callee->getAttributes());
  return made;
}

llvm::Constant* Emitter::scalar_constant(ir::ScalarValue value) {
  llvm::Type* type = module.types().scalar(value.kind);
  if (value.kind == ir::ScalarKind::kF32) {
    return llvm::ConstantFP::get(module.context(),
                                 llvm::APFloat(llvm::APFloat::IEEEsingle(), llvm::APInt(32, value.bits)));
  }
  if (value.kind == ir::ScalarKind::kF64) {
    return llvm::ConstantFP::get(module.context(),
                                 llvm::APFloat(llvm::APFloat::IEEEdouble(), llvm::APInt(64, value.bits)));
  }
  return llvm::ConstantInt::get(type, value.bits);
}

Value Emitter::zero(ir::Type type) {
  Value value{type, {}};
  for (const Leaf& leaf : flat(type).leaves) value.leaves.push_back(llvm::Constant::getNullValue(leaf.type));
  return value;
}

Value Emitter::member(const Value& structure, std::uint32_t index) {
  const auto& first = flat(structure.type).member_leaves;
  return {structure.type.as<ir::StructType>()->members[index],
          LeafValues(structure.leaves.begin() + first[index], structure.leaves.begin() + first[index + 1])};
}

Value Emitter::structure(ir::Type type, llvm::ArrayRef<Value> members) {
  Value value{type, {}};
  for (const Value& member : members) value.leaves.append(member.leaves.begin(), member.leaves.end());
  return value;
}

}  // namespace weld::codegen
