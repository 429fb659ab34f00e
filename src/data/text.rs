//! Text as characters.

use std::path::Path;
use std::sync::Arc;

use crate::Device;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::io::source::Source;
use crate::io::{failed, write_atomically};
use crate::tensor::Tensor;

/// The characters of a text and their numbers, in the order of their code points.
///
/// ```
/// use wgrad::data::Vocabulary;
/// let vocabulary = Vocabulary::of("hello");
/// assert_eq!(vocabulary.chars(), ['e', 'h', 'l', 'o']);
/// let tokens = vocabulary.encode("hole")?;
/// assert_eq!(tokens, [1, 3, 2, 0]);
/// assert_eq!(vocabulary.decode(&tokens)?, "hole");
/// assert!(vocabulary.encode("hi").is_err());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    chars: Vec<char>,
}

impl Vocabulary {
    /// The characters that occur in a text.
    pub fn of(text: &str) -> Vocabulary {
        let mut chars: Vec<char> = text.chars().collect();
        chars.sort_unstable();
        chars.dedup();
        Vocabulary { chars }
    }

    /// The characters, each at its number.
    pub fn chars(&self) -> &[char] {
        &self.chars
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chars.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    /// A text as numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the first character that is not in the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        let number = |c: char| {
            let found = self.chars.binary_search(&c).map(|i| i as i32);
            found.map_err(|_| Error::argument("encode", format!("the character {c:?} is not in the vocabulary")))
        };
        text.chars().map(number).collect()
    }

    /// Numbers as text.
    ///
    /// # Errors
    /// [`Error::Argument`] where a number is none of a character.
    pub fn decode(&self, tokens: &[i32]) -> Result<String> {
        let char = |&token: &i32| {
            let found = usize::try_from(token).ok().and_then(|i| self.chars.get(i)).copied();
            found.ok_or_else(|| {
                Error::argument("decode", format!("{token} is no token of a vocabulary of {}", self.len()))
            })
        };
        tokens.iter().map(char).collect()
    }

    /// Writes the characters, in order, into a UTF-8 file, atomically.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let text: String = self.chars.iter().collect();
        write_atomically(path, |file| file.write_all(text.as_bytes()))
    }

    /// Reads what [`Vocabulary::save`] has written.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, is no UTF-8, is empty, or is not in order.
    pub fn load(path: impl AsRef<Path>) -> Result<Vocabulary> {
        let path = path.as_ref();
        let text = Source::open(path)?.text()?;
        let chars: Vec<char> = text.chars().collect();
        if chars.is_empty() || !chars.is_sorted_by(|a, b| a < b) {
            return Err(failed(path, "is no vocabulary: it does not list characters in order, each once"));
        }
        Ok(Vocabulary { chars })
    }
}

/// A text as tokens, one a character, and the windows over it that language models train on.
///
/// ```
/// use wgrad::data::{CharCorpus, DataLoader};
/// use wgrad::Device;
/// let corpus = CharCorpus::new("to be or not to be, that is the question")?;
/// let (train, test) = corpus.split(0.8);
/// let mut loader = DataLoader::new(train.windows(8)?, 4, &Device::cpu()).shuffle(1);
/// let batch = loader.next_batch()?;
/// assert_eq!((batch[0].shape(), batch[1].shape()), (&[4, 8][..], &[4, 8][..]));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CharCorpus {
    vocabulary: Arc<Vocabulary>,
    tokens: Arc<[i32]>,
}

impl CharCorpus {
    /// The tokens of a UTF-8 text file.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, is no UTF-8, or is empty.
    pub fn load(path: impl AsRef<Path>) -> Result<CharCorpus> {
        let path = path.as_ref();
        let text = Source::open(path)?.text()?;
        CharCorpus::new(&text).map_err(|_| failed(path, "is empty: there is nothing to learn from"))
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`Error::Argument`] where it is empty.
    pub fn new(text: &str) -> Result<CharCorpus> {
        if text.is_empty() {
            return Err(Error::argument("CharCorpus", "the text is empty"));
        }
        CharCorpus::with_vocabulary(text, Vocabulary::of(text))
    }

    /// The tokens of a text by a vocabulary that is there already, such as that of a trained model.
    ///
    /// # Errors
    /// As [`Vocabulary::encode`].
    pub fn with_vocabulary(text: &str, vocabulary: Vocabulary) -> Result<CharCorpus> {
        let tokens = vocabulary.encode(text)?.into();
        Ok(CharCorpus { vocabulary: Arc::new(vocabulary), tokens })
    }

