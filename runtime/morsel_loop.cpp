#include "runtime/morsel_loop.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>

#include "ir/reduction_order.h"
#include "runtime/calls.h"
#include "runtime/cycles.h"
#include "runtime/dict_parts.h"
#include "runtime/run_context.h"

namespace weld::runtime {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMaxPartials = 65'536;
constexpr std::int64_t kBlocksOfVariants =
    16;  // of a morsel, at least, where one thread chooses among variants
constexpr std::int64_t kPicosecondsPerNanosecond = 1000;
constexpr std::int64_t kMorselPicoseconds = kMorselNanoseconds * kPicosecondsPerNanosecond;
// A loop is not worth waking a thread that has less left than this: TBB's take 5 to 50 µs to come.
constexpr std::int64_t kLeastSharedPicoseconds = kMorselPicoseconds;
// A shorter part says little about the next one.
constexpr std::int64_t kLeastMeasured = 2'000 * kPicosecondsPerNanosecond;

std::int64_t ceil_divide(std::int64_t value, std::int64_t divisor) {
  return value / divisor + (value % divisor != 0);
}

// The product of positive numbers, or the most there is.
std::int64_t multiply(std::int64_t left, std::int64_t right) {
  std::int64_t product;
  return __builtin_mul_overflow(left, right, &product) ? INT64_MAX : product;
}

// A loop on its way through the workers of a run. Its units (blocks, ranges or morsels) are given out from
// the first to the last, one or several at a time. The parts that one worker gets are collected in partials:
// a part that directly follows the worker's last one goes to the same partial, so a worker alone has one.
class UnitLoop : public LoopBoard::Loop {
 public:
  // How the units are given out.
  enum class Parts : std::uint8_t {
    kMorsels,   // one by one; each is worth a thread
    kRanges,    // one by one, each to a partial of its own
    kByTime,    // as many as take kMorselNanoseconds
    kAnyOrder,  // likewise, and a worker has one partial for all
  };

  struct Part {
    std::int64_t partial = -1;
    std::int64_t begin = 0;  // in units
    std::int64_t end = 0;
    bool begins_partial = true;
  };

  UnitLoop(WorkerState& caller, std::int64_t num_units, Parts parts)
      : Loop(caller.loop),
        caller_(caller),
        board_(caller.run->board()),
        threads_(caller.may_fork ? caller.run->settings().threads : 1),
        num_units_(num_units),
        parts_(parts),
        may_fork_(caller.may_fork) {}

  bool has_units() const noexcept override {
    return next_unit_.load(std::memory_order_relaxed) < num_units_ &&
           !has_failed_.load(std::memory_order_relaxed);
  }

  void take_part(WorkerState& worker) noexcept override {
    worker.may_fork = may_fork_;
    worker.num_morsels = 0;
    const std::int64_t allocated_before = worker.allocated_bytes();
    work(worker);
    num_morsels_.fetch_add(worker.num_morsels, std::memory_order_relaxed);
    allocated_bytes_.fetch_add(worker.allocated_bytes() - allocated_before, std::memory_order_relaxed);
  }

 protected:
  ~UnitLoop() = default;

  virtual ErrorCode run_part(WorkerState& worker, const Part& part) noexcept = 0;

  // Runs all units; the first failure in their order is the caller's.
  ErrorCode run() noexcept {
    Scope* const scope = caller_.scope;
    LoopBoard::Loop* const outer = caller_.loop;
    work(caller_);
    board_.finish(*this);
    caller_.scope = scope;
    caller_.loop = outer;
    caller_.num_morsels += num_morsels_.load(std::memory_order_relaxed);
    caller_.loop_allocated_bytes += allocated_bytes_.load(std::memory_order_relaxed);
    if (failed_code_ != ErrorCode::kSuccess) {
      caller_.failed_code = failed_code_;
      caller_.failed_span = failed_span_;
    }
    return failed_code_;
  }

  int threads() const { return threads_; }
  std::int64_t num_partials() const { return num_partials_; }
  // What a unit took last, or is estimated to take; 0: nobody knows.
  std::int64_t unit_picoseconds() const { return unit_picoseconds_.load(std::memory_order_relaxed); }
  void estimate_unit(std::int64_t picoseconds) {
    unit_picoseconds_.store(picoseconds, std::memory_order_relaxed);
    is_known_.store(true, std::memory_order_relaxed);
  }
  void limit_partials(std::int64_t most) { most_partials_ = most; }

