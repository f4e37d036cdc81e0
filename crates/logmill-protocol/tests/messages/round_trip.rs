//! What is written reads back as the same value, to the last byte; what a version cannot carry is refused.

use logmill_protocol::error::{DecodeError, EncodeError};
use logmill_protocol::wire::{Message, Reader, Writer};

use crate::random::{Random, Sample};
use crate::sample::every_message;
use crate::{decode, encode};

const SAMPLES: u64 = 40;

#[test]
fn every_message_reads_back_as_it_was_written() {
    fn check<M: Message + Sample>() {
        for version in M::MIN..=M::MAX {
            let empty = M::default();
            let bytes = encode(&empty, version).unwrap();
            assert_eq!(decode::<M>(&bytes, version), Ok(empty), "{} version {version}, default", M::NAME);
            for seed in 0..SAMPLES {
                let message = M::sample(&mut Random::new(seed), version);
                let bytes = encode(&message, version).unwrap();
                assert_eq!(decode(&bytes, version), Ok(message), "{} version {version} seed {seed}", M::NAME);
            }
        }
    }
    macro_rules! call {
        ($module:ident, $name:ident) => {
            check::<logmill_protocol::messages::$module::$name>()
        };
    }
    every_message!(call);
}

/// A field set for one version either travels or is refused in every other: it is never dropped, unless Kafka's
/// definitions call it ignorable.
#[test]
fn another_version_refuses_what_it_cannot_carry() {
    fn check<M: Message + Sample>(refused: &mut usize) {
        for from in M::MIN..=M::MAX {
            for to in M::MIN..=M::MAX {
                for seed in 0..4 {
                    let message = M::sample(&mut Random::short(seed), from);
                    match encode(&message, to) {
                        // Ignorable fields may be gone, so the value may differ; but it is a whole one.
                        Ok(bytes) => drop(decode::<M>(&bytes, to).unwrap()),
                        Err(EncodeError::Unsupported { version, .. } | EncodeError::Null { version, .. }) => {
                            assert_eq!(version, to);
                            *refused += 1;
                        }
                        Err(other) => panic!("{} {from} as {to}, seed {seed}: {other}", M::NAME),
                    }
                }
            }
        }
    }
    let mut refused = 0;
    macro_rules! call {
        ($module:ident, $name:ident) => {
            check::<logmill_protocol::messages::$module::$name>(&mut refused)
        };
    }
    every_message!(call);
    assert!(refused > 1_000, "only {refused} refusals: the check itself has lapsed");
}

#[test]
fn a_version_that_does_not_exist_is_refused() {
    fn check<M: Message>() {
        for version in [M::MIN - 1, M::MAX + 1, i16::MIN, i16::MAX] {
            let refused = M::default().encode(&mut Writer::new(), version);
            assert_eq!(refused, Err(EncodeError::UnknownVersion { message: M::NAME, version }));
            let refused = M::decode(&mut Reader::new(bytes::Bytes::from_static(&[0; 64])), version);
            assert_eq!(refused, Err(DecodeError::UnknownVersion { message: M::NAME, version }));
        }
    }
    macro_rules! call {
        ($module:ident, $name:ident) => {
            check::<logmill_protocol::messages::$module::$name>()
        };
    }
    every_message!(call);
}
