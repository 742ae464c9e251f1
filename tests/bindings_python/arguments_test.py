"""What may be passed, and what is said about the rest."""

import unittest

import numpy
import pandas
import weld

INTEGERS = {"i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8"}
FLOATS = {"f32": "f4", "f64": "f8"}
DTYPES = {**INTEGERS, **FLOATS, "bool": "?"}


def identity(type_text):
    return weld.compile(f"|x: {type_text}| x")


class Scalars(unittest.TestCase):
    def test_integers_keep_all_bits(self):
        for name, dtype in INTEGERS.items():
            limits = numpy.iinfo(dtype)
            for value in (limits.min, limits.max, 0, 1):
                with self.subTest(type=name, value=value):
                    result = identity(name)(value)
                    self.assertIs(type(result), int)
                    self.assertEqual(result, value)
                    self.assertEqual(identity(name)(numpy.dtype(dtype).type(value)), value)

    def test_integers_out_of_range_overflow(self):
        for name, dtype in INTEGERS.items():
            limits = numpy.iinfo(dtype)
            for value in (limits.min - 1, limits.max + 1, 2**64, -(2**63) - 1):
                with self.subTest(type=name, value=value):
                    with self.assertRaisesRegex(OverflowError, rf"argument 1 \('x'\): {value} does not fit in {name}"):
                        identity(name)(value)

    def test_floats(self):
        self.assertEqual(identity("f64")(0.1), 0.1)
        self.assertEqual(identity("f64")(3), 3.0)
        self.assertEqual(identity("f64")(numpy.float32(0.1)), float(numpy.float32(0.1)))
        self.assertEqual(identity("f32")(0.1), float(numpy.float32(0.1)))
        self.assertEqual(identity("f32")(1e300), float("inf"))
        self.assertEqual(str(identity("f64")(-0.0)), "-0.0")
        self.assertNotEqual(identity("f64")(float("nan")), identity("f64")(float("nan")))
        with self.assertRaises(OverflowError):
            identity("f64")(10**400)

    def test_bools(self):
        for value in (True, False):
            self.assertIs(identity("bool")(value), value)
            self.assertIs(identity("bool")(numpy.bool_(value)), value)

    def test_other_objects_are_type_errors(self):
        for name, value in [("i64", 1.0), ("i64", True), ("i64", "1"), ("i64", None), ("f64", "1"), ("f64", True),
                            ("f64", 1j), ("f64", numpy.array([1.0])), ("bool", 1), ("bool", None),
                            ("i64", numpy.bool_(True))]:
            with self.subTest(type=name, value=value):
                with self.assertRaisesRegex(TypeError, rf"argument 1 \('x'\): found .*, but the program takes {name}"):
                    identity(name)(value)

    def test_number_of_arguments(self):
        with self.assertRaisesRegex(TypeError, "takes 1 argument, not 0"):
            identity("i64")()
        with self.assertRaisesRegex(TypeError, "takes 0 arguments, not 1"):
            weld.compile("1 + 1")(1)
        self.assertEqual(weld.compile("1 + 1")(), 2)


