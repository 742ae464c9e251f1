#include "ir/scalar_eval.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "ir/math_functions.h"

namespace weld::ir {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
ScalarValue of(T value) {
  return ScalarValue::of<T>(value);
}

// The value of an operator on 8-bit integers by arithmetic on wide ones; nothing for an error.
template <class T>
std::optional<std::int64_t> wide(BinaryOp op, std::int64_t l, std::int64_t r) {
  switch (op) {
    case BinaryOp::kAdd:
      return l + r;
    case BinaryOp::kSub:
      return l - r;
    case BinaryOp::kMul:
      return l * r;
    case BinaryOp::kDiv:
      return r == 0 ? std::nullopt : std::optional(l / r);
    case BinaryOp::kRem:
      return r == 0 ? std::nullopt : std::optional(l - r * (l / r));
    case BinaryOp::kEq:
      return l == r;
    case BinaryOp::kNe:
      return l != r;
    case BinaryOp::kLt:
      return l < r;
    case BinaryOp::kGt:
      return l > r;
    case BinaryOp::kLe:
      return l <= r;
    case BinaryOp::kGe:
      return l >= r;
    case BinaryOp::kBitAnd:
      return l & r;
    case BinaryOp::kBitOr:
      return l | r;
    case BinaryOp::kXor:
      return l ^ r;
    case BinaryOp::kShl:
      return l * (std::int64_t{1} << (((r % 8) + 8) % 8));
    case BinaryOp::kShr: {
      const std::int64_t divisor = std::int64_t{1} << (((r % 8) + 8) % 8);
      return l >= 0 ? l / divisor : -((-l + divisor - 1) / divisor);  // rounds down
    }
    case BinaryOp::kMin:
      return l < r ? l : r;
    default:
      return l > r ? l : r;
  }
}

template <class T>
void check_all_pairs() {
  for (int op_index = 0; op_index <= static_cast<int>(BinaryOp::kMax); ++op_index) {
    const auto op = static_cast<BinaryOp>(op_index);
    if (op == BinaryOp::kLogicalAnd || op == BinaryOp::kLogicalOr) continue;
    for (int left = 0; left < 256; ++left) {
      for (int right = 0; right < 256; ++right) {
        const T l = static_cast<T>(left);
        const T r = static_cast<T>(right);
        const auto expected = wide<T>(op, l, r);
        const auto actual = evaluate(op, of(l), of(r));
        ASSERT_EQ(actual.has_value(), expected.has_value()) << op_name(op) << ' ' << +l << ' ' << +r;
        if (!expected) continue;
        const ScalarValue value = is_comparison(op) ? of(*expected != 0) : of(static_cast<T>(*expected));
        ASSERT_EQ(*actual, value) << op_name(op) << ' ' << +l << ' ' << +r;
      }
    }
  }
}

TEST(ScalarEval, AgreesWithWideArithmeticOnAllPairsOfBytes) {
  check_all_pairs<std::int8_t>();
  check_all_pairs<std::uint8_t>();
}

TEST(ScalarEval, WrapsAtEveryWidth) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    EXPECT_EQ(evaluate(BinaryOp::kAdd, of(Limits::max()), of(T{1})), of(Limits::min()));
    EXPECT_EQ(evaluate(BinaryOp::kSub, of(Limits::min()), of(T{1})), of(Limits::max()));
    EXPECT_EQ(evaluate(BinaryOp::kMul, of(Limits::max()), of(Limits::max())), of(T{1}));
    EXPECT_EQ(evaluate(UnaryOp::kNeg, of(Limits::min())), of(Limits::min()));
    EXPECT_EQ(evaluate(BinaryOp::kDiv, of(Limits::max()), of(T{0})), std::nullopt);
    EXPECT_EQ(evaluate(BinaryOp::kRem, of(Limits::max()), of(T{0})), std::nullopt);
    EXPECT_EQ(evaluate(BinaryOp::kShl, of(T{1}), of(static_cast<T>(Limits::digits + std::is_signed_v<T>))),
              of(T{1}));
  };
  check(std::int16_t{});
  check(std::int32_t{});
  check(std::int64_t{});
  EXPECT_EQ(evaluate(BinaryOp::kDiv, of(INT64_MIN), of(std::int64_t{-1})), of(INT64_MIN));
  EXPECT_EQ(evaluate(BinaryOp::kRem, of(INT64_MIN), of(std::int64_t{-1})), of(std::int64_t{0}));
  EXPECT_EQ(evaluate(BinaryOp::kDiv, of(INT32_MIN), of(-1)), of(INT32_MIN));
  EXPECT_EQ(evaluate(BinaryOp::kAdd, of(UINT64_MAX), of(std::uint64_t{2})), of(std::uint64_t{1}));
  EXPECT_EQ(evaluate(BinaryOp::kMul, of(std::uint16_t{65535}), of(std::uint16_t{65535})),
            of(std::uint16_t{1}));
  EXPECT_EQ(evaluate(BinaryOp::kShr, of(std::int64_t{-8}), of(std::int64_t{1})), of(std::int64_t{-4}));
  EXPECT_EQ(evaluate(BinaryOp::kShr, of(std::uint64_t{1} << 63), of(std::uint64_t{127})),
            of(std::uint64_t{1}));
}

