"""Functions of one operand, activations, functions of several operands, comparisons, logic, choice, casts."""

import numpy as np
import torch
import torch.nn.functional as F

from .core import Area, Input, bools, f32, floats, i32, ints, layouts, uints

INF, NAN = float("inf"), float("nan")
# Zeros, infinities, NaN, subnormals, the ends of the range, and ordinary values of both signs.
EDGES = f32([0.0, -0.0, INF, -INF, NAN, 1e-40, -1e-40, 2e-38, -2e-38, 1e38, -1e38, 3e38, -3e38,
             1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 20.0, -20.0, 88.0, -88.0, 104.0, -104.0, 1e-5, -1e-5, 1e4, -1e4])
# Where gradients are compared as well: conventions at kinks, and saturation.
KINKS = f32([0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 0.5, -0.5, 30.0, -30.0, 100.0, -100.0, 1e-5, 1e4, -1e4])
# Without angles too large for f32 to tell.
ANGLES = f32([0.0, -0.0, INF, -INF, NAN, 1e-40, 2e-38, 1.0, -1.0, 3.1415927, 100.0, -100.0, 1000.0, -9999.0])

# name: (function, interval of samples, class of tolerance)
UNARY = {
    "neg": (torch.neg, (-3, 3), "exact"),
    "abs": (torch.abs, (-3, 3), "exact"),
    "sign": (torch.sign, (-3, 3), "exact"),
    "exp": (torch.exp, (-5, 5), "function"),
    "exp2": (torch.exp2, (-5, 5), "function"),
    "log": (torch.log, (0.05, 5), "function"),
    "log2": (torch.log2, (0.05, 5), "function"),
    "log10": (torch.log10, (0.05, 5), "function"),
    "log1p": (torch.log1p, (-0.9, 3), "function"),
    "expm1": (torch.expm1, (-3, 3), "function"),
    "sqrt": (torch.sqrt, (0.05, 5), "arithmetic"),
    "rsqrt": (torch.rsqrt, (0.1, 5), "arithmetic"),
    "recip": (torch.reciprocal, (0.2, 3), "arithmetic"),
    "square": (torch.square, (-3, 3), "arithmetic"),
    "sin": (torch.sin, (-6, 6), "function"),
    "cos": (torch.cos, (-6, 6), "function"),
    "tan": (torch.tan, (-1.2, 1.2), "function"),
    "asin": (torch.asin, (-0.95, 0.95), "function"),
    "acos": (torch.acos, (-0.95, 0.95), "function"),
    "atan": (torch.atan, (-5, 5), "function"),
    "sinh": (torch.sinh, (-3, 3), "function"),
    "cosh": (torch.cosh, (-3, 3), "function"),
    "tanh": (torch.tanh, (-3, 3), "function"),
    "erf": (torch.erf, (-3, 3), "function"),
    "floor": (torch.floor, (-3, 3), "exact"),
    "ceil": (torch.ceil, (-3, 3), "exact"),
    "round": (torch.round, (-3, 3), "exact"),
    "trunc": (torch.trunc, (-3, 3), "exact"),
    "erfc": (torch.erfc, (-3, 3), "function"),
    "asinh": (torch.asinh, (-3, 3), "function"),
    "acosh": (torch.acosh, (1.1, 4), "function"),
    "atanh": (torch.atanh, (-0.9, 0.9), "function"),
    "frac": (torch.frac, (-3, 3), "exact"),
    "is_inf": (torch.isinf, (-3, 3), "exact"),
    "is_nan": (torch.isnan, (-3, 3), "exact"),
    "is_finite": (torch.isfinite, (-3, 3), "exact"),
    "relu": (F.relu, (-3, 3), "exact"),
    "selu": (F.selu, (-3, 3), "function"),
    "gelu": (F.gelu, (-4, 4), "function"),
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), (-4, 4), "function"),
    "silu": (F.silu, (-4, 4), "function"),
    "mish": (F.mish, (-4, 4), "function"),
    "sigmoid": (torch.sigmoid, (-4, 4), "function"),
    "log_sigmoid": (F.logsigmoid, (-4, 4), "function"),
    "softplus": (F.softplus, (-4, 4), "function"),
    "softsign": (F.softsign, (-3, 3), "arithmetic"),
    "relu6": (F.relu6, (-3, 9), "exact"),
    "tanhshrink": (F.tanhshrink, (-3, 3), "crossing"),
    "hardtanh": (F.hardtanh, (-3, 3), "exact"),
    "hardsigmoid": (F.hardsigmoid, (-5, 5), "blend"),
    "hardswish": (F.hardswish, (-5, 5), "blend"),
}
# PyTorch's formulas give NaN at -inf (softsign's at both infinities) where the limit is a number; here the limit is wanted.
LIMITS = {"gelu", "gelu_tanh", "silu", "mish", "softsign", "hardswish"}
AT_INFINITY = {"hardtanh", "hardsigmoid", "relu", "relu6", "selu", "sigmoid", "tanh", "erf", "softplus", "log_sigmoid", "tanhshrink"}
INTEGERS = {"neg", "abs", "sign", "square"}

