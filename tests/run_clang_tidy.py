#!/usr/bin/env python3
"""Runs clang-tidy over sources, one process each, and leaves out those that passed before and have not
changed since: neither they nor the headers of ours that they include, nor .clang-tidy.

usage: run_clang_tidy.py BUILD JOBS SOURCE…      sources relative to the root of the repository"""

import concurrent.futures
import functools
import hashlib
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def dependencies(build: pathlib.Path) -> dict[pathlib.Path, list[pathlib.Path]]:
    """The files of ours that each source was compiled from, the source first."""
    listed = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True, text=True)
    found: dict[pathlib.Path, list[pathlib.Path]] = {}
    for block in listed.stdout.split("\n\n"):
        files = [build / line.strip() for line in block.splitlines()[1:]]
        ours = [file for file in files if file.is_relative_to(ROOT)]
        if ours:
            found[ours[0]] = ours
    return found


@functools.cache
def digest(file: pathlib.Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest() if file.exists() else b""


def fingerprint(source: pathlib.Path, parts: list[pathlib.Path]) -> str:
    whole = hashlib.sha256()
    for file in [ROOT / ".clang-tidy", source, *sorted(parts)]:
        whole.update(digest(file))
    return whole.hexdigest()


def check(build: pathlib.Path, source: pathlib.Path) -> str:
    """What clang-tidy says; empty if nothing."""
    run = subprocess.run(["clang-tidy-19", "--quiet", "-p", build, source], capture_output=True, text=True)
    if run.returncode == 0:
        return ""
    return run.stdout or run.stderr


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    stamps = build / "lint"
    stamps.mkdir(exist_ok=True)
    known = dependencies(build)
    pending = {}
    for name in sys.argv[3:]:
        source = ROOT / name
        stamp = stamps / name.replace("/", "__")
        now = fingerprint(source, known.get(source, []))
        if not stamp.exists() or stamp.read_text() != now:
            pending[source] = (stamp, now)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(sys.argv[2])) as pool:
        runs = {pool.submit(check, build, source): source for source in pending}
        for run in concurrent.futures.as_completed(runs):
            stamp, now = pending[runs[run]]
            if run.result():
                failed += 1
                print(run.result(), flush=True)
            else:
                stamp.write_text(now)
    print(f"{len(pending)} sources checked, {len(sys.argv) - 3 - len(pending)} unchanged, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