TEST(ScalarEval, UnaryOnIntegersAndBool) {
  EXPECT_EQ(evaluate(UnaryOp::kAbs, of(std::int8_t{-128})), of(std::int8_t{-128}));
  EXPECT_EQ(evaluate(UnaryOp::kAbs, of(-5)), of(5));
  EXPECT_EQ(evaluate(UnaryOp::kSign, of(-5)), of(-1));
  EXPECT_EQ(evaluate(UnaryOp::kSign, of(0)), of(0));
  EXPECT_EQ(evaluate(UnaryOp::kSign, of(std::uint8_t{200})), of(std::uint8_t{1}));
  EXPECT_EQ(evaluate(UnaryOp::kNeg, of(std::uint8_t{1})), of(std::uint8_t{255}));
  EXPECT_EQ(evaluate(UnaryOp::kNot, of(true)), of(false));
  EXPECT_EQ(evaluate(BinaryOp::kLt, of(false), of(true)), of(true));
  EXPECT_EQ(evaluate(BinaryOp::kXor, of(true), of(true)), of(false));
  EXPECT_EQ(evaluate(BinaryOp::kLogicalOr, of(false), of(true)), of(true));
}

TEST(ScalarEval, FloatsFollowIeee) {
  EXPECT_EQ(evaluate(UnaryOp::kNeg, of(0.0)), of(-0.0));
  EXPECT_EQ(evaluate(UnaryOp::kAbs, of(-0.0)), of(0.0));
  EXPECT_EQ(evaluate(UnaryOp::kSign, of(-0.0)), of(0.0));
  EXPECT_EQ(evaluate(UnaryOp::kSign, of(-kInfinity)), of(-1.0));
  EXPECT_TRUE(same_bits(evaluate(UnaryOp::kSign, of(kNan)), of(kNan)));
  EXPECT_EQ(evaluate(UnaryOp::kRound, of(0.5)), of(0.0));
  EXPECT_EQ(evaluate(UnaryOp::kRound, of(1.5)), of(2.0));
  EXPECT_EQ(evaluate(UnaryOp::kRound, of(2.5f)), of(2.0f));
  EXPECT_EQ(evaluate(UnaryOp::kRound, of(-0.4)), of(-0.0));
  EXPECT_EQ(evaluate(UnaryOp::kFloor, of(-1.5)), of(-2.0));
  EXPECT_EQ(evaluate(UnaryOp::kCeil, of(-1.5f)), of(-1.0f));
  EXPECT_EQ(evaluate(UnaryOp::kTrunc, of(-1.5)), of(-1.0));
  EXPECT_EQ(evaluate(UnaryOp::kSqrt, of(2.0)), of(std::sqrt(2.0)));
  EXPECT_EQ(evaluate(UnaryOp::kIsNan, of(kNan)), of(true));
  EXPECT_EQ(evaluate(UnaryOp::kIsNan, of(1.0f)), of(false));
  EXPECT_EQ(evaluate(BinaryOp::kNe, of(kNan), of(kNan)), of(true));
  EXPECT_EQ(evaluate(BinaryOp::kEq, of(kNan), of(kNan)), of(false));
  EXPECT_EQ(evaluate(BinaryOp::kGe, of(kNan), of(kNan)), of(false));
  EXPECT_EQ(evaluate(BinaryOp::kEq, of(0.0), of(-0.0)), of(true));
  EXPECT_EQ(evaluate(BinaryOp::kDiv, of(1.0), of(-0.0)), of(-kInfinity));
  EXPECT_EQ(evaluate(BinaryOp::kRem, of(-5.5), of(2.0)), of(-1.5));
  EXPECT_TRUE(same_bits(*evaluate(BinaryOp::kRem, of(1.0), of(0.0)), of(kNan)));
  EXPECT_EQ(evaluate(BinaryOp::kRem, of(1e300), of(3.0)), of(std::fmod(1e300, 3.0)));
}

