"""Runs workloads on demand: a line of JSON is a question, a line of JSON the answer, both through the socket
that is standard input. Standard output is left to whoever prints."""

import gc
import json
import os
import socket
import time

import numpy as np

import arrays
import tables

WORKLOADS = {**arrays.WORKLOADS, **tables.WORKLOADS}


class Server:
    def __init__(self):
        self.runs = {}  # of the loaded workload: a function of no arguments for each system
        self.outcome = None  # of the last run

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
