/* Weld: compile and run programs from C. Link with -lweld.
 *
 * Source- and binary-compatible with the C API of Stanford's Weld; what this library adds is marked "added".
 *
 * Handles   Opaque. Whatever a function returns as a new handle is freed by the caller with the matching
 *           `_free`; freeing NULL does nothing. NULL, or a handle of another kind, where a handle is expected
 *           is an error (code Unknown), or does nothing where no error can be reported; it never crashes.
 * Errors    Functions that take a `weld_error_t` always set it: to Success, or to what went wrong. It may be
 *           NULL when the caller does not want to know.
 * Threads   Handles may be shared by threads, except that conf and error objects are used by one at a time.
 *           One module may run in many threads at once, in one context or in several.
 * Texts     NUL-terminated UTF-8. Those returned belong to the handle that they were asked of, and live until
 *           it is changed or freed.
 */
#ifndef _WELD_H_
#define _WELD_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WELD_API __attribute__((visibility("default")))
#else
#define WELD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef void* weld_conf_t;
typedef void* weld_context_t;
typedef void* weld_value_t;
typedef void* weld_module_t;
typedef void* weld_error_t;

/* The names that the library of the original gave to the same handles. */
typedef weld_conf_t WeldConfRef;
typedef weld_context_t WeldContextRef;
typedef weld_value_t WeldValueRef;
typedef weld_module_t WeldModuleRef;
typedef weld_error_t WeldErrorRef;

typedef enum {
  Success = 0,
  ConfigurationError = 1,
  LoadLibraryError = 2,
  CompileError = 3,
  ArrayOutOfBounds = 4,
  BadIteratorLength = 5,
  MismatchedZipSize = 6,
  OutOfMemory = 7,
  RunNotFound = 8,
  Unknown = 9,
  DeserializationError = 10,
  KeyNotFoundError = 11,
  AssertionError = 12,
  /* added */
  ArithmeticError = 13,
  Cancelled = 14,
  DeadlineExceeded = 15,
  BudgetExceeded = 16,
  ErrnoMax = 17
} WeldRuntimeErrno;

typedef enum {
  WeldLogLevelOff = 0,
  WeldLogLevelError = 1,
  WeldLogLevelWarn = 2,
  WeldLogLevelInfo = 3,
  WeldLogLevelDebug = 4,
  WeldLogLevelTrace = 5
} WeldLogLevel;

/* How a `vec[T]` lies in memory. `data` may be NULL when `len` is 0. Arguments are borrowed, never written.
 */
typedef struct {
  void* data;
  int64_t len;
} weld_vector_t; /* added */

/* ---------------------------------------------------------------- conf */

/* A conf without values: every key has its default. */
WELD_API weld_conf_t weld_conf_new(void);
WELD_API void weld_conf_free(weld_conf_t conf);

/* The value that was set, or NULL. */
WELD_API const char* weld_conf_get(weld_conf_t conf, const char* key);

/* Keeps any key and value; they are checked when a module is compiled or a context made with the conf. */
WELD_API void weld_conf_set(weld_conf_t conf, const char* key, const char* value);

/* ---------------------------------------------------------------- context */

/* Memory that runs share, with a limit (weld.memory.limit), and how they run (weld.threads,
 * weld.deadline.ms). NULL conf: the defaults. NULL for a conf with an unknown key or a bad value;
 * weld_context_new_checked says which. Counted by references: values keep it alive. */
WELD_API weld_context_t weld_context_new(weld_conf_t conf);
WELD_API weld_context_t weld_context_new_checked(weld_conf_t conf, weld_error_t err); /* added */

/* Bytes of the values that are alive, as they were asked for. 0 for NULL. */
WELD_API int64_t weld_context_memory_usage(weld_context_t context);

/* Gives up one reference. */
WELD_API void weld_context_free(weld_context_t context);

/* ---------------------------------------------------------------- value */

/* Wraps host data, which must outlive the value and every result that may refer to it. */
WELD_API weld_value_t weld_value_new(const void* data);

/* The value in the C layout of its type: scalars as in C (bool: one byte), `{A,B}` as a struct, `vec[T]` as
 * weld_vector_t, dictionaries opaque. The result of a program may refer to its arguments (`|v| v`, slices):
 * these must then outlive it. NULL for NULL. */
WELD_API const void* weld_value_data(weld_value_t value);

/* A number for the run that made the value; -1 for host data. */
WELD_API int64_t weld_value_run(weld_value_t value);

/* A new reference to the context of a result, to be freed; NULL for host data. */
WELD_API weld_context_t weld_value_context(weld_value_t value);

/* Bytes that only this value keeps alive. 0 for host data. */
WELD_API int64_t weld_value_memory_usage(weld_value_t value);

/* The type of a result as the language writes it, e.g. `vec[f64]`; NULL for host data. Added. */
WELD_API const char* weld_value_type(weld_value_t value);

/* Frees the value and, of a result, the memory that only it reaches. Host data is left alone. */
WELD_API void weld_value_free(weld_value_t value);

/* ---------------------------------------------------------------- module */

/* Compiles a program. NULL conf: the defaults. NULL on an error: CompileError for a program that is rejected,
 * ConfigurationError for a bad conf, BudgetExceeded or DeadlineExceeded where a limit was passed. */
WELD_API weld_module_t weld_module_compile(const char* code, weld_conf_t conf, weld_error_t err);

/* Runs a module. `arg` wraps one C struct with the parameters as its fields, even for one parameter; may be
 * NULL for a program without parameters. NULL on an error. */
WELD_API weld_value_t weld_module_run(weld_module_t module, weld_context_t context, weld_value_t arg,
                                      weld_error_t err);

