//! Tests on whatever adapter there is; a software adapter will do.

use std::sync::{Arc, OnceLock};

use pollster::block_on;

use super::encode::fold;
use super::pace::Pace;
use super::*;
use crate::caps::size_class;
use crate::error::{Error, Result};

/// One device for all tests that do not count anything.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(open)
}

fn open() -> Gpu {
    block_on(Gpu::open(&Select::Best)).expect("these tests need an adapter")
}

const ADD: &str = "
struct Params { n: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
    let i = (wid.y * grid.x + wid.x) * 64u + lane;
    if i < p.n { y[i] = a[i] + p.scale * b[i]; }
}";

fn kernel(gpu: &Gpu, key: u128, wgsl: &str, bindings: &[Binding], params_bytes: u32, trusted: bool) -> Arc<Pipeline> {
    let source = || KernelSource {
        name: "test".into(),
        wgsl: wgsl.into(),
        bindings: bindings.to_vec(),
        params_bytes,
        checks_indices: false,
        panels: Vec::new(),
        trusted,
    };
    gpu.pipeline(key, true, source).unwrap()
}

fn add(gpu: &Gpu, trusted: bool) -> Arc<Pipeline> {
    let bindings = [Binding::Read, Binding::Read, Binding::ReadWrite];
    kernel(gpu, 1 + u128::from(trusted), ADD, &bindings, 8, trusted)
}

fn dispatch(pipeline: &Arc<Pipeline>, buffers: &[&Buffer], params_offset: u32, workgroups: u64) -> Dispatch {
    let buffers = buffers.iter().map(|b| BufferSlice::whole(b)).collect();
    Dispatch { pipeline: Arc::clone(pipeline), buffers, params_offset, workgroups, work: 0 }
}

fn params(blocks: &[(u32, f32)], align: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, scale) in blocks {
        bytes.resize(bytes.len().next_multiple_of(align as usize), 0);
        bytes.extend(n.to_ne_bytes());
        bytes.extend(scale.to_ne_bytes());
    }
    bytes
}

fn upload(gpu: &Gpu, values: &[f32]) -> Buffer {
    gpu.upload(bytemuck::cast_slice(values)).unwrap()
}

fn read(gpu: &Gpu, buffer: &Buffer) -> Vec<f32> {
    let (bytes, found) = block_on(gpu.read(buffer, 0, buffer.bytes(), 0..0)).unwrap();
    assert_eq!(found, []);
    bytemuck::pod_collect_to_vec(&bytes)
}

#[test]
fn kernels_get_their_own_parameters() {
    let gpu = gpu();
    for trusted in [false, true] {
        let pipeline = add(gpu, trusted);
        let (a, b) = (upload(gpu, &[1.0, 2.0, 3.0]), upload(gpu, &[10.0, 20.0, 30.0]));
        let (x, y) = (gpu.alloc(12).unwrap(), gpu.alloc(12).unwrap());
        let align = gpu.params_align();
        let bytes = params(&[(3, 1.0), (3, 2.0)], align);
        let work = [dispatch(&pipeline, &[&a, &b, &x], 0, 1), dispatch(&pipeline, &[&x, &b, &y], align, 1)];
        gpu.run(&work, &bytes).unwrap();
        assert_eq!(read(gpu, &x), [11.0, 22.0, 33.0]);
        assert_eq!(read(gpu, &y), [31.0, 62.0, 93.0]);
        // Other parameters must reach the kernels although only they changed.
        gpu.run(&work, &params(&[(3, 1.0), (3, 0.0)], align)).unwrap();
        assert_eq!(read(gpu, &y), [11.0, 22.0, 33.0]);
    }
}

