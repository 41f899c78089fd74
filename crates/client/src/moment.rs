//! Moments of the calendar as the contract writes them: RFC 3339 §5.6, in UTC.

/// Milliseconds since 1970 of a time like `2026-11-21T09:30:00Z`; `None` for anything else, and for a time before 1970.
/// Parts of a second are left out, a leap second counts as the one before it.
pub(crate) fn unix_ms(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't'])?;
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in = |month: u64| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_possible = year >= 1970 && (1..=12).contains(&month) && (1..=days_in(month)).contains(&day);
    if !is_possible || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum::<u64>()
        + (1..month).map(days_in).sum::<u64>()
        + (day - 1);
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second.min(59) * 1_000)
}

/// Three numbers of so many digits each.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut all = [0; 3];
    for (number, digits) in all.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_the_calendar_are_counted_from_1970() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-03-01T00:00:01Z", 5_097_601_000),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2026-11-21T09:30:00Z", 1_795_253_400_000),
            ("2026-11-21T09:30:00.25Z", 1_795_253_400_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ] {
            assert_eq!(unix_ms(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "Z",
            "yesterday",
            "2026-11-21",
            "2026-11-21T09:30:00",
            "2026-11-21T09:30:00+01:00",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T09:61:00Z",
            "1969-12-31T23:59:59Z",
            "02026-11-21T09:30:00Z",
            "2026-11-21T09:30:00:00Z",
            "٢٠٢٦-11-21T09:30:00Z",
            "99999999999999999999-11-21T09:30:00Z",
        ] {
            assert_eq!(unix_ms(text), None, "{text}");
        }
    }
}
