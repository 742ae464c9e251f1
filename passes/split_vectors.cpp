#include "passes/split_vectors.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/effects.h"
#include "ir/fields.h"
#include "ir/typing.h"

namespace weld::passes {
namespace {

using Path = std::vector<std::uint32_t>;  // indices of fields

struct FieldPath {
  const ir::Ident* root = nullptr;
  Path fields;
};

FieldPath field_path(ir::Expr expr) {
  FieldPath path;
  while (const auto* field = expr.as<ir::GetField>()) {
    path.fields.push_back(field->index);
    expr = field->value;
  }
  path.root = expr.as<ir::Ident>();
  std::ranges::reverse(path.fields);
  return path;
}

// Cheap enough to be written once for each column, and without names that would be bound in each.
bool may_be_repeated(ir::Expr expr) {
  constexpr std::uint32_t kMaxNodes = 8;
  if (!expr) return true;
  if (!ir::is_pure(expr) || any(expr.effects() & ir::Effects::kAllocates) ||
      expr.record().num_nodes > kMaxNodes)
    return false;
  bool binds = false;
  ir::for_each_node(expr, [&](ir::Expr part) { binds = binds || part.is<ir::Let>(); });
  return !binds;
}

bool holds(ir::Type builder, ir::Type appender) {
  if (builder == appender) return true;
  const auto* structure = builder.as<ir::StructType>();
  return structure &&
         std::ranges::any_of(structure->members, [&](ir::Type member) { return holds(member, appender); });
}

// Rewrites the builders of a loop: every appender of the structs becomes a struct of appenders, one for each
// column that is kept.
class BuilderSplit {
 public:
  BuilderSplit(ir::Type element, const std::vector<bool>& kept, ir::Arena& arena) : arena_(arena) {
    const auto members = element.as<ir::StructType>()->members;
    appender_ = arena.appender(element);
    std::vector<ir::Type> parts;
    for (std::uint32_t i = 0; i < members.size(); ++i) {
      if (!kept[i]) continue;
      columns_.push_back(i);
      parts.push_back(arena.appender(members[i]));
    }
    split_ = arena.structure(parts);
  }

  // A part of the loop that is a builder, or holds one. Null where it is of no known form.
  ir::Expr rewrite(ir::Expr expr) {
    struct Bound {
      ir::Expr let;
      ir::Expr value;
    };
    std::vector<Bound> lets;
    while (const auto* let = expr.as<ir::Let>()) {
      const ir::Expr value = part(let->value);
      if (!value) return {};
      lets.push_back({expr, value});
      expr = let->body;
    }
    ir::Expr body = rewrite_one(expr);
    for (auto it = lets.rbegin(); body && it != lets.rend(); ++it) {
      const ir::Let let{it->let.as<ir::Let>()->symbol, it->value, body};
      body = arena_.add(let, it->let.span(), it->let.annotations());
    }
    return body;
  }

 private:
  ir::Expr part(ir::Expr expr) { return ir::contains_builder(expr.type()) ? rewrite(expr) : expr; }

  ir::Type split(ir::Type type) {
    if (type == appender_) return split_;
    const auto* structure = type.as<ir::StructType>();
    if (!structure || !holds(type, appender_)) return type;
    std::vector<ir::Type> members;
    for (ir::Type member : structure->members) members.push_back(split(member));
    return arena_.structure(members);
  }

