//! The teachers' outputs, kept in memory or on disk: what a run keeps, how large that is, and what is there already.

mod build;
mod open;
mod plan;
mod tools;

pub use build::{BuiltCache, CacheBuild, build_cache};
pub use plan::CacheEstimate;
pub use tools::{CacheUse, cache_uses};

pub(crate) use open::{Keeping, open};
pub(crate) use plan::estimates;

/// Bytes as a person reads them, in powers of ten: `512 bytes`, `5.2 MB`.
///
/// ```
/// assert_eq!(brew::readable_bytes(512), "512 bytes");
/// assert_eq!(brew::readable_bytes(5_240_000), "5.2 MB");
/// ```
pub fn readable_bytes(bytes: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|(unit, _)| bytes as f64 >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit),
        None => format!("{bytes} bytes"),
    }
}
