#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "codegen/dead_vectors.h"
#include "codegen/llvm_types.h"
#include "codegen/probe_style.h"
#include "ir/error.h"
#include "ir/fields.h"
#include "ir/typing.h"
#include "runtime/abi.h"
#include "runtime/layout.h"
#include "runtime/loop_statistics.h"

namespace weld::codegen {

struct PlaceVectors;
struct MergeRecords;

using LeafValues = llvm::SmallVector<llvm::Value*, 4>;

/// A value of the program while its code is written: the leaves of its type (llvm_types.h).
struct Value {
  ir::Type type;
  LeafValues leaves;

  llvm::Value* scalar() const { return leaves.front(); }
};

/// What a merge into a groupmerger does: values are logged with their entries, or only the entries, and the
/// loop's body runs once more to put the values where they belong (runtime/group.cpp).
enum class GroupPass : std::uint8_t { kLog, kCount, kPlace };

struct EmitOptions {
  bool deterministic = true;
  bool allow_fma = false;
  bool statistics = false;                  ///< code tells what its loops do (runtime/loop_statistics.h)
  ProbeStyle probes = ProbeStyle::kChosen;  ///< where no annotation says it
  runtime::GroupImpl groups = runtime::GroupImpl::kChosen;  ///< where no annotation says it
  bool dense_dictmergers = false;  ///< those that may be dense are so from the beginning, likewise
  int vector_bits = 128;           ///< of a register
  /// The narrowest integers of which a vector can be compressed by an instruction; 0: there is none.
  int narrowest_compress_bits = 0;
  bool has_masks = false;  ///< loads and arithmetic under a mask are single instructions
};

/// What values are compared for.
enum class Ordering : std::uint8_t {
  kLanguage,  ///< `==`, `<`, …: NaN differs from everything
  kTotal,     ///< keys and sorting: −0 = +0, NaN = NaN, and NaN comes last
};

/// Keeps foreign functions apart from ours.
inline constexpr std::string_view kForeignPrefix = "foreign.";

enum class LoopLength : std::uint8_t { kShort, kLong };

/// A C function that the program calls, and where.
struct ForeignSymbol {
  std::string name;
  ir::Span span;
};

/// What compiled code refers to by index, kept beside it.
struct ProgramConstants {
  ir::Arena& arena;  ///< of the optimised program
  runtime::Layouts layouts{};
  std::vector<const runtime::TypeLayout*> used_layouts{};  ///< by the `layout` index of runtime/calls.h
  std::vector<ir::Span> spans{};                           ///< by the span index of weld_rt_fail
  std::vector<runtime::LoopSite> loops{};                  ///< by the site of LoopDescriptor
  std::vector<ForeignSymbol> foreign_symbols{};  ///< each once; in code `kForeignPrefix` stands before them
};

/// The LLVM module of one program.
class ModuleEmitter {
 public:
  /// `runtime` declares what generated code may call (runtime/bitcode.h), in the same LLVM context.
  ModuleEmitter(llvm::Module& module, const llvm::Module& runtime, const EmitOptions& options,
                ProgramConstants& constants);

  /// Writes `weld_main` (abi.h: ProgramMain) for a lambda, or an expression without free symbols.
  void emit_program(ir::Expr program);

  llvm::Module& module() { return module_; }
  llvm::LLVMContext& context() { return module_.getContext(); }
  TypeMap& types() { return types_; }
  const EmitOptions& options() const { return options_; }
  std::uint32_t max_math_lanes(ir::ScalarKind kind) const {
    return static_cast<std::uint32_t>(options_.vector_bits / ir::bit_width(kind));
  }
  const runtime::TypeLayout& layout(ir::Type type) { return constants_.layouts.of(type); }

  // Types that the program does not name.
  ir::Type struct_type(const std::vector<ir::Type>& members) {
    return constants_.arena.structure(std::span(members));
  }
  ir::Type simd_type(ir::ScalarKind kind) { return constants_.arena.simd(kind); }
  ir::Type vector_type(ir::Type element) { return constants_.arena.vec(element); }
  ir::Type merge_type(ir::Type builder) { return ir::merge_type(builder, constants_.arena); }

