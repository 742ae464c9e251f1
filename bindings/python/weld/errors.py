"""The errors of programs, known without loading the native library."""

import enum


class ErrorCode(enum.IntEnum):
    """What kind of error it is; the numbers are those of the C API."""

    Success = 0
    ConfigurationError = 1
    LoadLibraryError = 2
    CompileError = 3
    ArrayOutOfBounds = 4
    BadIteratorLength = 5
    MismatchedZipSize = 6
    OutOfMemory = 7
    RunNotFound = 8
    Unknown = 9
    DeserializationError = 10
    KeyNotFoundError = 11
    AssertionError = 12
    ArithmeticError = 13
    Cancelled = 14
    DeadlineExceeded = 15
    BudgetExceeded = 16


class WeldError(Exception):
    """A program was rejected, or its run failed.

    ``str(error)`` is the diagnostic as a compiler prints it: position, message, source line, caret.

    Attributes:
        code: an ErrorCode.
        message: one line, without a position.
        line, column: where in the program, counted from 1, columns in bytes; 0 when not known.
        end_line, end_column: where that place ends, exclusive.
    """

    def __init__(self, diagnostic, code=ErrorCode.Unknown, message=None, line=0, column=0, end_line=0, end_column=0):
        super().__init__(diagnostic)
        self.code = ErrorCode(code)
        self.message = diagnostic if message is None else message
        self.line = line
        self.column = column
        self.end_line = end_line
        self.end_column = end_column

    def __reduce__(self):
        return type(self), (str(self), self.code, self.message, self.line, self.column, self.end_line,
                            self.end_column)
