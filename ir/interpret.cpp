#include "ir/interpret.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <unordered_map>
#include <utility>

#include "ir/builder_state.h"
#include "ir/reduction_order.h"
#include "ir/scalar_eval.h"
#include "ir/typing.h"

namespace weld::ir {
namespace {

struct Failure {
  RunError error;
};

[[noreturn]] void fail(ErrorCode code, Span span, std::string message = {}) {
  if (message.empty()) message = error_summary(code);
  throw Failure{{code, span, std::move(message)}};
}

// Passes counts on to the host while the run lasts.
class HostAccount : public ByteAccount {
 public:
  explicit HostAccount(Host& host) : host_(&host) {}
  bool count(std::int64_t delta) noexcept override { return !host_ || host_->count_bytes(delta); }
  void detach() { host_ = nullptr; }

 private:
  Host* host_;
};

// One iterator of a loop, checked: the element of each iteration.
struct Walk {
  IteratorKind kind = IteratorKind::kScalar;
  VectorValue data;
  std::int64_t count = 0;
  std::int64_t start = 0;
  std::int64_t stride = 1;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;

  Value at(std::int64_t i) const {
    switch (kind) {
      case IteratorKind::kScalar:
      case IteratorKind::kFringe:
        return data[start + i * stride];
      case IteratorKind::kRange:
        return Value::of<std::int64_t>(start + i * stride);
      case IteratorKind::kSimd: {
        std::vector<ScalarValue> lanes;
        for (std::int64_t lane = 0; lane < 4; ++lane) lanes.push_back(data[start + 4 * i + lane].scalar());
        return Value::simd(std::move(lanes));
      }
      case IteratorKind::kNd:
        break;
    }
    std::int64_t position = start;
    for (std::size_t axis = shape.size(); axis-- > 0; i /= shape[axis]) {
      position += i % shape[axis] * strides[axis];
    }
    return data[position];
  }
};

std::vector<std::int64_t> integers(const Value& value) {
  std::vector<std::int64_t> all;
  const VectorValue& vector = value.vector();
  for (std::int64_t i = 0; i < vector.length; ++i) all.push_back(vector[i].as<std::int64_t>());
  return all;
}

bool holds(BinaryOp op, std::partial_ordering order) {
  switch (op) {
    case BinaryOp::kEq:
      return order == 0;
    case BinaryOp::kNe:
      return order != 0;
    case BinaryOp::kLt:
      return order < 0;
    case BinaryOp::kGt:
      return order > 0;
    case BinaryOp::kLe:
      return order <= 0;
    default:
      return order >= 0;
  }
}

class Interpreter {
 public:
  Interpreter(Host& host, std::shared_ptr<ByteAccount> account) : host_(host), account_(std::move(account)) {}

  Value run(Expr program, std::span<const Value> arguments) {
    const auto* lambda = program.as<Lambda>();
    if (!lambda) {
      internal_check(arguments.empty(), "a bare expression takes no arguments");
      return evaluate(program);
    }
    internal_check(arguments.size() == lambda->parameters.size(),
                   "a program gets one argument per parameter");
    return apply(*lambda, {arguments.begin(), arguments.end()});
  }

  Span current_span() const { return current_ ? current_.span() : Span(); }

 private:
  using Lanes = std::vector<ScalarValue>;

  Value evaluate(Expr expr) {
    if (++depth_ > kMaxInterpreterDepth)
      fail(ErrorCode::kBudgetExceeded, expr.span(), "functions are applied too deep inside each other");
    const Expr chain = expr;
    for (; const auto* let = expr.as<Let>(); expr = let->body) bind(*let);
    current_ = expr;
    Value value = std::visit([&](const auto& node) { return visit(node, expr); }, expr.record().node);
    for (Expr bound = chain; const auto* let = bound.as<Let>(); bound = let->body) unbind(let->symbol);
    --depth_;
    return value;
  }

  [[gnu::noinline]] void bind(const Let& let) {
    if (const auto* lambda = let.value.as<Lambda>())
      functions_[let.symbol.id()] = lambda;
    else
      values_[let.symbol.id()] = evaluate(let.value);
  }
  void bind(Symbol symbol, Value value) { values_[symbol.id()] = std::move(value); }
  void unbind(Symbol symbol) {
    if (const auto found = values_.find(symbol.id()); found != values_.end()) found->second = Value();
  }

  Value apply(const Lambda& lambda, std::vector<Value> arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      bind(lambda.parameters[i].symbol, std::move(arguments[i]));
    }
    Value value = evaluate(lambda.body);
    for (const Parameter& parameter : lambda.parameters) unbind(parameter.symbol);
    return value;
  }

  // Called once an iteration of anything.
  void tick(Span span) {
    constexpr std::uint32_t kTicksPerPoll = 1024;
    if (++ticks_ % kTicksPerPoll != 0) return;
    if (const ErrorCode code = host_.poll(); code != ErrorCode::kSuccess) fail(code, span);
  }

