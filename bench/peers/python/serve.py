"""Runs workloads on demand: a line of JSON is a question, a line of JSON the answer, both through the socket
that is standard input. Standard output is left to whoever prints."""

import gc
import json
import os
import socket
import time

import numpy as np

import arrays
import operations
import tables

WORKLOADS = {**arrays.WORKLOADS, **tables.WORKLOADS}


class Server:
    def __init__(self):
        self.runs = {}  # of the loaded workload: a function of no arguments for each system
        self.outcome = None  # of the last run
        self.operation = None  # of bench/micro: the run, and what makes columns of its outcome

    def hello(self):
        return {}

    def load(self, workload, inputs, parameters):
        self.runs, self.outcome = {}, None
        gc.collect()
        data = {}
        for part in inputs:
            data[part["name"]] = np.fromfile(part["file"], dtype=part["element"])
            os.unlink(part["file"])
        data.update(parameters)
        for system, prepare in WORKLOADS.get(workload, {}).items():
            try:
                self.runs[system] = prepare(data)
            except ImportError:
                pass  # not installed
        return {"systems": list(self.runs)}

    def run(self, system):
        self.outcome = None
        start = time.perf_counter()
        self.outcome = self.runs[system]()
        return {"ms": 1e3 * (time.perf_counter() - start)}

    def result(self, folder):
        """The outcome is a tuple of columns, or of a list of keys and columns."""
        outcome = self.outcome if isinstance(self.outcome, tuple) else (self.outcome,)
        keys = []
        if outcome and isinstance(outcome[0], list):
            keys, outcome = outcome[0], outcome[1:]
        files = []
        for number, column in enumerate(outcome):
            file = os.path.join(folder, f"result-{number}")
            np.atleast_1d(np.asarray(column, dtype="f8")).tofile(file)
            files.append(file)
        return {"keys": keys, "columns": files}

    # For the cases of bench/micro.

    def forget(self):
        self.runs, self.outcome, self.operation = {}, None, None
        gc.collect()
        return {}

    def load_tables(self, operation, columns):
        import pandas as pd

        self.forget()
        data = {}
        for column in columns:
            data.setdefault(column["table"], {})[column["name"]] = read_column(column)
        frames = {name: pd.DataFrame(parts, copy=False) for name, parts in data.items()}
        prepare, reduce = operations.OPERATIONS.get(operation, (None, None))
        self.operation = prepare and (prepare(frames), reduce)
        return {"known": self.operation is not None}

    def run_operation(self):
        self.outcome = None
        start = time.perf_counter()
        self.outcome = self.operation[0]()
        return {"ms": 1e3 * (time.perf_counter() - start)}

    def columns(self, folder):
        reduce = self.operation[1]
        outcome = reduce(self.outcome) if reduce else self.outcome
        outcome = outcome if isinstance(outcome, tuple) else (outcome,)
        return {"columns": [write_column(np.atleast_1d(c), folder, number) for number, c in enumerate(outcome)]}


def read_column(column):
    if column["element"] == "text":
        with open(column["file"]) as file:
            values = np.array(file.read().splitlines(), dtype=object)
    else:
        values = np.fromfile(column["file"], dtype=column["element"])
    os.unlink(column["file"])
    return values


def write_column(values, folder, number):
    file = os.path.join(folder, f"result-{number}")
    if values.dtype == object:
        with open(file, "w") as stream:
            stream.writelines(f"{value}\n" for value in values)
        return {"file": file, "element": "text"}
    element = "f8" if values.dtype.kind == "f" else "i8"
    values.astype(element, copy=False).tofile(file)
    return {"file": file, "element": element}


def main():
    server = Server()
    connection = socket.socket(fileno=0)
    for line in connection.makefile("r"):
        question = json.loads(line)
        try:
            answer = getattr(server, question.pop("do"))(**question)
        except Exception as error:  # the asker is to know, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        connection.sendall((json.dumps(answer) + "\n").encode())


main()
