#include <fmt/format.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "codegen/emitter.h"
#include "codegen/lane_memory.h"
#include "ir/math_functions.h"
#include "ir/reduction_order.h"

// Operators on scalars, and lane by lane on simd values. LANGUAGE.md §1.4 defines each for all inputs.

namespace weld::codegen {
namespace {

using ir::BinaryOp;
using ir::ScalarKind;
using ir::UnaryOp;

std::uint32_t lanes_of(ir::Type type) {
  const auto* simd = type.as<ir::SimdType>();
  return simd ? simd->lanes : 1;
}

llvm::CmpInst::Predicate predicate(BinaryOp op, ScalarKind kind) {
  using P = llvm::CmpInst::Predicate;
  const bool real = ir::is_float(kind);
  const bool is_signed = ir::is_signed(kind);
  switch (op) {
    case BinaryOp::kEq:
      return real ? P::FCMP_OEQ : P::ICMP_EQ;
    case BinaryOp::kNe:
      return real ? P::FCMP_UNE : P::ICMP_NE;
    case BinaryOp::kLt:
      return real ? P::FCMP_OLT : is_signed ? P::ICMP_SLT : P::ICMP_ULT;
    case BinaryOp::kGt:
      return real ? P::FCMP_OGT : is_signed ? P::ICMP_SGT : P::ICMP_UGT;
    case BinaryOp::kLe:
      return real ? P::FCMP_OLE : is_signed ? P::ICMP_SLE : P::ICMP_ULE;
    default:
      return real ? P::FCMP_OGE : is_signed ? P::ICMP_SGE : P::ICMP_UGE;
  }
}

llvm::Intrinsic::ID min_max_intrinsic(bool is_min, ScalarKind kind) {
  using namespace llvm::Intrinsic;
  if (ir::is_float(kind)) return is_min ? minimum : maximum;
  if (ir::is_signed(kind)) return is_min ? smin : smax;
  return is_min ? umin : umax;
}

// The vector forms of a scalar mathematical function, for LLVM's vectoriser: all forms agree to the bit.
std::string vector_variants(ModuleEmitter& module, const ir::MathFunction& math, ScalarKind kind,
                            const std::string& scalar_symbol, std::size_t num_arguments) {
  std::string variants;
  llvm::SmallVector<llvm::GlobalValue*, 4> used;
  for (std::uint32_t lanes = 2; lanes <= module.max_math_lanes(kind); lanes *= 2) {
    const std::string symbol = math.symbol(kind, lanes, ir::host_math_family());
    if (symbol.empty()) continue;
    llvm::Type* type = module.types().lanes(kind, lanes);
    const llvm::SmallVector<llvm::Type*, 2> parameters(num_arguments, type);
    used.push_back(module.external_function(symbol, llvm::FunctionType::get(type, parameters, false), true));
    if (!variants.empty()) variants += ',';
    variants +=
        fmt::format("_ZGV_LLVM_N{}{}_{}({})", lanes, std::string(num_arguments, 'v'), scalar_symbol, symbol);
  }
  llvm::appendToCompilerUsed(module.module(), used);
  return variants;
}

// The most lanes, at most `lanes`, for which the function has a vector form; 1 where it has none.
std::uint32_t widest_form(ModuleEmitter& module, const ir::MathFunction& math, ScalarKind kind,
                          std::uint32_t lanes) {
  std::uint32_t width = std::bit_floor(std::min(lanes, module.max_math_lanes(kind)));
  while (width > 1 && (lanes % width != 0 || math.symbol(kind, width, ir::host_math_family()).empty()))
    width /= 2;
  return std::max(width, 1u);
}

// A call of a mathematical function for one scalar or for lanes, which are cut into the widest vectors that
// the function has a form for.
llvm::Value* call_math(Emitter& emitter, const ir::MathFunction* math, ir::Type type,
                       llvm::ArrayRef<llvm::Value*> arguments) {
  ir::internal_check(math != nullptr, "the operator has a mathematical function");
  auto& ir = emitter.ir;
  const ScalarKind kind = ir::element_kind(type);
  const std::uint32_t lanes = lanes_of(type);
  const auto declare = [&](const std::string& symbol, llvm::Type* each) {
    const llvm::SmallVector<llvm::Type*, 2> parameters(arguments.size(), each);
    return emitter.module.external_function(symbol, llvm::FunctionType::get(each, parameters, false), true);
  };
  if (const std::uint32_t width = widest_form(emitter.module, *math, kind, lanes); width > 1) {
    llvm::Function* function =
        declare(math->symbol(kind, width, ir::host_math_family()), emitter.module.types().lanes(kind, width));
    llvm::SmallVector<llvm::Value*, 8> parts;
    for (std::uint32_t first = 0; first < lanes; first += width) {
      llvm::SmallVector<llvm::Value*, 2> inputs;
      for (llvm::Value* argument : arguments) inputs.push_back(some_lanes(emitter, argument, first, width));
      parts.push_back(emitter.call(function, inputs));
    }
    return join_lanes(emitter, parts);
  }
  const std::string symbol = math->symbol(kind, 1, ir::host_math_family());
  llvm::Function* function = declare(symbol, emitter.module.types().scalar(kind));
  if (lanes == 1) {
    llvm::CallInst* made = emitter.call(function, arguments);
    const std::string variants = vector_variants(emitter.module, *math, kind, symbol, arguments.size());
    if (!variants.empty())
      made->addFnAttr(llvm::Attribute::get(ir.getContext(), "vector-function-abi-variant", variants));
    return made;
  }
  llvm::Value* result = llvm::PoisonValue::get(arguments.front()->getType());
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    llvm::SmallVector<llvm::Value*, 2> elements;
    for (llvm::Value* argument : arguments) elements.push_back(ir.CreateExtractElement(argument, lane));
    result = ir.CreateInsertElement(result, emitter.call(function, elements), lane);
  }
  return result;
}

// `divisor` without the two values for which a machine division traps: zero has failed already, and by minus
// one the quotient is the negation (which wraps) and the remainder is 0.
struct SafeDivisor {
  llvm::Value* divisor;
  llvm::Value* is_minus_one;  // null when it cannot be
};

SafeDivisor safe_divisor(Emitter& emitter, ScalarKind kind, llvm::Value* divisor, ir::Span span) {
  auto& ir = emitter.ir;
  llvm::Value* zero = llvm::Constant::getNullValue(divisor->getType());
  llvm::Value* is_zero = ir.CreateICmpEQ(divisor, zero);
  if (is_zero->getType()->isVectorTy()) is_zero = ir.CreateOrReduce(is_zero);
  emitter.fail_if(is_zero, ErrorCode::kArithmeticError, span);
  if (!ir::is_signed(kind)) return {divisor, nullptr};
  llvm::Value* minus_one = llvm::Constant::getAllOnesValue(divisor->getType());
  if (llvm::isa<llvm::Constant>(divisor) && divisor != minus_one) return {divisor, nullptr};
  llvm::Value* is_minus_one = ir.CreateICmpEQ(divisor, minus_one);
  llvm::Value* one = llvm::ConstantInt::get(divisor->getType(), 1);
  return {ir.CreateSelect(is_minus_one, one, divisor), is_minus_one};
}

// Whether lanes are divided as floats: machines divide no vectors of integers, and LLVM would divide lane by
// lane. By constants it multiplies.
bool divides_as_floats(ScalarKind kind, llvm::Value* divisor) {
  return divisor->getType()->isVectorTy() && ir::bit_width(kind) <= 32 && !llvm::isa<llvm::Constant>(divisor);
}

// The quotient, truncated; the divisor is safe. A quotient of n-bit integers that is no integer differs from
// each by 2^-n of it at least, so it never becomes one in a float that has more than n bits.
llvm::Value* quotient_of(Emitter& emitter, ScalarKind kind, llvm::Value* left, llvm::Value* divisor) {
  auto& ir = emitter.ir;
  const bool is_signed = ir::is_signed(kind);
  if (!divides_as_floats(kind, divisor))
    return is_signed ? ir.CreateSDiv(left, divisor) : ir.CreateUDiv(left, divisor);
  llvm::Type* real = ir::bit_width(kind) <= 16 ? ir.getFloatTy() : ir.getDoubleTy();
  auto* type =
      llvm::FixedVectorType::get(real, llvm::cast<llvm::FixedVectorType>(left->getType())->getNumElements());
  const auto as_real = [&](llvm::Value* value) {
    return is_signed ? ir.CreateSIToFP(value, type) : ir.CreateUIToFP(value, type);
  };
  llvm::Value* quotient = ir.CreateFDiv(as_real(left), as_real(divisor));
  return is_signed ? ir.CreateFPToSI(quotient, left->getType()) : ir.CreateFPToUI(quotient, left->getType());
}

llvm::Value* divide(Emitter& emitter, ScalarKind kind, llvm::Value* left, llvm::Value* right, ir::Span span) {
  auto& ir = emitter.ir;
  if (ir::is_float(kind)) return ir.CreateFDiv(left, right);
  const SafeDivisor safe = safe_divisor(emitter, kind, right, span);
  llvm::Value* quotient = quotient_of(emitter, kind, left, safe.divisor);
  return safe.is_minus_one ? ir.CreateSelect(safe.is_minus_one, ir.CreateNeg(left), quotient) : quotient;
}

llvm::Value* remainder(Emitter& emitter, ScalarKind kind, llvm::Value* left, llvm::Value* right,
                       ir::Span span) {
  auto& ir = emitter.ir;
  if (ir::is_float(kind)) return ir.CreateFRem(left, right);
  const SafeDivisor safe = safe_divisor(emitter, kind, right, span);
  if (divides_as_floats(kind, safe.divisor))
    return ir.CreateSub(left, ir.CreateMul(quotient_of(emitter, kind, left, safe.divisor), safe.divisor));
  return ir::is_signed(kind) ? ir.CreateSRem(left, safe.divisor) : ir.CreateURem(left, safe.divisor);
}

llvm::Value* sign(Emitter& emitter, ScalarKind kind, llvm::Value* value) {
  auto& ir = emitter.ir;
  llvm::Type* type = value->getType();
  llvm::Value* zero = llvm::Constant::getNullValue(type);
  if (ir::is_float(kind)) {
    llvm::Value* flat = ir.CreateSelect(ir.CreateFCmpOEQ(value, zero), zero, value);  // NaN stays
    llvm::Value* low =
        ir.CreateSelect(ir.CreateFCmpOLT(value, zero), llvm::ConstantFP::get(type, -1.0), flat);
    return ir.CreateSelect(ir.CreateFCmpOGT(value, zero), llvm::ConstantFP::get(type, 1.0), low);
  }
  if (!ir::is_signed(kind)) return ir.CreateZExt(ir.CreateICmpNE(value, zero), type);
  return ir.CreateSub(ir.CreateZExt(ir.CreateICmpSGT(value, zero), type),
                      ir.CreateZExt(ir.CreateICmpSLT(value, zero), type));
}

llvm::Value* absolute(Emitter& emitter, ScalarKind kind, llvm::Value* value) {
  auto& ir = emitter.ir;
  if (ir::is_float(kind)) return ir.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, value);
  if (!ir::is_signed(kind)) return value;
  return ir.CreateBinaryIntrinsic(llvm::Intrinsic::abs, value, ir.getFalse());
}