  std::shared_ptr<VectorStorage> make_storage(Type element) const {
    return std::make_shared<VectorStorage>(element, account_);
  }
  static Value whole(std::shared_ptr<const VectorStorage> storage) {
    const std::int64_t length = storage->length();
    return VectorValue{std::move(storage), 0, length};
  }

  Value visit(const Literal& node, Expr) { return node.value; }

  Value visit(const StringLiteral& node, Expr) { return Value::string(node.bytes); }

  Value visit(const Ident& node, Expr) {
    const auto found = values_.find(node.symbol.id());
    internal_check(found != values_.end(), "a symbol is used in its scope");
    return found->second;
  }

  Value visit(const Let&, Expr) {
    internal_check(false, "let is handled by evaluate");
    return {};
  }
  Value visit(const Lambda&, Expr) {
    internal_check(false, "a lambda is not a value");
    return {};
  }

  Value visit(const Apply& node, Expr) {
    std::vector<Value> arguments;
    const auto* lambda = node.function.as<Lambda>();
    if (const auto* ident = node.function.as<Ident>()) {
      const auto found = functions_.find(ident->symbol.id());
      internal_check(found != functions_.end(), "a function is applied in its scope");
      lambda = found->second;
    }
    internal_check(lambda != nullptr, "only lambdas are applied");
    for (Expr argument : node.arguments) arguments.push_back(evaluate(argument));
    return apply(*lambda, std::move(arguments));
  }

  // Applies `f` to a scalar, or lane by lane.
  template <class F>
  static Value map_lanes(const Value& value, F&& f) {
    if (!value.is_simd()) return f(value.scalar());
    Lanes lanes;
    for (ScalarValue lane : value.lanes()) lanes.push_back(f(lane));
    return Value::simd(std::move(lanes));
  }

  Value visit(const Cast& node, Expr) {
    return map_lanes(evaluate(node.value), [&](ScalarValue value) { return convert(node.kind, value); });
  }

  Value visit(const Unary& node, Expr) {
    return map_lanes(evaluate(node.value), [&](ScalarValue value) { return ir::evaluate(node.op, value); });
  }

  Value visit(const Binary& node, Expr expr) {
    const Value left = evaluate(node.left);
    if (node.op == BinaryOp::kLogicalAnd && !left.as<bool>()) return left;
    if (node.op == BinaryOp::kLogicalOr && left.as<bool>()) return left;
    const Value right = evaluate(node.right);
    const auto scalars = [&](ScalarValue l, ScalarValue r) {
      const auto result = ir::evaluate(node.op, l, r);
      if (!result) fail(ErrorCode::kArithmeticError, expr.span());
      return *result;
    };
    if (left.is_scalar()) return scalars(left.scalar(), right.scalar());
    if (!left.is_simd()) return Value::of<bool>(holds(node.op, compare(left, right)));
    Lanes lanes;
    for (std::size_t i = 0; i < left.lanes().size(); ++i) {
      lanes.push_back(scalars(left.lanes()[i], right.lanes()[i]));
    }
    return Value::simd(std::move(lanes));
  }

  Value visit(const Assert& node, Expr expr) {
    const Value condition = evaluate(node.condition);
    if (!condition.as<bool>()) fail(ErrorCode::kAssertionError, expr.span());
    return condition;
  }

  Value visit(const Broadcast& node, Expr expr) {
    return Value::simd(Lanes(expr.type().as<SimdType>()->lanes, evaluate(node.value).scalar()));
  }

  Value visit(const If& node, Expr) {
    const bool condition = evaluate(node.condition).as<bool>();
    return evaluate(condition ? node.on_true : node.on_false);
  }

  Value visit(const Variants& node, Expr) { return evaluate(node.first); }

  Value visit(const Select& node, Expr) {
    const Value condition = evaluate(node.condition);
    Value on_true = evaluate(node.on_true);
    Value on_false = evaluate(node.on_false);
    if (!condition.is_simd()) return condition.as<bool>() ? on_true : on_false;
    Lanes lanes;
    for (std::size_t i = 0; i < condition.lanes().size(); ++i) {
      lanes.push_back(condition.lanes()[i].as<bool>() ? on_true.lanes()[i] : on_false.lanes()[i]);
    }
    return Value::simd(std::move(lanes));
  }

  Value visit(const Iterate& node, Expr expr) {
    Value state = evaluate(node.initial);
    const Lambda& update = *node.update.as<Lambda>();
    for (bool again = true; again;) {
      tick(expr.span());
      const Value next = apply(update, {std::move(state)});
      state = next.members()[0];
      again = next.members()[1].as<bool>();
    }
    return state;
  }

  Value visit(const MakeStruct& node, Expr) {
    std::vector<Value> members;
    for (Expr member : node.members) members.push_back(evaluate(member));
    return Value::structure(std::move(members));
  }

