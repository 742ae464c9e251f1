#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace weld::bench::tpch {

/// The random streams of the official generator, by its numbers: each column that is drawn has one of its
/// own.
enum class StreamId : std::uint8_t {
  kPartMfgr,
  kPartBrand,
  kPartType,
  kPartSize,
  kPartContainer,
  kTextPool,
  kPartComment,
  kPartsuppQuantity,
  kPartsuppCost,
  kPartsuppComment,
  kOrderUnused,
  kOrderClerk,
  kOrderComment,
  kOrderDate,
  kLineQuantity,
  kLineDiscount,
  kLineTax,
  kLineInstruction,
  kLineMode,
  kLinePart,
  kLineSupplier,
  kLineShipDate,
  kLineCommitDate,
  kLineReceiptDate,
  kLineReturnFlag,
  kLineComment,
  kCustomerAddress,
  kCustomerNation,
  kCustomerPhone,
  kCustomerBalance,
  kCustomerSegment,
  kCustomerComment,
  kSupplierAddress,
  kSupplierNation,
  kSupplierPhone,
  kSupplierBalance,
  kSupplierComment,
  kPartName,
  kOrderPriority,
  kLineUnused,
  kOrderCustomer,
  kNationComment,
  kRegionComment,
  kOrderLineCount,
  kRemarkGap,
  kRemarkKind,
  kRemarkWhether,
  kRemarkPosition,
};

struct StreamSpec {
  std::uint64_t seed;
  int steps_per_row;  // a row may draw fewer numbers; the next row starts after this many all the same
};

inline constexpr std::array<StreamSpec, 48> kStreams = {{
    {1, 1},          {46831694, 1},    {1841581359, 1}, {1193163244, 1}, {727633698, 1},  {933588178, 1},
    {804159733, 2},  {1671059989, 4},  {1051288424, 4}, {1961692154, 8}, {1227283347, 1}, {1171034773, 1},
    {276090261, 2},  {1066728069, 1},  {209208115, 7},  {554590007, 7},  {721958466, 7},  {1371272478, 7},
    {675466456, 7},  {1808217256, 7},  {2095021727, 7}, {1769349045, 7}, {904914315, 7},  {373135028, 7},
    {717419739, 7},  {1095462486, 14}, {881155353, 9},  {1489529863, 1}, {1521138112, 3}, {298370230, 1},
    {1140279430, 1}, {1335826707, 2},  {706178559, 9},  {110356601, 1},  {884434366, 3},  {962338209, 1},
    {1341315363, 2}, {709314158, 92},  {591449447, 1},  {431918286, 1},  {851767375, 1},  {606179079, 2},
    {1500869201, 2}, {1434868289, 1},  {263032577, 1},  {753643799, 1},  {202794285, 1},  {715851524, 1},
}};

/// The Lehmer recurrence: a state x is followed by 16807 x mod 2^31 - 1. States are 1 … modulus - 1.
inline constexpr std::uint64_t kModulus = 2147483647;
inline constexpr std::uint64_t kMultiplier = 16807;

/// a * b mod 2^31 - 1 for reduced a and b.
constexpr std::uint64_t multiply_mod(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t product = a * b;
  const std::uint64_t folded = (product & kModulus) + (product >> 31);
  return folded >= kModulus ? folded - kModulus : folded;
}

/// 16807^steps mod 2^31 - 1: the factor that skips so many steps of a stream.
constexpr std::uint64_t skip_factor(std::int64_t steps) {
  std::uint64_t factor = 1;
  std::uint64_t square = kMultiplier;
  for (; steps != 0; steps >>= 1) {
    if (steps & 1) factor = multiply_mod(factor, square);
    square = multiply_mod(square, square);
  }
  return factor;
}

/// Entries to pick from by weight: one slot for each number that can be drawn.
template <typename Entry>
struct PickTable {
  PickTable() = default;
  explicit PickTable(std::span<const Entry> entries)
      : slots(entries.begin(), entries.end()), scale(static_cast<double>(slots.size()) / kModulus) {}

  std::vector<Entry> slots;
  double scale = 0;
};

/// A state to draw from. Every draw first steps the state, then uses it.
class Draws {
 public:
  explicit constexpr Draws(std::uint64_t state) : state_(state) {}

  std::uint64_t state() const { return state_; }

  std::uint64_t step() { return state_ = multiply_mod(state_, kMultiplier); }

  /// A number in [kLow, kHigh]. Ranges up to 2^20 need no division: the modulus is prime, so that no product
  /// comes nearer to an integer than the rounding errors.
  template <std::int64_t kLow, std::int64_t kHigh>
  std::int64_t draw() {
    static_assert(kHigh - kLow < (1 << 20));
    constexpr double kScale = static_cast<double>(kHigh - kLow + 1) / kModulus;
    return kLow + static_cast<std::int64_t>(static_cast<double>(step()) * kScale);
  }

  /// A number in [low, high], any range: the official arithmetic, rounding included.
  std::int64_t draw(std::int64_t low, std::int64_t high) {
    const double fraction = static_cast<double>(step()) / static_cast<double>(kModulus);
    return low + static_cast<std::int64_t>(fraction * static_cast<double>(high - low + 1));
  }

  template <typename Entry>
  const Entry& pick(const PickTable<Entry>& table) {
    return table.slots[static_cast<std::size_t>(static_cast<double>(step()) * table.scale)];
  }

 private:
  std::uint64_t state_;
};

/// The stream of one column, from any row on. Rows count from 0; what a row is, the owner says (a lineitem
/// stream's row is an order, a partsupp stream's a part).
template <StreamId kId>
class Stream : public Draws {
 public:
  explicit Stream(std::int64_t first_row)
      : Draws(1), row_state_(multiply_mod(kSpec.seed, skip_factor(first_row * kSpec.steps_per_row))) {}

  /// Moves to the next row, at first to `first_row`, however many numbers the last one drew.
  void begin_row() {
    static_cast<Draws&>(*this) = Draws(row_state_);
    row_state_ = multiply_mod(row_state_, kRowFactor);
  }

 private:
  static constexpr StreamSpec kSpec = kStreams[static_cast<std::size_t>(kId)];
  static constexpr std::uint64_t kRowFactor = skip_factor(kSpec.steps_per_row);

  std::uint64_t row_state_;
};

}  // namespace weld::bench::tpch
