#include "runtime/interpreter_engine.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include "ir/builder_state.h"
#include "ir/fields.h"
#include "ir/scalar_eval.h"
#include "runtime/calls.h"
#include "runtime/dict.h"
#include "runtime/foreign.h"
#include "runtime/group.h"
#include "runtime/hash.h"

namespace weld::runtime {
namespace {

using ir::Value;

struct Failure {
  ErrorCode code;
};

void require(bool holds, ErrorCode code) {
  if (!holds) throw Failure{code};
}

ir::ScalarValue load_scalar(ir::ScalarKind kind, const std::byte* address) {
  ir::ScalarValue value{kind, 0};
  std::memcpy(&value.bits, address, static_cast<std::size_t>(ir::size_bytes(kind)));
  if (kind == ir::ScalarKind::kBool) value.bits = value.bits != 0 ? 1 : 0;
  return value;
}

template <class T>
T load(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

// --- From the C layout.

Value read_value(ir::Type type, const TypeLayout& layout, const std::byte* address);

VecView checked_view(const std::byte* address) {
  const auto view = load<VecView>(address);
  require(view.length >= 0 && (view.length == 0 || view.data), ErrorCode::kArrayOutOfBounds);
  return view;
}

Value read_vector(ir::Type element, const TypeLayout& layout, VecView view) {
  if (const auto* scalar = element.as<ir::ScalarType>())
    return Value::borrow(scalar->kind, view.data, view.length, nullptr);
  auto storage = std::make_shared<ir::VectorStorage>(element, nullptr);
  storage->reserve(view.length);
  for (std::int64_t i = 0; i < view.length; ++i)
    storage->push(read_value(element, layout, view.data + i * layout.size_bytes));
  return ir::VectorValue{storage, 0, view.length};
}

Value read_dict(ir::Type key, ir::Type value, const TypeLayout& entry, const Dict* dict) {
  auto table = std::make_shared<ir::DictTable>();
  for (std::int64_t i = 0; dict && i < dict->num_entries; ++i) {
    const std::byte* address = dict->entries + i * dict->entry_bytes;
    table->find_or_insert(read_value(key, *entry.members[0].layout, address + entry.members[0].offset),
                          read_value(value, *entry.members[1].layout, address + entry.members[1].offset));
  }
  return Value(std::shared_ptr<const ir::DictTable>(std::move(table)));
}

Value read_builder(ir::Type type, const TypeLayout& layout, const std::byte* address) {
  if (const auto* appender = type.as<ir::AppenderType>()) {
    const VecView view = checked_view(address);
    Value builder = ir::make_builder(type, nullptr, nullptr);
    for (std::int64_t i = 0; i < view.length; ++i) {
      const std::byte* element = view.data + i * layout.element->size_bytes;
      builder.builder().merge(read_value(appender->element, *layout.element, element));
    }
    return builder;
  }
  if (const auto* merger = type.as<ir::MergerType>()) {
    const TypeLayout::Member& member = layout.members[0];
    const Value held = read_value(merger->value, *member.layout, address + member.offset);
    return ir::make_builder(type, &held, nullptr);
  }
  if (const auto* vecmerger = type.as<ir::VecMergerType>()) {
    const Value held = read_vector(vecmerger->element, *layout.element, checked_view(address));
    return ir::make_builder(type, &held, nullptr);
  }
  if (const auto* dictmerger = type.as<ir::DictMergerType>()) {
    const Value held =
        read_dict(dictmerger->key, dictmerger->value, *layout.element, load<const Dict*>(address));
    return ir::make_builder(type, &held, nullptr);
  }
  const auto& groupmerger = *type.as<ir::GroupMergerType>();
  const auto* group = load<const GroupBuilder*>(address);
  Value builder = ir::make_builder(type, nullptr, nullptr);
  if (!group) return builder;
  const TypeLayout::Member& key = layout.element->members[0];
  for_each_chunk(*group, [&](const GroupChunk& chunk, std::int64_t num_values, const GroupSegment& segment) {
    for (std::int64_t i = 0; i < num_values; ++i) {
      const std::uint32_t id = segment.id_map ? segment.id_map[chunk.ids[i]] : chunk.ids[i];
      const std::byte* entry = group->keys.entries + id * group->keys.entry_bytes;
      builder.builder().merge(Value::structure(
          {read_value(groupmerger.key, *key.layout, entry + key.offset),
           read_value(groupmerger.value, *layout.group_value, chunk.values + i * group->value_bytes)}));
    }
  });
  return builder;
}

Value read_value(ir::Type type, const TypeLayout& layout, const std::byte* address) {
  if (const auto* scalar = type.as<ir::ScalarType>()) return load_scalar(scalar->kind, address);
  if (const auto* vec = type.as<ir::VecType>())
    return read_vector(vec->element, *layout.element, checked_view(address));
  if (const auto* dict = type.as<ir::DictType>())
    return read_dict(dict->key, dict->value, *layout.element, load<const Dict*>(address));
  if (const auto* simd = type.as<ir::SimdType>()) {
    std::vector<ir::ScalarValue> lanes;
    for (std::uint32_t i = 0; i < simd->lanes; ++i)
      lanes.push_back(
          load_scalar(simd->kind, address + i * static_cast<std::uint32_t>(ir::size_bytes(simd->kind))));
    return Value::simd(std::move(lanes));
  }
  const auto* structure = type.as<ir::StructType>();
  if (!structure) return read_builder(type, layout, address);
  std::vector<Value> members;
  for (std::size_t i = 0; i < structure->members.size(); ++i) {
    const TypeLayout::Member& member = layout.members[i];
    members.push_back(read_value(structure->members[i], *member.layout, address + member.offset));
  }
  return Value::structure(std::move(members));
}

// --- To the C layout.

// The hash that generated code computes of a key.
void add_to_hash(KeyHasher& hasher, ir::Type type, const Value& key, std::uint64_t seed) {
  if (const auto* structure = type.as<ir::StructType>()) {
    for (std::size_t i = 0; i < structure->members.size(); ++i)
      add_to_hash(hasher, structure->members[i], key.members()[i], seed);
    return;
  }
  if (const auto* vec = type.as<ir::VecType>()) {
    const ir::VectorValue& vector = key.vector();
    hasher.end_word();
    const auto* scalar = vec->element.as<ir::ScalarType>();
    if (scalar && ir::is_integer(scalar->kind)) {
      const std::int64_t size = vector.length * ir::size_bytes(scalar->kind);
      const std::byte* data =
          size == 0 ? nullptr : vector.storage->scalars() + vector.offset * ir::size_bytes(scalar->kind);
      hasher.set_state(size <= kShortBytes ? hash_short(reinterpret_cast<const std::uint8_t*>(data), size,
                                                        hasher.state(), seed)
                                           : weld_rt_hash_bytes(data, size, hasher.state() ^ seed));
      return;
    }
    hasher.set_state(hash_word(static_cast<std::uint64_t>(vector.length), hasher.state(), seed));
    for (std::int64_t i = 0; i < vector.length; ++i) {
      add_to_hash(hasher, vec->element, vector[i], seed);
      hasher.end_word();
    }
    return;
  }
  ir::ScalarValue scalar = ir::canonical(key.scalar());
  if (ir::is_float(scalar.kind) && !ir::convert(ir::ScalarKind::kBool, scalar).as<bool>()) scalar.bits = 0;
  const int width = static_cast<int>(8 * ir::size_bytes(scalar.kind));
  hasher.add(scalar.bits & (~std::uint64_t{0} >> (64 - width)), width);
}

std::uint64_t hash_key(ir::Type type, const Value& key, std::uint64_t seed) {
  KeyHasher hasher(seed);
  add_to_hash(hasher, type, key, seed);
  hasher.end_word();
  return hasher.state();
}

// Writes values into blocks of the worker's scope.
class Writer {
 public:
  explicit Writer(Worker* worker) : worker_(worker) {}

  void write(ir::Type type, const TypeLayout& layout, const Value& value, std::byte* address) {
    if (value.is_scalar() && !ir::is_builder(type)) {
      write_scalar(value.scalar(), address);
    } else if (value.is_simd()) {
      const auto size = static_cast<std::size_t>(ir::size_bytes(layout.scalar));
      for (std::size_t i = 0; i < value.lanes().size(); ++i)
        write_scalar(value.lanes()[i], address + i * size);
    } else if (const auto* vec = type.as<ir::VecType>()) {
      store(write_vector(vec->element, *layout.element, value.vector()), address);
    } else if (const auto* dict = type.as<ir::DictType>()) {
      store(write_dict(dict->key, dict->value, *layout.element, value.dict()), address);
    } else if (const auto* structure = type.as<ir::StructType>()) {
      for (std::size_t i = 0; i < structure->members.size(); ++i) {
        const TypeLayout::Member& member = layout.members[i];
        write(structure->members[i], *member.layout, value.members()[i], address + member.offset);
      }
    } else {
      write_builder(type, layout, value.builder().result(), address);
    }
  }

 private:
  static void write_scalar(ir::ScalarValue value, std::byte* address) {
    std::memcpy(address, &value.bits, static_cast<std::size_t>(ir::size_bytes(value.kind)));
  }
  template <class T>
  static void store(const T& state, std::byte* address) {
    std::memcpy(address, &state, sizeof state);
  }

  std::byte* allocate(std::int64_t count, std::int64_t size) {
    std::int64_t bytes = 0;
    require(!__builtin_mul_overflow(count, size, &bytes), ErrorCode::kOutOfMemory);
    std::byte* block = weld_rt_allocate_zeroed(worker_, bytes);
    require(block != nullptr, ErrorCode::kOutOfMemory);
    return block;
  }

  VecView write_vector(ir::Type element, const TypeLayout& layout, const ir::VectorValue& vector) {
    if (vector.storage && vector.storage->is_borrowed()) {
      // Views of arguments stay views. Borrowed memory is only ever read.
      const std::byte* data = vector.storage->scalars() + vector.offset * layout.size_bytes;
      return {const_cast<std::byte*>(data), vector.length};
    }
    return {copy_elements(element, layout, vector), vector.length};
  }

  std::byte* copy_elements(ir::Type element, const TypeLayout& layout, const ir::VectorValue& vector) {
    if (vector.length == 0) return nullptr;
    std::byte* data = allocate(vector.length, layout.size_bytes);
    if (vector.storage->kind()) {
      std::memcpy(data, vector.storage->scalars() + vector.offset * layout.size_bytes,
                  static_cast<std::size_t>(vector.length * layout.size_bytes));
      return data;
    }
    for (std::int64_t i = 0; i < vector.length; ++i)
      write(element, layout, vector[i], data + i * layout.size_bytes);
    return data;
  }

  Dict* write_dict(ir::Type key, ir::Type value, const TypeLayout& entry, const ir::DictTable& table) {
    const auto entries = table.entries();
    Dict* dict = weld_rt_dict_new(worker_, entry.size_bytes, static_cast<std::int64_t>(entries.size()));
    require(dict != nullptr, ErrorCode::kOutOfMemory);
    const ErrorCode code = weld_rt_dict_reserve(worker_, dict, static_cast<std::int64_t>(entries.size()));
    require(code == ErrorCode::kSuccess, code);
    for (const auto& [entry_key, entry_value] : entries) {
      std::byte* address = dict->entries + dict->num_entries * entry.size_bytes;
      std::memset(address, 0, static_cast<std::size_t>(entry.size_bytes));
      write(key, *entry.members[0].layout, entry_key, address + entry.members[0].offset);
      write(value, *entry.members[1].layout, entry_value, address + entry.members[1].offset);
      const std::uint64_t hash = slot_hash(hash_key(key, entry_key, dict->seed));
      std::uint64_t slot = first_slot(*dict, hash);
      while (dict->slots[slot] != 0) slot = (slot + 1) & dict->slot_mask;
      dict->slots[slot] = hash << 32 | static_cast<std::uint64_t>(++dict->num_entries);
    }
    return dict;
  }

  // `value` is what the builder would turn into.
  void write_builder(ir::Type type, const TypeLayout& layout, const Value& value, std::byte* address) {
    if (const auto* appender = type.as<ir::AppenderType>()) {
      const std::int64_t length = value.vector().length;
      AppenderState state{};
      const ErrorCode code = weld_rt_appender_new(worker_, &state, layout.element->size_bytes, length);
      require(code == ErrorCode::kSuccess, code);
      if (length > state.capacity) {
        const ErrorCode grown = weld_rt_appender_grow(worker_, &state, layout.element->size_bytes, length);
        require(grown == ErrorCode::kSuccess, grown);
      }
      for (std::int64_t i = 0; i < length; ++i)
        write(appender->element, *layout.element, value.vector()[i],
              state.data + i * layout.element->size_bytes);
      state.length = length;
      store(state, address);
    } else if (const auto* merger = type.as<ir::MergerType>()) {
      write(merger->value, *layout.members[0].layout, value, address + layout.members[0].offset);
    } else if (const auto* vecmerger = type.as<ir::VecMergerType>()) {
      std::byte* data = copy_elements(vecmerger->element, *layout.element, value.vector());
      store(VecView{data, value.vector().length}, address);
    } else if (const auto* dictmerger = type.as<ir::DictMergerType>()) {
      store(write_dict(dictmerger->key, dictmerger->value, *layout.element, value.dict()), address);
    } else {
      store(write_groups(*type.as<ir::GroupMergerType>(), layout, value.dict()), address);
    }
  }

  GroupBuilder* write_groups(const ir::GroupMergerType& type, const TypeLayout& layout,
                             const ir::DictTable& table) {
    const TypeLayout& entry = *layout.element;
    const std::int64_t vector_offset = entry.members[1].offset;
    std::int64_t num_values = 0;
    for (const auto& [key, values] : table.entries()) num_values += values.vector().length;
    GroupBuilder* group = weld_rt_group_new(worker_, entry.size_bytes, vector_offset,
                                            layout.group_value->size_bytes, num_values);
    require(group != nullptr, ErrorCode::kOutOfMemory);
    // The values of the dictionary are vectors, which are counted up below: written as nothing at first.
    ir::DictTable keys;
    for (const auto& [key, values] : table.entries()) keys.find_or_insert(key, Value());
    group->keys = *write_dict(type.key, empty_struct_, entry, keys);
    std::uint32_t id = 0;
    for (const auto& [key, values] : table.entries()) {
      const ir::VectorValue& vector = values.vector();
      for (std::int64_t i = 0; i < vector.length; ++i) {
        if (group->num_values == group->value_capacity) {
          const ErrorCode code = weld_rt_group_grow(worker_, group);
          require(code == ErrorCode::kSuccess, code);
        }
        group->ids[group->num_values] = id;
        write(type.value, *layout.group_value, vector[i],
              group->values + group->num_values++ * group->value_bytes);
      }
      store(VecView{nullptr, vector.length}, group->keys.entries + id++ * entry.size_bytes + vector_offset);
    }
    return group;
  }

  Worker* worker_;
  ir::Arena arena_;
  ir::Type empty_struct_ = arena_.structure(std::initializer_list<ir::Type>{});
};

// Calls a C function with pointers only.
template <std::size_t... i>
void call_pointers(void* function, void* const* pointers, std::index_sequence<i...>) {
  reinterpret_cast<void (*)(decltype(static_cast<void>(i), static_cast<void*>(nullptr))...)>(function)(
      pointers[i]...);
}

constexpr std::size_t kMaxForeignPointers = 32;

template <std::size_t... n>
void call_with_count(void* function, std::span<void* const> pointers, std::index_sequence<n...>) {
  using Caller = void (*)(void*, void* const*);
  static constexpr Caller callers[] = {[](void* called, void* const* values) {
    call_pointers(called, values, std::make_index_sequence<n>());
  }...};
  callers[pointers.size()](function, pointers.data());
}

// The run seen from the interpreter. Its values count against what the context has left.
class RunHost : public ir::Host {
 public:
  RunHost(Worker* worker, const std::unordered_map<const ir::TypeRecord*, const TypeLayout*>& layouts)
      : worker_(worker), layouts_(layouts), writer_(worker) {}

  bool count_bytes(std::int64_t delta) noexcept override {
    const Context& context = worker_->run->context();
    if (delta > 0 && bytes_ + delta > context.memory_limit() - context.bytes_in_use()) return false;
    bytes_ += delta;
    return true;
  }
  ErrorCode poll() noexcept override { return worker_->run->poll(); }

  std::expected<Value, ErrorCode> call_foreign(const ir::ForeignCall& call,
                                               std::span<const Value> arguments) override {
    void* function = find_foreign_symbol(std::string(call.name));
    if (!function) return std::unexpected(ErrorCode::kLoadLibraryError);
    if (arguments.size() + 1 > kMaxForeignPointers) return std::unexpected(ErrorCode::kBudgetExceeded);
    try {
      std::vector<void*> pointers;
      for (std::size_t i = 0; i < arguments.size(); ++i) {
        const ir::Type type = call.arguments[i].type();
        const TypeLayout& layout = *layouts_.at(&type.record());
        std::byte* place = allocate(layout);
        writer_.write(type, layout, arguments[i], place);
        pointers.push_back(place);
      }
      const TypeLayout& layout = *layouts_.at(&call.result.record());
      std::byte* result = allocate(layout);
      pointers.push_back(result);
      call_with_count(function, pointers, std::make_index_sequence<kMaxForeignPointers + 1>());
      const ErrorCode failed = weld_rt_foreign_failure(worker_);
      if (failed != ErrorCode::kSuccess) return std::unexpected(failed);
      return read_value(call.result, layout, result);
    } catch (const Failure& failure) {
      return std::unexpected(failure.code);
    }
  }

 private:
  std::byte* allocate(const TypeLayout& layout) {
    std::byte* place = weld_rt_allocate_zeroed(worker_, std::max<std::int64_t>(layout.size_bytes, 1));
    require(place != nullptr, ErrorCode::kOutOfMemory);
    return place;
  }

  Worker* worker_;
  const std::unordered_map<const ir::TypeRecord*, const TypeLayout*>& layouts_;
  Writer writer_;
  std::int64_t bytes_ = 0;
};

// Runs `work()` on a thread whose stack has room for the interpreter's recursion, and waits.
template <class F>
bool run_on_large_stack(F& work) {
  constexpr std::size_t kStackBytes = std::size_t{64} << 20;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread;
  const int failed = pthread_create(
      &thread, &attributes,
      [](void* data) -> void* {
        (*static_cast<F*>(data))();
        return nullptr;
      },
      &work);
  pthread_attr_destroy(&attributes);
  if (failed != 0) return false;
  pthread_join(thread, nullptr);
  return true;
}

}  // namespace

// What passes through run_program in place of the arguments.
struct InterpretedProgram::Call {
  const InterpretedProgram* program;
  const std::byte* args;
  ir::RunError* error;
  Worker* worker;
  std::byte* result;
};

InterpretedProgram::InterpretedProgram(ir::Expr program) : program_(program) {
  ir::Expr body = program;
  if (const auto* lambda = program.as<ir::Lambda>()) {
    body = lambda->body;
    std::int64_t end = 0;
    for (const ir::Parameter& parameter : lambda->parameters) {
      const TypeLayout& layout = layouts_.of(parameter.type);
      const std::int64_t offset = (end + layout.align_bytes - 1) / layout.align_bytes * layout.align_bytes;
      parameters_.push_back({parameter.type, &layout, offset});
      end = offset + layout.size_bytes;
    }
  }
  result_type_ = body.type();
  result_layout_ = &layouts_.of(result_type_);
  ir::for_each_node(program, [&](ir::Expr expr) {
    const auto* call = expr.as<ir::ForeignCall>();
    if (!call) return;
    foreign_layouts_.emplace(&call->result.record(), &layouts_.of(call->result));
    for (ir::Expr argument : call->arguments)
      foreign_layouts_.emplace(&argument.type().record(), &layouts_.of(argument.type()));
  });
}

ErrorCode InterpretedProgram::run_on(Call& call) const noexcept {
  try {
    std::vector<Value> arguments;
    for (const Parameter& parameter : parameters_)
      arguments.push_back(read_value(parameter.type, *parameter.layout, call.args + parameter.offset));
    RunHost host(call.worker, foreign_layouts_);
    auto value = ir::interpret(program_, arguments, host);
    if (!value) {
      *call.error = std::move(value.error());
      return call.error->code;
    }
    Writer(call.worker).write(result_type_, *result_layout_, *value, call.result);
    return ErrorCode::kSuccess;
  } catch (const Failure& failure) {
    call.error->code = failure.code;
  } catch (const std::bad_alloc&) {
    call.error->code = ErrorCode::kOutOfMemory;
  } catch (const std::exception& exception) {
    call.error->code = ErrorCode::kUnknown;
    call.error->message = exception.what();
    return ErrorCode::kUnknown;
  }
  call.error->message = error_summary(call.error->code);
  return call.error->code;
}

RunResult InterpretedProgram::run(Context& context, const RunSettings& settings, const std::byte* args,
                                  OwnedBlocks consumed, ir::RunError& error) const noexcept {
  Call call{.program = this, .args = args, .error = &error, .worker = nullptr, .result = nullptr};
  const ProgramMain main = [](Worker* worker, const std::byte* passed, std::byte* result) {
    Call& passed_call = *const_cast<Call*>(reinterpret_cast<const Call*>(passed));
    passed_call.worker = worker;
    passed_call.result = result;
    ErrorCode code = ErrorCode::kOutOfMemory;
    auto work = [&] {
      const CurrentWorker current(worker);
      code = passed_call.program->run_on(passed_call);
    };
    run_on_large_stack(work);
    return code;
  };
  RunResult result = run_program(context, settings, main, reinterpret_cast<const std::byte*>(&call),
                                 *result_layout_, std::move(consumed));
  if (result.code != ErrorCode::kSuccess && error.code != result.code)
    error = {result.code, {}, std::string(error_summary(result.code))};
  return result;
}

}  // namespace weld::runtime