  Value visit(const MakeVector& node, Expr) {
    auto storage = make_storage(node.element);
    storage->reserve(static_cast<std::int64_t>(node.elements.size()));
    for (Expr element : node.elements) storage->push(evaluate(element));
    return whole(std::move(storage));
  }

  Value visit(const GetField& node, Expr) { return evaluate(node.value).members()[node.index]; }

  Value visit(const Zip& node, Expr expr) {
    std::vector<VectorValue> vectors;
    for (Expr vector : node.vectors) vectors.push_back(evaluate(vector).vector());
    for (const VectorValue& vector : vectors) {
      if (vector.length != vectors[0].length) fail(ErrorCode::kMismatchedZipSize, expr.span());
    }
    auto storage = make_storage(expr.type().as<VecType>()->element);
    const std::int64_t length = vectors.empty() ? 0 : vectors[0].length;
    storage->reserve(length);
    for (std::int64_t i = 0; i < length; ++i) {
      tick(expr.span());
      std::vector<Value> members;
      for (const VectorValue& vector : vectors) members.push_back(vector[i]);
      storage->push(Value::structure(std::move(members)));
    }
    return whole(std::move(storage));
  }

  Value visit(const Length& node, Expr) {
    const Value value = evaluate(node.value);
    return Value::of<std::int64_t>(
        value.is_vector() ? value.vector().length : static_cast<std::int64_t>(value.dict().entries().size()));
  }

  Value visit(const Lookup& node, Expr expr) {
    const Value container = evaluate(node.container);
    const Value key = evaluate(node.key);
    if (container.is_vector()) {
      const auto index = key.as<std::int64_t>();
      const VectorValue& vector = container.vector();
      if (index < 0 || index >= vector.length) {
        fail(ErrorCode::kArrayOutOfBounds, expr.span(),
             fmt::format("index {} is out of range for a vector of length {}", index, vector.length));
      }
      return vector[index];
    }
    const auto found = container.dict().find(key);
    if (!found) fail(ErrorCode::kKeyNotFoundError, expr.span());
    return container.dict().entries()[*found].value;
  }

  Value visit(const OptLookup& node, Expr expr) {
    const Value dict = evaluate(node.dict);
    const auto found = dict.dict().find(evaluate(node.key));
    if (found) return Value::structure({Value::of(true), dict.dict().entries()[*found].value});
    return Value::structure({Value::of(false), zero_value(expr.type().as<StructType>()->members[1])});
  }

  Value visit(const KeyExists& node, Expr) {
    const Value dict = evaluate(node.dict);
    return Value::of(dict.dict().find(evaluate(node.key)).has_value());
  }

  Value visit(const Slice& node, Expr expr) {
    const Value value = evaluate(node.vector);
    const auto start = evaluate(node.start).as<std::int64_t>();
    const auto count = evaluate(node.count).as<std::int64_t>();
    const VectorValue& vector = value.vector();
    if (start < 0 || start > vector.length || count < 0) {
      fail(ErrorCode::kArrayOutOfBounds, expr.span(),
           fmt::format("slice of {} elements from {} on of a vector of length {}", count, start,
                       vector.length));
    }
    return vector.slice(start, std::min(count, vector.length - start));
  }

  // Merges sorted runs of 1, 2, 4, … elements: stable, and within bounds whatever the comparator says.
  template <class Less>
  static void merge_sort(std::vector<Value>& elements, Less&& less) {
    std::vector<Value> merged(elements.size());
    for (std::size_t run = 1; run < elements.size(); run *= 2) {
      for (std::size_t first = 0; first < elements.size(); first += 2 * run) {
        const std::size_t middle = std::min(first + run, elements.size());
        const std::size_t last = std::min(first + 2 * run, elements.size());
        std::size_t left = first;
        std::size_t right = middle;
        for (std::size_t out = first; out < last; ++out) {
          const bool take_right = left == middle || (right < last && less(elements[right], elements[left]));
          merged[out] = std::move(elements[take_right ? right++ : left++]);
        }
      }
      std::swap(elements, merged);
    }
  }

  Value visit(const Sort& node, Expr expr) { return sorted(evaluate(node.vector), node.function, expr); }

  Value visit(const PartialSort& node, Expr expr) {
    const Value vector = evaluate(node.vector);
    const auto count = evaluate(node.count).as<std::int64_t>();
    if (count < 0) fail(ErrorCode::kArrayOutOfBounds, expr.span());
    const Value all = sorted(vector, node.function, expr);
    return all.vector().slice(0, std::min(count, all.vector().length));
  }