TEST(ScalarEval, MinimumAndMaximumCommuteAndAssociate) {
  const double values[] = {kNan, -kInfinity, -1.0, -0.0, 0.0, 1.0, kInfinity};
  for (BinaryOp op : {BinaryOp::kMin, BinaryOp::kMax}) {
    for (double a : values) {
      for (double b : values) {
        const ScalarValue ab = *evaluate(op, of(a), of(b));
        EXPECT_TRUE(same_bits(ab, *evaluate(op, of(b), of(a)))) << a << ' ' << b;
        if (a != a || b != b) EXPECT_TRUE(ab.as<double>() != ab.as<double>());
        for (double c : values) {
          EXPECT_TRUE(same_bits(*evaluate(op, ab, of(c)), *evaluate(op, of(a), *evaluate(op, of(b), of(c)))));
        }
      }
    }
  }
  EXPECT_EQ(evaluate(BinaryOp::kMin, of(0.0), of(-0.0)), of(-0.0));
  EXPECT_EQ(evaluate(BinaryOp::kMax, of(-0.0f), of(0.0f)), of(0.0f));
}

TEST(ScalarEval, MergingTheIdentityChangesNothing) {
  for (MergeOp op : {MergeOp::kAdd, MergeOp::kMul, MergeOp::kMin, MergeOp::kMax}) {
    for (int i = 0; i < kNumScalarKinds - 1; ++i) {
      const auto kind = static_cast<ScalarKind>(i);
      for (const ScalarValue value : {convert(kind, of(-7)), convert(kind, of(0)), convert(kind, of(100))}) {
        EXPECT_EQ(evaluate(op, identity_of(op, kind), value), value);
        EXPECT_EQ(evaluate(op, value, identity_of(op, kind)), value);
      }
    }
    EXPECT_TRUE(same_bits(evaluate(op, identity_of(op, ScalarKind::kF64), of(kNan)), of(kNan)));
  }
}

TEST(ScalarEval, CastsAreDefinedForAllInputs) {
  EXPECT_EQ(convert(ScalarKind::kI8, of(300)), of(std::int8_t{44}));
  EXPECT_EQ(convert(ScalarKind::kU8, of(-1)), of(std::uint8_t{255}));
  EXPECT_EQ(convert(ScalarKind::kI64, of(std::uint32_t{4000000000})), of(std::int64_t{4000000000}));
  EXPECT_EQ(convert(ScalarKind::kI64, of(std::int8_t{-1})), of(std::int64_t{-1}));
  EXPECT_EQ(convert(ScalarKind::kI32, of(kNan)), of(0));
  EXPECT_EQ(convert(ScalarKind::kI32, of(1e10)), of(INT32_MAX));
  EXPECT_EQ(convert(ScalarKind::kI32, of(-1e10)), of(INT32_MIN));
  EXPECT_EQ(convert(ScalarKind::kI64, of(9.3e18)), of(INT64_MAX));
  EXPECT_EQ(convert(ScalarKind::kI64, of(-kInfinity)), of(INT64_MIN));
  EXPECT_EQ(convert(ScalarKind::kI64, of(-9223372036854775808.0)), of(INT64_MIN));
  EXPECT_EQ(convert(ScalarKind::kU64, of(-0.5)), of(std::uint64_t{0}));
  EXPECT_EQ(convert(ScalarKind::kU64, of(-1.0f)), of(std::uint64_t{0}));
  EXPECT_EQ(convert(ScalarKind::kU64, of(1.8446744073709552e19)), of(UINT64_MAX));
  EXPECT_EQ(convert(ScalarKind::kI8, of(127.9f)), of(std::int8_t{127}));
  EXPECT_EQ(convert(ScalarKind::kI8, of(-128.9f)), of(std::int8_t{-128}));
  EXPECT_EQ(convert(ScalarKind::kI8, of(-1.9)), of(std::int8_t{-1}));
  EXPECT_EQ(convert(ScalarKind::kBool, of(kNan)), of(true));
  EXPECT_EQ(convert(ScalarKind::kBool, of(-0.0)), of(false));
  EXPECT_EQ(convert(ScalarKind::kBool, of(256)), of(true));
  EXPECT_EQ(convert(ScalarKind::kF64, of(true)), of(1.0));
  EXPECT_EQ(convert(ScalarKind::kF32, of(std::int64_t{16777217})), of(16777216.0f));
  EXPECT_EQ(convert(ScalarKind::kF32, of(1e300)), of(std::numeric_limits<float>::infinity()));
}

