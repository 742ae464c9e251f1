"""The array workloads with NumPy, NumExpr and Numba: for each a function of the data that gives the run.

Numba may add floats in any order (fastmath), since its sums do not use vectors otherwise."""

import math

import numpy as np


def numba_options():
    import numba

    return numba, dict(parallel=True, fastmath=True, nogil=True)


def erf_numpy(x):
    from scipy.special import erf

    return erf(x)


# Black-Scholes

INVERSE_ROOT_2 = 1 / math.sqrt(2)


def black_scholes_numpy(data):
    def run(price=data["price"], strike=data["strike"], t=data["maturity"], rate=data["rate"], vol=data["volatility"]):
        deviation = vol * np.sqrt(t)
        d1 = (np.log(price / strike) + (rate + vol * vol * 0.5) * t) / deviation
        d2 = d1 - deviation
        n1 = erf_numpy(d1 * INVERSE_ROOT_2) * 0.5 + 0.5
        n2 = erf_numpy(d2 * INVERSE_ROOT_2) * 0.5 + 0.5
        discounted = np.exp(-rate * t) * strike
        return price * n1 - discounted * n2, discounted * (1 - n2) - price * (1 - n1)

    import scipy.special  # noqa: F401

    return run


def black_scholes_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(price, strike, t, rate, vol, call, put):
        for i in numba.prange(len(price)):
            deviation = vol[i] * math.sqrt(t[i])
            d1 = (math.log(price[i] / strike[i]) + (rate[i] + vol[i] * vol[i] * 0.5) * t[i]) / deviation
            d2 = d1 - deviation
            n1 = math.erf(d1 * INVERSE_ROOT_2) * 0.5 + 0.5
            n2 = math.erf(d2 * INVERSE_ROOT_2) * 0.5 + 0.5
            discounted = math.exp(-rate[i] * t[i]) * strike[i]
            call[i] = price[i] * n1 - discounted * n2
            put[i] = discounted * (1 - n2) - price[i] * (1 - n1)

    call, put = np.empty_like(data["price"]), np.empty_like(data["price"])

    def run():
        kernel(data["price"], data["strike"], data["maturity"], data["rate"], data["volatility"], call, put)
        return call, put

    return run


# Haversine

EARTH_MILES = 3959.0


def haversine_numpy(data):
    def run(lat=data["latitudes"], lon=data["longitudes"], lat1=data["latitude"], lon1=data["longitude"]):
        s = np.sin((lat - lat1) / 2)
        t = np.sin((lon - lon1) / 2)
        a = s * s + np.cos(lat1) * np.cos(lat) * (t * t)
        return 2 * np.arcsin(np.sqrt(a)) * EARTH_MILES

    return run


def haversine_numexpr(data):
    import numexpr

    names = dict(lat=data["latitudes"], lon=data["longitudes"], lat1=data["latitude"], lon1=data["longitude"])
    names["cosine"] = math.cos(data["latitude"])
    out = np.empty_like(names["lat"])
    text = "2 * arcsin(sqrt(sin((lat - lat1) / 2)**2 + cosine * cos(lat) * sin((lon - lon1) / 2)**2)) * 3959.0"
    return lambda: numexpr.evaluate(text, names, out=out)


def haversine_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(lat, lon, lat1, lon1, out):
        cosine = math.cos(lat1)
        for i in numba.prange(len(lat)):
            s = math.sin((lat[i] - lat1) / 2)
            t = math.sin((lon[i] - lon1) / 2)
            a = s * s + cosine * math.cos(lat[i]) * (t * t)
            out[i] = 2 * math.asin(math.sqrt(a)) * EARTH_MILES

    out = np.empty_like(data["latitudes"])

    def run():
        kernel(data["latitudes"], data["longitudes"], data["latitude"], data["longitude"], out)
        return out

    return run


# Fused expression, to an array and summed

EXPRESSION = "((x * x + 2 * x) - y) * (x - 0.5) + abs(y - x)"


def expression_numpy(data):
    def run(x=data["x"], y=data["y"]):
        return ((x * x + 2 * x) - y) * (x - 0.5) + np.abs(y - x)

    return run


def expression_numexpr(data):
    import numexpr

    out = np.empty_like(data["x"])
    return lambda: numexpr.evaluate(EXPRESSION, data, out=out)


