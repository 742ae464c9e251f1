#include "parser/expansion.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "ir/error.h"
#include "parser/functions.h"
#include "parser/macros.h"

namespace weld::parser {

/// While the body of a `for` is expanded, the name or field path of its builder means its parameter.
struct Alias {
  std::span<const std::uint32_t> path;
  Variable* parameter = nullptr;
  Alias* next = nullptr;
  bool named_parameter = false;
  bool named_outer = false;
  ir::Span outer_span = {};
};

namespace {

using ir::ScalarKind;

constexpr std::uint32_t kMaxInlineDepth = 256;
constexpr std::uint32_t kMaxExpansionDepth = 2000;  // a macro's call is a level of its own

// The macros around an expansion.
struct Chain {
  const MacroAst* macro;
  const Chain* outer;
  std::uint32_t depth;
};

struct Frame;

struct Place {
  const Ast* ast = nullptr;
  Frame* frame = nullptr;
};

struct Closure {
  Place lambda;
  std::uint32_t num_uses = 0;
};

// What a binder stands for: a variable, a lambda to be inlined, or an expression to be put in its place.
struct Entry {
  Variable* variable = nullptr;
  Closure* closure = nullptr;
  Place argument;
};

// The names of one expansion of a function, a macro or the program.
struct Frame {
  Frame* parent = nullptr;
  std::uint32_t level = 0;
  std::span<Entry> entries;
  const Chain* chain = nullptr;
  ir::Span call = {};  // inside a standard macro: the call, which is all of it that the author can see
};

template <class N>
constexpr std::size_t index_of() {
  return []<std::size_t... i>(std::index_sequence<i...>) {
    std::size_t index = 0;
    ((index += std::is_same_v<std::variant_alternative_t<i, ir::Node>, N> ? i : 0), ...);
    return index;
  }(std::make_index_sequence<std::variant_size_v<ir::Node>>{});
}

class Expansion {
 public:
  Expansion(const ProgramAst& program, const ir::Source& source, Pool& pool, ir::Arena& arena, Unifier& types,
            Diagnostics& diagnostics, const ExpansionOptions& options)
      : program_(program),
        source_(source),
        pool_(pool),
        arena_(arena),
        types_(types),
        diagnostics_(diagnostics),
        options_(options),
        bool_(types.scalar(ScalarKind::kBool)),
        i32_(types.scalar(ScalarKind::kI32)),
        i64_(types.scalar(ScalarKind::kI64)) {
    for (const MacroAst* macro : program.macros) macros_.emplace(macro->name, macro);
  }

  Expanded run() {
    Frame* frame = pool_.make(Frame{.entries = pool_.filled<Entry>(program_.num_slots)});
    expanded_.root = expand({program_.body, frame}, {});
    return std::move(expanded_);
  }

 private:
  ir::Span span(const Place& place) const {
    return place.frame->call ? place.frame->call : ir::Span{&source_, place.ast->begin, place.ast->end};
  }
  [[noreturn, gnu::noinline]] void over_budget(std::string message, const Place& place) {
    throw ir::UserError(std::move(message), span(place), ErrorCode::kBudgetExceeded);
  }

  void count(const Place& place) {
    if (++num_trees_ > ir::Arena::kMaxNodes) {
      over_budget(fmt::format("the program has more than {} nodes once macros and functions are expanded",
                              ir::Arena::kMaxNodes),
                  place);
    }
  }

  Tree* make(TreeForm form, const Place& place, ir::Annotations outer, InferredType* type,
             std::span<Tree* const> parts) {
    count(place);
    Tree* tree = pool_.make(Tree{.form = form, .ast = place.ast, .span = span(place), .type = type});
    tree->annotations = joined(place.ast->annotations, outer);
    tree->parts = pool_.copy(parts);
    return tree;
  }
  Tree* make(TreeForm form, const Place& place, ir::Annotations outer, InferredType* type,
             std::initializer_list<Tree*> parts = {}) {
    return make(form, place, outer, type, std::span(parts.begin(), parts.size()));
  }
  Tree* wrong(const Place& place) { return make(TreeForm::kWrong, place, {}, types_.wrong()); }
  [[gnu::noinline]] Tree* report(const Place& place, std::string message) {
    diagnostics_.add(std::move(message), span(place));
    return wrong(place);
  }

  // The last one of several annotations with one key counts: the outer ones come last.
  ir::Annotations joined(ir::Annotations inner, ir::Annotations outer) {
    if (outer.empty()) return inner;
    if (inner.empty()) return outer;
    std::vector<ir::Annotation> all(inner.begin(), inner.end());
    all.insert(all.end(), outer.begin(), outer.end());
    return arena_.keep(all);
  }