TEST(ScalarEval, NansAreOneValueInBits) {
  const ScalarValue other{ScalarKind::kF64, 0xfff8000000000123};
  EXPECT_TRUE(same_bits(other, of(kNan)));
  EXPECT_FALSE(same_bits(of(0.0), of(-0.0)));
  EXPECT_FALSE(same_bits(of(1), of(std::int64_t{1})));
}

// The distance in units of the last place from a value computed in long double.
double ulps(double actual, long double exact) {
  if (std::isnan(actual) && std::isnan(exact)) return 0;
  if (std::isinf(actual) || exact == 0) return actual == static_cast<double>(exact) ? 0 : 1e9;
  const double nearest = static_cast<double>(exact);
  const int exponent = std::max(std::ilogb(nearest), -1022) - 52;
  return static_cast<double>(std::fabs(static_cast<long double>(actual) - exact) /
                             std::ldexp(1.0L, exponent));
}

struct Reference {
  UnaryOp op;
  long double (*exact)(long double);
  double low;
  double high;
  double max_ulps;
};

TEST(MathFunctions, StayWithinTheirAccuracy) {
  const Reference references[] = {
      {UnaryOp::kExp, std::exp, -700, 700, 1},     {UnaryOp::kLog, std::log, 1e-10, 1e10, 1},
      {UnaryOp::kErf, std::erf, -5, 5, 1},         {UnaryOp::kSin, std::sin, -100, 100, 1},
      {UnaryOp::kCos, std::cos, -100, 100, 1},     {UnaryOp::kTan, std::tan, -100, 100, 1},
      {UnaryOp::kAsin, std::asin, -1, 1, 1},       {UnaryOp::kAcos, std::acos, -1, 1, 1},
      {UnaryOp::kAtan, std::atan, -50, 50, 1},     {UnaryOp::kSinh, std::sinh, -700, 700, 1},
      {UnaryOp::kCosh, std::cosh, -700, 700, 1},   {UnaryOp::kTanh, std::tanh, -5, 5, 1.01},
      {UnaryOp::kExp2, std::exp2, -1000, 1000, 1}, {UnaryOp::kExpm1, std::expm1, -5, 5, 1},
      {UnaryOp::kLog2, std::log2, 1e-10, 1e10, 1}, {UnaryOp::kLog10, std::log10, 1e-10, 1e10, 1},
      {UnaryOp::kLog1p, std::log1p, -0.9, 10, 1},  {UnaryOp::kCbrt, std::cbrt, -1e6, 1e6, 1},
      {UnaryOp::kErfc, std::erfc, -5, 20, 1.5},
  };
  std::mt19937_64 random(7);
  for (const Reference& reference : references) {
    std::uniform_real_distribution<double> distribution(reference.low, reference.high);
    for (int i = 0; i < 5000; ++i) {
      const double x = distribution(random);
      EXPECT_LE(ulps(call_math(reference.op, x), reference.exact(x)), reference.max_ulps)
          << op_name(reference.op) << ' ' << x;
    }
  }
}

TEST(MathFunctions, SpecialValues) {
  EXPECT_EQ(evaluate(UnaryOp::kExp, of(-kInfinity)), of(0.0));
  EXPECT_EQ(evaluate(UnaryOp::kLog, of(0.0)), of(-kInfinity));
  EXPECT_TRUE(same_bits(evaluate(UnaryOp::kLog, of(-1.0)), of(kNan)));
  EXPECT_EQ(evaluate(UnaryOp::kSin, of(-0.0)), of(-0.0));
  EXPECT_EQ(evaluate(BinaryOp::kPow, of(kNan), of(0.0)), of(1.0));
  EXPECT_EQ(evaluate(BinaryOp::kPow, of(1.0), of(kNan)), of(1.0));
  EXPECT_EQ(evaluate(BinaryOp::kPow, of(-2.0), of(3.0)), of(-8.0));
  EXPECT_TRUE(same_bits(*evaluate(BinaryOp::kPow, of(-2.0), of(0.5)), of(kNan)));
  EXPECT_EQ(evaluate(BinaryOp::kPow, of(3.0f), of(2.0f)), of(9.0f));
  EXPECT_EQ(evaluate(BinaryOp::kHypot, of(3.0), of(4.0)), of(5.0));
  EXPECT_EQ(evaluate(BinaryOp::kHypot, of(kInfinity), of(kNan)), of(kInfinity));
  EXPECT_EQ(evaluate(BinaryOp::kAtan2, of(0.0), of(-1.0)), of(std::atan2(0.0, -1.0)));
}

