#include "parser/syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "ir/printer.h"
#include "parser/diagnostics.h"
#include "parser/functions.h"
#include "parser/lexer.h"
#include "parser/macros.h"

namespace weld::parser {
namespace {

using ir::BinaryOp;
using ir::ScalarKind;
using ir::UnaryOp;

constexpr std::uint32_t kMaxTypeSize = 100'000;  // parts of a type once aliases are replaced

struct Infix {
  Mark mark;
  BinaryOp op;
  int level;  // the higher, the tighter
  bool chains;
};
constexpr Infix kInfix[] = {
    {mark("||"), BinaryOp::kLogicalOr, 1, true}, {mark("&&"), BinaryOp::kLogicalAnd, 2, true},
    {mark("|"), BinaryOp::kBitOr, 3, true},      {mark("^"), BinaryOp::kXor, 4, true},
    {mark("&"), BinaryOp::kBitAnd, 5, true},     {mark("=="), BinaryOp::kEq, 6, false},
    {mark("!="), BinaryOp::kNe, 6, false},       {mark("<"), BinaryOp::kLt, 7, false},
    {mark(">"), BinaryOp::kGt, 7, false},        {mark("<="), BinaryOp::kLe, 7, false},
    {mark(">="), BinaryOp::kGe, 7, false},       {mark("<<"), BinaryOp::kShl, 8, true},
    {mark(">>"), BinaryOp::kShr, 8, true},       {mark("+"), BinaryOp::kAdd, 9, true},
    {mark("-"), BinaryOp::kSub, 9, true},        {mark("*"), BinaryOp::kMul, 10, true},
    {mark("/"), BinaryOp::kDiv, 10, true},       {mark("%"), BinaryOp::kRem, 10, true},
};

const Infix* find_infix(const Token& token) {
  if (token.kind != TokenKind::kMark) return nullptr;
  for (const Infix& infix : kInfix) {
    if (infix.mark == token.mark) return &infix;
  }
  return nullptr;
}

// What a keyword begins where an expression is expected.
enum class Leaf : std::uint8_t {
  kNone,
  kTrue,
  kFalse,
  kScalar,
  kFunction,
  kCallForm,
  kZip,
  kBroadcast,
  kDeserialize,
  kForeignCall,
  kFor,
  kBuilder,
};

struct Keywords {
  std::unordered_map<std::string_view, Leaf> leaves;
  std::unordered_map<std::string_view, ScalarKind> scalars;
  std::unordered_map<std::string_view, TypeAst::Form> builders;
  std::unordered_map<std::string_view, ir::IteratorKind> iterators;

  Keywords() {
    leaves = {{"true", Leaf::kTrue},
              {"false", Leaf::kFalse},
              {"zip", Leaf::kZip},
              {"broadcast", Leaf::kBroadcast},
              {"deserialize", Leaf::kDeserialize},
              {"cudf", Leaf::kForeignCall},
              {"for", Leaf::kFor},
              {"appender", Leaf::kBuilder},
              {"merger", Leaf::kBuilder},
              {"dictmerger", Leaf::kBuilder},
              {"groupmerger", Leaf::kBuilder},
              {"vecmerger", Leaf::kBuilder}};
    builders = {{"appender", TypeAst::Form::kAppender},
                {"merger", TypeAst::Form::kMerger},
                {"dictmerger", TypeAst::Form::kDictMerger},
                {"groupmerger", TypeAst::Form::kGroupMerger},
                {"vecmerger", TypeAst::Form::kVecMerger}};
    iterators = {{"iter", ir::IteratorKind::kScalar},
                 {"simditer", ir::IteratorKind::kSimd},
                 {"fringeiter", ir::IteratorKind::kFringe},
                 {"rangeiter", ir::IteratorKind::kRange},
                 {"nditer", ir::IteratorKind::kNd}};
    for (int i = 0; i < ir::kNumScalarKinds; ++i) {
      const auto kind = static_cast<ScalarKind>(i);
      scalars[ir::scalar_name(kind)] = kind;
      leaves[ir::scalar_name(kind)] = Leaf::kScalar;
    }
    for (const CallForm& form : call_forms()) leaves[form.keyword] = Leaf::kCallForm;
    for (const std::string_view name : {"exp", "log", "erf", "sqrt", "sin", "cos", "tan", "asin", "acos",
                                        "atan", "sinh", "cosh", "tanh", "min", "max", "pow"}) {
      leaves[name] = Leaf::kFunction;
    }
  }
};

const Keywords& keywords() {
  static const Keywords table;
  return table;
}

template <class Map>
const typename Map::mapped_type* lookup(const Map& map, const Token& token) {
  if (token.kind != TokenKind::kWord) return nullptr;
  const auto found = map.find(token.text);
  return found == map.end() ? nullptr : &found->second;
}

// Functions that recurse keep their frames small: lists are gathered on stacks of the parser, and messages
// are made in functions of their own.
class Syntax {
 public:
  Syntax(const ir::Source& source, Pool& pool, ir::Arena& arena, Diagnostics& diagnostics,
         const SyntaxOptions& options)
      : lexer_(source), pool_(pool), arena_(arena), diagnostics_(diagnostics), options_(options) {
    advance();
  }

