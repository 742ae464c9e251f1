#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ir/nodes.h"

namespace weld::ir {

class Value;
class VectorStorage;
class DictTable;
class Builder;  // builder_state.h

/// Who is asked before bytes for values are taken. One object a run; values may outlive it.
class ByteAccount {
 public:
  virtual ~ByteAccount() = default;
  /// `delta` bytes more are held, fewer if negative. False refuses an increase, which then did not happen.
  virtual bool count(std::int64_t delta) noexcept = 0;
};

/// Bytes held by one vector, dictionary or builder, given back when it dies. Without an account nothing is
/// counted.
class Charge {
 public:
  Charge() = default;
  explicit Charge(std::shared_ptr<ByteAccount> account) : account_(std::move(account)) {}
  ~Charge();
  Charge(Charge&& other) noexcept
      : account_(std::move(other.account_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  /// Throws std::bad_alloc when refused.
  void resize(std::int64_t bytes);

 private:
  std::shared_ptr<ByteAccount> account_;
  std::int64_t bytes_ = 0;
};

/// A view of elements that it keeps alive.
struct VectorValue {
  std::shared_ptr<const VectorStorage> storage;  ///< null only when empty
  std::int64_t offset = 0;
  std::int64_t length = 0;

  /// The element, 0 ≤ index < length.
  Value operator[](std::int64_t index) const;
  VectorValue slice(std::int64_t start, std::int64_t count) const { return {storage, offset + start, count}; }
};

/// A value of the interpreter. Immutable but for builders, cheap to copy, safe to share between threads when
/// it holds no builder. Does not know its type beyond what is seen.
///
/// Code over values recurses over their types, whose depth is bounded (kMaxTypeDepth).
class Value {
 public:
  /// The empty struct.
  Value() = default;
  Value(ScalarValue scalar) : data_(scalar) {}
  Value(VectorValue vector) : data_(std::move(vector)) {}
  Value(std::shared_ptr<const DictTable> dict) : data_(std::move(dict)) {}
  Value(std::shared_ptr<Builder> builder) : data_(std::move(builder)) {}
  template <class T>
  static Value of(T scalar) {
    return ScalarValue::of(scalar);
  }
  static Value simd(std::vector<ScalarValue> lanes);
  static Value structure(std::vector<Value> members);
  /// A vector of values of that type.
  static Value vector(Type element, std::span<const Value> elements);
  template <class T>
  static Value vector_of(std::span<const T> elements) {
    std::vector<Value> values;
    for (const T& element : elements) values.push_back(of(element));
    return vector(Type::scalar(kind_of<T>()), values);
  }
  template <class T>
  static Value vector_of(std::initializer_list<T> elements) {
    return vector_of(std::span<const T>(elements.begin(), elements.size()));
  }
  /// The bytes as vec[i8].
  static Value string(std::string_view bytes);
  /// A vector of scalars in the C layout that belongs to somebody else. Never written.
  static Value borrow(ScalarKind kind, const void* data, std::int64_t length,
                      std::shared_ptr<const void> keep_alive);
  /// A dictionary; of equal keys the last value counts.
  static Value dict(std::span<const std::pair<Value, Value>> entries);

  // What it is. The caller knows, from the type; asking for something else is an InternalError.
  bool is_scalar() const { return std::holds_alternative<ScalarValue>(data_); }
  bool is_simd() const { return std::holds_alternative<Lanes>(data_); }
  bool is_structure() const { return std::holds_alternative<Members>(data_); }
  bool is_vector() const { return std::holds_alternative<VectorValue>(data_); }
  bool is_dict() const { return std::holds_alternative<Dict>(data_); }
  bool is_builder() const { return std::holds_alternative<BuilderPointer>(data_); }

  ScalarValue scalar() const { return get<ScalarValue>(); }
  template <class T>
  T as() const {
    return scalar().as<T>();
  }
  const std::vector<ScalarValue>& lanes() const { return *get<Lanes>(); }
  std::span<const Value> members() const;
  const VectorValue& vector() const { return get<VectorValue>(); }
  const DictTable& dict() const { return *get<Dict>(); }
  Builder& builder() const { return *get<BuilderPointer>(); }
  const std::shared_ptr<Builder>& shared_builder() const { return get<BuilderPointer>(); }

 private:
  using Members = std::shared_ptr<const std::vector<Value>>;
  using Lanes = std::shared_ptr<const std::vector<ScalarValue>>;
  using Dict = std::shared_ptr<const DictTable>;
  using BuilderPointer = std::shared_ptr<Builder>;

  template <class T>
  const T& get() const {
    const T* found = std::get_if<T>(&data_);
    if (!found) [[unlikely]]
      reject_access();
    return *found;
  }
  [[noreturn]] static void reject_access();

  std::variant<Members, ScalarValue, VectorValue, Lanes, Dict, BuilderPointer> data_;
};

/// The elements of a vector: scalars in the C layout, anything else as values.
class VectorStorage {
 public:
  VectorStorage(Type element, std::shared_ptr<ByteAccount> account);
  /// Borrowed scalars.
  VectorStorage(ScalarKind kind, const void* data, std::int64_t length,
                std::shared_ptr<const void> keep_alive);

  std::int64_t length() const { return length_; }
  Value get(std::int64_t index) const;
  /// Not of borrowed elements.
  void set(std::int64_t index, const Value& element);
  void push(const Value& element);
  void append(const VectorValue& elements);
  void reserve(std::int64_t length);

  /// The scalars, when the elements are scalars; a bool is any byte.
  std::optional<ScalarKind> kind() const { return kind_; }
  const std::byte* scalars() const { return data_; }
  bool is_borrowed() const { return borrowed_; }

 private:
  std::optional<ScalarKind> kind_;
  std::int64_t length_ = 0;
  const std::byte* data_ = nullptr;
  std::vector<std::byte> owned_;
  std::vector<Value> values_;
  std::int64_t capacity_ = 0;
  bool borrowed_ = false;
  Charge charge_;
  std::shared_ptr<const void> keep_alive_;
};

/// A dictionary: entries in the order of their first insertion.
///
/// Keys    floats in scalars and in fields of structs are stored as +0.0 for both zeros and as the canonical
///         NaN; vectors are stored as they came. In comparisons of keys -0 = +0 and NaN = NaN at any depth.
class DictTable {
 public:
  struct Entry {
    Value key;
    Value value;
  };

  explicit DictTable(std::shared_ptr<ByteAccount> account = nullptr) : charge_(std::move(account)) {}

  std::span<const Entry> entries() const { return entries_; }
  /// Its place in `entries`; nothing when absent.
  std::optional<std::size_t> find(const Value& key) const;
  /// Where the key is, after adding it with `value` when absent.
  std::size_t find_or_insert(const Value& key, const Value& value);
  void set(std::size_t index, Value value) { entries_[index].value = std::move(value); }
  std::unique_ptr<DictTable> copy(std::shared_ptr<ByteAccount> account) const;

 private:
  std::size_t probe(const Value& key, std::uint64_t hash) const;  // a slot: the key's or an empty one
  void grow();

  std::vector<Entry> entries_;
  std::vector<std::uint64_t> hashes_;  // by entry
  std::vector<std::size_t> slots_;     // entry + 1; 0 is empty
  Charge charge_;
};

/// Equal structure and bits, all NaNs of a kind being equal. Dictionaries: the same entries in the same
/// order. Builders are equal to nothing.
bool same_bits(const Value& left, const Value& right);

/// The order of LANGUAGE.md §1.4 for scalars, structs and vectors: that of the first elements that differ by
/// `!=`; unordered where a NaN is one of those.
std::partial_ordering compare(const Value& left, const Value& right);

/// The order of sort keys: likewise, but NaN equals NaN and comes last.
std::weak_ordering compare_keys(const Value& left, const Value& right);

/// Zeros and empty vectors and dictionaries in the shape of a type without builders.
Value zero_value(Type type);

/// JSON-like, for messages of tests: [1,2] for vectors, {1,2} for structs, {k: v} for dictionaries, <1,2,3,4>
/// for simd, NaN and Infinity as words.
std::string to_text(const Value& value);

}  // namespace weld::ir