  ir::Expr rewrite_one(ir::Expr expr) {
    if (const auto* ident = expr.as<ir::Ident>()) {
      if (!holds(expr.type(), appender_)) return expr;
      return arena_.ident(ident->symbol, split(expr.type()), expr.span());
    }
    if (const auto* field = expr.as<ir::GetField>()) {
      const ir::Expr value = rewrite(field->value);
      return value ? arena_.make<ir::GetField>(expr.span(), value, field->index) : ir::Expr();
    }
    if (const auto* branch = expr.as<ir::If>()) {
      const ir::Expr on_true = rewrite(branch->on_true);
      const ir::Expr on_false = rewrite(branch->on_false);
      if (!on_true || !on_false) return {};
      return arena_.add(ir::If{branch->condition, on_true, on_false}, expr.span(), expr.annotations());
    }
    if (const auto* structure = expr.as<ir::MakeStruct>()) {
      std::vector<ir::Expr> members;
      for (ir::Expr member : structure->members) {
        members.push_back(part(member));
        if (!members.back()) return {};
      }
      return arena_.make<ir::MakeStruct>(expr.span(), members);
    }
    if (const auto* builder = expr.as<ir::NewBuilder>()) {
      if (!(expr.type() == appender_)) return expr;
      std::vector<ir::Expr> parts;
      for (ir::Type column : split_.as<ir::StructType>()->members)
        parts.push_back(
            arena_.add(ir::NewBuilder{column, builder->argument}, expr.span(), expr.annotations()));
      return arena_.make<ir::MakeStruct>(expr.span(), parts);
    }
    if (const auto* merge = expr.as<ir::Merge>()) {
      const ir::Expr builder = rewrite(merge->builder);
      if (!builder) return {};
      if (merge->builder.type() == appender_) return merge_columns(builder, merge->value, expr.span());
      return arena_.add(ir::Merge{builder, merge->value}, expr.span(), expr.annotations());
    }
    if (const auto* loop = expr.as<ir::For>()) return rewrite_loop(*loop, expr);
    return {};
  }

  ir::Expr merge_columns(ir::Expr builder, ir::Expr merged, ir::Span span) {
    std::vector<std::pair<ir::Symbol, ir::Expr>> names;
    const auto named = [&](ir::Expr expr, std::string_view name) {
      if (field_path(expr).root) return expr;
      names.emplace_back(arena_.fresh_symbol(name), expr);
      return arena_.ident(names.back().first, expr.type(), span);
    };
    const auto* structure = merged.as<ir::MakeStruct>();
    const ir::Expr value = structure ? merged : named(merged, "value");
    const ir::Expr held = named(builder, "columns");
    std::vector<ir::Expr> parts;
    for (std::uint32_t i = 0; i < columns_.size(); ++i) {
      const ir::Expr column = arena_.make<ir::GetField>(span, held, i);
      const ir::Expr member =
          structure ? structure->members[columns_[i]] : arena_.make<ir::GetField>(span, value, columns_[i]);
      parts.push_back(arena_.make<ir::Merge>(span, column, member));
    }
    ir::Expr result = arena_.make<ir::MakeStruct>(span, parts);
    for (auto it = names.rbegin(); it != names.rend(); ++it)
      result = arena_.make<ir::Let>(span, it->first, it->second, result);
    return result;
  }

  ir::Expr rewrite_loop(const ir::For& loop, ir::Expr expr) {
    const auto& lambda = *loop.function.as<ir::Lambda>();
    const ir::Expr builder = rewrite(loop.builder);
    const ir::Expr body = rewrite(lambda.body);
    if (!builder || !body || loop.lanes) return {};
    std::vector<ir::Parameter> parameters(lambda.parameters.begin(), lambda.parameters.end());
    parameters[0].type = split(parameters[0].type);
    const ir::Expr function = arena_.make<ir::Lambda>(loop.function.span(), parameters, body);
    return arena_.add(ir::For{loop.iterators, builder, function, {}}, expr.span(), expr.annotations());
  }

