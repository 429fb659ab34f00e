//! Memory budgets: values are computed again instead of being stored, and no bit changes.

use wgrad::{Device, Error, Tensor};

use crate::models::{self, Gpt};
use crate::new_gpu;

#[test]
fn a_gpt_within_a_budget_gives_the_same_bits() {
    let sizes = Gpt { layers: 3, batch: 2, block: 64, width: 32, heads: 2, vocabulary: 65 };
    let losses = |device: &Device| -> Result<Vec<u32>, Error> {
        let mut step = models::gpt(sizes, device);
        (0..4).map(|_| Ok(step()?.item::<f32>()?.to_bits())).collect()
    };
    let free = new_gpu();
    let expected = losses(&free).unwrap();
    let tight = new_gpu();
    let mut step = models::gpt(sizes, &tight);
    // The optimizer makes its state.
    let _ = step().unwrap();
    tight.set_memory_budget(Some(1));
    let Err(Error::OverBudget { least, .. }) = step() else { panic!("a GPT fits within a byte") };
    let bounded = new_gpu();
    bounded.set_memory_budget(Some(least));
    assert_eq!(losses(&bounded).unwrap(), expected);
    let (free, bounded) = (free.memory().peak, bounded.memory().peak);
    assert!(bounded < free * 5 / 6, "{bounded} and {free}");
}

#[test]
fn a_budget_that_is_too_small_says_what_would_do() {
    let device = new_gpu();
    let x = Tensor::rand([256, 256], &device);
    x.realize().unwrap();
    let y = x.matmul(&x).tanh().matmul(&x).sum();
    let Err(Error::OverBudget { budget: 1000, least, .. }) = y.fit_within(1000) else {
        panic!("fits within 1000 bytes")
    };
    assert!(least >= 256 * 256 * 4 && least <= y.plan().unwrap().peak_bytes, "{least}");
    device.set_memory_budget(Some(1000));
    let error = y.realize().unwrap_err().to_string();
    assert!(error.contains("1000") && error.contains(&least.to_string()), "{error}");
    device.set_memory_budget(Some(least));
    y.realize().unwrap();
    device.set_memory_budget(None);
    assert!(y.item::<f32>().unwrap().is_finite());
}

/// Dropout draws the same numbers again.
#[test]
fn random_masks_are_drawn_again_alike() {
    let run = |budget: bool| {
        let device = new_gpu();
        device.seed(3);
        let w = Tensor::from_slice(&[0.1f32; 64 * 64], [64, 64], &device).requires_grad();
        let x = Tensor::from_slice(&(0..512 * 64).map(|i| (i as f32).sin()).collect::<Vec<_>>(), [512, 64], &device);
        let mut h = x.clone();
        for _ in 0..4 {
            h = h.matmul(&w).tanh().dropout(0.5, true);
        }
        let loss = h.square().mean();
        loss.backward().unwrap();
        let grad = w.grad().unwrap();
        if budget {
            let peak = grad.plan().unwrap().peak_bytes;
            let Err(Error::OverBudget { least, .. }) = grad.fit_within(1) else { panic!("fits within a byte") };
            assert!(least < peak * 9 / 10, "{least} of {peak}");
            assert!(grad.fit_within(least).unwrap().recomputed > 0);
            device.set_memory_budget(Some(least));
        }
        drop((h, loss));
        grad.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    assert_eq!(run(true), run(false));
}
