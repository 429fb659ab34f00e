// Functions that every kernel may call. What WGSL leaves open (NaN, infinities, pow of a negative base) or lets a driver
// compute coarsely (exp, log, sin, atan) is pinned down here. Polynomials, unless said otherwise: S. Moshier, Cephes
// Mathematical Library, single precision, https://www.netlib.org/cephes/.

const PI: f32 = 3.14159265358979;
const HALF_PI: f32 = 1.57079632679490;
const QUARTER_PI: f32 = 0.785398163397448;
const TWO_PI: f32 = 6.28318530717959;
const LN_2: f32 = 0.693147180559945;
const LOG2_E: f32 = 1.44269504088896;
const LOG10_E: f32 = 0.434294481903252;
const SQRT_HALF: f32 = 0.707106781186548;
const TWO_OVER_SQRT_PI: f32 = 1.12837916709551;
const SQRT_2_OVER_PI: f32 = 0.797884560802865;

// The bits pass through a variable: WGSL forbids constant expressions that are not finite.
fn infinity() -> f32 {
    var bits = 0x7f800000u;
    return bitcast<f32>(bits);
}

fn not_a_number() -> f32 {
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

// n / d rounded down, for n and d below 2^31 and d > 0. By floats: software adapters divide integers lane by lane, and GPUs divide them
// by such steps as well. The reciprocal is a little too small, so that no estimate is too large; after the second one at most one d is
// left over.
fn quotient(n: u32, d: u32) -> u32 {
    let part = 0.99999 / f32(i32(d));
    let first = u32(i32(f32(i32(n)) * part));
    let rest = n - first * d;
    let second = u32(i32(f32(i32(rest)) * part));
    return first + second + select(0u, 1u, rest - second * d >= d);
}

// Bit tests: drivers may assume that comparisons never see NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// A value that arithmetic leaves where x has been taken out of it: NaN where x is NaN or infinite, as in x - x ...
fn nan_unless_finite(value: f32, x: f32) -> f32 {
    return select(not_a_number(), value, is_finite(x));
}

// ... or also where x is 0, as in x / x.
fn nan_unless_ratio(value: f32, x: f32) -> f32 {
    return select(not_a_number(), value, is_finite(x) && x != 0.0);
}

// a - b, NaN for equal infinities also where a driver knows a and b to be equal.
fn difference(a: f32, b: f32) -> f32 {
    return select(a - b, not_a_number(), !is_finite(a) && bitcast<u32>(a) == bitcast<u32>(b));
}

// The f16 nearest to x, ties to even: infinity from 65520 on, steps of 2^-24 below 2^-14. By arithmetic on bits, since the rounding
// of conversions is the driver's choice.
fn round_f16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let size = abs(x);
    if is_nan(x) {
        return x;
    }
    if size >= 65520.0 {
        return select(infinity(), -infinity(), bits >= 0x80000000u);
    }
    if size < 6.103515625e-5 {
        // From 0.5 on f32 has steps of 2^-24, so that adding 0.5 rounds to them.
        let steps = bitcast<u32>(bitcast<f32>(0x3f000000u) + size) - 0x3f000000u;
        let tiny = f32(steps) * 5.9604644775390625e-8;
        return select(tiny, -tiny, bits >= 0x80000000u);
    }
    return bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
}

// 2^k for -126 <= k <= 127.
fn power_of_two(k: i32) -> f32 {
    return bitcast<f32>(u32(k + 127) << 23u);
}

// e^x: 0 below -103.98, infinity above 88.7228, NaN for NaN. Without branches, which lanes side by side would all take.
fn safe_exp(x: f32) -> f32 {
    let inside = clamp(x, -103.98, 88.72284);
    let k = floor(inside * LOG2_E + 0.5);
    let r = (inside - k * 0.693359375) + k * 2.12194440e-4;
    let p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r
        + 1.6666665459e-1) * r + 5.0000001201e-1;
    // Two steps, since 2^k itself may overflow or be subnormal.
    let half = i32(k) / 2;
    let y = ((p * r * r + r) + 1.0) * power_of_two(half) * power_of_two(i32(k) - half);
    let bounded = select(select(y, 0.0, x < -103.98), infinity(), x > 88.72284);
    return select(bounded, x, is_nan(x));
}

// e^x - 1 without cancellation near 0 (Taylor polynomial of degree 8 for |x| < 0.5).
fn expm1(x: f32) -> f32 {
    if abs(x) < 0.5 {
        let p = ((((((2.48015873e-5 * x + 1.98412698e-4) * x + 1.38888889e-3) * x + 8.33333333e-3) * x + 4.16666667e-2) * x
            + 1.66666667e-1) * x + 0.5);
        return x + x * x * p;
    }
    return safe_exp(x) - 1.0;
}

