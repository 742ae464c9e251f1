#include <llvm/IR/Intrinsics.h>

#include "codegen/emitter.h"

// Order, equality and hashing of values of any type. Scalars are compared in place; structs member by member;
// vectors in a function per type.

namespace weld::codegen {
namespace {

using ir::ScalarKind;

// Results of an order function.
constexpr std::int32_t kLess = -1;
constexpr std::int32_t kEqual = 0;
constexpr std::int32_t kGreater = 1;
constexpr std::int32_t kUnordered = 2;  // the first elements that differ hold a NaN

bool is_plain_integer(ir::Type type) {
  const auto* scalar = type.as<ir::ScalarType>();
  return scalar && ir::is_integer(scalar->kind);
}

llvm::Value* order(Emitter& emitter, const Value& left, const Value& right, Ordering ordering);

llvm::Value* order_scalars(Emitter& emitter, ScalarKind kind, llvm::Value* left, llvm::Value* right,
                           Ordering ordering) {
  auto& ir = emitter.ir;
  const ir::Type type = ir::Type::scalar(kind);
  llvm::Value* less = emitter.binary(ir::BinaryOp::kLt, type, left, right, {});
  llvm::Value* greater = emitter.binary(ir::BinaryOp::kGt, type, left, right, {});
  llvm::Value* otherwise = emitter.i32(kEqual);
  if (ir::is_float(kind)) {
    llvm::Value* equal = ir.CreateFCmpOEQ(left, right);
    llvm::Value* unequal = emitter.i32(kUnordered);
    if (ordering == Ordering::kTotal) {  // at least one is NaN: NaN comes last
      llvm::Value* left_nan = ir.CreateZExt(ir.CreateFCmpUNO(left, left), ir.getInt32Ty());
      llvm::Value* right_nan = ir.CreateZExt(ir.CreateFCmpUNO(right, right), ir.getInt32Ty());
      unequal = ir.CreateSub(left_nan, right_nan);
    }
    otherwise = ir.CreateSelect(equal, emitter.i32(kEqual), unequal);
  }
  llvm::Value* up = ir.CreateSelect(greater, emitter.i32(kGreater), otherwise);
  return ir.CreateSelect(less, emitter.i32(static_cast<std::uint32_t>(kLess)), up);
}

// The order of the first member that differs.
llvm::Value* order_members(Emitter& emitter, const Value& left, const Value& right, Ordering ordering,
                           std::uint32_t index) {
  const auto num_members = static_cast<std::uint32_t>(left.type.as<ir::StructType>()->members.size());
  if (index == num_members) return emitter.i32(kEqual);
  llvm::Value* first = order(emitter, emitter.member(left, index), emitter.member(right, index), ordering);
  if (index + 1 == num_members) return first;
  const ir::Type code = ir::Type::scalar(ScalarKind::kI32);
  return emitter
      .branch(
          emitter.ir.CreateIsNull(first),
          [&] { return Value{code, {order_members(emitter, left, right, ordering, index + 1)}}; },
          [&] { return Value{code, {first}}; })
      .scalar();
}

// i32 order(ptr, i64, ptr, i64).
void write_vector_order(ModuleEmitter& module, llvm::Function* function, ir::Type element,
                        Ordering ordering) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  llvm::Value* left_length = function->getArg(1);
  llvm::Value* right_length = function->getArg(3);
  llvm::Value* shared = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, left_length, right_length);
  const std::int64_t bytes = emitter.flat(element).size_bytes;
  emitter.count_loop(shared, [&](llvm::Value* index) {
    const Value left = emitter.load(element, emitter.element_address(function->getArg(0), index, bytes));
    const Value right = emitter.load(element, emitter.element_address(function->getArg(2), index, bytes));
    llvm::Value* result = order(emitter, left, right, ordering);
    llvm::BasicBlock* differs = emitter.block("differs");
    llvm::BasicBlock* next = emitter.block("next");
    ir.CreateCondBr(ir.CreateIsNull(result), next, differs);
    ir.SetInsertPoint(differs);
    ir.CreateRet(result);
    ir.SetInsertPoint(next);
  });
  const ir::Type i64 = ir::Type::scalar(ScalarKind::kI64);
  ir.CreateRet(order(emitter, {i64, {left_length}}, {i64, {right_length}}, Ordering::kLanguage));
}

