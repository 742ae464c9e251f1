#include "ir/fragment.h"

#include <unordered_map>
#include <unordered_set>

#include "ir/error.h"
#include "ir/fields.h"

namespace weld::ir {

struct Fragment::Record {
  // Declared first, so that it dies last: what follows refers to it.
  Arena arena;
  std::vector<Fragment> operands;
  Symbol symbol;  // what stands for this fragment in the expressions of others
  Type type;
  Expr expr;  // null: an input
  BoundInput input;

  Record() = default;
  ~Record();
};

// Chains of fragments are released in a loop: a record that dies while another one's operands are being
// released leaves its own to that loop.
Fragment::Record::~Record() {
  thread_local std::vector<Fragment>* pending = nullptr;
  if (pending) {
    for (Fragment& operand : operands) pending->push_back(std::move(operand));
    return;
  }
  std::vector<Fragment> chain = std::move(operands);
  pending = &chain;
  while (!chain.empty()) {
    const Fragment last = std::move(chain.back());
    chain.pop_back();
  }
  pending = nullptr;
}

namespace {

// The type in an arena of its own.
Type clone_type(Type type, Arena& arena) {
  Arena scratch;
  const Expr use = scratch.ident(scratch.fresh_symbol("x"), type);
  return clone_fresh(use, arena).type();
}

}  // namespace

Fragment Fragment::input(Type type, const void* data, std::shared_ptr<const void> keep_alive,
                         std::string_view name) {
  auto record = std::make_shared<Record>();
  record->type = clone_type(type, record->arena);
  record->symbol = record->arena.fresh_symbol(name);
  record->input = {record->type, data, std::move(keep_alive)};
  return Fragment(std::move(record));
}

Fragment::Draft::Draft(std::span<const Fragment> operands) : record_(std::make_shared<Record>()) {
  record_->operands.assign(operands.begin(), operands.end());
  for (const Fragment& operand : operands) {
    internal_check(static_cast<bool>(operand), "an operand is not null");
    exprs_.push_back(record_->arena.ident(operand.record_->symbol, operand.record_->type));
  }
}

Arena& Fragment::Draft::arena() {
  return record_->arena;
}

Fragment Fragment::Draft::finish(Expr expr) && {
  internal_check(expr && !expr.type().as<FunctionType>(), "a fragment is a value");
  record_->expr = expr;
  record_->type = expr.type();
  record_->symbol = record_->arena.fresh_symbol("step");
  return Fragment(std::move(record_));
}

Type Fragment::type() const {
  return record_->type;
}
bool Fragment::is_input() const {
  return !record_->expr;
}
std::span<const Fragment> Fragment::operands() const {
  return record_->operands;
}

FragmentProgram assemble(const Fragment& root) {
  internal_check(static_cast<bool>(root), "the root is not null");
  using Record = Fragment::Record;

  // Operands first, each fragment once.
  std::vector<const Record*> order;
  std::unordered_set<const Record*> seen;
  struct Visit {
    const Record* record;
    std::size_t next_operand;
  };
  std::vector<Visit> stack{{root.record_.get(), 0}};
  seen.insert(root.record_.get());
  while (!stack.empty()) {
    auto& [record, next_operand] = stack.back();
    if (next_operand == record->operands.size()) {
      order.push_back(record);
      stack.pop_back();
      continue;
    }
    const Record* operand = record->operands[next_operand++].record_.get();
    if (seen.insert(operand).second) stack.push_back({operand, 0});
  }

  // Bound together under the fragments' own symbols, then copied under fresh ones.
  Arena scratch;
  FragmentProgram program{.arena = std::make_shared<Arena>()};
  std::vector<Parameter> parameters;
  const Record* last = order.back();
  Expr body = last->expr ? last->expr : scratch.ident(last->symbol, last->type);
  for (std::size_t i = order.size(); i-- > 0;) {
    const Record* record = order[i];
    program.arena->keep_sources_of(record->arena);
    if (record->expr && record != last)
      body = scratch.make<Let>(record->expr.span(), record->symbol, record->expr, body);
  }
  for (const Record* record : order) {
    if (record->expr) continue;
    parameters.push_back({record->symbol, record->type});
    program.inputs.push_back(record->input);
  }
  const Expr lambda = scratch.make<Lambda>(last->expr ? last->expr.span() : Span(), parameters, body);
  program.lambda = clone_fresh(lambda, *program.arena);
  const auto& cloned = *program.lambda.as<Lambda>();
  for (std::size_t i = 0; i < program.inputs.size(); ++i) program.inputs[i].type = cloned.parameters[i].type;
  return program;
}

}  // namespace weld::ir
