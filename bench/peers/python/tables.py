"""The table workloads with pandas: for each a function of the data that gives the run."""

import numpy as np


def strings(data, name):
    """A column of Python's strings, as pandas reads them from a file."""
    import pandas as pd

    text = data[name + "_text"].tobytes().decode()
    ends = data[name + "_ends"].tolist()
    return pd.Series([text[a:b] for a, b in zip([0] + ends[:-1], ends)], dtype=object)


def births_group_pandas(data):
    import pandas as pd

    frame = pd.DataFrame({"name": strings(data, "names"), "births": data["births"]})

    def run():
        sums = frame.groupby("name", sort=False)["births"].sum()
        return list(sums.index), sums.to_numpy()

    return run


def pivot(frame):
    table = frame.pivot_table(values="births", index="year", columns="sex", aggfunc="sum", fill_value=0)
    sexes = [table[sex].to_numpy() if sex in table else np.zeros(len(table)) for sex in (0, 1)]
    return table.index.to_numpy(), *sexes


def births_pivot_names_pandas(data):
    import pandas as pd

    frame = pd.DataFrame({"name": strings(data, "names"), "year": data["years"], "sex": data["sexes"], "births": data["births"]})
    return lambda: pivot(frame[frame["name"].str.startswith("Lesl")])


def births_pivot_pandas(data):
    import pandas as pd

    frame = pd.DataFrame({"year": data["years"], "sex": data["sexes"], "births": data["births"]})
    return lambda: pivot(frame)


def ratings_pandas(data):
    import pandas as pd

    ratings = pd.DataFrame({"user": data["users"], "movie": data["movies"], "rating": data["ratings"]})
    users = pd.DataFrame({"user": data["user_ids"], "gender": data["genders"]})
    movies = pd.DataFrame({"movie": data["movie_ids"], "title": strings(data, "titles")})

    def run():
        joined = ratings.merge(users, on="user").merge(movies, on="movie")
        means = joined.groupby(["title", "gender"], sort=False)["rating"].mean()
        return [f"{title}/{gender}" for title, gender in means.index], means.to_numpy()

    return run


def zip_codes_pandas(data):
    codes = strings(data, "codes")

    def run():
        cut = codes.str.slice(0, 5)
        cut = cut.mask(cut == "00000", "nan")
        cut = cut.mask(cut == "NO CL", "nan")
        return (list(cut.unique()),)

    return run


def crime_index_pandas(data):
    import pandas as pd

    frame = pd.DataFrame({name: data[name] for name in ("inhabitants", "adults", "robberies", "states")})

    def run():
        large = frame[frame["inhabitants"] > 500_000.0]
        index = np.exp(large["inhabitants"] * 1e-7 + large["adults"] * 2e-7 - large["robberies"] * 2e-4)
        index = index / index.max() * 0.05
        index = index.mask(index >= 0.02, 0.032)
        index = index.mask(index < 0.01, 0.005)
        sums = index.groupby(large["states"], sort=False).sum()
        return [str(state) for state in sums.index], sums.to_numpy()

    return run


WORKLOADS = {
    "births_group": {"pandas": births_group_pandas},
    "births_pivot_names": {"pandas": births_pivot_names_pandas},
    "births_pivot": {"pandas": births_pivot_pandas},
    "ratings": {"pandas": ratings_pandas},
    "zip_codes": {"pandas": zip_codes_pandas},
    "crime_index": {"pandas": crime_index_pandas},
}
