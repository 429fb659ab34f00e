//! Looking inside: explanations, plans, pictures, traces and the log.

use std::collections::HashMap;

use serde_json::Value;
use wgrad::internals::Caps;
use wgrad::{Device, EndReason, Error, Explanation, KernelReport, Result, StoreReason, Tensor};

use crate::environment::{printed, run};
use crate::{gpu, new_gpu, unfused};

/// Both kernel families.
fn devices() -> [Device; 2] {
    [new_gpu(), Device::gpu_with(true, |caps| caps.software = false).unwrap()]
}

fn data(shape: &[usize], device: &Device) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_slice(&values, shape, device)
}

fn here(line: u32) -> String {
    format!("{}:{line}", file!())
}

/// Times are there where the device has them, and make sense.
#[track_caller]
fn assert_times(explanation: &Explanation) {
    if explanation.has_times {
        let time = explanation.kernel_time().unwrap();
        assert!(!time.is_zero() && time <= explanation.running, "{explanation}");
        for kernel in explanation.kernels.iter().filter(|k| k.time.is_some_and(|t| !t.is_zero())) {
            let expected = kernel.bytes() as f64 / kernel.time.unwrap().as_nanos() as f64;
            assert_eq!(kernel.gigabytes_per_second(), Some(expected));
        }
    } else {
        assert!(explanation.kernel_time().is_none() && explanation.to_string().contains("no timestamps"));
    }
}

#[test]
fn an_elementwise_kernel_is_explained() {
    for device in devices() {
        let (x, y, b) = (data(&[60, 50], &device), data(&[60, 50], &device), data(&[50], &device));
        let first = line!() + 1;
        let product = &x * &y;
        let z = (product + &b).tanh();
        let explanation = z.explain().unwrap();
        let [kernel] = &explanation.kernels[..] else { panic!("{explanation}") };
        // The product is a temporary that the sum took over, so nothing else is stored.
        assert_eq!(kernel.ops, ["mul", "add", "tanh"]);
        assert_eq!(kernel.lines, [here(first), here(first + 1)]);
        let n = 60 * 50;
        assert_eq!((kernel.bytes_read, kernel.bytes_written), (4 * (2 * n + 50), 4 * n), "{explanation}");
        assert_eq!(kernel.flops, Some(3 * n));
        assert!(kernel.wgsl.contains("tanh_fwd") && kernel.workgroups > 0);
        let [stored] = &kernel.stored[..] else { panic!("{explanation}") };
        assert_eq!((stored.op.as_str(), &stored.shape[..], stored.bytes), ("tanh", &[60, 50][..], 4 * n));
        assert_eq!(stored.reason, StoreReason::Asked);
        assert!(kernel.ended.is_empty());
        assert_times(&explanation);
        assert!(!explanation.plan_reused && !explanation.compiling.is_zero());
        // The same numbers as without looking.
        let plain = (&x * &y + &b).tanh();
        assert_eq!(z.to_vec::<f32>().unwrap(), plain.to_vec::<f32>().unwrap());
        let text = explanation.to_string();
        for part in ["1 kernel", "mul add tanh", &here(first), "asked for", "new plan"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("fn main") && format!("{explanation:#}").contains("fn main"));
        // Again, of the same structure.
        let again = (&x * &y + &b).tanh();
        let again = again.explain().unwrap();
        assert!(again.plan_reused && again.compiling.is_zero() && again.to_string().contains("known plan"));
    }
}

/// `slice`s and `expand`s read a part, two reads of one buffer count once, and f16 takes half.
#[test]
fn traffic_is_counted_by_elements() {
    let device = new_gpu();
    let x = data(&[40, 30], &device);
    let only = |t: Tensor| {
        let explanation = t.explain().unwrap();
        assert_eq!(explanation.kernels.len(), 1, "{explanation}");
        (explanation.kernels[0].bytes_read, explanation.kernels[0].bytes_written)
    };
    assert_eq!(only(x.slice(0, 0..10).exp()), (4 * 300, 4 * 300));
    assert_eq!(only(x.slice(1, 0..1).expand([40, 30]).exp()), (4 * 40, 4 * 1200));
    assert_eq!(only(&x * &x + &x), (4 * 1200, 4 * 1200));
    assert_eq!(only(&x + x.flip(&[0])), (4 * 1200, 4 * 1200));
    assert_eq!(only(x.sum()), (4 * 1200, 4));
    assert_eq!(only(Tensor::full([7, 9], 2.0, &device) + 1.0), (0, 4 * 63));
}

