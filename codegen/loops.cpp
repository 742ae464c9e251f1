#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <cstddef>
#include <optional>

#include "codegen/builders/builder.h"
#include "codegen/loop_body.h"
#include "codegen/loop_in_place.h"
#include "codegen/loop_iterators.h"
#include "codegen/loop_plan.h"
#include "ir/equality.h"
#include "ir/reduction_order.h"
#include "passes/expression_cost.h"
#include "runtime/recorded_merge.h"

// A `for` becomes a function `body(worker, captures, begin, end, partial)` (runtime/abi.h: LoopBody) that
// runs a part of its iterations. Short loops, and loops on one thread, call it directly with the builder's
// state as partial; long ones hand it to weld_rt_run_loop, with functions that make partial states and
// combine them.

namespace weld::codegen {
namespace {

using ir::ScalarKind;

const ir::Type kI64Type = ir::Type::scalar(ScalarKind::kI64);

// Loops that are deeper inside of others run where they are: each more that may be shared is more code.
constexpr int kMaxForkingDepth = 3;

std::string variant_name(ir::Expr loop) {
  const ir::Annotation* name = ir::find_annotation(loop.annotations(), "variant");
  return name ? std::string(name->value) : "plain";
}

bool is_same_iterator(const ir::Iterator& left, const ir::Iterator& right) {
  return left.kind == right.kind && ir::alpha_equal(left.data, right.data) &&
         ir::alpha_equal(left.start, right.start) && ir::alpha_equal(left.end, right.end) &&
         ir::alpha_equal(left.stride, right.stride) && ir::alpha_equal(left.shape, right.shape) &&
         ir::alpha_equal(left.strides, right.strides);
}

// Whether one loop's function can take the place of the other's for a part of the iterations.
bool have_same_frame(Emitter& emitter, ir::Expr left, ir::Expr right) {
  const auto* one = left.as<ir::For>();
  const auto* other = right.as<ir::For>();
  if (!other || !ir::alpha_equal(one->builder, other->builder) ||
      !std::ranges::equal(one->iterators, other->iterators, is_same_iterator))
    return false;
  const bool deterministic = emitter.module.options().deterministic;
  const bool derived = emitter.derives_from_loop(one->builder);
  const LoopPlan plan = plan_loop(left, derived, deterministic);
  const LoopPlan other_plan = plan_loop(right, derived, deterministic);
  if (plan.block_iterations != other_plan.block_iterations || plan.may_fork != other_plan.may_fork ||
      plan.allocates != other_plan.allocates)
    return false;
  for (std::size_t i = 0; i < plan.builders.size(); ++i) {
    const LoopBuilder& builder = plan.builders[i];
    const LoopBuilder& other_builder = other_plan.builders[i];
    const bool makes_room = builder.type.as<ir::AppenderType>();
    if (makes_room && (builder.merges.least != other_builder.merges.least ||
                       builder.merges.most != other_builder.merges.most))
      return false;
  }
  return true;
}

runtime::GroupImpl group_impl(Emitter& emitter, const ir::For& loop) {
  const ir::Annotation* impl = ir::find_annotation(loop.builder.annotations(), "impl");
  if (!impl) return emitter.module.options().groups;
  if (impl->value == "local") return runtime::GroupImpl::kLocal;
  if (impl->value == "global") return runtime::GroupImpl::kGlobal;
  return impl->value == "partitioned" ? runtime::GroupImpl::kPartitioned : runtime::GroupImpl::kChosen;
}

class LoopEmitter {
 public:
  /// `others`: variants of the loop, with the same iterators and builder.
  LoopEmitter(Emitter& emitter, ir::Expr loop, std::span<const ir::Expr> others = {},
              GroupPass group_pass = GroupPass::kLog)
      : emitter_(emitter),
        ir_(emitter.ir),
        loop_(loop),
        node_(*loop.as<ir::For>()),
        others_(others),
        group_pass_(group_pass) {}

  // Of a loop whose only builder is a new groupmerger, which has nothing before: fills it without its values,
  // and runs once more to place them.
  Value emit_grouped(ir::Expr result) {
    emit();
    return {result.type(), {groups_}};
  }

  Value emit() {
    iterators_ = evaluate_iterators(emitter_, node_);
    builder_ = emitter_.emit(node_.builder);
    count_ = count_iterations(emitter_, iterators_, loop_.span());
    derived_ = emitter_.derives_from_loop(node_.builder);
    plan_ = plan_loop(loop_, derived_, emitter_.module.options().deterministic);
    place_builders();
    if (!emitter_.module.options().statistics) return emit_placed();
    llvm::Value* frame = emitter_.frame(sizeof(runtime::LoopFrame), alignof(runtime::LoopFrame));
    emitter_.call("weld_rt_loop_begin", {emitter_.worker, frame, emitter_.i32(site())});
    const Value state = emit_placed();
    emitter_.call("weld_rt_loop_end", {emitter_.worker, frame, emitter_.i32(site()), count_});
    return state;
  }

 private:
  Value emit_placed() {
    if (group_pass_ == GroupPass::kCount) return emit_both_runs();
    LoopInPlace in_place(emitter_, loop_, plan_, iterators_, count_, builder_);
    const std::int64_t most = in_place.most_in_order();
    if (most == 0) return emit_in_function();
    return emitter_.branch(
        ir_.CreateICmpSLE(count_, emitter_.i64(most)), [&] { return in_place.write_in_order(site()); },
        [&] { return in_place.most_in_lanes() > 0 ? emit_in_lanes(in_place) : emit_in_function(); });
  }

  // In lanes where the loop stands, or in a function where it is longer, or a lane fails.
  Value emit_in_lanes(LoopInPlace& in_place) {
    llvm::AllocaInst* state = emitter_.frame(builder_.type);
    llvm::BasicBlock* in_lanes = emitter_.block("in_lanes");
    llvm::BasicBlock* in_function = emitter_.block("in_function");
    llvm::BasicBlock* done = emitter_.block("done");
    ir_.CreateCondBr(ir_.CreateICmpSLE(count_, emitter_.i64(in_place.most_in_lanes())), in_lanes,
                     in_function);
    ir_.SetInsertPoint(in_lanes);
    LoopInPlace::Written written;
    emitter_.part([&] { written = in_place.write_in_lanes(site()); });
    emitter_.store(written.state, state);
    ir_.CreateBr(done);
    if (written.failed) {
      ir_.SetInsertPoint(written.failed);
      ir_.CreateBr(in_function);
    }
    ir_.SetInsertPoint(in_function);
    emitter_.part([&] { emitter_.store(emit_in_function(), state); });
    ir_.CreateBr(done);
    ir_.SetInsertPoint(done);
    return emitter_.load(builder_.type, state);
  }

