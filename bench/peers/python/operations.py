"""The cases of bench/micro with pandas and NumPy: for each a function of the tables that gives the run, and where
what is to be compared is less than the result, a function that makes that of it."""

import numpy as np


def group_sums(tables):
    frame = tables["t"]
    return lambda: frame.groupby("k", sort=False)["v"].sum()


def series_columns(series):
    return series.index.to_numpy(), series.to_numpy()


def join(tables):
    left, right = tables["t"], tables["d"]

    def run():
        joined = left.merge(right, on="k")
        return (joined["v"] * joined["p"]).sum()

    return run


def semi_join(tables):
    left, right = tables["t"], tables["d"]
    return lambda: left.loc[left["k"].isin(right["k"]), "v"].sum()


def sort(tables):
    column = tables["t"]["k"]
    if column.dtype == object:
        return lambda: column.sort_values().to_numpy()
    return lambda: np.sort(column.to_numpy())


def sort_pairs(tables):
    frame = tables["t"]
    return lambda: frame.sort_values("k")


def frame_columns(frame):
    return tuple(frame[name].to_numpy() for name in frame.columns)


def top(tables):
    column = tables["t"]["k"]
    return lambda: column.nsmallest(100).to_numpy()


def filter_rows(tables):
    column, bound = tables["t"]["k"].to_numpy(), tables["d"]["bound"].iloc[0]
    return lambda: column[column < bound]


def filter_sum(tables):
    run = filter_rows(tables)
    return lambda: run().sum()


def histogram(tables):
    column = tables["t"]["k"].to_numpy()
    return lambda: np.bincount((column * 256).astype("i8"), minlength=256)


def scatter(tables):
    frame = tables["t"]
    length = int(tables["d"]["length"].iloc[0])
    index, values = frame["k"].to_numpy(), frame["v"].to_numpy()
    return lambda: np.bincount(index, weights=values, minlength=length)


def filled_bins(bins):
    places = np.flatnonzero(bins)
    return places, bins[places]


def distinct(tables):
    column = tables["t"]["k"]
    return lambda: column.unique()


def groups(tables):
    keys, values = tables["t"]["k"].to_numpy(), tables["t"]["v"].to_numpy()

    def run():
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        return ordered[first], first, values[order]

    return run


def sums_of_groups(outcome):
    keys, first, values = outcome
    return keys, np.add.reduceat(values, first)


OPERATIONS = {
    "group_sums": (group_sums, series_columns),
    "join": (join, None),
    "semi_join": (semi_join, None),
    "sort": (sort, None),
    "sort_pairs": (sort_pairs, frame_columns),
    "top": (top, None),
    "filter_rows": (filter_rows, None),
    "filter_sum": (filter_sum, None),
    "histogram": (histogram, filled_bins),
    "scatter": (scatter, filled_bins),
    "distinct": (distinct, None),
    "groups": (groups, sums_of_groups),
}