#[test]
fn arithmetic_of_matrix_products() {
    for device in devices() {
        // The last is cut along k.
        for (batch, m, n, k) in [(1, 64, 48, 40), (3, 17, 5, 31), (1, 100, 1, 60), (1, 8, 8, 20_000)] {
            let (a, b) = (data(&[batch, m, k], &device), data(&[batch, k, n], &device));
            let explanation = a.matmul(&b).explain().unwrap();
            let (product, out) = ((2 * batch * m * n * k) as u64, (batch * m * n) as u64);
            let sums: u64 = explanation.kernels.iter().filter(|k| k.name == "matmul_sum").filter_map(|k| k.flops).sum();
            assert_eq!(explanation.flops() - sums, product, "{explanation}");
            assert!(sums.is_multiple_of(out) && (k == 20_000) == (sums > 0), "{explanation}");
            let main: Vec<&KernelReport> = explanation.kernels.iter().filter(|k| k.flops >= Some(product)).collect();
            assert_eq!(main.len(), 1, "{explanation}");
            assert_times(&explanation);
        }
        // Bias and activation ride along, two operations for each element.
        let (a, b, bias) = (data(&[64, 40], &device), data(&[40, 48], &device), data(&[48], &device));
        let explanation = (a.matmul(&b) + &bias).relu().explain().unwrap();
        assert_eq!(explanation.flops(), 2 * 64 * 48 * 40 + 2 * 64 * 48);
        let last = explanation.kernels.last().unwrap();
        assert_eq!(last.ops, ["matmul", "add", "relu"]);
    }
}

#[test]
fn arithmetic_of_reductions() {
    for device in devices() {
        for shape in [[64, 30], [7, 5], [1, 1]] {
            let x = data(&shape, &device);
            let n = (shape[0] * shape[1]) as u64;
            // A square and a sum for each element.
            let squares = x.square().sum();
            for (t, expected) in [(squares, 2 * n), (x.sum_dims(&[0], false), n), (x.argmax(1, false), n)] {
                // The first of the stages, if there are several.
                assert_eq!(t.explain().unwrap().kernels[0].flops, Some(expected));
            }
        }
        // In two stages: partial results come on top, and each stage lists the ops.
        let explanation = data(&[1 << 20], &device).sum().explain().unwrap();
        assert!(explanation.kernels.len() >= 2 && explanation.kernels.iter().all(|k| k.ops == ["sum"]));
        let first = &explanation.kernels[0];
        assert_eq!((first.flops, first.bytes_read), (Some(1 << 20), 4 << 20));
        assert!((1 << 20..(1 << 20) + (1 << 17)).contains(&explanation.flops()), "{explanation}");
    }
}

/// Which reasons `explain` gives for stored values and ends of kernels.
fn reasons(explanation: &Explanation) -> (Vec<StoreReason>, Vec<EndReason>) {
    let stored = explanation.kernels.iter().flat_map(|k| &k.stored).map(|v| v.reason).collect();
    (stored, explanation.kernels.iter().flat_map(|k| &k.ended).map(|(_, reason)| *reason).collect())
}

