//! Certifies the adapter: every op and kernel against the CPU reference, numeric behaviour, limits, determinism, and rates.
//!
//! ```text
//! cargo run --release --example certify
//! cargo run --release --example certify -- --quick          the short form
//! cargo run --release --example certify -- --device vulkan --out out/vulkan
//! ```
//!
//! Writes `certificate.md` and `certificate.json`. The exit code is 1 where something is wrong. `docs/certified/README.md` says how to read
//! a certificate and where to send it.

mod common;

use std::process::ExitCode;

use clap::Parser;
use common::Result;
use wgrad::certify::{CertifyOptions, Section, Status};

/// Certify the adapter
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
}

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("certify")?;
    let options = CertifyOptions::new().quick(args.run.quick).seed(args.run.seed);
    let certificate = device.certify_with(options)?;
    let sections =
        [Section::Kernels, Section::Ops, Section::Numbers, Section::Limits, Section::Determinism, Section::Rates];
    let count = |section: Section, status: Status| {
        certificate.rows.iter().filter(|row| row.section == section && row.status == status).count().to_string()
    };
    let rows = sections.map(|section| {
        let [passed, failed, missing] =
            [Status::Passed, Status::Failed, Status::NotOffered].map(|status| count(section, status));
        [section.to_string(), passed, failed, missing]
    });
    println!("{certificate}\n");
    common::table(["section", "passed", "failed", "not offered"], &rows);
    common::write(&out.join("certificate.md"), &certificate.to_markdown())?;
    let json = certificate.to_json();
    common::write(&out.join("certificate.json"), &format!("{json}\n"))?;
    args.run.write_json(&serde_json::from_str(&json)?)?;
    let failed = certificate.failed().count();
    common::ensure(certificate.passed(), format!("{failed} of {} rows failed", certificate.rows.len()))
}