  ProgramAst program() {
    ProgramAst program;
    while (token_.is_word("type")) alias();
    while (token_.is_word("macro")) program.macros.push_back(macro());
    if (token_.is_word("type")) reject("type aliases come before macros", span(token_));
    num_slots_ = 0;
    program.body = expression();
    program.num_slots = num_slots_;
    if (token_.kind != TokenKind::kEnd) expected("the end of the program");
    check_names();
    return program;
  }

 private:
  // Tokens.
  void advance() {
    last_end_ = token_.end;
    token_ = lexer_.next();
  }
  bool accept(Mark mark) {
    if (!token_.is(mark)) return false;
    advance();
    return true;
  }
  void expect(Mark mark) {
    if (!accept(mark)) expected_mark(mark);
  }
  // One bar; takes the first half of `||`.
  void expect_bar() {
    if (token_.is(mark("||"))) {
      token_.mark = mark("|");
      token_.text.remove_prefix(1);
      ++token_.begin;
    } else {
      expect(mark("|"));
    }
  }
  Token expect_name(const char* what) {
    if (token_.kind != TokenKind::kWord || ir::is_keyword(token_.text)) expected(what);
    const Token name = token_;
    advance();
    return name;
  }
  ir::Span span(const Token& token) const { return lexer_.span(token.begin, token.end); }
  ir::Span span(const Ast* ast) const { return lexer_.span(ast->begin, ast->end); }

  [[noreturn, gnu::noinline]] void expected_mark(Mark mark) {
    const char text[] = {'\'', static_cast<char>(mark & 0xff), static_cast<char>(mark >> 8), '\0'};
    expected(std::string(text) + "'");
  }
  [[noreturn, gnu::noinline]] void expected(std::string_view what) {
    const bool long_token = token_.text.size() > 40;
    const std::string found = token_.kind == TokenKind::kEnd
                                  ? "the end of the program"
                                  : fmt::format("'{}{}'", token_.text.substr(0, 40), long_token ? "…" : "");
    throw ir::UserError(fmt::format("expected {}, found {}", what, found), span(token_));
  }
  [[noreturn, gnu::noinline]] void reject(std::string message, ir::Span where) {
    throw ir::UserError(std::move(message), where);
  }
  [[noreturn, gnu::noinline]] void too_deep(ir::Span where) {
    throw ir::UserError(fmt::format("expressions are nested more than {} deep", kMaxNesting), where,
                        ErrorCode::kBudgetExceeded);
  }
  [[noreturn, gnu::noinline]] void too_large(ir::Span where) {
    throw ir::UserError(fmt::format("the program has more than {} nodes", ir::Arena::kMaxNodes), where,
                        ErrorCode::kBudgetExceeded);
  }

  // Nodes.
  Ast* make(Form form, std::uint32_t begin, std::span<Ast* const> parts) {
    if (++num_nodes_ > ir::Arena::kMaxNodes) too_large(lexer_.span(begin, last_end_));
    std::uint32_t depth = 0;
    for (const Ast* part : parts) depth = std::max(depth, part->depth);
    Ast* ast = pool_.make(Ast{.form = form, .begin = begin, .end = last_end_, .depth = depth + 1});
    ast->parts = pool_.copy(parts);
    if (ast->depth > kMaxNesting) too_deep(span(ast));
    return ast;
  }
  Ast* make(Form form, std::uint32_t begin, std::initializer_list<Ast*> parts = {}) {
    return make(form, begin, std::span(parts.begin(), parts.size()));
  }
  // The parts gathered since `base`, which are taken off.
  std::span<Ast* const> gathered(std::size_t base) const { return std::span(parts_).subspan(base); }
  void drop(std::size_t base) { parts_.resize(base); }

  // Names.
  Binder* declare(const Token& name) {
    if (++num_nodes_ > ir::Arena::kMaxNodes) too_large(span(name));
    Binder* binder = pool_.make(Binder{name.text, name.begin, name.end, level_, num_slots_++});
    Binder*& current = names_[name.text];
    hidden_.emplace_back(name.text, current);
    current = binder;
    return binder;
  }
  void leave_scope(std::size_t base) {
    while (hidden_.size() > base) {
      names_[hidden_.back().first] = hidden_.back().second;
      hidden_.pop_back();
    }
  }

  // Declarations before the expression.
  void alias() {
    advance();
    const Token name = expect_name("a name for the type");
    expect(mark("="));
    const TypeAst* meaning = type();
    expect(mark(";"));
    if (!aliases_.emplace(name.text, meaning).second) {
      diagnostics_.add(fmt::format("type {} is defined twice", name.text), span(name));
    }
  }

