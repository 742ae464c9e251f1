#include "ir/printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/fields.h"

namespace weld::ir {
namespace {

// How tightly the place of an expression binds: it is put into parentheses where it binds less tightly
// itself. Between kFull and kUnary are the infix operators, by their level in the grammar.
enum Precedence : int {
  kStatement = -1,  // a whole line of its own: bodies
  kFull = 0,        // whatever the grammar calls `expr`
  kOr = 1,
  kAnd,
  kBitOr,
  kXor,
  kBitAnd,
  kEquality,
  kComparison,
  kShift,
  kSum,
  kProduct,
  kUnary = 12,
  kPostfix = 13,
  kLeaf = 14,
};

Precedence precedence_of(BinaryOp op) {
  switch (op) {
    case BinaryOp::kLogicalOr:
      return kOr;
    case BinaryOp::kLogicalAnd:
      return kAnd;
    case BinaryOp::kBitOr:
      return kBitOr;
    case BinaryOp::kXor:
      return kXor;
    case BinaryOp::kBitAnd:
      return kBitAnd;
    case BinaryOp::kEq:
    case BinaryOp::kNe:
      return kEquality;
    case BinaryOp::kLt:
    case BinaryOp::kGt:
    case BinaryOp::kLe:
    case BinaryOp::kGe:
      return kComparison;
    case BinaryOp::kShl:
    case BinaryOp::kShr:
      return kShift;
    case BinaryOp::kAdd:
    case BinaryOp::kSub:
      return kSum;
    case BinaryOp::kMul:
    case BinaryOp::kDiv:
    case BinaryOp::kRem:
      return kProduct;
    default:
      return kLeaf;
  }
}

bool is_associative(Precedence precedence) {
  return precedence != kEquality && precedence != kComparison;
}

bool is_negative(const ScalarValue& value) {
  return dispatch(value.kind, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_floating_point_v<T>) {
      return std::isfinite(value.as<T>()) && std::signbit(value.as<T>());
    } else {
      return value.as<T>() < T{0};
    }
  });
}

Precedence precedence_of(Expr expr) {
  Precedence own = kLeaf;
  if (const auto* literal = expr.as<Literal>())
    own = is_negative(literal->value) ? kUnary : kLeaf;
  else if (expr.is<Let>() || expr.is<Lambda>())
    own = kFull;
  else if (const auto* unary = expr.as<Unary>())
    own = unary->op == UnaryOp::kNeg || unary->op == UnaryOp::kNot ? kUnary : kLeaf;
  else if (const auto* binary = expr.as<Binary>())
    own = precedence_of(binary->op);
  else if (expr.is<GetField>() || expr.is<Apply>())
    own = kPostfix;
  if (expr.annotations().empty()) return own;
  return kLeaf;  // the annotation stands before a leaf: it brings its own parentheses
}

template <class Float>
std::string float_text(Float value, std::string_view suffix) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text.append(suffix);
}

std::string literal_text(const ScalarValue& value) {
  switch (value.kind) {
    case ScalarKind::kI8:
      return fmt::format("{}c", value.as<std::int8_t>());
    case ScalarKind::kI16:
      return fmt::format("{}si", value.as<std::int16_t>());
    case ScalarKind::kI32:
      return fmt::format("{}", value.as<std::int32_t>());
    case ScalarKind::kI64:
      return fmt::format("{}L", value.as<std::int64_t>());
    case ScalarKind::kU8:
      return fmt::format("{}uc", value.as<std::uint8_t>());
    case ScalarKind::kU16:
      return fmt::format("{}usi", value.as<std::uint16_t>());
    case ScalarKind::kU32:
      return fmt::format("{}u", value.as<std::uint32_t>());
    case ScalarKind::kU64:
      return fmt::format("{}ul", value.as<std::uint64_t>());
    case ScalarKind::kF32:
      if (!std::isfinite(value.as<float>())) return fmt::format("f32[{:#x}]", value.bits);
      return float_text(value.as<float>(), "f");
    case ScalarKind::kF64:
      if (!std::isfinite(value.as<double>())) return fmt::format("f64[{:#x}]", value.bits);
      return float_text(value.as<double>(), "");
    case ScalarKind::kBool:
      break;
  }
  return value.as<bool>() ? "true" : "false";
}

