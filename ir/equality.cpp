#include "ir/equality.h"

#include <xxhash.h>

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/fields.h"

namespace weld::ir {
namespace {

// Equality of types that, unlike `==`, looks at annotations. Recurses over types only (kMaxTypeDepth).
bool same_type(Type left, Type right);

bool same_type_field(const Type& left, const Type& right) {
  return same_type(left, right);
}
bool same_type_field(std::span<const Type> left, std::span<const Type> right) {
  return std::ranges::equal(left, right, same_type);
}
template <class T>
bool same_type_field(const T& left, const T& right) {
  return left == right;
}

// Calls `f` with each pair of corresponding fields, until it returns false.
template <class T, class F>
bool all_field_pairs(const T& left, const T& right, F&& f) {
  const auto lefts = T::fields(left);
  const auto rights = T::fields(right);
  return [&]<std::size_t... i>(std::index_sequence<i...>) {
    return (true && ... && f(std::get<i>(lefts), std::get<i>(rights)));
  }(std::make_index_sequence<std::tuple_size_v<decltype(lefts)>>{});
}

bool same_type(Type left, Type right) {
  if (!left || !right) return !left && !right;
  if (&left.record() == &right.record()) return true;
  if (left.hash() != right.hash() || left.record().node.index() != right.record().node.index()) return false;
  if (!std::ranges::equal(left.annotations(), right.annotations())) return false;
  return std::visit(
      [&](const auto& node) {
        return all_field_pairs(node, std::get<std::remove_cvref_t<decltype(node)>>(right.record().node),
                               [](const auto& l, const auto& r) { return same_type_field(l, r); });
      },
      left.record().node);
}

struct PairHash {
  std::size_t operator()(const std::pair<const ExprRecord*, const ExprRecord*>& pair) const {
    const auto left = reinterpret_cast<std::uintptr_t>(pair.first);
    const auto right = reinterpret_cast<std::uintptr_t>(pair.second);
    return (left * 0x9e3779b97f4a7c15u) ^ (right >> 4);
  }
};

// Walks both programs in step. Symbols are unique, so a pair that is bound stays bound.
class Comparison {
 public:
  bool equal(Expr left, Expr right) {
    if (!push(left, right)) return false;
    while (!pending_.empty()) {
      const auto [l, r] = pending_.back();
      pending_.pop_back();
      if (!same_node(l, r)) return false;
    }
    return true;
  }

 private:
  static constexpr std::uint32_t kSmall = 8;  // nodes; smaller parts are compared again rather than noted

  bool push(Expr left, Expr right) {
    if (!left || !right) return !left && !right;
    pending_.emplace_back(left, right);
    return true;
  }

  bool same_node(Expr left, Expr right) {
    const ExprRecord& l = left.record();
    const ExprRecord& r = right.record();
    if (l.node.index() != r.node.index() || l.num_nodes != r.num_nodes) return false;
    if (l.num_nodes > kSmall && !seen_.emplace(&l, &r).second) return true;
    if (!std::ranges::equal(l.annotations, r.annotations)) return false;
    if (const auto* ident = left.as<Ident>()) return same_use(ident->symbol, right.as<Ident>()->symbol);
    return std::visit(
        [&](const auto& node) {
          return all_field_pairs(node, std::get<std::remove_cvref_t<decltype(node)>>(r.node),
                                 [&](const auto& a, const auto& b) { return same_field(a, b); });
        },
        l.node);
  }

  bool same_use(Symbol left, Symbol right) const {
    const auto to_right = to_right_.find(left.id());
    const auto to_left = to_left_.find(right.id());
    if (to_right == to_right_.end() && to_left == to_left_.end()) return left == right;
    return to_right != to_right_.end() && to_left != to_left_.end() && to_right->second == right.id() &&
           to_left->second == left.id();
  }

  bool bind(Symbol left, Symbol right) {
    to_right_[left.id()] = right.id();
    to_left_[right.id()] = left.id();
    return true;
  }

  bool same_field(const Symbol& left, const Symbol& right) { return bind(left, right); }
  bool same_field(std::span<const Parameter> left, std::span<const Parameter> right) {
    return std::ranges::equal(left, right, [&](const Parameter& l, const Parameter& r) {
      return same_type(l.type, r.type) && bind(l.symbol, r.symbol);
    });
  }
  bool same_field(const Expr& left, const Expr& right) { return push(left, right); }
  bool same_field(std::span<const Expr> left, std::span<const Expr> right) {
    return std::ranges::equal(left, right, [&](Expr l, Expr r) { return push(l, r); });
  }
  bool same_field(std::span<const Iterator> left, std::span<const Iterator> right) {
    return std::ranges::equal(left, right, [&](const Iterator& l, const Iterator& r) {
      return all_field_pairs(l, r, [&](const auto& a, const auto& b) { return same_field(a, b); });
    });
  }
  bool same_field(const Type& left, const Type& right) { return same_type(left, right); }
  template <class T>
  bool same_field(const T& left, const T& right) {
    return left == right;
  }

