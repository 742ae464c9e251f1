#include "runtime/variants.h"

#include <algorithm>
#include <cmath>

namespace weld::runtime {
namespace {

constexpr std::int64_t kTrialShare = 16;  // of a morsel, one part goes to a trial
constexpr std::int64_t kFirstTrials = 2;  // the first one finds cold caches and cold code
constexpr double kTrialInterval = 12;     // morsels between trials of a variant that is not much worse
constexpr double kCheapExcess = 4;        // than by this factor; the interval grows with more
constexpr double kMaxIntervals = 64;
constexpr double kNearExcess = 3;  // only those nearer than this are tried when the best one's cost changes
constexpr double kChange = 0.2;    // of the cost, which asks for trials of all others
constexpr std::int64_t kChangeInterval = 4;  // morsels between such
constexpr double kWorthIt = 0.98;  // less than so much of the best one's cost makes another the best
constexpr double kNewest = 0.5;    // weight of the newest of the best one's costs

}  // namespace

VariantSelector::VariantSelector(std::uint32_t num_variants) noexcept : num_variants_(num_variants) {}

bool VariantSelector::wants_trial(std::uint32_t index) const noexcept {
  const Variant& variant = variants_[index];
  if (variant.num_tried < kFirstTrials) return true;
  if (index == best_) return false;
  const double excess = variant.cycles_a_row / std::max(variants_[best_].cycles_a_row, 1e-9);
  if (variant.tried_at < settled_at_ && excess <= kNearExcess) return true;
  const double others = std::max(0.5 * (num_variants_ - 1), 1.0);
  const double intervals = others * std::clamp(excess / kCheapExcess, 1.0, kMaxIntervals);
  return static_cast<double>(num_morsels_ - variant.tried_at) >= kTrialInterval * intervals;
}

VariantSelector::Choice VariantSelector::choose(std::int64_t rows, std::int64_t step_rows) noexcept {
  const std::lock_guard lock(mutex_);
  const std::int64_t steps = rows / step_rows / kTrialShare;
  const std::int64_t part = std::min(rows, std::max<std::int64_t>(steps, 1) * step_rows);
  for (std::uint32_t i = 0; i < num_variants_ && num_variants_ > 1; ++i) {
    if (!wants_trial(i)) continue;
    variants_[i].tried_at = num_morsels_;
    ++variants_[i].num_tried;
    return {i, part};
  }
  ++num_morsels_;
  return {best_, rows};
}

void VariantSelector::report(Choice choice, std::uint64_t cycles) noexcept {
  const std::lock_guard lock(mutex_);
  Variant& variant = variants_[choice.variant];
  const double cost = std::max(static_cast<double>(cycles) / static_cast<double>(choice.rows), 1e-9);
  if (variant.num_told == 0) {
    variant.cycles_a_row = cost;
  } else if (variant.num_told < kFirstTrials) {
    variant.cycles_a_row = std::min(variant.cycles_a_row, cost);
  } else {
    // A trial comes after a while, and says more than what was known before.
    const double weight = choice.variant == best_ ? kNewest : 1.0;
    variant.cycles_a_row += weight * (cost - variant.cycles_a_row);
  }
  ++variant.num_told;
  if (choose_best() || has_changed()) {
    settled_cycles_ = variants_[best_].cycles_a_row;
    settled_at_ = num_morsels_;
  }
}

bool VariantSelector::has_changed() const noexcept {
  const double cost = variants_[best_].cycles_a_row;
  return std::abs(cost - settled_cycles_) > kChange * settled_cycles_ &&
         num_morsels_ - settled_at_ >= kChangeInterval;
}

bool VariantSelector::choose_best() noexcept {
  const std::uint32_t before = best_;
  for (std::uint32_t i = 0; i < num_variants_; ++i) {
    const Variant& variant = variants_[i];
    if (i == best_ || variant.num_told == 0 || variants_[best_].num_told == 0) continue;
    if (variant.cycles_a_row < kWorthIt * variants_[best_].cycles_a_row) best_ = i;
  }
  return best_ != before;
}

std::uint32_t VariantSelector::best() const noexcept {
  const std::lock_guard lock(mutex_);
  return best_;
}

}  // namespace weld::runtime