#[test]
fn odd_ranges_are_read_and_written() {
    let gpu = gpu();
    let buffer = gpu.upload(&(0..23).collect::<Vec<u8>>()).unwrap();
    assert_eq!(block_on(gpu.read(&buffer, 5, 13, 0..0)).unwrap().0, (5..18).collect::<Vec<u8>>());
    assert_eq!(block_on(gpu.read(&buffer, 0, 0, 0..0)).unwrap().0, Vec::<u8>::new());
    gpu.write(&buffer, 4, &[100, 101, 102, 103, 104]).unwrap();
    assert_eq!(block_on(gpu.read(&buffer, 3, 8, 0..0)).unwrap().0, [3, 100, 101, 102, 103, 104, 0, 0]);
    assert!(matches!(gpu.write(&buffer, 2, &[0]), Err(Error::Internal { .. })));
    assert!(matches!(gpu.write(&buffer, 4, &[0; 256]), Err(Error::Internal { .. })));
    assert!(matches!(block_on(gpu.read(&buffer, u64::MAX, 2, 0..0)), Err(Error::Internal { .. })));
}

#[test]
fn long_buffers_come_back_whole() {
    let gpu = gpu();
    let values: Vec<u32> = (0..(70 << 20) / 4).collect();
    let buffer = gpu.upload(bytemuck::cast_slice(&values)).unwrap();
    let (bytes, _) = block_on(gpu.read(&buffer, 0, buffer.bytes(), 0..0)).unwrap();
    assert!(bytemuck::pod_collect_to_vec::<u8, u32>(&bytes) == values);
}

#[test]
fn the_pool_reuses_buffers() {
    let gpu = open();
    let (a, b) = (gpu.alloc(1000).unwrap(), gpu.alloc(1000).unwrap());
    let (first, second, capacity) = (a.id(), b.id(), a.capacity());
    assert!(a.bytes() == 1000 && capacity >= 1000);
    assert_eq!(gpu.memory(), Memory { in_use: 2 * capacity, pooled: 0, peak: 2 * capacity, allocations: 2 });
    drop((b, a));
    assert_eq!(gpu.memory(), Memory { in_use: 0, pooled: 2 * capacity, peak: 2 * capacity, allocations: 2 });
    let lowest = gpu.alloc(999).unwrap();
    assert_eq!(lowest.id(), first);
    drop(lowest);
    let preferred = gpu.alloc_preferring(1000, Some(second)).unwrap();
    assert_eq!(preferred.id(), second);
    // Taken, or of another class: another buffer will do.
    assert_eq!(gpu.alloc_preferring(1000, Some(second)).unwrap().id(), first);
    assert!(![first, second].contains(&gpu.alloc_preferring(5000, Some(first)).unwrap().id()));
    let copy = preferred.clone();
    drop(preferred);
    assert_eq!(gpu.memory().in_use, capacity);
    drop(copy);
    gpu.trim();
    let memory = gpu.memory();
    assert_eq!((memory.in_use, memory.pooled, memory.allocations), (0, 0, 3));
    assert!(![first, second].contains(&gpu.alloc(1000).unwrap().id()));
}

#[test]
fn size_classes_waste_a_quarter_at_most() {
    assert_eq!([0, 1, 256, 257, 320, 321, 1025].map(size_class), [256, 256, 256, 320, 320, 384, 1280]);
    for bytes in (256..100_000).step_by(37) {
        let class = size_class(bytes);
        assert!(class >= bytes && class.is_multiple_of(16) && (class - bytes) * 4 <= bytes, "{bytes} -> {class}");
    }
}

