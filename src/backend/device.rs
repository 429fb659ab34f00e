//! The device handle.

mod flush;

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use crate::array::Array;
use crate::backend::certify;
use crate::backend::cpu::CpuBackend;
use crate::backend::gpu::GpuBackend;
use crate::backend::null::NullBackend;
use crate::caps::{AdapterKind, Caps, Target};
use crate::env;
use crate::error::{Error, Result};
use crate::gpu::{AdapterInfo, Gpu, Memory, Select, Stats};
use crate::graph::node::lock;
use crate::graph::recording::Tick;
use crate::graph::{Context, Traits, Value, Var, recording};
use crate::host;
use crate::ir::Merged;
use crate::plan::{Cluster, PlanSummary};
use crate::wait::wait;

/// What a device is.
///
/// ```
/// let info: wgrad::DeviceInfo = wgrad::Device::cpu().info().clone();
/// assert!(info.backend == "cpu" && info.software);
/// println!("{info}"); // CPU reference (cpu, cpu)
/// ```
pub type DeviceInfo = AdapterInfo;

/// Where tensors live and ops run: a GPU adapter or the CPU reference. A cheap handle, `Send + Sync`.
///
/// ```
/// use wgrad::{Device, Tensor};
/// let device = Device::default(); // the best GPU adapter, else the CPU reference
/// let x = Tensor::from_slice(&[1f32, 2., 3.], [3], &device);
/// assert_eq!((&x * &x).sum().item::<f32>()?, 14.0);
/// println!("{}: {} bytes in use", device.info(), device.memory().in_use);
/// let reference = Device::cpu(); // a device of its own
/// assert!(reference.is_cpu() && !reference.same(&device));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

/// Where a device's random numbers are; see [`Device::rng_state`].
///
/// ```
/// use wgrad::{Device, RngState};
/// let device = Device::cpu();
/// device.seed(7);
/// assert_eq!(device.rng_state(), RngState { seed: 7, drawn: 0 });
/// device.set_rng_state(RngState { seed: 7, drawn: 2 }); // after two random tensors
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngState {
    /// The seed.
    pub seed: u64,
    /// Random tensors drawn since.
    pub drawn: u64,
}

struct Inner {
    info: DeviceInfo,
    context: Arc<Context>,
    backend: Backend,
    /// Key of the random numbers, and how many streams were drawn from it.
    seed: AtomicU64,
    stream: AtomicU64,
    /// Serialises flushes that start from the list of pending nodes.
    flushing: Mutex<()>,
    /// Whether each op is submitted on its own.
    eager: AtomicBool,
}

/// A plan that was only looked at.
pub(crate) struct Planned {
    pub graph: Merged,
    pub clusters: Vec<Cluster>,
    pub summary: PlanSummary,
}

pub(super) enum Backend {
    Gpu(Box<GpuBackend>),
    Cpu(CpuBackend),
    Null(NullBackend),
}

impl Device {
    fn new(info: DeviceInfo, backend: Backend) -> Device {
        let is_cpu = matches!(backend, Backend::Cpu(_));
        let caps = match &backend {
            Backend::Cpu(_) => None,
            Backend::Gpu(gpu) => Some(gpu.caps()),
            Backend::Null(null) => Some(&null.caps),
        };
        let traits = Traits {
            allows_f64: is_cpu,
            allows_f16: caps.is_none_or(|caps| caps.f16),
            prefers_expressions: is_cpu,
            kind: caps.map_or(AdapterKind::Gpu, Caps::kind),
            lanes: caps.is_some_and(|caps| caps.lanes() >= Some(8)),
        };
        let lane = match &backend {
            Backend::Gpu(gpu) => gpu.gpu.lane(),
            Backend::Cpu(cpu) => cpu.lane,
            Backend::Null(_) => 0,
        };
        let inner = Inner {
            context: Context::traced(info.name.clone(), traits, lane),
            info,
            backend,
            seed: AtomicU64::new(0),
            stream: AtomicU64::new(0),
            flushing: Mutex::default(),
            eager: AtomicBool::new(false),
        };
        let inner = Arc::new(inner);
        let handle: Weak<Inner> = Arc::downgrade(&inner);
        inner.context.belongs_to(handle);
        Device { inner }
    }

