//! Panels: textures that kernels pack operands into. They belong to the device and serve one kernel after the other.

use super::device::Gpu;
use super::encode::Stream;
use super::sticky::scoped;
use super::sync::lock;
use crate::caps::{PANEL_WIDTH, PANELS, panel_bytes};
use crate::error::{At, Error, Result};

const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// A texture that only grows.
pub(super) struct Panel {
    pub view: wgpu::TextureView,
    rows: u32,
}

/// How a kernel's layout binds a panel.
pub(super) fn entry(binding: usize, writable: bool) -> wgpu::BindGroupLayoutEntry {
    let view_dimension = wgpu::TextureViewDimension::D2;
    let ty = match writable {
        true => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::WriteOnly,
            format: FORMAT,
            view_dimension,
        },
        false => wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: false },
            view_dimension,
            multisampled: false,
        },
    };
    wgpu::BindGroupLayoutEntry { binding: binding as u32, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}

impl Gpu {
    /// Sees to it that the panels have at least so many texels each. What they hold is lost where they grow.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond [`Caps::panel_texels`](crate::caps::Caps::panel_texels), [`Error::OutOfMemory`], and the
    /// device's lasting error.
    pub fn reserve_panels(&self, texels: &[u64; PANELS]) -> Result<()> {
        if texels.iter().all(|texels| *texels == 0) {
            return Ok(());
        }
        let inner = &*self.0;
        let mut stream = lock(&inner.stream);
        for (k, &texels) in texels.iter().enumerate() {
            let limit = inner.caps.panel_texels;
            if texels > limit {
                let (bytes, limit) = (texels.saturating_mul(16), limit.saturating_mul(16));
                return Err(Error::TooLarge { op: "panel".into(), bytes, limit, at: At(None) });
            }
            let rows = texels.div_ceil(PANEL_WIDTH) as u32;
            if stream.panels[k].as_ref().map_or(0, |panel| panel.rows) < rows {
                // First, so that the old one's memory can serve the new one.
                self.drop_panel(&mut stream, k);
                stream.panels[k] = Some(self.create_panel(rows)?);
            }
        }
        Ok(())
    }

    /// Gives up all panels.
    pub(super) fn drop_panels(&self) {
        let mut stream = lock(&self.0.stream);
        (0..PANELS).for_each(|k| self.drop_panel(&mut stream, k));
    }

    fn drop_panel(&self, stream: &mut Stream, k: usize) {
        if let Some(old) = stream.panels[k].take() {
            stream.forget_groups();
            self.0.pool.unbook(panel_bytes(u64::from(old.rows) * PANEL_WIDTH));
        }
    }

    fn create_panel(&self, rows: u32) -> Result<Panel> {
        let inner = &*self.0;
        inner.sticky.check()?;
        let bytes = panel_bytes(u64::from(rows) * PANEL_WIDTH);
        let (view, error) = scoped(&inner.device, || {
            let texture = inner.device.create_texture(&wgpu::TextureDescriptor {
                label: Some("panel"),
                size: wgpu::Extent3d { width: PANEL_WIDTH as u32, height: rows, depth_or_array_layers: 1 },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: FORMAT,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::STORAGE_BINDING,
                view_formats: &[],
            });
            texture.create_view(&wgpu::TextureViewDescriptor::default())
        });
        match error {
            None => {
                inner.pool.book(bytes);
                Ok(Panel { view, rows })
            }
            Some(error) => Err(inner.raised("panel", bytes, &error)),
        }
    }
}
