//! Puts a kernel's text together: parameters, bindings, pasted functions, body.

use std::fmt::Write;
use std::sync::Arc;

use foldhash::HashSet;

use crate::caps::{Caps, PANEL_WIDTH, REDUCTION};
use crate::codegen::reached::reached;
use crate::codegen::{Bound, Call, ParamSource};
use crate::dtype::DType;
use crate::ir::hash::hash_text;
use crate::ops::elementwise::PRELUDE;

/// A kernel's text and interface.
#[derive(Debug)]
pub struct KernelText {
    /// For logs and labels.
    pub name: String,
    /// Complete WGSL, with all functions of the files that it is made of.
    pub wgsl: String,
    /// Whether each storage binding is written.
    pub writable: Vec<bool>,
    /// Bytes of the parameter block; 0 if there is none.
    pub params_bytes: u32,
    /// Whether the block of index errors is bound after the others.
    pub checks_indices: bool,
    /// Panels bound after these: number, and whether it is written.
    pub panels: Vec<(usize, bool)>,
    /// Whether all of the text is from this crate. Text with users' functions is compiled with all run-time checks.
    pub trusted: bool,
    /// Hash of the text.
    pub key: u128,
}

impl KernelText {
    /// What of the WGSL the kernel needs: what is compiled and shown.
    pub fn needed(&self) -> String {
        reached(&self.wgsl)
    }
}

/// How a body that works by its linear invocation index, `thread`, is run.
pub struct Segment {
    /// Invocations in a workgroup.
    pub size: u32,
    /// An expression for the number of threads.
    pub limit: String,
    /// The number of threads.
    pub threads: u32,
    /// Bytes that it touches at least.
    pub work: u64,
    /// Arithmetic operations.
    pub flops: u64,
}

/// The opening of `main`.
fn main_head(size: u32) -> String {
    format!(
        "@compute @workgroup_size({size})\n\
         fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, \
         @builtin(local_invocation_index) lane: u32) {{\n"
    )
}

/// A storage binding.
struct Binding {
    name: String,
    element: &'static str,
    vec4: bool,
    bound: Bound,
    writable: bool,
    /// Whether `quad_NAME(i)` reads it.
    quads: bool,
    /// Whether `octet_NAME(i)` reads it, and nothing else.
    octets: bool,
}

impl Binding {
    /// A buffer that is read, element by element or by `vec4`s.
    fn new(name: &str, bound: Bound, dtype: DType, vec4: bool) -> Binding {
        let (name, element) = (name.to_owned(), dtype.wgsl_storage());
        Binding { name, element, vec4, bound, writable: false, quads: false, octets: false }
    }

    /// Whether four 32-bit values are declared as two 64-bit ones.
    fn is_wide(&self, wide_loads: bool) -> bool {
        wide_loads && (self.quads || self.octets) && self.vec4 && !self.writable && self.element != "f16"
    }

    /// The `vec4` that registers hold.
    fn vector(&self) -> String {
        format!("vec4<{}>", if self.element == "f16" { "f32" } else { self.element })
    }

    /// The `vec4` in two 64-bit values.
    fn unpacked(&self, low: &str, high: &str) -> String {
        let words = format!("u32({low}), u32({low} >> 32u), u32({high}), u32({high} >> 32u)");
        format!("bitcast<{}>(vec4<u32>({words}))", self.vector())
    }

    /// `octet_NAME(i)`: the `vec4`s at `2 i` and after it.
    fn octet_function(&self, wide_loads: bool) -> String {
        let (name, vector) = (&self.name, self.vector());
        let (load, first, second) = match self.is_wide(wide_loads) {
            true => {
                let (first, second) = (self.unpacked("four.x", "four.y"), self.unpacked("four.z", "four.w"));
                (format!("    let four = {name}[i];\n"), first, second)
            }
            false => (String::new(), format!("{vector}({name}[2u * i])"), format!("{vector}({name}[2u * i + 1u])")),
        };
        format!(
            "fn octet_{name}(i: u32) -> array<{vector}, 2> {{\n{load}    return array<{vector}, 2>({first}, {second});\n}}\n"
        )
    }

    /// `quad_NAME(i)`: the `vec4` at `i`.
    fn quad_function(&self, wide_loads: bool) -> String {
        let (name, vector) = (&self.name, self.vector());
        let (load, value) = match self.is_wide(wide_loads) {
            true => (format!("    let pair = {name}[i];\n"), self.unpacked("pair.x", "pair.y")),
            false => (String::new(), format!("{vector}({name}[i])")),
        };
        format!("fn quad_{name}(i: u32) -> {vector} {{\n{load}    return {value};\n}}\n")
    }
}