#[test]
fn counts_are_honest_and_steady() {
    let gpu = open();
    let pipeline = add(&gpu, true);
    add(&gpu, true);
    let (a, b) = (upload(&gpu, &[1.0; 64]), upload(&gpu, &[2.0; 64]));
    let mut y = gpu.alloc(256).unwrap();
    let bytes = params(&[(64, 1.0)], 256);
    for _ in 0..200 {
        gpu.run(&[dispatch(&pipeline, &[&a, &b, &y], 0, 1)], &bytes).unwrap();
        let id = y.id();
        drop(y);
        y = gpu.alloc_preferring(256, Some(id)).unwrap();
    }
    gpu.count_plan(false);
    gpu.count_plan(true);
    let expected =
        Stats { submits: 200, dispatches: 200, kernels_compiled: 1, bind_groups: 1, plans_built: 1, plans_reused: 1 };
    assert_eq!(gpu.stats(), expected);
    assert_eq!(gpu.memory().allocations, 3);
    // A long list is split by count, and by estimated work.
    let one = dispatch(&pipeline, &[&a, &b, &y], 0, 1);
    gpu.run(&vec![one.clone(); 5000], &bytes).unwrap();
    assert_eq!(gpu.stats().submits, 202);
    *gpu.0.pace.lock().unwrap() = Pace::new(true);
    let large = Dispatch { work: gpu.0.pace.lock().unwrap().limit(), ..one.clone() };
    gpu.run(&[large.clone(), large.clone(), large], &bytes).unwrap();
    assert_eq!((gpu.stats().submits, gpu.stats().bind_groups), (205, 1));
    // A third of what a submission takes: three at a time.
    let third = Dispatch { work: gpu.0.pace.lock().unwrap().limit() / 3, ..one };
    gpu.run(&vec![third; 10], &bytes).unwrap();
    assert_eq!(gpu.stats().submits, 209);
    // Trimmed buffers take their bind groups along.
    drop((a, b, y));
    gpu.trim();
    assert_eq!(gpu.memory().pooled, 0);
    assert_eq!(block_on(gpu.wait(0..0)).unwrap(), []);
}

#[test]
fn the_arena_grows() {
    let gpu = open();
    let pipeline = add(&gpu, true);
    let (a, b, y) = (upload(&gpu, &[1.0; 4]), upload(&gpu, &[1.0; 4]), gpu.alloc(16).unwrap());
    let align = gpu.params_align();
    for count in [1_u32, 20_000] {
        let blocks: Vec<(u32, f32)> = (0..count).map(|i| (4, i as f32)).collect();
        let bytes = params(&blocks, align.max(256));
        let offset = (count - 1) * align.max(256);
        gpu.run(&[dispatch(&pipeline, &[&a, &b, &y], offset, 1)], &bytes).unwrap();
        assert_eq!(read(&gpu, &y), [count as f32; 4]);
    }
}

#[test]
fn grids_fold_past_the_limit_of_one_dimension() {
    assert_eq!(fold(0, 65_535), Some((1, 0)));
    assert_eq!(fold(65_535, 65_535), Some((65_535, 1)));
    assert_eq!(fold(65_536, 65_535), Some((65_535, 2)));
    assert_eq!(fold(u64::MAX, 65_535), None);

    let gpu = gpu();
    let n = 65_535 * 64 + 100_usize;
    let values: Vec<f32> = (0..n).map(|i| (i % 1000) as f32).collect();
    let (a, y) = (upload(gpu, &values), gpu.alloc(4 * n as u64).unwrap());
    let bytes = params(&[(n as u32, 1.0)], 256);
    gpu.run(&[dispatch(&add(gpu, true), &[&a, &a, &y], 0, n.div_ceil(64) as u64)], &bytes).unwrap();
    assert!(read(gpu, &y).iter().zip(&values).all(|(y, x)| *y == 2.0 * x));
}

#[test]
fn bad_kernels_are_errors_with_text() {
    let gpu = gpu();
    let source = |wgsl: &str, bindings: Vec<Binding>| KernelSource {
        name: "broken".into(),
        wgsl: wgsl.into(),
        bindings,
        params_bytes: 0,
        checks_indices: false,
        panels: Vec::new(),
        trusted: false,
    };
    let syntax = "@compute @workgroup_size(1) fn main() { let x = undefined_name; }";
    let types = "@compute @workgroup_size(1) fn main() { let x: f32 = 1u; }";
    for (key, text, part) in [(100, syntax, "undefined_name"), (101, types, "f32")] {
        match gpu.pipeline(key, true, || source(text, Vec::new())) {
            Err(Error::Shader { name, detail }) => assert!(name == "broken" && detail.contains(part), "{detail}"),
            other => panic!("{other:?}"),
        }
    }
    // The interface does not fit the text.
    let unbound = "@group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(1) fn main() { y[0] = 1.0; }";
    assert!(matches!(gpu.pipeline(102, true, || source(unbound, Vec::new())), Err(Error::Shader { .. })));
    assert!(gpu.pipeline(102, true, || source(unbound, vec![Binding::ReadWrite])).is_ok());
}