  const MacroAst* macro() {
    advance();
    const Token name = expect_name("a name for the macro");
    expect(mark("("));
    level_ = 0;
    num_slots_ = 0;
    std::vector<Binder*> parameters;
    while (!token_.is(mark(")"))) {
      const Token parameter = expect_name("a name for the parameter");
      const auto same = [&](const Binder* other) { return other->name == parameter.text; };
      if (std::ranges::any_of(parameters, same)) {
        diagnostics_.add(fmt::format("parameter {} is named twice", parameter.text), span(parameter));
      }
      parameters.push_back(declare(parameter));
      if (!accept(mark(","))) break;
    }
    expect(mark(")"));
    expect(mark("="));
    Ast* body = expression();
    expect(mark(";"));
    leave_scope(0);
    if (!macros_.insert(name.text).second) {
      diagnostics_.add(fmt::format("macro {} is defined twice", name.text), span(name));
    }
    return pool_.make(MacroAst{name.text, pool_.copy(std::span<Binder* const>(parameters)), body, num_slots_,
                               options_.standard_macros});
  }

  bool is_global(std::string_view name) const {
    return macros_.contains(name) || find_function(name) ||
           (!options_.standard_macros && find_standard_macro(name));
  }
  // Names that no scope binds must be macros or functions; which are all known only now.
  void check_names() {
    for (const Ast* name : unbound_) {
      if (!is_global(name->text)) diagnostics_.add(fmt::format("undefined name {}", name->text), span(name));
    }
  }

  // Types.
  TypeAst* make_type(TypeAst::Form form, std::size_t base) {
    TypeAst* type = pool_.make(TypeAst{.form = form});
    type->parts = pool_.copy(std::span<const TypeAst* const>(type_parts_).subspan(base));
    type_parts_.resize(base);
    for (const TypeAst* part : type->parts) {
      type->size += part->size;
      type->depth = std::max(type->depth, part->depth + 1);
    }
    check_type_size(type);
    return type;
  }
  void check_type_size(const TypeAst* type) {
    if (type->depth > ir::kMaxTypeDepth || type->size > kMaxTypeSize) bad_type_size();
    if ((num_nodes_ += 1) > ir::Arena::kMaxNodes) too_large(lexer_.span(last_end_, last_end_));
  }
  [[noreturn, gnu::noinline]] void bad_type_size() {
    throw ir::UserError(fmt::format("a type is nested more than {} deep or has more than {} parts",
                                    ir::kMaxTypeDepth, kMaxTypeSize),
                        lexer_.span(last_end_ > 0 ? last_end_ - 1 : 0, last_end_),
                        ErrorCode::kBudgetExceeded);
  }

  const TypeAst* type() {
    if (++type_nesting_ > ir::kMaxTypeDepth) bad_type_size();
    const ir::Annotations annotations = annotation();
    TypeAst* made = bare_type();
    if (!annotations.empty()) made->annotations = joined(made->annotations, annotations);
    --type_nesting_;
    return made;
  }

  TypeAst* bare_type() {
    const std::size_t base = type_parts_.size();
    if (accept(mark("?"))) return make_type(TypeAst::Form::kOmitted, base);
    if (accept(mark("{"))) {
      while (!token_.is(mark("}"))) {
        type_parts_.push_back(type());
        if (!accept(mark(","))) break;
      }
      expect(mark("}"));
      return make_type(TypeAst::Form::kStruct, base);
    }
    if (token_.kind != TokenKind::kWord) expected("a type");
    if (const ScalarKind* scalar = lookup(keywords().scalars, token_)) {
      advance();
      TypeAst* made = make_type(TypeAst::Form::kScalar, base);
      made->scalar = *scalar;
      return made;
    }
    if (const TypeAst::Form* builder = lookup(keywords().builders, token_)) {
      advance();
      return builder_type(*builder);
    }
    if (token_.is_word("vec")) {
      advance();
      expect(mark("["));
      type_parts_.push_back(type());
      expect(mark("]"));
      return make_type(TypeAst::Form::kVec, base);
    }
    if (token_.is_word("dict")) {
      advance();
      expect(mark("["));
      type_parts_.push_back(type());
      expect(mark(","));
      type_parts_.push_back(type());
      expect(mark("]"));
      return make_type(TypeAst::Form::kDict, base);
    }
    if (token_.is_word("simd")) return simd_type();
    const auto alias = aliases_.find(token_.text);
    if (alias == aliases_.end()) undefined_type();
    advance();
    TypeAst* copy = pool_.make(*alias->second);
    check_type_size(copy);
    return copy;
  }

  [[noreturn, gnu::noinline]] void undefined_type() {
    if (ir::is_keyword(token_.text)) expected("a type");
    reject(fmt::format("undefined type {}", token_.text), span(token_));
  }

  TypeAst* simd_type() {
    advance();
    expect(mark("["));
    const ScalarKind* scalar = lookup(keywords().scalars, token_);
    if (!scalar) expected("a scalar type");
    advance();
    TypeAst* made = make_type(TypeAst::Form::kSimd, type_parts_.size());
    made->scalar = *scalar;
    if (options_.internal && accept(mark(","))) {
      if (token_.kind != TokenKind::kInteger || token_.bits == 0 || token_.bits > 1024) {
        expected("a number of lanes");
      }
      made->lanes = static_cast<std::uint32_t>(token_.bits);
      advance();
    }
    expect(mark("]"));
    return made;
  }

