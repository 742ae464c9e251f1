#include "ir/builder_state.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "ir/scalar_eval.h"

namespace weld::ir {
namespace {

Value identity_value(MergeOp op, Type type) {
  if (const auto* scalar = type.as<ScalarType>()) return identity_of(op, scalar->kind);
  std::vector<Value> members;
  for (Type member : type.as<StructType>()->members) members.push_back(identity_value(op, member));
  return Value::structure(std::move(members));
}

Value combined(MergeOp op, const Value& left, const Value& right) {
  if (left.is_scalar()) return evaluate(op, left.scalar(), right.scalar());
  std::vector<Value> members;
  for (std::size_t i = 0; i < left.members().size(); ++i) {
    members.push_back(combined(op, left.members()[i], right.members()[i]));
  }
  return Value::structure(std::move(members));
}

struct Add {
  MergeOp op;
  Value operator()(const Value& left, const Value& right) const { return combined(op, left, right); }
};

class Appender : public Builder {
 public:
  Appender(Type element, const std::shared_ptr<ByteAccount>& account)
      : storage_(std::make_shared<VectorStorage>(element, account)) {}

  ErrorCode merge(const Value& value) override {
    storage_->push(value);
    return ErrorCode::kSuccess;
  }
  void merge_simd(const std::vector<ScalarValue>& lanes, const std::vector<bool>& mask) override {
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if (mask[i]) storage_->push(lanes[i]);
    }
  }
  Value result() override {
    const std::int64_t length = storage_->length();
    return VectorValue{std::move(storage_), 0, length};
  }

 private:
  std::shared_ptr<VectorStorage> storage_;
};

// The sums of one loop.
class LoopSums {
 public:
  LoopSums(MergeOp op, const Value& identity, const LoopPosition& position)
      : add_{op}, identity_(identity), position_(position), totals_(add_) {
    lanes_.fill(identity);
  }

  void begin_iteration(std::int64_t iteration) {
    const std::int64_t index_in_block = iteration % position_.block_iterations;
    if (iteration > 0 && index_in_block == 0) end_block();
    seek(iteration);
  }
  void seek(std::int64_t iteration) {
    const std::int64_t index_in_block = iteration % position_.block_iterations;
    lane_ = static_cast<std::size_t>(lane_of(index_in_block, position_.iterations_of_block(iteration)));
  }
  void merge(const Value& value) { lanes_[lane_] = add_(lanes_[lane_], value); }
  Value total() {
    if (position_.num_iterations > 0) end_block();
    return totals_.total(identity_);
  }

 private:
  void end_block() {
    totals_.push(fold_lanes(lanes_, add_));
    lanes_.fill(identity_);
  }

  Add add_;
  Value identity_;
  LoopPosition position_;
  std::array<Value, kLanes> lanes_;
  std::size_t lane_ = 0;
  PairwiseTotals<Value, Add> totals_;
};

class Merger : public Builder {
 public:
  Merger(const MergerType& type, const Value* initial)
      : op_(type.op), identity_(identity_value(type.op, type.value)), held_(initial ? *initial : identity_) {}

  ErrorCode merge(const Value& value) override {
    if (loops_.empty())
      held_ = combined(op_, held_, value);
    else
      loops_.back().merge(value);
    return ErrorCode::kSuccess;
  }
  void merge_simd(const std::vector<ScalarValue>& lanes, const std::vector<bool>& mask) override {
    std::vector<ScalarValue> included = lanes;
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      if (!mask[i]) included[i] = identity_.scalar();
    }
    merge(fold_simd(std::move(included), [&](ScalarValue l, ScalarValue r) { return evaluate(op_, l, r); }));
  }
  Value result() override { return std::move(held_); }

  void begin_loop(const LoopPosition& position) override { loops_.emplace_back(op_, identity_, position); }
  void begin_iteration(std::int64_t iteration) override { loops_.back().begin_iteration(iteration); }
  void seek(std::int64_t iteration) override { loops_.back().seek(iteration); }
  void end_loop() override {
    const Value total = loops_.back().total();
    loops_.pop_back();
    merge(total);
  }

 private:
  MergeOp op_;
  Value identity_;
  Value held_;
  std::vector<LoopSums> loops_;  // from the outermost one in
};

// What dictmerger and vecmerger share: values by place, which is the index of an entry or of an element.
class KeyedBuilder : public Builder {
 public:
  KeyedBuilder(MergeOp op, Type value)
      : op_(op), identity_(identity_value(op, value)), in_ranges_(depends_on_order_of(op, value)) {}

  ErrorCode merge(const Value& value) override {
    const auto place = locate(value.members()[0]);
    if (!place) return ErrorCode::kArrayOutOfBounds;
    add(*place, value.members()[1]);
    return ErrorCode::kSuccess;
  }

  void begin_loop(const LoopPosition& position) override {
    if (loop_depth_++ == 0) num_iterations_ = position.num_iterations;
  }
  void end_loop() override {
    if (--loop_depth_ > 0 || !in_ranges_) return;
    begin_range();
    add_totals(num_iterations_, one_range_ ? single_ : ranges_);
    single_.clear();
    ranges_.clear();
    single_kept_ = ranges_kept_ = true;
    one_range_ = false;
  }