template <class F>
void for_each_function(F&& f) {
  for (int i = 0; i < kNumUnaryOps; ++i) {
    if (const MathFunction* function = math_function(static_cast<UnaryOp>(i))) f(*function);
  }
  for (int i = 0; i < kNumBinaryOps; ++i) {
    if (const MathFunction* function = math_function(static_cast<BinaryOp>(i))) f(*function);
  }
}

TEST(MathFunctions, EverySymbolExists) {
  int num_functions = 0;
  for_each_function([&](const MathFunction& function) {
    ++num_functions;
    for (MathFamily family : {MathFamily::kFma, MathFamily::kNoFma}) {
      for (std::uint32_t lanes : {1u, 2u, 4u, 8u}) {
        const std::string symbol = function.symbol(ScalarKind::kF64, lanes, family);
        EXPECT_NE(dlsym(RTLD_DEFAULT, symbol.c_str()), nullptr) << symbol;
      }
      for (std::uint32_t lanes : {1u, 4u, 8u, 16u}) {
        const std::string symbol = function.symbol(ScalarKind::kF32, lanes, family);
        EXPECT_NE(dlsym(RTLD_DEFAULT, symbol.c_str()), nullptr) << symbol;
      }
    }
    EXPECT_EQ(function.symbol(ScalarKind::kF64, 3, MathFamily::kFma), "");
  });
  EXPECT_EQ(num_functions, 22);
  EXPECT_EQ(math_function(UnaryOp::kSqrt), nullptr);
  EXPECT_EQ(math_function(BinaryOp::kRem), nullptr);
}

// Applies a vector form to all inputs. The attribute matters: it decides how wide vectors are passed.
#define WELD_MAP_VECTORS(name, attributes)                                                           \
  template <class Vector, class T>                                                                   \
  attributes std::vector<T> name(const std::string& symbol, const std::vector<T>& inputs) {          \
    const auto function = reinterpret_cast<Vector (*)(Vector)>(dlsym(RTLD_DEFAULT, symbol.c_str())); \
    std::vector<T> outputs(inputs.size());                                                           \
    constexpr std::size_t lanes = sizeof(Vector) / sizeof(T);                                        \
    for (std::size_t i = 0; i + lanes <= inputs.size(); i += lanes) {                                \
      Vector vector;                                                                                 \
      std::memcpy(&vector, &inputs[i], sizeof vector);                                               \
      vector = function(vector);                                                                     \
      std::memcpy(&outputs[i], &vector, sizeof vector);                                              \
    }                                                                                                \
    return outputs;                                                                                  \
  }
WELD_MAP_VECTORS(map_128, )
WELD_MAP_VECTORS(map_256, __attribute__((target("avx2"))))
WELD_MAP_VECTORS(map_512, __attribute__((target("avx512f"))))
#undef WELD_MAP_VECTORS

template <class T>
std::vector<T> interesting_inputs() {
  std::vector<T> inputs{T(0), T(-0.0),  T(kInfinity), T(-kInfinity), T(kNan), T(1),    T(-1), T(0.5),
                        T(2), T(1e-30), T(1e30),      T(-1e30),      T(700),  T(-700), T(88), T(3)};
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> small(-2, 2), medium(-100, 100), exponent(-60, 60);
  for (int i = 0; i < 8192; ++i) {
    inputs.push_back(static_cast<T>(small(random)));
    inputs.push_back(static_cast<T>(medium(random)));
    inputs.push_back(static_cast<T>(small(random) * std::exp2(exponent(random))));
  }
  return inputs;
}

template <class T>
void expect_scalar_bits(const std::string& symbol, T (*scalar)(T), const std::vector<T>& inputs,
                        const std::vector<T>& outputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_TRUE(same_bits(of(outputs[i]), of(scalar(inputs[i])))) << symbol << ' ' << inputs[i];
  }
}

