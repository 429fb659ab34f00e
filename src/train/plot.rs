//! Curves and grids of pictures, as PNG and SVG files. Needs no font of the system.

use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::io::failed;

const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 79, 23), RGBColor(44, 140, 60), RGBColor(130, 80, 160)];

/// The errors of drawing are of many types.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// One diagram: named lines over common axes.
///
/// ```
/// use wgrad::train::plot::{Panel, curves};
/// let path = std::env::temp_dir().join(format!("wgrad-panel-{}", std::process::id()));
/// let lines = vec![("training", vec![(1.0, 0.7), (2.0, 0.9)]), ("test", vec![(1.0, 0.6), (2.0, 0.8)])];
/// let files = curves(&path, &[Panel { title: "Accuracy", x: "epoch", y: "share", lines }])?;
/// assert!(files.iter().all(|file| file.exists()));
/// # files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// What stands at the horizontal axis.
    pub x: &'a str,
    /// What stands at the vertical axis.
    pub y: &'a str,
    /// Names and points; points that are not finite are left out.
    pub lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// One picture of a grid.
///
/// ```
/// use wgrad::train::plot::{Picture, grid};
/// let path = std::env::temp_dir().join(format!("wgrad-picture-{}", std::process::id()));
/// let picture = Picture { pixels: vec![0.0, 1.0, 1.0, 0.0], width: 2, caption: "2 × 2".into() };
/// let files = grid(&path, "Squares", &[picture], 4)?;
/// assert!(files.iter().all(|file| file.exists()));
/// # files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Picture {
    /// Grey values row by row: 0 is white, 1 is black.
    pub pixels: Vec<f32>,
    /// Pixels in a row.
    pub width: usize,
    /// What stands below it.
    pub caption: String,
}

/// Draws panels side by side into `<path>.png` and `<path>.svg`.
///
/// ```
/// use wgrad::train::plot::{Panel, curves};
/// # let folder = std::env::temp_dir().join(format!("wgrad-plot-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let losses = vec![(1.0, 2.3), (2.0, 1.1), (3.0, 0.7)];
/// let panel = Panel { title: "Loss", x: "epoch", y: "cross-entropy", lines: vec![("training", losses)] };
/// let [png, svg] = curves(folder.join("loss"), &[panel])?;
/// # assert!(png.exists() && svg.exists());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a file cannot be written.
pub fn curves(path: impl AsRef<Path>, panels: &[Panel]) -> crate::Result<[PathBuf; 2]> {
    let size = (560 * panels.len().max(1) as u32, 400);
    both(path.as_ref(), size, |png, svg| {
        draw_panels(&png, panels)?;
        draw_panels(&svg, panels)
    })
}

/// One diagram of bars, each with its name and figure, or, where there are more than twelve, in one colour and without figures; heights
/// start at 0.
///
/// ```
/// use wgrad::train::plot::{Bars, bars};
/// let path = std::env::temp_dir().join(format!("wgrad-bars-of-time-{}", std::process::id()));
/// let times = Bars { title: "Time of a step".into(), unit: "ms", bars: vec![("plain", 4.5), ("captured", 2.0)] };
/// let files = bars(&path, &[times])?;
/// assert!(files.iter().all(|file| file.exists()));
/// # files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// What stands above it.
    pub title: String,
    /// What the figures are in.
    pub unit: &'a str,
    /// Names and figures.
    pub bars: Vec<(&'a str, f64)>,
}

/// Draws diagrams of bars side by side into `<path>.png` and `<path>.svg`.
///
/// ```
/// use wgrad::train::plot::{Bars, bars};
/// # let folder = std::env::temp_dir().join(format!("wgrad-bars-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let panel = Bars { title: "Time of a step".into(), unit: "ms", bars: vec![("plain", 4.5), ("captured", 2.0)] };
/// let [png, svg] = bars(folder.join("steps"), &[panel])?;
/// # assert!(png.exists() && svg.exists());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a file cannot be written.
pub fn bars(path: impl AsRef<Path>, panels: &[Bars]) -> crate::Result<[PathBuf; 2]> {
    let size = (480 * panels.len().max(1) as u32, 360);
    both(path.as_ref(), size, |png, svg| {
        draw_bars(&png, panels)?;
        draw_bars(&svg, panels)
    })
}

