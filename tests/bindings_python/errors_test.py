"""Errors, limits, and Ctrl-C."""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import unittest

import numpy
import weld

ENDLESS = "|x: i64| iterate(x, |s| {s + 1L, s >= 0L})"


class Errors(unittest.TestCase):
    def rejected(self, program, **options):
        with self.assertRaises(weld.WeldError) as caught:
            weld.compile(program, **options)
        return caught.exception

    def failed(self, program, *arguments, **options):
        compiled = weld.compile(program, **options)
        with self.assertRaises(weld.WeldError) as caught:
            compiled(*arguments)
        return caught.exception

    def test_rejected_programs_say_where(self):
        error = self.rejected("|v: vec[f64]|\n  result(for(v, merger[i64,+], |b, i, x| merge(b, x)))")
        self.assertEqual(error.code, weld.ErrorCode.CompileError)
        self.assertEqual((error.line, error.end_line), (2, 2))
        self.assertGreater(error.column, 40)
        self.assertEqual(error.end_column, error.column + 1)
        self.assertEqual(error.message, "merge value has type f64, but the builder takes i64")
        lines = str(error).split("\n")
        self.assertEqual(lines[0], f"<program>:2:{error.column}: error[CompileError]: {error.message}")
        self.assertEqual(lines[2].index("^") + 1, error.column)

    def test_failed_runs_say_where(self):
        values = numpy.arange(4)
        for program, code in [("|v: vec[i64]| lookup(v, 4L)", "ArrayOutOfBounds"),
                              ("|v: vec[i64]| slice(v, 5L, 1L)", "ArrayOutOfBounds"),
                              ("|v: vec[i64]| 1L / len(filter(v, |x| x > 9L))", "ArithmeticError"),
                              ("|v: vec[i64]| assert(len(v) == 3L)", "AssertionError"),
                              ("|v: vec[i64]| zip(v, filter(v, |x| x > 2L))", "MismatchedZipSize"),
                              ("|v: vec[i64]| map(iter(v, 0L, 4L, 0L), |x| x)", "BadIteratorLength")]:
            with self.subTest(program=program):
                if "iter(" in program:
                    program = "|v: vec[i64]| result(for(iter(v, 0L, 4L, 0L), appender, |b, i, x| merge(b, x)))"
                error = self.failed(program, values)
                self.assertEqual(error.code.name, code)
                self.assertEqual(error.line, 1)
                self.assertGreater(error.column, 0)
        error = self.failed("|d: vec[u8]| deserialize[vec[i64]](d)", b"\x05")
        self.assertEqual(error.code, weld.ErrorCode.DeserializationError)
        error = self.failed("|k: i64| lookup(result(merge(dictmerger[i64,i64,+], {1L, 2L})), k)", 2)
        self.assertEqual(error.code, weld.ErrorCode.KeyNotFoundError)

    def test_codes_are_those_of_the_library(self):
        library = ctypes.CDLL(os.environ["WELD_LIBRARY"])
        library.weld_error_code_name.restype = ctypes.c_char_p
        library.weld_error_code_name.argtypes = [ctypes.c_uint64]
        for code in weld.ErrorCode:
            self.assertEqual(library.weld_error_code_name(code.value).decode(), code.name)

    def test_bad_confs(self):
        error = self.rejected("1", no_such_key=1)
        self.assertEqual(error.code, weld.ErrorCode.ConfigurationError)
        self.assertIn("weld.no.such.key", error.message)
        error = self.rejected("1", threads=0)
        self.assertIn("weld.threads", error.message)
        self.assertEqual(self.rejected("1", conf={"weld.threads": "many"}).code, weld.ErrorCode.ConfigurationError)
        with self.assertRaises(weld.WeldError):
            weld.Context({"weld.memory.limit": "lots"})
        with self.assertRaises(weld.WeldError):
            weld.load_library("/no/such/library.so")

    def test_confs(self):
        self.assertEqual(weld.compile("1", conf={"weld.threads": 2}, interpret=True)(), 1)
        self.assertTrue(weld.compile("1", interpret=True).interpreted)
        self.assertFalse(weld.compile("1", interpret=False).interpreted)

    def test_nul_in_a_program(self):
        self.assertEqual(self.rejected("1 \0 2").code, weld.ErrorCode.CompileError)

    def test_errors_can_be_pickled(self):
        error = self.rejected("1 +")
        copy = pickle.loads(pickle.dumps(error))
        self.assertEqual((str(copy), copy.code, copy.line, copy.column, copy.message),
                         (str(error), error.code, error.line, error.column, error.message))

    def test_memory_limit(self):
        program = weld.compile("|n: i64| len(result(for(rangeiter(0L, n, 1L), appender[i64], |b, i, x| merge(b, x))))",
                               memory_limit=1 << 20)
        with self.assertRaises(weld.WeldError) as caught:
            program(1 << 20)
        self.assertEqual(caught.exception.code, weld.ErrorCode.OutOfMemory)
        self.assertEqual(program.context.memory_usage, 0)
        self.assertEqual(program(10), 10)

    def test_deadline(self):
        start = time.monotonic()
        error = self.failed(ENDLESS, 0, deadline_ms=50)
        self.assertEqual(error.code, weld.ErrorCode.DeadlineExceeded)
        self.assertLess(time.monotonic() - start, 1)


