//! Models of Hugging Face's hub.
//!
//! The crate `hf-hub` gives the addresses, the request for a model's description and the layout of the cache. The
//! transfer is ours: that of `hf-hub` 0.5 neither compares checksums nor notices that a file has changed between
//! two pieces, and a cut connection is tried again only from version to version.

use std::path::PathBuf;

use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Repo, RepoType};
use serde::Deserialize;
use serde_json::Value;

use super::checksum::{Sum, Sums};
use super::client::{Failure, check_status, request_failure};
use super::error::{DownloadError, Result};
use super::install::Job;
use super::licence::agree;
use super::progress::size;
use super::record::Record;
use super::transfer::{Download, Expected, check_sum};

/// The hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// Weights, the best first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What else a model and its tokenizer may have.
const OTHER_FILES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
];

/// Which model, and where the hub is.
pub(crate) struct Model<'a> {
    /// `owner/name`, or the name alone of one of the hub's first models.
    pub(crate) id: &'a str,
    /// A branch, a tag or a commit.
    pub(crate) revision: &'a str,
    /// `HF_ENDPOINT`.
    pub(crate) endpoint: Option<&'a str>,
    /// `HF_TOKEN`.
    pub(crate) token: Option<&'a str>,
}

/// What the hub tells of a model.
#[derive(Debug, Deserialize)]
struct Description {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default, rename = "cardData")]
    card: Value,
}

/// A file of a model.
#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    /// Its name in git; of a large file, that of its pointer.
    #[serde(rename = "blobId")]
    blob: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Debug, Deserialize)]
struct LargeFile {
    sha256: String,
}

impl Job<'_> {
    /// Gives a folder with `config.json`, the weights and what there is of a tokenizer, checked against the sums
    /// that the hub publishes. It lies in the layout of Hugging Face's own cache.
    ///
    /// # Errors
    /// No such model or no right to it, no weights that Brew reads, trouble with fetching.
    pub(crate) fn model(&mut self, model: &Model<'_>) -> Result<PathBuf> {
        check_names(model)?;
        let endpoint = model.endpoint.unwrap_or(ENDPOINT).trim_end_matches('/');
        let cache = hf_hub::Cache::new(self.cache.hub());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(endpoint.to_owned())
            .with_token(model.token.map(str::to_owned))
            .with_user_agent("brew", env!("CARGO_PKG_VERSION"))
            .with_progress(false)
            .build()
            .map_err(|error| DownloadError::Request {
                url: endpoint.to_owned(),
                message: error.to_string(),
            })?;
        let named = Repo::with_revision(model.id.to_owned(), RepoType::Model, model.revision.to_owned());
        let (description, url) = self.describe(&api, &named, endpoint)?;
        let is_commit = description.sha.len() == 40 && description.sha.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_commit {
            let message = format!("the hub names `{}` as commit, which is none", description.sha);
            return Err(DownloadError::BadAnswer { url, message });
        }
        let files = description.wanted(model.id)?;
        let folder = cache.repo(named.clone()).pointer_path(&description.sha);
        let commit = Repo::with_revision(model.id.to_owned(), RepoType::Model, description.sha.clone());
        let api = api.repo(commit);

        let mut record = Record::open(self.cache.folder())?;
        let mut missing = Vec::new();
        for file in files {
            let key = format!("{ENDPOINT}/{}/resolve/{}/{}", model.id, description.sha, file.rfilename);
            let path = folder.join(&file.rfilename);
            let expected = file.expected(&key, &record)?;
            let there = path.is_file()
                && !self.force
                && check_sum(&file.rfilename, &Sums::of_file(&path)?, expected.as_ref()).is_ok();
            if !there {
                missing.push((file, key, path, expected));
            }
        }
        if missing.is_empty() {
            self.reporter.say(&format!("{}: there already, unchanged", model.id));
        } else {
            let bytes: u64 = missing.iter().filter_map(|(file, ..)| file.size).sum();
            let what =
                format!("{} at {} ({endpoint}/{}, {})", model.id, description.sha, model.id, size(bytes));
            agree(&what, &description.licence(), &mut self.consent, self.reporter)?;
        }
        for (file, key, path, expected) in missing {
            let url = api.url(&file.rfilename);
            let download =
                Download { url: &url, target: &path, token: model.token, bytes: file.size, expected };
            let sums = self.client.fetch(&download, self.reporter)?;
            if download.expected.is_none() {
                self.reporter.say(&format!(
                    "{}: the hub publishes no sum of it; its SHA-256, {}, is recorded in {}",
                    file.rfilename,
                    sums.sha256,
                    record.path().display()
                ));
                record.insert([(key, sums)])?;
            }
        }
        // The name of the revision, by which Hugging Face's tools find the folder: once it is whole.
        cache
            .repo(named)
            .create_ref(&description.sha)
            .map_err(|source| DownloadError::io(&self.cache.hub().join("refs"), source))?;
        Ok(folder)
    }

    /// Asks the hub for the model's files and their sums.
    fn describe(&self, api: &Api, repo: &Repo, endpoint: &str) -> Result<(Description, String)> {
        let url = format!("{endpoint}/api/{}", repo.api_url());
        let patience = &self.client.patience;
        let mut tries = 1;
        loop {
            let request = api.repo(repo.clone()).info_request().query("blobs", "true");
            let request = request
                .config()
                .http_status_as_error(false)
                .proxy(self.client.proxy.clone())
                .https_only(url.starts_with("https://"))
                .timeout_global(Some(patience.silence))
                .build();
            let answer =
                request.call().map_err(|error| request_failure(&url, error)).and_then(|mut response| {
                    check_status(&url, response.status(), response.headers(), patience)?;
                    response.body_mut().read_to_string().map_err(|error| request_failure(&url, error))
                });
            match answer {
                Ok(text) => {
                    let description =
                        serde_json::from_str(&text).map_err(|error| DownloadError::BadAnswer {
                            url: url.clone(),
                            message: format!(
                                "not the description of a model: {error}. Is HF_ENDPOINT a hub?"
                            ),
                        })?;
                    return Ok((description, url));
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing { message, .. }) if tries >= patience.tries => {
                    return Err(DownloadError::Request {
                        url,
                        message: format!(
                            "given up after {tries} tries, the last of which failed so: {message}"
                        ),
                    });
                }
                Err(Failure::Passing { message, asked }) => {
                    let wait = asked.unwrap_or_else(|| patience.wait(tries));
                    tries += 1;
                    self.reporter.say(&format!("{url}: {message}; try {tries} of {}", patience.tries));
                    std::thread::sleep(wait);
                }
            }
        }
    }
}

