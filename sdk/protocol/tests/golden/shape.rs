//! Walks message types by deserializing them from nothing, to learn which enums and variants there are and which type
//! contains which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, SeqAccess, VariantAccess, Visitor,
    value::U32Deserializer,
};

/// No message of ours is half as deep; one that contains itself is infinitely.
const DEPTH_MAX: usize = 32;
/// Walks of one type. Each takes the variant of each enum that was taken least, so this is many times what is needed.
const WALKS: usize = 4_000;

#[derive(Default)]
pub struct Shape {
    /// For each enum, its variants and how often one was taken.
    enums: BTreeMap<&'static str, (&'static [&'static str], usize)>,
    /// Which named type stands directly in which.
    contains: BTreeSet<(&'static str, &'static str)>,
    around: Vec<&'static str>,
}

impl Shape {
    pub fn explore<T: DeserializeOwned>(&mut self) {
        for _ in 0..WALKS {
            // A type that contains itself is too deep at some point; the edges found until then tell.
            let _ = T::deserialize(&mut *self);
        }
    }

    /// `Enum/Variant` for all of them.
    pub fn variants(&self) -> Vec<String> {
        let all = self.enums.iter().flat_map(|(name, (variants, taken))| {
            assert!(*taken >= variants.len(), "{name} was walked {taken} times only");
            variants.iter().map(move |variant| format!("{name}/{variant}"))
        });
        all.collect()
    }

    /// A type that contains itself, directly or through others.
    pub fn cycle(&self) -> Option<&'static str> {
        let inside = |outer: &'static str| self.contains.iter().filter(move |edge| edge.0 == outer).map(|edge| edge.1);
        self.contains.iter().map(|edge| edge.0).find(|start| {
            let mut reached = BTreeSet::new();
            let mut open: Vec<_> = inside(start).collect();
            while let Some(name) = open.pop() {
                if reached.insert(name) {
                    open.extend(inside(name));
                }
            }
            reached.contains(start)
        })
    }

    fn enter<T>(&mut self, name: &'static str, walk: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if let Some(outer) = self.around.last() {
            self.contains.insert((outer, name));
        }
        if self.around.len() == DEPTH_MAX {
            return Err(Stop("too deep".to_owned()));
        }
        self.around.push(name);
        let walked = walk(self);
        self.around.pop();
        walked
    }
}

#[derive(Debug)]
pub struct Stop(String);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stop {}

impl serde::de::Error for Stop {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self(problem.to_string())
    }
}

macro_rules! scalars {
    ($($method:ident => $visit:ident($($value:expr)?);)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            visitor.$visit($($value)?)
        }
    )+};
}

impl<'de> Deserializer<'de> for &mut Shape {
    type Error = Stop;

    scalars! {
        deserialize_bool => visit_bool(true);
        deserialize_i32 => visit_i32(1);
        deserialize_u8 => visit_u8(1);
        deserialize_u16 => visit_u16(1);
        deserialize_u32 => visit_u32(1);
        deserialize_u64 => visit_u64(1);
        deserialize_str => visit_str("a");
        deserialize_string => visit_str("a");
        deserialize_bytes => visit_bytes(b"a");
        deserialize_unit => visit_unit();
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(Items { shape: self, left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(Items { shape: self, left: len })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Stop> {
        self.enter(name, |shape| visitor.visit_newtype_struct(shape))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(name, |shape| visitor.visit_seq(Items { shape, left: fields.len() }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(name, |shape| {
            let (known, taken) = shape.enums.entry(name).or_insert((variants, 0));
            assert_eq!(*known, variants, "two enums are called {name}");
            let index = u32::try_from(*taken % variants.len()).unwrap();
            *taken += 1;
            visitor.visit_enum(Variant { shape, index })
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        panic!("a type that no message has had so far: teach the walk about it")
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i64 i128 u128 f32 f64 char byte_buf unit_struct tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    shape: &'a mut Shape,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Stop> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.shape).map(Some)
    }
}

struct Variant<'a> {
    shape: &'a mut Shape,
    index: u32,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Stop;
    type Variant = &'a mut Shape;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Stop> {
        let index: U32Deserializer<Stop> = serde::de::IntoDeserializer::into_deserializer(self.index);
        seed.deserialize(index).map(|variant| (variant, self.shape))
    }
}

impl<'de> VariantAccess<'de> for &mut Shape {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(Items { shape: self, left: len })
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_seq(Items { shape: self, left: fields.len() })
    }
}

/// The walk finds what it is there to find.
mod tests {
    use serde::Deserialize;

    use super::*;
    use playgate_protocol::List;

    #[derive(Deserialize)]
    #[allow(dead_code)] // only its type is looked at
    enum Tree {
        Leaf,
        Branch(List<Twig, 4>),
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Twig {
        ends_in: Option<Box<Tree>>,
    }

    #[test]
    fn a_type_that_contains_itself_is_found() {
        let mut shape = Shape::default();
        shape.explore::<Tree>();
        assert_eq!(shape.cycle(), Some("Tree"));
        assert_eq!(shape.variants(), ["Tree/Leaf", "Tree/Branch"]);
    }
}
