//! Tables in text files. (RFC 4180, with any delimiter, and lines that end in LF or CRLF.)

use std::path::{Path, PathBuf};

use crate::Device;
use crate::data::TensorDataset;
use crate::error::Result;
use crate::host;
use crate::io::failed;
use crate::io::source::Source;
use crate::tensor::Tensor;

/// A table from a CSV file, with named columns.
///
/// ```
/// use wgrad::data::Csv;
/// let table = Csv::parse("height,width,kind\n1.5,2,\"a, b\"\n0.5,1,c\n", b',')?;
/// assert_eq!(table.columns(), ["height", "width", "kind"]);
/// assert_eq!(table.numbers(&["width", "height"])?, [2.0, 1.5, 1.0, 0.5]);
/// let (classes, names) = table.classes("kind")?;
/// assert_eq!((classes, names), (vec![0, 1], vec!["a, b".to_string(), "c".to_string()]));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    path: PathBuf,
    columns: Vec<String>,
    /// Row by row.
    cells: Vec<String>,
    /// Line of the file that each row begins in.
    lines: Vec<usize>,
}

impl Csv {
    /// Reads a comma-separated file whose first line names the columns.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) that names the file, the line and what is wrong: no UTF-8, a row of another length, a quote
    /// that does not end.
    pub fn load(path: impl AsRef<Path>) -> Result<Csv> {
        Csv::load_with(path, b',')
    }

    /// [`Csv::load`] with another delimiter, such as `b';'` or `b'\t'`.
    ///
    /// # Errors
    /// As [`Csv::load`].
    pub fn load_with(path: impl AsRef<Path>, delimiter: u8) -> Result<Csv> {
        let path = path.as_ref();
        Csv::parse_named(&Source::open(path)?.text()?, delimiter, path)
    }

    /// A table from text.
    ///
    /// # Errors
    /// As [`Csv::load`].
    pub fn parse(text: &str, delimiter: u8) -> Result<Csv> {
        Csv::parse_named(text, delimiter, Path::new("CSV text"))
    }

    fn parse_named(text: &str, delimiter: u8, path: &Path) -> Result<Csv> {
        let mut rows = records(text.strip_prefix('\u{feff}').unwrap_or(text), char::from(delimiter))
            .map_err(|(line, detail)| failed(path, format!("line {line}: {detail}")))?
            .into_iter();
        let Some((_, columns)) = rows.next() else {
            return Err(failed(path, "is empty: the first line should name the columns"));
        };
        if let Some(name) = columns.iter().enumerate().find_map(|(i, c)| columns[..i].contains(c).then_some(c)) {
            return Err(failed(path, format!("two columns are called {name:?}")));
        }
        let (mut cells, mut lines) = (Vec::new(), Vec::new());
        for (line, row) in rows {
            if row.len() != columns.len() {
                let detail = format!("line {line}: {} fields, but there are {} columns", row.len(), columns.len());
                return Err(failed(path, detail));
            }
            cells.extend(row);
            lines.push(line);
        }
        Ok(Csv { path: path.to_owned(), columns, cells, lines })
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The fields of each row.
    pub fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.cells.chunks_exact(self.columns.len().max(1))
    }

    /// The fields of a column, with the lines they are in.
    fn column(&self, name: &str) -> Result<impl Iterator<Item = (usize, &str)>> {
        let at =
            self.columns.iter().position(|c| c == name).ok_or_else(|| {
                failed(&self.path, format!("has no column {name:?}, only {}", self.columns.join(", ")))
            })?;
        let fields = self.cells.iter().skip(at).step_by(self.columns.len());
        Ok(self.lines.iter().copied().zip(fields.map(String::as_str)))
    }

    /// The numbers of some columns, row by row: `rows × columns` values.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) that names column, line and field where one is no number.
    pub fn numbers(&self, columns: &[&str]) -> Result<Vec<f32>> {
        let mut values = host::filled("Csv", self.len().saturating_mul(columns.len()), 0.0)?;
        for (c, name) in columns.iter().enumerate() {
            for (row, (line, field)) in self.column(name)?.enumerate() {
                values[row * columns.len() + c] = field
                    .trim()
                    .parse()
                    .map_err(|_| failed(&self.path, format!("line {line}, column {name:?}: {field:?} is no number")))?;
            }
        }
        Ok(values)
    }

