//! What one tiny op costs: 1,000 ops on 16 elements, each of which needs the one before. What the host does for a training step of
//! a small network: when its structure is new, when its plan is known, when the step is captured, and beside that what wgpu takes
//! to record and submit as many dispatches. And the whole step's time op by op, dynamic and captured, with its dispatches.
//!
//! What is compared takes iterations, ten steps at a time, so that whatever else the machine does meets all alike. Medians count; of host
//! times the ratio of the fastest tenths stands beside theirs, which is what is left where other threads take no core away.
//!
//! ```text
//! cargo bench --bench overhead
//! ```

mod common;

use std::time::{Duration, Instant};

use common::{Bench, Group};
use wgrad::nn::loss;
use wgrad::optim::{Adam, Optimizer, Sgd};
use wgrad::{Device, Result, Tensor, capture};

const OPS: usize = 1000;

fn chain(x: &Tensor, realize: bool) -> Result<Tensor> {
    let mut y = x.clone();
    for i in 0..OPS {
        y = if i % 2 == 0 { y * 0.999 } else { y + 0.001 };
        if realize {
            y.realize()?;
        }
    }
    y.realize()?;
    Ok(y)
}

fn measure(group: &mut Group, case: &str, device: &Device, realize: bool) {
    let x = Tensor::ones([16], device).contiguous();
    let run = |iterations: u64| -> Result<()> {
        for _ in 0..iterations {
            drop(chain(&x, realize)?);
            device.sync()?;
        }
        Ok(())
    };
    if let Some(time) = group.time(case, run) {
        group.row(case, time, format!("{:.2} µs an op", time.as_secs_f64() * 1e6 / OPS as f64));
    }
}

/// Steps of each way that are timed.
const ROUNDS: usize = 600;
/// Steps of one way in a row.
const BLOCK: usize = 10;
/// Steps before that, for kernels and plans.
const WARM_UP: usize = 40;

/// A network 32-32-32-10 and its optimizer.
struct Mlp {
    parameters: Vec<Tensor>,
    optimizer: Box<dyn Optimizer + Send>,
}

impl Mlp {
    fn new(device: &Device, adam: bool) -> Mlp {
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], device) * (1.0 / a as f32).sqrt()).requires_grad();
        let zeros = |a: usize| Tensor::zeros([a], device).requires_grad();
        let parameters = vec![weight(32, 32), zeros(32), weight(32, 32), zeros(32), weight(32, 10), zeros(10)];
        let optimizer: Box<dyn Optimizer + Send> = match adam {
            true => Box::new(Adam::new(parameters.clone(), 1e-3)),
            false => Box::new(Sgd::new(parameters.clone(), 1e-3)),
        };
        Mlp { parameters, optimizer }
    }

    fn step(&mut self, x: &[Tensor]) -> Result<Vec<Tensor>> {
        let p = &self.parameters;
        let h = (x[0].matmul(&p[0]) + &p[1]).relu();
        let h = (h.matmul(&p[2]) + &p[3]).relu();
        let loss = (h.matmul(&p[4]) + &p[5] - &x[1]).square().mean();
        self.optimizer.zero_grad();
        loss.backward()?;
        self.optimizer.step()?;
        Ok(vec![loss])
    }
}

fn batch(n: usize, device: &Device) -> Result<[Tensor; 2]> {
    let batch = [Tensor::rand([n, 32], device), Tensor::rand([n, 10], device)];
    batch.iter().try_for_each(Tensor::realize)?;
    Ok(batch)
}

/// A way to do a step: returns its time.
type Way<'a> = Box<dyn FnMut(usize) -> Result<Duration> + 'a>;

/// A step whose time is that until its calls return, with the device idle at their start.
fn host<'a>(device: &'a Device, mut step: impl FnMut(usize) -> Result<()> + 'a) -> Way<'a> {
    Box::new(move |i| {
        let start = Instant::now();
        step(i)?;
        let time = start.elapsed();
        device.sync()?;
        Ok(time)
    })
}