#[test]
fn misfit_dispatches_are_errors_and_the_device_goes_on() {
    let gpu = gpu();
    let pipeline = add(gpu, false);
    let (a, y) = (upload(gpu, &[1.0; 4]), gpu.alloc(16).unwrap());
    let bytes = params(&[(4, 1.0)], 256);
    let good = dispatch(&pipeline, &[&a, &a, &y], 0, 1);
    assert!(gpu.run(&[dispatch(&pipeline, &[&a, &y], 0, 1)], &bytes).is_err());
    assert!(gpu.run(std::slice::from_ref(&good), &[]).is_err());
    assert!(gpu.run(&[dispatch(&pipeline, &[&a, &a, &y], 4, 1)], &bytes).is_err());
    assert!(gpu.run(&[dispatch(&pipeline, &[&a, &a, &y], 0, u64::MAX)], &bytes).is_err());
    let mut far = good.clone();
    far.buffers[0].size = 1 << 20;
    assert!(gpu.run(&[far], &bytes).is_err());
    // Only wgpu sees this one: a buffer that is read and written through two bindings.
    assert!(gpu.run(&[dispatch(&pipeline, &[&a, &a, &a], 0, 1)], &bytes).is_err());
    gpu.run(&[dispatch(&pipeline, &[&a, &a, &y], 0, 0), good], &bytes).unwrap();
    assert_eq!(read(gpu, &y), [2.0; 4]);
}

#[test]
fn index_faults_stay_in_their_slots_until_cleared() {
    let gpu = open();
    let wgsl = "
        struct Params { slot: u32, tag: u32, index: i32, bound: u32 }
        @group(0) @binding(0) var<uniform> p: Params;
        @group(0) @binding(1) var<storage, read_write> y: array<u32>;
        @group(0) @binding(2) var<storage, read_write> fault: array<atomic<u32>>;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) {
            y[lane] = lane;
            if u32(p.index) >= p.bound && atomicExchange(&fault[4u * p.slot], 1u) == 0u {
                atomicStore(&fault[4u * p.slot + 1u], p.tag);
                atomicStore(&fault[4u * p.slot + 2u], bitcast<u32>(p.index));
                atomicStore(&fault[4u * p.slot + 3u], p.bound);
            }
        }";
    let source = || KernelSource {
        name: "check".into(),
        wgsl: wgsl.into(),
        bindings: vec![Binding::ReadWrite],
        params_bytes: 16,
        checks_indices: true,
        panels: Vec::new(),
        trusted: true,
    };
    let pipeline = gpu.pipeline(7, true, source).unwrap();
    let y = gpu.alloc(256).unwrap();
    let run = |slot: u32, index: i32| {
        let bytes = bytemuck::bytes_of(&[slot, 50 + slot, index.cast_unsigned(), 10_u32]).to_vec();
        gpu.run(&[dispatch(&pipeline, &[&y], 0, 1)], &bytes).unwrap();
    };
    let fault = |slot: u32, index| IndexFault { tag: 50 + slot, index, bound: 10 };
    let last = FAULT_SLOTS - 1;
    run(0, 3);
    assert_eq!(block_on(gpu.read(&y, 0, 8, 0..FAULT_SLOTS)).unwrap().1, []);
    // The first of a slot counts.
    for (slot, index) in [(0, -4), (0, 11), (last, 12), (7, 10), (8, 9)] {
        run(slot, index);
    }
    let (data, found) = block_on(gpu.read(&y, 4, 4, 0..FAULT_SLOTS)).unwrap();
    assert_eq!((data, found), (1_u32.to_ne_bytes().to_vec(), vec![fault(0, -4), fault(7, 10), fault(last, 12)]));
    // Reading clears nothing, and brings nothing but what was asked for.
    assert_eq!(block_on(gpu.read(&y, 0, 0, 0..1)).unwrap().1, [fault(0, -4)]);
    assert_eq!(block_on(gpu.read(&y, 0, 8, 1..last)).unwrap().1, [fault(7, 10)]);
    assert_eq!(block_on(gpu.wait(8..FAULT_SLOTS)).unwrap(), [fault(last, 12)]);
    assert_eq!(block_on(gpu.wait(0..0)).unwrap(), []);
    gpu.clear_faults(&[0, last]).unwrap();
    assert_eq!(block_on(gpu.wait(0..FAULT_SLOTS)).unwrap(), [fault(7, 10)]);
    run(last, 13);
    assert_eq!(block_on(gpu.wait(last..FAULT_SLOTS)).unwrap(), [fault(last, 13)]);
}

