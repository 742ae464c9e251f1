#include "parser/elaboration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ir/effects.h"
#include "ir/error.h"
#include "ir/fields.h"

namespace weld::parser {
namespace {

class Elaboration {
 public:
  Elaboration(ir::Arena& arena, Unifier& types, Diagnostics& diagnostics)
      : arena_(arena), types_(types), diagnostics_(diagnostics) {}

  ir::Expr run(const Expanded& expanded) {
    const ir::Expr root = build(expanded.root);
    for (const Tree* function : expanded.unused_functions) build(function);
    for (const ArgumentCheck& check : expanded.checks) check_argument(check);
    if (root && root.type().as<ir::FunctionType>() && !root.is<ir::Lambda>()) {
      diagnostics_.add("the program is a function, but does not begin with its parameters", root.span());
    }
    if (!diagnostics_.empty()) return {};
    for (const auto& [message, span] : not_inferred_) diagnostics_.add(message, span);
    ir::internal_check(root || !diagnostics_.empty(), "a program that cannot be made has an error");
    return diagnostics_.empty() ? root : ir::Expr();
  }

 private:
  struct Step {
    const Tree* tree;
    std::size_t next_part;
    std::size_t base;  // of its parts in `made_`
  };

  // Parts first, from a stack of our own.
  ir::Expr build(const Tree* root) {
    std::vector<Step> steps;
    begin(root, steps);
    while (true) {
      Step& step = steps.back();
      const Tree* tree = step.tree;
      if (step.next_part < tree->parts.size()) {
        if (step.next_part == 1) after_first_part(tree);
        begin(tree->parts[step.next_part++], steps);
        continue;
      }
      const std::size_t base = step.base;
      steps.pop_back();
      const ir::Expr made = make_or_report(tree, std::span(made_).subspan(base));
      made_.resize(base);
      if (steps.empty()) return made;
      made_.push_back(made);
    }
  }

  void begin(const Tree* tree, std::vector<Step>& steps) {
    steps.push_back({tree, 0, made_.size()});
    if (tree->form != TreeForm::kLambda) return;
    for (Variable* parameter : tree->variables) {
      parameter->symbol = arena_.fresh_symbol(parameter->name);
      parameter->made_type = converted(parameter->type, parameter->span,
                                       [&] { return fmt::format("parameter {}", parameter->name); });
    }
  }
  // The name of a `let` is known to its body with the type of its value.
  void after_first_part(const Tree* tree) {
    if (tree->form != TreeForm::kLet && tree->form != TreeForm::kMacroLet) return;
    Variable* variable = tree->variables[0];
    variable->symbol = arena_.fresh_symbol(variable->name);
    variable->made_type = made_.back() ? made_.back().type() : ir::Type();
  }

  // Null, and reported, when it is not known.
  template <class F>
  ir::Type converted(InferredType* type, ir::Span span, F&& what) {
    try {
      const Unifier::Converted converted = types_.convert(type);
      if (converted.outcome == Unifier::Outcome::kUnknown) {
        not_inferred_.emplace_back(fmt::format("the type of {} cannot be inferred", what()), span);
      } else if (converted.outcome == Unifier::Outcome::kEndless) {
        diagnostics_.add(fmt::format("the type of {} would contain itself", what()), span);
      }
      return converted.type;
    } catch (const ir::UserError& error) {
      const ir::Diagnostic& diagnostic = error.diagnostics().front();
      diagnostics_.add(ir::UserError(diagnostic.message, span, diagnostic.code));
      return {};
    }
  }

  ir::Expr make_or_report(const Tree* tree, std::span<const ir::Expr> parts) {
    if (std::ranges::any_of(parts, [](ir::Expr part) { return !part; })) {
      check_vectors(*tree, parts);
      return {};
    }
    try {
      const ir::Expr made = make(*tree, parts);
      if (!made || tree->annotations.empty() || tree->form == TreeForm::kChecked) return made;
      return made.annotations().data() == tree->annotations.data()
                 ? made
                 : arena_.with_annotations(made, tree->annotations);
    } catch (const ir::UserError& error) {
      diagnostics_.add(error);
      return {};
    }
  }

