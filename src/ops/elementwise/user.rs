//! Elementwise ops that users define by a WGSL file.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use super::methods::broadcast;
use super::op::{Definition, Expression, Forward, Host};
use super::rows::rows;
use super::table::Kind;
use super::wgsl::signatures;
use crate::error::{Error, Result};
use crate::graph::node::lock;
use crate::graph::{Var, Vjp};

/// A user-defined elementwise op: a WGSL pair `<name>_fwd` and, for gradients, `<name>_bwd`. It fuses like a built-in op.
///
/// The parameters of the forward function are the operands (all `f32`). Those of the backward function are any of them by
/// name, the output `y` and the upstream gradient `dy`; with several operands it returns a struct with fields `d<operand>`.
///
/// ```
/// use wgrad::ops::elementwise::ElementwiseOp;
/// use wgrad::{Device, Tensor};
/// let cube = ElementwiseOp::new(
///     "cube",
///     "fn cube_fwd(x: f32) -> f32 { return x * x * x; }
///      fn cube_bwd(x: f32, dy: f32) -> f32 { return 3.0 * x * x * dy; }",
/// )?
/// .with_reference(|args| args[0].powi(3)) // for the CPU reference
/// .with_derivative(|cx| vec![Some(cx.dy * &cx.inputs[0].square() * 3.0)]); // for gradients of gradients
/// let x = Tensor::from_slice(&[2f32], [1], &Device::default()).requires_grad();
/// let y = cube.apply(&[&x]).sum();
/// y.backward()?;
/// assert_eq!((y.item::<f32>()?, x.grad().unwrap().item::<f32>()?), (8.0, 12.0));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct ElementwiseOp(Arc<Definition>);