class Programs(unittest.TestCase):
    def test_describe_themselves(self):
        program = weld.compile("|v: vec[i64], k: f32| {len(v), k}")
        self.assertEqual(program.parameters, [("v", "vec[i64]"), ("k", "f32")])
        self.assertEqual(program.result_type, "{i64,f32}")
        self.assertIn("vec[i64]", program.type)
        self.assertIn(program.type, repr(program))
        self.assertGreater(program.compile_times["parse_ms"], 0)

    def test_explain(self):
        program = weld.compile("|v: vec[i64]| sum(map(v, |x| x + 1L))")
        self.assertIn("merger[i64,+]", program.explain())
        self.assertIn("define", program.explain("llvm"))
        for stage in ("weld", "llvmopt", "assembly"):
            self.assertNotEqual(program.explain(stage), "")
        for stage in ("", "none"):
            with self.assertRaises(weld.WeldError):
                program.explain(stage)

    def test_run(self):
        for _ in range(3):
            self.assertEqual(weld.run("|x: i64| x * 2L", 21), 42)
        self.assertEqual(weld.run("|x: i64| x * 2L", 21, threads=2), 42)

    def test_attributes(self):
        self.assertRegex(weld.version(), r"^\d+\.\d+\.\d+$")
        with self.assertRaises(AttributeError):
            weld.no_such_name


class Threads(unittest.TestCase):
    def test_many_at_once(self):
        values = numpy.arange(200_000)
        shared = weld.compile("|v: vec[i64], k: i64| sum(map(v, |x| x * k))")
        problems = []

        def work(number):
            try:
                own = weld.compile(f"|v: vec[i64]| map(v, |x| x + {number}L)")
                for _ in range(20):
                    assert shared(values, number) == values.sum() * number
                    assert (own(values) == values + number).all()
            except BaseException as problem:
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(problems, [])

    def test_the_gil_is_released(self):
        program = weld.compile(ENDLESS, deadline_ms=300)
        ended = []

        def work():
            try:
                program(0)
            except weld.WeldError:
                ended.append(time.monotonic())

        thread = threading.Thread(target=work)
        thread.start()
        steps = 0
        while thread.is_alive():
            steps += 1
            time.sleep(0.001)
        self.assertGreater(steps, 50)
        self.assertEqual(len(ended), 1)


class Interrupts(unittest.TestCase):
    def interrupt_after(self, seconds):
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        return timer

    def test_ctrl_c_ends_a_run(self):
        program = weld.compile(ENDLESS)
        seconds = []  # the least counts: a machine that is busy with other things may hold up any one
        for _ in range(5):
            timer = self.interrupt_after(0.2)
            start = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                program(0)
            timer.join()
            seconds.append(time.monotonic() - start)
        self.assertLess(min(seconds), 0.3)
        self.assertEqual(program(-1), 0)
        self.assertIs(signal.getsignal(signal.SIGINT), signal.default_int_handler)

    def test_a_handler_that_raises_something_else(self):
        class Stopped(Exception):
            pass

        def stop(number, frame):
            raise Stopped

        previous = signal.signal(signal.SIGINT, stop)
        try:
            self.interrupt_after(0.1)
            with self.assertRaises(Stopped):
                weld.run(ENDLESS, 0)
        finally:
            signal.signal(signal.SIGINT, previous)

    def test_a_handler_that_raises_nothing(self):
        calls = []
        previous = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
        try:
            self.interrupt_after(0.1)
            with self.assertRaises(weld.WeldError) as caught:
                weld.run(ENDLESS, 0)
            self.assertEqual(caught.exception.code, weld.ErrorCode.Cancelled)
            self.assertEqual(calls, [signal.SIGINT])
        finally:
            signal.signal(signal.SIGINT, previous)

    def test_ignored_interrupts_do_not_end_a_run(self):
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.interrupt_after(0.05)
            with self.assertRaises(weld.WeldError) as caught:
                weld.run(ENDLESS, 0, deadline_ms=200)
            self.assertEqual(caught.exception.code, weld.ErrorCode.DeadlineExceeded)
        finally:
            signal.signal(signal.SIGINT, previous)


class Loading(unittest.TestCase):
    def python(self, text):
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def test_llvm_is_loaded_by_the_first_compilation(self):
        answers = self.python("import weld, sys\n"
                              "loaded = lambda: any('libLLVM' in line for line in open('/proc/self/maps'))\n"
                              "from weld import WeldError, ErrorCode\n"
                              "print(loaded(), 'weld._native' in sys.modules, 'numpy' in sys.modules)\n"
                              "weld.compile('1')()\n"
                              "print(loaded())\n")
        self.assertEqual(answers, ["False", "False", "False", "True"])

    def test_results_that_are_alive_at_the_end(self):
        self.python("import numpy, weld\n"
                    "kept = [weld.run('|v: vec[i64]| map(v, |x| x + 1L)', numpy.arange(1000)) for _ in range(10)]\n"
                    "alias = weld.run('|v: vec[vec[i8]]| v', ['a', 'b'])\n")


if __name__ == "__main__":
    unittest.main()