  Value sorted(const Value& value, Expr order, Expr expr) {
    const VectorValue& vector = value.vector();
    const Lambda& function = *order.as<Lambda>();
    auto storage = make_storage(expr.type().as<VecType>()->element);
    storage->reserve(vector.length);
    std::vector<Value> elements;
    for (std::int64_t i = 0; i < vector.length; ++i) elements.push_back(vector[i]);
    if (function.parameters.size() == 2) {
      merge_sort(elements, [&](const Value& left, const Value& right) {
        tick(expr.span());
        return apply(function, {left, right}).as<std::int32_t>() < 0;
      });
      for (const Value& element : elements) storage->push(element);
      return whole(std::move(storage));
    }
    for (Value& element : elements) {
      tick(expr.span());
      const Value key = apply(function, {element});
      element = Value::structure({key, element});
    }
    merge_sort(elements, [&](const Value& left, const Value& right) {
      tick(expr.span());
      return compare_keys(left.members()[0], right.members()[0]) < 0;
    });
    for (const Value& element : elements) storage->push(element.members()[1]);
    return whole(std::move(storage));
  }

  Value visit(const Serialize& node, Expr expr) {
    const std::vector<std::byte> bytes = serialize_value(evaluate(node.value));
    auto storage = make_storage(expr.type().as<VecType>()->element);
    storage->reserve(static_cast<std::int64_t>(bytes.size()));
    for (std::byte byte : bytes) storage->push(Value::of(static_cast<std::uint8_t>(byte)));
    return whole(std::move(storage));
  }

  Value visit(const Deserialize& node, Expr expr) {
    const Value value = evaluate(node.buffer);
    const VectorValue& buffer = value.vector();
    std::vector<std::byte> bytes;
    for (std::int64_t i = 0; i < buffer.length; ++i) {
      bytes.push_back(static_cast<std::byte>(buffer[i].scalar().bits));
    }
    std::optional<Value> read = deserialize_value(node.target, bytes, account_);
    if (!read) fail(ErrorCode::kDeserializationError, expr.span());
    return *std::move(read);
  }

  Value visit(const ForeignCall& node, Expr expr) {
    std::vector<Value> arguments;
    for (Expr argument : node.arguments) arguments.push_back(evaluate(argument));
    std::expected<Value, ErrorCode> result = host_.call_foreign(node, arguments);
    if (!result)
      fail(result.error(), expr.span(),
           fmt::format("foreign function {}: {}", node.name, error_summary(result.error())));
    return *std::move(result);
  }

  Value visit(const ToVec& node, Expr expr) {
    const Value dict = evaluate(node.dict);
    auto storage = make_storage(expr.type().as<VecType>()->element);
    storage->reserve(static_cast<std::int64_t>(dict.dict().entries().size()));
    for (const auto& [key, value] : dict.dict().entries()) storage->push(Value::structure({key, value}));
    return whole(std::move(storage));
  }

  // The values of an iterator's parts, not yet checked.
  struct Parts {
    VectorValue data;
    std::int64_t start = 0, end = 0, stride = 1;
    std::vector<std::int64_t> shape, strides;
  };

  Parts evaluate_parts(const Iterator& it) {
    Parts parts;
    if (it.data) parts.data = evaluate(it.data).vector();
    parts.end = parts.data.length;
    if (it.start) {
      parts.start = evaluate(it.start).as<std::int64_t>();
      parts.end = evaluate(it.end).as<std::int64_t>();
      parts.stride = evaluate(it.stride).as<std::int64_t>();
    }
    if (it.shape) {
      parts.shape = integers(evaluate(it.shape));
      parts.strides = integers(evaluate(it.strides));
    }
    return parts;
  }

  static Walk checked_walk(const Iterator& it, Parts parts) {
    const Span span = it.data ? it.data.span() : it.start.span();
    const auto require = [&](bool holds, ErrorCode code) {
      if (!holds) fail(code, span);
    };
    Walk walk{.kind = it.kind,
              .data = std::move(parts.data),
              .start = parts.start,
              .stride = parts.stride,
              .shape = std::move(parts.shape),
              .strides = std::move(parts.strides)};
    const bool strided = it.kind == IteratorKind::kScalar || it.kind == IteratorKind::kRange;
    std::int64_t distance = 0;
    require(parts.stride > 0 && (strided || parts.stride == 1), ErrorCode::kBadIteratorLength);
    require(parts.end >= parts.start && !__builtin_sub_overflow(parts.end, parts.start, &distance),
            ErrorCode::kBadIteratorLength);
    walk.count = distance / parts.stride + (distance % parts.stride == 0 ? 0 : 1);
    if (it.kind == IteratorKind::kNd && it.shape) {
      check_shape(walk, require);
      return walk;
    }
    require(it.kind == IteratorKind::kRange || (parts.start >= 0 && parts.end <= walk.data.length),
            ErrorCode::kArrayOutOfBounds);
    const std::int64_t num_groups = walk.count / 4;
    if (it.kind == IteratorKind::kSimd) walk.count = num_groups;
    if (it.kind == IteratorKind::kFringe) {
      walk.start += 4 * num_groups;
      walk.count -= 4 * num_groups;
    }
    if (it.kind == IteratorKind::kNd) {
      walk.shape = {walk.count};
      walk.strides = {1};
    }
    return walk;
  }