  /// A function of runtime/calls.h or runtime/bitcode, declared as there.
  llvm::Function* runtime_function(std::string_view name);
  /// A function defined outside of the module, without side effects if `pure`.
  llvm::Function* external_function(std::string_view symbol, llvm::FunctionType* type, bool pure);

  /// The C function that a cudf names, whose parameters are all pointers.
  llvm::Function* foreign_function(std::string_view name, std::size_t num_parameters, ir::Span span);

  /// Loops that LLVM should turn into vectors.
  void note_long_loop() { has_long_loops_ = true; }
  bool has_long_loops() const { return has_long_loops_; }

  std::uint32_t layout_index(ir::Type type);
  std::uint32_t span_index(ir::Span span);
  /// The index of a loop's entry in the program's table: that of the same place and depth, or a new one.
  std::uint32_t loop_site(runtime::LoopSite site);

  /// A new internal function; by default one that returns an ErrorCode.
  llvm::Function* add_function(const std::string& name, llvm::ArrayRef<llvm::Type*> parameters,
                               llvm::Type* result = nullptr);
  /// A function that depends on a type and a variant number only: made, and filled by `write`, at the first
  /// call.
  llvm::Function* shared_function(const std::string& name, ir::Type type, int variant,
                                  llvm::ArrayRef<llvm::Type*> parameters, llvm::Type* result,
                                  const std::function<void(llvm::Function*)>& write);

 private:
  struct SharedFunction {
    std::string name;
    ir::Type type;
    int variant;
    llvm::Function* function;
  };

  llvm::Module& module_;
  const llvm::Module& runtime_;
  EmitOptions options_;
  ProgramConstants& constants_;
  TypeMap types_;
  std::unordered_map<std::uint64_t, std::uint32_t> span_indices_;
  std::vector<SharedFunction> shared_;
  bool has_long_loops_ = false;
};

/// What a program does with a dictionary that a loop fills.
struct DictUse {
  bool keeps_order = true;  ///< looks at the entries, and the order of their first merge matters
  bool has_slots = true;    ///< looks keys up
};
/// By what is done with the name that a `let` gives it.
DictUse dict_use(ir::Symbol dict, ir::Expr scope);

/// Writes one LLVM function: expressions of the program and the code around them.
///
/// Errors at run time leave the function with their code (abi.h), through the error blocks of the scopes that
/// are open at that place. Code is written in program order, so that the first error is the one reported.
class Emitter {
 public:
  /// For a function whose first parameter is the worker.
  Emitter(ModuleEmitter& module, llvm::Function* function);

  /// Writes the code of an expression. Recursive over nesting, in a loop over chains of `let`.
  Value emit(ir::Expr expr);
  llvm::Value* emit_scalar(ir::Expr expr) { return emit(expr).scalar(); }

  void bind(ir::Symbol symbol, Value value) { symbols_[symbol.id()] = std::move(value); }
  /// Binds a value whose leaves are made where they are first needed: each by `load`, at the emitter's place.
  /// A leaf that was made in a part that may be skipped is made again after it.
  using LoadLeaf = std::function<llvm::Value*(std::size_t leaf)>;
  void bind_lazily(ir::Symbol symbol, ir::Type type, LoadLeaf load);
  Value bound(ir::Symbol symbol);
  /// A field of a symbol bound lazily, or a field of such a field; nothing for other expressions.
  std::optional<Value> lazy_field(ir::Expr expr);

  /// Notes that the lanes are first, first + 1, …
  void note_counting(llvm::Value* lanes, llvm::Value* first) { counting_[lanes] = first; }
  /// `first` of such lanes; null for others.
  llvm::Value* counts_from(llvm::Value* lanes) const {
    const auto found = counting_.find(lanes);
    return found == counting_.end() ? nullptr : found->second;
  }
  /// Notes that the data is inside of a vector.
  void note_part(llvm::Value* data) { parts_.insert(data); }
  bool is_part(llvm::Value* data) const { return parts_.contains(data); }
  /// Notes that the first `count` lanes of a mask are true, and no others.
  void note_first_lanes(llvm::Value* mask, llvm::Value* count) { first_lanes_[mask] = count; }
  /// `count` of such a mask; null for others.
  llvm::Value* first_lanes_of(llvm::Value* mask) const {
    const auto found = first_lanes_.find(mask);
    return found == first_lanes_.end() ? nullptr : found->second;
  }
  /// Where merges of lanes into the vecmerger with that data go instead (builders/builder.h); null: nowhere.
  void note_place_vectors(llvm::Value* data, const PlaceVectors* vectors) { place_vectors_[data] = vectors; }
  const PlaceVectors* place_vectors(llvm::Value* data) const {
    const auto found = place_vectors_.find(data);
    return found == place_vectors_.end() ? nullptr : found->second;
  }
  /// Where merges into vecmergers of this function are recorded instead (builders/builder.h); null: they
  /// merge.
  const MergeRecords* merge_records() const { return merge_records_; }
  void set_merge_records(const MergeRecords* records) { merge_records_ = records; }
  /// Whether elements whose places are known before should go past the caches: a bool, or null for no.
  llvm::Value* streams() const { return streams_; }
  void set_streams(llvm::Value* streams) { streams_ = streams; }

