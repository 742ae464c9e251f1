#include "ir/fields.h"

#include "ir/error.h"

namespace weld::ir {
namespace {

bool binds_symbols(Expr root) {
  bool binds = false;
  walk(
      root,
      [&](Expr expr) {
        binds = binds || expr.is<Let>() || expr.is<Lambda>();
        return !binds;
      },
      [](Expr) {});
  return binds;
}

// Copies types into an arena, each shared record once.
class TypeCloner {
 public:
  explicit TypeCloner(Arena& arena) : arena_(arena) {}

  Type clone(Type type) {
    if (!type || (type.as<ScalarType>() && type.annotations().empty())) return type;
    if (const auto found = copies_.find(&type.record()); found != copies_.end()) return found->second;
    TypeNode node = type.record().node;
    std::visit(
        [&](auto& n) {
          std::apply([&](auto&... field) { (clone_field(field), ...); },
                     std::remove_cvref_t<decltype(n)>::fields(n));
        },
        node);
    Type copy = arena_.add_type(node);
    if (!type.annotations().empty()) copy = arena_.with_annotations(copy, clone(type.annotations()));
    copies_.emplace(&type.record(), copy);
    return copy;
  }

  Annotations clone(Annotations annotations) {
    std::vector<Annotation> copies;
    for (const Annotation& annotation : annotations) {
      copies.push_back({arena_.keep(annotation.key), annotation.kind, arena_.keep(annotation.value)});
    }
    return arena_.keep(copies);
  }

 private:
  void clone_field(Type& type) { type = clone(type); }
  void clone_field(std::span<const Type>& types) {
    std::vector<Type> copies;
    for (Type type : types) copies.push_back(clone(type));
    types = arena_.keep(copies);
  }
  template <class T>
  void clone_field(T&) {}

  Arena& arena_;
  std::unordered_map<const TypeRecord*, Type> copies_;
};

// Copies expressions into an arena with fresh symbols. A binder is met before its uses, in the order of
// evaluation, but nodes are made bottom-up: so symbols are renamed on the way down and nodes copied on the
// way up.
class Cloner {
 public:
  explicit Cloner(Arena& arena) : arena_(arena), types_(arena) {}

  Expr clone(Expr root) {
    std::vector<std::vector<Expr>> done(1);  // copies of the parts of each node on the way
    walk(
        root,
        [&](Expr expr) {
          rename_bound(expr);
          done.emplace_back();
          return true;
        },
        [&](Expr expr) {
          const std::vector<Expr> parts = std::move(done.back());
          done.pop_back();
          done.back().push_back(copy(expr, parts));
        });
    return done.front().front();
  }

 private:
  void rename_bound(Expr expr) {
    if (const auto* let = expr.as<Let>()) rename(let->symbol);
    if (const auto* lambda = expr.as<Lambda>()) {
      for (const Parameter& parameter : lambda->parameters) rename(parameter.symbol);
    }
  }
  void rename(Symbol symbol) { symbols_[symbol.id()] = arena_.fresh_symbol(symbol.name()); }

  Expr copy(Expr expr, const std::vector<Expr>& parts) {
    const Span span = expr.span();
    if (const auto* ident = expr.as<Ident>()) {
      const auto renamed = symbols_.find(ident->symbol.id());
      const Symbol symbol = renamed == symbols_.end() ? ident->symbol : renamed->second;
      const Expr use = arena_.ident(symbol, types_.clone(expr.type()), span);
      return expr.annotations().empty() ? use
                                        : arena_.with_annotations(use, types_.clone(expr.annotations()));
    }
    Node node = expr.record().node;
    std::size_t next = 0;
    std::visit(
        [&](auto& n) {
          std::apply([&](auto&... field) { (copy_field(field, parts, next), ...); },
                     std::remove_cvref_t<decltype(n)>::fields(n));
        },
        node);
    return arena_.add(node, span, types_.clone(expr.annotations()));
  }

  void copy_field(Expr& field, const std::vector<Expr>& parts, std::size_t& next) {
    if (field) field = parts[next++];
  }
  void copy_field(std::span<const Expr>& field, const std::vector<Expr>& parts, std::size_t& next) {
    std::vector<Expr> copies(field.begin(), field.end());
    for (Expr& expr : copies) copy_field(expr, parts, next);
    field = arena_.keep(copies);
  }
  void copy_field(std::span<const Iterator>& field, const std::vector<Expr>& parts, std::size_t& next) {
    std::vector<Iterator> copies(field.begin(), field.end());
    for (Iterator& it : copies) {
      for (Expr* expr : {&it.data, &it.start, &it.end, &it.stride, &it.shape, &it.strides}) {
        copy_field(*expr, parts, next);
      }
    }
    field = arena_.keep(copies);
  }
  void copy_field(std::span<const Parameter>& field, const std::vector<Expr>&, std::size_t&) {
    std::vector<Parameter> copies;
    for (const Parameter& parameter : field) {
      copies.push_back({symbols_.at(parameter.symbol.id()), types_.clone(parameter.type)});
    }
    field = arena_.keep(copies);
  }
  void copy_field(Symbol& field, const std::vector<Expr>&, std::size_t&) { field = symbols_.at(field.id()); }
  void copy_field(Type& field, const std::vector<Expr>&, std::size_t&) { field = types_.clone(field); }
  void copy_field(std::string_view& field, const std::vector<Expr>&, std::size_t&) {
    field = arena_.keep(field);
  }
  template <class T>
  void copy_field(T&, const std::vector<Expr>&, std::size_t&) {}

  Arena& arena_;
  TypeCloner types_;
  std::unordered_map<std::uint64_t, Symbol> symbols_;
};

}  // namespace

Expr clone_fresh(Expr root, Arena& arena) {
  return Cloner(arena).clone(root);
}

Expr substitute(Expr root, const Substitution& substitution, Arena& arena) {
  std::unordered_map<std::uint64_t, bool> must_copy;  // a replacement with binders was used once already
  return rewrite_bottom_up(root, arena, [&](Expr expr) {
    const auto* ident = expr.as<Ident>();
    if (!ident) return expr;
    const auto found = substitution.find(ident->symbol.id());
    if (found == substitution.end()) return expr;
    const auto [entry, first_use] = must_copy.emplace(ident->symbol.id(), false);
    if (first_use) {
      entry->second = binds_symbols(found->second);
      return found->second;
    }
    return entry->second ? clone_fresh(found->second, arena) : found->second;
  });
}

std::vector<Parameter> free_symbols(Expr root) {
  std::unordered_map<std::uint64_t, bool> seen;  // bound inside, or met already
  std::vector<Parameter> free;
  walk(
      root,
      [&](Expr expr) {
        if (const auto* let = expr.as<Let>()) seen[let->symbol.id()] = true;
        if (const auto* lambda = expr.as<Lambda>()) {
          for (const Parameter& parameter : lambda->parameters) seen[parameter.symbol.id()] = true;
        }
        const auto* ident = expr.as<Ident>();
        if (ident && seen.emplace(ident->symbol.id(), true).second)
          free.push_back({ident->symbol, expr.type()});
        return true;
      },
      [](Expr) {});
  return free;
}

}  // namespace weld::ir
