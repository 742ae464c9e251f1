#pragma once

#include <vector>

#include "parser/ast.h"
#include "parser/diagnostics.h"
#include "parser/unification.h"

namespace weld::parser {

struct Tree;
struct Alias;

/// What a name stands for, in one expansion of its scope.
struct Variable {
  std::string_view name;
  ir::Span span;
  InferredType* type = nullptr;
  const Tree* function = nullptr;  ///< a lambda that is kept under its name (internal form); else null
  Alias* aliases = nullptr;        ///< builders that are filled by a loop at the moment
  Alias* parameter_of = nullptr;   ///< the loop whose builder this is
  ir::Symbol symbol = {};          ///< set when nodes are made
  ir::Type made_type = {};         ///< null until its value or parameter is made, and when that went wrong
};

enum class TreeForm : std::uint8_t {
  kWrong,  // reported already
  kLiteral,
  kString,
  kUse,       // variables: the one used
  kLet,       // variables: the one bound; parts: value, body
  kMacroLet,  // the same for an argument of a macro that is used more than once
  kLambda,    // variables: parameters; part: body
  kApply,     // parts: function, arguments
  kCast,
  kUnary,    // detail: op
  kBinary,   // detail: op
  kChecked,  // part: a value that must have the type `written`
  kStruct,
  kVector,  // written: the vector type
  kField,   // index
  kZip,
  kCallForm,
  kBroadcast,    // index: lanes
  kDeserialize,  // written: the target
  kForeignCall,  // written: the result
  kFor,          // iterators; parts as in Form::kFor
  kNewBuilder,   // written: the builder
};

/// An expression with names resolved, macros and calls expanded, and types under inference: what is left is
/// to make the nodes.
struct Tree {
  TreeForm form;
  std::uint8_t detail = 0;
  std::uint32_t index = 0;
  const Ast* ast = nullptr;
  ir::Span span;
  ir::Annotations annotations;
  InferredType* type = nullptr;
  InferredType* written = nullptr;
  std::span<Tree* const> parts = {};
  std::span<Variable* const> variables = {};
  std::span<const IteratorAst> iterators = {};
};

/// An argument that takes the place of a parameter with a written type.
struct ArgumentCheck {
  const Variable* argument;
  InferredType* written;
  ir::Span span;
};

struct Expanded {
  Tree* root = nullptr;
  std::vector<Tree*> unused_functions;  ///< `let`-bound, never called, yet typed: to be checked
  std::vector<ArgumentCheck> checks;
};

struct ExpansionOptions {
  bool keep_functions = false;  ///< leave `let`-bound lambdas with typed parameters where they are
};

/// Expands and types a program (LANGUAGE.md §1.4 to §1.7).
///
/// \param source  of the program's text
///
/// Errors  added to `diagnostics`; UserError (BudgetExceeded) when the expansion is too large or too deep.
Expanded expand_program(const ProgramAst& program, const ir::Source& source, Pool& pool, ir::Arena& arena,
                        Unifier& types, Diagnostics& diagnostics, const ExpansionOptions& options);

}  // namespace weld::parser