  std::vector<std::pair<Expr, Expr>> pending_;
  std::unordered_set<std::pair<const ExprRecord*, const ExprRecord*>, PairHash> seen_;
  std::unordered_map<std::uint64_t, std::uint64_t> to_right_;
  std::unordered_map<std::uint64_t, std::uint64_t> to_left_;
};

// Writes a program as bytes, symbols as the number of their binding, and hashes the bytes.
class Hasher {
 public:
  Hasher() : state_(XXH3_createState(), &XXH3_freeState) {
    if (!state_) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
    buffer_.reserve(kBufferBytes + 64);
  }

  std::array<std::uint64_t, 2> hash(Expr root) {
    std::vector<Expr> pending{root};
    while (!pending.empty()) {
      const Expr expr = pending.back();
      pending.pop_back();
      add_node(expr);
      const std::size_t first = pending.size();
      for_each_child(expr, [&](Expr child) { pending.push_back(child); });
      std::reverse(pending.begin() + static_cast<std::ptrdiff_t>(first), pending.end());
    }
    flush();
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.low64, hash.high64};
  }

 private:
  static constexpr std::size_t kBufferBytes = 4096;
  enum class Use : std::uint8_t { kBound, kFree };

  void flush() {
    XXH3_128bits_update(state_.get(), buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  void add_number(std::uint64_t number) {
    // Little-endian base 128, so that small numbers, nearly all, take one byte.
    while (number >= 128) {
      buffer_.push_back(static_cast<char>(number | 128));
      number >>= 7;
    }
    buffer_.push_back(static_cast<char>(number));
    if (buffer_.size() >= kBufferBytes) flush();
  }
  void add_text(std::string_view text) {
    add_number(text.size());
    buffer_.append(text);
    if (buffer_.size() >= kBufferBytes) flush();
  }
  void add_annotations(Annotations annotations) {
    add_number(annotations.size());
    for (const Annotation& annotation : annotations) {
      add_text(annotation.key);
      add_number(static_cast<std::uint64_t>(annotation.kind));
      add_text(annotation.value);
    }
  }

  void add_node(Expr expr) {
    add_number(expr.record().node.index());
    add_annotations(expr.annotations());
    if (const auto* ident = expr.as<Ident>()) return add_use(ident->symbol);
    std::visit(
        [&](const auto& node) {
          std::apply([&](const auto&... field) { (add_field(field), ...); },
                     std::remove_cvref_t<decltype(node)>::fields(node));
        },
        expr.record().node);
  }

  void add_use(Symbol symbol) {
    const auto bound = numbers_.find(symbol.id());
    if (bound == numbers_.end()) {
      add_number(static_cast<std::uint64_t>(Use::kFree));
      add_text(symbol.name());
    } else {
      add_number(static_cast<std::uint64_t>(Use::kBound));
      add_number(bound->second);
    }
  }
  void bind(Symbol symbol) { numbers_[symbol.id()] = next_number_++; }

  void add_field(const Symbol& symbol) { bind(symbol); }
  void add_field(std::span<const Parameter> parameters) {
    add_number(parameters.size());
    for (const Parameter& parameter : parameters) {
      add_field(parameter.type);
      bind(parameter.symbol);
    }
  }
  void add_field(const Expr& expr) { add_number(expr ? 1 : 0); }  // the part itself follows the node
  void add_field(std::span<const Expr> exprs) { add_number(exprs.size()); }
  void add_field(std::span<const Iterator> iterators) {
    add_number(iterators.size());
    for (const Iterator& iterator : iterators) {
      std::apply([&](const auto&... field) { (add_field(field), ...); }, Iterator::fields(iterator));
    }
  }
  void add_field(const Type& type) {
    if (!type) return add_number(0);
    add_number(type.record().node.index() + 1);
    add_annotations(type.annotations());
    std::visit(
        [&](const auto& node) {
          std::apply([&](const auto&... field) { (add_field(field), ...); },
                     std::remove_cvref_t<decltype(node)>::fields(node));
        },
        type.record().node);
  }
  void add_field(std::span<const Type> types) {
    add_number(types.size());
    for (const Type type : types) add_field(type);
  }
  void add_field(const ScalarValue& value) {
    add_number(static_cast<std::uint64_t>(value.kind));
    add_number(value.bits);
  }
  void add_field(std::string_view text) { add_text(text); }
  template <class T>
    requires(std::is_enum_v<T> || std::is_integral_v<T>)
  void add_field(const T& value) {
    add_number(static_cast<std::uint64_t>(value));
  }

  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
  std::string buffer_;
  std::unordered_map<std::uint64_t, std::uint64_t> numbers_;
  std::uint64_t next_number_ = 0;
};

}  // namespace

bool alpha_equal(Expr left, Expr right) {
  return Comparison().equal(left, right);
}

std::array<std::uint64_t, 2> structural_hash(Expr expr) {
  return Hasher().hash(expr);
}

}  // namespace weld::ir