#[test]
fn reasons_are_given() {
    let device = gpu();
    let x = data(&[64, 50], device);
    // A reduction starts a kernel; its result is needed by one over the larger space.
    let centred = {
        let e = x.exp();
        &e - e.mean_dims(&[0], true)
    };
    let (stored, ended) = reasons(&centred.explain().unwrap());
    assert_eq!(
        (&stored[..], &ended[..]),
        (&[StoreReason::Result, StoreReason::Asked][..], &[EndReason::IndexSpace][..])
    );
    // What somebody holds is stored; a structured op binds its operand.
    let held = x.sin();
    let rows = held.cos().cumsum(1) + 1.0;
    let rows = rows.explain().unwrap();
    let (stored, ended) = reasons(&rows);
    assert!(stored.contains(&StoreReason::Held) && stored.contains(&StoreReason::Operand), "{rows}");
    assert!(ended.contains(&EndReason::Core), "{rows}");
    drop(held);
    // A reshape of a transpose copies.
    let reordered = x.t().reshape([64, 50]).flip(&[0]).exp();
    let reordered = reordered.explain().unwrap();
    assert!(reasons(&reordered).0.contains(&StoreReason::Copy), "{reordered}");
    assert!(reasons(&reordered).1.contains(&EndReason::IndexSpace), "{reordered}");
    // A long chain is cut.
    let mut long = x.abs();
    for _ in 0..150 {
        long = long.relu();
    }
    let long = long.explain().unwrap();
    assert!(reasons(&long).0.contains(&StoreReason::Instructions), "{long}");
    assert!(reasons(&long).1.contains(&EndReason::Instructions), "{long}");
    // More operands than a kernel binds.
    let many: Vec<Tensor> = (0..12).map(|_| data(&[64, 50], device)).collect();
    let sum = many.iter().skip(1).fold(many[0].exp(), |sum, t| sum + t);
    let sum = sum.explain().unwrap();
    assert!(reasons(&sum).0.contains(&StoreReason::Buffers), "{sum}");
    // Two reductions read what is dear to compute.
    let dear = |t: &Tensor| (0..8).fold(t.abs(), |t, _| t.sqrt());
    let both = {
        let v = dear(&x);
        v.sum_dims(&[0], false).sum() / v.prod()
    };
    let both = both.explain().unwrap();
    assert!(reasons(&both).0.contains(&StoreReason::Shared), "{both}");
    assert!(reasons(&both).1.contains(&EndReason::Later), "{both}");
    // What an expand would have computed again and again; once for all rows it is made in a kernel of its own.
    let expanded = dear(&data(&[2000, 1], device)).expand([2000, 300]) + data(&[2000, 300], device);
    let expanded = expanded.explain().unwrap();
    assert!(reasons(&expanded).0.contains(&StoreReason::Expanded), "{expanded}");
    // Each part of a concatenation is stored by a kernel of its own.
    let joined = Tensor::cat(&[&x, &x], 0).exp();
    let joined = joined.explain().unwrap();
    assert!(reasons(&joined).1.contains(&EndReason::NoEpilogue), "{joined}");
    // Without fusion every op is a kernel.
    let single = data(&[8], unfused()).exp() + 1.0;
    let (stored, ended) = reasons(&single.explain().unwrap());
    assert_eq!((stored, ended), (vec![StoreReason::FusionOff, StoreReason::Asked], vec![EndReason::FusionOff]));
}

#[test]
fn what_is_computed_or_wrong_or_empty() {
    let device = gpu();
    let x = data(&[5], device);
    for t in [x.clone(), x.detach()] {
        t.realize().unwrap();
        let explanation = t.explain().unwrap();
        assert!(explanation.kernels.is_empty() && explanation.to_string().contains("nothing to run"), "{explanation}");
        assert!(t.plan().unwrap().dispatches == 0 && t.plan().unwrap().peak_bytes == 0);
    }
    let wrong = &x + data(&[4], device);
    for error in [wrong.explain().map(|_| ()), wrong.plan().map(|_| ()), wrong.plan_dot().map(|_| ())] {
        assert!(matches!(error, Err(Error::Shape { .. })), "{error:?}");
    }
    // No elements: nothing to dispatch.
    let nothing = Tensor::zeros([0, 3], device).exp();
    assert_eq!(nothing.plan().unwrap().dispatches, 0);
    assert!(nothing.explain().unwrap().kernels.is_empty());
    let null = Device::null(Caps::baseline(), true);
    let planned = data(&[9], &null).exp();
    assert_eq!(planned.plan().unwrap().kernels, ["exp"]);
    assert!(matches!(planned.explain(), Err(Error::Unsupported { .. })));
}

