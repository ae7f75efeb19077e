//! Amounts and prices, each with its unit in its type: what does not fit together does not compile.
//!
//! What Kubernetes counts is whole ([`Millicores`], [`Bytes`]); money is never rounded before it is shown.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Hours in a month, as every cloud's price list counts.
pub const HOURS_PER_MONTH: f64 = 730.0;

/// Addition that stays at the end of what a number can hold: a hostile object asks for more than there is.
trait Bounded {
    fn plus(self, other: Self) -> Self;
    fn less(self, other: Self) -> Self;
    fn times(self, times: Self) -> Self;
}

impl Bounded for i64 {
    fn plus(self, other: i64) -> i64 {
        self.saturating_add(other)
    }
    fn less(self, other: i64) -> i64 {
        self.saturating_sub(other)
    }
    fn times(self, times: i64) -> i64 {
        self.saturating_mul(times)
    }
}

impl Bounded for f64 {
    fn plus(self, other: f64) -> f64 {
        self + other
    }
    fn less(self, other: f64) -> f64 {
        self - other
    }
    fn times(self, times: f64) -> f64 {
        self * times
    }
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                $name(Bounded::plus(self.0, other.0))
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 = Bounded::plus(self.0, other.0);
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                $name(Bounded::less(self.0, other.0))
            }
        }
        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                $name(-self.0)
            }
        }
        impl Mul<$inner> for $name {
            type Output = Self;
            fn mul(self, times: $inner) -> Self {
                $name(Bounded::times(self.0, times))
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                // A sum of nothing is 0, not the -0 that f64's own sum answers.
                all.fold(Self::default(), Add::add)
            }
        }
        impl $name {
            /// The larger of both.
            pub fn max(self, other: Self) -> Self {
                if other > self { other } else { self }
            }

            /// The smaller of both.
            pub fn min(self, other: Self) -> Self {
                if other < self { other } else { self }
            }
        }
    };
}

unit!(
    /// Thousandths of a CPU core.
    #[derive(Eq, Ord)]
    Millicores(i64)
);
unit!(
    /// Bytes of memory or of a volume.
    #[derive(Eq, Ord)]
    Bytes(i64)
);
unit!(
    /// US dollars an hour.
    Hourly(f64)
);
unit!(
    /// US dollars a month of 730 hours.
    Monthly(f64)
);
unit!(
    /// US dollars for one core and one hour.
    PerCoreHour(f64)
);
unit!(
    /// US dollars for one GiB of memory and one hour.
    PerGibHour(f64)
);
unit!(
    /// US dollars for one GPU and one hour.
    PerGpuHour(f64)
);
unit!(
    /// US dollars for one GiB of a volume and one month.
    PerGibMonth(f64)
);

impl Millicores {
    /// In whole cores.
    pub fn cores(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// What it costs an hour.
    pub fn at(self, rate: PerCoreHour) -> Hourly {
        Hourly(self.cores() * rate.0)
    }
}

impl Bytes {
    /// Bytes in a GiB.
    pub const GIB: i64 = 1 << 30;

    /// In GiB of 2^30 bytes.
    pub fn gib(self) -> f64 {
        self.0 as f64 / Self::GIB as f64
    }

    /// What so much memory costs an hour.
    pub fn at(self, rate: PerGibHour) -> Hourly {
        Hourly(self.gib() * rate.0)
    }

    /// What a volume of that size costs a month.
    pub fn stored_at(self, rate: PerGibMonth) -> Monthly {
        Monthly(self.gib() * rate.0)
    }
}

impl Hourly {
    /// For a month of 730 hours.
    pub fn month(self) -> Monthly {
        Monthly(self.0 * HOURS_PER_MONTH)
    }
}

impl PerGpuHour {
    /// What so many cost an hour.
    pub fn times(self, gpus: i64) -> Hourly {
        Hourly(self.0 * gpus as f64)
    }
}

impl Monthly {
    /// The twelve months of a year.
    pub fn year(self) -> f64 {
        self.0 * 12.0
    }

    /// Rounded to six decimals, as JSON carries it; never `-0`.
    pub fn micros(self) -> f64 {
        (self.0 * 1e6).round() / 1e6 + 0.0
    }
}