  // Names.
  static Entry& entry_of(const Binder& binder, Frame* frame) {
    while (frame->level != binder.level) frame = frame->parent;
    return frame->entries[binder.slot];
  }
  static Entry* entry_of(const Place& place) {
    if (place.ast->form != Form::kName || !place.ast->binder) return nullptr;
    return &entry_of(*place.ast->binder, place.frame);
  }
  // Puts arguments in the place of their parameters; adds the annotations that are passed on the way.
  Place resolve(Place place, ir::Annotations& outer) {
    for (Entry* entry = entry_of(place); entry && entry->argument.ast; entry = entry_of(place)) {
      outer = joined(place.ast->annotations, outer);
      place = entry->argument;
    }
    return place;
  }
  Place resolve(Place place) {
    ir::Annotations ignored;
    return resolve(place, ignored);
  }
  // The lambda that is written here or stands behind a name; null when it is something else.
  Closure* closure_of(const Place& resolved) {
    if (resolved.ast->form == Form::kLambda) return pool_.make(Closure{resolved, 1});
    const Entry* entry = entry_of(resolved);
    return entry ? entry->closure : nullptr;
  }

  Frame* frame_of(const Place& lambda) {
    return pool_.make(Frame{.parent = lambda.frame,
                            .level = lambda.ast->level,
                            .entries = pool_.filled<Entry>(lambda.ast->num_slots),
                            .chain = lambda.frame->chain,
                            .call = lambda.frame->call});
  }
  Variable* variable(const Binder& binder, InferredType* type, const Frame* frame) {
    const ir::Span where = frame->call ? frame->call : ir::Span{&source_, binder.begin, binder.end};
    return pool_.make(Variable{.name = binder.name, .span = where, .type = type});
  }
  void bind(const Binder& binder, Frame* frame, Entry entry) { entry_of(binder, frame) = entry; }

  // Expressions. `outer` are annotations that were written around the place.
  Tree* expand(Place place, ir::Annotations outer) {
    if (++depth_ > kMaxExpansionDepth) {
      over_budget("the program is nested too deep once macros and functions are expanded", place);
    }
    place = resolve(place, outer);
    Tree* tree = expand_form(place, outer);
    --depth_;
    return tree;
  }

  Tree* expand_form(const Place& place, ir::Annotations outer) {
    switch (place.ast->form) {
      case Form::kLiteral:
        return make(TreeForm::kLiteral, place, outer, types_.scalar(place.ast->literal.kind));
      case Form::kString:
        return make(TreeForm::kString, place, outer, vec(types_.scalar(ScalarKind::kI8)));
      case Form::kName:
        return name(place, outer);
      case Form::kBlock:
        return block(place, outer);
      case Form::kLambda:
        return lambda(place, outer, {}, nullptr);
      case Form::kCall:
        return call(place, outer);
      case Form::kCast:
        return cast(place, outer);
      case Form::kUnary:
        return unary(place, outer, place.ast->detail, part(place, 0));
      case Form::kBinary:
        return binary(place, outer, place.ast->detail, part(place, 0), part(place, 1));
      case Form::kAscribed:
        return ascribed(expand({place.ast->parts[0], place.frame}, outer), place.ast->type, place);
      case Form::kStruct:
        return structure(place, outer);
      case Form::kVector:
        return vector(place, outer);
      case Form::kField:
        return field(place, outer);
      case Form::kZip:
        return zip(place, outer);
      case Form::kCallForm:
        return call_form(place, outer);
      case Form::kBroadcast:
        return broadcast(place, outer);
      case Form::kDeserialize:
        return deserialize(place, outer);
      case Form::kForeignCall:
        return foreign_call(place, outer);
      case Form::kFor:
        return loop(place, outer);
      case Form::kNewBuilder:
        return new_builder(place, outer);
    }
    return wrong(place);
  }

  Tree* part(const Place& place, std::size_t index) {
    return expand({place.ast->parts[index], place.frame}, {});
  }
  std::vector<Tree*> parts_of(const Place& place) {
    std::vector<Tree*> parts;
    for (std::size_t i = 0; i < place.ast->parts.size(); ++i) parts.push_back(part(place, i));
    return parts;
  }
  InferredType* vec(InferredType* element) { return types_.make(InferredType::Form::kVec, {element}); }
  InferredType* dict(InferredType* key, InferredType* value) {
    return types_.make(InferredType::Form::kDict, {key, value});
  }
  InferredType* structure_of(std::initializer_list<InferredType*> members) {
    return types_.make(InferredType::Form::kStruct, members);
  }

  Tree* use(Variable* variable, const Place& place, ir::Annotations outer) {
    Tree* tree = make(TreeForm::kUse, place, outer, variable->type);
    tree->variables = pool_.copy(std::span<Variable* const>({variable}));
    return tree;
  }

  Tree* name(const Place& place, ir::Annotations outer) {
    const Ast& ast = *place.ast;
    if (!ast.binder) {
      if (find_macro(ast.text))
        return report(place, fmt::format("{} is a macro and can only be applied", ast.text));
      if (find_function(ast.text)) {
        return report(place, fmt::format("{} is a function and can only be applied", ast.text));
      }
      return wrong(place);  // reported by the parser
    }
    const Entry& entry = entry_of(*ast.binder, place.frame);
    if (entry.closure) {
      ++entry.closure->num_uses;
      return lambda(entry.closure->lambda, joined(ast.annotations, outer), {}, nullptr);
    }
    if (!entry.variable) return wrong(place);
    std::vector<std::uint32_t> path;
    return use(mentioned(entry.variable, path, place), place, outer);
  }