llvm::Value* order_vectors(Emitter& emitter, const Value& left, const Value& right, Ordering ordering) {
  auto& ir = emitter.ir;
  const ir::Type element = left.type.as<ir::VecType>()->element;
  const llvm::SmallVector<llvm::Value*, 4> arguments = {left.leaves[0], left.leaves[1], right.leaves[0],
                                                        right.leaves[1]};
  if (ir::is_scalar(element, ScalarKind::kI8)) return emitter.call("weld_bc_compare_i8", arguments);
  if (ir::is_scalar(element, ScalarKind::kU8)) return emitter.call("weld_bc_compare_u8", arguments);
  llvm::Function* function = emitter.module.shared_function(
      "order", left.type, static_cast<int>(ordering),
      {ir.getPtrTy(), ir.getInt64Ty(), ir.getPtrTy(), ir.getInt64Ty()}, ir.getInt32Ty(),
      [&](llvm::Function* made) { write_vector_order(emitter.module, made, element, ordering); });
  return emitter.call(function, arguments);
}

llvm::Value* order(Emitter& emitter, const Value& left, const Value& right, Ordering ordering) {
  if (const auto* scalar = left.type.as<ir::ScalarType>()) {
    return order_scalars(emitter, scalar->kind, left.scalar(), right.scalar(), ordering);
  }
  if (left.type.as<ir::VecType>()) return order_vectors(emitter, left, right, ordering);
  return order_members(emitter, left, right, ordering, 0);
}

// Equality by bytes, where equal values have equal bytes.
llvm::Value* equal_integer_vectors(Emitter& emitter, const Value& left, const Value& right) {
  auto& ir = emitter.ir;
  const std::int64_t bytes = emitter.flat(left.type.as<ir::VecType>()->element).size_bytes;
  const ir::Type boolean = ir::Type::scalar(ScalarKind::kBool);
  return emitter
      .branch(
          ir.CreateICmpEQ(left.leaves[1], right.leaves[1]),
          [&] {
            llvm::Value* size = ir.CreateMul(left.leaves[1], emitter.i64(bytes));
            llvm::Value* equal = emitter.call("weld_bc_bytes_equal", {left.leaves[0], right.leaves[0], size});
            return Value{boolean, {ir.CreateIsNotNull(equal)}};
          },
          [&] { return Value{boolean, {ir.getFalse()}}; })
      .scalar();
}

llvm::Value* equal(Emitter& emitter, const Value& left, const Value& right, Ordering ordering) {
  auto& ir = emitter.ir;
  if (const auto* scalar = left.type.as<ir::ScalarType>()) {
    const bool total = ordering == Ordering::kTotal && ir::is_float(scalar->kind);
    if (!total) return emitter.binary(ir::BinaryOp::kEq, left.type, left.scalar(), right.scalar(), {});
    llvm::Value* nans = ir.CreateAnd(ir.CreateFCmpUNO(left.scalar(), left.scalar()),
                                     ir.CreateFCmpUNO(right.scalar(), right.scalar()));
    return ir.CreateOr(ir.CreateFCmpOEQ(left.scalar(), right.scalar()), nans);
  }
  if (const auto* vec = left.type.as<ir::VecType>(); vec && is_plain_integer(vec->element)) {
    return equal_integer_vectors(emitter, left, right);
  }
  if (const auto* structure = left.type.as<ir::StructType>()) {
    llvm::Value* all = ir.getTrue();
    for (std::uint32_t i = 0; i < structure->members.size(); ++i) {
      all = ir.CreateAnd(all, equal(emitter, emitter.member(left, i), emitter.member(right, i), ordering));
    }
    return all;
  }
  return ir.CreateIsNull(order(emitter, left, right, ordering));
}

