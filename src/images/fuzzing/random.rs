//! Numbers and changes that look random and are the same every time.

/// Pieces that mean something somewhere.
const WORDS: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"/",
    b"../",
    b"7777777",
    b"\x80\0\0\0\0\0\0\x01",
    b"99999999999999999999",
    b"-1",
    b"\n",
    b"=",
    b"\"",
    b"null",
    b"[",
    b"{}",
    b"sha256:",
    b".wh.",
];

/// A generator of numbers (xorshift64).
pub(in crate::images) struct Random(u64);

impl Random {
    /// A generator that gives other numbers for each start.
    pub(in crate::images) fn new(start: u64) -> Random {
        Random(start.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(in crate::images) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    /// Changes bytes somewhere; `others` are what parts may come from.
    pub(in crate::images) fn change(&mut self, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        let span = at..(at + self.below(40)).min(bytes.len());
        match self.below(9) {
            0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            2 if !bytes.is_empty() => bytes[at] = self.next().to_le_bytes()[0],
            3 => drop(bytes.drain(span)),
            4 => {
                let again = bytes[span].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            6 => {
                let word = WORDS[self.below(WORDS.len())];
                let end = (at + word.len()).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
            7 => {
                let other = &others[self.below(others.len())];
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                // Whole blocks of a tar change places.
                let (one, two) = (self.below(bytes.len() / 512), self.below(bytes.len() / 512));
                for n in 0..if bytes.len() < 512 { 0 } else { 512 } {
                    bytes.swap(one * 512 + n, two * 512 + n);
                }
            }
        }
    }
}
