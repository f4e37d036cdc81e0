//! What a broker speaks: the range of versions of each request, as it tells on connecting.

use std::sync::Arc;

use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::api_versions::ApiVersion;

/// The versions of each request that a broker speaks.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// Sorted by key.
    ranges: Vec<(ApiKey, i16, i16)>,
    caps: Arc<[(ApiKey, i16)]>,
}

impl Versions {
    /// Takes what a broker told; requests that logmill does not know are left out.
    pub(super) fn new(told: &[ApiVersion], caps: Arc<[(ApiKey, i16)]>) -> Self {
        let mut ranges: Vec<_> = told
            .iter()
            .filter_map(|api| Some((ApiKey::try_from(api.api_key).ok()?, api.min_version, api.max_version)))
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by_key(|range| range.0);
        Self { ranges, caps }
    }

    /// The oldest and the newest version that the broker speaks; `None` if it does not know the request.
    #[must_use]
    pub fn range(&self, api: ApiKey) -> Option<(i16, i16)> {
        let at = self.ranges.binary_search_by_key(&api, |range| range.0).ok()?;
        let (_, oldest, newest) = self.ranges[at];
        Some((oldest, newest))
    }

    /// The newest version of `oldest..=newest` that the broker speaks too, below any cap.
    pub(super) fn pick(&self, api: ApiKey, oldest: i16, newest: i16) -> Result<i16, String> {
        let Some((theirs_from, theirs_to)) = self.range(api) else {
            return Err("it does not know this request".to_owned());
        };
        let cap = self.caps.iter().find(|(key, _)| *key == api).map_or(newest, |(_, cap)| *cap);
        let newest = newest.min(cap);
        let version = newest.min(theirs_to);
        if version < oldest.max(theirs_from) {
            return Err(format!("it speaks {theirs_from} to {theirs_to}, logmill {oldest} to {newest}"));
        }
        Ok(version)
    }

    /// The broker's version if it is older than Kafka 2.1, the first with all that logmill needs
    /// (Fetch 10 and Produce 7, KIP-110).
    pub(super) fn too_old(&self) -> Option<&'static str> {
        let newest = |api| self.range(api).map_or(-1, |(_, newest)| newest);
        let (fetch, produce) = (newest(ApiKey::Fetch), newest(ApiKey::Produce));
        if fetch >= 10 && produce >= 7 {
            return None;
        }
        Some(match fetch {
            ..=1 => "0.9 or older",
            2 => "0.10.0",
            3 => "0.10.1 or 0.10.2",
            4 | 5 => "0.11",
            6 => "1.0",
            7 => "1.1",
            8.. => "2.0",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn told(entries: &[(i16, i16, i16)], caps: &[(ApiKey, i16)]) -> Versions {
        let entries: Vec<_> = entries
            .iter()
            .map(|&(api_key, min_version, max_version)| ApiVersion { api_key, min_version, max_version })
            .collect();
        Versions::new(&entries, caps.into())
    }

    #[test]
    fn the_newest_common_version_is_picked() {
        let versions = told(&[(1, 4, 16), (999, 0, 1)], &[]);
        assert_eq!(versions.pick(ApiKey::Fetch, 4, 18), Ok(16));
        assert_eq!(versions.pick(ApiKey::Fetch, 4, 12), Ok(12));
        assert!(versions.pick(ApiKey::Fetch, 17, 18).unwrap_err().contains("4 to 16"));
        assert!(versions.pick(ApiKey::Produce, 3, 12).unwrap_err().contains("does not know"));
        assert_eq!(told(&[(1, 4, 16)], &[(ApiKey::Fetch, 11)]).pick(ApiKey::Fetch, 4, 18), Ok(11));
    }

    #[test]
    fn brokers_before_2_1_are_named() {
        assert_eq!(told(&[(0, 0, 7), (1, 0, 10)], &[]).too_old(), None);
        assert_eq!(told(&[(0, 0, 6), (1, 0, 8)], &[]).too_old(), Some("2.0"));
        assert_eq!(told(&[(0, 0, 2), (1, 0, 2)], &[]).too_old(), Some("0.10.0"));
        assert_eq!(told(&[], &[]).too_old(), Some("0.9 or older"));
    }
}
