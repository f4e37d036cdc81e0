//! Kafka's message definitions as they stand in the JSON files, and the questions the generator asks.

use serde::Deserialize;

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) from: i16,
    pub(crate) to: i16,
}

impl Versions {
    pub(crate) const NONE: Self = Self { from: 0, to: -1 };

    /// Reads `3+`, `0-12`, `4` or `none`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.parse::<i16>().map_err(|e| format!("versions {text:?}: {e}"));
        Ok(match text {
            "none" => Self::NONE,
            _ if text.ends_with('+') => Self { from: number(&text[..text.len() - 1])?, to: i16::MAX },
            _ => match text.split_once('-') {
                Some((from, to)) => Self { from: number(from)?, to: number(to)? },
                None => Self { from: number(text)?, to: number(text)? },
            },
        })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.from > self.to
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        other.is_empty() || (self.from <= other.from && self.to >= other.to)
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Definition {
    pub(crate) api_key: Option<i16>,
    pub(crate) name: String,
    pub(crate) valid_versions: String,
    #[serde(default)]
    pub(crate) flexible_versions: Option<String>,
    pub(crate) fields: Vec<Field>,
    #[serde(default)]
    pub(crate) common_structs: Vec<Structure>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Structure {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Field {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) versions: String,
    #[serde(default)]
    pub(crate) nullable_versions: Option<String>,
    #[serde(default)]
    pub(crate) tagged_versions: Option<String>,
    #[serde(default)]
    pub(crate) flexible_versions: Option<String>,
    #[serde(default)]
    pub(crate) tag: Option<u32>,
    #[serde(default)]
    pub(crate) ignorable: bool,
    #[serde(default)]
    pub(crate) default: Option<serde_json::Value>,
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
}

/// Reads a definition; the files carry `//` comments, which JSON has not.
pub(crate) fn parse(text: &str) -> Result<Definition, String> {
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        plain.push_str(without_comment(line));
        plain.push('\n');
    }
    serde_json::from_str(&plain).map_err(|e| e.to_string())
}

fn without_comment(line: &str) -> &str {
    let (mut quoted, mut escaped, mut slash) = (false, false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '/' if !quoted && slash => return &line[..at - 1],
            _ => {}
        }
        slash = c == '/' && !quoted;
    }
    line
}
