//! Tests generated from the table, without a GPU.

use std::collections::HashMap;
use std::sync::Arc;

use super::op::{Expression, Host};
use super::table::{Row, RowKind};
use super::user::{apply, define, sign};
use super::wgsl::{length, signatures};
use super::{Definition, Forward, rows};
use crate::array::Array;
use crate::caps::AdapterKind;
use crate::dtype::DType;
use crate::error::Error;
use crate::graph::kernel::WgslFn;
use crate::graph::{Context, Meta, Traits, Var, Vjp, order};
use crate::ops::float::{Dual, Float};

fn context() -> Arc<Context> {
    context_with(true)
}

fn context_with(prefers_expressions: bool) -> Arc<Context> {
    let traits =
        Traits { allows_f64: true, allows_f16: true, prefers_expressions, kind: AdapterKind::Gpu, lanes: false };
    Context::new("test", traits)
}

fn data(array: Array, context: &Arc<Context>) -> Var {
    let meta = Meta::new(array.shape(), array.dtype());
    Var::data(meta, Arc::new(array), context)
}

/// Walks the graph with the CPU references.
fn evaluate(root: &Var) -> Array {
    root.check().unwrap();
    let mut values: HashMap<u64, Array> = HashMap::new();
    for var in order::reachable(std::slice::from_ref(root), |_| false) {
        let value = match var.0.value() {
            Some(value) => value.downcast_ref::<Array>().unwrap().clone(),
            None => {
                let inputs = var.0.inputs();
                let arrays: Vec<&Array> = inputs.iter().map(|v| &values[&v.0.id]).collect();
                var.0.op.reference(&arrays, &var.0.meta).unwrap()
            }
        };
        assert_eq!((value.shape(), value.dtype()), (var.shape().clone(), var.dtype()), "{}", var.0.op.name());
        values.insert(var.0.id, value);
    }
    values.remove(&root.0.id).unwrap()
}

const COUNT: usize = 24;

/// Samples of every operand: tensors of `COUNT` elements, scalars of one.
fn samples(row: &Row) -> Vec<Vec<f64>> {
    let operand = |(k, &(low, high)): (usize, &(f64, f64))| {
        let count = if k < row.tensors { COUNT } else { 1 };
        let bit = row.kind == RowKind::Logical || row.kind == RowKind::Select && k == 0;
        let unit = |i: usize| ((i * (7 + 4 * k) + 3 * k) % COUNT) as f64 / COUNT as f64 + 0.017;
        (0..count).map(|i| if bit { ((i >> k) & 1) as f64 } else { low + (high - low) * unit(i) }).collect()
    };
    row.domain.iter().enumerate().map(operand).collect()
}

fn operands(row: &Row, values: &[Vec<f64>], context: &Arc<Context>) -> Vec<Var> {
    let operand = |(k, v): (usize, &Vec<f64>)| {
        let bit = row.kind == RowKind::Logical || row.kind == RowKind::Select && k == 0;
        match (k < row.tensors, bit) {
            (false, _) => Var::scalar(v[0], DType::F64, context),
            (true, true) => data(Array::from_vec(&COUNT.into(), v.clone()).cast(DType::Bool), context),
            (true, false) => data(Array::from_vec(&COUNT.into(), v.clone()), context),
        }
    };
    values.iter().enumerate().map(operand).collect()
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a - b).abs() <= tolerance * b.abs().max(1.0)
}

