//! Products with Jacobians and Hessians, and custom functions, against derivatives written by hand.

use wgrad::autograd::{Function, Saved, grad, hessian, hvp, jacobian, jvp, vjp};
use wgrad::{Device, Error, Result, Tensor, no_grad};

use crate::common::*;
use crate::inputs::hardware;

fn devices() -> [&'static Device; 3] {
    [cpu(), gpu(), hardware()]
}

fn vector(values: &[f32], device: &Device) -> Tensor {
    Tensor::from_slice(values, [values.len()], device)
}

/// Panics where `found` has another shape or values than expected.
#[track_caller]
fn expect(found: &Tensor, shape: &[usize], expected: &[f64]) {
    assert_eq!(found.shape(), shape);
    assert_close("derivative", &values(found), expected, 1e-5);
}

/// That an error is about this file's lines, and says `words`.
#[track_caller]
fn expect_error<T>(found: Result<T>, words: &str) {
    let Err(error) = found else { panic!("no error that says {words:?}") };
    let text = error.to_string();
    assert!(text.contains(words) && text.contains("functional.rs:"), "{text}");
}

#[test]
fn products_with_the_jacobian() -> Result<()> {
    for device in devices() {
        let (x, v) = (vector(&[0.5, -1.0, 2.0], device), vector(&[1.0, 2.0, -0.5], device));
        let cube = |x: &Tensor| x.powi(3);
        for (y, product) in [vjp(cube, &x, &v)?, jvp(cube, &x, &v)?] {
            expect(&y, &[3], &[0.125, -1.0, 8.0]);
            expect(&product, &[3], &[0.75, 6.0, -6.0]);
        }
        // y = (x0 x1, x0 sin x2)
        let f = |x: &Tensor| {
            let [a, b, c] = [0, 1, 2].map(|i| x.select(0, i));
            Tensor::stack(&[&(&a * &b), &(&a * c.sin())], 0)
        };
        let (s, c) = (f64::from(2f32).sin(), f64::from(2f32).cos());
        let rows = [-1.0, 0.5, 0.0, s, 0.0, 0.5 * c];
        expect(&jacobian(f, &x)?, &[2, 3], &rows);
        expect(&jvp(f, &x, &v)?.1, &[2], &[0.0, s - 0.25 * c]);
        let u = vector(&[2.0, 3.0], device);
        expect(&vjp(f, &x, &u)?.1, &[3], &[-2.0 + 3.0 * s, 1.0, 1.5 * c]);
        // The point may be a leaf of its own; nothing reaches its gradient.
        let leaf = x.requires_grad();
        expect(&vjp(f, &leaf, &u)?.1, &[3], &[-2.0 + 3.0 * s, 1.0, 1.5 * c]);
        assert!(leaf.grad().is_none());
    }
    Ok(())
}

#[test]
fn second_derivatives() -> Result<()> {
    for device in devices() {
        let (x, v) = (vector(&[0.5, -1.0], device), vector(&[2.0, 3.0], device));
        // y = x0² x1 + e^x1
        let f = |x: &Tensor| x.select(0, 0).square() * x.select(0, 1) + x.select(0, 1).exp();
        let e = (-1f64).exp();
        expect(&hessian(f, &x)?, &[2, 2], &[-2.0, 1.0, 1.0, e]);
        let (y, product) = hvp(f, &x, &v)?;
        expect(&y, &[], &[-0.25 + e]);
        expect(&product, &[2], &[-1.0, 2.0 + 3.0 * e]);
        // A matrix has a Hessian of four dims.
        let square = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0], [2, 2], device);
        let trace = |x: &Tensor| x.matmul(x).tril(0).triu(0).sum();
        let mut expected = [0.0; 16];
        for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            expected[(i * 2 + j) * 4 + j * 2 + i] = 2.0; // d² tr(xx) / dx_ij dx_ji
        }
        expect(&hessian(trace, &square)?, &[2, 2, 2, 2], &expected);
    }
    Ok(())
}

#[test]
fn the_jacobian_of_softmax() -> Result<()> {
    let x = [0.3f32, -0.7, 1.1, 0.0];
    let total: f64 = x.iter().map(|&v| f64::from(v).exp()).sum();
    let p = x.map(|v| f64::from(v).exp() / total);
    let at = |i: usize, j: usize| p[i] * (f64::from(u8::from(i == j)) - p[j]);
    let expected: Vec<f64> = (0..16).map(|k| at(k / 4, k % 4)).collect();
    for device in devices() {
        expect(&jacobian(|x| x.softmax(0), &vector(&x, device))?, &[4, 4], &expected);
        expect(&hessian(|x| x.logsumexp_dims(&[0], false), &vector(&x, device))?, &[4, 4], &expected);
    }
    Ok(())
}

