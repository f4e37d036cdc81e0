//! Times as people read them: how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `12s`, `4m`, `3h 12m`, `6d 22h`.
pub(crate) fn ago(then_ms: i64, now_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(then_ms).max(0) / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m"),
        3_600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::ago;

    #[test]
    fn the_two_largest_parts_are_told() {
        let at = |seconds: i64| ago(0, seconds * 1_000);
        assert_eq!([12, 240, 11_520, 597_600].map(at), ["12s", "4m", "3h 12m", "6d 22h"]);
        assert_eq!(ago(10, 0), "0s");
    }
}
