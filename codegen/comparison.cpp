#include <llvm/IR/Intrinsics.h>

#include "codegen/emitter.h"
#include "runtime/hash.h"

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

// The bits of a float key, or of lanes of them, as stored: +0.0 for zeros, the canonical NaN for NaNs.
llvm::Value* canonical_float(Emitter& emitter, llvm::Value* value) {
  auto& ir = emitter.ir;
  llvm::Type* type = value->getType();
  llvm::Value* number = ir.CreateSelect(ir.CreateFCmpOEQ(value, llvm::Constant::getNullValue(type)),
                                        llvm::Constant::getNullValue(type), value);
  return ir.CreateSelect(ir.CreateFCmpUNO(value, value), llvm::ConstantFP::getQNaN(type), number);
}

// runtime/hash.h: KeyHasher. Scalars may be lanes, whose hashes are then lanes too.
class KeyHasher {
 public:
  KeyHasher(Emitter& emitter, llvm::Value* seed, llvm::Value* state)
      : emitter_(emitter), ir_(emitter.ir), seed_(seed), state_(state) {}

  void add(ir::Type type, llvm::ArrayRef<llvm::Value*> leaves) {
    if (const auto* scalar = type.as<ir::ScalarType>()) return add_scalar(scalar->kind, leaves.front());
    if (const auto* structure = type.as<ir::StructType>()) {
      const FlatType& flat = emitter_.flat(type);
      for (std::size_t i = 0; i < structure->members.size(); ++i) {
        const std::uint32_t first = flat.member_leaves[i];
        add(structure->members[i], leaves.slice(first, flat.member_leaves[i + 1] - first));
      }
      return;
    }
    end_word();
    state_ = hash_vector(type, leaves[0], leaves[1]);
  }

  llvm::Value* finish() {
    end_word();
    return state_ ? state_ : emitter_.i64(0);
  }

 private:
  void add_scalar(ScalarKind kind, llvm::Value* value) {
    const int width = ir::bit_width(kind);
    if (ir::is_float(kind)) {
      llvm::Type* bits = ir_.getIntNTy(static_cast<unsigned>(width));
      value = ir_.CreateBitCast(canonical_float(emitter_, value), value->getType()->getWithNewType(bits));
    }
    value = ir_.CreateZExt(value, value->getType()->getWithNewType(ir_.getInt64Ty()));
    if (used_bits_ + width > 64) end_word();
    word_ = word_ ? ir_.CreateOr(word_, ir_.CreateShl(value, static_cast<std::uint64_t>(used_bits_))) : value;
    used_bits_ += width;
  }

  void end_word() {
    if (!word_) return;
    if (state_) word_ = ir_.CreateXor(word_, state_);
    state_ = mix(word_);
    word_ = nullptr;
    used_bits_ = 0;
  }

  // runtime/hash.h: hash_word, the state being in the word.
  llvm::Value* mix(llvm::Value* word) {
    llvm::Value* seed = seed_;
    if (const auto* lanes = llvm::dyn_cast<llvm::FixedVectorType>(word->getType()))
      seed = ir_.CreateVectorSplat(lanes->getNumElements(), seed);
    llvm::Value* product = ir_.CreateMul(word, seed);
    product = ir_.CreateXor(product, ir_.CreateLShr(product, 32));
    return ir_.CreateMul(product, llvm::ConstantInt::get(word->getType(), runtime::kHashMultiplier));
  }

  llvm::Value* hash_vector(ir::Type type, llvm::Value* data, llvm::Value* length) {
    const ir::Type element = type.as<ir::VecType>()->element;
    llvm::Value* state = state_ ? state_ : emitter_.i64(0);
    if (is_plain_integer(element)) {
      const ir::Type i64 = ir::Type::scalar(ScalarKind::kI64);
      llvm::Value* size = ir_.CreateMul(length, emitter_.i64(emitter_.flat(element).size_bytes));
      return emitter_
          .branch(
              ir_.CreateICmpSLE(size, emitter_.i64(runtime::kShortBytes)),
              [&] { return Value{i64, {emitter_.call("weld_bc_hash_short", {data, size, state, seed_})}}; },
              [&] {
                llvm::Value* mixed = ir_.CreateXor(state, seed_);
                return Value{i64, {emitter_.call("weld_rt_hash_bytes", {data, size, mixed})}};
              })
          .scalar();
    }
    llvm::Type* i64 = ir_.getInt64Ty();
    llvm::Function* function = emitter_.module.shared_function(
        "hash", type, 0, {ir_.getPtrTy(), i64, i64, i64}, i64,
        [&](llvm::Function* made) { write_vector_hash(emitter_.module, made, element); });
    return emitter_.call(function, {data, length, state, seed_});
  }

  // i64 hash(ptr, i64, i64 state, i64 seed).
  static void write_vector_hash(ModuleEmitter& module, llvm::Function* function, ir::Type element) {
    Emitter emitter(module, function);
    auto& ir = emitter.ir;
    llvm::Value* length = function->getArg(1);
    llvm::Value* seed = function->getArg(3);
    llvm::AllocaInst* state = emitter.frame(ir.getInt64Ty());
    KeyHasher hasher(emitter, seed, nullptr);
    ir.CreateStore(hasher.mix(ir.CreateXor(length, function->getArg(2))), state);
    emitter.count_loop(length, [&](llvm::Value* index) {
      llvm::Value* address =
          emitter.element_address(function->getArg(0), index, emitter.flat(element).size_bytes);
      const Value value = emitter.load(element, address);
      KeyHasher each(emitter, seed, ir.CreateLoad(ir.getInt64Ty(), state));
      each.add(element, value.leaves);
      ir.CreateStore(each.finish(), state);
    });
    ir.CreateRet(ir.CreateLoad(ir.getInt64Ty(), state));
  }

  Emitter& emitter_;
  llvm::IRBuilder<>& ir_;
  llvm::Value* seed_;
  llvm::Value* state_;           // null: 0
  llvm::Value* word_ = nullptr;  // null: nothing in it
  int used_bits_ = 0;
};

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
    canonical.leaves[i] = canonical_float(*this, key.leaves[i]);
  }
  return canonical;
}

llvm::Value* Emitter::hash(ir::Type type, llvm::ArrayRef<llvm::Value*> leaves, llvm::Value* seed) {
  KeyHasher hasher(*this, seed, nullptr);
  hasher.add(type, leaves);
  return hasher.finish();
}

}  // namespace weld::codegen