// Saturating, NaN to 0. The plain conversion is poison out of range, but is then not selected; this form
// vectorises, where the saturating intrinsic does not.
llvm::Value* float_to_int(Emitter& emitter, ScalarKind to, llvm::Value* value, llvm::Type* int_type) {
  auto& ir = emitter.ir;
  const int width = ir::bit_width(to);
  const bool is_signed = ir::is_signed(to);
  const double low = is_signed ? -std::ldexp(1.0, width - 1) : 0.0;
  const double past = std::ldexp(1.0, is_signed ? width - 1 : width);
  const auto bits = static_cast<unsigned>(width);
  const llvm::APInt smallest =
      is_signed ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getMinValue(bits);
  const llvm::APInt largest =
      is_signed ? llvm::APInt::getSignedMaxValue(bits) : llvm::APInt::getMaxValue(bits);
  llvm::Value* low_limit = llvm::ConstantFP::get(value->getType(), low);
  llvm::Value* converted = is_signed ? ir.CreateFPToSI(value, int_type) : ir.CreateFPToUI(value, int_type);
  llvm::Value* below =
      ir.CreateSelect(ir.CreateFCmpOLT(value, low_limit), llvm::ConstantInt::get(int_type, smallest),
                      llvm::Constant::getNullValue(int_type));
  llvm::Value* inside = ir.CreateSelect(ir.CreateFCmpOGE(value, low_limit), converted, below);
  return ir.CreateSelect(ir.CreateFCmpOGE(value, llvm::ConstantFP::get(value->getType(), past)),
                         llvm::ConstantInt::get(int_type, largest), inside);
}

}  // namespace

