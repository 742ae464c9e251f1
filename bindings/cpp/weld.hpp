#ifndef WELD_HPP_
#define WELD_HPP_

// Weld for C++20: compile a program from text, run it on C++ values, look at the result without copies.
//
//   weld::Module module("|v: vec[i64], k: i64| result(for(v, merger[i64,+], |b, i, x| merge(b, x * k)))");
//   auto weighted_sum = module.function<std::int64_t(std::span<const std::int64_t>, std::int64_t)>();
//   weld::Context context;
//   std::int64_t sum = *weighted_sum(context, data, 3);
//
// How C++ types stand for types of the language (checked when a function is asked for):
//
//   bool, std::int8_t … std::uint64_t, float, double    bool, i8 … u64, f32, f64
//   std::span<const T>, weld::Vector<T>                  vec[T], for T one of those marked *
//   std::string_view                                     vec[i8]
//   std::tuple<A, B>                                     {A,B}
//   S with a specialisation of weld::Members             {A,B} *
//   scalars, weld::Vector                                *
//
// Errors are thrown as weld::Error. Nothing of this header allocates per element.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "weld.h"

namespace weld {

enum class Code : std::uint64_t {
  kSuccess = ::Success,
  kConfigurationError = ::ConfigurationError,
  kLoadLibraryError = ::LoadLibraryError,
  kCompileError = ::CompileError,
  kArrayOutOfBounds = ::ArrayOutOfBounds,
  kBadIteratorLength = ::BadIteratorLength,
  kMismatchedZipSize = ::MismatchedZipSize,
  kOutOfMemory = ::OutOfMemory,
  kRunNotFound = ::RunNotFound,
  kUnknown = ::Unknown,
  kDeserializationError = ::DeserializationError,
  kKeyNotFoundError = ::KeyNotFoundError,
  kAssertionError = ::AssertionError,
  kArithmeticError = ::ArithmeticError,
  kCancelled = ::Cancelled,
  kDeadlineExceeded = ::DeadlineExceeded,
  kBudgetExceeded = ::BudgetExceeded,
};

/// Where in a program's text, counted from 1, columns in bytes, the end exclusive; 0 when not known.
struct Position {
  std::int64_t line = 0;
  std::int64_t column = 0;
  std::int64_t end_line = 0;
  std::int64_t end_column = 0;
};

class Error : public std::exception {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)), diagnostic_(message_) {}
  /// What an error object of the C API says.
  explicit Error(weld_error_t error)
      : code_(static_cast<Code>(weld_error_code(error))),
        message_(weld_error_message(error)),
        diagnostic_(weld_error_diagnostic(error)),
        position_{weld_error_line(error), weld_error_column(error), weld_error_end_line(error),
                  weld_error_end_column(error)} {}

  Code code() const { return code_; }
  /// One line, without a position.
  const std::string& message() const { return message_; }
  const Position& position() const { return position_; }
  /// As a compiler prints it: position, message, source line, caret.
  const char* what() const noexcept override { return diagnostic_.c_str(); }

 private:
  Code code_;
  std::string message_;
  std::string diagnostic_;
  Position position_;
};

