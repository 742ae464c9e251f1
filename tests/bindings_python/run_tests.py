"""Runs the tests of this folder, and writes their number where GTEST_OUTPUT says, as GoogleTest does."""

import os
import pathlib
import sys
import unittest


def write_report(result):
    output = os.environ.get("GTEST_OUTPUT", "")
    if not output.startswith("xml:"):
        return
    failures = len(result.failures) + len(result.errors)
    report = pathlib.Path(output[len("xml:"):], "weld_python_tests.xml")
    report.write_text(f'<testsuites tests="{result.testsRun}" failures="{failures}"/>\n')


if __name__ == "__main__":
    folder = pathlib.Path(__file__).resolve().parent
    suite = unittest.defaultTestLoader.discover(str(folder), pattern="*_test.py", top_level_dir=str(folder))
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    write_report(result)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