/// A step whose time is that until the device is done.
fn wall<'a>(device: &'a Device, mut step: impl FnMut(usize) -> Result<()> + 'a) -> Way<'a> {
    Box::new(move |i| {
        let start = Instant::now();
        step(i)?;
        device.sync()?;
        Ok(start.elapsed())
    })
}

/// Median, and the bound of the fastest tenth.
#[derive(Clone, Copy)]
struct Times {
    median: Duration,
    fast: Duration,
}

impl Times {
    /// How many times longer this takes.
    fn over(self, other: Times) -> [f64; 2] {
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        [ratio(self.median, other.median), ratio(self.fast, other.fast)]
    }
}

/// The times of each way; they take iterations, a few steps at a time, as a training loop repeats its step.
fn alternate(ways: &mut [Way<'_>], rounds: usize) -> Result<Vec<Times>> {
    let mut times = vec![Vec::with_capacity(rounds); ways.len()];
    for block in 0..(WARM_UP + rounds) / BLOCK {
        for (way, times) in ways.iter_mut().zip(&mut times) {
            for i in block * BLOCK..(block + 1) * BLOCK {
                let time = way(i)?;
                if i >= WARM_UP {
                    times.push(time);
                }
            }
        }
    }
    let bounds = |mut times: Vec<Duration>| {
        times.sort();
        Times { median: times[times.len() / 2], fast: times[times.len() / 10] }
    };
    Ok(times.into_iter().map(bounds).collect())
}

/// What a kernel binds: buffers that it reads and that it writes.
type Bound = (usize, usize);

/// As many dispatches as a step has, recorded and submitted with wgpu alone, with all pipelines and bind groups made before. Each
/// has another pipeline and bind group, parameters at an offset, and as many buffers as `bound` says, of which it reads what the
/// dispatches before have written, as the kernels of a step do.
fn bare(bound: &[Bound]) -> Option<Way<'static>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).ok()?;
    let descriptor = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).ok()?;
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 65536, usage, mapped_at_creation: false })
    };
    let uniform = buffer(wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST);
    let most = bound.iter().map(|(reads, _)| *reads).max()?;
    let mut written: Vec<wgpu::Buffer> = (0..most).map(|_| buffer(wgpu::BufferUsages::STORAGE)).collect();
    let mut made = Vec::new();
    for &(reads, writes) in bound {
        let mut text = "@group(0) @binding(0) var<uniform> n: vec4u;
"
        .to_owned();
        for i in 0..reads + writes {
            let access = if i < reads { "read" } else { "read_write" };
            text += &format!(
                "@group(0) @binding({}) var<storage, {access}> a{i}: array<u32>;
",
                i + 1
            );
        }
        let sum = (0..reads).map(|i| format!("a{i}[i.x]")).chain(["n.y".to_owned()]).collect::<Vec<_>>().join(" + ");
        let stores: String = (reads..reads + writes).map(|i| format!("a{i}[i.x] = {sum} + {i}u; ")).collect();
        text += "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) { if i.x < n.x { ";
        text += &format!("{stores}}} }}");
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: binding == 0, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
        let storage = |i: usize| entry(i + 1, wgpu::BufferBindingType::Storage { read_only: i < reads });
        entries.extend((0..reads + writes).map(storage));
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let first = written.len() - reads;
        written.extend((0..writes).map(|_| buffer(wgpu::BufferUsages::STORAGE)));
        let params = wgpu::BufferBinding { buffer: &uniform, offset: 0, size: std::num::NonZeroU64::new(16) };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(params) }];
        let storage = written[first..].iter().enumerate();
        entries.extend(
            storage.map(|(k, b)| wgpu::BindGroupEntry { binding: k as u32 + 1, resource: b.as_entire_binding() }),
        );
        let group =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
        made.push((pipeline, group));
    }
    Some(Box::new(move |_| {
        let start = Instant::now();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (i, (pipeline, group)) in made.iter().enumerate() {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, group, &[256 * (i as u32 % 64)]);
                pass.dispatch_workgroups(1, 1, 1);
            }
        }
        queue.submit([encoder.finish()]);
        let time = start.elapsed();
        if let Err(error) = device.poll(wgpu::PollType::wait_indefinitely()) {
            panic!("bare wgpu: {error}");
        }
        Ok(time)
    }))
}

