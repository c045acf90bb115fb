//! Files as nobody wrote them: any bytes, and valid files with damage.

use std::fmt;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Cases of a run of the tests, unless `PROPTEST_CASES` says another number.
const CASES: u32 = 96;

/// What stands in for a number in a text.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "3",
    "65536",
    "4294967296",
    "1000000000000",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999999",
    "1e999",
    "0.5",
];

/// One thing done to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(Index),
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    /// A stretch, some times over.
    Repeat(Index, Index, usize),
    /// The end of another valid file, or the same.
    Splice(Index, Index, Index),
    /// Another number in place of one in a text.
    Number(Index, &'static str),
    /// Another number in place of eight bytes.
    Word(Index, u64),
    /// A stretch of the text in brackets, many deep.
    Nest(Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let words = vec![u64::MAX, u64::MAX / 2, 1 << 62, 1 << 40, 1 << 32, u64::from(u32::MAX), 1 << 20, 255, 0];
    let word = prop_oneof![any::<u64>(), select(words)];
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Remove(from, to)),
        (any::<Index>(), any::<Index>(), 1usize..40)
            .prop_map(|(from, to, times)| Damage::Repeat(from, to, times)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, other, from)| Damage::Splice(at, other, from)),
        (any::<Index>(), select(NUMBERS.to_vec())).prop_map(|(which, number)| Damage::Number(which, number)),
        (any::<Index>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
        (any::<Index>(), select(vec![1usize, 3, 200, 5000])).prop_map(|(at, depth)| Damage::Nest(at, depth)),
    ]
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>, valid: &[Vec<u8>]) {
        // A place in the file or at its end.
        let place = |at: &Index, file: &[u8]| at.index(file.len() + 1);
        let stretch = |a: &Index, b: &Index, file: &[u8]| {
            let (a, b) = (place(a, file), place(b, file));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Cut(at) => file.truncate(place(at, file)),
            Self::Flip(at, bit) if !file.is_empty() => {
                let at = at.index(file.len());
                file[at] ^= 1 << bit;
            }
            Self::Set(at, byte) if !file.is_empty() => {
                let at = at.index(file.len());
                file[at] = *byte;
            }
            Self::Flip(..) | Self::Set(..) => {}
            Self::Insert(at, bytes) => {
                let at = place(at, file);
                file.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(from, to) => drop(file.drain(stretch(from, to, file))),
            Self::Repeat(from, to, times) => {
                let part = file[stretch(from, to, file)].to_vec();
                let part = part[..part.len().min(4096)].repeat(*times);
                let at = place(from, file);
                file.splice(at..at, part);
            }
            Self::Splice(at, other, from) => {
                let other = other.get(valid);
                let end = other[place(from, other)..].to_vec();
                file.truncate(place(at, file));
                file.extend(end);
            }
            Self::Number(which, number) => {
                let is_start =
                    |at: &usize| file[*at].is_ascii_digit() && (*at == 0 || !file[*at - 1].is_ascii_digit());
                let starts: Vec<usize> = (0..file.len()).filter(is_start).collect();
                if starts.is_empty() {
                    return;
                }
                let start = *which.get(&starts);
                let digits = file[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                file.splice(start..start + digits, number.bytes());
            }
            Self::Word(at, word) => {
                let at = place(at, file);
                let end = (at + 8).min(file.len());
                file.splice(at..end, word.to_le_bytes());
            }
            Self::Nest(at, depth) => {
                let at = place(at, file);
                let (open, close) = if depth % 2 == 0 { ("[", "]") } else { ("{\"a\":", "}") };
                file.splice(at..at, close.repeat(*depth).into_bytes());
                file.splice(at..at, open.repeat(*depth).into_bytes());
            }
        }
    }
}

/// A file, shown as text.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Any bytes, any text, or one of the valid files with up to five things done to it.
fn untrusted(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Bytes> {
    let damaged = {
        let valid = valid.clone();
        (any::<Index>(), vec(damage(), 0..6)).prop_map(move |(which, damages)| {
            let mut file = which.get(&valid).clone();
            damages.iter().for_each(|damage| damage.apply(&mut file, &valid));
            file
        })
    };
    let text = "[\\PC\t\n\r\u{0}]{0,200}".prop_map(String::into_bytes);
    prop_oneof![
        1 => vec(any::<u8>(), 0..400),
        1 => text,
        1 => Just(Vec::new()),
        17 => damaged,
    ]
    .prop_map(Bytes)
}

/// Gives `read` many files: arbitrary bytes, and the `valid` ones cut, flipped, spliced and with huge numbers in them.
/// `read` must return whatever it is given; what it says of the file is its own matter.
///
/// The files are the same each time, 96 of them or as many as `PROPTEST_CASES` says. With `FUZZ_SECONDS` they are other
/// ones each time, until so many seconds are over, and their number is told.
///
/// # Panics
/// If `read` panics, with the smallest file found with which it does.
pub fn fuzz(valid: &[&[u8]], read: impl Fn(&[u8])) {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u32>().ok());
    let cases = variable("PROPTEST_CASES").unwrap_or(CASES);
    let seconds = variable("FUZZ_SECONDS");
    let strategy = untrusted(valid.iter().map(|file| file.to_vec()).collect());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 4000, ..Config::default() };
    let started = Instant::now();
    let mut executions = 0_u64;
    loop {
        let mut runner = match seconds {
            Some(_) => TestRunner::new(config.clone()),
            None => {
                let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
                TestRunner::new_with_rng(config.clone(), rng)
            }
        };
        let outcome = runner.run(&strategy, |file| {
            read(&file.0);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
        executions += u64::from(cases);
        match seconds {
            Some(seconds) if started.elapsed() < Duration::from_secs(seconds.into()) => {}
            Some(_) => {
                let name = std::thread::current().name().unwrap_or("fuzz").to_owned();
                eprintln!("{name}: {executions} files in {:.0} s", started.elapsed().as_secs_f64());
                return;
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn files_are_damaged_in_many_ways_and_the_same_each_time() {
        let valid: &[&[u8]] = &[b"{\"size\": 12}", b"name\t7\n"];
        let files = || {
            let files = RefCell::new(Vec::new());
            fuzz(valid, |file| files.borrow_mut().push(file.to_vec()));
            files.into_inner()
        };
        let first = files();
        assert_eq!(first, files());
        let differing = first.iter().filter(|file| !valid.contains(&file.as_slice())).count();
        assert!(differing > first.len() / 2, "{differing} of {}", first.len());
        assert!(first.iter().any(|file| file.is_empty()) && first.iter().any(|file| file.len() > 400));
    }

    #[test]
    #[should_panic(expected = "minimal failing input")]
    fn a_reader_that_panics_fails() {
        let calls = Cell::new(0);
        fuzz(&[b"abc"], |file| {
            calls.set(calls.get() + 1);
            assert!(file.len() < 5 || calls.get() < 3, "long");
        });
    }
}