 private:
  void work(WorkerState& worker) noexcept {
    worker.loop = this;
    const bool may_post = &worker == &caller_ && threads_ > 1;
    bool is_posted = false;
    Part part;
    for (;;) {
      if (may_post && !is_posted) is_posted = post_if_worth_it();
      if (!take(part)) return;
      const bool is_timed = parts_ != Parts::kMorsels;
      const Clock::time_point begin = is_timed ? Clock::now() : Clock::time_point();
      const ErrorCode code = run_part(worker, part);
      if (code != ErrorCode::kSuccess) fail(worker, part.begin, code);
      if (is_timed) measure(part.end - part.begin, Clock::now() - begin);
    }
  }

  // The next part of a worker whose last one was `part`. False when there is none.
  bool take(Part& part) noexcept {
    const std::lock_guard lock(mutex_);
    const std::int64_t begin = next_unit_.load(std::memory_order_relaxed);
    if (begin >= num_units_ || has_failed_.load(std::memory_order_relaxed)) return false;
    const std::int64_t rest = num_units_ - begin;
    std::int64_t units = 1;
    part.begins_partial =
        part.partial < 0 || parts_ == Parts::kRanges || (part.end != begin && parts_ != Parts::kAnyOrder);
    if (parts_ == Parts::kByTime || parts_ == Parts::kAnyOrder) {
      const std::int64_t wanted = units_by_time(part.end - part.begin);
      // Towards the end less, so that all workers end together.
      const std::int64_t share = std::max(ceil_divide(rest, 2 * threads_), wanted / 8);
      units = std::max<std::int64_t>(std::min(wanted, share), 1);
      if (part.begins_partial && parts_ == Parts::kByTime)
        units = std::max(units, ceil_divide(rest, most_partials_ - num_partials_));
      units = std::min(units, rest);
    }
    if (part.begins_partial) part.partial = num_partials_++;
    part.begin = begin;
    part.end = begin + units;
    next_unit_.store(part.end, std::memory_order_relaxed);
    return true;
  }

  std::int64_t units_by_time(std::int64_t last_units) const {
    const std::int64_t each = unit_picoseconds();
    if (each == 0) return 1;
    const std::int64_t wanted = std::max<std::int64_t>(kMorselPicoseconds / each, 1);
    // What is measured on few units holds for not many more.
    if (is_measured_.load(std::memory_order_relaxed)) return wanted;
    return std::min(wanted, 8 * std::max<std::int64_t>(last_units, 1));
  }

  void measure(std::int64_t units, Clock::duration elapsed) {
    const std::int64_t picoseconds = multiply(
        std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count(), kPicosecondsPerNanosecond);
    const bool is_exact = picoseconds >= kLeastMeasured;
    if (!is_exact && is_measured_.load(std::memory_order_relaxed)) return;
    unit_picoseconds_.store(std::max<std::int64_t>(picoseconds / units, 1), std::memory_order_relaxed);
    if (!is_exact) return;
    is_measured_.store(true, std::memory_order_relaxed);
    is_known_.store(true, std::memory_order_relaxed);
  }

  // By the caller alone, while nobody else takes part.
  bool post_if_worth_it() noexcept {
    const std::int64_t rest = num_units_ - next_unit_.load(std::memory_order_relaxed);
    if (rest < 2 || !board_.has_idle_threads()) return false;
    std::int64_t helpers = rest - 1;
    if (parts_ != Parts::kMorsels) {
      if (!is_known_.load(std::memory_order_relaxed)) return false;
      const std::int64_t picoseconds = multiply(rest, unit_picoseconds());
      if (picoseconds < kLeastSharedPicoseconds) return false;
      helpers = std::min(helpers, ceil_divide(picoseconds, kLeastSharedPicoseconds));
    }
    return board_.post(*this, helpers);
  }

