#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/workloads/arrays.h"
#include "bench/workloads/column.h"
#include "codegen/engine.h"
#include "ir/fragment.h"

namespace weld::bench::workloads {

/// What a system computed, to be compared with the others'.
struct Outcome {
  /// Names of the rows, which then may be in any order; empty: the rows are in order.
  std::vector<std::string> keys;
  /// Of equal length, one value a row. Views of the system's memory, or of `storage`.
  std::vector<std::span<const double>> columns;
  std::vector<std::vector<double>> storage;

  void add(std::vector<double> values) {
    storage.push_back(std::move(values));  // moving a vector leaves its elements where they are
    columns.emplace_back(storage.back());
  }
};

/// Says where two outcomes differ by more than `tolerance`, relative to the larger of the two values and of
/// the root mean square of the column; null when nowhere.
std::optional<std::string> find_mismatch(const Outcome& outcome, const Outcome& reference, double tolerance);

/// An input as other processes read it: plain elements of one type.
struct PlainInput {
  std::string name;
  std::string_view element;  ///< NumPy's name: `f8`, `i8`, `i4`, `i1`, `u1`
  const void* data = nullptr;
  std::int64_t num_bytes = 0;
};

template <class T>
PlainInput plain_input(std::string name, const Column<T>& column) {
  constexpr std::string_view kElement = std::same_as<T, double>         ? "f8"
                                        : std::same_as<T, std::int64_t> ? "i8"
                                        : std::same_as<T, std::int32_t> ? "i4"
                                        : std::same_as<T, std::int8_t>  ? "i1"
                                                                        : "u1";
  return {std::move(name), kElement, column.data(), column.num_bytes()};
}

/// A workload with its data.
struct Prepared {
  std::int64_t num_rows = 0;
  std::int64_t num_bytes = 0;  ///< of the inputs that have to be read
  double tolerance = 1e-11;
  /// The lazy value that a library hands to the compiler; holds the inputs.
  ir::Fragment program;
  std::function<Outcome(const codegen::Result&)> read;
  /// The same by hand; its outcome stays in the same memory.
  std::function<void(int threads)> run_native;
  std::function<Outcome()> read_native;
  std::vector<PlainInput> inputs;
  /// Numbers that others need besides the inputs.
  std::vector<std::pair<std::string, double>> parameters;
};

enum class Kind { kArray, kTable };

/// A computation that several systems do with the same data.
struct Workload {
  std::string_view name;
  std::string_view summary;
  Kind kind;
  std::string_view peers;  ///< its name in bench/peers/python
  /// `scale` multiplies the number of rows.
  Prepared (*prepare)(double scale);
};

/// All there are.
std::span<const Workload> all_workloads();

/// A fragment compiled, with its inputs bound.
class WeldRun {
 public:
  WeldRun(const ir::Fragment& root, const codegen::CompileOptions& options);

  const codegen::Program& program() const { return *program_; }
  /// Assembling the fragments and compiling them.
  double compile_ms() const { return compile_ms_; }
  /// Throws std::runtime_error with the rendered diagnostic when the run fails.
  codegen::Result run(const std::shared_ptr<runtime::Context>& context, int threads) const;

 private:
  std::vector<ir::BoundInput> inputs_;
  std::shared_ptr<ir::Arena> arena_;
  std::shared_ptr<const codegen::Program> program_;
  std::vector<std::byte> arguments_;  // the C struct of all parameters
  double compile_ms_ = 0;
};

// For workloads.

/// The number of rows at a scale, at least 1.
std::int64_t scaled(double scale, std::int64_t num_rows);

/// An input array over a column, which must outlive all that is made of it.
template <class T>
Array input_array(const Column<T>& column, std::string_view name) {
  struct View {
    const T* data;
    std::int64_t length;
  };
  ir::Arena arena;
  const auto view = std::make_shared<View>(View{column.data(), column.size()});
  return Array(ir::Fragment::input(arena.vec(ir::Type::scalar(ir::kind_of<T>())), view.get(), view, name));
}

/// Reads a result that is a vec[f64], or a struct of such.
Outcome read_arrays(const codegen::Result& result);
/// Reads a result that is an f64, or a struct of such.
Outcome read_scalars(const codegen::Result& result);

}  // namespace weld::bench::workloads