#[test]
fn dual_numbers_expressions_and_differences_agree() {
    for row in rows() {
        let values = samples(row);
        let context = context();
        let vars = operands(row, &values, &context);
        let rest: Vec<&Var> = vars[1..].iter().collect();
        let y = vars[0].elementwise(row.name, &rest);
        let forward = evaluate(&y).to_f64();
        let at = |i: usize| -> Vec<f64> { values.iter().map(|v| v[i % v.len()]).collect() };
        for (i, &found) in forward.iter().enumerate() {
            assert!(close(found, (row.reference.f64)(&at(i)), 1e-12), "{}", row.name);
        }
        let Some(derivative) = row.derivative else { continue };
        let dy = data(Array::from_vec(&COUNT.into(), vec![1.5; COUNT]), &context);
        let needs: Vec<bool> = (0..vars.len()).map(|k| k < row.tensors && vars[k].dtype().is_float()).collect();
        let gradients = derivative(&Vjp { inputs: &vars, output: &y, dy: &dy, needs: &needs, create_graph: true });
        for (k, gradient) in gradients.iter().enumerate() {
            assert_eq!(gradient.is_some(), needs[k], "{}", row.name);
            let Some(gradient) = gradient else { continue };
            let gradient = evaluate(gradient).to_f64();
            for (i, &found) in gradient.iter().enumerate() {
                let x = at(i);
                let mut duals: Vec<Dual<f64>> = x.iter().map(|&v| Dual::of(v)).collect();
                duals[k] = Dual::variable(x[k]);
                let slope = 1.5 * (row.reference.dual)(&duals).slope;
                assert!(close(found, slope, 1e-10), "{} operand {k} at {x:?}: {found}, dual {slope}", row.name);
                let key = if x.len() > 1 && row.tensors == 2 { x[0] - x[1] } else { x[0] };
                if row.kinks.iter().any(|kink| (key - kink).abs() < 1e-4) {
                    continue;
                }
                let shifted = |h: f64| {
                    let mut x = x.clone();
                    x[k] += h;
                    (row.reference.f64)(&x)
                };
                let difference = 1.5 * (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
                assert!(close(found, difference, 1e-6), "{} operand {k} at {x:?}: {found}, {difference}", row.name);
            }
        }
    }
}

#[test]
fn shaders_validate_and_backward_functions_declare_operands() {
    for row in rows() {
        let definition = row.definition();
        let functions = signatures(row.name, row.wgsl).unwrap_or_else(|e| panic!("{e}"));
        let forward = &functions[&format!("{}_fwd", definition.name)];
        let names: Vec<&str> = forward.parameters.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(names, row.args, "{}", row.name);
        if matches!(row.kind, RowKind::Number | RowKind::Compare | RowKind::Select) {
            assert!(functions.contains_key(&format!("{}_fwd_i32", definition.name)), "{}", row.name);
            assert!(functions.contains_key(&format!("{}_fwd_u32", definition.name)), "{}", row.name);
        }
        let backward = definition.backward().unwrap();
        assert_eq!(backward.is_some(), row.derivative.is_some(), "{}", row.name);
        for (p, _) in backward.iter().flat_map(|b| &b.parameters) {
            assert!(p == "y" || p == "dy" || row.args.contains(&p.as_str()), "{}: {p}", row.name);
        }
    }
    for name in ["arange", "mask", "random", "cast"] {
        let path = format!("{}/shaders/elementwise/{name}.wgsl", env!("CARGO_MANIFEST_DIR"));
        signatures(name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// The gradient of a one-operand row at `x` through `Forward::vjp`.
fn gradient(x: &Var, y: &Var, dy: &Var) -> Var {
    let (op, inputs) = (y.0.op.clone(), y.0.inputs());
    assert_eq!(inputs[0].0.id, x.0.id);
    let cx = Vjp { inputs: &inputs, output: y, dy, needs: &vec![true; inputs.len()], create_graph: false };
    op.vjp(&cx).unwrap()[0].clone().unwrap()
}

#[test]
fn backward_nodes_have_the_reference_of_the_expression() {
    for row in rows().iter().filter(|r| r.derivative.is_some() && r.tensors == 1) {
        let values = samples(row);
        let run = |expressions: bool| {
            let context = context_with(expressions);
            let vars = operands(row, &values, &context);
            let y = vars[0].elementwise(row.name, &vars[1..].iter().collect::<Vec<_>>());
            let dy = data(Array::from_vec(&COUNT.into(), vec![1.5; COUNT]), &context);
            evaluate(&gradient(&vars[0], &y, &dy)).to_f64()
        };
        for (a, b) in run(true).into_iter().zip(run(false)) {
            assert!(close(a, b, 1e-9), "{}: {a} {b}", row.name);
        }
    }
}

#[test]
fn a_backward_function_of_y_without_an_inverse_is_refused() {
    let source = "fn shrug_fwd(x: f32) -> f32 { return safe_tanh(x); }\n\
                  fn shrug_bwd(y: f32, dy: f32) -> f32 { return dy * (1.0 - y * y); }";
    let host = Host::Row(super::row("tanh").unwrap().reference);
    let definition =
        Definition::new("shrug".into(), source, vec!["x".into()], RowKind::Float, host, Expression::Row(None), sign);
    let context = context_with(false);
    let x = data(Array::from_vec(&1.into(), vec![0.7]), &context);
    let y = Var::apply(Forward(Arc::new(definition)), &[&x]);
    let node = gradient(&x, &y, &x);
    let values = [Array::from_vec(&1.into(), vec![0.6]), Array::from_vec(&1.into(), vec![1.0])];
    let error = node.0.op.reference(&[&values[0], &values[1]], &node.0.meta).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { op, .. } if op == "shrug"), "{error}");
}

#[test]
fn generators_and_types() {
    let context = context();
    let x = Var::generate_arange(-2.0, 1.0, 5, DType::I32, &context);
    assert_eq!(evaluate(&(&x * 2.0)).to_vec::<i32>().unwrap(), [-4, -2, 0, 2, 4]);
    assert_eq!(evaluate(&(&x / &x.scalar_like(2.0))).to_vec::<f32>().unwrap(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
    assert_eq!(evaluate(&x.cast(DType::Bool)).to_f64(), [1.0, 1.0, 0.0, 1.0, 1.0]);
    assert_eq!(evaluate(&Var::generate_eye(2, 3, DType::F32, &context)).to_f64(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let normal = evaluate(&Var::generate_normal(20_000, 0.0, 1.0, (1, 2), &context)).to_f64();
    let mean = normal.iter().sum::<f64>() / 2e4;
    let variance = normal.iter().map(|x| x * x).sum::<f64>() / 2e4;
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
    assert!(Var::generate_randint(3, 4, 4, (0, 0), &context).check().is_err());
}

#[test]
fn user_ops_are_validated() {
    let text = "fn swish2_fwd(x: f32) -> f32 { return x * sigmoid(2.0 * x); }";
    let op = Arc::new(define("swish2", text).unwrap().with_reference(Arc::new(|a| a[0] / (1.0 + (-2.0 * a[0]).exp()))));
    let context = context();
    let y = apply(&op, &[Var::generate_arange(0.0, 1.0, 2, DType::F32, &context)]);
    assert!((evaluate(&y).to_f64()[1] - 0.880797).abs() < 1e-6);
    let text = define("bad", "fn bad_fwd(x: f32) -> f32 { return nothing(x); }").err().unwrap().to_string();
    assert!(text.contains("bad") && text.contains("nothing"), "{text}");
}

#[test]
fn second_derivatives_come_from_the_expressions() {
    let context = context();
    for name in ["tanh", "sigmoid", "gelu", "exp", "log", "square"] {
        let row = super::row(name).unwrap();
        let x = data(Array::from_vec(&1.into(), vec![0.7]), &context);
        let y = x.elementwise(name, &[]);
        let one = data(Array::from_vec(&1.into(), vec![1.0]), &context);
        let slope = |x: f64| (row.reference.dual)(&[Dual::variable(x)]).slope;
        let expected = (slope(0.7 + 1e-6) - slope(0.7 - 1e-6)) / 2e-6;
        // The total derivative of the gradient's graph with respect to x, in reverse order.
        let first = gradient(&x, &y, &one);
        let mut totals: HashMap<u64, Var> = HashMap::from([(first.0.id, one.clone())]);
        for var in order::reachable(std::slice::from_ref(&first), |_| false).into_iter().rev() {
            let Some(dy) = totals.get(&var.0.id).cloned() else { continue };
            let inputs = var.0.inputs();
            let needs: Vec<bool> = inputs.iter().map(|v| v.scalar_value().is_none()).collect();
            if inputs.is_empty() || !var.0.op.differentiable() {
                continue;
            }
            let cx = Vjp { inputs: &inputs, output: &var, dy: &dy, needs: &needs, create_graph: true };
            for (input, g) in inputs.iter().zip(var.0.op.vjp(&cx).unwrap()) {
                let Some(g) = g else { continue };
                let sum = totals.get(&input.0.id).map_or(g.clone(), |old| old + &g);
                totals.insert(input.0.id, sum);
            }
        }
        let found = evaluate(&totals[&x.0.id]).to_f64()[0];
        assert!(close(found, expected, 1e-6), "{name}: {found} {expected}");
    }
}

#[test]
fn function_names_of_user_files_do_not_clash() {
    let text = |op: &str, helper: &str, body: &str| {
        format!(
            "fn {helper}(x: f32) -> f32 {{ return {body}; }}\nfn {op}_fwd(x: f32) -> f32 {{ return {helper}(x); }}\n"
        )
    };
    define("clash_a", &text("clash_a", "clash_helper", "x * x")).unwrap();
    define("clash_a", &text("clash_a", "clash_helper", "x * x")).unwrap();
    let other = define("clash_b", &text("clash_b", "clash_helper", "x + x")).err().unwrap().to_string();
    assert!(other.contains("clash_helper"), "{other}");
    for taken in ["combine_sum_f32", "gelu_fwd", "store"] {
        let error = define("clash_c", &text("clash_c", taken, "x")).err().unwrap().to_string();
        assert!(error.contains(taken), "{error}");
    }
}

#[test]
fn long_functions_are_told_from_short_ones() {
    let forward = |name: &str| {
        let row = rows().iter().find(|row| row.name.trim_end_matches('_') == name).unwrap();
        let function = WgslFn { name: format!("{name}_fwd"), source: row.wgsl.into(), trusted: true };
        length(&function)
    };
    for name in
        ["add", "mul", "div", "neg", "relu", "leaky_relu", "hardswish", "clamp", "maximum", "where", "sqrt", "lt"]
    {
        assert!((1..=8).contains(&forward(name)), "{name}: {}", forward(name));
    }
    for name in ["exp", "tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "erf", "sin", "pow", "log"] {
        assert!(forward(name) > 8, "{name}: {}", forward(name));
    }
}
