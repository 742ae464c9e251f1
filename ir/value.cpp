#include "ir/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "ir/error.h"
#include "ir/scalar_eval.h"

namespace weld::ir {
namespace {

ScalarValue load(ScalarKind kind, const std::byte* address) {
  ScalarValue value{kind, 0};
  std::memcpy(&value.bits, address, static_cast<std::size_t>(size_bytes(kind)));
  if (kind == ScalarKind::kBool) value.bits = value.bits != 0 ? 1 : 0;
  return value;
}

// As keys are stored and compared: one zero, one NaN.
ScalarValue key_scalar(ScalarValue value) {
  if (value.kind == ScalarKind::kF32 && value.as<float>() == 0) value.bits = 0;
  if (value.kind == ScalarKind::kF64 && value.as<double>() == 0) value.bits = 0;
  return canonical(value);
}

Value stored_key(const Value& key) {
  if (key.is_scalar()) return key_scalar(key.scalar());
  if (!key.is_structure()) return key;
  std::vector<Value> members;
  for (const Value& member : key.members()) members.push_back(stored_key(member));
  return Value::structure(std::move(members));
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t bits) {
  hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}

std::uint64_t key_hash(const Value& key, std::uint64_t hash) {
  if (key.is_scalar()) return mix(hash, key_scalar(key.scalar()).bits);
  if (key.is_structure()) {
    for (const Value& member : key.members()) hash = key_hash(member, hash);
    return hash;
  }
  const VectorValue& vector = key.vector();
  for (std::int64_t i = 0; i < vector.length; ++i) hash = key_hash(vector[i], hash);
  return mix(hash, static_cast<std::uint64_t>(vector.length));
}

// Orders scalars by `compare_scalars`, everything else by its first elements that are not equivalent.
template <class Ordering, class Compare>
Ordering compare_structure(const Value& left, const Value& right, Compare compare_scalars) {
  if (left.is_scalar()) return compare_scalars(left.scalar(), right.scalar());
  if (left.is_structure()) {
    for (std::size_t i = 0; i < left.members().size(); ++i) {
      const auto order = compare_structure<Ordering>(left.members()[i], right.members()[i], compare_scalars);
      if (order != 0) return order;
    }
    return Ordering::equivalent;
  }
  const VectorValue& l = left.vector();
  const VectorValue& r = right.vector();
  for (std::int64_t i = 0; i < std::min(l.length, r.length); ++i) {
    const auto order = compare_structure<Ordering>(l[i], r[i], compare_scalars);
    if (order != 0) return order;
  }
  return l.length <=> r.length;
}

std::partial_ordering compare_scalars(ScalarValue left, ScalarValue right) {
  return dispatch(left.kind, [&](auto zero) -> std::partial_ordering {
    return left.as<decltype(zero)>() <=> right.as<decltype(zero)>();
  });
}

bool is_nan(ScalarValue value) {
  return is_float(value.kind) && evaluate(UnaryOp::kIsNan, value).as<bool>();
}

std::weak_ordering compare_key_scalars(ScalarValue left, ScalarValue right) {
  const bool left_nan = is_nan(left);
  const bool right_nan = is_nan(right);
  if (left_nan || right_nan) return left_nan <=> right_nan;
  const std::partial_ordering order = compare_scalars(left, right);
  if (order < 0) return std::weak_ordering::less;
  return order > 0 ? std::weak_ordering::greater : std::weak_ordering::equivalent;
}

std::string scalar_text(ScalarValue value) {
  return dispatch(value.kind, [&](auto zero) -> std::string {
    using T = decltype(zero);
    const T scalar = value.as<T>();
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(scalar)) return "NaN";
      if (std::isinf(scalar)) return scalar < 0 ? "-Infinity" : "Infinity";
      return fmt::format("{}", scalar);
    } else if constexpr (std::is_same_v<T, bool>) {
      return scalar ? "true" : "false";
    } else {
      return fmt::format(
          "{}", static_cast<std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>(scalar));
    }
  });
}

// `size` texts with commas between them.
template <class F>
std::string joined(std::int64_t size, F&& text) {
  std::string all;
  for (std::int64_t i = 0; i < size; ++i) {
    if (i > 0) all += ',';
    all += text(i);
  }
  return all;
}

}  // namespace

Charge::~Charge() {
  if (account_ && bytes_ > 0) account_->count(-bytes_);
}

void Charge::resize(std::int64_t bytes) {
  if (account_ && !account_->count(bytes - bytes_)) throw std::bad_alloc();
  bytes_ = bytes;
}

Value VectorValue::operator[](std::int64_t index) const {
  return storage->get(offset + index);
}

