"""Views and other movement, indexing, creation."""

import numpy as np
import torch
import torch.nn.functional as F

from .core import Area, Input, bools, floats, i32, ints, uints


def sources(shape):
    """An operand of the shape: as it is, and read backwards out of a larger array."""
    rank = len(shape)
    wide = tuple(2 * n + 1 for n in shape)
    yield "contiguous", Input(floats(shape))
    if rank:
        steps = [["step", d, 1, 2 * n + 1, 2] for d, n in enumerate(shape)]
        yield "stepped and flipped", Input(floats(wide), *steps, ["flip", rank - 1])


def one(area, op, shape, attributes, compute):
    for note, x in sources(shape):
        area.case(op, [x], attributes, compute, "exact", note=f"{list(shape)} {note}")


def views(area):
    for shape, to in [((2, 6), [3, 4]), ((2, 6), [-1]), ((2, 3, 4), [4, -1, 2]), ((6,), [2, 3]), ((1,), []), ((), [1, 1]), ((0, 3), [3, 0]), ((2, 6), [2, 6])]:
        one(area, "reshape", shape, {"shape": to}, lambda x: x.reshape(to))
    for shape, a, b in [((2, 3, 4), 0, 1), ((2, 3, 4), 1, -1), ((2, 3, 4), 0, -1), ((5,), 0, 0), ((), 0, -1), ((2, 0, 3), 0, 1)]:
        one(area, "flatten", shape, {"from": a, "to": b}, lambda x: x.flatten(a, b))
    for shape, d in [((1, 3), 0), ((3, 1), -1), ((2, 1, 4), 1), ((1,), 0)]:
        one(area, "squeeze", shape, {"dim": d}, lambda x: x.squeeze(d))
    for shape, d in [((3,), 0), ((3,), 1), ((2, 4), -1), ((2, 4), -3), ((), 0), ((0, 2), 1)]:
        one(area, "unsqueeze", shape, {"dim": d}, lambda x: x.unsqueeze(d))
    for shape, order in [((2, 3), [1, 0]), ((2, 3, 4), [2, 0, 1]), ((2, 3, 4), [0, -1, 1]), ((2, 1, 3, 4), [3, 2, 1, 0]), ((4,), [0])]:
        one(area, "permute", shape, {"order": order}, lambda x: x.permute(order))
    for shape, a, b in [((2, 3), 0, 1), ((2, 3, 4), 0, -1), ((2, 3, 4), 1, 1), ((2, 1, 3, 4), -2, 1)]:
        one(area, "transpose", shape, {"a": a, "b": b}, lambda x: x.transpose(a, b))
    for shape in [(2, 3), (2, 3, 4), (1, 5)]:
        one(area, "t", shape, {}, lambda x: x.mT)
    for shape, to in [((1, 3), [4, 3]), ((3, 1), [3, 5]), ((3,), [2, 3]), ((1,), [2, 2, 2]), ((), [3, 2]), ((2, 1, 3), [2, 4, 3]), ((1, 3), [0, 3])]:
        one(area, "expand", shape, {"shape": to}, lambda x: x.expand(to))
    for shape, d, a, b, s in [((7,), 0, 2, 5, 1), ((7,), 0, 0, 7, 3), ((4, 6), 1, 1, 6, 2), ((4, 6), 0, 2, 2, 1), ((2, 3, 4), -2, 1, 3, 1)]:
        def compute(x, d=d, a=a, b=b, s=s):
            index = [slice(None)] * x.dim()
            index[d] = slice(a, b, s)
            return x[tuple(index)]
        one(area, "slice", shape, {"dim": d, "start": a, "stop": b, "step": s}, compute)
    for shape, d, a, n in [((7,), 0, 2, 3), ((4, 6), -1, 0, 6), ((4, 6), 0, 3, 0), ((2, 3, 4), 1, 1, 2)]:
        one(area, "narrow", shape, {"dim": d, "start": a, "len": n}, lambda x: x.narrow(d, a, n))
    for shape, d, i in [((7,), 0, 3), ((4, 6), 0, -1), ((4, 6), -1, 2), ((2, 3, 4), 1, 0)]:
        one(area, "select", shape, {"dim": d, "index": i}, lambda x: x.select(d, i))
    for shape, dims in [((7,), [0]), ((3, 4), [0, 1]), ((3, 4), [-1]), ((2, 3, 4), [0, 2]), ((0, 3), [1])]:
        one(area, "flip", shape, {"dims": dims}, lambda x: x.flip(dims))
    for shape, shifts, dims in [((7,), [2], [0]), ((7,), [-9], [0]), ((3, 4), [1, 2], [0, 1]), ((3, 4), [5], [-1]), ((2, 3, 4), [1, -1], [2, 0]), ((0,), [1], [0])]:
        one(area, "roll", shape, {"shifts": shifts, "dims": dims}, lambda x: x.roll(shifts, dims))
    for shape, times in [((3,), [2]), ((3,), [2, 2]), ((2, 3), [1, 3]), ((2, 3), [2, 1, 2]), ((), [4]), ((2, 3), [0, 1])]:
        one(area, "repeat", shape, {"times": times}, lambda x: x.repeat(times))
        if len(times) >= len(shape):
            one(area, "tile", shape, {"times": times}, lambda x: x.tile(times))
    one(area, "tile", (2, 3), {"times": [2]}, lambda x: x.tile((2,)))
    for shape, padding, value in [((3,), [[1, 2]], 0.0), ((2, 3), [[0, 1], [2, 0]], 1.5), ((2, 3, 2), [[1, 1], [0, 0], [0, 3]], -2.0), ((0, 2), [[1, 0], [0, 1]], 4.0), ((), [], 0.0)]:
        flat = [n for pair in reversed(padding) for n in pair]
        one(area, "pad", shape, {"padding": padding, "value": value}, lambda x: F.pad(x, flat, value=value) if flat else x.clone())
    for name, f in [("triu", torch.triu), ("tril", torch.tril)]:
        for shape, k in [((3, 4), 0), ((3, 4), 1), ((4, 3), -1), ((2, 3, 3), 0), ((2, 2), 5), ((3, 3), -7), ((0, 3), 0)]:
            one(area, name, shape, {"k": k}, lambda x: f(x, k))
    for shapes, d in [(((2, 3), (4, 3)), 0), (((2, 3), (2, 1), (2, 4)), 1), (((3,), (0,), (2,)), -1), (((2, 1, 2), (2, 3, 2)), -2), (((1, 2),), 0)]:
        inputs = [floats(s, tag=str(i)) for i, s in enumerate(shapes)]
        area.case("cat", inputs, {"dim": d}, lambda *x: torch.cat(x, d), "exact", note=str(shapes))
        area.case("cat", [ints(s, -9, 9, str(i)) for i, s in enumerate(shapes)], {"dim": d}, lambda *x: torch.cat(x, d), "exact", note="i32")
    area.case("cat", [bools((2,)), bools((3,))], {"dim": 0}, lambda *x: torch.cat(x, 0), "exact", note="bool")
    turned = [Input(floats((3, 2)), ("transpose", 0, 1)), Input(floats((2, 3), tag="b"), ("flip", 1)), Input(floats((1, 3)), ("expand", [2, 3]))]
    area.case("cat", turned, {"dim": 0}, lambda *x: torch.cat(x, 0), "exact", note="views")
    for d in [0, 1, -1, -3, 2]:
        area.case("stack", turned, {"dim": d}, lambda *x: torch.stack(x, d), "exact", note="views")
    area.case("stack", [floats(()), floats((), tag="b")], {"dim": 0}, lambda *x: torch.stack(x, 0), "exact", note="rank 0")
    for shape, sizes, d in [((7,), [2, 5], 0), ((3, 6), [1, 2, 3], 1), ((3, 6), [3, 0], -2), ((2, 3, 4), [2, 2], -1)]:
        one(area, "split", shape, {"sizes": sizes, "dim": d}, lambda x: torch.split(x, sizes, d))
    for shape, n, d in [((7,), 3, 0), ((6,), 3, 0), ((3, 6), 4, 1), ((3, 6), 5, 0), ((2, 3, 4), 2, -1)]:
        one(area, "chunk", shape, {"n": n, "dim": d}, lambda x: torch.chunk(x, n, d))
    for shape, a, b in [((2, 3, 4), 0, 2), ((2, 3, 4), -1, 0), ((2, 3, 4, 5), [0, 1], [2, 0]), ((3,), 0, 0)]:
        one(area, "movedim", shape, {"from": a if isinstance(a, list) else [a], "to": b if isinstance(b, list) else [b]}, lambda x: x.movedim(a, b))
    for shape, n, d in [((3,), 2, 0), ((2, 3), 3, 1), ((2, 3), 1, 0), ((2, 3), 0, -1), ((2, 1, 3), 2, 1)]:
        one(area, "repeat_interleave", shape, {"n": n, "dim": d}, lambda x: x.repeat_interleave(n, d))
    for shape, k in [((3,), 0), ((3,), 2), ((3,), -1), ((3, 4), 0), ((3, 4), 1), ((4, 3), -2), ((2, 2), 3), ((1,), 0)]:
        one(area, "diag", shape, {"k": k}, lambda x: torch.diag(x, k))
    for shape, o, a, b in [((3, 4), 0, 0, 1), ((3, 4), 2, 0, 1), ((4, 3), -1, 0, 1), ((2, 3, 4), 0, 1, 2), ((2, 3, 4), 1, 0, 2), ((2, 3, 4), -1, -1, 0), ((2, 2), 5, 0, 1)]:
        one(area, "diagonal", shape, {"offset": o, "dim1": a, "dim2": b}, lambda x: torch.diagonal(x, o, a, b))
    for shape, o, a, b in [((3,), 0, -2, -1), ((3,), 1, -2, -1), ((2, 3), 0, -2, -1), ((2, 3), -1, 0, 2), ((2, 3), 0, 0, 1), ((1,), 0, 0, 1)]:
        one(area, "diag_embed", shape, {"offset": o, "dim1": a, "dim2": b}, lambda x: torch.diag_embed(x, o, a, b))
    for shape, d, n, s in [((7,), 0, 3, 2), ((7,), 0, 3, 1), ((3, 8), 1, 2, 2), ((3, 8), 0, 2, 1), ((3, 8), -1, 8, 1), ((5,), 0, 2, 3), ((4,), 0, 1, 1)]:
        one(area, "unfold", shape, {"dim": d, "size": n, "step": s}, lambda x: x.unfold(d, n, s))
    for shape, r in [((1, 4, 2, 3), 2), ((2, 9, 1, 2), 3), ((8, 2, 2), 2)]:
        one(area, "pixel_shuffle", shape, {"factor": r}, lambda x: F.pixel_shuffle(x, r))
    for shape, r in [((1, 1, 4, 6), 2), ((2, 1, 3, 6), 3), ((2, 4, 4), 2)]:
        one(area, "pixel_unshuffle", shape, {"factor": r}, lambda x: F.pixel_unshuffle(x, r))


