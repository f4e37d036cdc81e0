//! Backslash sequences in delimiters and format strings, as kcat has them.

/// Turns `\n`, `\r`, `\t`, `\xHH` (hexadecimal) and `\NNN` (decimal) into the bytes they stand for; any other
/// escaped character stands for itself.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (bytes, left) = sequence(&rest[at + 1..]);
        out.extend_from_slice(&bytes);
        rest = left;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// What follows a backslash: the bytes it means, and the text after it.
pub(super) fn sequence(text: &str) -> (Vec<u8>, &str) {
    let Some(first) = text.chars().next() else { return (vec![b'\\'], "") };
    let after = &text[first.len_utf8()..];
    match first {
        'n' => (vec![b'\n'], after),
        'r' => (vec![b'\r'], after),
        't' => (vec![b'\t'], after),
        'x' => number(after, 16, 2).map_or((vec![b'x'], after), |(byte, left)| (vec![byte], left)),
        '0'..='9' => number(text, 10, 3)
            .map_or_else(|| (first.to_string().into_bytes(), after), |(byte, left)| (vec![byte], left)),
        other => (other.to_string().into_bytes(), after),
    }
}

/// A byte written in up to `most` digits at the start of the text.
fn number(text: &str, radix: u32, most: usize) -> Option<(u8, &str)> {
    let digits = text.chars().take(most).take_while(|digit| digit.is_digit(radix)).count();
    let byte = u8::from_str_radix(&text[..digits], radix).ok()?;
    Some((byte, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_as_in_kcat() {
        assert_eq!(unescape(r"a\tb\n\r"), b"a\tb\n\r");
        assert_eq!(unescape(r"\x41\x7c|\101|\7"), b"A||e|\x07");
        assert_eq!(unescape(r"\\ \q"), b"\\ q");
    }

    #[test]
    fn what_is_none_is_left() {
        assert_eq!(unescape("\\"), b"\\");
        assert_eq!(unescape(r"\xyz"), b"xyz");
        assert_eq!(unescape(r"\999"), b"999");
        assert_eq!(unescape("ü\\ü"), "üü".as_bytes());
    }
}