  void fail(WorkerState& worker, std::int64_t unit, ErrorCode code) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (unit < failed_unit_) {
        failed_unit_ = unit;
        failed_code_ = code;
        failed_span_ = worker.failed_span;
      }
      has_failed_.store(true, std::memory_order_relaxed);
    }
    weld_rt_forget_failure(&worker);
  }

  WorkerState& caller_;
  LoopBoard& board_;
  const int threads_;
  const std::int64_t num_units_;
  const Parts parts_;
  const std::uint8_t may_fork_;  // inside of the units
  std::int64_t most_partials_ = kMaxPartials;

  std::atomic<std::int64_t> next_unit_{0};  // written under the mutex
  std::atomic<bool> has_failed_{false};     // likewise
  std::atomic<std::int64_t> unit_picoseconds_{0};
  std::atomic<bool> is_measured_{false};  // in this run
  std::atomic<bool> is_known_{false};     // measured, or estimated before
  std::atomic<std::int64_t> num_morsels_{0};
  std::atomic<std::int64_t> allocated_bytes_{0};
  std::mutex mutex_;  // everything below
  std::int64_t num_partials_ = 0;
  std::int64_t failed_unit_ = std::numeric_limits<std::int64_t>::max();
  ErrorCode failed_code_ = ErrorCode::kSuccess;
  std::uint32_t failed_span_ = kNoSpan;
};

// The body on one morsel, in a scope of its own inside `parent`, which is freed or moved to `kept`.
ErrorCode run_morsel(WorkerState& worker, LoopBody body, void* captures, std::int64_t begin, std::int64_t end,
                     void* partial, Scope* parent, BlockLink* kept) noexcept {
  if (must_poll(worker)) {
    const ErrorCode code = worker.run->poll();
    if (code != ErrorCode::kSuccess) return code;
  }
  ++worker.num_morsels;
  Scope scope;
  scope.parent = parent;
  begin_list(scope.blocks);
  worker.scope = &scope;
  const ErrorCode code = body(&worker, captures, begin, end, partial);
  worker.scope = parent;
  if (scope.empty()) return code;
  if (kept && code == ErrorCode::kSuccess) {
    splice_last(*kept, scope.blocks);
  } else {
    worker.heap.free_all(scope.blocks);
  }
  return code;
}

class PlainLoop final : public UnitLoop {
 public:
  PlainLoop(WorkerState& caller, std::int64_t num_elements, std::int64_t morsel_elements, LoopBody body,
            void* captures)
      : UnitLoop(caller, ceil_divide(num_elements, morsel_elements), Parts::kMorsels),
        num_elements_(num_elements),
        morsel_elements_(morsel_elements),
        body_(body),
        captures_(captures),
        parent_(caller.scope) {}

  using UnitLoop::run;

 private:
  ErrorCode run_part(WorkerState& worker, const Part& part) noexcept override {
    const std::int64_t begin = part.begin * morsel_elements_;
    const std::int64_t end = begin + std::min(morsel_elements_, num_elements_ - begin);
    return run_morsel(worker, body_, captures_, begin, end, nullptr, parent_, nullptr);
  }

  std::int64_t num_elements_;
  std::int64_t morsel_elements_;
  LoopBody body_;
  void* captures_;
  Scope* parent_;
};

// The memory of one partial of a generated loop.
struct PartialMemory {
  Scope init;      // of its state
  BlockLink kept;  // made by its morsels, to be kept
};

// Tells of the morsels of a loop that run on a worker, where somebody asks.
class TimedLoop {
 public:
  TimedLoop(WorkerState& worker, std::uint32_t site) : worker_(worker), outer_site_(worker.loop_site) {
    if (!worker.tallies) return;
    worker.loop_site = site;
    morsels_before_ = worker.num_morsels;
    started_ = cycles_now();
  }
  ~TimedLoop() {
    if (!worker_.tallies) return;
    LoopTally& tally = worker_.tallies[worker_.loop_site];
    tally.cycles += static_cast<std::int64_t>(cycles_now() - started_);
    tally.morsels += worker_.num_morsels - morsels_before_;
    worker_.loop_site = outer_site_;
  }
  TimedLoop(const TimedLoop&) = delete;
  TimedLoop& operator=(const TimedLoop&) = delete;

 private:
  WorkerState& worker_;
  std::uint32_t outer_site_;
  std::int64_t morsels_before_ = 0;
  std::uint64_t started_ = 0;
};

// How a generated loop is cut.
struct Cut {
  std::int64_t unit_iterations;  // a multiple of the block's; may be past the end
  std::int64_t num_units;
  UnitLoop::Parts parts;
};

VariantSelector* selector_of(const WorkerState& worker, const LoopDescriptor& descriptor) {
  const RunSettings& settings = worker.run->settings();
  if (descriptor.num_variants < 2 || !settings.adaptive || !settings.program) return nullptr;
  return settings.program->selectors[descriptor.site].get();
}

