#pragma once

#include <gtest/gtest.h>
#include <pthread.h>

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "ir/arena.h"
#include "ir/error.h"
#include "ir/interpret.h"

namespace weld::ir {

inline const Type kI8 = Type::scalar(ScalarKind::kI8);
inline const Type kI32 = Type::scalar(ScalarKind::kI32);
inline const Type kI64 = Type::scalar(ScalarKind::kI64);
inline const Type kU8 = Type::scalar(ScalarKind::kU8);
inline const Type kF32 = Type::scalar(ScalarKind::kF32);
inline const Type kF64 = Type::scalar(ScalarKind::kF64);
inline const Type kBool = Type::scalar(ScalarKind::kBool);

/// Programs by hand. Binders take a function of the bound values.
class ProgramBuilder {
 public:
  using Body1 = std::function<Expr(Expr)>;
  using Body3 = std::function<Expr(Expr, Expr, Expr)>;

  Arena arena;

  Expr i64(std::int64_t value) { return arena.literal(value); }
  Expr i32(std::int32_t value) { return arena.literal(value); }
  Expr f64(double value) { return arena.literal(value); }
  Expr boolean(bool value) { return arena.literal(value); }

  Expr unary(UnaryOp op, Expr value) { return arena.make<Unary>({}, op, value); }
  Expr binary(BinaryOp op, Expr left, Expr right) { return arena.make<Binary>({}, op, left, right); }
  Expr add(Expr left, Expr right) { return binary(BinaryOp::kAdd, left, right); }
  Expr mul(Expr left, Expr right) { return binary(BinaryOp::kMul, left, right); }
  Expr less(Expr left, Expr right) { return binary(BinaryOp::kLt, left, right); }
  Expr if_(Expr condition, Expr on_true, Expr on_false) {
    return arena.make<If>({}, condition, on_true, on_false);
  }
  Expr select(Expr condition, Expr on_true, Expr on_false) {
    return arena.make<Select>({}, condition, on_true, on_false);
  }
  Expr structure(std::vector<Expr> members) { return arena.make<MakeStruct>({}, members); }
  Expr field(Expr value, std::uint32_t index) { return arena.make<GetField>({}, value, index); }
  Expr vector(Type element, std::vector<Expr> elements) {
    return arena.make<MakeVector>({}, elements, element);
  }
  Expr f64s(std::initializer_list<double> values) {
    std::vector<Expr> elements;
    for (double value : values) elements.push_back(f64(value));
    return vector(kF64, elements);
  }
  Expr i64s(std::initializer_list<std::int64_t> values) {
    std::vector<Expr> elements;
    for (std::int64_t value : values) elements.push_back(i64(value));
    return vector(kI64, elements);
  }
  Expr cast(ScalarKind kind, Expr value) { return arena.make<Cast>({}, kind, value); }

  Expr let(Expr value, const Body1& body, std::string_view name = "x") {
    const Symbol symbol = arena.fresh_symbol(name);
    return arena.make<Let>({}, symbol, value, body(arena.ident(symbol, value.type())));
  }
  Expr lambda(std::vector<Type> types, const std::function<Expr(std::span<const Expr>)>& body) {
    std::vector<Parameter> parameters;
    std::vector<Expr> uses;
    for (Type type : types) {
      parameters.push_back({arena.fresh_symbol("p"), type});
      uses.push_back(arena.ident(parameters.back().symbol, type));
    }
    return arena.make<Lambda>({}, parameters, body(uses));
  }
  Expr apply(Expr function, std::vector<Expr> arguments) {
    return arena.make<Apply>({}, function, arguments);
  }
  Expr iterate(Expr initial, const Body1& update) {
    return arena.make<Iterate>({}, initial, lambda({initial.type()}, [&](auto p) { return update(p[0]); }));
  }

  Expr builder(Type type, Expr argument = {}) { return arena.make<NewBuilder>({}, type, argument); }
  Expr merge(Expr builder, Expr value) { return arena.make<Merge>({}, builder, value); }
  Expr result(Expr builder) { return arena.make<Result>({}, builder); }
  Iterator each(Expr vector) { return {.data = vector}; }
  Iterator range(std::int64_t start, std::int64_t end, std::int64_t stride = 1) {
    return {.kind = IteratorKind::kRange, .start = i64(start), .end = i64(end), .stride = i64(stride)};
  }
  Expr loop(std::vector<Iterator> iterators, Expr builder, const Body3& body) {
    Type element;
    if (iterators.size() == 1) {
      element = element_of(iterators[0]);
    } else {
      std::vector<Type> members;
      for (const Iterator& it : iterators) members.push_back(element_of(it));
      element = arena.structure(std::span<const Type>(members));
    }
    const Expr function = lambda({builder.type(), kI64, element},
                                 [&](std::span<const Expr> p) { return body(p[0], p[1], p[2]); });
    return arena.make<For>({}, iterators, builder, function);
  }
  Expr annotated(Expr expr, std::string_view key, std::string_view number) {
    const std::vector<Annotation> annotations{
        {arena.keep(key), Annotation::Kind::kNumber, arena.keep(number)}};
    return arena.with_annotations(expr, annotations);
  }

 private:
  Type element_of(const Iterator& it) {
    if (it.kind == IteratorKind::kRange) return kI64;
    const Type element = it.data.type().as<VecType>()->element;
    return it.kind == IteratorKind::kSimd ? arena.simd(element.as<ScalarType>()->kind) : element;
  }
};

/// What a program gives: its value as text, or the name of its error.
inline std::string run(Expr program, std::vector<Value> arguments = {}) {
  const auto value = interpret(program, arguments);
  return value ? to_text(*value) : std::string(error_name(value.error().code));
}

/// The message with which `make` is rejected; empty when it is not.
template <class F>
std::string rejection(F&& make) {
  try {
    make();
  } catch (const UserError& error) {
    return error.diagnostics().front().message;
  }
  return {};
}

/// Runs `work` on a thread with a stack of that size.
inline void run_on_stack(std::size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, bytes), 0);
  pthread_t thread;
  const auto start = [](void* data) -> void* {
    (*static_cast<std::function<void()>*>(data))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, start, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace weld::ir