// Natural logarithm: -infinity at 0, NaN below.
fn safe_log(x: f32) -> f32 {
    if is_nan(x) || x < 0.0 {
        return not_a_number();
    }
    if x == 0.0 {
        return -infinity();
    }
    if is_inf(x) {
        return x;
    }
    let tiny = x < 1.17549435e-38;
    let bits = bitcast<u32>(select(x, x * 8388608.0, tiny));
    var e = f32(i32(bits >> 23u) - 126 - select(0, 23, tiny));
    var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f000000u);
    if m < SQRT_HALF {
        e -= 1.0;
        m += m;
    }
    m -= 1.0;
    let z = m * m;
    var p = (((7.0376836292e-2 * m - 1.1514610310e-1) * m + 1.1676998740e-1) * m - 1.2420140846e-1) * m + 1.4249322787e-1;
    p = (((p * m - 1.6668057665e-1) * m + 2.0000714765e-1) * m - 2.4999993993e-1) * m + 3.3333331174e-1;
    let y = p * m * z - 2.12194440e-4 * e - 0.5 * z;
    return (m + y) + 0.693359375 * e;
}

// ln(1 + x) without cancellation near 0: 2 artanh(x / (2 + x)) as a series for |x| < 0.5.
fn log1p(x: f32) -> f32 {
    if abs(x) < 0.5 {
        let s = x / (2.0 + x);
        let z = s * s;
        let p = (((((0.0769230769 * z + 0.0909090909) * z + 0.1111111111) * z + 0.1428571429) * z + 0.2) * z + 0.3333333333);
        return 2.0 * (s + s * z * p);
    }
    return safe_log(1.0 + x);
}

