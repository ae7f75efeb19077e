//! Kubernetes quantities (`500m`, `2Gi`, `1e3`) as whole numbers in a unit that the caller names.

/// A quantity in thousandths of its unit: CPU in millicores, anything else in thousandths. `None` when it is not a quantity.
pub fn milli(text: &str) -> Option<i128> {
    let text = text.trim();
    let split =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|e| e.parse::<u32>().ok());
    let (numerator, denominator): (i128, i128) = match (suffix, exponent) {
        (_, Some(e)) if e <= 18 => (10_i128.pow(e), 1),
        ("", _) => (1, 1),
        ("n", _) => (1, 1_000_000_000),
        ("u", _) => (1, 1_000_000),
        ("m", _) => (1, 1000),
        ("k", _) => (1000, 1),
        ("M", _) => (1_000_000, 1),
        ("G", _) => (1_000_000_000, 1),
        ("T", _) => (1_000_000_000_000, 1),
        ("P", _) => (1_000_000_000_000_000, 1),
        ("E", _) => (1_000_000_000_000_000_000, 1),
        ("Ki", _) => (1 << 10, 1),
        ("Mi", _) => (1 << 20, 1),
        ("Gi", _) => (1 << 30, 1),
        ("Ti", _) => (1 << 40, 1),
        ("Pi", _) => (1 << 50, 1),
        ("Ei", _) => (1 << 60, 1),
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let scale = 10_i128.pow(fraction.len() as u32);
    let value: i128 = format!("{whole}{fraction}").parse().ok()?;
    // Kubernetes rounds up: a fraction of the smallest unit still takes one.
    let (n, d) = (value.checked_mul(numerator)?.checked_mul(1000)?, denominator * scale);
    Some(n.div_euclid(d) + i128::from(n.rem_euclid(d) != 0))
}

/// A quantity in whole units, rounded up: bytes of memory, number of pods.
pub fn whole(text: &str) -> Option<i128> {
    milli(text).map(|m| m.div_euclid(1000) + i128::from(m.rem_euclid(1000) != 0))
}

/// CPU for people: `250m`, `2`, `1.5`.
pub fn show_cpu(millicores: i128) -> String {
    match millicores {
        m if m % 1000 == 0 => format!("{}", m / 1000),
        m if m.abs() > 1000 => format!("{:.2}", m as f64 / 1000.0),
        m => format!("{m}m"),
    }
}

/// Memory for people: `256Mi`, `1.5Gi`.
pub fn show_bytes(bytes: i128) -> String {
    const UNITS: [(&str, i128); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    for (unit, size) in UNITS {
        if bytes.abs() >= size {
            return if bytes % size == 0 {
                format!("{}{unit}", bytes / size)
            } else {
                format!("{:.1}{unit}", bytes as f64 / size as f64)
            };
        }
    }
    format!("{bytes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, want) in [
            ("250m", 250),
            ("2", 2000),
            ("0.5", 500),
            ("1.5", 1500),
            ("100n", 1),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            (".5", 500),
        ] {
            assert_eq!(milli(text), Some(want), "{text}");
        }
        assert_eq!(whole("256Mi"), Some(256 << 20));
        assert_eq!(whole("1.5Gi"), Some(3 << 29));
        assert_eq!(whole("128974848000m"), Some(128_974_848));
        assert_eq!(whole("1Ei"), Some(1 << 60));
        let huge = format!("{}Pi", "9".repeat(36));
        for bad in ["", "x", "1Q", "Mi", "1.2.3", "1e99", &huge] {
            assert_eq!(milli(bad), None, "{bad}");
        }
        assert_eq!(
            (show_cpu(250), show_cpu(2000), show_cpu(2700)),
            ("250m".into(), "2".into(), "2.70".into())
        );
        assert_eq!((show_bytes(256 << 20), show_bytes(3 << 29)), ("256Mi".into(), "1.5Gi".into()));
    }
}
