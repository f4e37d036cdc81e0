//! Times as people write them: `5m` ago, `2026-11-22T10:00Z`, milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, of a time as [`parse_time`] reads it.
pub(crate) fn parse_time_now(text: &str) -> Result<i64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    parse_time(text, i64::try_from(now).unwrap_or(i64::MAX))
}

/// Milliseconds since 1970 that the text means; `now` is such a time too.
///
/// # Errors
/// The text is none; the error says what would be.
fn parse_time(text: &str, now: i64) -> Result<i64, String> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    if let Ok(ms) = digits.parse::<i64>()
        && ms >= 0
    {
        return Ok(ms);
    }
    ago(text).map(|ago| now - ago).or_else(|| date(text)).ok_or_else(|| {
        format!("no time: {text:?}; write 5m (ago), 2026-11-22T10:00Z, or milliseconds since 1970")
    })
}

/// A length of time: `500ms`, `90s`, `5m`, `2h`, `7d`.
///
/// # Errors
/// The text is none; the error says what would be.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    ago(text)
        .and_then(|ms| u64::try_from(ms).ok())
        .map(std::time::Duration::from_millis)
        .ok_or_else(|| format!("no length of time: {text:?}; write 500ms, 30s or 5m"))
}

/// `90s`, `5m`, `2h`, `7d` in milliseconds.
fn ago(text: &str) -> Option<i64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit);
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.parse::<i64>().ok()?.checked_mul(ms)
}

/// `2026-11-22`, with `T10:00` or `T10:00:30.5` after it, with `Z` or `+01:00` after that (ISO 8601). Without
/// a zone it is UTC.
fn date(text: &str) -> Option<i64> {
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let mut parts = day.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (clock, zone) = zone(clock)?;
    let mut parts = clock.splitn(3, ':');
    let hours = whole(parts.next()?, 23)?;
    let minutes = whole(parts.next()?, 59)?;
    let seconds = match parts.next() {
        None => 0.0,
        Some(text) => text.parse::<f64>().ok().filter(|seconds| (0.0..60.0).contains(seconds))?,
    };
    let minutes = (days(year, month, day) * 24 + hours) * 60 + minutes - zone;
    Some(minutes * 60_000 + (seconds * 1000.0).round() as i64)
}

/// Splits the zone off a clock time: minutes east of Greenwich.
fn zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else { return Some((clock, 0)) };
    let (clock, zone) = clock.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':')?;
    let minutes = whole(hours, 14)? * 60 + whole(minutes, 59)?;
    Some((clock, if zone.starts_with('-') { -minutes } else { minutes }))
}

fn whole(text: &str, most: i64) -> Option<i64> {
    text.parse::<i64>().ok().filter(|value| (0..=most).contains(value))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// A time in milliseconds since 1970, as people write it; none before 1970.
pub(crate) fn date_of(ms: i64) -> Option<String> {
    let ms = u64::try_from(ms).ok()?;
    let (day, of_day) = (i64::try_from(ms / 86_400_000).ok()?, ms % 86_400_000);
    let (year, month, day) = calendar(day);
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z"))
}

/// The other way round from [`days`].
fn calendar(day: i64) -> (i64, i64, i64) {
    // 400 years have always the same number of days, and an average year never overshoots by more than one.
    let mut year = 1970 + day * 400 / 146_097 + 1;
    while days(year, 1, 1) > day {
        year -= 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= day).unwrap_or(1);
    (year, month, day - days(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let now = 1_000_000_000;
        assert_eq!(parse_time("5m", now), Ok(now - 300_000));
        assert_eq!(parse_time("250ms", now), Ok(now - 250));
        assert_eq!(parse_time("@1732269600000", now), Ok(1_732_269_600_000));
        assert_eq!(parse_time("1732269600000", now), Ok(1_732_269_600_000));
        assert_eq!(parse_time("1970-01-01", now), Ok(0));
        assert_eq!(parse_time("2024-11-22T10:00Z", now), Ok(1_732_269_600_000));
        assert_eq!(parse_time("2024-11-22T11:00:00.250+01:00", now), Ok(1_732_269_600_250));
        assert_eq!(parse_time("2024-02-29T00:00Z", now), Ok(1_709_164_800_000));
        assert_eq!(parse_time("2000-03-01", now), Ok(951_868_800_000));
    }

    #[test]
    fn a_date_is_written_as_it_is_read() {
        assert_eq!(date_of(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(date_of(-1), None);
        for day in 0..60_000 {
            let ms = day * 86_400_000 + 45_296_789;
            let text = date_of(ms).unwrap_or_default();
            assert_eq!(parse_time(&text, 0), Ok(ms), "{text}");
        }
        assert!(date_of(i64::MAX).is_some());
    }

    #[test]
    fn what_is_no_time_is_named() {
        for text in ["", "soon", "5 minutes", "2026-13-01", "2026-11-22T25:00Z", "-5m", "-1"] {
            assert!(parse_time(text, 0).is_err_and(|error| error.contains("2026-11-22T10:00Z")), "{text}");
        }
    }
}