  ir::Arena& arena_;
  ir::Type appender_;
  ir::Type split_;
  std::vector<std::uint32_t> columns_;
};

// The field paths, as long as they go, at which a name is used.
template <class F>
void for_each_use(ir::Expr root, ir::Symbol symbol, F&& f) {
  const auto look_at = [&](ir::Expr part) {
    const FieldPath path = field_path(part);
    if (path.root && path.root->symbol == symbol) f(path.fields);
  };
  look_at(root);
  ir::for_each_node(root, [&](ir::Expr expr) {
    if (expr.is<ir::GetField>() && field_path(expr).root) return;
    ir::for_each_child(expr, look_at);
  });
}

// A vector of structs that a loop makes: the loop's result, or a field of it.
struct Candidate {
  ir::Symbol symbol;
  Path path;
  ir::Type element;                    // a struct
  std::vector<bool> used;              // columns
  bool by_columns = false;             // somebody uses a column alone
  std::int64_t num_whole_uses = 0;     // of elements in loops
  std::int64_t num_forwards = 0;       // of those, merges into other candidates
  std::vector<std::size_t> forwarded;  // those others
  bool looked_up_whole = false;
  std::string_view kept;  // why it is not split
};

// A name whose value has vectors that are split.
struct SplitName {
  ir::Symbol symbol;  // instead of the old one
  ir::Type type;
};

class VectorSplitter {
 public:
  explicit VectorSplitter(PassContext& context) : context_(context), arena_(context.arena) {}

  ir::Expr run(ir::Expr root) {
    find_candidates(root);
    if (candidates_.empty()) return root;
    find_uses(root);
    find_forwards();
    choose();
    if (split_.empty()) return root;
    // First the loops that make the vectors, then what uses them: of elements that go from one to another
    // only the columns are left that are used further on.
    root = ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) {
      const auto* let = expr.as<ir::Let>();
      return let ? rewrite_let(*let, expr) : expr;
    });
    return ir::rewrite_bottom_up(root, arena_, [&](ir::Expr expr) { return rewrite(expr); });
  }

 private:
  using Indices = std::vector<std::size_t>;  // of candidates

  // --- Candidates.

  void find_candidates(ir::Expr root) {
    ir::for_each_node(root, [&](ir::Expr expr) {
      const auto* let = expr.as<ir::Let>();
      const auto* result = let ? let->value.as<ir::Result>() : nullptr;
      const auto* loop = result ? result->builder.as<ir::For>() : nullptr;
      if (!loop || loop->lanes) return;
      Path path;
      find_candidates(let->symbol, loop->builder, path);
      if (of_name_.contains(let->symbol.id())) values_.emplace(let->symbol.id(), let->value);
    });
  }

  void find_candidates(ir::Symbol symbol, ir::Expr builder, Path& path) {
    if (const auto* structure = builder.as<ir::MakeStruct>()) {
      for (std::uint32_t i = 0; i < structure->members.size(); ++i) {
        path.push_back(i);
        find_candidates(symbol, structure->members[i], path);
        path.pop_back();
      }
      return;
    }
    const auto* made = builder.as<ir::NewBuilder>();
    const auto* appender = made ? made->builder.as<ir::AppenderType>() : nullptr;
    const auto* element = appender ? appender->element.as<ir::StructType>() : nullptr;
    if (!element || element->members.empty()) return;
    of_name_[symbol.id()].push_back(candidates_.size());
    Candidate candidate;
    candidate.symbol = symbol;
    candidate.path = path;
    candidate.element = appender->element;
    candidate.used.resize(element->members.size());
    if (!may_be_repeated(made->argument)) candidate.kept = "its size is not cheap to compute";
    candidates_.push_back(std::move(candidate));
  }

  const Indices* candidates_of(const FieldPath& path) const {
    if (!path.root) return nullptr;
    const auto found = of_name_.find(path.root->symbol.id());
    return found == of_name_.end() ? nullptr : &found->second;
  }

  // The candidate that the vector is, or is a slice of; null where it is anything else.
  Candidate* candidate_of(ir::Expr vector) {
    while (const auto* slice = vector.as<ir::Slice>()) vector = slice->vector;
    const FieldPath path = field_path(vector);
    const Indices* indices = candidates_of(path);
    if (!indices) return nullptr;
    for (std::size_t index : *indices)
      if (candidates_[index].path == path.fields) return &candidates_[index];
    return nullptr;
  }

  // --- Uses.

