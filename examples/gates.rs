//! Small graphs whose gradients can be followed with a pencil.
//!
//! Values flow forward through gates, gradients flow back: an add gate passes its gradient to both inputs, a multiply
//! gate swaps the input values, a max gate sends all of it to the larger input, and where a value is used twice its
//! gradients add up. Each node is printed with its value and its gradient, checked against the values that the chain
//! rule gives.
//!
//! ```text
//! cargo run --release --example gates
//! ```
//!
//! Writes each graph as DOT and SVG to `out/gates`.

mod common;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use common::{Result, ensure};
use serde_json::{Value, json};
use wgrad::{Device, Tensor, autograd};

/// Print values and gradients at every node of small graphs
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: common::RunArgs,
}

/// A node by its formula, with the value and the gradient that it must have.
type Node<'a> = (&'a str, &'a Tensor, f32, f32);

fn main() -> ExitCode {
    common::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result {
    let (device, out) = args.run.begin("gates")?;
    let graphs = json!({
        "add_multiply": add_multiply(&device, &out)?,
        "multiply_max": multiply_max(&device, &out)?,
        "fork_product": fork_product(&device, &out)?,
        "fork_sum": fork_sum(&device, &out)?,
    });
    args.run.write_json(&json!({ "example": "gates", "graphs": graphs, "device": common::device_json(&device) }))
}

fn leaf(value: f32, device: &Device) -> Tensor {
    Tensor::scalar(value, device).requires_grad()
}

/// An add gate passes the gradient on; a multiply gate multiplies it with the other input.
fn add_multiply(device: &Device, out: &Path) -> Result<Value> {
    let (x, y, z) = (leaf(-2.0, device), leaf(5.0, device), leaf(-4.0, device));
    let q = &x + &y;
    let f = &q * &z;
    show(
        "f = (x + y)·z",
        &out.join("add_multiply"),
        &[
            ("x", &x, -2.0, -4.0),
            ("y", &y, 5.0, -4.0),
            ("z", &z, -4.0, 3.0),
            ("q = x + y", &q, 3.0, -4.0),
            ("f = q·z", &f, -12.0, 1.0),
        ],
    )
}

/// A max gate routes the whole gradient to its larger input.
fn multiply_max(device: &Device, out: &Path) -> Result<Value> {
    let (x, y, z, w) = (leaf(3.0, device), leaf(-4.0, device), leaf(2.0, device), leaf(-1.0, device));
    let p = &x * &y;
    let m = z.maximum(&w);
    let s = &p + &m;
    let f = &s * 2.0;
    show(
        "f = 2·(x·y + max(z, w))",
        &out.join("multiply_max"),
        &[
            ("x", &x, 3.0, -8.0),
            ("y", &y, -4.0, 6.0),
            ("z", &z, 2.0, 2.0),
            ("w", &w, -1.0, 0.0),
            ("p = x·y", &p, -12.0, 2.0),
            ("m = max(z, w)", &m, 2.0, 2.0),
            ("s = p + m", &s, -10.0, 2.0),
            ("f = 2·s", &f, -20.0, 1.0),
        ],
    )
}

/// `x` is used twice: what comes back along both branches adds up.
fn fork_product(device: &Device, out: &Path) -> Result<Value> {
    let x = leaf(2.0, device);
    let a = x.exp();
    let b = x.square();
    let f = &a * &b;
    let e2 = 2f32.exp();
    show(
        "f = e^x · x²",
        &out.join("fork_product"),
        &[
            // e^x · x² + 2x · e^x
            ("x", &x, 2.0, e2 * 4.0 + 4.0 * e2),
            ("a = e^x", &a, e2, 4.0),
            ("b = x²", &b, 4.0, e2),
            ("f = a·b", &f, 4.0 * e2, 1.0),
        ],
    )
}

/// The same fork, joined by an add gate.
fn fork_sum(device: &Device, out: &Path) -> Result<Value> {
    let x = leaf(2.0, device);
    let a = x.exp();
    let b = x.square();
    let f = &a + &b;
    let e2 = 2f32.exp();
    show(
        "f = e^x + x²",
        &out.join("fork_sum"),
        &[
            // e^x + 2x
            ("x", &x, 2.0, e2 + 4.0),
            ("a = e^x", &a, e2, 1.0),
            ("b = x²", &b, 4.0, 1.0),
            ("f = a + b", &f, e2 + 4.0, 1.0),
        ],
    )
}

/// Exports the graph, prints and checks every node; the last node is the output.
fn show(title: &str, path: &Path, nodes: &[Node]) -> Result<Value> {
    let (_, output, ..) = nodes.last().ok_or("a graph has at least one node")?;
    println!("\n{title}");
    common::write(&path.with_extension("dot"), &output.to_dot())?;
    common::write(&path.with_extension("svg"), &output.to_svg())?;

    let tensors: Vec<&Tensor> = nodes.iter().map(|(_, tensor, ..)| *tensor).collect();
    let gradients = autograd::grad(&[*output], &tensors, false)?;
    let mut rows = Vec::new();
    let mut figures = Vec::new();
    for ((name, tensor, value, gradient), computed) in nodes.iter().zip(&gradients) {
        let (computed_value, computed_gradient) = (tensor.item::<f32>()?, computed.item::<f32>()?);
        for (what, computed, expected) in
            [("value", computed_value, *value), ("gradient", computed_gradient, *gradient)]
        {
            ensure(
                (computed - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                format!("{title}: the {what} of {name} is {computed}, it should be {expected}"),
            )?;
        }
        rows.push([name.to_string(), format!("{computed_value:.4}"), format!("{computed_gradient:.4}")]);
        figures.push(json!({ "node": name, "value": computed_value, "gradient": computed_gradient }));
    }
    common::table(["node", "value", "gradient"], &rows);
    Ok(json!(figures))
}
