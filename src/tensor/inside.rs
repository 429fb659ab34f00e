//! Looking inside: plans before they run, and what running them took.

use crate::backend::Explanation;
use crate::error::Result;
use crate::plan::{PlanSummary, picture};
use crate::tensor::Tensor;

impl Tensor {
    /// Computes this tensor with every kernel measured, and says what was run: for each kernel the ops in it with their
    /// source lines, what it stores and why, its WGSL, grid, traffic, arithmetic and time on the GPU; and what the
    /// whole took. Nothing is listed for a tensor that is computed already. On the CPU reference every op is listed,
    /// with its time on the host.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::randn([64, 32], &device);
    /// let w = Tensor::randn([32, 10], &device);
    /// x.realize()?;
    /// w.realize()?;
    /// let y = x.matmul(&w).relu();
    /// let explanation = y.explain()?;
    /// println!("{explanation}");
    /// assert!(explanation.kernels[0].lines[0].contains(".rs:") && explanation.flops() >= 2 * 64 * 32 * 10);
    /// assert!(y.explain()?.kernels.is_empty()); // computed already
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// What went wrong on the way here.
    pub fn explain(&self) -> Result<Explanation> {
        self.device().explain(&[self.node()])
    }

    /// What computing this tensor would take: kernels, and memory, before anything is run. Nothing for a computed
    /// tensor.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &device);
    /// let y = ((&x * &x).exp() + 1.0).sum();
    /// let plan = y.plan()?;
    /// println!("{plan}");
    /// assert!(plan.dispatches >= 1 && plan.peak_bytes > 0);
    /// assert_eq!(y.item::<f32>()?, y.item::<f32>()?); // runs now
    /// assert_eq!(y.plan()?.dispatches, 0);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the tensor carries, and what the device cannot run at this size.
    pub fn plan(&self) -> Result<PlanSummary> {
        Ok(self.device().plan(&[self.node()], None)?.summary)
    }

    /// [`Tensor::plan`] with at most `bytes` bytes in use at once: values that wait long for their next reader are computed again
    /// instead of being stored, those first that free much memory for little work. Nothing is run;
    /// [`Device::set_memory_budget`](crate::Device::set_memory_budget) makes the device run such plans. On the CPU reference,
    /// which keeps no values that it does not need, the plan is the same as without a budget.
    ///
    /// ```
    /// use wgrad::{Device, Error, Tensor};
    /// let device = Device::default();
    /// let x = Tensor::from_slice(&[1f32, 2.0, 3.0], [3], &device);
    /// let y = (&x * &x).sum();
    /// let peak = y.plan()?.peak_bytes;
    /// assert_eq!(y.fit_within(peak)?.recomputed, 0);
    /// match y.fit_within(1) {
    ///     Err(Error::OverBudget { least, .. }) => assert!(least <= peak),
    ///     other => assert!(device.is_cpu(), "{other:?}"),
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OverBudget`](crate::Error::OverBudget) with the least that is reached; as [`Tensor::plan`].
    pub fn fit_within(&self, bytes: u64) -> Result<PlanSummary> {
        Ok(self.device().plan(&[self.node()], Some(bytes))?.summary)
    }

    /// Graphviz' DOT text of that plan: a cluster for each kernel with the ops in it; stored values are filled and say
    /// their size, and why they are stored. Nothing is run. On the CPU reference every op is a kernel.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::default());
    /// assert!((x.exp() * 2.0).plan_dot()?.contains("subgraph cluster_0"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::plan`].
    pub fn plan_dot(&self) -> Result<String> {
        let planned = self.device().plan(&[self.node()], None)?;
        Ok(picture::dot(&planned.graph, &planned.clusters))
    }

    /// A picture of that plan as SVG text: a box for each kernel, with the ops in it and what it stores.
    ///
    /// ```
    /// use wgrad::{Device, Tensor};
    /// let x = Tensor::from_slice(&[1f32, 2.0], [2], &Device::default());
    /// assert!((x.exp() * 2.0).plan_svg()?.starts_with("<svg"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::plan`].
    pub fn plan_svg(&self) -> Result<String> {
        let planned = self.device().plan(&[self.node()], None)?;
        Ok(picture::svg(&planned.graph, &planned.clusters))
    }
}
