//! A certificate of a device: everything that the engine relies on, tried out on the adapter at hand and held against the CPU reference.

mod cases;
mod elementwise;
mod kernels;
mod limits;
mod numeric;
mod ops;
mod rates;
mod report;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backend::Device;
use crate::error::{Error, Result};
use crate::trace;

/// What a certificate is made of.
///
/// ```
/// use wgrad::certify::CertifyOptions;
/// let options = CertifyOptions::new().quick(true).seed(7);
/// assert!(options.is_quick());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertifyOptions {
    quick: bool,
    seed: u64,
}

impl CertifyOptions {
    /// The whole certificate, on numbers of a fixed seed.
    pub fn new() -> CertifyOptions {
        CertifyOptions { quick: false, seed: 1 }
    }

    /// The short form: the kernels that `WGRAD_CERTIFY` checks, numeric behaviour and determinism.
    pub fn quick(mut self, quick: bool) -> CertifyOptions {
        self.quick = quick;
        self
    }

    /// The seed of all random inputs.
    pub fn seed(mut self, seed: u64) -> CertifyOptions {
        self.seed = seed;
        self
    }

    /// Whether this is the short form.
    pub fn is_quick(&self) -> bool {
        self.quick
    }
}

impl Default for CertifyOptions {
    fn default() -> CertifyOptions {
        CertifyOptions::new()
    }
}

/// What a row of a certificate is about.
///
/// ```
/// assert_eq!(wgrad::certify::Section::Kernels.to_string(), "Kernels");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Section {
    /// A family of kernels, op by op against the CPU reference: those of the adapter, and others that the engine has.
    Kernels,
    /// An op, forward and gradient, against the CPU reference.
    Ops,
    /// How the adapter computes: NaN, infinity, subnormal numbers, rounding, integers.
    Numbers,
    /// Sizes around the limits of the adapter.
    Limits,
    /// The same bits run after run.
    Determinism,
    /// How fast the adapter copies and multiplies, and how long kernels take by comparison. Rates have no verdict.
    Rates,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Section::Kernels => "Kernels",
            Section::Ops => "Ops",
            Section::Numbers => "Numbers",
            Section::Limits => "Limits",
            Section::Determinism => "Determinism",
            Section::Rates => "Rates",
        })
    }
}

/// The verdict of a row.
///
/// ```
/// assert_eq!(wgrad::certify::Status::NotOffered.to_string(), "not offered");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Status {
    /// As it should be.
    Passed,
    /// Wrong, or an error where there should be none.
    Failed,
    /// The adapter does not have what it takes, or too little memory.
    NotOffered,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Passed => "passed",
            Status::Failed => "FAILED",
            Status::NotOffered => "not offered",
        })
    }
}

/// One thing that was tried. [`Certificate`] shows rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// What it is about.
    pub section: Section,
    /// What was tried.
    pub name: String,
    /// The verdict.
    pub status: Status,
    /// The worst relative error, where there is one to measure.
    pub error: Option<f64>,
    /// The relative error that is allowed.
    pub tolerance: Option<f64>,
    /// What was found: kernels, element types, the number of cases, or what is wrong.
    pub note: String,
}

impl Row {
    fn new(section: Section, name: impl Into<String>, status: Status, note: impl Into<String>) -> Row {
        Row { section, name: name.into(), status, error: None, tolerance: None, note: note.into() }
    }

    /// A row of what could not be computed.
    fn refused(section: Section, name: impl Into<String>, error: &Error) -> Row {
        Row::new(section, name, Status::Failed, text_of(error))
    }

    /// A row that passes where `error` is at most `tolerance`.
    fn measured(section: Section, name: impl Into<String>, error: f64, tolerance: f64, note: impl Into<String>) -> Row {
        let status = if error <= tolerance { Status::Passed } else { Status::Failed };
        // JSON has no infinity.
        let error = Some(if error.is_finite() { error } else { f64::MAX });
        Row { error, tolerance: Some(tolerance), ..Row::new(section, name, status, note) }
    }
}