/* Values outlive the module that made them. */
WELD_API void weld_module_free(weld_module_t module);

/* The rest of this section is added. */

/* The program's type, e.g. `|vec[i64], i64| => f64`, and its parts without annotations. Of a program without
 * parameters the type is that of its result. NULL for NULL and for an index out of range. */
WELD_API const char* weld_module_type(weld_module_t module);
WELD_API const char* weld_module_result_type(weld_module_t module);
WELD_API int64_t weld_module_num_parameters(weld_module_t module);
WELD_API const char* weld_module_parameter_type(weld_module_t module, int64_t index);
WELD_API const char* weld_module_parameter_name(weld_module_t module, int64_t index);

/* Whether the module runs in the interpreter, because it was asked to or because there was no other way. */
WELD_API bool weld_module_interpreted(weld_module_t module);

/* A switch that stops runs, from any thread and from signal handlers. Must outlive the runs it was given to.
 */
typedef void* weld_cancel_t;
WELD_API weld_cancel_t weld_cancel_new(void);
WELD_API void weld_cancel_trigger(weld_cancel_t cancel);
WELD_API void weld_cancel_free(weld_cancel_t cancel);

/* How one run differs from what its context says. Fill it with zeros first. */
typedef struct {
  size_t struct_bytes;  /* sizeof(weld_run_options_t) */
  weld_cancel_t cancel; /* ends the run with Cancelled; may be NULL */
  int64_t deadline_ms;  /* from the start of the run; ends it with DeadlineExceeded; 0: the context's */
  int64_t num_threads;  /* 0: the context's */
} weld_run_options_t;

WELD_API weld_value_t weld_module_run_with(weld_module_t module, weld_context_t context, weld_value_t arg,
                                           const weld_run_options_t* options, weld_error_t err);

typedef struct {
  int64_t run_ns;     /* wall time of the run */
  int64_t peak_bytes; /* most memory of the context in use while it ran */
} weld_run_statistics_t;

/* Of the run that made the value. False, and all zero, for host data. */
WELD_API bool weld_value_statistics(weld_value_t value, weld_run_statistics_t* statistics);

typedef struct {
  double parse_ms;   /* parsing and checking the text */
  double passes_ms;  /* optimising the IR */
  double codegen_ms; /* lowering it to LLVM's */
  double llvm_ms;    /* LLVM */
  bool cached;       /* the compiled code was there already */
} weld_compile_times_t;

WELD_API bool weld_module_compile_times(weld_module_t module, weld_compile_times_t* times);

/* ---------------------------------------------------------------- error */

/* An error object that says Success. */
WELD_API weld_error_t weld_error_new(void);
WELD_API void weld_error_free(weld_error_t err);

/* A WeldRuntimeErrno. Unknown for a handle that is no error object. */
WELD_API uint64_t weld_error_code(weld_error_t err);

/* What went wrong, in one line; `success` when nothing did. */
WELD_API const char* weld_error_message(weld_error_t err);

/* The rest of this section is added. */

/* Where in the program, counted from 1, columns in bytes, the end exclusive; 0 when not known. */
WELD_API int64_t weld_error_line(weld_error_t err);
WELD_API int64_t weld_error_column(weld_error_t err);
WELD_API int64_t weld_error_end_line(weld_error_t err);
WELD_API int64_t weld_error_end_column(weld_error_t err);

/* All messages as a compiler prints them: `file:line:col: error[Code]: …`, the source line, a caret. */
WELD_API const char* weld_error_diagnostic(weld_error_t err);

/* `ArrayOutOfBounds` and so on. */
WELD_API const char* weld_error_code_name(uint64_t code);

/* ---------------------------------------------------------------- the library */

/* Loads a shared library whose functions programs may call with `cudf`; LoadLibraryError when it cannot be.
 */
WELD_API void weld_load_library(const char* filename, weld_error_t err);

/* What is logged to standard error; off at first. */
WELD_API void weld_set_log_level(WeldLogLevel level);

/* `major.minor.patch`. Added. */
WELD_API const char* weld_version(void);

/* ---------------------------------------------------------------- for functions called with cudf
 *
 * `run` is NULL for the run that called the function, or a handle of weld_runst_init. Without either, malloc
 * gives NULL, and the others do nothing. */
typedef void* weld_run_t;

WELD_API void weld_init(void);

/* A handle with memory of its own, at most `memlimit` bytes; released all at once. */
WELD_API weld_run_t weld_runst_init(int32_t nworkers, int64_t memlimit);
WELD_API void weld_runst_release(weld_run_t run);

/* Memory that counts against the limit of the run and lives until its end, longer when its result refers to
 * it. NULL, and the errno OutOfMemory, past the limit; NULL for 0 bytes. */
WELD_API void* weld_runst_malloc(weld_run_t run, int64_t size);
WELD_API void* weld_runst_realloc(weld_run_t run, void* pointer, int64_t size);
WELD_API void weld_runst_free(weld_run_t run, void* pointer);

WELD_API void weld_runst_set_result(weld_run_t run, void* pointer);
WELD_API void* weld_runst_get_result(weld_run_t run);

/* Ends the run with that error when the function returns. */
WELD_API void weld_runst_set_errno(weld_run_t run, uint64_t code);
WELD_API uint64_t weld_runst_get_errno(weld_run_t run);

/* 1 if `condition` is not 0; else sets AssertionError and gives 0. */
WELD_API uint8_t weld_runst_assert(weld_run_t run, uint8_t condition);

/* A line on standard output. */
WELD_API void weld_runst_print(weld_run_t run, const char* text);

#ifdef __cplusplus
}
#endif

#endif /* _WELD_H_ */