  void find_uses(ir::Expr root) {
    ir::for_each_node(root, [&](ir::Expr expr) {
      if (const auto* loop = expr.as<ir::For>()) look_at_elements(*loop);
      bool is_first = true;
      ir::for_each_child(expr, [&](ir::Expr part) {
        look_at_lookup(expr, part);
        // The vector of a slice, and what a field is taken of, are seen as a part of something longer.
        const bool goes_on = expr.is<ir::GetField>() || (expr.is<ir::Slice>() && is_first);
        if (!goes_on) look_at_vector(expr, part);
        is_first = false;
      });
    });
  }

  static void keep(Candidate& candidate, std::string_view reason) {
    if (candidate.kept.empty()) candidate.kept = reason;
  }

  static void use(Candidate& candidate, std::uint32_t column) {
    candidate.used[column] = true;
    candidate.by_columns = true;
  }
  static void use_all(Candidate& candidate) { candidate.used.assign(candidate.used.size(), true); }

  void look_at_lookup(ir::Expr expr, ir::Expr part) {
    const auto* lookup = part.as<ir::Lookup>();
    Candidate* candidate = lookup ? candidate_of(lookup->container) : nullptr;
    if (!candidate) return;
    if (const auto* field = expr.as<ir::GetField>()) return use(*candidate, field->index);
    use_all(*candidate);
    candidate->looked_up_whole = true;
    if (!lookup->key.is<ir::Literal>()) keep(*candidate, "whole elements are looked up, which lie together");
  }

  void look_at_vector(ir::Expr expr, ir::Expr part) {
    ir::Expr vector = part;
    bool cheap_slices = true;
    while (const auto* slice = vector.as<ir::Slice>()) {
      cheap_slices = cheap_slices && may_be_repeated(slice->start) && may_be_repeated(slice->count);
      vector = slice->vector;
    }
    const FieldPath path = field_path(vector);
    const Indices* indices = candidates_of(path);
    if (!indices) return;
    for (std::size_t index : *indices) {
      Candidate& candidate = candidates_[index];
      if (path.fields == candidate.path && !cheap_slices) {
        keep(candidate, "the bounds of a slice may fail, or are not cheap to compute");
      } else if (path.fields == candidate.path) {
        if (!is_split_use(expr, part)) keep(candidate, escape_of(expr));
      } else if (std::ranges::mismatch(path.fields, candidate.path).in1 == path.fields.end()) {
        keep(candidate, escape_of(expr));
      }
    }
  }

  static bool is_split_use(ir::Expr expr, ir::Expr part) {
    if (expr.is<ir::Length>()) return true;
    if (const auto* lookup = expr.as<ir::Lookup>()) return lookup->container.get() == part.get();
    const auto* loop = expr.as<ir::For>();
    return loop && !loop->lanes && std::ranges::any_of(loop->iterators, [&](const ir::Iterator& it) {
             return it.data.get() == part.get() && it.kind == ir::IteratorKind::kScalar &&
                    may_be_repeated(it.start) && may_be_repeated(it.end) && may_be_repeated(it.stride);
           });
  }

  static std::string_view escape_of(ir::Expr expr) {
    if (expr.is<ir::Sort>() || expr.is<ir::PartialSort>()) return "it is sorted";
    if (expr.is<ir::Iterate>()) return "it is the state of an iteration";
    if (expr.is<ir::For>()) return "a walk over it has a shape, or bounds that may fail";
    if (expr.is<ir::Merge>()) return "it is merged into a builder";
    if (expr.is<ir::ForeignCall>()) return "it goes to a foreign function";
    if (expr.is<ir::Lambda>()) return "it is the value of the program or of a function";
    return "it is used as a whole";
  }

  void look_at_elements(const ir::For& loop) {
    const ir::Symbol element = loop.function.as<ir::Lambda>()->parameters[2].symbol;
    std::vector<Candidate*> walked;
    for (const ir::Iterator& it : loop.iterators) walked.push_back(it.data ? candidate_of(it.data) : nullptr);
    if (std::ranges::all_of(walked, [](Candidate* candidate) { return !candidate; })) return;
    for_each_use(loop.function.as<ir::Lambda>()->body, element, [&](const Path& path) {
      for (std::size_t i = 0; i < walked.size(); ++i) {
        if (!walked[i]) continue;
        const std::size_t level = walked.size() == 1 ? 0 : 1;  // of the columns in the path
        if (level == 1 && !path.empty() && path[0] != i) continue;
        if (path.size() > level)
          use(*walked[i], path[level]);
        else
          ++walked[i]->num_whole_uses;
      }
    });
    walks_.emplace(element.id(), std::move(walked));
  }