/// What a device was found to do; from [`Device::certify`].
///
/// ```
/// use wgrad::Device;
/// use wgrad::certify::{Certificate, CertifyOptions};
/// # fn show() -> wgrad::Result<()> {
/// let certificate = Device::gpu()?.certify_with(CertifyOptions::new().quick(true))?;
/// println!("{certificate}");
/// for row in certificate.failed() {
///     println!("{}: {} is wrong: {}", row.section, row.name, row.note);
/// }
/// assert_eq!(Certificate::from_json(&certificate.to_json())?, certificate);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Certificate {
    /// The adapter's name.
    pub adapter: String,
    /// The graphics interface.
    pub interface: String,
    /// Driver name and version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: String,
    /// The system and the processor's architecture.
    pub system: String,
    /// The version of this crate.
    pub wgrad: String,
    /// The major version of wgpu.
    pub wgpu: String,
    /// Whether this is the short form.
    pub quick: bool,
    /// The seed of the random inputs.
    pub seed: u64,
    /// What the adapter has: limits and features, by name.
    pub limits: Vec<(String, String)>,
    /// Ops that ran plain kernels, since `WGRAD_CERTIFY` had found their fast ones wrong.
    pub plain: Vec<String>,
    /// What was tried.
    pub rows: Vec<Row>,
    /// Seconds that it took.
    pub seconds: f64,
}

impl Certificate {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The rows that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.status == Status::Failed)
    }
}

impl Device {
    /// Tries out everything that the engine relies on, and holds it against the CPU reference: every op forward and backward in the element
    /// types of the adapter, every family of kernels, numeric behaviour, sizes around the limits, determinism, and rates. Takes one to three
    /// minutes on a GPU; [`Device::certify_with`] has a short form.
    ///
    /// What is wrong is a row of the certificate and no `Err`. The device's random numbers go on afterwards as if nothing had happened.
    ///
    /// # Errors
    /// [`Error::Unsupported`] on a device that is no GPU, and in browsers, which cannot wait.
    pub fn certify(&self) -> Result<Certificate> {
        self.certify_with(CertifyOptions::new())
    }

    /// [`Device::certify`] with options.
    ///
    /// # Errors
    /// As [`Device::certify`].
    pub fn certify_with(&self, options: CertifyOptions) -> Result<Certificate> {
        let Some(caps) = self.caps().filter(|_| cfg!(not(target_arch = "wasm32"))).cloned() else {
            return Err(Error::unsupported("certify", "certificates are of GPU adapters, and natively made"));
        };
        let (start, state) = (trace::now(), self.rng_state());
        let mut rows: Vec<Row> = Vec::new();
        let mut add = |what: &str, part: Vec<Row>| {
            let seconds = trace::now().saturating_sub(start).as_secs_f64();
            log::info!("certificate of {}: {} rows of {what} after {seconds:.1} s", self.info().name, part.len());
            rows.extend(part);
        };
        add("numbers", numeric::rows(self));
        add("determinism", limits::determinism(self, options.seed));
        add("kernels", kernels::rows(self, options));
        if !options.quick {
            add("limits", limits::rows(self));
            add("rates", rates::rows(self));
            add("ops", ops::rows(self, options.seed));
        }
        rows.sort_by_key(|row| row.section);
        self.set_rng_state(state);
        let info = self.info();
        Ok(Certificate {
            adapter: info.name.clone(),
            interface: info.backend.clone(),
            driver: info.driver.clone(),
            kind: info.kind.clone(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            wgrad: env!("CARGO_PKG_VERSION").to_owned(),
            wgpu: WGPU.to_owned(),
            quick: options.quick,
            seed: options.seed,
            limits: report::limits(&caps),
            plain: caps.plain.iter().cloned().collect(),
            rows,
            seconds: trace::now().saturating_sub(start).as_secs_f64(),
        })
    }
}

/// What an error says, without the user's line, which there is none of.
fn text_of(error: &Error) -> String {
    let text = error.to_string();
    text.split(" (at a line that is not known)").collect()
}

/// The major version of wgpu that this crate is built with; a test holds it against the manifest.
const WGPU: &str = "30";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_the_version_of_wgpu() {
        let manifest = include_str!("../../Cargo.toml");
        assert!(manifest.contains(&format!("\nwgpu = {{ version = \"{WGPU}\"")));
    }

    #[test]
    fn every_op_of_the_registry_is_tried() {
        let listed: std::collections::BTreeSet<&str> = cases::all().map(|case| case.name).collect();
        let missing: Vec<&str> = crate::ops::registry::entries()
            .iter()
            .filter(|entry| entry.family != "Elementwise" && !listed.contains(entry.name))
            .map(|entry| entry.name)
            .collect();
        assert_eq!(missing, [""; 0], "no case of the certificate is about these ops");
    }
}