  /// Vectors to free once the value of a `let` is there.
  void set_dead_vectors(DeadVectors dead) { dead_vectors_ = std::move(dead); }

  /// What the dictionary that the loop fills is for.
  void note_dict_use(ir::Expr loop, DictUse use) { dict_uses_[&loop.record()] = use; }
  DictUse noted_dict_use(ir::Expr loop) const {
    const auto found = dict_uses_.find(&loop.record());
    return found == dict_uses_.end() ? DictUse{} : found->second;
  }

  /// Which pass of a groupmerger this function is.
  GroupPass group_pass() const { return group_pass_; }
  void set_group_pass(GroupPass pass) { group_pass_ = pass; }

  /// Whether what is made here lives as long as the builder of the loop around, as its merged values point to
  /// it.
  bool keeps_memory() const { return keeps_memory_; }
  void set_keeps_memory(bool keeps) { keeps_memory_ = keeps; }

  /// Symbols whose builders belong to an enclosing loop: its parameter, and what was merged into since.
  void mark_loop_state(ir::Symbol symbol) { loop_states_.insert(symbol.id()); }
  bool is_loop_state(ir::Symbol symbol) const { return loop_states_.contains(symbol.id()); }
  bool derives_from_loop(ir::Expr builder) const;
  /// Counts in `slots` (i64, one a builder inside of `type`; null: not counted) what is merged into the
  /// builders of that symbol.
  void count_merges_of(ir::Symbol symbol, ir::Type type, std::vector<llvm::AllocaInst*> slots) {
    merge_counts_[symbol.id()] = {type, std::move(slots)};
  }
  /// Counts one merge into a builder that such a symbol stands behind; of lanes, those where `mask` is true
  /// (null: all `lanes`).
  void count_merge(ir::Expr builder, std::uint32_t lanes, llvm::Value* mask);

  /// How many loops of the program this function's code is inside of.
  int loop_depth() const { return loop_depth_; }
  void set_loop_depth(int depth) { loop_depth_ = depth; }

  /// Returns success, and completes the function: to be called once, last.
  void finish();

  // --- Memory.
  Value load(ir::Type type, llvm::Value* address);
  /// The same of memory that may come from outside: a malformed vector in it is the error kArrayOutOfBounds.
  Value load_element(ir::Type type, llvm::Value* address, ir::Span span);
  /// Whether that is no vector: a negative length, or a length and no data.
  llvm::Value* is_malformed(llvm::Value* data, llvm::Value* length);
  void store(const Value& value, llvm::Value* address);
  llvm::Value* load_leaf(const Leaf& leaf, llvm::Value* address);
  void store_leaf(const Leaf& leaf, llvm::Value* value, llvm::Value* address);
  /// Memory in the function's frame, cleared never.
  llvm::AllocaInst* frame(std::int64_t bytes, std::int64_t align_bytes, const llvm::Twine& name = "");
  llvm::AllocaInst* frame(llvm::Type* type, const llvm::Twine& name = "");
  llvm::AllocaInst* frame(ir::Type type);
  llvm::Value* offset(llvm::Value* address, std::int64_t bytes);
  /// The address of an element of `bytes` each.
  llvm::Value* element_address(llvm::Value* data, llvm::Value* index, std::int64_t bytes);
  llvm::Value* load_field(llvm::Type* type, llvm::Value* structure, std::size_t offset_bytes);
  void store_field(llvm::Value* value, llvm::Value* structure, std::size_t offset_bytes);
  /// A new block, or the error kOutOfMemory.
  llvm::Value* allocate(llvm::Value* bytes, ir::Span span);
  /// `count * bytes_each` as signed 64-bit, or the error kOutOfMemory where that overflows.
  llvm::Value* checked_bytes(llvm::Value* count, std::int64_t bytes_each, ir::Span span);

