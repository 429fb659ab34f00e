"""Reductions, softmax, cumulative ops, order."""

import torch

from .core import Area, Input, bools, distinct, f32, floats, ints, layouts, uints

INF, NAN = float("inf"), float("nan")
# (shape, dims); no dims means all.
OVER = [((), None), ((7,), None), ((3, 5), None), ((3, 5), [0]), ((3, 5), [-1]), ((2, 3, 4), [1]), ((2, 3, 4), [0, -1]),
        ((2, 3, 1, 5), [1, 3]), ((1, 1), [0]), ((33, 65), [0]), ((33, 65), [1])]
EMPTY = [((0,), None), ((0, 3), [0]), ((3, 0), [0]), ((2, 0, 3), [-1, 1])]
VIEWS = {
    "transposed": Input(floats((4, 3)), ("transpose", 0, 1)),
    "stepped": Input(floats((3, 9)), ("step", 1, 1, 9, 2)),
    "flipped": Input(floats((3, 4)), ("flip", 0), ("flip", 1)),
    "expanded": Input(floats((1, 4)), ("expand", [3, 4])),
}


def dims_of(x, dims):
    return tuple(range(x.dim())) if dims is None else tuple(dims)


def prod(x, dims, keepdim):
    for d in sorted((d % x.dim() for d in dims_of(x, dims)), reverse=True):
        x = x.prod(d, keepdim=keepdim)
    return x


FLOAT = {
    "sum": lambda x, d, k: x.sum(dims_of(x, d), keepdim=k) if x.dim() else x.sum(),
    "mean": lambda x, d, k: x.mean(dims_of(x, d), keepdim=k) if x.dim() else x.mean(),
    "prod": prod,
    "max": lambda x, d, k: torch.amax(x, dims_of(x, d), keepdim=k),
    "min": lambda x, d, k: torch.amin(x, dims_of(x, d), keepdim=k),
    "logsumexp": lambda x, d, k: torch.logsumexp(x, dims_of(x, d), keepdim=k),
}


def attributes(dims, keepdim, **more):
    out = {} if dims is None else {"dims": dims, "keepdim": keepdim}
    return {**out, **more}


