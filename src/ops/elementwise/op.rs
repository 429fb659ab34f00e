//! The forward and backward op behind every row of the table and every user-defined elementwise op.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use super::dependence::Parameters;
use super::differences;
use super::known;
use super::table::{Derivative, Reference, Row, RowKind};
use super::wgsl::Signature;
use crate::array::Array;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::graph::kernel::{Elementwise, Kernel, WgslFn};
use crate::graph::{Meta, Op, Var, Vjp};
use crate::ops::float::{Dual, Float};
use crate::shape::Shape;

/// A CPU reference that a user gives.
pub type UserReference = Arc<dyn Fn(&[f64]) -> f64 + Send + Sync>;
/// A gradient expression that a user gives.
pub type UserDerivative = Arc<dyn Fn(&Vjp) -> Vec<Option<Var>> + Send + Sync>;

/// How an elementwise op computes on the CPU.
#[derive(Clone)]
pub enum Host {
    /// From the table.
    Row(Reference),
    /// From the user, if given.
    User(Option<UserReference>),
}

/// How the gradient is written as an expression.
#[derive(Clone)]
pub enum Expression {
    /// From the table.
    Row(Option<Derivative>),
    /// From the user, if given.
    User(Option<UserDerivative>),
}

/// What an elementwise op is; shared by its nodes.
pub struct Definition {
    /// Name in errors and pictures, and prefix of the shader's functions.
    pub name: String,
    /// Text of the shader file.
    pub source: Arc<str>,
    /// Names of the operands.
    pub args: Vec<String>,
    /// Element types.
    pub kind: RowKind,
    /// CPU reference.
    pub host: Host,
    /// Gradient expression.
    pub expression: Expression,
    /// Finds the signature of the backward function.
    sign: Sign,
    backward: OnceLock<Result<Option<Signature>>>,
}

/// Finds the signature of an op's backward function, given the op's name and its file; `None` where the file has none. Known for rows of the table; what users write is
/// parsed, so that a program without own ops needs no parser.
pub type Sign = fn(&str, &str) -> Result<Option<Signature>>;

impl Row {
    /// The shared definition behind the row's nodes.
    pub fn definition(&'static self) -> Arc<Definition> {
        let make = || {
            Arc::new(Definition::new(
                self.name.trim_end_matches('_').into(),
                self.wgsl,
                self.args.iter().map(|a| a.to_string()).collect(),
                self.kind,
                Host::Row(self.reference),
                Expression::Row(self.derivative),
                |name, _| Ok(known::backward(name)),
            ))
        };
        self.definition.get_or_init(make).clone()
    }
}

/// A row is told by its name, which ops have; what users define by its text.
impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.is_users() {
            self.source.hash(state);
        }
    }
}

impl Definition {
    pub(super) fn new(
        name: String,
        source: &str,
        args: Vec<String>,
        kind: RowKind,
        host: Host,
        expression: Expression,
        sign: Sign,
    ) -> Definition {
        Definition { name, source: source.into(), args, kind, host, expression, sign, backward: OnceLock::new() }
    }

    /// The signature of the backward function, found once; `None` where the file has none.
    ///
    /// # Errors
    /// [`Error::Shader`] where the file does not parse.
    pub fn backward(&self) -> Result<Option<&Signature>> {
        self.backward
            .get_or_init(|| (self.sign)(&self.name, &self.source))
            .as_ref()
            .map(Option::as_ref)
            .map_err(Clone::clone)
    }

    /// The field of the backward function's result that is the gradient of an operand.
    fn field(&self, signature: &Signature, argument: usize) -> Option<usize> {
        let operand = &self.args[argument];
        signature.fields.iter().position(|field| field.strip_prefix('d') == Some(operand))
    }

    /// Whether the gradient of an operand is the upstream gradient as it is.
    fn passes(&self, signature: &Signature, argument: usize) -> bool {
        let field = self.field(signature, argument);
        let copied = field.and_then(|field| signature.copies[field]);
        copied.is_some_and(|parameter| signature.parameters[parameter].0 == "dy")
    }