impl Description {
    /// The files to fetch, `config.json` last: a folder without it is taken for no model, so that one whose
    /// weights are still missing is not opened by mistake.
    fn wanted(&self, id: &str) -> Result<Vec<&Sibling>> {
        let find = |name: &str| self.siblings.iter().find(|file| file.rfilename == name);
        let there = || {
            let names: Vec<&str> = self.siblings.iter().map(|file| file.rfilename.as_str()).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        let Some(weights) = WEIGHTS.into_iter().find_map(find) else {
            let why = if find("model.safetensors.index.json").is_some() {
                "its weights are split over several files, which Brew does not read"
            } else {
                "it has neither model.safetensors nor pytorch_model.bin"
            };
            return Err(DownloadError::Usage(format!("{id}: {why}. It has {}", there())));
        };
        let config = find("config.json").ok_or_else(|| {
            DownloadError::Usage(format!(
                "{id}: has no config.json, so it is no model of transformers. It has {}",
                there()
            ))
        })?;
        let others = OTHER_FILES.into_iter().filter_map(find);
        Ok(others.chain([weights, config]).collect())
    }

    /// The licence as the model's card names it.
    fn licence(&self) -> String {
        let card = |name: &str| self.card.get(name).and_then(Value::as_str);
        let tag = || self.tags.iter().find_map(|tag| tag.strip_prefix("license:"));
        let mut text = match card("license_name").or_else(|| card("license")).or_else(tag) {
            Some(name) => format!("Licence: {name}, as its card says."),
            None => "Licence: its card names none; look at its page.".to_owned(),
        };
        if let Some(link) = card("license_link") {
            text += &format!(" See {link}");
        }
        text
    }
}

impl Sibling {
    /// The sum that the hub publishes: SHA-256 of a large file, the git name of a small one.
    fn expected(&self, key: &str, record: &Record) -> Result<Option<Expected>> {
        let published = match (&self.lfs, &self.blob) {
            (Some(large), _) => Some(format!("sha256:{}", large.sha256)),
            (None, Some(blob)) => Some(format!("git:{blob}")),
            (None, None) => None,
        };
        let Some(text) = published else {
            return Ok(record.sum(key)?.map(|sum| Expected {
                sum,
                reason: format!("recorded in {} at the first download", record.path().display()),
                remedy: format!("If you trust the new file, remove the entry `{key}` from there"),
            }));
        };
        let sum: Sum = text.parse().map_err(|error| DownloadError::BadAnswer {
            url: key.to_owned(),
            message: format!("the hub gives a sum of it that is none: {error}"),
        })?;
        Ok(Some(Expected {
            sum,
            reason: "published by the hub".to_owned(),
            remedy: "The transfer was damaged or tampered with: try another network, and without HF_ENDPOINT"
                .to_owned(),
        }))
    }
}

/// Names become parts of addresses and of paths.
fn check_names(model: &Model<'_>) -> Result<()> {
    let plain = |name: &str| {
        !name.is_empty()
            && !name.starts_with(['.', '-'])
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    let parts: Vec<&str> = model.id.split('/').collect();
    if parts.len() > 2 || !parts.iter().all(|part| plain(part)) {
        return Err(DownloadError::Usage(format!(
            "`{}` is not the name of a model: it should be like google-bert/bert-base-cased",
            model.id
        )));
    }
    if !model.revision.split('/').all(plain) {
        return Err(DownloadError::Usage(format!("`{}` is not a branch, tag or commit", model.revision)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
