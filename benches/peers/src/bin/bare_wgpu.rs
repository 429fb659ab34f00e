//! The tiny ops as a loop of wgpu's calls, with everything made beforehand: what an engine cannot go below with a kernel an op.

use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgrad_peers::expect;
use wgrad_peers::inputs::{self, TINY, TINY_OPS};
use wgrad_peers::serve::{Engine, Job, Result, serve};

struct Bare {
    adapter: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
}

/// Two buffers take turns as source and destination, as values of an engine do.
struct Loop {
    pipelines: [wgpu::ComputePipeline; 2],
    groups: [wgpu::BindGroup; 2],
    buffers: [wgpu::Buffer; 2],
}

impl Bare {
    fn new() -> Result<Bare> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let high = wgpu::PowerPreference::HighPerformance;
        let options = wgpu::RequestAdapterOptions { power_preference: high, ..Default::default() };
        let adapter = pollster::block_on(instance.request_adapter(&options))?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default()))?;
        Ok(Bare { adapter: adapter.get_info().name, device, queue })
    }

    fn pipeline(&self, expression: &str) -> wgpu::ComputePipeline {
        let text = format!(
            "@group(0) @binding(0) var<storage, read> x: array<f32>;
            @group(0) @binding(1) var<storage, read_write> y: array<f32>;
            @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) {{
                if i.x < arrayLength(&y) {{ y[i.x] = {expression}; }}
            }}"
        );
        let source = wgpu::ShaderSource::Wgsl(text.into());
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        })
    }

    fn prepare(&self, values: &[f32]) -> Loop {
        let buffer = || {
            self.device.create_buffer_init(&BufferInitDescriptor {
                label: None,
                contents: bytemuck::cast_slice(values),
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            })
        };
        let buffers = [buffer(), buffer()];
        let (factor, summand) = TINY;
        let pipelines =
            [self.pipeline(&format!("x[i.x] * {factor:?}")), self.pipeline(&format!("x[i.x] + {summand:?}"))];
        let group = |i: usize| {
            let entry = |binding: usize| wgpu::BindGroupEntry {
                binding: binding as u32,
                resource: buffers[(i + binding) % 2].as_entire_binding(),
            };
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipelines[i].get_bind_group_layout(0),
                entries: &[entry(0), entry(1)],
            })
        };
        let groups = [group(0), group(1)];
        Loop { pipelines, groups, buffers }
    }

    fn wait(&self) -> Result<()> {
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }

    /// All ops, `batch` in a submission.
    fn run(&self, made: &Loop, batch: usize) -> Result<()> {
        for first in (0..TINY_OPS).step_by(batch) {
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for i in first..first + batch {
                pass.set_pipeline(&made.pipelines[i % 2]);
                pass.set_bind_group(0, &made.groups[i % 2], &[]);
                pass.dispatch_workgroups(1, 1, 1);
            }
            drop(pass);
            self.queue.submit([encoder.finish()]);
        }
        self.wait()
    }

    fn read(&self, buffer: &wgpu::Buffer) -> Result<Vec<f32>> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        self.wait()?;
        let bytes = staging.slice(..).get_mapped_range()?.to_vec();
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

impl Engine for Bare {
    fn device(&self) -> String {
        self.adapter.clone()
    }

    fn job(&mut self, workload: &str) -> Result<Option<Job>> {
        let batch = match workload {
            "tiny_unfused" => TINY_OPS,
            "tiny_submitted" => 1,
            _ => return Ok(None),
        };
        let values = inputs::tiny();
        let bare = Bare { adapter: self.adapter.clone(), device: self.device.clone(), queue: self.queue.clone() };
        let made = bare.prepare(&values);
        bare.run(&made, batch)?;
        let error = expect::tiny(&values, &bare.read(&made.buffers[0])?);
        // The values go on from call to call; after many they would grow out of range.
        let bytes = bytemuck::cast_slice(&values).to_vec();
        let job = Job::new(error, move || {
            bare.queue.write_buffer(&made.buffers[0], 0, &bytes);
            bare.run(&made, batch)
        });
        Ok(Some(job.units(TINY_OPS)))
    }

    fn first_step(&mut self) -> Result<f32> {
        Err("there is no training without an engine".into())
    }
}

fn main() {
    match Bare::new() {
        Ok(bare) => serve(bare),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