    /// Which parameters the backward function is given for the gradients of these operands: those that matter to one of them, so that
    /// nothing is kept or computed for the others, and `dy`, whose shape a gradient has. Where `y` matters all do: the CPU
    /// reference finds `y` by the operands.
    ///
    /// Each gradient is given what matters to any of them: kernels that read the same buffers become one.
    fn given(&self, signature: &Signature, wanted: &[bool]) -> Parameters {
        let position = |name: &str| signature.parameters.iter().position(|(p, _)| p == name);
        let y = position("y");
        let own = |argument: usize| match self.field(signature, argument).map(|field| signature.uses[field]) {
            Some(uses) if !y.is_some_and(|y| uses.has(y)) => uses,
            _ => Parameters::ALL,
        };
        let dy = position("dy").map(Parameters::one).unwrap_or_default();
        (0..wanted.len()).filter(|&argument| wanted[argument]).map(own).fold(dy, |all, own| all | own)
    }

    /// Whether a user has defined the op.
    pub fn is_users(&self) -> bool {
        matches!(self.host, Host::User(_))
    }

    /// Whether the CPU reference can compute the op and its gradient.
    pub fn runs_on_host(&self) -> bool {
        !matches!(self.host, Host::User(None)) && !matches!(self.expression, Expression::User(None))
    }

    fn is_differentiable(&self) -> bool {
        match &self.expression {
            Expression::Row(derivative) => derivative.is_some(),
            Expression::User(derivative) => derivative.is_some() || matches!(self.backward(), Ok(Some(_))),
        }
    }

    fn expression(&self, cx: &Vjp) -> Option<Vec<Option<Var>>> {
        match &self.expression {
            Expression::Row(derivative) => derivative.map(|f| f(cx)),
            Expression::User(derivative) => derivative.as_ref().map(|f| f(cx)),
        }
    }

    fn kernel(&self, function: String, field: Option<&'static str>, left_out: Vec<(usize, &'static str)>) -> Kernel {
        let function = Arc::new(WgslFn {
            name: function,
            source: self.source.clone(),
            trusted: matches!(self.host, Host::Row(_)),
        });
        Kernel::Elementwise(Elementwise { function, field, left_out, index: false })
    }

    /// The type that the operands share.
    fn operand_type(&self, inputs: &[&Meta]) -> DType {
        inputs[if self.kind == RowKind::Select { 1 } else { 0 }].dtype
    }
}

/// The common shape of elementwise operands: all have it, or are scalars.
fn common_shape(name: &str, inputs: &[&Meta]) -> Result<Shape> {
    let mut shape = Shape::scalar();
    for input in inputs.iter().filter(|m| m.shape.rank() > 0) {
        if shape.rank() > 0 && shape != input.shape {
            return Err(Error::shape(name, "operands of an elementwise op have one shape", &[&shape, &input.shape]));
        }
        shape = input.shape.clone();
    }
    Ok(shape)
}

/// The forward computation of an elementwise op.
#[derive(Hash)]
pub struct Forward(pub Arc<Definition>);

