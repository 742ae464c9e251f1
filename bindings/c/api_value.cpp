#include "bindings/c/handles.h"

using namespace weld::bindings;

weld_value_t weld_value_new(const void* data) {
  return guarded([&]() -> void* { return new ValueHandle(data); });
}

const void* weld_value_data(weld_value_t value) {
  const auto* handle = open<ValueHandle>(value);
  return handle ? handle->data : nullptr;
}

int64_t weld_value_run(weld_value_t value) {
  const auto* handle = open<ValueHandle>(value);
  return handle ? handle->run_id : -1;
}

weld_context_t weld_value_context(weld_value_t value) {
  const auto* handle = open<ValueHandle>(value);
  if (!handle || !handle->context) return nullptr;
  handle->context->retain_by_caller();
  return handle->context;
}

int64_t weld_value_memory_usage(weld_value_t value) {
  const auto* handle = open<ValueHandle>(value);
  return handle && handle->context ? handle->result.memory_bytes() : 0;
}

const char* weld_value_type(weld_value_t value) {
  const auto* handle = open<ValueHandle>(value);
  return handle && handle->compiled ? handle->compiled->result_type.c_str() : nullptr;
}

bool weld_value_statistics(weld_value_t value, weld_run_statistics_t* statistics) {
  const auto* handle = open<ValueHandle>(value);
  if (!statistics) return false;
  *statistics = {};
  if (!handle || !handle->context) return false;
  const weld::codegen::RunStatistics& run = handle->result.statistics();
  statistics->run_ns = run.run_ns;
  statistics->peak_bytes = run.peak_bytes;
  return true;
}

void weld_value_free(weld_value_t value) {
  delete open<ValueHandle>(value);
}