  // The walk visits product(shape) places between the sums of the negative and of the positive strides.
  template <class Require>
  static void check_shape(const Walk& walk, Require&& require) {
    require(walk.shape.size() == walk.strides.size(), ErrorCode::kBadIteratorLength);
    std::int64_t product = 1;
    for (std::int64_t extent : walk.shape) require(extent >= 0, ErrorCode::kBadIteratorLength);
    if (std::ranges::count(walk.shape, 0) > 0) product = 0;
    for (std::int64_t extent : walk.shape) {
      if (product == 0) break;
      require(!__builtin_mul_overflow(product, extent, &product), ErrorCode::kBadIteratorLength);
    }
    require(product == walk.count, ErrorCode::kBadIteratorLength);
    if (product == 0) return;
    __int128 lowest = walk.start;
    __int128 highest = walk.start;
    for (std::size_t axis = 0; axis < walk.shape.size(); ++axis) {
      const __int128 reach = static_cast<__int128>(walk.shape[axis] - 1) * walk.strides[axis];
      (reach < 0 ? lowest : highest) += reach;
      // Sums of a few such products stay far from the limits of 128 bits; past 64 they are out of bounds
      // anyway.
      require(lowest >= INT64_MIN && highest <= INT64_MAX, ErrorCode::kArrayOutOfBounds);
    }
    require(lowest >= 0 && highest < walk.data.length, ErrorCode::kArrayOutOfBounds);
  }

  static Value element_of(std::span<const Walk> walks, std::int64_t i) {
    if (walks.size() == 1) return walks[0].at(i);
    std::vector<Value> members;
    for (const Walk& walk : walks) members.push_back(walk.at(i));
    return Value::structure(std::move(members));
  }

  Value visit(const For& node, Expr expr) {
    std::vector<Parts> parts;
    for (const Iterator& it : node.iterators) parts.push_back(evaluate_parts(it));
    Value builder = evaluate(node.builder);
    std::vector<Walk> walks;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      walks.push_back(checked_walk(node.iterators[i], std::move(parts[i])));
    }
    for (const Walk& walk : walks) {
      if (walk.count != walks[0].count) {
        fail(ErrorCode::kMismatchedZipSize, expr.span(),
             fmt::format("zipped iterators have {} and {} iterations", walks[0].count, walk.count));
      }
    }
    return run_loop(node, expr, walks, std::move(builder));
  }

  [[gnu::noinline]] Value run_loop(const For& node, Expr expr, std::span<const Walk> walks, Value builder) {
    const Lambda& function = *node.function.as<Lambda>();
    const std::int64_t num_iterations = walks[0].count;
    const auto* lanes = node.lanes.as<Lambda>();
    const std::int64_t size = lanes ? group_size(*lanes) : 0;
    const auto rest = lanes && takes_active(*lanes) ? LoopOrder::Rest::kInLanes : LoopOrder::Rest::kScalar;
    LoopOrder order(expr, num_iterations, builder);
    for (std::int64_t i = 0; i < num_iterations; ++i) {
      tick(expr.span());
      order.begin_iteration(i);
      if (const std::int64_t group = lanes ? order.group_from(i, size, rest) : 0; group > 0) {
        builder = run_group(node, expr, walks, std::move(builder), order, i, group);
        i += group - 1;
        continue;
      }
      builder = apply(function, {std::move(builder), Value::of<std::int64_t>(i), element_of(walks, i)});
    }
    order.end();
    return builder;
  }

  // Iterations at once: of the type of the iteration numbers.
  static std::int64_t group_size(const Lambda& lanes) {
    return lanes.parameters[1].type.as<SimdType>()->lanes;
  }
  static bool takes_active(const Lambda& lanes) { return lanes.parameters.size() > 3; }

  // What a loop's lanes function is at: merges of lanes belong to iterations from `first` on.
  struct Group {
    LoopOrder* order;
    std::int64_t first;
  };

  // `count` iterations, in the lanes that the function has for them.
  Value run_group(const For& node, Expr expr, std::span<const Walk> walks, Value builder, LoopOrder& order,
                  std::int64_t first, std::int64_t count) {
    const Lambda& lanes = *node.lanes.as<Lambda>();
    std::vector<Value> elements;
    Lanes numbers;
    Lanes active;
    const std::int64_t size = group_size(lanes);
    for (std::int64_t i = 0; i < size; ++i) {
      elements.push_back(element_of(walks, first + std::min(i, count - 1)));
      numbers.push_back(ScalarValue::of(first + i));
      active.push_back(ScalarValue::of(i < count));
    }
    std::vector<Value> arguments{builder, Value::simd(std::move(numbers)),
                                 to_lanes(elements, lanes.parameters[2].type)};
    if (takes_active(lanes)) arguments.push_back(Value::simd(std::move(active)));
    const Group outer = std::exchange(group_, {&order, first});
    const int depth = depth_;
    try {
      builder = apply(lanes, std::move(arguments));
      group_ = outer;
    } catch (const Failure& failure) {
      if (!is_of_program(failure.error.code)) throw;
      group_ = outer;
      depth_ = depth;
      const Lambda& function = *node.function.as<Lambda>();
      for (std::int64_t i = 0; i < count; ++i) {
        apply(function, {builder, Value::of<std::int64_t>(first + i), elements[static_cast<std::size_t>(i)]});
      }
      fail(ErrorCode::kUnknown, expr.span(), "a group of iterations fails in lanes only");
    }
    return builder;
  }