void note_variant(WorkerState& worker, std::uint32_t site, VariantSelector::Choice choice,
                  std::uint64_t cycles) {
  if (!worker.tallies) return;
  LoopTally::Variant& variant = worker.tallies[site].variants[choice.variant];
  variant.iterations += choice.rows;
  variant.cycles += static_cast<std::int64_t>(cycles);
}

class GeneratedLoop final : public UnitLoop {
 public:
  GeneratedLoop(WorkerState& caller, const LoopDescriptor& descriptor, void* captures,
                std::int64_t num_iterations, const Cut& cut, const LoopBegin& begun)
      : UnitLoop(caller, cut.num_units, cut.parts),
        caller_(caller),
        descriptor_(descriptor),
        captures_(captures),
        num_iterations_(num_iterations),
        cut_(cut),
        begun_(begun),
        scope_(caller.scope) {
    const std::int64_t measured =
        descriptor.measured ? __atomic_load_n(descriptor.measured, __ATOMIC_RELAXED) : 0;
    if (measured > 0) {
      estimate_unit(multiply(measured, cut.unit_iterations));
    } else if (num_iterations / 4 >= descriptor.morsel_iterations && descriptor.morsel_iterations > 0) {
      estimate_unit(multiply(kMorselPicoseconds / descriptor.morsel_iterations + 1, cut.unit_iterations));
    }
    if (cut.parts == Parts::kRanges) {
      most_partials_ = cut.num_units;
    } else if (cut.parts == Parts::kAnyOrder) {
      most_partials_ = std::min<std::int64_t>(threads(), cut.num_units);
    } else if (threads() == 1) {
      most_partials_ = 1;
    } else {
      // As many as leave the last ones small, but no more than the loop's time is worth.
      const std::int64_t by_time =
          unit_picoseconds() > 0 ? multiply(cut.num_units, unit_picoseconds()) / (kMorselPicoseconds / 16)
                                 : kMaxPartials;
      const std::int64_t most =
          std::min<std::int64_t>(128 * static_cast<std::int64_t>(threads()), kMaxPartials);
      most_partials_ =
          std::min(std::clamp<std::int64_t>(by_time, 8 * std::min(threads(), 64), most), cut.num_units);
      most_partials_ = std::max<std::int64_t>(most_partials_, 1);
    }
    limit_partials(most_partials_);
  }

  ErrorCode run_and_combine() noexcept {
    const std::int64_t num_given = begun_.partial ? 1 : 0;
    const std::int64_t partials_bytes = (num_given + most_partials_) * descriptor_.partial_bytes;
    const std::int64_t memory_bytes = most_partials_ * static_cast<std::int64_t>(sizeof(PartialMemory));
    Block* states = caller_.heap.allocate(partials_bytes + memory_bytes);
    if (!states) return ErrorCode::kOutOfMemory;
    std::byte* const all_partials = states->payload();
    partials_ = all_partials + num_given * descriptor_.partial_bytes;
    memory_ = reinterpret_cast<PartialMemory*>(all_partials + partials_bytes);
    if (begun_.partial)
      std::memcpy(all_partials, begun_.partial, static_cast<std::size_t>(descriptor_.partial_bytes));

    ErrorCode code = run();
    for (std::int64_t i = 0; i < num_partials(); ++i) {
      if (code == ErrorCode::kSuccess) {
        splice_last(scope_->blocks, memory_[i].kept);
      } else {
        caller_.heap.free_all(memory_[i].kept);
      }
    }
    if (code == ErrorCode::kSuccess && descriptor_.combine) {
      caller_.dict_slices = begun_.slices;
      code = descriptor_.combine(&caller_, captures_, all_partials, num_given + num_partials());
      caller_.dict_slices = nullptr;
    }
    for (std::int64_t i = 0; i < num_partials(); ++i) caller_.heap.free_all(memory_[i].init.blocks);
    caller_.heap.free(states);
    if (descriptor_.measured && unit_picoseconds() > 0) {
      const std::int64_t each = std::max<std::int64_t>(unit_picoseconds() / cut_.unit_iterations, 1);
      __atomic_store_n(descriptor_.measured, each, __ATOMIC_RELAXED);
    }
    return code;
  }

