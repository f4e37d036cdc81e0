//! The producer's settings, checked once.

use std::time::Duration;

use logmill_protocol::records::{BATCH_OVERHEAD, Compression, Compressor};

use crate::config::Settings;
use crate::error::{Error, Result};

/// With more in flight a broker can no longer tell a batch sent again from a new one (KIP-98).
const MOST_IN_FLIGHT: usize = 5;
/// Up to this linger, records of a batch share the time at which it was opened.
const COARSE: Duration = Duration::from_millis(10);

/// What [`Settings`] say, in the form that the producer uses.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// −1 for all, 0, 1.
    pub(super) acks: i16,
    pub(super) idempotent: bool,
    pub(super) batch_size: usize,
    pub(super) buffer_memory: usize,
    pub(super) max_request: usize,
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) max_block: Duration,
    pub(super) in_flight: usize,
    /// Whether a record without timestamp gets its batch's.
    pub(super) coarse_time: bool,
    compression: Compression,
    level: Option<i32>,
}

impl Options {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let acks = match settings.text("acks") {
            "0" => 0,
            "1" => 1,
            _ => -1,
        };
        let wanted = settings.text("enable.idempotence") == "true";
        let in_flight = settings.bytes("max.in.flight.requests.per.connection");
        // As in Kafka's client: a weaker setting turns idempotence off, unless it was asked for.
        let fits = acks == -1 && in_flight <= MOST_IN_FLIGHT;
        if wanted && !fits && settings.is_given("enable.idempotence") {
            return Err(Error::config(
                "enable.idempotence",
                "it needs acks=all and max.in.flight.requests.per.connection of at most 5",
            ));
        }
        let compression: Compression = settings.text("compression.type").parse().map_err(|_| {
            Error::config("compression.type", "one of none, gzip, snappy, lz4, zstd is expected")
        })?;
        let level = match compression {
            Compression::Gzip => Some("compression.gzip.level"),
            Compression::Zstd => Some("compression.zstd.level"),
            _ => None,
        };
        let options = Self {
            acks,
            idempotent: wanted && fits,
            batch_size: settings.bytes("batch.size").max(BATCH_OVERHEAD + 1),
            buffer_memory: settings.bytes("buffer.memory"),
            max_request: settings.bytes("max.request.size"),
            linger: settings.duration("linger.ms"),
            delivery_timeout: settings.duration("delivery.timeout.ms"),
            request_timeout: settings.duration("request.timeout.ms"),
            max_block: settings.duration("max.block.ms"),
            // Without answers, only one at a time is sure to keep its place.
            in_flight: if acks == 0 { 1 } else { in_flight },
            coarse_time: settings.duration("linger.ms") <= COARSE,
            compression,
            level: level.and_then(|name| i32::try_from(settings.number(name)).ok()),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        if self.batch_size > self.max_request {
            return Err(Error::config("batch.size", "it cannot be above max.request.size"));
        }
        if self.max_request > self.buffer_memory {
            return Err(Error::config("buffer.memory", "it cannot be below max.request.size"));
        }
        if self.delivery_timeout < self.linger + self.request_timeout {
            return Err(Error::config(
                "delivery.timeout.ms",
                "it cannot be below linger.ms + request.timeout.ms: no record would have a whole try",
            ));
        }
        self.compressor().map(drop)
    }

    pub(super) fn compressor(&self) -> Result<Compressor> {
        Compressor::new(self.compression, self.level)
            .map_err(|error| Error::config("compression.type", error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(given: &[(&str, &str)]) -> Result<Options> {
        let mut settings = Settings::default();
        for (name, value) in given {
            settings.set(name, *value)?;
        }
        Options::new(&settings)
    }

    #[test]
    fn the_defaults_are_safe() {
        let options = options(&[]).unwrap();
        assert!(options.idempotent && options.acks == -1 && options.in_flight == 5);
        assert_eq!(
            (options.linger, options.delivery_timeout),
            (Duration::from_millis(5), Duration::from_secs(120))
        );
        assert_eq!((options.max_request, options.buffer_memory), (1 << 20, 32 << 20));
    }

    #[test]
    fn fewer_acknowledgements_turn_idempotence_off_unless_it_was_asked_for() {
        assert!(!options(&[("acks", "1")]).unwrap().idempotent);
        assert!(!options(&[("max.in.flight.requests.per.connection", "6")]).unwrap().idempotent);
        assert!(options(&[("acks", "0"), ("enable.idempotence", "true")]).is_err());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        for given in [
            [("batch.size", "2000000"), ("acks", "all")],
            [("buffer.memory", "1000000"), ("acks", "all")],
            [("delivery.timeout.ms", "30000"), ("acks", "all")],
            [("compression.type", "zstd"), ("compression.zstd.level", "23")],
            [("compression.type", "brotli"), ("acks", "all")],
        ] {
            assert!(matches!(options(&given), Err(Error::Config { .. })), "{given:?}");
        }
    }
}