impl Op for Forward {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let name = self.name();
        if inputs.len() != self.0.args.len() {
            let detail = format!("takes {} operands, {} were given", self.0.args.len(), inputs.len());
            return Err(Error::argument(name, detail));
        }
        let dtypes: SmallVec<[DType; 4]> = inputs.iter().map(|m| m.dtype).collect();
        let operand = self.0.operand_type(inputs);
        let uniform = |types: &[DType]| types.iter().all(|&t| t == operand);
        let (fits, wanted, output) = match self.0.kind {
            RowKind::Float => (uniform(&dtypes) && operand.is_float(), "floats of one type", operand),
            RowKind::Test => (uniform(&dtypes) && operand.is_float(), "floats of one type", DType::Bool),
            RowKind::Number => (uniform(&dtypes) && operand != DType::Bool, "numbers of one type", operand),
            RowKind::Compare => (uniform(&dtypes) && operand != DType::Bool, "numbers of one type", DType::Bool),
            RowKind::Logical => (uniform(&dtypes) && operand == DType::Bool, "booleans", DType::Bool),
            RowKind::Select => {
                (dtypes[0] == DType::Bool && uniform(&dtypes[1..]), "a bool and two operands of one type", operand)
            }
        };
        if !fits {
            return Err(Error::dtype(name, format!("takes {wanted}"), &dtypes));
        }
        Ok(Meta { shape: common_shape(name, inputs)?, dtype: output })
    }

    fn kernel(&self, inputs: &[&Meta], _output: &Meta) -> Kernel {
        let suffix = match (self.0.kind, self.0.operand_type(inputs)) {
            (RowKind::Logical, _) | (_, DType::F16 | DType::F32 | DType::F64) => "",
            (_, DType::I32) => "_i32",
            (_, DType::U32) => "_u32",
            (_, DType::Bool) => "_bool",
        };
        self.0.kernel(format!("{}_fwd{suffix}", self.0.name), None, Vec::new())
    }

    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let name = self.name();
        let reference = match &self.0.host {
            Host::Row(reference) => reference,
            Host::User(Some(reference)) => {
                let operands: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
                return Ok(array(output, map(&operands, output.numel(), |x| reference(x))));
            }
            Host::User(None) => {
                return Err(Error::unsupported(name, NO_REFERENCE));
            }
        };
        if let (DType::F32, Some(operands)) = (output.dtype, same_type(inputs)) {
            return Ok(Array::from_vec(&output.shape, map::<f32, f32>(&operands, output.numel(), reference.f32)));
        }
        let operands: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
        if let (true, Some(int)) = (output.dtype.is_int(), reference.int) {
            let operands: Vec<Vec<i64>> = operands.iter().map(|v| v.iter().map(|&x| x as i64).collect()).collect();
            // Truncation to 32 bits is wrapping arithmetic.
            return Ok(match output.dtype {
                DType::I32 => Array::from_vec(&output.shape, map(&operands, output.numel(), |x| int(x) as i32)),
                _ => Array::from_vec(&output.shape, map(&operands, output.numel(), |x| int(x) as u32)),
            });
        }
        Ok(array(output, map(&operands, output.numel(), reference.f64)))
    }

    fn reference_bytes(&self, inputs: &[&Meta], output: &Meta) -> u64 {
        let single = output.dtype == DType::F32 && inputs.iter().all(|input| input.dtype == DType::F32);
        let (operand, result) = match single && matches!(self.0.host, Host::Row(_)) {
            true => (4, 0),
            // As f64, integers as i64 beside.
            false => (if output.dtype.is_int() { 16 } else { 8 }, 8 * output.numel() as u64),
        };
        let operands = inputs.iter().map(|input| operand * input.numel() as u64);
        operands.fold(output.bytes() + result, u64::saturating_add)
    }

    fn vjp(&self, cx: &Vjp) -> Result<Vec<Option<Var>>> {
        let none =
            |detail: &str| Error::Autograd { op: self.0.name.clone(), detail: detail.into(), at: Default::default() };
        let mut gradients = if cx.create_graph || cx.output.0.context.traits.prefers_expressions {
            self.0.expression(cx).ok_or_else(|| {
                none(
                    "this op has no gradient expression, which gradients of gradients and the CPU need; \
                      user-defined ops give one with with_derivative",
                )
            })?
        } else if let Some(signature) = self.0.backward()? {
            let saved = |parameter: &str| match parameter {
                "y" => Ok(cx.output),
                "dy" => Ok(cx.dy),
                arg => match self.0.args.iter().position(|a| a == arg) {
                    Some(index) => Ok(&cx.inputs[index]),
                    None => Err(none(&format!("the backward function asks for {arg:?}, which is no operand"))),
                },
            };
            // A gradient that is the upstream gradient as it is, as both of a sum are, is no node of its own.
            let needs = cx.needs.iter().enumerate();
            let computed: SmallVec<[bool; 4]> = needs.map(|(i, &need)| need && !self.0.passes(signature, i)).collect();
            let given = self.0.given(signature, &computed);
            let parameters = signature.parameters.iter().enumerate().filter(|(k, _)| given.has(*k));
            let saved = parameters.map(|(_, (name, _))| saved(name)).collect::<Result<SmallVec<[&Var; 4]>>>()?;
            let node = |argument: usize| match computed[argument] {
                true => Var::apply(Backward::new(self.0.clone(), argument, given), &saved),
                false => cx.dy.clone(),
            };
            cx.needs.iter().enumerate().map(|(i, &need)| need.then(|| node(i))).collect()
        } else {
            self.0.expression(cx).ok_or_else(|| none("this op has no gradient"))?
        };
        gradients.resize(cx.inputs.len(), None);
        Ok(gradients)
    }

    fn differentiable(&self) -> bool {
        self.0.is_differentiable()
    }
}