class Arrays(unittest.TestCase):
    def test_every_dtype_is_passed_without_a_copy(self):
        for name, dtype in DTYPES.items():
            for length in (1, 2, 1000):
                with self.subTest(type=name, length=length):
                    array = numpy.arange(length).astype(dtype)
                    result = identity(f"vec[{name}]")(array)
                    self.assertEqual(result.dtype, array.dtype)
                    numpy.testing.assert_array_equal(result, array)
                    self.assertEqual(result.ctypes.data, array.ctypes.data)

    def test_other_dtypes_are_type_errors(self):
        for name in DTYPES:
            for other, dtype in DTYPES.items():
                if other == name:
                    continue
                with self.subTest(type=name, dtype=dtype):
                    with self.assertRaisesRegex(TypeError, rf"found an array of .*, but the program takes vec\[{name}\]"):
                        identity(f"vec[{name}]")(numpy.zeros(3, dtype))
        for dtype in (">i8", "M8[ns]", "m8[ns]", "U3", "S8", "c16", "f2", [("a", "i8")]):
            with self.subTest(dtype=dtype):
                with self.assertRaises(TypeError):
                    identity("vec[i64]")(numpy.zeros(3, dtype))

    def test_empty_arrays(self):
        for name, dtype in DTYPES.items():
            result = identity(f"vec[{name}]")(numpy.array([], dtype))
            self.assertEqual((result.dtype, result.shape), (numpy.dtype(dtype), (0,)))

    def test_layouts_that_would_need_a_copy_are_type_errors(self):
        array = numpy.arange(20)
        for view in (array[::2], array[::-1], numpy.arange(20).reshape(4, 5)[:, 1]):
            with self.assertRaisesRegex(TypeError, "not contiguous.*ascontiguousarray"):
                identity("vec[i64]")(view)
        unaligned = numpy.frombuffer(b"x" + bytes(16), dtype="i8", offset=1)
        if unaligned.ctypes.data % 8:
            with self.assertRaisesRegex(TypeError, "not aligned"):
                identity("vec[i64]")(unaligned)
        with self.assertRaisesRegex(TypeError, "2-D array"):
            identity("vec[i64]")(array.reshape(4, 5))
        with self.assertRaisesRegex(TypeError, "0-D array"):
            identity("vec[i64]")(numpy.array(1))

    def test_contiguous_parts(self):
        array = numpy.arange(20)
        numpy.testing.assert_array_equal(identity("vec[i64]")(array[5:9]), array[5:9])
        numpy.testing.assert_array_equal(identity("vec[i64]")(array[3:10:7]), [3])

    def test_read_only_arrays(self):
        array = numpy.arange(5)
        array.flags.writeable = False
        numpy.testing.assert_array_equal(identity("vec[i64]")(array), array)

    def test_column_of_a_data_frame(self):
        frame = pandas.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5]})
        total = weld.compile("|a: vec[i64], b: vec[f64]| sum(map(zip(a, b), |p| f64(p.$0) * p.$1))")
        self.assertEqual(total(frame["a"].to_numpy(), frame["b"].to_numpy()), 11.0)

    def test_lists_of_scalars(self):
        numpy.testing.assert_array_equal(identity("vec[i64]")([1, 2, 3]), [1, 2, 3])
        numpy.testing.assert_array_equal(identity("vec[bool]")((True, False)), [True, False])
        with self.assertRaisesRegex(TypeError, r"argument 1 \('x'\)\[1\]: found str, but the program takes i64"):
            identity("vec[i64]")([1, "2"])
        with self.assertRaisesRegex(OverflowError, r"argument 1 \('x'\)\[0\]: 300 does not fit in u8"):
            identity("vec[u8]")([300])

    def test_other_objects_are_type_errors(self):
        for value in (None, 3, {1, 2}, {1: 2}, range(3), iter([1]), object()):
            with self.subTest(value=value), self.assertRaises(TypeError):
                identity("vec[i64]")(value)


class Text(unittest.TestCase):
    def test_text_and_bytes(self):
        for name in ("i8", "u8"):
            for value in ("", "abc", "żółw", "a\0b", b"", b"\xff\0", "😀" * 100):
                with self.subTest(type=name, value=value):
                    expected = value.encode() if isinstance(value, str) else value
                    self.assertEqual(identity(f"vec[{name}]")(value).tobytes(), expected)

    def test_text_is_no_other_vector(self):
        for name in ("i16", "i64", "f64", "bool"):
            with self.assertRaises(TypeError):
                identity(f"vec[{name}]")("abc")

    def test_lone_surrogates(self):
        with self.assertRaises(UnicodeEncodeError):
            identity("vec[i8]")("\udc80")

    def test_arrays_of_strings(self):
        strings = [b"", b"a", b"bcd", b"x\0y"]
        for name in ("i8", "u8"):
            program = identity(f"vec[vec[{name}]]")
            self.assertEqual([item.tobytes() for item in program(numpy.array(strings))], strings)
            self.assertEqual([item.tobytes() for item in program(numpy.array(strings)[::2])], strings[::2])
            self.assertEqual([item.tobytes() for item in program(strings)], strings)
            self.assertEqual([item.tobytes() for item in program(numpy.array(strings, object))], strings)
            self.assertEqual(program(numpy.array([], "S5")), [])
        series = pandas.Series(["ab", "c"])
        lengths = weld.compile("|v: vec[vec[i8]]| map(v, |s| len(s))")
        numpy.testing.assert_array_equal(lengths(series.to_numpy()), [2, 1])
        with self.assertRaisesRegex(TypeError, "found an array of <U1"):
            lengths(numpy.array(["a"]))


