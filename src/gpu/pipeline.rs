//! Kernels: from WGSL to cached pipelines.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::device::{FAULT_BYTES, Gpu};
use super::panels;
use super::stats::Counters;
use super::sticky::{describe, scoped};
use super::sync::lock;
use crate::error::{Error, Result};

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A kernel's text and interface. The module docs of [`gpu`](super) say how its bindings are numbered.
#[derive(Clone, Debug)]
pub struct KernelSource {
    /// A name for error messages and profiles.
    pub name: String,
    /// The shader, with the entry point `main`.
    pub wgsl: String,
    /// The storage buffers in order.
    pub bindings: Vec<Binding>,
    /// The size of the parameter block, or 0 where there is none.
    pub params_bytes: u32,
    /// Whether the kernel binds the index-error block.
    pub checks_indices: bool,
    /// The panels that it binds: number, and whether it writes there.
    pub panels: Vec<(usize, bool)>,
    /// Whether the runtime checks of wgpu may be left out. Only for text from this crate's own generator: every access must
    /// be in bounds and every loop must end, whatever the buffers hold.
    pub trusted: bool,
}

/// A compiled kernel.
pub struct Pipeline {
    name: String,
    bindings: Vec<Binding>,
    params_bytes: u32,
    pub(super) checks_indices: bool,
    pub(super) panels: Vec<(usize, bool)>,
    pub(super) layout: Arc<Layout>,
    pub(super) raw: wgpu::ComputePipeline,
}

impl Pipeline {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The storage buffers in order.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The size of the parameter block, rounded up to 16 bytes; 0 where there is none.
    pub fn params_bytes(&self) -> u32 {
        self.params_bytes
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({})", self.name)
    }
}

/// Kernels that a device keeps, beside those of the plans and programs that it keeps. A kernel takes one to five megabytes on software
/// adapters.
pub(super) const PIPELINES: usize = 256;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct LayoutKey {
    params_bytes: u32,
    bindings: Vec<Binding>,
    checks_indices: bool,
    panels: Vec<(usize, bool)>,
}

/// Kernels of the same interface share a layout, and so bind groups.
pub(super) struct Layout {
    pub id: u32,
    pub bind_group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

/// Whether a text calls built-in functions of subgroups.
#[cfg(any(test, target_arch = "wasm32"))]
fn calls_subgroups(wgsl: &str) -> bool {
    const WORD: &str = "subgroup";
    wgsl.match_indices(WORD).any(|(at, _)| wgsl[at + WORD.len()..].starts_with(|c: char| c.is_ascii_uppercase()))
}

#[cfg(test)]
#[test]
fn calls_of_subgroups_are_seen() {
    assert!(calls_subgroups("let a = subgroupAdd(b);") && !calls_subgroups("// a subgroup\nlet subgroup_size = 8u;"));
}

impl Gpu {
    /// The kernel of `key`; `build` is asked for its text the first time. What is not `trusted` (a text that this process has not
    /// generated) is kept apart, so that no choice of key gets at a kernel without run-time checks.
    ///
    /// # Errors
    /// [`Error::Shader`] with the compiler's message where the text does not compile or does not fit its interface.
    pub fn pipeline(&self, key: u128, trusted: bool, build: impl FnOnce() -> KernelSource) -> Result<Arc<Pipeline>> {
        let inner = &*self.0;
        inner.sticky.check()?;
        if let Some(found) = lock(&inner.pipelines).get((key, trusted)) {
            return Ok(found);
        }
        // Compiled outside the lock, since it takes long; of two threads with the same kernel the second keeps the first's.
        let source = build();
        let compiled = Arc::new(self.compile(KernelSource { trusted: trusted && source.trusted, ..source })?);
        let (pipeline, new) = lock(&inner.pipelines).insert((key, trusted), compiled);
        if new {
            Counters::bump(&inner.counters.kernels_compiled, 1);
        }
        Ok(pipeline)
    }

    /// Lets go of the kernels that nobody holds.
    pub fn forget_pipelines(&self) {
        // Dropped outside the lock: the driver takes its time.
        drop(lock(&self.0.pipelines).idle());
    }

    /// Whether [`Gpu::pipeline`] has the kernel already.
    pub fn has_pipeline(&self, key: u128, trusted: bool) -> bool {
        lock(&self.0.pipelines).contains((key, trusted))
    }

