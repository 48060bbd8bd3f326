//! Any value of any message type, drawn from bytes: serde asks for one field after the other, and each takes what it
//! needs. Every byte string is a message, so that a fuzzer is not held up by an encoding; ids, names and times come
//! from a pool of those that mean something.

use std::fmt::Display;

use serde::de::value::{Error, U8Deserializer, U32Deserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// What is worth naming.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// Ids of every kind.
    pub ids: Vec<[u8; 16]>,
    /// Secrets, hashes, keys.
    pub secrets: Vec<[u8; 32]>,
    /// Names of fleets and players, idempotency keys.
    pub texts: Vec<String>,
    /// Times, versions, numbers of reports.
    pub numbers: Vec<u64>,
}

/// Bytes, and what they may name. Behind the last byte come zeros.
#[derive(Debug, Clone)]
pub struct Draw<'a> {
    bytes: &'a [u8],
    pool: &'a Pool,
}

impl<'a> Draw<'a> {
    /// Draws from these.
    #[must_use]
    pub fn new(bytes: &'a [u8], pool: &'a Pool) -> Self {
        Self { bytes, pool }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    /// Whether all bytes are used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Up to this many of the next bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// A value, unless what was drawn breaks a bound of its type.
    pub fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        T::deserialize(&mut *self).ok()
    }

    /// Small numbers, those of the pool and their neighbours, the largest, and any other.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => small.into(),
            128..=191 => {
                let pooled = pick(&self.pool.numbers, self.bytes.first().copied().unwrap_or(0)).copied().unwrap_or(0);
                self.byte();
                pooled.wrapping_add(u64::from(self.byte())).wrapping_sub(u64::from(self.byte()))
            }
            192..=223 => u64::from(self.byte()) << 8 | u64::from(self.byte()),
            224..=239 => u64::MAX - u64::from(self.byte() % 4),
            240..=247 => 1 << (self.byte() % 64),
            _ => std::iter::repeat_with(|| self.byte()).take(8).fold(0, |number, byte| number << 8 | u64::from(byte)),
        }
    }

    fn text(&mut self) -> String {
        const ODD: [&str; 8] = ["\u{e9}", "\u{1f600}", " ", "\"", "'", "\\", "{", "\n"];
        match self.byte() {
            pooled @ 0..=199 => pick(&self.pool.texts, pooled).cloned().unwrap_or_default(),
            200..=209 => "z".repeat([32, 64, 96, 128, 256, 512, 2_048, 4_096][usize::from(self.byte() % 8)]),
            _ => {
                let letters = usize::from(self.byte() % 24);
                let letter = |byte: u8| match byte {
                    0..=247 => char::from(b'a' + byte % 26).to_string(),
                    odd => ODD[usize::from(odd % 8)].to_owned(),
                };
                (0..letters).map(|_| letter(self.byte())).collect()
            }
        }
    }

    /// An id, or a secret; else each byte for itself.
    fn array<const LEN: usize>(&mut self, pool: &[[u8; LEN]]) -> [u8; LEN] {
        match self.byte() {
            pooled @ 0..=239 => pick(pool, pooled).copied().unwrap_or([pooled; LEN]),
            _ => std::array::from_fn(|_| self.byte()),
        }
    }
}

fn pick<T>(pool: &[T], which: u8) -> Option<&T> {
    pool.get(usize::from(which) % pool.len().max(1))
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // any number will do
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.number() as $type)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Draw<'_> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    numbers! {
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u8(self.byte())
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.byte() % 2 == 1)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let len = self.byte();
        visitor.visit_bytes(self.take(len.into()))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.byte() % 2 == 1 { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = match self.byte() {
            few @ 0..=247 => few % 4,
            many => many % 8 * 10,
        };
        visitor.visit_seq(Elements { draw: self, left: left.into() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let left = usize::from(self.byte() % 4);
        visitor.visit_map(Elements { draw: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        match len {
            16 => visitor.visit_seq(Bytes(&mut self.array(&self.pool.ids).into_iter())),
            32 => visitor.visit_seq(Bytes(&mut self.array(&self.pool.secrets).into_iter())),
            _ => visitor.visit_seq(Elements { draw: self, left: len }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { draw: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = usize::from(self.byte()) % variants.len().max(1);
        visitor.visit_enum(Variant { draw: self, index: u32::try_from(variant).expect("below 256") })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("messages say what they hold"))
    }

    serde::forward_to_deserialize_any! { i128 u128 f32 f64 char unit_struct tuple_struct identifier ignored_any }
}

struct Elements<'d, 'a> {
    draw: &'d mut Draw<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.draw).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.draw)
    }
}

struct Bytes<'d>(&'d mut dyn Iterator<Item = u8>);

impl<'de> SeqAccess<'de> for Bytes<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(byte) = self.0.next() else { return Ok(None) };
        let byte: U8Deserializer<Error> = byte.into_deserializer();
        seed.deserialize(byte).map(Some)
    }
}

struct Variant<'d, 'a> {
    draw: &'d mut Draw<'a>,
    index: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let index: U32Deserializer<Error> = self.index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.draw)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.draw.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { draw: self.draw, left: fields.len() })
    }
}

/// The names of the variants of an enum, in their order.
#[must_use]
pub fn variants<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    let _ = T::deserialize(Names(&mut found)); // it ends where it has found them
    found
}

struct Names<'d>(&'d mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = variants;
        Err(Error::custom("found"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not an enum"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The name of the variant that a value is.
#[must_use]
pub fn variant(value: &impl std::fmt::Debug) -> String {
    name_of(format_args!("{value:?}"))
}

fn name_of(text: impl Display) -> String {
    text.to_string().chars().take_while(|c| c.is_alphanumeric()).collect()
}
