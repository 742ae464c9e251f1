/* A client as the original's examples have it, in C99: every call and type of its header is used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weld.h"

struct arguments {
  weld_vector_t numbers;
  int64_t factor;
};

static void check(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "failed: %s\n", what);
  exit(1);
}

int main(void) {
  weld_init();
  weld_set_log_level(WeldLogLevelOff);
  weld_conf_t conf = weld_conf_new();
  check(weld_conf_get(conf, "weld.threads") == NULL, "an unset key has no value");
  weld_conf_set(conf, "weld.threads", "1");
  check(strcmp(weld_conf_get(conf, "weld.threads"), "1") == 0, "a set key has its value");

  weld_error_t error = weld_error_new();
  weld_module_t module = weld_module_compile(
      "|v: vec[i64], k: i64| result(for(v, appender[i64], |b, i, x| merge(b, x * k)))", conf, error);
  check(weld_error_code(error) == Success, weld_error_message(error));

  int64_t numbers[] = {1, 2, 3};
  struct arguments arguments = {{numbers, 3}, 10};
  weld_value_t argument = weld_value_new(&arguments);
  check(weld_value_run(argument) == -1, "host data has no run");
  check(weld_value_context(argument) == NULL, "host data has no context");

  weld_context_t context = weld_context_new(conf);
  weld_value_t result = weld_module_run(module, context, argument, error);
  check(weld_error_code(error) == Success, weld_error_message(error));
  const weld_vector_t* scaled = weld_value_data(result);
  const int64_t* elements = scaled->data;
  check(scaled->len == 3 && elements[0] == 10 && elements[2] == 30, "the numbers are scaled");
  check(weld_value_run(result) >= 0, "a result has a run");
  check(weld_context_memory_usage(context) > 0, "a result takes memory");

  weld_context_t same = weld_value_context(result);
  weld_context_free(context);
  weld_value_free(result);
  check(weld_context_memory_usage(same) == 0, "a freed result takes no memory");
  weld_context_free(same);
  weld_value_free(argument);
  weld_module_free(module);
  weld_conf_free(conf);

  module = weld_module_compile("|v: vec[i64]| lookup(v)", NULL, error);
  check(module == NULL && weld_error_code(error) == CompileError, "a wrong program is rejected");
  check(strlen(weld_error_message(error)) > 0, "an error has a message");
  weld_load_library("/nowhere/libnothing.so", error);
  check(weld_error_code(error) == LoadLibraryError, "a missing library is an error");
  weld_error_free(error);
  puts("ok");
  return 0;
}
