//! Which parameters of a WGSL function the fields of its result depend on, read from naga's IR.

use std::collections::HashMap;
use std::ops::BitOr;

use naga::{Block, Expression, Function, Handle, LocalVariable, Statement};

/// Parameters of a function, by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters(u64);

impl Parameters {
    /// Every parameter.
    pub const ALL: Parameters = Parameters(u64::MAX);

    /// One parameter alone; every one where it is past those that are told apart.
    pub fn one(position: usize) -> Parameters {
        u32::try_from(position).ok().and_then(|position| 1u64.checked_shl(position)).map_or(Parameters::ALL, Parameters)
    }

    /// The parameters whose bits are set, as [`Parameters::bits`] gives them.
    pub fn of_bits(bits: u64) -> Parameters {
        Parameters(bits)
    }

    /// A bit for each parameter.
    #[cfg(test)]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether the parameter is one of these.
    pub fn has(self, position: usize) -> bool {
        self.0 & Parameters::one(position).0 != 0
    }
}

impl BitOr for Parameters {
    type Output = Parameters;

    fn bitor(self, other: Parameters) -> Parameters {
        Parameters(self.0 | other.0)
    }
}

/// For each field of the struct that a function returns, which of its parameters matter to it: its value is the same whatever the
/// others are. A function with loops is taken to use everything, and so is whatever else is not followed here.
pub fn uses(function: &Function, fields: usize) -> Vec<Parameters> {
    Walk::new(function, fields).run().unwrap_or_else(|| vec![Parameters::ALL; fields])
}

/// For each field of the struct that a function returns, the parameter that it is a copy of, where the function does nothing but compute and
/// return.
pub fn copies(function: &Function, fields: usize) -> Vec<Option<usize>> {
    let straight = function.body.iter().all(|s| matches!(s, Statement::Emit(_) | Statement::Return { .. }));
    let copied = |part: &Handle<Expression>| match function.expressions[*part] {
        Expression::FunctionArgument(index) => Some(index as usize),
        _ => None,
    };
    match function.body.last() {
        Some(Statement::Return { value: Some(value) }) if straight => match &function.expressions[*value] {
            Expression::Compose { components, .. } if components.len() == fields => {
                components.iter().map(copied).collect()
            }
            _ => vec![None; fields],
        },
        _ => vec![None; fields],
    }
}

struct Walk<'a> {
    function: &'a Function,
    /// What was ever stored to a variable depends on these; grows until it stays.
    variables: HashMap<Handle<LocalVariable>, Parameters>,
    calls: HashMap<Handle<Expression>, Parameters>,
    fields: Vec<Parameters>,
}

impl<'a> Walk<'a> {
    fn new(function: &'a Function, fields: usize) -> Self {
        Walk { function, variables: HashMap::new(), calls: HashMap::new(), fields: vec![Parameters::default(); fields] }
    }

    fn run(mut self) -> Option<Vec<Parameters>> {
        loop {
            let before = self.variables.clone();
            self.block(&self.function.body, Parameters::default())?;
            if self.variables == before {
                return Some(self.fields);
            }
        }
    }

