//! Which tokens of two tokenizations are the same characters of the text.

/// What one token of a feature is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSpan {
    /// A token that the tokenizer adds, such as `[CLS]`.
    Special {
        /// How many texts stand before it: 0 for `[CLS]`, 1 for the first `[SEP]`, 2 for that of a pair's end.
        place: usize,
        /// How many special tokens stand before it at this place.
        order: usize,
    },
    /// The characters `start..end` of a text, counted in Unicode scalar values from 0.
    Text {
        /// 0 for the first text, 1 for the second of a pair.
        text: usize,
        /// The first character.
        start: usize,
        /// One more than the last character; `start` where the token stands for none.
        end: usize,
    },
}

impl TokenSpan {
    /// Whether both have a character in common, or are the same special token. It is symmetric, and false
    /// for a span without characters.
    ///
    /// ```
    /// use brew_data::TokenSpan;
    ///
    /// let span = |start, end| TokenSpan::Text { text: 0, start, end };
    /// assert!(span(0, 3).overlaps(span(2, 5)));
    /// assert!(!span(0, 3).overlaps(span(3, 5)));
    /// assert!(!span(0, 3).overlaps(TokenSpan::Text { text: 1, start: 0, end: 3 }));
    /// ```
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (
                Self::Text { text, start, end },
                Self::Text { text: other_text, start: other_start, end: other_end },
            ) => text == other_text && start.max(other_start) < end.min(other_end),
            (Self::Special { .. }, Self::Special { .. }) => self == other,
            _ => false,
        }
    }
}

/// Where the tokens of a [`Feature`](crate::Feature) stand in its example, one entry a token;
/// [`TextTokenizer::encode_with_spans`](crate::TextTokenizer::encode_with_spans) gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSpans(Vec<TokenSpan>);

impl TokenSpans {
    /// The spans of a tokenizer of your own, in the order of the tokens.
    pub fn new(spans: Vec<TokenSpan>) -> Self {
        Self(spans)
    }

    /// The spans in the order of the tokens.
    pub fn as_slice(&self) -> &[TokenSpan] {
        &self.0
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The teacher's tokens for each of the student's, where the two split the same example differently.
///
/// A student token is matched to every teacher token that it shares a character with, and a special token to
/// that of the same place and order. Nothing matches a token whose characters the other side truncated away
/// or dropped.
///
/// ```
/// use brew_data::{Alignment, Example, TextTokenizer, WordPieceOptions};
///
/// let tokenizer = |pieces: [&str; 3]| {
///     let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].into_iter().chain(pieces).map(String::from);
///     TextTokenizer::from_vocabulary(words.collect(), WordPieceOptions::default())
/// };
/// let example = Example::new(0, "fine films");
/// let (_, student) = tokenizer(["fine", "film", "##s"])?.encode_with_spans(&example, 16)?;
/// let (_, teacher) = tokenizer(["fi", "##ne", "films"])?.encode_with_spans(&example, 16)?;
///
/// let alignment = Alignment::new(&student, &teacher);
/// assert_eq!(alignment.matches(1), [1, 2]); // fine: fi, ##ne
/// assert_eq!(alignment.matches(2), [3]); // film: films
/// assert_eq!(alignment.matches(3), [3]); // ##s: films
/// assert_eq!(alignment.matches(4), [4]); // [SEP]
/// # Ok::<(), brew_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    /// Where in `matches` those of each student token begin, and where the last ones end.
    bounds: Vec<u32>,
    matches: Vec<u32>,
    teacher_length: usize,
}

impl Alignment {
    /// Matches the tokens of the same example.
    pub fn new(student: &TokenSpans, teacher: &TokenSpans) -> Self {
        let mut bounds = Vec::with_capacity(student.len() + 1);
        let mut matches = Vec::with_capacity(student.len());
        bounds.push(0);
        for own in student.as_slice() {
            let overlapping =
                teacher.as_slice().iter().enumerate().filter(|(_, other)| own.overlaps(**other));
            matches.extend(overlapping.map(|(index, _)| index as u32));
            bounds.push(matches.len() as u32);
        }
        Self { bounds, matches, teacher_length: teacher.len() }
    }

    /// The student's tokens.
    pub fn student_length(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The teacher's tokens.
    pub fn teacher_length(&self) -> usize {
        self.teacher_length
    }

    /// The indices of the teacher's tokens for one of the student's, in ascending order; none where nothing
    /// overlaps.
    ///
    /// # Panics
    /// If the student has no such token.
    pub fn matches(&self, student_token: usize) -> &[u32] {
        &self.matches[self.bounds[student_token] as usize..self.bounds[student_token + 1] as usize]
    }

    /// The weights of the mean over [`matches`](Self::matches), row after row.
    ///
    /// # Shapes
    /// `[student length, teacher length]`; each row sums to 1, or is all 0 where nothing matches.
    pub fn weights(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.student_length() * self.teacher_length];
        self.write_weights(&mut weights, self.teacher_length);
        weights
    }

    /// Writes the weights into rows of `width` zeros.
    pub(crate) fn write_weights(&self, rows: &mut [f32], width: usize) {
        for token in 0..self.student_length() {
            let matches = self.matches(token);
            for &index in matches {
                rows[token * width + index as usize] = 1.0 / matches.len() as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests;