fn draw_bars<B: DrawingBackend>(root: &DrawingArea<B, Shift>, panels: &[Bars]) -> Drawn
where
    B::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
        let highest = panel.bars.iter().map(|(_, y)| *y).fold(f64::MIN_POSITIVE, f64::max) * 1.15;
        let n = panel.bars.len();
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(30)
            .y_label_area_size(62)
            .build_cartesian_2d(-0.5..n as f64 - 0.5, 0.0..highest)?;
        let name = |x: &f64| {
            let near = (x - x.round()).abs() < 1e-6 && *x > -0.5;
            panel.bars.get(x.round() as usize).filter(|_| near).map_or(String::new(), |(name, _)| (*name).to_owned())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(n)
            .x_label_formatter(&name)
            .y_desc(panel.unit)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()?;
        let many = n > 12;
        for (i, ((_, y), colour)) in panel.bars.iter().zip(COLOURS.into_iter().cycle()).enumerate() {
            let x = i as f64;
            let colour = if many { COLOURS[0] } else { colour };
            chart.draw_series([Rectangle::new([(x - 0.35, 0.0), (x + 0.35, *y)], colour.mix(0.85).filled())])?;
            if many {
                continue;
            }
            let digits = if *y < 10.0 { 2 } else { usize::from(*y < 100.0) };
            let style = ("sans-serif", 15).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
            chart.draw_series([Text::new(format!("{y:.digits$}"), (x, *y + highest * 0.012), style)])?;
        }
    }
    Ok(root.present()?)
}

/// Draws pictures as a grid of `columns` under a title into `<path>.png` and `<path>.svg`.
///
/// ```
/// use wgrad::train::plot::{Picture, grid};
/// # let folder = std::env::temp_dir().join(format!("wgrad-grid-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let cross = vec![0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0];
/// let [png, svg] = grid(folder.join("cross"), "A cross", &[Picture { pixels: cross, width: 3, caption: "3 × 3".into() }], 1)?;
/// # assert!(png.exists() && svg.exists());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) where a file cannot be written.
pub fn grid(path: impl AsRef<Path>, title: &str, pictures: &[Picture], columns: usize) -> crate::Result<[PathBuf; 2]> {
    // A title needs some width.
    let columns = columns.max(4);
    let rows = pictures.len().div_ceil(columns).max(1);
    let size = (CELL.0 * columns as u32, TITLE + CELL.1 * rows as u32);
    both(path.as_ref(), size, |png, svg| {
        draw_grid(&png, title, pictures, columns)?;
        draw_grid(&svg, title, pictures, columns)
    })
}

type Png<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Svg<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn both(path: &Path, size: (u32, u32), draw: impl FnOnce(Png, Svg) -> Drawn) -> crate::Result<[PathBuf; 2]> {
    // The crate's own copy of a font, so that no system font is needed.
    register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| failed(path, "the built-in font cannot be read"))?;
    let files = ["png", "svg"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    });
    let [png, svg] = &files;
    let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
    draw(
        BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area(),
        SVGBackend::new(svg, size).into_drawing_area(),
    )
    .map_err(|error| failed(path, error))?;
    write_png(png, size, &pixels).map_err(|error| failed(png, error))?;
    Ok(files)
}

/// Writes red, green and blue bytes row by row. `plotters` could, by an old release of the crate `image` that nothing else needs.
fn write_png(path: &Path, (width, height): (u32, u32), pixels: &[u8]) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(std::io::BufWriter::new(std::fs::File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()
}

fn draw_panels<B: DrawingBackend>(root: &DrawingArea<B, Shift>, panels: &[Panel]) -> Drawn
where
    B::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((1, panels.len().max(1))).iter().zip(panels) {
        let (x, y) = bounds(panel);
        let mut chart = ChartBuilder::on(area)
            .caption(panel.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(62)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        chart
            .configure_mesh()
            // Steps and epochs are whole numbers; Rust prints them so.
            .x_label_formatter(&|x| format!("{}", (x * 1e6).round() / 1e6))
            .x_desc(panel.x)
            .y_desc(panel.y)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 15))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()?;
        for ((name, points), colour) in panel.lines.iter().zip(COLOURS.into_iter().cycle()) {
            let style = colour.stroke_width(2);
            let finite = points.iter().copied().filter(|(_, y)| y.is_finite());
            chart
                .draw_series(LineSeries::new(finite, style))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(emptiest(panel, x, y))
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 14))
            .draw()?;
    }
    Ok(root.present()?)
}

