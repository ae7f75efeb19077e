//! What runs of the same scenarios come to: unbiased pass@k and pass^k, and how sure that is.

/// The chance that at least one of `k` runs passes, from `c` passes in `n` runs: 1 − C(n−c, k) / C(n, k). None when there
/// are fewer than `k` runs.
pub fn pass_at(n: usize, c: usize, k: usize) -> Option<f64> {
    (k >= 1 && k <= n).then(|| 1.0 - ratio(n - c.min(n), n, k))
}

/// The chance that all of `k` runs pass: C(c, k) / C(n, k). None when there are fewer than `k` runs.
pub fn pass_hat(n: usize, c: usize, k: usize) -> Option<f64> {
    (k >= 1 && k <= n).then(|| ratio(c.min(n), n, k))
}

/// C(a, k) / C(n, k), without the large numbers in between.
fn ratio(a: usize, n: usize, k: usize) -> f64 {
    if a < k {
        return 0.0;
    }
    (0..k).map(|i| (a - i) as f64 / (n - i) as f64).product()
}

/// The mean of a figure over scenarios, and the interval in which it lies with 95 % confidence, by drawing scenarios anew
/// 2,000 times with a fixed seed. None without scenarios.
pub fn mean(of: &[f64]) -> Option<(f64, f64, f64)> {
    if of.is_empty() {
        return None;
    }
    let average = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut drawn: Vec<f64> = (0..2_000)
        .map(|_| {
            let sample: Vec<f64> = (0..of.len()).map(|_| of[random.below(of.len())]).collect();
            average(&sample)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    Some((average(of), drawn[49], drawn[1_949]))
}

/// The mean difference of a figure between two versions, paired by scenario, with the interval in which it lies with 95 %
/// confidence. None without scenarios.
pub fn difference(pairs: &[(f64, f64)]) -> Option<(f64, f64, f64)> {
    mean(&pairs.iter().map(|(old, new)| new - old).collect::<Vec<_>>())
}

/// McNemar's exact test for two versions on the same runs: how likely at least so one-sided a split is by chance, when
/// `gained` runs passed only with the new one and `lost` only with the old one.
pub fn mcnemar(gained: usize, lost: usize) -> f64 {
    let n = gained + lost;
    if n == 0 {
        return 1.0;
    }
    let few = gained.min(lost);
    // C(n, i) / 2^n, one from the other.
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut sum = 0.0;
    for i in 0..=few {
        sum += term;
        term *= (n - i) as f64 / (i + 1) as f64;
    }
    (2.0 * sum).min(1.0)
}

/// xorshift64*: enough to draw scenarios.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: Option<f64>, wanted: f64) {
        assert!((found.unwrap() - wanted).abs() < 1e-12, "{found:?} is not {wanted}");
    }

    #[test]
    fn passes() {
        // 5 runs, 3 passes: one run passes with 3/5; of three, all with C(3,3)/C(5,3), any with 1 - C(2,3)/C(5,3).
        near(pass_at(5, 3, 1), 0.6);
        near(pass_hat(5, 3, 1), 0.6);
        near(pass_hat(5, 3, 3), 0.1);
        near(pass_at(5, 3, 3), 1.0);
        near(pass_at(5, 1, 3), 0.6);
        near(pass_hat(5, 5, 5), 1.0);
        near(pass_at(5, 0, 5), 0.0);
        assert_eq!((pass_at(4, 2, 5), pass_hat(4, 2, 0)), (None, None));
    }

    #[test]
    fn intervals() {
        let (mean, low, high) = mean(&[1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
        assert!(
            (mean - 0.8).abs() < 1e-12 && (0.5..0.8).contains(&low) && high > 0.8 && high <= 1.0,
            "{low} {high}"
        );
        assert_eq!(super::mean(&[1.0; 7]), Some((1.0, 1.0, 1.0)));
        assert_eq!(super::mean(&[]), None);
    }

    #[test]
    fn two_versions() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert!((mcnemar(5, 0) - 0.0625).abs() < 1e-12);
        assert!((mcnemar(8, 2) - 0.109_375).abs() < 1e-12);
        assert_eq!(mcnemar(3, 3), 1.0);
    }
}