    /// The device that nodes with this context are on.
    pub(crate) fn of(context: &Context) -> Result<Device> {
        let inner = context.device_handle().and_then(|handle| handle.downcast::<Inner>().ok());
        let gone = || Error::internal("device", format!("{} is no device that is there", context.device));
        inner.map(|inner| Device { inner }).ok_or_else(gone)
    }

    /// The best GPU adapter (discrete, integrated, virtual, software, in this order).
    ///
    /// # Errors
    /// [`Error::NoAdapter`](crate::Error::NoAdapter) with advice on what to install where there is none.
    #[track_caller]
    pub fn gpu() -> Result<Device> {
        let at = Location::caller();
        wait("Device::gpu", "await Device::gpu_async", Device::gpu_async()).map_err(|e| e.or_at(at))
    }

    /// [`Device::gpu`] without blocking, for browsers.
    #[track_caller]
    pub fn gpu_async() -> impl Future<Output = Result<Device>> {
        let at = Location::caller();
        async move { Device::open(&Select::Best).await.map_err(|e| e.or_at(at)) }
    }

    async fn open(select: &Select) -> Result<Device> {
        start_log();
        let gpu = Gpu::open(select).await?;
        let caps = gpu.caps().clone();
        Ok(Device::opened(gpu, caps, env::get().fuse))
    }

    /// The device of an adapter that was opened, with its kernels checked where that is asked for.
    fn opened(gpu: Gpu, caps: Caps, fuse: bool) -> Device {
        let caps = if env::get().certify { certify::certified(&gpu, caps, fuse) } else { caps };
        Device::of_gpu(gpu, caps, fuse)
    }

    /// A device on an adapter whose kernels are chosen by `caps`.
    pub(super) fn of_gpu(gpu: Gpu, caps: Caps, fuse: bool) -> Device {
        let info = gpu.info().clone();
        Device::new(info, Backend::Gpu(Box::new(GpuBackend::new(gpu, caps, fuse))))
    }

    /// The adapter, what its kernels are chosen by, and whether ops are fused; of a GPU.
    pub(super) fn parts(&self) -> Option<(Gpu, Caps, bool)> {
        match &self.inner.backend {
            Backend::Gpu(gpu) => Some((gpu.gpu.clone(), gpu.caps().clone(), gpu.fuses())),
            Backend::Cpu(_) | Backend::Null(_) => None,
        }
    }

    /// The CPU reference: every op unfused on host arrays, in f32 or f64.
    pub fn cpu() -> Device {
        let text = |s: &str| s.to_owned();
        let info = AdapterInfo {
            name: text("CPU reference"),
            backend: text("cpu"),
            driver: text("ndarray"),
            kind: text("cpu"),
            software: true,
        };
        Device::new(info, Backend::Cpu(CpuBackend::new()))
    }

    /// A device by the words of `WGRAD_DEVICE`: `cpu`, `gpu`, `vulkan`, `metal`, `dx12`, `webgpu`, or a part of an adapter's
    /// name or driver.
    ///
    /// # Errors
    /// [`Error::UnknownDevice`](crate::Error::UnknownDevice), which lists what there is; [`Error::NoAdapter`](crate::Error::NoAdapter)
    /// where there is no adapter at all.
    #[track_caller]
    pub fn named(name: &str) -> Result<Device> {
        let at = Location::caller();
        wait("Device::named", "await Device::named_async", Device::find(name)).map_err(|e| e.or_at(at))
    }

    /// [`Device::named`] without blocking, for browsers, whose one graphics interface is `webgpu`.
    ///
    /// # Errors
    /// As [`Device::named`].
    #[track_caller]
    pub fn named_async(name: &str) -> impl Future<Output = Result<Device>> {
        let at = Location::caller();
        async move { Device::find(name).await.map_err(|e| e.or_at(at)) }
    }

    async fn find(name: &str) -> Result<Device> {
        if name.trim().eq_ignore_ascii_case("cpu") {
            return Ok(Device::cpu());
        }
        Device::open(&Select::parse(name)).await
    }