llvm::Value* Emitter::unary(UnaryOp op, ir::Type type, llvm::Value* value) {
  const ScalarKind kind = ir::element_kind(type);
  switch (op) {
    case UnaryOp::kNeg:
      return ir::is_float(kind) ? ir.CreateFNeg(value) : ir.CreateNeg(value);
    case UnaryOp::kNot:
      return ir.CreateNot(value);
    case UnaryOp::kSqrt:
      return ir.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, value);
    case UnaryOp::kFloor:
      return ir.CreateUnaryIntrinsic(llvm::Intrinsic::floor, value);
    case UnaryOp::kCeil:
      return ir.CreateUnaryIntrinsic(llvm::Intrinsic::ceil, value);
    case UnaryOp::kTrunc:
      return ir.CreateUnaryIntrinsic(llvm::Intrinsic::trunc, value);
    case UnaryOp::kRound:
      return ir.CreateUnaryIntrinsic(llvm::Intrinsic::roundeven, value);
    case UnaryOp::kAbs:
      return absolute(*this, kind, value);
    case UnaryOp::kSign:
      return sign(*this, kind, value);
    case UnaryOp::kIsNan:
      return ir.CreateFCmpUNO(value, value);
    default:
      break;
  }
  return call_math(*this, ir::math_function(op), type, {value});
}