  bool is_ranged() const override { return in_ranges_ && loop_depth_ == 1; }
  bool exceeds_distinct_keys() const override {
    return static_cast<std::int64_t>(single_.size()) > kMaxDistinctKeysForRanges;
  }
  void begin_range() override {
    for (const auto& [place, total] : range_) {
      const auto [entry, fresh] = ranges_.try_emplace(place, total);
      if (!fresh) entry->second = combined(op_, entry->second, total);
    }
    range_.clear();
  }
  void choose_ranges(bool one) override {
    one_range_ = one;
    single_kept_ = one;
    ranges_kept_ = !one;
    if (one) {
      range_.clear();
      ranges_.clear();
    } else {
      single_.clear();
    }
  }

 protected:
  using Totals = std::unordered_map<std::size_t, Value>;

  // The place of a key, made when it is new; nothing when it is out of range.
  virtual std::optional<std::size_t> locate(const Value& key) = 0;
  virtual Value held(std::size_t place) const = 0;
  virtual void hold(std::size_t place, Value value) = 0;
  virtual void add_totals(std::int64_t num_iterations, const Totals& totals) {
    for (const auto& [place, total] : totals) hold(place, combined(op_, held(place), total));
  }

  MergeOp op_;
  Value identity_;

 private:
  static bool depends_on_order_of(MergeOp op, Type value) {
    if (const auto* scalar = value.as<ScalarType>()) return depends_on_order(op, scalar->kind);
    return std::ranges::any_of(value.as<StructType>()->members,
                               [&](Type member) { return depends_on_order_of(op, member); });
  }

  void add(std::size_t place, const Value& value) {
    if (!in_ranges_ || loop_depth_ == 0) {
      hold(place, combined(op_, held(place), value));
      return;
    }
    if (single_kept_) add_to(single_, place, value);
    if (ranges_kept_) add_to(range_, place, value);
  }
  void add_to(Totals& totals, std::size_t place, const Value& value) {
    Value& total = totals.try_emplace(place, identity_).first->second;
    total = combined(op_, total, value);
  }

  bool in_ranges_;
  int loop_depth_ = 0;
  std::int64_t num_iterations_ = 0;
  // Until it is known how many ranges there are, both sums are kept.
  bool single_kept_ = true;
  bool ranges_kept_ = true;
  bool one_range_ = false;
  Totals single_;  // as one range
  Totals range_;   // of the current range
  Totals ranges_;  // of the ranges before it
};

class DictMerger : public KeyedBuilder {
 public:
  DictMerger(const DictMergerType& type, const Value* initial, const std::shared_ptr<ByteAccount>& account)
      : KeyedBuilder(type.op, type.value),
        table_(initial && initial->is_dict() ? initial->dict().copy(account)
                                             : std::make_unique<DictTable>(account)) {}

  Value result() override { return Value(std::shared_ptr<const DictTable>(std::move(table_))); }

 private:
  std::optional<std::size_t> locate(const Value& key) override {
    return table_->find_or_insert(key, identity_);
  }
  Value held(std::size_t place) const override { return table_->entries()[place].value; }
  void hold(std::size_t place, Value value) override { table_->set(place, std::move(value)); }

  std::unique_ptr<DictTable> table_;
};

class VecMerger : public KeyedBuilder {
 public:
  VecMerger(const VecMergerType& type, const Value& initial, const std::shared_ptr<ByteAccount>& account)
      : KeyedBuilder(type.op, type.element),
        storage_(std::make_shared<VectorStorage>(type.element, account)) {
    storage_->append(initial.vector());
  }

  Value result() override {
    const std::int64_t length = storage_->length();
    return VectorValue{std::move(storage_), 0, length};
  }
  std::optional<std::int64_t> vector_length() const override { return storage_->length(); }
  bool exceeds_distinct_keys() const override { return false; }

 private:
  std::optional<std::size_t> locate(const Value& key) override {
    const auto index = key.as<std::int64_t>();
    if (index < 0 || index >= storage_->length()) return std::nullopt;
    return static_cast<std::size_t>(index);
  }
  Value held(std::size_t place) const override { return storage_->get(static_cast<std::int64_t>(place)); }
  void hold(std::size_t place, Value value) override {
    storage_->set(static_cast<std::int64_t>(place), value);
  }
  // Elements that nothing was merged into get the identity.
  void add_totals(std::int64_t num_iterations, const Totals& totals) override {
    if (num_iterations == 0) return;
    for (std::int64_t i = 0; i < storage_->length(); ++i) {
      const auto place = static_cast<std::size_t>(i);
      const auto found = totals.find(place);
      hold(place, combined(op_, held(place), found == totals.end() ? identity_ : found->second));
    }
  }

  std::shared_ptr<VectorStorage> storage_;
};

class GroupMerger : public Builder {
 public:
  GroupMerger(const GroupMergerType& type, const std::shared_ptr<ByteAccount>& account)
      : value_(type.value), account_(account), table_(std::make_unique<DictTable>(account)) {}

