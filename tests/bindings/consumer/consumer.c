#include <stdio.h>
#include <weld.h>

int main(void) {
  weld_error_t error = weld_error_new();
  weld_context_t context = weld_context_new(NULL);
  weld_module_t module = weld_module_compile("|x: i64| x * 2L", NULL, error);
  const int64_t number = 21;
  weld_value_t argument = weld_value_new(&number);
  weld_value_t result = weld_module_run(module, context, argument, error);
  if (!result) {
    fprintf(stderr, "%s\n", weld_error_diagnostic(error));
    return 1;
  }
  printf("%lld\n", (long long)*(const int64_t*)weld_value_data(result));
  weld_value_free(result);
  weld_value_free(argument);
  weld_module_free(module);
  weld_context_free(context);
  weld_error_free(error);
  return 0;
}
