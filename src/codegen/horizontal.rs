//! One kernel for several groups that do not depend on each other: each has workgroups of its own, which run its body.

use crate::caps::Caps;
use crate::codegen::writer::Writer;
use crate::codegen::{Calls, elementwise, reduce, workgroup_size};
use crate::error::{Error, Result};
use crate::ir::Dag;
use crate::ir::group::{Core, Group};

/// Invocations in a workgroup of a group's kernel, where the kernel is one body that works by its linear invocation index: only
/// such kernels can stand side by side, and only those of one size.
pub fn workgroup_of(group: &Group, dag: &Dag, caps: &Caps) -> Option<u32> {
    if let Some(parts) = reduce::Parts::of(&group.core) {
        return reduce::is_one_stage(group, dag, caps, &parts).then(|| workgroup_size(caps).min(64));
    }
    let whole = matches!(group.core, Core::Elementwise) && elementwise::is_bound_whole(group, dag, caps);
    whole.then(|| workgroup_size(caps))
}

pub fn generate(parts: &[Group], dag: &Dag, caps: &Caps) -> Result<Calls> {
    let mut writer = Writer::new(caps);
    let mut segments = Vec::with_capacity(parts.len());
    for group in parts {
        let segment = match (&group.core, reduce::Parts::of(&group.core)) {
            (Core::Elementwise, _) => elementwise::segment(&mut writer, group, caps, None)?,
            (_, Some(reduction)) => reduce::segment(&mut writer, group, dag, caps, &reduction)?,
            _ => return Err(Error::internal("plan", "a routine stands in a horizontal kernel")),
        };
        segments.push((segment, writer.take_body()));
    }
    let name = match parts.first() {
        Some(first) => format!("{}_{}_horizontal", elementwise::name(first, dag), parts.len()),
        None => "nothing".into(),
    };
    Ok(Calls { calls: vec![writer.finish_horizontal(name, &segments)], ..Calls::default() })
}