  // Long loops leave it to the run-time how they group.
  Value emit_both_runs() {
    constexpr std::int64_t kShort = 256 * 1024;
    emitter_.store_field(emitter_.i64(0), builder_.scalar(), offsetof(runtime::GroupBuilder, logged_bytes));
    note_iterations(emitter_, builder_, emitter_.i64(0), count_);
    captured_ = captured_symbols();
    captures_type_ = captures_type();
    body_ = write_body(loop_);
    store_captures();
    const runtime::GroupImpl impl = group_impl(emitter_, node_);
    const bool may_partition = plan_.may_fork && impl != runtime::GroupImpl::kGlobal &&
                               plan_.builders.front().merges.most.value_or(0) > 0;
    if (may_partition) descriptor();  // the functions of the first run
    group_pass_ = GroupPass::kPlace;
    llvm::Function* place = write_body(loop_);
    group_pass_ = GroupPass::kCount;
    llvm::AllocaInst* slot = emitter_.frame(ir_.getPtrTy());
    const auto run_twice = [&] {
      const Value group = run();
      emitter_.check(
          emitter_.call("weld_rt_group_place", {emitter_.worker, group.scalar(), place, captures_, slot}),
          loop_.span());
      return Value{};
    };
    const auto leave_to_runtime = [&] {
      emitter_.propagate(emitter_.call(
          "weld_rt_group_loop",
          {emitter_.worker, builder_.scalar(), group_loop(place, impl), captures_, count_, slot}));
      return Value{};
    };
    if (!may_partition) {
      run_twice();
    } else if (impl == runtime::GroupImpl::kPartitioned) {
      leave_to_runtime();
    } else {
      emitter_.branch(ir_.CreateICmpSGT(count_, emitter_.i64(kShort)), leave_to_runtime, run_twice);
    }
    groups_ = ir_.CreateLoad(ir_.getPtrTy(), slot);
    return builder_;
  }

  // A constant of type runtime::GroupLoop.
  llvm::Constant* group_loop(llvm::Function* place, runtime::GroupImpl impl) {
    const GroupRowLayout layout = group_row_layout(emitter_, builder_.type);
    static_assert(sizeof(runtime::GroupLoop) == 64 && offsetof(runtime::GroupLoop, is_ordered) == 48 &&
                  offsetof(runtime::GroupLoop, impl) == 56);
    const DictUse use = emitter_.noted_dict_use(loop_);
    const bool any_order = ir::annotated_word(node_.builder.annotations(), "order", "any");
    llvm::Constant* fields[] = {descriptor(),
                                place,
                                layout.index,
                                emitter_.i64(layout.row_bytes),
                                emitter_.i64(layout.value_offset),
                                emitter_.i64(*plan_.builders.front().merges.most),
                                emitter_.i32(use.keeps_order && !any_order ? 1 : 0),
                                emitter_.i32(use.has_slots ? 1 : 0),
                                emitter_.i32(static_cast<std::uint32_t>(impl)),
                                emitter_.i32(0)};
    llvm::Constant* constant = llvm::ConstantStruct::getAnon(fields);
    return new llvm::GlobalVariable(emitter_.module.module(), constant->getType(), true,
                                    llvm::GlobalValue::InternalLinkage, constant, "group_loop");
  }

  // The loop's entry in the program's table.
  std::uint32_t site() {
    if (site_) return *site_;
    runtime::LoopSite site{.span = emitter_.module.span_index(loop_.span()),
                           .depth = static_cast<std::uint32_t>(emitter_.loop_depth()),
                           .bytes_per_iteration = 0,
                           .builders = {},
                           .variants = {}};
    for (const EvaluatedIterator& it : iterators_) {
      if (it.kind == ir::IteratorKind::kRange) continue;
      const std::int64_t elements = it.kind == ir::IteratorKind::kSimd ? 4 : 1;
      site.bytes_per_iteration += elements * emitter_.flat(it.element).size_bytes;
    }
    for (const LoopBuilder& builder : plan_.builders) {
      site.builders.push_back({ir::to_string(builder.type), {}});
      if (builder.merges.exact()) site.builders.back().merges_per_iteration = builder.merges.least;
    }
    if (!others_.empty()) site.variants.push_back(variant_name(loop_));
    for (ir::Expr other : others_) site.variants.push_back(variant_name(other));
    site_ = emitter_.module.loop_site(std::move(site));
    return *site_;
  }

  Value emit_in_function() {
    reserve_exact_appenders();
    allocate_totals();
    captured_ = captured_symbols();
    captures_type_ = captures_type();
    body_ = write_body(loop_);
    for (ir::Expr other : others_) other_bodies_.push_back(write_body(other));
    store_captures();
    const Value state = run();
    return add_totals(state);
  }

  // --- Builders.

  void place_builders() {
    const auto& leaves = emitter_.flat(builder_.type).leaves;
    std::uint32_t first = 0;
    for (LoopBuilder& builder : plan_.builders) {
      builder.first_leaf = first;
      builder.num_leaves = static_cast<std::uint32_t>(emitter_.flat(builder.type).leaves.size());
      builder.offset_bytes = leaves[first].offset;
      first += builder.num_leaves;
    }
  }

  // Which iterations are to be run again for the values of a group builder.
  static void note_iterations(Emitter& emitter, const Value& group, llvm::Value* begin, llvm::Value* end) {
    constexpr std::size_t kOwn = offsetof(runtime::GroupBuilder, own);
    emitter.store_field(begin, group.scalar(), kOwn + offsetof(runtime::GroupSegment, begin));
    emitter.store_field(end, group.scalar(), kOwn + offsetof(runtime::GroupSegment, end));
  }

  // Where every iteration merges the same number of times, the place of each element is known before: parts
  // of the loop write into one block.
  void reserve_exact_appenders() {
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.is_exact_appender() || builder.merges.least == 0) continue;
      llvm::Value* elements = emitter_.checked_bytes(count_, builder.merges.least, loop_.span());
      replace_part(builder_, builder,
                   reserve_appender(emitter_, part_of(builder_, builder), elements, loop_.span()));
    }
  }