Value Value::simd(std::vector<ScalarValue> lanes) {
  Value value;
  value.data_ = std::make_shared<const std::vector<ScalarValue>>(std::move(lanes));
  return value;
}

Value Value::structure(std::vector<Value> members) {
  Value value;
  if (!members.empty()) value.data_ = std::make_shared<const std::vector<Value>>(std::move(members));
  return value;
}

Value Value::vector(Type element, std::span<const Value> elements) {
  auto storage = std::make_shared<VectorStorage>(element, nullptr);
  for (const Value& value : elements) storage->push(value);
  return VectorValue{storage, 0, storage->length()};
}

Value Value::string(std::string_view bytes) {
  return vector_of(std::span(reinterpret_cast<const std::int8_t*>(bytes.data()), bytes.size()));
}

Value Value::borrow(ScalarKind kind, const void* data, std::int64_t length,
                    std::shared_ptr<const void> keep_alive) {
  return VectorValue{std::make_shared<VectorStorage>(kind, data, length, std::move(keep_alive)), 0, length};
}

Value Value::dict(std::span<const std::pair<Value, Value>> entries) {
  auto table = std::make_shared<DictTable>();
  for (const auto& [key, value] : entries) table->set(table->find_or_insert(key, value), value);
  return Value(std::shared_ptr<const DictTable>(std::move(table)));
}

std::span<const Value> Value::members() const {
  const Members& members = get<Members>();
  return members ? std::span<const Value>(*members) : std::span<const Value>();
}

void Value::reject_access() {
  throw InternalError("a value has the shape of its type", std::source_location::current());
}

VectorStorage::VectorStorage(Type element, std::shared_ptr<ByteAccount> account)
    : charge_(std::move(account)) {
  if (const auto* scalar = element.as<ScalarType>()) kind_ = scalar->kind;
}

VectorStorage::VectorStorage(ScalarKind kind, const void* data, std::int64_t length,
                             std::shared_ptr<const void> keep_alive)
    : kind_(kind),
      length_(length),
      data_(static_cast<const std::byte*>(data)),
      capacity_(length),
      borrowed_(true),
      keep_alive_(std::move(keep_alive)) {}

Value VectorStorage::get(std::int64_t index) const {
  if (!kind_) return values_[static_cast<std::size_t>(index)];
  return load(*kind_, data_ + index * size_bytes(*kind_));
}

void VectorStorage::set(std::int64_t index, const Value& element) {
  if (!kind_) {
    values_[static_cast<std::size_t>(index)] = element;
    return;
  }
  const auto size = static_cast<std::size_t>(size_bytes(*kind_));
  const std::uint64_t bits = element.scalar().bits;
  std::memcpy(owned_.data() + static_cast<std::size_t>(index) * size, &bits, size);
}

void VectorStorage::reserve(std::int64_t length) {
  if (length <= capacity_) return;
  constexpr std::int64_t kMaxLength = std::int64_t{1} << 48;
  if (length > kMaxLength) throw std::bad_alloc();
  const std::int64_t element_bytes = kind_ ? size_bytes(*kind_) : static_cast<std::int64_t>(sizeof(Value));
  charge_.resize(length * element_bytes);
  if (kind_) {
    owned_.resize(static_cast<std::size_t>(length * element_bytes));
    data_ = owned_.data();
  } else {
    values_.reserve(static_cast<std::size_t>(length));
  }
  capacity_ = length;
}

void VectorStorage::push(const Value& element) {
  if (length_ == capacity_) reserve(std::max<std::int64_t>(8, 2 * capacity_));
  if (!kind_) values_.emplace_back();
  ++length_;
  set(length_ - 1, element);
}

void VectorStorage::append(const VectorValue& elements) {
  reserve(length_ + elements.length);
  for (std::int64_t i = 0; i < elements.length; ++i) push(elements[i]);
}

std::optional<std::size_t> DictTable::find(const Value& key) const {
  if (entries_.empty()) return std::nullopt;
  const std::size_t slot = slots_[probe(key, key_hash(key, 0))];
  if (slot == 0) return std::nullopt;
  return slot - 1;
}

std::size_t DictTable::find_or_insert(const Value& key, const Value& value) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  const std::uint64_t hash = key_hash(key, 0);
  std::size_t& slot = slots_[probe(key, hash)];
  if (slot == 0) {
    entries_.push_back({stored_key(key), value});
    hashes_.push_back(hash);
    slot = entries_.size();
  }
  return slot - 1;
}

std::unique_ptr<DictTable> DictTable::copy(std::shared_ptr<ByteAccount> account) const {
  auto table = std::make_unique<DictTable>(std::move(account));
  for (const Entry& entry : entries_) table->find_or_insert(entry.key, entry.value);
  return table;
}

