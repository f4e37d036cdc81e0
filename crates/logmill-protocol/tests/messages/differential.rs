//! The same bytes as another implementation: the `kafka-protocol` crate, generated from the same definitions by
//! other people's code.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable, Message as Theirs};
use logmill_protocol::wire::Message;

use crate::random::{Random, Sample};
use crate::sample::every_message;
use crate::{decode, encode};

const SAMPLES: u64 = 20;

fn through_theirs<T: Decodable + Encodable>(bytes: &Bytes, version: i16) -> Result<Bytes, String> {
    let mut input = bytes.clone();
    let value = T::decode(&mut input, version).map_err(|e| format!("they cannot read it: {e}"))?;
    if !input.is_empty() {
        return Err(format!("they leave {} bytes unread", input.len()));
    }
    let mut out = BytesMut::new();
    value.encode(&mut out, version).map_err(|e| format!("they cannot write it: {e}"))?;
    Ok(out.freeze())
}

#[test]
fn every_version_that_both_know_has_the_same_bytes() {
    /// How many versions were compared.
    fn check<M: Message + Sample, T: Theirs + Default + Decodable + Encodable>(
        differ: &mut Vec<String>,
    ) -> usize {
        let both = M::MIN.max(T::VERSIONS.min)..=M::MAX.min(T::VERSIONS.max);
        for version in both.clone() {
            let mut out = BytesMut::new();
            match (T::default().encode(&mut out, version), encode(&M::default(), version)) {
                (Ok(()), Ok(ours)) if ours == out => {}
                other => differ.push(format!("{} version {version}, default: {out:?} {other:?}", M::NAME)),
            }
            for seed in 0..SAMPLES {
                let message = M::sample(&mut Random::new(seed), version);
                let ours = encode(&message, version).unwrap();
                let differs = match through_theirs::<T>(&ours, version) {
                    Ok(theirs) if theirs == ours => {
                        // Read from their buffer, written by their code.
                        (decode(&theirs, version) != Ok(message)).then(|| "we read theirs wrong".to_owned())
                    }
                    Ok(theirs) => Some(format!("{ours:?} became {theirs:?}")),
                    Err(error) => Some(error),
                };
                if let Some(differs) = differs {
                    differ.push(format!("{} version {version} seed {seed}: {differs}", M::NAME));
                    break;
                }
            }
        }
        both.count()
    }
    let (mut differ, mut compared) = (Vec::new(), 0);
    macro_rules! call {
        ($module:ident, $name:ident) => {
            compared += check::<logmill_protocol::messages::$module::$name, kafka_protocol::messages::$name>(
                &mut differ,
            );
        };
    }
    every_message!(call);
    println!("compared {compared} versions");
    assert!(compared > 400, "only {compared} versions were compared");
    assert!(differ.is_empty(), "{} of {compared}:\n{}", differ.len(), differ.join("\n"));
}