  // The builder rule of LANGUAGE.md §1.5. Follows aliases from a variable and a path of fields, of which it
  // takes off what the aliases stand for; notes what was named.
  Variable* mentioned(Variable* variable, std::vector<std::uint32_t>& path, const Place& place) {
    if (variable->parameter_of) variable->parameter_of->named_parameter = true;
    while (Alias* alias = alias_of(variable, path)) {
      alias->named_outer = true;
      if (!alias->outer_span) alias->outer_span = span(place);
      path.erase(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(alias->path.size()));
      variable = alias->parameter;
    }
    return variable;
  }
  static Alias* alias_of(const Variable* variable, const std::vector<std::uint32_t>& path) {
    for (Alias* alias = variable->aliases; alias; alias = alias->next) {
      if (alias->path.size() <= path.size() &&
          std::ranges::equal(alias->path, std::span(path).first(alias->path.size()))) {
        return alias;
      }
    }
    return nullptr;
  }
  // A name with fields, `x.$0.$1`: the variable and the fields from the left; null for other expressions.
  Variable* path_of(Place place, std::vector<std::uint32_t>& path) {
    path.clear();
    place = resolve(place);
    while (place.ast->form == Form::kField) {
      path.push_back(place.ast->index);
      place = resolve({place.ast->parts[0], place.frame});
    }
    std::ranges::reverse(path);
    const Entry* entry = entry_of(place);
    return entry ? entry->variable : nullptr;
  }

  Tree* field(const Place& place, ir::Annotations outer) {
    if (num_aliases_ > 0) {
      if (Tree* aliased = aliased_field(place, outer)) return aliased;
    }
    Tree* value = part(place, 0);
    return field_of(value, place.ast->index, place, outer);
  }
  Tree* field_of(Tree* value, std::uint32_t index, const Place& place, ir::Annotations outer) {
    Tree* tree = make(TreeForm::kField, place, outer, types_.unknown(), {value});
    tree->index = index;
    types_.field(value->type, index, tree->type);
    return tree;
  }
  [[gnu::noinline]] Tree* aliased_field(const Place& place, ir::Annotations outer) {
    std::vector<std::uint32_t> path;
    Variable* root = path_of(place, path);
    if (!root || !alias_of(root, path)) return nullptr;
    Tree* tree = use(mentioned(root, path, place), place, path.empty() ? outer : ir::Annotations{});
    for (std::size_t i = 0; i < path.size(); ++i) {
      tree = field_of(tree, path[i], place, i + 1 == path.size() ? outer : ir::Annotations{});
    }
    return tree;
  }

  // Lets.
  struct Bound {
    Variable* variable;
    Tree* value;
    std::uint32_t begin;
  };

  Tree* block(const Place& place, ir::Annotations outer) {
    const Ast& ast = *place.ast;
    std::vector<Bound> bound;
    std::vector<Closure*> closures;
    for (std::size_t i = 0; i < ast.bindings.size(); ++i) let(place, i, bound, closures);
    const ir::Annotations annotations = joined(ast.annotations, outer);
    Tree* body = expand({ast.parts.back(), place.frame}, bound.empty() ? annotations : ir::Annotations{});
    for (const Closure* closure : closures) check_unused(*closure);
    for (std::size_t i = bound.size(); i-- > 0;) {
      body = make_let(TreeForm::kLet, place, bound[i].variable, bound[i].value, body);
      if (!place.frame->call) body->span.begin = bound[i].begin;
    }
    if (!bound.empty()) body->annotations = annotations;
    return body;
  }

  void let(const Place& place, std::size_t index, std::vector<Bound>& bound,
           std::vector<Closure*>& closures) {
    const BindingAst& binding = place.ast->bindings[index];
    const Place written{place.ast->parts[index], place.frame};
    const Place value = resolve(written);
    if (Closure* closure = closure_of(value)) {
      if (binding.type) report(written, "a function has no type that can be written");
      if (value.ast->form != Form::kLambda) return bind(*binding.binder, place.frame, {.closure = closure});
      closure->num_uses = 0;
      if (!options_.keep_functions || !is_typed(*value.ast)) {
        closures.push_back(closure);
        return bind(*binding.binder, place.frame, {.closure = closure});
      }
      Tree* function = lambda(value, {}, {}, nullptr);
      Variable* kept = variable(*binding.binder, types_.unknown(), place.frame);
      kept->function = function;
      bound.push_back({kept, function, binding.begin});
      return bind(*binding.binder, place.frame, {.variable = kept, .closure = closure});
    }
    Tree* tree = expand(written, {});
    if (binding.type) tree = ascribed(tree, binding.type, written);
    Variable* made = variable(*binding.binder, tree->type, place.frame);
    bound.push_back({made, tree, binding.begin});
    bind(*binding.binder, place.frame, {.variable = made});
  }

  static bool is_typed(const Ast& lambda) {
    return std::ranges::all_of(lambda.bindings, [](const BindingAst& parameter) { return parameter.type; });
  }
  void check_unused(const Closure& closure) {
    if (closure.num_uses > 0 || !is_typed(*closure.lambda.ast)) return;
    expanded_.unused_functions.push_back(lambda(closure.lambda, {}, {}, nullptr));
  }

