//! Counter-based random numbers keyed by run seed, purpose and step.
//!
//! Burn's generator is one global per process and parameters are drawn at first use, so parallel
//! tests and resumed runs would never repeat. Everything random in Brew — initial weights, dropout
//! masks, shuffling — is instead a pure function of a [`Key`]: the run's seed, a purpose and any
//! number of indexes. Nothing has to be saved to continue a run: the key of step 1000 is the same
//! whether or not steps 0 to 999 were computed by this process.
//!
//! The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", OOPSLA 2014) read as a counter: word `i` of a stream is `mix(key + (i + 1)·φ)`.
//! Its words will never change between versions of Brew; checkpoints depend on them.
//!
//! ```
//! use brew_random::Key;
//!
//! let run = Key::new(42);
//! let mut a = run.purpose("shuffle").index(3).stream();
//! let mut b = run.purpose("shuffle").index(3).stream();
//! assert_eq!(a.next_u64(), b.next_u64());
//! ```

/// 2⁶⁴ divided by the golden ratio, the increment of SplitMix64.
const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: a bijection of 64-bit words with full avalanche.
#[inline]
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// What a stream of random numbers is for: run seed, purpose, step.
///
/// Keys are values; deriving one from another never changes the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// The root key of a run.
    pub const fn new(run_seed: u64) -> Self {
        Self(mix(run_seed.wrapping_add(GOLDEN_GAMMA)))
    }

    /// The key for a named purpose below this one (`"dropout"`, `"classifier.weight"`).
    pub const fn purpose(self, name: &str) -> Self {
        // FNV-1a of the name, then mixed with this key.
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        Self(mix(self.0 ^ mix(hash)))
    }

    /// The key of one step, epoch, layer or example below this one.
    pub const fn index(self, index: u64) -> Self {
        Self(mix(self.0.wrapping_add(mix(index.wrapping_add(GOLDEN_GAMMA)))))
    }

    /// Word `position` of this key's stream.
    #[inline]
    pub const fn word(self, position: u64) -> u64 {
        mix(self.0.wrapping_add(GOLDEN_GAMMA.wrapping_mul(position.wrapping_add(1))))
    }

    /// The words of this key one after the other.
    pub const fn stream(self) -> Stream {
        Stream { key: self, position: 0 }
    }

    /// `len` draws from N(0, `std`²), for initial weights.
    pub fn normal(self, len: usize, std: f64) -> Vec<f32> {
        let mut stream = self.stream();
        (0..len).map(|_| (stream.normal() * std) as f32).collect()
    }

    /// An inverted-dropout mask of `len` values: 0 with probability `rate`, else `1 / (1 - rate)`.
    ///
    /// The rate is resolved to 1/65,536 and the scale matches the resolved rate, so the mean of a
    /// masked tensor is unchanged.
    ///
    /// # Panics
    /// If `rate` is not in `[0, 1)`.
    pub fn dropout_mask(self, len: usize, rate: f64) -> Vec<f32> {
        let mut mask = vec![1.0; len];
        self.dropout(rate).apply(0, &mut mask);
        mask
    }

    /// The same mask, to be applied part by part.
    ///
    /// # Panics
    /// If `rate` is not in `[0, 1)`.
    pub fn dropout(self, rate: f64) -> Dropout {
        assert!((0.0..1.0).contains(&rate), "dropout rate {rate} is not in [0, 1)");
        let threshold = ((rate * 65536.0).round() as u32).min(65535);
        let scale = (65536.0 / f64::from(65536 - threshold)) as f32;
        Dropout { key: self, threshold: threshold as u16, scale }
    }
}

/// An inverted-dropout mask: [`Key::dropout`].
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    key: Key,
    threshold: u16,
    scale: f32,
}

/// How many words are drawn at once, each for four elements.
const WORDS: usize = 8;