std::string quoted(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      text += "\\n";
    else if (c == '\t')
      text += "\\t";
    else if (c == '\r')
      text += "\\r";
    else if (c == '\0')
      text += "\\0";
    else if (c == '"' || c == '\\')
      text.append({'\\', c});
    else if (byte < 0x20 || byte >= 0x7f)
      text += fmt::format("\\x{:02x}", byte);
    else
      text += c;
  }
  return text + '"';
}

std::string annotation_text(Annotations annotations) {
  if (annotations.empty()) return {};
  std::string text = "@(";
  for (const Annotation& annotation : annotations) {
    if (text.size() > 2) text += ", ";
    text.append(annotation.key).append(":");
    text += annotation.kind == Annotation::Kind::kString ? quoted(annotation.value)
                                                         : std::string(annotation.value);
  }
  return text + ") ";
}

// `to_string` of a type leaves strings in annotations as they are: a program needs them quoted. Recurses over
// types only (kMaxTypeDepth).
void append_type(std::string& text, Type type);

void append_types(std::string& text, std::span<const Type> types) {
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (i > 0) text += ',';
    append_type(text, types[i]);
  }
}

struct TypeText {
  std::string& text;

  void operator()(const ScalarType& type) const { text += scalar_name(type.kind); }
  void operator()(const VecType& type) const { call("vec[", type.element); }
  void operator()(const SimdType& type) const {
    text.append("simd[").append(scalar_name(type.kind));
    if (type.lanes != 4) text.append(",").append(std::to_string(type.lanes));
    text += ']';
  }
  void operator()(const DictType& type) const { call("dict[", type.key, type.value); }
  void operator()(const StructType& type) const {
    text += '{';
    append_types(text, type.members);
    text += '}';
  }
  void operator()(const AppenderType& type) const { call("appender[", type.element); }
  void operator()(const MergerType& type) const { call("merger[", type.value, type.op); }
  void operator()(const DictMergerType& type) const { call("dictmerger[", type.key, type.value, type.op); }
  void operator()(const GroupMergerType& type) const { call("groupmerger[", type.key, type.value); }
  void operator()(const VecMergerType& type) const { call("vecmerger[", type.element, type.op); }
  void operator()(const FunctionType& type) const {
    text += '|';
    append_types(text, type.parameters);
    text += "| ";
    append_type(text, type.result);
  }

  template <class... Parts>
  void call(std::string_view open, const Parts&... parts) const {
    text += open;
    (add(parts), ...);
    text.back() = ']';
  }
  void add(Type type) const {
    append_type(text, type);
    text += ',';
  }
  void add(MergeOp op) const { text.append(merge_op_name(op)).append(","); }
};

void append_type(std::string& text, Type type) {
  text += annotation_text(type.annotations());
  std::visit(TypeText{text}, type.record().node);
}

std::string type_text(Type type) {
  std::string text;
  append_type(text, type);
  return text;
}

bool is_annotated(Type type) {
  return type_text(type).find('@') != std::string::npos;
}

bool is_predeclared(std::string_view word) {
  static const std::unordered_set<std::string_view> words = [] {
    std::unordered_set<std::string_view> names;
    for (int i = static_cast<int>(UnaryOp::kExp2); i < kNumUnaryOps; ++i) {
      names.insert(op_name(static_cast<UnaryOp>(i)));
    }
    for (int i = static_cast<int>(BinaryOp::kAtan2); i < kNumBinaryOps; ++i) {
      names.insert(op_name(static_cast<BinaryOp>(i)));
    }
    return names;
  }();
  return words.contains(word);
}

// A name that a program may bind, as near as possible to the author's.
std::string bindable(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
    const bool digit = c >= '0' && c <= '9';
    if (digit && text.empty()) text += '_';
    text += letter || digit ? c : '_';
  }
  if (text.empty()) return "x";
  if (is_keyword(text) || is_predeclared(text) || is_lane_form(text)) text += '_';
  return text;
}

enum class Style { kReadable, kCanonical };

// Gives each symbol a name that no other symbol in scope has.
class Names {
 public:
  Names(Expr root, Style style) : style_(style) {
    for (const Parameter& free : free_symbols(root)) take(free.symbol, unused(bindable(free.symbol.name())));
  }

