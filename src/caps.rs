//! What an adapter can do, in the terms that kernels choose by, and the sizes in which memory is handed out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::tuning::Choices;

/// Facts about a device that shape the kernels generated for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// A software adapter that runs shaders on CPU cores (lavapipe, SwiftShader, WARP). What kernels choose by is its [`Caps::kind`].
    pub software: bool,
    /// Smallest and largest subgroup size, where the adapter has subgroup operations.
    pub subgroup: Option<(u32, u32)>,
    /// Largest binding of a storage buffer, in bytes.
    pub max_binding: u64,
    /// Largest buffer, in bytes.
    pub max_buffer: u64,
    /// Storage buffers that one kernel may bind.
    pub max_storage_buffers: u32,
    /// Workgroups along one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Invocations in one workgroup.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// 16-bit floats in shaders.
    pub f16: bool,
    /// Side of the matrices of 16-bit floats that a subgroup multiplies together, 8 or 16, with sums of 32 bits; `None` where it cannot,
    /// and without the crate's feature `cooperative-matrix`.
    pub cooperative: Option<u32>,
    /// GPU timestamps.
    pub timestamps: bool,
    /// Whether four 32-bit values are better read as two 64-bit integers: software adapters load lane by lane, and a lane's
    /// load costs the same whatever its width.
    pub wide_loads: bool,
    /// Whether the adapter's compiler has few registers for an invocation, as Intel's has: 128 of eight lanes. Loops over many sums then
    /// stay loops, since steps that are written out are loaded ahead and spill.
    pub few_registers: bool,
    /// CPU cores that a software adapter runs on: products are cut into work for all of them.
    pub cores: u32,
    /// Texels that a panel (`PANELS`) may have; 0 where kernels read packed operands from buffers.
    pub panel_texels: u64,
    /// Which kernels were fastest here for classes of shapes, where that is found out (`WGRAD_TUNE`).
    pub choices: Option<Arc<Choices>>,
    /// Ops that run their plainest kernels here, since others gave wrong results (`WGRAD_CERTIFY`); `reduction` stands for all reductions.
    pub plain: BTreeSet<String>,
    /// A kernel whose results are made wrong, for tests of what finds wrong kernels: the name of a stage, or `reduction`.
    pub faulty: Option<&'static str>,
}

/// What reductions, and the rows that are fused around them, are called in [`Caps::plain`].
pub const REDUCTION: &str = "reduction";
/// What stands for all ops in [`Caps::plain`].
pub const EVERY: &str = "*";

/// What kernels are made for where it is not the adapter at hand: [`Device::gpu_for`](crate::Device::gpu_for) takes one.
///
/// ```
/// use wgrad::Target;
/// assert_eq!(Target::portable(), Target::portable().clone());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Target(Caps);

impl Target {
    /// Any device of WebGPU: its default limits, no optional feature, and kernels for GPUs. A step that is captured for it runs on every
    /// adapter, in browsers too.
    pub fn portable() -> Target {
        Target(Caps::baseline())
    }

    /// What kernels may use on an adapter that has `own`.
    pub(crate) fn within(&self, own: &Caps) -> Caps {
        let Target(target) = self;
        Caps {
            max_binding: target.max_binding.min(own.max_binding),
            max_buffer: target.max_buffer.min(own.max_buffer),
            max_storage_buffers: target.max_storage_buffers.min(own.max_storage_buffers),
            max_workgroups: target.max_workgroups.min(own.max_workgroups),
            max_invocations: target.max_invocations.min(own.max_invocations),
            workgroup_memory: target.workgroup_memory.min(own.workgroup_memory),
            timestamps: own.timestamps,
            cores: own.cores,
            ..target.clone()
        }
    }
}

/// Panels of a device: textures into which kernels pack what they read many times. A software adapter fetches a texel for all its
/// lanes at once, and loads from buffers lane by lane.
pub const PANELS: usize = 3;
/// Texels (`vec4<f32>`) of a panel's row; a place is row-major.
pub const PANEL_WIDTH: u64 = 1024;

/// The bytes of a panel of so many texels: whole rows.
pub fn panel_bytes(texels: u64) -> u64 {
    texels.div_ceil(PANEL_WIDTH).saturating_mul(PANEL_WIDTH * 16)
}

/// The kinds of adapters, of which each has kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdapterKind {
    /// Many invocations at a time, workgroup memory that is fast, and barriers that cost little.
    Gpu,
    /// Shaders that run on CPU cores: few invocations at a time, and neither workgroup memory nor barriers that pay.
    Software,
}

