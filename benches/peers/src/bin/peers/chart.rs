//! The results as bars: each engine's time over that of wgrad's loop, on a logarithmic scale.

use wgrad_peers::workloads::ALL;

use crate::engines::EngineInfo;
use crate::rounds::{Cell, Run};
use crate::table::{columns, time, wrong};

const LEFT: f64 = 290.0;
const RIGHT: f64 = 90.0;
const PLOT: f64 = 560.0;
const TOP: f64 = 64.0;
const BAR: f64 = 13.0;
const GAP: f64 = 12.0;

/// A bar: engine, time, time over wgrad's, whether the result is wrong.
type Bar<'a> = (&'a EngineInfo, f64, f64, bool);

fn bars(run: &Run) -> Vec<(&'static str, Vec<Bar<'_>>)> {
    let row = |title: &'static str, of: &dyn Fn(&str) -> Option<(f64, bool)>| {
        let (base, _) = of("wgrad")?;
        let bar = |info: &'static EngineInfo| of(info.name).map(|(time, wrong)| (info, time, time / base, wrong));
        Some((title, columns(run).iter().filter_map(|s| bar(s.info)).collect::<Vec<_>>()))
    };
    let mut rows = Vec::new();
    for workload in &ALL {
        let of = |engine: &str| {
            let (_, cell) = run.cells.iter().find(|((w, e), _)| *w == workload.name && *e == engine)?;
            Some((cell.median()?, wrong(cell, workload.tolerance)))
        };
        rows.extend(row(workload.title, &of));
    }
    let cold = |engine: &str| Some((run.cold.get(engine).and_then(Cell::median)?, false));
    rows.extend(row("process start to the first step", &cold));
    rows
}

/// The chart.
pub fn svg(run: &Run) -> String {
    let rows = bars(run);
    let count: usize = rows.iter().map(|(_, bars)| bars.len()).sum();
    let height = TOP + count as f64 * BAR + rows.len() as f64 * GAP + 40.0;
    let width = LEFT + PLOT + RIGHT;
    let ratios = || rows.iter().flat_map(|(_, bars)| bars.iter().map(|bar| bar.2.log10()));
    let (low, high) = (ratios().fold(-0.3, f64::min).floor(), ratios().fold(1.0, f64::max).ceil());
    let x = |log: f64| LEFT + (log - low) / (high - low) * PLOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">Time over that of wgrad's loop (shorter is faster)</text>\n"
    );
    let mut put = |text: String| svg.push_str(&text);
    let mut at = LEFT;
    for seat in columns(run) {
        let (colour, title) = (seat.info.colour, seat.info.title);
        put(format!("<rect x=\"{at}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"));
        put(format!("<text x=\"{}\" y=\"37\">{title}</text>\n", at + 14.0));
        at += 28.0 + 6.0 * title.chars().count() as f64;
    }
    for decade in low as i32..=high as i32 {
        let (x, label) = (x(decade.into()), 10f64.powi(decade));
        let colour = if decade == 0 { "#444" } else { "#ddd" };
        put(format!("<line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{}\" stroke=\"{colour}\"/>", height - 30.0));
        put(format!("<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label} ×</text>\n", height - 14.0));
    }
    let mut y = TOP + GAP / 2.0;
    for (title, bars) in &rows {
        let middle = y + bars.len() as f64 * BAR / 2.0 + 4.0;
        put(format!("<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{title}</text>\n", LEFT - 10.0));
        for (info, seconds, ratio, wrong) in bars {
            // Bars start at the left edge, whose value every bar exceeds.
            let end = x(ratio.log10()).max(LEFT + 1.0);
            let (opacity, note) = if *wrong { (0.25, ", wrong result") } else { (1.0, "") };
            put(format!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\" opacity=\"{opacity}\"/>",
                end - LEFT,
                BAR - 2.0,
                info.colour
            ));
            put(format!(
                "<text x=\"{:.1}\" y=\"{}\" font-size=\"9\">{}{note}</text>\n",
                end + 4.0,
                y + 9.0,
                time(*seconds)
            ));
            y += BAR;
        }
        y += GAP;
    }
    svg + "</svg>\n"
}
