//! Which prices are taken for slips: a month's price for an hour's, or one far from what is usual.

use super::error::shown;
use crate::units::HOURS_PER_MONTH;

/// More than any machine costs an hour.
const MOST_AN_HOUR: f64 = 1000.0;

/// A price further than this many times from what is usual is a slip until the user says otherwise.
const OUTLIER: f64 = 30.0;

/// What is wrong with a price, and what to do.
pub(super) type Slip = (String, String);

/// Whether an hour's price is a month's. `given` is as written, `usd` what it is in US dollars.
pub(super) fn month_for_hour(given: f64, usd: f64) -> Option<Slip> {
    (usd > MOST_AN_HOUR).then(|| {
        let reason = format!("= {} looks like a month's price, not an hour's", shown(given));
        let hour = shown(given / HOURS_PER_MONTH);
        (reason, format!("write {hour} (the month's price / 730), or pass --force-price if it is right"))
    })
}

/// Whether a price is far from the usual one, which `what` names.
pub(super) fn outlier(given: f64, usd: f64, usual: f64, what: &str, by_hour: bool) -> Option<Slip> {
    let fair = |usd: f64| usd <= usual * OUTLIER && usd >= usual / OUTLIER;
    if usual <= 0.0 || fair(usd) {
        return None;
    }
    let off = if usd > usual {
        format!("is {:.0} times {what} of {}", usd / usual, shown(usual))
    } else {
        format!("is less than a thirtieth of {what} of {}", shown(usual))
    };
    // The slip that everybody makes: the price of a month for one of an hour, or the other way round.
    let (times, how) = match by_hour {
        true => (1.0 / HOURS_PER_MONTH, "the month's price / 730"),
        false => (HOURS_PER_MONTH, "the hour's price x 730"),
    };
    let advice = if fair(usd * times) {
        format!("write {} ({how}), or pass --force-price if it is right", shown(given * times))
    } else {
        "check the unit, or pass --force-price if it is right".to_owned()
    };
    Some((format!("= {} {off}", shown(given)), advice))
}
