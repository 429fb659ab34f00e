//! Adapters and the opened device.

use std::collections::HashMap;
use std::fmt;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::encode::Stream;
use super::pace::Pace;
use super::pipeline::{Layout, LayoutKey, PIPELINES, Pipeline};
use super::pool::Pool;
use super::profile::Clock;
use super::recent::Recent;
use super::stats::{Counters, Memory, Stats};
use super::sticky::{Sticky, describe};
use crate::caps::{Caps, PANEL_WIDTH};
use crate::error::{At, Error, Result};
use crate::trace;

/// Slots of the block of index errors. What uses a slot writes the first index that is out of range there, and nothing
/// where all are in range.
pub const FAULT_SLOTS: u32 = 256;
/// Bytes of a slot: flag, tag, index, bound.
pub(super) const SLOT_BYTES: u64 = 16;
/// Bytes of the block.
pub(super) const FAULT_BYTES: u64 = FAULT_SLOTS as u64 * SLOT_BYTES;

const ADVICE: &str = "Install a driver with Vulkan, Metal or DirectX 12 support. On Debian or Ubuntu, \
    `apt install mesa-vulkan-drivers` brings drivers for most GPUs and a software adapter that runs on any machine. \
    WGRAD_DEVICE=cpu selects the CPU reference instead.";

/// What an adapter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// The adapter's name, as its driver gives it.
    pub name: String,
    /// The graphics interface: `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// Driver name and version.
    pub driver: String,
    /// `discrete`, `integrated`, `virtual`, `cpu` or `other`.
    pub kind: String,
    /// Whether shaders run on CPU cores.
    pub software: bool,
}

impl AdapterInfo {
    fn of(info: &wgpu::AdapterInfo) -> AdapterInfo {
        const SOFTWARE: [&str; 5] = ["llvmpipe", "lavapipe", "swiftshader", "warp", "basic render"];
        let name = info.name.to_lowercase();
        let (kind, cpu) = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => ("discrete", false),
            wgpu::DeviceType::IntegratedGpu => ("integrated", false),
            wgpu::DeviceType::VirtualGpu => ("virtual", false),
            wgpu::DeviceType::Cpu => ("cpu", true),
            wgpu::DeviceType::Other => ("other", false),
        };
        let backend = match info.backend {
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            wgpu::Backend::BrowserWebGpu => "webgpu",
            wgpu::Backend::Gl => "gl",
            wgpu::Backend::Noop => "noop",
        };
        AdapterInfo {
            name: info.name.clone(),
            backend: backend.into(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            kind: kind.into(),
            software: cpu || SOFTWARE.iter().any(|s| name.contains(s)),
        }
    }

    /// Lower is better. A browser does not say what its adapter is, so `other` is not the worst.
    fn rank(&self) -> u8 {
        match (self.software, self.kind.as_str()) {
            (true, _) => 4,
            (_, "discrete") => 0,
            (_, "integrated") => 1,
            (_, "virtual") => 2,
            _ => 3,
        }
    }
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.name, self.backend, self.kind)?;
        f.write_str(if self.software && self.kind != "cpu" { ", software)" } else { ")" })
    }
}

/// Which adapter to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// Discrete before integrated before virtual before software.
    Best,
    /// The best adapter of one graphics interface: `vulkan`, `metal`, `dx12` or `webgpu`.
    Backend(&'static str),
    /// The best adapter whose name or driver contains this, in any case.
    Name(String),
}

impl Select {
    /// Reads a selection as `WGRAD_DEVICE` has it: `gpu`, a graphics interface, or a part of a name.
    pub fn parse(text: &str) -> Select {
        let text = text.trim().to_lowercase();
        let backends = ["vulkan", "metal", "dx12", "webgpu"];
        match backends.into_iter().find(|b| *b == text) {
            Some(backend) => Select::Backend(backend),
            None if text.is_empty() || text == "gpu" => Select::Best,
            None => Select::Name(text),
        }
    }

    fn matches(&self, info: &AdapterInfo) -> bool {
        match self {
            Select::Best => true,
            Select::Backend(backend) => info.backend == *backend,
            Select::Name(part) => {
                let part = part.to_lowercase();
                info.name.to_lowercase().contains(&part) || info.driver.to_lowercase().contains(&part)
            }
        }
    }
}