  // Errors of the data; the others may come at any place.
  static bool is_of_program(ErrorCode code) {
    switch (code) {
      case ErrorCode::kOutOfMemory:
      case ErrorCode::kCancelled:
      case ErrorCode::kDeadlineExceeded:
      case ErrorCode::kBudgetExceeded:
        return false;
      default:
        return true;
    }
  }

  // Scalars, or structs of them, as a simd or a struct of simds: lanes_type. What has no lanes is left out.
  static Value to_lanes(std::span<const Value> values, Type type) {
    if (type.as<SimdType>()) {
      Lanes lanes;
      for (const Value& value : values) lanes.push_back(value.scalar());
      return Value::simd(std::move(lanes));
    }
    std::vector<Value> members;
    const auto member_types = type.as<StructType>()->members;
    for (std::size_t i = 0; i < member_types.size(); ++i) {
      std::vector<Value> parts;
      for (const Value& value : values) parts.push_back(value.members()[i]);
      members.push_back(to_lanes(parts, member_types[i]));
    }
    return Value::structure(std::move(members));
  }
  // One lane of such a value.
  static Value lane_of(const Value& value, std::size_t lane) {
    if (value.is_simd()) return value.lanes()[lane];
    std::vector<Value> members;
    for (const Value& member : value.members()) members.push_back(lane_of(member, lane));
    return Value::structure(std::move(members));
  }

  Value visit(const NewBuilder& node, Expr) {
    std::optional<Value> argument;
    if (node.argument) argument = evaluate(node.argument);
    return make_builder(node.builder, argument ? &*argument : nullptr, account_);
  }

  Value visit(const Merge& node, Expr expr) {
    Value builder = evaluate(node.builder);
    merge(builder, evaluate(node.value), expr);
    return builder;
  }

  // Adds a value, or the lanes of one, where the mask holds.
  Value visit(const MergeMasked& node, Expr expr) {
    Value builder = evaluate(node.builder);
    const Value value = evaluate(node.value);
    const Value mask = evaluate(node.mask);
    if (!mask.is_simd()) {
      if (mask.as<bool>()) merge(builder, value, expr);
      return builder;
    }
    const std::vector<bool> lanes = mask_of(mask);
    if (in_lanes(lanes.size()))
      merge_lanes(builder, value, lanes, expr);
    else
      builder.builder().merge_simd(value.lanes(), lanes);
    return builder;
  }
  static std::vector<bool> mask_of(const Value& mask) {
    std::vector<bool> lanes;
    for (ScalarValue lane : mask.lanes()) lanes.push_back(lane.as<bool>());
    return lanes;
  }

  // In a lanes function: each lane in its iteration.
  void merge_lanes(const Value& builder, const Value& value, const std::vector<bool>& mask, Expr expr) {
    for (std::size_t lane = 0; lane < mask.size(); ++lane) {
      if (!mask[lane]) continue;
      seek(lane);
      const ErrorCode code = builder.builder().merge(lane_of(value, lane));
      if (code != ErrorCode::kSuccess) fail(code, expr.span());
    }
  }
  // Simd values of the program have 4 lanes, those of lanes functions more.
  bool in_lanes(std::size_t lanes) const { return group_.order && lanes > 4; }
  void seek(std::size_t lane) {
    internal_check(group_.order, "there are lanes in a lanes function");
    group_.order->seek(group_.first + static_cast<std::int64_t>(lane));
  }

  Value visit(const Gather& node, Expr expr) {
    const Value value = evaluate(node.vector);
    const Value index = evaluate(node.index);
    const Value mask = evaluate(node.mask);
    const VectorValue& vector = value.vector();
    const Value zero = zero_value(node.vector.type().as<VecType>()->element);
    std::vector<Value> elements;
    for (std::size_t lane = 0; lane < index.lanes().size(); ++lane) {
      if (!mask.lanes()[lane].as<bool>()) {
        elements.push_back(zero);
        continue;
      }
      const auto place = convert(ScalarKind::kI64, index.lanes()[lane]).as<std::int64_t>();
      if (place < 0 || place >= vector.length) fail(ErrorCode::kArrayOutOfBounds, expr.span());
      elements.push_back(vector[place]);
    }
    return to_lanes(elements, expr.type());
  }

  Value visit(const LookupLanes& node, Expr expr) {
    const Value zero = zero_value(node.dict.type().as<DictType>()->value);
    return map_keys(node, expr, [&](bool active, const DictTable::Entry* entry) {
      if (active && !entry) fail(ErrorCode::kKeyNotFoundError, expr.span());
      return entry ? entry->value : zero;
    });
  }