/// The gradient of an elementwise op with respect to one operand, by the backward shader.
#[derive(Hash)]
pub struct Backward {
    name: String,
    definition: Arc<Definition>,
    argument: usize,
    /// Which parameters of the backward function are inputs.
    given: Parameters,
}

impl Backward {
    fn new(definition: Arc<Definition>, argument: usize, given: Parameters) -> Backward {
        Backward { name: format!("{}_backward", definition.name), definition, argument, given }
    }

    fn signature(&self) -> Result<&Signature> {
        self.definition.backward()?.ok_or_else(|| Error::Shader {
            name: self.definition.name.clone(),
            detail: "the file has no backward function".into(),
        })
    }

    /// Which input plays this parameter, where one does.
    fn position(&self, signature: &Signature, name: &str) -> Option<usize> {
        let mut inputs = signature.parameters.iter().enumerate().filter(|(k, _)| self.given.has(*k));
        inputs.position(|(_, (p, _))| p == name)
    }
}

impl Op for Backward {
    fn name(&self) -> &str {
        &self.name
    }

    fn infer(&self, inputs: &[&Meta]) -> Result<Meta> {
        let signature = self.signature()?;
        let dy = self.position(signature, "dy").map_or(DType::F32, |i| inputs[i].dtype);
        Ok(Meta { shape: common_shape(&self.definition.name, inputs)?, dtype: dy })
    }

    fn kernel(&self, _inputs: &[&Meta], _output: &Meta) -> Kernel {
        let (mut field, mut left_out) = (None, Vec::new());
        if let Ok(signature) = self.signature() {
            field = self.definition.field(signature, self.argument).map(|f| signature.fields[f]);
            let others = signature.parameters.iter().enumerate().filter(|(k, _)| !self.given.has(*k));
            left_out = others.map(|(k, (_, ty))| (k, if ty == "bool" { "false" } else { "0.0" })).collect();
        }
        self.definition.kernel(format!("{}_bwd", self.definition.name), field, left_out)
    }

    /// By dual numbers through the forward formula, independent of the backward shader. Where the backward function asks for
    /// `y` instead of an operand, the operand is found by the inverse of the forward function; where it does not ask for
    /// `y`, an operand that it leaves out does not matter to the gradient.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the inverse is not known, and for user-defined ops without a reference; with one, their slopes are
    /// differences of it.
    fn reference(&self, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let name = &self.definition.name;
        let reference = match &self.definition.host {
            Host::Row(reference) => reference,
            Host::User(Some(reference)) => return self.user_reference(&**reference, inputs, output),
            Host::User(None) => return Err(Error::unsupported(name, NO_REFERENCE)),
        };
        let signature = self.signature()?;
        let values: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
        let operand = |name: &str| self.position(signature, name).map(|i| &values[i]);
        let (dy, y) = (operand("dy"), operand("y"));
        let operands: Vec<Option<&Vec<f64>>> = self.definition.args.iter().map(|a| operand(a)).collect();
        if y.is_some() && operands.contains(&None) && inverse(name, 0.5).is_none() {
            let detail = "the backward function takes y instead of an operand, and the inverse that the CPU reference \
                          needs then is not known; let it take the operand, or add the inverse to op.rs";
            return Err(Error::unsupported(name, detail));
        }
        let at = |v: Option<&Vec<f64>>, i: usize| v.map(|v| if v.len() == 1 { v[0] } else { v[i] });
        let slope = |i: usize| {
            let y = at(y, i);
            let args: SmallVec<[Dual<f64>; 4]> = operands
                .iter()
                .enumerate()
                .map(|(k, v)| {
                    let known = at(*v, i);
                    let x = known.or_else(|| y.and_then(|y| inverse(name, y))).unwrap_or(0.5);
                    if k == self.argument { Dual::variable(x) } else { Dual::of(x) }
                })
                .collect();
            at(dy, i).unwrap_or(0.0) * (reference.dual)(&args).slope
        };
        Ok(array(output, (0..output.numel()).map(slope).collect()))
    }

