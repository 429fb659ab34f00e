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
            pub fn with_groups(groups: Vec<$crate::optim::ParamGroup>, lr: f32) -> $name {
                let rule = $rule { $($field: $value),* };
                $name { driver: $crate::optim::driver::Driver::new(stringify!($name), rule, groups, lr, $decay) }
            }

            /// Adds a group of parameters.
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
            pub fn weight_decay(mut self, weight_decay: f32) -> $name {
                self.driver.weight_decay = weight_decay;
                self
            }

            /// Climbs along the gradients instead of descending (default: no). The weight decay shrinks parameters either way.
            pub fn maximize(mut self, maximize: bool) -> $name {
                self.driver.maximize = maximize;
                self
            }

            /// The handle of the first group's learning rate, to set it while a captured step owns the optimizer.
            pub fn rate(&self) -> $crate::optim::Rate {
                self.driver.any().rate()
            }

            $(
                /// The handle of the momentum (where there are decay rates β, of the first), which the steps to come follow, also captured
                /// ones: for schedules such as [`OneCycle::momentum`](crate::optim::lr::OneCycle::momentum). ParameterState dictionaries have an
                /// entry `momentum` from then on. A momentum of 0 cannot be driven, as nothing is kept for it: the step says so.
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
}
pub(super) use optimizer;
