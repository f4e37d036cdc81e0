//! Bytes in JSON: text where they are text, else base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The bytes of a key, a value or a header, as a ledger keeps them. In JSON it is a string, or
/// `{"base64": "…"}` where a string could not hold it or would be much longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload(pub Bytes);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Text(std::borrow::Cow<'a, str>),
    Base64 { base64: String },
}

impl Payload {
    /// It as text, if it is.
    fn text(&self) -> Option<&str> {
        // A control character takes six bytes as JSON: base64 is shorter, and nothing is lost for the eye.
        let readable = |text: &&str| !text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c));
        std::str::from_utf8(&self.0).ok().filter(readable)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match self.text() {
            Some(text) => Form::Text(text.into()),
            None => Form::Base64 { base64: STANDARD.encode(&self.0) },
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_owned().into())),
            Form::Base64 { base64 } => {
                let bytes = STANDARD.decode(base64).map_err(serde::de::Error::custom)?;
                Ok(Self(bytes.into()))
            }
        }
    }
}

impl From<&[u8]> for Payload {
    /// A copy, so that it does not hold on to the batch it came in.
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        for (bytes, json) in [
            (&b"caf\xc3\xa9 \"1\"\n"[..], r#""café \"1\"\n""#),
            (b"", r#""""#),
            (b"\xff\x00", r#"{"base64":"/wA="}"#),
            (b"\x01\x02", r#"{"base64":"AQI="}"#),
        ] {
            let payload = Payload::from(bytes);
            assert_eq!(serde_json::to_string(&payload).unwrap(), json);
            assert_eq!(serde_json::from_str::<Payload>(json).unwrap(), payload);
        }
    }
}