ONE_SCALAR = {
    "leaky_relu": ("slope", [0.01, 0.25], F.leaky_relu, "arithmetic"),
    "elu": ("alpha", [1.0, 0.5], F.elu, "function"),
    "softshrink": ("lambda", [0.5, 1.25], F.softshrink, "arithmetic"),
    "celu": ("alpha", [1.0, 0.5], F.celu, "function"),
    "hardshrink": ("lambda", [0.5, 1.25], F.hardshrink, "exact"),
    "clamp_min": ("low", [0.5, -1.0], lambda x, v: torch.clamp(x, min=v), "exact"),
    "clamp_max": ("high", [0.5, -1.0], lambda x, v: torch.clamp(x, max=v), "exact"),
    "powf": ("exponent", [2.0, 0.5, -1.0, 3.0, 0.0, 1.0, 2.5], torch.pow, "power"),
    "powi": ("exponent", [2, 3, -1, -2, 0, 1, 7], torch.pow, "power"),
}


def unary(area):
    for name, (f, (low, high), compare) in UNARY.items():
        make = lambda shape: floats(shape, low, high)
        for note, x in layouts(make).items():
            area.case(name, [x], {}, f, compare, note=note)
        for shape in [(), (1,), (257,), (2, 3, 1, 5), (0, 3)]:
            area.case(name, [make(shape)], {}, f, compare, note=f"shape {list(shape)}")
        edges = ANGLES if name in ("sin", "cos", "tan") else EDGES
        if name in LIMITS:
            edges = edges[~np.isneginf(edges) & ((name != "softsign") | np.isfinite(edges))]
        area.case(name, [edges], {}, f, compare, grads=False, note="edge values")
        kinks = ANGLES[np.isfinite(ANGLES)] if name in ("sin", "cos", "tan") else KINKS
        if name == "acosh":
            kinks = kinks[kinks >= 1]
        area.case(name, [kinks], {}, f, compare, note="kinks and saturation")
        if name in AT_INFINITY:
            area.case(name, [f32([INF, -INF, 1.0])], {}, f, compare, note="gradients at infinities")
        if name in INTEGERS:
            area.case(name, [i32([0, 1, -1, 7, -7, 2**31 - 1, -(2**31), 65536])], {}, f, compare, note="i32")
            if name not in ("neg",):
                area.case(name, [uints((5,), 0, 9)], {}, f, compare, note="u32")
        elif compare != "exact":
            area.case(name, [i32([0, 1, -1, 1]) if name in ("asin", "acos") else ints((6,), 1, 5)], {},
                      lambda x: f(x.to(torch.get_default_dtype())), compare, note="i32 is promoted")

    for name, (key, values, f, compare) in ONE_SCALAR.items():
        make = lambda shape: floats(shape, 0.2, 3.0) if name.startswith("pow") else floats(shape, -3, 3)
        for value in values:
            compute = lambda x, value=value: f(x, value)
            area.case(name, [make((3, 5))], {key: value}, compute, compare)
            # PyTorch's gradient at the bounds of a clamp differs between versions; see README.md.
            kinks = KINKS[KINKS != value] if name.startswith("clamp") else KINKS
            area.case(name, [kinks if not name.startswith("pow") else f32([0, 1, -1, 2, -3, 0.5, 10])], {key: value}, compute,
                      compare, grads=not (name.startswith("pow") and float(value) < 0), note="kinks and saturation")
        compute = lambda x: f(x, values[0])
        for note, x in layouts(make).items():
            area.case(name, [x], {key: values[0]}, compute, compare, note=note)
        area.case(name, [make(())], {key: values[0]}, compute, compare, note="rank 0")
        area.case(name, [make((0,))], {key: values[0]}, compute, compare, note="no elements")
        edges = EDGES[np.isfinite(EDGES)] if name == "softshrink" else EDGES
        area.case(name, [edges], {key: values[0]}, compute, compare, grads=False, note="edge values")
    for limit, value in [(0.5, -1.0), (-1.0, 20.0), (0.0, 0.0)]:
        compute = lambda x: F.threshold(x, limit, value)
        for note, x in layouts(lambda shape: floats(shape, -3, 3)).items():
            area.case("threshold", [x], {"limit": limit, "value": value}, compute, "exact", note=note)
        area.case("threshold", [KINKS], {"limit": limit, "value": value}, compute, "exact", note="kinks")
        area.case("threshold", [EDGES], {"limit": limit, "value": value}, compute, "exact", grads=False, note="edge values")
    for low, high in [(-1.0, 1.0), (0.5, 0.5), (0.0, 6.0)]:
        compute = lambda x: torch.clamp(x, low, high)
        for note, x in layouts(lambda shape: floats(shape, -3, 3)).items():
            area.case("clamp", [x], {"low": low, "high": high}, compute, "exact", note=note)
        area.case("clamp", [KINKS[~np.isin(KINKS, [low, high])]], {"low": low, "high": high}, compute, "exact", note="outside and inside")
        area.case("clamp", [EDGES], {"low": low, "high": high}, compute, "exact", grads=False, note="edge values")
    area.case("clamp", [ints((9,), -9, 9)], {"low": -3.0, "high": 4.0}, lambda x: x.clamp(-3, 4), "exact", note="i32")