def indexing(area):
    for shape, dim, index in [((7,), 0, (4,)), ((3, 5), 0, (2, 5)), ((3, 5), 1, (3, 8)), ((3, 5), -1, (2, 2)), ((2, 3, 4), 1, (2, 5, 4)), ((1, 1), 0, (3, 1)), ((3, 4), 1, (0, 2)), ((3, 4), 0, (6, 0)), ((40, 30), 0, (50, 30))]:
        bound = shape[dim]
        for kind, make in [("i32", ints), ("u32", uints)]:
            area.case("gather", [floats(shape), make(index, 0, bound)], {"dim": dim}, lambda x, i: torch.gather(x, dim, i), "exact", note=f"{list(shape)} {kind}")
        area.case("scatter_add", [floats(shape), ints(index, 0, bound), floats(index, tag="src")], {"dim": dim},
                  lambda x, i, s: x.scatter_add(dim, i, s), "accumulate", note=f"{list(shape)}")
        order = np.argsort(floats((index[dim] if index[dim] < bound else bound,), tag="p")).astype(np.int32)
        sizes = list(index)
        sizes[dim] = len(order)
        view = [1] * len(shape)
        view[dim] = len(order)
        unique = np.ascontiguousarray(np.broadcast_to(order.reshape(view), sizes)).astype(np.int32)
        area.case("scatter", [floats(shape), unique, floats(sizes, tag="src")], {"dim": dim}, lambda x, i, s: x.scatter(dim, i, s), "exact", note=f"{list(shape)}")
    x = Input(floats((5, 3)), ("transpose", 0, 1))
    index = Input(ints((4, 3), 0, 5), ("transpose", 0, 1))
    source = Input(floats((3, 4), tag="s"), ("flip", 1))
    area.case("gather", [x, index], {"dim": 1}, lambda x, i: torch.gather(x, 1, i), "exact", note="transposed")
    area.case("scatter_add", [x, index, source], {"dim": 1}, lambda x, i, s: x.scatter_add(1, i, s), "accumulate", note="transposed")
    area.case("gather", [ints((3, 5), -9, 9), ints((3, 2), 0, 5)], {"dim": 1}, lambda x, i: torch.gather(x, 1, i), "exact", note="of i32")
    area.case("gather", [bools((3, 5)), ints((3, 2), 0, 5)], {"dim": 1}, lambda x, i: torch.gather(x, 1, i), "exact", note="of bool")
    for shape, dim, n in [((7,), 0, 4), ((3, 5), 0, 6), ((3, 5), 1, 2), ((2, 3, 4), -2, 5), ((3, 5), 0, 0), ((50, 40), 0, 30)]:
        for note, x in sources(shape):
            area.case("index_select", [x, ints((n,), 0, shape[dim])], {"dim": dim}, lambda x, i: torch.index_select(x, dim, i), "exact", note=f"{list(shape)} {note}")
    for index in [(4,), (2, 3), (), (2, 1, 2), (0,), (60,)]:
        area.case("embedding", [floats((10, 6)), ints(index, 0, 10)], {}, lambda w, i: F.embedding(i, w), "exact", note=f"{list(index)}")
        area.case("embedding", [Input(floats((6, 10)), ("transpose", 0, 1)), uints(index, 0, 10)], {}, lambda w, i: F.embedding(i, w), "exact", note=f"{list(index)} transposed")
        area.case("one_hot", [ints(index, 0, 5)], {"classes": 5}, lambda i: F.one_hot(i, 5).to(torch.get_default_dtype()), "exact", note=f"{list(index)}")