  // What is wrong with a function may only follow from what it is called with: that is the error to report.
  void check_vectors(const Tree& tree, std::span<const ir::Expr> parts) {
    const auto check = [&](ir::Expr vector, std::string_view verb) {
      if (!vector || vector.type().as<ir::VecType>()) return;
      diagnostics_.add(fmt::format("cannot {} {}: a vector is expected", verb, ir::to_string(vector.type())),
                       vector.span());
    };
    if (tree.form == TreeForm::kFor) {
      std::size_t next = 0;
      for (const IteratorAst& iterator : tree.iterators) {
        if (iterator.kind != ir::IteratorKind::kRange) check(parts[next], "iterate over");
        next += iterator.num_parts;
      }
    } else if (tree.form == TreeForm::kCallForm && tree.ast->call_form->keyword == ir::Sort::kKeyword) {
      check(parts[0], "sort");
    }
  }

  ir::Expr add(const Tree& tree, const ir::Node& node) {
    return arena_.add(node, tree.span, tree.annotations);
  }

  ir::Expr make(const Tree& tree, std::span<const ir::Expr> parts) {
    switch (tree.form) {
      case TreeForm::kWrong:
        return {};
      case TreeForm::kLiteral:
        return add(tree, ir::Literal{tree.ast->literal});
      case TreeForm::kString:
        return add(tree, ir::StringLiteral{arena_.keep(tree.ast->text)});
      case TreeForm::kUse: {
        const Variable& variable = *tree.variables[0];
        return variable.made_type ? arena_.ident(variable.symbol, variable.made_type, tree.span) : ir::Expr();
      }
      case TreeForm::kLet:
        return let(tree, parts);
      case TreeForm::kMacroLet:
        return macro_let(tree, parts);
      case TreeForm::kLambda:
        return lambda(tree, parts);
      case TreeForm::kApply:
        return add(tree, ir::Apply{parts[0], arena_.keep(parts.subspan(1))});
      case TreeForm::kCast:
        return add(tree, ir::Cast{static_cast<ir::ScalarKind>(tree.ast->detail), parts[0]});
      case TreeForm::kUnary:
        return add(tree, ir::Unary{static_cast<ir::UnaryOp>(tree.detail), parts[0]});
      case TreeForm::kBinary:
        return add(tree, ir::Binary{static_cast<ir::BinaryOp>(tree.detail), parts[0], parts[1]});
      case TreeForm::kChecked:
        return checked(tree, parts[0]);
      case TreeForm::kStruct:
        return add(tree, ir::MakeStruct{arena_.keep(parts)});
      case TreeForm::kVector: {
        const ir::Type type =
            converted(tree.written, tree.span, [] { return std::string("the vector's elements"); });
        if (!type) return {};
        return add(tree, ir::MakeVector{arena_.keep(parts), type.as<ir::VecType>()->element});
      }
      case TreeForm::kField:
        return add(tree, ir::GetField{parts[0], tree.index});
      case TreeForm::kZip:
        return add(tree, ir::Zip{arena_.keep(parts)});
      case TreeForm::kCallForm:
        return add(tree, tree.ast->call_form->make(parts));
      case TreeForm::kBroadcast:
        return add(tree, ir::Broadcast{parts[0], tree.index});
      case TreeForm::kDeserialize: {
        const ir::Type target = converted(tree.written, tree.span, [] { return std::string("the value"); });
        return target ? add(tree, ir::Deserialize{target, parts[0]}) : ir::Expr();
      }
      case TreeForm::kForeignCall: {
        const ir::Type result =
            converted(tree.written, tree.span, [] { return std::string("the result of cudf"); });
        if (!result) return {};
        return add(tree, ir::ForeignCall{arena_.keep(tree.ast->text), result, arena_.keep(parts)});
      }
      case TreeForm::kFor:
        return loop(tree, parts);
      case TreeForm::kNewBuilder: {
        const ir::Type builder =
            converted(tree.written, tree.span, [] { return std::string("the builder"); });
        if (!builder) return {};
        return add(tree, ir::NewBuilder{builder, parts.empty() ? ir::Expr() : parts[0]});
      }
    }
    return {};
  }

