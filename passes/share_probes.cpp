#include "passes/share_probes.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "ir/equality.h"
#include "ir/fields.h"
#include "passes/paths.h"

namespace weld::passes {
namespace {

bool is_link(ir::Expr expr, ir::BinaryOp op) {
  const auto* binary = expr.as<ir::Binary>();
  return binary && binary->op == op;
}

// The parts of a chain of `op`, in their order.
void add_parts(ir::Expr chain, ir::BinaryOp op, std::vector<ir::Expr>& parts) {
  std::vector<ir::Expr> rest{chain};
  while (!rest.empty()) {
    const ir::Expr expr = rest.back();
    rest.pop_back();
    if (!is_link(expr, op)) {
      parts.push_back(expr);
      continue;
    }
    rest.push_back(expr.as<ir::Binary>()->right);
    rest.push_back(expr.as<ir::Binary>()->left);
  }
}

ir::Expr joined(std::span<const ir::Expr> parts, ir::BinaryOp op, ir::Arena& arena) {
  ir::Expr chain;
  for (ir::Expr part : parts) chain = chain ? arena.make<ir::Binary>(part.span(), op, chain, part) : part;
  return chain;
}

bool consists_of_scalars(ir::Type type) {
  if (type.as<ir::ScalarType>()) return true;
  const auto* structure = type.as<ir::StructType>();
  return structure && std::ranges::all_of(structure->members, consists_of_scalars);
}

ir::Expr zero_of(ir::Type type, ir::Arena& arena) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return arena.literal(ir::ScalarValue{scalar->kind, 0});
  std::vector<ir::Expr> members;
  for (ir::Type member : type.as<ir::StructType>()->members) members.push_back(zero_of(member, arena));
  return arena.make<ir::MakeStruct>(ir::Span(), members);
}

constexpr std::uint32_t kMaxNodes = 5000;  // that are searched for lookups, for each question

bool looks_up(ir::Expr expr, const ir::KeyExists& question) {
  const auto* lookup = expr.as<ir::Lookup>();
  return lookup && ir::alpha_equal(lookup->container, question.dict) &&
         ir::alpha_equal(lookup->key, question.key);
}

bool has_lookup(ir::Expr root, const ir::KeyExists& question) {
  bool found = false;
  if (root.record().num_nodes > kMaxNodes) return false;
  ir::for_each_node(root, [&](ir::Expr expr) { found = found || looks_up(expr, question); });
  return found;
}

// A branch on `before && (beside & keyexists(d, k)) && after`, where any of the three may be missing.
struct GuardedBranch {
  const ir::If* branch;
  const ir::KeyExists* question;
  std::vector<ir::Expr> parts;   // of the condition
  std::size_t place;             // of the one that asks
  std::vector<ir::Expr> beside;  // all of that part, the question included
  std::size_t place_beside;
};

std::optional<GuardedBranch> guarded(const ir::If& branch) {
  GuardedBranch found{.branch = &branch};
  add_parts(branch.condition, ir::BinaryOp::kLogicalAnd, found.parts);
  for (found.place = 0; found.place < found.parts.size(); ++found.place) {
    found.beside.clear();
    add_parts(found.parts[found.place], ir::BinaryOp::kBitAnd, found.beside);
    for (found.place_beside = 0; found.place_beside < found.beside.size(); ++found.place_beside) {
      found.question = found.beside[found.place_beside].as<ir::KeyExists>();
      if (!found.question || !is_path(found.question->dict)) continue;
      if (found.place > 0 && !consists_of_scalars(found.question->dict.type().as<ir::DictType>()->value))
        continue;
      bool shared = has_lookup(branch.on_true, *found.question);
      for (std::size_t i = found.place + 1; i < found.parts.size(); ++i)
        shared = shared || has_lookup(found.parts[i], *found.question);
      if (shared) return found;
    }
  }
  return std::nullopt;
}

ir::Expr shared(GuardedBranch found, ir::Expr expr, ir::Arena& arena) {
  const ir::KeyExists& question = *found.question;
  const ir::Span span = found.beside[found.place_beside].span();
  ir::Expr probe = arena.make<ir::OptLookup>(span, question.dict, question.key);
  probe = arena.with_annotations(probe, found.beside[found.place_beside].annotations());
  if (found.place > 0) {
    const ir::Expr before =
        joined(std::span(found.parts).first(found.place), ir::BinaryOp::kLogicalAnd, arena);
    probe = arena.make<ir::If>(span, before, probe, zero_of(probe.type(), arena));
  }
  const ir::Symbol symbol = arena.fresh_symbol("probe");
  const ir::Expr name = arena.ident(symbol, probe.type(), span);
  const auto replaced = [&](ir::Expr root) {
    return ir::rewrite_bottom_up(root, arena, [&](ir::Expr part) {
      return looks_up(part, question) ? arena.make<ir::GetField>(part.span(), name, 1u) : part;
    });
  };
  found.beside[found.place_beside] = arena.make<ir::GetField>(span, name, 0u);
  std::vector<ir::Expr> parts{joined(found.beside, ir::BinaryOp::kBitAnd, arena)};
  for (std::size_t i = found.place + 1; i < found.parts.size(); ++i)
    parts.push_back(replaced(found.parts[i]));
  const ir::If branch{joined(parts, ir::BinaryOp::kLogicalAnd, arena), replaced(found.branch->on_true),
                      found.branch->on_false};
  return arena.make<ir::Let>(expr.span(), symbol, probe, arena.add(branch, expr.span(), expr.annotations()));
}

}  // namespace

ir::Expr share_probes(ir::Expr root, PassContext& context) {
  ir::Arena& arena = context.arena;
  return ir::rewrite_bottom_up(root, arena, [&](ir::Expr expr) {
    const auto* branch = expr.as<ir::If>();
    if (!branch) return expr;
    const auto found = guarded(*branch);
    return found ? shared(*found, expr, arena) : expr;
  });
}

}  // namespace weld::passes
