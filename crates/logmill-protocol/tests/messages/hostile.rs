//! Bytes from a broken or hostile peer: an error or a value, never a panic, and memory in proportion to the bytes.

use bytes::Bytes;
use logmill_protocol::wire::{Message, Reader};

use crate::random::{Random, Sample};
use crate::sample::every_message;
use crate::{decode, encode};

/// What the documentation of [`Message::decode`] promises: memory at any moment is at most this many times the
/// bytes given, and this many bytes besides.
const MOST_PER_BYTE: u64 = 128;
const MOST_BESIDES: u64 = 1024;

/// Reads what may be nonsense, and holds the promises that stand for every input. Gives back the most memory that
/// was in use at one time.
fn read_anything<M: Message>(bytes: &Bytes, version: i16) -> u64 {
    let mut read = None;
    let input = bytes.clone();
    let used = allocation_counter::measure(|| {
        read = Some(M::decode(&mut Reader::new(input), version));
    });
    let allowed = MOST_PER_BYTE * bytes.len() as u64 + MOST_BESIDES;
    assert!(
        used.bytes_max <= allowed,
        "{} version {version}: {} bytes of memory for {} bytes read: {bytes:?}",
        M::NAME,
        used.bytes_max,
        bytes.len()
    );
    if let Some(Ok(value)) = read {
        // Whatever could be read can be written, and reads back. Compared as bytes: a NaN differs from itself.
        let written = encode(&value, version)
            .unwrap_or_else(|e| panic!("{} version {version}: {e}: {bytes:?}", M::NAME));
        let again = decode::<M>(&written, version)
            .unwrap_or_else(|e| panic!("{} version {version}: {e}: {bytes:?}", M::NAME));
        assert_eq!(encode(&again, version), Ok(written), "{} version {version}: {bytes:?}", M::NAME);
    }
    used.bytes_max
}

#[test]
fn a_message_cut_anywhere_is_an_error() {
    fn check<M: Message + Sample>() {
        for version in M::MIN..=M::MAX {
            for seed in 0..6 {
                let bytes = encode(&M::sample(&mut Random::short(seed), version), version).unwrap();
                for length in 0..bytes.len() {
                    let cut = decode::<M>(&bytes.slice(..length), version);
                    assert!(
                        cut.is_err(),
                        "{} version {version} seed {seed}: {length} bytes read as {cut:?}",
                        M::NAME
                    );
                }
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

#[test]
fn random_bytes_do_no_harm() {
    fn check<M: Message>() {
        let mut random = Random::new(1);
        for version in M::MIN..=M::MAX {
            for _ in 0..100 {
                let length = random.below(200);
                // Small numbers more often, so that counts and lengths are sometimes believable.
                let small = random.bool();
                let bytes: Bytes = (0..length)
                    .map(|_| if small { random.below(6) as u8 } else { random.u64() as u8 })
                    .collect();
                read_anything::<M>(&bytes, version);
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

/// Damages a message: a byte changed, a number made huge, a piece cut out or doubled.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const HUGE: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x7f, 0xff],
        &[0x80, 0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff],
    ];
    if bytes.is_empty() {
        return bytes.push(random.u64() as u8);
    }
    let at = random.below(bytes.len());
    match random.below(4) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => {
            let huge = HUGE[random.below(HUGE.len())];
            let end = (at + huge.len()).min(bytes.len());
            bytes.splice(at..end, huge.iter().copied());
        }
        2 => drop(bytes.drain(at..(at + 1 + random.below(4)).min(bytes.len()))),
        _ => {
            let piece = bytes[at..(at + 1 + random.below(8)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}

#[test]
fn damaged_messages_do_no_harm() {
    fn check<M: Message + Sample>() {
        let mut random = Random::new(2);
        for version in M::MIN..=M::MAX {
            for seed in 0..100 {
                let mut bytes =
                    encode(&M::sample(&mut Random::short(seed), version), version).unwrap().to_vec();
                for _ in 0..=random.below(3) {
                    damage(&mut bytes, &mut random);
                }
                read_anything::<M>(&Bytes::from(bytes), version);
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

/// The dearest honest messages: many elements, each of as few bytes as there can be, and of every number, since a
/// list that has just grown is half empty.
#[test]
fn crowded_messages_stay_within_the_promised_memory() {
    fn check<M: Message + Sample>(dearest: &mut (u64, String)) {
        let mut random = Random::new(3);
        for version in M::MIN..=M::MAX {
            for seed in 0..80 {
                let elements = 1 + random.below(if seed % 4 == 0 { 2000 } else { 300 });
                let message = M::sample(&mut Random::crowded(seed, elements), version);
                let bytes = encode(&message, version).unwrap();
                let used = read_anything::<M>(&bytes, version);
                let multiple = used.saturating_sub(MOST_BESIDES) / bytes.len().max(1) as u64;
                if multiple > dearest.0 {
                    *dearest = (multiple, format!("{} version {version}, {elements} elements", M::NAME));
                }
            }
        }
    }
    let mut dearest = (0, String::new());
    macro_rules! call {
        ($module:ident, $name:ident) => {
            check::<logmill_protocol::messages::$module::$name>(&mut dearest)
        };
    }
    every_message!(call);
    let (multiple, which) = dearest;
    println!("dearest: {multiple} bytes of memory for a byte read: {which}");
    assert!(multiple >= MOST_PER_BYTE / 2, "the promise could be stricter: {multiple} ({which})");
}
