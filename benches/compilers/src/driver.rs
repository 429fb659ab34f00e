//! Vulkan, as far as compiling needs it: the driver gets what wgpu gives it for a module of the library's own, whose loops are not bounded and
//! whose indices are not checked in the shader; buffers are as robust as the driver can make them.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::{CStr, CString};
use std::path::Path;

use ash::vk;
use cpu_time::ThreadTime;

use crate::{Compiled, isa};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Compiles files and prints a line each.
pub fn compile(files: &[&str], isa_folder: Option<&str>) -> std::result::Result<(), String> {
    let device = Device::open().map_err(|e| format!("no device: {e}"))?;
    if let Some(folder) = isa_folder {
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    }
    for file in files {
        let kernel = Path::new(file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let compiled = device.kernel(file, &kernel, isa_folder).unwrap_or_else(|e| Compiled {
            kernel,
            ms: 0.0,
            lanes: 0,
            statistics: BTreeMap::new(),
            inner: None,
            error: Some(e.to_string()),
        });
        println!("{}", serde_json::to_string(&compiled).map_err(|e| e.to_string())?);
    }
    Ok(())
}

struct Device {
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
    spirv: (u8, u8),
    varying: bool,
    // The loader must outlive the device.
    _instance: ash::Instance,
    _entry: ash::Entry,
}

fn text(name: &[std::ffi::c_char]) -> String {
    // SAFETY: Vulkan ends its names with a zero.
    unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned()
}

impl Device {
    /// The first device, with the features that kernels may ask for. `COMPILERS_ROBUST=0` leaves buffers unchecked.
    fn open() -> Result<Device> {
        // SAFETY: handles are used while what they came from lives, and all structures are filled in before calls.
        unsafe {
            let entry = ash::Entry::load()?;
            let version =
                entry.try_enumerate_instance_version()?.unwrap_or(vk::API_VERSION_1_0).min(vk::API_VERSION_1_3);
            let app = vk::ApplicationInfo::default().api_version(version);
            let instance = entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let physical = *instance.enumerate_physical_devices()?.first().ok_or("no adapter")?;
            let properties = instance.get_physical_device_properties(physical);
            eprintln!("# {}", text(&properties.device_name));
            let offered: BTreeSet<CString> = instance
                .enumerate_device_extension_properties(physical)?
                .iter()
                .map(|e| CStr::from_ptr(e.extension_name.as_ptr()).to_owned())
                .collect();
            let has_robustness2 = offered.contains(ash::ext::robustness2::NAME);
            let mut half = vk::PhysicalDeviceShaderFloat16Int8Features::default();
            let mut storage = vk::PhysicalDevice16BitStorageFeatures::default();
            let mut subgroups = vk::PhysicalDeviceSubgroupSizeControlFeatures::default();
            let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
            let mut has = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut half)
                .push_next(&mut storage)
                .push_next(&mut subgroups);
            if has_robustness2 {
                has = has.push_next(&mut robustness);
            }
            instance.get_physical_device_features2(physical, &mut has);
            let short = has.features.shader_int16 != 0;
            let is_robust = std::env::var("COMPILERS_ROBUST").as_deref() != Ok("0");
            let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(is_robust).shader_int16(short);
            let mut half =
                vk::PhysicalDeviceShaderFloat16Int8Features::default().shader_float16(half.shader_float16 != 0);
            let mut storage = vk::PhysicalDevice16BitStorageFeatures::default()
                .storage_buffer16_bit_access(storage.storage_buffer16_bit_access != 0)
                .uniform_and_storage_buffer16_bit_access(storage.uniform_and_storage_buffer16_bit_access != 0);
            let varying = subgroups.subgroup_size_control != 0;
            let mut subgroups = vk::PhysicalDeviceSubgroupSizeControlFeatures::default()
                .subgroup_size_control(varying)
                .compute_full_subgroups(subgroups.compute_full_subgroups != 0);
            let mut statistics =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let mut extensions = vec![ash::khr::pipeline_executable_properties::NAME.as_ptr()];
            let queue = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let mut info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queue)
                .enabled_features(&features)
                .push_next(&mut half)
                .push_next(&mut storage)
                .push_next(&mut subgroups)
                .push_next(&mut statistics);
            if is_robust && has_robustness2 && robustness.robust_buffer_access2 != 0 {
                extensions.push(ash::ext::robustness2::NAME.as_ptr());
                info = info.push_next(&mut robust);
            }
            let device = instance.create_device(physical, &info.enabled_extension_names(&extensions), None)?;
            let executables = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            let spirv = if properties.api_version.min(version) >= vk::API_VERSION_1_3 { (1, 6) } else { (1, 5) };
            Ok(Device { device, executables, spirv, varying, _instance: instance, _entry: entry })
        }
    }

    fn kernel(&self, file: &str, kernel: &str, isa_folder: Option<&str>) -> Result<Compiled> {
        let source = std::fs::read_to_string(file)?;
        let module = naga::front::wgsl::parse_str(&source).map_err(|e| e.emit_to_string(&source))?;
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all())
            .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
            .subgroup_operations(naga::valid::SubgroupOperationSet::all())
            .validate(&module)
            .map_err(|e| e.emit_to_string(&source))?;
        let unchecked = naga::proc::BoundsCheckPolicy::Unchecked;
        let options = naga::back::spv::Options {
            lang_version: self.spirv,
            flags: naga::back::spv::WriterFlags::empty(),
            bounds_check_policies: naga::proc::BoundsCheckPolicies {
                index: unchecked,
                buffer: unchecked,
                image_load: unchecked,
                binding_array: unchecked,
            },
            zero_initialize_workgroup_memory: naga::back::spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            ..Default::default()
        };
        let words = naga::back::spv::write_vec(&module, &info, &options, None)?;
        // SAFETY: as in `open`; everything made here is destroyed here.
        unsafe {
            let set = self.set_layout(&module)?;
            let layout = self
                .device
                .create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&[set]), None)?;
            let shader = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None)?;
            let name = CString::new(module.entry_points.first().ok_or("no entry point")?.name.as_str())?;
            let mut stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(shader)
                .name(&name);
            if self.varying {
                stage = stage.flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE);
            }
            let create = vk::ComputePipelineCreateInfo::default()
                .flags(
                    vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
                )
                .layout(layout)
                .stage(stage);
            let start = ThreadTime::now();
            let pipelines = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None);
            let ms = start.elapsed().as_secs_f64() * 1e3;
            let pipeline = pipelines.map_err(|(_, e)| e)?[0];
            let found = self.describe(pipeline, kernel, ms, isa_folder);
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(shader, None);
            self.device.destroy_pipeline_layout(layout, None);
            self.device.destroy_descriptor_set_layout(set, None);
            found
        }
    }

    unsafe fn set_layout(&self, module: &naga::Module) -> Result<vk::DescriptorSetLayout> {
        let mut bindings = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            let kind = match variable.space {
                naga::AddressSpace::Uniform => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                naga::AddressSpace::Storage { .. } => vk::DescriptorType::STORAGE_BUFFER,
                _ => return Err("a binding that is no buffer".into()),
            };
            bindings.push(
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding.binding)
                    .descriptor_count(1)
                    .descriptor_type(kind)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE),
            );
        }
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: the bindings live until the call returns.
        Ok(unsafe { self.device.create_descriptor_set_layout(&info, None)? })
    }

    /// What the driver says of a pipeline, and its inner loop where the driver gives its instructions.
    unsafe fn describe(
        &self,
        pipeline: vk::Pipeline,
        kernel: &str,
        ms: f64,
        isa_folder: Option<&str>,
    ) -> Result<Compiled> {
        // SAFETY: the pipeline was made with its statistics and representations kept.
        unsafe {
            let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
            let executable = *self
                .executables
                .get_pipeline_executable_properties(&info)?
                .first()
                .ok_or("the driver describes no executable")?;
            let which = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
            let mut statistics = BTreeMap::new();
            for one in self.executables.get_pipeline_executable_statistics(&which)? {
                let value = match one.format {
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => one.value.u64.to_string(),
                    vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => one.value.f64.to_string(),
                    vk::PipelineExecutableStatisticFormatKHR::BOOL32 => one.value.b32.to_string(),
                    _ => one.value.i64.to_string(),
                };
                statistics.insert(text(&one.name), value);
            }
            let mut inner = None;
            for (name, listing) in self.representations(&which) {
                if !name.contains("ssembly") {
                    continue;
                }
                inner = isa::inner_loop(&listing, executable.subgroup_size);
                if let Some(folder) = isa_folder {
                    std::fs::write(format!("{folder}/{kernel}.txt"), &listing)?;
                }
            }
            Ok(Compiled { kernel: kernel.into(), ms, lanes: executable.subgroup_size, statistics, inner, error: None })
        }
    }

    /// Name and text of what the driver kept; two calls, the first for the sizes.
    unsafe fn representations(&self, which: &vk::PipelineExecutableInfoKHR<'_>) -> Vec<(String, String)> {
        let call = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = 0;
        // SAFETY: the buffers are as long as the driver said in the call before.
        unsafe {
            let _ = call(self.device.handle(), which, &mut count, std::ptr::null_mut());
            let mut found = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            let _ = call(self.device.handle(), which, &mut count, found.as_mut_ptr());
            let mut texts: Vec<Vec<u8>> = found.iter().map(|one| vec![0; one.data_size]).collect();
            for (one, text) in found.iter_mut().zip(&mut texts) {
                one.p_data = text.as_mut_ptr().cast();
            }
            let _ = call(self.device.handle(), which, &mut count, found.as_mut_ptr());
            let text_of = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
            found.iter().zip(&texts).map(|(one, bytes)| (text(&one.name), text_of(bytes))).collect()
        }
    }
}