  ir::Expr let(const Tree& tree, std::span<const ir::Expr> parts) {
    const Variable& variable = *tree.variables[0];
    if (parts[0].type().as<ir::FunctionType>() && !variable.function) {
      throw ir::UserError(
          fmt::format("{} is a function that is computed: only a function that is written out "
                      "can have a name",
                      variable.name),
          parts[0].span());
    }
    return add(tree, ir::Let{variable.symbol, parts[0], parts[1]});
  }

  // The rule of LANGUAGE.md §1.7 for arguments that a macro uses more than once.
  ir::Expr macro_let(const Tree& tree, std::span<const ir::Expr> parts) {
    const ir::Symbol symbol = tree.variables[0]->symbol;
    const ir::Expr value = parts[0];
    const bool may_fail = any(value.effects() & (ir::Effects::kMayFail | ir::Effects::kMayDiverge));
    const bool is_free = value.is<ir::Ident>() || value.is<ir::Literal>();
    if (!may_fail && !is_free && !ir::contains_builder(value.type()) &&
        !value.type().as<ir::FunctionType>()) {
      return add(tree, ir::Let{symbol, value, parts[1]});
    }
    if (value.record().num_nodes > ir::Arena::kMaxNodes) {
      throw ir::UserError(
          fmt::format("the program has more than {} nodes once macros are expanded", ir::Arena::kMaxNodes),
          tree.span, ErrorCode::kBudgetExceeded);
    }
    return ir::substitute(parts[1], {{symbol.id(), value}}, arena_);
  }

  ir::Expr lambda(const Tree& tree, std::span<const ir::Expr> parts) {
    std::vector<ir::Parameter> parameters;
    for (const Variable* variable : tree.variables) {
      if (!variable->made_type) return {};
      parameters.push_back({variable->symbol, variable->made_type});
    }
    return add(tree, ir::Lambda{arena_.keep(parameters), parts[0]});
  }

  ir::Expr checked(const Tree& tree, ir::Expr value) {
    const ir::Type written = converted(tree.written, tree.span, [] { return std::string("the value"); });
    if (!written) return {};
    if (written != value.type()) {
      throw ir::UserError(fmt::format("the value has type {}, but {} is expected",
                                      ir::to_string(value.type()), ir::to_string(written)),
                          value.span());
    }
    return value;
  }

  void check_argument(const ArgumentCheck& check) {
    const ir::Type found = check.argument->made_type;
    if (!found) return;
    const ir::Type written =
        converted(check.written, check.span, [] { return std::string("the parameter"); });
    if (written && written != found) {
      diagnostics_.add(fmt::format("the argument has type {}, but {} is expected", ir::to_string(found),
                                   ir::to_string(written)),
                       check.span);
    }
  }

  ir::Expr loop(const Tree& tree, std::span<const ir::Expr> parts) {
    std::vector<ir::Iterator> iterators;
    std::size_t next = 0;
    for (const IteratorAst& written : tree.iterators) {
      ir::Iterator iterator{.kind = written.kind};
      const std::array<ir::Expr*, 6> places = {&iterator.data,   &iterator.start, &iterator.end,
                                               &iterator.stride, &iterator.shape, &iterator.strides};
      const std::size_t first = written.kind == ir::IteratorKind::kRange ? 1 : 0;
      for (std::size_t i = 0; i < written.num_parts; ++i) *places[first + i] = parts[next++];
      iterators.push_back(iterator);
    }
    const ir::Expr lanes = tree.ast->detail != 0 ? parts[next + 2] : ir::Expr();
    return add(tree, ir::For{arena_.keep(iterators), parts[next], parts[next + 1], lanes});
  }

  ir::Arena& arena_;
  Unifier& types_;
  Diagnostics& diagnostics_;
  std::vector<ir::Expr> made_;
  std::vector<std::pair<std::string, ir::Span>> not_inferred_;
};

}  // namespace

ir::Expr elaborate(const Expanded& expanded, ir::Arena& arena, Unifier& types, Diagnostics& diagnostics) {
  return Elaboration(arena, types, diagnostics).run(expanded);
}

}  // namespace weld::parser
