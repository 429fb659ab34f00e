//! The macro that writes an optimizer around a rule.

/// An optimizer: the type, its constructors, a builder for each option of its rule, and everything that
/// [`Optimizer`](crate::optim::Optimizer) asks for, also as methods that need no import.
///
/// `@momentum` names the part of the rule that [`Sgd::momentum_rate`](crate::optim::Sgd::momentum_rate) is a handle of, where there is one;
/// `weight_decay` its default and whether it is `coupled` (a part of the gradient) or `decoupled` (apart from it), or which option decides.
macro_rules! optimizer {
    (
        $(#[$doc:meta])*
        $name:ident($rule:ident { $($field:ident: $value:expr),* $(,)? });
        $(#[$new_doc:meta])*
        new;
        weight_decay = $decay:literal, $kind:ident;
        $(@momentum |$it:ident| $momentum:expr;)?
        $($(#[$option_doc:meta])* $option:ident: $type:ty;)*
    ) => {
        $(#[$doc])*
        pub struct $name {
            driver: $crate::optim::driver::Driver<$rule>,
        }

        impl $name {
            $(#[$new_doc])*
            pub fn new(parameters: Vec<$crate::tensor::Tensor>, lr: f32) -> $name {
                $name::with_groups(vec![$crate::optim::ParamGroup::new(parameters)], lr)
            }

            /// With groups of parameters, which may have a learning rate and a weight decay of their own.
            ///
            /// ```
            #[doc = concat!("use wgrad::{Device, Tensor, optim::{ParamGroup, ", stringify!($name), "}};")]
            /// let leaf = || vec![Tensor::ones([2, 2], &Device::cpu()).requires_grad()];
            /// let groups = vec![ParamGroup::new(leaf()), ParamGroup::new(leaf()).lr(0.5)];
            #[doc = concat!("let optimizer = ", stringify!($name), "::with_groups(groups, 0.25);")]
            /// assert_eq!([0, 1].map(|g| optimizer.rates()[g].get()), [0.25, 0.5]);
            /// ```
            pub fn with_groups(groups: Vec<$crate::optim::ParamGroup>, lr: f32) -> $name {
                let rule = $rule { $($field: $value),* };
                $name { driver: $crate::optim::driver::Driver::new(stringify!($name), rule, groups, lr, $decay) }
            }

            /// Adds a group of parameters.
            ///
            /// ```
            #[doc = concat!("use wgrad::{Device, Tensor, optim::{ParamGroup, ", stringify!($name), "}};")]
            /// let leaf = || vec![Tensor::ones([2, 2], &Device::cpu()).requires_grad()];
            #[doc = concat!("let mut optimizer = ", stringify!($name), "::new(leaf(), 0.25);")]
            /// optimizer.add_param_group(ParamGroup::new(leaf()).lr(0.5));
            /// assert_eq!([0, 1].map(|g| optimizer.rates()[g].get()), [0.25, 0.5]);
            /// ```
            pub fn add_param_group(&mut self, group: $crate::optim::ParamGroup) {
                self.driver.any_mut().add(group);
            }

            $(
                $(#[$option_doc])*
                pub fn $option(mut self, $option: $type) -> $name {
                    self.driver.rule.$option = $option;
                    self
                }
            )*

            #[doc = $crate::optim::define::optimizer!(@decay $kind)]
            ///
            /// ```
            #[doc = concat!("use wgrad::{Device, Tensor, optim::", stringify!($name), "};")]
            /// let w = Tensor::ones([2, 2], &Device::cpu()).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($name), "::new(vec![w.clone()], 0.25).weight_decay(0.5);")]
            /// (&w * 0.0).sum().backward()?; // without a gradient only the decay acts
            /// optimizer.step()?;
            /// optimizer.zero_grad();
            /// assert!(w.max().item::<f32>()? < 1.0);
            /// # Ok::<(), wgrad::Error>(())
            /// ```
            pub fn weight_decay(mut self, weight_decay: f32) -> $name {
                self.driver.weight_decay = weight_decay;
                self
            }

            /// Climbs along the gradients instead of descending (default: no). The weight decay shrinks parameters either way.
            ///
            /// ```
            #[doc = concat!("use wgrad::{Device, Tensor, optim::", stringify!($name), "};")]
            /// let w = Tensor::ones([2, 2], &Device::cpu()).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($name), "::new(vec![w.clone()], 0.25).maximize(true);")]
            /// w.sum().backward()?;
            /// optimizer.step()?;
            /// assert!(w.min().item::<f32>()? > 1.0);
            /// # Ok::<(), wgrad::Error>(())
            /// ```
            pub fn maximize(mut self, maximize: bool) -> $name {
                self.driver.maximize = maximize;
                self
            }

            /// The handle of the first group's learning rate, to set it while a captured step owns the optimizer.
            ///
            /// ```
            #[doc = concat!("use wgrad::{Device, Tensor, optim::", stringify!($name), "};")]
            /// let w = Tensor::ones([2, 2], &Device::cpu()).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($name), "::new(vec![w], 0.25);")]
            /// let rate = optimizer.rate();
            /// rate.set(0.5);
            /// assert_eq!(optimizer.lr(), 0.5);
            /// optimizer.set_lr(0.125);
            /// assert_eq!(rate.get(), 0.125);
            /// ```
            pub fn rate(&self) -> $crate::optim::Rate {
                self.driver.any().rate()
            }

            $(
                /// The handle of the momentum (where there are decay rates β, of the first), which the steps to come follow, also captured
                /// ones: for schedules such as [`OneCycle::momentum`](crate::optim::lr::OneCycle::momentum). ParameterState dictionaries have an
                /// entry `momentum` from then on. A momentum of 0 cannot be driven, as nothing is kept for it: the step says so.
                ///
                /// ```
                #[doc = concat!("use wgrad::{Device, Tensor, optim::", stringify!($name), "};")]
                /// let w = Tensor::ones([2, 2], &Device::default()).requires_grad();
                #[doc = concat!("let mut optimizer = ", stringify!($name), "::new(vec![w.clone()], 0.1)", $crate::optim::define::optimizer!(@begin $name), ";")]
                /// let momentum = optimizer.momentum_rate();
                /// momentum.set(0.5);
                /// w.square().sum().backward()?;
                /// optimizer.step()?;
                /// assert_eq!(optimizer.state_dict()["momentum"].item::<f32>()?, 0.5);
                /// # Ok::<(), wgrad::Error>(())
                /// ```
                pub fn momentum_rate(&mut self) -> $crate::optim::Rate {
                    self.driver.momentum_rate(|$it: &$rule| $momentum)
                }
            )?
        }

        impl $crate::optim::Optimizer for $name {
            #[track_caller]
            fn step(&mut self) -> $crate::error::Result<()> {
                self.driver.any_mut().step(None, std::panic::Location::caller())
            }

            #[track_caller]
            fn step_if(&mut self, condition: &$crate::tensor::Tensor) -> $crate::error::Result<()> {
                self.driver.any_mut().step(Some(condition), std::panic::Location::caller())
            }

            fn parameters(&self) -> &[$crate::tensor::Tensor] {
                self.driver.any().parameters()
            }

            fn lr(&self) -> f32 {
                self.driver.any().rate().get()
            }

            #[track_caller]
            fn set_lr(&mut self, lr: f32) {
                self.driver.any_mut().set_lr(lr);
            }

            fn rates(&self) -> Vec<$crate::optim::Rate> {
                self.driver.any().rates()
            }

            fn state_dict(&self) -> $crate::nn::StateDict {
                self.driver.any().state_dict()
            }

            #[track_caller]
            fn load_state_dict(&mut self, entries: &$crate::nn::StateDict) -> $crate::error::Result<()> {
                self.driver.any_mut().load_state_dict(entries, std::panic::Location::caller())
            }
        }

        impl $name {
            /// [`Optimizer::step`](crate::optim::Optimizer::step).
            ///
            /// # Errors
            /// As [`Optimizer::step`](crate::optim::Optimizer::step).
            #[track_caller]
            pub fn step(&mut self) -> $crate::error::Result<()> {
                $crate::optim::Optimizer::step(self)
            }

            /// [`Optimizer::zero_grad`](crate::optim::Optimizer::zero_grad).
            pub fn zero_grad(&self) {
                $crate::optim::Optimizer::zero_grad(self);
            }

            /// [`Optimizer::lr`](crate::optim::Optimizer::lr).
            pub fn lr(&self) -> f32 {
                $crate::optim::Optimizer::lr(self)
            }

            /// [`Optimizer::set_lr`](crate::optim::Optimizer::set_lr).
            #[track_caller]
            pub fn set_lr(&mut self, lr: f32) {
                $crate::optim::Optimizer::set_lr(self, lr);
            }

            /// [`Optimizer::rates`](crate::optim::Optimizer::rates).
            pub fn rates(&self) -> Vec<$crate::optim::Rate> {
                $crate::optim::Optimizer::rates(self)
            }

            /// [`Optimizer::state_dict`](crate::optim::Optimizer::state_dict).
            pub fn state_dict(&self) -> $crate::nn::StateDict {
                $crate::optim::Optimizer::state_dict(self)
            }

            /// [`Optimizer::load_state_dict`](crate::optim::Optimizer::load_state_dict).
            ///
            /// ```
            #[doc = concat!("use wgrad::{Device, Tensor, optim::", stringify!($name), "};")]
            /// let w = Tensor::ones([2, 2], &Device::cpu()).requires_grad();
            #[doc = concat!("let mut optimizer = ", stringify!($name), "::new(vec![w.clone()], 0.25);")]
            /// w.square().sum().backward()?;
            /// optimizer.step()?;
            #[doc = concat!("let mut other = ", stringify!($name), "::new(vec![w], 0.5);")]
            /// other.load_state_dict(&optimizer.state_dict())?;
            /// assert_eq!(other.lr(), 0.25);
            /// # Ok::<(), wgrad::Error>(())
            /// ```
            ///
            /// # Errors
            /// As [`Optimizer::load_state_dict`](crate::optim::Optimizer::load_state_dict).
            #[track_caller]
            pub fn load_state_dict(&mut self, entries: &$crate::nn::StateDict) -> $crate::error::Result<()> {
                $crate::optim::Optimizer::load_state_dict(self, entries)
            }
        }
    };
    (@decay coupled) => { "Adds this much of the parameter to its gradient (L2 regularisation)." };
    (@decay decoupled) => { "Shrinks parameters by `lr` times this a step, apart from the gradient." };
    (@decay either) => {
        "Adds this much of the parameter to its gradient (L2 regularisation), or with `decoupled_weight_decay` shrinks parameters by `lr` times this."
    };
    (@begin Sgd) => { ".momentum(0.9)" };
    (@begin RmsProp) => { ".momentum(0.9)" };
    (@begin $other:ident) => { "" };
}
pub(super) use optimizer;