#[test]
fn bad_indices_still_come_out_at_the_next_read() {
    let device = gpu();
    let index = Tensor::from_slice(&[0i32, 9], [2], device);
    let bad = data(&[4, 3], device).index_select(0, &index);
    let explanation = bad.explain().unwrap();
    assert_eq!(explanation.kernels.len(), 1);
    assert!(matches!(bad.to_vec::<f32>(), Err(Error::IndexOutOfRange { .. })));
}

struct Net {
    x: Tensor,
    w1: Tensor,
    w2: Tensor,
}

impl Net {
    fn new(device: &Device) -> Net {
        let [x, w1, w2] = [[60, 200], [200, 50], [50, 10]].map(|shape| data(&shape, device));
        Net { x, w1, w2 }
    }

    fn loss(&self) -> Tensor {
        let h = self.x.matmul(&self.w1).relu();
        let logits = h.matmul(&self.w2).log_softmax(1);
        logits.square().mean()
    }
}

#[test]
fn plans_are_known_before_anything_runs() {
    for device in [new_gpu(), Device::gpu_with(true, |caps| caps.software = false).unwrap()] {
        let net = Net::new(&device);
        let loss = net.loss();
        let (stats, memory) = (device.stats(), device.memory());
        let plan = loss.plan().unwrap();
        assert_eq!(loss.plan_svg().unwrap().matches("font-weight").count(), plan_boxes(&loss));
        assert_eq!((device.stats(), device.memory()), (stats, memory), "planning ran something");
        assert_eq!(plan.leaves, memory.in_use);
        loss.realize().unwrap();
        assert_eq!(plan.peak_bytes, device.memory().peak, "{plan}");
        assert_eq!(plan.dispatches as u64, device.stats().dispatches - stats.dispatches);
        assert!(plan.lower_bound <= plan.workspace && plan.lower_bound > 0, "{plan}");
        assert_eq!((plan.kernels.len(), plan.shaders.len()), (plan.dispatches, plan.dispatches));
        // The same structure, explained.
        let explanation = net.loss().explain().unwrap();
        let names: Vec<&str> = explanation.kernels.iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names, plan.kernels);
        assert_eq!(explanation.plan.workspace, plan.workspace);
        assert!(plan.to_string().starts_with(&format!("{} kernels, peak {} bytes", plan.dispatches, plan.peak_bytes)));
    }
}

/// Boxes of the picture: kernels that belong together, and leaves.
fn plan_boxes(t: &Tensor) -> usize {
    let dot = t.plan_dot().unwrap();
    dot.matches("subgraph").count() + dot.lines().filter(|l| l.starts_with("  l") && l.contains("[label=")).count()
}

#[test]
fn pictures_show_kernels_and_what_they_store() {
    for device in [new_gpu(), Device::null(Caps::baseline(), true), Device::cpu()] {
        let net = Net::new(&device);
        let h = net.x.matmul(&net.w1).relu();
        let y = (&h + 1.0).log_softmax(1) * 0.5;
        let dot = y.plan_dot().unwrap();
        let clusters = dot.matches("subgraph cluster_").count();
        let plan = y.plan().unwrap();
        assert!((2..=plan.dispatches).contains(&clusters), "{dot}");
        // [60, 50] floats.
        assert!(dot.contains("stored, 11.7 KiB: held by the program") && dot.contains("asked for"), "{dot}");
        assert!(dot.contains("add 1\\n") && dot.contains("mul 0.5\\n"), "{dot}");
        assert_eq!(dot.matches('{').count(), dot.matches('}').count());
        // Every edge starts and ends at a node that is drawn.
        let drawn: Vec<&str> = dot.lines().filter_map(|l| l.trim().split_once(" [label")).map(|(n, _)| n).collect();
        for (from, to) in dot.lines().filter_map(|l| l.trim().trim_end_matches(';').split_once(" -> ")) {
            assert!(drawn.contains(&from) && drawn.contains(&to), "{from} -> {to} in {dot}");
        }
        let svg = y.plan_svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.contains("stored, 11.7 KiB: held by the program") && svg.contains("log_softmax"), "{svg}");
    }
}

