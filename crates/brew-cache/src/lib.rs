//! Records of examples on disk, such as what a teacher says of each training text.
//!
//! A [`Cache`] is a folder named by a [`Fingerprint`] of everything its records depend on: other weights make
//! another folder, so a stale record is not even looked at. In it a record is found by an [`ExampleKey`], the
//! example's number and a [digest](TextDigest) of its text: a text that was changed is not found.
//!
//! | property | how |
//! |---|---|
//! | never half a record | a process appends blocks to a file of its own (a segment); what is no complete block is left out |
//! | never a damaged one | every header, table and record has a checksum, compared at each read |
//! | several processes at once | none writes where another does; each sees what the others have completed |
//! | no memory of the records' size | records are read when they are asked for; the system keeps the pages |
//! | bounded | a file's own numbers are compared with its length before memory is taken; a cache has a limit |
//!
//! ```
//! use brew_cache::{Cache, ExampleKey, Fingerprint, TextDigest};
//!
//! let root = std::env::temp_dir().join(format!("brew-cache-example-{}", std::process::id()));
//! let fingerprint = Fingerprint::new([("weights", "digest of a file".into()), ("dtype", "f32".into())]);
//! let key = ExampleKey { id: 7, text: TextDigest::of(&[&[101, 2023, 102]]) };
//!
//! let mut cache = Cache::open(&root, &fingerprint, 1 << 20)?;
//! cache.append(&[(key, b"what the teacher says".to_vec())])?;
//!
//! // Another process, later.
//! let mut cache = Cache::open(&root, &fingerprint, 1 << 20)?;
//! assert_eq!(cache.get(key).as_deref(), Some(&b"what the teacher says"[..]));
//! let changed = ExampleKey { id: 7, text: TextDigest::of(&[&[101, 2064, 102]]) };
//! assert_eq!(cache.get(changed), None);
//! # std::fs::remove_dir_all(&root).unwrap();
//! # Ok::<(), brew_cache::CacheError>(())
//! ```

mod cache;
mod error;
mod fingerprint;
mod format;
mod key;
mod lock;
mod prune;
mod segment;
mod space;
mod survey;

pub use cache::{Cache, block_bytes, segment_bytes};
pub use error::CacheError;
pub use fingerprint::{Fingerprint, digest_file};
pub use key::{ExampleKey, TextDigest};
pub use prune::{Removal, prune};
pub use segment::Damage;
pub use space::free_space;
pub use survey::{CacheSurvey, SegmentSurvey, Thoroughness, survey};
