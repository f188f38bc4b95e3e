//! Codes as a stream of bits in 32-bit words, the lowest bits first.
//!
//! GPTQ's layouts are all this stream: for 2, 4 and 8 bits no code crosses a word, for 3 bits 32 codes fill three words.

/// Writes codes of `bits` bits one after another; `put` gets each full word and its number. A rest that fills no word is lost:
/// callers bring whole words.
pub(super) fn pack(codes: impl Iterator<Item = u8>, bits: u32, mut put: impl FnMut(usize, i32)) {
    let (mut held, mut filled, mut word) = (0u64, 0, 0);
    for code in codes {
        held |= u64::from(code) << filled;
        filled += bits;
        if filled >= 32 {
            put(word, (held as u32).cast_signed());
            word += 1;
            held >>= 32;
            filled -= 32;
        }
    }
}

/// Reads `count` codes of `bits` bits; `word` gives the word of a number.
pub(super) fn unpack(count: usize, bits: u32, word: impl Fn(usize) -> i32, mut put: impl FnMut(usize, u8)) {
    let mask = (1u64 << bits) - 1;
    let (mut held, mut filled, mut next) = (0u64, 0, 0);
    for index in 0..count {
        if filled < bits {
            held |= u64::from(word(next).cast_unsigned()) << filled;
            next += 1;
            filled += 32;
        }
        put(index, (held & mask) as u8);
        held >>= bits;
        filled -= bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bits_cross_words_as_documented() {
        // Codes 10 and 21 are split 2 + 1 and 1 + 2.
        let codes: Vec<u8> = (0..32).map(|i| if i == 10 || i == 21 { 0b101 } else { 0 }).collect();
        let mut words = [0; 3];
        pack(codes.iter().copied(), 3, |word, value| words[word] = value);
        assert_eq!(words.map(i32::cast_unsigned), [0b01 << 30, 1 | 1 << 31, 0b10]);
        let mut back = vec![0; 32];
        unpack(32, 3, |word| words[word], |index, code| back[index] = code);
        assert_eq!(back, codes);
    }
}