  // What follows the keyword of a builder; the element of an appender may be omitted.
  TypeAst* builder_type(TypeAst::Form form) {
    const std::size_t base = type_parts_.size();
    if (form == TypeAst::Form::kAppender && !token_.is(mark("["))) {
      type_parts_.push_back(make_type(TypeAst::Form::kOmitted, base));
      return make_type(form, base);
    }
    expect(mark("["));
    type_parts_.push_back(type());
    const bool has_key = form == TypeAst::Form::kDictMerger || form == TypeAst::Form::kGroupMerger;
    if (has_key) {
      expect(mark(","));
      type_parts_.push_back(type());
    }
    ir::MergeOp op = ir::MergeOp::kAdd;
    if (form != TypeAst::Form::kAppender && form != TypeAst::Form::kGroupMerger) {
      expect(mark(","));
      op = merge_op();
    }
    expect(mark("]"));
    TypeAst* made = make_type(form, base);
    made->op = op;
    return made;
  }

  ir::MergeOp merge_op() {
    for (const ir::MergeOp op :
         {ir::MergeOp::kAdd, ir::MergeOp::kMul, ir::MergeOp::kMin, ir::MergeOp::kMax}) {
      if (token_.text == ir::merge_op_name(op)) {
        advance();
        return op;
      }
    }
    expected("one of + * min max");
  }

  // Annotations.
  ir::Annotations annotation() {
    if (!token_.is(mark("@"))) return {};
    return written_annotation();
  }
  [[gnu::noinline]] ir::Annotations written_annotation() {
    std::vector<ir::Annotation> found;
    while (accept(mark("@"))) {
      expect(mark("("));
      do {
        if (token_.is(mark(")")) && !found.empty()) break;
        if (token_.kind != TokenKind::kWord) expected("the key of an annotation");
        ir::Annotation next{.key = arena_.keep(token_.text)};
        advance();
        expect(mark(":"));
        const std::uint32_t begin = token_.begin;
        if (token_.kind == TokenKind::kWord) {
          next.value = arena_.keep(token_.text);
        } else if (token_.kind == TokenKind::kString) {
          next.kind = ir::Annotation::Kind::kString;
          next.value = arena_.keep(std::string_view(lexer_.unescape(token_)));
        } else {
          next.kind = ir::Annotation::Kind::kNumber;
          const bool negative = accept(mark("-"));
          if (token_.kind != TokenKind::kInteger && token_.kind != TokenKind::kFloat) {
            expected("a word, a number or a string");
          }
          next.value = arena_.keep(std::string_view((negative ? "-" : "") + std::string(token_.text)));
        }
        if (++num_nodes_ > ir::Arena::kMaxNodes) too_large(lexer_.span(begin, token_.end));
        advance();
        found.push_back(next);
      } while (accept(mark(",")));
      expect(mark(")"));
    }
    return arena_.keep(found);
  }
  // The last one of several annotations with one key counts: the outer ones come last.
  ir::Annotations joined(ir::Annotations inner, ir::Annotations outer) {
    if (inner.empty()) return outer;
    std::vector<ir::Annotation> all(inner.begin(), inner.end());
    all.insert(all.end(), outer.begin(), outer.end());
    return arena_.keep(all);
  }

  // Expressions.
  Ast* expression() {
    if (++nesting_ > kMaxNesting) too_deep(span(token_));
    const std::uint32_t begin = token_.begin;
    const std::size_t parts_base = parts_.size();
    const std::size_t bindings_base = bindings_.size();
    const std::size_t scope_base = hidden_.size();
    while (token_.is_word("let")) let();
    Ast* ast = token_.is(mark("|")) || token_.is(mark("||")) ? lambda() : operators();
    if (bindings_.size() > bindings_base) {
      parts_.push_back(ast);
      ast = block(begin, parts_base, bindings_base);
      leave_scope(scope_base);
    }
    --nesting_;
    return ast;
  }

  void let() {
    const std::uint32_t begin = token_.begin;
    advance();
    const Token name = expect_name("a name");
    const TypeAst* written = accept(mark(":")) ? type() : nullptr;
    expect(mark("="));
    Ast* value = expression();
    expect(mark(";"));
    parts_.push_back(value);
    bindings_.push_back({declare(name), written, begin});
  }

  Ast* block(std::uint32_t begin, std::size_t parts_base, std::size_t bindings_base) {
    std::uint32_t depth = parts_.back()->depth;
    for (std::size_t i = parts_base; i + 1 < parts_.size(); ++i)
      depth = std::max(depth, parts_[i]->depth + 1);
    if (depth > kMaxNesting) too_deep(lexer_.span(begin, last_end_));
    if (++num_nodes_ > ir::Arena::kMaxNodes) too_large(lexer_.span(begin, last_end_));
    Ast* ast = pool_.make(Ast{.form = Form::kBlock, .begin = begin, .end = last_end_, .depth = depth});
    ast->parts = pool_.copy(gathered(parts_base));
    ast->bindings = pool_.copy(std::span<const BindingAst>(bindings_).subspan(bindings_base));
    drop(parts_base);
    bindings_.resize(bindings_base);
    return ast;
  }