// i64 hash(ptr, i64, i64 seed).
void write_vector_hash(ModuleEmitter& module, llvm::Function* function, ir::Type element) {
  Emitter emitter(module, function);
  auto& ir = emitter.ir;
  llvm::AllocaInst* state = emitter.frame(ir.getInt64Ty());
  ir.CreateStore(emitter.call("weld_bc_hash_u64", {function->getArg(1), function->getArg(2)}), state);
  emitter.count_loop(function->getArg(1), [&](llvm::Value* index) {
    llvm::Value* address =
        emitter.element_address(function->getArg(0), index, emitter.flat(element).size_bytes);
    const Value value = emitter.load(element, address);
    ir.CreateStore(emitter.hash(value, ir.CreateLoad(ir.getInt64Ty(), state)), state);
  });
  ir.CreateRet(ir.CreateLoad(ir.getInt64Ty(), state));
}

llvm::Value* canonical_float(Emitter& emitter, ScalarKind kind, llvm::Value* value) {
  return emitter.call(kind == ScalarKind::kF32 ? "weld_bc_key_bits_f32" : "weld_bc_key_bits_f64", {value});
}

}  // namespace

llvm::Value* Emitter::compare(ir::BinaryOp op, const Value& left, const Value& right) {
  if (left.type.as<ir::ScalarType>() || left.type.as<ir::SimdType>()) {
    return binary(op, left.type, left.scalar(), right.scalar(), {});
  }
  if (op == ir::BinaryOp::kEq) return equal(*this, left, right, Ordering::kLanguage);
  if (op == ir::BinaryOp::kNe) return ir.CreateNot(equal(*this, left, right, Ordering::kLanguage));
  llvm::Value* result = order(*this, left, right, Ordering::kLanguage);
  llvm::Value* equal_code = i32(kEqual);
  switch (op) {
    case ir::BinaryOp::kLt:
      return ir.CreateICmpSLT(result, equal_code);
    case ir::BinaryOp::kLe:
      return ir.CreateICmpSLE(result, equal_code);
    case ir::BinaryOp::kGt:
      return ir.CreateICmpEQ(result, i32(kGreater));
    default:
      return ir.CreateICmpULE(result, i32(kGreater));
  }
}

llvm::Value* Emitter::total_order(const Value& left, const Value& right) {
  return order(*this, left, right, Ordering::kTotal);
}

llvm::Value* Emitter::keys_equal(const Value& left, const Value& right) {
  return equal(*this, left, right, Ordering::kTotal);
}

Value Emitter::canonical_key(const Value& key) {
  Value canonical = key;
  const FlatType& type = flat(key.type);
  for (std::size_t i = 0; i < type.leaves.size(); ++i) {
    if (type.leaves[i].kind != LeafKind::kScalar || !ir::is_float(type.leaves[i].scalar)) continue;
    canonical.leaves[i] =
        ir.CreateBitCast(canonical_float(*this, type.leaves[i].scalar, key.leaves[i]), type.leaves[i].type);
  }
  return canonical;
}

llvm::Value* Emitter::hash(const Value& key, llvm::Value* seed) {
  if (const auto* scalar = key.type.as<ir::ScalarType>()) {
    llvm::Value* bits =
        ir::is_float(scalar->kind) ? canonical_float(*this, scalar->kind, key.scalar()) : key.scalar();
    return call("weld_bc_hash_u64", {ir.CreateZExt(bits, ir.getInt64Ty()), seed});
  }
  if (const auto* structure = key.type.as<ir::StructType>()) {
    for (std::uint32_t i = 0; i < structure->members.size(); ++i) seed = hash(member(key, i), seed);
    return seed;
  }
  const ir::Type element = key.type.as<ir::VecType>()->element;
  if (is_plain_integer(element)) {
    llvm::Value* size = ir.CreateMul(key.leaves[1], i64(flat(element).size_bytes));
    return call("weld_rt_hash_bytes", {key.leaves[0], size, seed});
  }
  llvm::Function* function = module.shared_function(
      "hash", key.type, 0, {ir.getPtrTy(), ir.getInt64Ty(), ir.getInt64Ty()}, ir.getInt64Ty(),
      [&](llvm::Function* made) { write_vector_hash(module, made, element); });
  return call(function, {key.leaves[0], key.leaves[1], seed});
}

}  // namespace weld::codegen