    /// The characters.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The text, a number a character.
    pub fn tokens(&self) -> &[i32] {
        &self.tokens
    }

    /// The first `fraction` (0 to 1) of the text, and the rest.
    pub fn split(&self, fraction: f32) -> (CharCorpus, CharCorpus) {
        let at = (self.tokens.len() as f64 * f64::from(fraction.clamp(0.0, 1.0))) as usize;
        let part = |tokens: &[i32]| CharCorpus { vocabulary: self.vocabulary.clone(), tokens: tokens.into() };
        (part(&self.tokens[..at]), part(&self.tokens[at..]))
    }

    /// Every stretch of `context` tokens, with the tokens that follow each of them as targets.
    ///
    /// # Errors
    /// [`Error::Argument`] where the text is too short for one, or `context` is 0.
    #[track_caller]
    pub fn windows(&self, context: usize) -> Result<Windows> {
        if context == 0 || self.tokens.len() <= context {
            let detail = format!("a text of {} characters has no window of {context} and one more", self.tokens.len());
            return Err(Error::argument("windows", detail).or_at(std::panic::Location::caller()));
        }
        Ok(Windows { tokens: self.tokens.clone(), context })
    }
}

/// Stretches of a [`CharCorpus`] with what follows: inputs `[N, context]` and targets `[N, context]`, both i32.
///
/// ```
/// use wgrad::data::{CharCorpus, Dataset};
/// use wgrad::Device;
/// let windows = CharCorpus::new("abcdef")?.windows(3)?;
/// let batch = windows.batch(&[0, 2], &Device::cpu())?;
/// assert_eq!(batch[0].to_vec::<i32>()?, [0, 1, 2, 2, 3, 4]); // "abc" and "cde"
/// assert_eq!(batch[1].to_vec::<i32>()?, [1, 2, 3, 3, 4, 5]); // "bcd" and "def"
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    tokens: Arc<[i32]>,
    context: usize,
}

impl Dataset for Windows {
    fn len(&self) -> usize {
        self.tokens.len() - self.context
    }

    fn batch(&self, indices: &[usize], device: &Device) -> Result<Vec<Tensor>> {
        let take = |shift: usize| {
            let values: Vec<i32> =
                indices.iter().flat_map(|&i| &self.tokens[i + shift..i + shift + self.context]).copied().collect();
            Tensor::from_slice(&values, [indices.len(), self.context], device)
        };
        Ok(vec![take(0), take(1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_followed_by_their_targets() {
        let corpus = CharCorpus::new("abcdef").unwrap();
        let windows = corpus.windows(3).unwrap();
        assert_eq!(windows.len(), 3);
        let batch = windows.batch(&[0, 2], &Device::cpu()).unwrap();
        assert_eq!(batch[0].to_vec::<i32>().unwrap(), [0, 1, 2, 2, 3, 4]);
        assert_eq!(batch[1].to_vec::<i32>().unwrap(), [1, 2, 3, 3, 4, 5]);
        assert!(corpus.windows(6).is_err() && corpus.windows(0).is_err() && CharCorpus::new("").is_err());
        let (head, tail) = corpus.split(0.5);
        assert_eq!((head.tokens(), tail.tokens()), (&[0, 1, 2][..], &[3, 4, 5][..]));
    }

    #[test]
    fn a_vocabulary_is_saved_and_damage_is_named() {
        let path = std::env::temp_dir().join(format!("wgrad-vocabulary-{}", std::process::id()));
        let vocabulary = Vocabulary::of("zé\n世 a");
        vocabulary.save(&path).unwrap();
        assert_eq!(Vocabulary::load(&path).unwrap(), vocabulary);
        for (bytes, says) in [(&b"ba"[..], "in order"), (b"", "in order"), (b"a\xff", "UTF-8 text (byte 1)")] {
            std::fs::write(&path, bytes).unwrap();
            assert!(Vocabulary::load(&path).unwrap_err().to_string().contains(says));
        }
        std::fs::write(&path, "").unwrap();
        assert!(CharCorpus::load(&path).unwrap_err().to_string().contains("is empty"));
        std::fs::remove_file(&path).unwrap();
        assert!(vocabulary.decode(&[99]).is_err() && vocabulary.decode(&[-1]).is_err());
    }
}
