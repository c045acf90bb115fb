//! Long lists in JSON files, one element at a time.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::bad;
use crate::download::error::{DownloadError, Result};

/// Calls `f` with each element of the list that the file is, or that stands under `key` in the object that it is;
/// only one element is in memory at a time, for HotpotQA has half a gigabyte.
pub(super) fn for_each<T: DeserializeOwned>(
    path: &Path,
    key: Option<&'static str>,
    f: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let file = File::open(path).map_err(|source| DownloadError::io(path, source))?;
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 18, file));
    let mut error = None;
    let each = Each { f, error: &mut error, element: PhantomData };
    let done = match key {
        None => deserializer.deserialize_seq(each),
        Some(key) => deserializer.deserialize_map(Under { key, each: Some(each) }),
    };
    let done = done.and_then(|()| deserializer.end());
    match (error, done) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(bad(path, format!("not in the layout of its data set: {error}"))),
        (None, Ok(())) => Ok(()),
    }
}

struct Each<'a, T, F> {
    f: F,
    error: &'a mut Option<DownloadError>,
    element: PhantomData<T>,
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<()>> Visitor<'de> for Each<'_, T, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> std::result::Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            if let Err(error) = (self.f)(element) {
                *self.error = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

impl<'de, T: DeserializeOwned, F: FnMut(T) -> Result<()>> DeserializeSeed<'de> for Each<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

struct Under<E> {
    key: &'static str,
    each: Option<E>,
}

impl<'de, E: DeserializeSeed<'de, Value = ()>> Visitor<'de> for Under<E> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object with a list under `{}`", self.key)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.each.take_if(|_| key == self.key) {
                Some(each) => map.next_value_seed(each)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match self.each {
            None => Ok(()),
            Some(_) => Err(serde::de::Error::custom(format_args!("no list under `{}`", self.key))),
        }
    }
}