#[test]
fn eight_threads_share_a_device() {
    let gpu = gpu();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            scope.spawn(move || {
                let pipeline = add(gpu, true);
                for turn in 0..25_u32 {
                    let x = (thread * 100 + turn) as f32;
                    let (a, b) = (upload(gpu, &[x; 300]), upload(gpu, &[1.0; 300]));
                    let y = gpu.alloc(1200).unwrap();
                    let bytes = params(&[(300, x)], 256);
                    gpu.run(&[dispatch(&pipeline, &[&a, &b, &y], 0, 5)], &bytes).unwrap();
                    assert_eq!(read(gpu, &y), [2.0 * x; 300]);
                }
            });
        }
    });
}

#[test]
fn asks_for_too_much_are_errors_and_the_device_goes_on() {
    let gpu = gpu();
    for bytes in [u64::MAX, u64::MAX - 7, gpu.caps().max_buffer + 1] {
        let error = gpu.alloc(bytes).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
    let buffer = upload(gpu, &[1.0, 2.0]);
    assert_eq!(read(gpu, &buffer), [1.0, 2.0]);
}

#[test]
fn a_lost_device_answers_with_errors() {
    let gpu = open();
    let buffer = gpu.alloc(64).unwrap();
    gpu.0.device.destroy();
    gpu.lose("pulled out");
    let lost = |error: Error| matches!(error, Error::DeviceLost(_));
    assert!(lost(gpu.alloc(64).unwrap_err()));
    assert!(lost(gpu.write(&buffer, 0, &[0; 4]).unwrap_err()));
    assert!(lost(gpu.run(&[], &[]).unwrap_err()));
    assert!(lost(block_on(gpu.read(&buffer, 0, 4, 0..0)).unwrap_err()));
    assert!(lost(block_on(gpu.wait(0..0)).unwrap_err()));
    drop(buffer);
    gpu.trim();
}

#[test]
fn selections() {
    assert_eq!(Select::parse(" GPU "), Select::Best);
    assert_eq!(Select::parse("Vulkan"), Select::Backend("vulkan"));
    assert_eq!(Select::parse("Radeon"), Select::Name("radeon".into()));
    let adapters = block_on(Gpu::adapters());
    assert_eq!(&adapters[0], gpu().info());
    let name = adapters[0].name[..4].to_uppercase();
    assert_eq!(block_on(Gpu::open(&Select::parse(&name))).unwrap().info(), &adapters[0]);
    match block_on(Gpu::open(&Select::Name("no such adapter".into()))) {
        Err(Error::UnknownDevice { asked, available, .. }) => {
            assert!(asked == "no such adapter" && available.len() == adapters.len());
        }
        other => panic!("{other:?}"),
    }
    let caps = gpu().caps();
    assert!(caps.max_workgroups >= 65_535 && caps.max_storage_buffers >= 8 && caps.software == adapters[0].software);
}

#[test]
fn handles_cross_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Gpu>();
    shared::<Buffer>();
    shared::<Pipeline>();
}