std::size_t DictTable::probe(const Value& key, std::uint64_t hash) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    if (slots_[i] == 0) return i;
    const std::size_t entry = slots_[i] - 1;
    if (hashes_[entry] == hash && compare_keys(entries_[entry].key, key) == 0) return i;
  }
}

void DictTable::grow() {
  const std::size_t num_slots = std::max<std::size_t>(16, 2 * slots_.size());
  const std::size_t entry_bytes = sizeof(Entry) + sizeof(std::uint64_t);
  charge_.resize(static_cast<std::int64_t>(num_slots * sizeof(std::size_t) + num_slots / 2 * entry_bytes));
  entries_.reserve(num_slots / 2);
  hashes_.reserve(num_slots / 2);
  slots_.assign(num_slots, 0);
  for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
    std::size_t i = hashes_[entry] & (num_slots - 1);
    while (slots_[i] != 0) i = (i + 1) & (num_slots - 1);
    slots_[i] = entry + 1;
  }
}

bool same_bits(const Value& left, const Value& right) {
  const auto all = [](std::int64_t size, auto&& same) {
    for (std::int64_t i = 0; i < size; ++i) {
      if (!same(i)) return false;
    }
    return true;
  };
  if (left.is_scalar()) return right.is_scalar() && same_bits(left.scalar(), right.scalar());
  if (left.is_simd()) {
    return right.is_simd() &&
           std::ranges::equal(left.lanes(), right.lanes(),
                              [](ScalarValue l, ScalarValue r) { return same_bits(l, r); });
  }
  if (left.is_structure()) {
    return right.is_structure() &&
           std::ranges::equal(left.members(), right.members(),
                              [](const Value& l, const Value& r) { return same_bits(l, r); });
  }
  if (left.is_vector()) {
    if (!right.is_vector()) return false;
    const VectorValue& l = left.vector();
    const VectorValue& r = right.vector();
    return l.length == r.length && all(l.length, [&](std::int64_t i) { return same_bits(l[i], r[i]); });
  }
  if (left.is_dict() && right.is_dict()) {
    return std::ranges::equal(left.dict().entries(), right.dict().entries(),
                              [](const DictTable::Entry& l, const DictTable::Entry& r) {
                                return same_bits(l.key, r.key) && same_bits(l.value, r.value);
                              });
  }
  return false;
}

std::partial_ordering compare(const Value& left, const Value& right) {
  return compare_structure<std::partial_ordering>(left, right, compare_scalars);
}

std::weak_ordering compare_keys(const Value& left, const Value& right) {
  return compare_structure<std::weak_ordering>(left, right, compare_key_scalars);
}

Value zero_value(Type type) {
  if (const auto* scalar = type.as<ScalarType>()) return ScalarValue{scalar->kind, 0};
  if (const auto* simd = type.as<SimdType>())
    return Value::simd(std::vector(simd->lanes, ScalarValue{simd->kind, 0}));
  if (const auto* vec = type.as<VecType>()) return Value::vector(vec->element, {});
  if (type.as<DictType>()) return Value::dict({});
  const auto* structure = type.as<StructType>();
  internal_check(structure != nullptr, "only values have a zero");
  std::vector<Value> members;
  for (Type member : structure->members) members.push_back(zero_value(member));
  return Value::structure(std::move(members));
}

std::string to_text(const Value& value) {
  const auto size = [](const auto& range) { return static_cast<std::int64_t>(range.size()); };
  const auto at = [](const auto& range, std::int64_t i) { return range[static_cast<std::size_t>(i)]; };
  if (value.is_scalar()) return scalar_text(value.scalar());
  if (value.is_builder()) return "(builder)";
  if (value.is_simd()) {
    const auto& lanes = value.lanes();
    return '<' + joined(size(lanes), [&](std::int64_t i) { return scalar_text(at(lanes, i)); }) + '>';
  }
  if (value.is_structure()) {
    const auto members = value.members();
    return '{' + joined(size(members), [&](std::int64_t i) { return to_text(at(members, i)); }) + '}';
  }
  if (value.is_vector()) {
    const VectorValue& vector = value.vector();
    return '[' + joined(vector.length, [&](std::int64_t i) { return to_text(vector[i]); }) + ']';
  }
  const auto entries = value.dict().entries();
  return '{' +
         joined(size(entries),
                [&](std::int64_t i) {
                  return to_text(at(entries, i).key) + ": " + to_text(at(entries, i).value);
                }) +
         '}';
}

}  // namespace weld::ir