namespace detail {

struct Free {
  void operator()(void* handle) const { free_handle(handle); }
  void (*free_handle)(void*);
};
using Handle = std::unique_ptr<void, Free>;

inline Handle own(void* handle, void (*free_handle)(void*)) {
  Handle owned(handle, Free{free_handle});
  if (!owned) throw Error(Code::kOutOfMemory, "out of memory");
  return owned;
}

/// The error object of the calling thread.
inline weld_error_t thread_error() {
  thread_local const Handle error = own(weld_error_new(), weld_error_free);
  return error.get();
}

inline Handle checked(void* handle, void (*free_handle)(void*)) {
  if (!handle) throw Error(thread_error());
  return Handle(handle, Free{free_handle});
}

constexpr std::size_t align_up(std::size_t offset, std::size_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace detail

/// A vector in the C layout, as it lies in arguments and results. Borrows its elements.
template <class T>
struct Vector {
  const T* elements = nullptr;
  std::int64_t length = 0;

  Vector() = default;
  Vector(std::span<const T> span) : elements(span.data()), length(static_cast<std::int64_t>(span.size())) {}

  operator std::span<const T>() const { return span(); }
  std::span<const T> span() const { return {elements, static_cast<std::size_t>(length)}; }
  std::size_t size() const { return static_cast<std::size_t>(length); }
  const T& operator[](std::size_t index) const { return elements[index]; }
  const T* begin() const { return elements; }
  const T* end() const { return elements + length; }

  /// The bytes of a vec[i8] or vec[u8] as text.
  std::string_view text() const
    requires(sizeof(T) == 1)
  {
    return {reinterpret_cast<const char*>(elements), size()};
  }
};
static_assert(sizeof(Vector<char>) == sizeof(weld_vector_t));

/// To be specialised for a struct `S` of yours that lies in memory as `{A,B}` does:
///
///   template <> struct weld::Members<Point> : std::type_identity<std::tuple<double, double>> {};
template <class S>
struct Members;

/// How a C++ type is written in the language, and how it lies in memory: `name()`, `kSize`, `kAlign`,
/// `encode(value, bytes)` and `decode(bytes)`.
template <class T>
struct Codec;

namespace detail {

template <class T, std::size_t Size = sizeof(T), std::size_t Align = alignof(T)>
struct CopyCodec {
  static constexpr std::size_t kSize = Size;
  static constexpr std::size_t kAlign = Align;
  static void encode(const T& value, std::byte* bytes) { std::memcpy(bytes, &value, sizeof value); }
  static T decode(const std::byte* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
};

template <class T>
concept Scalar =
    std::is_same_v<T, bool> || std::is_same_v<T, float> || std::is_same_v<T, double> ||
    (std::is_integral_v<T> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
     !std::is_same_v<T, char8_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>);

template <class T>
concept HasMembers = requires { typename Members<T>::type; };

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<Vector<T>> = true;

/// Types whose objects lie in memory as values of the language do, so that vectors of them can be viewed.
template <class T>
concept Element = Scalar<T> || HasMembers<T> || kIsVector<T>;

template <class... T>
constexpr auto field_offsets() {
  std::array<std::size_t, sizeof...(T) + 1> offsets{};  // the last one is the size of the struct
  std::size_t offset = 0;
  std::size_t alignment = 1;
  std::size_t i = 0;
  ((offset = align_up(offset, Codec<T>::kAlign), offsets[i++] = offset, offset += Codec<T>::kSize,
    alignment = alignment < Codec<T>::kAlign ? Codec<T>::kAlign : alignment),
   ...);
  offsets[i] = align_up(offset, alignment);
  return offsets;
}

template <class... T>
constexpr std::size_t struct_alignment() {
  std::size_t alignment = 1;
  ((alignment = alignment < Codec<T>::kAlign ? Codec<T>::kAlign : alignment), ...);
  return alignment;
}

}  // namespace detail

template <detail::Scalar T>
struct Codec<T> : detail::CopyCodec<T> {
  static std::string name() {
    if constexpr (std::is_same_v<T, bool>) {
      return "bool";
    } else {
      const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
      return kind + std::to_string(sizeof(T) * 8);
    }
  }
};

template <class T>
struct Codec<Vector<T>> : detail::CopyCodec<Vector<T>> {
  static std::string name() { return "vec[" + Codec<T>::name() + "]"; }
};

template <class T>
struct Codec<std::span<const T>> {
  static_assert(detail::Element<T>,
                "a vector is viewed as a span of scalars, of weld::Vector, or of structs with weld::Members");
  static constexpr std::size_t kSize = sizeof(Vector<T>);
  static constexpr std::size_t kAlign = alignof(Vector<T>);
  static std::string name() { return Codec<Vector<T>>::name(); }
  static void encode(std::span<const T> value, std::byte* bytes) { Codec<Vector<T>>::encode(value, bytes); }
  static std::span<const T> decode(const std::byte* bytes) { return Codec<Vector<T>>::decode(bytes); }
};

template <>
struct Codec<std::string_view> {
  static constexpr std::size_t kSize = sizeof(Vector<std::int8_t>);
  static constexpr std::size_t kAlign = alignof(Vector<std::int8_t>);
  static std::string name() { return "vec[i8]"; }
  static void encode(std::string_view value, std::byte* bytes) {
    const std::span<const std::int8_t> span(reinterpret_cast<const std::int8_t*>(value.data()), value.size());
    Codec<Vector<std::int8_t>>::encode(span, bytes);
  }
  static std::string_view decode(const std::byte* bytes) {
    return Codec<Vector<std::int8_t>>::decode(bytes).text();
  }
};

template <class... T>
struct Codec<std::tuple<T...>> {
  static constexpr auto kOffsets = detail::field_offsets<T...>();
  static constexpr std::size_t kSize = kOffsets[sizeof...(T)];
  static constexpr std::size_t kAlign = detail::struct_alignment<T...>();
  static std::string name() {
    std::string names;
    ((names += (names.empty() ? "" : ",") + Codec<T>::name()), ...);
    return "{" + names + "}";
  }
  static void encode(const std::tuple<T...>& value, std::byte* bytes) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (Codec<T>::encode(std::get<I>(value), bytes + kOffsets[I]), ...);
    }(std::index_sequence_for<T...>());
  }
  static std::tuple<T...> decode(const std::byte* bytes) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::tuple<T...>(Codec<T>::decode(bytes + kOffsets[I])...);
    }(std::index_sequence_for<T...>());
  }
};

