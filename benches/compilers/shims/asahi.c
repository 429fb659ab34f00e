/* A drm-shim for Apple GPUs by the asahi_drm.h of mainline Linux (linux-libc-dev 6.16 or later): enough for Honeykrisp to open a device and
 * compile. The device is an M1 (G13G) unless ASAHI_GPU says otherwise, e.g. "14C" for an M2 Max. Nothing runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "asahi_drm.h"
#include "drm-shim/drm_shim.h"

bool drm_shim_driver_prefers_first_render_node = true;

static int noop(int fd, unsigned long request, void *arg) { return 0; }

static int get_params(int fd, unsigned long request, void *arg)
{
   struct drm_asahi_get_params *gp = arg;
   const char *want = getenv("ASAHI_GPU");
   struct drm_asahi_params_global p = {
      .features = DRM_ASAHI_FEATURE_SOFT_FAULTS,
      .gpu_generation = want ? atoi(want) : 13,
      .gpu_variant = want && want[0] && want[1] && want[2] ? want[2] : 'G',
      .chip_id = 0x8103,
      .num_dies = 1,
      .num_clusters_total = want && want[0] && want[1] && want[2] && want[2] != 'G' ? 4 : 1,
      .num_cores_per_cluster = 8,
      .max_frequency_khz = 1278000,
      .vm_start = 0x4000,
      .vm_end = 1ull << 39,
      .vm_kernel_min_size = 0x20000000,
      .max_commands_per_submission = 64,
      .max_attachments = 16,
      .command_timestamp_frequency_hz = 1000000000,
   };
   for (unsigned i = 0; i < p.num_clusters_total; i++)
      p.core_masks[i] = 0xff;
   memcpy((void *)(uintptr_t)gp->pointer, &p, gp->size < sizeof(p) ? gp->size : sizeof(p));
   if (gp->size > sizeof(p))
      gp->size = sizeof(p);
   return 0;
}

static int vm_create(int fd, unsigned long request, void *arg) { ((struct drm_asahi_vm_create *)arg)->vm_id = 1; return 0; }
static int queue_create(int fd, unsigned long request, void *arg) { ((struct drm_asahi_queue_create *)arg)->queue_id = 1; return 0; }
static int bind_object(int fd, unsigned long request, void *arg) { ((struct drm_asahi_gem_bind_object *)arg)->object_handle = 1; return 0; }

static int gem_create(int fd, unsigned long request, void *arg)
{
   struct shim_fd *shim_fd = drm_shim_fd_lookup(fd);
   struct drm_asahi_gem_create *create = arg;
   struct shim_bo *bo = calloc(1, sizeof(*bo));
   drm_shim_bo_init(bo, create->size);
   create->handle = drm_shim_bo_get_handle(shim_fd, bo);
   drm_shim_bo_put(bo);
   return 0;
}

static int mmap_offset(int fd, unsigned long request, void *arg)
{
   struct shim_fd *shim_fd = drm_shim_fd_lookup(fd);
   struct drm_asahi_gem_mmap_offset *map = arg;
   struct shim_bo *bo = drm_shim_bo_lookup(shim_fd, map->handle);
   map->offset = drm_shim_bo_get_mmap_offset(shim_fd, bo);
   drm_shim_bo_put(bo);
   return 0;
}

static ioctl_fn_t driver_ioctls[] = {
   [DRM_ASAHI_GET_PARAMS] = get_params,
   [DRM_ASAHI_GET_TIME] = noop,
   [DRM_ASAHI_VM_CREATE] = vm_create,
   [DRM_ASAHI_VM_DESTROY] = noop,
   [DRM_ASAHI_VM_BIND] = noop,
   [DRM_ASAHI_GEM_CREATE] = gem_create,
   [DRM_ASAHI_GEM_MMAP_OFFSET] = mmap_offset,
   [DRM_ASAHI_GEM_BIND_OBJECT] = bind_object,
   [DRM_ASAHI_QUEUE_CREATE] = queue_create,
   [DRM_ASAHI_QUEUE_DESTROY] = noop,
   [DRM_ASAHI_SUBMIT] = noop,
};

void drm_shim_driver_init(void)
{
   shim_device.bus_type = DRM_BUS_PLATFORM;
   shim_device.driver_name = "asahi";
   shim_device.driver_ioctls = driver_ioctls;
   shim_device.driver_ioctl_count = sizeof(driver_ioctls) / sizeof(driver_ioctls[0]);
   drm_shim_override_file("DRIVER=asahi\nOF_FULLNAME=/soc/agx\nOF_COMPATIBLE_0=apple,gpu-g13g\nOF_COMPATIBLE_N=1\n",
                          "/sys/dev/char/%d:%d/device/uevent", DRM_MAJOR, render_node_minor);
}