fn safe_tanh(x: f32) -> f32 {
    let a = abs(x);
    if a < 0.625 {
        let z = x * x;
        let p = (((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z
            - 3.33332819422e-1;
        return p * z * x + x;
    }
    if is_nan(x) {
        return x;
    }
    let t = 1.0 - 2.0 / (safe_exp(2.0 * min(a, 20.0)) + 1.0);
    return select(t, -t, x < 0.0);
}

// 1 / (1 + e^-x) through exponentials of negative numbers only.
fn sigmoid(x: f32) -> f32 {
    let e = safe_exp(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
fn softplus(x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    return max(x, 0.0) + log1p(safe_exp(-abs(x)));
}

// a / b rounded down, also where a negative quotient above -1 is too small to be told from 0.
fn floor_quotient(a: f32, b: f32) -> f32 {
    if abs(a) < abs(b) { return select(0.0, -1.0, a != 0.0 && (a < 0.0) != (b < 0.0)); }
    return floor(a / b);
}

// Sine and cosine of x after Cody-Waite reduction by multiples of pi/2 (exact to |x| of about 10,000, coarser beyond).
fn sin_cos(x: f32) -> vec2<f32> {
    if !is_finite(x) {
        return vec2<f32>(not_a_number());
    }
    let k = round(x * 0.636619772367581);
    // Angles too large for f32 to tell give some value of the curve, not one beyond it.
    let r = clamp(((x - k * 1.5703125) - k * 4.837512969970703125e-4) - k * 7.54978995489188216e-8, -0.79, 0.79);
    let z = r * r;
    let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
    let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    let quadrant = u32(i32(k - 4.0 * floor(k * 0.25))) & 3u;
    let swapped = select(vec2<f32>(s, c), vec2<f32>(c, s), (quadrant & 1u) == 1u);
    let negative = vec2<bool>(quadrant >= 2u, quadrant == 1u || quadrant == 2u);
    return select(swapped, -swapped, negative);
}

fn safe_asin(x: f32) -> f32 {
    let a = abs(x);
    if is_nan(x) || a > 1.0 {
        return not_a_number();
    }
    let outer = a > 0.5;
    let z = select(x * x, 0.5 * (1.0 - a), outer);
    let s = select(a, sqrt(z), outer);
    let p = ((((4.2163199048e-2 * z + 2.4181311049e-2) * z + 4.5470025998e-2) * z + 7.4953002686e-2) * z + 1.6666752422e-1)
        * z * s + s;
    let y = select(p, HALF_PI - 2.0 * p, outer);
    return select(y, -y, x < 0.0);
}

fn safe_atan(x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    let a = abs(x);
    var base = 0.0;
    var t = a;
    if a > 2.41421356237 {
        base = HALF_PI;
        t = select(-1.0 / a, 0.0, is_inf(x));
    } else if a > 0.41421356237 {
        base = QUARTER_PI;
        t = (a - 1.0) / (a + 1.0);
    }
    let z = t * t;
    let p = ((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z - 3.33329491539e-1;
    let y = base + (p * z * t + t);
    return select(y, -y, x < 0.0);
}

// erf(x) by the rational approximations of W. J. Cody, Math. Comp. 23 (1969) 631-637, which hold to double precision.
fn erf(x: f32) -> f32 {
    if is_nan(x) {
        return x;
    }
    let a = abs(x);
    if a <= 0.46875 {
        let z = x * x;
        let p = (((1.85777706184603153e-1 * z + 3.16112374387056560) * z + 1.13864154151050156e2) * z + 3.77485237685302021e2)
            * z + 3.20937758913846947e3;
        let q = (((z + 2.36012909523441209e1) * z + 2.44024637934444173e2) * z + 1.28261652607737228e3) * z
            + 2.84423683343917062e3;
        return x * p / q;
    }
    let y = 1.0 - erfc_far(a);
    return select(y, -y, x < 0.0);
}

// 1 - erf(x), without cancellation where erf(x) is near 1.
fn erfc(x: f32) -> f32 {
    if is_nan(x) || abs(x) <= 0.46875 {
        return 1.0 - erf(x);
    }
    let y = erfc_far(abs(x));
    return select(y, 2.0 - y, x < 0.0);
}

// erfc(a) for a > 0.46875: e^(-a^2) times a rational function. The square is split so that its rounding does not show.
fn erfc_far(a: f32) -> f32 {
    if a > 10.1 {
        return 0.0;
    }
    let head = trunc(a * 16.0) * 0.0625;
    let power = safe_exp(-head * head) * safe_exp(-(a - head) * (a + head));
    if a > 4.0 {
        let z = 1.0 / (a * a);
        let p = ((((1.63153871373020978e-2 * z + 3.05326634961232344e-1) * z + 3.60344899949804439e-1) * z
            + 1.25781726111229246e-1) * z + 1.60837851487422766e-2) * z + 6.58749161529837803e-4;
        let q = ((((z + 2.56852019228982242) * z + 1.87295284992346725) * z + 5.27905102951428412e-1) * z
            + 6.05183413124413191e-2) * z + 2.33520497626869185e-3;
        return power * (0.5 * TWO_OVER_SQRT_PI - z * p / q) / a;
    }
    var p = 2.15311535474403846e-8 * a + 5.64188496988670089e-1;
    p = ((p * a + 8.88314979438837594) * a + 6.61191906371416295e1) * a + 2.98635138197400131e2;
    p = ((p * a + 8.81952221241769090e2) * a + 1.71204761263407058e3) * a + 2.05107837782607147e3;
    p = p * a + 1.23033935479799725e3;
    var q = a + 1.57449261107098347e1;
    q = ((q * a + 1.17693950891312499e2) * a + 5.37181101862009858e2) * a + 1.62138957456669019e3;
    q = ((q * a + 3.29079923573345963e3) * a + 4.36261909014324716e3) * a + 3.43936767414372164e3;
    q = q * a + 1.23033935480374942e3;
    return power * p / q;
}

// a^b as in IEEE 754 pow: negative bases with integral exponents, 1 for b = 0. Small integral exponents by squaring.
fn safe_pow(a: f32, b: f32) -> f32 {
    if b == 0.0 || a == 1.0 {
        return 1.0;
    }
    if is_nan(a) || is_nan(b) {
        return not_a_number();
    }
    let magnitude = abs(a);
    let integral = b == trunc(b);
    if integral && abs(b) <= 64.0 {
        var n = u32(abs(b));
        var base = a;
        var y = 1.0;
        for (var turn = 0u; turn < 7u; turn++) {
            if (n & 1u) == 1u {
                y *= base;
            }
            n = n >> 1u;
            if n == 0u {
                break;
            }
            base *= base;
        }
        if b > 0.0 {
            return y;
        }
        if y == 0.0 {
            return select(infinity(), -infinity(), (bitcast<u32>(y) >> 31u) == 1u);
        }
        return select(1.0 / y, 0.0, is_inf(y));
    }
    if a < 0.0 && !integral && !is_inf(a) {
        return not_a_number();
    }
    if is_inf(b) && magnitude == 1.0 {
        return 1.0;
    }
    var y = safe_exp(b * safe_log(magnitude));
    let half = b * 0.5;
    let odd = integral && abs(b) < 16777216.0 && half != trunc(half);
    return select(y, -y, a < 0.0 && odd);
}

// The linear index of a workgroup. Counts over the limit of one grid dimension are folded into two, so the grid may have
// more workgroups than asked for: kernels must guard against its tail.
fn workgroup_index(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