 private:
  ErrorCode run_part(WorkerState& worker, const Part& part) noexcept override {
    std::int64_t begin = part.begin * cut_.unit_iterations;
    const std::int64_t units = part.end - part.begin;
    std::int64_t end = begin + std::min(multiply(units, cut_.unit_iterations), num_iterations_ - begin);
    begin += begun_.iteration;
    end += begun_.iteration;
    PartialMemory& memory = memory_[part.partial];
    std::byte* partial =
        descriptor_.partial_bytes > 0 ? partials_ + part.partial * descriptor_.partial_bytes : nullptr;
    if (part.begins_partial) {
      memory.init.parent = scope_;
      begin_list(memory.init.blocks);
      begin_list(memory.kept);
      if (partial) std::memset(partial, 0, static_cast<std::size_t>(descriptor_.partial_bytes));
    }
    worker.scope = &memory.init;
    if (part.begins_partial && descriptor_.init) {
      const ErrorCode code = descriptor_.init(&worker, captures_, begin, end, partial);
      if (code != ErrorCode::kSuccess) return code;
    }
    const std::int64_t morsel = cut_.parts == Parts::kRanges || threads() == 1 ? range_morsel() : end - begin;
    const TimedLoop timed(worker, descriptor_.site);
    VariantSelector* const selector = selector_of(worker, descriptor_);
    while (begin < end) {
      const std::int64_t rows = std::min(morsel, end - begin);
      std::int64_t done = rows;
      ErrorCode code;
      if (selector) {
        const VariantSelector::Choice choice = selector->choose(rows, descriptor_.block_iterations);
        const std::uint64_t started = cycles_now();
        code = run_body(worker, descriptor_.variants[choice.variant], begin, begin + choice.rows, partial,
                        memory);
        const std::uint64_t cycles = cycles_now() - started;
        if (code == ErrorCode::kSuccess) selector->report(choice, cycles);
        note_variant(worker, descriptor_.site, choice, cycles);
        done = choice.rows;
      } else {
        code = run_body(worker, descriptor_.body, begin, begin + rows, partial, memory);
      }
      if (code != ErrorCode::kSuccess) return code;
      begin += done;
    }
    return ErrorCode::kSuccess;
  }

  ErrorCode run_body(WorkerState& worker, LoopBody body, std::int64_t begin, std::int64_t end, void* partial,
                     PartialMemory& memory) noexcept {
    if (descriptor_.flags & (kLoopAllocates | kLoopKeepsMemory)) {
      return run_morsel(worker, body, captures_, begin, end, partial, &memory.init,
                        descriptor_.flags & kLoopKeepsMemory ? &memory.kept : nullptr);
    }
    const ErrorCode code = must_poll(worker) ? worker.run->poll() : ErrorCode::kSuccess;
    ++worker.num_morsels;
    return code == ErrorCode::kSuccess ? body(&worker, captures_, begin, end, partial) : code;
  }

  // Whole blocks.
  std::int64_t range_morsel() const {
    const std::int64_t block = descriptor_.block_iterations;
    const std::int64_t wanted = std::max(descriptor_.morsel_iterations, num_iterations_ / kMaxPartials);
    return multiply(std::max<std::int64_t>(ceil_divide(wanted, block), 1), block);
  }

  WorkerState& caller_;
  const LoopDescriptor& descriptor_;
  void* captures_;
  std::int64_t num_iterations_;
  Cut cut_;
  LoopBegin begun_;
  Scope* scope_;
  std::int64_t most_partials_;
  std::byte* partials_ = nullptr;
  PartialMemory* memory_ = nullptr;
};

}  // namespace

ErrorCode for_each_morsel(Worker& worker, std::int64_t num_elements, std::int64_t morsel_elements,
                          LoopBody body, void* captures) noexcept {
  if (num_elements < 0 || morsel_elements < 1) return ErrorCode::kUnknown;
  if (num_elements == 0) return ErrorCode::kSuccess;
  return PlainLoop(state_of(worker), num_elements, morsel_elements, body, captures).run();
}