BINARY = {
    "add": (torch.add, (-3, 3), "arithmetic"),
    "sub": (torch.sub, (-3, 3), "arithmetic"),
    "mul": (torch.mul, (-3, 3), "arithmetic"),
    "div": (torch.div, (0.3, 3), "arithmetic"),
    "fmod": (torch.fmod, (0.3, 3), "arithmetic"),
    "pow": (torch.pow, (0.2, 3), "power"),
    "atan2": (torch.atan2, (-3, 3), "function"),
    "maximum": (torch.maximum, (-3, 3), "exact"),
    "minimum": (torch.minimum, (-3, 3), "exact"),
    "hypot": (torch.hypot, (-3, 3), "arithmetic"),
    "logaddexp": (torch.logaddexp, (-3, 3), "crossing"),
    "xlogy": (torch.special.xlogy, (0.2, 3), "crossing"),
    "remainder": (torch.remainder, (0.3, 3), "arithmetic"),
    "copysign": (torch.copysign, (-3, 3), "exact"),
    "heaviside": (torch.heaviside, (-3, 3), "exact"),
    "floor_divide": (torch.floor_divide, (0.3, 3), "exact"),
    "eq": (torch.eq, (-3, 3), "exact"),
    "ne": (torch.ne, (-3, 3), "exact"),
    "lt": (torch.lt, (-3, 3), "exact"),
    "le": (torch.le, (-3, 3), "exact"),
    "gt": (torch.gt, (-3, 3), "exact"),
    "ge": (torch.ge, (-3, 3), "exact"),
}
SHAPES = [((3, 4), (4,)), ((3, 1), (1, 4)), ((2, 1, 3), (5, 1)), ((), (2, 3)), ((2, 3), ()), ((1,), (1, 1)), ((0, 3), (1, 3)),
          ((2, 1, 3, 1), (1, 2, 1, 4)), ((300,), (300,))]


