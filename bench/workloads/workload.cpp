#include "bench/workloads/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "runtime/abi.h"
#include "runtime/layout.h"
#include "runtime/memory.h"

namespace weld::bench::workloads {
namespace {

// Places of the rows in the order of their keys.
std::vector<std::size_t> order_by_key(const std::vector<std::string>& keys) {
  std::vector<std::size_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](std::size_t i) -> const std::string& { return keys[i]; });
  return order;
}

double root_mean_square(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

bool is_close(double value, double reference, double tolerance, double scale) {
  if (std::isnan(value) || std::isnan(reference)) return std::isnan(value) && std::isnan(reference);
  if (value == reference) return true;
  return std::abs(value - reference) <= tolerance * std::max({std::abs(value), std::abs(reference), scale});
}

}  // namespace

std::optional<std::string> find_mismatch(const Outcome& outcome, const Outcome& reference, double tolerance) {
  if (outcome.keys.size() != reference.keys.size())
    return fmt::format("{} rows instead of {}", outcome.keys.size(), reference.keys.size());
  if (outcome.columns.size() != reference.columns.size())
    return fmt::format("{} columns instead of {}", outcome.columns.size(), reference.columns.size());
  const std::vector<std::size_t> order = order_by_key(outcome.keys);
  const std::vector<std::size_t> reference_order = order_by_key(reference.keys);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::string& key = outcome.keys[order[i]];
    const std::string& expected = reference.keys[reference_order[i]];
    if (key != expected) return fmt::format("a row {} instead of {}", key, expected);
  }
  for (std::size_t c = 0; c < outcome.columns.size(); ++c) {
    const std::span<const double> values = outcome.columns[c];
    const std::span<const double> expected = reference.columns[c];
    if (values.size() != expected.size())
      return fmt::format("{} values instead of {} in column {}", values.size(), expected.size(), c);
    const double scale = root_mean_square(expected);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = values[order.empty() ? i : order[i]];
      const double wanted = expected[order.empty() ? i : reference_order[i]];
      if (is_close(value, wanted, tolerance, scale)) continue;
      return fmt::format("{:.17g} instead of {:.17g} in row {} of column {}", value, wanted,
                         order.empty() ? std::to_string(i) : outcome.keys[order[i]], c);
    }
  }
  return std::nullopt;
}

WeldRun::WeldRun(const ir::Fragment& root, const codegen::CompileOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  ir::FragmentProgram fragments = ir::assemble(root);
  program_ = codegen::Program::compile(fragments.lambda, options);
  compile_ms_ = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  arena_ = std::move(fragments.arena);
  inputs_ = std::move(fragments.inputs);
  const runtime::TypeLayout& layout = program_->arguments_layout();
  arguments_.resize(static_cast<std::size_t>(layout.size_bytes));
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const runtime::TypeLayout::Member& member = layout.members.at(i);
    std::memcpy(arguments_.data() + member.offset, inputs_[i].data,
                static_cast<std::size_t>(member.layout->size_bytes));
  }
}

codegen::Result WeldRun::run(const std::shared_ptr<runtime::Context>& context, int threads) const {
  auto result = program_->run(context, arguments_.data(), {.num_threads = threads});
  if (!result) throw std::runtime_error(result.error().render());
  return std::move(*result);
}

std::int64_t scaled(double scale, std::int64_t num_rows) {
  return std::max<std::int64_t>(1, std::llround(scale * static_cast<double>(num_rows)));
}

Outcome read_arrays(const codegen::Result& result) {
  Outcome outcome;
  const auto add = [&](const void* address) {
    const auto& view = *static_cast<const runtime::VecView*>(address);
    outcome.columns.emplace_back(reinterpret_cast<const double*>(view.data),
                                 static_cast<std::size_t>(view.length));
  };
  const runtime::TypeLayout& layout = result.layout();
  if (layout.kind == runtime::LayoutKind::kVec) {
    add(result.data());
  } else {
    for (const runtime::TypeLayout::Member& member : layout.members)
      add(static_cast<const std::byte*>(result.data()) + member.offset);
  }
  return outcome;
}

Outcome read_scalars(const codegen::Result& result) {
  Outcome outcome;
  const auto num_values = static_cast<std::size_t>(result.layout().size_bytes) / sizeof(double);
  const auto* values = static_cast<const double*>(result.data());
  for (std::size_t i = 0; i < num_values; ++i) outcome.columns.emplace_back(values + i, 1);
  return outcome;
}

}  // namespace weld::bench::workloads
