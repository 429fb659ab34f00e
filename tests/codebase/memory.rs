//! What a step of known models takes, without any device: dispatches, memory against the lower bound, memory within a budget.

use wgrad::{Device, PlanSummary};

use crate::graphs::adapters;
use crate::models::{self, Gpt, Step};

/// The plan of a steady step.
fn steady(device: &Device, step: &mut Step) -> PlanSummary {
    (0..2).for_each(|_| drop(step().unwrap()));
    let before = device.planned().len();
    let _ = step().unwrap();
    let mut plans = device.planned().split_off(before);
    assert_eq!(plans.len(), 1, "a step is one flush");
    plans.remove(0)
}

/// Dispatches of a training step: on GPUs and on software adapters, with 8 storage buffers a kernel and with more, where the
/// updates of many parameters run side by side.
fn most_dispatches(model: &str, software: bool, wide: bool) -> usize {
    // Where the loss checks its targets, the gate of the updates and the factors of their step count are kernels of one invocation.
    let [gpu, wide_gpu, cpu, wide_cpu] = match model {
        "two_layer_net" => [7, 7, 7, 7],
        "mlp" => [23, 19, 21, 19],
        "cnn" => [55, 50, 56, 49],
        // GELU and its gradient are kernels of their own on software adapters, where they are too long to stand at each store of a product.
        "gpt of 2 layers" => [129, 106, 145, 103],
        _ => [232, 189, 262, 182],
    };
    match (software, wide) {
        (false, false) => gpu,
        (false, true) => wide_gpu,
        (true, false) => cpu,
        (true, true) => wide_cpu,
    }
}

/// Kernels that pack operands into panels, which adapters without panels do not have.
fn into_panels(adapter: &str, plan: &PlanSummary) -> usize {
    let packs = plan.kernels.iter().filter(|name| *name == "matmul_pack");
    if adapter.ends_with("panels") { packs.count() } else { 0 }
}

/// A layer of a GPT forward: two norms, four products that take in biases, gelu and residuals, attention, and its heads
/// put beside each other. On software adapters without subgroups attention is two products and a softmax of four kernels.
#[test]
fn a_layer_of_a_gpt() {
    for (adapter, caps) in adapters() {
        let device = Device::null(caps, true);
        let forward = |layers: usize| {
            let (_, logits) = models::gpt_logits(Gpt::small(layers), &device);
            let plan = wgrad::no_grad(logits).plan().unwrap();
            plan.dispatches - into_panels(adapter, &plan)
        };
        let layer = (forward(4) - forward(2)) / 2;
        println!("{adapter}: {layer} dispatches a layer");
        assert!(layer <= if adapter == "software" { 13 } else { 8 }, "{adapter}: {layer}");
    }
}

#[test]
fn workspaces_stay_near_the_lower_bound() {
    for (adapter, caps) in adapters() {
        let device = Device::null(caps, true);
        for (name, make) in models::LIST {
            let plan = steady(&device, &mut make(&device));
            let ratio = plan.workspace as f64 / plan.lower_bound as f64;
            println!(
                "{name}, {adapter}: {} dispatches, peak {}, workspace {}, {ratio:.4} of the lower bound",
                plan.dispatches, plan.peak_bytes, plan.workspace
            );
            let (software, wide) = (adapter.starts_with("software"), adapter.ends_with("64 buffers"));
            let most = most_dispatches(name, software, wide) + into_panels(adapter, &plan);
            assert!(plan.dispatches <= most, "{name}, {adapter}: {plan}");
            assert!(plan.workspace >= plan.lower_bound && ratio <= 1.05, "{name}, {adapter}: {plan}");
            assert_eq!(plan.peak_bytes, plan.workspace + plan.outputs + plan.leaves);
        }
    }
}

#[test]
fn a_gpt_fits_within_less_memory() {
    let (adapter, caps) = adapters().swap_remove(0);
    let device = Device::null(caps, true);
    let sizes = Gpt { batch: 32, ..Gpt::small(2) };
    let free = steady(&device, &mut models::gpt(sizes, &device));
    let budget = free.peak_bytes * 6 / 10;
    device.set_memory_budget(Some(budget));
    let tight = steady(&device, &mut models::gpt(sizes, &device));
    println!(
        "{adapter}: peak {} of {}, {} values computed again, {} dispatches instead of {}",
        tight.peak_bytes, free.peak_bytes, tight.recomputed, tight.dispatches, free.dispatches
    );
    assert!(tight.peak_bytes <= budget && tight.recomputed > 0 && free.recomputed == 0);
}

/// The size of a small language model (SmolLM2-135M has 513 MiB of parameters): a step of AdamW needs parameters, gradients and two moments,
/// and what the backward pass reads of 128 tokens.
#[test]
fn a_step_of_a_language_model_needs_four_times_its_parameters() {
    let sizes = || Gpt { layers: 19, batch: 1, block: 128, width: 576, heads: 9, vocabulary: 49_152 };
    for (adapter, caps) in adapters() {
        if !["gpu", "gpu, 64 buffers", "software with subgroups and panels"].contains(&adapter) {
            continue;
        }
        let device = Device::null(caps, true);
        let bytes: u64 = models::gpt_logits(sizes(), &device).0.iter().map(|p| 4 * p.numel() as u64).sum();
        let plan = steady(&device, &mut models::gpt(sizes(), &device));
        let [mib, peak, workspace] = [bytes, plan.peak_bytes, plan.workspace].map(|bytes| bytes >> 20);
        println!(
            "{adapter}: parameters {mib} MiB, peak {peak} MiB, of which reads {} and leaves {}, workspace {workspace} MiB",
            plan.leaves >> 20,
            plan.outputs >> 20
        );
        assert!(plan.peak_bytes as f64 <= 4.8 * bytes as f64, "{adapter}: {peak} MiB for {mib} MiB of parameters");
    }
}