/// A panel's binding, and the function that reads or writes it. The panel's number is part of the text, since kernels of one text are
/// one.
fn panel_text(binding: usize, (name, panel, writable): &(String, usize, bool)) -> String {
    let (column, row) = (PANEL_WIDTH - 1, PANEL_WIDTH.ilog2());
    let place = format!("vec2<u32>(i & {column}u, i >> {row}u)");
    match writable {
        true => format!(
            "@group(0) @binding({binding}) var panel{panel}_{name}: texture_storage_2d<rgba32float, write>;\n\
             fn store_{name}(i: u32, value: vec4<f32>) {{\n    textureStore(panel{panel}_{name}, {place}, value);\n}}\n"
        ),
        false => format!(
            "@group(0) @binding({binding}) var panel{panel}_{name}: texture_2d<f32>;\n\
             fn quad_{name}(i: u32) -> vec4<f32> {{\n    return textureLoad(panel{panel}_{name}, {place}, 0);\n}}\n"
        ),
    }
}

/// Collects the pieces of a kernel.
#[derive(Default)]
pub struct Writer {
    params: Vec<(String, &'static str, ParamSource)>,
    bindings: Vec<Binding>,
    panels: Vec<(String, usize, bool)>,
    pasted: Vec<Arc<str>>,
    pasted_texts: HashSet<u128>,
    consts: String,
    functions: String,
    /// The statements of the function that is being written.
    pub body: String,
    temporaries: usize,
    pub checks_indices: bool,
    pub untrusted: bool,
    wide_loads: bool,
    /// Whether reductions are made wrong, for tests of what finds wrong kernels.
    pub faulty_reductions: bool,
    /// Values in registers that stand for the elements of a buffer at hand.
    held: Vec<(Bound, Held)>,
}

/// What loads of a buffer give instead of an element of it: the name of a value, and whether it is four neighbours.
#[derive(Clone)]
pub struct Held {
    pub name: String,
    pub vec4: bool,
}

impl Writer {
    /// A kernel for such a device.
    pub fn new(caps: &Caps) -> Writer {
        Writer { wide_loads: caps.wide_loads, faulty_reductions: caps.faulty == Some(REDUCTION), ..Writer::default() }
    }

    /// From here on loads of a buffer give this value.
    pub fn hold(&mut self, bound: Bound, value: Held) {
        self.held.retain(|(own, _)| *own != bound);
        self.held.push((bound, value));
    }

    /// The value that a buffer's elements are held in.
    pub fn held(&self, bound: Bound) -> Option<&Held> {
        self.held.iter().find(|(own, _)| *own == bound).map(|(_, value)| value)
    }

    /// A parameter under a generated name; returns the expression that reads it.
    pub fn param(&mut self, kind: &'static str, source: ParamSource) -> String {
        if let Some((name, ..)) =
            self.params.iter().find(|(_, k, s)| *k == kind && *s == source && !matches!(s, ParamSource::Const(_)))
        {
            return format!("params.{name}");
        }
        let name = format!("p{}", self.params.len());
        self.named_param(&name, kind, source)
    }

    /// A parameter under the given name.
    pub fn named_param(&mut self, name: &str, kind: &'static str, source: ParamSource) -> String {
        self.params.push((name.to_owned(), kind, source));
        format!("params.{name}")
    }

    /// A u32 parameter fixed by the plan.
    pub fn constant(&mut self, value: u32) -> String {
        self.param("u32", ParamSource::Const(value))
    }

    /// Binds a buffer under a generated name and returns the name. One binding serves all uses of one buffer that agree
    /// in element type; a buffer that is written is never bound twice.
    pub fn bind(&mut self, bound: Bound, dtype: DType, vec4: bool, writable: bool) -> String {
        let name = format!("b{}", self.bindings.len());
        self.named_bind(&name, bound, dtype, vec4, writable)
    }

    /// [`Writer::bind`] under the given name, where the buffer is not bound yet.
    pub fn named_bind(&mut self, name: &str, bound: Bound, dtype: DType, vec4: bool, writable: bool) -> String {
        let element = dtype.wgsl_storage();
        let same = |b: &&mut Binding| b.bound == bound && b.vec4 == vec4 && b.element == element && !b.octets;
        if let Some(old) = self.bindings.iter_mut().find(same) {
            old.writable |= writable;
            return old.name.clone();
        }
        self.bindings.push(Binding { writable, ..Binding::new(name, bound, dtype, vec4) });
        name.to_owned()
    }

    /// Binds a buffer that is bound for reading already once more under another name.
    pub fn rebind(&mut self, name: &str, bound: Bound, dtype: DType, vec4: bool) {
        self.bindings.push(Binding::new(name, bound, dtype, vec4));
    }