  // --- Control.
  llvm::BasicBlock* block(const llvm::Twine& name);
  void fail(ErrorCode code, ir::Span span);  ///< ends the current block
  void fail_if(llvm::Value* condition, ErrorCode code, ir::Span span);
  /// In one branch, which costs LLVM less than one each; none for no conditions.
  void fail_if_any(llvm::ArrayRef<llvm::Value*> conditions, ErrorCode code, ir::Span span);
  /// Leaves the function if `code` is not kSuccess, reporting the place (if it is known).
  void check(llvm::Value* code, ir::Span span);
  /// Leaves with a code that was reported already, if it is not kSuccess.
  void propagate(llvm::Value* code);
  /// The same whatever it is: ends the current block.
  void leave_with(llvm::Value* code);
  void poll();
  /// Writes `on_true` and `on_false` in blocks of their own, and joins their values.
  Value branch(llvm::Value* condition, const std::function<Value()>& on_true,
               const std::function<Value()>& on_false);
  /// Writes a part of the code that may be skipped, or run several times.
  template <class F>
  void part(F&& write) {
    const std::size_t mark = loaded_.size();
    write();
    forget_loaded(mark);
  }
  /// Writes `body` where the condition holds.
  void when(llvm::Value* condition, const std::function<void()>& body);
  /// Counts from 0 to `count`, `count` excluded. Loops that are seldom long are not worth LLVM's time to
  /// vectorise them.
  void count_loop(llvm::Value* count, const std::function<void(llvm::Value* index)>& body,
                  LoopLength length = LoopLength::kShort);
  /// Code between these two sees a run-time scope of its own (runtime/abi.h), freed on all ways out.
  llvm::Value* open_scope();
  void close_scope(llvm::Value* scope);
  /// On errors until popped, `cleanup` is written before the function is left.
  void push_cleanup(std::function<void()> cleanup) {
    error_targets_.push_back({nullptr, nullptr, std::move(cleanup)});
  }
  void pop_cleanup();
  /// Where errors go instead of leaving the function: a block that has no code yet.
  struct Caught {
    llvm::BasicBlock* block = nullptr;  ///< null: nothing fails
    llvm::Value* code = nullptr;        ///< reported already (weld_rt_fail)
  };
  /// Errors until popped are caught.
  void push_catch() { error_targets_.push_back({nullptr, nullptr, nullptr}); }
  Caught pop_catch();

  // --- Calls.
  llvm::CallInst* call(std::string_view name, llvm::ArrayRef<llvm::Value*> arguments);
  llvm::CallInst* call(llvm::Function* function, llvm::ArrayRef<llvm::Value*> arguments);

  // --- Constants.
  llvm::ConstantInt* i64(std::int64_t value) { return ir.getInt64(static_cast<std::uint64_t>(value)); }
  llvm::ConstantInt* i32(std::uint32_t value) { return ir.getInt32(value); }
  llvm::Constant* scalar_constant(ir::ScalarValue value);
  llvm::ConstantPointerNull* null() { return llvm::ConstantPointerNull::get(ir.getPtrTy()); }
  Value zero(ir::Type type);

  const FlatType& flat(ir::Type type) { return module.types().flat(type); }
  Value member(const Value& structure, std::uint32_t index);
  Value structure(ir::Type type, llvm::ArrayRef<Value> members);

  // --- Scalars and lanes (scalars.cpp).
  llvm::Value* unary(ir::UnaryOp op, ir::Type type, llvm::Value* value);
  llvm::Value* binary(ir::BinaryOp op, ir::Type type, llvm::Value* left, llvm::Value* right, ir::Span span);
  llvm::Value* cast(ir::Type from, ir::ScalarKind to, llvm::Value* value);
  llvm::Value* merge_scalars(ir::MergeOp op, ir::ScalarKind kind, llvm::Value* left, llvm::Value* right);
  /// Leaf by leaf, for scalars and structs of scalars.
  Value merge_values(ir::MergeOp op, const Value& left, const Value& right);
  Value identity(ir::MergeOp op, ir::Type type);