  Ast* lambda() {
    const std::uint32_t begin = token_.begin;
    const std::size_t bindings_base = bindings_.size();
    const std::size_t scope_base = hidden_.size();
    const std::uint32_t outer_slots = num_slots_;
    num_slots_ = 0;
    ++level_;
    if (token_.is(mark("||"))) {
      advance();
    } else {
      advance();
      while (!token_.is(mark("|")) && !token_.is(mark("||"))) {
        parameter(bindings_base);
        if (!accept(mark(","))) break;
      }
      expect_bar();
    }
    Ast* body = expression();
    Ast* ast = make(Form::kLambda, begin, {body});
    ast->bindings = pool_.copy(std::span<const BindingAst>(bindings_).subspan(bindings_base));
    ast->level = level_;
    ast->num_slots = num_slots_;
    bindings_.resize(bindings_base);
    leave_scope(scope_base);
    --level_;
    num_slots_ = outer_slots;
    return ast;
  }

  void parameter(std::size_t bindings_base) {
    const Token name = expect_name("a name for the parameter");
    for (std::size_t i = bindings_base; i < bindings_.size(); ++i) {
      if (bindings_[i].binder->name == name.text) named_twice(name);
    }
    const TypeAst* written = accept(mark(":")) ? type() : nullptr;
    bindings_.push_back({declare(name), written, name.begin});
  }
  [[gnu::noinline]] void named_twice(const Token& name) {
    diagnostics_.add(fmt::format("parameter {} is named twice", name.text), span(name));
  }

  // Operators by precedence, with stacks instead of a function for each level of the grammar.
  Ast* operators() {
    const std::size_t base = infix_.size();
    const std::size_t parts_base = parts_.size();
    for (;;) {
      parts_.push_back(operand());
      const Infix* infix = find_infix(token_);
      while (infix_.size() > base && (!infix || infix_.back()->level >= infix->level)) {
        if (infix && infix_.back()->level == infix->level && !infix->chains) not_associative();
        reduce();
      }
      if (!infix) break;
      infix_.push_back(infix);
      advance();
    }
    Ast* ast = parts_.back();
    drop(parts_base);
    return ast;
  }
  [[noreturn, gnu::noinline]] void not_associative() {
    reject("comparisons do not associate: use parentheses", span(token_));
  }
  void reduce() {
    Ast* right = parts_.back();
    parts_.pop_back();
    Ast* left = parts_.back();
    const std::uint32_t end = right->end;
    Ast* ast = make(Form::kBinary, left->begin, {left, right});
    ast->end = end;
    ast->detail = static_cast<std::uint8_t>(infix_.back()->op);
    infix_.pop_back();
    parts_.back() = ast;
  }

  // Prefix operators, what they apply to, and a type after it.
  Ast* operand() {
    const std::size_t base = prefixes_.size();
    while (token_.is(mark("-")) || token_.is(mark("!"))) {
      prefixes_.push_back(token_);
      advance();
    }
    const bool minus = prefixes_.size() > base && prefixes_.back().is(mark("-"));
    const bool number = token_.kind == TokenKind::kInteger || token_.kind == TokenKind::kFloat;
    Ast* ast = minus && number ? negative_number() : leaf();
    while (token_.is(mark("(")) || token_.is(mark("."))) ast = token_.is(mark("(")) ? call(ast) : field(ast);
    while (prefixes_.size() > base) {
      const Token prefix = prefixes_.back();
      prefixes_.pop_back();
      ast = make(Form::kUnary, prefix.begin, {ast});
      ast->detail = static_cast<std::uint8_t>(prefix.is(mark("-")) ? UnaryOp::kNeg : UnaryOp::kNot);
    }
    return token_.is(mark(":")) ? ascribed(ast) : ast;
  }

  Ast* ascribed(Ast* value) {
    advance();
    const TypeAst* written = type();
    Ast* ast = make(Form::kAscribed, value->begin, {value});
    ast->depth = value->depth;
    ast->type = written;
    return ast;
  }

  Ast* call(Ast* callee) {
    const std::size_t base = parts_.size();
    parts_.push_back(callee);
    arguments(mark("("), mark(")"));
    Ast* ast = make(Form::kCall, callee->begin, gathered(base));
    drop(base);
    return ast;
  }

  Ast* field(Ast* value) {
    advance();
    const std::string_view digits = token_.text.substr(std::min<std::size_t>(1, token_.text.size()));
    std::uint32_t index = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (token_.kind != TokenKind::kWord || token_.text[0] != '$' || error != std::errc{} ||
        stop != digits.data() + digits.size()) {
      expected("a field, $ and digits");
    }
    advance();
    Ast* ast = make(Form::kField, value->begin, {value});
    ast->index = index;
    return ast;
  }

  // Pushes the expressions between brackets, both of which are taken.
  void arguments(Mark open, Mark close) {
    expect(open);
    while (!token_.is(close)) {
      parts_.push_back(expression());
      if (!accept(mark(","))) break;
    }
    expect(close);
  }

