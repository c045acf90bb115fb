//! Where the tokens of a feature stand in its text.

use tokenizers::{Encoding, Token};

use super::{TextTokenizer, failed};
use crate::{DataError, Example, Feature, TokenSpan, TokenSpans};

impl TextTokenizer {
    /// [`encode`](Self::encode), and which characters of the example each token is.
    ///
    /// The characters are those of the text as it was given, whatever the tokenizer's normaliser makes of
    /// it. White space around a token is no part of its span, unless there is nothing else in it.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    ///
    /// ```
    /// use brew_data::{Example, TextTokenizer, TokenSpan, WordPieceOptions};
    ///
    /// let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cafe", "##s"].map(String::from).to_vec();
    /// let tokenizer = TextTokenizer::from_vocabulary(words, WordPieceOptions::default())?;
    /// let (feature, spans) = tokenizer.encode_with_spans(&Example::new(0, "Cafés"), 16)?;
    /// assert_eq!(tokenizer.tokens(&feature.input_ids), ["[CLS]", "cafe", "##s", "[SEP]"]);
    /// assert_eq!(spans.as_slice()[0], TokenSpan::Special { place: 0, order: 0 });
    /// assert_eq!(spans.as_slice()[2], TokenSpan::Text { text: 0, start: 4, end: 5 });
    /// # Ok::<(), brew_data::DataError>(())
    /// ```
    pub fn encode_with_spans(
        &self,
        example: &Example,
        max_length: usize,
    ) -> Result<(Feature, TokenSpans), DataError> {
        let (first, second) =
            self.truncated(example, max_length, |text| self.tokenizer.encode_char_offsets(text, false))?;
        let is_pair = second.is_some();
        // Taken before the special tokens are added: adding them may trim the offsets once more.
        let mut texts = vec![text_spans(0, &example.text, &first)];
        if let (Some(text), Some(second)) = (&example.text_pair, &second) {
            texts.push(text_spans(1, text, second));
        }
        let encoding = self.tokenizer.post_process(first, second, true).map_err(failed(example))?;

        let mut spans = Vec::with_capacity(encoding.len());
        let (mut place, mut order) = (0, 0);
        for part in self.layout(is_pair).map_err(failed(example))? {
            match part.and_then(|text| texts.get(text)) {
                Some(text) => {
                    spans.extend_from_slice(text);
                    place += 1;
                    order = 0;
                }
                None => {
                    spans.push(TokenSpan::Special { place, order });
                    order += 1;
                }
            }
        }
        if spans.len() != encoding.len() {
            return Err(failed(example)("its special tokens depend on the text".into()));
        }
        Ok((super::feature(example, &encoding), TokenSpans::new(spans)))
    }

    /// What stands in a feature one after the other: the number of a text, or `None` for a special token.
    /// Asked of texts of one token, for an empty one would leave no trace.
    fn layout(&self, is_pair: bool) -> Result<Vec<Option<usize>>, tokenizers::Error> {
        let text = |kind| Encoding::from_tokens(vec![Token::new(0, "a".to_owned(), (0, 1))], kind);
        let encoding = self.tokenizer.post_process(text(0), is_pair.then(|| text(1)), true)?;
        let special = encoding.get_special_tokens_mask().iter().map(|&mask| mask == 1).enumerate();
        Ok(special.map(|(at, special)| if special { None } else { encoding.token_to_sequence(at) }).collect())
    }
}

/// The spans of one text's tokens.
pub(super) fn text_spans(text: usize, content: &str, encoding: &Encoding) -> Vec<TokenSpan> {
    let blank: Vec<bool> = content.chars().map(char::is_whitespace).collect();
    encoding
        .get_offsets()
        .iter()
        .map(|&(start, end)| {
            let end = end.min(blank.len());
            let start = start.min(end);
            let (start, end) = match blank[start..end].iter().position(|blank| !blank) {
                None => (start, end),
                Some(leading) => {
                    let trailing = blank[start..end].iter().rev().take_while(|&&blank| blank).count();
                    (start + leading, end - trailing)
                }
            };
            TokenSpan::Text { text, start, end }
        })
        .collect()
}