  Tree* make_let(TreeForm form, const Place& place, Variable* bound, Tree* value, Tree* body) {
    count(place);
    Tree* tree = pool_.make(Tree{.form = form, .ast = place.ast, .span = span(place), .type = body->type});
    tree->parts = pool_.copy(std::span<Tree* const>({value, body}));
    tree->variables = pool_.copy(std::span<Variable* const>({bound}));
    return tree;
  }

  Tree* ascribed(Tree* value, const TypeAst* type, const Place& place) {
    InferredType* written = types_.written(type);
    const bool agrees = types_.unify(value->type, written);
    // Of a new vector or builder it is the type of the node, with its annotations.
    if (agrees && (value->form == TreeForm::kVector || value->form == TreeForm::kNewBuilder)) {
      if (Unifier::root(written) == written) value->written = written;
      return value;
    }
    count(place);
    Tree* tree = pool_.make(
        Tree{.form = TreeForm::kChecked, .ast = place.ast, .span = value->span, .type = value->type});
    tree->written = written;
    tree->parts = pool_.copy(std::span<Tree* const>({value}));
    return tree;
  }

  // Functions. `expected` are the types that are passed, as far as there are so many parameters.
  Tree* lambda(const Place& place, ir::Annotations outer, std::span<InferredType* const> expected,
               Alias* alias) {
    const Ast& ast = *place.ast;
    Frame* frame = frame_of(place);
    std::vector<Variable*> parameters;
    for (std::size_t i = 0; i < ast.bindings.size(); ++i) {
      const BindingAst& binding = ast.bindings[i];
      Variable* parameter = variable(*binding.binder, types_.written(binding.type), frame);
      if (i < expected.size()) types_.unify(parameter->type, expected[i]);
      bind(*binding.binder, frame, {.variable = parameter});
      parameters.push_back(parameter);
    }
    if (alias && !parameters.empty()) {
      alias->parameter = parameters.front();
      parameters.front()->parameter_of = alias;
    }
    Tree* body = expand({ast.parts[0], frame}, {});
    if (!parameters.empty()) parameters.front()->parameter_of = nullptr;
    Tree* tree = make(TreeForm::kLambda, place, outer, types_.unknown(), {body});
    tree->variables = pool_.copy(std::span<Variable* const>(parameters));
    return tree;
  }
  // An operand that must be a lambda, or the name of one.
  Tree* function(const Ast* ast, Frame* frame, std::initializer_list<InferredType*> expected,
                 Alias* alias = nullptr) {
    ir::Annotations outer;
    const Place place = resolve({ast, frame}, outer);
    Closure* closure = closure_of(place);
    if (!closure) return expand({ast, frame}, {});
    if (place.ast->form != Form::kLambda) {
      ++closure->num_uses;
      outer = joined(place.ast->annotations, outer);
    }
    return lambda(closure->lambda, outer, std::span(expected.begin(), expected.size()), alias);
  }
  static InferredType* value_of(const Tree* function, InferredType* otherwise) {
    return function->form == TreeForm::kLambda ? function->parts[0]->type : otherwise;
  }

  // Calls.
  const MacroAst* find_macro(std::string_view name) const {
    const auto found = macros_.find(name);
    return found == macros_.end() ? find_standard_macro(name) : found->second;
  }

  Tree* call(const Place& place, ir::Annotations outer) {
    ir::Annotations callee_outer;
    const Place callee = resolve({place.ast->parts[0], place.frame}, callee_outer);
    if (callee.ast->form == Form::kName) {
      const Entry* entry = entry_of(callee);
      if (entry && entry->variable && entry->variable->function) {
        std::vector<Tree*> parts{use(entry->variable, callee, callee_outer)};
        for (std::size_t i = 1; i < place.ast->parts.size(); ++i) parts.push_back(part(place, i));
        return apply(place, parts, outer);
      }
      if (entry && entry->closure) {
        ++entry->closure->num_uses;
        return inline_call(entry->closure->lambda, place,
                           call_annotations(place, callee, callee_outer, outer));
      }
      if (!entry) return global_call(place, callee, call_annotations(place, callee, callee_outer, outer));
    } else if (callee.ast->form == Form::kLambda && place.ast->parts[0]->form != Form::kLambda) {
      return inline_call(callee, place, call_annotations(place, callee, callee_outer, outer));
    }
    return apply(place, parts_of(place), outer);
  }
  // Those before the name of a macro or function are its value's.
  ir::Annotations call_annotations(const Place& place, const Place& callee, ir::Annotations callee_outer,
                                   ir::Annotations outer) {
    const ir::Annotations inner =
        callee.ast->form == Form::kName ? joined(callee.ast->annotations, callee_outer) : callee_outer;
    return joined(joined(inner, place.ast->annotations), outer);
  }

