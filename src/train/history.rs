//! The figures of a training run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::io::source::Source;
use crate::io::{failed, write_atomically};

/// Figures by step: losses, metrics, whatever was measured.
///
/// ```
/// use wgrad::train::History;
/// let mut history = History::new();
/// history.push(10, 0.5, &[("loss", 2.5)]);
/// history.push(20, 1.0, &[("loss", 1.5), ("accuracy", 0.75)]);
/// assert_eq!(history.series("loss"), [(10.0, 2.5), (20.0, 1.5)]);
/// assert_eq!(history.last("accuracy"), Some(0.75));
/// assert_eq!(history.to_csv(), "step,seconds,loss,accuracy\n10,0.5,2.5,\n20,1,1.5,0.75\n");
/// assert_eq!(History::from_csv(&history.to_csv())?, history);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    names: Vec<String>,
    rows: Vec<Row>,
}

/// What was measured at a step.
///
/// ```
/// use wgrad::train::History;
/// let mut history = History::new();
/// history.push(10, 0.5, &[("loss", 2.5)]);
/// let row = &history.rows()[0];
/// assert_eq!((row.step, row.seconds), (10, 0.5));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Steps done.
    pub step: u64,
    /// Seconds of training until then.
    pub seconds: f64,
    /// A value for each name of the history, where there was one.
    values: Vec<Option<f64>>,
}

impl History {
    /// No figures yet.
    pub fn new() -> History {
        History::default()
    }

    /// Adds figures of a step; a step that is the last one already gets them in addition.
    pub fn push(&mut self, step: u64, seconds: f64, figures: &[(&str, f64)]) {
        if self.rows.last().is_none_or(|row| row.step != step) {
            self.rows.push(Row { step, seconds, values: Vec::new() });
        }
        for (name, value) in figures {
            let known = self.names.iter().position(|n| n == name);
            let at = known.unwrap_or_else(|| {
                self.names.push((*name).to_owned());
                self.names.len() - 1
            });
            if let Some(row) = self.rows.last_mut() {
                row.values.resize(row.values.len().max(at + 1), None);
                row.values[at] = Some(*value);
            }
        }
    }

    /// Names of the figures, in the order in which they first came.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The steps with figures.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A figure over the steps; empty where there is none of that name.
    pub fn series(&self, name: &str) -> Vec<(f64, f64)> {
        let Some(at) = self.names.iter().position(|n| n == name) else { return Vec::new() };
        let point = |row: &Row| Some((row.step as f64, row.values.get(at).copied().flatten()?));
        self.rows.iter().filter_map(point).collect()
    }