  Ast* leaf() {
    if (!token_.is(mark("@"))) return bare_leaf();
    const std::uint32_t begin = token_.begin;
    const ir::Annotations annotations = annotation();
    Ast* ast = bare_leaf();
    // The annotation of a value with its type in parentheses is the value's.
    Ast* annotated = ast;
    while (annotated->form == Form::kAscribed) annotated = annotated->parts[0];
    annotated->annotations = joined(annotated->annotations, annotations);
    ast->begin = begin;
    return ast;
  }

  Ast* bare_leaf() {
    switch (token_.kind) {
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return positive_number();
      case TokenKind::kString:
        return string();
      case TokenKind::kWord:
        return ir::is_keyword(token_.text) || is_lane_form(token_) ? keyword() : name();
      case TokenKind::kMark:
        if (token_.is(mark("("))) return parenthesised();
        if (token_.is(mark("["))) return list(Form::kVector, mark("["), mark("]"));
        if (token_.is(mark("{"))) return list(Form::kStruct, mark("{"), mark("}"));
        break;
      case TokenKind::kEnd:
        break;
    }
    expected("an expression");
  }

  Ast* parenthesised() {
    const std::uint32_t begin = token_.begin;
    advance();
    Ast* ast = expression();
    expect(mark(")"));
    ast->begin = begin;
    ast->end = last_end_;
    return ast;
  }

  Ast* list(Form form, Mark open, Mark close) {
    const std::uint32_t begin = token_.begin;
    const std::size_t base = parts_.size();
    arguments(open, close);
    Ast* ast = make(form, begin, gathered(base));
    drop(base);
    return ast;
  }

  Ast* name() {
    const Token name = token_;
    advance();
    Ast* ast = make(Form::kName, name.begin);
    ast->text = name.text;
    const auto found = names_.find(name.text);
    ast->binder = found == names_.end() ? nullptr : found->second;
    if (ast->binder)
      ++ast->binder->uses;
    else
      unbound_.push_back(ast);
    return ast;
  }

  Ast* string() {
    const Token token = token_;
    advance();
    Ast* ast = make(Form::kString, token.begin);
    ast->text = kept(lexer_.unescape(token));
    return ast;
  }
  std::string_view kept(const std::string& text) {
    const std::span<char> copy = pool_.copy(std::span<const char>(text));
    return {copy.data(), copy.size()};
  }

  // Numbers. The most negative integer is one past the largest: its sign belongs to it.
  Ast* positive_number() {
    const Token token = token_;
    advance();
    return number(token, token.begin, false);
  }
  Ast* negative_number() {
    const Token token = token_;
    if (token.kind == TokenKind::kInteger && !ir::is_signed(token.scalar)) return positive_number();
    const std::uint32_t begin = prefixes_.back().begin;
    prefixes_.pop_back();
    advance();
    return number(token, begin, true);
  }
  Ast* number(const Token& token, std::uint32_t begin, bool negative) {
    Ast* ast = make(Form::kLiteral, begin);
    const int width = ir::bit_width(token.scalar);
    ast->literal = {token.scalar, token.bits};
    if (token.kind == TokenKind::kFloat) {
      if (negative) ast->literal.bits ^= std::uint64_t{1} << (width - 1);
      return ast;
    }
    const int value_bits = ir::is_signed(token.scalar) ? width - 1 : width;
    const std::uint64_t largest = ~std::uint64_t{0} >> (64 - value_bits);
    if (token.too_large || token.bits > largest + (negative ? 1 : 0)) bad_integer(token);
    if (negative) ast->literal.bits = (0 - token.bits) & (~std::uint64_t{0} >> (64 - width));
    return ast;
  }
  [[noreturn, gnu::noinline]] void bad_integer(const Token& token) {
    reject(fmt::format("the number does not fit {}", ir::scalar_name(token.scalar)), span(token));
  }

  Ast* keyword() {
    const Leaf* leaf = lookup(keywords().leaves, token_);
    switch (leaf ? *leaf : Leaf::kNone) {
      case Leaf::kNone:
        break;
      case Leaf::kTrue:
      case Leaf::kFalse:
        return boolean(*leaf == Leaf::kTrue);
      case Leaf::kScalar:
        return scalar();
      case Leaf::kFunction:
        return function();
      case Leaf::kCallForm:
        return call_form();
      case Leaf::kZip:
        return zip();
      case Leaf::kBroadcast:
        return broadcast();
      case Leaf::kDeserialize:
        return deserialize();
      case Leaf::kForeignCall:
        return foreign_call();
      case Leaf::kFor:
        return loop();
      case Leaf::kBuilder:
        return builder();
    }
    expected("an expression");
  }

  Ast* boolean(bool value) {
    const Token token = token_;
    advance();
    Ast* ast = make(Form::kLiteral, token.begin);
    ast->literal = ir::ScalarValue::of(value);
    return ast;
  }

  Ast* scalar() {
    const Token token = token_;
    const ScalarKind kind = keywords().scalars.at(token.text);
    advance();
    if (options_.internal && token_.is(mark("["))) return float_bits(token, kind);
    Ast* ast = fixed_call(Form::kCast, token, 1);
    ast->detail = static_cast<std::uint8_t>(kind);
    return ast;
  }
  Ast* float_bits(const Token& token, ScalarKind kind) {
    advance();
    const bool fits = token_.kind == TokenKind::kInteger && !token_.too_large &&
                      (kind == ScalarKind::kF64 || token_.bits <= UINT32_MAX);
    if (!ir::is_float(kind) || !fits) expected("the bits of a float");
    const std::uint64_t bits = token_.bits;
    advance();
    expect(mark("]"));
    Ast* ast = make(Form::kLiteral, token.begin);
    ast->literal = {kind, bits};
    return ast;
  }

