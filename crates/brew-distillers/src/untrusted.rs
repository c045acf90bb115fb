//! Reading what Burn reads, from files that may be damaged.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `read` gives. Burn makes tensors of a record as it stands and panics where a tensor has not as many bytes as
/// its shape and its type ask for: that is an error here.
pub(crate) fn reading<T, E: Display>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => {
            Err("a tensor in it is not what it says; take an earlier checkpoint, or begin anew".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_at_which_burn_panics_is_an_error() {
        assert_eq!(reading(|| Ok::<_, String>(3)), Ok(3));
        assert_eq!(reading(|| Err::<u8, _>("cut off")), Err("cut off".to_owned()));
        let error = reading::<u8, String>(|| panic!("shapes differ")).unwrap_err();
        assert!(error.contains("not what it says"), "{error}");
    }
}
