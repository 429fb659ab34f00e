//! The rows as values, made from the table's macros.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::table::Row;

macro_rules! define_rows {
    ($(
        #[doc = $doc:literal]
        $name:ident ( $($arg:ident),+ $(; $($scalar:ident),+)? ) $kind:ident {
            value: $value:expr,
            $(int: $int:expr,)?
            $(grad: |$y:ident, $dy:ident| [$($grad:expr),+],)?
            on: [$($on:expr),+],
            kinks: [$($kink:expr),*],
        }
    )*) => {
        pub(super) static ROWS: [Row; [$(stringify!($name)),*].len()] = [$(Row {
            name: stringify!($name),
            doc: $doc.trim_ascii(),
            file: concat!("elementwise/", stringify!($name)),
            wgsl: include_str!(concat!("../../../shaders/elementwise/", stringify!($name), ".wgsl")),
            args: &[$(stringify!($arg),)+ $($(stringify!($scalar),)+)?],
            tensors: [$(stringify!($arg)),+].len(),
            kind: RowKind::$kind,
            reference: {
                fn value<T: Float>(args: &[T]) -> T {
                    // The shape rule has checked the number of operands.
                    let &[$($arg,)+ $($($scalar,)+)?] = args else { return T::of(f64::NAN) };
                    $value
                }
                Reference { f32: value, f64: value, dual: value, int: define_rows!(@int [$($arg)+ $($($scalar)+)?] $($int)?) }
            },
            derivative: define_rows!(@grad [$($arg)+ $($($scalar)+)?] $(|$y, $dy| $($grad),+)?),
            domain: &[$($on),+],
            kinks: &[$($kink),*],
            tolerance: 1e-5,
            definition: OnceLock::new(),
        }),*];
    };
    (@int [$($arg:ident)+]) => { None };
    (@int [$($arg:ident)+] $int:expr) => {
        Some(|args: &[i64]| {
            let &[$($arg),+] = args else { return 0 };
            $int
        })
    };
    (@grad [$($arg:ident)+]) => { None };
    (@grad [$($arg:ident)+] |$y:ident, $dy:ident| $($grad:expr),+) => {
        Some(|cx: &Vjp| {
            let ([$($arg),+], $y, $dy) = (cx.inputs, cx.output, cx.dy) else { return Vec::new() };
            let _ = ($($arg,)+ $y, $dy);
            let mut needs = cx.needs.iter();
            vec![$(if needs.next() == Some(&true) { <Option<Var>>::from($grad) } else { None }),+]
        })
    };
}

/// The rows of one area, with what their formulas name.
macro_rules! area {
    ($module:ident, $table:ident) => {
        #[allow(unused_imports, reason = "no area of the table needs all of them")]
        mod $module {
            use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LOG2_E, LOG10_E};
            use std::sync::OnceLock;

            use super::{SELU_ALPHA, SELU_SCALE, SQRT_2_OVER_PI};
            use crate::graph::{Var, Vjp};
            use crate::ops::elementwise::table::{Reference, Row, RowKind};
            use crate::ops::float::Float;

            crate::$table!(define_rows);
        }
    };
}

const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

area!(unary, for_each_unary);
area!(activation, for_each_activation);
area!(binary, for_each_binary);
area!(comparison, for_each_comparison);

/// Every row of the table.
pub fn rows() -> &'static [&'static Row] {
    static ALL: OnceLock<Vec<&'static Row>> = OnceLock::new();
    ALL.get_or_init(|| {
        unary::ROWS.iter().chain(&activation::ROWS).chain(&binary::ROWS).chain(&comparison::ROWS).collect()
    })
}

/// The choice between two operands by a boolean one.
pub fn select() -> super::Forward {
    // The table has the row; a test names it.
    super::Forward(row("where_").expect("the table has a choice").definition())
}

/// The row of this name.
pub fn row(name: &str) -> Option<&'static Row> {
    static BY_NAME: OnceLock<HashMap<&'static str, &'static Row>> = OnceLock::new();
    BY_NAME.get_or_init(|| rows().iter().map(|r| (r.name, *r)).collect()).get(name).copied()
}
