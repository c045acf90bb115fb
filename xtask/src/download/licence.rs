//! Nothing is fetched before its licence was named and agreed to.

use std::io::BufRead;

use super::error::{DownloadError, Result};
use super::progress::Reporter;

/// Who agrees to a licence.
pub(crate) enum Consent<'a> {
    /// `--accept-licence` was given.
    Given,
    /// The user is asked, and answers here.
    Asked(&'a mut dyn BufRead),
    /// Nobody is there to ask.
    Nobody,
}

/// Names the terms, and goes on only with the user's consent.
///
/// # Errors
/// No consent; it says how to give it.
pub(crate) fn agree(what: &str, terms: &str, consent: &mut Consent<'_>, reporter: &Reporter) -> Result<()> {
    reporter.say(&format!("{what}\n{terms}"));
    match consent {
        Consent::Given => {
            reporter.say("The licence is accepted by --accept-licence.");
            Ok(())
        }
        Consent::Nobody => Err(DownloadError::Licence(format!(
            "{what}: its licence is above, and nobody is at the terminal to accept it. Add --accept-licence if you do"
        ))),
        Consent::Asked(answers) => {
            reporter.say("Do you accept these terms? Type `yes` to go on:");
            let mut answer = String::new();
            answers.read_line(&mut answer).map_err(|error| {
                DownloadError::Licence(format!("{what}: no answer could be read: {error}"))
            })?;
            if matches!(answer.trim().to_lowercase().as_str(), "yes" | "y") {
                Ok(())
            } else {
                Err(DownloadError::Licence(format!(
                    "{what}: the licence was not accepted; nothing was fetched"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: &str) -> Result<()> {
        agree("SET", "Be nice.", &mut Consent::Asked(&mut answer.as_bytes()), &Reporter::kept())
    }

    #[test]
    fn only_a_yes_goes_on() {
        for answer in ["yes\n", "Y\n", " YES "] {
            asked(answer).unwrap();
        }
        for answer in ["", "\n", "no\n", "yesterday\n"] {
            assert!(asked(answer).unwrap_err().to_string().contains("not accepted"), "{answer:?}");
        }
    }

    #[test]
    fn the_terms_are_named_before_anything_else() {
        let reporter = Reporter::kept();
        let error = agree("SET", "Be nice.", &mut Consent::Nobody, &reporter).unwrap_err().to_string();
        assert!(error.contains("--accept-licence"), "{error}");
        assert!(reporter.said().contains("Be nice."));
        let reporter = Reporter::kept();
        agree("SET", "Be nice.", &mut Consent::Given, &reporter).unwrap();
        assert!(reporter.said().starts_with("SET\nBe nice."), "{}", reporter.said());
    }
}