ErrorCode run_loop(Worker& worker, const LoopDescriptor& descriptor, void* captures,
                   std::int64_t end_iteration, std::int64_t max_ranges, const LoopBegin& begun) noexcept {
  const std::int64_t num_iterations = end_iteration - begun.iteration;
  if (num_iterations < 0 || descriptor.block_iterations < 1) return ErrorCode::kUnknown;
  if (num_iterations == 0) return ErrorCode::kSuccess;
  WorkerState& caller = state_of(worker);
  if (caller.tallies) ++caller.tallies[descriptor.site].parallel_executions;
  Cut cut{descriptor.block_iterations, ceil_divide(num_iterations, descriptor.block_iterations),
          descriptor.flags & kLoopAnyOrder ? UnitLoop::Parts::kAnyOrder : UnitLoop::Parts::kByTime};
  if (descriptor.flags & kLoopRanges) {
    // Each range has a table of its keys: two for each thread, so that none waits long for the last.
    constexpr std::int64_t kRangesPerThread = 2;
    max_ranges = std::min<std::int64_t>(max_ranges, descriptor.max_ranges);
    if (descriptor.flags & kLoopFreeRanges) {
      const bool is_alone = !caller.may_fork || caller.run->settings().dictmerger == DictForced::kGlobal;
      max_ranges = std::min<std::int64_t>(max_ranges,
                                          is_alone ? 1 : kRangesPerThread * caller.run->settings().threads);
    }
    const ir::Ranges ranges = ir::cut_ranges(num_iterations, descriptor.block_iterations, max_ranges);
    cut = {ranges.range_iterations, ranges.num_ranges, UnitLoop::Parts::kRanges};
  }
  return GeneratedLoop(caller, descriptor, captures, num_iterations, cut, begun).run_and_combine();
}

extern "C" ErrorCode weld_rt_run_loop(Worker* worker, const LoopDescriptor* loop, void* captures,
                                      std::int64_t num_iterations) noexcept {
  return run_loop(*worker, *loop, captures, num_iterations, loop->max_ranges);
}

extern "C" ErrorCode weld_rt_run_variants(Worker* worker, const LoopDescriptor* loop, void* captures,
                                          std::int64_t num_iterations, void* partial) noexcept {
  WorkerState& state = state_of(worker);
  VariantSelector* const selector = selector_of(state, *loop);
  if (!selector) return loop->body(worker, captures, 0, num_iterations, partial);
  const std::int64_t morsel = std::max(loop->morsel_iterations, kBlocksOfVariants * loop->block_iterations);
  for (std::int64_t begin = 0; begin < num_iterations;) {
    const std::int64_t rows = std::min(morsel, num_iterations - begin);
    const VariantSelector::Choice choice = selector->choose(rows, loop->block_iterations);
    const std::uint64_t started = cycles_now();
    const ErrorCode code =
        loop->variants[choice.variant](worker, captures, begin, begin + choice.rows, partial);
    if (code != ErrorCode::kSuccess) return code;
    const std::uint64_t cycles = cycles_now() - started;
    selector->report(choice, cycles);
    note_variant(state, loop->site, choice, cycles);
    begin += choice.rows;
  }
  return ErrorCode::kSuccess;
}

extern "C" ErrorCode weld_rt_run_ranges(Worker* worker, const LoopDescriptor* loop, void* captures,
                                        std::int64_t num_iterations, std::int64_t max_ranges) noexcept {
  return run_loop(*worker, *loop, captures, num_iterations, max_ranges);
}

extern "C" ErrorCode weld_rt_run_rest(Worker* worker, const LoopDescriptor* loop, void* captures,
                                      std::int64_t begin, std::int64_t end, const void* partial) noexcept {
  DictSlices slices(*worker);
  ErrorCode code = ErrorCode::kSuccess;
  while (begin < end && code == ErrorCode::kSuccess) {
    const std::int64_t stop = begin + slices.next_iterations(end - begin, loop->block_iterations);
    code = run_loop(*worker, *loop, captures, stop, loop->max_ranges, {begin, partial, &slices});
    partial = nullptr;
    begin = stop;
  }
  return code == ErrorCode::kSuccess ? slices.finish() : code;
}

extern "C" ErrorCode weld_rt_for_each_morsel(Worker* worker, std::int64_t num_elements,
                                             std::int64_t morsel_elements, LoopBody body,
                                             void* captures) noexcept {
  return for_each_morsel(*worker, num_elements, morsel_elements, body, captures);
}

extern "C" std::uint32_t weld_rt_has_idle_threads(Worker* worker) noexcept {
  return worker->run->board().has_idle_threads() ? 1 : 0;
}

}  // namespace weld::runtime