/// What the kernels of a step bind, by their text.
fn bound(kernels: &[wgrad::KernelReport]) -> Vec<Bound> {
    let count = |text: &str, what: &str| text.matches(what).count();
    let one = |kernel: &wgrad::KernelReport| {
        (count(&kernel.wgsl, "var<storage, read>"), count(&kernel.wgsl, "var<storage, read_write>"))
    };
    kernels.iter().map(one).collect()
}

/// The host's share of a training step. What is planned anew has a device of its own: wgpu's calls get dearer with the number of
/// buffers that exist, and it takes many.
fn steps(group: &mut Group, shared: &Device, name: &str, adam: bool) -> Result<()> {
    let open = || if shared.is_cpu() { Ok(shared.clone()) } else { Device::gpu_with_fusion(true) };
    let (device, other) = (open()?, open()?);
    let x = batch(16, &device)?;
    let mut mlp = Mlp::new(&device, adam);
    (0..3).try_for_each(|_| mlp.step(&x).map(drop))?;
    let before = device.stats().dispatches;
    mlp.step(&x)?;
    let dispatches = device.stats().dispatches - before;
    let mut own = Mlp::new(&device, adam);
    let step = capture(&device, move |x: &[Tensor]| own.step(x))?;
    // 300 batch sizes are more structures than there are plans kept, so each step is planned anew; kernels are known by then.
    let sizes = (0..300).map(|i| batch(16 + 4 * i, &other)).collect::<Result<Vec<_>>>()?;
    let mut fresh = Mlp::new(&other, adam);
    sizes.iter().try_for_each(|x| fresh.step(x).map(drop))?;
    let mut ways = vec![
        host(&other, |i| fresh.step(&sizes[i % sizes.len()]).map(drop)),
        host(&device, |_| mlp.step(&x).map(drop)),
        host(&device, |_| step.run(&x).map(drop)),
    ];
    let kernels = bound(&step.explain(&x)?.1.kernels);
    // Once with the step's own numbers of buffers, once with five a dispatch.
    if !device.is_cpu() {
        ways.extend(bare(&kernels).into_iter().chain(bare(&vec![(4, 1); kernels.len()])));
    }
    let times = alternate(&mut ways, ROUNDS)?;
    let cheaper = |time: Times| {
        let [median, fast] = times[0].over(time);
        format!("{median:.1} × cheaper than planned anew (fastest tenth {fast:.1} ×)")
    };
    group.row(&format!("{name}: planned anew"), times[0].median, format!("host, {dispatches} dispatches"));
    group.row(&format!("{name}: plan reused"), times[1].median, cheaper(times[1]));
    group.row(&format!("{name}: captured"), times[2].median, cheaper(times[2]));
    let buffers: usize = kernels.iter().map(|(reads, writes)| reads + writes).sum();
    for (bare, buffers) in times[3..].iter().zip([buffers, 5 * kernels.len()]) {
        let [median, fast] = times[2].over(*bare);
        let figure = format!("a captured step takes {median:.2} × this (fastest tenth {fast:.2} ×)");
        group.row(&format!("{name}: {dispatches} dispatches of bare wgpu, {buffers} buffers"), bare.median, figure);
    }
    Ok(())
}