template <detail::HasMembers S>
struct Codec<S> : detail::CopyCodec<S> {
  using Fields = Codec<typename Members<S>::type>;
  static_assert(std::is_trivially_copyable_v<S> && sizeof(S) == Fields::kSize && alignof(S) == Fields::kAlign,
                "weld::Members must list the fields of the struct in their order");
  static std::string name() { return Fields::name(); }
};

/// Keys and values for modules and contexts, e.g. `weld.threads`. They are checked where the conf is used.
class Conf {
 public:
  Conf() : handle_(detail::own(weld_conf_new(), weld_conf_free)) {}

  Conf& set(const std::string& key, const std::string& value) {
    weld_conf_set(handle_.get(), key.c_str(), value.c_str());
    return *this;
  }
  weld_conf_t handle() const { return handle_.get(); }

 private:
  detail::Handle handle_;
};

/// Memory that runs share. Results keep it alive.
class Context {
 public:
  explicit Context(const Conf& conf = {})
      : handle_(detail::checked(weld_context_new_checked(conf.handle(), detail::thread_error()),
                                weld_context_free)) {}

  std::int64_t memory_usage() const { return weld_context_memory_usage(handle_.get()); }
  weld_context_t handle() const { return handle_.get(); }

 private:
  detail::Handle handle_;
};

/// Stops runs, from any thread. Must outlive the runs that it was given to.
class Cancel {
 public:
  Cancel() : handle_(detail::own(weld_cancel_new(), weld_cancel_free)) {}
  void trigger() { weld_cancel_trigger(handle_.get()); }
  weld_cancel_t handle() const { return handle_.get(); }

 private:
  detail::Handle handle_;
};

/// How one run differs from what its context says.
struct RunOptions {
  const Cancel* cancel = nullptr;
  std::int64_t deadline_ms = 0;  ///< 0: the context's
  int num_threads = 0;           ///< 0: the context's
};

/// The result of a run, and the memory it lies in. Where a program returns its arguments or slices of them,
/// the result refers to the caller's memory.
template <class T>
class Result {
 public:
  explicit Result(detail::Handle value) : value_(std::move(value)) {}