impl ElementwiseOp {
    /// Parses and validates the shader file.
    ///
    /// ```
    /// use wgrad::ops::elementwise::ElementwiseOp;
    /// let twice = ElementwiseOp::new("twice", "fn twice_fwd(x: f32) -> f32 { return x + x; }")?;
    /// assert_eq!(twice.name(), "twice");
    /// assert!(ElementwiseOp::new("thrice", "fn other(x: f32) -> f32 { return x; }").is_err()); // no thrice_fwd
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shader`] where the text is not valid WGSL or lacks the functions described above.
    pub fn new(name: &str, wgsl_source: &str) -> Result<ElementwiseOp> {
        let failed = |detail: String| Error::Shader { name: name.into(), detail };
        let functions = signatures(name, wgsl_source)?;
        let forward = functions
            .get(&format!("{name}_fwd"))
            .ok_or_else(|| failed(format!("the file defines no function {name}_fwd")))?;
        let floats = forward.parameters.iter().all(|(_, ty)| ty == "f32") && forward.returns == "f32";
        if forward.parameters.is_empty() || !floats {
            return Err(failed(format!("{name}_fwd takes one or more f32 and returns f32")));
        }
        let args: Vec<String> = forward.parameters.iter().map(|(p, _)| p.clone()).collect();
        if let Some(backward) = functions.get(&format!("{name}_bwd")) {
            let known = |p: &str| p == "y" || p == "dy" || args.iter().any(|a| a == p);
            if let Some((p, _)) = backward.parameters.iter().find(|(p, ty)| !known(p) || ty != "f32") {
                return Err(failed(format!("{name}_bwd: {p} is no f32 operand of {name}_fwd, and neither y nor dy")));
            }
            if !backward.parameters.iter().any(|(p, _)| p == "dy") {
                return Err(failed(format!("{name}_bwd does not take dy")));
            }
            let one = args.len() == 1 && backward.returns == "f32";
            let all = args.iter().all(|a| backward.fields.contains(&format!("d{a}").as_str()));
            if !one && !all {
                return Err(failed(format!("{name}_bwd returns a struct with one field d<operand> for each operand")));
            }
        }
        // Kernels paste the files of all their ops, so one name stands for one text.
        static KNOWN: OnceLock<Mutex<HashMap<String, String>>> = OnceLock::new();
        if rows().iter().any(|r| r.name.trim_end_matches('_') == name) {
            return Err(failed("a built-in elementwise op has this name".into()));
        }
        if let Some(taken) = functions.keys().find(|f| is_built_in(f)) {
            return Err(failed(format!("the function name {taken} is taken by the crate's own shaders")));
        }
        let mut known = lock(KNOWN.get_or_init(Mutex::default));
        if let Some(taken) = functions.keys().find(|f| known.get(*f).is_some_and(|text| text != wgsl_source)) {
            return Err(failed(format!("another elementwise op has a function {taken} with another text")));
        }
        known.extend(functions.keys().map(|f| (f.clone(), wgsl_source.to_owned())));
        let definition =
            Definition::new(name.into(), wgsl_source, args, Kind::Float, Host::User(None), Expression::User(None));
        Ok(ElementwiseOp(Arc::new(definition)))
    }

    /// The op's name.
    ///
    /// ```
    /// use wgrad::ops::elementwise::ElementwiseOp;
    /// assert_eq!(ElementwiseOp::new("same", "fn same_fwd(x: f32) -> f32 { return x; }")?.name(), "same");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Gives the formula for the CPU reference.
    ///
    /// ```
    /// use wgrad::ops::elementwise::ElementwiseOp;
    /// use wgrad::{Device, Tensor};
    /// let halve = ElementwiseOp::new("halve", "fn halve_fwd(x: f32) -> f32 { return 0.5 * x; }")?
    ///     .with_reference(|args| 0.5 * args[0]);
    /// assert_eq!(halve.apply(&[&Tensor::ones([2], &Device::cpu())]).to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn with_reference(self, reference: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> ElementwiseOp {
        self.rebuilt(Some(Host::User(Some(Arc::new(reference)))), None)
    }

    /// Gives the gradient as an expression in other ops, one entry an operand, for gradients of gradients.
    ///
    /// ```
    /// use wgrad::ops::elementwise::ElementwiseOp;
    /// use wgrad::{Device, Tensor, autograd};
    /// let squared = ElementwiseOp::new(
    ///     "squared",
    ///     "fn squared_fwd(x: f32) -> f32 { return x * x; }
    ///      fn squared_bwd(x: f32, dy: f32) -> f32 { return 2.0 * x * dy; }",
    /// )?
    /// .with_reference(|args| args[0] * args[0])
    /// .with_derivative(|cx| vec![Some(cx.dy * &cx.inputs[0] * 2.0)]);
    /// let x = Tensor::from_slice(&[3f32], [1], &Device::cpu()).requires_grad();
    /// let dx = &autograd::grad(&[&squared.apply(&[&x]).sum()], &[&x], true)?[0];
    /// let ddx = &autograd::grad(&[&dx.sum()], &[&x], false)?[0];
    /// assert_eq!((dx.item::<f32>()?, ddx.item::<f32>()?), (6.0, 2.0));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn with_derivative(
        self,
        derivative: impl Fn(&Vjp) -> Vec<Option<Var>> + Send + Sync + 'static,
    ) -> ElementwiseOp {
        self.rebuilt(None, Some(Expression::User(Some(Arc::new(derivative)))))
    }

    fn rebuilt(self, host: Option<Host>, expression: Option<Expression>) -> ElementwiseOp {
        let old = &self.0;
        let host = host.unwrap_or_else(|| old.host.clone());
        let expression = expression.unwrap_or_else(|| old.expression.clone());
        let definition = Definition::new(old.name.clone(), &old.source, old.args.clone(), old.kind, host, expression);
        ElementwiseOp(Arc::new(definition))
    }

    /// Applies the op; the operands broadcast. At least one operand has to be given.
    ///
    /// ```
    /// use wgrad::ops::elementwise::ElementwiseOp;
    /// use wgrad::{Device, Tensor};
    /// let minus = ElementwiseOp::new("minus", "fn minus_fwd(x: f32) -> f32 { return -x; }")?.with_reference(|args| -args[0]);
    /// let x = Tensor::ones([2], &Device::cpu());
    /// let y = Tensor::from_var(minus.apply_vars(&[&x.node()]), x.device());
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, -1.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[track_caller]
    pub fn apply_vars(&self, operands: &[&Var]) -> Var {
        let operands: Vec<Var> = operands.iter().map(|v| (*v).clone()).collect();
        broadcast(Forward(self.0.clone()), &operands)
    }
}

/// Whether a function of the crate's own shaders, which one kernel may hold beside a user's, has this name.
fn is_built_in(function: &str) -> bool {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        // Every built-in file parses; a test holds them to it.
        let files = rows().iter().filter_map(|row| signatures(row.name, row.wgsl).ok());
        files.flat_map(HashMap::into_keys).collect()
    });
    let generated = ["main", "store", "report_index", "random_bits"].contains(&function);
    let prefixed = ["store_", "load_", "combine_", "beats_", "lanes_", "cast_"].iter().any(|p| function.starts_with(p));
    generated || prefixed || names.contains(function)
}