/// Where a legend covers the least of the lines, in a diagram with these axes.
fn emptiest(panel: &Panel, x: (f64, f64), y: (f64, f64)) -> SeriesLabelPosition {
    use SeriesLabelPosition::{LowerLeft, LowerRight, MiddleLeft, MiddleRight, UpperLeft, UpperMiddle, UpperRight};
    // Shares of the diagram's width and height that the legend takes, at most.
    const WIDTH: f64 = 0.4;
    const SAMPLES: usize = 16;
    let height = (0.1 + 0.08 * panel.lines.len() as f64).min(0.5);
    let places = [
        (UpperRight, 1.0, 1.0),
        (MiddleRight, 1.0, 0.5),
        (LowerRight, 1.0, 0.0),
        (UpperLeft, 0.0, 1.0),
        (LowerLeft, 0.0, 0.0),
        (UpperMiddle, 0.5, 1.0),
        (MiddleLeft, 0.0, 0.5),
    ];
    let segments = panel.lines.iter().flat_map(|(_, points)| points.windows(2));
    let drawn: Vec<(f64, f64)> = segments
        .flat_map(|ends| {
            let between = move |i: usize| {
                let t = i as f64 / SAMPLES as f64;
                let at = |from: f64, to: f64, axis: (f64, f64)| (from + t * (to - from) - axis.0) / (axis.1 - axis.0);
                (at(ends[0].0, ends[1].0, x), at(ends[0].1, ends[1].1, y))
            };
            (0..=SAMPLES).map(between)
        })
        .collect();
    let covered = |&(_, right, top): &(SeriesLabelPosition, f64, f64)| {
        let (left, bottom) = (right * (1.0 - WIDTH), top * (1.0 - height));
        let (columns, rows) = (left..=left + WIDTH, bottom..=bottom + height);
        drawn.iter().filter(|(x, y)| columns.contains(x) && rows.contains(y)).count()
    };
    places.into_iter().min_by_key(covered).map_or(UpperRight, |(position, ..)| position)
}

/// The smallest axes that show all finite points, never empty.
fn bounds(panel: &Panel) -> ((f64, f64), (f64, f64)) {
    let points = || panel.lines.iter().flat_map(|(_, points)| points).filter(|(_, y)| y.is_finite());
    let range = |values: &mut dyn Iterator<Item = f64>, margin: f64| {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            (0.0, 1.0)
        } else if low == high {
            (low - 0.5, high + 0.5)
        } else {
            (low - margin * (high - low), high + margin * (high - low))
        }
    };
    (range(&mut points().map(|p| p.0), 0.0), range(&mut points().map(|p| p.1), 0.05))
}

const TITLE: u32 = 44;
const CELL: (u32, u32) = (112, 124);
const PICTURE: i32 = 88;

fn draw_grid<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    title: &str,
    pictures: &[Picture],
    columns: usize,
) -> Drawn
where
    B::ErrorType: 'static,
{
    let centred = |size: u32| ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_string(), (CELL.0 as i32 * columns as i32 / 2, 12), centred(20)))?;
    for (i, picture) in pictures.iter().enumerate() {
        let left = (i % columns) as i32 * CELL.0 as i32 + (CELL.0 as i32 - PICTURE) / 2;
        let top = TITLE as i32 + (i / columns) as i32 * CELL.1 as i32;
        let width = picture.width.max(1);
        // The longer side fills the cell.
        let side = width.max(picture.pixels.len().div_ceil(width));
        let at = |cell: usize| (cell as i32 * PICTURE) / side as i32;
        for (p, &ink) in picture.pixels.iter().enumerate() {
            let (row, column) = (p / width, p % width);
            let grey = (255.0 * (1.0 - ink.clamp(0.0, 1.0))) as u8;
            root.draw(&Rectangle::new(
                [(left + at(column), top + at(row)), (left + at(column + 1), top + at(row + 1))],
                RGBColor(grey, grey, grey).filled(),
            ))?;
        }
        root.draw(&Rectangle::new([(left - 1, top - 1), (left + PICTURE, top + PICTURE)], RGBColor(160, 160, 160)))?;
        root.draw(&Text::new(picture.caption.clone(), (left + PICTURE / 2, top + PICTURE + 6), centred(15)))?;
    }
    Ok(root.present()?)
}
