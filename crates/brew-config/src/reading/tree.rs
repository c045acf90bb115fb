//! The two kinds of trees that configurations are read into.

use serde::Deserializer;

/// One step from a value into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root to a value.
pub(super) type Place = Vec<Step>;

/// The steps of a field's path, `a.b[2].c`; `None` where it is written in another way.
pub(super) fn steps(field: &str) -> Option<Place> {
    let mut place = Vec::new();
    for part in field.split('.') {
        let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
        place.push(Step::Key(name.to_owned()));
        for index in indexes.split('[').filter(|index| !index.is_empty()) {
            place.push(Step::Index(index.strip_suffix(']')?.parse().ok()?));
        }
    }
    Some(place)
}

/// A tree of values that is read, and mended where it cannot be.
pub(super) trait Tree: Clone + for<'de> Deserializer<'de> {
    /// What its reader says, without a place.
    fn message(error: &<Self as Deserializer<'static>>::Error) -> String;
    /// The value as it is written in a file.
    fn shown(&self) -> String;
    fn as_text(&self) -> Option<&str>;
    fn text(text: &str) -> Self;
    fn child(&self, step: &Step) -> Option<&Self>;
    fn child_mut(&mut self, step: &Step) -> Option<&mut Self>;
    /// Takes a value out; how many there were beside it, itself included.
    fn take(&mut self, step: &Step) -> Option<(Self, usize)>;
    /// Puts a value under a key that is not there yet.
    fn put(&mut self, key: &str, value: Self) -> bool;

    fn at(&self, place: &[Step]) -> Option<&Self> {
        place.iter().try_fold(self, |value, step| value.child(step))
    }

    fn at_mut(&mut self, place: &[Step]) -> Option<&mut Self> {
        place.iter().try_fold(self, |value, step| value.child_mut(step))
    }

    /// Removes a value; how many there were beside it, itself included.
    fn remove(&mut self, place: &[Step]) -> Option<usize> {
        let (last, parent) = place.split_last()?;
        Some(self.at_mut(parent)?.take(last)?.1)
    }

    /// Gives a key another name, which must be free.
    fn rename(&mut self, place: &[Step], name: &str) -> bool {
        let Some((last, parent)) = place.split_last() else { return false };
        let Some(parent) = self.at_mut(parent) else { return false };
        if parent.child(&Step::Key(name.to_owned())).is_some() {
            return false;
        }
        parent.take(last).is_some_and(|(value, _)| parent.put(name, value))
    }

    /// Replaces a text by another: the value itself, or the first of a list, as in `["js", {…}]`.
    fn replace(&mut self, place: &[Step], text: &str, by: &str) -> bool {
        let Some(value) = self.at_mut(place) else { return false };
        if value.as_text() == Some(text) {
            *value = Self::text(by);
            return true;
        }
        match value.child_mut(&Step::Index(0)) {
            Some(first) if first.as_text() == Some(text) => {
                *first = Self::text(by);
                true
            }
            _ => false,
        }
    }
}

impl Tree for toml::Value {
    fn message(error: &toml::de::Error) -> String {
        error.message().to_owned()
    }

    fn shown(&self) -> String {
        self.to_string().replace('\n', " ").trim().to_owned()
    }

    fn as_text(&self) -> Option<&str> {
        self.as_str()
    }

    fn text(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Key(key) => self.as_table()?.get(key),
            Step::Index(index) => self.as_array()?.get(*index),
        }
    }

    fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match step {
            Step::Key(key) => self.as_table_mut()?.get_mut(key),
            Step::Index(index) => self.as_array_mut()?.get_mut(*index),
        }
    }

    fn take(&mut self, step: &Step) -> Option<(Self, usize)> {
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => {
                let length = table.len();
                Some((table.remove(key)?, length))
            }
            (Self::Array(list), Step::Index(index)) if *index < list.len() => {
                let length = list.len();
                Some((list.remove(*index), length))
            }
            _ => None,
        }
    }

    fn put(&mut self, key: &str, value: Self) -> bool {
        match self {
            Self::Table(table) => table.insert(key.to_owned(), value).is_none(),
            _ => false,
        }
    }
}

impl Tree for serde_json::Value {
    fn message(error: &serde_json::Error) -> String {
        error.to_string()
    }

    fn shown(&self) -> String {
        self.to_string()
    }

    fn as_text(&self) -> Option<&str> {
        self.as_str()
    }

    fn text(text: &str) -> Self {
        Self::String(text.to_owned())
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Key(key) => self.get(key),
            Step::Index(index) => self.get(*index),
        }
    }

    fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match step {
            Step::Key(key) => self.get_mut(key),
            Step::Index(index) => self.get_mut(*index),
        }
    }

    fn take(&mut self, step: &Step) -> Option<(Self, usize)> {
        match (self, step) {
            (Self::Object(object), Step::Key(key)) => {
                let length = object.len();
                Some((object.remove(key)?, length))
            }
            (Self::Array(list), Step::Index(index)) if *index < list.len() => {
                let length = list.len();
                Some((list.remove(*index), length))
            }
            _ => None,
        }
    }

    fn put(&mut self, key: &str, value: Self) -> bool {
        match self {
            Self::Object(object) => object.insert(key.to_owned(), value).is_none(),
            _ => false,
        }
    }
}