  Tree* apply(const Place& place, const std::vector<Tree*>& parts, ir::Annotations outer) {
    const Tree* callee = parts.front();
    if (callee->form == TreeForm::kUse && callee->variables[0]->function) {
      callee = callee->variables[0]->function;
    }
    InferredType* type = types_.unknown();
    if (callee->form == TreeForm::kLambda) {
      const std::size_t count = std::min(callee->variables.size(), parts.size() - 1);
      for (std::size_t i = 0; i < count; ++i) types_.unify(callee->variables[i]->type, parts[i + 1]->type);
      type = callee->parts[0]->type;
    }
    return make(TreeForm::kApply, place, outer, type, parts);
  }

  [[gnu::noinline]] Tree* wrong_arity(const Place& place, std::string_view what, std::size_t arity) {
    const std::size_t given = place.ast->parts.size() - 1;
    return report(place, fmt::format("{} takes {} argument{}, but {} {} given", what, arity,
                                     arity == 1 ? "" : "s", given, given == 1 ? "is" : "are"));
  }

  Tree* global_call(const Place& place, const Place& callee, ir::Annotations annotations) {
    if (const MacroAst* macro = find_macro(callee.ast->text)) return expand_macro(*macro, place, annotations);
    const NamedFunction* named = find_function(callee.ast->text);
    if (!named) {
      // The name is reported by the parser; its arguments may be wrong too.
      const std::span<Ast* const> arguments = place.ast->parts.subspan(1);
      std::vector<Tree*> parts;
      for (const Ast* argument : arguments) parts.push_back(expand({argument, place.frame}, {}));
      return make(TreeForm::kWrong, place, {}, types_.wrong(), parts);
    }
    const std::size_t arity = named->is_unary ? 1 : 2;
    if (place.ast->parts.size() != arity + 1) return wrong_arity(place, named->name, arity);
    Tree* first = part(place, 1);
    Tree* tree = named->is_unary ? unary(place, {}, named->op, first)
                                 : binary(place, {}, named->op, first, part(place, 2));
    tree->annotations = annotations;
    return tree;
  }

  // What can be put in the place of every use of a parameter, at no cost.
  bool is_free(const Place& resolved) {
    Place place = resolved;
    while (place.ast->form == Form::kField) place = resolve({place.ast->parts[0], place.frame});
    switch (place.ast->form) {
      case Form::kName:
        return true;
      case Form::kLiteral:
      case Form::kString:
      case Form::kLambda:
      case Form::kNewBuilder:
        return place.ast == resolved.ast;
      case Form::kVector:
        return place.ast == resolved.ast && place.ast->parts.empty();
      default:
        return false;
    }
  }

  Tree* expand_macro(const MacroAst& macro, const Place& place, ir::Annotations annotations) {
    count(place);
    const std::size_t arity = macro.parameters.size();
    if (place.ast->parts.size() != arity + 1) {
      return wrong_arity(place, fmt::format("macro {}", macro.name), arity);
    }
    const Chain* outer = place.frame->chain;
    const Chain* chain = pool_.make(Chain{&macro, outer, outer ? outer->depth + 1 : 1});
    if (chain->depth > kMaxMacroDepth) return too_many_macros(*chain, place);
    ir::Span call = place.frame->call;
    if (macro.is_standard && !call) call = span(place);
    Frame* frame =
        pool_.make(Frame{.entries = pool_.filled<Entry>(macro.num_slots), .chain = chain, .call = call});
    std::vector<Bound> bound;
    for (std::size_t i = 0; i < arity; ++i)
      macro_argument(*macro.parameters[i], {place.ast->parts[i + 1], place.frame}, frame, bound);
    Tree* body = expand({macro.body, frame}, annotations);
    for (std::size_t i = bound.size(); i-- > 0;) {
      body = make_let(TreeForm::kMacroLet, place, bound[i].variable, bound[i].value, body);
    }
    return body;
  }
  void macro_argument(const Binder& parameter, const Place& written, Frame* frame,
                      std::vector<Bound>& bound) {
    const Place argument = resolve(written);
    if (parameter.uses < 2 || is_free(argument)) return bind(parameter, frame, {.argument = written});
    Tree* value = expand(written, {});
    Variable* made = variable(parameter, value->type, frame);
    made->span = value->span;
    bound.push_back({made, value, 0});
    bind(parameter, frame, {.variable = made});
  }
  // Ends the expansion: there may be very many more.
  [[gnu::noinline]] Tree* too_many_macros(const Chain& chain, const Place& place) {
    std::string names;
    for (const Chain* link = &chain; link; link = link->outer) {
      names =
          names.empty() ? std::string(link->macro->name) : fmt::format("{} -> {}", link->macro->name, names);
    }
    diagnostics_.add(fmt::format("macros expand into macros more than {} deep: {}", kMaxMacroDepth, names),
                     span(place));
    diagnostics_.raise_if_any();
    return wrong(place);
  }

