//! Where Kafka's frames begin and end in a stream of bytes.

/// Follows a stream of frames, each four bytes of length and as many bytes of body.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    head: [u8; 4],
    head_read: usize,
    body_left: usize,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub(super) fn between(&self) -> bool {
        self.head_read == 0
    }

    /// How many of these bytes belong to the frame that they continue or begin, at least one of any; it
    /// has then followed them.
    pub(super) fn step(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.head_read < 4 {
            let Some(&byte) = bytes.get(taken) else { return taken };
            self.head[self.head_read] = byte;
            self.head_read += 1;
            taken += 1;
            if self.head_read == 4 {
                self.body_left = u32::from_be_bytes(self.head) as usize;
            }
        }
        let body = self.body_left.min(bytes.len() - taken);
        self.body_left -= body;
        if self.body_left == 0 {
            self.head_read = 0;
        }
        taken + body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let stream = [0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let mut ends = Vec::new();
            let mut at = 0;
            for chunk in stream.chunks(size) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let step = frames.step(rest);
                    at += step;
                    rest = &rest[step..];
                    if frames.between() {
                        ends.push(at);
                    }
                }
            }
            assert_eq!(ends, [6, 10, 15], "in pieces of {size}");
        }
    }
}