    fn compile(&self, source: KernelSource) -> Result<Pipeline> {
        let inner = &*self.0;
        let key = LayoutKey {
            params_bytes: source.params_bytes.next_multiple_of(16),
            bindings: source.bindings,
            checks_indices: source.checks_indices,
            panels: source.panels,
        };
        let (name, wgsl, trusted) = (source.name, source.wgsl, source.trusted);
        // A browser reports shader errors too late to be caught here.
        #[cfg(target_arch = "wasm32")]
        if let Err(detail) = crate::compiling::looked_at(&wgsl) {
            return Err(Error::Shader { name, detail });
        }
        // Its compiler wants a directive that naga does not know.
        #[cfg(target_arch = "wasm32")]
        let wgsl = if calls_subgroups(&wgsl) { format!("enable subgroups;\n{wgsl}") } else { wgsl };
        let (layout, error) = scoped(&inner.device, || self.layout(&key));
        if let Some(error) = error {
            lock(&inner.layouts).remove(&key);
            return Err(self.shader_error(name, &error));
        }
        let (raw, error) = scoped(&inner.device, || self.build_pipeline(&name, wgsl, trusted, &layout));
        if let Some(error) = error {
            return Err(self.shader_error(name, &error));
        }
        let LayoutKey { params_bytes, bindings, checks_indices, panels } = key;
        Ok(Pipeline { name, bindings, params_bytes, checks_indices, panels, layout, raw })
    }

    fn shader_error(&self, name: String, error: &wgpu::Error) -> Error {
        match error {
            wgpu::Error::OutOfMemory { .. } => self.0.raised(&name, 0, error),
            other => Error::Shader { name, detail: describe(other) },
        }
    }

    fn build_pipeline(&self, name: &str, wgsl: String, trusted: bool, layout: &Layout) -> wgpu::ComputePipeline {
        let device = &self.0.device;
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        let module = if trusted {
            let checks = wgpu::ShaderRuntimeChecks {
                bounds_checks: false,
                force_loop_bounding: false,
                // Divisors come from the user's tensors.
                int_div_checks: true,
                ..wgpu::ShaderRuntimeChecks::checked()
            };
            // SAFETY: `trusted` marks text of this crate's own generator. Its accesses are guarded by the element counts
            // that the planner checks against the bound sizes, indices from data are clamped before use, and its loops
            // count up to such sizes and so end.
            unsafe { device.create_shader_module_trusted(descriptor, checks) }
        } else {
            device.create_shader_module(descriptor)
        };
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout.pipeline),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                // Generated kernels write workgroup memory before they read it; a user's kernel might not.
                zero_initialize_workgroup_memory: !trusted,
            },
            cache: None,
        })
    }

    /// The layout of an interface. Called inside an error scope.
    fn layout(&self, key: &LayoutKey) -> Arc<Layout> {
        let device = &self.0.device;
        let mut layouts = lock(&self.0.layouts);
        if let Some(found) = layouts.get(key) {
            return Arc::clone(found);
        }
        let entry =
            |binding: usize, ty: wgpu::BufferBindingType, dynamic: bool, least: u64| wgpu::BindGroupLayoutEntry {
                binding: binding as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: dynamic,
                    min_binding_size: NonZeroU64::new(least),
                },
                count: None,
            };
        let mut entries = Vec::with_capacity(key.bindings.len() + 2);
        if key.params_bytes > 0 {
            entries.push(entry(0, wgpu::BufferBindingType::Uniform, true, u64::from(key.params_bytes)));
        }
        for (i, binding) in key.bindings.iter().enumerate() {
            let read_only = *binding == Binding::Read;
            entries.push(entry(i + 1, wgpu::BufferBindingType::Storage { read_only }, false, 0));
        }
        if key.checks_indices {
            let ty = wgpu::BufferBindingType::Storage { read_only: false };
            entries.push(entry(key.bindings.len() + 1, ty, false, FAULT_BYTES));
        }
        let first = key.bindings.len() + 1 + usize::from(key.checks_indices);
        entries.extend(key.panels.iter().enumerate().map(|(i, (_, writable))| panels::entry(first + i, *writable)));
        let bind_group =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&bind_group)],
            immediate_size: 0,
        });
        let layout = Arc::new(Layout { id: next_layout_id(), bind_group, pipeline });
        layouts.insert(key.clone(), Arc::clone(&layout));
        layout
    }
}

/// Ids are never used twice, so that a bind group of a discarded layout is never found for another.
fn next_layout_id() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
