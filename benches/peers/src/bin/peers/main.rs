//! The driver: starts the engines, lets them take turns on each workload, and writes a table and a chart. `benches/peers/run`
//! builds everything and calls it.

mod chart;
mod engines;
mod options;
mod process;
mod rounds;
mod table;

use std::path::Path;
use std::time::Instant;

use options::Options;
use rounds::Run;

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            eprintln!("{text}");
            std::process::exit(2);
        }
    };
    let start = Instant::now();
    let mut run = Run::new(&options);
    run.workloads(&options);
    run.cold_starts(&options);
    run.builds(&options);
    run.seconds = start.elapsed().as_secs_f64();
    if let Err(error) = write(&run, &options) {
        eprintln!("the results could not be written: {error}");
        std::process::exit(1);
    }
}

/// Prints the tables, and writes them and the chart where a file is wanted.
fn write(run: &Run, options: &Options) -> std::io::Result<()> {
    let name = match run.adapter() {
        Some(adapter) => slug(adapter),
        None => "no-adapter".into(),
    };
    let chart = format!("peers-{name}.svg");
    let text = table::document(run, &chart);
    println!("\n{text}");
    let Some(folder) = &options.out else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let file = Path::new(folder).join(format!("peers-{name}.md"));
    std::fs::write(&file, text)?;
    std::fs::write(Path::new(folder).join(chart), chart::svg(run))?;
    println!("Written to {} in {:.0} s.", file.display(), run.seconds);
    Ok(())
}

/// A name for a file: lower case, words joined by hyphens.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}
