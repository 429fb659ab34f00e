use wgrad::optim::*;
use wgrad::*;
#[test]
fn smoke() {
    let d = Device::gpu().unwrap();
    let c = Device::cpu();
    for dev in [&c, &d] {
        dev.seed(3);
        let x = Tensor::randn([64, 100], dev);
        let y = Tensor::randn([64, 10], dev);
        x.realize().unwrap();
        y.realize().unwrap();
        let w1 = Tensor::randn([100, 50], dev).requires_grad();
        let w2 = Tensor::randn([50, 10], dev).requires_grad();
        let b = Tensor::zeros([50], dev).requires_grad();
        let mut opt = Adam::new(vec![w1.clone(), w2.clone(), b.clone()], 1e-2);
        for i in 0..8 {
            let loss = ((x.matmul(&w1) + &b).relu().matmul(&w2) - &y).square().sum();
            opt.zero_grad();
            loss.backward().unwrap();
            opt.step().unwrap();
            println!("{i} {:?} {:?}", dev.stats(), dev.memory());
            if i == 7 {
                println!("{}", loss.item::<f32>().unwrap());
            }
        }
    }
}