    /// A column of words as classes: the number of each row's word, and the words in alphabetical order.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where there is no such column.
    pub fn classes(&self, column: &str) -> Result<(Vec<i32>, Vec<String>)> {
        let mut names: Vec<String> = self.column(column)?.map(|(_, field)| field.to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        let class = |(_, field): (usize, &str)| names.binary_search_by(|n| n.as_str().cmp(field)).unwrap_or(0) as i32;
        let classes = self.column(column)?.map(class).collect();
        Ok((classes, names))
    }

    /// A data set of the numbers of `inputs`, `[N, inputs]` (f32), and the classes of `target`, `[N]` (i32), with the classes' names.
    ///
    /// # Errors
    /// As [`Csv::numbers`] and [`Csv::classes`].
    pub fn classification(
        &self,
        inputs: &[&str],
        target: &str,
        device: &Device,
    ) -> Result<(TensorDataset, Vec<String>)> {
        let (classes, names) = self.classes(target)?;
        let x = Tensor::from_slice(&self.numbers(inputs)?, [self.len(), inputs.len()], device);
        Ok((TensorDataset::new(vec![x, Tensor::from_slice(&classes, [self.len()], device)])?, names))
    }

    /// A data set of the numbers of `inputs`, `[N, inputs]`, and of `targets`, `[N, targets]` (both f32).
    ///
    /// # Errors
    /// As [`Csv::numbers`].
    pub fn regression(&self, inputs: &[&str], targets: &[&str], device: &Device) -> Result<TensorDataset> {
        let tensor = |columns: &[&str]| -> Result<Tensor> {
            Ok(Tensor::from_slice(&self.numbers(columns)?, [self.len(), columns.len()], device))
        };
        TensorDataset::new(vec![tensor(inputs)?, tensor(targets)?])
    }
}

/// Rows with the lines they begin in.
type Records = Vec<(usize, Vec<String>)>;

/// The records of a text with the lines they begin in; empty lines are passed over.
fn records(text: &str, delimiter: char) -> Result<Records, (usize, String)> {
    let mut rows = Vec::new();
    let (mut row, mut field) = (Vec::new(), String::new());
    let (mut line, mut start) = (1, 1);
    let mut was_quoted = false;
    let mut chars = text.chars().peekable();
    loop {
        let c = chars.next();
        match c {
            Some('"') if field.is_empty() && !was_quoted => {
                was_quoted = true;
                let opened = line;
                loop {
                    match chars.next() {
                        Some('"') if chars.peek() == Some(&'"') => {
                            chars.next();
                            field.push('"');
                        }
                        Some('"') => break,
                        Some(c) => {
                            line += usize::from(c == '\n');
                            field.push(c);
                        }
                        None => return Err((opened, "a quote does not end".into())),
                    }
                }
            }
            Some('\r') if chars.peek() == Some(&'\n') => {}
            Some(c) if c == delimiter => {
                row.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            None | Some('\n') => {
                if !(row.is_empty() && field.is_empty() && !was_quoted) {
                    row.push(std::mem::take(&mut field));
                    rows.push((start, std::mem::take(&mut row)));
                }
                was_quoted = false;
                if c.is_none() {
                    return Ok(rows);
                }
                line += 1;
                start = line;
            }
            Some(c) if was_quoted => return Err((line, format!("{c:?} follows a quoted field"))),
            Some(c) => field.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(text: &str) -> String {
        Csv::parse(text, b',').unwrap_err().to_string()
    }

    #[test]
    fn quotes_line_ends_and_empty_fields() {
        let table = Csv::parse("\u{feff}a;b\r\n\"x\"\"y\";\r\n\n;\"two\nlines\"\n\"\";z", b';').unwrap();
        assert_eq!(table.columns(), ["a", "b"]);
        assert_eq!(table.cells, ["x\"y", "", "", "two\nlines", "", "z"]);
        assert_eq!(table.lines, [2, 4, 6]);
    }

    #[test]
    fn damage_is_named() {
        assert!(says("").contains("is empty"));
        assert!(says("a,b\n1\n").contains("line 2: 1 fields, but there are 2 columns"));
        assert!(says("a,a\n").contains("two columns are called \"a\""));
        assert!(says("a\n\"x").contains("line 2: a quote does not end"));
        assert!(says("a\n\"x\"y").contains("line 2: 'y' follows a quoted field"));
        let table = Csv::parse("a,b\n1,2\n3,x\n", b',').unwrap();
        assert!(
            table.numbers(&["a", "b"]).unwrap_err().to_string().contains("line 3, column \"b\": \"x\" is no number")
        );
        assert!(table.numbers(&["c"]).unwrap_err().to_string().contains("no column \"c\", only a, b"));
        assert!(Csv::load("/").unwrap_err().to_string().contains("is a folder"));
    }

    #[test]
    fn tables_become_data_sets() {
        use crate::data::Dataset;
        let table = Csv::parse("x,y,kind\n1,2,b\n3,4,a\n5,6,b\n", b',').unwrap();
        let device = Device::cpu();
        let (set, names) = table.classification(&["y", "x"], "kind", &device).unwrap();
        assert_eq!(names, ["a", "b"]);
        let batch = set.batch(&[2, 1], &device).unwrap();
        assert_eq!(batch[0].to_vec::<f32>().unwrap(), [6., 5., 4., 3.]);
        assert_eq!(batch[1].to_vec::<i32>().unwrap(), [1, 0]);
        assert_eq!(table.regression(&["x"], &["y"], &device).unwrap().tensors()[1].shape(), [3, 1]);
    }
}
