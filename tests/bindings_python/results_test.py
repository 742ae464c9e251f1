"""Results against NumPy, and how long they live."""

import gc
import sys
import unittest
import weakref

import numpy
import weld

NUMBERS = {"i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8",
           "f32": "f4", "f64": "f8"}
LENGTHS = (0, 1, 3, 15, 16, 17, 1000, 100_003)


def samples(dtype, length):
    random = numpy.random.default_rng(length)
    if numpy.dtype(dtype).kind == "f":
        return (random.integers(-1000, 1000, length) / 8).astype(dtype)
    return random.integers(0, 100, length).astype(dtype)


class AgainstNumPy(unittest.TestCase):
    def test_arithmetic(self):
        for name, dtype in NUMBERS.items():
            program = weld.compile(f"|a: vec[{name}], b: vec[{name}]| map(zip(a, b), |p| p.$0 * p.$1 + p.$0)")
            for length in LENGTHS:
                with self.subTest(type=name, length=length):
                    a, b = samples(dtype, length), samples(dtype, length)[::-1].copy()
                    result = program(a, b)
                    self.assertEqual(result.dtype, a.dtype)
                    numpy.testing.assert_array_equal(result, a * b + a)

    def test_reductions(self):
        for name, dtype in NUMBERS.items():
            for op, reduce in (("+", numpy.add), ("min", numpy.minimum), ("max", numpy.maximum)):
                program = weld.compile(f"|v: vec[{name}]| result(for(v, merger[{name},{op}], |b, i, x| merge(b, x)))")
                for length in LENGTHS[1:]:
                    with self.subTest(type=name, op=op, length=length):
                        values = samples(dtype, length)
                        if dtype == "f4":
                            values = values[:1000]  # whose sums are exact
                        self.assertEqual(program(values), reduce.reduce(values, dtype=dtype))

    def test_filters_and_masks(self):
        for name, dtype in NUMBERS.items():
            program = weld.compile(f"|v: vec[{name}]| {{filter(v, |x| x > {name}(50)), map(v, |x| x > {name}(50))}}")
            for length in LENGTHS:
                with self.subTest(type=name, length=length):
                    values = samples(dtype, length)
                    chosen, mask = program(values)
                    numpy.testing.assert_array_equal(mask, values > 50)
                    self.assertEqual(mask.dtype, bool)
                    numpy.testing.assert_array_equal(chosen, values[values > 50])

    def test_sorting(self):
        program = weld.compile("|v: vec[f64]| sort(v, |x| x)")
        values = numpy.random.default_rng(1).normal(size=10_000)
        values[::100] = numpy.nan
        numpy.testing.assert_array_equal(program(values), numpy.sort(values))

    def test_dictionaries(self):
        program = weld.compile(
            "|k: vec[i64], v: vec[f64]| result(for(zip(k, v), dictmerger[i64,f64,+], |b, i, p| merge(b, p)))")
        keys = samples("i8", 50_000)
        values = samples("f8", 50_000)
        expected = {int(key): values[keys == key].sum() for key in dict.fromkeys(keys.tolist())}
        result = program(keys, values)
        self.assertEqual(result, expected)
        self.assertEqual(list(result), list(expected))  # in the order of their first merge
        self.assertEqual(program(keys[:0], values[:0]), {})

    def test_groups(self):
        program = weld.compile(
            "|k: vec[vec[i8]], v: vec[i64]|"
            " result(for(zip(k, v), groupmerger[vec[i8],i64], |b, i, p| merge(b, p)))")
        groups = program(["x", "yy", "x", ""], numpy.arange(4))
        self.assertEqual({key: values.tolist() for key, values in groups.items()},
                         {b"x": [0, 2], b"yy": [1], b"": [3]})

    def test_keys_of_every_kind(self):
        program = weld.compile(
            "|v: vec[{i64,vec[u8],vec[f64]}]|"
            " result(for(v, dictmerger[{i64,vec[u8],vec[f64]},i64,+], |b, i, x| merge(b, {x, 1L})))")
        result = program([(1, b"a", [0.5]), (1, b"a", [0.5]), (2, b"", [])])
        self.assertEqual(result, {(1, b"a", (0.5,)): 2, (2, b"", ()): 1})

    def test_structs_with_vectors(self):
        program = weld.compile("|v: vec[vec[i64]]| map(v, |row| {len(row), row})")
        result = program([numpy.array([1, 2]), numpy.array([], "i8")])
        self.assertEqual([(length, row.tolist()) for length, row in result], [(2, [1, 2]), (0, [])])