    /// Binds a buffer that is only read, to be read through `octet_NAME(i)`. The binding is of its own: in other widths the buffer is bound
    /// once more.
    pub fn bind_octets(&mut self, name: &str, bound: Bound, dtype: DType) {
        self.bindings.push(Binding { octets: true, ..Binding::new(name, bound, dtype, true) });
    }

    /// Asks for `quad_NAME(i)` of a buffer that is bound by `vec4`s, and must then be read in no other way.
    pub fn read_quads(&mut self, name: &str) {
        self.bindings.iter_mut().filter(|b| b.name == name).for_each(|b| b.quads = true);
    }

    /// Binds a panel, to be read through `quad_NAME(i)` or written through `store_NAME(i, value)`.
    pub fn panel(&mut self, name: &str, panel: usize, writable: bool) {
        self.panels.push((name.to_owned(), panel, writable));
    }

    /// Pastes a shader file once.
    pub fn paste(&mut self, source: &Arc<str>) {
        if self.pasted_texts.insert(hash_text(source)) {
            self.pasted.push(source.clone());
        }
    }

    /// Adds `const NAME: u32 = value;`.
    pub fn const_u32(&mut self, name: &str, value: u32) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.consts, "const {name}: u32 = {value}u;");
    }

    /// Adds a complete function.
    pub fn function(&mut self, text: &str) {
        self.functions.push_str(text);
    }

    /// Adds a declaration, once.
    pub fn declare(&mut self, text: &str) {
        if self.pasted_texts.insert(hash_text(text)) {
            self.functions.push_str(text);
        }
    }

    /// Takes the statements written so far.
    pub fn take_body(&mut self) -> String {
        std::mem::take(&mut self.body)
    }

    /// Writes one statement of the body.
    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.body, "    {text}");
    }

    /// Writes `let tN = value;` and returns `tN`.
    pub fn let_(&mut self, value: &str) -> String {
        let name = format!("t{}", self.temporaries);
        self.temporaries += 1;
        let _ = writeln!(self.body, "    let {name} = {value};");
        name
    }

    /// A u32 parameter fixed by the plan, under the given name where it is free.
    pub fn named_constant(&mut self, name: &str, value: u32) -> String {
        match self.params.iter().any(|(taken, ..)| taken == name) {
            true => self.constant(value),
            false => self.named_param(name, "u32", ParamSource::Const(value)),
        }
    }

    /// Has the body from `from` on, which loops, read its parameters once in front of it: software adapters would load them in each turn.
    pub fn read_params_once(&mut self, from: usize) {
        const PREFIX: &str = "params.";
        let text = self.body.split_off(from);
        let mut pieces = text.split(PREFIX);
        let mut looping = pieces.next().unwrap_or_default().to_owned();
        let mut known: Vec<(&str, String)> = Vec::new();
        for piece in pieces {
            let (name, rest) =
                piece.split_at(piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len()));
            let value = match known.iter().find(|(param, _)| *param == name) {
                Some((_, value)) => value.clone(),
                None => {
                    let value = self.let_(&format!("{PREFIX}{name}"));
                    known.push((name, value.clone()));
                    value
                }
            };
            looping.push_str(&value);
            looping.push_str(rest);
        }
        self.body.push_str(&looping);
    }

    /// Finishes a kernel whose `main` holds the body written so far, run by the threads of one segment.
    pub fn finish_threads(self, name: String, segment: &Segment) -> Call {
        let Segment { size, limit, .. } = segment;
        let opening = format!(
            "    let thread = workgroup_index(group, groups) * {size}u + lane;\n    if (thread >= {limit}) {{ return; }}\n"
        );
        self.finish_segment(name, segment, &opening, *size)
    }

    /// Finishes a kernel in which `sharers` neighbouring invocations work on each thread of the segment, of which there are no more
    /// than a workgroup has. `sharer` says which of them one is, and `is_own` whether there is a thread for it: the others go along
    /// with the last one, since barriers want all, and store nothing.
    pub fn finish_shared(self, name: String, segment: &Segment, sharers: u32) -> Call {
        let (together, limit) = (segment.size / sharers, &segment.limit);
        let opening = format!(
            "    let own = workgroup_index(group, groups) * {together}u + lane / {sharers}u;\n    \
             let sharer = lane % {sharers}u;\n    let is_own = own < {limit};\n    let thread = min(own, {limit} - 1u);\n"
        );
        self.finish_segment(name, segment, &opening, together)
    }

    /// Finishes a kernel of the body written so far, after `opening`; a workgroup takes `together` threads.
    fn finish_segment(mut self, name: String, segment: &Segment, opening: &str, together: u32) -> Call {
        let main = format!("{}{opening}{}}}\n", main_head(segment.size), self.take_body());
        let mut call = self.finish(name, &main, u64::from(segment.threads.div_ceil(together)), segment.work);
        call.flops = Some(segment.flops);
        call
    }

    /// Finishes a kernel that runs several bodies side by side, each by workgroups of its own.
    pub fn finish_horizontal(mut self, name: String, parts: &[(Segment, String)]) -> Call {
        let size = parts.first().map_or(1, |(segment, _)| segment.size);
        let mut main = main_head(size) + "    let workgroup = workgroup_index(group, groups);\n";
        let mut workgroups = 0u32;
        for (i, (segment, body)) in parts.iter().enumerate() {
            let own = match i {
                0 => "workgroup".to_owned(),
                _ => format!("(workgroup - {})", self.constant(workgroups)),
            };
            workgroups += segment.threads.div_ceil(size);
            let (end, otherwise) = (self.constant(workgroups), if i == 0 { "    if" } else { " else if" });
            let limit = &segment.limit;
            // Writing to a String cannot fail.
            let _ = write!(
                main,
                "{otherwise} (workgroup < {end}) {{\n    let thread = {own} * {size}u + lane;\n    \
                 if (thread < {limit}) {{\n{body}    }}\n    }}"
            );
        }
        main += "\n}\n";
        let work = parts.iter().map(|(segment, _)| segment.work).sum();
        let mut call = self.finish(name, &main, u64::from(workgroups), work);
        call.flops = Some(parts.iter().map(|(segment, _)| segment.flops).sum());
        call
    }

    /// Finishes a kernel with `main` given as text.
    pub fn finish(self, name: String, main: &str, workgroups: u64, work: u64) -> Call {
        let mut wgsl = String::with_capacity(4096);
        // Directives must come first in a module.
        let (enables, main): (Vec<&str>, Vec<&str>) = main.lines().partition(|l| l.starts_with("enable "));
        for line in enables {
            let _ = writeln!(wgsl, "{line}");
        }
        if self.bindings.iter().any(|b| b.element == "f16") {
            wgsl.push_str("enable f16;\n");
        }
        if !self.params.is_empty() {
            wgsl.push_str("struct Params {\n");
            for (name, kind, _) in &self.params {
                let _ = writeln!(wgsl, "    {name}: {kind},");
            }
            wgsl.push_str("}\n@group(0) @binding(0) var<uniform> params: Params;\n");
        }
        for (i, b) in self.bindings.iter().enumerate() {
            let access = if b.writable { "read_write" } else { "read" };
            let element = match b.vec4 {
                true if b.is_wide(self.wide_loads) && b.octets => "vec4<u64>".to_owned(),
                true if b.is_wide(self.wide_loads) => "vec2<u64>".to_owned(),
                true => format!("vec4<{}>", b.element),
                false => b.element.to_owned(),
            };
            let _ =
                writeln!(wgsl, "@group(0) @binding({}) var<storage, {access}> {}: array<{element}>;", i + 1, b.name);
        }
        if self.checks_indices {
            let _ = writeln!(
                wgsl,
                "@group(0) @binding({}) var<storage, read_write> index_fault: array<atomic<u32>>;",
                self.bindings.len() + 1
            );
        }
        let first = self.bindings.len() + 1 + usize::from(self.checks_indices);
        for (i, panel) in self.panels.iter().enumerate() {
            wgsl.push_str(&panel_text(first + i, panel));
        }
        wgsl.push_str(&self.consts);
        wgsl.push_str(PRELUDE);
        for b in self.bindings.iter().filter(|b| b.quads) {
            wgsl.push_str(&b.quad_function(self.wide_loads));
        }
        for b in self.bindings.iter().filter(|b| b.octets) {
            wgsl.push_str(&b.octet_function(self.wide_loads));
        }
        for source in &self.pasted {
            wgsl.push_str(source);
            wgsl.push('\n');
        }
        wgsl.push_str(&self.functions);
        for line in main {
            wgsl.push_str(line);
            wgsl.push('\n');
        }
        let key = hash_text(&wgsl);
        let params_bytes = (self.params.len() * 4).next_multiple_of(16) as u32;
        Call {
            kernel: Arc::new(KernelText {
                name,
                wgsl,
                writable: self.bindings.iter().map(|b| b.writable).collect(),
                params_bytes,
                checks_indices: self.checks_indices,
                panels: self.panels.iter().map(|(_, panel, writable)| (*panel, *writable)).collect(),
                trusted: !self.untrusted,
                key,
            }),
            bound: self.bindings.iter().map(|b| b.bound).collect(),
            windows: Vec::new(),
            params: self.params.iter().map(|(_, _, source)| *source).collect(),
            workgroups,
            work,
            flops: None,
        }
    }
}