  // One total a block for each merger that depends on order; a single block's is in the frame.
  void allocate_totals() {
    const std::int64_t block = plan_.block_iterations;
    num_blocks_ = ir_.CreateUDiv(ir_.CreateAdd(count_, emitter_.i64(block - 1)), emitter_.i64(block));
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.by_blocks) continue;
      const ir::Type value = builder.type.as<ir::MergerType>()->value;
      const std::int64_t bytes = emitter_.flat(value).size_bytes;
      llvm::Value* in_frame = emitter_.frame(value);
      const ir::Type vector = emitter_.module.vector_type(value);
      totals_.push_back(emitter_.branch(
          ir_.CreateICmpSGT(num_blocks_, emitter_.i64(1)),
          [&] {
            llvm::Value* size = ir_.CreateMul(num_blocks_, emitter_.i64(bytes));
            return Value{vector, {emitter_.allocate(size, loop_.span()), num_blocks_}};
          },
          [&] { return Value{vector, {in_frame, num_blocks_}}; }));
    }
  }

  // The loop's totals, each added once to what its builder holds.
  Value add_totals(Value state) {
    std::size_t next = 0;
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.by_blocks) continue;
      const auto* merger = builder.type.as<ir::MergerType>();
      const Value& totals = totals_[next++];
      const Value total = emitter_.branch(
          ir_.CreateIsNull(num_blocks_), [&] { return emitter_.identity(merger->op, merger->value); },
          [&] {
            emitter_.when(ir_.CreateICmpSGT(num_blocks_, emitter_.i64(1)),
                          [&] { fold_totals(*merger, totals); });
            return emitter_.load(merger->value, totals.leaves[0]);
          });
      emitter_.when(ir_.CreateICmpSGT(num_blocks_, emitter_.i64(1)),
                    [&] { emitter_.call("weld_rt_free", {emitter_.worker, totals.leaves[0]}); });
      const Value held{merger->value, part_of(state, builder).leaves};
      replace_part(state, builder, {builder.type, emitter_.merge_values(merger->op, held, total).leaves});
    }
    return state;
  }

  // ir/reduction_order.h: combine_pairwise, in a function: fold(worker, totals, count).
  void fold_totals(const ir::MergerType& merger, const Value& totals) {
    llvm::Function* function = emitter_.module.shared_function(
        "fold_totals", merger.value, static_cast<int>(merger.op),
        {ir_.getPtrTy(), ir_.getPtrTy(), ir_.getInt64Ty()}, nullptr, [&](llvm::Function* made) {
          Emitter fold(emitter_.module, made);
          auto& ir = fold.ir;
          llvm::Value* data = made->getArg(1);
          const std::int64_t bytes = fold.flat(merger.value).size_bytes;
          llvm::AllocaInst* count = fold.frame(ir.getInt64Ty());
          ir.CreateStore(made->getArg(2), count);
          llvm::BasicBlock* level = fold.block("level");
          llvm::BasicBlock* inside = fold.block("inside");
          llvm::BasicBlock* done = fold.block("done");
          ir.CreateBr(level);
          ir.SetInsertPoint(level);
          llvm::Value* now = ir.CreateLoad(ir.getInt64Ty(), count);
          ir.CreateCondBr(ir.CreateICmpSGT(now, fold.i64(1)), inside, done);
          ir.SetInsertPoint(inside);
          llvm::Value* pairs = ir.CreateLShr(now, 1);
          fold.count_loop(pairs, [&](llvm::Value* index) {
            llvm::Value* left = fold.element_address(data, ir.CreateShl(index, 1), bytes);
            const Value sum = fold.merge_values(merger.op, fold.load(merger.value, left),
                                                fold.load(merger.value, fold.offset(left, bytes)));
            fold.store(sum, fold.element_address(data, index, bytes));
          });
          llvm::Value* odd = ir.CreateAnd(now, fold.i64(1));
          fold.when(ir.CreateIsNotNull(odd), [&] {
            const Value last =
                fold.load(merger.value, fold.element_address(data, ir.CreateSub(now, fold.i64(1)), bytes));
            fold.store(last, fold.element_address(data, pairs, bytes));
          });
          ir.CreateStore(ir.CreateAdd(pairs, odd), count);
          ir.CreateBr(level);
          ir.SetInsertPoint(done);
          fold.finish();
        });
    emitter_.call(function, {emitter_.worker, totals.leaves[0], totals.leaves[1]});
  }

  std::vector<ir::Parameter> captured_symbols() const {
    std::vector<ir::Parameter> symbols;
    const auto add = [&](ir::Expr function) {
      if (!function) return;
      for (const ir::Parameter& symbol : ir::free_symbols(function)) {
        if (std::ranges::find(symbols, symbol.symbol, &ir::Parameter::symbol) == symbols.end())
          symbols.push_back(symbol);
      }
    };
    add(node_.function);
    add(node_.lanes);
    for (ir::Expr other : others_) {
      add(other.as<ir::For>()->function);
      add(other.as<ir::For>()->lanes);
    }
    return symbols;
  }

  // --- Captures: captured symbols, iterators, totals, the number of iterations, the builder's state.

  ir::Type captures_type() {
    std::vector<ir::Type> members;
    for (const ir::Parameter& symbol : captured_) members.push_back(emitter_.bound(symbol.symbol).type);
    for (const EvaluatedIterator& it : iterators_) {
      for (const Value& value : it.values) members.push_back(value.type);
    }
    for (const Value& totals : totals_) members.push_back(totals.type);
    members.push_back(kI64Type);
    members.push_back(builder_.type);
    return emitter_.module.struct_type(members);
  }

  void store_captures() {
    std::vector<Value> members;
    for (const ir::Parameter& symbol : captured_) members.push_back(emitter_.bound(symbol.symbol));
    for (const EvaluatedIterator& it : iterators_)
      members.insert(members.end(), it.values.begin(), it.values.end());
    members.insert(members.end(), totals_.begin(), totals_.end());
    members.push_back({kI64Type, {count_}});
    members.push_back(builder_);
    captures_ = emitter_.frame(captures_type_);
    emitter_.store(emitter_.structure(captures_type_, members), captures_);
  }

  // Loads the captures in a function of its own, and binds the captured symbols there.
  LoopCaptures load_captures(Emitter& inside, llvm::Value* address) {
    const Value all = inside.load(captures_type_, address);
    std::uint32_t next = 0;
    for (const ir::Parameter& symbol : captured_) {
      inside.bind(symbol.symbol, inside.member(all, next++));
      if (emitter_.is_loop_state(symbol.symbol)) inside.mark_loop_state(symbol.symbol);
    }
    LoopCaptures captures;
    for (const EvaluatedIterator& outer : iterators_) {
      EvaluatedIterator it = outer;
      for (Value& value : it.values) value = inside.member(all, next++);
      captures.iterators.push_back(std::move(it));
    }
    for (std::size_t i = 0; i < totals_.size(); ++i) captures.totals.push_back(inside.member(all, next++));
    captures.count = inside.member(all, next++).scalar();
    captures.builder = inside.member(all, next);
    return captures;
  }

  llvm::Value* captured_builder_address(Emitter& inside, llvm::Value* captures) {
    const FlatType& flat = inside.flat(captures_type_);
    const std::uint32_t first = flat.member_leaves[flat.member_leaves.size() - 2];
    return inside.offset(captures, flat.leaves[first].offset);
  }

  // --- The body.

  llvm::Function* write_body(ir::Expr loop, BodyKind kind = BodyKind::kMerges) {
    llvm::Type* pointer = ir_.getPtrTy();
    llvm::Function* function =
        emitter_.module.add_function("loop", {pointer, pointer, ir_.getInt64Ty(), ir_.getInt64Ty(), pointer});
    const bool nested = emitter_.loop_depth() > 0;
    function->addFnAttr(nested ? llvm::Attribute::InlineHint : llvm::Attribute::NoInline);
    Emitter body(emitter_.module, function);
    body.set_loop_depth(emitter_.loop_depth() + 1);
    body.set_group_pass(group_pass_);
    body.set_keeps_memory(plan_.keeps_memory);
    write_blocks(body, loop, plan_, load_captures(body, function->getArg(1)), site(), kind);
    body.finish();
    return function;
  }

  // --- Running.

  Value run() {
    const bool is_global = std::ranges::any_of(
        plan_.builders, [](const LoopBuilder& builder) { return builder.impl == DictImpl::kGlobal; });
    const bool forks = plan_.may_fork && emitter_.loop_depth() < kMaxForkingDepth && !is_global;
    if (plan_.keyed_order) {
      // Not even the identity is added by no iterations: it would turn −0.0 into +0.0.
      return emitter_.branch(
          ir_.CreateIsNull(count_), [&] { return builder_; }, [&] { return run_in_ranges(); });
    }
    if (!forks) return run_directly();
    llvm::Value* may_fork =
        emitter_.load_field(ir_.getInt8Ty(), emitter_.worker, offsetof(runtime::Worker, may_fork));
    llvm::Value* worth_it = is_worth_morsels();
    if (is_only_vecmerger() && emitter_.loop_depth() == 0)
      return emitter_.branch(worth_it, [&] { return run_by_strategy(); }, [&] { return run_directly(); });
    llvm::Value* in_parallel = ir_.CreateAnd(ir_.CreateIsNotNull(may_fork), worth_it);
    if (fills_dicts() && emitter_.loop_depth() == 0) {
      // Of one thread too: a table that outgrows the caches had better become a log.
      constexpr std::int64_t kManyMerges = 128 * 1024;
      in_parallel = ir_.CreateOr(in_parallel, ir_.CreateICmpSGT(count_, emitter_.i64(kManyMerges)));
    }
    // Private copies must be small beside the work.
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.type.as<ir::VecMergerType>() || builder.places_apart) continue;
      llvm::Value* length = part_of(builder_, builder).leaves[1];
      llvm::Value* most = ir_.CreateMul(num_blocks_, emitter_.i64(2 * ir::kVectorElementsPerBlock));
      in_parallel = ir_.CreateAnd(in_parallel, ir_.CreateICmpSLE(length, most));
    }
    if (plan_.keyed && emitter_.loop_depth() > 0) {
      // Tables for parts of a loop, which are combined in the end, are not worth it for one thread.
      in_parallel = emitter_
                        .branch(
                            in_parallel,
                            [&] {
                              llvm::Value* idle =
                                  emitter_.call("weld_rt_has_idle_threads", {emitter_.worker});
                              return Value{kI64Type, {ir_.CreateZExt(idle, ir_.getInt64Ty())}};
                            },
                            [&] { return Value{kI64Type, {emitter_.i64(0)}}; })
                        .scalar();
      in_parallel = ir_.CreateIsNotNull(in_parallel);
    }
    return emitter_.branch(in_parallel, [&] { return run_in_morsels(); }, [&] { return run_directly(); });
  }

  // Dictmergers, whose partial states cost nothing beside the work.
  bool fills_dicts() const {
    return std::ranges::all_of(plan_.builders, [](const LoopBuilder& builder) {
      return builder.type.as<ir::DictMergerType>() && builder.impl != DictImpl::kLocal;
    });
  }

  // Whether the loop may be long enough for other threads to take part: the run-time decides when it runs.
  llvm::Value* is_worth_morsels() {
    if (!holds_loops())
      return ir_.CreateICmpSGT(count_, emitter_.i64(std::max(morsel_iterations(), plan_.block_iterations)));
    llvm::Value* several = ir_.CreateICmpSGT(count_, emitter_.i64(1));
    if (emitter_.loop_depth() == 0) return several;
    // Inside of another loop by what it took before, if it ran.
    constexpr std::int64_t kLeastPicoseconds = 20'000'000;
    llvm::LoadInst* each = ir_.CreateAlignedLoad(ir_.getInt64Ty(), measured(), llvm::Align(8));
    each->setAtomic(llvm::AtomicOrdering::Monotonic);
    llvm::Value* least =
        ir_.CreateUDiv(emitter_.i64(kLeastPicoseconds),
                       ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, count_, emitter_.i64(1)));
    return ir_.CreateAnd(several, ir_.CreateOr(ir_.CreateIsNull(each), ir_.CreateICmpUGE(each, least)));
  }

  bool holds_loops() const { return ir::any(node_.function.effects() & ir::Effects::kLoops); }

  // How many iterations take kMorselNanoseconds, by the bytes that they read (10 GB/s) and the operations of
  // their body; 0 where that cannot be told.
  std::int64_t morsel_iterations() const {
    if (holds_loops()) return 0;
    std::int64_t read_picoseconds = 0;
    for (const EvaluatedIterator& it : iterators_) {
      if (it.kind != ir::IteratorKind::kRange) read_picoseconds += 100 * emitter_.flat(it.element).size_bytes;
    }
    const auto num_nodes =
        static_cast<std::int64_t>(node_.function.as<ir::Lambda>()->body.record().num_nodes);
    std::int64_t body_picoseconds = num_nodes * (node_.lanes ? 60 : 400);
    if (plan_.keyed) body_picoseconds += 2000;
    return runtime::kMorselNanoseconds * 1000 /
           std::max<std::int64_t>({read_picoseconds, body_picoseconds, 400});
  }

  // Where the run-time notes what an iteration took.
  llvm::GlobalVariable* measured() {
    if (!measured_) {
      measured_ =
          new llvm::GlobalVariable(emitter_.module.module(), ir_.getInt64Ty(), false,
                                   llvm::GlobalValue::InternalLinkage, emitter_.i64(0), "loop_measured");
    }
    return measured_;
  }

  // --- Loops into one vecmerger (runtime/recorded_merge.h).

  bool is_only_vecmerger() const {
    return plan_.builders.size() == 1 && builder_.type.as<ir::VecMergerType>() &&
           !plan_.builders.front().places_apart && others_.empty();
  }
  // Whether its merges can be recorded; the body is then written once more.
  bool may_record() const {
    constexpr std::uint32_t kMaxNodes = 300;
    constexpr std::int64_t kMostMerges = 4;
    const std::optional<std::int64_t> most = plan_.builders.front().merges.most;
    const auto* builder = node_.builder.as<ir::NewBuilder>();
    if (builder && builder->argument.is<ir::MakeVector>()) return false;  // short
    return is_only_vecmerger() && emitter_.loop_depth() == 0 && !derived_ && plan_.may_fork &&
           !plan_.allocates && most && *most >= 1 && *most <= kMostMerges &&
           node_.function.as<ir::Lambda>()->body.record().num_nodes <= kMaxNodes;
  }

  Value run_by_strategy() {
    llvm::Value* strategy = choose_strategy();
    return emitter_.branch(
        is_strategy(strategy, runtime::VecMergerStrategy::kPrivate), [&] { return run_in_morsels(); },
        [&] {
          if (!may_record()) return run_directly();
          return emitter_.branch(
              is_strategy(strategy, runtime::VecMergerStrategy::kDirect), [&] { return run_directly(); },
              [&] { return run_recorded(strategy); });
        });
  }
  Value run_recorded(llvm::Value* strategy) {
    llvm::AllocaInst* state = emitter_.frame(builder_.type);
    emitter_.store(builder_, state);
    emitter_.propagate(call_recorded(strategy, state));
    return emitter_.load(builder_.type, state);
  }
  llvm::Value* call_recorded(llvm::Value* strategy, llvm::Value* state) {
    return emitter_.call("weld_rt_run_recorded", {emitter_.worker, descriptor(), vecmerger_loop(), strategy,
                                                  captures_, count_, state});
  }

  llvm::Value* choose_strategy() {
    return emitter_.call("weld_rt_vecmerger_strategy",
                         {emitter_.worker, vecmerger_loop(), ir_.getInt1(plan_.builders.front().keyed_order),
                          count_, num_blocks_, builder_.leaves[1]});
  }
  llvm::Value* is_strategy(llvm::Value* strategy, runtime::VecMergerStrategy which) {
    return ir_.CreateICmpEQ(strategy, emitter_.i32(static_cast<std::uint32_t>(which)));
  }

  // A constant of type runtime::VecMergerLoop.
  llvm::Constant* vecmerger_loop() {
    if (vecmerger_loop_) return vecmerger_loop_;
    const ir::Type record = emitter_.module.merge_type(builder_.type);
    llvm::Constant* recording = emitter_.null();
    llvm::Constant* applying = emitter_.null();
    llvm::Constant* applying_atomically = emitter_.null();
    if (may_record()) {
      recording = write_body(loop_, BodyKind::kRecords);
      applying = record_applier(emitter_.module, builder_.type, Applier::kAlone);
      if (may_merge_atomically(emitter_, builder_.type))
        applying_atomically = record_applier(emitter_.module, builder_.type, Applier::kAtomically);
    }
    static_assert(sizeof(runtime::VecMergerLoop) == 56 && offsetof(runtime::VecMergerLoop, forced) == 48);
    llvm::Constant* fields[] = {
        recording,
        applying,
        applying_atomically,
        emitter_.i64(emitter_.flat(record).size_bytes),
        emitter_.i64(emitter_.flat(builder_.type.as<ir::VecMergerType>()->element).size_bytes),
        emitter_.i64(plan_.builders.front().merges.most.value_or(0)),
        emitter_.i32(static_cast<std::uint32_t>(forced_strategy()))};
    llvm::Constant* constant = llvm::ConstantStruct::getAnon(fields);
    vecmerger_loop_ =
        new llvm::GlobalVariable(emitter_.module.module(), constant->getType(), true,
                                 llvm::GlobalValue::InternalLinkage, constant, "vecmerger_loop");
    return vecmerger_loop_;
  }

  runtime::VecMergerForced forced_strategy() const {
    const ir::Annotation* impl = ir::find_annotation(node_.builder.annotations(), "impl");
    if (!impl) return runtime::VecMergerForced::kNone;
    if (impl->value == "local") return runtime::VecMergerForced::kLocal;
    if (impl->value == "global") return runtime::VecMergerForced::kGlobal;
    if (impl->value == "partitioned") return runtime::VecMergerForced::kPartitioned;
    return impl->value == "dense" ? runtime::VecMergerForced::kDirect : runtime::VecMergerForced::kNone;
  }

  Value run_directly() {
    llvm::AllocaInst* partial = emitter_.frame(builder_.type);
    emitter_.store(builder_, partial);
    llvm::Value* code = others_.empty()
                            ? call_body(emitter_.i64(0), count_, partial)
                            : emitter_.call("weld_rt_run_variants",
                                            {emitter_.worker, descriptor(), captures_, count_, partial});
    emitter_.propagate(code);
    return emitter_.load(builder_.type, partial);
  }

  llvm::Value* call_body(llvm::Value* begin, llvm::Value* end, llvm::Value* partial) {
    return emitter_.call(body_, {emitter_.worker, captures_, begin, end, partial});
  }

  Value run_in_morsels() {
    llvm::Value* may_fork_field = emitter_.offset(emitter_.worker, offsetof(runtime::Worker, may_fork));
    llvm::Value* may_fork = ir_.CreateLoad(ir_.getInt8Ty(), may_fork_field);
    if (!plan_.may_fork)
      ir_.CreateStore(ir_.getInt8(0), may_fork_field);  // the ranges stay, one after the other
    llvm::Value* code =
        max_ranges_ ? emitter_.call("weld_rt_run_ranges",
                                    {emitter_.worker, descriptor(), captures_, count_, max_ranges_})
                    : emitter_.call("weld_rt_run_loop", {emitter_.worker, descriptor(), captures_, count_});
    if (!plan_.may_fork) ir_.CreateStore(may_fork, may_fork_field);
    emitter_.propagate(code);
    return emitter_.load(builder_.type, captured_builder_address(emitter_, captures_));
  }

  // Keyed sums that depend on order: one range, or the ranges of ir/reduction_order.h, whatever the threads.
  Value run_in_ranges() {
    const ir::RangeRule rule = ir::range_rule(loop_);
    if (!rule.depends_on_data) return rule.max_ranges == 1 ? run_one_range() : run_in_morsels();
    bool counts_keys = false;
    max_ranges_ = emitter_.i64(rule.max_ranges);
    for (const LoopBuilder& builder : plan_.builders) {
      if (!builder.keyed_order) continue;
      if (builder.type.as<ir::VecMergerType>()) {
        max_ranges_ = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, max_ranges_,
                                                ranges_for_length(part_of(builder_, builder).leaves[1]));
      }
      counts_keys = counts_keys || builder.type.as<ir::DictMergerType>();
    }
    llvm::Value* one_range = ir_.CreateICmpSLE(max_ranges_, emitter_.i64(1));
    if (counts_keys) {
      one_range =
          ir_.CreateOr(one_range, ir_.CreateICmpSLE(count_, emitter_.i64(ir::kDistinctKeysIterations)));
    }
    return emitter_.branch(one_range, [&] { return run_one_range(); }, [&] { return run_after_probe(); });
  }

  // ir::ranges_for_length.
  llvm::Value* ranges_for_length(llvm::Value* length) {
    llvm::Value* thousands =
        ir_.CreateUDiv(ir_.CreateAdd(length, emitter_.i64(ir::kVectorElementsPerBlock - 1)),
                       emitter_.i64(ir::kVectorElementsPerBlock));
    llvm::Value* blocks_per_range =
        ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, thousands, emitter_.i64(1));
    llvm::Value* ranges = ir_.CreateUDiv(num_blocks_, blocks_per_range);
    ranges = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, ranges, emitter_.i64(ir::kMaxRanges));
    ranges = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, ranges, emitter_.i64(1));
    llvm::Value* one = ir_.CreateOr(ir_.CreateICmpSGT(length, emitter_.i64(ir::kMaxVectorLengthForRanges)),
                                    ir_.CreateICmpSLE(num_blocks_, emitter_.i64(ir::kMinBlocksForRanges)));
    return ir_.CreateSelect(one, emitter_.i64(1), ranges);
  }

  // A state apart from the builder's takes iterations in order, and is then combined into it.
  Value run_one_range() {
    const Partial partial = open_partial();
    if (!may_record()) {
      run_partial(partial, emitter_.i64(0), count_);
      return close_partial(partial);
    }
    llvm::Value* strategy = choose_strategy();
    llvm::BasicBlock* recorded = emitter_.block("recorded");
    llvm::BasicBlock* direct = emitter_.block("direct");
    llvm::BasicBlock* done = emitter_.block("done");
    ir_.CreateCondBr(is_strategy(strategy, runtime::VecMergerStrategy::kDirect), direct, recorded);
    ir_.SetInsertPoint(recorded);
    with_cleanup(partial, [&] { emitter_.propagate(call_recorded(strategy, partial.state)); });
    ir_.CreateBr(done);
    ir_.SetInsertPoint(direct);
    run_partial(partial, emitter_.i64(0), count_);
    ir_.CreateBr(done);
    ir_.SetInsertPoint(done);
    return close_partial(partial);
  }

  // Counts the distinct keys of the first iterations to choose between one range and many.
  Value run_after_probe() {
    std::vector<const LoopBuilder*> dicts;
    for (const LoopBuilder& builder : plan_.builders) {
      if (builder.keyed_order && builder.type.as<ir::DictMergerType>()) dicts.push_back(&builder);
    }
    if (dicts.empty()) return run_in_morsels();
    const Partial partial = open_partial();
    llvm::Value* first_part = emitter_.i64(ir::kDistinctKeysIterations);
    run_partial(partial, emitter_.i64(0), first_part);
    llvm::Value* many_keys = ir_.getFalse();
    for (const LoopBuilder* builder : dicts) {
      llvm::Value* dict =
          emitter_.load_field(ir_.getPtrTy(), partial.state, static_cast<std::size_t>(builder->offset_bytes));
      llvm::Value* keys = emitter_.load_field(ir_.getInt64Ty(), dict, offsetof(runtime::Dict, num_entries));
      many_keys =
          ir_.CreateOr(many_keys, ir_.CreateICmpSGT(keys, emitter_.i64(ir::kMaxDistinctKeysForRanges)));
    }
    return emitter_.branch(
        many_keys,
        [&] {
          if (!may_log_rest()) {
            run_partial(partial, first_part, count_);
            return close_partial(partial);
          }
          return emitter_.branch(
              logs_rest(partial, dicts), [&] { return run_rest_in_logs(partial); },
              [&] {
                run_partial(partial, first_part, count_);
                return close_partial(partial);
              });
        },
        [&] {
          emitter_.call("weld_rt_scope_end", {emitter_.worker, partial.scope});
          return run_in_morsels();
        });
  }

  struct Partial {
    llvm::Value* scope;
    llvm::Value* state;
  };

  // Whether the tables of any of these builders had better not grow further.
  llvm::Value* logs_rest(const Partial& partial, const std::vector<const LoopBuilder*>& dicts) {
    llvm::Value* any = emitter_.i32(0);
    for (const LoopBuilder* builder : dicts) {
      if (builder->impl == DictImpl::kPartitioned) return ir_.getTrue();
      llvm::Value* dict =
          emitter_.load_field(ir_.getPtrTy(), partial.state, static_cast<std::size_t>(builder->offset_bytes));
      any = ir_.CreateOr(any,
                         emitter_.call("weld_rt_dict_logs_rest",
                                       {emitter_.worker, dict, emitter_.i64(ir::kDistinctKeysIterations)}));
    }
    return ir_.CreateIsNotNull(any);
  }

  // One range in parallel: parts write the merges of dictmergers down, and combining adds up each key's in
  // their order. Other builders must not need one range.
  bool may_log_rest() const {
    return plan_.may_fork && emitter_.loop_depth() < kMaxForkingDepth &&
           ir::kDistinctKeysIterations % plan_.block_iterations == 0 &&
           std::ranges::none_of(
               plan_.builders,
               [](const LoopBuilder& builder) {
                 const bool may_log =
                     builder.type.as<ir::DictMergerType>() &&
                     (builder.impl == DictImpl::kChosen || builder.impl == DictImpl::kPartitioned);
                 return builder.keyed_order && !may_log;
               });
  }

  Value run_rest_in_logs(const Partial& partial) {
    with_cleanup(partial, [&] {
      // What the parts leave behind outlives the partial's scope.
      llvm::Value* outside =
          emitter_.load_field(ir_.getPtrTy(), partial.scope, offsetof(runtime::Scope, parent));
      emitter_.store_field(outside, emitter_.worker, offsetof(runtime::Worker, scope));
      llvm::Constant* logs =
          descriptor(make_init(DictParts::kLogs), runtime::kLoopRanges | runtime::kLoopFreeRanges);
      llvm::Value* first_part = emitter_.i64(ir::kDistinctKeysIterations);
      llvm::Value* code = emitter_.call(
          "weld_rt_run_rest", {emitter_.worker, logs, captures_, first_part, count_, partial.state});
      emitter_.store_field(partial.scope, emitter_.worker, offsetof(runtime::Worker, scope));
      emitter_.propagate(code);
    });
    emitter_.call("weld_rt_scope_end", {emitter_.worker, partial.scope});
    return emitter_.load(builder_.type, captured_builder_address(emitter_, captures_));
  }

  Partial open_partial() {
    Partial partial{emitter_.open_scope(), emitter_.frame(partial_bytes(), 64, "partial")};
    emitter_.propagate(
        emitter_.call(init(), {emitter_.worker, captures_, emitter_.i64(0), count_, partial.state}));
    emitter_.pop_cleanup();
    return partial;
  }

  void run_partial(const Partial& partial, llvm::Value* begin, llvm::Value* end) {
    with_cleanup(partial, [&] {
      // What the iterations leave behind belongs to the scope outside when merged values point to it.
      if (plan_.keeps_memory) {
        llvm::Value* outside =
            emitter_.load_field(ir_.getPtrTy(), partial.scope, offsetof(runtime::Scope, parent));
        emitter_.store_field(outside, emitter_.worker, offsetof(runtime::Worker, scope));
      }
      llvm::Value* code = call_body(begin, end, partial.state);
      emitter_.store_field(partial.scope, emitter_.worker, offsetof(runtime::Worker, scope));
      emitter_.propagate(code);
    });
  }

  Value close_partial(const Partial& partial) {
    with_cleanup(partial, [&] {
      emitter_.propagate(
          emitter_.call(combine(), {emitter_.worker, captures_, partial.state, emitter_.i64(1)}));
    });
    emitter_.call("weld_rt_scope_end", {emitter_.worker, partial.scope});
    return emitter_.load(builder_.type, captured_builder_address(emitter_, captures_));
  }

  template <class F>
  void with_cleanup(const Partial& partial, F&& write) {
    emitter_.push_cleanup(
        [this, partial] { emitter_.call("weld_rt_scope_end", {emitter_.worker, partial.scope}); });
    write();
    emitter_.pop_cleanup();
  }

  std::int64_t partial_bytes() { return (emitter_.flat(builder_.type).size_bytes + 63) / 64 * 64; }

  enum class DictParts : std::uint8_t { kTables, kLogs };

  llvm::Function* init() {
    if (!init_) init_ = make_init(DictParts::kTables);
    return init_;
  }

  llvm::Function* make_init(DictParts dict_parts) {
    llvm::Type* pointer = ir_.getPtrTy();
    llvm::Function* function = emitter_.module.add_function(
        "loop_init", {pointer, pointer, ir_.getInt64Ty(), ir_.getInt64Ty(), pointer});
    Emitter inside(emitter_.module, function);
    const LoopCaptures captures = load_captures(inside, function->getArg(1));
    Value state = captures.builder;
    for (const LoopBuilder& builder : plan_.builders) {
      const Value outer = part_of(captures.builder, builder);
      if (builder.is_exact_appender()) {
        llvm::Value* written = inside.ir.CreateMul(function->getArg(2), inside.i64(builder.merges.least));
        Value placed = outer;
        placed.leaves[1] = inside.ir.CreateAdd(outer.leaves[1], written);
        replace_part(state, builder, placed);
      } else if (builder.keyed_order && dict_parts == DictParts::kLogs) {
        replace_part(state, builder,
                     create_dict_part(inside, outer, runtime::DictPartKind::kLogs, loop_.span()));
      } else if (!builder.keyed_order && builder.impl != DictImpl::kChosen) {
        const auto kind = builder.impl == DictImpl::kPartitioned ? runtime::DictPartKind::kLogs
                                                                 : runtime::DictPartKind::kTable;
        replace_part(state, builder, create_dict_part(inside, outer, kind, loop_.span()));
      } else if (!builder.by_blocks && !builder.places_apart) {
        const Value partial = builder_ops(builder.type).create_partial(inside, outer, loop_.span());
        if (group_pass_ == GroupPass::kCount)
          note_iterations(inside, partial, function->getArg(2), function->getArg(3));
        replace_part(state, builder, partial);
      }
    }
    inside.store(state, function->getArg(4));
    inside.finish();
    return function;
  }

  llvm::Function* combine() {
    if (combine_) return combine_;
    llvm::Type* pointer = ir_.getPtrTy();
    combine_ = emitter_.module.add_function("loop_combine", {pointer, pointer, pointer, ir_.getInt64Ty()});
    Emitter inside(emitter_.module, combine_);
    const LoopCaptures captures = load_captures(inside, combine_->getArg(1));
    Value state = captures.builder;
    for (const LoopBuilder& builder : plan_.builders) {
      Value held = part_of(state, builder);
      if (builder.is_exact_appender()) {
        llvm::Value* written = inside.ir.CreateMul(captures.count, inside.i64(builder.merges.least));
        held.leaves[1] = inside.ir.CreateAdd(held.leaves[1], written);
      } else if (!builder.by_blocks && !builder.places_apart) {
        const PartialArray partials{inside.offset(combine_->getArg(2), builder.offset_bytes), partial_bytes(),
                                    combine_->getArg(3)};
        if (builder.type.as<ir::DictMergerType>()) {
          DictUse use = emitter_.noted_dict_use(loop_);
          use.keeps_order = use.keeps_order && builder.keeps_order;
          combine_dict_parts(inside, held, partials, use, loop_.span());
          replace_part(state, builder, held);
          continue;
        }
        held = builder.keyed_order ? combine_ranges(inside, held, partials)
                                   : builder_ops(builder.type).combine(inside, held, partials, loop_.span());
      }
      replace_part(state, builder, held);
    }
    inside.store(state, captured_builder_address(inside, combine_->getArg(1)));
    inside.finish();
    return combine_;
  }

  // The ranges are added up in order, and that total is added once to what the builder holds.
  Value combine_ranges(Emitter& inside, const Value& held, const PartialArray& ranges) {
    const BuilderOps& ops = builder_ops(held.type);
    const PartialArray others{inside.offset(ranges.first, ranges.stride_bytes), ranges.stride_bytes,
                              inside.ir.CreateSub(ranges.count, inside.i64(1))};
    const Value total = ops.combine(inside, inside.load(held.type, ranges.first), others, loop_.span());
    inside.store(total, ranges.first);
    return ops.combine(inside, held, {ranges.first, ranges.stride_bytes, inside.i64(1)}, loop_.span());
  }

  // The bodies of all variants; null where there is one.
  llvm::Constant* bodies() {
    if (other_bodies_.empty()) return emitter_.null();
    std::vector<llvm::Constant*> all{body_};
    all.insert(all.end(), other_bodies_.begin(), other_bodies_.end());
    auto* type = llvm::ArrayType::get(ir_.getPtrTy(), all.size());
    return new llvm::GlobalVariable(emitter_.module.module(), type, true, llvm::GlobalValue::InternalLinkage,
                                    llvm::ConstantArray::get(type, all), "loop_variants");
  }

  llvm::Constant* descriptor() {
    if (descriptor_) return descriptor_;
    std::uint32_t flags = 0;
    if (plan_.keyed) flags |= plan_.any_order ? runtime::kLoopAnyOrder : runtime::kLoopRanges;
    if (plan_.keyed && !plan_.keyed_order) flags |= runtime::kLoopFreeRanges;
    descriptor_ = descriptor(init(), flags);
    return descriptor_;
  }

  // A constant of type runtime::LoopDescriptor.
  llvm::Constant* descriptor(llvm::Function* init, std::uint32_t flags) {
    if (plan_.keeps_memory) flags |= runtime::kLoopKeepsMemory;
    if (plan_.allocates) flags |= runtime::kLoopAllocates;
    // A long iteration is a part of its own where no sum goes by blocks.
    const bool by_blocks = plan_.keyed_order || std::ranges::any_of(plan_.builders, &LoopBuilder::by_blocks);
    const std::int64_t block = by_blocks || !holds_loops() ? plan_.block_iterations : 1;
    static_assert(sizeof(runtime::LoopDescriptor) == 80 && offsetof(runtime::LoopDescriptor, flags) == 48 &&
                  offsetof(runtime::LoopDescriptor, max_ranges) == 52 &&
                  offsetof(runtime::LoopDescriptor, site) == 56 &&
                  offsetof(runtime::LoopDescriptor, variants) == 64 &&
                  offsetof(runtime::LoopDescriptor, measured) == 72);
    llvm::Constant* fields[] = {body_,
                                init,
                                combine(),
                                emitter_.i64(partial_bytes()),
                                emitter_.i64(block),
                                emitter_.i64(morsel_iterations()),
                                emitter_.i32(flags),
                                emitter_.i32(static_cast<std::uint32_t>(ir::range_rule(loop_).max_ranges)),
                                emitter_.i32(site()),
                                emitter_.i32(static_cast<std::uint32_t>(1 + other_bodies_.size())),
                                bodies(),
                                measured()};
    llvm::Constant* constant = llvm::ConstantStruct::getAnon(fields);
    return new llvm::GlobalVariable(emitter_.module.module(), constant->getType(), true,
                                    llvm::GlobalValue::InternalLinkage, constant, "loop_descriptor");
  }

  Emitter& emitter_;
  llvm::IRBuilder<>& ir_;
  ir::Expr loop_;
  const ir::For& node_;
  std::span<const ir::Expr> others_;
  GroupPass group_pass_;
  llvm::Value* groups_ = nullptr;  // the dictionary of a groupmerger that ran twice
  bool derived_ = false;
  std::optional<std::uint32_t> site_;
  LoopPlan plan_;
  std::vector<EvaluatedIterator> iterators_;
  llvm::Value* count_ = nullptr;
  llvm::Value* num_blocks_ = nullptr;
  llvm::Value* max_ranges_ = nullptr;  // of a loop in ranges; null: as its annotation says
  Value builder_;
  std::vector<Value> totals_;
  std::vector<ir::Parameter> captured_;
  ir::Type captures_type_;
  llvm::Value* captures_ = nullptr;
  llvm::Function* body_ = nullptr;
  std::vector<llvm::Function*> other_bodies_;
  llvm::Constant* descriptor_ = nullptr;
  llvm::Constant* vecmerger_loop_ = nullptr;
  llvm::Function* init_ = nullptr;
  llvm::Function* combine_ = nullptr;
  llvm::GlobalVariable* measured_ = nullptr;
};

}  // namespace