def pairs(values):
    """All pairs of the values, as two arrays."""
    a, b = np.meshgrid(values, values, indexing="ij")
    return a.ravel().astype(np.float32), b.ravel().astype(np.float32)


# Without a gradient, also in PyTorch.
FLAT = {"heaviside", "floor_divide"}


def binary(area):
    few = f32([0.0, -0.0, INF, -INF, NAN, 2e-38, 1e38, -3e38, 1.0, -2.5])
    plain = f32([0.0, 1.0, -1.0, 2.0, -3.0, 0.5])
    for name, (f, (low, high), compare) in BINARY.items():
        native = name in ("fmod", "remainder", "floor_divide", "eq", "ne", "lt", "le", "gt", "ge")
        grads = name not in FLAT
        left = lambda shape: floats(shape, 0.3, 3, "a") if name == "pow" else floats(shape, -3, 3, "a")
        right = lambda shape: floats(shape, low, high, "b")
        for a, b in SHAPES:
            area.case(name, [left(a), right(b)], {}, f, compare, grads, native, note=f"{list(a)} with {list(b)}")
        views = list(zip(layouts(left).items(), reversed(layouts(right).items())))
        for (a, x), (b, y) in views:
            area.case(name, [x, y], {}, f, compare, grads, native, note=f"{a} with {b}")
        a, b = pairs(few)
        if name in ("fmod", "remainder", "floor_divide"):
            # The quotient of the others cannot be told in f32.
            exact = ~((np.abs(a) > 1e30) & (np.abs(b) < 10)) & ~((np.abs(a) > 1e-3) & (np.abs(b) < 1e-3) & (b != 0))
            if name == "floor_divide":
                # Rounded quotients next to an integer: PyTorch takes the floor of the exact one.
                exact &= (np.abs(a) < 1e30) | (np.abs(b) < 1e30) | np.isinf(a) | np.isinf(b) | (a == b)
            a, b = a[exact], b[exact]
        area.case(name, [a, b], {}, f, compare, grads=False, native=native, note="edge values")
        if compare != "exact" and name not in ("fmod", "div", "pow", "atan2", "hypot", "xlogy", "remainder"):
            a, b = pairs(plain)
            area.case(name, [a, b], {}, f, compare, note="small numbers")
        if name in ("maximum", "minimum"):
            area.case(name, [*pairs(plain)], {}, f, compare, note="ties")
        if name in ("pow", "atan2"):
            a, b = pairs(f32([0.0, 1.0, 2.0, -3.0, 0.5]))
            keep = ~((a <= 0) & (b <= 0.5)) if name == "pow" else (a != 0) | (b != 0)
            area.case(name, [Input(a[keep]), Input(b[keep], grad=name == "atan2")], {}, f, compare, note="gradients at round numbers")
        if name not in ("div", "pow", "atan2", "hypot", "logaddexp", "xlogy", "copysign"):
            b = ints((8,), 1, 5, "b") if name in ("fmod", "remainder", "floor_divide") else ints((8,), -5, 6, "b")
            area.case(name, [ints((8,), -20, 20), b], {}, f, compare, note="i32")
            area.case(name, [uints((8,), 9, 20), uints((8,), 1, 8, "b")], {}, f, compare, note="u32")
        if name in ("add", "sub", "mul", "div"):
            area.case(name, [ints((6,), -9, 9), floats((6,), 1, 2)], {}, f, compare, note="i32 with f32")
        if name in ("add", "mul", "div"):
            area.case(name, [bools((6,)), floats((6,), 1, 2)], {}, f, compare, note="bool with f32")
            area.case(name, [bools((6,)), ints((6,), 1, 5)], {}, f, compare, note="bool with i32")
        if name in ("add", "sub", "mul"):
            big = i32([2**31 - 1, -(2**31), 2**30, -5])
            area.case(name, [big, i32([1, 1, 3, 2**31 - 1])], {}, f, compare, note="i32 wraps")
        if name == "div":
            area.case(name, [ints((8,), -20, 20), ints((8,), 1, 5)], {}, f, compare, note="two integers")
    for name, f in [("logical_and", torch.logical_and), ("logical_or", torch.logical_or), ("logical_xor", torch.logical_xor)]:
        for (a, x), (b, y) in zip(layouts(bools).items(), reversed(layouts(lambda s: bools(s, "b")).items())):
            area.case(name, [x, y], {}, f, "exact", note=f"{a} with {b}")
        for a, b in SHAPES[:6]:
            area.case(name, [bools(a), bools(b, "b")], {}, f, "exact", note=f"{list(a)} with {list(b)}")
    for note, x in layouts(bools).items():
        area.case("logical_not", [x], {}, torch.logical_not, "exact", note=note)
    area.case("logical_not", [bools(())], {}, torch.logical_not, "exact", note="rank 0")