  // keyword(…) with so many arguments; the keyword is taken.
  Ast* fixed_call(Form form, const Token& keyword, std::size_t arity) {
    const std::size_t base = parts_.size();
    arguments(mark("("), mark(")"));
    if (parts_.size() - base != arity) bad_arity(keyword, arity, parts_.size() - base);
    Ast* ast = make(form, keyword.begin, gathered(base));
    drop(base);
    return ast;
  }
  [[noreturn, gnu::noinline]] void bad_arity(const Token& keyword, std::size_t arity, std::size_t given) {
    reject(fmt::format("{} takes {} argument{}, but {} {} given", keyword.text, arity, arity == 1 ? "" : "s",
                       given, given == 1 ? "is" : "are"),
           lexer_.span(keyword.begin, last_end_));
  }

  Ast* function() {
    const Token token = token_;
    advance();
    const NamedFunction* found = find_function(token.text);
    Ast* ast = fixed_call(found->is_unary ? Form::kUnary : Form::kBinary, token, found->is_unary ? 1 : 2);
    ast->detail = found->op;
    return ast;
  }

  Ast* call_form() {
    const Token token = token_;
    advance();
    const std::size_t base = parts_.size();
    arguments(mark("("), mark(")"));
    const CallForm* form = form_of(token, parts_.size() - base);
    Ast* ast = make(Form::kCallForm, token.begin, gathered(base));
    ast->call_form = form;
    drop(base);
    return ast;
  }
  // Words of internal text that programs may bind; the printer does not bind them.
  bool is_lane_form(const Token& token) const { return options_.internal && ir::is_lane_form(token.text); }
  static bool is_internal(const CallForm& form) {
    return form.node_index == ir::Node(ir::MergeMasked{}).index() ||
           form.node_index == ir::Node(ir::PartialSort{}).index() ||
           form.node_index == ir::Node(ir::Variants{}).index();
  }
  const CallForm* form_of(const Token& keyword, std::size_t given) {
    const CallForm* first = nullptr;
    for (const CallForm& form : call_forms()) {
      if (form.keyword != keyword.text) continue;
      if (is_internal(form) && !options_.internal) continue;
      if (form.arity == given) return &form;
      if (!first) first = &form;
    }
    bad_arity(keyword, first->arity, given);
  }

  Ast* zip() {
    const Token token = token_;
    advance();
    const std::size_t base = parts_.size();
    arguments(mark("("), mark(")"));
    return zip_value(token, base);
  }
  Ast* zip_value(const Token& keyword, std::size_t base) {
    if (parts_.size() - base < 2) bad_zip(keyword);
    Ast* ast = make(Form::kZip, keyword.begin, gathered(base));
    drop(base);
    return ast;
  }
  [[noreturn, gnu::noinline]] void bad_zip(const Token& keyword) {
    reject("zip takes two vectors or more", lexer_.span(keyword.begin, last_end_));
  }

  Ast* broadcast() {
    const Token token = token_;
    std::uint32_t lanes = 4;
    advance();
    if (options_.internal && accept(mark("["))) {
      if (token_.kind != TokenKind::kInteger || token_.bits == 0 || token_.bits > 64)
        expected("a number of lanes");
      lanes = static_cast<std::uint32_t>(token_.bits);
      advance();
      expect(mark("]"));
    }
    Ast* ast = fixed_call(Form::kBroadcast, token, 1);
    ast->index = lanes;
    return ast;
  }

  Ast* deserialize() {
    const Token token = token_;
    advance();
    expect(mark("["));
    const TypeAst* target = type();
    expect(mark("]"));
    Ast* ast = fixed_call(Form::kDeserialize, token, 1);
    ast->type = target;
    return ast;
  }

  Ast* foreign_call() {
    const std::uint32_t begin = token_.begin;
    advance();
    expect(mark("["));
    if (token_.kind != TokenKind::kWord) expected("the name of a function");
    const std::string_view symbol = token_.text;
    advance();
    expect(mark(","));
    const TypeAst* result = type();
    expect(mark("]"));
    const std::size_t base = parts_.size();
    arguments(mark("("), mark(")"));
    Ast* ast = make(Form::kForeignCall, begin, gathered(base));
    drop(base);
    ast->text = symbol;
    ast->type = result;
    return ast;
  }

  Ast* builder() {
    const Token token = token_;
    const TypeAst::Form form = keywords().builders.at(token.text);
    advance();
    const TypeAst* made = builder_type(form);
    const bool needs_argument = form == TypeAst::Form::kVecMerger;
    const bool takes_argument = form != TypeAst::Form::kGroupMerger || options_.internal;
    Ast* ast = needs_argument || (takes_argument && token_.is(mark("(")))
                   ? fixed_call(Form::kNewBuilder, token, 1)
                   : make(Form::kNewBuilder, token.begin);
    ast->type = made;
    return ast;
  }