llvm::Value* Emitter::binary(BinaryOp op, ir::Type type, llvm::Value* left, llvm::Value* right,
                             ir::Span span) {
  const ScalarKind kind = ir::element_kind(type);
  const bool real = ir::is_float(kind);
  if (ir::is_comparison(op)) return ir.CreateCmp(predicate(op, kind), left, right);
  const auto shift_count = [&] {
    return ir.CreateAnd(
        right, llvm::ConstantInt::get(right->getType(), static_cast<std::uint64_t>(ir::bit_width(kind)) - 1));
  };
  switch (op) {
    case BinaryOp::kAdd:
      return real ? ir.CreateFAdd(left, right) : ir.CreateAdd(left, right);
    case BinaryOp::kSub:
      return real ? ir.CreateFSub(left, right) : ir.CreateSub(left, right);
    case BinaryOp::kMul:
      return real ? ir.CreateFMul(left, right) : ir.CreateMul(left, right);
    case BinaryOp::kDiv:
      return divide(*this, kind, left, right, span);
    case BinaryOp::kRem:
      return remainder(*this, kind, left, right, span);
    case BinaryOp::kBitAnd:
      return ir.CreateAnd(left, right);
    case BinaryOp::kBitOr:
      return ir.CreateOr(left, right);
    case BinaryOp::kXor:
      return ir.CreateXor(left, right);
    case BinaryOp::kShl:
      return ir.CreateShl(left, shift_count());
    case BinaryOp::kShr:
      return ir::is_signed(kind) ? ir.CreateAShr(left, shift_count()) : ir.CreateLShr(left, shift_count());
    case BinaryOp::kMin:
      return ir.CreateBinaryIntrinsic(min_max_intrinsic(true, kind), left, right);
    case BinaryOp::kMax:
      return ir.CreateBinaryIntrinsic(min_max_intrinsic(false, kind), left, right);
    default:
      break;
  }
  return call_math(*this, ir::math_function(op), type, {left, right});
}

llvm::Value* Emitter::cast(ir::Type from, ScalarKind to, llvm::Value* value) {
  const ScalarKind kind = ir::element_kind(from);
  if (kind == to) return value;
  const std::uint32_t lanes = lanes_of(from);
  llvm::Type* type = from.as<ir::SimdType>() ? module.types().lanes(to, lanes) : module.types().scalar(to);
  llvm::Value* zero = llvm::Constant::getNullValue(value->getType());
  if (to == ScalarKind::kBool) {
    return ir::is_float(kind) ? ir.CreateFCmpUNE(value, zero) : ir.CreateICmpNE(value, zero);
  }
  if (ir::is_float(kind)) {
    return ir::is_float(to) ? ir.CreateFPCast(value, type) : float_to_int(*this, to, value, type);
  }
  if (ir::is_float(to))
    return ir::is_signed(kind) ? ir.CreateSIToFP(value, type) : ir.CreateUIToFP(value, type);
  return ir.CreateIntCast(value, type, ir::is_signed(kind));
}

namespace {

BinaryOp binary_op_of(ir::MergeOp op) {
  switch (op) {
    case ir::MergeOp::kAdd:
      return BinaryOp::kAdd;
    case ir::MergeOp::kMul:
      return BinaryOp::kMul;
    case ir::MergeOp::kMin:
      return BinaryOp::kMin;
    case ir::MergeOp::kMax:
      break;
  }
  return BinaryOp::kMax;
}

}  // namespace

llvm::Value* Emitter::merge_scalars(ir::MergeOp op, ScalarKind kind, llvm::Value* left, llvm::Value* right) {
  llvm::Value* merged = binary(binary_op_of(op), ir::Type::scalar(kind), left, right, {});
  auto* instruction = llvm::dyn_cast<llvm::Instruction>(merged);
  if (instruction && !module.options().deterministic && ir::depends_on_order(op, kind)) {
    instruction->setHasAllowReassoc(true);  // lets LLVM add lanes apart
  }
  return merged;
}

Value Emitter::merge_values(ir::MergeOp op, const Value& left, const Value& right) {
  Value merged{left.type, {}};
  const FlatType& type = flat(left.type);
  for (std::size_t i = 0; i < type.leaves.size(); ++i) {
    merged.leaves.push_back(merge_scalars(op, type.leaves[i].scalar, left.leaves[i], right.leaves[i]));
  }
  return merged;
}

Value Emitter::identity(ir::MergeOp op, ir::Type type) {
  Value value{type, {}};
  for (const Leaf& leaf : flat(type).leaves)
    value.leaves.push_back(scalar_constant(ir::identity_of(op, leaf.scalar)));
  return value;
}

}  // namespace weld::codegen