    /// A new GPU device with fusion switched on or off whatever `WGRAD_FUSE` says.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    #[track_caller]
    pub fn gpu_with_fusion(fuse: bool) -> Result<Device> {
        Device::gpu_with(fuse, |_| {})
    }

    /// A new GPU device on the best adapter whose kernels use no more than `target` has, whatever the adapter does: a step that is
    /// captured on it runs on others too.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    #[track_caller]
    pub fn gpu_for(target: &Target) -> Result<Device> {
        let at = Location::caller();
        wait("Device::gpu_for", "await Device::gpu_for_async", Device::gpu_for_async(target)).map_err(|e| e.or_at(at))
    }

    /// [`Device::gpu_for`] without blocking, for browsers.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    #[track_caller]
    pub fn gpu_for_async(target: &Target) -> impl Future<Output = Result<Device>> {
        let at = Location::caller();
        async move {
            start_log();
            let gpu = Gpu::open(&Select::Best).await.map_err(|e| e.or_at(at))?;
            let caps = target.within(gpu.caps());
            Ok(Device::opened(gpu, caps, env::get().fuse))
        }
    }

    /// A new GPU device on the best adapter whose kernels are chosen as if it had other capabilities, for tests: with
    /// `software` unset, a software adapter runs the kernels meant for GPUs.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    #[doc(hidden)]
    #[track_caller]
    pub fn gpu_with(fuse: bool, change: impl FnOnce(&mut Caps)) -> Result<Device> {
        let at = Location::caller();
        start_log();
        let opened = wait("Device::gpu_with", "await Device::gpu_async", Gpu::open(&Select::Best));
        let gpu = opened.map_err(|e| e.or_at(at))?;
        let mut caps = gpu.caps().clone();
        change(&mut caps);
        Ok(Device::opened(gpu, caps, fuse))
    }

    /// A device that plans for an adapter with `caps` and computes nothing. For tests of the planner.
    #[doc(hidden)]
    pub fn null(caps: Caps, fuse: bool) -> Device {
        let text = |s: &str| s.to_owned();
        let info = AdapterInfo {
            name: text("null"),
            backend: text("null"),
            driver: String::new(),
            kind: text("other"),
            software: caps.software,
        };
        Device::new(info, Backend::Null(NullBackend::new(caps, fuse)))
    }

