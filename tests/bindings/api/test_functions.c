/* Functions that the tests call with cudf. */
#include <stdint.h>
#include <string.h>

#include "weld.h"

void add_integers(int64_t* left, int64_t* right, int64_t* result) {
  *result = *left + *right;
}

/* A vector of the first numbers, in memory of the run. */
void first_numbers(int64_t* count, weld_vector_t* result) {
  int64_t* numbers = weld_runst_malloc(NULL, *count * (int64_t)sizeof *numbers);
  if (!numbers) return;
  for (int64_t i = 0; i < *count; ++i) numbers[i] = i;
  result->data = numbers;
  result->len = *count;
}

void fail_with(int64_t* code, int64_t* result) {
  *result = 0;
  weld_runst_set_errno(NULL, (uint64_t)*code);
}

void require_positive(int64_t* number, int64_t* result) {
  *result = *number;
  weld_runst_assert(NULL, *number > 0);
}
