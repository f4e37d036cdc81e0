//! The format strings of `consume -f`: kcat's tokens, with kcat's meanings.

use std::io::{self, Write};

use super::escape::sequence;
use super::record::RecordView;

/// A parsed format string.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    /// What stands for a null key, value or header.
    null: &'static [u8],
}

#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Token(char),
}

/// The tokens, for the message about one that is none.
const TOKENS: &str = "%s %S %R %k %K %T %h %t %p %o %%";

impl Template {
    /// Parses a format string; null values print as `null`.
    pub(crate) fn parse(format: &str, null: &'static [u8]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                '\\' => {
                    let (bytes, left) = sequence(rest);
                    text.extend_from_slice(&bytes);
                    rest = left;
                }
                '%' => {
                    let token = rest
                        .chars()
                        .next()
                        .ok_or("the format ends in a single %; write %% for the character")?;
                    rest = &rest[token.len_utf8()..];
                    match token {
                        '%' => text.push(b'%'),
                        's' | 'S' | 'R' | 'k' | 'K' | 'T' | 'h' | 't' | 'p' | 'o' => {
                            parts.push(Part::Text(std::mem::take(&mut text)));
                            parts.push(Part::Token(token));
                        }
                        other => return Err(format!("no format token %{other}; there are {TOKENS}")),
                    }
                }
                other => text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        parts.push(Part::Text(text));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts, null })
    }

    pub(super) fn write(&self, out: &mut impl Write, record: &RecordView<'_>) -> io::Result<()> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.write_all(text)?,
                Part::Token(token) => self.token(*token, out, record)?,
            }
        }
        Ok(())
    }

    fn token(&self, token: char, out: &mut impl Write, record: &RecordView<'_>) -> io::Result<()> {
        match token {
            's' => out.write_all(record.value.unwrap_or(self.null)),
            'S' => write!(out, "{}", length(record.value)),
            'R' => out.write_all(&length(record.value).to_be_bytes()),
            'k' => out.write_all(record.key.unwrap_or(self.null)),
            'K' => write!(out, "{}", length(record.key)),
            'T' => write!(out, "{}", record.timestamp),
            't' => out.write_all(record.topic.as_bytes()),
            'p' => write!(out, "{}", record.partition),
            'o' => write!(out, "{}", record.offset),
            _ => self.headers(out, record),
        }
    }

    fn headers(&self, out: &mut impl Write, record: &RecordView<'_>) -> io::Result<()> {
        for (number, (name, value)) in record.headers.iter().enumerate() {
            if number > 0 {
                out.write_all(b",")?;
            }
            out.write_all(name)?;
            out.write_all(b"=")?;
            out.write_all(value.unwrap_or(b"NULL"))?;
        }
        Ok(())
    }
}

/// The length in bytes, -1 for null.
fn length(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::record::sample;
    use super::*;

    fn printed(format: &str, null: &'static [u8], record: &RecordView<'_>) -> Result<String, String> {
        let mut out = Vec::new();
        Template::parse(format, null)?.write(&mut out, record).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn every_token_is_as_in_kcat() {
        let line = printed(r"%t[%p]@%o %T %k/%K: %s/%S {%h} %%\x41\n", b"", &sample());
        assert_eq!(line, Ok("orders[2]@41 1763800000123 k\"1/3: v1/2 {a=1,a=2,none=NULL} %A\n".to_owned()));
    }

    #[test]
    fn null_has_the_length_minus_one() {
        let record = RecordView { key: None, value: None, ..sample() };
        assert_eq!(printed("%s %S %k %K", b"", &record), Ok(" -1  -1".to_owned()));
        assert_eq!(printed("%s %k", b"NULL", &record), Ok("NULL NULL".to_owned()));
    }

    #[test]
    fn the_raw_length_is_four_bytes() {
        assert_eq!(printed("%R", b"", &sample()), Ok("\0\0\0\x02".to_owned()));
    }

    #[test]
    fn a_token_that_is_none_is_named() {
        assert!(
            printed("%z", b"", &sample()).is_err_and(|error| error.contains("%z") && error.contains("%s"))
        );
        assert!(printed("100%", b"", &sample()).is_err_and(|error| error.contains("%%")));
    }
}