class Nested(unittest.TestCase):
    def test_structs_are_tuples(self):
        program = identity("{i8,{f64,bool},vec[i32],{}}")
        number, (real, flag), items, empty = program((1, (2.5, True), numpy.array([3, 4], "i4"), ()))
        self.assertEqual((number, real, flag, empty), (1, 2.5, True, ()))
        numpy.testing.assert_array_equal(items, [3, 4])
        for value in ((1, (2.5, True), []), [1, (2.5, True), [], ()], None):
            with self.assertRaises(TypeError):
                program(value)
        with self.assertRaisesRegex(TypeError, r"argument 1 \('x'\)\.\$1\.\$0: found str, but the program takes f64"):
            program((1, ("x", True), [], ()))

    def test_vectors_of_vectors(self):
        rows = [numpy.arange(n, dtype="f8") for n in (0, 1, 5)]
        for row, expected in zip(identity("vec[vec[f64]]")(rows), rows):
            numpy.testing.assert_array_equal(row, expected)
        matrix = numpy.arange(12.0).reshape(3, 4)
        sums = weld.compile("|m: vec[vec[f64]]| map(m, |row| sum(row))")
        numpy.testing.assert_array_equal(sums(matrix), matrix.sum(axis=1))
        numpy.testing.assert_array_equal(sums(list(matrix)), matrix.sum(axis=1))
        with self.assertRaisesRegex(TypeError, r"\[0\]: the array is not contiguous"):
            sums(matrix.T)
        deep = identity("vec[vec[vec[i8]]]")([["a", "bc"], [], [b""]])
        self.assertEqual([[item.tobytes() for item in row] for row in deep], [[b"a", b"bc"], [], [b""]])
        with self.assertRaisesRegex(TypeError, r"\[1\]\[0\]: found int"):
            identity("vec[vec[vec[i8]]]")([[], [1]])

    def test_structured_arrays(self):
        dtype = numpy.dtype([("key", "i4"), ("value", "f8"), ("flag", "?")], align=True)
        array = numpy.array([(1, 1.5, True), (2, 2.5, False)], dtype)
        program = identity("vec[{i32,f64,bool}]")
        result = program(array)
        self.assertEqual(result.dtype.names, ("f0", "f1", "f2"))
        self.assertEqual(result.tolist(), array.tolist())
        self.assertEqual(result.ctypes.data, array.ctypes.data)
        self.assertEqual(program(array.tolist()).tolist(), array.tolist())
        packed = array.astype([("key", "i4"), ("value", "f8"), ("flag", "?")])
        with self.assertRaises(TypeError):
            program(packed)
        nested = numpy.dtype([("a", numpy.dtype([("b", "i8"), ("c", "u2")], align=True)), ("d", "i1")], align=True)
        array = numpy.array([((1, 2), 3)], nested)
        self.assertEqual(identity("vec[{{i64,u16},i8}]")(array).tolist(), array.tolist())

    def test_simd_values_are_tuples(self):
        double = weld.compile("|x: simd[f32]| x + x")
        self.assertEqual(double((1, 2, 3, 4)), (2.0, 4.0, 6.0, 8.0))
        with self.assertRaises(TypeError):
            double((1, 2, 3))

    def test_what_python_cannot_pass(self):
        with self.assertRaisesRegex(TypeError, r"parameter 2 \('d'\) has type dict\[i64,i64\]"):
            weld.compile("|x: i64, d: dict[i64,i64]| lookup(d, x)")
        with self.assertRaisesRegex(TypeError, r"returns appender\[i64\], a builder"):
            weld.compile("appender[i64]")


if __name__ == "__main__":
    unittest.main()
