//! Rows about kernels: those that the device runs, and those that it would run with less, or with more.

use super::{CertifyOptions, Row, Section, Status};
use crate::backend::Device;
use crate::backend::certify::{self, KernelCheck};
use crate::caps::{Caps, EVERY};

/// Another choice of kernels.
struct Variant {
    name: &'static str,
    /// Whether software adapters, whose compilers are slow, are tried with it too.
    everywhere: bool,
    change: fn(&mut Caps),
}

const VARIANTS: &[Variant] = &[
    Variant {
        name: "the plainest",
        everywhere: true,
        change: |caps| *caps = Caps { plain: [EVERY.to_owned()].into(), ..caps.plainest() },
    },
    Variant {
        name: "for GPUs",
        everywhere: true,
        change: |caps| {
            (caps.software, caps.few_registers, caps.wide_loads, caps.panel_texels) = (false, false, false, 0);
        },
    },
    Variant {
        name: "for GPUs with few registers",
        everywhere: false,
        change: |caps| {
            (caps.software, caps.few_registers, caps.wide_loads, caps.panel_texels) = (false, true, false, 0);
        },
    },
    Variant {
        name: "without subgroups",
        everywhere: false,
        change: |caps| (caps.subgroup, caps.cooperative) = (None, None),
    },
    Variant { name: "without cooperative matrices", everywhere: false, change: |caps| caps.cooperative = None },
    Variant {
        name: "without panels and wide loads",
        everywhere: false,
        change: |caps| (caps.panel_texels, caps.wide_loads) = (0, false),
    },
];

/// Rows of the device's own kernels and, in the whole form, of those that another device would run.
pub fn rows(device: &Device, options: CertifyOptions) -> Vec<Row> {
    let own = certify::kernels(device, options.seed, options.quick);
    let mut rows: Vec<Row> = own.iter().map(|check| row(check, "own")).collect();
    let Some(caps) = device.caps().filter(|_| !options.quick).cloned() else { return rows };
    let mut seen = vec![caps.clone()];
    for variant in VARIANTS {
        let mut other = caps.clone();
        (variant.change)(&mut other);
        if seen.contains(&other) || caps.software && !variant.everywhere {
            continue;
        }
        seen.push(other.clone());
        let Some(other) = device.variant(|caps| *caps = other) else { continue };
        rows.extend(certify::kernels(&other, options.seed, true).iter().map(|check| row(check, variant.name)));
    }
    if caps.cooperative.is_none() {
        let note = "they need the crate's feature `cooperative-matrix` and an adapter that has them";
        rows.push(Row::new(Section::Kernels, "cooperative matrices", Status::NotOffered, note));
    }
    if !caps.f16 {
        rows.push(Row::new(Section::Kernels, "16-bit floats", Status::NotOffered, "the adapter has none in shaders"));
    }
    rows
}

fn row(check: &KernelCheck, kernels: &str) -> Row {
    let name = format!("{} ({}), kernels: {kernels}", check.name, check.dtype);
    let ran = check.kernels.join(", ");
    let wrong: Vec<&str> = check.wrong.iter().map(String::as_str).collect();
    match &check.error {
        Err(error) => Row::refused(Section::Kernels, name, error),
        Ok(error) if check.passed() => Row::measured(Section::Kernels, name, *error, check.tolerance, ran),
        Ok(error) => {
            let note = format!("wrong: {}; kernels {ran}", wrong.join(", "));
            let row = Row::measured(Section::Kernels, name, *error, check.tolerance, note);
            Row { status: Status::Failed, ..row }
        }
    }
}
