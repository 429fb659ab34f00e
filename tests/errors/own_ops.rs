//! Ops of users: lines in their shaders, and wrong backward functions.

use wgrad::autograd::{ElementwiseOp, gradcheck, gradgradcheck};
use wgrad::{Device, Error, Tensor};

use crate::{gpu, logged};

#[test]
fn shader_errors_count_the_lines_of_the_text() {
    let source = "// a comment\nfn wave_fwd(x: f32) -> f32 {\n    return sinn(x);\n}\n";
    let error = ElementwiseOp::new("wave", source).err().unwrap();
    assert!(error.to_string().contains("wave:3:12"), "{error}");
    let source =
        "fn wave_fwd(x: f32) -> f32 { return sin(x); }\n\nfn wave_bwd(x: f32, dy: f32) -> f32 {\n    return true;\n}\n";
    let error = ElementwiseOp::new("wave", source).err().unwrap();
    assert!(matches!(error, Error::Shader { .. }) && error.to_string().contains("4 │ │     return true;"), "{error}");
    // Functions of the prelude are there, wherever they stand.
    let source = "fn wave_fwd(x: f32) -> f32 { return safe_tanh(x); }";
    assert!(ElementwiseOp::new("wave_of_prelude", &source.replace("wave_fwd", "wave_of_prelude_fwd")).is_ok());
}

/// x³ with a backward function that the caller gives.
fn cube(name: &str, backward: &str) -> ElementwiseOp {
    let source = format!("fn {name}_fwd(x: f32) -> f32 {{ return x * x * x; }}\nfn {name}_bwd({backward}");
    ElementwiseOp::new(name, &source).unwrap()
}

const RIGHT: &str = "x: f32, dy: f32) -> f32 { return 3.0 * x * x * dy; }";
const WRONG: &str = "x: f32, dy: f32) -> f32 { return 2.0 * x * x * dy; }";

fn on_host(op: ElementwiseOp) -> ElementwiseOp {
    op.with_reference(|x| x[0].powi(3)).with_derivative(|cx| vec![Some(&cx.inputs[0] * &cx.inputs[0] * cx.dy * 3.0)])
}

fn points(device: &Device) -> Tensor {
    Tensor::from_slice(&[-1.5f32, 0.2, 0.9, 40.0], [4], device)
}

#[test]
fn a_wrong_backward_function_is_found() {
    let x = points(gpu());
    for full in [false, true] {
        let make = |name: &str, backward: &str| {
            let op = cube(name, backward);
            if full { on_host(op) } else { op }
        };
        let (right, wrong) = if full { ("cube_right", "cube_wrong") } else { ("bare_cube_right", "bare_cube_wrong") };
        let op = make(right, RIGHT);
        let report = gradcheck(|x| op.apply(&[&x[0]]), &[&x], 1e-6).unwrap();
        assert_eq!(report.compared, if full { 8 } else { 4 });
        let op = make(wrong, WRONG);
        let line = line!() + 1;
        let error = gradcheck(|x| op.apply(&[&(&x[0] * 2.0)]).tanh(), &[&x], 1e-6).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Autograd { .. }), "{text}");
        assert!(text.contains("by the shaders of") && text.contains(&format!("{}:{line}:", file!())), "{text}");
        // From inputs on the CPU too, as far as the default device is an adapter.
        if !Device::default().is_cpu() {
            let x = points(&Device::cpu());
            assert!(gradcheck(|x| op.apply(&[&x[0]]), &[&x], 1e-6).is_err());
        }
    }
}

#[test]
fn a_wrong_derivative_is_found_on_the_cpu() {
    let wrong = cube("cube_of_wrong_derivative", RIGHT)
        .with_reference(|x| x[0].powi(3))
        .with_derivative(|cx| vec![Some(&cx.inputs[0] * cx.dy * 3.0)]);
    let x = points(gpu());
    let text = gradcheck(|x| wrong.apply(&[&x[0]]), &[&x], 1e-6).unwrap_err().to_string();
    assert!(!text.contains("by the shaders"), "{text}");
    let right = on_host(cube("cube_for_second", RIGHT));
    gradgradcheck(|x| right.apply(&[&x[0]]), &[&x], 1e-4).unwrap();
}

#[test]
fn what_is_not_moved_is_refused_with_the_reason() {
    let w = Tensor::ones([4], gpu());
    let error = gradcheck(|x| &x[0] * &w, &[&points(gpu())], 1e-6).unwrap_err().to_string();
    assert!(error.contains("gradcheck: mul: ") && error.contains("give it as an input"), "{error}");
    gradcheck(|x| &x[0] * &x[1], &[&points(gpu()), &w], 1e-6).unwrap();
}

#[test]
fn no_adapter_is_a_warning() {
    if !Device::default().is_cpu() {
        return;
    }
    let op = on_host(cube("cube_without_adapter", WRONG));
    let said = logged(|| drop(gradcheck(|x| op.apply(&[&x[0]]), &[&points(&Device::cpu())], 1e-6)));
    assert!(said.iter().any(|line| line.contains("cube_without_adapter")), "{said:?}");
}