/// One opened adapter. A clone is a cheap handle to the same device.
#[derive(Clone)]
pub struct Gpu(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub info: AdapterInfo,
    pub caps: Caps,
    pub params_align: u32,
    pub pool: Arc<Pool>,
    pub sticky: Arc<Sticky>,
    pub counters: Counters,
    pub layouts: Mutex<HashMap<LayoutKey, Arc<Layout>>>,
    /// By key, and whether the text is this process's own.
    pub pipelines: Mutex<Recent<(u128, bool), Pipeline>>,
    /// What one submission after the other goes through. Whoever holds it may take the locks of the pool and of the staging
    /// buffers, never the other way round.
    pub stream: Mutex<Stream>,
    pub staging: Mutex<Vec<wgpu::Buffer>>,
    /// Submissions that were not seen to finish yet, oldest first.
    #[cfg(not(target_arch = "wasm32"))]
    pub in_flight: Mutex<std::collections::VecDeque<super::pace::Submission>>,
    /// How many submissions there were.
    #[cfg(not(target_arch = "wasm32"))]
    pub submitted: AtomicU64,
    /// The number of the last submission that has ended, as far as somebody polled.
    #[cfg(not(target_arch = "wasm32"))]
    pub ended: Arc<AtomicU64>,
    /// How much work a submission takes.
    pub pace: Mutex<Pace>,
    /// Bytes written to the queue since the last submission.
    pub uploaded: AtomicUsize,
    pub faults: wgpu::Buffer,
    /// How the GPU's clock and the CPU's differ.
    pub clock: Mutex<Clock>,
    /// The device's process in the trace; 0 where there is none.
    pub lane: u32,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({})", self.0.info)
    }
}

/// The adapters that wgpu finds, best first.
async fn candidates() -> Vec<(AdapterInfo, wgpu::Adapter)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Debug builds would switch on the driver's validation layers, which cost a lot; WGPU_VALIDATION=1 still does.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    // WGPU_DX12_COMPILER and its like.
    descriptor.backend_options = wgpu::BackendOptions::from_env_or_default();
    if wgpu::Instance::enabled_backend_features().is_empty() {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(descriptor);
    let adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    let mut found: Vec<_> = adapters.into_iter().map(|a| (AdapterInfo::of(&a.get_info()), a)).collect();
    found.sort_by_key(|(info, _)| info.rank());
    found
}

impl Gpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none or none opens, [`Error::UnknownDevice`] where none matches.
    pub async fn open(select: &Select) -> Result<Gpu> {
        let found = candidates().await;
        let no_adapter = |detail: String| Error::NoAdapter { detail, advice: ADVICE.into(), at: At(None) };
        if found.is_empty() {
            return Err(no_adapter("wgpu lists no adapters".into()));
        }
        let available: Vec<String> = found.iter().map(|(info, _)| info.to_string()).collect();
        let mut failures = Vec::new();
        for (info, adapter) in found.into_iter().filter(|(info, _)| select.matches(info)) {
            match Gpu::connect(info.clone(), &adapter).await {
                Ok(gpu) => return Ok(gpu),
                Err(error) => failures.push(format!("{info}: {error}")),
            }
        }
        if failures.is_empty() {
            let asked = match select {
                Select::Best => "gpu".to_owned(),
                Select::Backend(backend) => (*backend).to_owned(),
                Select::Name(name) => name.clone(),
            };
            return Err(Error::UnknownDevice { asked, available, at: At(None) });
        }
        Err(no_adapter(failures.join("; ")))
    }

    /// The adapters of this machine, best first.
    pub async fn adapters() -> Vec<AdapterInfo> {
        candidates().await.into_iter().map(|(info, _)| info).collect()
    }

    async fn connect(info: AdapterInfo, adapter: &wgpu::Adapter) -> Result<Gpu, String> {
        let mut wanted = wgpu::Features::SUBGROUP
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_INT64;
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        let cooperative = cooperative(adapter);
        if cooperative.is_some() {
            wanted |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            // SAFETY: asks to accept that features which are still worked on may have bugs. One is asked for, only where the crate's
            // feature is on, and used by one kernel that is tried out when the device is opened.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: adapter.features() & wanted,
            required_limits: adapter.limits(),
            experimental_features,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|error| error.to_string())?;
        #[cfg(target_arch = "wasm32")]
        let lacks_subgroups = !has_subgroup_id(&device).await;
        #[cfg(not(target_arch = "wasm32"))]
        let lacks_subgroups = false;

        let sticky = Arc::new(Sticky::default());
        let on_lost = Arc::clone(&sticky);
        device.set_device_lost_callback(move |reason, message| {
            on_lost.set(Error::DeviceLost(format!("{reason:?}: {message}")));
        });
        let on_error = Arc::clone(&sticky);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            on_error.set(match &error {
                wgpu::Error::OutOfMemory { .. } => {
                    let (op, at) = ("device".into(), Default::default());
                    Error::OutOfMemory { op, shape: None, asked: 0, in_use: 0, pooled: 0, at }
                }
                other => Error::DeviceLost(describe(other)),
            });
        }));

        let mut caps = Caps { cooperative, ..caps(&device, &adapter.get_info(), &info) };
        if lacks_subgroups {
            caps.subgroup = None;
        }
        let gpu = if caps.timestamps { "GPU" } else { "GPU (the adapter has no timestamps)" };
        let lane = trace::process(&format!("wgrad: {info}"), Some(gpu));
        let params_align = device.limits().min_uniform_buffer_offset_alignment.max(16);
        let faults = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("index errors"),
            size: FAULT_BYTES,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        log::info!(
            "opened {} ({}, driver {}{})",
            info.name,
            info.backend,
            info.driver,
            if info.software { ", software adapter" } else { "" }
        );
        let pace = Mutex::new(Pace::new(caps.policy().is_reset));
        Ok(Gpu(Arc::new(Inner {
            device,
            queue,
            info,
            caps,
            params_align,
            pool: Arc::default(),
            sticky,
            counters: Counters::default(),
            layouts: Mutex::default(),
            pipelines: Mutex::new(Recent::new(PIPELINES)),
            stream: Mutex::default(),
            staging: Mutex::default(),
            #[cfg(not(target_arch = "wasm32"))]
            in_flight: Mutex::default(),
            #[cfg(not(target_arch = "wasm32"))]
            submitted: AtomicU64::new(0),
            #[cfg(not(target_arch = "wasm32"))]
            ended: Arc::default(),
            pace,
            uploaded: AtomicUsize::new(0),
            faults,
            clock: Mutex::default(),
            lane,
        })))
    }

    /// What the adapter says of itself.
    pub fn info(&self) -> &AdapterInfo {
        &self.0.info
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.0.caps
    }

    /// The alignment of [`Dispatch::params_offset`](super::Dispatch::params_offset), in bytes.
    pub fn params_align(&self) -> u32 {
        self.0.params_align
    }

    /// The device's process in the trace; 0 where there is none.
    pub fn lane(&self) -> u32 {
        self.0.lane
    }

    /// Counts since the device was opened.
    pub fn stats(&self) -> Stats {
        self.0.counters.snapshot()
    }

    /// Begins to count anew.
    pub fn reset_stats(&self) {
        self.0.counters.reset();
    }

    /// Counts a plan that was built, or found in the cache.
    pub fn count_plan(&self, reused: bool) {
        let counters = &self.0.counters;
        Counters::bump(if reused { &counters.plans_reused } else { &counters.plans_built }, 1);
    }

    /// Device memory held for tensors.
    pub fn memory(&self) -> Memory {
        self.0.pool.memory()
    }

    /// Counts the peak of memory anew, from what is in use.
    pub fn reset_peak_memory(&self) {
        self.0.pool.reset_peak();
    }

    /// Marks the device as lost, as a driver would: for tests of what happens then.
    #[cfg(test)]
    pub fn lose(&self, why: &str) {
        self.0.sticky.set(Error::DeviceLost(why.into()));
    }
}