  // --- Comparing and hashing values of any type (comparison.cpp).
  llvm::Value* compare(ir::BinaryOp op, const Value& left, const Value& right);
  /// i32: −1, 0 or 1 in the total order of sort keys.
  llvm::Value* total_order(const Value& left, const Value& right);
  llvm::Value* keys_equal(const Value& left, const Value& right);
  /// The hash of a key with those leaves (runtime/hash.h). All leaves may be lanes, of scalars.
  llvm::Value* hash(ir::Type type, llvm::ArrayRef<llvm::Value*> leaves, llvm::Value* seed);
  /// A key as dictionaries store it: −0 and NaNs of scalars made canonical, in structs too.
  Value canonical_key(const Value& key);

  ModuleEmitter& module;
  llvm::Function* function;
  llvm::IRBuilder<> ir;
  llvm::Value* worker;

 private:
  struct ErrorTarget {
    llvm::BasicBlock* block;
    llvm::PHINode* code;
    std::function<void()> cleanup;
  };

  struct LazyValue {
    ir::Type type;
    LoadLeaf load;
    std::vector<llvm::Value*> leaves;  // null: not made yet
  };
  struct LoadedLeaf {
    std::uint64_t symbol;
    std::size_t leaf;
  };

  struct MergeSlots {
    ir::Type type;
    std::vector<llvm::AllocaInst*> slots;
  };

  void free_dead_vectors(ir::Symbol let);
  void forget_loaded(std::size_t mark);
  Value lazy_leaves(std::uint64_t symbol, ir::Type type, std::size_t first, std::size_t count);

  std::unordered_map<std::uint64_t, Value> symbols_;
  std::unordered_map<std::uint64_t, LazyValue> lazy_;
  std::vector<LoadedLeaf> loaded_;  // in the order of their making
  std::unordered_map<llvm::Value*, llvm::Value*> counting_;
  std::unordered_set<llvm::Value*> parts_;
  std::unordered_map<llvm::Value*, llvm::Value*> first_lanes_;
  std::unordered_map<llvm::Value*, const PlaceVectors*> place_vectors_;
  const MergeRecords* merge_records_ = nullptr;
  llvm::Value* streams_ = nullptr;
  DeadVectors dead_vectors_;
  std::unordered_map<const void*, DictUse> dict_uses_;  // by the record of the loop
  GroupPass group_pass_ = GroupPass::kLog;
  bool keeps_memory_ = false;
  std::unordered_set<std::uint64_t> loop_states_;
  std::unordered_map<std::uint64_t, MergeSlots> merge_counts_;  // by symbol
  std::unordered_map<std::uint64_t, ir::Expr> named_builders_;  // what symbols are bound to
  int loop_depth_ = 0;
  std::vector<ErrorTarget> error_targets_;  // the outermost returns
};

/// Lowering of the parts of expressions that fill a file of their own.
Value emit_loop(Emitter& emitter, ir::Expr loop);
/// The result of a loop into a new groupmerger that may run twice, as its iterations cost little, allocate
/// nothing and have no effects; nothing for other results, and where `impl:local` asks for a log of the
/// values.
std::optional<Value> emit_grouped(Emitter& emitter, ir::Expr result);
Value emit_variants(Emitter& emitter, ir::Expr variants);
Value emit_gather(Emitter& emitter, ir::Expr gather);
Value emit_lookup_lanes(Emitter& emitter, ir::Expr lookup_lanes);
Value emit_optlookup_lanes(Emitter& emitter, ir::Expr optlookup_lanes);
Value emit_any_lane(Emitter& emitter, ir::Expr any_lane);
Value emit_map_lanes(Emitter& emitter, ir::Expr map_lanes);
Value emit_for_lanes(Emitter& emitter, ir::Expr for_lanes);
Value emit_iterate(Emitter& emitter, ir::Expr iterate);
Value emit_sort(Emitter& emitter, ir::Expr sort);
Value emit_foreign_call(Emitter& emitter, ir::Expr foreign_call);
Value emit_serialize(Emitter& emitter, ir::Expr serialize);
Value emit_deserialize(Emitter& emitter, ir::Expr deserialize);

}  // namespace weld::codegen