#[test]
fn functions_that_do_not_depend_on_the_point() -> Result<()> {
    for device in devices() {
        let (x, v) = (vector(&[1.0, 2.0], device), vector(&[1.0, 1.0], device));
        let other = Tensor::ones([2, 3], device);
        let constant = |_: &Tensor| other.clone();
        expect(&vjp(constant, &x, &other)?.1, &[2], &[0.0; 2]);
        expect(&jvp(constant, &x, &v)?.1, &[2, 3], &[0.0; 6]);
        expect(&jacobian(constant, &x)?, &[2, 3, 2], &[0.0; 12]);
        let constant = |_: &Tensor| other.sum();
        expect(&hvp(constant, &x, &v)?.1, &[2], &[0.0; 2]);
        expect(&hessian(constant, &x)?, &[2, 2], &[0.0; 4]);
        let linear = |x: &Tensor| (x * 3.0).sum();
        expect(&hvp(linear, &x, &v)?.1, &[2], &[0.0; 2]);
        expect(&hessian(linear, &x)?, &[2, 2], &[0.0; 4]);
        expect(&jvp(|x| x.detach() * 2.0, &x, &v)?.1, &[2], &[0.0; 2]);
        // No elements on one side or the other.
        expect(&jacobian(|x| x.slice(0, 0..0), &x)?, &[0, 2], &[]);
        expect(&jacobian(|x| x.sum(), &Tensor::zeros([0], device))?, &[0], &[]);
    }
    Ok(())
}

#[test]
fn operands_that_do_not_fit() {
    for device in devices() {
        let (x, v) = (vector(&[1.0, 2.0], device), vector(&[1.0, 1.0, 1.0], device));
        expect_error(vjp(|x| x.exp(), &x, &v), "another shape");
        expect_error(jvp(|x| x.exp(), &x, &v), "another shape");
        expect_error(hvp(|x| x.exp().sum(), &x, &v), "another shape");
        expect_error(hvp(|x| x.exp(), &x, &x), "no scalar");
        expect_error(hessian(|x| x.exp(), &x), "no scalar");
        expect_error(jacobian(|x| x + &v, &x), "shape");
        expect_error(jvp(|x| x + &v, &x, &x), "shape");
    }
}

/// `a² b`, with its gradients.
struct SquareTimes;

impl Function for SquareTimes {
    fn forward(&self, saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
        inputs.iter().for_each(|t| saved.save(t));
        inputs[0].square() * &inputs[1]
    }

    fn backward(&self, saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
        let [a, b] = saved.tensors() else { return Vec::new() };
        vec![Some(dy * a * b * 2.0), Some(dy * a.square())]
    }
}

/// Returns its first operand doubled, and from its backward pass whatever it was given.
struct Wrong(fn(&Tensor) -> Vec<Option<Tensor>>);

impl Function for Wrong {
    fn forward(&self, _saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
        &inputs[0] * 2.0
    }

    fn backward(&self, _saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
        (self.0)(dy)
    }
}

#[test]
fn custom_functions_within_a_graph() -> Result<()> {
    let (a, b) = ([0.5f32, -1.0, 2.0], [1.0f32, 3.0, -0.25]);
    let unfused = Device::gpu_with_fusion(false)?;
    for device in devices().into_iter().chain([&unfused]) {
        let leaves = || (vector(&a, device).requires_grad(), vector(&b, device).requires_grad());
        let compute = |custom: bool| -> Result<Vec<Vec<f64>>> {
            let (a, b) = leaves();
            let (u, v) = ((&a * 1.5 + 0.5).tanh(), b.exp() - &a);
            let y = if custom { SquareTimes.apply(&[&u, &v]) } else { u.square() * &v };
            // Read twice, and through the same inputs besides.
            let loss = (&y * &y + y.sigmoid() * &u).sum();
            loss.backward()?;
            Ok([&loss, &a.grad().unwrap(), &b.grad().unwrap()].map(values).to_vec())
        };
        for (found, expected) in compute(true)?.iter().zip(compute(false)?) {
            assert_close("custom function", found, &expected, 1e-5);
        }
        // One operand in both places, and one that is no leaf.
        let (a, b) = leaves();
        SquareTimes.apply(&[&a, &a]).sum().backward()?;
        expect(&a.grad().unwrap(), &[3], &[0.75, 3.0, 12.0]);
        SquareTimes.apply(&[&b.detach(), &b]).sum().backward()?;
        expect(&b.grad().unwrap(), &[3], &[1.0, 9.0, 0.0625]);
    }
    Ok(())
}