    /// The last value of a figure.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.series(name).last().map(|point| point.1)
    }

    /// The header of [`History::to_csv`].
    fn header(&self) -> String {
        let names = self.names.iter().map(|name| quoted(name));
        ["step".to_owned(), "seconds".to_owned()].into_iter().chain(names).collect::<Vec<_>>().join(",")
    }

    /// A line of [`History::to_csv`].
    fn line(&self, row: &Row) -> String {
        let mut line = format!("{},{}", row.step, row.seconds);
        for at in 0..self.names.len() {
            line.push(',');
            if let Some(value) = row.values.get(at).copied().flatten() {
                // A string never fails to be written to; the shortest digits that read as the same number.
                let _ = write!(line, "{value}");
            }
        }
        line
    }

    /// All figures as CSV, a line per step, in digits that give the same numbers again.
    pub fn to_csv(&self) -> String {
        let lines = self.rows.iter().map(|row| self.line(row));
        std::iter::once(self.header()).chain(lines).map(|line| line + "\n").collect()
    }

    /// What [`History::to_csv`] has written.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) that names line and field where it is something else.
    pub fn from_csv(text: &str) -> Result<History> {
        History::parse(text, Path::new("history"))
    }

    fn parse(text: &str, path: &Path) -> Result<History> {
        let table = crate::data::Csv::parse(text, b',')?;
        let bad = |field: &str| failed(path, format!("{field:?} is no figure of a history"));
        let [step, seconds, names @ ..] = table.columns() else { return Err(bad("the header")) };
        if (step.as_str(), seconds.as_str()) != ("step", "seconds") {
            return Err(bad(step));
        }
        let mut history = History { names: names.to_vec(), rows: Vec::with_capacity(table.len()) };
        for fields in table.rows() {
            let value = |field: &String| match field.as_str() {
                "" => Ok(None),
                field => field.parse().map(Some).map_err(|_| bad(field)),
            };
            let mut values = fields[2..].iter().map(value).collect::<Result<Vec<Option<f64>>>>()?;
            // As they were when they were pushed, before later names came.
            while values.last().is_some_and(Option::is_none) {
                values.pop();
            }
            history.rows.push(Row {
                step: fields[0].parse().map_err(|_| bad(&fields[0]))?,
                seconds: fields[1].parse().map_err(|_| bad(&fields[1]))?,
                values,
            });
        }
        Ok(history)
    }

    /// All figures as JSON: an object a step, with only the figures that it has; what is not finite is `null`.
    pub fn to_json(&self) -> String {
        let row = |row: &Row| {
            let mut object = Map::new();
            object.insert("step".into(), json!(row.step));
            object.insert("seconds".into(), json!(row.seconds));
            for (name, value) in self.names.iter().zip(&row.values) {
                if let Some(value) = value {
                    object.insert(name.clone(), json!(value));
                }
            }
            Value::Object(object)
        };
        format!("{:#}\n", Value::Array(self.rows.iter().map(row).collect()))
    }

    /// Writes [`History::to_csv`] into a file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where it cannot be written.
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = self.to_csv();
        write_atomically(path, |file| file.write_all(text.as_bytes()))
    }

    /// Reads a file of [`History::save_csv`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where it cannot be read or is something else.
    pub fn load_csv(path: impl AsRef<Path>) -> Result<History> {
        let path = path.as_ref();
        History::parse(&Source::open(path)?.text()?, path)
    }

    /// Writes [`History::to_json`] into a file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where it cannot be written.
    pub fn save_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let text = self.to_json();
        write_atomically(path, |file| file.write_all(text.as_bytes()))
    }

    /// Draws figures over the steps, side by side, into `<path>.png` and `<path>.svg`: a title and the names of the curves each.
    /// Names without figures are left out.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where a picture cannot be drawn or written.
    #[cfg(feature = "train")]
    pub fn draw(&self, path: impl AsRef<Path>, panels: &[(&str, &[&str])]) -> Result<[std::path::PathBuf; 2]> {
        use crate::train::plot::{Panel, curves};
        let mut all = Vec::with_capacity(panels.len());
        for &(title, names) in panels {
            let lines = names.iter().map(|&name| (name, self.series(name)));
            let lines = lines.filter(|(_, points)| !points.is_empty()).collect();
            all.push(Panel { title, x: "step", y: "", lines });
        }
        curves(path, &all)
    }
}

/// A field of CSV.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// A log of a history that grows line by line, so that it can be watched.
pub(super) struct Log {
    path: std::path::PathBuf,
    /// Names in the header that stands in the file.
    names: BTreeSet<String>,
}

impl Log {
    /// A log file that holds `history`.
    pub fn create(path: &Path, history: &History) -> Result<Log> {
        history.save_csv(path)?;
        Ok(Log { path: path.to_owned(), names: history.names.iter().cloned().collect() })
    }

    /// Adds the last row. Where a new name came, or a row was added to, the file is written anew.
    pub fn append(&mut self, history: &History) -> Result<()> {
        let Some(row) = history.rows.last() else { return Ok(()) };
        if history.names.len() != self.names.len() {
            *self = Log::create(&self.path, history)?;
            return Ok(());
        }
        use std::io::Write as _;
        let line = history.line(row) + "\n";
        let appended = std::fs::OpenOptions::new().append(true).open(&self.path);
        appended.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|e: std::io::Error| failed(&self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_a_file() {
        let mut history = History::new();
        let values = [0.1, f64::MIN_POSITIVE, -1e300, f64::from(0.1f32), f64::NAN, f64::INFINITY, -0.0];
        for (i, &value) in values.iter().enumerate() {
            history.push(i as u64, i as f64 / 3.0, &[("a, \"b\"", value)]);
        }
        let again = History::from_csv(&history.to_csv()).unwrap();
        assert_eq!(again.names(), history.names());
        for (old, new) in history.series("a, \"b\"").iter().zip(again.series("a, \"b\"")) {
            assert_eq!(old.1.to_bits(), new.1.to_bits(), "{} {}", old.1, new.1);
        }
        assert_eq!(again.rows()[2].seconds, 2.0 / 3.0);
        assert!(serde_json::from_str::<Value>(&history.to_json()).is_ok());
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "a,b\n1,2\n", "step,seconds\nx,1\n", "step,seconds,loss\n1,2,z\n", "step\n1\n"] {
            assert!(History::from_csv(text).is_err(), "{text}");
        }
    }
}