  ErrorCode merge(const Value& value) override {
    const std::size_t group = table_->find_or_insert(value.members()[0], Value());
    if (group == groups_.size()) groups_.push_back(std::make_shared<VectorStorage>(value_, account_));
    groups_[group]->push(value.members()[1]);
    return ErrorCode::kSuccess;
  }
  Value result() override {
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      const std::int64_t length = groups_[group]->length();
      table_->set(group, VectorValue{std::move(groups_[group]), 0, length});
    }
    return Value(std::shared_ptr<const DictTable>(std::move(table_)));
  }

 private:
  Type value_;
  std::shared_ptr<ByteAccount> account_;
  std::unique_ptr<DictTable> table_;
  std::vector<std::shared_ptr<VectorStorage>> groups_;  // by entry
};

void collect_builders(const Value& value, std::vector<std::shared_ptr<Builder>>& builders) {
  if (value.is_builder()) {
    builders.push_back(value.shared_builder());
    return;
  }
  for (const Value& member : value.members()) collect_builders(member, builders);
}

}  // namespace

void Builder::merge_simd(const std::vector<ScalarValue>&, const std::vector<bool>&) {
  internal_check(false, "only appender and merger take simd values");
}

Value make_builder(Type type, const Value* argument, const std::shared_ptr<ByteAccount>& account) {
  std::shared_ptr<Builder> builder;
  if (const auto* appender = type.as<AppenderType>()) {
    builder = std::make_shared<Appender>(appender->element, account);
  } else if (const auto* merger = type.as<MergerType>()) {
    builder = std::make_shared<Merger>(*merger, argument);
  } else if (const auto* dictmerger = type.as<DictMergerType>()) {
    builder = std::make_shared<DictMerger>(*dictmerger, argument, account);
  } else if (const auto* vecmerger = type.as<VecMergerType>()) {
    internal_check(argument != nullptr, "a vecmerger starts from a vector");
    builder = std::make_shared<VecMerger>(*vecmerger, *argument, account);
  } else {
    const auto* groupmerger = type.as<GroupMergerType>();
    internal_check(groupmerger != nullptr, "there are five builders");
    builder = std::make_shared<GroupMerger>(*groupmerger, account);
  }
  return builder;
}

LoopOrder::LoopOrder(Expr loop, std::int64_t num_iterations, const Value& builder)
    : position_{num_iterations, ir::block_iterations(loop)} {
  collect_builders(builder, builders_);
  for (const auto& state : builders_) state->begin_loop(position_);

  const RangeRule rule = range_rule(loop);
  bool any_ranged = false;
  bool counts_keys = false;
  std::int64_t most = rule.max_ranges;
  for (const auto& state : builders_) {
    if (!state->is_ranged()) continue;
    any_ranged = true;
    const std::optional<std::int64_t> length = state->vector_length();
    counts_keys = counts_keys || !length;
    if (rule.depends_on_data && length)
      most = std::min(most, ranges_for_length(num_iterations, position_.block_iterations, *length));
  }
  counts_keys = counts_keys && rule.depends_on_data && most > 1;
  if (counts_keys && num_iterations <= kDistinctKeysIterations) {
    counts_keys = false;
    most = 1;
  }
  ranges_ = cut_ranges(num_iterations, position_.block_iterations, most);
  undecided_ = counts_keys;
  if (any_ranged && !undecided_) {
    for (const auto& state : builders_) {
      if (state->is_ranged()) state->choose_ranges(false);
    }
  }
}

void LoopOrder::begin_iteration(std::int64_t iteration) {
  if (undecided_ && iteration == kDistinctKeysIterations) choose_ranges();
  const bool new_range = iteration % ranges_.range_iterations == 0;
  for (const auto& state : builders_) {
    if (new_range && state->is_ranged()) state->begin_range();
    state->begin_iteration(iteration);
  }
}

void LoopOrder::seek(std::int64_t iteration) {
  for (const auto& state : builders_) state->seek(iteration);
}

std::int64_t LoopOrder::group_from(std::int64_t iteration, std::int64_t size, Rest rest) const {
  const std::int64_t index_in_block = iteration % position_.block_iterations;
  const std::int64_t in_block = position_.iterations_of_block(iteration);
  if (in_block < kMinLanedIterations || index_in_block % size != 0) return 0;
  const std::int64_t group = std::min(size, in_block - index_in_block);
  if (group < size && rest == Rest::kScalar) return 0;
  const bool chooses_ranges =
      undecided_ && iteration < kDistinctKeysIterations && iteration + group > kDistinctKeysIterations;
  return chooses_ranges ? 0 : group;
}

void LoopOrder::end() {
  for (const auto& state : builders_) state->end_loop();
}

void LoopOrder::choose_ranges() {
  const bool one = std::ranges::any_of(
      builders_, [](const auto& state) { return state->is_ranged() && state->exceeds_distinct_keys(); });
  for (const auto& state : builders_) {
    if (state->is_ranged()) state->choose_ranges(one);
  }
  undecided_ = false;
}

}  // namespace weld::ir