  const std::string& bind(Symbol symbol) {
    if (style_ == Style::kReadable) return take(symbol, unused(bindable(symbol.name())));
    std::string name;
    do name = fmt::format("x{}", ++num_bound_);
    while (used_.contains(name));
    return take(symbol, std::move(name));
  }
  void unbind(Symbol symbol) {
    if (style_ == Style::kReadable) used_.erase(names_.at(symbol.id()));
  }
  const std::string& of(Symbol symbol) const { return names_.at(symbol.id()); }

 private:
  const std::string& take(Symbol symbol, std::string name) {
    used_.insert(name);
    return names_[symbol.id()] = std::move(name);
  }
  std::string unused(std::string name) {
    if (!used_.contains(name)) return name;
    std::uint64_t& last = last_suffix_.try_emplace(name, 1).first->second;
    std::string numbered;
    do numbered = fmt::format("{}_{}", name, ++last);
    while (used_.contains(numbered));
    return numbered;
  }

  Style style_;
  std::unordered_map<std::uint64_t, std::string> names_;
  std::unordered_set<std::string> used_;
  std::unordered_map<std::string, std::uint64_t> last_suffix_;
  std::uint64_t num_bound_ = 0;
};

// Prints from a stack of what is still to be written, so that nothing recurses.
class Printer {
 public:
  Printer(Expr root, Style style) : names_(root, style), style_(style) {}

  std::string print(Expr root) {
    todo_.push_back({.kind = Item::Kind::kExpr, .expr = root, .precedence = kStatement});
    while (!todo_.empty()) {
      const Item item = std::move(todo_.back());
      todo_.pop_back();
      switch (item.kind) {
        case Item::Kind::kText:
          if (item.text.starts_with('\n')) {
            while (text_.ends_with(' ')) text_.pop_back();
          }
          text_ += item.text;
          break;
        case Item::Kind::kUnbind:
          names_.unbind(item.symbol);
          break;
        case Item::Kind::kExpr:
          indent_ = item.indent;
          expand(item.expr, item.precedence);
          std::ranges::reverse(pieces_);
          std::ranges::move(pieces_, std::back_inserter(todo_));
          pieces_.clear();
          break;
      }
    }
    return std::move(text_);
  }

 private:
  static constexpr std::uint32_t kLineNodes = 24;  // larger bodies and calls go over several lines

  struct Item {
    enum class Kind : std::uint8_t { kText, kExpr, kUnbind };
    Kind kind = Kind::kText;
    std::string text = {};
    Expr expr = {};
    int precedence = kFull;
    int indent = 0;
    Symbol symbol = {};
  };

  void text(std::string text) { pieces_.push_back({.text = std::move(text)}); }
  void child(Expr expr, int precedence) {
    pieces_.push_back({.kind = Item::Kind::kExpr, .expr = expr, .precedence = precedence, .indent = indent_});
  }
  void unbind(Symbol symbol) { pieces_.push_back({.kind = Item::Kind::kUnbind, .symbol = symbol}); }
  void line() {
    text(style_ == Style::kCanonical ? " " : "\n" + std::string(static_cast<std::size_t>(indent_), ' '));
  }

  static bool fits_line(Expr expr) {
    if (expr.record().num_nodes > kLineNodes) return false;
    bool fits = true;
    walk(
        expr,
        [&](Expr part) {
          fits = fits && !part.is<Let>() && !part.is<For>();
          return fits;
        },
        [](Expr) {});
    return fits;
  }

  void expand(Expr expr, int place) {
    const bool annotated = !expr.annotations().empty();
    if (annotated) {
      text(annotation_text(expr.annotations()));
      place = kLeaf;
    }
    const int own = annotated ? own_precedence(expr) : precedence_of(expr);
    if (own < place) {
      text("(");
      node(expr, kFull);
      text(")");
    } else {
      node(expr, place);
    }
  }

  // Without the annotation, which is already written.
  static int own_precedence(Expr expr) {
    ExprRecord bare = expr.record();
    bare.annotations = {};
    return precedence_of(Expr(&bare));
  }

  void node(Expr expr, int place) {
    std::visit([&](const auto& n) { write(n, expr, place); }, expr.record().node);
  }