def several(area):
    for weight in [0.25, -1.5, 0.0, 0.5, 0.75, 1.0, 3.0]:
        compute = lambda a, b: torch.lerp(a, b, weight)
        area.case("lerp", [floats((3, 4)), floats((4,), tag="b")], {"weight": weight}, compute, "blend", note="broadcast")
        area.case("lerp", [Input(floats((4, 3)), ("transpose", 0, 1)), floats((3, 4), tag="b")], {"weight": weight}, compute,
                  "blend", note="transposed")
    for weight in [0.0, 1.0]:
        # The ends come out exactly, however far apart they lie.
        area.case("lerp", [f32([1e8, -1.0, 3e30, 0.1]), f32([1.0, 1e9, -0.3, 0.7])], {"weight": weight},
                  lambda a, b: torch.lerp(a, b, weight), "exact", note="ends")
    for value in [1.0, -0.5]:
        for shapes in [((3, 4), (3, 4), (3, 4)), ((4,), (3, 1), (1, 4)), ((), (2, 2), (2,))]:
            args = [floats(shapes[0]), floats(shapes[1], tag="a"), floats(shapes[2], 0.4, 3.0, "b")]
            note = " ".join(str(list(s)) for s in shapes)
            area.case("addcmul", args, {"value": value}, lambda x, a, b: torch.addcmul(x, a, b, value=value), "blend", note=note)
            area.case("addcdiv", args, {"value": value}, lambda x, a, b: torch.addcdiv(x, a, b, value=value), "blend", note=note)
    for c, a, b in [((3, 4), (3, 4), (3, 4)), ((4,), (3, 1), (1, 4)), ((3, 1), (), (2, 1, 4)), ((), (3,), (3,)), ((0,), (1,), (0,))]:
        note = f"{list(c)} {list(a)} {list(b)}"
        area.case("where", [bools(c), floats(a, tag="a"), floats(b, tag="b")], {}, torch.where, "exact", note=note)
        area.case("where", [bools(c), ints(a, -9, 9, "a"), ints(b, -9, 9, "b")], {}, torch.where, "exact", note=note + " i32")
        area.case("where", [bools(c), bools(a, "a"), bools(b, "b")], {}, torch.where, "exact", note=note + " bool")
    nans = f32([NAN, INF, -INF, 1.0])
    area.case("where", [np.array([True, False, True, False]), nans, nans[::-1]], {}, torch.where, "exact", note="NaN and infinities")
    for mask in [(3, 4), (4,), (3, 1), ()]:
        for value in [0.0, -7.5]:
            compute = lambda x, m: x.masked_fill(m, value)
            area.case("masked_fill", [floats((3, 4)), bools(mask)], {"value": value}, compute, "exact", note=f"mask {list(mask)}")
    area.case("masked_fill", [ints((3, 4), -9, 9), bools((3, 4))], {"value": 5.0}, lambda x, m: x.masked_fill(m, 5), "exact", note="i32")
    for value in [1.5, -2.0, 0.0]:
        x = f32([-2.0, 1.5, 0.0, -0.0, NAN, INF, 3.0])
        for name in ("eq", "ne", "lt", "le", "gt", "ge"):
            area.case(name, [x], {"scalar": value}, lambda x: BINARY[name][0](x, value), "exact", note="a number")
        for name in ("add", "sub", "mul", "div"):
            if (name, value) != ("div", 0.0):
                area.case(name, [floats((7,))], {"scalar": value}, lambda x: BINARY[name][0](x, value), "arithmetic", note="a number")
    area.case("mul", [ints((5,), -9, 9)], {"scalar": 0.5}, lambda x: x * 0.5, "arithmetic", note="i32 with a fraction")


