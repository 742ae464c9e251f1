#include "passes/lane_count.h"

#include <algorithm>
#include <unordered_map>

#include "ir/fields.h"
#include "ir/reduction_order.h"
#include "passes/expression_cost.h"

namespace weld::passes {
namespace {

constexpr int kLatencyChain = 64;  // operations, each waiting for the last, that leave a processor idle

// Whether operations wait for each other so long that a processor, which looks about 500 instructions
// ahead, finds too few that do not, and few enough values are alive for eight vectors of each.
bool hides_latency(const ir::For& loop, int bytes) {
  if (bytes < 4 || ir::depends_on_order(loop.builder.type())) return false;
  std::unordered_map<std::uint64_t, int> path_of;  // operations up to a name
  ir::PointerMap<ir::ExprRecord, int> path_to;
  ir::PointerMap<ir::ExprRecord, std::uint64_t> name_of;
  ir::for_each_node(loop.function.as<ir::Lambda>()->body, [&](ir::Expr expr) {
    if (const auto* let = expr.as<ir::Let>()) name_of.emplace(let->value.get(), let->symbol.id());
  });
  int longest = 0;
  int num_operations = 0;
  bool is_arithmetic = true;
  ir::walk(
      loop.function.as<ir::Lambda>()->body, [&](ir::Expr expr) { return !path_to.contains(expr.get()); },
      [&](ir::Expr expr) {
        if (path_to.contains(expr.get())) return;
        int path = 0;
        ir::for_each_child(expr, [&](ir::Expr child) { path = std::max(path, *path_to.find(child.get())); });
        if (const auto* ident = expr.as<ir::Ident>()) {
          const auto found = path_of.find(ident->symbol.id());
          path = found == path_of.end() ? 0 : found->second;
        }
        const auto* unary = expr.as<ir::Unary>();
        if (unary || expr.is<ir::Binary>() || expr.is<ir::Select>() || expr.is<ir::Cast>()) {
          ++path;
          ++num_operations;
        }
        is_arithmetic &= !(unary && unary_cost(unary->op) > 10) && !expr.is<ir::Lookup>() &&
                         !expr.is<ir::Lambda>() && !expr.is<ir::If>();
        path_to.emplace(expr.get(), path);
        if (const std::uint64_t* name = name_of.find(expr.get())) path_of[*name] = path;
        longest = std::max(longest, path);
      });
  return is_arithmetic && longest > kLatencyChain && num_operations <= 3 * longest;
}

}  // namespace

Variation::Variation(const ir::Lambda& function) {
  for (const ir::Parameter& parameter : function.parameters) varying_.insert(parameter.symbol.id());
  varies(function.body);
}

bool Variation::varies(ir::Expr expr) {
  if (const char* known = varies_.find(expr.get())) return *known != 0;
  const ir::Expr chain = expr;
  bool varying = false;
  for (const ir::Let* let; (let = expr.as<ir::Let>()); expr = let->body) {
    if (!varies(let->value)) continue;
    varying_.insert(let->symbol.id());
    varying = true;
  }
  if (const auto* ident = expr.as<ir::Ident>()) {
    varying |= varying_.contains(ident->symbol.id());
  } else {
    ir::for_each_child(expr, [&](ir::Expr child) { varying |= varies(child); });
  }
  varies_.emplace(chain.get(), varying ? 1 : 0);
  return varying;
}

std::uint32_t choose_lanes(const ir::For& loop, Variation& variation, int vector_bytes, int least_vectors) {
  // Sums of floats have a lane for each of 16 iterations.
  int bytes = ir::depends_on_order(loop.builder.type()) ? 8 : 0;
  const auto add_type = [&](ir::Type type) {
    const auto* scalar = type.as<ir::ScalarType>();
    if (scalar && scalar->kind != ir::ScalarKind::kBool)
      bytes = std::max(bytes, ir::size_bytes(scalar->kind));
  };
  ir::walk(
      loop.function.as<ir::Lambda>()->body,
      [&](ir::Expr expr) {
        if (expr.is<ir::Lambda>()) return false;
        if (variation.varies(expr)) add_type(expr.type());
        return true;
      },
      [](ir::Expr) {});
  if (bytes == 0) return kMinLanes;
  const int vectors = hides_latency(loop, bytes) ? 8 : least_vectors;
  return std::clamp(static_cast<std::uint32_t>(vectors * vector_bytes / bytes), kMinLanes, kMaxLanes);
}

}  // namespace weld::passes
