#!/usr/bin/env python3
"""Checks which folder includes which, where the headers of libraries may appear, and how files are named.

The arrows are those of docs/layout.md. Prints a line for each violation; exit status 1 when there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A folder may include itself and these; the longest prefix of a file's path counts. Tests and bench: anything.
ARROWS = {
    "ir": {"ir"},
    "parser": {"parser", "ir"},
    "passes": {"passes", "ir"},
    "runtime": {"runtime", "ir"},
    "runtime/bitcode": {"runtime/bitcode", "runtime/abi.h", "runtime/calls.h", "runtime/calls.def", "runtime/hash.h"},
    "codegen": {"codegen", "passes", "runtime", "ir"},
    "bindings": {"bindings", "parser", "codegen", "passes", "runtime", "ir"},
    "lib_shims": {"lib_shims", "bindings"},
}

# Headers of libraries, and the only folders that may include them.
LIBRARIES = {
    r"(llvm|llvm-c)/": ("codegen", "lib_shims/clang"),
    r"(clang|clang-c)/": ("lib_shims/clang",),
    r"(tbb|oneapi/tbb)(/|\.h)": ("runtime",),
    r"pybind11/|Python\.h|numpy/": ("bindings/python", "lib_shims"),
}

# Installed headers may include only each other and the standard library.
INSTALLED = {"bindings/c/weld.h", "bindings/cpp/weld.hpp"}

VAGUE_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}
SOURCE_NAME = re.compile(r"_?[a-z0-9]+(_[a-z0-9]+)*\.(cpp|cpp\.in|h|hpp|c|def|py|pyi)|__init__\.pyi?")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def source_files():
    for top in sorted(ROOT.iterdir()):
        if not top.is_dir() or top.name.startswith((".", "build")):
            continue
        for file in sorted(top.rglob("*")):
            if file.is_file() and "node_modules" not in file.parts:
                yield file.relative_to(ROOT).as_posix()


def is_below(path, folder):
    return path == folder or path.startswith(folder + "/")


def folder_of(path, folders):
    return max((folder for folder in folders if is_below(path, folder)), key=len, default=None)


def include_problems(path, text):
    for bracket, target in INCLUDE.findall(text):
        for pattern, allowed in LIBRARIES.items():
            if re.match(pattern, target) and not any(is_below(path, folder) for folder in allowed):
                yield f"{path}: {target} may be included in {' and '.join(allowed)} only"
        if path in INSTALLED and bracket == '"' and target not in {"weld.h"}:
            yield f"{path}: an installed header includes {target}"
        ours = bracket == '"' and (ROOT / target).is_file()
        arrows = ARROWS.get(folder_of(path, ARROWS))
        if ours and arrows and not any(is_below(target, folder) for folder in arrows):
            yield f"{path}: includes {target}, but may include {', '.join(sorted(arrows))} only"


def name_problems(path):
    name = path.rsplit("/", 1)[-1]
    if not SOURCE_NAME.fullmatch(name):
        yield f"{path}: file names are snake_case"
    if name.split(".")[0] in VAGUE_NAMES:
        yield f"{path}: the name says nothing about what is in it"


def main():
    problems = []
    for path in source_files():
        if not path.endswith((".cpp", ".cpp.in", ".h", ".hpp", ".c", ".py", ".pyi")):
            continue
        problems += name_problems(path)
        if not path.endswith((".py", ".pyi")):
            problems += include_problems(path, (ROOT / path).read_text())
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
