//! Strings, bytes and lists that cannot be longer than their type says; the bound holds before memory is taken.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// The value was longer than its type allows, empty where it must not be, or held a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfBounds {
    /// What was wrong with it.
    pub problem: &'static str,
    /// The bound, in bytes or elements.
    pub max: usize,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at most {})", self.problem, self.max)
    }
}

impl std::error::Error for OutOfBounds {}

/// UTF-8 of at most `MAX` bytes without control characters, so that no peer can forge a line of a log or a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Checks length and characters.
    ///
    /// # Errors
    /// [`OutOfBounds`] when longer than `MAX` bytes or with a control character in it.
    pub fn new(text: impl Into<String>) -> Result<Self, OutOfBounds> {
        let text = text.into();
        if text.len() > MAX {
            return Err(OutOfBounds { problem: "text too long", max: MAX });
        }
        if text.chars().any(is_forbidden) {
            return Err(OutOfBounds { problem: "text holds a control character", max: MAX });
        }
        Ok(Self(text))
    }

    /// Makes any text fit: control characters become spaces, the end is cut at a character boundary.
    #[must_use]
    pub fn lossy(text: &str) -> Self {
        let mut fitted = String::with_capacity(text.len().min(MAX));
        for c in text.chars().map(|c| if is_forbidden(c) { ' ' } else { c }) {
            if fitted.len() + c.len_utf8() > MAX {
                break;
            }
            fitted.push(c);
        }
        Self(fitted)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Control characters, and the ones that reorder or hide text on a terminal.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const MAX: usize> std::str::FromStr for Text<MAX> {
    type Err = OutOfBounds;

    fn from_str(text: &str) -> Result<Self, OutOfBounds> {
        Self::new(text)
    }
}

impl<const MAX: usize> std::ops::Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Serialize for Text<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<const MAX: usize>;
        impl<const MAX: usize> Visitor<'_> for TextVisitor<MAX> {
            type Value = Text<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "text of at most {MAX} bytes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<MAX>, E> {
                if text.len() > MAX {
                    return Err(E::custom("text too long"));
                }
                Text::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// At most `MAX` opaque bytes. `Debug` shows the length only: what a game puts here is nobody else's business.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// Checks the length.
    ///
    /// # Errors
    /// [`OutOfBounds`] when longer than `MAX` bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, OutOfBounds> {
        let bytes = bytes.into();
        if bytes.len() > MAX {
            return Err(OutOfBounds { problem: "too many bytes", max: MAX });
        }
        Ok(Self(bytes))
    }
}

impl<const MAX: usize> std::ops::Deref for Blob<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlobVisitor<const MAX: usize>;
        impl<'de, const MAX: usize> Visitor<'de> for BlobVisitor<MAX> {
            type Value = Blob<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob<MAX>, E> {
                if bytes.len() > MAX {
                    return Err(E::custom("too many bytes"));
                }
                Ok(Blob(bytes.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Blob<MAX>, A::Error> {
                collect::<u8, A, MAX>(seq).map(Blob)
            }
        }
        deserializer.deserialize_bytes(BlobVisitor)
    }
}

/// At most `MAX` elements; a peer that announces more is refused before any of them is decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> List<T, MAX> {
    /// Checks the count.
    ///
    /// # Errors
    /// [`OutOfBounds`] when there are more than `MAX`.
    pub fn new(items: Vec<T>) -> Result<Self, OutOfBounds> {
        if items.len() > MAX {
            return Err(OutOfBounds { problem: "too many elements", max: MAX });
        }
        Ok(Self(items))
    }

    /// Takes the first `MAX` and leaves the rest.
    pub fn first_of(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().take(MAX).collect())
    }

    /// The elements.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> std::ops::Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> IntoIterator for List<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a List<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Serialize, const MAX: usize> Serialize for List<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const MAX: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} elements")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                collect::<T, A, MAX>(seq).map(List)
            }
        }
        deserializer.deserialize_seq(ListVisitor(std::marker::PhantomData))
    }
}

fn collect<'de, T: Deserialize<'de>, A: SeqAccess<'de>, const MAX: usize>(mut seq: A) -> Result<Vec<T>, A::Error> {
    if seq.size_hint().is_some_and(|announced| announced > MAX) {
        return Err(A::Error::custom("too many elements"));
    }
    let mut items = Vec::new();
    while let Some(item) = seq.next_element()? {
        if items.len() == MAX {
            return Err(A::Error::custom("too many elements"));
        }
        items.push(item);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_value_than_the_type_allows_is_refused() {
        let six = postcard::to_stdvec("sixsix").unwrap();
        assert!(postcard::from_bytes::<Text<6>>(&six).is_ok());
        assert!(postcard::from_bytes::<Text<5>>(&six).is_err());
        assert!(postcard::from_bytes::<Blob<6>>(&six).is_ok());
        assert!(postcard::from_bytes::<Blob<5>>(&six).is_err());
        assert!(postcard::from_bytes::<List<u8, 6>>(&six).is_ok());
        assert!(postcard::from_bytes::<List<u8, 5>>(&six).is_err());
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        // Five bytes that announce four billion elements.
        let announced = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(postcard::from_bytes::<List<u64, 1_000>>(&announced).is_err());
        assert!(postcard::from_bytes::<Blob<1_000>>(&announced).is_err());
        assert!(postcard::from_bytes::<Text<1_000>>(&announced).is_err());
    }

    #[test]
    fn text_cannot_forge_a_line() {
        for bad in ["a\nb", "\u{1b}[31m", "a\u{202e}b", "\0"] {
            assert!(Text::<16>::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Text::<4>::lossy("a\nb\u{e9}xyz").as_str(), "a b");
        assert_eq!(Text::<8>::lossy("a\nb\u{e9}xyz").as_str(), "a b\u{e9}xyz");
    }
}