  // Merges of whole elements of a candidate into another one.
  void find_forwards() {
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const ir::Type element = candidates_[i].element;
      ir::for_each_node(values_.at(candidates_[i].symbol.id()), [&](ir::Expr expr) {
        const auto* merge = expr.as<ir::Merge>();
        const auto* appender = merge ? merge->builder.type().as<ir::AppenderType>() : nullptr;
        if (!appender || !(appender->element == element)) return;
        const FieldPath path = field_path(merge->value);
        const auto found = path.root ? walks_.find(path.root->symbol.id()) : walks_.end();
        if (found == walks_.end()) return;
        const bool single = found->second.size() == 1;
        if (path.fields.size() != (single ? 0u : 1u)) return;
        Candidate* from = found->second[single ? 0 : path.fields[0]];
        if (!from) return;
        ++from->num_forwards;
        from->forwarded.push_back(i);
      });
    }
  }

  // What others use of elements that they get as a whole.
  void use_forwarded(Candidate& candidate) {
    const bool split = candidate.num_whole_uses == candidate.num_forwards &&
                       std::ranges::all_of(candidate.forwarded,
                                           [&](std::size_t to) { return candidates_[to].kept.empty(); });
    if (!split) {
      if (candidate.num_whole_uses > 0) use_all(candidate);
      return;
    }
    for (std::size_t to : candidate.forwarded)
      for (std::uint32_t k = 0; k < candidate.used.size(); ++k)
        if (candidates_[to].used[k]) use(candidate, k);
  }

  // --- The choice.

  // The last ones first: they say what is used of those before.
  void choose() {
    std::vector<Remark> remarks;
    for (std::size_t last = candidates_.size(); last-- > 0;) {
      const std::uint64_t name = candidates_[last].symbol.id();
      const Indices& indices = of_name_.at(name);
      if (indices.back() != last) continue;
      const ir::Expr value = values_.at(name);
      for (std::size_t index : indices) use_forwarded(candidates_[index]);
      keep_vectors_with_split_columns(indices);
      join_equal_types(indices);
      for (std::size_t index : indices) {
        Candidate& candidate = candidates_[index];
        if (!candidate.by_columns) keep(candidate, "whole elements are used wherever it is used");
        keep_columns_that_may_fail(value, candidate);
        if (std::ranges::none_of(candidate.used, std::identity())) candidate.used.front() = true;
        if (!is_alone(value, candidate)) keep(candidate, "the loop fills other vectors of the same structs");
      }
      const ir::Expr split = split_loop(value, indices);
      for (std::size_t index : indices) {
        if (!split) keep(candidates_[index], "the loop that makes it is of no known form");
        if (candidates_[index].kept.empty()) continue;
        remarks.push_back(
            {"split_vectors",
             "vector of structs is not split into columns: " + std::string(candidates_[index].kept),
             value.span()});
      }
      if (split && split.get() != value.get()) {
        const ir::Symbol symbol = candidates_[last].symbol;
        split_.emplace(name, SplitName{arena_.fresh_symbol(symbol.name()), split.type()});
      }
    }
    context_.remarks.insert(context_.remarks.end(), remarks.rbegin(), remarks.rend());
  }

  // Builders are told from each other by their types, those of columns from those of other vectors too.
  void keep_vectors_with_split_columns(const Indices& indices) {
    for (std::size_t i : indices) {
      const auto columns = candidates_[i].element.as<ir::StructType>()->members;
      for (std::size_t j : indices) {
        if (std::ranges::count(columns, candidates_[j].element) > 0)
          keep(candidates_[i], "the loop makes a vector of the structs in one of its columns too");
      }
    }
  }

  // Vectors of one type that one loop makes are split alike, or not at all.
  void join_equal_types(const Indices& indices) {
    for (std::size_t i : indices) {
      for (std::size_t j : indices) {
        Candidate& left = candidates_[i];
        Candidate& right = candidates_[j];
        if (i == j || !(left.element == right.element)) continue;
        if (!right.kept.empty()) keep(left, right.kept);
        for (std::size_t k = 0; k < left.used.size(); ++k) left.used[k] = left.used[k] || right.used[k];
        left.by_columns = left.by_columns || right.by_columns;
      }
    }
  }

  static void keep_columns_that_may_fail(ir::Expr value, Candidate& candidate) {
    ir::for_each_node(value, [&](ir::Expr expr) {
      const auto* merge = expr.as<ir::Merge>();
      const auto* appender = merge ? merge->builder.type().as<ir::AppenderType>() : nullptr;
      const auto* members = merge ? merge->value.as<ir::MakeStruct>() : nullptr;
      if (!appender || !members || !(appender->element == candidate.element)) return;
      for (std::size_t i = 0; i < members->members.size(); ++i)
        if (ir::may_fail_or_diverge(members->members[i])) candidate.used[i] = true;
    });
  }

  // Whether the loop's function makes no builders of that type of its own.
  bool is_alone(ir::Expr value, const Candidate& candidate) {
    bool alone = true;
    const ir::Type appender = arena_.appender(candidate.element);
    ir::for_each_node(value.as<ir::Result>()->builder.as<ir::For>()->function, [&](ir::Expr expr) {
      alone = alone && !(expr.is<ir::NewBuilder>() && expr.type() == appender);
    });
    return alone;
  }

  // The value of a name with those of its vectors split that are not kept; null where that is not possible.
  ir::Expr split_loop(ir::Expr value, const Indices& indices) {
    ir::Expr loop = value.as<ir::Result>()->builder;
    std::vector<ir::Type> done;
    for (std::size_t index : indices) {
      const Candidate& candidate = candidates_[index];
      if (!candidate.kept.empty() || std::ranges::count(done, candidate.element) > 0) continue;
      done.push_back(candidate.element);
      loop = BuilderSplit(candidate.element, candidate.used, arena_).rewrite(loop);
      if (!loop) return {};
    }
    return done.empty() ? value : arena_.add(ir::Result{loop}, value.span(), value.annotations());
  }

  // --- Rewriting.

  ir::Expr rewrite(ir::Expr expr) {
    if (expr.is<ir::GetField>()) return rewrite_field(expr);
    if (const auto* length = expr.as<ir::Length>()) {
      const Candidate* candidate = split_candidate(length->value);
      if (!candidate) return expr;
      return arena_.make<ir::Length>(expr.span(),
                                     column(length->value, *candidate, first_column(*candidate)));
    }
    if (const auto* lookup = expr.as<ir::Lookup>()) return rewrite_lookup(*lookup, expr);
    if (const auto* loop = expr.as<ir::For>()) return rewrite_walk(*loop, expr);
    return expr;
  }

  // Null where the vector is not split.
  const Candidate* split_candidate(ir::Expr vector) {
    const Candidate* candidate = candidate_of(vector);
    return candidate && candidate->kept.empty() && split_.contains(candidate->symbol.id()) ? candidate
                                                                                           : nullptr;
  }

  ir::Expr rewrite_let(const ir::Let& let, ir::Expr expr) {
    const auto found = split_.find(let.symbol.id());
    if (found == split_.end()) return expr;
    const ir::Expr value = split_loop(let.value, of_name_.at(let.symbol.id()));
    return arena_.add(ir::Let{found->second.symbol, value, let.body}, expr.span(), expr.annotations());
  }

  // Fields that are not split, of a name that others are split of.
  ir::Expr rewrite_field(ir::Expr expr) {
    const auto& field = *expr.as<ir::GetField>();
    if (const auto* lookup = field.value.as<ir::Lookup>()) {
      const Candidate* candidate = split_candidate(lookup->container);
      if (!candidate) return expr;
      return arena_.make<ir::Lookup>(field.value.span(), column(lookup->container, *candidate, field.index),
                                     lookup->key);
    }
    const FieldPath path = field_path(expr);
    if (!path.root) return expr;
    const auto found = split_.find(path.root->symbol.id());
    if (found == split_.end()) return expr;
    for (std::size_t index : of_name_.at(path.root->symbol.id())) {
      const Candidate& candidate = candidates_[index];
      const bool leads_to_it = std::ranges::mismatch(path.fields, candidate.path).in1 == path.fields.end();
      if (candidate.kept.empty() && leads_to_it) return expr;
    }
    return on_path(found->second, path.fields, expr.span());
  }

  ir::Expr on_path(const SplitName& name, const Path& path, ir::Span span) {
    ir::Expr expr = arena_.ident(name.symbol, name.type, span);
    for (std::uint32_t field : path) expr = arena_.make<ir::GetField>(span, expr, field);
    return expr;
  }

  static std::uint32_t first_column(const Candidate& candidate) {
    return static_cast<std::uint32_t>(std::ranges::find(candidate.used, true) - candidate.used.begin());
  }

  // The column of a split vector, or of slices of it.
  ir::Expr column(ir::Expr vector, const Candidate& candidate, std::uint32_t index) {
    if (const auto* slice = vector.as<ir::Slice>()) {
      return arena_.make<ir::Slice>(vector.span(), column(slice->vector, candidate, index), slice->start,
                                    slice->count);
    }
    Path path = candidate.path;
    const auto begin = candidate.used.begin();
    path.push_back(static_cast<std::uint32_t>(std::count(begin, begin + index, true)));
    return on_path(split_.at(candidate.symbol.id()), path, vector.span());
  }

  // Where fields of elements are used alone, see rewrite_field.
  ir::Expr rewrite_lookup(const ir::Lookup& lookup, ir::Expr expr) {
    const Candidate* candidate = split_candidate(lookup.container);
    if (!candidate || !candidate->looked_up_whole || !lookup.key.is<ir::Literal>()) return expr;
    std::vector<ir::Expr> members;
    for (std::uint32_t i = 0; i < candidate->used.size(); ++i)
      members.push_back(
          arena_.make<ir::Lookup>(expr.span(), column(lookup.container, *candidate, i), lookup.key));
    return arena_.make<ir::MakeStruct>(expr.span(), members);
  }

  // Where the element of an old iterator comes from.
  struct Walked {
    const Candidate* candidate = nullptr;  // null: not split
    std::vector<std::size_t> places;       // new iterators; of a split vector, by column
  };

  // A loop over split vectors walks over the columns that it uses.
  ir::Expr rewrite_walk(const ir::For& loop, ir::Expr expr) {
    constexpr std::size_t kNotUsed = SIZE_MAX;
    const auto& lambda = *loop.function.as<ir::Lambda>();
    const ir::Parameter old = lambda.parameters[2];
    const std::size_t num_old = loop.iterators.size();
    std::vector<Walked> walked(num_old);
    for (std::size_t i = 0; i < num_old; ++i) {
      if (loop.iterators[i].data) walked[i].candidate = split_candidate(loop.iterators[i].data);
    }
    if (std::ranges::none_of(walked, [](const Walked& each) { return each.candidate; })) return expr;

    std::vector<std::vector<bool>> used(num_old);
    std::vector<bool> whole(num_old);
    bool all_whole = false;
    for (std::size_t i = 0; i < num_old; ++i)
      if (walked[i].candidate) used[i].resize(walked[i].candidate->used.size());
    for_each_use(lambda.body, old.symbol, [&](const Path& path) {
      const std::size_t level = num_old == 1 ? 0 : 1;
      if (path.size() < level) {
        all_whole = true;
        return;
      }
      const std::size_t i = level == 0 ? 0 : path[0];
      if (path.size() > level && walked[i].candidate)
        used[i][path[level]] = true;
      else
        whole[i] = true;
    });

    std::vector<ir::Iterator> iterators;
    for (std::size_t i = 0; i < num_old; ++i) {
      const ir::Iterator& it = loop.iterators[i];
      if (!walked[i].candidate) {
        walked[i].places = {iterators.size()};
        iterators.push_back(it);
        continue;
      }
      const Candidate& candidate = *walked[i].candidate;
      if (all_whole || whole[i]) used[i].assign(used[i].size(), true);
      if (std::ranges::none_of(used[i], std::identity())) used[i][first_column(candidate)] = true;
      for (std::uint32_t k = 0; k < used[i].size(); ++k) {
        walked[i].places.push_back(used[i][k] ? iterators.size() : kNotUsed);
        if (!used[i][k]) continue;
        ir::Iterator split = it;
        split.data = column(it.data, candidate, k);
        iterators.push_back(split);
      }
    }

    const ir::Type type = ir::element_type(std::span<const ir::Iterator>(iterators), arena_);
    const ir::Parameter element{arena_.fresh_symbol(old.symbol.name()), type};
    const auto element_at = [&](std::size_t place, ir::Span span) {
      const ir::Expr whole_element = arena_.ident(element.symbol, type, span);
      if (iterators.size() == 1) return whole_element;
      return arena_.make<ir::GetField>(span, whole_element, static_cast<std::uint32_t>(place));
    };
    const auto old_element = [&](std::size_t i, ir::Span span) {
      if (!walked[i].candidate) return element_at(walked[i].places.front(), span);
      std::vector<ir::Expr> members;
      for (std::size_t place : walked[i].places) members.push_back(element_at(place, span));
      return arena_.make<ir::MakeStruct>(span, members);
    };
    const ir::Expr body = ir::rewrite_bottom_up(lambda.body, arena_, [&](ir::Expr part) {
      const auto* field = part.as<ir::GetField>();
      const auto* members = field ? field->value.as<ir::MakeStruct>() : nullptr;
      if (members && ir::is_pure(field->value)) return members->members[field->index];
      const FieldPath path = field_path(part);
      if (!path.root || !(path.root->symbol == old.symbol)) return part;
      const std::size_t level = num_old == 1 ? 0 : 1;
      if (path.fields.size() < level) {
        if (!all_whole) return part;
        std::vector<ir::Expr> elements;
        for (std::size_t i = 0; i < num_old; ++i) elements.push_back(old_element(i, part.span()));
        return arena_.make<ir::MakeStruct>(part.span(), elements);
      }
      const std::size_t i = level == 0 ? 0 : path.fields[0];
      if (!walked[i].candidate || whole[i])
        return path.fields.size() == level ? old_element(i, part.span()) : part;
      return path.fields.size() == level + 1 ? element_at(walked[i].places[path.fields[level]], part.span())
                                             : part;
    });
    const std::vector<ir::Parameter> parameters{lambda.parameters[0], lambda.parameters[1], element};
    const ir::Expr function = arena_.make<ir::Lambda>(loop.function.span(), parameters, body);
    return arena_.add(ir::For{arena_.keep(iterators), loop.builder, function, {}}, expr.span(),
                      expr.annotations());
  }

  PassContext& context_;
  ir::Arena& arena_;
  std::vector<Candidate> candidates_;
  std::unordered_map<std::uint64_t, std::vector<Candidate*>> walks_;  // by symbol id of the element
  std::unordered_map<std::uint64_t, Indices> of_name_;                // by symbol id
  std::unordered_map<std::uint64_t, ir::Expr> values_;                // likewise
  std::unordered_map<std::uint64_t, SplitName> split_;                // likewise
};

}  // namespace

ir::Expr split_vectors(ir::Expr root, PassContext& context) {
  // Columns may be vectors of structs in turn.
  constexpr int kMaxRounds = 4;
  const std::size_t num_remarks = context.remarks.size();
  for (int round = 0; round < kMaxRounds; ++round) {
    context.remarks.resize(num_remarks);
    const ir::Expr split = VectorSplitter(context).run(root);
    if (split.get() == root.get()) break;
    root = split;
  }
  return root;
}

}  // namespace weld::passes