void compare_widths(const MathFunction& function, MathFamily family) {
  const auto f64 = interesting_inputs<double>();
  const auto f32 = interesting_inputs<float>();
  const auto check64 = [&](std::uint32_t lanes, auto map) {
    const std::string symbol = function.symbol(ScalarKind::kF64, lanes, family);
    expect_scalar_bits(symbol, function.unary_f64[static_cast<std::size_t>(family)], f64, map(symbol, f64));
  };
  const auto check32 = [&](std::uint32_t lanes, auto map) {
    const std::string symbol = function.symbol(ScalarKind::kF32, lanes, family);
    expect_scalar_bits(symbol, function.unary_f32[static_cast<std::size_t>(family)], f32, map(symbol, f32));
  };
  check64(2, map_128<__m128d, double>);
  check32(4, map_128<__m128, float>);
  if (!__builtin_cpu_supports("avx2")) return;
  check64(4, map_256<__m256d, double>);
  check32(8, map_256<__m256, float>);
  if (!__builtin_cpu_supports("avx512f")) return;
  check64(8, map_512<__m512d, double>);
  check32(16, map_512<__m512, float>);
}

TEST(MathFunctions, GiveTheSameBitsAtEveryWidth) {
  for (int i = 0; i < kNumUnaryOps; ++i) {
    const MathFunction* function = math_function(static_cast<UnaryOp>(i));
    if (!function) continue;
    compare_widths(*function, MathFamily::kNoFma);
    if (host_math_family() == MathFamily::kFma) compare_widths(*function, MathFamily::kFma);
  }
}

// Applies a form of two arguments to pairs of inputs, a vector of them at a time.
#define WELD_MAP_PAIRS(name, attributes)                                                                     \
  template <class Vector, class T>                                                                           \
  attributes void name(const std::string& symbol, T (*scalar)(T, T), const std::vector<T>& inputs) {         \
    const auto function = reinterpret_cast<Vector (*)(Vector, Vector)>(dlsym(RTLD_DEFAULT, symbol.c_str())); \
    constexpr std::size_t lanes = sizeof(Vector) / sizeof(T);                                                \
    for (std::size_t i = 0; i + 2 * lanes <= inputs.size(); i += lanes) {                                    \
      Vector left, right;                                                                                    \
      T outputs[lanes];                                                                                      \
      std::memcpy(&left, &inputs[i], sizeof left);                                                           \
      std::memcpy(&right, &inputs[inputs.size() - lanes - i], sizeof right);                                 \
      left = function(left, right);                                                                          \
      std::memcpy(outputs, &left, sizeof left);                                                              \
      for (std::size_t lane = 0; lane < lanes; ++lane) {                                                     \
        const T l = inputs[i + lane];                                                                        \
        const T r = inputs[inputs.size() - lanes - i + lane];                                                \
        ASSERT_TRUE(same_bits(of(outputs[lane]), of(scalar(l, r)))) << symbol << ' ' << l << ' ' << r;       \
      }                                                                                                      \
    }                                                                                                        \
  }
WELD_MAP_PAIRS(pairs_128, )
WELD_MAP_PAIRS(pairs_256, __attribute__((target("avx2"))))
WELD_MAP_PAIRS(pairs_512, __attribute__((target("avx512f"))))
#undef WELD_MAP_PAIRS

TEST(MathFunctions, OfTwoArgumentsGiveTheSameBitsAtEveryWidth) {
  const auto f64 = interesting_inputs<double>();
  const auto f32 = interesting_inputs<float>();
  for (BinaryOp op : {BinaryOp::kPow, BinaryOp::kAtan2, BinaryOp::kHypot}) {
    const MathFunction& function = *math_function(op);
    for (MathFamily family : {MathFamily::kNoFma, MathFamily::kFma}) {
      if (family == MathFamily::kFma && host_math_family() != MathFamily::kFma) continue;
      const auto index = static_cast<std::size_t>(family);
      const auto name = [&](ScalarKind kind, std::uint32_t lanes) {
        return function.symbol(kind, lanes, family);
      };
      pairs_128<__m128d>(name(ScalarKind::kF64, 2), function.binary_f64[index], f64);
      pairs_128<__m128>(name(ScalarKind::kF32, 4), function.binary_f32[index], f32);
      if (!__builtin_cpu_supports("avx2")) continue;
      pairs_256<__m256d>(name(ScalarKind::kF64, 4), function.binary_f64[index], f64);
      pairs_256<__m256>(name(ScalarKind::kF32, 8), function.binary_f32[index], f32);
      if (!__builtin_cpu_supports("avx512f")) continue;
      pairs_512<__m512d>(name(ScalarKind::kF64, 8), function.binary_f64[index], f64);
      pairs_512<__m512>(name(ScalarKind::kF32, 16), function.binary_f32[index], f32);
    }
  }
}

}  // namespace
}  // namespace weld::ir
