//! How much work a submission takes.
//!
//! Windows resets a GPU whose submission takes two seconds, and browsers end one that takes longer than they planned. So a submission gets what
//! the GPU does in a quarter of a second, at the rate that it has shown. A kernel that takes longer alone has a submission for itself. Nobody
//! resets software adapters.

use std::time::Duration;

/// How long a submission may take.
const SECONDS: f64 = 0.25;
/// Bytes per second that any device moves: what is expected before something was measured.
const START: f64 = (1_u64 << 30) as f64;
/// The work of one submission where none is too long.
const UNBOUNDED: u64 = 64 << 30;
/// Rates between which a measurement may lie; others come from a machine that was asleep, or from work that was guessed wrongly.
const RATES: [f64; 2] = [START / 16.0, START * 16_384.0];
/// Shorter waits say more of the driver than of the work.
#[cfg(not(target_arch = "wasm32"))]
pub(super) const SHORTEST: Duration = Duration::from_millis(5);

/// The rate of a device: bytes per second, as kernels estimate what they move ([`Dispatch::work`](super::encode::Dispatch)).
#[derive(Debug)]
pub(super) struct Pace {
    rate: f64,
    bounded: bool,
}

impl Pace {
    /// The rate of a device that nothing is known of, and that may be reset where submissions take long.
    pub(super) fn new(bounded: bool) -> Pace {
        Pace { rate: START, bounded }
    }

    /// The work of one submission at most.
    pub(super) fn limit(&self) -> u64 {
        if self.bounded { (self.rate * SECONDS) as u64 } else { UNBOUNDED }
    }

    /// Notes that so much work was done within `time` of its submission. A lower rate holds from now on; a higher one is approached in steps,
    /// since what was measured may have been lighter than what comes.
    #[cfg_attr(
        target_arch = "wasm32",
        allow(dead_code, reason = "a browser does not let a program wait for the device")
    )]
    pub(super) fn measured(&mut self, work: u64, time: Duration) {
        if work > 0 && !time.is_zero() {
            let rate = work as f64 / time.as_secs_f64();
            self.rate = rate.clamp(self.rate / 4.0, self.rate * 4.0).clamp(RATES[0], RATES[1]);
        }
    }
}

/// A submission that was not seen to finish yet.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone)]
pub(super) struct Submission {
    pub index: wgpu::SubmissionIndex,
    /// Its number, counted from 1.
    pub number: u64,
    pub work: u64,
    pub at: std::time::Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_what_is_measured() {
        assert_eq!(Pace::new(false).limit(), UNBOUNDED);
        let mut pace = Pace::new(true);
        assert_eq!(pace.limit(), 256 << 20);
        // A GPU: 400 GB per second.
        for _ in 0..8 {
            pace.measured(400_000_000_000, Duration::from_secs(1));
        }
        assert_eq!(pace.limit(), 100_000_000_000);
        // One kernel that was guessed wrongly does not stop the device.
        pace.measured(1, Duration::from_secs(1));
        assert_eq!(pace.limit(), 25_000_000_000);
        for _ in 0..20 {
            pace.measured(1, Duration::from_secs(1));
        }
        assert_eq!(pace.limit(), (256 << 20) / 16);
        pace.measured(0, Duration::from_secs(1));
        pace.measured(1, Duration::ZERO);
        assert_eq!(pace.limit(), (256 << 20) / 16);
    }
}