  /// Views in it live as long as the result.
  T get() const { return Codec<T>::decode(static_cast<const std::byte*>(weld_value_data(value_.get()))); }
  T operator*() const { return get(); }

  std::int64_t memory_usage() const { return weld_value_memory_usage(value_.get()); }
  weld_run_statistics_t statistics() const {
    weld_run_statistics_t statistics;
    weld_value_statistics(value_.get(), &statistics);
    return statistics;
  }
  weld_value_t handle() const { return value_.get(); }

 private:
  detail::Handle value_;
};

template <class Signature>
class Function;

/// A compiled program. May be shared by threads.
class Module {
 public:
  explicit Module(const std::string& program, const Conf& conf = {})
      : handle_(detail::checked(weld_module_compile(program.c_str(), conf.handle(), detail::thread_error()),
                                weld_module_free)) {}

  /// e.g. `|vec[i64],i64| f64`
  std::string type() const { return weld_module_type(handle_.get()); }
  bool interpreted() const { return weld_module_interpreted(handle_.get()); }
  weld_compile_times_t compile_times() const {
    weld_compile_times_t times;
    weld_module_compile_times(handle_.get(), &times);
    return times;
  }

  /// The program as a function of that signature, e.g. `double(std::span<const double>)`. Throws Error
  /// (CompileError) when the program's type is another one. Shares the module.
  template <class Signature>
  Function<Signature> function() const {
    return Function<Signature>(*this);
  }

  /// Runs once; checks types each time.
  template <class R, class... Args>
  Result<R> run(const Context& context, const Args&... arguments) const {
    return function<R(Args...)>()(context, arguments...);
  }
  weld_module_t handle() const { return handle_.get(); }

 private:
  std::shared_ptr<void> handle_;
};

template <class R, class... Args>
class Function<R(Args...)> {
 public:
  explicit Function(const Module& module) : module_(module) {
    const std::string expected = expected_type();
    const std::string found = module.type();
    if (found != expected) {
      throw Error(Code::kCompileError,
                  "the program has type " + found + ", but " + expected + " is expected");
    }
  }

  Result<R> operator()(const Context& context, const std::type_identity_t<Args>&... arguments) const {
    return run(context, {}, arguments...);
  }

  Result<R> run(const Context& context, const RunOptions& options,
                const std::type_identity_t<Args>&... arguments) const {
    using Arguments = Codec<std::tuple<Args...>>;
    alignas(16) std::byte bytes[Arguments::kSize + 1];
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (Codec<Args>::encode(arguments, bytes + Arguments::kOffsets[I]), ...);
    }(std::index_sequence_for<Args...>());
    const detail::Handle argument = detail::own(weld_value_new(bytes), weld_value_free);
    const weld_run_options_t run_options{.struct_bytes = sizeof(weld_run_options_t),
                                         .cancel = options.cancel ? options.cancel->handle() : nullptr,
                                         .deadline_ms = options.deadline_ms,
                                         .num_threads = options.num_threads};
    weld_value_t value = weld_module_run_with(module_.handle(), context.handle(), argument.get(),
                                              &run_options, detail::thread_error());
    return Result<R>(detail::checked(value, weld_value_free));
  }

 private:
  static std::string expected_type() {
    if constexpr (sizeof...(Args) == 0) {
      return Codec<R>::name();
    } else {
      std::string names;
      ((names += (names.empty() ? "" : ",") + Codec<Args>::name()), ...);
      return "|" + names + "| " + Codec<R>::name();
    }
  }

  Module module_;
};

/// Loads a shared library whose functions programs may call with `cudf`.
inline void load_library(const std::string& file) {
  weld_load_library(file.c_str(), detail::thread_error());
  if (weld_error_code(detail::thread_error()) != Success) throw Error(detail::thread_error());
}

}  // namespace weld

#endif  // WELD_HPP_