/// More dispatches than a query set holds timestamps for, and the way of software adapters, which waits for each.
#[test]
fn timed_dispatches_run_as_others_do() {
    type Timed = fn(&Gpu, &[Dispatch], &[u8]) -> Result<Vec<Option<Timing>>>;
    let gpu = open();
    assert_timed(&gpu, Gpu::run_timed, if gpu.caps().software { 4999 } else { 3 });
    if gpu.caps().timestamps {
        let ways: [(Timed, u64); 2] = [(Gpu::run_queried, 3), (Gpu::run_waited, 4999)];
        ways.into_iter().for_each(|(timed, submits)| assert_timed(&gpu, timed, submits));
    }
}

fn assert_timed(gpu: &Gpu, timed: impl Fn(&Gpu, &[Dispatch], &[u8]) -> Result<Vec<Option<Timing>>>, submits: u64) {
    let pipeline = add(gpu, true);
    let (a, b) = (upload(gpu, &[1.0; 300]), upload(gpu, &[2.0; 300]));
    let buffers: Vec<Buffer> = (0..3).map(|_| gpu.alloc(1200).unwrap()).collect();
    let bytes = params(&[(300, 1.0)], 256);
    let mut work: Vec<Dispatch> = (0..5000).map(|i| dispatch(&pipeline, &[&a, &b, &buffers[i % 3]], 0, 5)).collect();
    work[7].workgroups = 0;
    let before = gpu.stats();
    let start = crate::trace::now();
    let timings = timed(gpu, &work, &bytes).unwrap();
    let end = crate::trace::now();
    let after = gpu.stats();
    assert_eq!(after.dispatches - before.dispatches, 4999);
    assert_eq!(read(gpu, &buffers[2]), [3.0; 300]);
    assert_eq!(timings.len(), 5000);
    assert_eq!(timings[7], None);
    if gpu.caps().timestamps {
        assert_eq!(after.submits - before.submits, submits);
        let known: Vec<Timing> = timings.into_iter().flatten().collect();
        assert!(known.len() > 4900, "only {} of 4999 times make sense", known.len());
        assert!(known.is_sorted_by_key(|t| t.start));
        // The bounds that align the clocks hold for the whole list.
        assert!(known.iter().all(|t| t.start >= start && t.start + t.length <= end), "{start:?} {end:?} {known:?}");
        assert!(known.iter().any(|t| !t.length.is_zero()));
    } else {
        assert!(timings.iter().all(Option::is_none));
    }
    // Without times nothing has changed: one submission, or what the length asks for.
    gpu.run(&work[..100], &bytes).unwrap();
    let plain = gpu.stats();
    assert_eq!((plain.submits - after.submits, plain.dispatches - after.dispatches), (2, 99));
}

/// A wait of more than a few seconds looks which submissions are done, to tell a slow device from a dead one.
#[test]
fn finished_submissions_are_forgotten() {
    let gpu = open();
    let pipeline = add(&gpu, true);
    let (a, y) = (upload(&gpu, &[1.0; 300]), gpu.alloc(1200).unwrap());
    for _ in 0..3 {
        gpu.run(&[dispatch(&pipeline, &[&a, &a, &y], 0, 5)], &params(&[(300, 1.0)], 256)).unwrap();
    }
    block_on(gpu.wait(0..0)).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let inner = Arc::clone(&gpu.0);
    std::thread::spawn(move || sender.send(inner.retire()));
    // A thread that waits for itself would not come back.
    let done = receiver.recv_timeout(std::time::Duration::from_secs(60)).unwrap().unwrap();
    assert!(!done.is_empty() && gpu.0.in_flight.lock().unwrap().is_empty());
}
