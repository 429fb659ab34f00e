//! Looking inside: explanations, plans, pictures, traces and the log.
use crate::new_gpu;
use wgrad::Tensor;

#[test]
fn try_it() {
    let device = new_gpu();
    let x = Tensor::randn([64, 128], &device);
    let w = Tensor::randn([128, 96], &device);
    let b = Tensor::randn([96], &device);
    x.realize().unwrap();
    w.realize().unwrap();
    b.realize().unwrap();
    let h = (x.matmul(&w) + &b).relu();
    let y = (h.softmax(1) * 2.0).sum_dims(&[0], false);
    println!("{}", y.plan().unwrap());
    println!("{}", y.plan_dot().unwrap());
    std::fs::write("/tmp/plan.svg", y.plan_svg().unwrap()).unwrap();
    println!("{}", y.explain().unwrap());
    println!("{}", y.explain().unwrap());
    let c = Tensor::randn([64, 128], &wgrad::Device::cpu());
    println!("{}", c.matmul(&c.t()).explain().unwrap());
}