  // keyword(a, b, …): every node without notation of its own.
  template <class N>
  void write(const N& n, Expr expr, int) {
    arguments(std::string(N::kKeyword), expr, false);
  }
  void arguments(std::string head, Expr expr, bool lines) {
    text(std::move(head) + "(");
    separated(expr, lines);
    text(")");
  }
  void separated(Expr expr, bool lines) {
    bool first = true;
    indent_ += lines ? 2 : 0;
    for_each_child(expr, [&](Expr part) {
      if (!first) text(lines ? "," : ", ");
      if (lines && (!first || style_ == Style::kReadable)) line();
      first = false;
      child(part, kFull);
    });
    indent_ -= lines ? 2 : 0;
  }

  void write(const If& n, Expr expr, int) { arguments(std::string(If::kKeyword), expr, !fits_line(expr)); }

  void write(const Literal& n, Expr, int) { text(literal_text(n.value)); }
  void write(const StringLiteral& n, Expr, int) { text(quoted(n.bytes)); }
  void write(const Ident& n, Expr, int) { text(names_.of(n.symbol)); }

  void write(const Let& n, Expr, int place) {
    if (place != kStatement && style_ == Style::kReadable) {
      indent_ += 2;
      line();
    }
    text(fmt::format("let {} = ", names_.bind(n.symbol)));
    child(n.value, kFull);
    text(";");
    line();
    child(n.body, kStatement);
    unbind(n.symbol);
  }

  void write(const Lambda& n, Expr, int) {
    std::string head = "|";
    for (const Parameter& parameter : n.parameters) {
      if (head.size() > 1) head += ", ";
      head.append(names_.bind(parameter.symbol)).append(": ");
      append_type(head, parameter.type);
    }
    text(head + "|");
    if (fits_line(n.body)) {
      text(" ");
      child(n.body, kFull);
    } else {
      indent_ += 2;
      line();
      child(n.body, kStatement);
    }
    for (const Parameter& parameter : n.parameters) unbind(parameter.symbol);
  }

  void write(const Apply& n, Expr, int) {
    // An annotation before a name and a call would be read as the call's.
    const bool wrapped = !n.function.annotations().empty();
    if (wrapped) text("(");
    child(n.function, wrapped ? static_cast<int>(kFull) : static_cast<int>(kPostfix));
    text(wrapped ? ")(" : "(");
    list(n.arguments);
    text(")");
  }
  void list(std::span<const Expr> exprs) {
    for (std::size_t i = 0; i < exprs.size(); ++i) {
      if (i > 0) text(", ");
      child(exprs[i], kFull);
    }
  }

  void write(const Cast& n, Expr expr, int) { arguments(std::string(scalar_name(n.kind)), expr, false); }

  void write(const Unary& n, Expr expr, int) {
    if (n.op != UnaryOp::kNeg && n.op != UnaryOp::kNot) {
      return arguments(std::string(op_name(n.op)), expr, false);
    }
    text(std::string(op_name(n.op)));
    // `-1` is a literal: the negation of a literal is `-(1)`.
    if (n.value.is<Literal>()) {
      text("(");
      child(n.value, kFull);
      text(")");
    } else {
      child(n.value, kUnary);
    }
  }

  void write(const Binary& n, Expr expr, int) {
    if (!is_infix(n.op)) return arguments(std::string(op_name(n.op)), expr, false);
    const Precedence own = precedence_of(n.op);
    child(n.left, is_associative(own) ? own : own + 1);
    text(fmt::format(" {} ", op_name(n.op)));
    child(n.right, own + 1);
  }

  void write(const MakeStruct& n, Expr, int) {
    text("{");
    list(n.members);
    text("}");
  }
  void write(const MakeVector& n, Expr expr, int place) {
    std::string ascription;
    if (n.elements.empty() || is_annotated(n.element)) ascription = " : vec[" + type_text(n.element) + "]";
    ascribed(place, ascription, [&] {
      text("[");
      list(n.elements);
      text("]");
    });
  }
  // A type written after a new vector or builder is that of the node itself.
  template <class F>
  void ascribed(int place, const std::string& ascription, F&& write_value) {
    const bool wrapped = !ascription.empty() && place >= kUnary;
    if (wrapped) text("(");
    write_value();
    text(ascription);
    if (wrapped) text(")");
  }