  // A call of a lambda by its name. Names and lambdas take the place of the parameters, other arguments are
  // bound to them.
  Tree* inline_call(const Place& lambda, const Place& place, ir::Annotations annotations) {
    count(place);
    const Ast& ast = *lambda.ast;
    if (place.ast->parts.size() != ast.bindings.size() + 1) {
      return wrong_arity(place, "the function", ast.bindings.size());
    }
    if (++inline_depth_ > kMaxInlineDepth) {
      over_budget(fmt::format("functions call functions more than {} deep", kMaxInlineDepth), place);
    }
    Frame* frame = frame_of(lambda);
    std::vector<Bound> bound;
    for (std::size_t i = 0; i < ast.bindings.size(); ++i) {
      inline_argument(ast.bindings[i], {place.ast->parts[i + 1], place.frame}, frame, bound);
    }
    const bool has_lets = !bound.empty();
    Tree* body = expand({ast.parts[0], frame}, has_lets ? ir::Annotations{} : annotations);
    for (std::size_t i = bound.size(); i-- > 0;) {
      body = make_let(TreeForm::kLet, place, bound[i].variable, bound[i].value, body);
    }
    if (has_lets) body->annotations = annotations;
    --inline_depth_;
    return body;
  }
  void inline_argument(const BindingAst& parameter, const Place& written, Frame* frame,
                       std::vector<Bound>& bound) {
    const Place argument = resolve(written);
    if (Closure* closure = closure_of(argument)) {
      ++closure->num_uses;
      return bind(*parameter.binder, frame, {.closure = closure});
    }
    const Entry* entry = entry_of(argument);
    if (entry && entry->variable) {
      if (parameter.type) {
        InferredType* type = types_.written(parameter.type);
        types_.unify(type, entry->variable->type);
        expanded_.checks.push_back({entry->variable, type, span(written)});
      }
      return bind(*parameter.binder, frame, {.argument = written});
    }
    Tree* value = expand(written, {});
    if (parameter.type) value = ascribed(value, parameter.type, written);
    Variable* made = variable(*parameter.binder, value->type, frame);
    bound.push_back({made, value, 0});
    bind(*parameter.binder, frame, {.variable = made});
  }

  // Operators.
  Tree* cast(const Place& place, ir::Annotations outer) {
    Tree* value = part(place, 0);
    Tree* tree = make(TreeForm::kCast, place, outer, types_.unknown(), {value});
    types_.lanes_of(value->type, static_cast<ScalarKind>(place.ast->detail), tree->type);
    return tree;
  }
  Tree* unary(const Place& place, ir::Annotations outer, std::uint8_t op, Tree* value) {
    const bool is_test = static_cast<ir::UnaryOp>(op) == ir::UnaryOp::kIsNan;
    Tree* tree = make(TreeForm::kUnary, place, outer, is_test ? types_.unknown() : value->type, {value});
    tree->detail = op;
    if (is_test) types_.lanes_of(value->type, ScalarKind::kBool, tree->type);
    return tree;
  }
  Tree* binary(const Place& place, ir::Annotations outer, std::uint8_t op, Tree* left, Tree* right) {
    const auto binary_op = static_cast<ir::BinaryOp>(op);
    types_.unify(left->type, right->type);
    const bool is_logical = binary_op == ir::BinaryOp::kLogicalAnd || binary_op == ir::BinaryOp::kLogicalOr;
    if (is_logical) types_.unify(left->type, bool_);
    Tree* tree = make(TreeForm::kBinary, place, outer, left->type, {left, right});
    tree->detail = op;
    if (ir::is_comparison(binary_op)) {
      tree->type = types_.unknown();
      types_.lanes_of(left->type, ScalarKind::kBool, tree->type);
    }
    return tree;
  }

  // Values.
  Tree* structure(const Place& place, ir::Annotations outer) {
    const std::vector<Tree*> parts = parts_of(place);
    std::vector<InferredType*> members;
    for (const Tree* part : parts) members.push_back(part->type);
    return make(TreeForm::kStruct, place, outer, types_.make(InferredType::Form::kStruct, members), parts);
  }
  Tree* vector(const Place& place, ir::Annotations outer) {
    const std::vector<Tree*> parts = parts_of(place);
    InferredType* element = types_.unknown();
    for (const Tree* part : parts) types_.unify(element, part->type);
    Tree* tree = make(TreeForm::kVector, place, outer, vec(element), parts);
    tree->written = tree->type;
    return tree;
  }
  Tree* zip(const Place& place, ir::Annotations outer) {
    const std::vector<Tree*> parts = parts_of(place);
    std::vector<InferredType*> elements;
    for (const Tree* part : parts) {
      elements.push_back(types_.unknown());
      types_.unify(part->type, vec(elements.back()));
    }
    return make(TreeForm::kZip, place, outer, vec(types_.make(InferredType::Form::kStruct, elements)), parts);
  }
  Tree* broadcast(const Place& place, ir::Annotations outer) {
    Tree* value = part(place, 0);
    InferredType* simd = types_.make(InferredType::Form::kSimd, {value->type});
    simd->lanes = place.ast->index;
    Tree* tree = make(TreeForm::kBroadcast, place, outer, simd, {value});
    tree->index = place.ast->index;
    return tree;
  }
  Tree* deserialize(const Place& place, ir::Annotations outer) {
    InferredType* target = types_.written(place.ast->type);
    Tree* tree = make(TreeForm::kDeserialize, place, outer, target, {part(place, 0)});
    tree->written = target;
    return tree;
  }
  Tree* foreign_call(const Place& place, ir::Annotations outer) {
    InferredType* result = types_.written(place.ast->type);
    Tree* tree = make(TreeForm::kForeignCall, place, outer, result, parts_of(place));
    tree->written = result;
    return tree;
  }