  Value visit(const OptLookupLanes& node, Expr expr) {
    const bool has_values = num_lanes(expr.type().as<StructType>()->members[1]).has_value();
    const Value zero = has_values ? zero_value(node.dict.type().as<DictType>()->value) : Value::structure({});
    return map_keys(node, expr, [&](bool, const DictTable::Entry* entry) {
      return Value::structure({Value::of(entry != nullptr), entry && has_values ? entry->value : zero});
    });
  }

  // `make(active, entry)` for each lane; the entry is null where the mask is false or the key absent.
  template <class Node, class Make>
  Value map_keys(const Node& node, Expr expr, Make&& make) {
    const Value dict = evaluate(node.dict);
    const Value keys = evaluate(node.keys);
    const Value mask = evaluate(node.mask);
    std::vector<Value> results;
    for (std::size_t lane = 0; lane < mask.lanes().size(); ++lane) {
      const bool active = mask.lanes()[lane].as<bool>();
      const auto found = active ? dict.dict().find(lane_of(keys, lane)) : std::nullopt;
      results.push_back(make(active, found ? &dict.dict().entries()[*found] : nullptr));
    }
    return to_lanes(results, expr.type());
  }

  Value visit(const AnyLane& node, Expr) {
    const Value mask = evaluate(node.mask);
    return Value::of<bool>(
        std::ranges::any_of(mask.lanes(), [](ScalarValue lane) { return lane.as<bool>(); }));
  }

  Value visit(const MapLanes& node, Expr expr) {
    const Value values = evaluate(node.values);
    const Value mask = evaluate(node.mask);
    const Lambda& function = *node.function.as<Lambda>();
    const Value zero = zero_value(function.body.type());
    const Group outer = std::exchange(group_, {});
    std::vector<Value> results;
    for (std::size_t lane = 0; lane < mask.lanes().size(); ++lane) {
      const bool active = mask.lanes()[lane].as<bool>();
      results.push_back(active ? apply(function, {lane_of(values, lane)}) : zero);
    }
    group_ = outer;
    return to_lanes(results, expr.type());
  }

  Value visit(const ForLanes& node, Expr) {
    Value builder = evaluate(node.builder);
    const Value values = evaluate(node.values);
    const Value mask = evaluate(node.mask);
    const Lambda& function = *node.function.as<Lambda>();
    for (std::size_t lane = 0; lane < mask.lanes().size(); ++lane) {
      if (!mask.lanes()[lane].as<bool>()) continue;
      seek(lane);
      const Group outer = std::exchange(group_, {});
      builder = apply(function, {std::move(builder), lane_of(values, lane)});
      group_ = outer;
    }
    return builder;
  }

  void merge(const Value& builder, const Value& value, Expr expr) {
    const auto* written = expr.as<Merge>();
    const auto lanes = written ? num_lanes(written->value.type()) : std::nullopt;
    if (in_lanes(lanes.value_or(0)) && !expr_takes_simd_element(expr)) {
      merge_lanes(builder, value, std::vector<bool>(*lanes, true), expr);
    } else if (value.is_simd() && !expr_takes_simd_element(expr)) {
      builder.builder().merge_simd(value.lanes(), std::vector<bool>(value.lanes().size(), true));
    } else if (const ErrorCode code = builder.builder().merge(value); code != ErrorCode::kSuccess) {
      fail(code, expr.span());
    }
  }

  // An appender of simd values takes them as elements.
  static bool expr_takes_simd_element(Expr merge) {
    const auto* appender = merge.type().as<AppenderType>();
    return appender && appender->element.as<SimdType>();
  }

  Value visit(const Result& node, Expr) { return result_of(evaluate(node.builder)); }

  static Value result_of(const Value& builder) {
    if (builder.is_builder()) return builder.builder().result();
    std::vector<Value> members;
    for (const Value& member : builder.members()) members.push_back(result_of(member));
    return Value::structure(std::move(members));
  }

  Host& host_;
  std::shared_ptr<ByteAccount> account_;
  std::unordered_map<std::uint64_t, Value> values_;  // by symbol id: each symbol is bound in one place
  std::unordered_map<std::uint64_t, const Lambda*> functions_;
  Group group_{};  // of the innermost lanes function; none in its islands
  Expr current_;
  int depth_ = 0;
  std::uint32_t ticks_ = 0;
};

template <class T>
void write(std::vector<std::byte>& bytes, T bits, int size) {
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<std::byte>(bits >> (8 * i)));
}

void serialize_into(std::vector<std::byte>& bytes, const Value& value) {
  if (value.is_scalar()) {
    const ScalarValue scalar = canonical(value.scalar());
    write(bytes, scalar.bits, size_bytes(scalar.kind));
  } else if (value.is_structure()) {
    for (const Value& member : value.members()) serialize_into(bytes, member);
  } else if (value.is_vector()) {
    const VectorValue& vector = value.vector();
    write(bytes, static_cast<std::uint64_t>(vector.length), 8);
    for (std::int64_t i = 0; i < vector.length; ++i) serialize_into(bytes, vector[i]);
  } else {
    const auto entries = value.dict().entries();
    write(bytes, entries.size(), 8);
    for (const auto& [key, mapped] : entries) {
      serialize_into(bytes, key);
      serialize_into(bytes, mapped);
    }
  }
}