  Ast* loop() {
    const std::uint32_t begin = token_.begin;
    bool has_lanes = false;
    advance();
    expect(mark("("));
    const std::size_t base = parts_.size();
    const std::size_t iterators_base = iterators_.size();
    iterators();
    expect(mark(","));
    parts_.push_back(expression());
    expect(mark(","));
    parts_.push_back(expression());
    if (accept(mark(",")) && options_.internal && !token_.is(mark(")"))) {
      parts_.push_back(expression());
      has_lanes = true;
      accept(mark(","));
    }
    expect(mark(")"));
    Ast* ast = make(Form::kFor, begin, gathered(base));
    ast->detail = has_lanes ? 1 : 0;
    ast->iterators = pool_.copy(std::span<const IteratorAst>(iterators_).subspan(iterators_base));
    drop(base);
    iterators_.resize(iterators_base);
    return ast;
  }

  void iterators() {
    if (!token_.is_word("zip")) return iterator();
    const Token token = token_;
    const std::size_t base = parts_.size();
    const std::size_t iterators_base = iterators_.size();
    advance();
    expect(mark("("));
    while (!token_.is(mark(")"))) {
      iterator();
      if (!accept(mark(","))) break;
    }
    expect(mark(")"));
    if (parts_.size() == base) bad_zip(token);
    if (token_.is(mark(":")) || token_.is(mark("."))) zip_expression(token, base, iterators_base);
  }
  // `zip(…) : type` or `zip(…).…`: what was read is one vector after all.
  void zip_expression(const Token& keyword, std::size_t base, std::size_t iterators_base) {
    for (std::size_t i = iterators_base; i < iterators_.size(); ++i) {
      if (iterators_[i].kind != ir::IteratorKind::kScalar || iterators_[i].num_parts != 1) {
        reject("iterators with a kind or bounds stand in the zip of a for only",
               lexer_.span(keyword.begin, last_end_));
      }
    }
    iterators_.resize(iterators_base);
    Ast* ast = zip_value(keyword, base);
    while (token_.is(mark("."))) ast = field(ast);
    if (token_.is(mark(":"))) ast = ascribed(ast);
    parts_.push_back(ast);
    iterators_.push_back({ir::IteratorKind::kScalar, 1});
  }

  void iterator() {
    const ir::IteratorKind* kind = lookup(keywords().iterators, token_);
    if (!kind) {
      parts_.push_back(expression());
      iterators_.push_back({ir::IteratorKind::kScalar, 1});
      return;
    }
    const Token token = token_;
    advance();
    const std::size_t base = parts_.size();
    arguments(mark("("), mark(")"));
    const std::size_t given = parts_.size() - base;
    const bool is_range = *kind == ir::IteratorKind::kRange;
    const bool fits =
        is_range ? given == 3 : given == 1 || given == 4 || (given == 6 && *kind == ir::IteratorKind::kNd);
    if (!fits) bad_iterator(token, *kind, given);
    iterators_.push_back({*kind, static_cast<std::uint32_t>(given)});
  }
  [[noreturn, gnu::noinline]] void bad_iterator(const Token& keyword, ir::IteratorKind kind,
                                                std::size_t given) {
    const char* arity = kind == ir::IteratorKind::kRange ? "3" : "1 or 4";
    if (kind == ir::IteratorKind::kNd) arity = "1, 4 or 6";
    reject(fmt::format("{} takes {} arguments, but {} {} given", keyword.text, arity, given,
                       given == 1 ? "is" : "are"),
           lexer_.span(keyword.begin, last_end_));
  }

  Lexer lexer_;
  Pool& pool_;
  ir::Arena& arena_;
  Diagnostics& diagnostics_;
  const SyntaxOptions& options_;
  Token token_;
  std::uint32_t last_end_ = 0;  // of the token before

  std::uint32_t nesting_ = 0;
  std::uint32_t type_nesting_ = 0;
  std::uint32_t num_nodes_ = 0;
  std::uint32_t level_ = 0;
  std::uint32_t num_slots_ = 0;

  std::unordered_map<std::string_view, const TypeAst*> aliases_;
  std::unordered_set<std::string_view> macros_;
  std::unordered_map<std::string_view, Binder*> names_;       // innermost binder; null when none
  std::vector<std::pair<std::string_view, Binder*>> hidden_;  // what was bound before
  std::vector<const Ast*> unbound_;

  // What is gathered for the nodes on the way.
  std::vector<Ast*> parts_;
  std::vector<BindingAst> bindings_;
  std::vector<IteratorAst> iterators_;
  std::vector<const TypeAst*> type_parts_;
  std::vector<const Infix*> infix_;
  std::vector<Token> prefixes_;
};

}  // namespace

ProgramAst parse_syntax(const ir::Source& source, Pool& pool, ir::Arena& arena, Diagnostics& diagnostics,
                        const SyntaxOptions& options) {
  return Syntax(source, pool, arena, diagnostics, options).program();
}

}  // namespace weld::parser
