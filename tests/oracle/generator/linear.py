"""Matrix products in all forms, and losses."""

import numpy as np
import torch
import torch.nn.functional as F

from .core import Area, Input, f32, floats, ints, uints


def matmul(area):
    for a, b in [((3, 4), (4, 5)), ((1, 1), (1, 1)), ((7, 1), (1, 5)), ((1, 9), (9, 1)), ((17, 33), (33, 19)), ((64, 64), (64, 64)), ((3, 130), (130, 2)),
                 ((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)),
                 ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((1, 3, 4), (6, 4, 2)), ((0, 4), (4, 3)), ((3, 0), (0, 2)), ((3, 4), (4, 0)),
                 ((0, 3, 4), (0, 4, 2)), ((1,), (1,)), ((0,), (0,))]:
        area.case("matmul", [floats(a), floats(b, tag="b")], {}, torch.matmul, "accumulate", note=f"{list(a)} {list(b)}")
    left = {"transposed": Input(floats((4, 6)), ("transpose", 0, 1)), "stepped": Input(floats((6, 9)), ("step", 1, 0, 8, 2)),
            "flipped": Input(floats((6, 4)), ("flip", 0)), "expanded": Input(floats((1, 4)), ("expand", [6, 4]))}
    right = {"plain": Input(floats((4, 5))), "transposed": Input(floats((5, 4)), ("transpose", 0, 1)),
             "stepped": Input(floats((9, 5)), ("step", 0, 1, 9, 2)), "expanded": Input(floats((4, 1)), ("expand", [4, 5]))}
    for a, x in left.items():
        for b, y in right.items():
            area.case("matmul", [x, y], {}, torch.matmul, "accumulate", note=f"{a} {b}")
    heads = Input(floats((2, 5, 3, 4)), ("transpose", 1, 2))
    keys = Input(floats((2, 6, 3, 4), tag="k"), ("transpose", 1, 2), ("transpose", 2, 3))
    area.case("matmul", [heads, keys], {}, torch.matmul, "accumulate", note="attention scores")
    area.case("matmul", [Input(floats((1, 3, 4)), ("expand", [5, 3, 4])), floats((5, 4, 2))], {}, torch.matmul, "accumulate", note="expanded batch")
    for x, w, bias in [((3, 4), (5, 4), True), ((3, 4), (5, 4), False), ((4,), (5, 4), True), ((2, 3, 4), (5, 4), True), ((2, 1, 3, 4), (1, 4), True),
                       ((0, 4), (5, 4), True), ((33, 20), (17, 20), True), ((1, 1), (1, 1), False)]:
        inputs = [floats(x), floats(w, tag="w")] + ([floats(w[:1], tag="bias")] if bias else [])
        area.case("linear", inputs, {}, F.linear, "accumulate", note=f"{list(x)} {list(w)}")
    turned = [Input(floats((4, 3)), ("transpose", 0, 1)), Input(floats((4, 5), tag="w"), ("transpose", 0, 1)), Input(floats((5,), tag="bias"), ("flip", 0))]
    area.case("linear", turned, {}, F.linear, "accumulate", note="views")
    for n in [0, 1, 5, 300]:
        area.case("dot", [floats((n,)), floats((n,), tag="b")], {}, torch.dot, "accumulate", note=f"[{n}]")
    for a, b in [(3, 4), (1, 1), (0, 3), (5, 2)]:
        area.case("outer", [floats((a,)), floats((b,), tag="b")], {}, torch.outer, "arithmetic", note=f"[{a}] [{b}]")
    for b, m, k, n in [(2, 3, 4, 5), (1, 1, 1, 1), (0, 2, 3, 4), (3, 2, 0, 4)]:
        area.case("bmm", [floats((b, m, k)), floats((b, k, n), tag="b")], {}, torch.bmm, "accumulate")
    for c in [(3, 5), (5,), (3, 1), ()]:
        for beta, alpha in [(1.0, 1.0), (0.5, -2.0)]:
            area.case("addmm", [floats(c), floats((3, 4), tag="a"), floats((4, 5), tag="b")], {"beta": beta, "alpha": alpha},
                      lambda c, a, b: torch.addmm(c, a, b, beta=beta, alpha=alpha), "accumulate", note=f"{list(c)}")
    for a, b, da, db in [((3, 4), (4, 5), [1], [0]), ((2, 3, 4), (4, 3, 5), [2, 1], [0, 1]), ((2, 3), (4,), [], []), ((2, 3, 4), (3, 4), [1, 2], [0, 1]), ((2, 3, 4), (5, 2), [0], [-1])]:
        area.case("tensordot", [floats(a), floats(b, tag="b")], {"left": da, "right": db}, lambda x, y: torch.tensordot(x, y, (da, db)), "accumulate", note=f"{list(a)} {list(b)}")
    for equation, *shapes in [("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("ij->ji", (3, 4)), ("ij->", (3, 4)),
                              ("ij->i", (3, 4)), ("ij->j", (3, 4)), ("ii->i", (4, 4)), ("ii", (4, 4)), ("i,j->ij", (3,), (4,)), ("i,i->", (5,), (5,)),
                              ("ij,ij->ij", (3, 4), (3, 4)), ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)), ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
                              ("...ij,jk", (2, 3, 4), (4, 5)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("i,ij,j->", (3,), (3, 4), (4,)), ("ba", (2, 3)),
                              ("bii->bi", (2, 3, 3)), ("bnd,ed->bne", (2, 3, 4), (5, 4)), ("ijk->kij", (2, 3, 4)), ("...->...", (2, 3)), ("i...,i...->...", (3, 2), (3, 2)),
                              ("ij,kl->ijkl", (2, 3), (2, 2)), ("iij,jk->ik", (3, 3, 4), (4, 2)), (" i j , j k -> i k ", (2, 3), (3, 2)), ("ij,j->i", (0, 3), (3,))]:
        inputs = [floats(s, tag=str(i)) for i, s in enumerate(shapes)]
        area.case("einsum", inputs, {"equation": equation}, lambda *x: torch.einsum(equation, *x), "accumulate", note=equation)
    area.case("einsum", [Input(floats((4, 3)), ("transpose", 0, 1)), Input(floats((4, 5)), ("flip", 0))], {"equation": "ij,jk->ki"},
              lambda a, b: torch.einsum("ij,jk->ki", a, b), "accumulate", note="views")