/// What code generation and fusion do otherwise for one kind of adapters than for the others.
#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    /// Invocations that keep an adapter busy.
    pub busy: usize,
    /// Invocations per core that a kernel leaves where one invocation takes over the windows of several; `None` where none does.
    pub walks_per_core: Option<usize>,
    /// Longest reduction that one invocation takes although there are few of them.
    pub alone: usize,
    /// Whether neighbouring lanes of a reduction take turns within a block of rows.
    pub blocked_reductions: bool,
    /// Rows of a tall reduction along columns that a partial result has at most: on CPUs, what the TLB holds pages for.
    pub tall_rows: Option<usize>,
    /// Whether invocations of a workgroup share the rows of a fused chain, through workgroup memory.
    pub shares_rows: bool,
    /// Whether a kernel that stores at many places may have an epilogue there: each is a copy of it.
    pub fuses_at_many_places: bool,
    /// Whether a kernel may run the parts of a horizontal fusion although invocations of the shorter ones idle.
    pub fuses_unequal_parts: bool,
    /// Whether loads of eight neighbours pay, where the adapter has [`Caps::wide_loads`].
    pub loads_octets: bool,
    /// Whether such an adapter is reset where a submission takes long.
    pub is_reset: bool,
    /// Whether the driver's timestamps measure a kernel, in the place of the host's clock.
    pub has_own_clock: bool,
}

const GPU: Policy = Policy {
    busy: 65_536,
    walks_per_core: None,
    alone: 256,
    blocked_reductions: false,
    tall_rows: None,
    shares_rows: true,
    fuses_at_many_places: true,
    fuses_unequal_parts: true,
    loads_octets: false,
    is_reset: true,
    has_own_clock: true,
};

const SOFTWARE: Policy = Policy {
    busy: 1024,
    walks_per_core: Some(2048),
    alone: 2048,
    blocked_reductions: true,
    tall_rows: Some(128),
    shares_rows: false,
    fuses_at_many_places: false,
    fuses_unequal_parts: false,
    loads_octets: true,
    is_reset: false,
    has_own_clock: false,
};

impl AdapterKind {
    /// What is done otherwise for this kind.
    pub fn policy(self) -> &'static Policy {
        match self {
            AdapterKind::Gpu => &GPU,
            AdapterKind::Software => &SOFTWARE,
        }
    }
}

impl Caps {
    /// For which kind of adapters kernels are made: the one question about it that is asked of an adapter.
    pub fn kind(&self) -> AdapterKind {
        if self.software { AdapterKind::Software } else { AdapterKind::Gpu }
    }

    /// What is done otherwise for this kind of adapters.
    pub fn policy(&self) -> &'static Policy {
        self.kind().policy()
    }

    /// What every WebGPU device has; the null backend plans with it.
    pub fn baseline() -> Caps {
        Caps {
            software: false,
            subgroup: None,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_storage_buffers: 8,
            max_workgroups: 65_535,
            max_invocations: 256,
            workgroup_memory: 16 << 10,
            f16: false,
            cooperative: None,
            timestamps: false,
            wide_loads: false,
            // WebGPU's adapters may be Intel's.
            few_registers: true,
            cores: 4,
            panel_texels: 0,
            choices: None,
            plain: BTreeSet::new(),
            faulty: None,
        }
    }

    /// What the plainest kernels are chosen by: those that need no workgroup memory, subgroups, panels or wide loads.
    pub fn plainest(&self) -> Caps {
        Caps {
            software: true,
            subgroup: None,
            cooperative: None,
            wide_loads: false,
            panel_texels: 0,
            choices: None,
            plain: BTreeSet::new(),
            faulty: None,
            ..self.clone()
        }
    }

    /// Whether the ops of a name run their plainest kernels.
    pub fn is_plain(&self, op: &str) -> bool {
        self.plain.contains(op) || self.plain.contains(EVERY)
    }

    /// What reductions are made by.
    pub fn of_reductions(&self) -> Cow<'_, Caps> {
        if self.is_plain(REDUCTION) { Cow::Owned(self.plainest()) } else { Cow::Borrowed(self) }
    }

    /// The subgroup size, where it is fixed and one that kernels can work with.
    pub fn lanes(&self) -> Option<u32> {
        let (min, max) = self.subgroup?;
        (min == max && min.is_power_of_two() && (4..=64).contains(&min)).then_some(min)
    }
}

/// Buffer sizes are multiples of this many bytes, so that a `vec4<f32>` never straddles the end.
pub const GRAIN: u64 = 16;
/// The smallest size class, in bytes.
const SMALLEST: u64 = 256;

/// The capacity of the buffer that holds `bytes`: four classes an octave, so at most a quarter of it is wasted.
pub fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(SMALLEST);
    let octave = 1_u64 << (63 - bytes.leading_zeros());
    bytes.next_multiple_of((octave / 4).max(GRAIN))
}