def creation(area):
    kind = lambda: torch.get_default_dtype()
    for a, b, s in [(0, 5, 1), (1, 2, 0.25), (5, 0, -1), (0, 0, 1), (-1.5, 1.5, 0.5), (0, 1, 0.3)]:
        area.case("arange", [], {"start": a, "end": b, "step": s}, lambda: torch.arange(a, b, s, dtype=kind()), "arithmetic")
    for a, b, n in [(0, 1, 5), (-3, 3, 7), (2, 2, 3), (1, 0, 4), (0, 1, 1), (0, 1, 0), (-10, 10, 101)]:
        area.case("linspace", [], {"start": a, "end": b, "steps": n}, lambda: torch.linspace(a, b, n, dtype=kind()), "arithmetic" if a * b >= 0 else "accumulate")
    for n in [0, 1, 2, 5]:
        area.case("eye", [], {"n": n}, lambda: torch.eye(n, dtype=kind()), "exact")
    for shape, v in [([], 2.5), ([3], -1.0), ([2, 0], 1.0), ([2, 3, 4], 7.25)]:
        area.case("full", [], {"shape": shape, "value": v}, lambda: torch.full(shape, v, dtype=kind()), "exact")
    for x in [floats((2, 3)), ints((2, 3), 0, 9), floats(())]:
        area.case("zeros_like", [x], {}, torch.zeros_like, "exact", grads=False)
        area.case("ones_like", [x], {}, torch.ones_like, "exact", grads=False)
        area.case("full_like", [x], {"value": 3.0}, lambda x: torch.full_like(x, 3), "exact", grads=False)


def areas():
    for name, build in [("movement", views), ("indexing", indexing), ("creation", creation)]:
        area = Area(name)
        build(area)
        yield area