  void write(const GetField& n, Expr, int) {
    child(n.value, kPostfix);
    text(fmt::format(".${}", n.index));
  }
  void write(const Broadcast& n, Expr expr, int) {
    arguments(n.lanes == 4 ? "broadcast" : fmt::format("broadcast[{}]", n.lanes), expr, false);
  }
  void write(const Deserialize& n, Expr expr, int) {
    arguments("deserialize[" + type_text(n.target) + "]", expr, false);
  }
  void write(const ForeignCall& n, Expr expr, int) {
    arguments(fmt::format("cudf[{},{}]", n.name, type_text(n.result)), expr, false);
  }
  void write(const NewBuilder& n, Expr expr, int place) {
    std::string head;
    std::visit(TypeText{head}, n.builder.record().node);
    ascribed(place, n.builder.annotations().empty() ? "" : " : " + type_text(n.builder), [&] {
      if (n.argument)
        arguments(head, expr, false);
      else
        text(head);
    });
  }

  void write(const For& n, Expr expr, int) {
    const auto fits = [](const Iterator& iterator) { return !iterator.data || fits_line(iterator.data); };
    const bool lines = expr.record().num_nodes > kLineNodes || !fits_line(n.function) ||
                       !fits_line(n.builder) || !std::ranges::all_of(n.iterators, fits);
    const auto next = [&](std::string_view separator) {
      text(std::string(separator));
      if (lines && (style_ == Style::kReadable || !separator.empty()))
        line();
      else if (!separator.empty())
        text(" ");
    };
    text("for(");
    indent_ += lines ? 2 : 0;
    next("");
    if (n.iterators.size() > 1) text("zip(");
    for (std::size_t i = 0; i < n.iterators.size(); ++i) {
      if (i > 0) text(", ");
      write(n.iterators[i]);
    }
    if (n.iterators.size() > 1) text(")");
    next(",");
    child(n.builder, kFull);
    next(",");
    child(n.function, kFull);
    if (n.lanes) {
      next(",");
      child(n.lanes, kFull);
    }
    indent_ -= lines ? 2 : 0;
    text(")");
  }

  void write(const Iterator& it) {
    static constexpr std::string_view kKeywords[] = {"iter", "simditer", "fringeiter", "rangeiter", "nditer"};
    // A plain vector stands for itself, except `zip(…)`, which would be read as several iterators.
    if (it.kind == IteratorKind::kScalar && !it.start && !it.data.is<Zip>()) return child(it.data, kFull);
    text(fmt::format("{}(", kKeywords[static_cast<std::size_t>(it.kind)]));
    bool first = true;
    for (const Expr part : {it.data, it.start, it.end, it.stride, it.shape, it.strides}) {
      if (!part) continue;
      if (!first) text(", ");
      first = false;
      child(part, kFull);
    }
    text(")");
  }

  Names names_;
  Style style_;
  std::string text_;
  std::vector<Item> todo_;
  std::vector<Item> pieces_;
  int indent_ = 0;
};

}  // namespace

std::string print(Expr expr) {
  return Printer(expr, Style::kReadable).print(expr);
}

std::string print_canonical(Expr expr) {
  return Printer(expr, Style::kCanonical).print(expr);
}

bool is_lane_form(std::string_view word) {
  return word == Variants::kKeyword || word == Gather::kKeyword || word == LookupLanes::kKeyword ||
         word == OptLookupLanes::kKeyword || word == AnyLane::kKeyword || word == MapLanes::kKeyword ||
         word == ForLanes::kKeyword;
}

bool is_keyword(std::string_view word) {
  static const std::unordered_set<std::string_view> words = {
      "if",       "for",        "zip",       "len",        "lookup",      "optlookup", "keyexists", "slice",
      "sort",     "select",     "broadcast", "serialize",  "deserialize", "iterate",   "cudf",      "iter",
      "simditer", "fringeiter", "rangeiter", "nditer",     "merge",       "result",    "let",       "true",
      "false",    "macro",      "type",      "assert",     "tovec",       "min",       "max",       "pow",
      "simd",     "exp",        "log",       "erf",        "sqrt",        "sin",       "cos",       "tan",
      "asin",     "acos",       "atan",      "sinh",       "cosh",        "tanh",      "vec",       "dict",
      "appender", "merger",     "vecmerger", "dictmerger", "groupmerger", "i8",        "i16",       "i32",
      "i64",      "u8",         "u16",       "u32",        "u64",         "f32",       "f64",       "bool"};
  return words.contains(word);
}

}  // namespace weld::ir
