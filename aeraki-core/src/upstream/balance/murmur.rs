//! `MurmurHash64A`, as `std::hash` of GNU's C++ library uses it for texts.

/// Hashes bytes with the seed that GNU's C++ library uses.
pub(super) fn murmur_hash_2(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let seed = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let mut hash = words.iter().fold(seed, |hash, word| {
        let word = fold(u64::from_le_bytes(*word).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
        (hash ^ word).wrapping_mul(FACTOR)
    });
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    }
    fold(fold(hash).wrapping_mul(FACTOR))
}

const fn fold(value: u64) -> u64 {
    value ^ (value >> 47)
}

const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
const SEED: u64 = 0xc70f_6907;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_hash_as_in_envoy() {
        for (text, hash) in [
            ("foo", 9_631_199_822_919_835_226),
            ("bar", 11_474_628_671_133_349_555),
            ("foo\nbar", 16_306_510_975_912_980_159),
            ("lyft", 12_847_078_931_730_529_320),
            ("", 6_142_509_188_972_423_790),
        ] {
            assert_eq!(murmur_hash_2(text.as_bytes()), hash, "{text:?}");
        }
    }
}
