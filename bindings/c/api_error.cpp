#include "bindings/c/handles.h"

using namespace weld;
using namespace weld::bindings;

namespace {

const ir::Location kNowhere;

const ir::Location& location_of(weld_error_t err) noexcept {
  const auto* error = open<ErrorHandle>(err);
  return error ? error->location : kNowhere;
}

}  // namespace

weld_error_t weld_error_new(void) {
  return guarded([]() -> void* { return new ErrorHandle; });
}

void weld_error_free(weld_error_t err) {
  delete open<ErrorHandle>(err);
}

uint64_t weld_error_code(weld_error_t err) {
  const auto* error = open<ErrorHandle>(err);
  return static_cast<uint64_t>(error ? error->code : ErrorCode::kUnknown);
}

const char* weld_error_message(weld_error_t err) {
  const auto* error = open<ErrorHandle>(err);
  return error ? error->message.c_str() : "the error handle is not valid";
}

int64_t weld_error_line(weld_error_t err) {
  return location_of(err).line;
}
int64_t weld_error_column(weld_error_t err) {
  return location_of(err).column;
}
int64_t weld_error_end_line(weld_error_t err) {
  return location_of(err).end_line;
}
int64_t weld_error_end_column(weld_error_t err) {
  return location_of(err).end_column;
}

const char* weld_error_diagnostic(weld_error_t err) {
  const auto* error = open<ErrorHandle>(err);
  return error ? error->diagnostic.c_str() : "";
}

const char* weld_error_code_name(uint64_t code) {
  return error_name(code < ErrnoMax ? static_cast<ErrorCode>(code) : ErrorCode::kUnknown).data();
}
