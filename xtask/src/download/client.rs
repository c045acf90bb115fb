//! HTTP requests, and which failures pass by themselves.

use std::io;
use std::time::Duration;

use ureq::config::{AutoHeaderValue, RedirectAuthHeaders};
use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body, Proxy};

use super::error::DownloadError;

/// How often and how long to wait for what passes by itself.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// Requests in all, the first included.
    pub(crate) tries: u32,
    /// Before the second request; doubled each time.
    pub(crate) first_wait: Duration,
    /// The wait doubles up to this.
    pub(crate) longest_wait: Duration,
    /// A `Retry-After` that asks for more ends the download.
    pub(crate) longest_asked: Duration,
    /// A connection on which nothing comes for so long counts as cut.
    pub(crate) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 8,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
            longest_asked: Duration::from_secs(300),
            silence: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// The wait after the failed try of this number, from 1.
    pub(crate) fn wait(&self, failed: u32) -> Duration {
        let factor = 1u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_wait.saturating_mul(factor).min(self.longest_wait)
    }
}

/// How a try failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may go well the next time; the wait that the server asks for, if it does.
    Passing { message: String, asked: Option<Duration> },
    /// It will not.
    Final(DownloadError),
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

impl Failure {
    pub(crate) fn passing(message: impl Into<String>) -> Self {
        Self::Passing { message: message.into(), asked: None }
    }
}

/// One agent for all requests.
pub(crate) struct Client {
    agent: Agent,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) patience: Patience,
}

impl Client {
    /// A proxy is that of the environment, or none.
    pub(crate) fn new(patience: Patience, proxy: Option<Proxy>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // The token of the hub stays with the hub: its redirects lead to other hosts' storage.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            // A transfer that is compressed on the way can be neither resumed nor measured.
            .accept_encoding("identity")
            .accept(AutoHeaderValue::Provided("*/*".to_owned().into()))
            .proxy(proxy.clone())
            .user_agent(concat!("brew/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.silence))
            .timeout_connect(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .build()
            .into();
        Self { agent, proxy, patience }
    }

    /// Asks for `url`. An address that begins with https is followed to https only.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        token: Option<&str>,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.config().https_only(url.starts_with("https://")).build();
        request.call().map_err(|error| request_failure(url, error))
    }
}

/// What a request that got no answer means.
pub(crate) fn request_failure(url: &str, error: ureq::Error) -> Failure {
    use ureq::Error;
    let final_error =
        |message: String| Failure::Final(DownloadError::Request { url: url.to_owned(), message });
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            // rustls reports a certificate that does not hold so.
            final_error(format!(
                "the connection is not to be trusted: {error}. Check the clock and any proxy"
            ))
        }
        Error::Io(_)
        | Error::Timeout(_)
        | Error::HostNotFound
        | Error::ConnectionFailed
        | Error::ConnectProxyFailed(_)
        | Error::Protocol(_)
        | Error::BodyStalled => Failure::passing(error.to_string()),
        Error::RequireHttpsOnly(to) => final_error(format!("is redirected to {to}, which is not encrypted")),
        Error::BadUri(_) | Error::Http(_) => final_error(format!(
            "is no address ({error}). If it comes from BREW_MIRROR or HF_ENDPOINT, these begin with https:// or \
             http:// and a host"
        )),
        other => final_error(other.to_string()),
    }
}

/// Nothing if the status is a success; otherwise whether to try again.
pub(crate) fn check_status(
    url: &str,
    status: StatusCode,
    headers: &HeaderMap,
    patience: &Patience,
) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    if matches!(code, 408 | 425 | 429) || (500..600).contains(&code) && code != 501 {
        // In seconds; a date, which RFC 9110 allows as well, is left to the usual wait.
        let asked = header(headers, "retry-after").and_then(|value| value.trim().parse().ok());
        let asked = asked.map(Duration::from_secs);
        if let Some(asked) = asked.filter(|asked| *asked > patience.longest_asked) {
            let error = DownloadError::AskedToWait { url: url.to_owned(), seconds: asked.as_secs() };
            return Err(Failure::Final(error));
        }
        return Err(Failure::Passing { message: format!("the server answered {code}"), asked });
    }
    let remedy = match code {
        401 => {
            "It asks who you are: set HF_TOKEN to a token of yours for a model of the hub. The hub answers so \
                for a model that does not exist, too"
        }
        403 => {
            "It is not for everyone: for a model of the hub, agree to its terms on its page and set HF_TOKEN. \
                A proxy may answer so as well"
        }
        404 | 410 => {
            "There is no such file: it has moved, or the mirror does not have it. Without BREW_MIRROR and \
                      HF_ENDPOINT the publisher is asked; a copy that you have of a data set can be given with --from"
        }
        407 => "The proxy asks who you are: put name and password into the address in HTTPS_PROXY",
        _ => "Open the address in a browser to see what it says",
    };
    Err(Failure::Final(DownloadError::Refused {
        url: url.to_owned(),
        status: code,
        remedy: remedy.to_owned(),
    }))
}

/// A header's value, if it is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let patience = Patience::default();
        let waits: Vec<u64> = (1..=7).map(|failed| patience.wait(failed).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(patience.wait(u32::MAX).as_secs(), 30);
    }

    fn status(code: u16, retry_after: Option<&str>) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert("retry-after", value.parse().unwrap());
        }
        check_status("http://h/f", StatusCode::from_u16(code).unwrap(), &headers, &Patience::default())
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_names_a_remedy() {
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(status(code, None), Err(Failure::Passing { asked: None, .. })), "{code}");
        }
        let asked = status(429, Some("7"));
        assert!(matches!(asked, Err(Failure::Passing { asked: Some(wait), .. }) if wait.as_secs() == 7));
        assert!(matches!(
            status(503, Some("Fri, 31 Dec 1999 23:59:59 GMT")),
            Err(Failure::Passing { asked: None, .. })
        ));
        for (code, remedy) in
            [(401, "HF_TOKEN"), (403, "terms"), (404, "--from"), (410, "--from"), (418, "browser")]
        {
            let Err(Failure::Final(error)) = status(code, None) else { panic!("{code} should be final") };
            let message = error.to_string();
            assert!(message.contains(&code.to_string()) && message.contains(remedy), "{message}");
        }
        let Err(Failure::Final(error)) = status(429, Some("86400")) else { panic!("a day is too long") };
        assert!(error.to_string().contains("86400 s"), "{error}");
    }
}