// The fewest bytes that a value takes.
std::int64_t min_bytes(Type type) {
  if (const auto* scalar = type.as<ScalarType>()) return size_bytes(scalar->kind);
  const auto* structure = type.as<StructType>();
  if (!structure) return 8;
  std::int64_t bytes = 0;
  for (Type member : structure->members) bytes += min_bytes(member);
  return bytes;
}

struct Reader {
  std::span<const std::byte> bytes;
  const std::shared_ptr<ByteAccount>& account;

  std::optional<std::uint64_t> integer(int size) {
    if (bytes.size() < static_cast<std::size_t>(size)) return std::nullopt;
    std::uint64_t bits = 0;
    for (int i = 0; i < size; ++i) {
      bits |= static_cast<std::uint64_t>(bytes[static_cast<std::size_t>(i)]) << (8 * i);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(size));
    return bits;
  }

  // A number of elements that the rest of the bytes can hold.
  std::optional<std::int64_t> count(std::int64_t element_bytes) {
    const auto number = integer(8);
    if (!number || *number > INT64_MAX) return std::nullopt;
    if (element_bytes > 0 && *number > bytes.size() / static_cast<std::uint64_t>(element_bytes))
      return std::nullopt;
    return static_cast<std::int64_t>(*number);
  }

  std::optional<Value> read(Type type) {
    if (const auto* scalar = type.as<ScalarType>()) {
      const auto bits = integer(size_bytes(scalar->kind));
      if (!bits) return std::nullopt;
      return ScalarValue{scalar->kind, scalar->kind == ScalarKind::kBool ? std::uint64_t{*bits != 0} : *bits};
    }
    if (const auto* structure = type.as<StructType>()) {
      std::vector<Value> members;
      for (Type member : structure->members) {
        std::optional<Value> value = read(member);
        if (!value) return std::nullopt;
        members.push_back(*std::move(value));
      }
      return Value::structure(std::move(members));
    }
    if (const auto* vec = type.as<VecType>()) return read_vector(vec->element);
    return read_dict(*type.as<DictType>());
  }

  std::optional<Value> read_vector(Type element) {
    const auto length = count(min_bytes(element));
    if (!length) return std::nullopt;
    auto storage = std::make_shared<VectorStorage>(element, account);
    storage->reserve(*length);
    for (std::int64_t i = 0; i < *length; ++i) {
      const std::optional<Value> value = read(element);
      if (!value) return std::nullopt;
      storage->push(*value);
    }
    return VectorValue{storage, 0, *length};
  }

  std::optional<Value> read_dict(const DictType& type) {
    const auto length = count(min_bytes(type.key) + min_bytes(type.value));
    if (!length) return std::nullopt;
    auto table = std::make_shared<DictTable>(account);
    for (std::int64_t i = 0; i < *length; ++i) {
      const std::optional<Value> key = read(type.key);
      const std::optional<Value> value = key ? read(type.value) : std::nullopt;
      if (!value || table->find(*key)) return std::nullopt;
      table->find_or_insert(*key, *value);
    }
    return Value(std::shared_ptr<const DictTable>(std::move(table)));
  }
};

}  // namespace

std::expected<Value, ErrorCode> Host::call_foreign(const ForeignCall&, std::span<const Value>) {
  return std::unexpected(ErrorCode::kUnknown);
}

std::expected<Value, RunError> interpret(Expr program, std::span<const Value> arguments, Host& host) {
  const auto account = std::make_shared<HostAccount>(host);
  std::expected<Value, RunError> outcome;
  {
    Interpreter interpreter(host, account);
    try {
      outcome = interpreter.run(program, arguments);
    } catch (Failure& failure) {
      outcome = std::unexpected(std::move(failure.error));
    } catch (const std::bad_alloc&) {
      outcome = std::unexpected(RunError{ErrorCode::kOutOfMemory, interpreter.current_span(),
                                         std::string(error_summary(ErrorCode::kOutOfMemory))});
    }
  }
  account->detach();
  return outcome;
}

std::expected<Value, RunError> interpret(Expr program, std::span<const Value> arguments) {
  Host host;
  return interpret(program, arguments, host);
}

std::vector<std::byte> serialize_value(const Value& value) {
  std::vector<std::byte> bytes;
  serialize_into(bytes, value);
  return bytes;
}

std::optional<Value> deserialize_value(Type type, std::span<const std::byte> bytes,
                                       const std::shared_ptr<ByteAccount>& account) {
  Reader reader{bytes, account};
  std::optional<Value> value = reader.read(type);
  if (!value || !reader.bytes.empty()) return std::nullopt;
  return value;
}

}  // namespace weld::ir