def plain(area):
    for name, f in FLOAT.items():
        compare = "exact" if name in ("max", "min") else "accumulate"
        for shape, dims in OVER:
            for keepdim in ([False, True] if dims else [False]):
                x = floats(shape, -1.5, 1.5) if name == "prod" and max(shape, default=0) < 10 else floats(shape)
                if name == "prod" and max(shape, default=0) >= 10:
                    x = floats(shape, 0.8, 1.2)
                area.case(name, [x], attributes(dims, keepdim), lambda x: f(x, dims, keepdim), compare,
                          note=f"{list(shape)}{' keepdim' if keepdim else ''}")
        if name not in ("max", "min"):
            for shape, dims in EMPTY:
                area.case(name, [floats(shape)], attributes(dims, False), lambda x: f(x, dims, False), compare, note=f"no elements {list(shape)}")
        for note, x in VIEWS.items():
            for dims in [[0], [1], None]:
                area.case(name, [x], attributes(dims, False), lambda x: f(x, dims, False), compare, note=note)
        edges = [[1, NAN, 2], [INF, 1, 2], [-INF, 3, 1], [INF, -INF, 0], [0, -0.0, 0], [2e-38, 2e-38, 0]]
        # The sum behind a mean overflows in f32.
        edges = f32(edges if name == "mean" else edges + [[3e38, 3e38, 1]])
        area.case(name, [edges], {"dims": [1], "keepdim": False}, lambda x: f(x, [1], False), compare, grads=False, note="edge values")
        ties = f32([[0, 0, 2, 2], [0, 3, 4, 0], [1, 1, 1, 1], [5, 0, -2, 5]])
        area.case(name, [ties], {"dims": [1], "keepdim": False}, lambda x: f(x, [1], False), compare, note="ties and zeros")
        area.case(name, [ties], {}, lambda x: f(x, None, False), compare, note="ties and zeros, all")
        if name in ("sum", "prod", "max", "min"):
            area.case(name, [ints((4, 5), -9, 9)], {"dims": [0], "keepdim": False}, lambda x: f(x, [0], False), "exact", note="i32")
            area.case(name, [uints((4, 5), 1, 9)], {"dims": [1], "keepdim": True}, lambda x: f(x, [1], True), "exact", note="u32")
            area.case(name, [ints((50,), 2**30, 2**31 - 1)], {}, lambda x: f(x, None, False), "exact", note="i32 wraps")
    for correction in [0.0, 1.0, 2.0]:
        for name, f in [("var", torch.var), ("std", torch.std)]:
            for shape, dims in OVER[1:8] + [((1, 4), [0]), ((5, 1), [0, 1])]:
                keepdim = len(shape) == 3
                x = floats(shape)
                compute = lambda x: f(x, dim=dims_of(x, dims), correction=correction, keepdim=keepdim and dims is not None)
                area.case(name, [x], attributes(dims, keepdim, correction=correction), compute, "accumulate", note=f"{list(shape)}")
    for name, f in [("var", torch.var), ("std", torch.std)]:
        for note, x in VIEWS.items():
            area.case(name, [x], {"dims": [0], "keepdim": False, "correction": 1.0}, lambda x: f(x, dim=0), "accumulate", note=note)
        area.case(name, [f32([1000.25, 1001.5, 999.75, 1000.0])], {"correction": 1.0}, lambda x: f(x), "accumulate", note="far from 0")
        area.case(name, [f32([2, 2, 2])], {"correction": 1.0}, lambda x: f(x), "accumulate", note="equal elements")
    for p in [2.0, 1.0, 0.0, 3.0, 0.5, "inf", "-inf"]:
        order = float(p)
        for shape, dims in [((7,), None), ((3, 5), [0]), ((3, 5), [-1]), ((2, 3, 4), [0, 2]), ((), None)]:
            keepdim = shape == (3, 5)
            compute = lambda x: torch.linalg.vector_norm(x, order, dim=None if dims is None else tuple(dims), keepdim=keepdim and dims is not None)
            area.case("norm", [floats(shape)], attributes(dims, keepdim, p=p), compute, "accumulate", note=f"p {p}")
        x = f32([[0, 0, 0], [3, -4, 0], [1, 1, -1]])
        area.case("norm", [x], {"dims": [1], "keepdim": False, "p": p}, lambda x: torch.linalg.vector_norm(x, order, dim=1), "accumulate",
                  grads=p not in (0.5, 3.0), note=f"p {p} with zeros and ties")
    for name, f in [("argmax", torch.argmax), ("argmin", torch.argmin)]:
        for shape, dim in [((7,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((33, 65), 1), ((1, 1), 1)]:
            for keepdim in [False, True]:
                area.case(name, [floats(shape)], {"dim": dim, "keepdim": keepdim}, lambda x: f(x, dim, keepdim), "exact", note=f"{list(shape)}")
        for note, x in VIEWS.items():
            area.case(name, [x], {"dim": 1, "keepdim": False}, lambda x: f(x, 1), "exact", note=note)
        area.case(name, [ints((5, 6), 0, 3)], {"dim": 1, "keepdim": False}, lambda x: f(x, 1), "exact", note="i32 with ties")
        x = f32([[1, NAN, 2, NAN], [INF, 1, INF, 2], [-INF, 3, -INF, 1], [0, -0.0, 0, -0.0]])
        area.case(name, [x], {"dim": 1, "keepdim": False}, lambda x: f(x, 1), "exact", note="edge values")
    for name, f in [("any", torch.any), ("all", torch.all)]:
        for shape, dims in OVER + EMPTY:
            p = 0.1 if name == "any" else 0.9
            compute = lambda x: f(x) if dims is None else f(x, dim=tuple(dims))
            area.case(name, [bools(shape, "", p)], attributes(dims, False), compute, "exact", note=f"{list(shape)}")
        area.case(name, [Input(bools((4, 3)), ("transpose", 0, 1))], {"dims": [0], "keepdim": True}, lambda x: f(x, dim=0, keepdim=True), "exact", note="transposed")


def softmax(area):
    for name, f in [("softmax", torch.softmax), ("log_softmax", torch.log_softmax)]:
        for shape, dim in [((), 0), ((1,), 0), ((7,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 3, 4), 1), ((2, 3, 4), -1), ((2, 3, 4), 0),
                           ((2, 3, 2, 3), -2), ((0, 3), 1), ((3, 0), 0), ((0,), 0), ((4, 300), 1), ((130, 3), 0)]:
            area.case(name, [floats(shape, -4, 4)], {"dim": dim}, lambda x: f(x, dim), "accumulate", note=f"{list(shape)}")
        for note, x in VIEWS.items():
            for dim in (0, 1):
                area.case(name, [x], {"dim": dim}, lambda x: f(x, dim), "accumulate", note=note)
        x = f32([[1e4, 1e4 - 1, 0], [-1e4, -1e4, -1e4], [3e38, 0, -3e38], [-INF, 0, 1], [1e-40, 0, -0.0]])
        area.case(name, [x], {"dim": 1}, lambda x: f(x, 1), "accumulate", note="large and -inf")
        x = f32([[NAN, 0, 1], [INF, 0, 1], [-INF, -INF, -INF]])
        area.case(name, [x], {"dim": 1}, lambda x: f(x, 1), "accumulate", grads=False, note="NaN")


def cumulative(area):
    ops = {"cumsum": torch.cumsum, "cumprod": torch.cumprod, "logcumsumexp": torch.logcumsumexp, "cummax": torch.cummax, "cummin": torch.cummin}
    for name, f in ops.items():
        compare = "exact_sum" if name in ("cummax", "cummin") else "accumulate"
        compute = lambda dim: lambda x: tuple(f(x, dim)) if compare == "exact_sum" else f(x, dim)
        for shape, dim in [((7,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((1,), 0), ((0,), 0), ((3, 0), 1), ((2, 600), 1)]:
            x = floats(shape, 0.9, 1.1) if name == "cumprod" and shape == (2, 600) else floats(shape)
            area.case(name, [x], {"dim": dim}, compute(dim), compare, note=f"{list(shape)}")
        for note, x in VIEWS.items():
            area.case(name, [x], {"dim": 1}, compute(1), compare, note=note)
        ties = f32([[0, 2, 0, 2, 3], [1, 1, 0, 1, 1], [2, 0, 3, 0, 5]])
        area.case(name, [ties], {"dim": 1}, compute(1), compare, note="ties and zeros")
        edges = f32([[1, NAN, 2], [INF, 1, 2], [-INF, 3, 1], [0, -0.0, 0]])
        area.case(name, [edges], {"dim": 1}, compute(1), compare, grads=False, note="edge values")
        if name not in ("logcumsumexp",):
            area.case(name, [ints((4, 5), -3, 4)], {"dim": 1}, compute(1), "exact", note="i32")
    for n, dim, shape in [(1, -1, (3, 5)), (1, 0, (3, 5)), (2, 1, (3, 5)), (1, 0, (1,))]:
        area.case("diff", [floats(shape)], {"n": n, "dim": dim}, lambda x: torch.diff(x, n=n, dim=dim), "arithmetic", note=f"{list(shape)}")


def order(area):
    for descending in [False, True]:
        a = {"descending": descending}
        cases = [(distinct(s), d) for s, d in [((7,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((1,), 0), ((0,), 0), ((3, 0), 1), ((2, 300), 1)]]
        cases += [(x, 1) for x in VIEWS.values()] + [(ints((4, 6), -2, 3), 1), (uints((4, 6), 0, 3), 1), (bools((4, 6)), 1)]
        cases += [(f32([[2, 1, 2, 1, 2], [0, -0.0, 0, -0.0, 1]]), 1), (f32([[NAN, 1, -INF, INF, NAN, 0]]), 1), (f32(3.5), 0)]
        for x, dim in cases:
            sort = lambda x: tuple(torch.sort(x, dim=dim, descending=descending, stable=True))
            area.case("sort", [x], {"dim": dim, **a}, sort, "exact")
            area.case("argsort", [x], {"dim": dim, **a}, lambda x: sort(x)[1], "exact")
    for k, dim, shape in [(1, 0, (7,)), (3, 0, (7,)), (7, 0, (7,)), (2, 0, (3, 5)), (4, -1, (3, 5)), (2, 1, (2, 3, 4)), (0, 0, (4,)), (10, 1, (2, 300))]:
        for largest in [True, False]:
            compute = lambda x: tuple(torch.topk(x, k, dim, largest, True))
            area.case("topk", [distinct(shape)], {"k": k, "dim": dim, "largest": largest}, compute, "exact", note=f"{list(shape)}")
    for k, dim, shape in [(1, 0, (7,)), (4, 0, (7,)), (2, 1, (3, 5)), (3, 0, (3, 5)), (2, -2, (2, 3, 4))]:
        for keepdim in [False, True]:
            compute = lambda x: tuple(torch.kthvalue(x, k, dim, keepdim))
            area.case("kthvalue", [distinct(shape)], {"k": k, "dim": dim, "keepdim": keepdim}, compute, "exact", note=f"{list(shape)}")
    for shape in [(7,), (8,), (3, 5), ()]:
        area.case("median", [distinct(shape)], {}, torch.median, "exact", note=f"{list(shape)}")
    for shape, dim in [((7,), 0), ((8,), 0), ((3, 6), 1), ((3, 6), 0), ((2, 3, 4), -2)]:
        for keepdim in [False, True]:
            compute = lambda x: tuple(torch.median(x, dim, keepdim))
            area.case("median_dim", [distinct(shape)], {"dim": dim, "keepdim": keepdim}, compute, "exact", note=f"{list(shape)}")


def areas():
    for name, build in [("reductions", plain), ("softmax", softmax), ("cumulative", cumulative), ("order", order)]:
        area = Area(name)
        build(area)
        yield area