def expression_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(x, y, out):
        for i in numba.prange(len(x)):
            out[i] = ((x[i] * x[i] + 2 * x[i]) - y[i]) * (x[i] - 0.5) + abs(y[i] - x[i])

    out = np.empty_like(data["x"])

    def run():
        kernel(data["x"], data["y"], out)
        return out

    return run


def expression_sum_numpy(data):
    run = expression_numpy(data)
    return lambda: run().sum()


def expression_sum_numexpr(data):
    import numexpr

    return lambda: numexpr.evaluate(f"sum({EXPRESSION})", data)


def expression_sum_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(x, y):
        total = 0.0
        for i in numba.prange(len(x)):
            total += ((x[i] * x[i] + 2 * x[i]) - y[i]) * (x[i] - 0.5) + abs(y[i] - x[i])
        return total

    return lambda: kernel(data["x"], data["y"])


# Filtered sum of products


def filtered_sum_numpy(data):
    def run(x=data["x"], y=data["y"], limit=data["limit"]):
        mask = x < limit
        return np.sum(x[mask] * y[mask])

    return run


def filtered_sum_numexpr(data):
    import numexpr

    return lambda: numexpr.evaluate("sum(where(x < limit, x * y, 0))", data)


def filtered_sum_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(x, y, limit):
        total = 0.0
        for i in numba.prange(len(x)):
            if x[i] < limit:
                total += x[i] * y[i]
        return total

    return lambda: kernel(data["x"], data["y"], data["limit"])


# n-body forces


def nbody_numpy(data):
    def run(x=data["x"], y=data["y"], z=data["z"], mass=data["mass"], softening=data["softening"]):
        dx = x[:, None] - x
        dy = y[:, None] - y
        dz = z[:, None] - z
        squared = dx * dx + dy * dy + dz * dz + softening
        weight = mass / (squared * np.sqrt(squared))
        return tuple(-mass * (d * weight).sum(axis=1) for d in (dx, dy, dz))

    return run


def nbody_numexpr(data):
    import numexpr

    names = {k: v for k, v in data.items()}
    for name in "xyz":
        names[name + "i"] = data[name][:, None]
    squared = "((xi - x)**2 + (yi - y)**2 + (zi - z)**2 + softening)"

    def run():
        weight = numexpr.evaluate(f"mass / ({squared} * sqrt({squared}))", names)
        sums = [numexpr.evaluate(f"sum(({d}i - {d}) * w, axis=1)", {**names, "w": weight}) for d in "xyz"]
        return tuple(-data["mass"] * total for total in sums)

    return run


def nbody_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(x, y, z, mass, softening, fx, fy, fz):
        for i in numba.prange(len(x)):
            sx = sy = sz = 0.0
            for j in range(len(x)):
                dx, dy, dz = x[j] - x[i], y[j] - y[i], z[j] - z[i]
                squared = dx * dx + dy * dy + dz * dz + softening
                weight = mass[j] / (squared * math.sqrt(squared))
                sx += dx * weight
                sy += dy * weight
                sz += dz * weight
            fx[i], fy[i], fz[i] = sx * mass[i], sy * mass[i], sz * mass[i]

    forces = tuple(np.empty_like(data["x"]) for _ in "xyz")

    def run():
        kernel(data["x"], data["y"], data["z"], data["mass"], data["softening"], *forces)
        return forces

    return run


# Whitening and a logistic gradient


def logistic_numpy(data):
    matrix = data["matrix"].reshape(-1, int(data["columns"]))

    def run(labels=data["labels"], weights=data["weights"]):
        rows = len(matrix)
        centred = matrix - matrix.sum(axis=0) / rows
        deviation = np.sqrt((centred * centred).sum(axis=0) / rows)
        whitened = centred * (1 / deviation)
        chance = 1 / (1 + np.exp(-(whitened @ weights)))
        return (chance - labels) @ whitened / rows

    return run