/// A network `sizes` with biases and ReLUs, `batch` rows, cross-entropy: its step's whole time in four ways.
fn whole(group: &mut Group, shared: &Device, name: &str, batch: usize, sizes: &[usize], adam: bool) -> Result<()> {
    if shared.is_cpu() {
        return Ok(());
    }
    let devices: Vec<Device> = [false, true, true].map(Device::gpu_with_fusion).into_iter().collect::<Result<_>>()?;
    let step = |device: &Device| -> Result<_> {
        let weight = |a: usize, b: usize| (Tensor::randn([a, b], device) * (1.0 / a as f32).sqrt()).requires_grad();
        let mut layers = Vec::new();
        for pair in sizes.windows(2) {
            layers.push((weight(pair[0], pair[1]), Tensor::zeros([pair[1]], device).requires_grad()));
        }
        let parameters: Vec<Tensor> = layers.iter().flat_map(|(w, b)| [w.clone(), b.clone()]).collect();
        let mut optimizer: Box<dyn Optimizer + Send> = match adam {
            true => Box::new(Adam::new(parameters, 1e-3)),
            false => Box::new(Sgd::new(parameters, 1e-3)),
        };
        let inputs = [
            Tensor::rand([batch, sizes[0]], device),
            Tensor::randint([batch], 0, sizes[sizes.len() - 1] as i32, device),
        ];
        device.sync()?;
        let f = move |x: &[Tensor]| -> Result<Vec<Tensor>> {
            let mut h = x[0].clone();
            for (i, (w, b)) in layers.iter().enumerate() {
                h = if i == 0 { h } else { h.relu() }.matmul(w) + b;
            }
            let loss = loss::cross_entropy(&h, &x[1]);
            optimizer.zero_grad();
            loss.backward()?;
            optimizer.step()?;
            Ok(vec![loss])
        };
        Ok((f, inputs))
    };
    devices[0].set_eager(true);
    let (mut eager, x0) = step(&devices[0])?;
    let (mut dynamic, x1) = step(&devices[1])?;
    let (recorded, x2) = step(&devices[2])?;
    let captured = capture(&devices[2], recorded)?;
    (0..3).try_for_each(|_| captured.run(&x2).map(drop))?;
    let before = devices[2].stats().dispatches;
    captured.run(&x2)?;
    let dispatches = devices[2].stats().dispatches - before;
    let mut ways = vec![
        wall(&devices[0], |_| eager(&x0).map(drop)),
        wall(&devices[1], |_| dynamic(&x1).map(drop)),
        wall(&devices[2], |_| captured.run(&x2).map(drop)),
    ];
    let times = alternate(&mut ways, ROUNDS / 6)?;
    let faster = |time: Times| {
        let [median, fast] = times[0].over(time);
        format!("{median:.2} × faster (fastest tenth {fast:.2} ×)")
    };
    group.row(&format!("{name}: op by op"), times[0].median, "wall".into());
    group.row(&format!("{name}: dynamic"), times[1].median, faster(times[1]));
    group.row(&format!("{name}: captured"), times[2].median, format!("{}, {dispatches} dispatches", faster(times[2])));
    Ok(())
}

fn main() {
    let mut bench = Bench::new();
    let unfused = bench.unfused();
    let device = bench.device();
    let mut group = bench.group("1,000 dependent tiny ops");
    measure(&mut group, "fused, one flush", &device, false);
    measure(&mut group, "each op flushed", &device, true);
    if let Some(unfused) = unfused {
        measure(&mut group, "one kernel an op, one flush", &unfused, false);
    }
    drop(group);
    let mut group = bench.group("host time of a step, MLP 32-32-32-10");
    for (name, adam) in [("SGD", false), ("Adam", true)] {
        if let Err(error) = steps(&mut group, &device, name, adam) {
            panic!("{name}: {error}");
        }
    }
    drop(group);
    let mut group = bench.group("whole step, op by op and captured");
    for (name, batch, sizes, adam) in [
        ("MLP 784-128-10, batch 60, SGD", 60, &[784, 128, 10][..], false),
        ("MLP 784-512-512-10, batch 128, Adam", 128, &[784, 512, 512, 10], true),
    ] {
        if let Err(error) = whole(&mut group, &device, name, batch, sizes, adam) {
            panic!("{name}: {error}");
        }
    }
    drop(group);
    bench.finish();
}