class Lifetime(unittest.TestCase):
    squares = weld.compile("|v: vec[i64]| map(v, |x| x * x)", context=weld.Context())

    def test_results_are_read_only(self):
        result = self.squares(numpy.arange(4))
        with self.assertRaises(ValueError):
            result[0] = 1

    def test_results_outlive_program_and_context(self):
        context = weld.Context()
        program = weld.compile("|v: vec[i64]| map(v, |x| x + 1L)", context=context)
        result = program(numpy.arange(100_000))
        view = result[10:20]
        del program, context, result
        gc.collect()
        numpy.testing.assert_array_equal(view, numpy.arange(11, 21))

    def test_memory_goes_back(self):
        context = self.squares.context
        before = context.memory_usage
        results = [self.squares(numpy.arange(10_000)) for _ in range(10)]
        self.assertGreaterEqual(context.memory_usage - before, 10 * 80_000)
        self.assertGreaterEqual(results[0].base.memory_usage, 80_000)
        part = results[0][:3]
        del results
        gc.collect()
        self.assertGreaterEqual(context.memory_usage - before, 80_000)
        numpy.testing.assert_array_equal(part, [0, 1, 4])
        del part
        self.assertEqual(context.memory_usage, before)

    def test_parts_of_a_result_share_its_memory(self):
        program = weld.compile("|v: vec[i64]| {map(v, |x| x + 1L), map(v, |x| x + 2L)}", context=weld.Context())
        first, second = program(numpy.arange(10_000))
        del first
        numpy.testing.assert_array_equal(second, numpy.arange(2, 10_002))
        del second
        self.assertEqual(program.context.memory_usage, 0)

    class Array(numpy.ndarray):
        """Can be referred to weakly, and has a memory of its own."""

    def test_arguments_live_as_long_as_results_refer_to_them(self):
        program = weld.compile("|v: vec[i64]| slice(v, 2L, 3L)")
        array = numpy.arange(10).view(self.Array)
        alive = weakref.ref(array)
        result = program(array)
        del array
        gc.collect()
        self.assertIsNotNone(alive())
        numpy.testing.assert_array_equal(result, [2, 3, 4])
        del result
        self.assertIsNone(alive())

    def test_arguments_are_released_otherwise(self):
        array = numpy.arange(10).view(self.Array)
        alive = weakref.ref(array)
        result = self.squares(array)
        del array
        self.assertIsNone(alive())
        self.assertEqual(result[3], 9)

    def test_text_lives_as_long_as_results_refer_to_it(self):
        program = weld.compile("|v: vec[vec[i8]]| filter(v, |s| len(s) > 3L)")
        result = program(["abc" * 100, "x", "y" * 1000])
        gc.collect()
        churn = ["z" * 1000 for _ in range(100)]
        self.assertEqual([item.tobytes() for item in result], [b"abc" * 100, b"y" * 1000])
        del churn

    def test_arrays_of_strings_live_as_long_as_results_refer_to_them(self):
        program = weld.compile("|v: vec[vec[i8]]| lookup(v, 1L)")
        strings = numpy.array([b"ab", b"cd", b"ef", b""])
        results = [program(strings.copy()), program(strings.copy()[::-1]), program(strings.copy()[1:])]
        gc.collect()
        churn = [numpy.zeros(8, "i1") for _ in range(100)]
        self.assertEqual([result.tobytes() for result in results], [b"cd", b"ef", b"ef"])
        del churn

    def test_made_vectors_live_as_long_as_results_refer_to_them(self):
        program = weld.compile("|v: vec[vec[i64]]| lookup(v, 1L)")
        result = program([[1, 2], [3, 4, 5]])
        gc.collect()
        self.assertEqual(result.tolist(), [3, 4, 5])

    def test_reference_counts_do_not_move(self):
        array = numpy.arange(1000)
        text = "some text that is no constant"[1:]
        program = weld.compile("|v: vec[i64], t: vec[i8]| {v, t, len(v)}")
        program(array, text)
        before = sys.getrefcount(array), sys.getrefcount(text)
        for _ in range(100):
            program(array, text)
            with self.assertRaises(TypeError):
                program(array, 1)
        self.assertEqual((sys.getrefcount(array), sys.getrefcount(text)), before)


if __name__ == "__main__":
    unittest.main()