#[test]
fn the_reference_lists_ops_with_host_times() {
    let device = Device::cpu();
    let (x, w) = (data(&[20, 30], &device), data(&[30, 40], &device));
    let line = line!() + 1;
    let y = (x.matmul(&w) * 2.0).sum();
    let plan = y.plan().unwrap();
    let explanation = y.explain().unwrap();
    let names: Vec<&str> = explanation.kernels.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(names, plan.kernels);
    let find = |name: &str| explanation.kernels.iter().find(|k| k.name == name).unwrap();
    assert_eq!(find("matmul").flops, Some(2 * 20 * 30 * 40));
    assert_eq!((find("matmul").bytes_read, find("matmul").bytes_written), (4 * (600 + 1200), 4 * 800));
    assert_eq!((find("sum").flops, find("mul").flops), (Some(800), Some(800)));
    assert!(explanation.kernels.iter().all(|k| k.lines == [here(line)] && k.time.is_some()), "{explanation}");
    // Reads 600 and 1,200 numbers; product and its double are alive at once, with a number or two.
    let least = 4 * (600 + 1200 + 2 * 800);
    assert!((least..least + 100).contains(&plan.peak_bytes), "{plan}");
    assert!(y.explain().unwrap().kernels.is_empty());
}

#[test]
fn without_timestamps_there_are_no_times() {
    let device = Device::gpu_with(true, |caps| caps.timestamps = false).unwrap();
    let y = data(&[30], &device).exp();
    let explanation = y.explain().unwrap();
    assert!(!explanation.has_times && explanation.kernels.len() == 1);
    let kernel = &explanation.kernels[0];
    assert!(
        kernel.time.is_none() && kernel.gigabytes_per_second().is_none() && kernel.gigaflops_per_second().is_none()
    );
    assert_times(&explanation);
    assert_eq!(y.to_vec::<f32>().unwrap().len(), 30);
}

#[test]
fn looking_changes_no_counts() {
    let (plain, watched) = (new_gpu(), new_gpu());
    let count = |device: &Device, look: bool| {
        let net = Net::new(device);
        let before = device.stats();
        for _ in 0..3 {
            let loss = net.loss();
            if look { loss.explain().map(|_| ()).unwrap() } else { loss.realize().unwrap() }
        }
        let after = device.stats();
        (after.submits - before.submits, after.dispatches - before.dispatches, after.plans_built, after.plans_reused)
    };
    let (a, b) = (count(&plain, false), count(&watched, true));
    assert_eq!((a.1, a.2, a.3), (b.1, b.2, b.3));
    assert_eq!(a.0, 3, "a submission each");
    // Software adapters are timed kernel by kernel.
    let by_kernel = watched.info().software && data(&[4], &watched).exp().explain().unwrap().has_times;
    assert_eq!(b.0, if by_kernel { b.1 } else { 3 });
}

/// What child processes run with a trace or a log: two devices, two threads, a training step and reads.
pub fn program(exits: bool) -> Result<()> {
    let device = Device::default();
    let net = Net::new(&device);
    let w1 = net.w1.requires_grad();
    let before = device.stats().dispatches;
    let h = net.x.matmul(&w1).relu().matmul(&net.w2);
    let loss = h.square().mean();
    loss.backward()?;
    assert!(loss.item::<f32>()?.is_finite());
    assert_eq!(w1.grad().map(|g| g.shape().to_vec()), Some(vec![200, 50]));
    w1.grad().map_or(Ok(()), |g| g.realize())?;
    let copy = net.x.clone();
    let other =
        std::thread::Builder::new().name("other \"thread\"".into()).spawn(move || copy.tanh().sum().item::<f32>());
    assert!(other.map_err(|e| e.to_string()).unwrap().join().unwrap()?.is_finite());
    let host = net.x.to_device(&Device::cpu());
    assert!(host.exp().sum().item::<f32>()? > 0.0);
    println!("dispatches: {}", device.stats().dispatches - before);
    if exits {
        std::process::exit(0);
    }
    Ok(())
}

