//! Attributes of a case: a JSON object. What is missing or of another type is a mistake in the fixtures, and panics.

use serde_json::Value;
use wgrad::DType;

/// Named attributes of one case.
pub struct Attributes(pub Value);

impl Attributes {
    fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("no attribute {name} in {}", self.0))
    }

    /// Whether the attribute is given.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// A number; infinities are written as text.
    pub fn f32(&self, name: &str) -> f32 {
        match self.get(name) {
            Value::String(text) => text.parse().unwrap_or_else(|_| panic!("{name} is {text}")),
            value => value.as_f64().unwrap_or_else(|| panic!("{name} is {value}")) as f32,
        }
    }

    /// A finite number in full precision.
    pub fn f64(&self, name: &str) -> f64 {
        self.get(name).as_f64().unwrap_or_else(|| panic!("{name} is no number"))
    }

    /// An integer.
    pub fn int(&self, name: &str) -> isize {
        integer(self.get(name))
    }

    /// An integer that is not negative.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.int(name)).unwrap_or_else(|_| panic!("{name} is negative"))
    }

    /// A list of integers.
    pub fn ints(&self, name: &str) -> Vec<isize> {
        list(self.get(name)).iter().map(integer).collect()
    }

    /// A list of integers that are not negative.
    pub fn sizes(&self, name: &str) -> Vec<usize> {
        self.ints(name).into_iter().map(|n| usize::try_from(n).expect("a size")).collect()
    }

    /// A list of pairs of sizes.
    pub fn pairs(&self, name: &str) -> Vec<(usize, usize)> {
        let size = |value: &Value| integer(value) as usize;
        list(self.get(name)).iter().map(|pair| (size(&pair[0]), size(&pair[1]))).collect()
    }

    /// A truth value; false where it is not given.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.as_bool().unwrap_or_else(|| panic!("{name} is {value}")))
    }

    /// A number for each spatial dim: a list, or one number for all.
    pub fn per_dim(&self, name: &str, dims: usize, default: usize) -> Vec<usize> {
        match self.0.get(name) {
            None => vec![default; dims],
            Some(Value::Array(_)) => self.sizes(name),
            Some(_) => vec![self.size(name); dims],
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_else(|| panic!("{name} is no text"))
    }

    /// An element type.
    pub fn dtype(&self, name: &str) -> DType {
        match self.get(name).as_str() {
            Some("f32") => DType::F32,
            Some("i32") => DType::I32,
            Some("u32") => DType::U32,
            Some("bool") => DType::Bool,
            other => panic!("{name} is {other:?}"),
        }
    }
}

/// The JSON array.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// The JSON integer.
pub fn integer(value: &Value) -> isize {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no integer")) as isize
}