def casts(area):
    to = {"f32": None, "i32": torch.int32, "bool": torch.bool}
    sources = {"f32": f32([0.0, -0.0, 1.9, -1.9, 0.5, 100.25, -7.0, 1e-40, 2e9]), "i32": i32([0, 1, -1, 7, 2**31 - 1, -(2**31)]),
               "u32": np.array([0, 1, 7, 2**31 - 1], dtype=np.uint32), "bool": np.array([True, False, True])}
    for source, x in sources.items():
        for name, dtype in to.items():
            compute = lambda t: t.to(dtype if dtype is not None else torch.get_default_dtype())
            area.case("to_dtype", [x], {"dtype": name}, compute, "exact", note=f"{source} to {name}")
    area.case("to_dtype", [f32([0.0, 1.9, 2e9, 4e9])], {"dtype": "u32"}, lambda t: t.to(torch.int64), "exact", unsigned=True, note="f32 to u32")
    area.case("to_dtype", [f32([NAN, INF, -INF])], {"dtype": "bool"}, lambda t: t.to(torch.bool), "exact", note="what is not finite to bool")
    area.case("to_dtype", [Input(floats((4, 3)), ("transpose", 0, 1))], {"dtype": "i32"}, lambda t: t.to(torch.int32), "exact", note="transposed")


def extras(area):
    odd = f32([NAN, INF, -INF, 1.0, -2.0, 0.0])
    area.case("nan_to_num", [odd], {"nan": 0.5, "posinf": 9.0, "neginf": -9.0}, lambda x: torch.nan_to_num(x, 0.5, 9.0, -9.0), "exact")
    area.case("nan_to_num", [floats((3, 4))], {"nan": 0.0, "posinf": 1.0, "neginf": -1.0}, lambda x: torch.nan_to_num(x, 0.0, 1.0, -1.0), "exact")
    area.case("nan_to_num", [odd], {}, lambda x: torch.nan_to_num(x), "exact", native=True, grads=False, note="the defaults of f32")
    a = f32([1.0, 1.0, INF, INF, NAN, 100.0, 0.0])
    b = f32([1.0, 1.00001, INF, -INF, NAN, 101.0, 1e-9])
    for rtol, atol in [(1e-5, 1e-8), (1e-2, 0.0), (0.0, 0.125)]:
        area.case("isclose", [a, b], {"rtol": rtol, "atol": atol, "equal_nan": False}, lambda a, b: torch.isclose(a, b, rtol, atol), "exact", native=True)
        area.case("isclose", [a, b], {"rtol": rtol, "atol": atol, "equal_nan": True},
                  lambda a, b: torch.isclose(a, b, rtol, atol, equal_nan=True), "exact", native=True)


def areas():
    for name, build in [("unary", unary), ("binary", binary), ("choice", lambda a: (several(a), casts(a), extras(a)))]:
        area = Area(name)
        build(area)
        yield area