#[test]
fn custom_functions_without_gradients() -> Result<()> {
    for device in devices() {
        let x = vector(&[1.0, 2.0], device).requires_grad();
        let y = no_grad(|| SquareTimes.apply(&[&x, &x]));
        expect(&y, &[2], &[1.0, 8.0]);
        assert!(y.sum().backward().is_err() && x.grad().is_none());
        let plain = vector(&[1.0, 2.0], device);
        assert!(SquareTimes.apply(&[&plain, &plain]).sum().backward().is_err());
        let none = Wrong(|dy| vec![Some(dy * 2.0), None]).apply(&[&plain, &x]);
        none.sum().backward()?;
        assert!(x.grad().is_none_or(|g| values(&g) == [0.0; 2]));
    }
    Ok(())
}

#[test]
fn custom_functions_with_faults() {
    for device in devices() {
        let (x, y) = (vector(&[1.0, 2.0], device).requires_grad(), vector(&[3.0, 4.0], device));
        let fault = |f: fn(&Tensor) -> Vec<Option<Tensor>>| Wrong(f).apply(&[&x, &y]).sum().backward();
        expect_error(fault(|dy| vec![Some(dy.clone())]), "1 gradients for 2 inputs");
        expect_error(fault(|dy| vec![Some(dy.clone()), None, None]), "3 gradients for 2 inputs");
        expect_error(fault(|dy| vec![Some(dy.sum()), None]), "gradient");
        expect_error(fault(|dy| vec![Some(dy.unsqueeze(0)), None]), "gradient");
        expect_error(fault(|dy| vec![Some(dy.to_dtype(wgrad::DType::I32)), None]), "gradient");
        expect_error(fault(|dy| vec![Some(dy + Tensor::zeros([3], dy.device())), None]), "shape");
        assert!(x.grad().is_none());
        let longer = vector(&[1.0, 2.0, 3.0], device);
        expect_error(SquareTimes.apply(&[&x, &longer]).to_vec::<f32>(), "shape");
        expect_error(Wrong(|_| Vec::new()).apply(&[]).to_vec::<f32>(), "no inputs");
        let elsewhere = vector(&[1.0, 2.0], &Device::cpu());
        let mixed = SquareTimes.apply(&[&x, &elsewhere]).check();
        assert!(matches!(mixed, Err(Error::DeviceMismatch { .. })), "{mixed:?}");
    }
}

/// Forward-mode products and second derivatives go through what `backward` computes.
#[test]
fn custom_functions_are_differentiated_again() -> Result<()> {
    for device in devices() {
        let (x, v) = (vector(&[1.0, -2.0], device), vector(&[1.0, 0.5], device));
        let cube = |x: &Tensor| SquareTimes.apply(&[x, x]);
        expect(&jvp(cube, &x, &v)?.1, &[2], &[3.0, 6.0]);
        expect(&hvp(|x| cube(x).sum(), &x, &v)?.1, &[2], &[6.0, -6.0]);
        let leaf = x.requires_grad();
        let first = grad(&[&cube(&leaf).sum()], &[&leaf], true)?.remove(0);
        expect(&grad(&[&first.sum()], &[&leaf], false)?[0], &[2], &[6.0, -12.0]);
        expect(&jvp(|x| Exp.apply(&[x]), &x, &v)?.1, &[2], &[1f64.exp(), 0.5 * (-2f64).exp()]);
        expect(&hvp(|x| Exp.apply(&[x]).sum(), &x, &v)?.1, &[2], &[1f64.exp(), 0.5 * (-2f64).exp()]);
    }
    Ok(())
}

/// `e^x`, which keeps its output.
struct Exp;

impl Function for Exp {
    fn forward(&self, saved: &mut Saved, inputs: &[Tensor]) -> Tensor {
        let y = inputs[0].exp();
        saved.save(&y);
        y
    }

    fn backward(&self, saved: &Saved, dy: &Tensor) -> Vec<Option<Tensor>> {
        vec![Some(dy * &saved.tensors()[0])]
    }
}