  Tree* call_form(const Place& place, ir::Annotations outer) {
    const std::size_t index = place.ast->call_form->node_index;
    if (index == index_of<ir::Iterate>() || index == index_of<ir::Sort>() ||
        index == index_of<ir::PartialSort>()) {
      return higher_order(place, outer);
    }
    const std::vector<Tree*> parts = parts_of(place);
    return make(TreeForm::kCallForm, place, outer, type_of_call(index, parts), parts);
  }

  Tree* higher_order(const Place& place, ir::Annotations outer) {
    Tree* first = part(place, 0);
    const Ast* update = place.ast->parts[1];
    if (place.ast->call_form->node_index == index_of<ir::Iterate>()) {
      Tree* function_tree = function(update, place.frame, {first->type});
      types_.unify(value_of(function_tree, types_.unknown()), structure_of({first->type, bool_}));
      return make(TreeForm::kCallForm, place, outer, first->type, {first, function_tree});
    }
    InferredType* element = types_.unknown();
    types_.unify(first->type, vec(element));
    Tree* function_tree = function(update, place.frame, {element, element});
    if (function_tree->form == TreeForm::kLambda && function_tree->variables.size() == 2) {
      types_.unify(function_tree->parts[0]->type, i32_);
    }
    std::vector<Tree*> parts{first, function_tree};
    if (place.ast->call_form->node_index == index_of<ir::PartialSort>()) {
      parts.push_back(part(place, 2));
      types_.unify(parts.back()->type, i64_);
    }
    return make(TreeForm::kCallForm, place, outer, first->type, parts);
  }

  InferredType* type_of_call(std::size_t index, const std::vector<Tree*>& parts) {
    const auto type = [&](std::size_t i) { return parts[i]->type; };
    if (index == index_of<ir::Assert>()) {
      types_.unify(type(0), bool_);
      return bool_;
    }
    if (index == index_of<ir::If>() || index == index_of<ir::Select>()) {
      if (index == index_of<ir::If>()) types_.unify(type(0), bool_);
      types_.unify(type(1), type(2));
      return type(1);
    }
    if (index == index_of<ir::Variants>()) {
      types_.unify(type(0), type(1));
      return type(0);
    }
    if (index == index_of<ir::Length>()) return i64_;
    if (index == index_of<ir::Lookup>()) {
      InferredType* value = types_.unknown();
      types_.lookup(type(0), type(1), value);
      return value;
    }
    if (index == index_of<ir::OptLookup>() || index == index_of<ir::KeyExists>()) {
      InferredType* value = types_.unknown();
      types_.unify(type(0), dict(type(1), value));
      return index == index_of<ir::KeyExists>() ? bool_ : structure_of({bool_, value});
    }
    if (index == index_of<ir::Slice>()) {
      types_.unify(type(0), vec(types_.unknown()));
      types_.unify(type(1), i64_);
      types_.unify(type(2), i64_);
      return type(0);
    }
    if (index == index_of<ir::Serialize>()) return vec(types_.scalar(ScalarKind::kU8));
    if (index == index_of<ir::ToVec>()) {
      InferredType* key = types_.unknown();
      InferredType* value = types_.unknown();
      types_.unify(type(0), dict(key, value));
      return vec(structure_of({key, value}));
    }
    if (index == index_of<ir::Merge>() || index == index_of<ir::MergeMasked>()) {
      types_.merge(type(0), type(1));
      return type(0);
    }
    if (index == index_of<ir::ForLanes>()) return type(0);
    if (index == index_of<ir::AnyLane>()) return bool_;
    if (index == index_of<ir::Result>()) {
      InferredType* value = types_.unknown();
      types_.result(type(0), value);
      return value;
    }
    return types_.unknown();
  }

  // Builders and loops.
  Tree* new_builder(const Place& place, ir::Annotations outer) {
    InferredType* builder = types_.written(place.ast->type);
    const std::vector<Tree*> parts = parts_of(place);
    Tree* tree = make(TreeForm::kNewBuilder, place, outer, builder, parts);
    tree->written = builder;
    if (parts.empty()) return tree;
    InferredType* argument = parts.front()->type;
    switch (builder->form) {
      case InferredType::Form::kMerger:
        types_.unify(argument, builder->parts[0]);
        break;
      case InferredType::Form::kVecMerger:
        types_.unify(argument, vec(builder->parts[0]));
        break;
      case InferredType::Form::kDictMerger:
        types_.dictmerger_argument(argument, builder);
        break;
      default:
        types_.unify(argument, i64_);
    }
    return tree;
  }

