//! A machine's price taken apart: so much for a core, a GiB and a GPU, and the parts are the whole again.

use crate::node::Machine;
use crate::units::{Hourly, PerCoreHour, PerGibHour, PerGpuHour};

use super::CORE_PER_GIB;

/// The rates of one machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    pub cpu: PerCoreHour,
    pub memory: PerGibHour,
    pub gpu: PerGpuHour,
}

impl Split {
    /// Takes `whole` apart. A GPU is worth `gpu`, or its share of the whole if that is less; of the rest a core is
    /// worth [`CORE_PER_GIB`] GiB. A machine that names no size has no rates.
    pub fn of(whole: Hourly, machine: &Machine, gpu: PerGpuHour) -> Split {
        let gpus = machine.gpus.max(0) as f64;
        let size = machine.cpu.cores().max(0.0) * CORE_PER_GIB + machine.memory.gib().max(0.0);
        if size <= 0.0 {
            let gpu = if gpus > 0.0 { whole.0 / gpus } else { 0.0 };
            return Split { cpu: PerCoreHour(0.0), memory: PerGibHour(0.0), gpu: PerGpuHour(gpu) };
        }
        let for_gpus = (gpus * gpu.0).min(whole.0);
        let gib = (whole.0 - for_gpus) / size;
        let gpu = if gpus > 0.0 { for_gpus / gpus } else { gpu.0 };
        Split { cpu: PerCoreHour(gib * CORE_PER_GIB), memory: PerGibHour(gib), gpu: PerGpuHour(gpu) }
    }

    /// What the machine costs at these rates.
    pub fn whole(&self, machine: &Machine) -> Hourly {
        machine.cpu.at(self.cpu) + machine.memory.at(self.memory) + self.gpu.times(machine.gpus)
    }

    /// With `percent` off cores and memory; GPUs are not discounted.
    pub fn less(&self, percent: f64) -> Split {
        let rest = 1.0 - percent / 100.0;
        Split { cpu: self.cpu * rest, memory: self.memory * rest, gpu: self.gpu }
    }

    /// All rates times a factor.
    pub fn times(&self, factor: f64) -> Split {
        Split { cpu: self.cpu * factor, memory: self.memory * factor, gpu: self.gpu * factor }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    #[test]
    fn the_parts_are_the_whole_for_any_machine() {
        // A fixed generator: the same ten thousand machines each time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..10_000 {
            let mut machine = machine("n", None, None);
            machine.cpu.0 = 1 + next(512_000) as i64;
            machine.memory.0 = 1 + next(4 << 40) as i64;
            machine.gpus = next(17) as i64;
            let whole = Hourly(next(100_000_000) as f64 / 1e6);
            let gpu = PerGpuHour(next(5_000_000) as f64 / 1e6);
            let split = Split::of(whole, &machine, gpu);
            let again = split.whole(&machine);
            assert!((again.0 - whole.0).abs() <= 1e-12 * whole.0.max(1.0), "{machine:?} {whole:?} {again:?}");
            assert!(split.cpu.0 >= 0.0 && split.memory.0 >= 0.0 && split.gpu.0 >= 0.0);
        }
    }

    #[test]
    fn a_machine_without_a_size_gives_no_nonsense() {
        let mut machine = machine("n", None, None);
        (machine.cpu.0, machine.memory.0) = (0, 0);
        let split = Split::of(Hourly(2.0), &machine, PerGpuHour(0.95));
        assert_eq!((split.cpu.0, split.memory.0), (0.0, 0.0));
        machine.gpus = 2;
        assert_eq!(Split::of(Hourly(2.0), &machine, PerGpuHour(0.95)).gpu.0, 1.0);
    }
}
