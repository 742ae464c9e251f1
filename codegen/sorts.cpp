#include "codegen/captured_function.h"
#include "codegen/emitter.h"

// `sort`: the runtime sorts (runtime/sort.h); generated code compares elements, or makes an array of keys.

namespace weld::codegen {
namespace {

// i32 compare(worker, captures, left, right, ErrorCode* error): runtime::SortComparator around a function
// (worker, captures, left, right, i32* result) that returns an ErrorCode.
llvm::Function* as_comparator(Emitter& emitter, llvm::Function* compare) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Function* function = emitter.module.add_function(
      "sort_comparator", {pointer, pointer, pointer, pointer, pointer}, emitter.ir.getInt32Ty());
  Emitter inside(emitter.module, function);
  llvm::AllocaInst* result = inside.frame(inside.ir.getInt32Ty());
  inside.ir.CreateStore(inside.i32(0), result);
  llvm::Value* code = inside.call(
      compare, {function->getArg(0), function->getArg(1), function->getArg(2), function->getArg(3), result});
  inside.when(inside.ir.CreateIsNotNull(code), [&] { inside.ir.CreateStore(code, function->getArg(4)); });
  inside.ir.CreateRet(inside.ir.CreateLoad(inside.ir.getInt32Ty(), result));
  return function;
}

llvm::Function* language_comparator(Emitter& emitter, const CapturedFunction& captured,
                                    const ir::Lambda& lambda, ir::Type element) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  llvm::Function* function =
      emitter.module.add_function("sort_compare", {pointer, pointer, pointer, pointer, pointer});
  Emitter inside(emitter.module, function);
  captured.bind(inside, function->getArg(1));
  inside.set_loop_depth(emitter.loop_depth() + 1);
  const bool allocates = ir::any(lambda.body.effects() & ir::Effects::kAllocates);
  llvm::Value* scope = allocates ? inside.open_scope() : nullptr;
  inside.bind(lambda.parameters[0].symbol, inside.load(element, function->getArg(2)));
  inside.bind(lambda.parameters[1].symbol, inside.load(element, function->getArg(3)));
  inside.ir.CreateStore(inside.emit_scalar(lambda.body), function->getArg(4));
  if (scope) inside.close_scope(scope);
  inside.finish();
  return as_comparator(emitter, function);
}

llvm::Function* key_comparator(Emitter& emitter, ir::Type key) {
  llvm::Type* pointer = emitter.ir.getPtrTy();
  return emitter.module.shared_function("compare_keys", key, 0, {pointer, pointer, pointer, pointer, pointer},
                                        emitter.ir.getInt32Ty(), [&](llvm::Function* made) {
                                          Emitter inside(emitter.module, made);
                                          const Value left = inside.load(key, made->getArg(2));
                                          const Value right = inside.load(key, made->getArg(3));
                                          inside.ir.CreateRet(inside.total_order(left, right));
                                        });
}

// An array of the keys of all elements.
llvm::Value* make_keys(Emitter& emitter, const ir::Lambda& lambda, const Value& vector, ir::Span span) {
  const ir::Type key = lambda.body.type();
  const ir::Type element = vector.type.as<ir::VecType>()->element;
  const std::int64_t key_bytes = emitter.flat(key).size_bytes;
  const std::int64_t element_bytes = emitter.flat(element).size_bytes;
  llvm::Value* keys = emitter.allocate(emitter.checked_bytes(vector.leaves[1], key_bytes, span), span);
  emitter.count_loop(vector.leaves[1], [&](llvm::Value* index) {
    constexpr std::int64_t kPollEvery = 4096;
    llvm::Value* in_round = emitter.ir.CreateAnd(index, emitter.i64(kPollEvery - 1));
    emitter.when(emitter.ir.CreateIsNull(in_round), [&] { emitter.poll(); });
    llvm::Value* address = emitter.element_address(vector.leaves[0], index, element_bytes);
    emitter.bind(lambda.parameters[0].symbol, emitter.load_element(element, address, span));
    emitter.store(emitter.emit(lambda.body), emitter.element_address(keys, index, key_bytes));
  });
  return keys;
}

// The first `limit` (i64) elements of the sorted vector, in a new one.
Value sort_first(Emitter& emitter, const Value& vector, ir::Expr comparator_or_key, llvm::Value* limit,
                 ir::Span span) {
  const auto& lambda = *comparator_or_key.as<ir::Lambda>();
  const ir::Type element = vector.type.as<ir::VecType>()->element;
  llvm::Value* bytes = emitter.i64(emitter.flat(element).size_bytes);
  llvm::Value* result = emitter.frame(vector.type);
  llvm::Value* data = vector.leaves[0];
  llvm::Value* length = vector.leaves[1];
  if (lambda.parameters.size() == 2) {
    const CapturedFunction captured(emitter, comparator_or_key);
    llvm::Function* comparator = language_comparator(emitter, captured, lambda, element);
    emitter.check(emitter.call("weld_rt_sort", {emitter.worker, data, length, bytes, comparator,
                                                captured.store(emitter), limit, result}),
                  span);
    return emitter.load(vector.type, result);
  }
  llvm::Value* keys = make_keys(emitter, lambda, vector, span);
  const ir::Type key = lambda.body.type();
  if (const auto* scalar = key.as<ir::ScalarType>()) {
    llvm::Value* kind = emitter.i32(static_cast<std::uint32_t>(scalar->kind));
    emitter.check(emitter.call("weld_rt_sort_by_scalar",
                               {emitter.worker, data, length, bytes, keys, kind, limit, result}),
                  span);
  } else {
    llvm::Value* key_bytes = emitter.i64(emitter.flat(key).size_bytes);
    emitter.check(
        emitter.call("weld_rt_sort_by_key", {emitter.worker, data, length, bytes, keys, key_bytes,
                                             key_comparator(emitter, key), emitter.null(), limit, result}),
        span);
  }
  emitter.call("weld_rt_free", {emitter.worker, keys});
  return emitter.load(vector.type, result);
}

}  // namespace

Value emit_sort(Emitter& emitter, ir::Expr expr) {
  if (const auto* sort = expr.as<ir::Sort>()) {
    const Value vector = emitter.emit(sort->vector);
    return sort_first(emitter, vector, sort->function, emitter.i64(INT64_MAX), expr.span());
  }
  const auto& node = *expr.as<ir::PartialSort>();
  const Value vector = emitter.emit(node.vector);
  llvm::Value* limit = emitter.emit_scalar(node.count);
  emitter.fail_if(emitter.ir.CreateICmpSLT(limit, emitter.i64(0)), ErrorCode::kArrayOutOfBounds, expr.span());
  return sort_first(emitter, vector, node.function, limit, expr.span());
}

}  // namespace weld::codegen
