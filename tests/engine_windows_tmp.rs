use wgrad::*;
#[test]
fn windows() {
    let d = Device::gpu_with(true, |c| c.max_binding = 4096).unwrap();
    let n = 5003;
    let x = Tensor::arange(0.0, n as f32, 1.0, &d);
    x.realize().unwrap();
    let y = Tensor::rand([n], &d);
    y.realize().unwrap();
    let z = (&x * 2.0 + &y).relu();
    let (xv, yv, zv) = (x.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap(), z.to_vec::<f32>().unwrap());
    let c = Device::cpu();
    for i in 0..n {
        assert_eq!(xv[i], i as f32);
        assert_eq!(zv[i], xv[i] * 2.0 + yv[i]);
    }
    let row = Tensor::arange(0.0, 7.0, 1.0, &d);
    let m = Tensor::zeros([900, 7], &d) + &row;
    assert_eq!(
        m.to_vec::<f32>().unwrap()[6 * 700 + 701..][..5],
        (0..5).map(|i| ((6 * 700 + 701 + i) % 7) as f32).collect::<Vec<_>>()[..]
    );
    assert!(d.stats().dispatches > 5);
    println!("{:?}", x.reshape([5003, 1]).t().sum().item::<f32>());
    let _ = c;
}