    /// Follows a block that runs where conditions hold which depend on `under`.
    fn block(&mut self, block: &Block, under: Parameters) -> Option<()> {
        for statement in block {
            match statement {
                Statement::Emit(_) => {}
                Statement::Block(inner) => self.block(inner, under)?,
                Statement::If { condition, accept, reject } => {
                    let under = under | self.of(*condition)?;
                    self.block(accept, under)?;
                    self.block(reject, under)?;
                }
                Statement::Call { arguments, result, .. } => {
                    let mut set = under;
                    for &argument in arguments {
                        if let Expression::LocalVariable(_) = self.function.expressions[argument] {
                            return None;
                        }
                        set = set | self.of(argument)?;
                    }
                    result.map(|result| self.calls.insert(result, set));
                }
                Statement::Store { pointer, value } => {
                    let mut set = under | self.of(*value)?;
                    let mut target = *pointer;
                    let variable = loop {
                        match self.function.expressions[target] {
                            Expression::LocalVariable(variable) => break variable,
                            Expression::AccessIndex { base, .. } => target = base,
                            Expression::Access { base, index } => {
                                set = set | self.of(index)?;
                                target = base;
                            }
                            _ => return None,
                        }
                    };
                    let known = self.variables.entry(variable).or_default();
                    *known = *known | set;
                }
                Statement::Return { value: Some(value) } => self.result(*value, under)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn result(&mut self, value: Handle<Expression>, under: Parameters) -> Option<()> {
        let sets = match &self.function.expressions[value] {
            Expression::Compose { components, .. } if components.len() == self.fields.len() => {
                components.iter().map(|&c| self.of(c)).collect::<Option<Vec<Parameters>>>()?
            }
            _ => vec![self.of(value)?; self.fields.len()],
        };
        self.fields.iter_mut().zip(sets).for_each(|(field, set)| *field = *field | set | under);
        Some(())
    }

    /// The parameters that an expression depends on.
    fn of(&self, expression: Handle<Expression>) -> Option<Parameters> {
        let all = |parts: &[Handle<Expression>]| {
            parts.iter().try_fold(Parameters::default(), |set, &part| Some(set | self.of(part)?))
        };
        match &self.function.expressions[expression] {
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => Some(Parameters::default()),
            Expression::FunctionArgument(index) => Some(Parameters::one(*index as usize)),
            Expression::LocalVariable(variable) => Some(self.variables.get(variable).copied().unwrap_or_default()),
            Expression::CallResult(_) => self.calls.get(&expression).copied(),
            Expression::Compose { components, .. } => all(components),
            Expression::Access { base, index } => all(&[*base, *index]),
            Expression::Select { condition, accept, reject } => all(&[*condition, *accept, *reject]),
            Expression::Binary { left, right, .. } => all(&[*left, *right]),
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                all(&[Some(*arg), *arg1, *arg2, *arg3].into_iter().flatten().collect::<Vec<_>>())
            }
            Expression::AccessIndex { base: part, .. }
            | Expression::Splat { value: part, .. }
            | Expression::Swizzle { vector: part, .. }
            | Expression::Load { pointer: part }
            | Expression::Unary { expr: part, .. }
            | Expression::Relational { argument: part, .. }
            | Expression::As { expr: part, .. } => self.of(*part),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;
    use crate::ops::elementwise::wgsl::signatures;

    /// The parameters that matter to each field of `f`'s result, by name.
    fn used(body: &str) -> [String; 2] {
        let text = format!("struct G {{ da: f32, db: f32 }}\nfn f(a: f32, b: f32, c: f32) -> G {{ {body} }}");
        let signature = signatures("f", &text).unwrap().remove("f").unwrap();
        let names = |uses: Parameters| {
            let parameters = signature.parameters.iter().enumerate().filter(|(k, _)| uses.has(*k));
            parameters.map(|(_, (name, _))| name.as_str()).collect()
        };
        [names(signature.uses[0]), names(signature.uses[1])]
    }

    #[test]
    fn fields_use_what_they_are_computed_from() {
        assert_eq!(used("return G(c * b, c * a);"), ["bc", "ac"]);
        assert_eq!(used("let t = c / b; return G(t, -t * (a / b));"), ["bc", "abc"]);
        assert_eq!(used("return G(0.0, safe_exp(a));"), ["", "a"]);
        assert_eq!(used("var t = vec2<f32>(a, 0.0); t.y = b; return G(t.x, c);"), ["ab", "c"]);
    }

    #[test]
    fn fields_use_the_conditions_under_which_they_are_set() {
        assert_eq!(used("if a > 0.0 { return G(b, c); } return G(c, c);"), ["abc", "ac"]);
        assert_eq!(used("var t = 0.0; if a > 0.0 { t = b; } return G(t, c);"), ["ab", "c"]);
        assert_eq!(
            used("var t = 0.0; var s = 0.0; if a > 0.0 { s = 1.0; } t = s; return G(t, select(b, c, b > 1.0));"),
            ["a", "bc"]
        );
        assert_eq!(used("var g: G; g.da = a; return g;"), ["a", "a"]);
    }

    #[test]
    fn what_is_not_followed_uses_everything() {
        assert_eq!(used("var t = 0.0; for (var i = 0; i < 3; i++) { t += a; } return G(t, 0.0);"), ["abc", "abc"]);
    }

    #[test]
    fn fields_that_copy_a_parameter_are_known() {
        let copies = |body: &str| {
            let text = format!("struct G {{ da: f32, db: f32 }}\nfn f(a: f32, b: f32, c: f32) -> G {{ {body} }}");
            signatures("f", &text).unwrap().remove("f").unwrap().copies
        };
        assert_eq!(copies("return G(c, c);"), [Some(2), Some(2)]);
        assert_eq!(copies("return G(b, -b);"), [Some(1), None]);
        assert_eq!(copies("let t = a * b; return G(t, a);"), [None, Some(0)]);
        assert_eq!(copies("if a > 0.0 { return G(b, c); } return G(c, c);"), [None, None]);
        assert_eq!(copies("var g: G; g.da = a; return g;"), [None, None]);
    }

    #[test]
    fn parameters_past_the_last_that_is_told_apart_always_count() {
        let some = Parameters::one(3) | Parameters::one(63);
        assert_eq!([2, 3, 63, 64, 200].map(|k| some.has(k)), [false, true, true, true, true]);
        assert_eq!(Parameters::one(64), Parameters::ALL);
        assert!(!Parameters::default().has(0));
    }
}