impl Inner {
    /// Adds to the bytes that wait for a submission.
    pub(super) fn note_upload(&self, bytes: usize) -> usize {
        self.uploaded.fetch_add(bytes, Relaxed) + bytes
    }
}

/// The side of the cooperative matrices of 16-bit floats that the adapter has; the larger ones where it has several.
fn cooperative(adapter: &wgpu::Adapter) -> Option<u32> {
    let needed =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    if !cfg!(feature = "cooperative-matrix") || !adapter.features().contains(needed) {
        return None;
    }
    let shapes = adapter.cooperative_matrix_properties();
    let suits = |side: &u32| {
        shapes.iter().any(|shape| {
            [shape.m_size, shape.n_size, shape.k_size] == [*side; 3]
                && shape.ab_type == wgpu::CooperativeScalarType::F16
                && shape.cr_type == wgpu::CooperativeScalarType::F32
        })
    };
    [16, 8].into_iter().find(suits)
}

/// Whether a browser's compiler knows the number of a subgroup within its workgroup, which came later than subgroups.
#[cfg(target_arch = "wasm32")]
async fn has_subgroup_id(device: &wgpu::Device) -> bool {
    if !device.features().contains(wgpu::Features::SUBGROUP) {
        return false;
    }
    const TEXT: &str = "enable subgroups;
        @compute @workgroup_size(64) fn main(@builtin(subgroup_id) id: u32, @builtin(num_subgroups) count: u32) { _ = id + count; }";
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let source = wgpu::ShaderSource::Wgsl(TEXT.into());
    let _ = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("subgroups"), source });
    scope.pop().await.is_none()
}

/// Intel's number among the vendors of PCI devices.
const INTEL: u32 = 0x8086;

fn caps(device: &wgpu::Device, raw: &wgpu::AdapterInfo, info: &AdapterInfo) -> Caps {
    let (limits, features) = (device.limits(), device.features());
    let subgroups = features.contains(wgpu::Features::SUBGROUP);
    Caps {
        software: info.software,
        subgroup: subgroups.then_some((raw.subgroup_min_size, raw.subgroup_max_size)),
        max_binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
        max_buffer: limits.max_buffer_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        f16: features.contains(wgpu::Features::SHADER_F16),
        cooperative: None,
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        wide_loads: info.software && features.contains(wgpu::Features::SHADER_INT64),
        // Metal gives no vendor, and a browser does not say whose adapter it is.
        few_registers: raw.vendor == INTEL || raw.name.contains("Intel") || raw.backend == wgpu::Backend::BrowserWebGpu,
        cores: std::thread::available_parallelism().map_or(Caps::baseline().cores, |cores| cores.get() as u32),
        // Measured on llvmpipe only.
        panel_texels: match info.software && info.name.contains("llvmpipe") {
            true => u64::from(limits.max_texture_dimension_2d) * PANEL_WIDTH,
            false => 0,
        },
        choices: None,
        plain: Default::default(),
        faulty: None,
    }
}