    fn differentiable(&self) -> bool {
        false
    }
}

const NO_REFERENCE: &str = "this user-defined op has no CPU reference; give one with with_reference";

impl Backward {
    /// The gradient by differences of the user's reference, in f64. An operand in whose place the backward function takes `y` is found by
    /// searching for it.
    fn user_reference(&self, reference: &dyn Fn(&[f64]) -> f64, inputs: &[&Array], output: &Meta) -> Result<Array> {
        let signature = self.signature()?;
        let values: Vec<Vec<f64>> = inputs.iter().map(|a| a.to_f64()).collect();
        let operand = |name: &str| self.position(signature, name).map(|i| &values[i]);
        let (dy, y) = (operand("dy"), operand("y"));
        let operands: Vec<Option<&Vec<f64>>> = self.definition.args.iter().map(|a| operand(a)).collect();
        let missing: Vec<usize> = (0..operands.len()).filter(|&k| operands[k].is_none()).collect();
        if missing.len() > 1 && y.is_some() {
            let detail = "the backward function takes y instead of several operands, which cannot be found from it; let it take \
                          them where its gradient is to be compared on the CPU";
            return Err(Error::unsupported(&self.definition.name, detail));
        }
        let at = |v: &Vec<f64>, i: usize| if v.len() == 1 { v[0] } else { v[i] };
        let slope = |i: usize| {
            let mut args: Vec<f64> = operands.iter().map(|v| v.map_or(0.5, |v| at(v, i))).collect();
            if let (&[k], Some(y)) = (&missing[..], y) {
                args[k] = differences::inverse(reference, &args, k, at(y, i));
            }
            dy.map_or(0.0, |dy| at(dy, i)) * differences::slope(reference, &args, self.argument)
        };
        Ok(array(output, (0..output.numel()).map(slope).collect()))
    }
}

/// An operand that gives `y`, for ops whose backward function saves only the output.
fn inverse(name: &str, y: f64) -> Option<f64> {
    Some(match name {
        "exp" => y.ln(),
        "exp2" => y.log2(),
        "expm1" => y.ln_1p(),
        "sqrt" => y * y,
        "rsqrt" => 1.0 / (y * y),
        "recip" => 1.0 / y,
        "tan" => y.atan(),
        "tanh" => y.atanh(),
        "sigmoid" => (y / (1.0 - y)).ln(),
        "relu" | "relu6" => y,
        _ => return None,
    })
}

/// The operands' values, where all are of type f32.
fn same_type(inputs: &[&Array]) -> Option<Vec<Vec<f32>>> {
    inputs.iter().map(|a| a.to_vec::<f32>()).collect()
}

/// `f` over the elements; operands with one element are repeated.
fn map<T: Copy, R>(operands: &[Vec<T>], count: usize, f: impl Fn(&[T]) -> R) -> Vec<R> {
    if count == 0 {
        return Vec::new();
    }
    let mut args: SmallVec<[T; 4]> = operands.iter().map(|v| v[0]).collect();
    let element = |i| {
        args.iter_mut().zip(operands).filter(|(_, v)| v.len() > 1).for_each(|(arg, v)| *arg = v[i]);
        f(&args)
    };
    (0..count).map(element).collect()
}

/// An array of `output`'s shape and type from f64 values, which hold every other type exactly.
pub(super) fn array(output: &Meta, values: Vec<f64>) -> Array {
    Array::from_vec(&output.shape, values).cast(output.dtype)
}