impl Dropout {
    /// Applies the part of the mask that begins with element `start` to as many numbers.
    ///
    /// Inlined, so that whoever compiles it for wider vectors has them here, too.
    #[inline(always)]
    pub fn apply(&self, start: usize, values: &mut [f32]) {
        let before = start.next_multiple_of(4 * WORDS).min(start + values.len()) - start;
        let (head, rest) = values.split_at_mut(before);
        self.apply_some(start, head);
        let mut at = start + before;
        let mut blocks = rest.chunks_exact_mut(4 * WORDS);
        for block in &mut blocks {
            let mut bytes = [0_u8; 8 * WORDS];
            for (number, bytes) in bytes.chunks_exact_mut(8).enumerate() {
                bytes.copy_from_slice(&self.key.word((at / 4 + number) as u64).to_le_bytes());
            }
            for (lane, value) in block.iter_mut().enumerate() {
                let bits = u16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]]);
                *value *= self.factor(bits);
            }
            at += 4 * WORDS;
        }
        self.apply_some(at, blocks.into_remainder());
    }

    #[inline(always)]
    fn apply_some(&self, start: usize, values: &mut [f32]) {
        for (at, value) in (start..).zip(values) {
            let word = self.key.word((at / 4) as u64);
            *value *= self.factor((word >> (16 * (at % 4))) as u16);
        }
    }

    #[inline(always)]
    fn factor(&self, bits: u16) -> f32 {
        if bits >= self.threshold { self.scale } else { 0.0 }
    }
}

/// The words of a [`Key`], read in order.
#[derive(Debug, Clone)]
pub struct Stream {
    key: Key,
    position: u64,
}

impl Stream {
    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let word = self.key.word(self.position);
        self.position += 1;
        word
    }

    /// Uniform in `[0, 1)`, with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..bound`.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a random number below 0 was asked for");
        // Multiply and shift; the bias is below bound / 2⁶⁴.
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A draw from N(0, 1) by the Box–Muller transform.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        radius * angle.cos()
    }

    /// One of the items, each equally likely.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Shuffles in place (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_splitmix64_of_the_key() {
        // Known answer: SplitMix64 seeded with 0 starts with this word.
        assert_eq!(Key(0).word(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Key(0).word(1), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn keys_differ_by_seed_purpose_and_index() {
        let keys = [
            Key::new(0),
            Key::new(1),
            Key::new(0).purpose("a"),
            Key::new(0).purpose("b"),
            Key::new(0).index(0),
            Key::new(0).index(1),
            Key::new(0).purpose("a").index(1),
            Key::new(0).index(1).purpose("a"),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "key {at} repeats");
        }
    }

    #[test]
    fn normal_has_the_moments_asked_for() {
        let draws = Key::new(7).purpose("test").normal(100_000, 0.02);
        let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 3e-4, "mean {mean}");
        assert!((variance.sqrt() - 0.02).abs() < 2e-4, "std {}", variance.sqrt());
    }

    #[test]
    fn dropout_mask_drops_at_its_rate_and_keeps_the_mean() {
        for rate in [0.0, 0.1, 0.5] {
            let mask = Key::new(1).dropout_mask(100_001, rate);
            assert_eq!(mask.len(), 100_001);
            let dropped = mask.iter().filter(|&&x| x == 0.0).count() as f64 / mask.len() as f64;
            let mean = mask.iter().map(|&x| f64::from(x)).sum::<f64>() / mask.len() as f64;
            assert!((dropped - rate).abs() < 0.005, "rate {rate}: dropped {dropped}");
            assert!((mean - 1.0).abs() < 0.01, "rate {rate}: mean {mean}");
        }
    }

    #[test]
    fn shuffle_is_a_permutation_and_repeats_with_the_key() {
        let shuffled = |index| {
            let mut items: Vec<u32> = (0..100).collect();
            Key::new(3).purpose("shuffle").index(index).stream().shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(0), shuffled(0));
        assert_ne!(shuffled(0), shuffled(1));
        let mut sorted = shuffled(0);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn below_reaches_both_ends() {
        let mut stream = Key::new(5).stream();
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[stream.below(4)] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}