Value emit_loop(Emitter& emitter, ir::Expr loop) {
  return LoopEmitter(emitter, loop).emit();
}

std::optional<Value> emit_grouped(Emitter& emitter, ir::Expr result) {
  constexpr double kMaxCost = 150;  // of an iteration; a value that is logged is written and read once more
  const ir::Expr loop = result.as<ir::Result>()->builder;
  const auto* node = loop.as<ir::For>();
  if (!node || emitter.loop_depth() > 0 || !loop.type().as<ir::GroupMergerType>()) return std::nullopt;
  if (!node->builder.is<ir::NewBuilder>() || group_impl(emitter, *node) == runtime::GroupImpl::kLocal)
    return std::nullopt;
  const ir::Expr body = node->function.as<ir::Lambda>()->body;
  if (ir::any(body.effects() & (ir::Effects::kLoops | ir::Effects::kForeign)) ||
      plan_loop(loop, false, emitter.module.options().deterministic).allocates ||
      passes::expression_cost(body) > kMaxCost) {
    return std::nullopt;
  }
  return LoopEmitter(emitter, loop, {}, GroupPass::kCount).emit_grouped(result);
}

// Loops share what is around their bodies. Of anything else the first variant is written, and so it is inside
// of loops, where a choice would be made too often.
Value emit_variants(Emitter& emitter, ir::Expr variants) {
  std::vector<ir::Expr> all;
  while (const auto* node = variants.as<ir::Variants>()) {
    all.push_back(node->first);
    variants = node->second;
  }
  all.push_back(variants);
  const ir::Expr first = all.front();
  if (!first.is<ir::For>() || emitter.loop_depth() > 0) return emitter.emit(first);
  std::vector<ir::Expr> others;
  for (ir::Expr other : std::span(all).subspan(1)) {
    if (others.size() + 1 < runtime::kMaxVariants && have_same_frame(emitter, first, other))
      others.push_back(other);
  }
  return LoopEmitter(emitter, first, others).emit();
}

bool Emitter::derives_from_loop(ir::Expr builder) const {
  while (true) {
    if (const auto* ident = builder.as<ir::Ident>()) return loop_states_.contains(ident->symbol.id());
    if (const auto* merge = builder.as<ir::Merge>())
      builder = merge->builder;
    else if (const auto* masked = builder.as<ir::MergeMasked>())
      builder = masked->builder;
    else if (const auto* branch = builder.as<ir::If>())
      builder = branch->on_true;
    else if (const auto* variants = builder.as<ir::Variants>())
      builder = variants->first;
    else if (const auto* loop = builder.as<ir::For>())
      builder = loop->builder;
    else if (const auto* field = builder.as<ir::GetField>())
      builder = field->value;
    else if (const auto* let = builder.as<ir::Let>())
      builder = let->body;
    else if (const auto* structure = builder.as<ir::MakeStruct>()) {
      return std::ranges::any_of(structure->members,
                                 [this](ir::Expr member) { return derives_from_loop(member); });
    } else {
      return false;
    }
  }
}

}  // namespace weld::codegen