    /// The adapters of this machine. Browsers have [`Device::adapters_async`] only.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn adapters() -> Vec<AdapterInfo> {
        pollster::block_on(Device::adapters_async())
    }

    /// The adapters of this machine, or the one that the browser gives a page, without blocking.
    ///
    /// ```
    /// for adapter in pollster::block_on(wgrad::Device::adapters_async()) {
    ///     println!("{adapter}"); // browsers await the call
    /// }
    /// ```
    pub async fn adapters_async() -> Vec<AdapterInfo> {
        Gpu::adapters().await
    }

    /// Name, graphics interface and kind.
    pub fn info(&self) -> &DeviceInfo {
        &self.inner.info
    }

    /// Whether this is the CPU reference.
    pub fn is_cpu(&self) -> bool {
        matches!(self.inner.backend, Backend::Cpu(_))
    }

    /// Whether both handles are of one device, as `==` says too.
    pub fn same(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Starts the device's random numbers anew: the same seed and the same calls give the same bits.
    pub fn seed(&self, seed: u64) {
        self.set_rng_state(RngState { seed, drawn: 0 });
    }

    /// Where the device's random numbers are: what [`Device::set_rng_state`] needs to go on from here.
    pub fn rng_state(&self) -> RngState {
        let (seed, drawn) = (&self.inner.seed, &self.inner.stream);
        RngState { seed: seed.load(Ordering::Relaxed), drawn: drawn.load(Ordering::Relaxed) }
    }

    /// Lets the random numbers go on from a state that [`Device::rng_state`] has returned.
    pub fn set_rng_state(&self, state: RngState) {
        self.inner.seed.store(state.seed, Ordering::Relaxed);
        self.inner.stream.store(state.drawn, Ordering::Relaxed);
        if recording::active_on(self.context()) && state.drawn == 0 {
            recording::tick(Tick::Seed(state.seed));
        } else if recording::active() {
            let device = self.clone();
            recording::tick(Tick::Opaque(Arc::new(move || device.set_rng_state(state))));
        }
    }

    /// The key of the next random tensor.
    pub(crate) fn next_key(&self) -> (u32, u32) {
        let key = self.advance_key();
        recording::draw(self.context(), key);
        key
    }

    pub(crate) fn advance_key(&self) -> (u32, u32) {
        let stream = self.inner.stream.fetch_add(1, Ordering::Relaxed);
        // SplitMix64 spreads seed and stream over both words (Steele, Lea & Flood 2014).
        let mut z = self.inner.seed.load(Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z as u32, (z >> 32) as u32)
    }

    /// Seed and position of the random numbers.
    pub(crate) fn random_state(&self) -> (u64, u64) {
        (self.inner.seed.load(Ordering::Relaxed), self.inner.stream.load(Ordering::Relaxed))
    }

    /// Goes on with the random numbers from there.
    pub(crate) fn set_random_state(&self, seed: u64, stream: u64) {
        self.inner.seed.store(seed, Ordering::Relaxed);
        self.inner.stream.store(stream, Ordering::Relaxed);
    }

    /// What kernels are chosen by; `None` where there are none to choose.
    pub(crate) fn caps(&self) -> Option<&Caps> {
        match &self.inner.backend {
            Backend::Gpu(gpu) => Some(gpu.caps()),
            Backend::Cpu(_) | Backend::Null(_) => None,
        }
    }

    /// Runs everything that is pending and waits for it.
    ///
    /// An index out of range is an error of the values computed with it, and their reads return it. Where no read has yet,
    /// `sync` does, one such error a call, the earliest first.
    ///
    /// # Errors
    /// What went wrong in the pending work, such as an index out of range.
    pub fn sync(&self) -> Result<()> {
        wait("sync", "await sync_async", self.sync_async())
    }

    /// [`Device::sync`] as a future, for browsers, where it does not block. Natively it polls the device inside, so awaiting it
    /// blocks the thread until the work is done.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::cpu();
    /// let x = Tensor::ones([4], &device).exp();
    /// pollster::block_on(device.sync_async())?; // `x` is computed now
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Device::sync`].
    pub async fn sync_async(&self) -> Result<()> {
        if recording::active_on(self.context()) {
            // What there is to wait for is not submitted yet.
            return Ok(());
        }
        self.flush_pending()?;
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.wait().await,
            Backend::Cpu(cpu) => cpu.tell(),
            Backend::Null(_) => Ok(()),
        }
    }

    /// Device memory held for tensors. Zeros on the CPU reference.
    pub fn memory(&self) -> Memory {
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.gpu.memory(),
            Backend::Cpu(_) | Backend::Null(_) => Memory::default(),
        }
    }

    /// Counts [`Memory::peak`] anew, from what is in use now. (PyTorch's `reset_peak_memory_stats`.)
    pub fn reset_peak_memory(&self) {
        if let Backend::Gpu(gpu) = &self.inner.backend {
            gpu.gpu.reset_peak_memory();
        }
    }

    /// Counts of submissions, dispatches, compiled kernels, plans and bind groups so far. On the CPU reference a flush counts
    /// as a submission and an op as a dispatch.
    pub fn stats(&self) -> Stats {
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.gpu.stats(),
            Backend::Cpu(cpu) => Stats {
                submits: cpu.flushes.load(Ordering::Relaxed),
                dispatches: cpu.ops.load(Ordering::Relaxed),
                ..Stats::default()
            },
            Backend::Null(null) => {
                let plans = lock(&null.plans);
                Stats {
                    submits: plans.len() as u64,
                    dispatches: plans.iter().map(|p| p.kernels.len() as u64).sum(),
                    plans_built: plans.len() as u64,
                    ..Stats::default()
                }
            }
        }
    }

    /// Bounds the memory that one flush, and one run of a step captured from now on, needs at once, as
    /// [`PlanSummary::peak_bytes`] counts it: what it reads, what it leaves behind, and what lives in between. Values that wait
    /// long for their next reader, as those for the backward pass do, are then computed again where that saves memory. The bits
    /// of the results stay the same. `None` lifts the bound.
    ///
    /// A flush that cannot keep to it is an [`Error::OverBudget`](crate::Error::OverBudget) that says what would be enough. On the CPU
    /// reference, which
    /// keeps no values that it does not need, this changes nothing.
    pub fn set_memory_budget(&self, bytes: Option<u64>) {
        match &self.inner.backend {
            Backend::Gpu(gpu) => gpu.set_budget(bytes),
            Backend::Null(null) => null.set_budget(bytes),
            Backend::Cpu(_) => {}
        }
    }

    /// Gives unused device memory back to the system, and lets go of plans, and of kernels that no captured step holds: what is run next
    /// is planned and compiled again.
    pub fn trim(&self) {
        if let Backend::Gpu(gpu) = &self.inner.backend {
            gpu.forget();
        }
    }

    /// What a null device has planned so far; empty on others.
    #[doc(hidden)]
    pub fn planned(&self) -> Vec<PlanSummary> {
        match &self.inner.backend {
            Backend::Null(null) => lock(&null.plans).clone(),
            Backend::Gpu(_) | Backend::Cpu(_) => Vec::new(),
        }
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.inner.backend
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.inner.context
    }

    /// Puts an array onto the device.
    pub(crate) fn upload(&self, array: Array) -> Result<Var> {
        let meta = crate::graph::Meta::new(array.shape(), array.dtype());
        let value = match &self.inner.backend {
            Backend::Gpu(gpu) => {
                host::room_for("upload", Some(&meta.shape), meta.bytes())?;
                gpu.upload(&array)?
            }
            Backend::Cpu(_) => Arc::new(array) as Value,
            Backend::Null(_) => Arc::new(()) as Value,
        };
        Ok(Var::data(meta, value, self.context()))
    }

    /// Switches the reuse of plans on or off, on at first: without it every flush is planned anew, whatever was seen before. For
    /// measurements of what it saves; kernels stay compiled either way, and results have the same bits.
    pub fn set_plan_reuse(&self, on: bool) {
        if let Backend::Gpu(gpu) = &self.inner.backend {
            gpu.set_plan_reuse(on);
        }
    }

    /// Switches eager execution on or off, off at first: with it a flush runs each op on its own, one kernel and one submission
    /// an op, and keeps every value until the flush is done, as engines do that run ops when they are called. For measurements of
    /// what recording saves.
    pub fn set_eager(&self, on: bool) {
        self.inner.eager.store(on, Ordering::Relaxed);
    }
}

impl Default for Device {
    /// The device that `WGRAD_DEVICE` names; without it the best GPU adapter, or the CPU reference where there is none. One
    /// device is shared by all calls.
    ///
    /// Where `WGRAD_DEVICE` names nothing that exists, the CPU reference is used, and the log and standard error say so. In browsers,
    /// where a GPU takes an await to open, this is always the CPU reference; [`Device::gpu_async`] opens the other.
    fn default() -> Device {
        static DEFAULT: OnceLock<Device> = OnceLock::new();
        DEFAULT
            .get_or_init(|| {
                start_log();
                let opened = match &env::get().device {
                    Some(name) => Device::named(name),
                    None => Device::gpu(),
                };
                opened.unwrap_or_else(|error| {
                    log::warn!("using the CPU reference: {error}");
                    if env::get().device.is_some() {
                        // Somebody asked for a device by name; a log that may be off is too quiet an answer.
                        eprintln!("wgrad: WGRAD_DEVICE: {error}; using the CPU reference");
                    }
                    Device::cpu()
                })
            })
            .clone()
    }
}

/// Handles of one device are equal; two devices that were opened on the same adapter are not.
impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        self.same(other)
    }
}

impl Eq for Device {}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({}, {})", self.inner.info.name, self.inner.info.backend)
    }
}

/// Starts env_logger where `WGRAD_LOG`, `RUST_LOG` or `WGRAD_DEBUG` asks for a log and the program has not set one up.
fn start_log() {
    let env = env::get();
    let filter = env.log.clone().or_else(|| (env.debug > 0).then(|| "wgrad=info".to_owned()));
    if let Some(filter) = filter {
        // An error means that the program has its own logger, which is as good.
        let _ = env_logger::Builder::new().parse_filters(&filter).try_init();
    }
}