def logistic_numba(data):
    numba, options = numba_options()
    matrix = data["matrix"].reshape(-1, int(data["columns"]))

    @numba.njit(**options)
    def kernel(matrix, labels, weights, parts):
        rows, columns = matrix.shape
        sums = np.zeros((parts, columns))
        squares = np.zeros((parts, columns))
        origin = matrix[0]
        for part in numba.prange(parts):
            for i in range(part * rows // parts, (part + 1) * rows // parts):
                for j in range(columns):
                    value = matrix[i, j] - origin[j]
                    sums[part, j] += value
                    squares[part, j] += value * value
        mean = sums.sum(axis=0) / rows
        scale = 1 / np.sqrt(squares.sum(axis=0) / rows - mean * mean)
        mean = mean + origin
        scaled = weights * scale
        gradients = np.zeros((parts, columns))
        for part in numba.prange(parts):
            for i in range(part * rows // parts, (part + 1) * rows // parts):
                z = 0.0
                for j in range(columns):
                    z += (matrix[i, j] - mean[j]) * scaled[j]
                slope = 1 / (1 + math.exp(-z)) - labels[i]
                for j in range(columns):
                    gradients[part, j] += slope * (matrix[i, j] - mean[j])
        return gradients.sum(axis=0) * scale / rows

    return lambda: kernel(matrix, data["labels"], data["weights"], numba.get_num_threads())


# PageRank


def pagerank_scipy(data):
    from scipy.sparse import csr_matrix

    nodes = len(data["initial"])
    columns = data["sources"]
    matrix = csr_matrix((np.ones(len(columns)), columns, data["first"].astype("i4")), shape=(nodes, nodes))

    def run():
        rank = data["initial"]
        for _ in range(int(data["iterations"])):
            rank = matrix @ (rank / data["out_degree"]) * data["damping"] + (1 - data["damping"]) / nodes
        return rank

    return run


def pagerank_numba(data):
    numba, options = numba_options()

    @numba.njit(**options)
    def kernel(first, sources, degree, initial, damping, iterations, rank, shares):
        nodes = len(initial)
        rank[:] = initial
        for _ in range(iterations):
            for i in numba.prange(nodes):
                shares[i] = rank[i] / degree[i]
            for i in numba.prange(nodes):
                total = 0.0
                for k in range(first[i], first[i + 1]):
                    total += shares[sources[k]]
                rank[i] = total * damping + (1 - damping) / nodes

    rank, shares = np.empty_like(data["initial"]), np.empty_like(data["initial"])

    def run():
        kernel(
            data["first"], data["sources"], data["out_degree"], data["initial"], data["damping"],
            int(data["iterations"]), rank, shares,
        )  # fmt: skip
        return rank

    return run


# 200 element-wise operations


def chain_numpy(data):
    def run(x=data["x"]):
        value = x
        out = np.empty_like(x)
        for factor, offset in zip(data["factors"], data["offsets"]):
            np.multiply(value, factor, out=out)
            np.abs(out, out=out)
            np.add(out, x, out=out)
            np.subtract(out, offset, out=out)
            value = out
        return out

    return run


def chain_numba(data):
    numba, options = numba_options()
    lines = ["def kernel(x, out):", " for i in prange(len(x)):", "  v = x[i]"]
    for factor, offset in zip(data["factors"], data["offsets"]):
        lines.append(f"  v = abs(v * {float(factor)!r}) + x[i] - {float(offset)!r}")
    lines.append("  out[i] = v")
    names = {"prange": numba.prange}
    exec("\n".join(lines + [" return out"]), names)
    kernel = numba.njit(**options)(names["kernel"])
    out = np.empty_like(data["x"])
    return lambda: kernel(data["x"], out)


WORKLOADS = {
    "black_scholes": {"numpy": black_scholes_numpy, "numba": black_scholes_numba},
    "haversine": {"numpy": haversine_numpy, "numexpr": haversine_numexpr, "numba": haversine_numba},
    "expression": {"numpy": expression_numpy, "numexpr": expression_numexpr, "numba": expression_numba},
    "expression_sum": {
        "numpy": expression_sum_numpy,
        "numexpr": expression_sum_numexpr,
        "numba": expression_sum_numba,
    },
    "filtered_sum": {"numpy": filtered_sum_numpy, "numexpr": filtered_sum_numexpr, "numba": filtered_sum_numba},
    "nbody": {"numpy": nbody_numpy, "numexpr": nbody_numexpr, "numba": nbody_numba},
    "logistic": {"numpy": logistic_numpy, "numba": logistic_numba},
    "pagerank": {"scipy": pagerank_scipy, "numba": pagerank_numba},
    "chain": {"numpy": chain_numpy, "numba": chain_numba},
}