  Tree* loop(const Place& place, ir::Annotations outer) {
    const Ast& ast = *place.ast;
    std::vector<Tree*> parts;
    const std::span<const IteratorAst> iterators = loop_iterators(place, parts);
    InferredType* element = element_of(iterators, parts);

    const bool has_lanes = ast.detail != 0;
    const std::size_t function_index = ast.parts.size() - (has_lanes ? 2 : 1);
    const Ast* builder_ast = ast.parts[function_index - 1];
    Tree* builder = expand({builder_ast, place.frame}, {});
    Tree* body = loop_function(place, builder_ast, ast.parts[function_index], builder->type, element);
    types_.unify(value_of(body, builder->type), builder->type);
    parts.push_back(builder);
    parts.push_back(body);
    if (has_lanes) parts.push_back(part(place, ast.parts.size() - 1));
    Tree* tree = make(TreeForm::kFor, place, outer, builder->type, parts);
    tree->iterators = iterators;
    return tree;
  }

  Tree* loop_function(const Place& place, const Ast* builder, const Ast* function_ast, InferredType* type,
                      InferredType* element) {
    std::vector<std::uint32_t> path;
    Variable* outer = path_of({builder, place.frame}, path);
    while (const Alias* alias = outer ? alias_of(outer, path) : nullptr) {
      path.erase(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(alias->path.size()));
      outer = alias->parameter;
    }
    Place lambda = resolve({function_ast, place.frame});
    const Closure* closure = closure_of(lambda);
    if (!outer || !closure || closure->lambda.ast->bindings.empty()) {
      return function(function_ast, place.frame, {type, i64_, element});
    }
    Alias* alias =
        pool_.make(Alias{.path = pool_.copy(std::span<const std::uint32_t>(path)), .next = outer->aliases});
    outer->aliases = alias;
    ++num_aliases_;
    Tree* tree = function(function_ast, place.frame, {type, i64_, element}, alias);
    --num_aliases_;
    outer->aliases = alias->next;
    if (alias->named_outer && alias->named_parameter) {
      diagnostics_.add(
          fmt::format("the loop's builder is named by its parameter {} and by its outer name in one "
                      "body: use one of them",
                      alias->parameter->name),
          alias->outer_span);
    }
    return tree;
  }

  // A macro's argument may be a zip: then the loop walks over its vectors, as if it were written there.
  std::span<const IteratorAst> loop_iterators(const Place& place, std::vector<Tree*>& parts) {
    const Ast& ast = *place.ast;
    if (ast.iterators.size() == 1 && ast.iterators[0].kind == ir::IteratorKind::kScalar &&
        ast.iterators[0].num_parts == 1 && ast.parts[0]->form == Form::kName) {
      const Place zipped = resolve({ast.parts[0], place.frame});
      if (zipped.ast->form == Form::kZip && zipped.ast->annotations.empty()) {
        parts = parts_of(zipped);
        const std::vector<IteratorAst> plain(parts.size(), {ir::IteratorKind::kScalar, 1});
        return pool_.copy(std::span<const IteratorAst>(plain));
      }
    }
    const std::size_t num_others = ast.detail != 0 ? 3 : 2;  // builder, function, lanes
    for (std::size_t i = 0; i + num_others < ast.parts.size(); ++i) parts.push_back(part(place, i));
    return ast.iterators;
  }

  InferredType* element_of(std::span<const IteratorAst> iterators, const std::vector<Tree*>& parts) {
    std::vector<InferredType*> elements;
    std::size_t next = 0;
    for (const IteratorAst& iterator : iterators) {
      const bool is_range = iterator.kind == ir::IteratorKind::kRange;
      const std::size_t bounds = next + (is_range ? 0 : 1);
      for (std::size_t i = bounds; i < next + iterator.num_parts; ++i) {
        types_.unify(parts[i]->type, i < bounds + 3 ? i64_ : vec(i64_));
      }
      if (is_range) {
        elements.push_back(i64_);
      } else {
        InferredType* element = types_.unknown();
        types_.unify(parts[next]->type, vec(element));
        const bool is_simd = iterator.kind == ir::IteratorKind::kSimd;
        elements.push_back(is_simd ? types_.make(InferredType::Form::kSimd, {element}) : element);
      }
      next += iterator.num_parts;
    }
    return elements.size() == 1 ? elements[0] : types_.make(InferredType::Form::kStruct, elements);
  }

  const ProgramAst& program_;
  const ir::Source& source_;
  Pool& pool_;
  ir::Arena& arena_;
  Unifier& types_;
  Diagnostics& diagnostics_;
  const ExpansionOptions& options_;
  InferredType* bool_;
  InferredType* i32_;
  InferredType* i64_;
  std::unordered_map<std::string_view, const MacroAst*> macros_;
  Expanded expanded_;
  std::uint32_t num_trees_ = 0;
  std::uint32_t depth_ = 0;
  std::uint32_t inline_depth_ = 0;
  std::uint32_t num_aliases_ = 0;
};

}  // namespace

Expanded expand_program(const ProgramAst& program, const ir::Source& source, Pool& pool, ir::Arena& arena,
                        Unifier& types, Diagnostics& diagnostics, const ExpansionOptions& options) {
  return Expansion(program, source, pool, arena, types, diagnostics, options).run();
}

}  // namespace weld::parser