def losses(area):
    def classes(name, f, make):
        for shape, target in [((4, 5), (4,)), ((1, 3), (1,)), ((2, 4, 3), (2, 3)), ((2, 3, 2, 2), (2, 2, 2)), ((6, 1), (6,)), ((3, 200), (3,))]:
            for kind, integers in [("i32", ints), ("u32", uints)]:
                t = integers(target, 0, shape[1])
                area.case(name, [make(shape), t], {}, lambda x, t: f(x, t), "accumulate", note=f"{list(shape)} {kind}")
            w = Input(floats(shape[1:2], 0.5, 2.0, "w"), grad=False)
            t = ints(target, 0, shape[1])
            options = [(s, i, v) for s in ([0.0, 0.125, 1.0] if name == "cross_entropy" else [0.0]) for i in (None, 0, -100) for v in (False, True)]
            for smoothing, ignore, weighted in options[1:]:
                if (ignore == 0 and not (t != 0).any()) or (shape[1] == 200 and smoothing == 1.0):
                    continue
                seen = np.where(np.arange(t.size).reshape(t.shape) == 0, -100, t).astype(np.int32) if ignore == -100 and t.size > 1 else t
                more = {} if name == "nll" else {"label_smoothing": smoothing}
                compute = lambda x, t, w=None: f(x, t, weight=w, ignore_index=-7 if ignore is None else ignore, **more)
                given = {k: v for k, v in {"label_smoothing": smoothing, "ignore_index": ignore, "weighted": weighted}.items() if v}
                if ignore == 0:
                    given["ignore_index"] = 0
                area.case(name, [make(shape), seen] + ([w] if weighted else []), given, compute, "accumulate", note=f"{list(shape)}")
        turned = Input(make((5, 4)), ("transpose", 0, 1))
        area.case(name, [turned, Input(ints((8,), 0, 5), ("step", 0, 0, 8, 2))], {}, lambda x, t: f(x, t), "accumulate", note="views")

    classes("cross_entropy", F.cross_entropy, lambda s: floats(s, -4, 4))
    classes("nll", F.nll_loss, lambda s: floats(s, -4, -0.1))
    area.case("cross_entropy", [f32([[1e4, 0, -1e4], [0, 3e38, 0]]), ints((2,), 0, 1)], {}, F.cross_entropy, "accumulate", grads=False, note="large logits")
    shapes = [(7,), (3, 5), (2, 3, 4), (1,), ()]

    def pair(name, attributes, f, x=lambda s: floats(s, -3, 3), y=lambda s: floats(s, -3, 3, "y"), y_grad=True):
        for shape in shapes:
            area.case(name, [x(shape), Input(y(shape), grad=y_grad)], attributes, f, "accumulate", note=f"{list(shape)}")
        turned = [Input(x((4, 3)), ("transpose", 0, 1)), Input(y((3, 4)), ("flip", 1), grad=y_grad)]
        area.case(name, turned, attributes, f, "accumulate", note="views")

    pair("mse", {}, F.mse_loss)
    pair("l1", {}, F.l1_loss)
    for v in [1.0, 0.25]:
        pair("huber", {"delta": v}, lambda x, y: F.huber_loss(x, y, delta=v))
    for v in [1.0, 0.25, 0.0]:
        pair("smooth_l1", {"beta": v}, lambda x, y: F.smooth_l1_loss(x, y, beta=v))
    pair("bce", {}, F.binary_cross_entropy, lambda s: floats(s, 0.02, 0.98), lambda s: floats(s, 0, 1, "y"), y_grad=False)
    area.case("bce", [f32([0, 1, 0, 1, 0.5]), Input(f32([0, 1, 1, 0, 1]), grad=False)], {}, F.binary_cross_entropy, "accumulate", grads=False, note="certain")
    pair("bce_with_logits", {}, F.binary_cross_entropy_with_logits, y=lambda s: floats(s, 0, 1, "y"), y_grad=False)
    area.case("bce_with_logits", [f32([1e4, -1e4, 1e4, -1e4, 0]), Input(f32([0, 1, 1, 0, 1]), grad=False)], {}, F.binary_cross_entropy_with_logits, "accumulate", note="certain")
    pair("kl_div", {}, F.kl_div, lambda s: floats(s, -4, -0.1), lambda s: floats(s, 0.01, 1, "y"), y_grad=False)
    area.case("kl_div", [floats((4,), -4, -0.1), Input(f32([0, 0.5, 0, 0.5]), grad=False)], {}, F.kl_div, "accumulate", note="zeros")
    for margin in [1.0, 0.5]:
        for n, c in [(4, 5), (1, 3), (6, 2), (3, 1)]:
            area.case("multi_margin", [floats((n, c), -2, 2), ints((n,), 0, c)], {"margin": margin}, lambda x, t: F.multi_margin_loss(x, t, margin=margin), "accumulate", note=f"[{n}, {c}]")
    for margin in [0.0, 0.5]:
        for n, d in [(4, 5), (1, 3), (6, 2)]:
            sign = Input(np.where(ints((n,), 0, 2) == 0, -1, 1).astype(np.float32), grad=False)
            area.case("cosine_embedding", [floats((n, d)), floats((n, d), tag="b"), sign], {"margin": margin}, lambda a, b, s: F.cosine_embedding_loss(a, b, s, margin=margin), "accumulate", note=f"[{n}, {d}]")


def areas():
    for name, build in [("matmul", matmul), ("losses", losses)]:
        area = Area(name)
        build(area)
        yield area