fn trace(program: &str, name: &str) -> (String, Vec<Value>) {
    let path = std::env::temp_dir().join(format!("wgrad-{name}-{}.json", std::process::id()));
    let output = run(program, &[("WGRAD_TRACE", path.to_str().unwrap())]);
    let dispatches = printed(&output, "dispatches");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (dispatches, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// Begin and end in microseconds, and the name.
type Span = (f64, f64, String);

#[test]
fn traces_open_in_viewers() {
    for (program, name) in [("look inside", "look"), ("exit early", "exit")] {
        let (dispatches, events) = trace(program, name);
        let of_kind = |kind: &'static str| events.iter().filter(move |e| e["ph"] == kind);
        // Processes and threads have names.
        let named = |kind: &str| -> HashMap<(u64, u64), String> {
            let events = of_kind("M").filter(|e| e["name"] == kind);
            let key = |e: &Value| (e["pid"].as_u64().unwrap(), e["tid"].as_u64().unwrap());
            events.map(|e| (key(e), e["args"]["name"].as_str().unwrap().to_owned())).collect()
        };
        let (processes, lanes) = (named("process_name"), named("thread_name"));
        assert_eq!(processes.len(), 2, "{processes:?}");
        let adapter = gpu().info().name.clone();
        let (device, _) = *processes.iter().find(|(_, name)| name.contains(&adapter)).unwrap().0;
        let (reference, _) = *processes.iter().find(|(_, name)| name.contains("CPU reference")).unwrap().0;
        assert!(lanes.values().any(|name| name == "other \"thread\""), "{lanes:?}");
        // Spans lie beside or within each other.
        let mut spans: HashMap<(u64, u64), Vec<Span>> = HashMap::new();
        for e in of_kind("X") {
            let (start, length) = (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap());
            assert!(start >= 0.0 && length >= 0.0, "{e}");
            let key = (e["pid"].as_u64().unwrap(), e["tid"].as_u64().unwrap());
            assert!(lanes.contains_key(&key), "{e} is in a lane without a name");
            spans.entry(key).or_default().push((start, start + length, e["name"].as_str().unwrap().to_owned()));
        }
        for list in spans.values() {
            for (i, a) in list.iter().enumerate() {
                for b in &list[i + 1..] {
                    // Times are rounded to nanoseconds.
                    let slack = 0.0021;
                    let apart = a.1 <= b.0 + slack || b.1 <= a.0 + slack;
                    let within = |x: &Span, y: &Span| x.0 >= y.0 - slack && x.1 <= y.1 + slack;
                    assert!(apart || within(a, b) || within(b, a), "{a:?} and {b:?} overlap");
                }
            }
        }
        let names = |process: u64| -> Vec<&str> {
            of_kind("X")
                .filter(|e| e["pid"] == process && e["cat"] == "cpu")
                .map(|e| e["name"].as_str().unwrap())
                .collect()
        };
        for name in ["record", "flush", "plan", "compile", "encode", "submit", "read"] {
            assert!(names(device).contains(&name), "no {name} in {:?}", names(device));
        }
        for name in ["record", "flush", "exp", "sum"] {
            assert!(names(reference).contains(&name), "no {name} in {:?}", names(reference));
        }
        // The kernels, each within a flush.
        let kernels: Vec<&Value> = of_kind("X").filter(|e| e["pid"] == device && e["cat"] == "gpu").collect();
        if lanes[&(device, 0)].contains("no timestamps") {
            assert!(kernels.is_empty());
            continue;
        }
        assert_eq!(kernels.len().to_string(), dispatches);
        for e in kernels {
            let args = &e["args"];
            assert!(args["bytes"].as_u64().unwrap() > 0 && args["source"].as_str().unwrap().contains(file!()), "{e}");
            assert!(args["ops"].as_str().is_some_and(|ops| !ops.is_empty()), "{e}");
            let (start, end) = (e["ts"].as_f64().unwrap(), e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap());
            let flushes = spans.iter().filter(|((pid, _), _)| *pid == device).flat_map(|(_, list)| list);
            let mut flushes = flushes.filter(|(_, _, name)| name == "flush");
            assert!(flushes.any(|(from, to, _)| *from <= start && end <= *to), "{e} is in no flush");
        }
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_no_error() {
    let output = run("look inside", &[("WGRAD_TRACE", "/no/such/folder/trace.json")]);
    assert!(printed(&output, "dispatches").parse::<u64>().unwrap() > 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is traced"));
}

#[test]
fn the_log_tells_more_with_each_level() {
    let log = |level: &str| {
        let output = run("look inside", &[("WGRAD_DEBUG", level)]);
        let dispatches: usize = printed(&output, "dispatches").parse().unwrap();
        (String::from_utf8(output.stderr).unwrap(), dispatches)
    };
    let count = |text: &str, part: &str| text.lines().filter(|line| line.contains(part)).count();
    let (one, _) = log("1");
    assert!(count(&one, "opened ") == 1 && count(&one, "plan ") >= 2, "{one}");
    assert_eq!((count(&one, "GB/s"), count(&one, " ops ("), count(&one, "fn main")), (0, 0, 0), "{one}");
    let (two, dispatches) = log("2");
    let kernels = two.lines().filter(|l| l.contains("GB/s") && l.contains("GFLOP/s") && l.contains(file!()));
    // The reference logs its ops too.
    assert!(kernels.count() > dispatches && count(&two, " ops (") == 0, "{two}");
    let (three, _) = log("3");
    assert!(count(&three, " ops (") >= 3 && count(&three, "; ends: ") >= 1 && count(&three, "GB/s") > 0, "{three}");
    assert!(three.contains("starts a kernel of its own") && count(&three, "fn main") == 0, "{three}");
    let (four, _) = log("4");
    assert!(count(&four, "fn main") >= 3 && count(&four, "; ends: ") >= 1, "{four}");
}

/// Totals come first; the list is cut, and `{:#}` has all of it.
#[test]
fn the_explanation_of_a_large_model_stays_readable() {
    for device in devices() {
        let mut h = data(&[4, 16], &device);
        let w = data(&[16, 16], &device);
        for _ in 0..60 {
            h = h.matmul(&w).tanh();
        }
        let explanation = h.sum().explain().unwrap();
        assert!(explanation.kernels.len() > 50);
        let (short, long) = (explanation.to_string(), format!("{explanation:#}"));
        assert!(short.lines().count() < 200 && short.len() < 40_000, "{} lines", short.lines().count());
        assert!(short.find("kernels by name").unwrap() < short.find("source lines").unwrap());
        let (kernels, lines) = (explanation.by_kernel(), explanation.by_line());
        let total = |totals: &[wgrad::KernelTotals]| totals.iter().map(|total| total.bytes).sum::<u64>();
        assert_eq!(total(&kernels), explanation.bytes());
        // Parts of bytes are rounded line by line.
        assert!(total(&lines).abs_diff(explanation.bytes()) <= lines.len() as u64);
        assert!(lines.iter().all(|line| line.name.contains("inside.rs:")), "{lines:?}");
        assert_eq!(kernels.iter().map(|total| total.kernels).sum::<usize>(), explanation.kernels.len());
        // The text of a kernel that runs sixty times stands there once.
        let distinct: std::collections::HashSet<&str> =
            explanation.kernels.iter().map(|kernel| kernel.wgsl.as_str()).filter(|text| !text.is_empty()).collect();
        let printed = distinct.iter().filter(|text| long.matches(*text).count() == 1).count();
        assert_eq!(printed, distinct.len());
        assert!(distinct.len() < 10 && long.matches("ops: ").count() == explanation.kernels.len());
    }
}
